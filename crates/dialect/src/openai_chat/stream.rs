//! Streams, event by event: chunks into events, events into chunks, and a glance at relayed chunks.
//! <https://platform.openai.com/docs/api-reference/chat-streaming>

use super::{
    read,
    wire::{self, Detail, ME},
    write,
};
use crate::{
    Fault, FaultKind, Glance, Losses, Reader, Seen, Sink, Writer,
    canon::{BlockStart, Delta, Event, Extra, Grammar, Seal, Usage},
    frame::sse::{Frame, Frames},
    json,
    limits::{CHOICES_MAX, STREAM_HELD_MAX, TOOLS_MAX},
    openai,
};
use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

const DONE: &[u8] = b"[DONE]";

/// Reads a provider's stream.
#[derive(Default)]
pub(super) struct ChunkReader {
    frames: Frames,
    state: ReadState,
}

impl Reader for ChunkReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let state = &mut self.state;
        self.frames.feed(bytes, &mut |frame| state.frame(frame, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let state = &mut self.state;
        self.frames.finish(&mut |frame| state.frame(frame, sink))?;
        self.state.end(sink)
    }
}

#[derive(Default)]
struct ReadState {
    grammar: Grammar,
    id: String,
    started: bool,
    done: bool,
    ended: bool,
    choices: Vec<ReadChoice>,
    usage: Option<Usage>,
}

/// One alternative of the answer so far.
#[derive(Default)]
struct ReadChoice {
    index: u32,
    /// How many blocks have begun.
    blocks: u32,
    /// The block of words that is open.
    open: Option<(Words, u32)>,
    calls: Vec<ReadCall>,
    finished: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Words {
    Text,
    Refusal,
    Reasoning,
}

/// A tool call, open until its choice is finished: calls may interleave.
struct ReadCall {
    /// The provider's index, where it gives one.
    index: Option<u64>,
    id: String,
    block: u32,
}

impl ReadState {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            self.done = true;
            return self.end(sink);
        }
        let chunk = match serde_json::from_slice(data) {
            Ok(chunk @ Value::Object(_)) => chunk,
            _ if frame.event == b"error" => return Err(openai::fault(200, data)),
            _ => {
                sink.losses.note("", "a frame of the provider's stream is not a JSON object");
                return Ok(());
            }
        };
        match read::fault_in(&chunk) {
            Some(fault) => Err(fault),
            None if frame.event == b"error" => Err(openai::fault_of(200, &chunk)),
            None => self.chunk(chunk, sink),
        }
    }

    fn chunk(&mut self, chunk: Value, sink: &mut Sink) -> Result<(), Fault> {
        let Value::Object(mut chunk) = chunk else { return Ok(()) };
        let choices = match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        let usage = wire::usage_of(&chunk).or_else(|| choices.first()?.as_object().and_then(wire::usage_of));
        // Azure's first chunk names neither the answer nor its model.
        if !choices.is_empty() || usage.is_some() {
            self.start(chunk, sink);
        }
        for choice in choices {
            self.choice(choice, sink)?;
        }
        if usage.is_some() && usage != self.usage {
            self.usage.clone_from(&usage);
            self.emit(sink, Event::Usage(usage.unwrap_or_default()));
        }
        Ok(())
    }

    fn start(&mut self, mut chunk: Map<String, Value>, sink: &mut Sink) {
        if self.started {
            return;
        }
        self.started = true;
        let mut text = |name: &str| match chunk.shift_remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (id, model) = (text("id"), text("model"));
        let created = chunk.shift_remove("created").and_then(|created| created.as_u64());
        let form = chunk.shift_remove("object").map(|name| ("object".to_owned(), name)).into_iter().collect();
        for known in ["usage", "x_groq", "obfuscation", "p"] {
            chunk.shift_remove(known);
        }
        self.id.clone_from(&id);
        self.emit(sink, Event::Start { id, model, created, extra: Extra::with_form(ME, chunk, form) });
    }

    fn choice(&mut self, choice: Value, sink: &mut Sink) -> Result<(), Fault> {
        let Value::Object(mut choice) = choice else { return Ok(()) };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let index = u32::try_from(index).ok().filter(|index| *index < CHOICES_MAX);
        let index = index.ok_or_else(|| over("choices", CHOICES_MAX as usize))?;
        let place = self.choices.iter().position(|known| known.index == index);
        let mut known = place.map_or_else(ReadChoice::default, |place| self.choices.swap_remove(place));
        known.index = index;
        // A server that does not stream sends the message whole.
        let delta = choice.shift_remove("delta").filter(Value::is_object);
        let delta = delta.or_else(|| choice.shift_remove("message"));
        let mut result = Ok(());
        if let Some(Value::Object(delta)) = delta {
            if !known.finished {
                result = self.delta(&mut known, delta, sink);
            } else if has_content(&delta) {
                sink.losses.note("/choices/0/delta", "it came behind the `finish_reason`");
            }
        }
        if let Some(logprobs @ Value::Object(_)) = choice.shift_remove("logprobs") {
            self.emit(sink, Event::Logprobs { choice: index, logprobs });
        }
        let word = choice.get("finish_reason").and_then(Value::as_str).filter(|word| !word.is_empty());
        if let Some(word) = word.filter(|_| !known.finished) {
            self.close_words(&mut known, sink);
            for call in &known.calls {
                self.emit(sink, Event::BlockStop { choice: index, block: call.block });
            }
            known.finished = true;
            self.emit(sink, Event::Finish { choice: index, stop: wire::read_stop(word) });
        }
        self.choices.push(known);
        result
    }

    fn delta(
        &mut self,
        choice: &mut ReadChoice,
        mut delta: Map<String, Value>,
        sink: &mut Sink,
    ) -> Result<(), Fault> {
        self.thoughts(choice, &mut delta, sink);
        match delta.shift_remove("content") {
            Some(Value::String(text)) => self.words(choice, Words::Text, text, sink),
            Some(Value::Array(parts)) => parts.into_iter().for_each(|part| self.part(choice, part, sink)),
            _ => {}
        }
        if let Some(Value::String(text)) = delta.shift_remove("refusal") {
            self.words(choice, Words::Refusal, text, sink);
        }
        if let Some(Value::Array(calls)) = delta.shift_remove("tool_calls") {
            for call in calls {
                self.call(choice, call, sink)?;
            }
        }
        if let Some(legacy @ Value::Object(_)) = delta.shift_remove("function_call") {
            self.call(choice, json!({"index": 0, "function": legacy}), sink)?;
        }
        delta.retain(|name, value| is_content(name, value));
        if !delta.is_empty() {
            self.opaque(choice.index, delta, sink);
        }
        Ok(())
    }

    fn part(&mut self, choice: &mut ReadChoice, part: Value, sink: &mut Sink) {
        match (part.get("type").and_then(Value::as_str), part.get("text"), part.get("thinking")) {
            (Some("text"), Some(Value::String(text)), _) => {
                self.words(choice, Words::Text, text.clone(), sink)
            }
            (Some("thinking"), _, Some(held)) => {
                self.words(choice, Words::Reasoning, read::thinking(held), sink);
            }
            _ => self.opaque(choice.index, Map::from_iter([("content".to_owned(), json!([part]))]), sink),
        }
    }

    /// Thoughts under their three names; the list says the same as the strings, and holds the seals.
    fn thoughts(&mut self, choice: &mut ReadChoice, delta: &mut Map<String, Value>, sink: &mut Sink) {
        let strings = ["reasoning_content", "reasoning"].map(|name| delta.shift_remove(name));
        let text = strings.into_iter().flatten().find_map(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        });
        let Some(Value::Array(entries)) = delta.shift_remove("reasoning_details") else {
            return self.words(choice, Words::Reasoning, text.unwrap_or_default(), sink);
        };
        let details: Vec<Detail<'_>> = entries.iter().map(Detail::read).collect();
        if details.iter().all(|detail| detail.text.is_empty()) {
            self.words(choice, Words::Reasoning, text.unwrap_or_default(), sink);
        }
        for (detail, entry) in details.into_iter().zip(&entries) {
            self.words(choice, Words::Reasoning, detail.text.to_owned(), sink);
            if let Some(seal) = detail.seal {
                self.seal(choice, seal, sink);
            }
            if detail.foreign {
                let held = Map::from_iter([("reasoning_details".to_owned(), json!([entry]))]);
                self.opaque(choice.index, held, sink);
            }
        }
    }

    /// A seal ends the thoughts that it covers. One with thoughts inside has a block of its own.
    fn seal(&mut self, choice: &mut ReadChoice, seal: Seal, sink: &mut Sink) {
        if seal.redacted {
            self.close_words(choice, sink);
        }
        let block = self.open_words(choice, Words::Reasoning, sink);
        self.emit(sink, Event::Delta { choice: choice.index, block, delta: Delta::Seal(seal) });
        self.close_words(choice, sink);
    }

    fn words(&mut self, choice: &mut ReadChoice, kind: Words, text: String, sink: &mut Sink) {
        if !text.is_empty() {
            let block = self.open_words(choice, kind, sink);
            self.emit(sink, Event::Delta { choice: choice.index, block, delta: Delta::Text(text) });
        }
    }

    fn open_words(&mut self, choice: &mut ReadChoice, kind: Words, sink: &mut Sink) -> u32 {
        if let Some((open, block)) = choice.open
            && open == kind
        {
            return block;
        }
        self.close_words(choice, sink);
        let start = match kind {
            Words::Text => BlockStart::Text,
            Words::Refusal => BlockStart::Refusal,
            Words::Reasoning => BlockStart::Reasoning,
        };
        let block = self.begin(choice, start, sink);
        choice.open = Some((kind, block));
        block
    }

    fn close_words(&mut self, choice: &mut ReadChoice, sink: &mut Sink) {
        if let Some((_, block)) = choice.open.take() {
            self.emit(sink, Event::BlockStop { choice: choice.index, block });
        }
    }

    fn begin(&mut self, choice: &mut ReadChoice, start: BlockStart, sink: &mut Sink) -> u32 {
        let block = choice.blocks;
        choice.blocks += 1;
        self.emit(sink, Event::BlockStart { choice: choice.index, block, start });
        block
    }

    /// Takes a piece of a tool call. A piece belongs to the call of its index, or without an index to the
    /// last call. Some servers give every call the index 0, so a new id with a new name begins a new call.
    fn call(&mut self, choice: &mut ReadChoice, piece: Value, sink: &mut Sink) -> Result<(), Fault> {
        let Some(function) = piece.get("function").filter(|function| function.is_object()) else {
            let held = Map::from_iter([("tool_calls".to_owned(), json!([piece]))]);
            self.opaque(choice.index, held, sink);
            return Ok(());
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let index = piece.get("index").and_then(Value::as_u64);
        let (id, name) = (text(piece.get("id")), text(function.get("name")));
        let known = match index {
            Some(_) => choice.calls.iter().rev().find(|call| call.index == index),
            None => choice.calls.last(),
        };
        let is_other = |call: &ReadCall| !id.is_empty() && call.id != id && !name.is_empty();
        let is_next = |_: &ReadCall| index.is_none() && id.is_empty() && !name.is_empty();
        let block = match known.filter(|call| !is_other(call) && !is_next(call)) {
            Some(call) => call.block,
            None => {
                let number = choice.calls.len();
                if number >= TOOLS_MAX {
                    return Err(over("tool calls", TOOLS_MAX));
                }
                self.close_words(choice, sink);
                let base = wire::call_id(&self.id, choice.index);
                let id = if id.is_empty() { format!("{base}_{number}") } else { id };
                let block = self.begin(choice, BlockStart::ToolUse { id: id.clone(), name }, sink);
                choice.calls.push(ReadCall { index, id, block });
                block
            }
        };
        let input = function.get("arguments").map(read::arguments).unwrap_or_default();
        if !input.is_empty() {
            self.emit(sink, Event::Delta { choice: choice.index, block, delta: Delta::Input(input) });
        }
        Ok(())
    }

    /// What only this dialect knows goes on as a chunk that holds nothing else.
    fn opaque(&mut self, choice: u32, delta: Map<String, Value>, sink: &mut Sink) {
        let json = json!({"choices": [{"index": choice, "delta": delta}]});
        self.emit(sink, Event::Opaque { dialect: ME, json });
    }

    /// The stream is whole when every choice that was seen has finished; `[DONE]` alone proves nothing,
    /// and some providers never send it.
    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        if self.choices.is_empty() || !self.choices.iter().all(|choice| choice.finished) {
            let message = "the provider's stream ended before its `finish_reason`";
            return Err(Fault::new(FaultKind::UpstreamTruncated, message));
        }
        self.ended = true;
        self.emit(sink, Event::End);
        Ok(())
    }

    fn emit(&mut self, sink: &mut Sink, event: Event) {
        let checked = self.grammar.check(&event);
        debug_assert!(checked.is_ok(), "{checked:?} at {event:?}");
        sink.events.push(event);
    }
}

fn over(what: &str, max: usize) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, format!("the provider's answer holds more than {max} {what}"))
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
pub(super) struct ChunkWriter {
    with_usage: bool,
    /// What every chunk begins with, up to its choices.
    head: String,
    choices: Vec<WriteChoice>,
    usage: Option<Usage>,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    ended: bool,
}

struct WriteChoice {
    index: u32,
    blocks: Vec<WriteBlock>,
    /// Tool calls so far.
    calls: usize,
    /// Entries of `reasoning_details` so far.
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

impl ChunkWriter {
    pub(super) fn new(with_usage: bool) -> Self {
        ChunkWriter {
            with_usage,
            head: String::new(),
            choices: Vec::new(),
            usage: None,
            own: false,
            ended: false,
        }
    }
}

impl Writer for ChunkWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { id, model, created, extra } => {
                let id = if id.is_empty() { write::NO_ID } else { id };
                self.own = extra.form(ME).is_some();
                self.head(id, model, created.unwrap_or(0), extra);
                for name in extra.lost_to(ME) {
                    losses.note(format!("/{name}"), write::UNKNOWN);
                }
            }
            Event::BlockStart { choice, block, start } => self.block(*choice, *block, start, out, losses),
            Event::Delta { choice, block, delta } => self.more(*choice, *block, delta, out, losses),
            Event::BlockStop { .. } => {}
            Event::Logprobs { choice, logprobs } => {
                let said = json!({"index": choice, "delta": {}, "logprobs": logprobs, "finish_reason": null});
                self.chunk(&json!([said]), None, out);
            }
            Event::Finish { choice, stop } => {
                self.choice(*choice, out);
                let word = wire::write_stop(stop, self.own);
                self.chunk(&json!([{"index": choice, "delta": {}, "finish_reason": word}]), None, out);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect: ME, json } => {
                self.chunk(json.get("choices").unwrap_or(&Value::Null), None, out);
            }
            Event::Opaque { .. } => losses.note("", "an event that only another API knows"),
            Event::End => self.end(out),
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !self.ended {
            self.ended = true;
            fault_frame(fault, out);
        }
    }
}

impl ChunkWriter {
    fn head(&mut self, id: &str, model: &str, created: u64, extra: &Extra) {
        let head = json!({"id": id, "object": "chat.completion.chunk", "created": created, "model": model});
        let Value::Object(mut head) = head else { return };
        json::add(&mut head, extra.of(ME));
        self.head = Value::Object(head).to_string();
        self.head.pop();
    }

    fn chunk(&self, choices: &Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let usage = usage.map(|usage| format!(",\"usage\":{usage}")).unwrap_or_default();
        out.extend_from_slice(format!("data: {},\"choices\":{choices}{usage}}}\n\n", self.head).as_bytes());
    }

    fn delta(&self, choice: u32, delta: &Value, out: &mut Vec<u8>) {
        self.chunk(&json!([{"index": choice, "delta": delta, "finish_reason": null}]), None, out);
    }

    /// The choice of that number. Its first chunk names the speaker, as OpenAI's does.
    fn choice(&mut self, index: u32, out: &mut Vec<u8>) -> Option<&mut WriteChoice> {
        let place = self.choices.iter().position(|choice| choice.index == index);
        let place = place.unwrap_or_else(|| {
            self.choices.push(WriteChoice { index, blocks: Vec::new(), calls: 0, details: 0 });
            self.delta(index, &json!({"role": "assistant", "content": ""}), out);
            self.choices.len() - 1
        });
        self.choices.get_mut(place)
    }

    fn block(&mut self, index: u32, block: u32, start: &BlockStart, out: &mut Vec<u8>, losses: &mut Losses) {
        let Some(choice) = self.choice(index, out) else { return };
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
                self.delta(index, &json!({"tool_calls": [call]}), out);
            }
            BlockStart::Whole(_) => losses.note(format!("/content/{block}"), write::NO_BLOCK),
            _ => {}
        }
    }

    fn more(&mut self, index: u32, block: u32, delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let Some(choice) = self.choice(index, out) else { return };
        let details = choice.details;
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
                json!({"reasoning_details": [wire::write_detail(text, seal, details)]})
            }
            (Some(WriteBlock::Call(call)), Delta::Input(input)) => {
                json!({"tool_calls": [{"index": call, "function": {"arguments": input}}]})
            }
            (Some(WriteBlock::Lost), _) => return,
            _ => return losses.note(format!("/content/{block}"), "thoughts too long for their seal"),
        };
        self.delta(index, &written, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        if let Some(usage) = self.usage.as_ref().filter(|_| self.with_usage) {
            self.chunk(&json!([]), Some(wire::write_usage(usage)), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Writes a fault as the last event of a broken stream; no `[DONE]` comes behind it.
pub(super) fn fault_frame(fault: &Fault, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("data: {}\n\n", openai::write_fault(fault)).as_bytes());
}

/// Looks at relayed chunks. Once content has been seen, a chunk is only parsed when one of a few members
/// is there and says something.
pub(super) struct ChunkGlance {
    seen: Seen,
    done: bool,
    /// The choices that were seen, and whether each has finished.
    choices: Vec<(u64, bool)>,
    telling: [(Finder<'static>, &'static [u8]); 4],
}

impl ChunkGlance {
    pub(super) fn new() -> Self {
        let telling = [
            (Finder::new("\"usage\""), b"null".as_slice()),
            (Finder::new("\"finish_reason\""), b"null"),
            (Finder::new("\"error\""), b"null"),
            // Another choice than the first may begin.
            (Finder::new("\"index\""), b"0"),
        ];
        ChunkGlance { seen: Seen::default(), done: false, choices: Vec::new(), telling }
    }

    fn look(&mut self, chunk: &Value) {
        for choice in chunk.get("choices").and_then(Value::as_array).into_iter().flatten() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let finished =
                choice.get("finish_reason").and_then(Value::as_str).is_some_and(|word| !word.is_empty());
            if let Some((_, has_finished)) = self.choices.iter_mut().find(|(known, _)| *known == index) {
                *has_finished |= finished;
            } else if self.choices.len() < CHOICES_MAX as usize {
                self.choices.push((index, finished));
            }
            self.seen.content |= choice.get("delta").and_then(Value::as_object).is_some_and(has_content);
        }
        if let Some(usage) = chunk.as_object().and_then(wire::usage_of) {
            self.seen.usage = Some(usage);
        }
        let all = !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished);
        self.seen.ended = self.done || all;
    }
}

impl Glance for ChunkGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if self.done {
            return Ok(());
        }
        let is_error = frame.event == b"error";
        if self.seen.content
            && !is_error
            && !self.telling.iter().any(|(name, mute)| tells(frame.data, name, mute))
        {
            self.done |= frame.data == DONE;
            self.seen.ended |= self.done;
            return Ok(());
        }
        if frame.data == DONE {
            self.done = true;
            self.seen.ended = true;
            return Ok(());
        }
        let Ok(chunk) = serde_json::from_slice::<Value>(frame.data) else {
            return if is_error { Err(openai::fault(200, frame.data)) } else { Ok(()) };
        };
        if let Some(fault) = read::fault_in(&chunk) {
            return Err(fault);
        }
        if is_error {
            return Err(openai::fault_of(200, &chunk));
        }
        self.look(&chunk);
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// The member `name` is somewhere in `data` with another value than `mute`. Inside of a string the name's
/// quotes would be escaped, so only members are found.
fn tells(data: &[u8], name: &Finder<'_>, mute: &[u8]) -> bool {
    name.find_iter(data).any(|at| {
        let behind = data.get(at + name.needle().len()..).unwrap_or_default().trim_ascii_start();
        let value = behind.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        !value.strip_prefix(mute).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_digit))
    })
}
