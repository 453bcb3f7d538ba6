//! Each knob does what it says, over real sockets where that matters.

mod dialects;

use super::{
    End, Provider, Script,
    schema::example,
    script::{How, directive},
    steps::{Step, steps},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// What came back on a connection that was read to its end.
struct Reply {
    status: u16,
    head: String,
    body: String,
    /// The connection was reset, not closed.
    reset: bool,
    /// The body ended as HTTP wants it.
    complete: bool,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    /// The data of each event; what is not JSON as a string.
    fn events(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
    }

    /// All strings at a pointer in the events, joined.
    fn joined(&self, pointer: &str) -> String {
        self.events().iter().filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned)).collect()
    }
}

fn connect(provider: &Provider) -> TcpStream {
    let stream = TcpStream::connect(provider.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn send(provider: &Provider, path: &str, headers: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nhost: kit\r\nconnection: close\r\n{headers}");
    let mut stream = connect(provider);
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> Reply {
    let (mut bytes, mut piece, mut reset) = (Vec::new(), [0; 4096], false);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                reset = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let end = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let (head, raw) = (text(&bytes[..end]), bytes.get(end + 4..).unwrap_or_default());
    let (body, complete) = match head.contains("transfer-encoding: chunked") {
        true => dechunked(raw),
        false => (raw.to_vec(), head.contains(&format!("content-length: {}\r\n", raw.len()))),
    };
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: format!("{head}\r\n"), body: text(&body), reset, complete }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dechunked(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = memchr::memmem::find(raw, b"\r\n") {
        let size = usize::from_str_radix(&text(&raw[..end]), 16).unwrap();
        let data = &raw[end + 2..];
        body.extend_from_slice(&data[..size.min(data.len())]);
        if size == 0 || data.len() < size + 2 {
            return (body, size == 0);
        }
        raw = &data[size + 2..];
    }
    (body, false)
}

fn chat(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

fn message(text: &str) -> Value {
    json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}]})
}

fn openai(provider: &Provider, body: &Value) -> Reply {
    read(send(provider, "/v1/chat/completions", "", body))
}

fn anthropic(provider: &Provider, body: &Value) -> Reply {
    read(send(provider, "/v1/messages", "", body))
}

#[test]
fn a_script_is_text_and_says_what_is_wrong_with_it() {
    let script = Script::from("words=5 silent how=rst text='two words' header.x-a=\"b c\" body={\"a\":1}");
    assert_eq!((script.words, script.silent, script.how), (5, true, How::Rst));
    assert_eq!((script.text.as_deref(), script.headers[0].1.to_str().unwrap()), (Some("two words"), "b c"));
    assert_eq!((script.body, script.mistake), (Some(Bytes::from_static(b"{\"a\":1}")), None));
    assert_eq!(directive("say [[kit words=3 crlf]] please"), Some("words=3 crlf"));
    for (text, said) in [
        ("wrods=5", "knob `wrods`: unknown"),
        ("words=five", "knob `words`: `five` is not a number"),
        ("how=slowly", "none of `fin`, `rst`, `eof`"),
        ("silent=perhaps", "none of"),
    ] {
        let mistake = Script::from(text).mistake.unwrap();
        assert!(mistake.contains(said), "{mistake}");
    }
    assert!(super::KNOBS.is_sorted_by_key(|(name, ..)| *name));
}

#[test]
fn steps_follow_the_script() {
    let events: Vec<Bytes> = ["aaaa", "bb", "cc"].map(Bytes::from).into();
    let send = |text: &'static str, events| Step::Send(Bytes::from(text), events);
    let second = Duration::from_secs(1);
    let (fin, rst) = (Step::Break(How::Fin), Step::Break(How::Rst));
    for (script, expected) in [
        ("", vec![send("aaaa", 1), send("bb", 1), send("cc", 1)]),
        ("cut=0", vec![Step::Flush, fin.clone()]),
        ("cut=5 how=rst", vec![send("aaaa", 1), send("b", 0), Step::Flush, rst]),
        ("cut=5 how=eof", vec![send("aaaa", 1), send("b", 0)]),
        ("cut-after=1", vec![send("aaaa", 1), Step::Flush, fin]),
        ("cut-token=1", vec![send("aaaa", 1), send("bb", 1), Step::Flush, Step::Break(How::Fin)]),
        ("stall=0", vec![Step::Stall]),
        ("stall-token=0", vec![send("aaaa", 1), Step::Stall]),
        ("hang", vec![send("aaaa", 1), send("bb", 1), send("cc", 1), Step::Stall]),
        ("token-ms=1000 cut=6 how=eof", vec![send("aaaa", 1), Step::Wait(second), send("bb", 1)]),
        ("stall=3", vec![send("aaaa", 1), send("bb", 1), send("cc", 1), Step::Stall]),
        ("chunk=3", vec![send("aaa", 0), Step::Flush, send("abb", 0), Step::Flush, send("cc", 3)]),
        ("first-ms=1000 cut=4 how=eof", vec![Step::Wait(second), send("aaaa", 1)]),
        (
            "gap-ms=1000",
            vec![send("aaaa", 1), Step::Wait(second), send("bb", 1), Step::Wait(second), send("cc", 1)],
        ),
    ] {
        assert_eq!(steps(&events, 1, &Script::from(script).placed(Some(1), 0)), expected, "{script}");
    }
    let huge = steps(&[Bytes::from(vec![0; 40_000])], 0, &Script::default());
    assert_eq!(huge.len(), 3);
}

#[test]
fn both_dialects_answer_whole_and_streamed_alike() {
    let provider = Provider::start("words=3").unwrap();
    let usage = json!({"include_usage": true});
    let whole = openai(&provider, &chat("hello")).json();
    assert_eq!(whole["choices"][0]["message"]["content"], "the 関所 reads");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["usage"]["completion_tokens"], 3);

    let mut body = streamed(chat("hello"));
    body["stream_options"] = usage;
    let stream = openai(&provider, &body);
    assert!(stream.complete && stream.head.contains("content-type: text/event-stream"));
    assert_eq!(stream.joined("/choices/0/delta/content"), "the 関所 reads");
    assert_eq!(stream.joined("/choices/0/finish_reason"), "stop");
    let events = stream.events();
    assert_eq!((events[0]["usage"].is_null(), events.last()), (true, Some(&json!("[DONE]"))));
    assert_eq!(events[events.len() - 2]["usage"]["completion_tokens"], 3);

    let whole = anthropic(&provider, &message("hello")).json();
    assert_eq!(
        (&whole["content"][0]["text"], &whole["stop_reason"]),
        (&json!("the 関所 reads"), &json!("end_turn"))
    );
    let stream = anthropic(&provider, &streamed(message("hello")));
    assert_eq!(stream.joined("/delta/text"), "the 関所 reads");
    let names: Vec<_> = stream.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        (names[0], names[1], names.last()),
        ("message_start", "content_block_start", Some(&"message_stop"))
    );
}

#[test]
fn other_routes_answer_too() {
    let provider = Provider::start("input=42").unwrap();
    let counted = read(send(&provider, "/v1/messages/count_tokens", "", &message("hello"))).json();
    assert_eq!(counted, json!({"input_tokens": 42}));
    let mut stream = connect(&provider);
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: kit\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(read(stream).json()["data"][0]["id"], "kit-large");
    let echo = read(send(&provider, "/echo/a%2Fb?c=d", "x-Mine: yes\r\n", &json!("hi"))).json();
    assert_eq!(
        (&echo["method"], &echo["target"], &echo["body_length"]),
        (&json!("POST"), &json!("/echo/a%2Fb?c=d"), &json!(4))
    );
    assert!(echo["headers"].as_array().unwrap().contains(&json!(["x-mine", "yes"])));
    assert_eq!(openai(&provider, &json!({"messages": []})).status, 400);
    assert_eq!(anthropic(&provider, &chat("no max_tokens")).json()["error"]["type"], "invalid_request_error");
}

fn weather() -> Value {
    json!({"type": "object", "properties": {
        "city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 3},
    }, "required": ["city"]})
}

#[test]
fn tools_are_called_when_the_user_says_so() {
    let provider = Provider::start("").unwrap();
    let function =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": weather()}});
    let mut body = chat("please use a tool");
    body["tools"] = json!([function("weather"), function("clock")]);
    let call = &openai(&provider, &body).json()["choices"][0];
    assert_eq!((&call["finish_reason"], &call["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let function = &call["message"]["tool_calls"][0]["function"];
    let arguments = json!({"city": "a city", "unit": "C", "days": 3});
    assert_eq!(serde_json::from_str::<Value>(function["arguments"].as_str().unwrap()).unwrap(), arguments);

    body["messages"][0]["content"] = json!("hello [[kit call=clock argument='zone:a b']]");
    let function =
        openai(&provider, &body).json()["choices"][0]["message"]["tool_calls"][0]["function"].clone();
    assert_eq!(function, json!({"name": "clock", "arguments": "{\"zone\":\"a b\"}"}));

    body["messages"][0]["content"] = json!("use two tools");
    let stream = openai(&provider, &streamed(body.clone()));
    let deltas: Vec<Value> = stream
        .events()
        .iter()
        .filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0").cloned())
        .collect();
    let order: Vec<u64> = deltas.iter().map(|delta| delta["index"].as_u64().unwrap()).collect();
    assert_eq!(order[..6], [0, 1, 0, 1, 0, 1]);
    let second = deltas.iter().filter(|delta| delta["index"] == 1);
    let second: String = second.map(|delta| delta["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(serde_json::from_str::<Value>(&second).unwrap(), arguments);

    let called = json!({"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]});
    let told = json!({"role": "tool", "tool_call_id": "c1", "content": "21 °C"});
    body["messages"] = json!([{"role": "user", "content": "use a tool"}, called, told]);
    assert_eq!(openai(&provider, &body).json()["choices"][0]["message"]["content"], "The tool said: 21 °C");

    let mut body = message("use two tools");
    body["tools"] = json!([{"name": "weather", "input_schema": weather()}]);
    let whole = anthropic(&provider, &body).json();
    assert_eq!((&whole["stop_reason"], &whole["content"][1]["input"]), (&json!("tool_use"), &arguments));
    let stream = anthropic(&provider, &streamed(body.clone()));
    assert_eq!(stream.joined("/delta/partial_json"), arguments.to_string().repeat(2));
    let called = json!([{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]);
    let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]);
    body["messages"] = json!([{"role": "user", "content": "use a tool"},
        {"role": "assistant", "content": called}, {"role": "user", "content": result}]);
    assert_eq!(anthropic(&provider, &body).json()["content"][0]["text"], "The tool said: rain");
}

#[test]
fn answers_heed_what_the_request_asks() {
    let provider = Provider::start("text='one two three STOP four'").unwrap();
    let ask = |name: &str, value: Value| {
        let mut body = chat("hello");
        body[name] = value;
        openai(&provider, &body).json()["choices"].clone()
    };
    assert_eq!(ask("stop", json!(["STOP"]))[0]["message"]["content"], "one two three ");
    assert_eq!(ask("max_tokens", json!(2))[0]["message"]["content"], "one two ");
    assert_eq!(ask("max_tokens", json!(2))[0]["finish_reason"], "length");
    assert_eq!(ask("n", json!(3)).as_array().unwrap().len(), 3);
    assert_eq!(ask("logprobs", json!(true))[0]["logprobs"]["content"][1]["token"], "two ");
    let mut body = message("hello");
    body["stop_sequences"] = json!(["STOP"]);
    let stopped = anthropic(&provider, &body).json();
    assert_eq!(
        (&stopped["stop_reason"], &stopped["stop_sequence"]),
        (&json!("stop_sequence"), &json!("STOP"))
    );
    body["max_tokens"] = json!(1);
    assert_eq!(anthropic(&provider, &body).json()["stop_reason"], "max_tokens");
}

#[test]
fn images_schemas_and_thoughts() {
    let provider = Provider::start("").unwrap();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let mut body = chat("");
    body["messages"][0]["content"] = json!([{"type": "text", "text": "look"}, image, image]);
    assert_eq!(openai(&provider, &body).json()["choices"][0]["message"]["content"], "I see 2 images.");

    let mut body = message("fill this in");
    body["output_config"] = json!({"format": {"type": "json_schema", "schema": weather()}});
    let text = anthropic(&provider, &body).json()["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["days"], 3);

    let mut body = message("think");
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    assert_eq!(anthropic(&provider, &body).status, 400, "the budget is within the limit");
    body["max_tokens"] = json!(2048);
    let whole = anthropic(&provider, &body).json();
    let stream = anthropic(&provider, &streamed(body.clone()));
    let seal = whole["content"][0]["signature"].as_str().unwrap();
    assert_eq!(stream.joined("/delta/signature"), seal);
    assert_eq!(stream.joined("/delta/thinking"), whole["content"][0]["thinking"]);
    let mut with = |content: Value| {
        body["messages"] =
            json!([{"role": "assistant", "content": content}, {"role": "user", "content": "go on"}]);
        anthropic(&provider, &body).status
    };
    assert_eq!(with(whole["content"].clone()), 200);
    let mut touched = whole["content"].clone();
    touched[0]["signature"] = json!(seal.replace("==", "="));
    assert_eq!(with(touched), 400);
    assert_ne!(super::answer::seal("a"), super::answer::seal("b"));
}

#[test]
fn an_example_satisfies_its_schema() {
    for (schema, expected) in [
        (json!({"type": ["null", "string"]}), json!("a value")),
        (json!({"$ref": "#/$defs/n", "$defs": {"n": {"const": 5}}}), json!(5)),
        (json!({"anyOf": [{"type": "boolean"}, {"type": "null"}]}), json!(true)),
        (json!({"type": "array", "items": {"type": "number", "maximum": 2}, "minItems": 2}), json!([2, 2])),
        (json!({"type": "string", "minLength": 9, "maxLength": 9}), json!("a valuexx")),
        (json!({"properties": {"d": {"format": "date"}}}), json!({"d": "2026-03-01"})),
    ] {
        assert_eq!(example(&schema), expected);
    }
    // A schema that contains itself ends.
    let _ = example(&json!({"properties": {"next": {"$ref": "#"}}}));
}

#[test]
fn status_headers_and_body_are_as_scripted_and_scripts_have_an_order() {
    let provider = Provider::start("words=2").unwrap();
    provider.push("status=429 retry-after=2");
    provider.push("body='{\"odd\":1}' header.content-type=text/odd");
    let limited = openai(&provider, &chat("hello"));
    assert_eq!((limited.status, limited.head.contains("retry-after: 2\r\n")), (429, true));
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let odd = openai(&provider, &chat("hello"));
    assert_eq!((odd.body.as_str(), odd.head.contains("content-type: text/odd\r\n")), ("{\"odd\":1}", true));
    let said = |reply: &Reply| reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(said(&openai(&provider, &chat("hello"))), "the 関所");
    let header = "x-kit: words=1\r\n";
    assert_eq!(said(&read(send(&provider, "/v1/chat/completions", header, &chat("hello")))), "the");
    let both = chat("hello [[kit text='me']]");
    assert_eq!(said(&read(send(&provider, "/v1/chat/completions", header, &both))), "me");
    assert_eq!(
        anthropic(&provider, &message("[[kit status=529]]")).json()["error"]["type"],
        "overloaded_error"
    );
    let wrong = openai(&provider, &chat("[[kit wrods=1]]"));
    assert_eq!((wrong.status, wrong.body.contains("wrods")), (500, true));
}

#[test]
fn streams_take_the_shape_that_the_script_gives_them() {
    let provider = Provider::start("words=2").unwrap();
    let ask = |script: &str| openai(&provider, &streamed(chat(&format!("[[kit {script}]]"))));
    assert_eq!(ask("").events().len(), 5);
    assert!(!ask("done=no").body.contains("[DONE]"));
    assert_eq!(ask("finish-twice").joined("/choices/0/finish_reason"), "stopstop");
    assert!(ask("comments").body.starts_with(": keep-alive\n\ndata: "));
    let crlf = ask("crlf").body;
    assert_eq!((crlf.matches("\r\n\r\n").count(), crlf.replace("\r\n", "").contains('\n')), (5, false));
    assert_eq!(ask("empty-first").events()[0]["choices"], json!([]));
    for (usage, times) in [("always", 1), ("finish", 1), ("twice", 2), ("every", 4), ("never", 0)] {
        let found = ask(&format!("usage={usage}")).body.matches("\"total_tokens\"").count();
        assert_eq!(found, times, "{usage}");
    }
    let failed = ask("error-at=2");
    assert_eq!((failed.events().len(), failed.complete), (3, true));
    assert_eq!(failed.events()[2]["error"]["message"], "scripted error");
    let failed = anthropic(&provider, &streamed(message("[[kit error-at=0]]")));
    assert!(failed.body.starts_with("event: error\ndata: ") && !failed.body.contains("message_stop"));
    assert!(ask("garbage=1").events()[1].is_string());
    let noise = ask("noise-token=1").events();
    assert_eq!((noise.len(), noise[2].is_string(), noise[1].is_object()), (6, true, true));
    let usage =
        anthropic(&provider, &message("[[kit input=100 cached=60 output=7]]")).json()["usage"].clone();
    assert_eq!((&usage["input_tokens"], &usage["cache_read_input_tokens"]), (&json!(40), &json!(60)));
    let huge = ask("words=300 word-bytes=10000");
    assert_eq!(huge.joined("/choices/0/delta/content").len(), 300 * 10_000 + 299);
}

#[test]
fn trouble_that_does_not_last_is_counted_for_each_model() {
    let provider = Provider::start("words=2").unwrap();
    let status = |model: &str, script: &str| {
        let body =
            json!({"model": model, "messages": [{"role": "user", "content": format!("[[kit {script}]]")}]});
        openai(&provider, &body).status
    };
    for model in ["a", "b"] {
        assert_eq!([(); 4].map(|()| status(model, "status=500 times=2")), [500, 500, 200, 200], "{model}");
    }
    assert_eq!((status("c", "status=500 for-ms=60000"), status("d", "status=500 for-ms=0")), (500, 200));
    let healed = openai(&provider, &chat("[[kit status=500 times=0 words=1]]"));
    assert_eq!(healed.json()["choices"][0]["message"]["content"], "the");
}

#[test]
fn refusals_are_the_dialect_s_own() {
    let provider = Provider::start("words=2").unwrap();
    for (script, code, words) in [
        ("error=context", "context_length_exceeded", "prompt is too long"),
        ("error=filter", "content_filter", "content filtering policy"),
    ] {
        let told = openai(&provider, &chat(&format!("[[kit {script}]]")));
        assert_eq!((told.status, &told.json()["error"]["code"]), (400, &json!(code)));
        let told = anthropic(&provider, &message(&format!("[[kit {script}]]")));
        assert!(told.status == 400 && told.body.contains(words), "{}", told.body);
    }
    let mut prefilled = message("[[kit prefill=no]]");
    let said = json!({"role": "assistant", "content": "the"});
    prefilled["messages"].as_array_mut().unwrap().push(said);
    assert_eq!(anthropic(&provider, &prefilled).status, 400);
    assert_eq!(anthropic(&provider, &message("[[kit prefill=no]]")).status, 200);
    for (script, begun, status, text) in [
        ("", "the", 200, json!(" 関所")),
        ("", "The", 200, json!("the 関所")),
        ("anew", "the", 200, json!("the 関所")),
        ("", "the ", 400, json!(null)),
    ] {
        let mut prefilled = message(&format!("[[kit {script}]]"));
        prefilled["messages"].as_array_mut().unwrap().push(json!({"role": "assistant", "content": begun}));
        let told = anthropic(&provider, &prefilled);
        assert_eq!((told.status, &told.json()["content"][0]["text"]), (status, &text), "{script} {begun}");
    }
}

#[test]
fn a_date_is_written_as_http_does() {
    use super::date::written;
    assert_eq!(written(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(written(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(written(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
    let provider = Provider::start("").unwrap();
    let limited = openai(&provider, &chat("[[kit status=429 retry-after-date=2]]"));
    assert!(limited.head.contains(" GMT\r\n") && limited.head.contains("retry-after: "), "{}", limited.head);
}

#[test]
fn any_chunk_size_sends_the_same_bytes() {
    let provider = Provider::start("").unwrap();
    let ask = |script: &str| anthropic(&provider, &streamed(message(&format!("[[kit {script} ]]"))));
    let body = |script: &str| ask(script).body.lines().skip(2).collect::<String>();
    let expected = body("chunk=100000");
    for chunk in [1, 2, 7, 100] {
        assert_eq!(body(&format!("chunk={chunk:06}")), expected);
    }
}

#[test]
fn an_answer_breaks_off_where_and_how_it_should() {
    let provider = Provider::start("").unwrap();
    let ask = |stream: bool, script: &str| {
        let body = chat(&format!("[[kit {script}]]"));
        openai(&provider, &if stream { streamed(body) } else { body })
    };
    for stream in [true, false] {
        let fin = ask(stream, "cut=100 how=fin");
        assert_eq!((fin.body.len(), fin.reset, fin.complete), (100, false, false));
        let rst = ask(stream, "cut=100 how=rst");
        assert_eq!((rst.body.len(), rst.reset, rst.complete), (100, true, false));
        let eof = ask(stream, "cut=100 how=eof");
        assert_eq!((eof.body.len(), eof.reset, eof.complete), (100, false, true));
        assert_eq!(ask(stream, "cut=head how=fin").status, 0);
        assert!(ask(stream, "cut=head how=rst").reset);
    }
    assert_eq!(ask(true, "cut-after=3").events().len(), 3);
    assert!(ask(false, "garbage=head").head.starts_with("HTTP/1.1 two hundred"));
    let ends: Vec<_> = provider.log().iter().map(|seen| seen.ended().unwrap()).collect();
    assert_eq!(ends.iter().filter(|end| **end == End::Whole).count(), 2, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == End::Cut).count(), ends.len() - 2, "{ends:?}");
}

#[test]
fn a_client_that_leaves_is_seen_with_what_it_got() {
    let provider = Provider::start("").unwrap();
    let last = |end: End| {
        let ended = |log: &[super::Seen]| log.last().is_some_and(|seen| seen.ended() == Some(end));
        assert!(provider.wait_for(ended, PATIENCE), "{:?}", provider.log().last());
        provider.log().pop().unwrap()
    };
    let stream = send(&provider, "/v1/chat/completions", "x-kit: silent\r\n", &chat("hello"));
    assert!(provider.wait_for(|log| log.last().is_some_and(|seen| seen.body.is_some()), PATIENCE));
    drop(stream);
    let seen = last(End::Cancelled);
    assert_eq!((seen.events, seen.json()["model"].as_str(), seen.method.as_str()), (0, Some("m"), "POST"));

    let mut stream = send(&provider, "/v1/chat/completions", "x-kit: stall=3\r\n", &streamed(chat("hello")));
    let mut three = String::new();
    while three.matches("data: ").count() < 3 {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).unwrap();
        three.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert_eq!(provider.log().last().unwrap().ended(), None);
    drop(stream);
    assert_eq!(last(End::Cancelled).events, 3);

    let mut stream = connect(&provider);
    stream.write_all(b"POST /v1/messages HTTP/1.1\r\nhost: kit\r\ncontent-length: 500\r\n\r\n{").unwrap();
    assert!(provider.wait_for(|log| log.len() == 3, PATIENCE));
    stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(last(End::Cancelled).body, None);

    // A reader that stops keeps the provider from sending all of a large answer.
    let huge = streamed(chat("[[kit words=300 word-bytes=100000]]"));
    let stream = send(&provider, "/v1/chat/completions", "", &huge);
    assert!(provider.wait_for(|log| log.last().is_some_and(|seen| seen.events > 3), PATIENCE));
    drop(stream);
    assert!(last(End::Cancelled).bytes < 30_000_000);
}

#[test]
fn a_deaf_provider_accepts_and_reads_nothing() {
    let provider = Provider::start("deaf").unwrap();
    let mut stream = send(&provider, "/v1/messages", "", &message("hello"));
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(provider.log().is_empty());
    drop(provider);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It ends with the provider: as a reset, since what was sent was never read.
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)));
}

#[tokio::test]
async fn http2_with_prior_knowledge_and_a_stream_that_dies_alone() {
    use http_body_util::{BodyExt, Full};
    let provider = Provider::start("").unwrap();
    let connector = hyper_util::client::legacy::connect::HttpConnector::new();
    let executor = hyper_util::rt::TokioExecutor::new();
    let client = hyper_util::client::legacy::Client::builder(executor).http2_only(true).build(connector);
    let ask = |script: &'static str| {
        let request =
            http::Request::post(format!("{}/v1/chat/completions", provider.url())).header("x-kit", script);
        client.request(request.body(Full::new(Bytes::from(streamed(chat("hello")).to_string()))).unwrap())
    };
    let slow = ask("gap-ms=20").await.unwrap();
    let cut = ask("cut=100").await.unwrap().into_body().collect().await;
    assert!(cut.is_err());
    let slow = slow.into_body().collect().await.unwrap().to_bytes();
    assert!(slow.ends_with(b"data: [DONE]\n\n"));
    let log = provider.log();
    assert_eq!((log[0].version, log[0].connection, log[1].connection), (http::Version::HTTP_2, 0, 0));
    assert_eq!((log[0].ended(), log[1].ended()), (Some(End::Whole), Some(End::Cut)));
}
