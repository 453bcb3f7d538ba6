use super::*;

fn exchange(line: Value) -> Exchange {
    serde_json::from_value(line).unwrap()
}

fn chat(status: u16, kind: &str, body: &str, tags: &[&str]) -> Exchange {
    exchange(json!({
        "id": "one", "provider": "openai", "endpoint": "chat", "tags": tags,
        "request": { "body": { "model": "m", "messages": [{ "role": "user", "content": "hi" }] } },
        "response": { "status": status, "headers": { "content-type": kind }, "body_encoding": "utf8", "body": body },
    }))
}

const ANSWER: &str = r#"{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[
    {"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;

#[track_caller]
fn check(exchange: &Exchange, numbers: [usize; 7]) -> Vec<Fault> {
    let mut replay = Replay::default();
    replay.take(exchange, check::exchange(exchange));
    assert_eq!(replay.total().numbers(), numbers, "{:?}", replay.faults);
    replay.faults
}

#[test]
fn exchanges_are_counted_by_what_they_hold() {
    check(&chat(200, "application/json", ANSWER, &[]), [1, 1, 1, 0, 0, 0, 0]);
    check(&chat(429, "application/json", r#"{"error":{"message":"slow down"}}"#, &[]), [1, 1, 0, 0, 1, 0, 0]);
    let stream = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    check(&chat(200, "text/event-stream", stream, &[]), [1, 1, 0, 1, 0, 0, 0]);
}

/// An answer of a provider whose dialect no caller speaks: its request counts for nothing.
fn outbound(provider: &str, endpoint: &str, body: &str) -> Exchange {
    let (provider, endpoint) = (provider.to_owned(), endpoint.to_owned());
    Exchange { provider, endpoint, ..chat(200, "application/json", body, &[]) }
}

#[test]
fn answers_of_outbound_dialects_are_read() {
    let answer = r#"{"id":"a","message":{"role":"assistant","content":[{"type":"text","text":"hi"}]},"finish_reason":"COMPLETE"}"#;
    check(&outbound("cohere", "chat", answer), [1, 0, 1, 0, 0, 0, 0]);
    check(&outbound("cohere", "generate_v1", answer), [1, 0, 0, 0, 0, 1, 0]);
    let begun =
        r#"{"id":"p","model":"meta/llama","status":"starting","urls":{"get":"https://example.com/p"}}"#;
    check(&outbound("replicate", "predictions", begun), [1, 0, 1, 0, 0, 0, 0]);
    let lost =
        check(&outbound("replicate", "predictions", r#"{"status":"starting"}"#), [1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(lost[0].law, "a recorded answer can be read");
    let picture = r#"{"id":"p","model":"stability-ai/sdxl","status":"starting"}"#;
    check(&outbound("replicate", "predictions", picture), [1, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn what_is_wrong_is_named_by_its_id() {
    let faults =
        check(&chat(200, "text/event-stream", "data: {\"choices\":[]}\n\n", &[]), [1, 1, 0, 1, 0, 0, 1]);
    assert_eq!((faults[0].id.as_str(), faults[0].law.as_str()), ("one", "a recorded answer can be read"));
    let faults = check(&chat(200, "application/json", ANSWER, &["error_in_200"]), [1, 1, 1, 0, 0, 0, 1]);
    assert_eq!(faults[0].law, "an error inside a 200 is an error");
}

fn converse(kind: &str, encoding: &str, body: &str) -> Exchange {
    exchange(json!({
        "id": "one", "provider": "bedrock", "endpoint": "converse-stream",
        "request": { "body": { "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] } },
        "response": { "status": 200, "headers": { "content-type": kind }, "body_encoding": encoding, "body": body },
    }))
}

#[test]
fn event_streams_are_unpacked() {
    let lines = "{\"contentBlockDelta\":{\"contentBlockIndex\":0,\"delta\":{\"text\":\"hi\"}}}\n{\"messageStop\":{\"stopReason\":\"end_turn\"}}\n";
    check(&converse("application/x-ndjson", "utf8", lines), [1, 1, 0, 1, 0, 0, 0]);
    // One `messageStop`, framed.
    let stream = "AAAAWQAAADB2+EJ/CzpldmVudC10eXBlBwALbWVzc2FnZVN0b3ANOm1lc3NhZ2UtdHlwZQcABWV2ZW50eyJzdG9wUmVhc29uIjoiZW5kX3R1cm4ifUb3Sbw=";
    let kind = "application/vnd.amazon.eventstream";
    check(&converse(kind, "base64", stream), [1, 1, 0, 1, 0, 0, 0]);
    let faults = check(&converse(kind, "base64", "AAAAAAAAAAAAAAAA"), [1, 1, 0, 1, 0, 0, 1]);
    assert_eq!(faults[0].law, "a recorded answer can be read");
}

#[test]
fn embeddings_are_read_in_the_shape_of_their_provider() {
    let embeddings = |provider: &str, sent: Value, body: &str| {
        exchange(json!({
            "id": "one", "provider": provider, "endpoint": "embeddings", "request": { "body": sent },
            "response": { "status": 200, "headers": {}, "body_encoding": "utf8", "body": body },
        }))
    };
    let (gemini, openai) =
        (r#"{"embedding":{"values":[0.5]}}"#, r#"{"data":[{"index":0,"embedding":[0.5]}],"model":"m"}"#);
    let one = json!({ "content": { "parts": [{ "text": "hi" }] } });
    check(&embeddings("gemini", one, gemini), [1, 1, 1, 0, 0, 0, 0]);
    let asked = |format: &str| json!({ "model": "m", "input": "hi", "encoding_format": format });
    check(&embeddings("openai", asked("float"), openai), [1, 1, 1, 0, 0, 0, 0]);
    check(&embeddings("ollama", asked("float"), openai), [1, 0, 0, 0, 0, 1, 0]);
    let faults = check(&embeddings("openai", asked("base64"), openai), [1, 1, 1, 0, 0, 0, 1]);
    assert_eq!(faults[0].law, "an answer in the caller's shape passes untouched");
    check(&embeddings("openai", asked("float"), gemini), [1, 1, 1, 0, 0, 0, 1]);
}
