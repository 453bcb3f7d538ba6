//! The Messages API event by event: <https://docs.anthropic.com/en/api/messages-streaming>

use super::{
    read,
    wire::{self, ID, UsageSoFar},
    write::{self, Pen},
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{Block, BlockStart, Delta, Event, Extra, Kind, Request, Seal, Stop, StopReason, Usage},
    error_body,
    frame::sse::{self, Frame, Frames},
    json,
    limits::{PARTS_MAX, STREAM_HELD_MAX},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

type Members = Map<String, Value>;

/// Reads a provider's stream.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    frames: Frames,
    state: Reading,
}

impl Reader for EventReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let EventReader { frames, state } = self;
        frames.feed(bytes, &mut |frame| state.frame(&frame, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let EventReader { frames, state } = self;
        frames.finish(&mut |frame| state.frame(&frame, sink))?;
        if state.finished && !state.ended {
            state.end(sink);
        }
        let words = "the provider's stream ended before its `stop_reason`";
        if state.finished { Ok(()) } else { Err(Fault::new(FaultKind::UpstreamTruncated, words)) }
    }
}

#[derive(Debug, Default)]
struct Reading {
    started: bool,
    finished: bool,
    ended: bool,
    /// Blocks that have begun and not stopped, by Anthropic's `index`.
    open: BTreeMap<u64, Open>,
    /// Number of the next block in canonical form.
    next: u32,
    usage: UsageSoFar,
    /// Bytes that were held back, of all blocks together.
    held: usize,
}

#[derive(Debug)]
enum Open {
    /// A block of type `kind` that is told as it comes. `last` is told when it stops: the signature of
    /// thoughts, or the input that a tool call had at its start, if no piece of it came.
    Told { number: u32, kind: String, last: Option<Delta> },
    /// A block that only Anthropic knows, told whole when it stops, and the text of its input.
    Whole { block: Members, input: String },
}

impl Reading {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let kind = name(frame);
        let mut data = match serde_json::from_slice(frame.data) {
            _ if self.ended => return Ok(()),
            _ if kind == "error" => return Err(error_body::read(200, frame.data)),
            Ok(Value::Object(data)) => data,
            _ => {
                sink.losses.note(format!("/{kind}"), "an event that is not JSON");
                return Ok(());
            }
        };
        if !matches!(&*kind, "message_start" | "ping") {
            self.start(Members::new(), sink);
        }
        let index = index(&data);
        match &*kind {
            "message_start" => self.start(inner(&mut data, "message"), sink),
            "content_block_start" => self.block_start(index, inner(&mut data, "content_block"), sink),
            "content_block_delta" => self.delta(index, inner(&mut data, "delta"), sink),
            "content_block_stop" => self.block_stop(index, sink),
            "message_delta" => self.message_delta(data, sink),
            "message_stop" => self.end(sink),
            "ping" => {}
            _ => sink.events.push(Event::Opaque { dialect: ID, json: Value::Object(data) }),
        }
        if self.held > STREAM_HELD_MAX || self.open.len() > PARTS_MAX {
            return Err(invalid("holds more in open blocks"));
        }
        Ok(())
    }

    /// Tells the start once; a stream whose first event was lost has an empty one.
    fn start(&mut self, mut message: Members, sink: &mut Sink) {
        let usage = self.usage.take(message.remove("usage").as_ref());
        if !self.started {
            self.started = true;
            let [id, model] = ["id", "model"].map(|name| text(&mut message, name));
            for known in ["type", "role", "content", "stop_reason", "stop_sequence"] {
                message.remove(known);
            }
            sink.events.push(Event::Start { id, model, created: None, extra: Extra::new(ID, message) });
        }
        sink.events.extend(usage.map(Event::Usage));
    }

    fn block_start(&mut self, index: u64, block: Members, sink: &mut Sink) {
        self.block_stop(index, sink);
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let pointer = format!("/content/{index}");
        if self.finished {
            return sink.losses.note(pointer, "a block after the end of the answer");
        }
        let read = read::answer_block(Value::Object(block), &pointer);
        let Ok(Block { kind: read, extra, .. }) = read else {
            return sink.losses.note(pointer, "a block that cannot be read");
        };
        let (start, first, last) = match read {
            Kind::Text(text) => (BlockStart::Text, Some(Delta::Text(text)), None),
            Kind::Reasoning { text, seal } => {
                (BlockStart::Reasoning, Some(Delta::Text(text)), seal.map(Delta::Seal))
            }
            Kind::ToolUse { id, name, input } => {
                (BlockStart::ToolUse { id, name }, None, Some(Delta::Input(input)))
            }
            Kind::Opaque { json: Value::Object(block), .. } => {
                self.open.insert(index, Open::Whole { block, input: String::new() });
                return;
            }
            _ => return sink.losses.note(pointer, "a block that no answer has"),
        };
        let number = self.begin(start, sink);
        first.into_iter().for_each(|first| say(number, first, sink));
        self.open.insert(index, Open::Told { number, kind, last });
        // An empty list of citations is filled by pieces.
        let says = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        for (name, _) in extra.of(ID).into_iter().flatten().filter(|(_, value)| says(value)) {
            sink.losses.note(format!("{pointer}/{name}"), "the start of a block has no room for it");
        }
    }

    fn begin(&mut self, start: BlockStart, sink: &mut Sink) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        sink.events.push(Event::BlockStart { choice: 0, block: number, start });
        number
    }

    fn delta(&mut self, index: u64, mut delta: Members, sink: &mut Sink) {
        let word = delta.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(open) = self.open.get_mut(&index) else {
            return sink.losses.note(format!("/content/{index}"), "a piece of a block that has not begun");
        };
        match open {
            Open::Told { number, kind, last } => match (kind.as_str(), word.as_str()) {
                ("text", "text_delta") => say(*number, Delta::Text(text(&mut delta, "text")), sink),
                ("thinking", "thinking_delta") => {
                    say(*number, Delta::Text(text(&mut delta, "thinking")), sink);
                }
                ("thinking", "signature_delta") => {
                    let more = text(&mut delta, "signature");
                    self.held += more.len();
                    match last {
                        Some(Delta::Seal(seal)) => seal.data.push_str(&more),
                        _ => *last = read::seal(more).map(Delta::Seal),
                    }
                }
                ("tool_use", "input_json_delta") => {
                    let more = text(&mut delta, "partial_json");
                    *last = last.take().filter(|_| more.is_empty());
                    say(*number, Delta::Input(more), sink);
                }
                // Citations, and what is yet to come.
                _ => {
                    let json = json!({ "type": "content_block_delta", "index": *number, "delta": delta });
                    sink.events.push(Event::Opaque { dialect: ID, json });
                }
            },
            Open::Whole { block, input } => {
                self.held += delta.values().map(|value| value.as_str().map_or(0, str::len)).sum::<usize>();
                delta.remove("type");
                match word.as_str() {
                    "input_json_delta" => input.push_str(&text(&mut delta, "partial_json")),
                    _ => grow(block, delta),
                }
            }
        }
    }

    fn block_stop(&mut self, index: u64, sink: &mut Sink) {
        let number = match self.open.remove(&index) {
            None => return,
            Some(Open::Told { number, last, .. }) => {
                last.into_iter().for_each(|last| say(number, last, sink));
                number
            }
            Some(Open::Whole { mut block, input }) => {
                if let Ok(input) = serde_json::from_str(&input) {
                    block.insert("input".to_owned(), input);
                }
                let whole = Block::new(Kind::Opaque { dialect: ID, json: Value::Object(block) });
                self.begin(BlockStart::Whole(Box::new(whole)), sink)
            }
        };
        sink.events.push(Event::BlockStop { choice: 0, block: number });
    }

    /// The stop reason and the usage. What else it holds is Anthropic's alone.
    fn message_delta(&mut self, mut data: Members, sink: &mut Sink) {
        let mut delta = inner(&mut data, "delta");
        let usage = self.usage.take(data.remove("usage").as_ref());
        let [reason, sequence] = ["stop_reason", "stop_sequence"].map(|name| text(&mut delta, name));
        delta.retain(|_, value| !value.is_null());
        data.retain(|name, value| name != "type" && !value.is_null());
        if !delta.is_empty() || !data.is_empty() {
            data.insert("type".to_owned(), json!("message_delta"));
            data.insert("delta".to_owned(), Value::Object(delta));
            sink.events.push(Event::Opaque { dialect: ID, json: Value::Object(data) });
        }
        if !reason.is_empty() {
            self.finish(wire::stop(&reason, Some(sequence)), sink);
        }
        sink.events.extend(usage.map(Event::Usage));
    }

    fn finish(&mut self, stop: Stop, sink: &mut Sink) {
        while let Some(index) = self.open.keys().next().copied() {
            self.block_stop(index, sink);
        }
        if !self.finished {
            self.finished = true;
            sink.events.push(Event::Finish { choice: 0, stop });
        }
    }

    fn end(&mut self, sink: &mut Sink) {
        self.finish(Stop::new(StopReason::Other, ""), sink);
        self.ended = true;
        sink.events.push(Event::End);
    }
}

fn invalid(what: &str) -> Fault {
    let words = format!("the provider's stream {what} than {STREAM_HELD_MAX} bytes or {PARTS_MAX} blocks");
    Fault::new(FaultKind::UpstreamInvalid, words)
}

fn inner(data: &mut Members, name: &str) -> Members {
    json::object(data.remove(name).unwrap_or_default())
}

fn text(members: &mut Members, name: &str) -> String {
    if let Some(Value::String(text)) = members.remove(name) { text } else { String::new() }
}

fn index(data: &Members) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// Tells a piece of a block, if there is anything in it.
fn say(number: u32, delta: Delta, sink: &mut Sink) {
    let empty = matches!(&delta, Delta::Text(text) | Delta::Input(text) if text.is_empty());
    sink.events.extend((!empty).then_some(Event::Delta { choice: 0, block: number, delta }));
}

/// Adds a piece to a block that only Anthropic knows: text to text, list to list.
fn grow(block: &mut Members, delta: Members) {
    for (name, more) in delta {
        match (block.get_mut(&name), more) {
            (Some(Value::String(have)), Value::String(more)) => have.push_str(&more),
            (Some(Value::Array(have)), Value::Array(more)) => have.extend(more),
            (_, more) => drop(block.insert(name, more)),
        }
    }
}

/// Writes a stream for a caller. Its clients know one open block at a time, so what comes of another
/// block meanwhile is held back.
#[derive(Debug, Default)]
pub(super) struct EventWriter {
    /// The model that the caller named, for streams that do not name one.
    model: String,
    /// `message_start`, held until the next event, as usage may come right behind it.
    start: Option<Members>,
    usage: Option<Usage>,
    /// Blocks of which something is still to be written; the first of them is open for the caller.
    blocks: VecDeque<Held>,
    /// Number of the first of `blocks`.
    first: u32,
    /// Index of the next block in the caller's stream.
    next: u32,
    /// Bytes held back.
    held: usize,
    called: bool,
    refused: bool,
    stop: Option<Stop>,
    /// What our own dialect has put into `message_delta` beside stop reason and usage.
    last: Members,
    ended: bool,
}

#[derive(Debug)]
struct Held {
    start: BlockStart,
    /// Its index in the caller's stream, once its start is written.
    index: Option<u32>,
    /// The `delta` members that are to be written.
    pieces: VecDeque<Vec<u8>>,
    /// Another dialect's seal on words or a call, written before them.
    seal: Option<Seal>,
    stopped: bool,
}

fn held(start: BlockStart, stopped: bool) -> Held {
    Held { start, index: None, pieces: VecDeque::new(), seal: None, stopped }
}

impl EventWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        EventWriter { model: request.model.clone(), ..EventWriter::default() }
    }
}

impl Writer for EventWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => return,
            Event::Start { id, model, extra, .. } => return self.begin(id, model, extra, losses),
            Event::Usage(usage) => return self.usage = Some(usage.clone()),
            _ => self.message_start(out),
        }
        match event {
            Event::BlockStart { choice: 0, start, .. } => {
                self.called |= matches!(start, BlockStart::ToolUse { .. });
                self.refused |= *start == BlockStart::Refusal;
                self.blocks.push_back(held(start.clone(), false));
            }
            Event::Delta { choice: 0, block, delta } => self.delta(*block, delta),
            Event::BlockStop { choice: 0, block } => {
                self.block(*block).into_iter().for_each(|held| held.stopped = true);
            }
            Event::Finish { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Opaque { dialect, json: Value::Object(data) } if *dialect == ID => self.opaque(data, out),
            Event::Opaque { .. } => losses.note("/opaque", "only another API knows this event"),
            Event::Logprobs { .. } => losses.note("/logprobs", "the Messages API has no such member"),
            Event::BlockStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::BlockStop { choice, .. }
            | Event::Finish { choice, .. } => {
                losses.note(format!("/choices/{choice}"), "the Messages API has one answer");
            }
            Event::Start { .. } | Event::Usage(_) | Event::End => {}
        }
        self.write_blocks(out, losses);
        if self.held > STREAM_HELD_MAX || self.blocks.len() > PARTS_MAX {
            self.fault(&invalid("overlaps more"), out);
        } else if *event == Event::End {
            self.end(out);
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !self.ended {
            self.ended = true;
            out.extend(fault_event(fault));
        }
    }
}

impl EventWriter {
    fn begin(&mut self, id: &str, model: &str, extra: &Extra, losses: &mut Losses) {
        let model = if model.is_empty() { &self.model } else { model };
        let mut message = json::object(json!({
            "id": write::message_id(id), "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null,
        }));
        json::add(&mut message, extra.of(ID));
        for name in extra.lost_to(ID) {
            losses.note(format!("/{name}"), "the Messages API has no such member");
        }
        self.start = Some(message);
    }

    fn message_start(&mut self, out: &mut Vec<u8>) {
        if let Some(mut message) = self.start.take() {
            message.insert("usage".to_owned(), Value::Object(wire::usage_json(self.usage.as_ref())));
            event(out, "message_start", json::object(json!({ "message": message })));
        }
    }

    fn block(&mut self, number: u32) -> Option<&mut Held> {
        let place = number.checked_sub(self.first)?;
        self.blocks.get_mut(usize::try_from(place).ok()?)
    }

    fn delta(&mut self, number: u32, delta: &Delta) {
        let Some(held) = self.block(number) else { return };
        let json = match delta {
            Delta::Input(text) => json!({ "type": "input_json_delta", "partial_json": text }),
            Delta::Text(text) if held.start == BlockStart::Reasoning => {
                json!({ "type": "thinking_delta", "thinking": text })
            }
            Delta::Text(text) => json!({ "type": "text_delta", "text": text }),
            Delta::Seal(seal) if held.start != BlockStart::Reasoning => {
                return held.seal = Some(seal.clone());
            }
            Delta::Seal(seal) if seal.redacted && held.index.is_none() && held.pieces.is_empty() => {
                let hidden = Kind::Reasoning { text: String::new(), seal: Some(seal.clone()) };
                held.start = BlockStart::Whole(Box::new(Block::new(hidden)));
                return;
            }
            Delta::Seal(seal) => json!({ "type": "signature_delta", "signature": seal.kept(ID) }),
        };
        self.piece(number, &json);
    }

    fn piece(&mut self, number: u32, delta: &Value) {
        if let Some(held) = self.block(number) {
            let bytes = json::bytes(delta);
            let size = bytes.len();
            held.pieces.push_back(bytes);
            self.held += size;
        }
    }

    /// Writes an event of our own dialect: a piece of a block, more of the last event, or as it stands.
    fn opaque(&mut self, data: &Members, out: &mut Vec<u8>) {
        match (data.get("type").and_then(Value::as_str).unwrap_or_default(), data.get("delta")) {
            ("content_block_delta", Some(delta)) => {
                self.piece(u32::try_from(index(data)).unwrap_or(u32::MAX), delta);
            }
            ("message_delta", _) => write::merge(&mut self.last, data),
            (name, _) if name.bytes().all(|byte| byte.is_ascii_graphic()) => event(out, name, data.clone()),
            _ => {}
        }
    }

    /// Writes what can be written: all of the first block, and of the next ones as blocks stop.
    fn write_blocks(&mut self, out: &mut Vec<u8>, losses: &mut Losses) {
        while let Some(mut block) = self.blocks.pop_front() {
            if let Some(seal) = block.seal.take() {
                self.first = self.first.wrapping_sub(1);
                self.blocks.push_front(block);
                self.blocks.push_front(held(BlockStart::Reasoning, true));
                self.delta(self.first, &Delta::Seal(seal));
                continue;
            }
            self.block_start(&mut block, out, losses);
            while let Some(piece) = block.pieces.pop_front() {
                self.held = self.held.saturating_sub(piece.len());
                if let Some(index) = block.index {
                    let head = format!("{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":");
                    sse::write(out, "content_block_delta", &[head.as_bytes(), &piece, b"}"]);
                }
            }
            if !block.stopped {
                return self.blocks.push_front(block);
            }
            if let Some(index) = block.index {
                event(out, "content_block_stop", json::object(json!({ "index": index })));
            }
            self.first = self.first.wrapping_add(1);
        }
    }

    /// Writes the start of a block once. Words begin with their first piece (a client that sends an empty
    /// block of text back would be refused), calls with theirs or with their end, as a seal may come first.
    fn block_start(&mut self, block: &mut Held, out: &mut Vec<u8>, losses: &mut Losses) {
        let is_call = matches!(block.start, BlockStart::ToolUse { .. });
        let is_whole = matches!(block.start, BlockStart::Whole(_)) || (is_call && block.stopped);
        if block.index.is_some() || (!is_whole && block.pieces.is_empty()) {
            return;
        }
        let json = match &block.start {
            BlockStart::Text | BlockStart::Refusal => json!({ "type": "text", "text": "" }),
            BlockStart::Reasoning => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            BlockStart::ToolUse { id, name } => {
                json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
            }
            BlockStart::Whole(whole) => {
                let mut pen = Pen::answer(false, usize::try_from(self.first).unwrap_or_default());
                let json = pen.answer_block(whole);
                losses.absorb(pen.losses);
                let Some(json) = json else { return };
                json
            }
        };
        block.index = Some(self.next);
        event(out, "content_block_start", json::object(json!({ "index": self.next, "content_block": json })));
        self.next = self.next.saturating_add(1);
    }

    /// The last two events. Usage is held until here, because it may come after the stop reason.
    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = write::stopped(self.stop.as_ref(), self.called, self.refused);
        let mut last = json::object(json!({ "delta": stop, "usage": wire::usage_json(self.usage.as_ref()) }));
        write::merge(&mut last, &self.last);
        event(out, "message_delta", last);
        event(out, "message_stop", Members::new());
        self.ended = true;
    }
}

/// One event: its name stands in the `event` line and in the data, and official clients need both.
fn event(out: &mut Vec<u8>, name: &str, data: Members) {
    let mut named = json::object(json!({ "type": name }));
    named.extend(data);
    sse::write(out, name, &[&json::bytes(&Value::Object(named))]);
}

/// The last event of a broken stream.
pub(super) fn fault_event(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    sse::write(&mut out, "error", &[&write::fault(fault)]);
    out
}

/// Looks at a stream that is relayed. Pieces of blocks, which are nearly all of it, cost one comparison.
#[derive(Debug, Default)]
pub(super) struct EventGlance {
    seen: Seen,
    usage: UsageSoFar,
}

impl Glance for EventGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        match &*name(frame) {
            "content_block_delta" => self.seen.content = true,
            "message_start" | "message_delta" => self.message(frame.data),
            // Its data must be there to its last brace: a stream can be cut in the middle of its last event.
            "message_stop" if frame.data.trim_ascii().ends_with(b"}") => {
                self.seen = Seen { ended: true, missing: b"", ..std::mem::take(&mut self.seen) };
            }
            _ if self.seen.ended => {}
            // A call without arguments is an answer too, other blocks only begin.
            "content_block_start" => {
                self.seen.content |= memmem::find(frame.data, b"\"tool_use\"").is_some();
            }
            "error" => return Err(error_body::read(200, frame.data)),
            _ => {}
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl EventGlance {
    /// Usage, and the stop reason, behind which only the last event can come.
    fn message(&mut self, data: &[u8]) {
        let data = serde_json::from_slice::<Value>(data).unwrap_or_default();
        if !self.seen.ended && data.pointer("/delta/stop_reason").is_some_and(Value::is_string) {
            (self.seen.ended, self.seen.missing) = (true, wire::LAST_EVENT);
        }
        if let Some(usage) = self.usage.take(data.pointer("/message/usage").or_else(|| data.get("usage"))) {
            self.seen.usage = Some(usage);
        }
    }
}

/// The event's name. Some servers leave the `event` line out, and the data tells it, most often first; an
/// error may tell nothing but itself.
fn name<'a>(frame: &Frame<'a>) -> Cow<'a, str> {
    if !frame.event.is_empty() {
        return String::from_utf8_lossy(frame.event);
    }
    let told =
        frame.data.strip_prefix(b"{\"type\":\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
    if let Some(told) = told {
        return String::from_utf8_lossy(told);
    }
    let data = serde_json::from_slice::<Value>(frame.data).unwrap_or_default();
    match data.get("type").and_then(Value::as_str) {
        None if data.get("error").is_some() => Cow::Borrowed("error"),
        told => Cow::Owned(told.unwrap_or_default().to_owned()),
    }
}
