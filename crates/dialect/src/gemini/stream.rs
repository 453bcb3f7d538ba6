//! Streams, piece by piece: <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>
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
    canon::{Block, BlockStart, Delta, Event, Extra, Grammar, Kind, Seal, Stop, Usage},
    frame::{
        array::Elements,
        sse::{Frame, Frames},
    },
    json,
    limits::{CHOICES_MAX, PARTS_MAX, STREAM_HELD_MAX},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

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
            Source::List(elements) => elements.feed(bytes, &mut |element| state.frame(element, sink)),
            Source::Events(frames) => frames.feed(bytes, &mut |frame| state.frame(frame.data, sink)),
            Source::Unknown => Ok(()),
        }
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let state = &mut self.state;
        if let Source::Events(frames) = &mut self.source {
            frames.finish(&mut |frame| state.frame(frame.data, sink))?;
        }
        self.state.end(sink)
    }
}

#[derive(Default)]
struct ReadState {
    grammar: Grammar,
    id: String,
    started: bool,
    candidates: Vec<ReadCandidate>,
    usage: Option<Usage>,
    /// Why the prompt got no answer.
    blocked: Option<Stop>,
}

/// One alternative of the answer so far.
struct ReadCandidate {
    index: u32,
    /// How many blocks have begun.
    blocks: u32,
    /// The block of words that is open, and whether they are thoughts.
    open: Option<(bool, u32)>,
    /// The call whose arguments come in pieces.
    call: Option<PartialCall>,
    called: bool,
    finish: Option<String>,
    ids: Ids,
}

/// A call whose arguments come in pieces, as Vertex AI can send them:
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling>
struct PartialCall {
    block: u32,
    args: Value,
    held: usize,
}

impl ReadState {
    fn frame(&mut self, data: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
        if let Some(fault) = read::fault_in(&chunk) {
            return Err(fault);
        }
        match chunk {
            Value::Object(chunk) => self.chunk(chunk, sink),
            _ => {
                sink.losses.note("", "a piece of the provider's stream is not a JSON object");
                Ok(())
            }
        }
    }

    fn chunk(&mut self, mut chunk: Map<String, Value>, sink: &mut Sink) -> Result<(), Fault> {
        let candidates = match chunk.shift_remove("candidates") {
            Some(Value::Array(candidates)) => candidates,
            _ => Vec::new(),
        };
        let usage = usage_of(&mut chunk);
        let blocked = chunk.get("promptFeedback").and_then(read::blocked);
        if !candidates.is_empty() || usage.is_some() || blocked.is_some() {
            self.start(chunk, sink);
        }
        self.blocked = self.blocked.take().or(blocked);
        for candidate in candidates {
            if let Value::Object(candidate) = candidate {
                self.candidate(candidate, sink)?;
            }
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
        let mut form = read::diagnosis(&mut chunk);
        let mut text = |name: &str| match chunk.shift_remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (id, model) = (text("responseId"), text("modelVersion"));
        form.insert("modelVersion".to_owned(), model.as_str().into());
        self.id.clone_from(&id);
        self.emit(sink, Event::Start { id, model, created: None, extra: Extra::with_form(ME, chunk, form) });
    }

    fn candidate(&mut self, mut candidate: Map<String, Value>, sink: &mut Sink) -> Result<(), Fault> {
        let index = index_of(&candidate)?;
        candidate.shift_remove("index");
        let place = self.candidates.iter().position(|known| known.index == index);
        let mut known = match place {
            Some(place) => self.candidates.swap_remove(place),
            None => ReadCandidate {
                index,
                blocks: 0,
                open: None,
                call: None,
                called: false,
                finish: None,
                ids: Ids::of_answer(&self.id, index),
            },
        };
        known.finish = finish_of(&candidate).or(known.finish.filter(|_| parts_of(&candidate).is_empty()));
        let mut read = Ok(());
        if let Some(Value::Object(mut content)) = candidate.shift_remove("content")
            && let Some(Value::Array(parts)) = content.shift_remove("parts")
        {
            read = parts.into_iter().try_for_each(|part| self.part(&mut known, part, sink));
        }
        if let Some(result) = candidate.shift_remove("logprobsResult") {
            self.emit(sink, Event::Logprobs { choice: index, logprobs: wire::read_logprobs(&result) });
        }
        candidate.shift_remove("finishReason");
        read::diagnosis(&mut candidate);
        if candidate.values().any(|value| !value.is_null()) {
            candidate.insert("index".to_owned(), index.into());
            self.emit(sink, Event::Opaque { dialect: ME, json: json!({"candidates": [candidate]}) });
        }
        self.candidates.push(known);
        read
    }

    fn part(&mut self, candidate: &mut ReadCandidate, part: Value, sink: &mut Sink) -> Result<(), Fault> {
        if candidate.blocks as usize >= PARTS_MAX {
            return Err(read::invalid(format!("the provider's answer holds more than {PARTS_MAX} parts")));
        }
        let call = part.get("functionCall").and_then(Value::as_object);
        let in_pieces = |call: &&Map<String, Value>| {
            ["willContinue", "partialArgs"].iter().any(|name| call.contains_key(*name))
                || !call.contains_key("name")
        };
        if let Some(call) = call.filter(in_pieces) {
            let seal = part.get("thoughtSignature").and_then(Value::as_str);
            return self.call_piece(candidate, call, seal.map(|seal| wire::read_seal(seal, false)), sink);
        }
        let Ok(Block { kind, seal, extra, at, cache }) = read::part(part, String::new(), &mut candidate.ids)
        else {
            sink.losses.note("/content/parts", "a part that cannot be read");
            return Ok(());
        };
        for (name, _) in extra.of(ME).into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            sink.losses.note(format!("/content/parts/{name}"), "a stream has no room for it");
        }
        match kind {
            Kind::Text(text) if seal.is_none() => self.words(candidate, false, text, sink),
            Kind::Text(text) => {
                let deltas = [seal.map(Delta::Seal), Some(Delta::Text(text))];
                self.whole(candidate, BlockStart::Text, deltas, sink);
            }
            Kind::Reasoning { seal: seal @ Some(Seal { redacted: true, .. }), .. } => {
                self.whole(candidate, BlockStart::Reasoning, [seal.map(Delta::Seal), None], sink);
            }
            Kind::Reasoning { text, seal } => {
                self.words(candidate, true, text, sink);
                if let Some(seal) = seal {
                    let block = self.open_words(candidate, true, sink);
                    self.delta(candidate, block, Delta::Seal(seal), sink);
                    self.close(candidate, sink);
                }
            }
            Kind::ToolUse { id, name, input } => {
                candidate.called = true;
                let input = Some(Delta::Input(input)).filter(|delta| *delta != Delta::Input(String::new()));
                self.whole(candidate, BlockStart::ToolUse { id, name }, [seal.map(Delta::Seal), input], sink);
            }
            kind => {
                let block = Block { kind, seal, extra, at, cache };
                self.whole(candidate, BlockStart::Whole(Box::new(block)), [None, None], sink);
            }
        }
        Ok(())
    }

    /// Takes a piece of a call. It begins with the name and ends with a piece that does not say
    /// `willContinue`.
    fn call_piece(
        &mut self,
        candidate: &mut ReadCandidate,
        piece: &Map<String, Value>,
        seal: Option<Seal>,
        sink: &mut Sink,
    ) -> Result<(), Fault> {
        let word = |name: &str| piece.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        if word("name").is_some() || candidate.call.is_none() {
            let Some(name) = word("name") else { return Ok(()) };
            self.close(candidate, sink);
            let id = candidate.ids.call(name, word("id").map(str::to_owned));
            let block = self.begin(candidate, BlockStart::ToolUse { id, name: name.to_owned() }, sink);
            if let Some(seal) = seal {
                self.delta(candidate, block, Delta::Seal(seal), sink);
            }
            candidate.called = true;
            candidate.call = Some(PartialCall { block, args: json!({}), held: 0 });
        }
        let Some(call) = &mut candidate.call else { return Ok(()) };
        if let Some(whole) = piece.get("args").filter(|args| args.is_object()) {
            call.args = whole.clone();
        }
        for arg in piece.get("partialArgs").and_then(Value::as_array).into_iter().flatten() {
            call.held += arg.to_string().len();
            if !grow(&mut call.args, arg) {
                sink.losses.note("/content/parts/functionCall/partialArgs", "an argument without a place");
            }
        }
        if call.held > STREAM_HELD_MAX {
            return Err(read::invalid(format!(
                "a call in the provider's stream is over {STREAM_HELD_MAX} bytes"
            )));
        }
        if piece.get("willContinue").is_none_or(|more| *more != true) {
            self.close(candidate, sink);
        }
        Ok(())
    }

    fn words(&mut self, candidate: &mut ReadCandidate, thought: bool, text: String, sink: &mut Sink) {
        if !text.is_empty() {
            let block = self.open_words(candidate, thought, sink);
            self.delta(candidate, block, Delta::Text(text), sink);
        }
    }

    fn open_words(&mut self, candidate: &mut ReadCandidate, thought: bool, sink: &mut Sink) -> u32 {
        if let Some((open, block)) = candidate.open
            && open == thought
        {
            return block;
        }
        let start = if thought { BlockStart::Reasoning } else { BlockStart::Text };
        self.close(candidate, sink);
        let block = self.begin(candidate, start, sink);
        candidate.open = Some((thought, block));
        block
    }

    /// Tells a block that comes in one piece. A seal on words ends them: it holds for this part alone.
    fn whole(
        &mut self,
        candidate: &mut ReadCandidate,
        start: BlockStart,
        deltas: [Option<Delta>; 2],
        sink: &mut Sink,
    ) {
        self.close(candidate, sink);
        let block = self.begin(candidate, start, sink);
        deltas.into_iter().flatten().for_each(|delta| self.delta(candidate, block, delta, sink));
        self.emit(sink, Event::BlockStop { choice: candidate.index, block });
    }

    /// Closes what is open.
    fn close(&mut self, candidate: &mut ReadCandidate, sink: &mut Sink) {
        let choice = candidate.index;
        if let Some((_, block)) = candidate.open.take() {
            self.emit(sink, Event::BlockStop { choice, block });
        }
        if let Some(PartialCall { block, args, .. }) = candidate.call.take() {
            self.delta(candidate, block, Delta::Input(args.to_string()), sink);
            self.emit(sink, Event::BlockStop { choice, block });
        }
    }

    fn begin(&mut self, candidate: &mut ReadCandidate, start: BlockStart, sink: &mut Sink) -> u32 {
        let block = candidate.blocks;
        candidate.blocks += 1;
        self.emit(sink, Event::BlockStart { choice: candidate.index, block, start });
        block
    }

    fn delta(&mut self, candidate: &ReadCandidate, block: u32, delta: Delta, sink: &mut Sink) {
        self.emit(sink, Event::Delta { choice: candidate.index, block, delta });
    }

    fn end(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let finished = self.candidates.iter().all(|candidate| candidate.finish.is_some());
        let blocked = self.blocked.take().filter(|_| self.candidates.is_empty());
        if !finished || (self.candidates.is_empty() && blocked.is_none()) {
            let words = "the provider's stream ended before its `finishReason`";
            return Err(Fault::new(FaultKind::UpstreamTruncated, words));
        }
        for mut candidate in std::mem::take(&mut self.candidates) {
            self.close(&mut candidate, sink);
            let word = candidate.finish.unwrap_or_default();
            let stop = wire::read_stop(&word, candidate.called);
            self.emit(sink, Event::Finish { choice: candidate.index, stop });
        }
        if let Some(stop) = blocked {
            self.emit(sink, Event::Finish { choice: 0, stop });
        }
        self.emit(sink, Event::End);
        Ok(())
    }

    fn emit(&mut self, sink: &mut Sink, event: Event) {
        let checked = self.grammar.check(&event);
        debug_assert!(checked.is_ok(), "{checked:?} at {event:?}");
        sink.events.push(event);
    }
}

fn usage_of(chunk: &mut Map<String, Value>) -> Option<Usage> {
    match chunk.shift_remove("usageMetadata") {
        Some(Value::Object(usage)) => Some(wire::read_usage(usage)),
        _ => None,
    }
}

fn index_of(candidate: &Map<String, Value>) -> Result<u32, Fault> {
    let index = candidate.get("index").and_then(Value::as_u64).unwrap_or(0);
    let index = u32::try_from(index).ok().filter(|index| *index < CHOICES_MAX);
    index.ok_or_else(|| {
        read::invalid(format!("the provider's answer holds more than {CHOICES_MAX} candidates"))
    })
}

fn finish_of(candidate: &Map<String, Value>) -> Option<String> {
    let word = candidate.get("finishReason").and_then(Value::as_str);
    word.filter(|word| !word.is_empty()).map(str::to_owned)
}

fn parts_of(candidate: &Map<String, Value>) -> &[Value] {
    let parts = candidate.get("content").and_then(|content| content.get("parts")).and_then(Value::as_array);
    parts.map(Vec::as_slice).unwrap_or_default()
}

/// Adds a piece of an argument at its place (`$.list[0].name`): words to words, everything else whole.
fn grow(args: &mut Value, arg: &Value) -> bool {
    let path = arg.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
    let mut place = args;
    for step in path.trim_start_matches('$').split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let step = step.trim_matches(['\'', '"']);
        let number = step.parse::<usize>().ok().filter(|_| !place.is_object());
        if place.is_null() {
            *place = if number.is_some() { json!([]) } else { json!({}) };
        }
        let next = match (place, number) {
            (Value::Array(list), Some(number)) => {
                if number == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(number)
            }
            (Value::Object(members), _) => Some(members.entry(step).or_insert(Value::Null)),
            _ => None,
        };
        let Some(next) = next else { return false };
        place = next;
    }
    let value = ["stringValue", "numberValue", "boolValue"].iter().find_map(|name| arg.get(*name));
    match (place, value) {
        (Value::String(have), Some(Value::String(more))) => have.push_str(more),
        (place, value) => *place = value.cloned().unwrap_or_default(),
    }
    true
}

/// Writes a stream for a caller.
#[derive(Default)]
pub(super) struct ChunkWriter {
    /// What every piece ends with.
    head: Map<String, Value>,
    /// The events come from this dialect, so its own words may stand.
    own: bool,
    /// Blocks by choice and number, until they stop. Of calls all is held, of words their seal.
    open: Vec<(u32, u32, Block)>,
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
                for name in extra.lost_to(ME) {
                    losses.note(format!("/{name}"), "the Gemini API has no such member");
                }
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
                self.open.push((*choice, *block, Block::new(kind)));
            }
            Event::Delta { choice, block, delta } => self.delta((*choice, *block), delta, out, losses),
            Event::BlockStop { choice, block } => {
                let place = self.open.iter().position(|(a, b, _)| (a, b) == (choice, block));
                let stopped = place.map(|place| self.open.remove(place).2);
                let has_more =
                    |block: &Block| block.seal.is_some() || matches!(block.kind, Kind::ToolUse { .. });
                if let Some(block) = stopped.filter(has_more) {
                    self.part(*choice, &block, out, losses);
                }
            }
            Event::Logprobs { choice, logprobs } => {
                let result = wire::write_logprobs(logprobs);
                self.chunk(json!([{"index": choice, "logprobsResult": result}]), None, out);
            }
            Event::Finish { choice, stop } => {
                let word = wire::write_stop(stop, self.own);
                let content = json!({"parts": [{"text": ""}], "role": "model"});
                self.finished.push(json!({"content": content, "finishReason": word, "index": choice}));
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Opaque { dialect: ME, json } => {
                self.chunk(json.get("candidates").cloned().unwrap_or_default(), None, out);
            }
            Event::Opaque { .. } => losses.note("", "an event that only another API knows"),
            Event::End => {
                self.ended = true;
                let (finished, usage) = (std::mem::take(&mut self.finished), self.usage.take());
                self.chunk(finished.into(), usage.as_ref(), out);
            }
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !self.ended {
            self.ended = true;
            frame(&write::fault(fault), out);
        }
    }
}

impl ChunkWriter {
    fn delta(&mut self, at: (u32, u32), delta: &Delta, out: &mut Vec<u8>, losses: &mut Losses) {
        let open = self.open.iter_mut().find(|(choice, number, _)| (*choice, *number) == at);
        let Some((choice, _, block)) = open else { return };
        let choice = *choice;
        let said = match (&mut block.kind, delta) {
            (Kind::ToolUse { input, .. }, Delta::Input(more)) => {
                self.held += more.len();
                input.push_str(more);
                if self.held > STREAM_HELD_MAX {
                    let words =
                        format!("the provider's stream holds calls of more than {STREAM_HELD_MAX} bytes");
                    self.fault(&read::invalid(words), out);
                }
                return;
            }
            (Kind::Reasoning { .. }, Delta::Seal(seal)) => {
                Block::new(Kind::Reasoning { text: String::new(), seal: Some(seal.clone()) })
            }
            (_, Delta::Seal(seal)) => {
                block.seal = Some(seal.clone());
                return;
            }
            (Kind::Reasoning { .. }, Delta::Text(text)) => {
                Block::new(Kind::Reasoning { text: text.clone(), seal: None })
            }
            (_, Delta::Text(text) | Delta::Input(text)) => {
                Block { seal: block.seal.take(), ..Block::new(Kind::Text(text.clone())) }
            }
        };
        self.part(choice, &said, out, losses);
    }

    fn part(&mut self, choice: u32, block: &Block, out: &mut Vec<u8>, losses: &mut Losses) {
        let mut pen = Pen::new(self.own, true);
        if let Some(part) = pen.part(block) {
            let content = json!({"parts": [part], "role": "model"});
            self.chunk(json!([{"content": content, "index": choice}]), None, out);
        }
        losses.absorb(pen.losses);
    }

    fn chunk(&self, candidates: Value, usage: Option<&Usage>, out: &mut Vec<u8>) {
        let mut chunk = Map::from_iter([("candidates".to_owned(), candidates)]);
        chunk.extend(usage.map(|usage| ("usageMetadata".to_owned(), wire::write_usage(usage))));
        json::add(&mut chunk, Some(&self.head));
        frame(&chunk.into(), out);
    }
}

/// One event, as Google ends it.
pub(super) fn frame(data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("data: {data}\r\n\r\n").as_bytes());
}

/// The usage of a whole answer.
pub(super) fn usage(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Metered {
        #[serde(rename = "usageMetadata")]
        usage: Option<Map<String, Value>>,
    }
    serde_json::from_slice::<Metered>(body).ok()?.usage.map(wire::read_usage)
}

/// Looks at a stream that is relayed. Its pieces are few and each tells the usage, so each is parsed.
#[derive(Default)]
pub(super) struct ChunkGlance {
    seen: Seen,
    /// The candidates that were seen, and whether each has finished.
    candidates: Vec<(u32, bool)>,
    blocked: bool,
    elements: Elements,
}

impl Glance for ChunkGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        if !frame.data.trim_ascii_start().starts_with(b"[") {
            return self.look(frame.data);
        }
        let mut elements = std::mem::take(&mut self.elements);
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
        let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
        if let Some(fault) = read::fault_in(&chunk) {
            return Err(fault);
        }
        let Value::Object(mut chunk) = chunk else { return Ok(()) };
        let candidates = chunk.get("candidates").and_then(Value::as_array).into_iter().flatten();
        for candidate in candidates.filter_map(Value::as_object) {
            let index = index_of(candidate)?;
            let (finished, parts) = (finish_of(candidate).is_some(), parts_of(candidate));
            match self.candidates.iter_mut().find(|(known, _)| *known == index) {
                Some((_, known)) => *known = finished || (*known && parts.is_empty()),
                None => self.candidates.push((index, finished)),
            }
            self.seen.content |= parts.iter().any(says);
        }
        self.blocked |= chunk.get("promptFeedback").and_then(read::blocked).is_some();
        if let Some(usage) = usage_of(&mut chunk) {
            self.seen.usage = Some(usage);
        }
        let is_answer = !self.candidates.is_empty() || self.blocked;
        self.seen.ended = is_answer && self.candidates.iter().all(|(_, finished)| *finished);
        Ok(())
    }
}

/// A part that is something to a caller: not an empty text.
fn says(part: &Value) -> bool {
    part.get("text") != Some(&Value::String(String::new()))
}
