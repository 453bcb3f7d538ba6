//! Streams, event by event: chunks into events, events into chunks, and a glance at relayed chunks.
//! <https://platform.openai.com/docs/api-reference/chat-streaming>

use super::{
    read,
    wire::{self, Detail, ME},
    write,
};
use crate::{
    Fault, Glance, Losses, Seen, Sink, Writer,
    canon::{BlockStart, Delta, Event, Extra, Request, Teller, Usage},
    error_body,
    frame::sse::Frame,
    json,
    limits::{CHOICES_MAX, STREAM_HELD_MAX, TOOLS_MAX},
    openai,
    pen::{FOREIGN, NO_MEMBER},
    shape::{Framed, Reading, cut, over},
};
use memchr::memchr_iter;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Display, mem};

const DONE: &[u8] = b"[DONE]";

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Default)]
pub(super) struct ReadState {
    id: String,
    started: bool,
    ended: bool,
    choices: BTreeMap<u32, ReadChoice>,
    usage: Option<Usage>,
}

/// One alternative of the answer so far.
#[derive(Default)]
struct ReadChoice {
    index: u32,
    teller: Teller,
    calls: Vec<ReadCall>,
    /// Thoughts that came as strings since the last seal: with their seal they may come again.
    thought: String,
    finished: bool,
}

/// A tool call, open until its choice is finished: calls may interleave.
struct ReadCall {
    /// The provider's index, where it gives one.
    index: Option<u64>,
    id: String,
    block: u32,
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
        match parsed(frame)? {
            Some(Value::Object(chunk)) => return self.chunk(chunk, sink),
            _ => sink.losses.note("", "a frame of the provider's stream is not a JSON object"),
        }
        Ok(())
    }

    /// The stream is whole when every choice that was seen has finished: `[DONE]` alone proves nothing,
    /// and some providers never send it.
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
        let choices = match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        // Moonshot puts the usage into the choice.
        let usage = wire::usage_of(&chunk).or_else(|| wire::usage_of(choices.first()?.as_object()?));
        // Azure's first chunk names neither the answer nor its model.
        if !self.started && (!choices.is_empty() || usage.is_some()) {
            self.start(chunk, sink);
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

    fn start(&mut self, mut chunk: Map<String, Value>, sink: &mut Sink) {
        self.started = true;
        let [id, model] = ["id", "model"].map(|name| json::take_text(&mut chunk, name));
        let created = chunk.shift_remove("created").and_then(|created| created.as_u64());
        let form = chunk.shift_remove("object").map(|name| ("object".to_owned(), name)).into_iter().collect();
        for known in ["usage", "x_groq", "obfuscation", "p"] {
            chunk.shift_remove(known);
        }
        self.id.clone_from(&id);
        sink.events.push(Event::Start { id, model, created, extra: Extra::with_form(ME, chunk, form) });
    }

    fn choice(&mut self, mut value: Value, sink: &mut Sink) -> Result<(), Fault> {
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        let index = u32::try_from(index).ok().filter(|index| *index < CHOICES_MAX);
        let index = index.ok_or_else(|| over("choices", CHOICES_MAX as usize))?;
        let choice = self.choices.entry(index).or_insert_with(|| ReadChoice {
            index,
            teller: Teller::new(index),
            ..Default::default()
        });
        let mut take = |name: &str| value.get_mut(name).map(mem::take);
        // A server that does not stream sends the message whole.
        let delta = take("delta").filter(Value::is_object).or_else(|| take("message"));
        let (logprobs, word) = (take("logprobs"), take("finish_reason"));
        match delta {
            Some(Value::Object(delta)) if !choice.finished => choice.delta(delta, &self.id, sink)?,
            Some(Value::Object(delta)) if has_content(&delta) => {
                sink.losses.note("/choices/0/delta", "it came behind the `finish_reason`");
            }
            _ => {}
        }
        if let Some(logprobs @ Value::Object(_)) = logprobs {
            sink.events.push(Event::Logprobs { choice: index, logprobs });
        }
        match word.as_ref().and_then(Value::as_str) {
            None | Some("") => {}
            Some(word) => choice.finish(word, sink),
        }
        Ok(())
    }
}

/// A frame's JSON, unless it is an error. `None` where it is no JSON.
fn parsed(frame: Frame<'_>) -> Result<Option<Value>, Fault> {
    let chunk = serde_json::from_slice(frame.data).ok();
    match chunk.as_ref().and_then(error_body::in_answer) {
        Some(fault) => Err(fault),
        None if frame.event == b"error" => Err(error_body::read(200, frame.data)),
        None => Ok(chunk),
    }
}

impl ReadChoice {
    fn delta(&mut self, mut delta: Map<String, Value>, id: &str, sink: &mut Sink) -> Result<(), Fault> {
        self.thoughts(&mut delta, sink);
        match delta.shift_remove("content") {
            Some(Value::String(text)) => self.say(BlockStart::Text, text, sink),
            Some(Value::Array(parts)) => parts.into_iter().for_each(|part| self.part(part, sink)),
            _ => {}
        }
        if let Some(Value::String(text)) = delta.shift_remove("refusal") {
            self.say(BlockStart::Refusal, text, sink);
        }
        if let Some(Value::Array(calls)) = delta.shift_remove("tool_calls") {
            calls.into_iter().try_for_each(|call| self.call(call, id, sink))?;
        }
        delta.retain(|name, value| is_content(name, value));
        if !delta.is_empty() {
            self.opaque(delta, sink);
        }
        Ok(())
    }

    fn say(&mut self, kind: BlockStart, text: String, sink: &mut Sink) {
        self.teller.say(kind, Delta::Text(text), &mut sink.events);
    }

    /// Takes a part of a list (Mistral).
    fn part(&mut self, part: Value, sink: &mut Sink) {
        match (part.get("type").and_then(Value::as_str), part.get("text"), part.get("thinking")) {
            (Some("text"), Some(Value::String(text)), _) => self.say(BlockStart::Text, text.clone(), sink),
            (Some("thinking"), _, Some(held)) => {
                self.say(BlockStart::Reasoning, read::thinking(held), sink);
            }
            _ => self.opaque(Map::from_iter([("content".to_owned(), json!([part]))]), sink),
        }
    }

    /// Takes thoughts under their three names; the list says the same as the strings, and holds the seals.
    fn thoughts(&mut self, delta: &mut Map<String, Value>, sink: &mut Sink) {
        let strings = ["reasoning_content", "reasoning"].map(|name| delta.shift_remove(name));
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let text = strings.into_iter().flatten().find(is_text);
        let entries = match delta.shift_remove("reasoning_details") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        let details: Vec<Detail<'_>> = entries.iter().map(Detail::read).collect();
        if let Some(Value::String(text)) = text
            && details.iter().all(|detail| detail.text.is_empty())
        {
            if self.thought.len() <= STREAM_HELD_MAX {
                self.thought.push_str(&text);
            }
            self.say(BlockStart::Reasoning, text, sink);
        }
        for (detail, entry) in details.into_iter().zip(&entries) {
            if detail.text != self.thought {
                self.say(BlockStart::Reasoning, detail.text.to_owned(), sink);
            }
            if let Some(seal) = detail.seal {
                self.thought.clear();
                self.teller.say(BlockStart::Reasoning, Delta::Seal(seal), &mut sink.events);
            }
            if detail.foreign {
                self.opaque(Map::from_iter([("reasoning_details".to_owned(), json!([entry]))]), sink);
            }
        }
    }

    /// Takes a piece of a tool call. A piece belongs to the call of its index, or without an index to the
    /// last call. Some servers give every call the index 0, so a new id with a new name begins a new call.
    fn call(&mut self, piece: Value, answer: &str, sink: &mut Sink) -> Result<(), Fault> {
        let Some(function) = piece.get("function").filter(|function| function.is_object()) else {
            self.opaque(Map::from_iter([("tool_calls".to_owned(), json!([piece]))]), sink);
            return Ok(());
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let index = piece.get("index").and_then(Value::as_u64);
        let (id, name) = (text(piece.get("id")), text(function.get("name")));
        let is_new =
            |call: &ReadCall| !name.is_empty() && if id.is_empty() { index.is_none() } else { call.id != id };
        let known = self.calls.iter().rev().find(|call| index.is_none() || call.index == index);
        let block = match known.filter(|call| !is_new(call)) {
            Some(call) => call.block,
            None => {
                let number = self.calls.len();
                if number >= TOOLS_MAX {
                    return Err(over("tool calls", TOOLS_MAX));
                }
                let made = || format!("{}_{number}", wire::call_id(answer, self.index));
                let id = if id.is_empty() { made() } else { id };
                let block = self.teller.begin(BlockStart::ToolUse { id: id.clone(), name }, &mut sink.events);
                self.calls.push(ReadCall { index, id, block });
                let seal = wire::read_signature(&piece).map(Delta::Seal);
                sink.events.extend(seal.map(|delta| Event::Delta { choice: self.index, block, delta }));
                block
            }
        };
        let input = function.get("arguments").map(read::arguments).filter(|input| !input.is_empty());
        let delta = input.map(|input| Event::Delta { choice: self.index, block, delta: Delta::Input(input) });
        sink.events.extend(delta);
        Ok(())
    }

    /// What only this dialect knows goes on as a chunk that holds nothing else.
    fn opaque(&mut self, delta: Map<String, Value>, sink: &mut Sink) {
        let json = json!({"choices": [{"index": self.index, "delta": delta}]});
        sink.events.push(Event::Opaque { dialect: ME, json });
    }

    /// Closes what is open. OpenRouter finishes twice.
    fn finish(&mut self, word: &str, sink: &mut Sink) {
        if mem::replace(&mut self.finished, true) {
            return;
        }
        self.teller.close(&mut sink.events);
        let choice = self.index;
        sink.events.extend(self.calls.iter().map(|call| Event::BlockStop { choice, block: call.block }));
        sink.events.push(Event::Finish { choice, stop: openai::read_stop(word) });
    }
}

fn has_content(delta: &Map<String, Value>) -> bool {
    delta.iter().any(|(name, value)| is_content(name, value))
}

/// A member of a delta is part of the answer: neither empty nor one of those that name the speaker or the
/// channel, or number the pieces.
fn is_content(name: &str, value: &Value) -> bool {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    !is_empty && !matches!(name, "role" | "name" | "index" | "token_id" | "channel")
}

/// Writes a stream for a caller.
#[derive(Default)]
pub(super) struct StreamWriter {
    with_usage: bool,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// What every chunk begins with, up to its choices.
    head: String,
    choices: BTreeMap<u32, WriteChoice>,
    /// The start of a call, which a seal may follow: clients look for it in the same chunk.
    call: Option<(u32, Value)>,
    usage: Option<Usage>,
    ended: bool,
}

#[derive(Default)]
struct WriteChoice {
    blocks: Vec<WriteBlock>,
    calls: usize,
    /// Entries of `reasoning_details`.
    details: usize,
}

/// What a block's deltas become.
enum WriteBlock {
    /// The member of the delta that holds its words.
    Words(&'static str),
    /// The thoughts so far: a seal is written with all that it covers, so that a client which only keeps
    /// the list sends back what the issuer wants to see.
    Thoughts(String),
    /// Its number among the tool calls.
    Call(usize),
    Lost,
}

impl Writer for StreamWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        if let Some((choice, mut call)) = self.call.take() {
            if let (Event::Delta { delta: Delta::Seal(seal), .. }, Some(call)) = (event, call.as_object_mut())
            {
                json::put(call, "extra_content", wire::write_signature(seal));
            }
            self.delta(choice, json!({"tool_calls": [call]}), out);
        }
        match event {
            _ if self.ended => {}
            Event::Start { id, model, created, extra } => {
                self.own = extra.form(ME).is_some();
                self.head = head(id, model, created.unwrap_or(0), extra);
                extra.lost_to(ME).for_each(|name| losses.note(format!("/{name}"), NO_MEMBER));
            }
            Event::BlockStart { choice, block, start } => self.block(*choice, *block, start, out, losses),
            Event::Delta { choice, block, delta } => self.more(*choice, *block, delta, out, losses),
            Event::BlockStop { .. } => {}
            Event::Logprobs { choice, logprobs } => {
                let said = json!({"index": choice, "delta": {}, "logprobs": logprobs, "finish_reason": null});
                self.chunk(said, out);
            }
            Event::Finish { choice, stop } => {
                self.begin(*choice, out);
                let word = openai::write_stop(stop, self.own);
                self.chunk(json!({"index": choice, "delta": {}, "finish_reason": word}), out);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect: ME, json } => {
                let choices = json.get("choices").and_then(Value::as_array);
                choices.into_iter().flatten().for_each(|choice| self.chunk(choice, out));
            }
            Event::Opaque { .. } => losses.note("", "an event that only another API knows"),
            Event::End => self.end(out),
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !mem::replace(&mut self.ended, true) {
            out.extend(self::fault(fault));
        }
    }
}

impl StreamWriter {
    /// For the caller who sent `request`.
    pub(super) fn new(request: &Request) -> Self {
        StreamWriter { with_usage: request.stream_usage == Some(true), ..Default::default() }
    }

    fn chunk(&self, choice: impl Display, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("data: {},\"choices\":[{choice}]}}\n\n", self.head).as_bytes());
    }

    fn delta(&self, choice: u32, delta: impl Display, out: &mut Vec<u8>) {
        self.chunk(format_args!(r#"{{"index":{choice},"delta":{delta},"finish_reason":null}}"#), out);
    }

    /// The first chunk of a choice names the speaker, as OpenAI's does.
    fn begin(&mut self, index: u32, out: &mut Vec<u8>) -> &mut WriteChoice {
        if !self.choices.contains_key(&index) {
            self.delta(index, json!({"role": "assistant", "content": ""}), out);
        }
        self.choices.entry(index).or_default()
    }

    fn block(&mut self, index: u32, block: u32, start: &BlockStart, out: &mut Vec<u8>, losses: &mut Losses) {
        let choice = self.begin(index, out);
        let call = choice.calls;
        choice.blocks.push(match start {
            BlockStart::Text => WriteBlock::Words("content"),
            BlockStart::Refusal => WriteBlock::Words("refusal"),
            BlockStart::Reasoning => WriteBlock::Thoughts(String::new()),
            BlockStart::ToolUse { .. } => WriteBlock::Call(call),
            BlockStart::Whole(_) => WriteBlock::Lost,
        });
        match start {
            BlockStart::ToolUse { id, name } => {
                choice.calls += 1;
                let function = json!({"name": name, "arguments": ""});
                let call = json!({"index": call, "id": id, "type": "function", "function": function});
                self.call = Some((index, call));
            }
            BlockStart::Whole(_) => losses.note(format!("/content/{block}"), FOREIGN),
            _ => {}
        }
    }

    fn more(&mut self, index: u32, block: u32, delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let choice = self.begin(index, out);
        let written = match (choice.blocks.get_mut(block as usize), delta) {
            (Some(WriteBlock::Words(member)), Delta::Text(text)) => json!({ *member: text }),
            (Some(WriteBlock::Thoughts(so_far)), Delta::Text(text)) => {
                if so_far.len() <= STREAM_HELD_MAX {
                    so_far.push_str(text);
                }
                json!({"reasoning_content": text})
            }
            (Some(WriteBlock::Thoughts(text)), Delta::Seal(seal)) if text.len() <= STREAM_HELD_MAX => {
                choice.details += 1;
                json!({"reasoning_details": [wire::write_detail(text, seal, choice.details - 1)]})
            }
            (Some(WriteBlock::Words(_)), Delta::Seal(seal)) => {
                choice.details += 1;
                json!({"reasoning_details": [wire::write_detail("", seal, choice.details - 1)]})
            }
            (Some(WriteBlock::Call(_)), Delta::Seal(_)) => return,
            (Some(WriteBlock::Call(call)), Delta::Input(input)) => {
                json!({"tool_calls": [{"index": call, "function": {"arguments": input}}]})
            }
            (Some(WriteBlock::Lost), _) => return,
            _ => return losses.note(format!("/content/{block}"), "thoughts too long for their seal"),
        };
        self.delta(index, written, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        if let Some(usage) = self.usage.as_ref().filter(|_| self.with_usage) {
            let usage = wire::write_usage(usage);
            out.extend_from_slice(
                format!("data: {},\"choices\":[],\"usage\":{usage}}}\n\n", self.head).as_bytes(),
            );
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// A chunk up to its choices, without the brace at its end.
fn head(id: &str, model: &str, created: u64, extra: &Extra) -> String {
    let id = if id.is_empty() { write::NO_ID } else { id };
    let mut head = Map::new();
    json::put(&mut head, "id", Some(id));
    json::put(&mut head, "object", Some("chat.completion.chunk"));
    json::put(&mut head, "created", Some(created));
    json::put(&mut head, "model", Some(model));
    json::add(&mut head, extra.of(ME));
    let mut head = Value::Object(head).to_string();
    head.pop();
    head
}

/// A fault as the last event of a broken stream; no `[DONE]` comes behind it.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    format!("data: {}\n\n", openai::fault(fault)).into_bytes()
}

/// Looks at relayed chunks. Once content has been seen, a chunk is only parsed when one of a few members
/// is there and says something.
#[derive(Default)]
pub(super) struct StreamGlance {
    seen: Seen,
    done: bool,
    /// The choices that were seen, and whether each has finished.
    choices: BTreeMap<u64, bool>,
}

impl Glance for StreamGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if frame.data == DONE {
            self.done = true;
            self.seen.ended = true;
            return Ok(());
        }
        if (!self.seen.content || frame.event == b"error" || tells(frame.data))
            && let Some(chunk) = parsed(*frame)?
        {
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
        let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        for choice in choices.iter().take(CHOICES_MAX as usize) {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let word = choice.get("finish_reason").and_then(Value::as_str);
            if index < u64::from(CHOICES_MAX) {
                *self.choices.entry(index).or_default() |= word.is_some_and(|word| !word.is_empty());
            }
            let delta = choice.get("delta").or_else(|| choice.get("message")).and_then(Value::as_object);
            self.seen.content |= delta.is_some_and(has_content);
        }
        let in_choice = || choices.first().and_then(Value::as_object).and_then(wire::usage_of);
        let usage = chunk.as_object().and_then(wire::usage_of).or_else(in_choice);
        self.seen.usage = usage.or(self.seen.usage.take());
        let all = !self.choices.is_empty() && self.choices.values().all(|finished| *finished);
        self.seen.ended = self.done || all;
    }
}

/// A chunk holds a usage, an end, an error or another choice than the first. Inside of a string the quotes
/// of a name would be escaped, so only members are found.
fn tells(chunk: &[u8]) -> bool {
    memchr_iter(b':', chunk).any(|colon| {
        let (name, value) = chunk.split_at(colon);
        let name = name.trim_ascii_end();
        let (is_telling, mute) = match name {
            [.., b'e', b'"'] => (name.ends_with(b"\"usage\""), b"null".as_slice()),
            [.., b'n', b'"'] => (name.ends_with(b"\"finish_reason\""), b"null".as_slice()),
            [.., b'r', b'"'] => (name.ends_with(b"\"error\""), b"null".as_slice()),
            [.., b'x', b'"'] => (name.ends_with(b"\"index\""), b"0".as_slice()),
            _ => return false,
        };
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let is_more = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_digit);
        is_telling && value.strip_prefix(mute).is_none_or(is_more)
    })
}
