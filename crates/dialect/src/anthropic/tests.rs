//! What no case can tell: limits, the glance, and properties of ids and usage. The rest is in `cases/`.

use super::wire;
use crate::{
    DialectId, FaultKind, Losses, Seen,
    canon::{BlockStart, Delta, Event, Extra, IdForm, Request, ToolIds, Usage},
    frame::sse::{Frame, Frames},
    json,
    laws::read_stream,
    limits::STREAM_HELD_MAX,
    pipe::Pipe,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ID: DialectId = DialectId::Anthropic;

fn usage(native: Value) -> Usage {
    let Some(usage) = wire::usage(native) else { panic!("usage is an object") };
    Usage { native: Extra::NONE, ..usage }
}

/// What our writer makes of these events.
fn written(events: &[Event]) -> (String, Losses) {
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    let mut writer = ID.dialect().writer(&Request::new(ID, "claude-x"));
    events.iter().for_each(|event| writer.write(event, &mut out, &mut losses));
    (String::from_utf8(out).unwrap(), losses)
}

fn start() -> Event {
    Event::Start { id: "1".to_owned(), model: "m".to_owned(), created: None, extra: Extra::NONE }
}

fn text_block(block: u32) -> Event {
    Event::BlockStart { choice: 0, block, start: BlockStart::Text }
}

fn text(block: u32, words: String) -> Event {
    Event::Delta { choice: 0, block, delta: Delta::Text(words) }
}

/// What our glance sees of a stream.
fn glance(stream: &str) -> Seen {
    let (mut glance, mut frames) = (ID.dialect().glance(), Frames::default());
    let mut look = |frame: Frame<'_>| glance.frame(&frame);
    frames.feed(stream.as_bytes(), &mut look).and_then(|()| frames.finish(&mut look)).unwrap();
    glance.seen().clone()
}

fn names(stream: &str) -> Vec<&str> {
    stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[test]
fn no_token_is_in_two_buckets() {
    let whole = json!({
        "input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3},
    });
    let expected = Usage {
        input: 1,
        cache_read: 2,
        cache_write: 10,
        cache_write_1h: 20,
        output: 4,
        reasoning: 3,
        ..Usage::default()
    };
    assert_eq!(usage(whole), expected);
    let older = Usage { input: 1, cache_write: 30, ..Usage::default() };
    assert_eq!(usage(json!({"input_tokens": 1, "cache_creation_input_tokens": 30})), older);
}

#[test]
fn a_compaction_is_billed_and_an_advisor_is_another_models() {
    let iterations = json!([
        {"type": "compaction", "input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 5},
        {"type": "advisor_message", "model": "other", "input_tokens": 1000, "output_tokens": 1000},
        {"type": "message", "input_tokens": 1, "output_tokens": 2},
    ]);
    let found = usage(json!({"input_tokens": 1, "output_tokens": 2, "iterations": iterations}));
    assert_eq!(found, Usage { input: 101, cache_read: 5, output: 12, ..Usage::default() });
}

#[test]
fn a_count_that_is_left_out_later_keeps_its_value() {
    let mut so_far = wire::UsageSoFar::default();
    so_far.take(Some(&json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1})));
    let last = so_far.take(Some(&json!({"output_tokens": 9, "cache_read_input_tokens": null}))).unwrap();
    assert_eq!((last.input, last.cache_read, last.output), (10, 5, 9));
    assert_eq!(so_far.take(Some(&json!(7))), None);
}

#[test]
fn a_glance_sees_content_where_the_answer_begins() {
    let mut stream = String::new();
    let mut seen_after = |event: &str, data: &str| -> Seen {
        stream += &format!("event: {event}\ndata: {data}\n\n");
        glance(&stream)
    };
    let usage = r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#;
    assert!(!seen_after("message_start", usage).content);
    assert!(!seen_after("content_block_start", r#"{"content_block":{"type":"text","text":""}}"#).content);
    assert!(!seen_after("ping", "{}").content);
    assert!(seen_after("content_block_delta", "{}").content);
    let seen = seen_after("message_stop", "{}");
    assert_eq!((seen.ended, seen.usage.map(|usage| usage.input)), (true, Some(3)));

    let call = "event: content_block_start\ndata: {\"content_block\":{\"type\":\"tool_use\"}}\n\n";
    assert!(glance(call).content);
    let cut = "event: message_stop\ndata: {\"type\":\"mess";
    assert!(!glance(cut).ended);
}

#[test]
fn a_stream_that_told_why_it_stopped_gets_its_last_event() {
    let told = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"a\"}}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"b\"}}\n\n";
    let why = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}";
    let last = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let run = |stream: &str| {
        let (mut pipe, mut out) = (Pipe::relay(ID, true), Vec::new());
        pipe.feed(Bytes::copy_from_slice(stream.as_bytes()), &mut out).unwrap();
        let ended = pipe.finish(&mut out).is_ok();
        (String::from_utf8(out.concat()).unwrap(), ended)
    };
    let whole = format!("{told}{why}\n\n{last}");
    assert_eq!(run(&whole), (whole.clone(), true));
    for cut in whole.len() - last.len()..whole.len() - 2 {
        assert_eq!(run(&whole[..cut]), (whole.clone(), true), "{cut}");
    }
    let (text, ended) = run(&format!("{told}{why}"));
    assert_eq!((text.replace("\n\n\n", "\n\n").trim_end(), ended), (whole.trim_end(), true));
    assert!(!run(&format!("{told}{}", &why[..why.len() - 1])).1);
    assert!(!run(told).1);
    for stream in [format!("{told}{why}\n\n"), whole] {
        let read = read_stream(ID, &[stream.as_bytes()]).unwrap();
        assert_eq!((read.ended, read.events.last()), (Ok(()), Some(&Event::End)));
    }
}

#[test]
fn a_glance_needs_no_event_lines() {
    let mut glance = ID.dialect().glance();
    let frames = [
        r#"{"type":"content_block_delta","index":0,"delta":{}}"#,
        r#"{"message":{"usage":{"output_tokens":2}}, "type": "message_start"}"#,
        r#"{"type":"message_stop"}"#,
    ];
    for data in frames {
        glance.frame(&Frame { event: b"", data: data.as_bytes() }).unwrap();
    }
    let seen = glance.seen();
    assert_eq!(
        (seen.content, seen.ended, seen.usage.as_ref().map(|usage| usage.output)),
        (true, true, Some(2))
    );
    let error = Frame { event: b"", data: br#"{"error":{"type":"overloaded_error","message":"no"}}"# };
    assert_eq!(ID.dialect().glance().frame(&error).unwrap_err().kind, FaultKind::UpstreamOverloaded);
}

#[test]
fn blocks_that_overlap_are_written_one_after_the_other() {
    let call = |block, name: &str| {
        let start = BlockStart::ToolUse { id: format!("call_{name}"), name: name.to_owned() };
        Event::BlockStart { choice: 0, block, start }
    };
    let input = |block, text: &str| Event::Delta { choice: 0, block, delta: Delta::Input(text.to_owned()) };
    let stop = |block| Event::BlockStop { choice: 0, block };
    let events = [
        start(),
        call(0, "f"),
        call(1, "g"),
        input(1, "{\"b\""),
        input(0, "{}"),
        input(1, ":1}"),
        stop(1),
        stop(0),
    ];
    let (stream, _) = written(&events);
    let pieces: Vec<&str> = stream.matches("\"index\":0").chain(stream.matches("\"index\":1")).collect();
    assert_eq!(pieces.len(), 7, "two starts, three pieces, two stops:\n{stream}");
    assert!(stream.rfind("\"index\":0") < stream.find("\"index\":1"), "{stream}");
}

#[test]
fn a_writer_does_not_hold_back_without_end() {
    let mut events = vec![start(), text_block(0), text_block(1)];
    events.extend((0..5).map(|_| text(1, "x".repeat(STREAM_HELD_MAX / 4))));
    events.push(text(0, "late".to_owned()));
    let (stream, _) = written(&events);
    assert_eq!(names(&stream), ["message_start", "error"]);
    assert!(!stream.contains("late"));
}

#[test]
fn a_reader_does_not_hold_back_without_end() {
    let begin =
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"news\"}}\n\n";
    let more = format!(
        "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"d\",\"words\":\"{}\"}}}}\n\n",
        "x".repeat(STREAM_HELD_MAX / 2)
    );
    let pieces = [begin.as_bytes(), more.as_bytes(), more.as_bytes(), more.as_bytes()];
    assert_eq!(read_stream(ID, &pieces).unwrap().ended.unwrap_err().kind, FaultKind::UpstreamInvalid);
}

#[test]
fn an_event_cannot_smuggle_another_one_in_its_name() {
    let json = json!({"type": "news\ndata: {}\n\nevent: message_stop"});
    let (stream, _) = written(&[start(), Event::Opaque { dialect: ID, json }]);
    assert_eq!(names(&stream), ["message_start"]);
}

#[test]
fn an_answer_comes_back_as_it_was() {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [{"type": "text", "text": "", "citations": null}, {"type": "fallback", "from": "a", "to": "b"}],
        "stop_reason": "pause_turn", "stop_sequence": null, "stop_details": null, "container": null,
        "usage": {"input_tokens": 1, "output_tokens": 2, "inference_geo": "eu", "iterations": null},
    });
    let read = ID.dialect().read_response(&json::bytes(&answer)).unwrap();
    let written = ID.dialect().write_response(&read.value);
    assert_eq!(serde_json::from_slice::<Value>(&written.value).unwrap(), answer);
    assert!(read.losses.is_empty() && written.losses.is_empty());
}

proptest! {
    #[test]
    fn tool_ids_are_accepted_and_never_shared(
        ids in prop::collection::vec("[a_.:é2]{0,3}|a{9}[ab]{0,2}", 1..40),
        max in 8usize..12,
    ) {
        let mut pen = ToolIds::new(IdForm::Plain(max));
        let mut last = BTreeMap::new();
        let mut all = BTreeSet::new();
        for id in &ids {
            let written = pen.call(id);
            let accepted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            prop_assert!(!written.is_empty() && written.bytes().all(accepted), "{written}");
            prop_assert!(written.len() <= max, "{written}");
            prop_assert!(all.insert(written.clone()), "{written} twice");
            last.insert(id, written);
        }
        for (id, written) in last {
            prop_assert_eq!(pen.result(id), written);
        }
    }
}
