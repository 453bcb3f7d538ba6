//! The Messages API event by event: <https://docs.anthropic.com/en/api/messages-streaming>

use super::{
    read,
    wire::{self, ID, UsageSoFar},
    write::{self, Pen},
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{At, BlockStart, Delta, Event, Extra, Request, Stop, StopReason, Usage},
    frame::sse::{Frame, Frames},
    json,
    limits::{PARTS_MAX, STREAM_HELD_MAX},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

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
        if state.ended {
            return Ok(());
        }
        let words = "the provider's stream ended before `message_stop`";
        Err(Fault::new(FaultKind::UpstreamTruncated, words))
    }
}

#[derive(Debug, Default)]
struct Reading {
    started: bool,
    finished: bool,
    ended: bool,
    /// Blocks that are open, by Anthropic's `index`.
    open: BTreeMap<u64, Open>,
    /// Number of the next block in canonical form.
    next: u32,
    usage: UsageSoFar,
    /// Bytes that were held back, of all blocks together.
    held: usize,
}

/// A block that has begun and not stopped.
#[derive(Debug)]
enum Open {
    /// Text or thoughts; the signature is told whole when the block stops.
    Words { number: u32, thoughts: bool, signature: String },
    /// A tool call. The input that some servers give at its start is told when no piece of it comes.
    Call { number: u32, input: Option<String> },
    /// A block that only Anthropic knows, told whole when it stops.
    Whole { block: Members, input: String },
}

impl Reading {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let named = String::from_utf8_lossy(frame.event);
        let Ok(Value::Object(mut data)) = serde_json::from_slice(frame.data) else {
            if named == "error" {
                return Err(read::fault(200, frame.data));
            }
            sink.losses.note(format!("/{named}"), "an event that is not JSON");
            return Ok(());
        };
        let kind = match data.get("type").and_then(Value::as_str) {
            Some(kind) => kind.to_owned(),
            None if data.contains_key("error") => "error".to_owned(),
            None => named.into_owned(),
        };
        if !matches!(kind.as_str(), "message_start" | "ping" | "error") {
            self.start(Members::new(), sink);
        }
        match kind.as_str() {
            "message_start" => self.start(inner(&mut data, "message"), sink),
            "content_block_start" => {
                return self.block_start(index(&data), inner(&mut data, "content_block"), sink);
            }
            "content_block_delta" => return self.delta(index(&data), inner(&mut data, "delta"), sink),
            "content_block_stop" => self.block_stop(index(&data), sink),
            "message_delta" => self.message_delta(data, sink),
            "message_stop" => self.end(sink),
            "ping" => {}
            "error" => return Err(read::fault(200, frame.data)),
            _ => sink.events.push(Event::Opaque { dialect: ID, json: Value::Object(data) }),
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
            let extra = Extra::new(ID, message);
            sink.events.push(Event::Start { id, model, created: None, extra });
        }
        sink.events.extend(usage.map(Event::Usage));
    }

    fn block_start(&mut self, index: u64, mut block: Members, sink: &mut Sink) -> Result<(), Fault> {
        self.block_stop(index, sink);
        if self.finished {
            sink.losses.note("/content", "a block after the end of the answer");
            return Ok(());
        }
        if self.open.len() >= PARTS_MAX {
            return Err(invalid(format!("the provider's stream has over {PARTS_MAX} open blocks")));
        }
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let open = match kind.as_str() {
            "text" => {
                let words = text(&mut block, "text");
                self.words(BlockStart::Text, words, String::new(), sink)
            }
            "thinking" => {
                let [thoughts, signature] = ["thinking", "signature"].map(|name| text(&mut block, name));
                self.words(BlockStart::Reasoning, thoughts, signature, sink)
            }
            "redacted_thinking" => {
                let number = self.begin(BlockStart::Reasoning, sink);
                let seal = read::seal(text(&mut block, "data"), true).map(Delta::Seal);
                sink.events.extend(seal.map(|delta| Event::Delta { choice: 0, block: number, delta }));
                Open::Words { number, thoughts: true, signature: String::new() }
            }
            "tool_use" => {
                let [id, name] = ["id", "name"].map(|name| text(&mut block, name));
                let number = self.begin(BlockStart::ToolUse { id, name }, sink);
                let input = match block.remove("input") {
                    Some(Value::String(input)) => input,
                    Some(input @ Value::Object(_)) => input.to_string(),
                    _ => "{}".to_owned(),
                };
                Open::Call { number, input: Some(input) }
            }
            _ => {
                self.open.insert(index, Open::Whole { block, input: String::new() });
                return Ok(());
            }
        };
        self.open.insert(index, open);
        lost_members(&block, &format!("/content/{index}"), sink);
        Ok(())
    }

    fn begin(&mut self, start: BlockStart, sink: &mut Sink) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        sink.events.push(Event::BlockStart { choice: 0, block: number, start });
        number
    }

    fn words(&mut self, start: BlockStart, words: String, signature: String, sink: &mut Sink) -> Open {
        let thoughts = start == BlockStart::Reasoning;
        let number = self.begin(start, sink);
        say(number, Delta::Text(words), sink);
        Open::Words { number, thoughts, signature }
    }

    fn delta(&mut self, index: u64, mut delta: Members, sink: &mut Sink) -> Result<(), Fault> {
        let Some(open) = self.open.get_mut(&index) else {
            sink.losses.note(format!("/content/{index}"), "a piece of a block that has not begun");
            return Ok(());
        };
        let kind = delta.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (open, kind.as_str()) {
            (Open::Words { number, .. }, "text_delta") => {
                say(*number, Delta::Text(text(&mut delta, "text")), sink)
            }
            (Open::Words { number, .. }, "thinking_delta") => {
                say(*number, Delta::Text(text(&mut delta, "thinking")), sink);
            }
            (Open::Words { signature, thoughts: true, .. }, "signature_delta") => {
                let more = text(&mut delta, "signature");
                self.held += more.len();
                signature.push_str(&more);
            }
            (Open::Call { number, input }, "input_json_delta") => {
                let more = text(&mut delta, "partial_json");
                if !more.is_empty() {
                    *input = None;
                    say(*number, Delta::Input(more), sink);
                }
            }
            (Open::Whole { input, .. }, "input_json_delta") => {
                let more = text(&mut delta, "partial_json");
                self.held += more.len();
                input.push_str(&more);
            }
            (Open::Whole { block, .. }, _) => {
                delta.remove("type");
                self.held += delta.values().map(|value| value.as_str().map_or(0, str::len)).sum::<usize>();
                grow(block, delta);
            }
            // Citations, and what is yet to come.
            (Open::Words { number, .. } | Open::Call { number, .. }, _) => {
                let json = json!({ "type": "content_block_delta", "index": *number, "delta": delta });
                sink.events.push(Event::Opaque { dialect: ID, json });
            }
        }
        if self.held > STREAM_HELD_MAX {
            return Err(invalid(format!("a block of the provider's stream is over {STREAM_HELD_MAX} bytes")));
        }
        Ok(())
    }

    fn block_stop(&mut self, index: u64, sink: &mut Sink) {
        let number = match self.open.remove(&index) {
            None => return,
            Some(Open::Words { number, signature, .. }) => {
                if let Some(seal) = read::seal(signature, false) {
                    say(number, Delta::Seal(seal), sink);
                }
                number
            }
            Some(Open::Call { number, input }) => {
                say(number, Delta::Input(input.unwrap_or_default()), sink);
                number
            }
            Some(Open::Whole { mut block, input }) => {
                if let Ok(input) = serde_json::from_str::<Value>(&input) {
                    block.insert("input".to_owned(), input);
                }
                let pointer = format!("/content/{index}");
                match read::block(Value::Object(block), At::default(), &pointer) {
                    Ok(block) => self.begin(BlockStart::Whole(Box::new(block)), sink),
                    Err(_) => return sink.losses.note(pointer, "a block that cannot be read"),
                }
            }
        };
        sink.events.push(Event::BlockStop { choice: 0, block: number });
    }

    /// The stop reason and the usage. What else it holds is Anthropic's alone.
    fn message_delta(&mut self, mut data: Members, sink: &mut Sink) {
        let mut delta = inner(&mut data, "delta");
        let usage = self.usage.take(data.remove("usage").as_ref());
        let reason = text(&mut delta, "stop_reason");
        let sequence = Some(text(&mut delta, "stop_sequence")).filter(|sequence| !sequence.is_empty());
        delta.retain(|_, value| !value.is_null());
        data.retain(|name, value| name != "type" && !value.is_null());
        if !delta.is_empty() || !data.is_empty() {
            data.insert("type".to_owned(), json!("message_delta"));
            data.insert("delta".to_owned(), Value::Object(delta));
            sink.events.push(Event::Opaque { dialect: ID, json: Value::Object(data) });
        }
        if !reason.is_empty() {
            self.finish_choice(wire::stop(&reason, sequence), sink);
        }
        sink.events.extend(usage.map(Event::Usage));
    }

    fn finish_choice(&mut self, stop: Stop, sink: &mut Sink) {
        while let Some(index) = self.open.keys().next().copied() {
            self.block_stop(index, sink);
        }
        if !self.finished {
            self.finished = true;
            sink.events.push(Event::Finish { choice: 0, stop });
        }
    }

    fn end(&mut self, sink: &mut Sink) {
        self.finish_choice(Stop::new(StopReason::Other, ""), sink);
        self.ended = true;
        sink.events.push(Event::End);
    }
}

fn invalid(words: String) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, words)
}

fn inner(data: &mut Members, name: &str) -> Members {
    match data.remove(name) {
        Some(Value::Object(inner)) => inner,
        _ => Members::new(),
    }
}

fn text(members: &mut Members, name: &str) -> String {
    match members.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn index(data: &Members) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// Tells a piece of a block, if there is anything in it.
fn say(number: u32, delta: Delta, sink: &mut Sink) {
    let empty = matches!(&delta, Delta::Text(text) | Delta::Input(text) if text.is_empty());
    if !empty {
        sink.events.push(Event::Delta { choice: 0, block: number, delta });
    }
}

/// Members of a block's start that the event has no room for. An empty list of citations, which pieces
/// fill, says nothing, and neither does a call that the model made by itself.
fn lost_members(block: &Members, pointer: &str, sink: &mut Sink) {
    let says_nothing = |name: &str, value: &Value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        empty || name == "type" || (name == "caller" && read::is_direct(value))
    };
    for (name, _) in block.iter().filter(|(name, value)| !says_nothing(name, value)) {
        sink.losses.note(format!("{pointer}/{name}"), "the start of a block has no room for it");
    }
}

/// Adds a piece to a block that only Anthropic knows: text to text, list to list.
fn grow(block: &mut Members, delta: Members) {
    for (name, more) in delta {
        match (block.get_mut(&name), more) {
            (Some(Value::String(have)), Value::String(more)) => have.push_str(&more),
            (Some(Value::Array(have)), Value::Array(more)) => have.extend(more),
            (_, more) => {
                block.insert(name, more);
            }
        }
    }
}

/// Writes a stream for a caller. Its clients know one open block at a time, so what comes of another
/// block meanwhile is held back.
#[derive(Debug)]
pub(super) struct EventWriter {
    /// The model that the caller named, for streams that do not name one.
    model: String,
    /// `message_start`, held until the next event, as usage may come right behind it.
    start: Option<Members>,
    usage: Option<Usage>,
    blocks: VecDeque<Held>,
    /// Number of the first of `blocks`: it is the one that is being written.
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

/// A block of which something is still to be written.
#[derive(Debug)]
struct Held {
    start: BlockStart,
    /// Its index in the caller's stream, once its start is written.
    index: Option<u32>,
    pieces: VecDeque<Piece>,
    stopped: bool,
}

#[derive(Debug)]
enum Piece {
    Delta(Delta),
    /// A `delta` of our own dialect, such as a citation.
    Own(Value),
}

impl Piece {
    fn size(&self) -> usize {
        match self {
            Piece::Delta(Delta::Text(text) | Delta::Input(text)) => text.len(),
            Piece::Delta(Delta::Seal(seal)) => seal.data.len(),
            Piece::Own(json) => json.to_string().len(),
        }
    }
}

impl EventWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        EventWriter {
            model: request.model.clone(),
            start: None,
            usage: None,
            blocks: VecDeque::new(),
            first: 0,
            next: 0,
            held: 0,
            called: false,
            refused: false,
            stop: None,
            last: Members::new(),
            ended: false,
        }
    }
}

impl Writer for EventWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { id, model, extra, .. } => return self.begin(id, model, extra, losses),
            Event::Usage(usage) => {
                self.usage = Some(usage.clone());
                return;
            }
            _ => self.message_start(out),
        }
        match event {
            Event::BlockStart { choice: 0, start, .. } => {
                let begun =
                    Held { start: start.clone(), index: None, pieces: VecDeque::new(), stopped: false };
                self.blocks.push_back(begun);
            }
            Event::Delta { choice: 0, block, delta } => {
                self.piece(*block, Piece::Delta(delta.clone()), losses)
            }
            Event::BlockStop { choice: 0, block } => {
                if let Some(held) = self.block(*block) {
                    held.stopped = true;
                }
            }
            Event::Finish { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Opaque { dialect, json } if *dialect == ID => self.opaque(json, out, losses),
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
        if self.held > STREAM_HELD_MAX {
            let words = format!("blocks of the stream overlap by more than {STREAM_HELD_MAX} bytes");
            self.fault(&invalid(words), out);
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
        let mut message = Members::new();
        message.insert("id".to_owned(), json!(write::message_id(id)));
        message.insert("type".to_owned(), json!("message"));
        message.insert("role".to_owned(), json!("assistant"));
        message.insert("model".to_owned(), json!(model));
        message.insert("content".to_owned(), json!([]));
        message.insert("stop_reason".to_owned(), Value::Null);
        message.insert("stop_sequence".to_owned(), Value::Null);
        json::add(&mut message, extra.of(ID));
        for name in extra.lost_to(ID) {
            losses.note(format!("/{name}"), "the Messages API has no such member");
        }
        self.start = Some(message);
    }

    fn message_start(&mut self, out: &mut Vec<u8>) {
        if let Some(mut message) = self.start.take() {
            message.insert("usage".to_owned(), Value::Object(wire::usage_json(self.usage.as_ref())));
            event(out, "message_start", json!({ "message": message }));
        }
    }

    fn block(&mut self, number: u32) -> Option<&mut Held> {
        let place = number.checked_sub(self.first)?;
        self.blocks.get_mut(usize::try_from(place).ok()?)
    }

    fn piece(&mut self, number: u32, piece: Piece, losses: &mut Losses) {
        let size = piece.size();
        match self.block(number) {
            Some(held) => {
                held.pieces.push_back(piece);
                self.held += size;
            }
            None => losses.note(format!("/content/{number}"), "a piece of a block that is not open"),
        }
    }

    /// Writes an event of our own dialect: a piece of a block, more of the last event, or as it stands.
    fn opaque(&mut self, json: &Value, out: &mut Vec<u8>, losses: &mut Losses) {
        let Value::Object(data) = json else { return };
        let kind = data.get("type").and_then(Value::as_str).unwrap_or_default();
        match (kind, data.get("delta")) {
            ("content_block_delta", Some(delta)) => {
                let number = u32::try_from(index(data)).unwrap_or(u32::MAX);
                self.piece(number, Piece::Own(delta.clone()), losses);
            }
            ("message_delta", _) => write::merge(&mut self.last, data),
            _ => event(out, kind, json.clone()),
        }
    }

    /// Writes what can be written: all of the first block, and of the next ones as blocks stop.
    fn write_blocks(&mut self, out: &mut Vec<u8>, losses: &mut Losses) {
        while let Some(mut block) = self.blocks.pop_front() {
            if let BlockStart::Whole(_) | BlockStart::ToolUse { .. } = block.start {
                self.block_start(&mut block, out, losses);
            }
            while let Some(piece) = block.pieces.pop_front() {
                self.held = self.held.saturating_sub(piece.size());
                self.write_piece(&mut block, piece, out, losses);
            }
            if !block.stopped {
                self.blocks.push_front(block);
                return;
            }
            if let Some(index) = block.index {
                event(out, "content_block_stop", json!({ "index": index }));
            }
            self.first = self.first.saturating_add(1);
        }
    }

    /// Writes the start of a block once. Words begin with their first piece: a client that sends an empty
    /// block of text back would be refused.
    fn block_start(&mut self, block: &mut Held, out: &mut Vec<u8>, losses: &mut Losses) {
        if block.index.is_some() {
            return;
        }
        let json = match &block.start {
            BlockStart::Text => json!({ "type": "text", "text": "" }),
            BlockStart::Refusal => {
                self.refused = true;
                json!({ "type": "text", "text": "" })
            }
            BlockStart::Reasoning => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            BlockStart::ToolUse { id, name } => {
                self.called = true;
                json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
            }
            BlockStart::Whole(whole) => {
                let mut pen = Pen::new(false, usize::try_from(self.first).ok());
                let json = pen.answer(whole);
                losses.absorb(pen.losses);
                let Some(json) = json else { return };
                json
            }
        };
        self.start_as(block, json, out);
    }

    fn start_as(&mut self, block: &mut Held, json: Value, out: &mut Vec<u8>) {
        block.index = Some(self.next);
        event(out, "content_block_start", json!({ "index": self.next, "content_block": json }));
        self.next = self.next.saturating_add(1);
    }

    fn write_piece(&mut self, block: &mut Held, piece: Piece, out: &mut Vec<u8>, losses: &mut Losses) {
        let delta = match piece {
            Piece::Own(delta) => delta,
            Piece::Delta(Delta::Input(text)) => json!({ "type": "input_json_delta", "partial_json": text }),
            Piece::Delta(Delta::Text(text)) if block.start == BlockStart::Reasoning => {
                json!({ "type": "thinking_delta", "thinking": text })
            }
            Piece::Delta(Delta::Text(text)) => json!({ "type": "text_delta", "text": text }),
            Piece::Delta(Delta::Seal(seal)) if seal.issuer != ID => {
                return losses.note(format!("/content/{}/signature", self.first), "another API's seal");
            }
            Piece::Delta(Delta::Seal(seal)) if !seal.redacted => {
                json!({ "type": "signature_delta", "signature": seal.data })
            }
            Piece::Delta(Delta::Seal(seal)) if block.index.is_none() => {
                return self.start_as(block, json!({ "type": "redacted_thinking", "data": seal.data }), out);
            }
            Piece::Delta(Delta::Seal(_)) => {
                return losses.note(format!("/content/{}/data", self.first), "thoughts both said and hidden");
            }
        };
        self.block_start(block, out, losses);
        if let Some(index) = block.index {
            event(out, "content_block_delta", json!({ "index": index, "delta": delta }));
        }
    }

    /// The last two events. Usage is held until here, because it may come after the stop reason.
    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = self.stop.as_ref();
        let reason = stop.map_or(Value::Null, |stop| write::stop_reason(stop, self.called, self.refused));
        let sequence = stop.and_then(|stop| stop.sequence.as_deref());
        let mut last = Members::new();
        last.insert("delta".to_owned(), json!({ "stop_reason": reason, "stop_sequence": sequence }));
        last.insert("usage".to_owned(), Value::Object(wire::usage_json(self.usage.as_ref())));
        write::merge(&mut last, &self.last);
        event(out, "message_delta", Value::Object(last));
        event(out, "message_stop", json!({}));
        self.ended = true;
    }
}

/// One event: its name stands in the `event` line and in the data, and official clients need both.
fn event(out: &mut Vec<u8>, name: &str, data: Value) {
    let mut named = Members::new();
    named.insert("type".to_owned(), json!(name));
    if let Value::Object(data) = data {
        json::add(&mut named, Some(&data));
    }
    frame(out, name, &json::bytes(&Value::Object(named)));
}

fn frame(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    for piece in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(piece);
    }
}

/// The last event of a broken stream.
pub(super) fn fault_event(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, "error", &write::fault(fault));
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
        match name(frame) {
            b"content_block_delta" => self.seen.content = true,
            // A call without arguments is an answer too, other blocks only begin.
            b"content_block_start" if memmem::find(frame.data, b"\"tool_use\"").is_some() => {
                self.seen.content = true;
            }
            b"message_start" | b"message_delta" => self.usage(frame.data),
            b"message_stop" => self.seen.ended = true,
            b"error" => return Err(read::fault(200, frame.data)),
            _ => {}
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl EventGlance {
    fn usage(&mut self, data: &[u8]) {
        let Ok(data) = serde_json::from_slice::<Value>(data) else { return };
        let piece = data.pointer("/message/usage").or_else(|| data.get("usage"));
        if let Some(usage) = self.usage.take(piece) {
            self.seen.usage = Some(usage);
        }
    }
}

/// The event's name; without an `event` line the first member of the data tells it.
fn name<'a>(frame: &Frame<'a>) -> &'a [u8] {
    if !frame.event.is_empty() {
        return frame.event;
    }
    let named = frame.data.strip_prefix(b"{\"type\":").map(<[u8]>::trim_ascii_start);
    let named = named.and_then(|rest| rest.strip_prefix(b"\"")).unwrap_or_default();
    let named = named.split(|byte| *byte == b'"').next().unwrap_or_default();
    if named.is_empty() && frame.data.starts_with(b"{\"error\"") { b"error" } else { named }
}
