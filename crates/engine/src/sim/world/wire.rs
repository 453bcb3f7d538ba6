//! What goes over the wires, each written once: requests, answers, and how a caller reads what he got.

use super::make::Act;
use bytes::Bytes;
use dialect::{
    DialectId, Losses, Reader, Sink,
    canon::{
        self, At, Block, Choice, Delta, Event, Extra, Kind, Message, Request, Role, Stop, StopReason, Turn,
        Usage, unfold,
    },
};
use http::{HeaderMap, HeaderValue, header};
use std::{collections::HashMap, rc::Rc};

/// What models say. The voices begin alike, so that one may be taken for the other.
pub(super) const VOICES: [&str; 2] = ["the answer is forty-two and no more", "the answer is a long story"];

/// How many tokens callers want at most.
pub(super) const SIZES: [u64; 3] = [20, 200, 700];

/// What every prompt costs.
pub(super) const INPUT: u64 = 10;

/// Most readings that are kept.
const SEEN_MAX: usize = 20_000;

/// What is written once.
#[derive(Default)]
pub(in crate::sim) struct Wire {
    requests: HashMap<(DialectId, String, bool, usize), Bytes>,
    answers: HashMap<(DialectId, bool, usize, u64), Bytes>,
    heads: HashMap<(DialectId, bool, Option<u64>), HeaderMap>,
    seen: HashMap<(DialectId, bool, Bytes), Option<Rc<Seen>>>,
}

/// What a caller reads, where it is not an error.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) words: String,
    /// It says that it is all.
    pub(super) ended: bool,
}

impl Wire {
    /// A request for `model`.
    pub(super) fn request(&mut self, from: DialectId, model: &str, stream: bool, size: usize) -> Bytes {
        let key = (from, model.to_owned(), stream, size);
        self.requests.entry(key).or_insert_with(|| request(from, model, stream, SIZES[size]).into()).clone()
    }

    /// The whole answer of a voice, which says that it cost so much output.
    pub(super) fn answer(&mut self, of: DialectId, stream: bool, voice: usize, output: u64) -> Bytes {
        let answer = || answer(of, stream, VOICES[voice], output).into();
        self.answers.entry((of, stream, voice, output)).or_insert_with(answer).clone()
    }

    /// The headers of an answer.
    pub(super) fn head(&mut self, of: DialectId, stream: bool, retry_after: Option<u64>) -> HeaderMap {
        let head = || {
            let kind = if stream { of.dialect().framing().content_type() } else { "application/json" };
            let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            if let Some(after) = retry_after {
                headers.insert(header::RETRY_AFTER, after.into());
            }
            headers
        };
        self.heads.entry((of, stream, retry_after)).or_insert_with(head).clone()
    }

    /// What a client of the caller's dialect reads; `None` where that is an error.
    pub(super) fn read(&mut self, caller: DialectId, stream: bool, body: Bytes) -> Option<Rc<Seen>> {
        if self.seen.len() > SEEN_MAX {
            self.seen.clear();
        }
        let key = (caller, stream, body);
        if let Some(seen) = self.seen.get(&key) {
            return seen.clone();
        }
        let seen = read(caller, stream, &key.2).map(|message| Rc::new(Seen::of(&message)));
        self.seen.insert(key, seen.clone());
        seen
    }
}

impl Seen {
    fn of(message: &Message) -> Seen {
        let blocks = message.choices.iter().flat_map(|choice| &choice.blocks);
        let words = blocks.filter_map(|block| match &block.kind {
            Kind::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let why = message.choices.first().and_then(|choice| Some(choice.stop.as_ref()?.reason));
        Seen { words: words.collect(), ended: why == Some(StopReason::End) }
    }
}

/// The body of a refusal.
pub(super) fn refusal(act: &Act) -> &'static [u8] {
    match act {
        Act::TooLong => {
            br#"{"error":{"message":"no room","type":"invalid_request_error","code":"context_length_exceeded"}}"#
        }
        Act::Filtered => {
            br#"{"error":{"message":"not that","type":"invalid_request_error","code":"content_filter"}}"#
        }
        _ => br#"{"error":{"message":"no","type":"t"}}"#,
    }
}

/// An error that every dialect knows for one, in an answer that began with 200.
pub(super) fn error_inside(stream: bool) -> &'static [u8] {
    if stream {
        b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"
    } else {
        br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#
    }
}

fn request(from: DialectId, model: &str, stream: bool, limit: u64) -> Vec<u8> {
    let mut request = Request::new(from, model);
    request.stream = Some(stream);
    request.limit = Some(limit);
    let blocks = vec![Block::new(Kind::Text("why".to_owned()))];
    let (at, extra) = (At::default(), Extra::NONE);
    request.turns.push(Turn { role: Role::User, blocks, plain: true, at, name: None, extra });
    let to = dialect::Target { model, ..dialect::Target::default() };
    from.dialect().write_request(&request, &to).value
}

fn message(from: DialectId, words: &str, output: u64) -> Message {
    let native = match from {
        DialectId::Anthropic | DialectId::Bedrock => "end_turn",
        DialectId::Gemini => "STOP",
        _ => "stop",
    };
    let choice = Choice {
        index: 0,
        blocks: vec![Block::new(Kind::Text(words.to_owned()))],
        stop: Some(Stop::new(StopReason::End, native)),
        logprobs: None,
        extra: Extra::NONE,
    };
    Message {
        from,
        id: "id-1".to_owned(),
        model: "served".to_owned(),
        created: Some(1),
        choices: vec![choice],
        usage: Some(Usage { input: INPUT, output, ..Usage::default() }),
        extra: Extra::NONE,
    }
}

fn answer(of: DialectId, stream: bool, words: &str, output: u64) -> Vec<u8> {
    let message = message(of, words, output);
    if !stream {
        return of.dialect().write_response(&message).value;
    }
    let mut request = Request::new(of, "served");
    request.stream = Some(true);
    request.stream_usage = Some(true);
    let (mut writer, mut out, mut losses) = (of.dialect().writer(&request), Vec::new(), Losses::new());
    // Not everybody cuts the same words in the same places.
    let pieces = usize::try_from(2 + output % 4).unwrap();
    for event in unfold(&message).into_iter().flat_map(|event| in_pieces(event, pieces)) {
        writer.write(&event, &mut out, &mut losses);
    }
    out
}

/// Words come in about so many pieces.
fn in_pieces(event: Event, pieces: usize) -> Vec<Event> {
    let Event::Delta { choice, block, delta: Delta::Text(words) } = event else { return vec![event] };
    let parts = words.as_bytes().chunks(words.len().div_ceil(pieces));
    let text = |part: &[u8]| Delta::Text(String::from_utf8(part.to_vec()).unwrap());
    parts.map(|part| Event::Delta { choice, block, delta: text(part) }).collect()
}

fn read(caller: DialectId, stream: bool, body: &[u8]) -> Option<Message> {
    let dialect = caller.dialect();
    if !stream {
        return dialect.read_response(body).ok().map(|carried| carried.value);
    }
    let (mut reader, mut sink): (Box<dyn Reader>, Sink) = (dialect.reader(), Sink::default());
    reader.feed(body, &mut sink).ok()?;
    reader.finish(&mut sink).ok()?;
    Some(canon::fold(caller, sink.events))
}
