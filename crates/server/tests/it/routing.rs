//! Which provider is asked, with which key, and what the answer says of it.

use crate::support::{
    chat,
    client::post,
    gateway::Setup,
    message, streamed, tag,
    world::{FAILING, TURNS, World},
};
use serde_json::json;

#[test]
fn several_keys_take_turns_one_step_an_upstream_request() {
    let world = World::once();
    let tag = tag();
    let script = format!("{tag} [[kit status=500]]");
    for model in ["turns/m", "turns/m", "twice-turns", "turns/m", "twice-turns"] {
        world.ask(&post("/v1/chat/completions", chat(model, &script)));
    }
    let seen = world.seen(&tag, 7);
    let key = |seen: &testkit::provider::Seen| seen.header("authorization").replace("Bearer ", "");
    let keys: Vec<String> = seen.iter().map(key).collect();
    let first = TURNS.iter().position(|turn| *turn == keys[0]).expect("one of the keys");
    let expected: Vec<&str> = TURNS.iter().cycle().skip(first).take(7).copied().collect();
    assert_eq!(keys, expected);
}

#[test]
fn what_is_wrong_with_one_key_is_tried_with_the_next() {
    // Keys that were refused rest, so each has a provider of its own.
    let row = |status| {
        format!(
            "  keys-{status}: {{base_url: \"KIT/v1\", keys: [one-{status}, two-{status}, three-{status}]}}\n"
        )
    };
    let config = format!("providers:\n{}", [401, 402, 403, 429].map(row).concat());
    let world = World::start(&config, Setup::default());
    for status in [401, 402, 403, 429] {
        let (tag, model) = (tag(), format!("keys-{status}/m-{status}"));
        let script = format!("{tag} [[kit status={status} times=2]]");
        let answer = world.ask(&post("/v1/chat/completions", chat(&model, &script)));
        assert_eq!((answer.status, answer.header("x-sekisho-attempts").as_str()), (200, "3"), "{status}");
        let seen = world.seen(&tag, 3);
        let keys: std::collections::BTreeSet<&str> =
            seen.iter().map(|seen| seen.header("authorization")).collect();
        assert_eq!(keys.len(), 3, "{status}: {keys:?}");
    }
}

#[test]
fn a_key_can_be_chosen_in_the_path() {
    let world = World::open();
    for (prefix, allowed) in [("/key/0", &TURNS[..1]), ("/key/2", &TURNS[2..]), ("/key/1-2", &TURNS[1..])] {
        for path in ["/v1/chat/completions", "/turns/chat/completions"] {
            let tag = tag();
            let answer = world.ask(&post(&format!("{prefix}{path}"), chat("turns/m", &tag)));
            assert_eq!(answer.status, 200, "{prefix}{path} {}", answer.text());
            let seen = world.saw(&tag);
            let key = seen.header("authorization").replace("Bearer ", "");
            assert!(allowed.contains(&key.as_str()), "{prefix}{path}: {key}");
        }
    }
}

#[test]
fn a_target_that_fails_before_its_first_byte_gives_way_to_the_next() {
    let world = World::once();
    for (path, body) in [
        ("/v1/chat/completions", chat as fn(&str, &str) -> serde_json::Value),
        ("/v1/messages", message as fn(&str, &str) -> serde_json::Value),
    ] {
        for failing in FAILING {
            for stream in [false, true] {
                if failing == "garbles" && stream {
                    // A relayed stream is not judged event by event: its reader sees what we see.
                    continue;
                }
                let tag = tag();
                let model = format!("then-good/{failing}/{tag}");
                let request = body(&model, &tag);
                let request = if stream { streamed(request) } else { request };
                let answer = world.ask(&post(path, request));
                let place = format!("{path} {failing} {stream}: {}", answer.text());
                assert_eq!((answer.status, answer.whole), (200, true), "{place}");
                assert_eq!(answer.header("x-sekisho-target"), "openai/second", "{place}");
                assert_eq!(answer.header("x-sekisho-attempts"), "2", "{place}");
                assert!(!answer.text().contains("\"error\""), "{place}");
                let seen = world.seen(&tag, if failing == "nobody" { 1 } else { 2 });
                assert_eq!(seen.last().map(|seen| seen.json()["model"].clone()), Some(json!("second")));
            }
        }
    }
}

#[test]
fn targets_take_turns_and_a_conversation_stays() {
    let world = World::open();
    let ask = |request: &crate::support::client::Request| world.ask(request).header("x-sekisho-target");
    let request = || post("/v1/chat/completions", chat("shared", &tag()));
    let turns: Vec<String> = (0..4).map(|_| ask(&request())).collect();
    assert!(turns[0] != turns[1] && turns[0] == turns[2] && turns[1] == turns[3], "{turns:?}");
    for session in ["a", "b", "c"] {
        let first = ask(&request().header("x-session-id", session));
        for _ in 0..3 {
            assert_eq!(ask(&request().header("x-session-id", session)), first);
        }
    }
}

#[test]
fn a_mirrored_request_is_asked_twice_and_answered_once() {
    let world = World::open();
    for stream in [false, true] {
        let tag = tag();
        let request = chat("mirrored", &tag);
        let answer =
            world.ask(&post("/v1/chat/completions", if stream { streamed(request) } else { request }));
        assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
        assert_eq!(answer.header("x-sekisho-target"), "openai/real-model");
        assert_eq!(answer.header("x-sekisho-attempts"), "1");
        let mut models: Vec<_> =
            world.seen(&tag, 2).iter().map(|seen| seen.json()["model"].to_string()).collect();
        models.sort();
        assert_eq!(models, [r#""real-model""#, r#""reflection""#]);
    }
    let tag = tag();
    let answer = world.ask(&post("/v1/chat/completions", chat("mirrored-to-nobody", &tag)));
    assert_eq!((answer.status, answer.header("x-sekisho-target").as_str()), (200, "openai/real-model"));
    world.saw(&tag);
}

#[test]
fn what_the_caller_did_wrong_is_not_asked_of_another_target() {
    let world = World::open();
    let tag = tag();
    let answer = world.ask(&post("/v1/chat/completions", chat("then-good/says-400", &tag)));
    assert_eq!((answer.status, answer.header("x-sekisho-attempts").as_str()), (400, "1"));
    world.saw(&tag);
}

#[test]
fn attempts_are_bounded_and_the_last_refusal_is_told() {
    let world = World::once();
    let tag = tag();
    let answer = world.ask(&post("/v1/chat/completions", chat("all-fail", &tag)));
    assert_eq!((answer.status, answer.header("x-sekisho-attempts").as_str()), (429, "3"));
    assert_eq!((answer.header("retry-after").as_str(), answer.code().as_str()), ("7", "rate_limit_exceeded"));
    world.seen(&tag, 3);
}

#[test]
fn a_failing_provider_alone_has_its_own_status_and_code() {
    let world = World::once();
    let status = |path: &str, body| {
        let answer = world.ask(&post(path, body));
        (answer.status, answer.code())
    };
    for (provider, openai, anthropic) in [
        ("says-429", (429, "rate_limit_exceeded"), (429, "rate_limit_error")),
        ("says-503", (503, "server_error"), (503, "overloaded_error")),
        ("cuts", (502, "upstream_truncated"), (502, "api_error")),
        ("ends", (502, "upstream_invalid"), (502, "api_error")),
        ("resets", (502, "upstream_truncated"), (502, "api_error")),
        ("garbles", (502, "upstream_invalid"), (502, "api_error")),
        ("nobody", (502, "upstream_unreachable"), (502, "api_error")),
    ] {
        let model = format!("{provider}/m");
        let got = status("/v1/chat/completions", chat(&model, "hi"));
        assert_eq!((got.0, got.1.as_str()), openai, "{provider}");
        let got = status("/v1/messages", message(&model, "hi"));
        assert_eq!((got.0, got.1.as_str()), anthropic, "{provider}");
    }
}

#[test]
fn what_a_target_cannot_take_is_named_in_a_header() {
    let world = World::open();
    let (tag, mut body) = (tag(), chat("claude", ""));
    body["messages"][0]["content"] = tag.as_str().into();
    body["logprobs"] = true.into();
    body["seed"] = 7.into();
    let answer = world.ask(&post("/v1/chat/completions", &body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let loss = answer.header("x-sekisho-loss");
    assert!(loss.contains("/logprobs") && loss.contains("/seed"), "{loss}");
    assert_eq!(answer.header("x-sekisho-target"), "anthropic/real-claude");
    world.saw(&tag);
}

#[test]
fn who_is_strict_is_refused_before_the_provider_is_called() {
    let world = World::open();
    let (tag, mut body) = (tag(), chat("claude", ""));
    body["messages"][0]["content"] = tag.as_str().into();
    let strict = |body: &serde_json::Value, value: &str| {
        world.ask(&post("/v1/chat/completions", body).header("x-sekisho-strict", value))
    };
    assert_eq!(strict(&body, "true").status, 200);
    world.saw(&tag);
    body["logprobs"] = true.into();
    let answer = strict(&body, "true");
    assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("/logprobs")));
    assert!(answer.text().contains("hint"), "{}", answer.text());
    assert_eq!(strict(&body, "perhaps").status, 400);
    world.saw(&tag);
}

#[test]
fn what_the_caller_names_is_shown_as_a_header_can_hold_it() {
    let world = World::open();
    let answer =
        world.ask(&post("/v1/chat/completions", chat("openai/a\r\nset-cookie: x=1\u{7f}日\u{0}", "hi")));
    assert_eq!((answer.status, answer.header("set-cookie").as_str()), (200, ""));
    assert_eq!(answer.header("x-sekisho-target"), "openai/a??set-cookie: x=1????".replace("????", "???"));
}
