//! A stream ends with its own last event or with an error: no truncation passes for an answer.

use crate::support::{
    all_at_once, chat,
    client::{Answer, code_of, post},
    message, streamed,
    upstream::Upstream,
    world::World,
};
use serde_json::Value;
use std::io::Write;

/// What a client makes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has the whole answer.
    Success,
    /// It was told of an error, by status or by event.
    Error(String),
    /// The connection broke.
    Broken,
    /// It cannot tell: neither the last event nor an error, and HTTP is content. Never right.
    Silence,
    /// It was told both. Never right.
    Contradiction,
}

fn verdict(answer: &Answer) -> Verdict {
    if answer.status != 200 {
        return Verdict::Error(answer.code());
    }
    let events = answer.events();
    let json = |data: &str| serde_json::from_str::<Value>(data).unwrap_or_default();
    let finished = |data: &str| json(data).pointer("/choices/0/finish_reason").is_some_and(Value::is_string);
    let sealed = events.iter().any(|(name, data)| name == "message_stop" || data == "[DONE]");
    let ended = sealed || events.iter().any(|(_, data)| finished(data));
    let error = events.iter().find_map(|(_, data)| json(data).get("error").map(|_| code_of(&json(data))));
    match (error, answer.whole) {
        (Some(_), _) if sealed => Verdict::Contradiction,
        (Some(code), _) => Verdict::Error(code),
        (None, false) => Verdict::Broken,
        (None, true) if ended => Verdict::Success,
        (None, true) => Verdict::Silence,
    }
}

type Body = fn(&str, &str) -> Value;

/// Caller's path and body, and the model: each dialect to itself and to the other.
const WAYS: [(&str, Body, &str); 4] = [
    ("/v1/chat/completions", chat, "good"),
    ("/v1/chat/completions", chat, "claude"),
    ("/v1/messages", message, "claude"),
    ("/v1/messages", message, "good"),
];

/// Where the event begins that makes the provider's stream whole, and its length.
fn stream_of(world: &World, model: &str) -> (usize, usize) {
    let (path, body, mark) = match model {
        "good" => ("/v1/chat/completions", chat as Body, "\"finish_reason\":\"stop\""),
        _ => ("/v1/messages", message as Body, "event: message_delta"),
    };
    let text = world.ask(&post(path, streamed(body(model, "[[kit words=4]]")))).text();
    let at = text.find(mark).expect("the last event");
    (text[..at].rfind("\n\n").expect("an event before it") + 2, text.len())
}

#[test]
fn a_stream_that_is_cut_anywhere_never_passes_for_a_whole_one() {
    let world = World::open();
    let mut cells = Vec::new();
    for (path, body, model) in WAYS {
        // What the provider writes, and where its truth ends.
        let (last, length) = stream_of(&world, model);
        for step in 0..100 {
            for how in ["fin", "rst", "eof"] {
                cells.push((path, body, model, step * length / 100, how, last));
            }
        }
    }
    let judged = std::sync::atomic::AtomicUsize::new(0);
    all_at_once(&cells, 8, |(path, body, model, cut, how, last)| {
        let script = format!("[[kit words=4 cut={cut} how={how}]]");
        let answer = world.ask(&post(path, streamed(body(model, &script))));
        let verdict = verdict(&answer);
        let honest = matches!(verdict, Verdict::Error(_) | Verdict::Broken);
        let place = format!("{path} {model} {script}: {verdict:?} {} {}", answer.status, answer.text());
        assert!(honest || (verdict == Verdict::Success && cut > last), "{place}");
        assert!(honest || !answer.text().contains("\"error\""), "{place}");
        judged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(judged.into_inner(), 1_200);
}

#[test]
fn a_clean_end_without_the_last_event_is_told_as_a_truncation() {
    let world = World::open();
    for (path, body, model) in WAYS {
        let answer = world.ask(&post(path, streamed(body(model, "[[kit cut-after=5 how=eof]]"))));
        let code = if path.ends_with("messages") { "api_error" } else { "upstream_truncated" };
        assert_eq!(
            (answer.status, verdict(&answer)),
            (200, Verdict::Error(code.into())),
            "{}",
            answer.text()
        );
        let (name, data) = answer.events().pop().expect("an event");
        assert!(data.contains("\"error\""), "the error comes last: {data}");
        assert_eq!(name, if path.ends_with("messages") { "error" } else { "" });
    }
    // OpenAI's `[DONE]` alone may be missing: some providers never send it.
    let answer = world.ask(&post("/v1/chat/completions", streamed(chat("good", "[[kit done=no]]"))));
    assert_eq!(verdict(&answer), Verdict::Success);
}

#[test]
fn a_large_last_event_before_the_close_comes_whole_every_time() {
    let content = "x".repeat(2 << 20);
    let chunk = |delta: &str, finish: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
    };
    let last = chunk(&format!("{{\"content\":\"{content}\"}}"), "\"stop\"");
    let stream = chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null") + &last;
    let sent = stream.clone();
    let upstream = Upstream::start(move |socket, _| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let _ = socket.write_all(&[head.as_bytes(), sent.as_bytes()].concat());
    });
    let config = format!("providers: {{large: {{base_url: \"{}/v1\", keys: []}}}}\n", upstream.url());
    let world = World::start(&config, Default::default());
    all_at_once(&[(); 60], 4, |()| {
        let answer = world.ask(&post("/v1/chat/completions", streamed(chat("large/m", "hi"))));
        assert_eq!((answer.status, answer.whole, answer.body.len()), (200, true, stream.len()));
        assert!(answer.body == stream.as_bytes());
    });
}

#[test]
fn a_whole_answer_that_breaks_off_is_a_fault_or_a_broken_connection() {
    let world = World::open();
    for (path, body, model) in WAYS {
        for how in ["fin", "rst"] {
            // Nothing has been sent yet: the truth can still be told.
            let script = format!("[[kit cut=60 how={how}]]");
            let answer = world.ask(&post(path, body(model, &script)));
            let code = if path.ends_with("messages") { "api_error" } else { "upstream_truncated" };
            assert_eq!((answer.status, answer.code().as_str()), (502, code), "{path} {model} {how}");
        }
    }
    // The head has gone with what was held back: only a broken connection is honest now.
    for (path, body, model) in [WAYS[0], WAYS[2]] {
        for how in ["fin", "rst"] {
            let script = format!("[[kit words=40 word-bytes=20000 cut=600000 how={how}]]");
            let answer = world.ask(&post(path, body(model, &script)));
            // A reset may overtake what came before it; then nothing has gone yet.
            let told = how == "rst" && answer.status == 502;
            assert!(told || (answer.status, answer.whole) == (200, false), "{path} {how} {}", answer.status);
            assert!(answer.body.len() <= 600_000);
        }
    }
}

#[test]
fn a_chunked_whole_answer_is_never_ended_for_its_provider() {
    let body = "x".repeat(600_000);
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let upstream = Upstream::saying(format!("{head}{chunk}"));
    let config = format!(
        "providers:\n  cut: {{base_url: \"{0}/v1\", keys: []}}\n  cutting: {{base_url: \"{0}\", keys: [], dialect: anthropic}}\n",
        upstream.url()
    );
    let world = World::start(&config, Default::default());
    for request in [
        post("/v1/chat/completions", chat("cut/m", "hi")),
        post("/v1/messages", message("cutting/m", "hi")),
        post("/cut/anything", "{}"),
    ] {
        let answer = world.ask(&request);
        assert_eq!((answer.status, answer.whole), (200, false), "{}", request.path);
    }
}

#[test]
fn an_error_in_a_stream_before_its_content_has_a_status_of_its_own() {
    let world = World::open();
    for (path, body, model) in WAYS {
        for position in [0, 1] {
            let script = format!("[[kit error-at={position}]]");
            let answer = world.ask(&post(path, streamed(body(model, &script))));
            let place = format!("{path} {model} {position}: {}", answer.text());
            assert!(answer.status >= 500, "{} {place}", answer.status);
            assert!(answer.text().contains("scripted error"), "{place}");
        }
    }
    let answer = world.ask(&post("/v1/chat/completions", streamed(chat("then-good/errs/m", "hi"))));
    assert_eq!((answer.status, verdict(&answer)), (200, Verdict::Success));
    assert_eq!(answer.header("x-sekisho-target"), "openai/second");
}

#[test]
fn an_error_in_a_stream_after_content_passes_as_it_is() {
    let world = World::open();
    for (path, body, model) in [WAYS[0], WAYS[2]] {
        let answer = world.ask(&post(path, streamed(body(model, "[[kit error-at=6]]"))));
        assert_eq!((answer.status, answer.whole), (200, true));
        assert_eq!(answer.events().len(), 7);
        let (_, data) = answer.events().pop().expect("an event");
        // Once, and in the provider's own words.
        assert_eq!(answer.text().matches("\"error\":{").count(), 1, "{}", answer.text());
        assert!(data.contains("scripted error") && !data.contains("hint"), "{data}");
        assert!(matches!(verdict(&answer), Verdict::Error(_)));
    }
    for (path, body, model) in [WAYS[1], WAYS[3]] {
        let answer = world.ask(&post(path, streamed(body(model, "[[kit error-at=6]]"))));
        assert!(matches!(verdict(&answer), Verdict::Error(_)), "{}", answer.text());
        assert!(answer.text().contains("scripted error"), "{}", answer.text());
    }
}

#[test]
fn a_whole_answer_that_is_an_error_or_nothing_is_not_told_as_an_answer() {
    let world = World::open();
    for (path, body, model) in WAYS {
        for script in ["garbage=0", "body=''", "body='[]'", "body='{\"error\":{\"message\":\"no\"}}'"] {
            let answer = world.ask(&post(path, body(model, &format!("[[kit {script}]]"))));
            assert_eq!(answer.status, 502, "{path} {model} {script}: {}", answer.text());
            assert!(answer.json()["error"]["message"].is_string(), "{path} {model} {script}");
        }
    }
}
