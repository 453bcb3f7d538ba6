//! The Converse API event by event:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! Only tools have a start; words and thoughts begin with their first piece. `messageStop` ends the answer,
//! and `metadata` with the usage comes behind it.

use super::{
    read,
    wire::{self, Family, ME},
    write::{self, Pen, Place},
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{At, BlockStart, Delta, Event, Extra, Seal, Stop, Usage},
    error_body,
    frame::{aws, sse::Frame},
    json,
    limits::{PARTS_MAX, STREAM_HELD_MAX},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::mem;

type Members = Map<String, Value>;

/// Reads a provider's stream.
#[derive(Default)]
pub(super) struct EventReader {
    frames: aws::Frames,
    state: Reading,
}

impl Reader for EventReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        self.frames.feed(bytes, &mut |frame| self.state.frame(&frame, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        self.frames.finish()?;
        if !self.state.finished {
            let words = "the provider's stream ended before `messageStop`";
            return Err(Fault::new(FaultKind::UpstreamTruncated, words));
        }
        if !mem::replace(&mut self.state.ended, true) {
            sink.events.push(Event::End);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reading {
    started: bool,
    finished: bool,
    ended: bool,
    /// Blocks that have begun and not stopped, by the provider's number.
    open: BTreeMap<u64, Open>,
    /// Number of the next block in canonical form.
    next: u32,
    /// Bytes that were held back, of all blocks together.
    held: usize,
}

enum Open {
    /// A block that is told as it comes. The seal of thoughts is told when it stops.
    Told { number: u32, start: BlockStart, signature: String },
    /// A block that is told whole when it stops: its member, what that held at its start, and its pieces.
    Whole { member: String, inner: Members, input: String, pieces: Vec<Value> },
}

impl Reading {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
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
        if self.held > STREAM_HELD_MAX || self.next as usize > PARTS_MAX || self.open.len() > PARTS_MAX {
            return Err(too_much());
        }
        Ok(())
    }

    fn block_start(&mut self, index: u64, start: Members, sink: &mut Sink) {
        self.block_stop(index, sink);
        let Some((member, Value::Object(mut inner))) = start.into_iter().find(|(_, inner)| inner.is_object())
        else {
            return;
        };
        if self.finished {
            return sink.losses.note(format!("/content/{index}"), "a block after the end of the answer");
        }
        // A tool of the provider's own is no call for the caller.
        if member == "toolUse" && !inner.contains_key("type") {
            let [id, name] = ["toolUseId", "name"].map(|name| text(&mut inner, name));
            self.begin(index, BlockStart::ToolUse { id, name }, sink);
            return;
        }
        let (input, pieces) = (String::new(), Vec::new());
        self.open.insert(index, Open::Whole { member, inner, input, pieces });
    }

    fn begin(&mut self, index: u64, start: BlockStart, sink: &mut Sink) -> u32 {
        self.block_stop(index, sink);
        let number = self.next;
        self.next = self.next.saturating_add(1);
        sink.events.push(Event::BlockStart { choice: 0, block: number, start: start.clone() });
        self.open.insert(index, Open::Told { number, start, signature: String::new() });
        number
    }

    /// The block of that kind which is open at `index`, or a new one.
    fn block(&mut self, index: u64, start: BlockStart, sink: &mut Sink) -> u32 {
        match self.open.get(&index) {
            Some(Open::Told { number, start: open, .. }) if *open == start => *number,
            _ => self.begin(index, start, sink),
        }
    }

    fn delta(&mut self, index: u64, mut delta: Members, sink: &mut Sink) {
        let pointer = format!("/content/{index}");
        if self.finished {
            return sink.losses.note(pointer, "a piece after the end of the answer");
        }
        let thought = inner(&mut delta, "reasoningContent");
        if let Some(Open::Whole { input, pieces, inner: held, .. }) = self.open.get_mut(&index) {
            self.held += Value::Object(delta.clone()).to_string().len();
            input.push_str(&text(&mut inner(&mut delta, "toolUse"), "input"));
            pieces.extend(
                delta.remove("toolResult").and_then(|list| list.as_array().cloned()).unwrap_or_default(),
            );
            held.extend(inner(&mut delta, "image"));
        } else if let Some(Value::String(more)) = delta.remove("text") {
            let block = self.block(index, BlockStart::Text, sink);
            say(block, Delta::Text(more), sink);
        } else if !thought.is_empty() {
            self.thought(index, thought, sink);
        } else if let (Some(Open::Told { number, start: BlockStart::ToolUse { .. }, .. }), true) =
            (self.open.get(&index), delta.contains_key("toolUse"))
        {
            say(*number, Delta::Input(text(&mut inner(&mut delta, "toolUse"), "input")), sink);
        } else if delta.contains_key("toolUse") {
            sink.losses.note(pointer, "a piece of a call that has not begun");
        } else if let Some(Open::Told { number, .. }) = self.open.get(&index) {
            // Citations, and what is yet to come.
            let json = members(json!({"contentBlockIndex": number, "delta": delta}));
            opaque("contentBlockDelta", json, sink);
        } else {
            sink.losses.note(pointer, "a piece of a block that has not begun");
        }
    }

    fn thought(&mut self, index: u64, mut thought: Members, sink: &mut Sink) {
        if let Some(Value::String(data)) = thought.remove("redactedContent") {
            let number = self.begin(index, BlockStart::Reasoning, sink);
            let delta = Delta::Seal(Seal { issuer: ME, data, redacted: true });
            sink.events.push(Event::Delta { choice: 0, block: number, delta });
            return self.block_stop(index, sink);
        }
        let number = self.block(index, BlockStart::Reasoning, sink);
        say(number, Delta::Text(text(&mut thought, "text")), sink);
        let more = text(&mut thought, "signature");
        self.held += more.len();
        if let Some(Open::Told { signature, .. }) = self.open.get_mut(&index) {
            signature.push_str(&more);
        }
    }

    fn block_stop(&mut self, index: u64, sink: &mut Sink) {
        let number = match self.open.remove(&index) {
            None => return,
            Some(Open::Told { number, signature, .. }) => {
                let delta = read::seal(&signature).map(Delta::Seal);
                sink.events.extend(delta.map(|delta| Event::Delta { choice: 0, block: number, delta }));
                number
            }
            Some(Open::Whole { member, mut inner, input, pieces }) => {
                let input = serde_json::from_str::<Value>(&input).ok();
                json::put(&mut inner, "input", input.filter(|_| member == "toolUse"));
                json::put(&mut inner, "content", Some(pieces).filter(|_| member == "toolResult"));
                let json = Value::Object(Map::from_iter([(member, Value::Object(inner))]));
                let pointer = format!("/content/{index}");
                let Ok(block) = read::block(json, At::default(), &pointer) else {
                    return sink.losses.note(pointer, "a block that cannot be read");
                };
                let number = self.begin(index, BlockStart::Whole(Box::new(block)), sink);
                self.open.remove(&index);
                number
            }
        };
        sink.events.push(Event::BlockStop { choice: 0, block: number });
    }

    fn message_stop(&mut self, mut data: Members, sink: &mut Sink) {
        while let Some(index) = self.open.keys().next().copied() {
            self.block_stop(index, sink);
        }
        if !mem::replace(&mut self.finished, true) {
            let stop = wire::read_stop(&text(&mut data, "stopReason"));
            sink.events.push(Event::Finish { choice: 0, stop });
            opaque("messageStop", data, sink);
        }
    }

    fn metadata(&mut self, mut data: Members, sink: &mut Sink) {
        sink.events.extend(usage_of(&mut data).map(Event::Usage));
        // How the answer came about is no loss.
        ["metrics", "performanceConfig", "serviceTier"].iter().for_each(|name| drop(data.remove(*name)));
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

/// Tells a piece of a block, if there is anything in it.
fn say(block: u32, delta: Delta, sink: &mut Sink) {
    let empty = matches!(&delta, Delta::Text(text) | Delta::Input(text) if text.is_empty());
    sink.events.extend((!empty).then_some(Event::Delta { choice: 0, block, delta }));
}

fn too_much() -> Fault {
    read::invalid(format!(
        "the provider's stream holds back more than {STREAM_HELD_MAX} bytes, or has more than {PARTS_MAX} blocks"
    ))
}

fn inner(data: &mut Members, name: &str) -> Members {
    data.remove(name).map(members).unwrap_or_default()
}

fn members(json: Value) -> Members {
    if let Value::Object(members) = json { members } else { Members::new() }
}

fn text(members: &mut Members, name: &str) -> String {
    if let Some(Value::String(text)) = members.remove(name) { text } else { String::new() }
}

/// Takes the usage out of an answer or an event.
pub(super) fn usage_of(data: &mut Members) -> Option<Usage> {
    if let Some(Value::Object(usage)) = data.remove("usage") { Some(wire::read_usage(usage)) } else { None }
}

/// Writes a stream for a caller. Its clients know one open block at a time, so what comes of another block
/// meanwhile is held back.
#[derive(Default)]
pub(super) struct EventWriter {
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// Blocks of which something is still to be written; the first of them is open for the caller.
    blocks: VecDeque<Held>,
    /// Number of the first of `blocks`.
    first: u32,
    /// Number of the next block in the caller's stream.
    next: u32,
    /// Bytes held back.
    held: usize,
    called: bool,
    refused: bool,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// What our own dialect has put into the last two events.
    last: Members,
    ended: bool,
}

struct Held {
    start: BlockStart,
    /// Its number in the caller's stream, once something of it is written.
    index: Option<u32>,
    /// The `delta` members that are to be written.
    pieces: VecDeque<Value>,
    /// Another dialect's seal on words or a call, written before them.
    seal: Option<Seal>,
    stopped: bool,
}

impl Writer for EventWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => return,
            Event::Start { extra, .. } => {
                self.own = extra.form(ME).is_some();
                extra.lost_to(ME).for_each(|name| losses.note(format!("/{name}"), write::NO_MEMBER));
                frame(out, "messageStart", &json!({"role": "assistant"}));
            }
            Event::BlockStart { choice: 0, start, .. } => {
                self.called |= matches!(start, BlockStart::ToolUse { .. });
                self.refused |= *start == BlockStart::Refusal;
                let (start, pieces) = (start.clone(), VecDeque::new());
                self.blocks.push_back(Held { start, index: None, pieces, seal: None, stopped: false });
            }
            Event::Delta { choice: 0, block, delta } => self.delta(*block, delta),
            Event::BlockStop { choice: 0, block } => {
                self.block(*block).into_iter().for_each(|held| held.stopped = true);
            }
            Event::Finish { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect: ME, json: Value::Object(json) } => self.opaque(json, out),
            Event::Opaque { .. } => losses.note("/opaque", "only another API knows this event"),
            Event::Logprobs { .. } => losses.note("/logprobs", write::NO_MEMBER),
            Event::BlockStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::BlockStop { choice, .. }
            | Event::Finish { choice, .. } => {
                losses.note(format!("/choices/{choice}"), "the Converse API has one answer");
            }
            Event::End => {}
        }
        self.write_blocks(out, losses);
        if self.held > STREAM_HELD_MAX || self.blocks.len() > PARTS_MAX {
            self.fault(&too_much(), out);
        } else if *event == Event::End {
            self.end(out);
        }
    }

    fn fault(&mut self, told: &Fault, out: &mut Vec<u8>) {
        if !mem::replace(&mut self.ended, true) {
            out.extend(fault(told));
        }
    }
}

impl EventWriter {
    fn block(&mut self, number: u32) -> Option<&mut Held> {
        self.blocks.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn delta(&mut self, number: u32, delta: &Delta) {
        let Some(held) = self.block(number) else { return };
        let thinks = held.start == BlockStart::Reasoning;
        let json = match delta {
            Delta::Input(text) => json!({"toolUse": {"input": text}}),
            Delta::Text(text) if thinks => json!({"reasoningContent": {"text": text}}),
            Delta::Text(text) => json!({ "text": text }),
            Delta::Seal(seal) if !thinks => return held.seal = Some(seal.clone()),
            Delta::Seal(seal) => sealed(seal),
        };
        self.piece(number, json);
    }

    fn piece(&mut self, number: u32, delta: Value) {
        let size = delta.to_string().len();
        if let Some(held) = self.block(number) {
            held.pieces.push_back(delta);
            self.held += size;
        }
    }

    /// Writes an event of our own dialect: a piece of a block, more of the last events, or as it stands.
    fn opaque(&mut self, json: &Members, out: &mut Vec<u8>) {
        let Some((name, data)) = json.iter().next() else { return };
        let number = data.get("contentBlockIndex").and_then(Value::as_u64);
        match (name.as_str(), data.get("delta"), number.and_then(|number| u32::try_from(number).ok())) {
            ("contentBlockDelta", Some(delta), Some(number)) => self.piece(number, delta.clone()),
            ("messageStop" | "metadata", ..) => drop(self.last.insert(name.clone(), data.clone())),
            _ => frame(out, name, data),
        }
    }

    /// Writes what can be written: all of the first block, and of the next ones as blocks stop.
    fn write_blocks(&mut self, out: &mut Vec<u8>, losses: &mut Losses) {
        while let Some(mut block) = self.blocks.pop_front() {
            if let Some(seal) = block.seal.take() {
                let index = self.number();
                frame(out, "contentBlockDelta", &json!({"contentBlockIndex": index, "delta": sealed(&seal)}));
                frame(out, "contentBlockStop", &json!({ "contentBlockIndex": index }));
            }
            self.block_start(&mut block, out, losses);
            while let Some(piece) = block.pieces.pop_front() {
                self.held = self.held.saturating_sub(piece.to_string().len());
                if let Some(index) = block.index {
                    frame(out, "contentBlockDelta", &json!({"contentBlockIndex": index, "delta": piece}));
                }
            }
            if !block.stopped {
                return self.blocks.push_front(block);
            }
            if let Some(index) = block.index {
                frame(out, "contentBlockStop", &json!({ "contentBlockIndex": index }));
            }
            self.first = self.first.wrapping_add(1);
        }
    }

    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    /// Begins a block once: words with their first piece, a call with its first piece or its end, as a seal
    /// may come first. A call without arguments has empty ones.
    fn block_start(&mut self, block: &mut Held, out: &mut Vec<u8>, losses: &mut Losses) {
        let is_done = block.stopped && matches!(block.start, BlockStart::ToolUse { .. });
        let is_whole = matches!(block.start, BlockStart::Whole(_));
        if block.index.is_some() || (!is_whole && !is_done && block.pieces.is_empty()) {
            return;
        }
        let start = match &block.start {
            BlockStart::Text | BlockStart::Refusal | BlockStart::Reasoning => None,
            BlockStart::ToolUse { id, name } => {
                if block.pieces.is_empty() {
                    block.pieces.push_back(json!({"toolUse": {"input": "{}"}}));
                }
                Some(json!({"toolUse": {"toolUseId": id, "name": name}}))
            }
            BlockStart::Whole(whole) => {
                let mut pen = Pen::new(self.own, true, Family::Other);
                let json = pen.block(whole, Place::Assistant);
                losses.absorb(pen.losses);
                let Some((start, delta)) = json.and_then(taken_apart) else { return };
                block.pieces.push_back(delta);
                start
            }
        };
        let index = self.number();
        block.index = Some(index);
        if let Some(start) = start {
            frame(out, "contentBlockStart", &json!({"contentBlockIndex": index, "start": start}));
        }
    }

    /// The last two events. We know no clock, so the time that the API demands is told as zero.
    fn end(&mut self, out: &mut Vec<u8>) {
        let word = wire::write_stop(self.stop.as_ref(), self.own, self.called, self.refused);
        let mut stop = members(json!({ "stopReason": word }));
        stop.extend(inner(&mut self.last, "messageStop"));
        frame(out, "messageStop", &stop.into());
        let usage = wire::write_usage(self.usage.as_ref());
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
pub(super) struct EventGlance {
    seen: Seen,
    /// The last event has passed.
    over: bool,
}

impl Glance for EventGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        match frame.event {
            _ if self.over => {}
            b"contentBlockDelta" => self.seen.content = true,
            // A call without arguments is an answer too, other blocks only begin.
            b"contentBlockStart" => self.seen.content |= memmem::find(frame.data, b"\"toolUse\"").is_some(),
            b"messageStop" => self.seen.ended = true,
            b"metadata" => {
                self.seen.usage = usage_of(&mut parsed(frame.data)).or(self.seen.usage.take());
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

fn parsed(data: &[u8]) -> Members {
    serde_json::from_slice(data).map(members).unwrap_or_default()
}
