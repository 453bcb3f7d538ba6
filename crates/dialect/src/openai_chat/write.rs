//! Canonical form into bytes of this dialect: requests, answers and errors.

use super::wire::{self, ME};
use crate::{
    Carried, Target,
    canon::{
        Block, Cache, Choice, Choose, Extra, Format, Kind, Media, Message, Request, Role, Sampling, Source,
        Tool, ToolIds, Turn,
    },
    json::{self, object, put},
    openai,
    pen::{FOREIGN, NO_MEMBER, NO_THOUGHTS, Notes},
};
use serde_json::{Map, Value, json};

pub(super) use crate::openai::fault;

/// The id of an answer that came without one.
pub(super) const NO_ID: &str = "chatcmpl-0";
const NO_SOURCE: &str = "OpenAI's chat API takes no such source here";
/// Writes a request. One that was read from this dialect is written as it was; of any other, what has no
/// place here is lost.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen(Notes::request(ME, request.from == ME), ToolIds::new(target.ids));
    let messages: Vec<Value> = request.turns.iter().flat_map(|turn| pen.turn(turn)).collect();
    let mut body = Map::new();
    put(&mut body, "model", Some(target.model));
    put(&mut body, "messages", Some(messages));
    let tools = request.tools.iter().enumerate().filter_map(|(index, tool)| pen.tool(tool, index));
    put(&mut body, "tools", Some(tools.collect::<Vec<Value>>()).filter(|tools| !tools.is_empty()));
    let choice = request.choice.as_ref().and_then(|wish| pen.0.or_lose(choice(wish), "/tool_choice"));
    // OpenAI refuses these two where there are no tools.
    let has_tools = pen.0.own || body.contains_key("tools");
    put(&mut body, "tool_choice", choice.filter(|_| has_tools));
    put(&mut body, "parallel_tool_calls", request.parallel.filter(|_| has_tools));
    let format = request.format.as_ref().map(|wish| format(wish, pen.0.own));
    put(&mut body, "response_format", format.and_then(|format| pen.0.or_lose(format, "/response_format")));
    put(&mut body, "reasoning_effort", request.reasoning.as_ref().and_then(openai::write_effort));
    let limit = if target.completion_limit { "max_completion_tokens" } else { "max_tokens" };
    put(&mut body, limit, request.limit);
    pen.sampling(&request.sampling, &mut body);
    put(&mut body, "stream", request.stream);
    // A stream of another dialect always ends with its usage.
    let usage = request.stream_usage.or((!pen.0.own && request.stream == Some(true)).then_some(true));
    put(&mut body, "stream_options", usage.map(|usage| json!({"include_usage": usage})));
    put(&mut body, "user", openai::user(request, &mut pen.0));
    // Other servers than OpenAI's own refuse these.
    if target.completion_limit {
        let (shared, extra) = openai::shared(request, ME);
        json::add(&mut body, Some(&shared));
        pen.rest(&extra, &mut body, "");
    } else {
        pen.rest(&request.extra, &mut body, "");
    }
    pen.0.body(body, request.from)
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen(Notes::answer(ME, message.from == ME), ToolIds::default());
    let choices: Vec<Value> = message.choices.iter().map(|choice| pen.choice(choice)).collect();
    let id = if message.id.is_empty() && !pen.0.own { NO_ID } else { &message.id };
    let mut body = Map::new();
    put(&mut body, "id", Some(id));
    put(&mut body, "object", Some(wire::WHOLE));
    put(&mut body, "created", Some(message.created.unwrap_or(0)));
    put(&mut body, "model", Some(message.model.as_str()));
    put(&mut body, "choices", Some(choices));
    put(&mut body, "usage", message.usage.as_ref().map(wire::write_usage));
    pen.rest(&message.extra, &mut body, "");
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.0.losses }
}

/// Writes a `tool_choice`.
pub(super) fn choice(wish: &Choose) -> Option<Value> {
    openai::write_choice(ME, wish, |name| json!({"type": "function", "function": {"name": name}}))
}

/// Writes a `response_format`.
pub(super) fn format(wish: &Format, own: bool) -> Option<Value> {
    openai::write_format(ME, wish, own, |held| object([("json_schema", held.into())]))
}

/// Writes, and notes what is lost.
struct Pen(Notes, ToolIds);

impl Pen {
    /// Adds what only this dialect knows, and notes what only another does. Of what was read, the form
    /// that was kept takes the place of what canonical form makes of it.
    fn rest(&mut self, extra: &Extra, written: &mut Map<String, Value>, pointer: &str) {
        if let Some(form) = extra.form(ME) {
            for (kept, other) in wire::SYNONYMS {
                if form.contains_key(*kept) {
                    written.shift_remove(*other);
                }
            }
            written.extend(form.clone());
        }
        json::add(written, extra.of(ME));
        self.0.extra(extra, pointer);
    }

    /// Writes a turn: one message, or more where it holds results of tools. Each of them becomes a `tool`
    /// message, in order, and the rest comes behind. Tool messages take text only, so pictures and
    /// documents out of a result go into the user's message behind it.
    fn turn(&mut self, turn: &Turn) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut behind = Vec::new();
        for block in &turn.blocks {
            let Kind::ToolResult { id, error, content, .. } = &block.kind else {
                behind.push(block);
                continue;
            };
            let is_text = |block: &&Block| self.0.own || matches!(block.kind, Kind::Text(_));
            let (texts, media): (Vec<&Block>, Vec<&Block>) = content.iter().partition(is_text);
            behind.extend(media);
            let mut message = Map::new();
            put(&mut message, "role", Some("tool"));
            put(&mut message, "tool_call_id", Some(self.1.result(id)));
            let text = self.content(&texts, false);
            put(&mut message, "content", text.or((!self.0.own).then(|| "".into())));
            put(&mut message, "cache_control", self.cache(block));
            if *error == Some(true) {
                self.0.lose(block, "is_error", "OpenAI's chat API cannot say that a tool failed");
            }
            if turn.role == Role::Tool {
                self.close(turn, &mut message);
            }
            messages.push(Value::Object(message));
        }
        if messages.is_empty() || !behind.is_empty() {
            messages.extend(self.message(turn, &behind));
        }
        messages
    }

    fn message(&mut self, turn: &Turn, blocks: &[&Block]) -> Option<Value> {
        let mut message = Map::new();
        if turn.role == Role::Assistant {
            self.spoken(blocks.iter().copied(), &mut message);
            self.close(turn, &mut message);
            return Some(Value::Object(message));
        }
        let role = if turn.role == Role::Tool { Role::User } else { turn.role };
        put(&mut message, "role", Some(role.word()));
        let content = self.content(blocks, false);
        if content.is_none() && !self.0.own {
            return None;
        }
        put(&mut message, "content", content);
        if let [block] = blocks
            && block.at.part.is_none()
            && self.0.own
        {
            put(&mut message, "cache_control", self.cache(block));
        }
        self.close(turn, &mut message);
        Some(Value::Object(message))
    }

    fn close(&mut self, turn: &Turn, message: &mut Map<String, Value>) {
        put(message, "name", turn.name.as_deref());
        self.rest(&turn.extra, message, &turn.at.pointer("messages", "content", ""));
    }

    fn choice(&mut self, choice: &Choice) -> Value {
        let mut message = Map::new();
        self.spoken(&choice.blocks, &mut message);
        self.rest(&choice.extra, &mut message, &format!("/choices/{}/message", choice.index));
        let rest = message.shift_remove(wire::REST);
        let mut written = Map::new();
        put(&mut written, "index", Some(choice.index));
        put(&mut written, "message", Some(message));
        put(&mut written, "logprobs", choice.logprobs.clone().or((!self.0.own).then_some(Value::Null)));
        let stop = choice.stop.as_ref().map(|stop| openai::write_stop(stop, self.0.own));
        put(&mut written, "finish_reason", stop);
        json::add(&mut written, rest.as_ref().and_then(Value::as_object));
        Value::Object(written)
    }

    /// Writes what a model said: an assistant's message of a request, or the message of an answer.
    fn spoken<'a>(&mut self, blocks: impl IntoIterator<Item = &'a Block>, message: &mut Map<String, Value>) {
        let (mut calls, mut thoughts, mut refusals, mut parts) = (vec![], vec![], vec![], vec![]);
        for block in blocks {
            // What this dialect's own bodies hold as a part of the content goes back there.
            let is_part = self.0.own && block.at.part.is_some();
            match block.kind {
                Kind::ToolUse { .. } | Kind::Opaque { dialect: ME, .. } if !is_part => calls.push(block),
                Kind::Reasoning { .. } if !is_part => thoughts.push(block),
                Kind::Refusal(_) if !is_part => refusals.push(block),
                _ => parts.push(block),
            }
        }
        let content = self.content(&parts, true);
        let calls: Vec<Value> = calls.into_iter().map(|block| self.call(block)).collect();
        let nothing = if self.0.answer || !calls.is_empty() { Value::Null } else { "".into() };
        put(message, "role", Some("assistant"));
        put(message, "content", content.or((!self.0.own).then_some(nothing)));
        let refusal = (!refusals.is_empty()).then(|| Value::from(words(&refusals)));
        // OpenAI's schema demands this and `logprobs` of every answer.
        put(message, "refusal", refusal.or((!self.0.own && self.0.answer).then_some(Value::Null)));
        if self.0.own || self.0.answer {
            put(message, "reasoning_content", Some(words(&thoughts)).filter(|text| !text.is_empty()));
            let sealed = details(&thoughts, &parts);
            put(message, "reasoning_details", (!sealed.is_empty()).then_some(sealed));
        } else {
            thoughts.iter().for_each(|block| self.0.lose(block, "", NO_THOUGHTS));
        }
        put(message, "tool_calls", (!calls.is_empty()).then_some(calls));
    }

    /// Writes content as it was, a string or a list of parts. Of another dialect's, text alone becomes a
    /// string where it is one block, or where `join` allows: strings are what every server understands.
    fn content(&mut self, blocks: &[&Block], join: bool) -> Option<Value> {
        let is_lost = |block: &&Block| !self.0.own && matches!(block.kind, Kind::Opaque { .. });
        let (lost, blocks): (Vec<&Block>, Vec<&Block>) = blocks.iter().copied().partition(is_lost);
        lost.into_iter().for_each(|block| self.0.lose(block, "", FOREIGN));
        let is_text = |block: &&Block| matches!(block.kind, Kind::Text(_));
        let is_plain = match self.0.own {
            true => blocks.iter().all(|block| block.at.part.is_none()),
            false => blocks.iter().all(is_text) && (join || blocks.len() == 1),
        };
        if is_plain && !blocks.is_empty() {
            blocks.iter().for_each(|block| self.0.hints(block));
            return Some(words(&blocks).into());
        }
        let parts: Vec<Value> = blocks.iter().filter_map(|block| self.part(block)).collect();
        (!parts.is_empty()).then(|| parts.into())
    }

    fn part(&mut self, block: &Block) -> Option<Value> {
        if let Some(form) = whole_form(&block.extra) {
            return Some(form);
        }
        let written = match &block.kind {
            Kind::Text(text) => Some(json!({"type": "text", "text": text})),
            Kind::Refusal(text) => Some(json!({"type": "refusal", "refusal": text})),
            Kind::Opaque { dialect: ME, json } => return Some(json.clone()),
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => self.medium(&block.kind, media),
            _ => {
                self.0.lose(block, "", FOREIGN);
                return None;
            }
        };
        let Some(Value::Object(mut part)) = written else {
            self.0.lose(block, "source", NO_SOURCE);
            return None;
        };
        if !self.0.own
            && matches!(&block.kind, Kind::File(Media { source: Source::Text { .. }, name: Some(_) }))
        {
            self.0.lose(block, "title", NO_MEMBER);
        }
        put(&mut part, "cache_control", self.cache(block));
        let mut extra = block.extra.of(ME).cloned().unwrap_or_default();
        if let Some(Value::Object(image)) = part.get_mut("image_url") {
            put(image, "detail", extra.shift_remove("detail"));
        }
        json::add(&mut part, Some(&extra));
        Some(Value::Object(part))
    }

    /// Writes a picture, a sound or a document, if this dialect takes it from where it is. Uploaded files
    /// are known to the API only where they were uploaded.
    fn medium(&self, kind: &Kind, Media { source, name }: &Media) -> Option<Value> {
        let url = source.url();
        Some(match (kind, source) {
            (Kind::Image(_), _) => json!({"type": "image_url", "image_url": {"url": url?}}),
            (Kind::Audio(_), Source::Base64 { media_type, data }) => {
                openai::write_audio(media_type, data, self.0.own)
            }
            (Kind::File(_), Source::Text { data, .. }) => json!({"type": "text", "text": data}),
            (Kind::File(_), _) if self.0.own || matches!(source, Source::Base64 { .. }) => {
                let mut file = Map::new();
                // OpenAI demands a name.
                put(&mut file, "filename", name.as_deref().or((!self.0.own).then_some("document.pdf")));
                match source {
                    Source::FileId(id) => put(&mut file, "file_id", Some(id.as_str())),
                    _ => put(&mut file, "file_data", Some(url?)),
                }
                json!({"type": "file", "file": file})
            }
            _ => return None,
        })
    }

    fn call(&mut self, block: &Block) -> Value {
        self.0.hints(block);
        let (id, name, input) = match &block.kind {
            Kind::ToolUse { id, name, input } => (id, name, input),
            Kind::Opaque { json, .. } => return json.clone(),
            _ => return Value::Null,
        };
        // No arguments at all are an empty object to this dialect's clients and servers.
        let input = if input.is_empty() && !self.0.own { "{}" } else { input };
        let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": input}});
        let Value::Object(mut call) = whole_form(&block.extra).unwrap_or(call) else { return Value::Null };
        let written = self.1.call(id);
        if written != *id {
            put(&mut call, "id", Some(written));
        }
        json::add(&mut call, block.extra.of(ME));
        let seal = block.seal.as_ref().filter(|_| self.0.answer);
        put(&mut call, "extra_content", seal.and_then(wire::write_signature));
        Value::Object(call)
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, json)) = &tool.native {
            return self.0.native(*dialect, json, &format!("/tools/{index}"));
        }
        let function = openai::write_function(tool, Value::Null);
        let mut written = object([("type", "function".into()), ("function", function.into())]);
        put(&mut written, "cache_control", tool.cache.as_ref().filter(|_| self.0.own).map(Cache::json));
        self.0.tool(tool, index);
        self.rest(&tool.extra, &mut written, &format!("/tools/{index}"));
        Some(Value::Object(written))
    }

    fn sampling(&mut self, wish: &Sampling, body: &mut Map<String, Value>) {
        put(body, "temperature", wish.temperature.clone());
        put(body, "top_p", wish.top_p.clone());
        put(body, "top_k", wish.top_k.clone());
        put(body, "frequency_penalty", wish.frequency_penalty.clone());
        put(body, "presence_penalty", wish.presence_penalty.clone());
        put(body, "seed", wish.seed.clone());
        put(body, "n", wish.n);
        put(body, "logprobs", wish.logprobs);
        put(body, "top_logprobs", wish.top_logprobs);
        let most = if self.0.own { usize::MAX } else { wire::STOPS_MAX };
        if wish.stop.len() > most {
            self.0.losses.note("/stop", "OpenAI's chat API takes four stop sequences at most");
        }
        let stop: Vec<&str> = wish.stop.iter().take(most).map(String::as_str).collect();
        put(body, "stop", (!stop.is_empty()).then_some(stop));
    }

    /// The cache hint of a block, where it may be written; what else of a block is lost is noted.
    fn cache(&mut self, block: &Block) -> Option<Value> {
        self.0.hints(block);
        block.cache.as_ref().filter(|_| self.0.own).map(Cache::json)
    }
}

/// A block of this dialect whose form is kept whole.
fn whole_form(extra: &Extra) -> Option<Value> {
    extra.form(ME).filter(|form| !form.is_empty()).map(|form| Value::Object(form.clone()))
}

/// The words of all blocks that have words.
fn words(blocks: &[&Block]) -> String {
    blocks.iter().map(|block| block.kind.words()).collect()
}

/// `reasoning_details` of the thoughts and the words that are sealed.
fn details(thoughts: &[&Block], parts: &[&Block]) -> Vec<Value> {
    let sealed = thoughts.iter().chain(parts).filter_map(|block| match (&block.kind, &block.seal) {
        (Kind::Reasoning { text, seal: Some(seal) }, _) => Some((text.as_str(), seal)),
        (Kind::Text(_), Some(seal)) => Some(("", seal)),
        _ => None,
    });
    sealed.enumerate().map(|(index, (text, seal))| wire::write_detail(text, seal, index)).collect()
}
