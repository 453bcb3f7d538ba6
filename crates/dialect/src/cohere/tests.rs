//! The dialect's own tests: what comes back with the next request, usage, and bounds.

use super::{Cohere, wire};
use crate::{
    Dialect, DialectId, FaultKind, Target,
    canon::{Kind, fold, unfold},
    laws,
    limits::PARTS_MAX,
};
use serde_json::{Value, json};

fn answer(message: &Value) -> Vec<u8> {
    json!({"id": "r", "message": message, "finish_reason": "TOOL_CALL"}).to_string().into_bytes()
}

/// What a caller sends back of an answer: its own words for it, behind a question.
fn history(caller: DialectId, written: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(written).unwrap();
    let question = |said: Value| json!([{"role": "user", "content": "Go."}, said]);
    match caller {
        DialectId::Anthropic => {
            let said = json!({"role": "assistant", "content": answer["content"]});
            json!({"model": "any", "max_tokens": 9, "messages": question(said)})
        }
        DialectId::Bedrock => json!({"messages": [
            {"role": "user", "content": [{"text": "Go."}]}, answer["output"]["message"],
        ]}),
        DialectId::Gemini => json!({"contents": [
            {"role": "user", "parts": [{"text": "Go."}]}, answer["candidates"][0]["content"],
        ]}),
        DialectId::OpenaiResponses => {
            let said = answer["output"].as_array().unwrap().iter().cloned();
            let input: Vec<Value> =
                [json!({"role": "user", "content": "Go."})].into_iter().chain(said).collect();
            json!({"model": "any", "input": input})
        }
        _ => json!({"model": "any", "messages": question(answer["choices"][0]["message"].clone())}),
    }
}

#[test]
fn a_plan_comes_home_as_a_plan() {
    let calls = json!([
        {"id": "tide_1", "type": "function", "function": {"name": "tide", "arguments": "{\"port\":\"Kobe\"}"}},
        {"id": "wind_2", "type": "function", "function": {"name": "wind", "arguments": "{}"}},
    ]);
    let message = json!({"role": "assistant", "tool_plan": "I ask twice.", "tool_calls": calls});
    let message = Cohere.read_response(&answer(&message)).unwrap().value;
    // Legacy completions have no calls.
    for caller in DialectId::callers().filter(|caller| *caller != DialectId::OpenaiCompletions) {
        let whole = caller.dialect().write_response(&message).value;
        let stream = laws::write_stream(caller, &unfold(&message), None);
        let streamed = fold(caller, laws::read_stream(caller, &[&stream]).unwrap().events);
        for written in [whole, caller.dialect().write_response(&streamed).value] {
            let body = history(caller, &written).to_string();
            let read = caller.dialect().read_request(body.as_bytes()).unwrap().value;
            let back = Cohere.write_request(&read, &Target { model: "m", ..Target::default() }).value;
            let back: Value = serde_json::from_slice(&back).unwrap();
            let said: Vec<&Value> = back["messages"].as_array().unwrap().iter().skip(1).collect();
            let plan: Vec<&Value> = said.iter().filter_map(|said| said.get("tool_plan")).collect();
            assert_eq!(plan, [&json!("I ask twice.")], "{}", caller.name());
            let called: Vec<&Value> =
                said.iter().filter_map(|said| said["tool_calls"].as_array()).flatten().collect();
            assert_eq!(called, calls.as_array().unwrap().iter().collect::<Vec<_>>(), "{}", caller.name());
        }
    }
}

#[test]
fn usage_is_what_is_billed() {
    let billed = |input: u64, output: u64| json!({"input_tokens": input, "output_tokens": output});
    let thought = json!({"input_tokens": 510.0, "output_tokens": 99.0, "reasoning_tokens": 29.0});
    let table = [
        (
            json!({"billed_units": billed(67, 66), "tokens": thought.clone(), "cached_tokens": 144}),
            [67, 0, 37, 29],
        ),
        (json!({"tokens": thought, "cached_tokens": 144}), [366, 144, 70, 29]),
        (json!({"tokens": billed(5, 2), "cached_tokens": 9}), [0, 5, 2, 0]),
        (json!({"billed_units": {"input_tokens": -1, "output_tokens": 1e300}}), [0, 0, u64::MAX, 0]),
        (json!({}), [0, 0, 0, 0]),
    ];
    for (usage, expected) in table {
        let Value::Object(native) = usage else { panic!("{usage}") };
        let usage = wire::read_usage(native);
        assert_eq!([usage.input, usage.cache_read, usage.output, usage.reasoning], expected);
    }
}

#[test]
fn a_generation_that_broke_is_no_answer() {
    let kind = |word: &str, error: Option<&str>| {
        wire::failure(&json!({"finish_reason": word, "error": error})).map(|fault| fault.kind)
    };
    assert_eq!((kind("COMPLETE", None), kind("A_NEW_WORD", None)), (None, None));
    assert_eq!(kind("ERROR", None), Some(FaultKind::UpstreamFailed));
    assert_eq!(kind("TIMEOUT", None), Some(FaultKind::UpstreamTimeout));
    assert_eq!(kind("COMPLETE", Some("no memory")), Some(FaultKind::UpstreamFailed));
    assert_eq!(kind("ERROR", Some("over the context window")), Some(FaultKind::ContextTooLong));
}

#[test]
fn an_answer_is_bounded() {
    let part = json!({"type": "text", "text": "a"});
    let answer = answer(&json!({"content": vec![part; PARTS_MAX + 1]}));
    assert_eq!(Cohere.read_response(&answer).unwrap_err().kind, FaultKind::UpstreamInvalid);
    let call = json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {}}}});
    let stream = format!("data: {call}\n\n").repeat(PARTS_MAX + 1);
    let read = laws::read_stream(wire::ME, &[stream.as_bytes()]).unwrap();
    assert_eq!(read.ended.unwrap_err().kind, FaultKind::UpstreamInvalid);
}

#[test]
fn content_may_be_a_string() {
    let message = Cohere.read_response(&answer(&json!({"content": "Hi."}))).unwrap().value;
    assert_eq!(message.choices[0].blocks[0].kind, Kind::Text("Hi.".to_owned()));
}
