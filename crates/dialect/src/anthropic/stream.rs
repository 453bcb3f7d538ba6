//! The Messages API event by event: <https://docs.anthropic.com/en/api/messages-streaming>

use super::{
    read,
    wire::{self, ID, UsageSoFar},
    write::{self, Pen},
};
use crate::{
    Fault, Glance, Losses, Seen, Sink, Writer,
    canon::{
        Block, BlockStart, Delta, Event, Extra, InOrder, Kind, Request, Stop, StopReason, Teller, Usage,
    },
    error_body,
    frame::sse::Frame,
    json::{self, into_members as members},
    limits::{PARTS_MAX, STREAM_HELD_MAX},
    pen::{NO_MEMBER, Notes},
    shape::{Framed, Reading, cut, event_name, invalid, write_event},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Members = Map<String, Value>;

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Debug, Default)]
pub(super) struct ReadState {
    started: bool,
    finished: bool,
    ended: bool,
    /// Blocks that have begun and not stopped, by Anthropic's `index`.
    open: BTreeMap<u64, Open>,
    teller: Teller,
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

impl Reading for ReadState {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let kind = event_name(&frame, |_| true);
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
            "message_start" => self.start(data.remove("message").map(members).unwrap_or_default(), sink),
            "content_block_start" => {
                self.block_start(index, data.remove("content_block").map(members).unwrap_or_default(), sink);
            }
            "content_block_delta" => {
                self.delta(index, data.remove("delta").map(members).unwrap_or_default(), sink);
            }
            "content_block_stop" => self.block_stop(index, sink),
            "message_delta" => self.message_delta(data, sink),
            "message_stop" => self.stop(sink),
            "ping" => {}
            _ => sink.events.push(Event::Opaque { dialect: ID, json: Value::Object(data) }),
        }
        if self.held > STREAM_HELD_MAX || self.open.len() > PARTS_MAX {
            return Err(too_much("holds more in open blocks"));
        }
        Ok(())
    }

    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        if self.finished && !self.ended {
            self.stop(sink);
        }
        if self.finished { Ok(()) } else { Err(cut("its `stop_reason`")) }
    }
}

impl ReadState {
    /// Tells the start once; a stream whose first event was lost has an empty one.
    fn start(&mut self, mut message: Members, sink: &mut Sink) {
        let usage = self.usage.take(message.remove("usage").as_ref());
        if !self.started {
            self.started = true;
            let [id, model] = ["id", "model"].map(|name| json::take_text(&mut message, name));
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
        let number = self.teller.begin(start, &mut sink.events);
        first.into_iter().for_each(|first| self.teller.piece(number, first, &mut sink.events));
        self.open.insert(index, Open::Told { number, kind, last });
        // An empty list of citations is filled by pieces.
        let says = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        for (name, _) in extra.of(ID).into_iter().flatten().filter(|(_, value)| says(value)) {
            sink.losses.note(format!("{pointer}/{name}"), "the start of a block has no room for it");
        }
    }

    fn delta(&mut self, index: u64, mut delta: Members, sink: &mut Sink) {
        let word = delta.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(open) = self.open.get_mut(&index) else {
            return sink.losses.note(format!("/content/{index}"), "a piece of a block that has not begun");
        };
        match open {
            Open::Told { number, kind, last } => match (kind.as_str(), word.as_str()) {
                ("text", "text_delta") => {
                    let more = Delta::Text(json::take_text(&mut delta, "text"));
                    self.teller.piece(*number, more, &mut sink.events);
                }
                ("thinking", "thinking_delta") => {
                    let more = Delta::Text(json::take_text(&mut delta, "thinking"));
                    self.teller.piece(*number, more, &mut sink.events);
                }
                ("thinking", "signature_delta") => {
                    let more = json::take_text(&mut delta, "signature");
                    self.held += more.len();
                    match last {
                        Some(Delta::Seal(seal)) => seal.data.push_str(&more),
                        _ => *last = read::seal(more).map(Delta::Seal),
                    }
                }
                ("tool_use", "input_json_delta") => {
                    let more = json::take_text(&mut delta, "partial_json");
                    *last = last.take().filter(|_| more.is_empty());
                    self.teller.piece(*number, Delta::Input(more), &mut sink.events);
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
                    "input_json_delta" => input.push_str(&json::take_text(&mut delta, "partial_json")),
                    _ => grow(block, delta),
                }
            }
        }
    }

    fn block_stop(&mut self, index: u64, sink: &mut Sink) {
        let number = match self.open.remove(&index) {
            None => return,
            Some(Open::Told { number, last, .. }) => {
                last.into_iter().for_each(|last| self.teller.piece(number, last, &mut sink.events));
                number
            }
            Some(Open::Whole { mut block, input }) => {
                if let Ok(input) = serde_json::from_str(&input) {
                    block.insert("input".to_owned(), input);
                }
                let whole = Block::new(Kind::Opaque { dialect: ID, json: Value::Object(block) });
                self.teller.begin(BlockStart::Whole(Box::new(whole)), &mut sink.events)
            }
        };
        sink.events.push(Event::BlockStop { choice: 0, block: number });
    }

    /// The stop reason and the usage. What else it holds is Anthropic's alone.
    fn message_delta(&mut self, mut data: Members, sink: &mut Sink) {
        let mut delta = data.remove("delta").map(members).unwrap_or_default();
        let usage = self.usage.take(data.remove("usage").as_ref());
        let [reason, sequence] =
            ["stop_reason", "stop_sequence"].map(|name| json::take_text(&mut delta, name));
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

    fn stop(&mut self, sink: &mut Sink) {
        self.finish(Stop::new(StopReason::Other, ""), sink);
        self.ended = true;
        sink.events.push(Event::End);
    }
}

fn too_much(what: &str) -> Fault {
    invalid(format!("the provider's stream {what} than {STREAM_HELD_MAX} bytes or {PARTS_MAX} blocks"))
}

fn index(data: &Members) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
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

/// Writes a stream for a caller. Its clients know one open block at a time.
#[derive(Debug, Default)]
pub(super) struct StreamWriter {
    /// The model that the caller named, for streams that do not name one.
    model: String,
    /// `message_start`, held until the next event, as usage may come right behind it.
    start: Option<Members>,
    usage: Option<Usage>,
    order: InOrder,
    /// The block that is being told.
    open: Option<Telling>,
    /// A seal behind words, which clients take for all that an answer says where it is its last block: it is
    /// told when more comes.
    late: Option<(Telling, Option<Delta>)>,
    /// Index of the next block in the caller's stream.
    next: u32,
    called: bool,
    refused: bool,
    stop: Option<Stop>,
    /// What our own dialect has put into `message_delta` beside stop reason and usage.
    last: Members,
    ended: bool,
}

#[derive(Debug)]
struct Telling {
    number: u32,
    start: BlockStart,
    /// Its index in the caller's stream, once its start is written.
    index: Option<u32>,
}

impl StreamWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        StreamWriter { model: request.model.clone(), ..StreamWriter::default() }
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => return,
            Event::Start { id, model, extra, .. } => return self.begin(id, model, extra, losses),
            Event::Usage(usage) => return self.usage = Some(usage.clone()),
            _ => self.message_start(out),
        }
        let mut block = None;
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
            Event::Opaque { dialect, json: Value::Object(data) } if *dialect == ID => {
                block = self.opaque(data, out);
            }
            Event::Opaque { .. } => losses.note("/opaque", "only another API knows this event"),
            Event::Logprobs { .. } => losses.note("/logprobs", NO_MEMBER),
            Event::BlockStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::BlockStop { choice, .. }
            | Event::Finish { choice, .. } => {
                losses.note(format!("/choices/{choice}"), "the Messages API has one answer");
            }
            Event::Start { .. } | Event::Usage(_) | Event::End => {}
        }
        if let Some(block) = block {
            for event in self.order.take(block, event.clone()) {
                self.tell(event, out, losses);
            }
        }
        if self.order.held() > STREAM_HELD_MAX || self.order.waiting() > PARTS_MAX {
            self.fault(&too_much("overlaps more"), out);
        } else if *event == Event::End {
            if self.late.is_some() {
                losses.note("/content", "a seal behind the last words");
            }
            self.end(out);
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !self.ended {
            self.ended = true;
            out.extend(self::fault(fault));
        }
    }
}

impl StreamWriter {
    fn begin(&mut self, id: &str, model: &str, extra: &Extra, losses: &mut Losses) {
        let model = if model.is_empty() { &self.model } else { model };
        let mut message = members(json!({
            "id": write::message_id(id), "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null,
        }));
        json::add(&mut message, extra.of(ID));
        extra.lost_to(ID).for_each(|name| losses.note(format!("/{name}"), NO_MEMBER));
        self.start = Some(message);
    }

    fn message_start(&mut self, out: &mut Vec<u8>) {
        if let Some(mut message) = self.start.take() {
            message.insert("usage".to_owned(), Value::Object(wire::usage_json(self.usage.as_ref())));
            event(out, "message_start", members(json!({ "message": message })));
        }
    }

    /// Writes an event of our own dialect: more of the last event, or as it stands. A piece of a block waits
    /// for its turn.
    fn opaque(&mut self, data: &Members, out: &mut Vec<u8>) -> Option<u32> {
        match data.get("type").and_then(Value::as_str).unwrap_or_default() {
            "content_block_delta" => return u32::try_from(index(data)).ok(),
            "message_delta" => json::add(&mut self.last, Some(data)),
            name if name.bytes().all(|byte| byte.is_ascii_graphic()) => event(out, name, data.clone()),
            _ => {}
        }
        None
    }

    /// Writes what has its turn. Words begin with their first piece (a client that sends an empty block of
    /// text back would be refused), calls with theirs or with their end, as a seal may come first.
    fn tell(&mut self, told: Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match told {
            Event::BlockStart { block: number, start, .. } => {
                let (is_whole, is_seal) = (matches!(start, BlockStart::Whole(_)), is_seal(&start));
                let told = Telling { number, start, index: None };
                if is_seal && self.next > 0 {
                    return self.late = Some((told, None));
                }
                self.open = Some(told);
                if is_whole {
                    self.block_start(out, losses);
                }
            }
            Event::Delta { delta, .. } => self.delta(delta, out, losses),
            Event::Opaque { mut json, .. } => {
                self.piece(&json.get_mut("delta").map(Value::take).unwrap_or_default(), out, losses);
            }
            _ => self.block_stop(out, losses),
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let Some(open) = &mut self.open else { return };
        let json = match (delta, &open.start) {
            (Delta::Input(text), _) => json!({ "type": "input_json_delta", "partial_json": text }),
            (Delta::Text(text), BlockStart::Reasoning) => {
                json!({ "type": "thinking_delta", "thinking": text })
            }
            (Delta::Text(text), _) => json!({ "type": "text_delta", "text": text }),
            (Delta::Seal(seal), BlockStart::Reasoning) if seal.redacted && open.index.is_none() => {
                let hidden = Kind::Reasoning { text: String::new(), seal: Some(seal) };
                open.start = BlockStart::Whole(Box::new(Block::new(hidden)));
                if self.next > 0 {
                    return self.late = self.open.take().map(|open| (open, None));
                }
                return self.block_start(out, losses);
            }
            (Delta::Seal(seal), BlockStart::Reasoning) => {
                json!({ "type": "signature_delta", "signature": seal.kept(ID) })
            }
            // Another dialect's seal on words or a call stands before them, as thoughts.
            (seal, _) => {
                let aside = Telling { number: open.number, start: BlockStart::Reasoning, index: None };
                return self.late = Some((aside, Some(seal)));
            }
        };
        self.piece(&json, out, losses);
    }

    fn piece(&mut self, delta: &Value, out: &mut Vec<u8>, losses: &mut Losses) {
        self.block_start(out, losses);
        if let Some(index) = self.open.as_ref().and_then(|open| open.index) {
            let head = format!("{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":");
            write_event(out, "content_block_delta", &[head.as_bytes(), &json::bytes(delta), b"}"]);
        }
    }

    /// Writes the start of a block, once.
    fn block_start(&mut self, out: &mut Vec<u8>, losses: &mut Losses) {
        if self.open.as_ref().is_none_or(|open| open.index.is_some()) {
            return;
        }
        if let Some((late, seal)) = self.late.take() {
            let next = self.open.replace(late);
            match seal {
                Some(seal) => self.delta(seal, out, losses),
                None => self.block_start(out, losses),
            }
            self.block_stop(out, losses);
            self.open = next;
        }
        let Some(open) = &mut self.open else { return };
        let json = match &open.start {
            BlockStart::Text | BlockStart::Refusal => json!({ "type": "text", "text": "" }),
            BlockStart::Reasoning => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            BlockStart::ToolUse { id, name } => {
                json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
            }
            BlockStart::Whole(whole) => {
                let mut pen = Pen::new(Notes::answer(ID, false));
                pen.notes.number = usize::try_from(open.number).ok();
                let json = pen.answer_block(whole);
                losses.absorb(pen.notes.losses);
                let Some(json) = json else { return };
                json
            }
        };
        open.index = Some(self.next);
        event(out, "content_block_start", members(json!({ "index": self.next, "content_block": json })));
        self.next = self.next.saturating_add(1);
    }

    fn block_stop(&mut self, out: &mut Vec<u8>, losses: &mut Losses) {
        if self.open.as_ref().is_some_and(|open| matches!(open.start, BlockStart::ToolUse { .. })) {
            self.block_start(out, losses);
        }
        if let Some(index) = self.open.take().and_then(|open| open.index) {
            event(out, "content_block_stop", members(json!({ "index": index })));
        }
    }

    /// The last two events. Usage is held until here, because it may come after the stop reason.
    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = write::stopped(self.stop.as_ref(), self.called, self.refused);
        let mut last = members(json!({ "delta": stop, "usage": wire::usage_json(self.usage.as_ref()) }));
        json::add(&mut last, Some(&self.last));
        event(out, "message_delta", last);
        event(out, "message_stop", Members::new());
        self.ended = true;
    }
}

/// A seal and nothing else.
fn is_seal(start: &BlockStart) -> bool {
    let hidden = |kind: &Kind| matches!(kind, Kind::Reasoning { text, .. } if text.is_empty());
    matches!(start, BlockStart::Whole(block) if hidden(&block.kind))
}

/// One event: its name stands in the `event` line and in the data, and official clients need both.
fn event(out: &mut Vec<u8>, name: &str, data: Members) {
    let mut named = members(json!({ "type": name }));
    named.extend(data);
    write_event(out, name, &[&json::bytes(&Value::Object(named))]);
}

/// The last event of a broken stream.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, "error", &[&json::bytes(&write::fault(fault))]);
    out
}

/// Looks at a stream that is relayed. Pieces of blocks, which are nearly all of it, cost one comparison.
#[derive(Debug, Default)]
pub(super) struct StreamGlance {
    seen: Seen,
    usage: UsageSoFar,
}

impl Glance for StreamGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        match &*event_name(frame, |_| true) {
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

impl StreamGlance {
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
