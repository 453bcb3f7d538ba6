//! The machines of a dialect, run from end to end, with the grammar checked on the way.

use crate::{
    DialectId, Fault, FaultKind, Losses, Seen, Sink,
    canon::{Event, Grammar, Kind, Message, Request, Usage},
    frame::sse::Frames,
};
use serde_json::Value;

/// What a reader makes of a stream.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) events: Vec<Event>,
    pub(super) losses: Losses,
    pub(super) ended: Result<(), Fault>,
}

/// Reads a stream that comes in pieces. The events keep the grammar, and a stream that ends well has ended.
pub(super) fn read_stream(dialect: DialectId, pieces: &[&[u8]]) -> Read {
    let mut reader = dialect.dialect().reader();
    let mut sink = Sink::default();
    let fed = pieces.iter().try_for_each(|piece| reader.feed(piece, &mut sink));
    let ended = fed.and_then(|()| reader.finish(&mut sink));
    let mut grammar = Grammar::default();
    for event in &sink.events {
        if let Err(broken) = grammar.check(event) {
            panic!("{dialect:?}: {} at {event:?} of {:#?}", broken.0, sink.events);
        }
    }
    let ends = sink.events.iter().filter(|event| **event == Event::End).count();
    assert!(ends == 1 || ended.is_err(), "{dialect:?}: well ended without `End`: {:#?}", sink.events);
    Read { events: sink.events, losses: sink.losses, ended }
}

/// Writes events for a caller who wants a stream with its usage.
pub(super) fn write_stream(dialect: DialectId, events: &[Event], fault: Option<&Fault>) -> Vec<u8> {
    let mut request = Request::new(dialect, "model");
    request.stream = Some(true);
    request.stream_usage = Some(true);
    let mut writer = dialect.dialect().writer(&request);
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    events.iter().for_each(|event| writer.write(event, &mut out, &mut losses));
    if let Some(fault) = fault {
        writer.fault(fault, &mut out);
    }
    out
}

/// What a glance sees of a stream.
pub(super) fn glance(dialect: DialectId, stream: &[u8]) -> (Seen, Result<(), Fault>) {
    let mut glance = dialect.dialect().glance();
    let mut frames = Frames::default();
    let mut look = |frame: crate::frame::sse::Frame<'_>| glance.frame(&frame);
    let fed = frames.feed(stream, &mut look).and_then(|()| frames.finish(&mut look));
    (glance.seen().clone(), fed)
}

/// What a caller reads of an answer, whatever the dialect: the words of its first alternative, and the
/// tools that it calls.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    text: String,
    tools: Vec<(String, String)>,
}

pub(super) fn said(message: &Message) -> Said {
    let mut said = Said { text: String::new(), tools: Vec::new() };
    let first = message.choices.iter().filter(|choice| choice.index == 0);
    for block in first.flat_map(|choice| &choice.blocks) {
        match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => said.text += text,
            Kind::ToolUse { name, input, .. } => {
                said.tools.push((name.clone(), arguments(input)));
            }
            _ => {}
        }
    }
    said
}

/// Arguments as far as every dialect carries them: some have them as an object and not as its text, so
/// white space may go, and what is no object cannot be said.
fn arguments(input: &str) -> String {
    let object = serde_json::from_str(input).ok().filter(Value::is_object);
    object.map_or_else(|| "{}".to_owned(), |object| object.to_string())
}

/// The tokens of a usage, without the provider's own object. Some dialects always have one, so none is the
/// same as nothing counted.
pub(super) fn tokens(usage: Option<&Usage>) -> (u64, u64) {
    usage.map_or((0, 0), |usage| (usage.all_input(), usage.all_output()))
}

/// The last usage among events.
pub(super) fn last_usage(events: &[Event]) -> Option<&Usage> {
    events.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(usage),
        _ => None,
    })
}

/// A fault to break streams with.
pub(super) fn broken() -> Fault {
    Fault::new(FaultKind::UpstreamTruncated, "it broke")
}
