//! Who may call: one refusal for every cause, and no key in an address.

use crate::support::{
    chat,
    client::{Answer, Request, get, post},
    message, tag,
    world::{CLIENT_KEY, World},
};

/// Ways not to have a key: header and value.
fn causes() -> Vec<(&'static str, String)> {
    vec![
        ("x-nothing", String::new()),
        ("authorization", "Bearer wrong-key-0123456789".to_owned()),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", "Bearer".to_owned()),
        ("authorization", String::new()),
        ("authorization", CLIENT_KEY.to_owned()),
        ("authorization", format!("Basic {CLIENT_KEY}")),
        ("authorization", format!("Bearer {CLIENT_KEY}x")),
        ("authorization", format!("Bearer {}", &CLIENT_KEY[1..])),
        ("authorization", format!("Bearer {}", CLIENT_KEY.to_uppercase())),
        ("authorization", format!("Bearer {CLIENT_KEY} {CLIENT_KEY}")),
        ("authorization", format!("Bearer {CLIENT_KEY},another-key-9876543210")),
        ("authorization", "Bearer \u{e9}\u{e9}".to_owned()),
        ("authorization", "Bearer ' OR '1'='1".to_owned()),
        ("authorization", format!("Bearer {}", "x".repeat(30_000))),
        ("x-api-key", "wrong".to_owned()),
        ("x-api-key", String::new()),
        ("x-goog-api-key", "wrong".to_owned()),
        ("api-key", format!("Bearer {CLIENT_KEY}")),
        ("cookie", format!("authorization=Bearer {CLIENT_KEY}")),
        ("proxy-authorization", format!("Bearer {CLIENT_KEY}")),
    ]
}

fn without_id(answer: Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !matches!(name.as_str(), "x-request-id" | "request-id" | "date"));
    (answer.status, headers, answer.text())
}

#[test]
fn every_cause_has_the_same_refusal() {
    let world = World::keyed();
    let tag = tag();
    let routes: Vec<(Request, &str)> = vec![
        (post("/v1/chat/completions", chat("good", &tag)), OPENAI),
        (post("/v1/messages", message("claude", &tag)), ANTHROPIC),
        (post("/v1/messages/count_tokens", message("claude", &tag)), ANTHROPIC),
        (post("/v1/embeddings", chat("good", &tag)), OPENAI),
        (post("/openai/chat/completions", chat("good", &tag)), OPENAI),
        (get("/v1/models"), OPENAI),
        (get("/v1/models/good"), OPENAI),
        (post("/v1/completions", chat("good", &tag)), OPENAI),
        (get("/v1/models").header("anthropic-version", "2023-06-01"), ANTHROPIC),
    ];
    for (request, body) in routes {
        let first = without_id(world.ask(&request));
        assert_eq!((first.0, first.2.as_str()), (401, body), "{}", request.path);
        for (name, value) in causes() {
            let answer = world.ask(&request.clone().header(name, &value));
            assert_eq!(without_id(answer), first, "{} {name}: {:.60}", request.path, value);
        }
        // A wrong key is not rescued by a right one behind it.
        let both = request.clone().header("authorization", "Bearer wrong").header("x-api-key", CLIENT_KEY);
        assert_eq!(without_id(world.ask(&both)), first);
    }
    assert!(world.seen_so_far(&tag).is_empty());
}

const OPENAI: &str = "{\"error\":{\"message\":\"Incorrect API key provided.\",\"type\":\"invalid_api_key\",\"param\":null,\
    \"code\":\"invalid_api_key\"}}";
const ANTHROPIC: &str = "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"Incorrect API key provided.\"}}";

#[test]
fn a_key_is_taken_from_any_of_its_headers() {
    let world = World::keyed();
    for (name, value) in [
        ("authorization", format!("Bearer {CLIENT_KEY}")),
        ("Authorization", format!("bearer {CLIENT_KEY}")),
        ("authorization", format!("BEARER   {CLIENT_KEY}  ")),
        ("authorization", "Bearer another-key-9876543210".to_owned()),
        ("x-api-key", CLIENT_KEY.to_owned()),
        ("x-goog-api-key", CLIENT_KEY.to_owned()),
        ("api-key", CLIENT_KEY.to_owned()),
    ] {
        let answer = world.ask(&get("/v1/models").header(name, &value));
        assert_eq!(answer.status, 200, "{name}: {value}");
    }
}

#[test]
fn a_key_in_the_address_is_refused_and_never_written_down() {
    let world = World::keyed();
    let tag = tag();
    for name in ["key", "KEY", "api_key", "api-key", "apikey", "access_token", "token"] {
        for path in ["/v1/models", "/health", "/v1/chat/completions", "/openai/models"] {
            for query in [
                format!("{name}={CLIENT_KEY}-{tag}"),
                format!("a=b&{name}={tag}&c"),
                format!("{name}&x={tag}"),
            ] {
                for key in ["", CLIENT_KEY] {
                    let request = get(&format!("{path}?{query}")).header("x-api-key", key);
                    let answer = world.ask(&request);
                    assert_eq!(answer.status, 400, "{path}?{query}");
                    assert!(!answer.text().contains(&tag), "{}", answer.text());
                }
            }
        }
    }
    // Spelt so that the next server would read it.
    for query in
        [format!("k%65y={tag}"), format!("%6bey={tag}"), format!("x;key={tag}"), format!("key%3D{tag}")]
    {
        let answer = world.ask(&get(&format!("/openai/models?{query}")).header("x-api-key", CLIENT_KEY));
        let harmless = query.starts_with("key%3D");
        assert!(answer.status == 400 || harmless, "{query}: {}", answer.status);
    }
    let allowed = world.ask(&get("/box/files?keys=1&monkey=2").header("x-api-key", CLIENT_KEY));
    assert_eq!(allowed.status, 200);
    assert!(!world.gateway.err().contains(&tag));
}
