//! The dialect's own tests: seals in custody, relayed streams, and what no case shows.

use super::{Bedrock, wire};
use crate::{
    Dialect, DialectId, Fault, FaultKind, Losses, Seen, Target,
    canon::{BlockStart, Delta, Event, Extra, Request, fold, unfold},
    frame::{aws, sse::Frame},
    laws,
    limits::STREAM_HELD_MAX,
    pipe::Pipe,
};
use bytes::Bytes;
use serde_json::{Value, json};

fn answer(content: &Value) -> Vec<u8> {
    let usage = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3});
    let message = json!({"role": "assistant", "content": content});
    json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).to_string().into_bytes()
}

/// What a client of `client` has of an answer in its hands, and sends back with its next request.
fn history(client: DialectId, answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    match client {
        DialectId::Bedrock => {
            let first = json!({"role": "user", "content": [{"text": "Go."}]});
            json!({"messages": [first, answer["output"]["message"]]})
        }
        _ => {
            let first = json!({"role": "user", "content": "Go."});
            let said = json!({"role": "assistant", "content": answer["content"]});
            json!({"model": "any", "max_tokens": 9, "messages": [first, said]})
        }
    }
}

/// Sends an answer of `provider` to a client and back, whole and as a stream.
fn there_and_back(provider: DialectId, client: DialectId, answer: &[u8]) -> [Value; 2] {
    let message = provider.dialect().read_response(answer).unwrap().value;
    let whole = client.dialect().write_response(&message).value;
    let stream = laws::write_stream(client, &unfold(&message), None);
    let events = laws::read_stream(client, &[&stream]).unwrap().events;
    let streamed = client.dialect().write_response(&fold(client, events)).value;
    [whole, streamed].map(|answer| {
        let request = history(client, &answer).to_string();
        let read = client.dialect().read_request(request.as_bytes()).unwrap().value;
        let target = Target { model: "anthropic.claude", ..Target::default() };
        let written = provider.dialect().write_request(&read, &target);
        let body: Value = serde_json::from_slice(&written.value).unwrap();
        body["messages"][1]["content"].clone()
    })
}

#[test]
fn a_client_of_another_api_brings_seals_home() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "Sums.", "signature": "c2VhbA=="}}},
        {"reasoningContent": {"redactedContent": "aGlkZGVu"}},
        {"text": "Four."},
    ]);
    for back in there_and_back(DialectId::Bedrock, DialectId::Anthropic, &answer(&content)) {
        assert_eq!(back, content);
    }
}

#[test]
fn a_client_of_this_api_brings_seals_home() {
    let content = json!([
        {"type": "thinking", "thinking": "Sums.", "signature": "c2VhbA=="},
        {"type": "redacted_thinking", "data": "not base64: gAAA-_"},
        {"type": "text", "text": "Four."},
    ]);
    let answer = json!({"id": "msg_1", "model": "m", "content": content, "stop_reason": "end_turn"});
    let answer = answer.to_string().into_bytes();
    for back in there_and_back(DialectId::Anthropic, DialectId::Bedrock, &answer) {
        assert_eq!(back, content);
    }
}

#[test]
fn a_seal_goes_to_its_issuer_only() {
    let thought = |text: &str, signature: &str| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}});
    let content = json!([thought("Sums.", "anthropic+++c3Vtcw=="), thought("", "anthropic+++aGlkZGVu#"), thought("Own.", "YmVkcm9jaw=="), {"text": "Four."}]);
    let request = history(DialectId::Bedrock, &answer(&content)).to_string();
    let read = Bedrock.read_request(request.as_bytes()).unwrap().value;
    for (to, kept, dropped) in [
        (DialectId::Anthropic, vec!["c3Vtcw==", "aGlkZGVu"], vec!["YmVkcm9jaw", "+++", "#"]),
        (DialectId::Bedrock, vec!["YmVkcm9jaw=="], vec!["c3Vtcw", "aGlkZGVu"]),
        (DialectId::OpenaiChat, vec![], vec!["YmVkcm9jaw", "c3Vtcw", "aGlkZGVu"]),
    ] {
        let written = to.dialect().write_request(&read, &Target::default());
        let text = String::from_utf8(written.value).unwrap();
        kept.iter().for_each(|word| assert!(text.contains(word), "{word} is not in {text}"));
        dropped.iter().for_each(|word| assert!(!text.contains(word), "{word} is in {text}"));
        assert!(!written.losses.is_empty(), "{}", to.name());
    }
}

#[test]
fn an_answer_comes_back_as_it_was() {
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"citationsContent": {"content": [{"text": "Two."}], "citations": [{"title": "a"}]}},
            {"toolUse": {"toolUseId": "t", "name": "run", "input": {}, "type": "server_tool_use"}},
            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
        ]}},
        "stopReason": "guardrail_intervened", "additionalModelResponseFields": {"x": 1}, "trace": {"guardrail": {}},
        "metrics": {"latencyMs": 5}, "performanceConfig": {"latency": "optimized"},
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "serverToolUsage": {}},
    });
    let read = Bedrock.read_response(answer.to_string().as_bytes()).unwrap();
    let written = Bedrock.write_response(&read.value);
    assert_eq!(serde_json::from_slice::<Value>(&written.value).unwrap(), answer);
    assert!(read.losses.is_empty() && written.losses.is_empty());
}

#[test]
fn usage_has_disjoint_buckets() {
    let usage = |native: Value| wire::read_usage(native.as_object().unwrap().clone());
    let hours = json!([{"ttl": "5m", "inputTokens": 6}, {"ttl": "1h", "inputTokens": 10}]);
    let told = usage(json!({
        "inputTokens": 10, "outputTokens": 4, "cacheReadInputTokens": 20, "cacheReadInputTokenCount": 20,
        "cacheWriteInputTokens": 16, "cacheDetails": hours,
    }));
    assert_eq!((told.input, told.cache_read, told.cache_write, told.cache_write_1h), (10, 20, 6, 10));
    assert_eq!((told.all_input(), told.all_output()), (46, 4));
    assert_eq!(usage(json!({"cacheReadInputTokenCount": 7})).cache_read, 7);
}

fn event(name: &str, data: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    aws::write_event(&mut out, name, data.to_string().as_bytes());
    out
}

fn words(text: &str) -> Vec<u8> {
    event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": text}}))
}

fn ending() -> [Vec<u8>; 2] {
    let usage = json!({"inputTokens": 3, "outputTokens": 2, "totalTokens": 5});
    [event("messageStop", &json!({"stopReason": "end_turn"})), event("metadata", &json!({ "usage": usage }))]
}

/// What comes out of a relay that is fed these pieces, and how it ends.
fn relayed(pieces: &[&[u8]]) -> (Vec<u8>, Result<(), Fault>, Pipe) {
    let (mut pipe, mut out) = (Pipe::relay(DialectId::Bedrock, true), Vec::new());
    let fed = pieces.iter().try_for_each(|piece| pipe.feed(Bytes::copy_from_slice(piece), &mut out));
    let ended = fed.and_then(|()| pipe.finish(&mut out));
    (out.concat(), ended, pipe)
}

#[test]
fn a_relayed_stream_is_metered_and_untouched() {
    let stream =
        [vec![event("messageStart", &json!({"role": "assistant"})), words("Hi.")], ending().to_vec()];
    let stream = stream.concat().concat();
    for size in [1, 7, stream.len()] {
        let (out, ended, pipe) = relayed(&stream.chunks(size).collect::<Vec<_>>());
        assert_eq!((&out, ended), (&stream, Ok(())));
        assert_eq!(pipe.usage().map(|usage| (usage.input, usage.output)), Some((3, 2)));
        assert!(pipe.content() && pipe.failed().is_none());
    }
}

#[test]
fn a_relayed_stream_that_breaks_off_is_truncated() {
    let whole = words("Hi.");
    for stream in [whole.clone(), [whole.clone(), words("more")[..20].to_vec()].concat()] {
        let (out, ended, mut pipe) = relayed(&[&stream]);
        let fault = ended.unwrap_err();
        assert_eq!((out, fault.kind), (whole.clone(), FaultKind::UpstreamTruncated));
        let mut end = Vec::new();
        pipe.fault(&fault, &mut end);
        let told = laws::read_stream(DialectId::Bedrock, &[&end.concat()]).unwrap().ended.unwrap_err();
        assert!(told.message.contains("ended before"), "{told}");
    }
}

#[test]
fn an_exception_in_a_relayed_stream_passes_behind_words_and_not_before_them() {
    let mut exception = Vec::new();
    aws::write_exception(&mut exception, "throttlingException", br#"{"message":"slow"}"#);
    let (out, ended, pipe) = relayed(&[&exception]);
    assert_eq!((out.len(), ended.unwrap_err().kind, pipe.content()), (0, FaultKind::UpstreamLimited, false));
    let stream = [words("Hi."), exception].concat();
    let (out, ended, pipe) = relayed(&[&stream]);
    assert_eq!((out, ended), (stream, Ok(())));
    assert_eq!(pipe.failed().unwrap().kind, FaultKind::UpstreamLimited);
}

#[test]
fn a_spoilt_frame_ends_a_relayed_stream_behind_what_was_whole() {
    let (whole, mut spoilt) = (words("Hi."), words("more"));
    *spoilt.last_mut().unwrap() ^= 1;
    for pieces in [vec![[whole.clone(), spoilt.clone()].concat()], vec![whole.clone(), spoilt]] {
        let (out, ended, _) = relayed(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!((out, ended.unwrap_err().kind), (whole.clone(), FaultKind::UpstreamInvalid));
    }
}

#[test]
fn a_glance_sees_content_where_the_answer_begins() {
    let call = r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t","name":"tide"}}}"#;
    for (event, data, content) in [
        ("messageStart", r#"{"role":"assistant"}"#, false),
        ("contentBlockStart", r#"{"contentBlockIndex":0,"start":{}}"#, false),
        ("contentBlockStart", call, true),
        ("contentBlockDelta", r#"{"delta":{"text":"a"}}"#, true),
    ] {
        let mut glance = Bedrock.glance();
        glance.frame(&Frame { event: event.as_bytes(), data: data.as_bytes() }).unwrap();
        assert_eq!(*glance.seen(), Seen { content, ..Seen::default() }, "{event} {data}");
    }
}

#[test]
fn a_writer_does_not_hold_back_without_end() {
    let mut writer = Bedrock.writer(&Request::new(DialectId::Bedrock, ""));
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    let mut write = |event: &Event| writer.write(event, &mut out, &mut losses);
    write(&Event::Start { id: String::new(), model: String::new(), created: None, extra: Extra::NONE });
    for block in 0..2 {
        write(&Event::BlockStart { choice: 0, block, start: BlockStart::Text });
    }
    write(&Event::Delta { choice: 0, block: 0, delta: Delta::Text("first".to_owned()) });
    let piece = "a".repeat(STREAM_HELD_MAX / 2 + 1);
    for _ in 0..3 {
        write(&Event::Delta { choice: 0, block: 1, delta: Delta::Text(piece.clone()) });
    }
    let ended = laws::read_stream(DialectId::Bedrock, &[&out]).unwrap().ended;
    assert!(out.len() < 1_000 && ended.unwrap_err().message.contains("holds back more"));
}

#[test]
fn documents_have_plain_names_and_each_once() {
    let file = |name: &str| {
        let data = "data:application/pdf;base64,aGk=";
        json!({"type": "file", "file": {"filename": name, "file_data": data}})
    };
    let files: Vec<Value> =
        ["The  plan (1).pdf", "The  plan (1).pdf", "été", "", &"a".repeat(300), "b", "b-2", "b"]
            .map(file)
            .into();
    let request = json!({"model": "any", "messages": [{"role": "user", "content": files}]});
    let read = DialectId::OpenaiChat.dialect().read_request(request.to_string().as_bytes()).unwrap();
    let written = Bedrock.write_request(&read.value, &Target::default()).value;
    let body: Value = serde_json::from_slice(&written).unwrap();
    let content = body["messages"][0]["content"].as_array().unwrap();
    let names: Vec<&str> = content.iter().map(|block| block["document"]["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["The plan (1)-pdf", "The plan (1)-pdf-2", "-t-", "document"]);
    assert!(names[4].len() <= wire::NAME_MAX);
    assert_eq!(names[5..], ["b", "b-2", "b-3"]);
}
