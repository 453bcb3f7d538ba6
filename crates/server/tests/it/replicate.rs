//! Replicate's predictions: an answer that is not finished is asked for until it is.

use crate::support::{
    chat,
    client::post,
    cloud::{Asked, Cloud},
    gateway::{Gateway, Setup},
    streamed,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

const KEY: &str = "r8-0123456789abcdef";

fn gateway(base: &str) -> Gateway {
    let config = format!(
        "providers:\n  replicate: {{base_url: \"{base}\", keys: {KEY}}}\n  spare: {{base_url: \"{base}/spare\", keys: []}}\n\
         models: {{either: [replicate/m, spare/m]}}\n"
    );
    Gateway::start(&Setup { config: Some(config), ..Setup::default() })
}

/// A prediction as it stands. It goes on at `host`, and streams there where it says so.
fn prediction(status: &str, host: &str, streams: bool) -> String {
    let mut body = json!({"id": "p1", "model": "m", "status": status, "error": null, "logs": "", "output": null,
        "urls": {"get": format!("{host}/v1/predictions/p1"), "cancel": format!("{host}/v1/predictions/p1/cancel")}});
    if streams {
        body["urls"]["stream"] = format!("{host}/v1/stream/p1").into();
    }
    match status {
        "succeeded" => body["output"] = json!(["h", "i"]),
        "failed" => body["error"] = json!("out of memory"),
        _ => {}
    }
    body.to_string()
}

fn own(asked: &Asked) -> String {
    format!("http://{}", asked.header("host"))
}

/// A provider whose prediction is finished when it is asked for the third time.
fn slow(streams: bool, end: &'static str) -> Cloud {
    let polls = AtomicU32::new(0);
    Cloud::start(move |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/v1/predictions") => Some((201, prediction("starting", &own(asked), streams))),
        ("GET", "/v1/predictions/p1") => {
            let status = if polls.fetch_add(1, Ordering::SeqCst) < 2 { "processing" } else { end };
            Some((200, prediction(status, &own(asked), streams)))
        }
        ("GET", "/v1/stream/p1") => Some((
            200,
            "event: output\ndata: h\n\nevent: output\ndata: i\n\nevent: done\ndata: {}\n\n".to_owned(),
        )),
        ("POST", "/spare/chat/completions") => None,
        _ => Some((404, "{}".to_owned())),
    })
}

fn words(chunks: &[(String, String)]) -> String {
    let json = chunks.iter().filter_map(|(_, data)| serde_json::from_str::<Value>(data).ok());
    json.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_prediction_is_asked_for_until_it_is_finished() {
    let cloud = slow(true, "succeeded");
    let gateway = gateway(&cloud.url());
    let answer = gateway.ask(&post("/v1/chat/completions", chat("replicate/m", "hello")));
    assert_eq!((answer.status, &answer.json()["choices"][0]["message"]["content"]), (200, &json!("hi")));
    assert_eq!(answer.header("x-sekisho-attempts"), "1");
    let polls = cloud.asked("/v1/predictions/p1");
    assert_eq!(polls.len(), 3);
    for poll in polls {
        assert_eq!(
            (poll.header("authorization"), poll.body.as_str()),
            (format!("Bearer {KEY}").as_str(), "")
        );
        assert_eq!(poll.header("accept"), "application/json");
    }
    assert!(cloud.asked("/cancel").is_empty() && cloud.asked("/stream").is_empty());
}

#[test]
fn a_stream_is_read_where_there_is_one() {
    for (streams, polls) in [(true, 0), (false, 3)] {
        let cloud = slow(streams, "succeeded");
        let gateway = gateway(&cloud.url());
        let answer = gateway.ask(&post("/v1/chat/completions", streamed(chat("replicate/m", "hello"))));
        let events = answer.events();
        assert_eq!((answer.status, words(&events)), (200, "hi".to_owned()), "{}", answer.text());
        assert_eq!(events.last().map(|(_, data)| data.as_str()), Some("[DONE]"));
        assert_eq!(answer.header("content-type"), "text/event-stream");
        assert_eq!(cloud.asked("/v1/predictions/p1").len(), polls);
        if streams {
            let asked = cloud.asked_once("/v1/stream/p1");
            assert_eq!(asked.header("authorization"), format!("Bearer {KEY}"));
            assert_eq!(asked.header("accept"), "text/event-stream");
        }
    }
}

#[test]
fn no_key_goes_to_a_host_that_is_not_the_provider_s() {
    let stranger = Cloud::start(|asked| Some((200, prediction("succeeded", &own(asked), false))));
    let url = stranger.url();
    let cloud = Cloud::start(move |asked| match asked.method.as_str() {
        "POST" => Some((201, prediction("starting", &url, true))),
        _ => Some((404, "{}".to_owned())),
    });
    let gateway = gateway(&cloud.url());
    for body in [chat("replicate/m", "hello"), streamed(chat("replicate/m", "hello"))] {
        let answer = gateway.ask(&post("/v1/chat/completions", body));
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_invalid"), "{}", answer.text());
    }
    assert!(stranger.asked("").is_empty());
}

#[test]
fn a_stream_at_a_strange_host_is_asked_for_without_streaming() {
    let polls = AtomicU32::new(0);
    let cloud = Cloud::start(move |asked| {
        let status = if polls.fetch_add(1, Ordering::SeqCst) == 0 { "starting" } else { "succeeded" };
        let body = prediction(status, &own(asked), true);
        Some((200, body.replace(&format!("{}/v1/stream", own(asked)), "https://strange.test/v1/stream")))
    });
    let answer =
        gateway(&cloud.url()).ask(&post("/v1/chat/completions", streamed(chat("replicate/m", "hello"))));
    assert_eq!((answer.status, words(&answer.events())), (200, "hi".to_owned()), "{}", answer.text());
}

#[test]
fn a_prediction_that_fails_is_a_failure_like_any_other() {
    let cloud = slow(false, "failed");
    let gateway = gateway(&cloud.url());
    let answer = gateway.ask(&post("/v1/chat/completions", chat("either", "hello")));
    assert_eq!((answer.status, &answer.json()["choices"][0]["message"]["content"]), (200, &json!("hi")));
    assert_eq!(answer.header("x-sekisho-target"), "spare/m");
    let answer = gateway.ask(&post("/v1/chat/completions", chat("replicate/m", "hello")));
    assert!(answer.status >= 500 && answer.text().contains("out of memory"), "{}", answer.text());
}
