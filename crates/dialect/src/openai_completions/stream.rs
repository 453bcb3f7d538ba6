//! Streams, event by event: chunks into events, events into chunks, and a glance at relayed chunks.
//! <https://platform.openai.com/docs/api-reference/completions/create>

use super::{
    read,
    wire::{self, ME},
    write,
};
use crate::{
    Fault, Glance, Losses, Seen, Sink, Writer,
    canon::{BlockStart, Delta, Event, Extra, Request, Teller, Usage},
    frame::sse::Frame,
    json,
    limits::CHOICES_MAX,
    openai::{self, DONE, read_chunk},
    pen::{FOREIGN, NO_MEMBER},
    shape::{Framed, Reading, cut, over},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, mem};

pub(super) use crate::openai::fault_chunk as fault;

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Default)]
pub(super) struct ReadState {
    started: bool,
    ended: bool,
    choices: BTreeMap<u32, ReadChoice>,
    usage: Option<Usage>,
}

/// One alternative of the answer so far.
struct ReadChoice {
    teller: Teller,
    finished: bool,
}

impl Reading for ReadState {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if self.ended || data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            return self.end(sink);
        }
        match read_chunk(frame)? {
            Some(Value::Object(chunk)) => return self.chunk(chunk, sink),
            _ => sink.losses.note("", "a frame of the provider's stream is not a JSON object"),
        }
        Ok(())
    }

    /// The stream is whole when every choice that was seen has finished: `[DONE]` alone proves nothing.
    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        if self.choices.is_empty() || !self.choices.values().all(|choice| choice.finished) {
            return Err(cut("its `finish_reason`"));
        }
        self.ended = true;
        sink.events.push(Event::End);
        Ok(())
    }
}

impl ReadState {
    fn chunk(&mut self, mut chunk: Map<String, Value>, sink: &mut Sink) -> Result<(), Fault> {
        let usage = chunk.shift_remove("usage").as_ref().and_then(wire::read_usage);
        let choices = match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        if !self.started && (!choices.is_empty() || usage.is_some()) {
            self.started = true;
            sink.events.push(start(chunk));
        }
        for choice in choices {
            self.choice(choice, sink)?;
        }
        if usage.is_some() && usage != self.usage {
            sink.events.extend(usage.clone().map(Event::Usage));
            self.usage = usage;
        }
        Ok(())
    }

    fn choice(&mut self, mut value: Value, sink: &mut Sink) -> Result<(), Fault> {
        let index = index(&value).ok_or_else(|| over("choices", CHOICES_MAX as usize))?;
        let choice = self
            .choices
            .entry(index)
            .or_insert_with(|| ReadChoice { teller: Teller::new(index), finished: false });
        if choice.finished {
            if has_content(&value) {
                sink.losses.note("/choices/0/text", "it came behind the `finish_reason`");
            }
            return Ok(());
        }
        if let Some(text) = read::thoughts(|name| value.get_mut(name).map(mem::take)) {
            choice.teller.say(BlockStart::Reasoning, Delta::Text(text), &mut sink.events);
        }
        if let Some(Value::String(text)) = value.get_mut("text").map(mem::take) {
            choice.teller.say(BlockStart::Text, Delta::Text(text), &mut sink.events);
        }
        let logprobs = value.get("logprobs").and_then(wire::read_logprobs);
        sink.events.extend(logprobs.map(|logprobs| Event::Logprobs { choice: index, logprobs }));
        if let Some(word) = finish_reason(&value) {
            choice.finished = true;
            choice.teller.close(&mut sink.events);
            sink.events.push(Event::Finish { choice: index, stop: wire::read_stop(word) });
        }
        Ok(())
    }
}

fn start(mut chunk: Map<String, Value>) -> Event {
    let [id, model] = ["id", "model"].map(|name| json::take_text(&mut chunk, name));
    let created = chunk.shift_remove("created").and_then(|created| created.as_u64());
    let form = chunk.shift_remove("object").map(|name| ("object".to_owned(), name)).into_iter().collect();
    Event::Start { id, model, created, extra: Extra::with_form(ME, chunk, form) }
}

/// The number of a choice, 0 where it has none. `None` where it is over the limit.
fn index(choice: &Value) -> Option<u32> {
    let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(index).ok().filter(|index| *index < CHOICES_MAX)
}

fn finish_reason(choice: &Value) -> Option<&str> {
    choice.get("finish_reason")?.as_str().filter(|word| !word.is_empty())
}

fn has_content(choice: &Value) -> bool {
    let says = |name: &&str| choice.get(*name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    ["text", "reasoning", "reasoning_content"].iter().any(says)
}

/// Writes a stream for a caller.
#[derive(Default)]
pub(super) struct StreamWriter {
    with_usage: bool,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// What every chunk holds beside its choices.
    head: Map<String, Value>,
    choices: BTreeMap<u32, WriteChoice>,
    usage: Option<Usage>,
    ended: bool,
}

#[derive(Default)]
struct WriteChoice {
    /// For each block the member that holds its words, where there is one.
    blocks: Vec<Option<&'static str>>,
    /// Characters whose log probabilities have been told.
    offset: usize,
}

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        match event {
            _ if self.ended => {}
            Event::Start { id, model, created, extra } => {
                self.own = extra.form(ME).is_some();
                self.head = head(id, model, *created, extra);
                extra.lost_to(ME).for_each(|name| losses.note(format!("/{name}"), NO_MEMBER));
            }
            Event::BlockStart { choice, block, start } => {
                let member = member(start);
                self.choices.entry(*choice).or_default().blocks.push(member);
                if member.is_none() {
                    losses.note(format!("/content/{block}"), write::NO_BLOCK);
                }
            }
            Event::Delta { choice, block, delta: Delta::Text(text) } => self.text(*choice, *block, text, out),
            Event::Logprobs { choice, logprobs } => {
                let offset = &mut self.choices.entry(*choice).or_default().offset;
                let logprobs = wire::write_logprobs(logprobs, offset);
                self.chunk(*choice, json!({"text": "", "logprobs": logprobs}), None, out);
            }
            Event::Finish { choice, stop } => {
                let word = wire::write_stop(stop, self.own);
                self.chunk(*choice, json!({"text": ""}), Some(word), out);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { .. } => losses.note("", FOREIGN),
            Event::End => self.end(out),
            // What is left are the ends of blocks, and of those that are lost arguments and seals.
            Event::Delta { .. } | Event::BlockStop { .. } => {}
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !mem::replace(&mut self.ended, true) {
            out.extend(self::fault(fault));
        }
    }
}

fn member(start: &BlockStart) -> Option<&'static str> {
    match start {
        BlockStart::Text | BlockStart::Refusal => Some("text"),
        BlockStart::Reasoning => Some("reasoning"),
        BlockStart::ToolUse { .. } | BlockStart::Whole(_) => None,
    }
}

impl StreamWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        StreamWriter { with_usage: request.stream_usage == Some(true), ..Default::default() }
    }

    fn text(&mut self, index: u32, block: u32, text: &str, out: &mut Vec<u8>) {
        let blocks = self.choices.get(&index).map(|choice| choice.blocks.as_slice()).unwrap_or_default();
        let said = match blocks.get(block as usize) {
            Some(Some("text")) => json!({ "text": text }),
            // Clients read the text of every chunk.
            Some(Some(member)) => json!({ "text": "", *member: text }),
            _ => return,
        };
        self.chunk(index, said, None, out);
    }

    fn chunk(&self, index: u32, mut said: Value, stop: Option<&str>, out: &mut Vec<u8>) {
        if let Some(said) = said.as_object_mut() {
            said.insert("index".to_owned(), index.into());
            said.entry("logprobs").or_insert(Value::Null);
            said.insert("finish_reason".to_owned(), stop.into());
        }
        self.event(json!([said]), None, out);
    }

    fn event(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = self.head.clone();
        json::put(&mut chunk, "choices", Some(choices));
        json::put(&mut chunk, "usage", usage);
        out.extend_from_slice(format!("data: {}\n\n", Value::Object(chunk)).as_bytes());
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        if let Some(usage) = self.usage.as_ref().filter(|_| self.with_usage) {
            self.event(json!([]), Some(wire::write_usage(usage)), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn head(id: &str, model: &str, created: Option<u64>, extra: &Extra) -> Map<String, Value> {
    let id = if id.is_empty() { write::NO_ID } else { id };
    let mut head = openai::head(id, wire::OBJECT, created, model);
    json::add(&mut head, extra.of(ME));
    head
}

/// Looks at relayed chunks.
#[derive(Default)]
pub(super) struct StreamGlance {
    seen: Seen,
    done: bool,
    /// The choices that were seen, and whether each has finished.
    choices: BTreeMap<u32, bool>,
}

impl Glance for StreamGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if frame.data.trim_ascii() == DONE {
            self.done = true;
            self.seen.ended = true;
        } else if let Some(chunk) = read_chunk(*frame)? {
            self.look(&chunk);
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl StreamGlance {
    fn look(&mut self, chunk: &Value) {
        for choice in chunk.get("choices").and_then(Value::as_array).into_iter().flatten() {
            self.seen.content |= has_content(choice);
            if let Some(index) = index(choice) {
                *self.choices.entry(index).or_default() |= finish_reason(choice).is_some();
            }
        }
        let usage = chunk.get("usage").and_then(wire::read_usage);
        self.seen.usage = usage.or(self.seen.usage.take());
        let all = !self.choices.is_empty() && self.choices.values().all(|finished| *finished);
        self.seen.ended = self.done || all;
    }
}
