//! Heartbeats: a caller who waits for a silent provider is sent something that means nothing, and nothing else
//! changes for him but his status.

use crate::support::{
    all_at_once,
    client::{Answer, Client, Request, post},
    gateway::Setup,
    h2::H2,
    pair::{Api, Cell, Pair, Run, is_sixty},
    streamed, tag,
    upstream::Upstream,
    world::{World, shared},
};
use serde_json::{Value, json};
use std::{io::Write, sync::Arc, thread, time::Duration};
use testkit::provider::End;

const COMMENT: &str = ": keep-alive\n\n";
/// A heartbeat each 200 ms, and no race: a provider that is silent for a second is waited for.
const BEATS: &str = "heartbeat: {streams: 200ms, answers: 200ms}\n\
    timeouts: {first_byte: 3s, idle: 3s, total: 60s}\nfailover: {retries: 2, race: 0s}\n";

/// How many heartbeats came before anything else.
fn before(answer: &Answer, beat: &str) -> usize {
    let text = answer.text();
    text.len().saturating_sub(text.trim_start_matches(beat).len()) / beat.len()
}

fn beat_of(cell: &Cell) -> &'static str {
    if cell.stream { COMMENT } else { " " }
}

/// The head went out before anybody had answered: what it cannot know is not in it.
fn is_early(cell: &Cell, run: &Run) {
    let place = format!("{cell:?}: {:?} {}", run.answer.headers, run.answer.text());
    assert!(before(&run.answer, beat_of(cell)) >= 2, "{place}");
    let kind = if cell.stream { "text/event-stream" } else { "application/json" };
    assert_eq!(run.answer.header("content-type"), kind, "{place}");
    assert_eq!(run.answer.header("x-accel-buffering"), "no", "{place}");
    assert!(run.answer.header("x-request-id").starts_with("req-"), "{place}");
    assert_eq!(
        run.answer.header("x-sekisho-target") + &run.answer.header("x-sekisho-attempts"),
        "",
        "{place}"
    );
    assert_eq!((run.answer.status, run.answer.whole), (200, true), "{place}");
}

/// The words, each once, and the end.
fn is_whole(cell: &Cell, run: &Run) {
    let place = format!("{cell:?}: {}", run.answer.text());
    assert!(is_sixty(&run.heard.text) && run.heard.ended && run.heard.error.is_none(), "{place}");
    assert_eq!(run.heard.output, Some(60), "{place}");
}

#[test]
fn who_waits_for_a_silent_provider_hears_heartbeats_and_then_the_answer() {
    let pair = Pair::start(BEATS, "head-ms=1200", "");
    let cells = Cell::all(&[true, false]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        is_early(cell, &run);
        is_whole(cell, &run);
        assert_eq!((run.first.len(), run.second.len()), (1, 0), "{cell:?}");
    });
}

#[test]
fn a_provider_that_fails_after_a_heartbeat_is_followed_by_the_next() {
    for trouble in ["head-ms=1000 status=500", "head-ms=1000 cut=head how=rst", "first-ms=1000 error-at=1"] {
        let pair = Pair::start(BEATS, trouble, "");
        let cells = Cell::all(&[true, false]);
        all_at_once(&cells, cells.len(), |cell| {
            // A whole answer has no event that could be an error.
            if !cell.stream && trouble.contains("error-at") {
                return;
            }
            let run = pair.ask(cell, "");
            is_early(cell, &run);
            is_whole(cell, &run);
            assert_eq!(run.second.len(), 1, "{cell:?}");
            assert!(run.heard.model.ends_with("-b"), "{cell:?}: {}", run.heard.model);
        });
    }
}

#[test]
fn a_slow_provider_is_raced_after_a_heartbeat() {
    let settings = BEATS.replace("race: 0s", "race: 700ms");
    let pair = Pair::start(&settings, "head-ms=60000", "");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        is_early(cell, &run);
        is_whole(cell, &run);
        assert_eq!(run.first[0].ended(), Some(End::Cancelled), "{cell:?}");
    });
}

#[test]
fn what_fails_after_a_heartbeat_is_told_truthfully_in_the_body() {
    let pair = Pair::start(BEATS, "head-ms=1000 status=503", "head-ms=100 status=503");
    let cells = Cell::all(&[true, false]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        is_early(cell, &run);
        let place = format!("{cell:?}: {}", run.answer.text());
        let code = if cell.caller == Api::Chat { "overloaded" } else { "overloaded_error" };
        assert_eq!((run.heard.error.as_deref(), run.heard.ended), (Some(code), false), "{place}");
        assert!(!run.answer.text().contains("[DONE]") && run.heard.text.is_empty(), "{place}");
    });
}

#[test]
fn a_silence_within_a_stream_is_broken_between_events() {
    let pair = Pair::start(BEATS, "words=60 chunk=7 gap-ms=0 stall-token=40", "head-ms=700");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        is_whole(cell, &run);
        let text = run.answer.text();
        // Three seconds of silence, and then the next target goes on with it; usage and end come from there.
        assert!(text.matches(COMMENT).count() >= 5, "{cell:?}: {text}");
        for piece in text.split(COMMENT).filter(|piece| !piece.is_empty()) {
            assert!(piece.ends_with("\n\n"), "{cell:?}: {piece:?}");
        }
    });
}

#[test]
fn a_stream_whose_length_is_known_has_room_for_heartbeats() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let [first, last] = ["{\"content\":\"hello\"},\"finish_reason\":null", "{},\"finish_reason\":\"stop\""]
        .map(|delta| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n"));
    let last = last + "data: [DONE]\n\n";
    let length = first.len() + last.len();
    let upstream = Upstream::start(move |socket, _| {
        let _ = socket.write_all(format!("{head}content-length: {length}\r\n\r\n{first}").as_bytes());
        thread::sleep(Duration::from_millis(1_000));
        let _ = socket.write_all(last.as_bytes());
    });
    let config = format!("{BEATS}providers: {{known: {{base_url: \"{}/v1\", keys: []}}}}\n", upstream.url());
    let world = World::start(&config, Setup::default());
    let chat = crate::support::chat("known/m", "hello");
    let answer = world.ask(&post("/v1/chat/completions", streamed(chat)));
    let text = answer.text();
    assert!(answer.whole && answer.header("content-length").is_empty(), "{:?}", answer.headers);
    assert!(text.matches(COMMENT).count() >= 2 && text.ends_with("data: [DONE]\n\n"), "{text}");
}

/// Both providers are one, and the variable says how often.
fn by_variable() -> Arc<World> {
    let config = "log: {format: json}\nlimits: {rates: [{model: slots, concurrent: 1}], queue: {size: 5, wait: 1s}}\n\
        providers: {openai: {base_url: \"KIT/v1\", keys: x}, anthropic: {base_url: \"KIT\", keys: x}}\n\
        models: {slots: openai/m}\n";
    let environment = vec![("GATEWAY_HEARTBEAT_MS".to_owned(), "200".to_owned())];
    shared("heartbeats", || World::start(config, Setup { environment, ..Setup::default() }))
}

fn gemini(path: &str, model: &str, script: &str) -> Request {
    let text = format!("{} [[kit {script}]]", tag());
    let body = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
    post(&format!("/v1beta/models/{model}:{path}"), body)
}

#[test]
fn other_apis_have_heartbeats_where_their_form_has_room_for_them() {
    let world = by_variable();
    for model in ["openai/m", "anthropic/m"] {
        // An array may hold spaces between its elements, and before them.
        let list = world.ask(&gemini("streamGenerateContent", model, "head-ms=1000 words=3"));
        assert!(list.text().starts_with("  ") && list.json().is_array(), "{}", list.text());
        assert_eq!(list.header("content-type"), "application/json");
        let late = world.ask(&gemini("streamGenerateContent", model, "head-ms=1000 status=400"));
        assert!(late.text().starts_with("  "), "{}", late.text());
        assert_eq!((late.status, &late.json()[0]["error"]["status"]), (200, &json!("INVALID_ARGUMENT")));
        let events = world.ask(&gemini("streamGenerateContent?alt=sse", model, "head-ms=1000 words=3"));
        assert!(before(&events, COMMENT) >= 2, "{}", events.text());
        let whole = world.ask(&gemini("generateContent", model, "head-ms=1000 words=3"));
        assert!(whole.text().starts_with("  ") && whole.json()["candidates"].is_array(), "{}", whole.text());

        let input = format!("{} [[kit head-ms=1000 words=3]]", tag());
        let responses = |stream: bool| json!({"model": model, "input": input, "stream": stream});
        let events = world.ask(&post("/v1/responses", responses(true)));
        assert!(
            before(&events, COMMENT) >= 2 && events.text().contains("response.completed"),
            "{}",
            events.text()
        );
        let whole = world.ask(&post("/v1/responses", responses(false)));
        assert!(whole.text().starts_with("  ") && whole.json()["status"] == "completed", "{}", whole.text());

        let said = json!({"messages": [{"role": "user", "content": [{"text": input}]}]});
        let whole = world.ask(&post(&format!("/model/{}/converse", model.replace('/', "%2F")), &said));
        assert!(whole.text().starts_with("  ") && whole.json()["output"].is_object(), "{}", whole.text());
        // Frames of AWS have no comments.
        let frames =
            world.ask(&post(&format!("/model/{}/converse-stream", model.replace('/', "%2F")), &said));
        assert_eq!((frames.status, frames.header("x-sekisho-attempts").as_str()), (200, "1"));
        assert!(!frames.text().contains("keep-alive"), "{}", frames.text());
    }
}

#[test]
fn over_http2_they_come_as_well_and_what_is_passed_through_has_none() {
    let world = by_variable();
    let chat = |model: &str| crate::support::chat(model, &format!("{} [[kit head-ms=1000 words=3]]", tag()));
    let client = H2::connect(world.gateway.addr);
    let answer = client.ask(&post("/v1/chat/completions", streamed(chat("openai/m"))));
    assert!(before(&answer, COMMENT) >= 2 && answer.whole, "{}", answer.text());
    let passed = world.ask(&post("/openai/chat/completions", streamed(chat("m"))));
    assert!(!passed.text().contains("keep-alive") && passed.text().contains("[DONE]"), "{}", passed.text());
}

#[test]
fn who_waits_in_the_queue_hears_them_too_and_what_comes_of_it() {
    let world = by_variable();
    let ask = |script: &str| {
        let chat = crate::support::chat("slots", &format!("{} [[kit {script}]]", tag()));
        post("/v1/chat/completions", streamed(chat))
    };
    let mut first = world.gateway.connect();
    first.send_request(&ask("stall=3"));
    first.wait_for("data:");
    let late = world.ask(&ask(""));
    assert!(before(&late, COMMENT) >= 2 && late.status == 200, "{}", late.text());
    let error: Value = serde_json::from_str(&late.events()[0].1).expect("JSON");
    assert_eq!(error["error"]["code"], "rate_limit_exceeded", "{}", late.text());
    assert!(!late.text().contains("[DONE]"), "{}", late.text());
    first.leave();
}

#[test]
fn who_leaves_between_heartbeats_is_seen_to_leave() {
    let world = by_variable();
    for stream in [true, false] {
        let tag = tag();
        let chat = crate::support::chat("openai/m", &format!("{tag} [[kit silent]]"));
        let mut client: Client = world.gateway.connect();
        client.send_request(&post("/v1/chat/completions", if stream { streamed(chat) } else { chat }));
        client.wait_for("\r\n\r\n");
        client.leave();
        assert_eq!(world.saw(&tag).ended(), Some(End::Cancelled));
    }
}
