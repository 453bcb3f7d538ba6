//! Streams that break off where they cannot be gone on with, or shall not be.

use crate::support::{
    all_at_once,
    client::{Request, events},
    pair::{Api, Cell, Pair, Run, SCALED, is_sixty},
    tag,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A stream that broke off and says so in its caller's dialect, as an error and never as an end.
fn told(cell: &Cell, run: &Run, code: (&str, &str)) {
    let place = format!("{cell:?}: {}", run.answer.text());
    let code = if cell.caller == Api::Chat { code.0 } else { code.1 };
    assert_eq!((run.answer.status, run.answer.whole), (200, true), "{place}");
    assert_eq!((run.heard.error.as_deref(), run.heard.ended), (Some(code), false), "{place}");
    assert!(!run.answer.text().contains("[DONE]"), "{place}");
    assert_eq!((run.first.len(), run.second.len()), (1, 0), "{place}");
}

const CUT: (&str, &str) = ("upstream_truncated", "api_error");

#[test]
fn with_recovery_off_a_stream_that_breaks_off_says_so() {
    let settings = SCALED.replace("retries: 2", "retries: 2, streams: off");
    for (script, code) in [
        ("cut-token=40 how=fin", CUT),
        ("cut-token=40 how=rst", CUT),
        ("cut-token=40 how=eof", CUT),
        ("stall-token=40", ("upstream_timeout", "timeout_error")),
    ] {
        let pair = Pair::start(&settings, script, "");
        let cells = Cell::all(&[true]);
        all_at_once(&cells, cells.len(), |cell| {
            let run = pair.ask(cell, "");
            told(cell, &run, code);
            assert_eq!(run.heard.text.trim_end().split(' ').count(), 40, "{cell:?} {script}");
        });
    }
}

#[test]
fn what_is_held_back_is_had_from_the_next_and_what_is_not_is_told() {
    let hold = |time: &str| {
        SCALED.replace(
            "retries: 2",
            &format!("retries: 2, streams: hold, hold_bytes: 64KiB, hold_time: {time}"),
        )
    };
    // It breaks off while its beginning is held back: the caller never hears of it.
    let pair = Pair::start(&hold("5s"), "cut-token=40 how=rst", "");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert_eq!(run.answer.header("x-sekisho-target"), cell.second_target(), "{place}");
        assert!(is_sixty(&run.heard.text) && run.heard.ended, "{place}");
        assert_eq!((run.first.len(), run.second.len(), run.heard.output), (1, 1, Some(60)), "{place}");
    });
    // It breaks off when that time is over.
    let pair = Pair::start(&hold("200ms"), "gap-ms=50 cut-token=40 how=rst", "");
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        assert!(run.head > run.first[0].arrived + Duration::from_millis(200), "{cell:?}");
        told(cell, &run, CUT);
    });
}

#[test]
fn a_fallback_that_says_something_else_is_not_joined() {
    // It repeats eleven words, and goes on otherwise.
    let other = "text='the 関所 reads each paper, counts each toll, and opens every door'";
    let pair = Pair::start(SCALED, "cut-token=40 how=rst", other);
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert_eq!((run.first.len(), run.second.len(), run.heard.ended), (1, 1, false), "{place}");
        assert!(run.heard.error.is_some() && run.answer.whole, "{place}");
        assert_eq!(run.heard.text.trim_end().split(' ').count(), 40, "{place}");
        assert!(!run.heard.text.contains("door"), "{place}");
    });
}

#[test]
fn a_tool_call_that_has_begun_is_never_gone_on_with() {
    let pair = Pair::start(SCALED, "cut-token=4 how=rst", "");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let tag = tag();
        let request = with_tool(cell, &format!("{tag} use a tool"));
        let answer = pair.gateway.ask(&request);
        let heard = cell.caller.read(&answer);
        let seen = |provider: &testkit::provider::Provider| {
            let log = provider.log().into_iter();
            log.filter(|seen| seen.json().to_string().contains(&tag)).collect::<Vec<_>>()
        };
        let (first, second) = (seen(&pair.first), seen(&pair.second));
        let arguments = arguments(cell.caller, &answer.text());
        assert!(arguments.starts_with("{\"") && !arguments.ends_with('}'), "{cell:?}: {}", answer.text());
        let run = Run { heard, answer, head: std::time::Instant::now(), took: Duration::ZERO, first, second };
        told(cell, &run, CUT);
    });
}

fn with_tool(cell: &Cell, text: &str) -> Request {
    let request = cell.caller.request(&cell.alias(), text, true);
    let mut body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let schema = json!({"type": "object", "required": ["city", "country", "days"], "properties": {
        "city": {"type": "string"}, "country": {"type": "string"}, "days": {"type": "integer"}}});
    body["tools"] = match cell.caller {
        Api::Chat => json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        Api::Messages => json!([{"name": "weather", "input_schema": schema}]),
    };
    request.body(body.to_string())
}

/// The arguments of the tool's call, as far as they came.
fn arguments(caller: Api, text: &str) -> String {
    let parts = events(text).into_iter().filter_map(|(_, data)| serde_json::from_str::<Value>(&data).ok());
    let piece = |part: Value| {
        let piece = match caller {
            Api::Chat => &part["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
            Api::Messages => &part["delta"]["partial_json"],
        };
        piece.as_str().unwrap_or_default().to_owned()
    };
    parts.map(piece).collect()
}

/// What a provider was given as the beginning of its answer.
fn given(seen: &testkit::provider::Seen) -> Option<String> {
    let body = seen.json();
    let last = body["messages"].as_array()?.last()?;
    let text = last["content"].as_str().or(last["content"][0]["text"].as_str());
    text.filter(|_| last["role"] == "assistant").map(str::to_owned)
}

#[test]
fn a_fallback_that_goes_on_is_given_what_was_said() {
    let pair = Pair::start_able(SCALED, "cut-token=40 how=rst", "");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert!(is_sixty(&run.heard.text) && run.heard.ended && run.heard.error.is_none(), "{place}");
        assert_eq!((run.first.len(), run.second.len()), (1, 1), "{place}");
        let begun = given(&run.second[0]).expect("a beginning");
        assert_eq!(begun.split(' ').count(), 40, "{place}");
        // Twenty words and the space before them are the second one's; of the others about four bytes are a token.
        assert_eq!(run.heard.output, Some(21 + begun.len().div_ceil(4) as u64), "{place}");
    });
}

#[test]
fn a_fallback_that_does_not_go_on_is_asked_for_the_whole() {
    for fallback in ["prefill=no", "anew"] {
        let pair = Pair::start_able(SCALED, "cut-token=40 how=rst", fallback);
        let cells = Cell::all(&[true]);
        all_at_once(&cells, cells.len(), |cell| {
            let run = pair.ask(cell, "");
            let place = format!("{fallback}, {cell:?}: {}", run.answer.text());
            assert!(is_sixty(&run.heard.text) && run.heard.ended && run.heard.error.is_none(), "{place}");
            assert_eq!((run.first.len(), run.second.len(), run.heard.output), (1, 2, Some(60)), "{place}");
            let given = run.second.iter().map(|seen| given(seen).is_some()).collect::<Vec<_>>();
            assert_eq!(given, [true, false], "{place}");
        });
    }
    // It refuses, and what it says to the whole is something else.
    let other = "prefill=no text='the 関所 reads each paper, counts each toll, and opens every door'";
    let pair = Pair::start_able(SCALED, "cut-token=40 how=rst", other);
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert_eq!((run.first.len(), run.second.len(), run.heard.ended), (1, 2, false), "{place}");
        assert!(run.heard.error.is_some() && run.answer.whole, "{place}");
        assert_eq!(run.heard.text.trim_end().split(' ').count(), 40, "{place}");
    });
}
