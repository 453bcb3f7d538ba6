//! What only this dialect has to hold.

use super::wire::{self, ME};
use crate::{Dialect, DialectId, FaultKind, Target, openai_completions::OpenaiCompletions};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(body: &Value) -> crate::canon::Request {
    OpenaiCompletions.read_request(body.to_string().as_bytes()).unwrap().value
}

#[test]
fn only_one_prompt_of_text_is_for_every_provider() {
    let bodies = [
        (json!({"model": "m", "prompt": "one"}), false),
        (json!({"model": "m", "prompt": ["one"]}), false),
        (json!({"model": "m", "prompt": ["one", "two"]}), true),
        (json!({"model": "m", "prompt": [1, 2, 3]}), true),
        (json!({"model": "m", "prompt": [[1, 2], [3]]}), true),
        (json!({"model": "m", "prompt": null, "prompt_embeds": "AAAA"}), true),
    ];
    for (body, is_refused) in bodies {
        let request = read(&body);
        assert_eq!(ME.refusal(&request), None, "{body}");
        let fault = DialectId::Anthropic.refusal(&request);
        assert_eq!(fault.is_some(), is_refused, "{body}");
        let Some(fault) = fault else { continue };
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::BadRequest, Some("/prompt")));
        assert!(fault.message.contains("`openai_completions`"), "{fault}");
    }
}

#[test]
fn a_conversation_has_a_limit_and_ends_with_the_users_turn() {
    let chat = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "more"},
    ]});
    let chat = DialectId::OpenaiChat.dialect().read_request(chat.to_string().as_bytes()).unwrap().value;
    let written = |max_output| {
        let target = Target { model: "m", max_output, ..Target::default() };
        let body = OpenaiCompletions.write_request(&chat, &target).value;
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    assert_eq!(written(None)["max_tokens"], 1024);
    assert_eq!(written(Some(200))["max_tokens"], 200);
    assert_eq!(written(None)["stop"], json!(["\nUser:"]));
    assert_eq!(written(None)["prompt"], "User: hi\n\nAssistant: hello\n\nUser: more\n\nAssistant:");
}

#[test]
fn a_token_that_is_no_text_has_its_bytes() {
    let held = json!({"tokens": ["bytes:\\xe2\\x80", "bytes:\\xzz"], "token_logprobs": [null, -1]});
    let told = wire::read_logprobs(&held).unwrap();
    assert_eq!(told["content"][0]["bytes"], json!([0xe2, 0x80]));
    assert_eq!(told["content"][0]["logprob"], json!(-9999.0));
    assert_eq!(told["content"][1]["bytes"], json!(b"bytes:\\xzz"));
}

proptest! {
    #[test]
    fn log_probabilities_come_back(
        tokens in prop::collection::vec((".{0,4}", -99i32..0, prop::collection::btree_map(".{1,3}", -99i32..0, 0..3)), 1..6),
    ) {
        let (mut words, mut numbers, mut tops, mut offsets, mut offset) = (vec![], vec![], vec![], vec![], 0);
        for (token, number, top) in &tokens {
            words.push(token);
            numbers.push(number);
            tops.push(top);
            offsets.push(offset);
            offset += token.chars().count();
        }
        let has_tops = tops.iter().any(|top| !top.is_empty());
        let held = json!({
            "tokens": words,
            "token_logprobs": numbers,
            "top_logprobs": has_tops.then_some(tops),
            "text_offset": offsets,
        });
        let told = wire::read_logprobs(&held).unwrap();
        prop_assert_eq!(wire::write_logprobs(&told, &mut 0), held);
    }
}
