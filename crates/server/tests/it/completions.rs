//! OpenAI's legacy completions: untouched where the provider has them, translated elsewhere.

use crate::support::{
    client::post,
    cloud::Cloud,
    gateway::{Gateway, Setup},
    streamed, tag,
    world::World,
};
use serde_json::{Value, json};

fn prompt(model: &str, text: &str) -> Value {
    json!({"model": model, "prompt": text, "max_tokens": 50})
}

fn words(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap_or_default()
}

#[test]
fn a_provider_that_has_them_is_asked_as_the_caller_asked() {
    let own = r#"{"object": "text_completion", "choices": [{"text": " a time", "index": 0, "finish_reason": "stop"}], "z": 1.50}"#;
    let cloud =
        Cloud::start(move |asked| asked.target.ends_with("v1/completions").then(|| (200, own.to_owned())));
    let url = cloud.url();
    let config = format!(
        "default_provider: openai\nproviders:\n  openai: {{base_url: \"{url}/v1\", keys: key-of-openai-0123}}\n  \
         box: {{base_url: \"{url}/box/v1\", keys: []}}\n  plain: {{dialect: openai_chat, base_url: \"{url}/plain\", keys: []}}\n"
    );
    let gateway = Gateway::start(&Setup { config: Some(config), ..Setup::default() });
    for (path, model, target) in [
        ("/v1/completions", "box/text-model", "/box/v1/completions"),
        ("/completions", "openai/text-model", "/v1/completions"),
        ("/v1/completions", "text-model", "/v1/completions"),
    ] {
        let body = r#"{ "best_of": 2.0, "model":"MODEL", "prompt": [[1, 2],  [3]], "suffix": "x" }"#;
        let answer = gateway.ask(&post(path, "").body(body.replace("MODEL", model)));
        assert_eq!((answer.status, answer.text().as_str()), (200, own));
        assert_eq!(answer.header("x-sekisho-loss"), "");
        let sent = cloud.asked("/completions").pop().expect("it was asked");
        assert_eq!((sent.target.as_str(), sent.body), (target, body.replace("MODEL", "text-model")));
    }
    // Who says what a provider speaks says all of it.
    let answer = gateway.ask(&post("/v1/completions", prompt("plain/m", "once upon")));
    assert_eq!((answer.status, words(&answer.json())), (200, "hi"), "{}", answer.text());
    assert_eq!(cloud.asked("/plain/chat/completions").len(), 1);
}

#[test]
fn any_other_model_goes_on_with_the_prompt() {
    let world = World::open();
    let whole = world.ask(&post("/v1/completions", prompt("claude", "once upon a time")));
    let body = whole.json();
    assert_eq!((whole.status, &body["object"]), (200, &json!("text_completion")), "{body}");
    assert!(!words(&body).is_empty() && body["usage"]["completion_tokens"].is_u64(), "{body}");
    // The provider tells no time: it is the request's.
    assert!(body["created"].as_u64() > Some(1_700_000_000), "{body}");
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
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request_error"), "{}", answer.text());
    assert!(answer.text().contains("openai_completions"), "{}", answer.text());
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
        Setup::default(),
    );
    let tag = tag();
    let answer = world.ask(&post("/v1/completions", prompt("both", &tag)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!words(&answer.json()).is_empty(), "{}", answer.text());
    let paths: Vec<String> = world.seen_so_far(&tag).into_iter().map(|seen| seen.target).collect();
    assert_eq!(paths.first().map(String::as_str), Some("/v1/completions"), "{paths:?}");
    assert_eq!(paths.last().map(String::as_str), Some("/v1/messages"), "{paths:?}");
}
