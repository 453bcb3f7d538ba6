//! The dialect's own tests: seals in custody, ids, and what no case shows.

use super::{Gemini, wire};
use crate::{
    Dialect, DialectId, Target,
    canon::{Kind, Request, unfold},
    laws,
};
use serde_json::{Value, json};

const CLIENTS: [DialectId; 2] = [DialectId::Anthropic, DialectId::OpenaiChat];

fn answer(parts: &Value) -> Vec<u8> {
    let content = json!({"role": "model", "parts": parts});
    let candidate = json!({"content": content, "finishReason": "STOP", "index": 0});
    json!({"candidates": [candidate], "responseId": "r-1", "modelVersion": "m"}).to_string().into_bytes()
}

/// What a client of `client` has of an answer in its hands, and sends back with its next request.
fn history(client: DialectId, answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let said = match client {
        DialectId::Anthropic => json!({"role": "assistant", "content": answer["content"]}),
        _ => answer["choices"][0]["message"].clone(),
    };
    let first = json!({"role": "user", "content": "Go."});
    json!({"model": "any", "max_tokens": 9, "messages": [first, said]})
}

fn to_gemini(client: DialectId, request: &Value, model: &str) -> Value {
    let read = client.dialect().read_request(request.to_string().as_bytes()).unwrap();
    let written = Gemini.write_request(&read.value, &Target { model, ..Target::default() });
    serde_json::from_slice(&written.value).unwrap()
}

/// Sends an answer to a client and back, whole and as a stream.
fn there_and_back(client: DialectId, parts: &Value) -> [Value; 2] {
    let message = Gemini.read_response(&answer(parts)).unwrap().value;
    let whole = client.dialect().write_response(&message).value;
    let stream = laws::write_stream(client, &unfold(&message), None);
    let events = laws::read_stream(client, &[&stream]).unwrap().events;
    let streamed = client.dialect().write_response(&crate::canon::fold(client, events)).value;
    [whole, streamed].map(|answer| {
        let body = to_gemini(client, &history(client, &answer), "gemini-3-pro");
        body["contents"][1]["parts"].clone()
    })
}

#[test]
fn every_seal_comes_home_to_its_place() {
    let calls = json!([
        {"functionCall": {"name": "tide", "args": {"port": "Kobe"}}, "thoughtSignature": "c2VhbC0x"},
        {"functionCall": {"id": "fc-2", "name": "wind", "args": {}}},
    ]);
    let words = json!([{"text": "Four.", "thoughtSignature": "c2VhbC0x"}]);
    let end = json!([{"text": "Four."}, {"text": "", "thoughtSignature": "c2VhbC0x"}]);
    for client in CLIENTS {
        for parts in [&calls, &words, &end] {
            let [whole, streamed] = there_and_back(client, parts);
            assert_eq!(&whole, parts, "{}", client.name());
            // Clients of Messages take a stream's last block for what the answer says, and what is said stands
            // already when the seal comes.
            let unsealed = json!([{"text": "Four."}]);
            let left = if client == DialectId::Anthropic && parts == &end { &unsealed } else { parts };
            assert_eq!(&streamed, left, "{}", client.name());
        }
    }
}

#[test]
fn a_seal_goes_to_its_issuer_only() {
    let sealed = json!({"contents": [
        {"role": "user", "parts": [{"text": "Go."}]},
        {"role": "model", "parts": [
            {"text": "", "thoughtSignature": "anthropic+++aGlkZGVu"},
            {"text": "Sums.", "thought": true, "thoughtSignature": "anthropic+++c3Vtcw=="},
            {"text": "Four.", "thoughtSignature": "Z2VtaW5p"},
        ]},
    ]});
    let read = Gemini.read_request(sealed.to_string().as_bytes()).unwrap().value;
    let target = Target { model: "m", ..Target::default() };
    for (to, kept, dropped) in [
        (DialectId::Anthropic, vec!["\"aGlkZGVu\"", "\"c3Vtcw==\""], vec!["Z2VtaW5p", "+++"]),
        (DialectId::Gemini, vec!["\"Z2VtaW5p\""], vec!["aGlkZGVu", "c3Vtcw=="]),
        (DialectId::OpenaiChat, vec![], vec!["aGlkZGVu", "c3Vtcw==", "Z2VtaW5p"]),
    ] {
        let written = to.dialect().write_request(&read, &target);
        let text = String::from_utf8(written.value).unwrap();
        kept.iter().for_each(|word| assert!(text.contains(word), "{word} is not in {text}"));
        dropped.iter().for_each(|word| assert!(!text.contains(word), "{word} is in {text}"));
        assert!(!written.losses.is_empty(), "{}", to.name());
    }
}

#[test]
fn a_client_of_anthropic_never_sends_a_seal_of_gemini_there() {
    let parts = json!([{"functionCall": {"name": "tide", "args": {}}, "thoughtSignature": "Z2VtaW5p"}]);
    let message = Gemini.read_response(&answer(&parts)).unwrap().value;
    let anthropic = DialectId::Anthropic.dialect();
    let request = history(DialectId::Anthropic, &anthropic.write_response(&message).value);
    assert!(request.to_string().contains("Z2VtaW5p"));
    let read = anthropic.read_request(request.to_string().as_bytes()).unwrap().value;
    let written = anthropic.write_request(&read, &Target::default());
    assert!(!String::from_utf8(written.value).unwrap().contains("Z2VtaW5p"));
    assert!(!written.losses.is_empty());
}

#[test]
fn another_models_call_says_that_it_has_no_seal_where_one_is_wanted() {
    let call = json!({"id": "call_a", "type": "function", "function": {"name": "tide", "arguments": "{}"}});
    let said = json!({"role": "assistant", "content": null, "tool_calls": [call, call]});
    let request = json!({"model": "any", "messages": [{"role": "user", "content": "Go."}, said]});
    for (model, seal) in [("gemini-3-pro", json!(wire::NO_SEAL)), ("gemini-2.5-pro", Value::Null)] {
        let body = to_gemini(DialectId::OpenaiChat, &request, model);
        let parts = &body["contents"][1]["parts"];
        assert_eq!((&parts[0]["thoughtSignature"], &parts[1]["thoughtSignature"]), (&seal, &Value::Null));
    }
}

fn ids(request: &Request) -> Vec<String> {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    let id = |kind: &Kind| match kind {
        Kind::ToolUse { id, .. } | Kind::ToolResult { id, .. } => Some(id.clone()),
        _ => None,
    };
    blocks.filter_map(|block| id(&block.kind)).collect()
}

#[test]
fn results_find_their_calls_without_ids() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let result = |name: &str| json!({"functionResponse": {"name": name, "response": {}}});
    let body = json!({"contents": [
        {"role": "model", "parts": [call("left"), call("tide")]},
        {"role": "user", "parts": [{"text": "The first was never answered."}]},
        {"role": "model", "parts": [call("tide"), call("wind"), call("tide")]},
        {"role": "user", "parts": [result("wind"), result("tide"), result("tide"), result("left")]},
    ]});
    let read = Gemini.read_request(body.to_string().as_bytes()).unwrap().value;
    let named = |numbers: &[u32]| -> Vec<String> {
        numbers.iter().map(|number| format!("{}{number}", wire::DERIVED)).collect()
    };
    assert_eq!(ids(&read), named(&[0, 1, 2, 3, 4, 3, 2, 4, 5]));
}

#[test]
fn usage_has_disjoint_buckets() {
    let native = json!({
        "promptTokenCount": 100, "cachedContentTokenCount": 40, "toolUsePromptTokenCount": 5,
        "thoughtsTokenCount": 30, "totalTokenCount": 155,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}, {"modality": "TEXT", "tokenCount": 50}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}],
    });
    let usage = wire::read_usage(native.as_object().unwrap().clone());
    assert_eq!((usage.input, usage.cache_read, usage.audio_in), (35, 40, 30));
    // The candidates are not counted here: they are what the total leaves.
    assert_eq!((usage.output, usage.audio_out, usage.reasoning), (12, 8, 30));
    assert_eq!(usage.all_input() + usage.all_output(), 155);
}
