//! The Responses API event by event: <https://platform.openai.com/docs/api-reference/responses-streaming>

use super::{
    read,
    wire::{self, ME},
    write::{self, Pen},
};
use crate::{
    Fault, Glance, Losses, Seen, Sink, Writer,
    canon::{At, BlockStart, Delta, Event, Extra, Fold, Kind, Message, Request, Seal, Teller},
    error_body,
    frame::sse::Frame,
    json::object,
    limits::{ANSWER_MAX, PARTS_MAX},
    pen::Notes,
    shape::{Framed, Reading, cut, event_name, invalid, over, write_event},
};
use memchr::memmem;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

type Members = Map<String, Value>;

/// The event's name.
fn name<'a>(frame: &Frame<'a>) -> Cow<'a, str> {
    event_name(frame, |told| told == b"error" || told.starts_with(b"response."))
}

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Default)]
pub(super) struct ReadState {
    started: bool,
    ended: bool,
    called: bool,
    items: Vec<Item>,
    teller: Teller,
}

/// An item of the answer so far, with its blocks until it is done.
#[derive(Default)]
struct Item {
    index: Option<u64>,
    id: String,
    done: bool,
    open: Vec<Open>,
}

struct Open {
    what: What,
    /// The provider's number of the part.
    part: u64,
    number: u32,
    empty: bool,
    /// Another block has begun since: more words begin a new one.
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Text,
    Refusal,
    Thought,
    Input,
}

impl What {
    /// How a block of words begins.
    fn start(self) -> BlockStart {
        match self {
            What::Refusal => BlockStart::Refusal,
            What::Thought => BlockStart::Reasoning,
            What::Text | What::Input => BlockStart::Text,
        }
    }

    fn delta(self, text: String) -> Delta {
        if self == What::Input { Delta::Input(text) } else { Delta::Text(text) }
    }
}

impl Open {
    /// It tells this part of an item; thoughts are one block, and a call has no parts.
    fn is(&self, what: What, part: u64) -> bool {
        self.what == what && (self.part == part || matches!(what, What::Thought | What::Input))
    }

    fn stop(&mut self, sink: &mut Sink) {
        if !std::mem::replace(&mut self.stopped, true) {
            sink.events.push(Event::BlockStop { choice: 0, block: self.number });
        }
    }
}

/// What each piece (`response.….delta`) is. Some servers send a piece only when it is whole (`.done`).
const PIECES: &[(&str, What)] = &[
    ("output_text", What::Text),
    ("refusal", What::Refusal),
    ("reasoning_summary_text", What::Thought),
    ("reasoning_text", What::Thought),
    ("function_call_arguments", What::Input),
];

impl Reading for ReadState {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let named = name(&frame);
        let mut data: Value = match serde_json::from_slice(frame.data) {
            _ if self.ended || frame.data == b"[DONE]" => return Ok(()),
            Ok(data @ Value::Object(_)) => data,
            _ if named == "error" => return Err(error_body::read(200, frame.data)),
            _ => {
                sink.losses.note(format!("/{named}"), "an event that is not a JSON object");
                return Ok(());
            }
        };
        if let Some(fault) = read::failure(&named, &data) {
            return Err(fault);
        }
        let mut inner = |name: &str| data.get_mut(name).map(Value::take).unwrap_or_default();
        let (response, item) = (inner("response"), inner("item"));
        let event = named.strip_prefix("response.").unwrap_or_default();
        if !event.is_empty() && !self.started {
            self.started = true;
            let Message { id, model, created, extra, .. } = read::head(response.clone());
            sink.events.push(Event::Start { id, model, created, extra });
        }
        let (word, end) = event.rsplit_once('.').unwrap_or_default();
        match (event, PIECES.iter().find(|row| row.0 == word && matches!(end, "delta" | "done"))) {
            ("completed" | "incomplete", _) => self.stop(event, response, sink),
            ("output_item.added", _) => self.added(&data, &item, sink),
            ("output_item.done", _) => {
                let place = self.place(&data, &item);
                self.done(place, item, sink);
            }
            (_, Some((_, what))) => self.piece(&data, *what, end == "done", sink),
            ("created" | "in_progress" | "queued", _) => {}
            // The whole item is yet to come.
            _ if data.get("item_id").is_some() || data.get("output_index").is_some() => {}
            _ if matches!(&*named, "keepalive" | "ping") => {}
            _ => sink.losses.note(format!("/{named}"), "an event that is not known"),
        }
        if self.items.len() <= PARTS_MAX {
            return Ok(());
        }
        Err(over("items", PARTS_MAX))
    }

    fn end(&mut self, _sink: &mut Sink) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(cut("`response.completed`")) }
    }
}

impl ReadState {
    /// Where in `items` an event belongs: by its index, which is surer than its id (some gateways change the
    /// ids from event to event); without one (llama.cpp) by its id, or to the item that is open.
    fn place(&mut self, data: &Value, item: &Value) -> usize {
        let index = data.get("output_index").and_then(Value::as_u64);
        let id = data.get("item_id").or(item.get("id")).and_then(Value::as_str).unwrap_or_default();
        let fits = |item: &Item| match index {
            Some(_) => item.index == index,
            None if id.is_empty() => !item.done,
            None => item.id == id,
        };
        self.items.iter().rposition(fits).unwrap_or_else(|| {
            self.items.push(Item { index, id: id.to_owned(), ..Item::default() });
            self.items.len() - 1
        })
    }

    fn added(&mut self, data: &Value, item: &Value, sink: &mut Sink) {
        let place = self.place(data, item);
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some("function_call"), Some(id), Some(name)) =
            (text("type").as_deref(), text("call_id"), text("name"))
        {
            self.open(place, What::Input, 0, BlockStart::ToolUse { id, name }, sink);
        }
    }

    fn begin(&mut self, start: BlockStart, sink: &mut Sink) -> u32 {
        self.called |= matches!(start, BlockStart::ToolUse { .. });
        // Words do not wait for each other's end, so that what follows can be told at once.
        let open = self.items.iter_mut().flat_map(|item| &mut item.open);
        open.filter(|open| open.what != What::Input).for_each(|open| open.stop(sink));
        self.teller.begin(start, &mut sink.events)
    }

    fn open(&mut self, place: usize, what: What, part: u64, start: BlockStart, sink: &mut Sink) {
        if self.items.get(place).is_some_and(|item| !item.done && item.open.len() < PARTS_MAX) {
            let number = self.begin(start, sink);
            let item = self.items.get_mut(place);
            item.into_iter()
                .for_each(|item| item.open.push(Open { what, part, number, empty: true, stopped: false }));
        }
    }

    fn piece(&mut self, data: &Value, what: What, is_whole: bool, sink: &mut Sink) {
        let names: &[&str] = if is_whole { &["text", "refusal", "arguments"] } else { &["delta"] };
        let text = names.iter().find_map(|name| data.get(*name)?.as_str()).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let part = ["content_index", "summary_index"].iter().find_map(|name| data.get(*name)?.as_u64());
        let part = part.unwrap_or(0);
        let place = self.place(data, &Value::Null);
        let told = self
            .items
            .get(place)
            .is_some_and(|item| item.open.iter().any(|open| open.is(what, part) && !open.empty));
        if is_whole && told {
            return;
        }
        let fits = |open: &Open| open.is(what, part) && !open.stopped;
        if !self.items.get(place).is_some_and(|item| item.open.iter().any(fits)) && what != What::Input {
            self.open(place, what, part, what.start(), sink);
        }
        let item = self.items.get_mut(place);
        let Some(open) = item.and_then(|item| item.open.iter_mut().find(|open| fits(open))) else {
            return sink.losses.note(format!("/output/{place}"), "a piece of an item that is not open");
        };
        let again = what == What::Thought && open.part != part && !open.empty;
        let text = if again { format!("{}{text}", read::PARAGRAPH) } else { text.to_owned() };
        (open.part, open.empty) = (part, false);
        self.teller.piece(open.number, what.delta(text), &mut sink.events);
        let logprobs = data.get("logprobs").filter(|list| !wire::is_mute("", list));
        let logprobs = logprobs.map(|list| json!({ "content": list }));
        sink.events.extend(logprobs.map(|logprobs| Event::Logprobs { choice: 0, logprobs }));
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
                sink.losses.note(format!("{pointer}/{name}"), "a stream has no room for it");
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
            let part = open.iter().find(|open| open.what == what).map(|open| open.part);
            let mut told: Vec<Open>;
            (told, open) = open.into_iter().partition(|open| open.is(what, part.unwrap_or(0)));
            if told.is_empty() && text.is_empty() && seal.is_none() && what != What::Input {
                continue;
            }
            let is_new = told.last().is_none_or(|last| last.stopped && (last.empty || seal.is_some()));
            let is_told = told.iter().any(|open| !open.empty);
            if is_new {
                let number = self.begin(start, sink);
                told.push(Open { what, part: 0, number, empty: true, stopped: false });
            }
            let Some(last) = told.last_mut() else { continue };
            let text = Some(what.delta(text)).filter(|_| !is_told);
            for more in text.into_iter().chain(seal.map(Delta::Seal)) {
                self.teller.piece(last.number, more, &mut sink.events);
            }
            // Calls without ids that overlap are taken for one item.
            told.iter_mut().for_each(|open| open.stop(sink));
        }
        open.iter_mut().for_each(|open| open.stop(sink));
    }

    fn stop(&mut self, event: &str, mut response: Value, sink: &mut Sink) {
        let output = response.get_mut("output").and_then(Value::as_array_mut).map(std::mem::take);
        // Where nothing has been told, all of it stands here.
        for item in output.into_iter().flatten().take(if self.teller.blocks() == 0 { PARTS_MAX } else { 0 }) {
            self.items.push(Item::default());
            self.done(self.items.len() - 1, item, sink);
        }
        self.items.iter_mut().flat_map(|item| &mut item.open).for_each(|open| open.stop(sink));
        let stop = wire::read_stop(&response, event, self.called);
        sink.events.push(Event::Finish { choice: 0, stop });
        sink.events.extend(response.get("usage").and_then(wire::read_usage).map(Event::Usage));
        sink.events.push(Event::End);
        self.ended = true;
    }
}

/// Writes a stream for a caller: every event that strict clients wait for. Each block is an item of its own,
/// and the last event repeats the whole answer.
pub(super) struct StreamWriter {
    echo: Members,
    sequence: u64,
    answer: Fold,
    /// Bytes of the answer.
    held: usize,
    /// The block that has begun last, as its seal may come next.
    begun: Option<(u32, BlockStart)>,
    /// By the block's number; `None` for one that is lost or whole.
    blocks: Vec<Option<Writing>>,
    /// How many items there are.
    items: usize,
    ended: bool,
}

/// A block that is being written.
#[derive(Clone, Copy)]
struct Writing {
    index: usize,
    shape: &'static Shape,
    part_open: bool,
}

/// How a block is told: the events of its parts (a call has none) and its text, the member that numbers the
/// part, where the part stands in the item, the text's name, and the prefix of the item's id.
struct Shape(&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const SHAPES: [Shape; 4] = [
    Shape("response.content_part", "response.output_text", "content_index", "/content/0", "text", "msg"),
    Shape("response.content_part", "response.refusal", "content_index", "/content/0", "refusal", "msg"),
    Shape("response.reasoning_summary_part", "response.reasoning_summary_text", "summary_index", "/summary/0", "text", "rs"),
    Shape("", "response.function_call_arguments", "", "", "arguments", "fc"),
];

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        if self.ended {
            return;
        }
        let mut told = event.clone();
        if let Event::BlockStart { start: BlockStart::Whole(block), .. } = &mut told {
            // The item that it may keep is written block by block.
            block.extra = Extra::NONE;
        }
        if let Some((number, start)) = self.begun.take() {
            if let Event::Delta { delta: Delta::Seal(seal), .. } = event
                && start != BlockStart::Reasoning
            {
                self.seal(seal, out);
            }
            self.block(number, &start, out);
        }
        self.answer.take(told);
        match event {
            Event::Start { .. } => {
                self.response("response.created", Some("in_progress"), out);
                self.response("response.in_progress", Some("in_progress"), out);
            }
            Event::BlockStart { choice: 0, block, start } => self.begun = Some((*block, start.clone())),
            Event::Delta { choice: 0, block, delta: Delta::Text(more) | Delta::Input(more) } => {
                self.delta(*block, more, out);
            }
            Event::BlockStop { choice: 0, block } => self.close(*block, out),
            Event::Opaque { .. } => losses.note("/opaque", "only another API knows this event"),
            Event::End => {
                let stop = self.answer.so_far().choices.first().and_then(|choice| choice.stop.as_ref());
                let is_cut = wire::write_stop(stop, write::is_own(self.answer.so_far())).0 == "incomplete";
                let name = if is_cut { "response.incomplete" } else { "response.completed" };
                losses.absorb(self.response(name, None, out));
                self.ended = true;
            }
            _ => {}
        }
        if self.held > ANSWER_MAX {
            self.fault(&invalid(format!("the provider's answer is over {ANSWER_MAX} bytes")), out);
        }
    }

    /// Both official SDKs throw at `error`, where the fault stands flat and nested; Codex waits for
    /// `response.failed`.
    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let error = write::fault(fault).get_mut("error").map(Value::take).unwrap_or_default();
        let [code, param] = ["code", "param"].map(|name| error.get(name).cloned().unwrap_or_default());
        let told = json!({ "code": code.as_str().unwrap_or("server_error"), "message": fault.text() });
        let mut event =
            object([("type", json!("error")), ("message", json!(fault.text())), ("error", error)]);
        event.extend([("code".to_owned(), code), ("param".to_owned(), param)]);
        self.event(event, out);
        self.echo.insert("error".to_owned(), told);
        self.response("response.failed", Some("failed"), out);
    }
}

impl StreamWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        let (echo, answer) = (write::echo(request), Fold::new(ME));
        Self { echo, answer, sequence: 0, held: 0, items: 0, begun: None, blocks: Vec::new(), ended: false }
    }

    fn event(&mut self, mut event: Members, out: &mut Vec<u8>) {
        event.insert("sequence_number".to_owned(), json!(self.sequence));
        self.sequence += 1;
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        write_event(out, name, &[json!(event).to_string().as_bytes()]);
    }

    fn response(&mut self, name: &str, status: Option<&str>, out: &mut Vec<u8>) -> Losses {
        let response = write::answer(self.answer.so_far(), self.echo.clone(), status);
        self.event(object([("type", json!(name)), ("response", response.value.into())]), out);
        response.losses
    }

    /// The item that block `number` is so far.
    fn item(&self, number: usize, index: usize) -> Option<Value> {
        let answer = self.answer.so_far();
        let block = answer.choices.iter().find(|choice| choice.index == 0)?.blocks.get(number)?;
        Pen(Notes::answer(ME, write::is_own(answer))).answer_item(block, number, &answer.id, index)
    }

    fn item_event(&mut self, name: &str, index: usize, item: Value, out: &mut Vec<u8>) {
        self.event(object([("type", json!(name)), ("output_index", json!(index)), ("item", item)]), out);
    }

    /// An event about a block, with one member of its own.
    fn block_event(&mut self, writing: Writing, name: &str, own: (&str, Value), out: &mut Vec<u8>) {
        let Writing { index, shape, .. } = writing;
        let id = wire::item_id(shape.5, &self.answer.so_far().id, index);
        let is_text = name.starts_with("response.output_text.");
        let event = object([
            ("type", json!(name)),
            ("item_id", json!(id)),
            ("output_index", json!(index)),
            (shape.2, if shape.2.is_empty() { Value::Null } else { json!(0) }),
            own,
            ("logprobs", if is_text { json!([]) } else { Value::Null }),
        ]);
        self.event(event, out);
    }

    fn part(&mut self, at: (usize, Writing), end: &str, out: &mut Vec<u8>) {
        let Writing { index, shape, .. } = at.1;
        let mut part = self.item(at.0, index).unwrap_or_default();
        let mut part = part.pointer_mut(shape.3).map(Value::take).unwrap_or_default();
        if let Some(text) = part.get_mut(shape.4).filter(|_| end == "added") {
            *text = json!("");
        }
        if !shape.0.is_empty() {
            self.block_event(at.1, &format!("{}.{end}", shape.0), ("part", part), out);
        }
    }

    /// Another issuer's seal on words or a call stands before them.
    fn seal(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        let item = write::seal_item(seal, &self.answer.so_far().id, self.items);
        self.item_event("response.output_item.added", self.items, item.clone(), out);
        self.item_event("response.output_item.done", self.items, item, out);
        self.items += 1;
    }

    fn block(&mut self, number: u32, start: &BlockStart, out: &mut Vec<u8>) {
        let (number, index) = (number as usize, self.items);
        let shape = match start {
            BlockStart::Text => SHAPES.first(),
            BlockStart::Refusal => SHAPES.get(1),
            BlockStart::Reasoning => SHAPES.get(2),
            BlockStart::ToolUse { .. } => SHAPES.get(3),
            BlockStart::Whole(_) => None,
        };
        self.blocks.push(shape.map(|shape| Writing { index, shape, part_open: false }));
        let Some(mut item) = self.item(number, index) else { return };
        self.items += 1;
        if shape.is_some() {
            item.get_mut("content").into_iter().for_each(|content| *content = json!([]));
            item.get_mut("arguments").into_iter().for_each(|input| *input = json!(""));
            item.get_mut("status").into_iter().for_each(|status| *status = json!("in_progress"));
        }
        self.item_event("response.output_item.added", index, item.clone(), out);
        if shape.is_none() {
            self.item_event("response.output_item.done", index, item, out);
        }
    }

    fn delta(&mut self, number: u32, more: &str, out: &mut Vec<u8>) {
        self.held += more.len();
        let Some(Some(writing)) = self.blocks.get_mut(number as usize) else { return };
        let is_open = std::mem::replace(&mut writing.part_open, true);
        let at = (number as usize, *writing);
        if !is_open {
            self.part(at, "added", out);
        }
        self.block_event(at.1, &format!("{}.delta", at.1.shape.1), ("delta", json!(more)), out);
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let number_of = number as usize;
        let Some(Some(writing)) = self.blocks.get(number_of).copied() else { return };
        let item = self.item(number_of, writing.index).unwrap_or_default();
        let shape = writing.shape;
        if !writing.part_open && shape.0.is_empty() {
            // No arguments at all are an empty object to this dialect's clients.
            self.delta(number, "{}", out);
        }
        if writing.part_open || shape.0.is_empty() {
            let text = item.pointer(&format!("{}/{}", shape.3, shape.4)).cloned().unwrap_or_default();
            self.block_event(writing, &format!("{}.done", shape.1), (shape.4, text), out);
            self.part((number_of, writing), "done", out);
        }
        self.item_event("response.output_item.done", writing.index, item, out);
    }
}

/// The last events of a broken stream.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    StreamWriter::new(&Request::new(ME, "")).fault(fault, &mut out);
    out
}

/// Looks at a stream that is relayed. Pieces, which are nearly all of it, cost a look at their name.
#[derive(Default)]
pub(super) struct StreamGlance {
    seen: Seen,
}

impl Glance for StreamGlance {
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
            "error" => return Err(error_body::read(200, frame.data)),
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
