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
use proptest::prelude::*;

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
    told(from, true, words)
}

fn told(from: DialectId, thought: bool, words: &str) -> Vec<u8> {
    let mut events = Vec::new();
    for event in unfold(&message(from, thought, words)) {
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

/// An answer that says something and then calls a tool.
fn calling(from: DialectId) -> Vec<u8> {
    let mut message = message(from, false, "so");
    let (id, name, input) = ("call_1".to_owned(), "gate".to_owned(), "{\"open\":\"wide\"}".to_owned());
    message.choices[0].blocks.push(Block::new(Kind::ToolUse { id, name, input }));
    message.choices[0].stop = Some(Stop::new(StopReason::ToolUse, "tool_calls"));
    write_stream(from, &unfold(&message), None)
}

fn calls(message: &Message) -> Vec<&str> {
    let blocks = message.choices.iter().flat_map(|choice| &choice.blocks);
    blocks
        .filter_map(
            |block| if let Kind::ToolUse { input, .. } = &block.kind { Some(input.as_str()) } else { None },
        )
        .collect()
}

#[test]
fn a_call_is_gone_on_with_only_where_nothing_of_it_was_sent() {
    let (mut resumed, mut refused) = (0, 0);
    let calls_tools = |dialect: &DialectId| *dialect != DialectId::OpenaiCompletions;
    for (caller, first, second) in threes().filter(|(a, b, c)| [a, b, c].into_iter().all(calls_tools)) {
        let broken = calling(first);
        for cut in (1..broken.len()).step_by(STEP) {
            let Some(sent) = sent(caller, first, &broken[..cut]) else { continue };
            let place = format!("{first:?} at {cut}, then {second:?}, for {caller:?}");
            let begun = !calls(&message_of(caller, &sent)).is_empty();
            let Some(resume) = Resume::new(&request(caller), &sent) else {
                refused += usize::from(begun);
                continue;
            };
            assert!(!begun, "{place}");
            let (mut pipe, mut out) = (Pipe::resume(second, true, resume), Vec::new());
            pipe.feed(Bytes::from(calling(second)), &mut out).unwrap();
            pipe.finish(&mut out).unwrap();
            let message = message_of(caller, &[sent, out].concat());
            assert_eq!(text(&message), "so", "{place}");
            let inputs: Vec<serde_json::Value> =
                calls(&message).iter().map(|input| serde_json::from_str(input).unwrap()).collect();
            assert_eq!(inputs, [serde_json::json!({"open": "wide"})], "{place}");
            resumed += 1;
        }
    }
    assert!(resumed > 100 && refused > 100, "{resumed} {refused}");
}

/// The message as far as it has been told.
fn message_of(caller: DialectId, sent: &[Bytes]) -> Message {
    let (mut reader, mut sink) = (caller.dialect().reader(), Sink::default());
    sent.iter().for_each(|piece| reader.feed(piece, &mut sink).unwrap());
    fold(caller, sink.events)
}

/// What a provider does that was given the beginning of an answer.
#[derive(Clone, Copy, Debug)]
enum Fallback {
    GoesOn,
    /// It goes on, and says first what it was given, which is known of it.
    Echoes,
    /// It gives the whole answer.
    BeginsAnew,
    /// It says something else, which begins like the answer.
    Differs,
}

impl Fallback {
    /// What it says to a request with `given` at its end, or without.
    fn says(self, words: &str, given: Option<&str>) -> String {
        match (self, given) {
            (Fallback::GoesOn, Some(given)) => words[given.len()..].to_owned(),
            (Fallback::Differs, _) => {
                let same: String = words.chars().take(words.chars().count() * 2 / 3).collect();
                same + "#"
            }
            _ => words.to_owned(),
        }
    }
}

/// What comes behind `sent` of a provider that says `words`, and whether it did well.
fn gone_on(second: DialectId, resume: Resume, words: &str) -> (Vec<Bytes>, Result<(), bool>) {
    let (mut pipe, mut out) = (Pipe::resume(second, true, resume), Vec::new());
    let answer = told(second, false, words);
    let fed = answer.chunks(23).try_for_each(|piece| pipe.feed(Bytes::copy_from_slice(piece), &mut out));
    let ended = fed.and_then(|()| pipe.finish(&mut out));
    (out, ended.map_err(|_| pipe.strayed()))
}

fn words_and_cuts() -> impl Strategy<Value = (String, f64)> {
    // Few letters, so that what goes on often looks like what has been.
    let words = prop_oneof!["[ab \n]{0,60}", "([a-d日]{1,4}[ \n]{1,2}){1,20}", "\\PC{1,80}"];
    (words, 0.0..1.0)
}

fn dialects() -> impl Strategy<Value = (DialectId, DialectId, DialectId)> {
    let callers: Vec<DialectId> = DialectId::callers().collect();
    let one = || prop::sample::select(callers.clone());
    (one(), one(), one())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_the_whole_answer_or_what_had_been_told(
        (words, cut) in words_and_cuts(),
        (caller, first, second) in dialects(),
        fallback in prop::sample::select(vec![Fallback::GoesOn, Fallback::Echoes, Fallback::BeginsAnew, Fallback::Differs]),
    ) {
        let broken = told(first, false, &words);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let cut = (broken.len() as f64 * cut) as usize;
        let Some(sent) = sent(caller, first, &broken[..cut]) else { return Ok(()) };
        let asked = request(caller);
        let Some(resume) = Resume::new(&asked, &sent) else { return Ok(()) };
        let before = text(&message_of(caller, &sent));
        let given = resume.prefill().map(str::to_owned);
        prop_assert_eq!(given.as_deref(), Some(before.trim_end()).filter(|words| !words.is_empty()));
        let (mut told, mut ended) = (sent.clone(), Err(true));
        if let Some(given) = &given {
            let echoes = matches!(fallback, Fallback::Echoes);
            let (out, done) = gone_on(second, resume.given(2, echoes), &fallback.says(&words, Some(given)));
            // A provider whose answer is of no use has told nothing.
            prop_assert!(done.is_ok() || done == Err(true) && out.is_empty(), "{done:?} {out:?}");
            told.extend(out);
            ended = done;
        }
        if ended.is_err() {
            let (out, done) = gone_on(second, Resume::new(&asked, &sent).unwrap(), &fallback.says(&words, None));
            prop_assert!(done.is_ok() || done == Err(true) && out.is_empty(), "{done:?} {out:?}");
            told.extend(out);
            ended = done;
        }
        let (heard, other) = (text(&message_of(caller, &told)), fallback.says(&words, None));
        match (ended, fallback) {
            // Who was given the beginning, begins like it for a word or two and goes on with others cannot be told
            // from one who goes on.
            (Ok(()), Fallback::Differs) if given.is_some() && heard != other => {
                let same = before.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
                prop_assert!(same < crate::limits::BEGUN_ANEW.min(before.trim_end().len()), "{heard:?}");
            }
            (Ok(()), Fallback::Differs) => prop_assert_eq!(heard, other),
            (Ok(()), _) => prop_assert_eq!(heard, words),
            (Err(_), _) => {
                prop_assert_eq!(&heard, &before);
                prop_assert!(matches!(fallback, Fallback::Differs));
            }
        }
    }
}

#[test]
fn who_was_given_the_beginning_is_asked_for_no_more() {
    for (caller, first, second) in threes() {
        let broken = told(first, false, WORDS);
        for cut in (1..broken.len()).step_by(7 * STEP) {
            let Some(sent) = sent(caller, first, &broken[..cut]) else { continue };
            let Some(resume) = Resume::new(&request(caller), &sent) else { continue };
            let Some(given) = resume.prefill().map(str::to_owned) else { continue };
            let (out, ended) = gone_on(second, resume.given(7, false), &WORDS[given.len()..]);
            let place = format!("{first:?} at {cut}, then {second:?}, for {caller:?}");
            assert_eq!(ended, Ok(()), "{place}");
            let message = message_of(caller, &[sent, out].concat());
            assert_eq!(text(&message), WORDS, "{place}");
            // What it was given it had counted as read.
            assert_eq!(message.usage.map(|usage| usage.output), Some(12 + 7), "{place}");
            let blocks = message.choices[0].blocks.len();
            assert_eq!(blocks, 1, "{place}");
        }
    }
}

#[test]
fn thoughts_are_not_handed_on() {
    for (caller, first, _) in threes() {
        let broken = stream(first, WORDS);
        let Some(sent) = sent(caller, first, &broken[..broken.len() * 3 / 4]) else { continue };
        let thoughts = message_of(caller, &sent).choices[0].blocks.len() > 1;
        let given =
            Resume::new(&request(caller), &sent).and_then(|resume| resume.prefill().map(str::to_owned));
        assert_eq!(given.is_none(), thoughts, "{caller:?} {first:?}");
    }
}
