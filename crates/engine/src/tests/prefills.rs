//! A stream that breaks off, and what the next target is then asked.

use super::{
    hand::{Hand, heard},
    plan,
};
use crate::{
    exchange::Report,
    ledger::Ledger,
    record::{Manner, Outcome},
};

const KEYS: &[(&str, &str)] = &[
    ("ANTHROPIC_API_KEY", "KEY"),
    ("AWS_BEARER_TOKEN_BEDROCK", "KEY"),
    ("AWS_REGION", "r"),
    ("DEEPSEEK_API_KEY", "KEY"),
    ("MISTRAL_API_KEY", "KEY"),
    ("MOONSHOT_API_KEY", "KEY"),
    ("OPENAI_API_KEY", "KEY"),
    ("VLLM_BASE_URL", "http://vllm/v1"),
];

const ASKED: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":100,"messages":[{"role":"user","content":"why"}]}"#;

/// A stream to a caller of OpenAI's chat that broke off behind these words; `target` is the fallback.
fn broken(target: &str, body: &str, words: &str) -> Hand {
    broken_by(Ledger::default(), &format!("openai/gpt-x, {target}"), body, words)
}

fn broken_by(ledger: Ledger, targets: &str, body: &str, words: &str) -> Hand {
    let able = "facts: {m: {abilities: {prefill: true}}}";
    let text = format!(
        "providers: {{own-google: {{base_url: 'http://google', dialect: gemini, keys: [], {able}}}, openai: {{}}, bedrock: {{{able}}}, own: {{base_url: 'http://own/v1', keys: [], {able}}}}}\n\
         models: {{m: [{targets}]}}"
    );
    let mut hand = Hand::new(ledger, plan(KEYS, &text), body);
    hand.says(words, false);
    hand.breaks();
    hand
}

#[test]
fn each_dialect_and_provider_is_given_a_beginning_in_its_own_form() {
    #[rustfmt::skip]
    let table = [
        ("anthropic/claude-haiku-4-5", "https://api.anthropic.com/v1/messages", r#"{"model":"claude-haiku-4-5","max_tokens":97,"messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates"}],"stream":true}"#),
        ("bedrock/m", "https://bedrock-runtime.r.amazonaws.com/model/m/converse-stream", r#"{"messages":[{"role":"user","content":[{"text":"why"}]},{"role":"assistant","content":[{"text":"the gates"}]}],"inferenceConfig":{"maxTokens":97}}"#),
        ("deepseek/deepseek-chat", "https://api.deepseek.com/beta/chat/completions", r#"{"model":"deepseek-chat","messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates","prefix":true}],"max_tokens":97,"stream":true,"stream_options":{"include_usage":true}}"#),
        ("mistral/mistral-small", "https://api.mistral.ai/v1/chat/completions", r#"{"model":"mistral-small","messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates","prefix":true}],"max_tokens":97,"stream":true,"stream_options":{"include_usage":true}}"#),
        ("moonshot/kimi", "https://api.moonshot.ai/v1/chat/completions", r#"{"model":"kimi","messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates","partial":true}],"max_tokens":97,"stream":true,"stream_options":{"include_usage":true}}"#),
        ("vllm/m", "http://vllm/v1/chat/completions", r#"{"add_generation_prompt":false,"continue_final_message":true,"model":"m","messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates"}],"max_tokens":97,"stream":true,"stream_options":{"include_usage":true}}"#),
        ("own/m", "http://own/v1/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"why"},{"role":"assistant","content":"the gates"}],"max_tokens":97,"stream":true,"stream_options":{"include_usage":true}}"#),
        // Of these nothing is known, or they have no such thing.
        ("own-google/m", "http://google/v1beta/models/m:streamGenerateContent?alt=sse", r#"{"contents":[{"role":"user","parts":[{"text":"why"}]}],"generationConfig":{"maxOutputTokens":100}}"#),
        ("anthropic/claude-sonnet-4-6", "https://api.anthropic.com/v1/messages", r#"{"model":"claude-sonnet-4-6","max_tokens":100,"messages":[{"role":"user","content":"why"}],"stream":true}"#),
        ("own/other", "http://own/v1/chat/completions", r#"{"model":"other","stream":true,"stream_options":{"include_usage":true},"max_tokens":100,"messages":[{"role":"user","content":"why"}]}"#),
    ];
    for (target, path, body) in table {
        let hand = broken(target, ASKED, "the gates \n");
        assert_eq!(hand.path(), path, "{target}");
        assert_eq!(hand.body(), body, "{target}");
    }
}

#[test]
fn what_a_beginning_does_not_suit_is_asked_for_whole() {
    let with = |more: &str| ASKED.replace(r#""max_tokens":100"#, more);
    #[rustfmt::skip]
    let table = [
        (with(r#""max_completion_tokens":100"#), "the gates", Some(r#""max_completion_tokens":97"#)),
        (with(r#""stop":["x"]"#), "the gates", Some(r#""assistant""#)),
        (with(r#""max_tokens":3"#), "the gates", None),
        (with(r#""reasoning_effort":"low""#), "the gates", None),
        (with(r#""reasoning_effort":"none""#), "the gates", Some(r#""assistant""#)),
        (with(r#""response_format":{"type":"json_object"}"#), "{\"a", None),
        (with(r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#), "the gates", None),
        (with(r#""tools":[{"type":"function","function":{"name":"f"}}]"#), "the gates", Some(r#""assistant""#)),
        (ASKED.replace("}]", r#"},{"role":"assistant","content":"so"}]"#), "the gates", None),
        (ASKED.to_owned(), " \n", None),
    ];
    for (body, words, expected) in table {
        let sent = broken("own/m", &body, words).body();
        match expected {
            Some(expected) => assert!(sent.contains(expected) && sent.contains(words), "{body}: {sent}"),
            None => assert_eq!(sent, body),
        }
    }
}

#[test]
fn who_goes_on_is_heard_behind_what_was_said() {
    let mut hand = broken("own/m", ASKED, "the gates ");
    hand.says(" are open", true);
    assert_eq!(heard(&hand.told), ("the gates are open".to_owned(), Some(5 + 3)));
    let record = hand.record.expect("it is over");
    assert_eq!((record.outcome, record.trials.len()), (Outcome::Whole, 2));
    assert_eq!(record.trials[1].manner, Manner::Prefill);
    // What it cost there is what the provider said.
    assert_eq!(record.usage.map(|usage| (usage.input, usage.output)), Some((30, 5)));
}

#[test]
fn who_says_the_beginning_again_is_heard_from_there() {
    let mut hand = broken("mistral/m", ASKED, "the gates ");
    hand.says("the gates are open", true);
    assert_eq!(heard(&hand.told).0, "the gates are open");
    assert_eq!(hand.record.map(|record| record.trials.len()), Some(2));
}

/// It refuses the beginning, or begins anew.
fn misses(hand: &mut Hand, refuses: bool) {
    match refuses {
        true => {
            let error = r#"{"error":{"message":"the last message must be the user's","type":"invalid_request_error"}}"#;
            hand.answers(400, "application/json", error.to_owned());
            hand.report(Report::End);
        }
        false => hand.says("the gates are open", false),
    }
}

#[test]
fn who_does_not_go_on_is_asked_once_for_the_whole() {
    for refuses in [true, false] {
        let mut hand = broken("own/m", ASKED, "the gates ");
        misses(&mut hand, refuses);
        assert_eq!((hand.sent.len(), hand.body()), (3, ASKED.to_owned()), "{refuses}");
        hand.says("the gates are open", true);
        assert_eq!(heard(&hand.told), ("the gates are open".to_owned(), Some(5)), "{refuses}");
        let record = hand.record.expect("it is over");
        let manners = record.trials.iter().map(|trial| trial.manner).collect::<Vec<_>>();
        assert_eq!(manners, [Manner::Turn, Manner::Prefill, Manner::Resume]);
        assert_eq!(record.outcome, Outcome::Whole);
    }
}

#[test]
fn where_nobody_goes_on_that_is_told() {
    for refuses in [true, false] {
        let mut hand = broken("own/m", ASKED, "the gates ");
        misses(&mut hand, refuses);
        // Not even the whole answer is the one that was begun, or it is refused too.
        misses(&mut hand, true);
        assert_eq!(hand.sent.len(), 3, "{refuses}");
        let record = hand.record.expect("it is over");
        assert!(matches!(record.outcome, Outcome::Fault(_)), "{:?}", record.outcome);
        let told = String::from_utf8(hand.told).unwrap();
        assert!(told.contains("\"error\"") && !told.contains("[DONE]"), "{told}");
        assert_eq!(heard(told.as_bytes()).0, "the gates ");
    }
}

#[test]
fn other_words_are_nothing_against_a_provider() {
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        let words = "the gates are open and the road is long";
        let mut hand = broken_by(ledger, "openai/gpt-x, own/m", ASKED, words);
        misses(&mut hand, false);
        hand.says("the gates are shut", true);
        assert_eq!(hand.sent.len(), 3);
        let last = hand.record.expect("it is over").trials.pop();
        assert!(last.is_some_and(|trial| trial.fault.is_some()));
        ledger = hand.ledger;
    }
    // It is asked as before.
    let hand = broken_by(ledger, "own/m, vllm/m", ASKED, "so");
    assert!(hand.sent[0].uri.to_string().starts_with("http://own"), "{}", hand.sent[0].uri);
}
