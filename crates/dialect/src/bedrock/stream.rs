//! The Converse API event by event:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! Only tools have a start; words and thoughts begin with their first piece. `messageStop` ends the answer,
//! and `metadata` with the usage comes behind it.

use super::{
    read,
    wire::{self, Family, ME},
    write::{self, Pen},
};
use crate::{
    Fault, Glance, Losses, Seen, Sink, Writer,
    canon::{BlockStart, Delta, Event, Extra, Request, Seal, Teller},
    error_body,
    frame::{Framing, aws, sse::Frame},
    json::{self, into_members as members, take_text},
    limits::{PARTS_MAX, STREAM_HELD_MAX},
    pen::{NO_MEMBER, Notes, Place},
    shape::{Framed, Reading, Single, cut, held_back},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, mem};

type Members = Map<String, Value>;

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Default)]
pub(super) struct ReadState {
    started: bool,
    finished: bool,
    ended: bool,
    /// Blocks that have begun and not stopped, by the provider's number.
    open: BTreeMap<u64, Open>,
    teller: Teller,
    /// Bytes that were held back, of all blocks together.
    held: usize,
}

struct Open {
    number: u32,
    start: BlockStart,
    /// The seal of thoughts, which is told when they stop.
    signature: String,
}

impl Reading for ReadState {
    const FRAMING: Framing = Framing::Aws;

    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let name = String::from_utf8_lossy(frame.event);
        let mut data = match serde_json::from_slice(frame.data) {
            _ if self.ended => return Ok(()),
            _ if name == "error" => return Err(error_body::read(200, frame.data)),
            Ok(Value::Object(data)) => data,
            _ => {
                sink.losses.note(format!("/{name}"), "an event that is not a JSON object");
                Members::new()
            }
        };
        if !mem::replace(&mut self.started, true) {
            // By this form the writer knows that these are words of its own dialect.
            let form = members(json!({"role": "assistant"}));
            let extra = Extra::with_form(ME, Members::new(), form);
            sink.events.push(Event::Start { id: String::new(), model: String::new(), created: None, extra });
        }
        let index = data.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or(0);
        match &*name {
            "messageStart" => {}
            "contentBlockStart" => self.block_start(index, inner(&mut data, "start"), sink),
            "contentBlockDelta" => self.delta(index, inner(&mut data, "delta"), sink),
            "contentBlockStop" => self.block_stop(index, sink),
            "messageStop" => self.message_stop(data, sink),
            "metadata" => self.metadata(data, sink),
            _ => opaque(&name, data, sink),
        }
        if self.held > STREAM_HELD_MAX || self.teller.blocks() > PARTS_MAX {
            return Err(held_back());
        }
        Ok(())
    }

    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        if !self.finished {
            return Err(cut("`messageStop`"));
        }
        if !mem::replace(&mut self.ended, true) {
            sink.events.push(Event::End);
        }
        Ok(())
    }
}

impl ReadState {
    fn block_start(&mut self, index: u64, mut start: Members, sink: &mut Sink) {
        self.block_stop(index, sink);
        let mut call = inner(&mut start, "toolUse");
        // A tool of the provider's own is no call for the caller.
        let is_theirs = call.contains_key("type") || !start.is_empty();
        if self.finished || is_theirs {
            sink.losses.note(format!("/content/{index}"), "a block that a stream has no room for");
        } else if !call.is_empty() {
            let [id, name] = ["toolUseId", "name"].map(|name| take_text(&mut call, name));
            self.begin(index, BlockStart::ToolUse { id, name }, sink);
        }
    }

    fn begin(&mut self, index: u64, start: BlockStart, sink: &mut Sink) -> u32 {
        self.block_stop(index, sink);
        let number = self.teller.begin(start.clone(), &mut sink.events);
        self.open.insert(index, Open { number, start, signature: String::new() });
        number
    }

    /// The block of that kind which is open at `index`, or a new one.
    fn block(&mut self, index: u64, start: BlockStart, sink: &mut Sink) -> u32 {
        match self.open.get(&index) {
            Some(open) if open.start == start => open.number,
            _ => self.begin(index, start, sink),
        }
    }

    fn delta(&mut self, index: u64, mut delta: Members, sink: &mut Sink) {
        let open = self.open.get(&index).map(|open| (open.number, &open.start));
        let is_call = delta.contains_key("toolUse");
        if self.finished {
            sink.losses.note(format!("/content/{index}"), "a piece after the end of the answer");
        } else if let Some(Value::String(more)) = delta.remove("text") {
            let block = self.block(index, BlockStart::Text, sink);
            self.teller.piece(block, Delta::Text(more), &mut sink.events);
        } else if delta.contains_key("reasoningContent") {
            self.thought(index, inner(&mut delta, "reasoningContent"), sink);
        } else if let (true, Some((number, BlockStart::ToolUse { .. }))) = (is_call, open) {
            let more = Delta::Input(take_text(&mut inner(&mut delta, "toolUse"), "input"));
            self.teller.piece(number, more, &mut sink.events);
        } else if let (false, Some((number, _))) = (is_call, open) {
            // Citations, and what is yet to come.
            let json = members(json!({"contentBlockIndex": number, "delta": delta}));
            opaque("contentBlockDelta", json, sink);
        } else {
            sink.losses.note(format!("/content/{index}"), "a piece of a block that has not begun");
        }
    }

    fn thought(&mut self, index: u64, mut thought: Members, sink: &mut Sink) {
        if let Some(Value::String(data)) = thought.remove("redactedContent") {
            let number = self.begin(index, BlockStart::Reasoning, sink);
            let seal = Delta::Seal(Seal { issuer: ME, data, redacted: true });
            self.teller.piece(number, seal, &mut sink.events);
            return self.block_stop(index, sink);
        }
        let number = self.block(index, BlockStart::Reasoning, sink);
        self.teller.piece(number, Delta::Text(take_text(&mut thought, "text")), &mut sink.events);
        let more = take_text(&mut thought, "signature");
        self.held += more.len();
        if let Some(open) = self.open.get_mut(&index) {
            open.signature.push_str(&more);
        }
    }

    fn block_stop(&mut self, index: u64, sink: &mut Sink) {
        if let Some(Open { number: block, signature, .. }) = self.open.remove(&index) {
            let seal = read::seal(&signature).map(Delta::Seal);
            seal.into_iter().for_each(|seal| self.teller.piece(block, seal, &mut sink.events));
            sink.events.push(Event::BlockStop { choice: 0, block });
        }
    }

    fn message_stop(&mut self, mut data: Members, sink: &mut Sink) {
        while let Some(index) = self.open.keys().next().copied() {
            self.block_stop(index, sink);
        }
        if !mem::replace(&mut self.finished, true) {
            let stop = wire::read_stop(&take_text(&mut data, "stopReason"));
            sink.events.push(Event::Finish { choice: 0, stop });
            opaque("messageStop", data, sink);
        }
    }

    fn metadata(&mut self, mut data: Members, sink: &mut Sink) {
        sink.events.extend(wire::usage_of(&mut data).map(Event::Usage));
        wire::DIAGNOSIS.iter().for_each(|name| drop(data.remove(*name)));
        opaque("metadata", data, sink);
        if self.finished {
            self.ended = true;
            sink.events.push(Event::End);
        }
    }
}

/// Tells what of an event only this API knows. `p` is padding against eavesdroppers.
fn opaque(name: &str, mut data: Members, sink: &mut Sink) {
    data.remove("p");
    if !data.is_empty() {
        let json = Value::Object(Map::from_iter([(name.to_owned(), Value::Object(data))]));
        sink.events.push(Event::Opaque { dialect: ME, json });
    }
}

fn inner(data: &mut Members, name: &str) -> Members {
    data.remove(name).map(members).unwrap_or_default()
}

/// Writes a stream for a caller. Its clients know one open block at a time, so what comes of another block
/// meanwhile waits.
#[derive(Default)]
pub(super) struct StreamWriter {
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    told: Single,
    /// The block that is being told.
    open: Option<Block>,
    /// Number of the next block in the caller's stream.
    next: u32,
    /// What our own dialect has put into the last two events.
    last: Members,
    ended: bool,
}

struct Block {
    start: BlockStart,
    /// Its number in the caller's stream, once something of it is written.
    index: Option<u32>,
}

impl StreamWriter {
    /// For a caller of whose request nothing must be known.
    pub(super) fn new(_request: &Request) -> Self {
        StreamWriter::default()
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        let piece = match event {
            _ if self.ended => return,
            Event::Start { extra, .. } => {
                self.own = extra.form(ME).is_some();
                extra.lost_to(ME).for_each(|name| losses.note(format!("/{name}"), NO_MEMBER));
                frame(out, "messageStart", &json!({"role": "assistant"}));
                None
            }
            Event::Opaque { dialect: ME, json: Value::Object(json) } => self.opaque(json, out),
            _ => None,
        };
        match self.told.take(ME, event, piece, losses) {
            Ok(_) if *event == Event::End => self.end(out),
            Ok(told) => told.iter().for_each(|event| self.tell(event, out, losses)),
            Err(fault) => self.fault(&fault, out),
        }
    }

    fn fault(&mut self, told: &Fault, out: &mut Vec<u8>) {
        if !mem::replace(&mut self.ended, true) {
            out.extend(fault(told));
        }
    }
}

impl StreamWriter {
    fn tell(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            Event::BlockStart { start, .. } => {
                self.open = Some(Block { start: start.clone(), index: None });
                if let BlockStart::Whole(whole) = start {
                    let mut pen = Pen::new(Notes::answer(ME, self.own), Family::Other);
                    let taken = pen.block(whole, Place::Assistant).and_then(taken_apart);
                    losses.absorb(pen.notes.losses);
                    taken.into_iter().for_each(|(start, piece)| self.say(start, &piece, out));
                }
            }
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::Opaque { json, .. } => {
                let piece = json.pointer("/contentBlockDelta/delta").cloned().unwrap_or_default();
                self.say(None, &piece, out);
            }
            _ => self.block_stop(out),
        }
    }

    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return };
        let thinks = open.start == BlockStart::Reasoning;
        let piece = match delta {
            Delta::Input(text) => return self.input(text, out),
            Delta::Text(text) if thinks => json!({"reasoningContent": {"text": text}}),
            Delta::Text(text) => json!({ "text": text }),
            Delta::Seal(seal) if thinks => sealed(seal),
            Delta::Seal(seal) => {
                // Another API's seal on words or a call stands before them, as a block of its own.
                let open = self.open.replace(Block { start: BlockStart::Reasoning, index: None });
                self.say(None, &sealed(seal), out);
                self.block_stop(out);
                self.open = open;
                return;
            }
        };
        self.say(None, &piece, out);
    }

    fn input(&mut self, text: &str, out: &mut Vec<u8>) {
        let Some(Block { start: BlockStart::ToolUse { id, name }, .. }) = &self.open else { return };
        let start = json!({"toolUse": {"toolUseId": id, "name": name}});
        self.say(Some(start), &json!({"toolUse": {"input": text}}), out);
    }

    /// Writes a piece of the open block, and before its first piece the `start`, where there is one.
    fn say(&mut self, start: Option<Value>, piece: &Value, out: &mut Vec<u8>) {
        let Some(open) = &mut self.open else { return };
        let is_first = open.index.is_none();
        let index = *open.index.get_or_insert(self.next);
        if is_first {
            self.next = self.next.saturating_add(1);
        }
        if let Some(start) = start.filter(|_| is_first) {
            frame(out, "contentBlockStart", &json!({"contentBlockIndex": index, "start": start}));
        }
        frame(out, "contentBlockDelta", &json!({"contentBlockIndex": index, "delta": piece}));
    }

    /// Ends the open block. A call without arguments has empty ones, words without any are none.
    fn block_stop(&mut self, out: &mut Vec<u8>) {
        if self.open.as_ref().is_some_and(|open| open.index.is_none()) {
            self.input("{}", out);
        }
        if let Some(index) = self.open.take().and_then(|open| open.index) {
            frame(out, "contentBlockStop", &json!({ "contentBlockIndex": index }));
        }
    }

    /// Writes an event of our own dialect as it stands, or keeps what it adds to the last events. A piece of a
    /// block waits for its turn.
    fn opaque(&mut self, json: &Members, out: &mut Vec<u8>) -> Option<u32> {
        for (name, data) in json {
            match name.as_str() {
                "contentBlockDelta" => return data.get("contentBlockIndex")?.as_u64()?.try_into().ok(),
                "messageStop" | "metadata" => drop(self.last.insert(name.clone(), data.clone())),
                name => frame(out, name, data),
            }
        }
        None
    }

    /// The last two events. We know no clock, so the time that the API demands is told as zero.
    fn end(&mut self, out: &mut Vec<u8>) {
        let word = wire::write_stop(self.told.stop.as_ref(), self.own, self.told.called, self.told.refused);
        let mut stop = members(json!({ "stopReason": word }));
        stop.extend(inner(&mut self.last, "messageStop"));
        frame(out, "messageStop", &stop.into());
        let usage = wire::write_usage(self.told.usage.as_ref());
        let mut metadata = members(json!({"usage": usage, "metrics": {"latencyMs": 0}}));
        metadata.extend(inner(&mut self.last, "metadata"));
        frame(out, "metadata", &metadata.into());
        self.ended = true;
    }
}

fn sealed(seal: &Seal) -> Value {
    match seal.redacted && seal.issuer == ME {
        true => json!({"reasoningContent": {"redactedContent": seal.data}}),
        false => json!({"reasoningContent": {"signature": write::signature(seal)}}),
    }
}

/// The start and the only piece of a block that comes whole.
fn taken_apart(json: Members) -> Option<(Option<Value>, Value)> {
    let (member, inner) = json.into_iter().next()?;
    let Value::Object(mut start) = inner else { return Some((None, json!({ member: inner }))) };
    let piece = match member.as_str() {
        "toolUse" => json!({"input": start.remove("input").unwrap_or_default().to_string()}),
        "toolResult" => start.remove("content").unwrap_or_else(|| json!([])),
        "image" => json!({"source": start.remove("source")}),
        _ => return None,
    };
    Some((Some(json!({ member.as_str(): start })), json!({ member.as_str(): piece })))
}

fn frame(out: &mut Vec<u8>, name: &str, data: &Value) {
    aws::write_event(out, name, &json::bytes(data));
}

/// The last event of a broken stream.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    let name = wire::error_names(fault.status()).1;
    aws::write_exception(&mut out, name, &json::bytes(&json!({"message": fault.text()})));
    out
}

/// Looks at a stream that is relayed. Pieces of blocks, which are nearly all of it, cost one comparison.
#[derive(Default)]
pub(super) struct StreamGlance {
    seen: Seen,
    /// The last event has passed.
    over: bool,
}

impl Glance for StreamGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        match frame.event {
            _ if self.over => {}
            b"contentBlockDelta" => self.seen.content = true,
            // A call without arguments is an answer too, other blocks only begin.
            b"contentBlockStart" => self.seen.content |= memmem::find(frame.data, b"\"toolUse\"").is_some(),
            b"messageStop" => self.seen.ended = true,
            b"metadata" => {
                self.seen.usage = wire::meter(frame.data).or(self.seen.usage.take());
                self.over = self.seen.ended;
            }
            b"error" => return Err(error_body::read(200, frame.data)),
            _ => {}
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}
