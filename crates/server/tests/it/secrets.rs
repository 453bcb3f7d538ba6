//! Secrets stay where they belong: whatever goes wrong, none is written down or told.

use crate::support::{
    chat,
    client::{Answer, Request, find, get, post, request},
    gateway::{Gateway, Setup},
    message, streamed,
    upstream::Upstream,
    world::World,
};
use serde_json::{Value, json};
use std::io::Write;

// Keys: neither logs nor answers may hold them.
const CLIENT: &str = "cK7-vQ2xTz9mWp4LsRb8";
const OPENAI: &str = "oA5-hJ3kUy6nEd1GfXc9";
const ANTHROPIC: &str = "aN8-tB4wIq7vMo2ZlPs6";
const ENVIRONMENT: &str = "eV3-rF9gYk1jCh5DxNu7";
const CONFIGURED: &str = "hD6-pS8zKm2bVt4WqLe1";
// What a client says of himself: no log may hold it.
const PROMPT: &str = "pR1-xG7cNf5yHa9TuBi3";
const COOKIE: &str = "kI4-mZ6vDw8sQj2RoEl5";
const HEADER: &str = "xH9-bL1nTy3fUk7PcGa2";
const QUERY: &str = "qU2-wX5rJv4eMi8ZhSo6";
const WRONG_KEY: &str = "wK5-dN3uFp6gYt1CqAb8";

const KEYS: [&str; 5] = [CLIENT, OPENAI, ANTHROPIC, ENVIRONMENT, CONFIGURED];
const WORDS: [&str; 5] = [PROMPT, COOKIE, HEADER, QUERY, WRONG_KEY];

/// The forms in which a secret could stand somewhere.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let spelt: String = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let list = format!("{:?}", secret.as_bytes());
    let mut forms = vec![hex.to_uppercase(), hex, percent, spelt, list];
    // Twelve characters of it are most of it.
    forms.extend(secret.as_bytes().windows(12).map(|part| String::from_utf8_lossy(part).into_owned()));
    // In base64 it depends on what stands before it; the ends are mixed with what stands around.
    for before in ["", "x", "xx"] {
        let text = base64(format!("{before}{secret}").as_bytes());
        forms.push(text[4..text.len() - 4].to_owned());
        forms.push(text[4..text.len() - 4].replace('+', "-").replace('/', "_"));
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quad = |three: &[u8]| {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4).map(move |at| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize])).collect::<String>()
    };
    bytes.chunks(3).map(quad).collect()
}

/// Fails where `text` holds one of them in any form.
fn scan(what: &str, text: &[u8], secrets: &[&str]) {
    for secret in secrets {
        for form in forms(secret) {
            let found = find(text, form.as_bytes());
            let around = found
                .map(|at| String::from_utf8_lossy(&text[at.saturating_sub(80)..text.len().min(at + 80)]));
            assert!(found.is_none(), "{what} holds {secret} as {form}: …{}…", around.unwrap_or_default());
        }
    }
}

#[test]
fn the_scanner_finds_what_it_looks_for() {
    for text in [
        format!("key={OPENAI}"),
        OPENAI[3..16].to_owned(),
        base64(format!("user:{OPENAI}").as_bytes()),
        base64(format!("Bearer {OPENAI}!").as_bytes()),
        format!("{:?}", OPENAI.as_bytes()),
    ] {
        let found = std::panic::catch_unwind(|| scan("text", text.as_bytes(), &[OPENAI]));
        assert!(found.is_err(), "{text}");
    }
    scan("text", b"nothing of the kind", &[OPENAI]);
}

/// A provider that repeats in its error whatever it was sent.
fn telltale() -> Upstream {
    Upstream::start(|socket, request| {
        let request = String::from_utf8_lossy(request).into_owned();
        let authorization = request.lines().find(|line| line.to_lowercase().starts_with("authorization"));
        let message = format!("Incorrect API key provided: {}", authorization.unwrap_or_default());
        let body = json!({"error": {"message": message, "type": "x", "code": "invalid_api_key"}}).to_string();
        let head = format!(
            "HTTP/1.1 401 No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = socket.write_all(format!("{head}{body}").as_bytes());
    })
}

const FAILING: [(&str, &str); 14] = [
    ("says-400", "status=400"),
    ("says-401", "status=401"),
    ("says-403", "status=403"),
    ("says-404", "status=404"),
    ("says-429", "status=429 retry-after=3"),
    ("says-500", "status=500"),
    ("says-529", "status=529"),
    ("cuts", "cut=40"),
    ("cuts-late", "cut-after=4"),
    ("ends", "cut-after=4 how=eof"),
    ("resets", "cut=head how=rst"),
    ("garbles", "garbage=0"),
    ("rubbish", "garbage=head"),
    ("errs", "error-at=4"),
];

fn world() -> World {
    let failing = FAILING.map(|(name, script)| {
        format!("  {name}: {{base_url: \"KIT/v1\", keys: {OPENAI}, headers: {{x-kit: {script}, x-secret: {CONFIGURED}}}}}\n")
    });
    let config = format!(
        "keys: {CLIENT}\nlimits: {{body: 64KiB}}\ntimeouts: {{first_byte: 500ms, idle: 500ms}}\nfailover: {{retries: 0}}\nlog: {{format: json}}\n\
         providers:\n  openai: {{base_url: \"KIT/v1\", keys: {OPENAI}}}\n  \
         anthropic: {{base_url: \"KIT\", keys: \"${{SECRET_KEY}}\", headers: {{x-secret: {CONFIGURED}}}}}\n  \
         claude: {{base_url: \"KIT\", dialect: anthropic, keys: {ANTHROPIC}, headers: {{x-kit: status=401}}}}\n  \
         nobody: {{base_url: \"http://127.0.0.1:1/v1\", keys: {OPENAI}}}\n  \
         silent: {{base_url: \"KIT/v1\", keys: {OPENAI}, headers: {{x-kit: silent}}}}\n{}",
        failing.concat(),
    );
    let environment =
        vec![("SECRET_KEY".to_owned(), ENVIRONMENT.to_owned()), ("RUST_LOG".to_owned(), "trace".to_owned())];
    World::start(&config, Setup { environment, ..Setup::default() })
}

/// Requests that all go wrong, each in its own way.
fn wrong_requests() -> Vec<Request> {
    let names = FAILING.iter().map(|(name, _)| *name).chain(["nobody", "silent", "claude", "nothing"]);
    let mut all = Vec::new();
    for name in names {
        let model = format!("{name}/m");
        all.push(post("/v1/chat/completions", chat(&model, PROMPT)));
        all.push(post("/v1/chat/completions", streamed(chat(&model, PROMPT))));
        all.push(post("/v1/messages", message(&model, PROMPT)));
        all.push(post("/v1/messages", streamed(message(&model, PROMPT))));
        all.push(post(&format!("/{name}/chat/completions?x={QUERY}"), chat(&model, PROMPT)));
    }
    let whole = chat("openai/m", PROMPT).to_string();
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
        all.push(post(path, &whole[..whole.len() - 3]));
        all.push(post(path, format!("{whole}{PROMPT}")));
        all.push(post(path, format!("{{\"model\":\"openai/m\",\"x\":\"{PROMPT}\\ud800\",\"model\":\"x\"}}")));
        all.push(post(path, format!("{{\"model\":\"openai/m\",{PROMPT}:1}}")));
        all.push(post(path, "[".repeat(5_000) + PROMPT));
        all.push(post(path, PROMPT.repeat(5_000)));
        all.push(post(path, &whole).header("content-encoding", "gzip"));
        all.push(get(path));
        all.push(post(&format!("{path}?key={QUERY}"), &whole));
        all.push(post(&format!("{path}/../{QUERY}"), &whole));
        all.push(post(path, &whole).header("host", "crooked/host"));
        all.push(post(path, &whole).header("x_y", HEADER));
        all.push(post(path, &whole).header("x-sekisho-strict", HEADER));
        all.push(post(path, &whole).header("x-long", &HEADER.repeat(2_000)));
    }
    all.push(get(&format!("/{QUERY}")));
    all.push(get(&format!("/nothing/{QUERY}")));
    all.push(request("TRACE", &format!("/{QUERY}")));
    all.extend(crooked_messages().into_iter().map(|body| post("/v1/messages", body)));
    all
}

/// Requests that must be read to be translated, and cannot.
fn crooked_messages() -> Vec<Value> {
    let with = |content: Value| json!({"model": "openai/m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
    vec![
        with(json!({"text": PROMPT})),
        with(json!([{"type": PROMPT}])),
        with(json!([{"type": "image", "source": {"type": PROMPT, "data": PROMPT}}])),
        with(json!([{"type": "tool_result", "tool_use_id": PROMPT, "content": 7}])),
        json!({"model": "openai/m", "max_tokens": PROMPT, "messages": []}),
        json!({"model": "openai/m", "max_tokens": 9, "messages": PROMPT}),
        json!({"model": "openai/m", "max_tokens": 9, "messages": [{"role": PROMPT, "content": PROMPT}]}),
        json!({"model": "openai/m", "max_tokens": 9, "system": {"x": PROMPT}, "messages": []}),
        json!({"model": "openai/m", "max_tokens": 9, "tools": [{"name": 7, "description": PROMPT}], "messages": []}),
        json!({"model": "openai/m", "stream": PROMPT, "messages": []}),
    ]
}

#[test]
fn no_way_to_fail_tells_a_secret() {
    let world = world();
    let requests = wrong_requests();
    println!("{} ways to fail, each with a key, with a wrong one and with none", requests.len());
    assert!(requests.len() > 100);
    let asked = |request: &Request, key: &str| -> Option<Answer> {
        let request =
            request.clone().header("cookie", &format!("session={COOKIE}")).header("x-client", HEADER);
        let request =
            if key.is_empty() { request } else { request.header("authorization", &format!("Bearer {key}")) };
        let mut client = world.gateway.connect();
        client.send_request(&request);
        client.try_answer(&request.method)
    };
    crate::support::all_at_once(&requests, 8, |request| {
        for key in [CLIENT, WRONG_KEY, ""] {
            let Some(answer) = asked(request, key) else { continue };
            let what = format!("the answer to {} {} ({})", request.method, request.path, answer.status);
            let echoed = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
            let all = [echoed.collect::<String>().as_bytes(), &answer.body].concat();
            scan(&what, &all, &KEYS);
        }
    });
    let ended = world.gateway.finish();
    let lines = ended.err.lines().filter(|line| line.starts_with('{')).count();
    assert!(lines >= requests.len() / 2, "{lines} lines were written");
    for (what, text) in [("stdout", &ended.out), ("stderr", &ended.err)] {
        scan(what, text.as_bytes(), &KEYS);
        scan(what, text.as_bytes(), &WORDS);
    }
}

#[test]
fn a_key_that_its_provider_repeats_is_not_passed_on() {
    let upstream = telltale();
    let config =
        format!("providers: {{telltale: {{base_url: \"{}/v1\", keys: {OPENAI}}}}}\n", upstream.url());
    let world = World::start(&config, Setup::default());
    for request in [
        post("/v1/chat/completions", chat("telltale/m", "hi")),
        post("/v1/chat/completions", streamed(chat("telltale/m", "hi"))),
        post("/v1/messages", message("telltale/m", "hi")),
    ] {
        let answer = world.ask(&request);
        assert!(answer.text().contains("Incorrect API key"), "{}", answer.text());
        scan(&format!("the answer to {}", request.path), &answer.body, &KEYS);
    }
    scan("stderr", world.gateway.finish().err.as_bytes(), &KEYS);
}

#[test]
fn a_configuration_that_is_wrong_is_quoted_without_its_secrets() {
    for config in [
        format!("keys: {CLIENT}\nproviders: {{openai: {{keys: {OPENAI}, nonsense: {CONFIGURED}}}}}\n"),
        format!("keys: {CLIENT}\n  broken: [\n"),
        format!("{CLIENT}\n"),
        format!("{CLIENT}: x\n"),
        format!("keys: [{CLIENT}, {{a: {OPENAI}}}]\n"),
        format!("providers: {{openai: {{keys: {OPENAI}, base_url: \"http://user:{CONFIGURED}@x\"}}}}\n"),
        format!("providers: {{openai: {{keys: {OPENAI}, headers: {{\"x y\": {CONFIGURED}}}}}}}\n"),
        format!("providers: {{openai: {OPENAI}}}\n"),
        format!("attempts: {CONFIGURED}\nkeys: {CLIENT}\n"),
        format!("keys: \"{CLIENT}\u{1}\"\n"),
        "keys: \"${SECRET_KEY:-x}\"\nattempts: ${SECRET_KEY}\n".to_owned(),
        format!("models: {{a: \"{CONFIGURED}\"}}\nproviders: {{openai: {{keys: {OPENAI}}}}}\n"),
    ] {
        let environment = vec![("SECRET_KEY".to_owned(), ENVIRONMENT.to_owned())];
        let ended =
            Gateway::refused(&Setup { config: Some(config.clone()), environment, ..Setup::default() });
        assert_eq!(ended.code, Some(78), "{config}{}", ended.err);
        scan(&format!("what was said of {config}"), ended.err.as_bytes(), &[CLIENT, OPENAI, ENVIRONMENT]);
    }
}
