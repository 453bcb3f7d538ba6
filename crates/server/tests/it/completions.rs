//! OpenAI's legacy completions: untouched where the provider has them, translated elsewhere.

use crate::support::{client::post, streamed, tag, world::World};
use serde_json::{Value, json};

fn prompt(model: &str, text: &str) -> Value {
    json!({"model": model, "prompt": text, "max_tokens": 50})
}

fn words(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap_or_default()
}

#[test]
fn a_provider_that_has_them_is_asked_as_the_caller_asked() {
    let world = World::open();
    for (path, model, target) in [
        ("/v1/completions", "box/text-model", "/echo/box/v1/completions"),
        ("/completions", "box/text-model", "/echo/box/v1/completions"),
        ("/v1/completions", "openai/text-model", "/v1/completions"),
    ] {
        let tag = tag();
        let body = json!({"best_of": 2.0, "echo": true, "model": model, "prompt": [[1, 2], [3]], "suffix": tag});
        let answer = world.ask(&post(path, &body));
        assert_eq!((answer.status, answer.header("x-sekisho-loss").as_str()), (200, ""), "{}", answer.text());
        let seen = world.saw(&tag);
        assert_eq!(seen.target, target);
        let expected = body.to_string().replace(model, "text-model");
        assert_eq!(String::from_utf8_lossy(&seen.body.expect("a body")), expected);
    }
}

#[test]
fn any_other_model_goes_on_with_the_prompt() {
    let world = World::open();
    let whole = world.ask(&post("/v1/completions", prompt("claude", "once upon a time")));
    let body = whole.json();
    assert_eq!((whole.status, &body["object"]), (200, &json!("text_completion")), "{body}");
    assert!(!words(&body).is_empty() && body["usage"]["completion_tokens"].is_u64(), "{body}");
    let stream = world.ask(&post("/v1/completions", streamed(prompt("claude", "once upon a time"))));
    let events = stream.events();
    let (last, chunks) = events.split_last().expect("events");
    assert_eq!((stream.whole, last.1.as_str()), (true, "[DONE]"));
    let chunks = chunks.iter().map(|(_, data)| serde_json::from_str::<Value>(data).expect("JSON"));
    let told: String = chunks.map(|chunk| words(&chunk).to_owned()).collect();
    assert_eq!(told, words(&body));
}

#[test]
fn what_only_their_own_providers_can_is_refused_or_named() {
    let world = World::open();
    let several = json!({"model": "claude", "prompt": ["one", "two"]});
    let answer = world.ask(&post("/v1/completions", several));
    assert_eq!((answer.status, answer.code().as_str()), (400, ""), "{}", answer.text());
    let mut body = prompt("claude", "hello");
    body["logit_bias"] = json!({"50256": -100});
    let answer = world.ask(&post("/v1/completions", &body));
    assert_eq!(answer.header("x-sekisho-loss"), "/logit_bias", "{}", answer.text());
    let answer = world.ask(&post("/v1/completions", &body).header("x-sekisho-strict", "true"));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("/logit_bias"), "{}", answer.text());
}

#[test]
fn the_next_target_may_speak_another_api() {
    let world = World::start(
        "providers:\n  bad: {base_url: \"KIT/v1\", keys: [], headers: {x-kit: status=500}}\n  \
         good: {base_url: \"KIT\", dialect: anthropic, keys: []}\nmodels: {both: [bad/m, good/m]}\n",
        crate::support::gateway::Setup::default(),
    );
    let tag = tag();
    let answer = world.ask(&post("/v1/completions", prompt("both", &tag)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!words(&answer.json()).is_empty(), "{}", answer.text());
    let paths: Vec<String> = world.seen_so_far(&tag).into_iter().map(|seen| seen.target).collect();
    assert_eq!(paths.first().map(String::as_str), Some("/v1/completions"), "{paths:?}");
    assert_eq!(paths.last().map(String::as_str), Some("/v1/messages"), "{paths:?}");
}
