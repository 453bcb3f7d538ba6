//! Gemini's routes: the model and the wish for a stream stand in the path, the key may stand in the query.

use crate::support::{
    client::{Request, post},
    tag,
    world::{CLIENT_KEY, World},
};
use serde_json::{Value, json};

fn content(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {"maxOutputTokens": 50}})
}

fn ask(path: &str, text: &str) -> Request {
    post(path, content(text))
}

fn words(answer: &Value) -> String {
    let parts = answer["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

#[test]
fn a_gemini_caller_is_answered_by_a_provider_of_another_dialect() {
    let world = World::open();
    for model in ["good", "claude", "openai/real-model"] {
        for version in ["v1", "v1beta"] {
            let answer = world.ask(&ask(&format!("/{version}/models/{model}:generateContent"), "hello"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(!words(&answer.json()).is_empty(), "{}", answer.text());
            assert!(answer.json()["usageMetadata"]["candidatesTokenCount"].is_u64(), "{}", answer.text());
        }
    }
}

#[test]
fn a_stream_comes_as_events_or_as_an_array() {
    let world = World::open();
    let whole = words(&world.ask(&ask("/v1beta/models/good:generateContent", "hello")).json());
    let path = "/v1beta/models/good:streamGenerateContent";
    let events = world.ask(&ask(&format!("{path}?alt=sse"), "hello"));
    assert_eq!(events.header("content-type"), "text/event-stream");
    let told: String =
        events.events().iter().map(|event| words(&serde_json::from_str(&event.1).expect("JSON"))).collect();
    assert_eq!(told, whole);
    let list = world.ask(&ask(path, "hello"));
    assert_eq!(list.header("content-type"), "application/json");
    let elements = list.json();
    let told: String = elements.as_array().expect("an array").iter().map(words).collect();
    assert_eq!(told, whole);
}

#[test]
fn a_list_that_breaks_off_says_so_and_is_still_an_array() {
    let world = World::open();
    let list = world.ask(&ask("/v1beta/models/good:streamGenerateContent", "[[kit error-at=4]]"));
    let elements = list.json();
    let last = elements.as_array().expect("an array").last().expect("an element");
    assert!(last["error"]["message"].is_string(), "{elements}");
}

#[test]
fn a_key_may_stand_in_the_query_of_these_routes_alone() {
    let world = World::keyed();
    let status = |path: &str| world.ask(&ask(path, "hello")).status;
    assert_eq!(status(&format!("/v1beta/models/good:generateContent?key={CLIENT_KEY}")), 200);
    assert_eq!(status("/v1beta/models/good:generateContent?key=wrong"), 401);
    assert_eq!(status("/v1beta/models/good:generateContent"), 401);
    assert_eq!(status(&format!("/v1beta/models/good:generateContent?api_key={CLIENT_KEY}")), 400);
    assert_eq!(status(&format!("/v1/chat/completions?key={CLIENT_KEY}")), 400);
    // No key of ours goes on to the provider.
    let tag = tag();
    let path = format!("/v1beta/models/good:generateContent?key={CLIENT_KEY}");
    assert_eq!(world.ask(&ask(&path, &tag)).status, 200);
    assert!(!format!("{:?}", world.saw(&tag)).contains(CLIENT_KEY));
}

#[test]
fn faults_are_google_s() {
    let world = World::once();
    let answer = world.ask(&ask("/v1beta/models/nobody-knows-this:generateContent", "hello"));
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"], &error["status"]), (404, &json!(404), &json!("NOT_FOUND")));
    let answer = world.ask(&ask("/v1beta/models/says-429/m:generateContent", "hello"));
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["status"]), (429, &json!("RESOURCE_EXHAUSTED")), "{error}");
    let counted = world.ask(&ask("/v1beta/models/good:countTokens", "hello there"));
    assert!(counted.json()["totalTokens"].as_u64().is_some_and(|count| count > 0), "{}", counted.text());
}
