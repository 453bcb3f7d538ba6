//! Lists of models, each API's in its own form, and the header in which its clients look for a request's id.

use crate::support::{
    client::{get, post},
    gateway::Setup,
    message,
    world::{CLIENT_KEY, World},
};
use serde_json::{Value, json};

const CONFIG: &str = "providers:\n  openai: {base_url: \"KIT/v1\", keys: x}\n  \
    anthropic: {base_url: \"KIT\", keys: x}\n  hand: {base_url: \"KIT\", keys: [], models: [a/b]}\n\
    models: {zeta: openai/gpt-4o}\n";

/// The members of an object.
fn members(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn every_client_reads_its_own_form() {
    let world = World::start(CONFIG, Setup::default());
    let openai = world.ask(&get("/v1/models")).json();
    assert_eq!(members(&openai), ["object", "data"]);
    assert_eq!(
        openai["data"][0],
        json!({"id": "zeta", "object": "model", "created": 0, "owned_by": "sekisho"})
    );

    let anthropic = world.ask(&get("/v1/models?limit=2").header("anthropic-version", "2023-06-01"));
    assert_eq!(anthropic.header("request-id"), anthropic.header("x-request-id"));
    let anthropic = anthropic.json();
    assert_eq!(members(&anthropic), ["data", "has_more", "first_id", "last_id"]);
    let of_provider = anthropic["data"].as_array().expect("a list").iter();
    let own = of_provider.filter(|model| model["id"] == "anthropic/kit-large").collect::<Vec<_>>();
    assert_eq!(
        own,
        [
            &json!({"type": "model", "id": "anthropic/kit-large", "display_name": "kit-large", "created_at": "2026-01-01T00:00:00Z"})
        ]
    );
    assert_eq!((&anthropic["first_id"], &anthropic["has_more"]), (&json!("zeta"), &json!(false)));

    let google = world.ask(&get("/v1beta/models?pageSize=50")).json();
    assert_eq!(members(&google), ["models"]);
    let newer = get("/v1/models").header("x-goog-api-client", "google-genai-sdk/3");
    assert_eq!(world.ask(&newer).json(), google);
    let names: Vec<&Value> =
        google["models"].as_array().expect("a list").iter().map(|m| &m["name"]).collect();
    assert!(names.contains(&&json!("models/hand/a/b")), "{google}");
    let first = &google["models"][0];
    assert_eq!((&first["name"], &first["displayName"]), (&json!("models/zeta"), &json!("zeta")));
    // What is known of the first target of the name.
    assert!(first["inputTokenLimit"].as_u64().is_some_and(|tokens| tokens > 0), "{first}");
}

#[test]
fn one_model_is_told_in_the_same_form() {
    let world = World::start(CONFIG, Setup::default());
    for name in ["hand/a/b", "zeta", "openai/kit-small"] {
        // Most clients write the name as one segment.
        let one = world.ask(&get(&format!("/v1/models/{}", name.replace('/', "%2F"))));
        assert_eq!((one.status, &one.json()["id"]), (200, &json!(name)));
        let openai = world.ask(&get(&format!("/v1/models/{name}"))).json();
        assert_eq!((&openai["id"], &openai["object"]), (&json!(name), &json!("model")));
        let request = get(&format!("/v1/models/{name}")).header("anthropic-version", "2023-06-01");
        let anthropic = world.ask(&request).json();
        assert_eq!((&anthropic["id"], &anthropic["type"]), (&json!(name), &json!("model")));
        let google = world.ask(&get(&format!("/v1beta/models/{name}"))).json();
        assert_eq!(google["name"], format!("models/{name}"));
    }
    let openai = world.ask(&get("/v1/models/zetta"));
    assert_eq!((openai.status, openai.code().as_str()), (404, "model_not_found"));
    let anthropic = world.ask(&get("/v1/models/zetta").header("anthropic-version", "2023-06-01"));
    assert_eq!((anthropic.status, &anthropic.json()["type"]), (404, &json!("error")));
    let google = world.ask(&get("/v1beta/models/zetta"));
    assert_eq!((google.status, &google.json()["error"]["status"]), (404, &json!("NOT_FOUND")));
}

#[test]
fn a_list_wants_a_key_and_google_s_may_stand_in_the_address() {
    let world = World::keyed();
    assert_eq!(world.ask(&get("/v1beta/models")).json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(world.ask(&get(&format!("/v1beta/models?key={CLIENT_KEY}"))).status, 200);
    let refused = world.ask(&get("/v1/models").header("anthropic-version", "2023-06-01"));
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (401, &json!("authentication_error")));
}

#[test]
fn anthropic_s_clients_find_the_request_s_id_where_they_look() {
    let world = World::open();
    for model in ["good", "says-400/m", "nothing-like-it"] {
        let answer = world.ask(&post("/v1/messages", message(model, "hello")));
        let id = answer.header("request-id");
        assert!(id.starts_with("req-") && id == answer.header("x-request-id"), "{model}: {id}");
    }
    let answer = world.ask(&post("/v1/chat/completions", crate::support::chat("good", "hello")));
    assert_eq!(answer.header("request-id"), "");
}
