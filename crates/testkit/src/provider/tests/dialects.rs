//! Every dialect says the same, whole and streamed, and refuses what the real one refuses.

use super::*;

/// A dialect as the tests ask it: where, what, and where in an answer and in its events the text stands.
struct Tongue {
    path: &'static str,
    stream_path: &'static str,
    ask: fn(&str) -> Value,
    text: &'static str,
    delta: &'static str,
    stop: (&'static str, &'static str),
    usage: &'static str,
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn gemini(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

#[rustfmt::skip]
const TONGUES: &[Tongue] = &[
    Tongue {
        path: "/v1/chat/completions", stream_path: "", ask: |text| json!({"model": "m", "messages": user(text)}),
        text: "/choices/0/message/content", delta: "/choices/0/delta/content",
        stop: ("/choices/0/finish_reason", "stop"), usage: "/usage/completion_tokens",
    },
    Tongue {
        path: "/v1/completions", stream_path: "", ask: |text| json!({"model": "m", "prompt": text}),
        text: "/choices/0/text", delta: "/choices/0/text",
        stop: ("/choices/0/finish_reason", "stop"), usage: "/usage/completion_tokens",
    },
    Tongue {
        path: "/v1/responses", stream_path: "", ask: |text| json!({"model": "m", "input": text}),
        text: "/output/0/content/0/text", delta: "/delta",
        stop: ("/status", "completed"), usage: "/usage/output_tokens",
    },
    Tongue {
        path: "/v1/messages", stream_path: "", ask: |text| json!({"model": "m", "max_tokens": 99, "messages": user(text)}),
        text: "/content/0/text", delta: "/delta/text",
        stop: ("/stop_reason", "end_turn"), usage: "/usage/output_tokens",
    },
    Tongue {
        path: "/v1beta/models/m:generateContent", stream_path: "/v1beta/models/m:streamGenerateContent?alt=sse", ask: gemini,
        text: "/candidates/0/content/parts/0/text", delta: "/candidates/0/content/parts/0/text",
        stop: ("/candidates/0/finishReason", "STOP"), usage: "/usageMetadata/candidatesTokenCount",
    },
    Tongue {
        path: "/v2/chat", stream_path: "", ask: |text| json!({"model": "m", "messages": user(text)}),
        text: "/message/content/0/text", delta: "/delta/message/content/text",
        stop: ("/finish_reason", "COMPLETE"), usage: "/usage/tokens/output_tokens",
    },
];

fn converse(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn post(provider: &Provider, path: &str, body: &Value) -> Reply {
    read(send(provider, path, "", body))
}

#[test]
fn every_dialect_answers_whole_and_streamed_alike() {
    let provider = Provider::start("words=3").unwrap();
    for tongue in TONGUES {
        let whole = post(&provider, tongue.path, &(tongue.ask)("hello")).json();
        assert_eq!(at(&whole, tongue.text), "the 関所 reads", "{}", tongue.path);
        assert_eq!(at(&whole, tongue.stop.0), tongue.stop.1);
        assert_eq!(at(&whole, tongue.usage), 3);
        let stream = match tongue.stream_path {
            "" => post(&provider, tongue.path, &streamed((tongue.ask)("hello"))),
            path => post(&provider, path, &(tongue.ask)("hello")),
        };
        assert!(
            stream.complete && stream.head.contains("content-type: text/event-stream"),
            "{}",
            stream.head
        );
        assert_eq!(stream.joined(tongue.delta), "the 関所 reads", "{}", tongue.path);
    }
}

#[test]
fn every_dialect_refuses_what_it_does_not_know() {
    let provider = Provider::start("").unwrap();
    for tongue in TONGUES {
        let mut body = (tongue.ask)("hello");
        body["novelty"] = json!(true);
        let refused = post(&provider, tongue.path, &body);
        assert_eq!((refused.status, refused.body.contains("novelty")), (400, true), "{}", refused.body);
        assert_eq!(post(&provider, tongue.path, &json!({})).status, 400, "{}", tongue.path);
        let failed = post(&provider, tongue.path, &(tongue.ask)("[[kit status=429]]"));
        assert_eq!((failed.status, failed.body.contains("scripted status 429")), (429, true));
    }
}

#[test]
fn calls_and_results_belong_together() {
    let provider = Provider::start("").unwrap();
    let said = |path: &str, body: Value| post(&provider, path, &body).body;
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "rain"});
    let turn = json!({"role": "user", "content": "hi"});
    let responses = |items: Value| said("/v1/responses", json!({"model": "m", "input": items}));
    assert!(responses(json!([turn, call("a"), result("a")])).contains("The tool said: rain"));
    assert!(responses(json!([turn, call("a")])).contains("No tool output found for function call a"));
    assert!(responses(json!([turn, result("a")])).contains("No tool call found"));
    assert!(responses(json!([turn, call("a"), turn, result("a")])).contains("No tool output found"));

    let gemini = |parts: &[Value]| {
        let role = |place: usize| if place.is_multiple_of(2) { "user" } else { "model" };
        let turns =
            parts.iter().enumerate().map(|(place, parts)| json!({"role": role(place), "parts": parts}));
        said("/v1beta/models/m:generateContent", json!({"contents": turns.collect::<Vec<_>>()}))
    };
    let asked = json!([{"text": "use a tool"}]);
    let bare = json!([{"functionCall": {"name": "f", "args": {}}}]);
    let mut sealed = bare.clone();
    sealed[0]["thoughtSignature"] = json!("skip_thought_signature_validator");
    let told = json!([{"functionResponse": {"name": "f", "response": {"result": "rain"}}}]);
    assert!(gemini(&[asked.clone(), sealed.clone(), told.clone()]).contains("The tool said: rain"));
    assert!(gemini(&[asked.clone(), bare, told.clone()]).contains("missing a thought_signature"));
    assert!(gemini(&[asked.clone(), sealed, asked.clone()]).contains("number of function response parts"));
    assert!(gemini(&[told]).contains("immediately after a function call turn"));
}

#[test]
fn google_streams_an_array_unless_events_are_asked_for() {
    let provider = Provider::start("words=3").unwrap();
    let stream = post(&provider, "/v1beta/models/m:streamGenerateContent", &gemini("hello"));
    let array: Vec<Value> = serde_json::from_str(&stream.body).unwrap();
    let text = |piece: &Value| at(piece, "/candidates/0/content/parts/0/text").as_str().unwrap().to_owned();
    assert_eq!(array.iter().map(text).collect::<String>(), "the 関所 reads");
    let events = post(&provider, "/v1beta/models/m:streamGenerateContent?alt=sse", &gemini("hello"));
    assert_eq!(events.body.matches("\r\n\r\n").count(), array.len());
    let counted = post(&provider, "/v1beta/models/m:countTokens", &gemini("hello")).json();
    assert!(counted["totalTokens"].as_u64().unwrap() > 0);
}

#[test]
fn texts_become_vectors() {
    let provider = Provider::start("").unwrap();
    let content = |text: &str| json!({"parts": [{"text": text}]});
    let ask = |more: Value| {
        let mut body = json!({"model": "m", "input": ["one", "two"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(&provider, "/v1/embeddings", &body).json()["data"][0]["embedding"].clone()
    };
    let floats = ask(json!({"dimensions": 4}));
    assert_eq!(floats.as_array().unwrap().len(), 4);
    // Four numbers of four bytes each.
    assert_eq!(ask(json!({"dimensions": 4, "encoding_format": "base64"})).as_str().unwrap().len(), 24);
    let one = json!({"content": content("one"), "outputDimensionality": 4});
    let single = post(&provider, "/v1beta/models/m:embedContent", &one).json();
    assert_eq!(single["embedding"]["values"], floats);
    let mut named = one.clone();
    named["model"] = json!("models/m");
    let batch = |one: &Value| {
        post(&provider, "/v1beta/models/m:batchEmbedContents", &json!({"requests": [one, one]}))
    };
    assert_eq!(batch(&named).json()["embeddings"][1]["values"], floats);
    assert_eq!(batch(&one).status, 400);
}

#[test]
fn bedrock_frames_are_what_amazon_says() {
    let provider = Provider::start("words=2").unwrap();
    let whole = post(&provider, "/model/m/converse", &converse("hello")).json();
    assert_eq!(at(&whole, "/output/message/content/0/text"), "the 関所");
    let frame = super::super::bedrock::frame(&(Some("messageStart".to_owned()), "{}".to_owned()));
    let number = |from: usize| u32::from_be_bytes(frame[from..from + 4].try_into().unwrap());
    assert_eq!((number(0) as usize, number(8)), (frame.len(), crc32fast::hash(&frame[..8])));
    assert_eq!(number(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
    assert_eq!(&frame[12..25], b"\x0b:event-type\x07");
    assert_eq!(&frame[frame.len() - 6..frame.len() - 4], b"{}");
    let stream = post(&provider, "/model/m/converse-stream", &converse("hello"));
    assert!(stream.head.contains("content-type: application/vnd.amazon.eventstream\r\n"), "{}", stream.head);
    let failed = post(&provider, "/model/m/converse", &converse("[[kit status=429]]"));
    assert!(failed.head.contains("x-amzn-errortype: ThrottlingException\r\n"), "{}", failed.head);
    let twice = json!({"messages": [{"role": "user", "content": [{"text": "a"}]}, {"role": "user", "content": [{"text": "b"}]}]});
    assert!(post(&provider, "/model/m/converse", &twice).body.contains("must alternate"));
}

#[test]
fn schemas_that_must_be_kept_are_closed() {
    let provider = Provider::start("").unwrap();
    let ask = |schema: Value| {
        let format =
            json!({"type": "json_schema", "json_schema": {"name": "s", "strict": true, "schema": schema}});
        let mut body = chat("hello");
        body["response_format"] = format;
        openai(&provider, &body)
    };
    let open = ask(json!({"type": "object", "properties": {"a": {"type": "string"}}}));
    assert!(open.status == 400 && open.body.contains("additionalProperties"), "{}", open.body);
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false});
    assert_eq!(ask(closed).status, 200);
}
