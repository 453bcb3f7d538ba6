//! Streams: <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>
//!
//! Every piece is an answer with the next parts. A stream is whole when it ends and every candidate has said
//! why it finished; one may finish and go on (after the provider ran code), so only the end tells.

use super::{
    read::{self, Ids},
    wire::{self, ME},
    write::{self, Pen},
};
use crate::{
    Fault, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{Block, BlockStart, Delta, Event, Kind, Request, Seal, Stop, Teller, Usage},
    frame::{
        array::{Elements, Pieces},
        sse::Frame,
    },
    json,
    limits::{CHOICES_MAX, PARTS_MAX, STREAM_HELD_MAX},
    pen::{NO_MEMBER, Notes},
    shape::{cut, invalid, over},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

type Members = Map<String, Value>;

/// Reads a provider's stream: events, or without `alt=sse` a list.
#[derive(Default)]
pub(super) struct StreamReader {
    pieces: Pieces,
    state: ReadState,
}

impl Reader for StreamReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        self.pieces.feed(bytes, &mut |piece| self.state.chunk(piece, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        self.pieces.finish(&mut |piece| self.state.chunk(piece, sink))?;
        self.state.end(sink)
    }
}

#[derive(Default)]
struct ReadState {
    id: String,
    started: bool,
    candidates: BTreeMap<u32, ReadCandidate>,
    usage: Option<Usage>,
    /// Why the prompt got no answer.
    blocked: Option<Stop>,
}

/// A piece of a stream; an error is none.
fn parsed(data: &[u8]) -> Result<Option<Members>, Fault> {
    let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
    match (read::fault_in(&chunk), chunk) {
        (Some(fault), _) => Err(fault),
        (None, Value::Object(chunk)) => Ok(Some(chunk)),
        _ => Ok(None),
    }
}

fn take(members: &mut Members, name: &str) -> Value {
    members.shift_remove(name).unwrap_or_default()
}

/// The candidates of a piece by their numbers. One beyond the most that can be asked for is none.
fn candidates_of(chunk: &mut Members) -> Vec<(u32, Members)> {
    let Value::Array(list) = take(chunk, "candidates") else { return Vec::new() };
    let each = list.into_iter().filter_map(|candidate| {
        let Value::Object(mut candidate) = candidate else { return None };
        let index = u32::try_from(take(&mut candidate, "index").as_u64().unwrap_or(0)).ok()?;
        (index < CHOICES_MAX).then_some((index, candidate))
    });
    each.collect()
}

/// The parts of a candidate, and why it finished, if it did.
fn parts_of(candidate: &mut Members) -> (Vec<Value>, Option<String>) {
    let content = candidate.get_mut("content").and_then(Value::as_object_mut);
    let parts = content.map(|content| take(content, "parts"));
    let parts = if let Some(Value::Array(parts)) = parts { parts } else { Vec::new() };
    let word = take(candidate, "finishReason").as_str().map(str::to_owned);
    (parts, word.filter(|word| !word.is_empty()))
}

impl ReadState {
    fn chunk(&mut self, data: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let Some(mut chunk) = parsed(data)? else {
            sink.losses.note("", "a piece of the provider's stream is not a JSON object");
            return Ok(());
        };
        let candidates = candidates_of(&mut chunk);
        let usage = wire::usage_of(&mut chunk);
        let blocked = chunk.get("promptFeedback").and_then(read::blocked);
        let is_answer = !candidates.is_empty() || usage.is_some() || blocked.is_some();
        if is_answer && !mem::replace(&mut self.started, true) {
            let [id, model] = ["responseId", "modelVersion"]
                .map(|name| take(&mut chunk, name).as_str().unwrap_or_default().to_owned());
            self.id.clone_from(&id);
            // By this form the writer knows that these are words of its own dialect.
            chunk.insert("modelVersion".to_owned(), model.as_str().into());
            sink.events.push(Event::Start { id, model, created: None, extra: read::extra(chunk) });
        }
        self.blocked = self.blocked.take().or(blocked);
        for (index, candidate) in candidates {
            let (teller, ids) = (Teller::new(index), Ids::of_answer(&self.id, index));
            let fresh = ReadCandidate { index, teller, ids, call: None, called: false, finish: None };
            self.candidates.entry(index).or_insert(fresh).take(candidate, sink)?;
        }
        if usage.is_some() && usage != self.usage {
            sink.events.extend(usage.clone().map(Event::Usage));
            self.usage = usage;
        }
        Ok(())
    }

    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let finished = self.candidates.values().all(|candidate| candidate.finish.is_some());
        let blocked = self.blocked.take().filter(|_| self.candidates.is_empty());
        if !finished || (self.candidates.is_empty() && blocked.is_none()) {
            return Err(cut("its `finishReason`"));
        }
        for (choice, mut candidate) in mem::take(&mut self.candidates) {
            candidate.end_call(sink);
            candidate.teller.close(&mut sink.events);
            let stop = wire::read_stop(&candidate.finish.unwrap_or_default(), candidate.called);
            sink.events.push(Event::Finish { choice, stop });
        }
        sink.events.extend(blocked.map(|stop| Event::Finish { choice: 0, stop }));
        sink.events.push(Event::End);
        Ok(())
    }
}

/// One alternative of the answer so far.
struct ReadCandidate {
    index: u32,
    teller: Teller,
    /// The call whose arguments come in pieces, and their size.
    call: Option<(u32, Value, usize)>,
    called: bool,
    finish: Option<String>,
    ids: Ids,
}

impl ReadCandidate {
    fn take(&mut self, mut candidate: Members, sink: &mut Sink) -> Result<(), Fault> {
        let (parts, word) = parts_of(&mut candidate);
        self.finish = word.or(self.finish.take().filter(|_| parts.is_empty()));
        parts.into_iter().try_for_each(|part| self.part(part, sink))?;
        candidate.shift_remove("content");
        let mut told = read::extra(candidate).of(ME).cloned().unwrap_or_default();
        if told.values().any(|value| !value.is_null()) {
            told.insert("index".to_owned(), self.index.into());
            sink.events.push(Event::Opaque { dialect: ME, json: json!({"candidates": [told]}) });
        }
        Ok(())
    }

    fn part(&mut self, part: Value, sink: &mut Sink) -> Result<(), Fault> {
        if self.teller.blocks() >= PARTS_MAX {
            return Err(over("parts", PARTS_MAX));
        }
        let call = part.get("functionCall").and_then(Value::as_object);
        let is_piece = |call: &&Members| {
            call.contains_key("willContinue")
                || call.contains_key("partialArgs")
                || !call.contains_key("name")
        };
        if let Some(call) = call.filter(is_piece) {
            let signature = part.get("thoughtSignature").and_then(Value::as_str);
            return self.piece(call, signature.map(|text| Seal::brought(text, ME, false)), sink);
        }
        self.end_call(sink);
        let Ok(block) = read::part(part, "/content/parts", &mut self.ids) else {
            sink.losses.note("/content/parts", "a part that cannot be read");
            return Ok(());
        };
        for (name, _) in block.extra.of(ME).into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            sink.losses.note(format!("/content/parts/{name}"), "a stream has no room for it");
        }
        let (teller, events) = (&mut self.teller, &mut sink.events);
        let seal = block.seal.clone().map(Delta::Seal);
        match block.kind {
            Kind::Text(text) if seal.is_none() => teller.say(BlockStart::Text, Delta::Text(text), events),
            // A seal on words holds for this part alone.
            Kind::Text(text) => {
                teller.whole(BlockStart::Text, seal.into_iter().chain([Delta::Text(text)]), events);
            }
            Kind::Reasoning { text, seal } => {
                let deltas = [Some(Delta::Text(text)), seal.map(Delta::Seal)].into_iter().flatten();
                deltas.for_each(|delta| teller.say(BlockStart::Reasoning, delta, events));
            }
            Kind::ToolUse { id, name, input } => {
                self.called = true;
                let deltas = seal.into_iter().chain([Delta::Input(input)]);
                teller.whole(BlockStart::ToolUse { id, name }, deltas, events);
            }
            _ => teller.whole(BlockStart::Whole(Box::new(block)), [], events),
        }
        Ok(())
    }

    /// Takes a piece of a call. It begins with the name and ends with a piece that does not say
    /// `willContinue`: <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling>
    fn piece(&mut self, piece: &Members, seal: Option<Seal>, sink: &mut Sink) -> Result<(), Fault> {
        let word = |name: &str| piece.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        if let Some(name) = word("name") {
            self.end_call(sink);
            self.called = true;
            let id = self.ids.call(name, word("id").map(str::to_owned));
            let start = BlockStart::ToolUse { id, name: name.to_owned() };
            let (choice, block) = (self.index, self.teller.begin(start, &mut sink.events));
            let seal = seal.map(Delta::Seal).map(|delta| Event::Delta { choice, block, delta });
            sink.events.extend(seal);
            self.call = Some((block, piece.get("args").cloned().unwrap_or_else(|| json!({})), 0));
        }
        let Some((_, args, held)) = &mut self.call else { return Ok(()) };
        for arg in piece.get("partialArgs").and_then(Value::as_array).into_iter().flatten() {
            *held += arg.to_string().len();
            if *held > STREAM_HELD_MAX || grow(args, arg).is_none() {
                return Err(invalid("the provider's call holds arguments without a place"));
            }
        }
        if piece.get("willContinue").is_none_or(|more| *more != true) {
            self.end_call(sink);
        }
        Ok(())
    }

    fn end_call(&mut self, sink: &mut Sink) {
        let choice = self.index;
        if let Some((block, args, _)) = self.call.take() {
            let delta = Delta::Input(args.to_string());
            sink.events.extend([Event::Delta { choice, block, delta }, Event::BlockStop { choice, block }]);
        }
    }
}

/// Adds a piece of an argument at its place: words to words, everything else whole.
fn grow(args: &mut Value, arg: &Value) -> Option<()> {
    let place = json::place(args, arg.get("jsonPath")?.as_str()?)?;
    let value = ["stringValue", "numberValue", "boolValue"].iter().find_map(|name| arg.get(*name));
    match (place, value) {
        (Value::String(have), Some(Value::String(more))) => have.push_str(more),
        (place, value) => *place = value.cloned().unwrap_or_default(),
    }
    Some(())
}

/// Writes a stream for a caller.
#[derive(Default)]
pub(super) struct StreamWriter {
    /// What every piece ends with.
    head: Members,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// Blocks by choice and number, until they and all before them stop: calls are told in the order in
    /// which they began. Of calls all is held, of words their seal.
    open: BTreeMap<(u32, u32), Block>,
    stopped: BTreeSet<(u32, u32)>,
    /// Bytes of calls that were held.
    held: usize,
    finished: Vec<Value>,
    usage: Option<Usage>,
    ended: bool,
}

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => {}
            Event::Start { id, model, extra, .. } => {
                self.own = extra.form(ME).is_some();
                self.head = write::head(id, model);
                extra.lost_to(ME).for_each(|name| losses.note(format!("/{name}"), NO_MEMBER));
            }
            Event::BlockStart { choice, start: BlockStart::Whole(whole), .. } => {
                self.part(*choice, whole, out, losses);
            }
            Event::BlockStart { choice, block, start } => {
                self.open.insert((*choice, *block), Block::begun(start.clone()));
            }
            Event::Delta { choice, block, delta } => self.delta((*choice, *block), delta, out, losses),
            Event::BlockStop { choice, block } => {
                self.stopped.insert((*choice, *block));
                while let Some(first) = self.open.first_entry().filter(|it| self.stopped.contains(it.key())) {
                    let ((choice, _), block) = first.remove_entry();
                    if block.seal.is_some() || matches!(block.kind, Kind::ToolUse { .. }) {
                        self.part(choice, &block, out, losses);
                    }
                }
            }
            Event::Logprobs { .. } => losses.note("/logprobs", NO_MEMBER),
            Event::Finish { choice, stop } => {
                let word = wire::write_stop(stop, self.own);
                let content = json!({"parts": [{"text": ""}], "role": "model"});
                self.finished.push(json!({"content": content, "finishReason": word, "index": choice}));
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect: ME, json } => self.chunk(json.get("candidates").cloned(), None, out),
            Event::Opaque { .. } => losses.note("", "an event that only another API knows"),
            Event::End => {
                self.ended = true;
                let finished = mem::take(&mut self.finished).into();
                self.chunk(Some(finished), self.usage.as_ref().map(wire::write_usage), out);
            }
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !mem::replace(&mut self.ended, true) {
            out.extend(self::fault(fault));
        }
    }
}

impl StreamWriter {
    pub(super) fn new(_request: &Request) -> Self {
        StreamWriter::default()
    }

    fn delta(&mut self, at: (u32, u32), delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let Some(block) = self.open.get_mut(&at) else { return };
        let mut said = match (&block.kind, delta) {
            (Kind::ToolUse { .. }, Delta::Input(more)) => {
                self.held += more.len();
                block.grow(delta.clone());
                if self.held > STREAM_HELD_MAX {
                    let words = format!("the provider's calls hold more than {STREAM_HELD_MAX} bytes");
                    self.fault(&invalid(words), out);
                }
                return;
            }
            (Kind::Reasoning { .. }, _) => Block::begun(BlockStart::Reasoning),
            (_, Delta::Seal(_)) => return block.grow(delta.clone()),
            _ => Block { seal: block.seal.take(), ..Block::begun(BlockStart::Text) },
        };
        said.grow(delta.clone());
        self.part(at.0, &said, out, losses);
    }

    fn part(&mut self, choice: u32, block: &Block, out: &mut Vec<u8>, losses: &mut Losses) {
        let mut pen = Pen::new(Notes::answer(ME, self.own));
        if let Some(part) = pen.part(block) {
            let content = json!({"parts": [part], "role": "model"});
            self.chunk(Some(json!([{"content": content, "index": choice}])), None, out);
        }
        losses.absorb(pen.notes.losses);
    }

    fn chunk(&self, candidates: Option<Value>, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = Members::new();
        json::put(&mut chunk, "candidates", candidates);
        json::put(&mut chunk, "usageMetadata", usage);
        json::add(&mut chunk, Some(&self.head));
        out.extend(frame(&chunk.into()));
    }
}

/// A fault as the last event of a broken stream.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    frame(&write::fault(fault))
}

/// One event, as Google ends it.
fn frame(data: &Value) -> Vec<u8> {
    format!("data: {data}\r\n\r\n").into_bytes()
}

/// Looks at a stream that is relayed. Its pieces are few and each tells the usage, so each is parsed.
#[derive(Default)]
pub(super) struct StreamGlance {
    seen: Seen,
    /// The candidates that were seen, and whether each has finished.
    candidates: BTreeMap<u32, bool>,
    blocked: bool,
    elements: Elements,
}

impl Glance for StreamGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if !frame.data.starts_with(b"[") {
            return self.look(frame.data);
        }
        let mut elements = mem::take(&mut self.elements);
        let looked = elements.feed(frame.data, &mut |element| self.look(element));
        self.elements = elements;
        looked
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl StreamGlance {
    fn look(&mut self, data: &[u8]) -> Result<(), Fault> {
        let Some(mut chunk) = parsed(data)? else { return Ok(()) };
        for (index, mut candidate) in candidates_of(&mut chunk) {
            let (parts, word) = parts_of(&mut candidate);
            let finished = self.candidates.entry(index).or_default();
            *finished = word.is_some() || (*finished && parts.is_empty());
            // An empty text is nothing to a caller.
            self.seen.content |= parts.iter().any(|part| part.get("text").is_none_or(|text| text != ""));
        }
        self.blocked |= chunk.get("promptFeedback").and_then(read::blocked).is_some();
        self.seen.usage = wire::usage_of(&mut chunk).or(self.seen.usage.take());
        let is_answer = !self.candidates.is_empty() || self.blocked;
        self.seen.ended = is_answer && self.candidates.values().all(|finished| *finished);
        Ok(())
    }
}
