//! The dialect's own tests: where an answer goes on, what the log tells, and how a model is told to think.

use super::{Replicate, wire};
use crate::{
    Dialect, FaultKind, Follow,
    canon::{Effort, Reasoning},
};
use serde_json::{Value, json};

#[test]
fn an_unfinished_prediction_says_where_it_goes_on() {
    let get = "https://example.com/p";
    let stream = "https://stream.example.com/p";
    let step = |status: &str, urls: Value, streamed| {
        let body = json!({"id": "p", "status": status, "urls": urls}).to_string();
        Replicate.next_step(body.as_bytes(), streamed)
    };
    let both = || json!({"get": get, "cancel": "https://example.com/p/cancel", "stream": stream});
    for status in ["starting", "processing"] {
        assert_eq!(step(status, both(), true), Some(Follow::Stream(stream.to_owned())));
        assert_eq!(step(status, both(), false), Some(Follow::Poll(get.to_owned())));
        assert_eq!(step(status, json!({"get": get}), true), Some(Follow::Poll(get.to_owned())));
        assert_eq!(step(status, json!({"get": 7}), true), None);
    }
    for status in ["succeeded", "failed", "canceled", "aborted", "a new word"] {
        assert_eq!(step(status, both(), true), None, "{status}");
    }
    assert_eq!(Replicate.next_step(br#"{"detail":"slow down","status":429}"#, true), None);
    assert_eq!(Replicate.next_step(b"[", false), None);
}

#[test]
fn tokens_are_told_by_metrics_or_by_the_log() {
    let told = |metrics: Value, logs: &str| {
        let usage = wire::read_usage(metrics.as_object(), logs);
        usage.map(|usage| [usage.input, usage.output, usage.reasoning])
    };
    let log = "Input token count: 644\nOutput token count: 757\n - Reasoning tokens: 742";
    assert_eq!(told(json!({"input_token_count": 18, "output_token_count": 4}), ""), Some([18, 4, 0]));
    assert_eq!(told(json!({"token_input_count": 18, "predict_time": 1.5}), ""), Some([18, 0, 0]));
    assert_eq!(told(Value::Null, log), Some([644, 15, 742]));
    assert_eq!(told(json!({"input_token_count": 9}), log), Some([9, 15, 742]));
    assert_eq!(told(json!({"predict_time": 1.5}), "Input token count: many"), None);
}

#[test]
fn an_error_is_known_by_its_code() {
    let kind = |error: Value| wire::failure("failed", Some(&error)).kind;
    assert_eq!(kind("Flagged as sensitive. Try another. (E005) (x1)".into()), FaultKind::ContentFiltered);
    assert_eq!(kind("E003: in high demand".into()), FaultKind::UpstreamOverloaded);
    assert_eq!(kind("E0033".into()), FaultKind::UpstreamFailed);
    assert_eq!(kind("it is over the context length".into()), FaultKind::ContextTooLong);
    assert_eq!(kind(json!({"detail": "the model is gone"})), FaultKind::UpstreamFailed);
    assert_eq!(wire::failure("canceled", None).message, "the provider's prediction was canceled");
    assert_eq!(wire::failure("failed", Some(&" ".into())).message, "the provider's prediction was failed");
}

#[test]
fn a_model_is_told_to_think_in_its_own_words() {
    let told = |model: &str, wish: Reasoning| {
        let told = wire::inputs(model).thinking(&wish);
        told.map(|told| {
            told.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        })
    };
    let low = || Reasoning::Effort(Effort::Low);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told("openai/o4-mini", low()), text("reasoning_effort=\"low\""));
    assert_eq!(told("openai/o4-mini", Reasoning::Budget(9_000)), text("reasoning_effort=\"medium\""));
    assert_eq!(told("openai/o4-mini", Reasoning::Budget(1)), text("reasoning_effort=\"low\""));
    assert_eq!(told("openai/o4-mini", Reasoning::Off), None);
    assert_eq!(told("google/gemini-2.5-flash", Reasoning::Off), text("thinking_budget=0"));
    assert_eq!(told("google/gemini-2.5-flash", low()), text("thinking_budget=1024"));
    let claude = "anthropic/claude-4-sonnet";
    assert_eq!(told(claude, Reasoning::Off), text("extended_thinking=false"));
    assert_eq!(told(claude, low()), text("extended_thinking=true thinking_budget_tokens=1024"));
    assert_eq!(told(claude, Reasoning::Effort(Effort::Other("odd".to_owned()))), None);
    assert_eq!(told("meta/meta-llama-3-8b-instruct", low()), None);
    assert_eq!(told("meta/meta-llama-3-8b-instruct", Reasoning::Adaptive(None)), text(""));
}
