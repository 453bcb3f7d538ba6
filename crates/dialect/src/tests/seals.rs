//! Sealed state survives a round trip through any client's dialect, whole and streamed, and returns to its
//! issuer only, in its place.

use crate::{
    DialectId, Losses, Target,
    canon::{Kind, Message, Request, Role, Seal, fold, unfold},
    json,
    laws::{read_stream, write_stream},
};
use serde_json::{Value, json};

/// How a dialect asks: where its clients put what was said so that it comes back, the answer's members that
/// hold it, and a request around it.
struct Room {
    dialect: DialectId,
    /// Where the answer stands in a body, and whether it is a list of turns by itself.
    said: (&'static str, bool),
    /// Where the turns stand in a request, and the request.
    request: (&'static str, &'static str),
}

const ROOMS: &[Room] = &[
    Room {
        dialect: DialectId::Anthropic,
        said: ("", false),
        request: (
            "/messages",
            r#"{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}"#,
        ),
    },
    Room {
        dialect: DialectId::Bedrock,
        said: ("/output/message", false),
        request: ("/messages", r#"{"messages": [{"role": "user", "content": [{"text": "a"}]}]}"#),
    },
    Room {
        dialect: DialectId::Gemini,
        said: ("/candidates/0/content", false),
        request: ("/contents", r#"{"contents": [{"role": "user", "parts": [{"text": "a"}]}]}"#),
    },
    Room {
        dialect: DialectId::OpenaiChat,
        said: ("/choices/0/message", false),
        request: ("/messages", r#"{"model": "m", "messages": [{"role": "user", "content": "a"}]}"#),
    },
    Room {
        dialect: DialectId::OpenaiResponses,
        said: ("/output", true),
        request: ("/input", r#"{"model": "m", "input": [{"role": "user", "content": "a"}]}"#),
    },
];

/// Answers with seals of every kind, in the dialects that issue them.
const ISSUED: &[(DialectId, &str)] = &[
    (
        DialectId::Anthropic,
        r#"{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "QQ1="},
            {"type": "redacted_thinking", "data": "QQ2="},
            {"type": "thinking", "thinking": "", "signature": "QQ3="},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "toolu_1", "name": "tide", "input": {"port": 1}}
        ], "stop_reason": "tool_use"}"#,
    ),
    (
        DialectId::Gemini,
        r#"{"candidates": [{"content": {"role": "model", "parts": [
            {"text": "hm", "thought": true},
            {"text": "so", "thoughtSignature": "QQ1="},
            {"functionCall": {"id": "c1", "name": "tide", "args": {"port": 1}}, "thoughtSignature": "QQ2="},
            {"functionCall": {"id": "c2", "name": "wind", "args": {}}}
        ]}, "finishReason": "STOP", "index": 0}]}"#,
    ),
    (
        DialectId::Gemini,
        r#"{"candidates": [{"content": {"role": "model", "parts": [
            {"text": "hm", "thought": true, "thoughtSignature": "QQ1="},
            {"text": "so"},
            {"text": "", "thoughtSignature": "QQ2="}
        ]}, "finishReason": "STOP", "index": 0}]}"#,
    ),
    (
        DialectId::OpenaiResponses,
        r#"{"status": "completed", "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "QQ1="},
            {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "QQ2="},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "tide", "arguments": "{\"port\":1}"}
        ]}"#,
    ),
];

/// The dialects whose clients bring back what they were told.
fn clients() -> Vec<DialectId> {
    ROOMS.iter().map(|room| room.dialect).collect()
}

fn room(dialect: DialectId) -> &'static Room {
    ROOMS.iter().find(|room| room.dialect == dialect).unwrap()
}

/// The next request of a client to whom `answer` was written in its own dialect.
fn next_request(client: DialectId, answer: &[u8]) -> Request {
    let Room { said: (place, many), request: (turns, template), .. } = room(client);
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let said = answer.pointer(place).unwrap().clone();
    let mut request: Value = serde_json::from_str(template).unwrap();
    let turns = request.pointer_mut(turns).and_then(Value::as_array_mut).unwrap();
    match said {
        Value::Array(items) if *many => turns.extend(items),
        Value::Object(mut message) => {
            message
                .retain(|name, _| ["role", "content", "parts"].contains(&name.as_str()) || !place.is_empty());
            turns.push(message.into());
        }
        other => panic!("{other} is no turn"),
    }
    client.dialect().read_request(&json::bytes(&request)).unwrap().value
}

/// What a client of this dialect gathers from a stream.
fn gathered(client: DialectId, message: &Message) -> Vec<u8> {
    let stream = write_stream(client, &unfold(message), None);
    let read = read_stream(client, &[&stream]).unwrap();
    assert_eq!(read.ended, Ok(()));
    if client == DialectId::OpenaiChat {
        let text = String::from_utf8(stream).unwrap();
        let chunks =
            text.split("data: ").filter_map(|data| serde_json::from_str::<Value>(data.trim_end()).ok());
        let mut gathered = json!({});
        for mut delta in chunks.filter_map(|mut chunk| Some(chunk.pointer_mut("/choices/0/delta")?.take())) {
            // As SDKs do it: calls by their index, lists joined, words joined.
            let calls = delta.as_object_mut().and_then(|delta| delta.remove("tool_calls"));
            for call in calls.as_ref().and_then(Value::as_array).into_iter().flatten() {
                let index = call["index"].as_u64().unwrap().to_string();
                grow(&mut gathered["calls"][index], call);
            }
            grow(&mut gathered["message"], &delta);
        }
        let calls = gathered["calls"].as_object().into_iter().flatten();
        gathered["message"]["tool_calls"] = calls.map(|(_, call)| call.clone()).collect();
        return json::bytes(&json!({"choices": [{"message": gathered["message"]}]}));
    }
    client.dialect().write_response(&fold(client, read.events)).value
}

fn grow(have: &mut Value, more: &Value) {
    match (have, more) {
        (Value::String(have), Value::String(more)) => have.push_str(more),
        (Value::Array(have), Value::Array(more)) => have.extend(more.iter().cloned()),
        (have @ (Value::Object(_) | Value::Null), Value::Object(more)) => {
            more.iter().for_each(|(name, more)| grow(&mut have[name], more));
        }
        (have, more) => *have = more.clone(),
    }
}

fn written(request: &Request, to: DialectId) -> (Value, Losses) {
    let written = to.dialect().write_request(request, &Target { model: "m", ..Target::default() });
    (serde_json::from_slice(&written.value).unwrap(), written.losses)
}

/// Every seal of a body that a provider gets, with what it covers.
fn sealed(provider: DialectId, body: &Value) -> Vec<(String, Seal)> {
    let request = provider.dialect().read_request(&json::bytes(body)).unwrap().value;
    let turns = request.turns.iter().filter(|turn| turn.role == Role::Assistant);
    let blocks = turns.flat_map(|turn| &turn.blocks);
    let seals = blocks.filter_map(|block| match &block.kind {
        Kind::Reasoning { text, seal: Some(seal) } => Some((text.clone(), seal.clone())),
        Kind::ToolUse { name, .. } => Some((name.clone(), block.seal.clone()?)),
        kind => Some((kind.words().to_owned(), block.seal.clone()?)),
    });
    seals.collect()
}

#[test]
fn every_dialect_is_a_client() {
    let all = clients();
    // Legacy completions have words and nothing else.
    let callers = DialectId::callers().filter(|caller| *caller != DialectId::OpenaiCompletions);
    assert_eq!(all, callers.collect::<Vec<_>>());
}

#[test]
fn a_seal_comes_home_by_every_client_and_goes_nowhere_else() {
    for (issuer, answer) in ISSUED {
        let message = issuer.dialect().read_response(answer.as_bytes()).unwrap().value;
        let expected = sealed(*issuer, &written(&next_request(*issuer, answer.as_bytes()), *issuer).0);
        assert!(expected.iter().all(|(_, seal)| seal.issuer == *issuer && seal.data.starts_with("QQ")));
        assert!(expected.len() > 1);
        for client in &clients() {
            let whole = client.dialect().write_response(&message).value;
            for (way, text) in [("whole", whole), ("streamed", gathered(*client, &message))] {
                let at = format!("{} by {}, {way}", issuer.name(), client.name());
                let request = next_request(*client, &text);
                let mut home = sealed(*issuer, &written(&request, *issuer).0);
                // Anthropic's clients take the last block of a stream for what the answer says: a seal behind the
                // last words cannot be told them.
                let dropped = expected.len() - home.len();
                if *client == DialectId::Anthropic && way == "streamed" && dropped == 1 {
                    home.extend(expected.last().filter(|(words, _)| words.is_empty()).cloned());
                }
                assert_eq!(home, expected, "{at}");
                // Chat has places for the seals of others, which pass with all else from client to provider.
                let passes = |to: &DialectId| *to == DialectId::OpenaiChat && to == client;
                for stranger in DialectId::ALL.iter().filter(|to| *to != issuer && !passes(to)) {
                    let (body, losses) = written(&request, *stranger);
                    let at = format!("{at}, to {}: {body}", stranger.name());
                    assert!(!body.to_string().contains("QQ"), "{at}");
                    assert!(!losses.is_empty(), "{at}");
                }
            }
        }
    }
}

#[test]
fn a_body_with_a_stray_seal_does_not_pass_untouched() {
    for (issuer, answer) in ISSUED {
        let message = issuer.dialect().read_response(answer.as_bytes()).unwrap().value;
        for client in clients().iter().filter(|client| *client != issuer) {
            let text = client.dialect().write_response(&message).value;
            let is_marked = *client != DialectId::OpenaiChat;
            assert_eq!(Seal::strays(&text, *client), is_marked, "{} by {}", issuer.name(), client.name());
            assert!(!Seal::strays(answer.as_bytes(), *issuer), "{}", issuer.name());
        }
    }
}
