//! What only this dialect has to hold.

use super::wire::{ME, item_id};
use crate::{Dialect, DialectId, FaultKind, Target, canon::Role, openai_responses::OpenaiResponses};
use serde_json::{Value, json};

fn read(body: &Value) -> crate::canon::Request {
    OpenaiResponses.read_request(body.to_string().as_bytes()).unwrap().value
}

#[test]
fn a_request_that_leans_on_kept_state_is_refused_elsewhere() {
    let bodies = [
        (json!({"model": "m", "previous_response_id": "resp_1"}), Some("/previous_response_id")),
        (json!({"model": "m", "input": "hi", "conversation": "conv_1"}), Some("/conversation")),
        (json!({"model": "m", "prompt": {"id": "pmpt_1"}}), Some("/prompt")),
        (json!({"model": "m", "input": "hi", "background": true}), Some("/background")),
        (json!({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]}), Some("/input/0")),
        (json!({"model": "m", "input": "hi", "background": false, "previous_response_id": null}), None),
    ];
    for (body, pointer) in bodies {
        let request = read(&body);
        assert_eq!(ME.refusal(&request), None, "{body}");
        let fault = DialectId::OpenaiChat.refusal(&request);
        assert_eq!(fault.as_ref().and_then(|fault| fault.param.as_deref()), pointer, "{body}");
        assert!(fault.is_none_or(|fault| fault.kind == FaultKind::BadRequest && fault.status() == 400));
    }
}

#[test]
fn neighbours_that_the_model_said_are_one_turn() {
    let request = read(&json!({"model": "m", "input": [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "a", "name": "tide", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "wind", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "6"},
        {"type": "function_call_output", "call_id": "b", "output": "calm"},
        {"role": "assistant", "content": "Six."},
    ]}));
    let turns: Vec<(Role, usize)> = request.turns.iter().map(|turn| (turn.role, turn.blocks.len())).collect();
    let said = [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::Assistant];
    assert_eq!(turns, said.into_iter().zip([1, 4, 1, 1, 1]).collect::<Vec<_>>());
}

#[test]
fn another_dialects_request_asks_the_provider_to_keep_nothing() {
    let mut request = read(&json!({"model": "m", "input": "hi"}));
    request.from = DialectId::OpenaiChat;
    let target = Target { model: "m", ..Target::default() };
    let body = OpenaiResponses.write_request(&request, &target).value;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.get("store"), Some(&json!(false)));
    assert_eq!(body.get("include"), Some(&json!(["reasoning.encrypted_content"])));
}

#[test]
fn the_ids_of_items_are_short_and_plain() {
    assert_eq!(item_id("msg", "resp_1", 2), "msg_1_2");
    let long = item_id("fc", &"gen:é/".repeat(40), 511);
    assert!(long.len() <= 64 && long.is_ascii() && !long.contains([':', '/']), "{long}");
}
