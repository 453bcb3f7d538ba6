//! Canonical form into bytes of the Responses API: requests, answers and errors.

use super::{
    read::ITEM,
    wire::{self, ME},
};
use crate::{
    Carried, Target,
    canon::{At, Block, Choose, Kind, Media, Message, Request, Role, Seal, Source, Tool, Turn},
    json::{self, object, put},
    openai,
    pen::{FOREIGN, NO_THOUGHTS, Notes},
};
use serde_json::{Map, Value, json};
use std::mem;

type Members = Map<String, Value>;

pub(super) use crate::openai::fault;

const NO_PLACE: &str = "the Responses API takes no such content here";

/// Writes a request. One that was read from this dialect is written as it was. One of another asks the
/// provider to keep nothing, and to seal its thoughts so that they can come back.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen(Notes::request(ME, request.from == ME));
    let (instructions, input) = pen.conversation(&request.turns);
    let mut body = object([
        ("model", json!(target.model)),
        ("instructions", instructions),
        ("input", input),
        ("stream", json!(request.stream)),
    ]);
    if !pen.0.own {
        let logprobs = request.sampling.logprobs == Some(true);
        let include = if logprobs { wire::INCLUDES } else { &[wire::SEALS] };
        put(&mut body, "include", Some(json!(include)));
        pen.0.sampling(request, wire::UNKNOWN);
    }
    body.extend(pen.settings(request));
    if !pen.0.own {
        body.entry("store").or_insert(Value::Bool(false));
    }
    pen.0.body(body, request.from)
}

/// The item that `blocks` of a request are, if they are one.
pub(super) fn item(role: Role, blocks: &[Block]) -> Option<Value> {
    let turn = Turn { blocks: blocks.to_vec(), ..Turn::new(role, At::default()) };
    let mut items = Pen(Notes::request(ME, true)).items(&turn);
    items.pop().filter(|_| items.is_empty())
}

/// Writes a whole answer to nobody knows what.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    reply(message, &wire::echo())
}

/// Writes a whole answer, with what it repeats of the request unless the provider said it.
pub(super) fn reply(message: &Message, echo: &Members) -> Carried<Vec<u8>> {
    let echo = if is_own(message) { Members::new() } else { echo.clone() };
    let Carried { value, losses } = answer(message, echo, None);
    Carried { value: json::bytes(&Value::Object(value)), losses }
}

/// The answer was read from this dialect.
pub(super) fn is_own(message: &Message) -> bool {
    message.extra.form(ME).is_some()
}

/// Writes an answer, or what there is of it so far, with a `status` of its own. What it says of the request
/// is in `echo`, unless the provider said it.
pub(super) fn answer(message: &Message, echo: Members, status: Option<&str>) -> Carried<Members> {
    let own = is_own(message);
    let mut pen = Pen(Notes::answer(ME, own));
    let choice = message.choices.iter().find(|choice| choice.index == 0);
    let (mut output, mut logprobs) = (Vec::new(), Vec::new());
    for (number, block) in choice.into_iter().flat_map(|choice| &choice.blocks).enumerate() {
        output.extend(block.seal.as_ref().map(|seal| seal_item(seal, &message.id, output.len())));
        output.extend(pen.answer_item(block, number, &message.id, output.len()));
    }
    message.choices.iter().filter(|choice| choice.index != 0).for_each(|other| {
        pen.0.losses.note(format!("/choices/{}", other.index), "the Responses API has one answer");
    });
    if let Some(choice) = choice.filter(|_| !own || status.is_none()) {
        let list = choice.logprobs.as_ref().and_then(|logprobs| logprobs.get("content")?.as_array());
        logprobs.extend(list.into_iter().flatten().cloned());
        pen.0.extra(&choice.extra, "");
    }
    let text = output.iter_mut().find_map(|item| item.pointer_mut("/content/0/logprobs"));
    if let Some(text) = text.filter(|text| wire::is_mute("", text)) {
        *text = logprobs.into();
    }
    pen.0.extra(&message.extra, "");
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let (stopped, details) = wire::write_stop(stop, own);
    let usage = message.usage.as_ref();
    let usage =
        if status.is_some() || (own && usage.is_none()) { Value::Null } else { wire::write_usage(usage) };
    let error = echo.get("error").cloned();
    let mut body = echo;
    body.extend(message.extra.form(ME).cloned().unwrap_or_default());
    json::add(&mut body, message.extra.of(ME));
    body.extend([("usage".to_owned(), usage), ("incomplete_details".to_owned(), details)]);
    body.extend(error.map(|error| ("error".to_owned(), error)));
    body.extend(object([
        ("id", json!(wire::response_id(&message.id, own))),
        ("created_at", json!(message.created.unwrap_or(0))),
        ("model", json!(message.model)),
        ("status", json!(status.unwrap_or(stopped))),
        ("output", output.into()),
    ]));
    Carried { value: body, losses: pen.0.losses }
}

/// Item `index` of the answer `id`, for the seal on what comes next: thoughts without words.
pub(super) fn seal_item(seal: &Seal, id: &str, index: usize) -> Value {
    let mut item = reasoning("", Some(seal));
    item.as_object_mut().into_iter().for_each(|item| put(item, "id", Some(wire::item_id("rs", id, index))));
    item
}

/// What of a request an answer repeats. A function has all its members there.
pub(super) fn echo(request: &Request) -> Members {
    let mut echo = wire::echo();
    for (name, value) in Pen(Notes::request(ME, true)).settings(request) {
        echo.entry(name).and_modify(|repeated| *repeated = value);
    }
    let tools = echo.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten();
    for tool in tools.filter_map(Value::as_object_mut).filter(|tool| tool.contains_key("name")) {
        json::fill(tool, &["description", "parameters", "strict"]);
    }
    echo
}

/// What a block becomes.
enum Piece {
    Part(Value),
    Item(Value),
    Nothing,
}

/// Writes a `tool_choice`.
pub(super) fn choice(wish: &Choose) -> Option<Value> {
    openai::write_choice(ME, wish, |name| json!({ "type": "function", "name": name }))
}

/// Writes, and notes what is lost.
pub(super) struct Pen(pub(super) Notes);

impl Pen {
    /// The instructions and the input. Another dialect's system prompt is the instructions where it is words
    /// and something else is said, as the API wants some input.
    fn conversation(&mut self, turns: &[Turn]) -> (Value, Value) {
        let own = self.0.own;
        let is_text = |block: &Block| matches!(block.kind, Kind::Text(_));
        let fits = |turn: &Turn| if own { turn.at.turn.is_none() } else { turn.blocks.iter().all(is_text) };
        let (leading, rest) = self.0.instructions(turns, |turn| turn.role == Role::System && fits(turn));
        let said: Vec<&Block> = leading.iter().flat_map(|turn| &turn.blocks).collect();
        let text: Vec<&str> = said.iter().map(|block| block.kind.words()).collect();
        said.iter().for_each(|block| self.0.hints(block));
        let instructions = if said.is_empty() { Value::Null } else { text.join("\n\n").into() };
        match rest {
            [only] if self.0.own && only.at.turn.is_none() => {
                (instructions, only.blocks.first().map(|block| block.kind.words()).into())
            }
            [] if self.0.own => (instructions, Value::Null),
            rest => (instructions, rest.iter().flat_map(|turn| self.items(turn)).collect()),
        }
    }

    fn items(&mut self, turn: &Turn) -> Vec<Value> {
        self.0.turn(turn);
        let (mut items, mut parts, mut place) = (Vec::new(), Vec::new(), None);
        for block in &turn.blocks {
            if place.replace(block.at.turn).is_some_and(|place| place != block.at.turn) {
                items.extend(self.message(turn.role, mem::take(&mut parts)));
            }
            let piece = match block.extra.form(ME).and_then(|form| form.get(ITEM)) {
                Some(Value::Null) => Piece::Nothing,
                Some(kept) => Piece::Item(kept.clone()),
                None => self.piece(block, turn.role),
            };
            match piece {
                Piece::Part(part) => parts.push((block.at.part.is_none(), part)),
                Piece::Item(item) => {
                    items.extend(self.message(turn.role, mem::take(&mut parts)));
                    items.push(item);
                }
                Piece::Nothing => {}
            }
        }
        items.extend(self.message(turn.role, mem::take(&mut parts)));
        items
    }

    /// A message of these parts; a string where it was one, and for another dialect's words alone.
    fn message(&self, role: Role, parts: Vec<(bool, Value)>) -> Option<Value> {
        let role = if role == Role::Tool { Role::User } else { role };
        let content = match parts.as_slice() {
            [] => return None,
            [(plain, part)] if *plain || !self.0.own => part.get("text").cloned(),
            _ => None,
        };
        let content = content.unwrap_or_else(|| parts.into_iter().map(|(_, part)| part).collect());
        Some(json!({ "role": role.word(), "content": content }))
    }

    /// Item `index` of the answer `id`; `None` where nothing is left of the block.
    pub(super) fn answer_item(
        &mut self,
        block: &Block,
        number: usize,
        id: &str,
        index: usize,
    ) -> Option<Value> {
        self.0.number = Some(number);
        let prefix = match block.kind {
            Kind::Reasoning { .. } => "rs",
            Kind::ToolUse { .. } => "fc",
            _ => "msg",
        };
        let id = wire::item_id(prefix, id, index);
        let kept = block.extra.form(ME).and_then(|form| form.get(ITEM));
        if let Some(kept) = kept {
            return Some(kept.clone()).filter(|kept| !kept.is_null());
        }
        match self.piece(block, Role::Assistant) {
            Piece::Part(mut part) => {
                if let (Value::Object(part), Kind::Text(_)) = (&mut part, &block.kind) {
                    part.extend(object([("annotations", json!([])), ("logprobs", json!([]))]));
                }
                let mut message = object([("id", json!(id)), ("type", "message".into())]);
                message.extend(object([("status", "completed".into()), ("role", "assistant".into())]));
                put(&mut message, "content", Some(json!([part])));
                Some(Value::Object(message))
            }
            Piece::Item(Value::Object(mut item)) => {
                let status = matches!(block.kind, Kind::ToolUse { .. }).then_some("completed");
                json::add(&mut item, Some(&object([("id", json!(id)), ("status", json!(status))])));
                Some(Value::Object(item))
            }
            _ => None,
        }
    }

    fn piece(&mut self, block: &Block, role: Role) -> Piece {
        self.0.hints(block);
        let (assistant, text) = (role == Role::Assistant, |words: &str, kind: &str| {
            Piece::Part(json!({ "type": kind, "text": words }))
        });
        let why = match &block.kind {
            Kind::Text(words) | Kind::Refusal(words) if words.is_empty() && !self.0.own && !self.0.answer => {
                return Piece::Nothing;
            }
            Kind::Refusal(words) if assistant => {
                return Piece::Part(json!({ "type": "refusal", "refusal": words }));
            }
            Kind::Text(words) if assistant => return text(words, "output_text"),
            Kind::Text(words) | Kind::Refusal(words) => return text(words, "input_text"),
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) if !assistant || self.0.own => {
                match self.medium(&block.kind, media) {
                    Some(part) => return Piece::Part(part),
                    None => NO_PLACE,
                }
            }
            Kind::ToolUse { id, name, input } => {
                let input = if input.is_empty() && (!self.0.own || self.0.answer) { "{}" } else { input };
                let kind = "function_call";
                return Piece::Item(json!({ "type": kind, "call_id": id, "name": name, "arguments": input }));
            }
            Kind::ToolResult { id, error, content, plain } => {
                if *error == Some(true) {
                    self.0.lose(block, "is_error", "the Responses API cannot say that a tool failed");
                }
                let output = self.output(content, *plain);
                return Piece::Item(
                    json!({ "type": "function_call_output", "call_id": id, "output": output }),
                );
            }
            Kind::Reasoning { text, seal } => {
                let fits = |seal: &Seal| seal.issuer == ME || self.0.answer;
                if seal.as_ref().map_or(self.0.own || self.0.answer, fits) {
                    return Piece::Item(reasoning(text, seal.as_ref()));
                }
                NO_THOUGHTS
            }
            Kind::Opaque { dialect: ME, json } if block.at.part.is_some() => {
                return Piece::Part(json.clone());
            }
            Kind::Opaque { dialect: ME, json } => return Piece::Item(json.clone()),
            Kind::Opaque { .. } => FOREIGN,
            _ => NO_PLACE,
        };
        self.0.lose(block, "", why);
        Piece::Nothing
    }

    /// What a tool gave: a string, or a list of parts where it is more than one text.
    fn output(&mut self, content: &[Block], plain: bool) -> Value {
        match content {
            [only] if plain || (!self.0.own && matches!(only.kind, Kind::Text(_))) => {
                self.0.hints(only);
                only.kind.words().into()
            }
            [] if !self.0.own => "".into(),
            many => many
                .iter()
                .filter_map(|block| match self.piece(block, Role::User) {
                    Piece::Part(part) | Piece::Item(part) => Some(part),
                    Piece::Nothing => None,
                })
                .collect(),
        }
    }

    /// Writes a picture, a sound or a document, if this dialect takes it from where it is.
    fn medium(&self, kind: &Kind, Media { source, name }: &Media) -> Option<Value> {
        let id = match source {
            Source::FileId(id) if self.0.own => Some(id),
            Source::Text { data, .. } => return Some(json!({ "type": "input_text", "text": data })),
            Source::FileId(_) => return None,
            Source::Base64 { .. } | Source::Url(_) => None,
        };
        let kind = match (kind, source) {
            (Kind::Audio(_), Source::Base64 { media_type, data }) => {
                return Some(openai::write_audio(media_type, data, self.0.own));
            }
            (Kind::Audio(_), _) => return None,
            (Kind::Image(_), _) => ["input_image", "image_url"],
            (_, Source::Base64 { .. }) => ["input_file", "file_data"],
            _ => ["input_file", "file_url"],
        };
        // The API wants a name where it gets the bytes.
        let unnamed = (kind[1] == "file_data" && !self.0.own).then_some("document.pdf");
        let name = name.as_deref().or(unnamed);
        let (url, name) = (json!(source.url()), json!(name));
        let part = [("type", json!(kind[0])), (kind[1], url), ("file_id", json!(id)), ("filename", name)];
        Some(Value::Object(object(part)))
    }

    /// All of a request but the model and what is said.
    fn settings(&mut self, request: &Request) -> Members {
        let tools = request.tools.iter().enumerate();
        let tools: Vec<Value> = tools.filter_map(|(index, tool)| self.tool(tool, index)).collect();
        let has_tools = self.0.own || !tools.is_empty();
        let choice = request.choice.as_ref().filter(|_| has_tools);
        let choice = choice.and_then(|wish| self.0.or_lose(self::choice(wish), "/tool_choice"));
        let own = self.0.own;
        let format = request.format.as_ref().map(|wish| openai::write_format(ME, wish, own, |held| held));
        let format = format.and_then(|format| self.0.or_lose(format, "/response_format")).unwrap_or_default();
        let effort = request.reasoning.as_ref().and_then(openai::write_effort);
        let inner = |name: &str, value: Value| if value.is_null() { value } else { json!({ name: value }) };
        let limit = request.limit.map(|limit| if self.0.own { limit } else { limit.max(wire::LIMIT_MIN) });
        if limit != request.limit {
            self.0.losses.note("/max_tokens", "the Responses API takes no limit under 16");
        }
        let (sampling, user) = (&request.sampling, openai::user(request, &mut self.0));
        let mut body = object([
            ("tools", if tools.is_empty() { Value::Null } else { tools.into() }),
            ("tool_choice", choice.unwrap_or_default()),
            ("parallel_tool_calls", json!(request.parallel.filter(|_| has_tools))),
            ("text", inner("format", format)),
            ("reasoning", inner("effort", json!(effort))),
            ("max_output_tokens", json!(limit)),
            ("temperature", json!(sampling.temperature)),
            ("top_p", json!(sampling.top_p)),
            ("top_logprobs", json!(sampling.top_logprobs)),
            ("user", json!(user)),
        ]);
        body.extend(request.extra.form(ME).cloned().unwrap_or_default());
        let (shared, extra) = openai::shared(request, ME);
        json::add(&mut body, Some(&shared));
        json::add(&mut body, extra.of(ME));
        self.0.extra(&extra, "");
        body
    }

    /// A function. This API is strict where it is not told otherwise, others are not.
    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, json)) = &tool.native {
            return self.0.native(*dialect, json, &format!("/tools/{index}"));
        }
        let mut json = object([("type", json!("function"))]);
        if self.0.own {
            json.extend(openai::write_function(tool, Value::Null));
        } else {
            json.extend(openai::write_function(tool, json!({ "type": "object", "properties": {} })));
            json.entry("strict").or_insert(Value::Bool(false));
        }
        json::add(&mut json, tool.extra.of(ME));
        self.0.tool(tool, index);
        Some(Value::Object(json))
    }
}

/// Another issuer's seal goes to a client, who brings it back, never to a provider of this dialect.
fn reasoning(text: &str, seal: Option<&Seal>) -> Value {
    let is_bare = text.is_empty() && seal.is_none_or(|seal| seal.redacted);
    let summary = if is_bare { json!([]) } else { json!([{ "type": "summary_text", "text": text }]) };
    let seal = seal.map(|seal| seal.kept(ME));
    let parts = [("type", json!("reasoning")), ("summary", summary), ("encrypted_content", json!(seal))];
    Value::Object(object(parts))
}
