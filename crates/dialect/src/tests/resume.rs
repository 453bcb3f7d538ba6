//! A stream that one provider broke off and another goes on with, in every three dialects and cut anywhere.

use crate::{
    DialectId, Sink,
    canon::{
        Block, Choice, Delta, Event, Extra, Kind, Message, Request, Stop, StopReason, Usage, fold, unfold,
    },
    laws::{read_stream, write_stream},
    pipe::{Pipe, Resume},
};
use bytes::Bytes;

const WORDS: &str = "the gates are open, \"日本\" and the road\nbehind them is long";

/// Bytes between two cuts that are tried.
const STEP: usize = 89;

fn message(from: DialectId, thought: bool, words: &str) -> Message {
    let native = match from {
        DialectId::Anthropic => "end_turn",
        DialectId::Gemini => "STOP",
        _ => "stop",
    };
    let reasoning = Kind::Reasoning { text: "hm".to_owned(), seal: None };
    let blocks = thought.then_some(reasoning).into_iter().chain([Kind::Text(words.to_owned())]);
    let choice = Choice {
        index: 0,
        blocks: blocks.map(Block::new).collect(),
        stop: Some(Stop::new(StopReason::End, native)),
        logprobs: None,
        extra: Extra::NONE,
    };
    let usage = Some(Usage { input: 10, output: 12, ..Usage::default() });
    let (id, model) = ("id-1".to_owned(), "served".to_owned());
    Message { from, id, model, created: Some(1), choices: vec![choice], usage, extra: Extra::NONE }
}

fn request(caller: DialectId) -> Request {
    let mut request = Request::new(caller, "asked");
    (request.stream, request.stream_usage) = (Some(true), Some(true));
    request
}

/// What a provider of `from` streams, a few words an event.
fn stream(from: DialectId, words: &str) -> Vec<u8> {
    let mut events = Vec::new();
    for event in unfold(&message(from, true, words)) {
        match event {
            Event::Delta { choice, block, delta: Delta::Text(text) } => {
                let pieces = text.split_inclusive(' ').map(str::to_owned);
                let delta = |text| Event::Delta { choice, block, delta: Delta::Text(text) };
                events.extend(pieces.map(delta));
            }
            event => events.push(event),
        }
    }
    write_stream(from, &events, None)
}

/// What a caller has been sent of a stream that was cut; nothing where nothing of the answer was among it.
fn sent(caller: DialectId, first: DialectId, cut: &[u8]) -> Option<Vec<Bytes>> {
    let mut pipe = match caller == first {
        true => Pipe::relay(first, true).guarded(),
        false => Pipe::translate(first, true, &request(caller)).guarded(),
    };
    let mut out = Vec::new();
    pipe.feed(Bytes::copy_from_slice(cut), &mut out).unwrap();
    pipe.content().then_some(out)
}

fn text(message: &Message) -> String {
    let blocks = message.choices.iter().flat_map(|choice| &choice.blocks);
    blocks
        .filter_map(|block| if let Kind::Text(text) = &block.kind { Some(text.as_str()) } else { None })
        .collect()
}

/// Every caller, and every two providers.
fn threes() -> impl Iterator<Item = (DialectId, DialectId, DialectId)> {
    let twos =
        || DialectId::callers().flat_map(|first| DialectId::callers().map(move |second| (first, second)));
    DialectId::callers().flat_map(move |caller| twos().map(move |(first, second)| (caller, first, second)))
}

#[test]
fn wherever_a_stream_breaks_off_another_provider_goes_on_with_it() {
    let mut resumed = 0;
    for (caller, first, second) in threes() {
        let (broken, again) = (stream(first, WORDS), stream(second, WORDS));
        for cut in (1..broken.len()).step_by(STEP) {
            let Some(sent) = sent(caller, first, &broken[..cut]) else { continue };
            let Some(resume) = Resume::new(&request(caller), &sent) else { continue };
            let (mut pipe, mut out) = (Pipe::resume(second, true, resume), Vec::new());
            again.chunks(31).for_each(|piece| pipe.feed(Bytes::copy_from_slice(piece), &mut out).unwrap());
            pipe.finish(&mut out).unwrap();
            let told = [sent, out].concat().concat();
            let place = format!(
                "{first:?} at {cut}, then {second:?}, for {caller:?}: {}",
                String::from_utf8_lossy(&told)
            );
            let read = read_stream(caller, &[&told]).unwrap_or_else(|broken| panic!("{broken:?} {place}"));
            assert_eq!(read.ended, Ok(()), "{place}");
            let message = fold(caller, read.events);
            assert_eq!(text(&message), WORDS, "{place}");
            let stop = message.choices[0].stop.as_ref().map(|stop| stop.reason);
            assert_eq!(stop, Some(StopReason::End), "{place}");
            assert_eq!(message.usage.map(|usage| usage.output), Some(12), "{place}");
            resumed += 1;
        }
    }
    assert!(resumed > 500, "{resumed}");
}

#[test]
fn other_words_are_never_joined() {
    for (caller, first, second) in threes() {
        let broken = stream(first, WORDS);
        let Some(sent) = sent(caller, first, &broken[..broken.len() / 2]) else { continue };
        for other in ["the gates are shut", "the", ""] {
            let Some(resume) = Resume::new(&request(caller), &sent) else { continue };
            let (mut pipe, mut out) = (Pipe::resume(second, true, resume), Vec::new());
            let fed = pipe.feed(Bytes::from(stream(second, other)), &mut out);
            let ended = fed.and_then(|()| pipe.finish(&mut out));
            let said = text(&message_of(caller, &sent));
            let differs = !other.starts_with(&said);
            assert_eq!(ended.is_err(), differs, "{said:?}, then {other:?}: {caller:?} {first:?} {second:?}");
        }
    }
}

/// The message as far as it has been told.
fn message_of(caller: DialectId, sent: &[Bytes]) -> Message {
    let (mut reader, mut sink) = (caller.dialect().reader(), Sink::default());
    sent.iter().for_each(|piece| reader.feed(piece, &mut sink).unwrap());
    fold(caller, sink.events)
}
