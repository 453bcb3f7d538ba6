//! Canonical form into bytes of this dialect: requests, answers and errors.

use super::wire::{self, ME};
use crate::{
    Carried, Losses, Target,
    canon::{
        At, Block, Cache, Choose, Extra, Format, Kind, Media, Message, Request, Role, Sampling, Source, Tool,
        Turn,
    },
    json, openai,
};
use serde_json::{Map, Value, json};

/// Writes a request. One that was read from this dialect is written as it was; of any other, what has no
/// place here is lost.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen { own: request.from == ME, is_answer: false, losses: Losses::new() };
    let messages: Vec<Value> = request.turns.iter().flat_map(|turn| pen.turn(turn)).collect();
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
    put("model", Some(target.model.into()));
    put("messages", Some(messages.into()));
    let tools: Vec<Value> =
        request.tools.iter().enumerate().filter_map(|(index, tool)| pen.tool(tool, index)).collect();
    // OpenAI refuses these two where there are no tools.
    let has_tools = pen.own || !tools.is_empty();
    put("tools", (!tools.is_empty()).then_some(tools.into()));
    put("tool_choice", request.choice.as_ref().filter(|_| has_tools).and_then(|wish| pen.choice(wish)));
    put("parallel_tool_calls", request.parallel.filter(|_| has_tools).map(Value::from));
    put("response_format", request.format.as_ref().and_then(|wish| pen.format(wish)));
    put("reasoning_effort", request.reasoning.as_ref().and_then(openai::write_effort).map(Value::from));
    let limit = if target.completion_limit { "max_completion_tokens" } else { "max_tokens" };
    put(limit, request.limit.map(Value::from));
    pen.sampling(&request.sampling, &mut put);
    put("stream", request.stream.map(Value::from));
    // A stream of another dialect always ends with its usage.
    let usage = request.stream_usage.or((!pen.own && request.stream == Some(true)).then_some(true));
    put("stream_options", usage.map(|usage| json!({"include_usage": usage})));
    put("user", request.user.clone().map(Value::from));
    if let Some(form) = request.extra.form(ME) {
        drop_synonyms(form, &mut body);
    }
    pen.rest(&request.extra, &mut body, |name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen { own: message.from == ME, is_answer: true, losses: Losses::new() };
    let rests = message.extra.form(ME).and_then(|form| form.get("choices"));
    let choices: Vec<Value> = message
        .choices
        .iter()
        .enumerate()
        .map(|(position, choice)| {
            let said = pen.spoken(&choice.blocks, &choice.extra, At::default());
            let stop = choice.stop.as_ref().map(|stop| wire::write_stop(stop, pen.own));
            let mut written = Map::new();
            written.insert("index".to_owned(), choice.index.into());
            written.insert("message".to_owned(), said.into());
            written.extend(choice.logprobs.clone().map(|logprobs| ("logprobs".to_owned(), logprobs)));
            written.extend(stop.map(|word| ("finish_reason".to_owned(), word.into())));
            json::add(&mut written, rests.and_then(|rests| rests.get(position)).and_then(Value::as_object));
            Value::Object(written)
        })
        .collect();
    let id = if message.id.is_empty() && !pen.own { NO_ID } else { &message.id };
    let mut body = Map::new();
    body.insert("id".to_owned(), id.into());
    body.insert("object".to_owned(), wire::WHOLE.into());
    body.insert("created".to_owned(), message.created.unwrap_or(0).into());
    body.insert("model".to_owned(), message.model.as_str().into());
    body.insert("choices".to_owned(), choices.into());
    body.extend(message.usage.as_ref().map(|usage| ("usage".to_owned(), wire::write_usage(usage))));
    if let Some(name) = message.extra.form(ME).and_then(|form| form.get("object")) {
        body.insert("object".to_owned(), name.clone());
    }
    json::add(&mut body, message.extra.of(ME));
    for name in message.extra.lost_to(ME) {
        pen.losses.note(format!("/{name}"), UNKNOWN);
    }
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// Writes a `tool_choice`.
pub(super) fn choice(wish: &Choose) -> Option<Value> {
    Some(match wish {
        Choose::Auto => "auto".into(),
        Choose::None => "none".into(),
        Choose::Required => "required".into(),
        Choose::Tool(name) => json!({"type": "function", "function": {"name": name}}),
        Choose::Native(ME, value) => value.clone(),
        Choose::Native(..) => return None,
    })
}

/// Writes a `response_format`. OpenAI demands a name for a schema, so one that is not our `own` gets one.
pub(super) fn format(wish: &Format, own: bool) -> Option<Value> {
    Some(match wish {
        Format::Text => json!({"type": "text"}),
        Format::Json => json!({"type": "json_object"}),
        Format::Native(ME, value) => value.clone(),
        Format::Native(..) => return None,
        Format::Schema { name, description, schema, strict } => {
            let name = name.as_deref().or((!own).then_some("answer"));
            let mut held = Map::new();
            held.extend(name.map(|name| ("name".to_owned(), name.into())));
            held.extend(description.as_ref().map(|words| ("description".to_owned(), words.as_str().into())));
            held.insert("schema".to_owned(), schema.clone());
            held.extend(strict.map(|strict| ("strict".to_owned(), strict.into())));
            json!({"type": "json_schema", "json_schema": held})
        }
    })
}

/// The id of an answer that came without one.
pub(super) const NO_ID: &str = "chatcmpl-0";
pub(super) const UNKNOWN: &str = "OpenAI's chat API has no such member";
const NO_CACHE: &str = "OpenAI's chat API has no cache hints";
pub(super) const NO_BLOCK: &str = "OpenAI's chat API has no such block";
const NO_SOURCE: &str = "OpenAI's chat API takes no such source here";

/// Members that say the same: where the form of one is kept, the other must not be written beside it.
const SYNONYMS: &[(&[&str], &[&str])] = &[
    (&["max_completion_tokens"], &["max_tokens"]),
    (&["reasoning", "thinking"], &["reasoning_effort"]),
    (&["functions"], &["tools"]),
    (&["function_call"], &["tool_choice", "tool_calls"]),
    (&["reasoning", "reasoning_details"], &["reasoning_content"]),
];

fn drop_synonyms(form: &Map<String, Value>, written: &mut Map<String, Value>) {
    for (kept, others) in SYNONYMS {
        if kept.iter().any(|name| form.contains_key(*name)) {
            others.iter().for_each(|name| drop(written.shift_remove(*name)));
        }
    }
}

/// Writes, and notes what is lost.
struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    /// It is an answer.
    is_answer: bool,
    losses: Losses,
}

impl Pen {
    fn lose(&mut self, at: At, member: &str, why: &'static str) {
        let pointer = at.pointer("messages", "content", member);
        // An answer has no list of messages: its blocks stand in `content`.
        let pointer = if self.is_answer { pointer.replacen("/system", "/content", 1) } else { pointer };
        self.losses.note(pointer, why);
    }

    /// Adds what only this dialect knows, and notes what only another does.
    fn rest(&mut self, extra: &Extra, written: &mut Map<String, Value>, pointer: impl Fn(&str) -> String) {
        written.extend(extra.form(ME).cloned().unwrap_or_default());
        json::add(written, extra.of(ME));
        for name in extra.lost_to(ME) {
            self.losses.note(pointer(name), UNKNOWN);
        }
    }

    /// Writes a turn: one message, or more where it holds results of tools. Each of them becomes a `tool`
    /// message, in order, and the rest comes behind. Tool messages take text only, so pictures and
    /// documents out of a result go into the user's message behind it.
    fn turn(&mut self, turn: &Turn) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut behind = Vec::new();
        for block in &turn.blocks {
            if let Kind::ToolResult { id, error, content, .. } = &block.kind {
                let (texts, media): (Vec<&Block>, Vec<&Block>) =
                    content.iter().partition(|block| self.own || matches!(block.kind, Kind::Text(_)));
                let mut message = Map::new();
                message.insert("role".to_owned(), "tool".into());
                message.insert("tool_call_id".to_owned(), id.as_str().into());
                let text = self.content(&texts, false);
                message
                    .extend(text.or((!self.own).then(|| "".into())).map(|text| ("content".to_owned(), text)));
                self.cache(block, &mut message);
                if *error == Some(true) {
                    self.lose(block.at, "is_error", "OpenAI's chat API cannot say that a tool failed");
                }
                if turn.role == Role::Tool {
                    self.close(turn, &mut message);
                }
                self.hints(block);
                messages.push(Value::Object(message));
                behind.extend(media);
            } else {
                behind.push(block);
            }
        }
        if messages.is_empty() || !behind.is_empty() {
            messages.extend(self.message(turn, &behind));
        }
        messages
    }

    fn message(&mut self, turn: &Turn, blocks: &[&Block]) -> Option<Value> {
        let role = match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => {
                let mut message = self.spoken(&turn.blocks, &turn.extra, turn.at);
                // Nothing is left of it.
                if !self.own && message.len() == 2 && message.get("content").is_some_and(|said| said == "") {
                    return None;
                }
                message.extend(turn.name.clone().map(|name| ("name".to_owned(), name.into())));
                return Some(Value::Object(message));
            }
            Role::Tool => "user",
        };
        let mut message = Map::new();
        message.insert("role".to_owned(), role.into());
        let content = self.content(blocks, false);
        if content.is_none() && !self.own {
            return None;
        }
        message.extend(content.map(|content| ("content".to_owned(), content)));
        if let [block] = blocks
            && block.at.part.is_none()
        {
            self.cache(block, &mut message);
        }
        self.close(turn, &mut message);
        Some(Value::Object(message))
    }

    fn close(&mut self, turn: &Turn, message: &mut Map<String, Value>) {
        message.extend(turn.name.clone().map(|name| ("name".to_owned(), name.into())));
        if turn.extra.form(ME).is_some_and(|form| form.contains_key("role")) {
            message.shift_remove("tool_call_id");
        }
        self.rest(&turn.extra, message, |name| turn.at.pointer("messages", "content", name));
    }

    /// Writes what a model said: an assistant's message of a request, or the message of an answer.
    fn spoken(&mut self, blocks: &[Block], extra: &Extra, at: At) -> Map<String, Value> {
        let mut message = Map::new();
        let mut put = |name: &str, value: Value| drop(message.insert(name.to_owned(), value));
        put("role", "assistant".into());
        let (mut calls, mut thoughts, mut refusals, mut parts) = (vec![], vec![], vec![], vec![]);
        for block in blocks {
            // What this dialect's own bodies hold as a part of the content goes back there.
            let is_part = self.own && block.at.part.is_some();
            match block.kind {
                Kind::ToolUse { .. } | Kind::Opaque { dialect: ME, .. } if !is_part => calls.push(block),
                Kind::Reasoning { .. } if !is_part => thoughts.push(block),
                Kind::Refusal(_) if !is_part => refusals.push(block),
                _ => parts.push(block),
            }
        }
        let content = self.content(&parts, true);
        let calls: Vec<Value> = calls.into_iter().filter_map(|block| self.call(block)).collect();
        let nothing = || if self.is_answer || !calls.is_empty() { Value::Null } else { "".into() };
        if let Some(content) = content.or_else(|| (!self.own).then(nothing)) {
            put("content", content);
        }
        if !refusals.is_empty() {
            put("refusal", refusals.into_iter().map(words).collect::<String>().into());
        }
        if self.own || self.is_answer {
            let text: String = thoughts.iter().copied().map(words).collect();
            let details = details(&thoughts);
            if !text.is_empty() {
                put("reasoning_content", text.into());
            }
            if !details.is_empty() {
                put("reasoning_details", details.into());
            }
        } else {
            for block in thoughts {
                self.lose(block.at, "", "thoughts return only to the API that they came from");
            }
        }
        if !calls.is_empty() {
            put("tool_calls", calls.into());
        }
        if let Some(form) = extra.form(ME) {
            drop_synonyms(form, &mut message);
        }
        self.rest(extra, &mut message, |name| at.pointer("messages", "content", name));
        message
    }

    /// Writes content as it was, a string or a list of parts. Of another dialect's, text alone becomes a
    /// string where it is one block, or where `join` allows: strings are what every server understands.
    fn content(&mut self, blocks: &[&Block], join: bool) -> Option<Value> {
        let is_lost = |block: &&Block| !self.own && matches!(block.kind, Kind::Opaque { .. });
        let (lost, blocks): (Vec<&Block>, Vec<&Block>) = blocks.iter().copied().partition(is_lost);
        lost.into_iter().for_each(|block| self.lose(block.at, "", NO_BLOCK));
        let is_text = |block: &&Block| matches!(block.kind, Kind::Text(_));
        let is_plain = if self.own {
            blocks.iter().all(|block| block.at.part.is_none())
        } else {
            blocks.iter().all(is_text) && (join || blocks.len() == 1)
        };
        if is_plain && !blocks.is_empty() {
            for block in &blocks {
                self.hints(block);
            }
            return Some(blocks.iter().copied().map(words).collect::<String>().into());
        }
        let parts: Vec<Value> = blocks.iter().filter_map(|block| self.part(block)).collect();
        (!parts.is_empty()).then(|| parts.into())
    }

    fn part(&mut self, block: &Block) -> Option<Value> {
        if let Some(form) = block.extra.form(ME).filter(|form| !form.is_empty()) {
            return Some(Value::Object(form.clone()));
        }
        let written = match &block.kind {
            Kind::Text(text) => Some(json!({"type": "text", "text": text})),
            Kind::Refusal(text) => Some(json!({"type": "refusal", "refusal": text})),
            Kind::Opaque { dialect: ME, json } => return Some(json.clone()),
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => self.medium(&block.kind, media),
            _ => {
                self.lose(block.at, "", NO_BLOCK);
                return None;
            }
        };
        let Some(Value::Object(mut part)) = written else {
            self.lose(block.at, "source", NO_SOURCE);
            return None;
        };
        self.cache(block, &mut part);
        self.hints(block);
        let mut extra = block.extra.of(ME).cloned().unwrap_or_default();
        if let (Some(Value::Object(image)), Some(detail)) =
            (part.get_mut("image_url"), extra.shift_remove("detail"))
        {
            image.insert("detail".to_owned(), detail);
        }
        json::add(&mut part, Some(&extra));
        Some(Value::Object(part))
    }

    /// Writes a picture, a sound or a document, if this dialect takes it from where it is.
    fn medium(&self, kind: &Kind, Media { source, name }: &Media) -> Option<Value> {
        let url = match source {
            Source::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
            Source::Url(url) => Some(url.clone()),
            _ => None,
        };
        Some(match (kind, source) {
            (Kind::Image(_), _) => json!({"type": "image_url", "image_url": {"url": url?}}),
            (Kind::Audio(_), Source::Base64 { media_type, data }) => {
                let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
                let format = if !self.own && format == "mpeg" { "mp3" } else { format };
                json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
            }
            (Kind::File(_), Source::Text { data, .. }) => json!({"type": "text", "text": data}),
            (Kind::File(_), Source::Base64 { .. }) if !self.own => {
                let name = name.as_deref().unwrap_or("document.pdf");
                json!({"type": "file", "file": {"filename": name, "file_data": url?}})
            }
            (Kind::File(_), _) if self.own => {
                let mut file = Map::new();
                match source {
                    Source::FileId(id) => file.insert("file_id".to_owned(), id.as_str().into()),
                    _ => file.insert("file_data".to_owned(), url?.into()),
                };
                file.extend(name.clone().map(|name| ("filename".to_owned(), name.into())));
                json!({"type": "file", "file": file})
            }
            _ => return None,
        })
    }

    fn call(&mut self, block: &Block) -> Option<Value> {
        if let Some(form) = block.extra.form(ME).filter(|form| !form.is_empty()) {
            return Some(Value::Object(form.clone()));
        }
        self.hints(block);
        let Kind::ToolUse { id, name, input } = &block.kind else {
            return Some(match &block.kind {
                Kind::Opaque { json, .. } => json.clone(),
                _ => return None,
            });
        };
        // No arguments at all are an empty object to this dialect's clients and servers.
        let input = if input.is_empty() && !self.own { "{}" } else { input };
        let mut call = Map::new();
        call.insert("id".to_owned(), id.as_str().into());
        call.insert("type".to_owned(), "function".into());
        call.insert("function".to_owned(), json!({"name": name, "arguments": input}));
        json::add(&mut call, block.extra.of(ME));
        Some(Value::Object(call))
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, value)) = &tool.native {
            if *dialect != ME {
                self.losses.note(format!("/tools/{index}"), "another API's own tool");
            }
            return (*dialect == ME).then(|| value.clone());
        }
        let mut function = Map::new();
        function.insert("name".to_owned(), tool.name.as_str().into());
        let description = tool.description.as_deref();
        function.extend(description.map(|words| ("description".to_owned(), words.into())));
        function.extend(tool.schema.clone().map(|schema| ("parameters".to_owned(), schema)));
        function.extend(tool.strict.map(|strict| ("strict".to_owned(), strict.into())));
        let mut written = Map::new();
        written.insert("type".to_owned(), "function".into());
        written.insert("function".to_owned(), function.into());
        match &tool.cache {
            Some(_) if !self.own => self.losses.note(format!("/tools/{index}/cache_control"), NO_CACHE),
            cache => written.extend(cache.as_ref().map(|cache| ("cache_control".to_owned(), hint(cache)))),
        }
        self.rest(&tool.extra, &mut written, |name| format!("/tools/{index}/{name}"));
        Some(Value::Object(written))
    }

    fn choice(&mut self, wish: &Choose) -> Option<Value> {
        let written = choice(wish);
        if written.is_none() {
            self.losses.note("/tool_choice", "another API's own way to choose tools");
        }
        written
    }

    fn format(&mut self, wish: &Format) -> Option<Value> {
        let written = format(wish, self.own);
        if written.is_none() {
            self.losses.note("/response_format", "another API's own form of answer");
        }
        written
    }

    fn sampling(&mut self, wish: &Sampling, put: &mut dyn FnMut(&str, Option<Value>)) {
        let numbers = [
            ("temperature", &wish.temperature),
            ("top_p", &wish.top_p),
            ("top_k", &wish.top_k),
            ("frequency_penalty", &wish.frequency_penalty),
            ("presence_penalty", &wish.presence_penalty),
            ("seed", &wish.seed),
        ];
        for (name, number) in numbers {
            put(name, number.clone().map(Value::Number));
        }
        let stops = if self.own { usize::MAX } else { wire::STOPS_MAX };
        if wish.stop.len() > stops {
            self.losses.note("/stop_sequences", "OpenAI's chat API takes four stop sequences at most");
        }
        let stop: Vec<&str> = wish.stop.iter().take(stops).map(String::as_str).collect();
        put("stop", (!stop.is_empty()).then(|| stop.into()));
        put("n", wish.n.map(Value::from));
        put("logprobs", wish.logprobs.map(Value::from));
        put("top_logprobs", wish.top_logprobs.map(Value::from));
    }

    fn cache(&mut self, block: &Block, written: &mut Map<String, Value>) {
        if self.own {
            written.extend(block.cache.as_ref().map(|cache| ("cache_control".to_owned(), hint(cache))));
        }
    }

    /// Notes what a block loses beside what it says.
    fn hints(&mut self, block: &Block) {
        if block.cache.is_some() && !self.own {
            self.lose(block.at, "cache_control", NO_CACHE);
        }
        for name in block.extra.lost_to(ME) {
            self.lose(block.at, name, UNKNOWN);
        }
    }
}

/// The words of a block that has words.
fn words(block: &Block) -> &str {
    match &block.kind {
        Kind::Text(text) | Kind::Refusal(text) | Kind::Reasoning { text, .. } => text,
        _ => "",
    }
}

/// `reasoning_details` of the thoughts that are sealed.
fn details(thoughts: &[&Block]) -> Vec<Value> {
    let sealed = thoughts.iter().filter_map(|block| match &block.kind {
        Kind::Reasoning { text, seal: Some(seal) } => Some((text, seal)),
        _ => None,
    });
    sealed.enumerate().map(|(index, (text, seal))| wire::write_detail(text, seal, index)).collect()
}

fn hint(cache: &Cache) -> Value {
    let mut hint = Map::new();
    hint.insert("type".to_owned(), "ephemeral".into());
    hint.extend(cache.ttl.clone().map(|ttl| ("ttl".to_owned(), ttl.into())));
    hint.into()
}
