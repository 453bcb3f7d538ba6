//! How a dialect is put together: what all of them have in common, whatever their words.

use crate::{
    DialectId, Fault, FaultKind, Losses, Reader, Sink,
    canon::{At, Block, BlockStart, Event, InOrder, Kind, Message, Role, Stop, Tool, Usage},
    frame::{Frames, Framing, sse::Frame},
    json,
    limits::{PARTS_MAX, STREAM_HELD_MAX, TOOLS_MAX},
    pen::{FOREIGN, NO_MEMBER, ONE_ANSWER},
};
use memchr::memchr;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use std::borrow::Cow;

/// Makes a dialect of its rooms: `read` has `request` and `response`, `write` has those and `fault`, `wire`
/// has `meter`, `stream` has `StreamReader`, `StreamWriter`, `StreamGlance` and `fault`. `paths` says where its operations live, `words` in which members of a
/// stream's events stand texts of the model's. Where `names`
/// are given, things are called otherwise here; `framing` is that of streams that are no server-sent events;
/// `id` is the header with the id of a request, `told` the one that tells a fault;
/// `counts` says how a request to count tokens is read and how it is answered, `echo` what an answer repeats of
/// its request and how it is written with that.
macro_rules! dialect {
    ($(#[$doc:meta])* $name:ident = $id:path; paths = { $($paths:tt)* }; words = [$($word:literal),*]; $(names = $names:path;)?
        $(framing = $framing:path;)? $(id = $header:literal;)? $(told = $told:path;)? $(counts = $count:path, $answer:literal;)?
        $(echo = $echo:path, $reply:path;)?) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl crate::Dialect for $name {
            fn id(&self) -> crate::DialectId {
                $id
            }

            fn paths(&self) -> crate::Paths {
                crate::Paths { $($paths)* }
            }

            fn read_request(&self, body: &[u8]) -> Result<crate::Carried<crate::canon::Request>, crate::Fault> {
                read::request(body).map(crate::Carried::whole)
            }

            fn write_request(
                &self,
                request: &crate::canon::Request,
                target: &crate::Target<'_>,
            ) -> crate::Carried<Vec<u8>> {
                write::request(request, target)
            }

            fn read_response(&self, body: &[u8]) -> Result<crate::Carried<crate::canon::Message>, crate::Fault> {
                read::response(body).map(crate::Carried::whole)
            }

            fn write_response(&self, message: &crate::canon::Message) -> crate::Carried<Vec<u8>> {
                write::response(message)
            }

            fn reader(&self) -> Box<dyn crate::Reader> {
                Box::<stream::StreamReader>::default()
            }

            fn writer(&self, request: &crate::canon::Request) -> Box<dyn crate::Writer> {
                Box::new(stream::StreamWriter::new(request))
            }

            fn glance(&self) -> Box<dyn crate::Glance> {
                Box::<stream::StreamGlance>::default()
            }

            fn words(&self) -> &'static [&'static str] {
                &[$(concat!("\"", $word, "\"")),*]
            }

            fn read_usage(&self, body: &[u8]) -> Option<crate::canon::Usage> {
                wire::meter(body)
            }

            fn read_fault(&self, status: u16, body: &[u8]) -> crate::Fault {
                crate::error_body::read(status, body)
            }

            fn write_fault(&self, fault: &crate::Fault) -> Vec<u8> {
                crate::json::bytes(&write::fault(fault))
            }

            fn write_stream_fault(&self, fault: &crate::Fault) -> Vec<u8> {
                stream::fault(fault)
            }

            $(
                fn read_count_request(
                    &self,
                    body: &[u8],
                ) -> Result<crate::Carried<crate::canon::Request>, crate::Fault> {
                    $count(body).map(crate::Carried::whole)
                }

                fn write_count(&self, tokens: u64) -> Vec<u8> {
                    format!($answer, tokens).into_bytes()
                }
            )?

            $(
                fn echo(&self, request: &crate::canon::Request) -> crate::Echo {
                    $echo(request)
                }

                fn write_reply(
                    &self,
                    message: &crate::canon::Message,
                    echo: &crate::Echo,
                ) -> crate::Carried<Vec<u8>> {
                    $reply(message, echo)
                }
            )?

            // Where its clients look for the id of a request.
            $(fn id_header(&self) -> Option<&'static str> {
                Some($header)
            })?

            $(fn fault_header(&self, fault: &crate::Fault) -> Option<(&'static str, &'static str)> {
                Some($told(fault))
            })?

            $(fn framing(&self) -> crate::frame::Framing {
                $framing
            })?

            $(fn names(&self) -> &'static [(&'static str, &'static str)] {
                $names
            })?
        }
    };
}
pub(crate) use dialect;

/// What a reader knows of an answer that comes event by event.
pub(crate) trait Reading: Default {
    /// What the stream is made of.
    const FRAMING: Framing = Framing::Sse;

    /// Takes the next event.
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault>;

    /// The bytes have ended.
    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault>;
}

/// Reads a stream of events.
#[derive(Debug)]
pub(crate) struct Framed<S> {
    frames: Frames,
    state: S,
}

impl<S: Reading> Default for Framed<S> {
    fn default() -> Self {
        Framed { frames: S::FRAMING.frames(), state: S::default() }
    }
}

impl<S: Reading> Reader for Framed<S> {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let Framed { frames, state } = self;
        frames.feed(bytes, &mut |frame| state.frame(frame, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let Framed { frames, state } = self;
        frames.finish(&mut |frame| state.frame(frame, sink))?;
        self.state.end(sink)
    }
}

/// Writes an event with a name; its data is given in pieces.
pub(crate) fn write_event(out: &mut Vec<u8>, name: &str, data: &[&[u8]]) {
    let head = [b"event: ", name.as_bytes(), b"\ndata: "];
    head.iter().chain(data).chain(&[b"\n\n".as_slice()]).for_each(|piece| out.extend_from_slice(piece));
}

/// What the writer of a stream knows whose clients know one answer, and in it one open block at a time.
#[derive(Debug, Default)]
pub(crate) struct Single {
    order: InOrder,
    /// The answer calls a tool.
    pub(crate) called: bool,
    /// The answer holds words of refusal.
    pub(crate) refused: bool,
    pub(crate) stop: Option<Stop>,
    pub(crate) usage: Option<Usage>,
}

impl Single {
    /// Takes an event, and gives those of blocks that may be told now. `piece` is the number of the block that
    /// an event which only the writer's own dialect (`me`) knows is a piece of.
    ///
    /// # Errors
    /// A fault when more is held back than may be.
    pub(crate) fn take(
        &mut self,
        me: DialectId,
        event: &Event,
        piece: Option<u32>,
        losses: &mut Losses,
    ) -> Result<Vec<Event>, Fault> {
        let mut block = piece;
        match event {
            Event::BlockStart { choice: 0, block: number, start } => {
                self.called |= matches!(start, BlockStart::ToolUse { .. });
                self.refused |= *start == BlockStart::Refusal;
                block = Some(*number);
            }
            Event::Delta { choice: 0, block: number, .. } | Event::BlockStop { choice: 0, block: number } => {
                block = Some(*number);
            }
            Event::Finish { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect, .. } if *dialect != me => losses.note("/opaque", FOREIGN),
            Event::Logprobs { .. } => losses.note("/logprobs", NO_MEMBER),
            Event::BlockStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::BlockStop { choice, .. }
            | Event::Finish { choice, .. } => losses.note(format!("/choices/{choice}"), ONE_ANSWER),
            Event::Start { .. } | Event::Opaque { .. } | Event::End => {}
        }
        let told = block.map(|block| self.order.take(block, event.clone())).unwrap_or_default();
        match self.order.held() > STREAM_HELD_MAX || self.order.waiting() > PARTS_MAX {
            true => Err(held_back()),
            false => Ok(told),
        }
    }
}

/// The event's name, in dialects that have it twice: in the `event` line, where `is_ours` knows it, and as
/// the `type` in the data, most often first. Some servers leave the one out, and an error may tell nothing
/// but itself.
pub(crate) fn event_name<'a>(frame: &Frame<'a>, is_ours: impl Fn(&[u8]) -> bool) -> Cow<'a, str> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
        error: Option<IgnoredAny>,
    }
    if !frame.event.is_empty() && is_ours(frame.event) {
        return String::from_utf8_lossy(frame.event);
    }
    let told = frame.data.strip_prefix(b"{\"type\":\"");
    if let Some((told, _)) = told.and_then(|rest| rest.split_at_checked(memchr(b'"', rest)?)) {
        return String::from_utf8_lossy(told);
    }
    let typed = serde_json::from_slice::<Typed>(frame.data).ok();
    let told = typed.and_then(|typed| typed.kind.or(typed.error.map(|_| "error".to_owned())));
    Cow::Owned(told.unwrap_or_default())
}

/// Reads a whole answer with `message`, unless `failure` finds that it is an error.
pub(crate) fn answer(
    body: &[u8],
    failure: impl FnOnce(&Value) -> Option<Fault>,
    message: impl FnOnce(Value) -> Result<Message, Fault>,
) -> Result<Message, Fault> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the provider's answer is not valid JSON: {error}")))?;
    match failure(&value) {
        Some(fault) => Err(fault),
        None => {
            message(value).map_err(|fault| invalid(format!("the provider's answer is not readable: {fault}")))
        }
    }
}

/// Reads the speaker of a message, one of these.
pub(crate) fn role(word: &str, roles: &[Role], pointer: String) -> Result<Role, Fault> {
    let known = roles.iter().find(|role| role.word() == word);
    known.copied().ok_or_else(|| {
        let words: Vec<String> = roles.iter().map(|role| format!("`{}`", role.word())).collect();
        let words = words.join(", ");
        let (before, last) = words.rsplit_once(", ").unwrap_or_default();
        Fault::bad(pointer, format!("`{word}` is not a role")).hint(format!("roles are {before} and {last}"))
    })
}

/// Reads a string or a list of parts, each with `part`, and tells which it was.
pub(crate) fn content(
    value: Value,
    pointer: &str,
    at: At,
    mut part: impl FnMut(Value, &str) -> Result<Block, Fault>,
) -> Result<(Vec<Block>, bool), Fault> {
    match value {
        Value::String(text) => {
            let at = At { part: None, ..at };
            Ok((vec![Block { at, ..Block::new(Kind::Text(text)) }], true))
        }
        Value::Array(list) => {
            let numbered = (0..).zip(list).map(|(index, value)| {
                let at = At { part: Some(index), ..at };
                Ok(Block { at, ..part(value, &format!("{pointer}/{index}"))? })
            });
            Ok((numbered.collect::<Result<_, _>>()?, false))
        }
        other => Err(json::wrong(pointer, "a string or a list of parts", &other)),
    }
}

/// Reads the tools of a request, each with `tool`, which is told its number.
pub(crate) fn tools(
    list: Vec<Value>,
    tool: impl Fn(Value, usize) -> Result<Tool, Fault>,
) -> Result<Vec<Tool>, Fault> {
    json::bounded("/tools", list.len(), TOOLS_MAX)?;
    list.into_iter().enumerate().map(|(index, value)| tool(value, index)).collect()
}

/// The fault for an answer that is not what its dialect says.
pub(crate) fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, message)
}

/// The fault for an answer that holds more than `max` of something.
pub(crate) fn over(what: &str, max: usize) -> Fault {
    invalid(format!("the provider's answer holds more than {max} {what}"))
}

/// The fault for a stream of which more is held back than may be.
pub(crate) fn held_back() -> Fault {
    invalid(format!(
        "the provider's stream holds back more than {STREAM_HELD_MAX} bytes, or has more than {PARTS_MAX} blocks"
    ))
}

/// The fault for a stream that ended too soon.
pub(crate) fn cut(before: &str) -> Fault {
    let words = format!("the provider's stream ended before {before}");
    Fault::new(FaultKind::UpstreamTruncated, words)
}
