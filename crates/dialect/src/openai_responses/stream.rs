//! The Responses API event by event: <https://platform.openai.com/docs/api-reference/responses-streaming>

use super::{
    read,
    wire::{self, ME},
    write::{self, Pen, object},
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{At, Block, BlockStart, Delta, Event, Extra, Kind, Request, Stop, Usage},
    frame::sse::{Frame, Frames},
    limits::{ANSWER_MAX, PARTS_MAX},
    openai,
};
use memchr::{memchr, memmem};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

type Members = Map<String, Value>;

/// The event's name: that of its line where there is one (OpenRouter, Azure and Bedrock leave it out), else
/// the type in its data.
fn name<'a>(frame: &Frame<'a>) -> Cow<'a, str> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: Option<String>,
        error: Option<IgnoredAny>,
    }
    if frame.event == b"error" || frame.event.starts_with(b"response.") {
        return String::from_utf8_lossy(frame.event);
    }
    if let Some(rest) = frame.data.strip_prefix(b"{\"type\":\"")
        && let Some((named, _)) = memchr(b'"', rest).and_then(|end| rest.split_at_checked(end))
    {
        return String::from_utf8_lossy(named);
    }
    let typed = serde_json::from_slice::<Typed>(frame.data).ok();
    let named = typed.and_then(|typed| typed.kind.or(typed.error.map(|_| "error".to_owned())));
    Cow::Owned(named.unwrap_or_default())
}

/// Reads a provider's stream.
#[derive(Default)]
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
        let words = "the provider's stream ended before `response.completed`";
        if state.ended { Ok(()) } else { Err(Fault::new(FaultKind::UpstreamTruncated, words)) }
    }
}

#[derive(Default)]
struct Reading {
    started: bool,
    ended: bool,
    called: bool,
    items: Vec<Item>,
    /// Number of the next block.
    next: u32,
}

/// An item of the answer so far.
#[derive(Default)]
struct Item {
    index: Option<u64>,
    id: String,
    done: bool,
    /// Blocks that are open.
    open: Vec<Open>,
}

struct Open {
    what: What,
    /// The provider's number of the part.
    part: u64,
    number: u32,
    empty: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Text,
    Refusal,
    Thought,
    Input,
}

/// What each piece is, and the member that holds it. Some servers send a piece only when it is whole.
const PIECES: &[(&str, What, &str)] = &[
    ("response.output_text.delta", What::Text, "delta"),
    ("response.output_text.done", What::Text, "text"),
    ("response.refusal.delta", What::Refusal, "delta"),
    ("response.refusal.done", What::Refusal, "refusal"),
    ("response.reasoning_summary_text.delta", What::Thought, "delta"),
    ("response.reasoning_summary_text.done", What::Thought, "text"),
    ("response.reasoning_text.delta", What::Thought, "delta"),
    ("response.reasoning_text.done", What::Thought, "text"),
    ("response.function_call_arguments.delta", What::Input, "delta"),
    ("response.function_call_arguments.done", What::Input, "arguments"),
];

impl Reading {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let named = name(frame);
        let mut data = match serde_json::from_slice(frame.data) {
            _ if self.ended || frame.data == b"[DONE]" => return Ok(()),
            Ok(Value::Object(data)) => Value::Object(data),
            _ if named == "error" => return Err(openai::fault(200, frame.data)),
            _ => {
                sink.losses.note(format!("/{named}"), "an event that is not a JSON object");
                return Ok(());
            }
        };
        if let Some(fault) = read::failure(&named, &data) {
            return Err(fault);
        }
        let response = data.get_mut("response").map(Value::take).unwrap_or_default();
        if named.starts_with("response.") && !self.started {
            self.started = true;
            let read::Head { id, model, created, extra } = read::head(response.clone());
            sink.events.push(Event::Start { id, model, created, extra });
        }
        match &*named {
            "response.completed" | "response.incomplete" => self.end(&named, response, sink),
            "response.output_item.added" => self.added(&data, sink),
            "response.output_item.done" => {
                let place = self.place(&data, true);
                let item = data.get_mut("item").map(Value::take).unwrap_or_default();
                self.done(place, item, sink);
            }
            _ => match PIECES.iter().find(|row| row.0 == named) {
                Some((_, what, member)) => self.piece(&data, *what, member, sink),
                // Its whole item is yet to come.
                None if data.get("item_id").is_some() || data.get("output_index").is_some() => {}
                None if matches!(
                    &*named,
                    "response.created" | "response.in_progress" | "response.queued"
                ) => {}
                None if matches!(&*named, "keepalive" | "ping") => {}
                None => sink.losses.note(format!("/{named}"), "an event that is not known"),
            },
        }
        if self.items.len() > PARTS_MAX {
            let words = format!("the provider's answer holds more than {PARTS_MAX} items");
            return Err(Fault::new(FaultKind::UpstreamInvalid, words));
        }
        Ok(())
    }

    /// Where in `items` an event belongs: by its index, which is surer than its id (some gateways change the
    /// ids from event to event); without one (llama.cpp) by its id, or to the last item.
    fn place(&mut self, data: &Value, may_begin: bool) -> usize {
        let index = data.get("output_index").and_then(Value::as_u64);
        let id = data.get("item_id").or_else(|| data.pointer("/item/id")).and_then(Value::as_str);
        let id = id.unwrap_or_default();
        let known = match index {
            Some(_) => self.items.iter().rposition(|item| item.index == index),
            None if id.is_empty() => self.items.iter().rposition(|item| !item.done),
            None => self.items.iter().rposition(|item| item.id == id),
        };
        let last = self.items.len().checked_sub(1).filter(|_| !may_begin && index.is_none());
        known.or(last).unwrap_or_else(|| {
            self.items.push(Item { index, id: id.to_owned(), ..Item::default() });
            self.items.len() - 1
        })
    }

    fn added(&mut self, data: &Value, sink: &mut Sink) {
        let place = self.place(data, true);
        let text = |name: &str| data.pointer(&format!("/item/{name}")).and_then(Value::as_str);
        if let (Some("function_call"), Some(id), Some(name)) = (text("type"), text("call_id"), text("name")) {
            let start = BlockStart::ToolUse { id: id.to_owned(), name: name.to_owned() };
            self.open(place, What::Input, 0, start, sink);
        }
    }

    fn begin(&mut self, start: BlockStart, sink: &mut Sink) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.called |= matches!(start, BlockStart::ToolUse { .. });
        sink.events.push(Event::BlockStart { choice: 0, block: number, start });
        number
    }

    fn open(&mut self, place: usize, what: What, part: u64, start: BlockStart, sink: &mut Sink) {
        if self.items.get(place).is_some_and(|item| !item.done && item.open.len() < PARTS_MAX) {
            let number = self.begin(start, sink);
            let item = self.items.get_mut(place).map(|item| &mut item.open);
            item.into_iter().for_each(|open| open.push(Open { what, part, number, empty: true }));
        }
    }

    fn piece(&mut self, data: &Value, what: What, member: &str, sink: &mut Sink) {
        let place = self.place(data, false);
        let number = |name: &str| data.get(name).and_then(Value::as_u64);
        let part = number("content_index").or(number("summary_index")).unwrap_or(0);
        let text = data.get(member).and_then(Value::as_str).unwrap_or_default();
        let fits = |open: &&mut Open| {
            open.what == what && (open.part == part || what == What::Thought || what == What::Input)
        };
        let is_open = self
            .items
            .get_mut(place)
            .is_some_and(|item| item.open.iter_mut().any(|mut open| fits(&&mut open)));
        if text.is_empty() {
            return;
        }
        if !is_open {
            match what {
                What::Text => self.open(place, what, part, BlockStart::Text, sink),
                What::Refusal => self.open(place, what, part, BlockStart::Refusal, sink),
                What::Thought => self.open(place, what, part, BlockStart::Reasoning, sink),
                What::Input => {}
            }
        }
        let item = self.items.get_mut(place);
        let Some(open) = item.and_then(|item| item.open.iter_mut().find(|open| fits(open))) else {
            return sink.losses.note(format!("/output/{place}"), "a piece of an item that is not open");
        };
        if member != "delta" && !open.empty {
            return;
        }
        let again = what == What::Thought && open.part != part;
        let text = if again { format!("{}{text}", read::PARAGRAPH) } else { text.to_owned() };
        (open.part, open.empty) = (part, false);
        say(open.number, what, text, sink);
        if let Some(list) =
            data.get("logprobs").filter(|list| list.as_array().is_some_and(|list| !list.is_empty()))
        {
            sink.events.push(Event::Logprobs { choice: 0, logprobs: json!({ "content": list }) });
        }
    }

    /// Tells what of an item has not been told, and closes it.
    fn done(&mut self, place: usize, item: Value, sink: &mut Sink) {
        let Some(known) = self.items.get_mut(place).filter(|known| !known.done) else { return };
        known.done = true;
        let mut open = std::mem::take(&mut known.open);
        let pointer = format!("/output/{place}");
        let blocks = read::item(item, At::default(), &pointer).map(|(_, blocks)| blocks);
        if blocks.is_err() {
            sink.losses.note(pointer.as_str(), "an item that cannot be read");
        }
        for mut block in blocks.unwrap_or_default() {
            for name in block.extra.of(ME).into_iter().flatten().map(|(name, _)| name) {
                sink.losses.note(format!("{pointer}/{name}"), "the stream has no room for it");
            }
            block.extra = Extra::NONE;
            let (what, start, text, seal) = match block.kind {
                Kind::Text(text) => (What::Text, BlockStart::Text, text, None),
                Kind::Refusal(text) => (What::Refusal, BlockStart::Refusal, text, None),
                Kind::Reasoning { text, seal } => (What::Thought, BlockStart::Reasoning, text, seal),
                Kind::ToolUse { id, name, input } => {
                    (What::Input, BlockStart::ToolUse { id, name }, input, None)
                }
                _ => {
                    let block = self.begin(BlockStart::Whole(Box::new(block)), sink);
                    sink.events.push(Event::BlockStop { choice: 0, block });
                    continue;
                }
            };
            let told = open.iter().position(|open| open.what == what).map(|at| open.remove(at));
            if told.is_none() && text.is_empty() && seal.is_none() && what != What::Input {
                continue;
            }
            let number = told.as_ref().map_or_else(|| self.begin(start, sink), |told| told.number);
            if told.is_none_or(|told| told.empty) && !text.is_empty() {
                say(number, what, text, sink);
            }
            let seal = seal.map(|seal| Event::Delta { choice: 0, block: number, delta: Delta::Seal(seal) });
            sink.events.extend(seal);
            sink.events.push(Event::BlockStop { choice: 0, block: number });
        }
        sink.events.extend(open.into_iter().map(|open| Event::BlockStop { choice: 0, block: open.number }));
    }

    fn end(&mut self, named: &str, mut response: Value, sink: &mut Sink) {
        let output = response.get_mut("output").and_then(Value::as_array_mut).map(std::mem::take);
        // Where nothing has been told, all of it stands here.
        let items = if self.next == 0 { output.unwrap_or_default() } else { Vec::new() };
        for item in items {
            self.items.push(Item::default());
            self.done(self.items.len() - 1, item, sink);
        }
        for place in 0..self.items.len() {
            let open = self.items.get_mut(place).map(|item| std::mem::take(&mut item.open));
            let open = open.into_iter().flatten();
            sink.events.extend(open.map(|open| Event::BlockStop { choice: 0, block: open.number }));
        }
        let stop = wire::read_stop(&response, named.trim_start_matches("response."), self.called);
        sink.events.push(Event::Finish { choice: 0, stop });
        sink.events.extend(response.get("usage").and_then(wire::read_usage).map(Event::Usage));
        sink.events.push(Event::End);
        self.ended = true;
    }
}

fn say(block: u32, what: What, text: String, sink: &mut Sink) {
    let delta = if what == What::Input { Delta::Input(text) } else { Delta::Text(text) };
    sink.events.push(Event::Delta { choice: 0, block, delta });
}

/// Writes a stream for a caller: every event that strict clients wait for. Each block is an item of its own.
#[derive(Default)]
pub(super) struct EventWriter {
    echo: Members,
    /// The answer as it began.
    head: Members,
    own: bool,
    sequence: u64,
    output: Vec<Value>,
    /// By the block's number; `None` for one that is lost or whole.
    blocks: Vec<Option<Writing>>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    /// Bytes of all that the last event repeats.
    held: usize,
    ended: bool,
}

/// A block that is being written.
struct Writing {
    index: usize,
    id: String,
    shape: &'static Shape,
    block: Block,
    logprobs: Vec<Value>,
    part_open: bool,
}

/// How a block is told: the events, the member that numbers its part, where the part stands in the item and
/// the text in the part. A call has no parts.
struct Shape {
    part: &'static str,
    text: &'static str,
    index: &'static str,
    place: &'static str,
    member: &'static str,
}

#[rustfmt::skip]
const SHAPES: &[(What, Shape)] = &[
    (What::Text, Shape { part: "response.content_part", text: "response.output_text", index: "content_index", place: "/content/0", member: "text" }),
    (What::Refusal, Shape { part: "response.content_part", text: "response.refusal", index: "content_index", place: "/content/0", member: "refusal" }),
    (What::Thought, Shape { part: "response.reasoning_summary_part", text: "response.reasoning_summary_text", index: "summary_index", place: "/summary/0", member: "text" }),
    (What::Input, Shape { part: "", text: "response.function_call_arguments", index: "", place: "", member: "arguments" }),
];

impl Writing {
    fn item(&self) -> Value {
        let item = Pen::new(true).answer_item(&self.block, self.index, &self.id);
        let mut item = item.unwrap_or_default();
        if let Some(logprobs) = item.pointer_mut("/content/0/logprobs") {
            *logprobs = json!(self.logprobs);
        }
        item
    }

    /// An event about the block, with one member of its own.
    fn event(&self, name: &str, member: &str, value: Value) -> Members {
        let mut event = object([
            ("type", json!(name)),
            ("item_id", json!(self.id)),
            ("output_index", json!(self.index)),
            (member, value),
        ]);
        if !self.shape.index.is_empty() {
            event.insert(self.shape.index.to_owned(), json!(0));
        }
        if name.starts_with("response.output_text.") {
            event.insert("logprobs".to_owned(), json!([]));
        }
        event
    }

    fn part(&self, open: bool) -> Members {
        let (name, item) = (if open { "added" } else { "done" }, self.item());
        let mut part = item.pointer(self.shape.place).cloned().unwrap_or_default();
        if let Some(text) = part.get_mut(self.shape.member).filter(|_| open) {
            *text = json!("");
        }
        self.event(&format!("{}.{name}", self.shape.part), "part", part)
    }

    fn text(&mut self) -> Option<&mut String> {
        match &mut self.block.kind {
            Kind::Text(text) | Kind::Refusal(text) | Kind::Reasoning { text, .. } => Some(text),
            Kind::ToolUse { input, .. } => Some(input),
            _ => None,
        }
    }
}

impl Writer for EventWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => {}
            Event::Start { id, model, created, extra } => {
                self.own = extra.form(ME).is_some();
                self.head = write::head(id, model, *created, extra, std::mem::take(&mut self.echo));
                for name in extra.lost_to(ME) {
                    losses.note(format!("/{name}"), write::UNKNOWN);
                }
                for name in ["response.created", "response.in_progress"] {
                    self.event(object([("type", json!(name)), ("response", json!(self.head))]), out);
                }
            }
            Event::BlockStart { choice: 0, start, .. } => self.block(start, out, losses),
            Event::Delta { choice: 0, block, delta } => self.delta(*block, delta, out, losses),
            Event::BlockStop { choice: 0, block } => self.close(*block, out),
            Event::Finish { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Logprobs { choice: 0, logprobs } => {
                let list = logprobs.get("content").and_then(Value::as_array).into_iter().flatten();
                let text = self
                    .blocks
                    .iter_mut()
                    .rev()
                    .flatten()
                    .find(|writing| matches!(writing.block.kind, Kind::Text(_)));
                match text {
                    Some(writing) => writing.logprobs.extend(list.cloned()),
                    None => losses.note("/logprobs", "they belong to no text"),
                }
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { .. } => losses.note("/opaque", "only another API knows this event"),
            Event::BlockStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::BlockStop { choice, .. }
            | Event::Logprobs { choice, .. }
            | Event::Finish { choice, .. } => {
                losses.note(format!("/choices/{choice}"), "the Responses API has one answer");
            }
            Event::End => self.end(out),
        }
        if self.held > ANSWER_MAX && !self.ended {
            let words = format!("the provider's answer is over {ANSWER_MAX} bytes");
            self.fault(&Fault::new(FaultKind::UpstreamInvalid, words), out);
        }
    }

    /// Both official SDKs throw at `error`, where the fault stands flat and nested; Codex waits for
    /// `response.failed`.
    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = true;
        let mut error = openai::write_fault(fault);
        let flat = error.get("error").cloned().unwrap_or_default();
        let Value::Object(event) = &mut error else { return };
        event.insert("type".to_owned(), json!("error"));
        for name in ["code", "message", "param"] {
            event.insert(name.to_owned(), flat.get(name).cloned().unwrap_or_default());
        }
        self.event(std::mem::take(event), out);
        if self.head.is_empty() {
            self.head = write::head("", "", None, &Extra::NONE, wire::echo());
        }
        let mut response = std::mem::take(&mut self.head);
        let error = json!({ "code": flat.get("code").filter(|code| !code.is_null()).unwrap_or(&json!("server_error")), "message": fault.text() });
        response.extend(object([
            ("status", json!("failed")),
            ("error", error),
            ("output", json!(self.output)),
        ]));
        self.event(object([("type", json!("response.failed")), ("response", json!(response))]), out);
    }
}

impl EventWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        EventWriter { echo: write::echo(request), ..EventWriter::default() }
    }

    fn event(&mut self, mut event: Members, out: &mut Vec<u8>) {
        event.insert("sequence_number".to_owned(), json!(self.sequence));
        self.sequence += 1;
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let text = format!("event: {name}\ndata: {}\n\n", json!(event));
        out.extend_from_slice(text.as_bytes());
    }

    fn item_event(&mut self, name: &str, index: usize, item: &Value, out: &mut Vec<u8>) {
        let event = [("type", json!(name)), ("output_index", json!(index)), ("item", item.clone())];
        self.event(object(event), out);
    }

    fn block(&mut self, start: &BlockStart, out: &mut Vec<u8>, losses: &mut Losses) {
        let index = self.output.len();
        let (what, kind) = match start.clone() {
            BlockStart::Text => (What::Text, Kind::Text(String::new())),
            BlockStart::Refusal => (What::Refusal, Kind::Refusal(String::new())),
            BlockStart::Reasoning => (What::Thought, Kind::Reasoning { text: String::new(), seal: None }),
            BlockStart::ToolUse { id, name } => {
                (What::Input, Kind::ToolUse { id, name, input: String::new() })
            }
            BlockStart::Whole(block) => {
                let mut pen = Pen::new(self.own);
                if let Some(item) = pen.answer_item(&block, self.blocks.len(), "") {
                    self.item_event("response.output_item.added", index, &item, out);
                    self.item_event("response.output_item.done", index, &item, out);
                    self.output.push(item);
                }
                losses.absorb(pen.losses);
                return self.blocks.push(None);
            }
        };
        let Some((_, shape)) = SHAPES.iter().find(|row| row.0 == what) else { return };
        let id = self.head.get("id").and_then(Value::as_str).unwrap_or_default();
        let id = wire::item_id(write::prefix(&kind), id, index);
        let writing =
            Writing { index, id, shape, block: Block::new(kind), logprobs: Vec::new(), part_open: false };
        let mut item = writing.item();
        item.get_mut("content").into_iter().for_each(|content| *content = json!([]));
        item.get_mut("status").into_iter().for_each(|status| *status = json!("in_progress"));
        self.item_event("response.output_item.added", index, &item, out);
        self.output.push(item);
        self.blocks.push(Some(writing));
    }

    fn delta(&mut self, number: u32, delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let block = self.blocks.get_mut(number as usize).and_then(Option::as_mut);
        let Some(writing) = block else { return };
        let (Delta::Text(more) | Delta::Input(more)) = delta else {
            match (delta, &mut writing.block.kind) {
                (Delta::Seal(sealed), Kind::Reasoning { seal, .. }) if sealed.issuer == ME => {
                    *seal = Some(sealed.clone())
                }
                _ => losses.note(format!("/content/{number}/signature"), "another API's seal"),
            }
            return;
        };
        self.held += more.len();
        writing.text().into_iter().for_each(|text| text.push_str(more));
        let opens = !std::mem::replace(&mut writing.part_open, true) && !writing.shape.part.is_empty();
        let part = opens.then(|| writing.part(true));
        let delta = writing.event(&format!("{}.delta", writing.shape.text), "delta", json!(more));
        part.into_iter().chain([delta]).for_each(|event| self.event(event, out));
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let is_empty_call = |writing: &Writing| matches!(&writing.block.kind, Kind::ToolUse { input, .. } if input.is_empty());
        if self.blocks.get(number as usize).and_then(Option::as_ref).is_some_and(is_empty_call) {
            // No arguments at all are an empty object to this dialect's clients.
            self.delta(number, &Delta::Input("{}".to_owned()), out, &mut Losses::new());
        }
        let Some(mut writing) = self.blocks.get_mut(number as usize).and_then(Option::take) else { return };
        if writing.part_open {
            let text = writing.text().cloned();
            let done =
                writing.event(&format!("{}.done", writing.shape.text), writing.shape.member, json!(text));
            self.event(done, out);
            if !writing.shape.part.is_empty() {
                self.event(writing.part(false), out);
            }
        }
        let item = writing.item();
        self.item_event("response.output_item.done", writing.index, &item, out);
        self.output.get_mut(writing.index).into_iter().for_each(|place| *place = item.clone());
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        let (head, output) = (std::mem::take(&mut self.head), std::mem::take(&mut self.output));
        let response = write::closed(head, self.stop.as_ref(), self.own, output, self.usage.as_ref());
        let is_cut = response.get("status").is_some_and(|status| status == "incomplete");
        let name = if is_cut { "response.incomplete" } else { "response.completed" };
        self.event(object([("type", json!(name)), ("response", json!(response))]), out);
    }
}

/// The last events of a broken stream.
pub(super) fn fault_events(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    EventWriter::default().fault(fault, &mut out);
    out
}

/// Looks at a stream that is relayed. Pieces, which are nearly all of it, cost a look at their name.
#[derive(Default)]
pub(super) struct EventGlance {
    seen: Seen,
}

impl Glance for EventGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if self.seen.ended {
            return Ok(());
        }
        let named = name(frame);
        let holds = |word: &str| memmem::find(frame.data, word.as_bytes()).is_some();
        match &*named {
            delta if delta.ends_with(".delta") => self.seen.content = true,
            "response.output_item.added" => self.seen.content |= holds("\"function_call\""),
            "response.output_item.done" => self.seen.content |= !holds("\"reasoning\""),
            "error" => return Err(openai::fault(200, frame.data)),
            "response.completed" | "response.incomplete" | "response.failed" => {
                let Ok(data) = serde_json::from_slice::<Value>(frame.data) else { return Ok(()) };
                if let Some(fault) = read::failure(&named, &data) {
                    return Err(fault);
                }
                self.seen.ended = true;
                self.seen.usage = data.pointer("/response/usage").and_then(wire::read_usage);
            }
            _ => {}
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}
