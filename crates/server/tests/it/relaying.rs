//! What is relayed goes to a provider that has it, and comes back as it was.

use crate::support::{
    client::{PATIENCE, get, post, request},
    eventually,
    gateway::{Gateway, Setup},
    upstream::Upstream,
    world::World,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    sync::{
        Mutex,
        mpsc::{Sender, channel},
    },
};

/// Three providers that echo, and none of them OpenAI.
const THREE: &str = "providers:\n  one: {base_url: \"KIT/echo/one/v1\", keys: key-of-one-0123}\n  \
                     two: {base_url: \"KIT/echo/two/v1\", keys: []}\n  claude: {dialect: anthropic, base_url: \"KIT/echo/claude\", keys: []}\n";

fn target(answer: &Value) -> &str {
    answer["target"].as_str().unwrap_or_default()
}

#[test]
fn files_and_batches_go_to_the_provider_that_is_meant() {
    let openai = "  openai: {base_url: \"KIT/echo/openai/v1\", keys: x}\n";
    let only = "providers: {one: {base_url: \"KIT/echo/one/v1\", keys: []}}\n";
    for (config, expected) in [
        (THREE.to_owned() + openai, "openai"),
        (THREE.to_owned() + openai + "default_provider: two\n", "two"),
        (only.to_owned(), "one"),
    ] {
        let world = World::start(&config, Setup::default());
        for (method, path, at) in [
            ("GET", "/v1/files?purpose=batch", "/v1/files?purpose=batch"),
            ("GET", "/files/file-1/content", "/v1/files/file-1/content"),
            ("DELETE", "/v1/files/file-1", "/v1/files/file-1"),
            ("POST", "/v1/batches/b-1/cancel", "/v1/batches/b-1/cancel"),
            ("POST", "/batches", "/v1/batches"),
        ] {
            let answer = world.ask(&request(method, path));
            assert_eq!(target(&answer.json()), format!("/echo/{expected}{at}"), "{method} {path}");
            assert_eq!(answer.json()["method"], method);
            assert_eq!(answer.header("x-sekisho-target"), expected);
        }
        // No model is needed where the provider has one of its own.
        let answer = world.ask(&post("/v1/moderations", json!({"input": "x"})));
        assert_eq!(target(&answer.json()), format!("/echo/{expected}/v1/moderations"));
    }
}

#[test]
fn among_several_providers_nothing_is_guessed() {
    let world = World::start(THREE, Setup::default());
    for ask in [get("/v1/files/file-1"), post("/v1/batches", json!({})), post("/v1/moderations", json!({}))] {
        let answer = world.ask(&ask);
        assert_eq!(answer.status, 400, "{}", ask.path);
        for word in ["`one`, `two`", "x-sekisho-provider", "default_provider"] {
            assert!(answer.text().contains(word), "{}: {}", ask.path, answer.text());
        }
        for (name, at) in [("two", "two/v1"), ("claude", "claude/v1")] {
            let answer = world.ask(&ask.clone().header("x-sekisho-provider", name)).json();
            assert!(target(&answer).starts_with(&format!("/echo/{at}")), "{answer}");
            assert!(!answer["headers"].to_string().contains("x-sekisho"), "{answer}");
        }
    }
    let none = World::start(
        "providers: {claude: {dialect: anthropic, base_url: \"KIT\", keys: []}}\n",
        Setup::default(),
    );
    let answer = none.ask(&get("/v1/files"));
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
}

#[test]
fn what_is_relayed_needs_a_key_like_the_rest() {
    let world = World::keyed();
    for (method, path) in [
        ("GET", "/v1/files"),
        ("POST", "/files"),
        ("DELETE", "/v1/batches/b"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/images/edits"),
    ] {
        let answer = world.ask(&request(method, path));
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"), "{method} {path}");
    }
    assert_eq!(world.ask(&get("/v1/audio/speech")).header("allow"), "POST");
}

/// A provider that answers with a body of that kind, each of its pieces when it is told. It says before how long
/// that is (`framed`), or its connection ends it.
fn telling(kind: &'static str, pieces: Vec<Vec<u8>>, framed: bool) -> (Upstream, Sender<()>) {
    let (sender, next) = channel();
    let next = Mutex::new(next);
    let end = match framed {
        true => format!("content-length: {}", pieces.iter().map(Vec::len).sum::<usize>()),
        false => "connection: close".to_owned(),
    };
    let upstream = Upstream::start(move |socket, _| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{end}\r\n\r\n");
        let _ = socket.write_all(head.as_bytes());
        for piece in &pieces {
            if next.lock().expect("no panic").recv().is_err() {
                return;
            }
            let _ = socket.write_all(piece);
        }
    });
    (upstream, sender)
}

/// A gateway before that provider, `up`.
fn before(upstream: &Upstream) -> Gateway {
    let provider = format!("{{base_url: \"{}/v1\", keys: []}}", upstream.url());
    let config = Some(format!("log: {{format: json}}\nproviders: {{up: {provider}}}\n"));
    Gateway::start(&Setup { config, ..Setup::default() })
}

/// The one request that was logged.
fn logged(gateway: &Gateway) -> Value {
    let line = || {
        let said = gateway.err();
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["msg"] == "request")
    };
    eventually("it is logged", PATIENCE, || line().is_some());
    line().expect("it is there")
}

/// A path, the kind of its answer, its pieces, and what they say that they cost.
type Case = (&'static str, &'static str, Vec<Vec<u8>>, Option<(u64, u64)>);

#[test]
fn answers_of_any_kind_pass_as_they_come() {
    let sse = |data: &str| format!("event: x\ndata: {data}\n\n").into_bytes();
    let usage = r#"{"type":"transcript.text.done","text":"hi","usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59}}"#;
    let picture = r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":50,"output_tokens":272,"total_tokens":322}}"#;
    let moderation = br#"{"results":[],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let noise: Vec<u8> = (0..=255).cycle().take(9_999).collect();
    #[rustfmt::skip]
    let table: Vec<Case> = vec![
        ("/v1/audio/speech", "audio/mpeg", vec![noise.clone(), b"\r\n\0".to_vec(), noise], None),
        ("/v1/audio/transcriptions", "text/event-stream", vec![b"event: x\nda".to_vec(), b"ta: {}\n\n".to_vec(), sse(usage), sse("[DONE]")], Some((14, 45))),
        ("/v1/images/generations", "application/json", vec![picture.as_bytes()[..9].to_vec(), picture.as_bytes()[9..].to_vec()], Some((50, 272))),
        ("/v1/moderations", "application/json", vec![moderation.to_vec()], Some((8, 0))),
        ("/v1/moderations", "application/json", vec![b"{\"results\":".to_vec(), b"[]} not json".to_vec()], None),
        ("/v1/rerank", "application/x-ndjson", vec![b"{}\n".to_vec(), b"{\"usage\":".to_vec(), b"{}}\n".to_vec()], None),
    ];
    let twice = table.into_iter().flat_map(|case| [(case.clone(), false), (case, true)]);
    for ((path, kind, pieces, tokens), framed) in twice {
        let (upstream, next) = telling(kind, pieces.clone(), framed);
        let gateway = before(&upstream);
        let mut client = gateway.connect();
        client.send_request(&post(path, json!({"model": "up/m"})));
        client.wait_for("\r\n\r\n");
        for piece in &pieces {
            // Each piece is there before the next one is sent.
            next.send(()).expect("the provider waits");
            let tail = &piece[piece.len().saturating_sub(3)..];
            while memchr::memmem::rfind(&client.buffer, tail).is_none() {
                client.fill();
            }
        }
        let answer = client.answer();
        let kind_of = answer.header("content-type");
        assert_eq!((answer.status, kind_of.as_str(), answer.whole), (200, kind, true), "{path}");
        assert!(answer.body == pieces.concat(), "{path}: {}", answer.text());
        let line = logged(&gateway);
        let counted = line["tokens_in"].as_u64().zip(line["tokens_out"].as_u64());
        assert_eq!((counted, &line["outcome"]), (tokens, &json!("ok")), "{path}: {line}");
    }
}

#[test]
fn an_answer_without_a_body_is_whole_too() {
    let empty = |status: &str, length: u8| {
        Upstream::saying(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n"))
    };
    for (upstream, method, status) in [
        (empty("200 OK", 0), "GET", 200),
        (empty("204 No Content", 0), "DELETE", 204),
        (empty("200 OK", 77), "HEAD", 200),
    ] {
        let gateway = before(&upstream);
        let answer = gateway.connect().ask(&request(method, "/v1/files/x"));
        assert_eq!((answer.status, answer.whole, answer.body.len()), (status, true, 0));
        let line = logged(&gateway);
        assert_eq!((&line["outcome"], &line["target"]), (&json!("ok"), &json!("up/")), "{method}: {line}");
    }
}
