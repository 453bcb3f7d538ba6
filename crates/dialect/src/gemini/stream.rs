//! Streams: <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>
//!
//! Every piece is an answer of its own, with the next parts. There is no last event: the stream is whole
//! when it ends and every candidate has told why it finished. A candidate may finish, and go on (after the
//! provider ran code), so nothing is known before the end of the bytes.

use super::{
    read::{self, Ids},
    wire::{self, ME},
    write::{self, Pen},
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{Block, BlockStart, Delta, Event, Kind, Seal, Stop, Usage},
    frame::{
        array::Elements,
        sse::{Frame, Frames},
    },
    json,
    limits::{CHOICES_MAX, PARTS_MAX, STREAM_HELD_MAX},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, mem};

type Members = Map<String, Value>;

/// Reads a provider's stream: events, or without `alt=sse` a list. The first byte tells which.
#[derive(Default)]
pub(super) struct ChunkReader {
    source: Source,
    state: ReadState,
}

#[derive(Default)]
enum Source {
    #[default]
    Unknown,
    Events(Frames),
    List(Elements),
}

impl Reader for ChunkReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        if let Source::Unknown = self.source {
            match bytes.trim_ascii_start() {
                [] => return Ok(()),
                [b'[', ..] => self.source = Source::List(Elements::default()),
                _ => self.source = Source::Events(Frames::default()),
            }
        }
        let state = &mut self.state;
        match &mut self.source {
            Source::List(elements) => elements.feed(bytes, &mut |element| state.chunk(element, sink)),
            Source::Events(frames) => frames.feed(bytes, &mut |frame| state.chunk(frame.data, sink)),
            Source::Unknown => Ok(()),
        }
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let state = &mut self.state;
        if let Source::Events(frames) = &mut self.source {
            frames.finish(&mut |frame| state.chunk(frame.data, sink))?;
        }
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

pub(super) fn usage_of(chunk: &mut Members) -> Option<Usage> {
    let usage = take(chunk, "usageMetadata");
    if let Value::Object(usage) = usage { Some(wire::read_usage(usage)) } else { None }
}

/// The candidates of a piece, each with its number.
fn candidates_of(chunk: &mut Members) -> Result<Vec<(u32, Members)>, Fault> {
    let Value::Array(list) = take(chunk, "candidates") else { return Ok(Vec::new()) };
    let each = list.into_iter().filter_map(|candidate| {
        let Value::Object(mut candidate) = candidate else { return None };
        let index = take(&mut candidate, "index").as_u64().unwrap_or(0);
        let index = u32::try_from(index).ok().filter(|index| *index < CHOICES_MAX);
        let over =
            || read::invalid(format!("the provider's answer holds more than {CHOICES_MAX} candidates"));
        Some(index.map(|index| (index, candidate)).ok_or_else(over))
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
        let candidates = candidates_of(&mut chunk)?;
        let usage = usage_of(&mut chunk);
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
            let made = || ReadCandidate::new(&self.id, index);
            self.candidates.entry(index).or_insert_with(made).take(candidate, sink)?;
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
            let words = "the provider's stream ended before its `finishReason`";
            return Err(Fault::new(FaultKind::UpstreamTruncated, words));
        }
        for (choice, mut candidate) in mem::take(&mut self.candidates) {
            candidate.close(sink);
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
    /// How many blocks have begun.
    blocks: u32,
    /// The block of words that is open.
    open: Option<(BlockStart, u32)>,
    /// The call whose arguments come in pieces, and their size.
    call: Option<(u32, Value, usize)>,
    called: bool,
    finish: Option<String>,
    ids: Ids,
}

impl ReadCandidate {
    fn new(id: &str, index: u32) -> Self {
        let ids = Ids::of_answer(id, index);
        ReadCandidate { index, blocks: 0, open: None, call: None, called: false, finish: None, ids }
    }

    fn take(&mut self, mut candidate: Members, sink: &mut Sink) -> Result<(), Fault> {
        let (parts, word) = parts_of(&mut candidate);
        self.finish = word.or(self.finish.take().filter(|_| parts.is_empty()));
        parts.into_iter().try_for_each(|part| self.part(part, sink))?;
        let told = read::extra(candidate).of(ME).cloned().unwrap_or_default();
        let is_news = |(name, value): &(&String, &Value)| *name != "content" && !value.is_null();
        if told.iter().any(|member| is_news(&member)) {
            let mut told = told;
            told.insert("index".to_owned(), self.index.into());
            sink.events.push(Event::Opaque { dialect: ME, json: json!({"candidates": [told]}) });
        }
        Ok(())
    }

    fn part(&mut self, part: Value, sink: &mut Sink) -> Result<(), Fault> {
        if self.blocks as usize >= PARTS_MAX {
            return Err(read::invalid(format!("the provider's answer holds more than {PARTS_MAX} parts")));
        }
        let call = part.get("functionCall").and_then(Value::as_object);
        let goes_on = |call: &&Members| {
            call.contains_key("willContinue")
                || call.contains_key("partialArgs")
                || !call.contains_key("name")
        };
        if let Some(call) = call.filter(goes_on) {
            let signature = part.get("thoughtSignature").and_then(Value::as_str);
            return self.piece(call, signature.map(|text| Seal::brought(text, ME, false)), sink);
        }
        let Ok(block) = read::part(part, "/content/parts", &mut self.ids) else {
            sink.losses.note("/content/parts", "a part that cannot be read");
            return Ok(());
        };
        for (name, _) in block.extra.of(ME).into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            sink.losses.note(format!("/content/parts/{name}"), "a stream has no room for it");
        }
        self.called |= matches!(block.kind, Kind::ToolUse { .. });
        match (block.kind, block.seal) {
            (Kind::Text(text), None) => self.say(BlockStart::Text, Delta::Text(text), sink),
            (Kind::Text(text), seal) => self.whole(BlockStart::Text, seal, Delta::Text(text), sink),
            (Kind::Reasoning { text, seal }, _) => {
                self.say(BlockStart::Reasoning, Delta::Text(text), sink);
                if let Some(seal) = seal {
                    self.say(BlockStart::Reasoning, Delta::Seal(seal), sink);
                }
            }
            (Kind::ToolUse { id, name, input }, seal) => {
                self.whole(BlockStart::ToolUse { id, name }, seal, Delta::Input(input), sink);
            }
            (kind, seal) => {
                let whole = BlockStart::Whole(Box::new(Block { seal, ..Block::new(kind) }));
                self.whole(whole, None, Delta::Text(String::new()), sink);
            }
        }
        Ok(())
    }

    /// Adds to the words of this kind, and begins some where none are open. A seal ends the thoughts that
    /// it covers; one with thoughts inside has a block of its own.
    fn say(&mut self, kind: BlockStart, delta: Delta, sink: &mut Sink) {
        let is_seal = matches!(&delta, Delta::Seal(_));
        let is_alone = matches!(&delta, Delta::Seal(seal) if seal.redacted);
        if delta == Delta::Text(String::new()) {
            return;
        }
        let block = match &self.open {
            Some((open, block)) if *open == kind && !is_alone => *block,
            _ => {
                let block = self.begin(kind.clone(), sink);
                self.open = Some((kind, block));
                block
            }
        };
        sink.events.push(Event::Delta { choice: self.index, block, delta });
        if is_seal {
            self.close(sink);
        }
    }

    /// Tells a block that comes in one piece. A seal on words holds for this part alone.
    fn whole(&mut self, start: BlockStart, seal: Option<Seal>, delta: Delta, sink: &mut Sink) {
        let block = self.begin(start, sink);
        let is_empty = matches!(&delta, Delta::Text(text) | Delta::Input(text) if text.is_empty());
        let deltas = seal.map(Delta::Seal).into_iter().chain((!is_empty).then_some(delta));
        sink.events.extend(deltas.map(|delta| Event::Delta { choice: self.index, block, delta }));
        sink.events.push(Event::BlockStop { choice: self.index, block });
    }

    fn begin(&mut self, start: BlockStart, sink: &mut Sink) -> u32 {
        self.close(sink);
        let block = self.blocks;
        self.blocks += 1;
        sink.events.push(Event::BlockStart { choice: self.index, block, start });
        block
    }

    /// Closes what is open.
    fn close(&mut self, sink: &mut Sink) {
        let choice = self.index;
        if let Some((block, args, _)) = self.call.take() {
            let delta = Delta::Input(args.to_string());
            sink.events.push(Event::Delta { choice, block, delta });
            sink.events.push(Event::BlockStop { choice, block });
        }
        let stop = self.open.take().map(|(_, block)| Event::BlockStop { choice, block });
        sink.events.extend(stop);
    }

    /// Takes a piece of a call. It begins with the name and ends with a piece that does not say
    /// `willContinue`: <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling>
    fn piece(&mut self, piece: &Members, seal: Option<Seal>, sink: &mut Sink) -> Result<(), Fault> {
        let word = |name: &str| piece.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        if let Some(name) = word("name") {
            let id = self.ids.call(name, word("id").map(str::to_owned));
            let block = self.begin(BlockStart::ToolUse { id, name: name.to_owned() }, sink);
            let seal = seal.map(|seal| Event::Delta { choice: self.index, block, delta: Delta::Seal(seal) });
            sink.events.extend(seal);
            self.called = true;
            self.call = Some((block, piece.get("args").cloned().unwrap_or_else(|| json!({})), 0));
        }
        let Some((_, args, held)) = &mut self.call else { return Ok(()) };
        for arg in piece.get("partialArgs").and_then(Value::as_array).into_iter().flatten() {
            *held += arg.to_string().len();
            if *held > STREAM_HELD_MAX || grow(args, arg).is_none() {
                return Err(read::invalid("the provider's call holds arguments without a place".to_owned()));
            }
        }
        if piece.get("willContinue").is_none_or(|more| *more != true) {
            self.close(sink);
        }
        Ok(())
    }
}

/// Adds a piece of an argument at its place (`$.list[0].name`): words to words, everything else whole.
fn grow(args: &mut Value, arg: &Value) -> Option<()> {
    let mut place = args;
    for step in arg.get("jsonPath")?.as_str()?.split(['$', '.', '[', ']', '\'', '"']) {
        let number = step.parse::<usize>().ok().filter(|_| !place.is_object());
        place = match (place, number) {
            (place, _) if step.is_empty() => place,
            (place, Some(number)) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut()?;
                if number == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(number)?
            }
            (place, None) => {
                if place.is_null() {
                    *place = json!({});
                }
                place.as_object_mut()?.entry(step).or_insert(Value::Null)
            }
        };
    }
    let value = ["stringValue", "numberValue", "boolValue"].iter().find_map(|name| arg.get(*name));
    match (place, value) {
        (Value::String(have), Some(Value::String(more))) => have.push_str(more),
        (place, value) => *place = value.cloned().unwrap_or_default(),
    }
    Some(())
}

/// Writes a stream for a caller.
#[derive(Default)]
pub(super) struct ChunkWriter {
    /// What every piece ends with.
    head: Members,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// Blocks by choice and number, until they stop. Of calls all is held, of words their seal.
    open: BTreeMap<(u32, u32), Block>,
    /// Bytes of calls that were held.
    held: usize,
    finished: Vec<Value>,
    usage: Option<Usage>,
    ended: bool,
}

impl Writer for ChunkWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => {}
            Event::Start { id, model, extra, .. } => {
                self.own = extra.form(ME).is_some();
                self.head = write::head(id, model);
                let lost = extra.lost_to(ME);
                lost.for_each(|name| losses.note(format!("/{name}"), "the Gemini API has no such member"));
            }
            Event::BlockStart { choice, block, start } => {
                let kind = match start {
                    BlockStart::Whole(whole) => return self.part(*choice, whole, out, losses),
                    BlockStart::Text | BlockStart::Refusal => Kind::Text(String::new()),
                    BlockStart::Reasoning => Kind::Reasoning { text: String::new(), seal: None },
                    BlockStart::ToolUse { id, name } => {
                        Kind::ToolUse { id: id.clone(), name: name.clone(), input: String::new() }
                    }
                };
                self.open.insert((*choice, *block), Block::new(kind));
            }
            Event::Delta { choice, block, delta } => self.delta((*choice, *block), delta, out, losses),
            Event::BlockStop { choice, block } => {
                let has_more =
                    |block: &Block| block.seal.is_some() || matches!(block.kind, Kind::ToolUse { .. });
                if let Some(block) = self.open.remove(&(*choice, *block)).filter(has_more) {
                    self.part(*choice, &block, out, losses);
                }
            }
            Event::Logprobs { .. } => losses.note("/logprobs", "the Gemini API has no such member"),
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
            frame(&write::fault(fault), out);
        }
    }
}

impl ChunkWriter {
    fn delta(&mut self, at: (u32, u32), delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let Some(block) = self.open.get_mut(&at) else { return };
        let said = match (&mut block.kind, delta) {
            (Kind::ToolUse { input, .. }, Delta::Input(more)) => {
                self.held += more.len();
                input.push_str(more);
                if self.held > STREAM_HELD_MAX {
                    let words = format!("the provider's calls hold more than {STREAM_HELD_MAX} bytes");
                    self.fault(&read::invalid(words), out);
                }
                return;
            }
            (Kind::Reasoning { .. }, Delta::Seal(seal)) => {
                Block::new(Kind::Reasoning { text: String::new(), seal: Some(seal.clone()) })
            }
            (_, Delta::Seal(seal)) => return block.seal = Some(seal.clone()),
            (Kind::Reasoning { .. }, Delta::Text(text)) => {
                Block::new(Kind::Reasoning { text: text.clone(), seal: None })
            }
            (_, Delta::Text(text) | Delta::Input(text)) => {
                Block { seal: block.seal.take(), ..Block::new(Kind::Text(text.clone())) }
            }
        };
        self.part(at.0, &said, out, losses);
    }

    fn part(&mut self, choice: u32, block: &Block, out: &mut Vec<u8>, losses: &mut Losses) {
        let mut pen = Pen::new(self.own, true);
        if let Some(part) = pen.part(block) {
            let content = json!({"parts": [part], "role": "model"});
            self.chunk(Some(json!([{"content": content, "index": choice}])), None, out);
        }
        losses.absorb(pen.losses);
    }

    fn chunk(&self, candidates: Option<Value>, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = Members::new();
        json::put(&mut chunk, "candidates", candidates);
        json::put(&mut chunk, "usageMetadata", usage);
        json::add(&mut chunk, Some(&self.head));
        frame(&chunk.into(), out);
    }
}

/// One event, as Google ends it.
pub(super) fn frame(data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("data: {data}\r\n\r\n").as_bytes());
}

/// Looks at a stream that is relayed. Its pieces are few and each tells the usage, so each is parsed.
#[derive(Default)]
pub(super) struct ChunkGlance {
    seen: Seen,
    /// The candidates that were seen, and whether each has finished.
    candidates: BTreeMap<u32, bool>,
    blocked: bool,
    elements: Elements,
}

impl Glance for ChunkGlance {
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

impl ChunkGlance {
    fn look(&mut self, data: &[u8]) -> Result<(), Fault> {
        let Some(mut chunk) = parsed(data)? else { return Ok(()) };
        for (index, mut candidate) in candidates_of(&mut chunk)? {
            let (parts, word) = parts_of(&mut candidate);
            let finished = self.candidates.entry(index).or_default();
            *finished = word.is_some() || (*finished && parts.is_empty());
            // An empty text is nothing to a caller.
            self.seen.content |= parts.iter().any(|part| part.get("text").is_none_or(|text| text != ""));
        }
        self.blocked |= chunk.get("promptFeedback").and_then(read::blocked).is_some();
        self.seen.usage = usage_of(&mut chunk).or(self.seen.usage.take());
        let is_answer = !self.candidates.is_empty() || self.blocked;
        self.seen.ended = is_answer && self.candidates.values().all(|finished| *finished);
        Ok(())
    }
}
