//! Canonical form into bytes of the Responses API: requests, answers and errors.

use super::{
    read::ITEM,
    wire::{self, ME},
};
use crate::{
    Carried, Fault, FaultKind, Losses, Target,
    canon::{
        At, Block, Choose, Extra, Format, Kind, Media, Message, Request, Role, Sampling, Source, Tool, Turn,
    },
    json,
};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

const UNKNOWN: &str = "the Responses API has no such member";
const NO_PLACE: &str = "the Responses API takes no such content here";
const FOREIGN: &str = "only another API knows this";

/// Writes a request. One that was read from this dialect is written as it was. One of another asks the
/// provider to keep nothing, and to seal its thoughts so that they can come back.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(request.from == ME);
    let (instructions, input) = pen.conversation(&request.turns);
    let mut body = object([
        ("model", json!(target.model)),
        ("instructions", instructions),
        ("input", input),
        ("stream", json!(request.stream)),
    ]);
    if !pen.own {
        let logprobs = request.sampling.logprobs == Some(true);
        let include = if logprobs { wire::INCLUDES } else { &[wire::SEALS] };
        body.extend(object([("store", json!(false)), ("include", json!(include))]));
        pen.lose_sampling(&request.sampling);
    }
    body.extend(pen.settings(request));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

/// The item that `blocks` of a request are, if they are one.
pub(super) fn item(role: Role, blocks: &[Block]) -> Option<Value> {
    let turn = Turn {
        role,
        blocks: blocks.to_vec(),
        plain: false,
        at: At::default(),
        name: None,
        extra: Extra::NONE,
    };
    let mut items = Pen::new(true).items(&turn);
    items.pop().filter(|_| items.is_empty())
}

/// Writes a whole answer, with what it repeats of the request unless the provider said it.
pub(super) fn response(message: &Message, echo: &Members) -> Carried<Vec<u8>> {
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
    let mut pen = Pen::new(own);
    let choice = message.choices.iter().find(|choice| choice.index == 0);
    let (mut output, mut logprobs) = (Vec::new(), Vec::new());
    for (number, block) in choice.into_iter().flat_map(|choice| &choice.blocks).enumerate() {
        output.extend(pen.answer_item(block, number, &message.id, output.len()));
    }
    message.choices.iter().filter(|choice| choice.index != 0).for_each(|other| {
        pen.losses.note(format!("/choices/{}", other.index), "the Responses API has one answer");
    });
    if let Some(choice) = choice.filter(|_| !own || status.is_none()) {
        let list = choice.logprobs.as_ref().and_then(|logprobs| logprobs.get("content")?.as_array());
        logprobs.extend(list.into_iter().flatten().cloned());
        pen.lose_extra(&choice.extra, "");
    }
    let text = output.iter_mut().find_map(|item| item.pointer_mut("/content/0/logprobs"));
    if let Some(text) = text.filter(|text| wire::is_mute("", text)) {
        *text = logprobs.into();
    }
    pen.lose_extra(&message.extra, "");
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
    Carried { value: body, losses: pen.losses }
}

/// What of a request an answer repeats. A function has all its members there.
pub(super) fn echo(request: &Request) -> Members {
    let mut echo = wire::echo();
    for (name, value) in Pen::new(true).settings(request) {
        echo.entry(name).and_modify(|repeated| *repeated = value);
    }
    let tools = echo.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten();
    for tool in tools.filter_map(Value::as_object_mut).filter(|tool| tool.contains_key("name")) {
        for name in ["description", "parameters", "strict"] {
            tool.entry(name).or_insert(Value::Null);
        }
    }
    echo
}

/// Writes an error: <https://platform.openai.com/docs/guides/error-codes>
///
/// Where the provider refused the request itself, its own type and code say more than ours.
pub(super) fn fault(fault: &Fault) -> Value {
    let meaning = fault.kind.meaning();
    let upstream = fault.upstream.as_deref().filter(|_| fault.kind == FaultKind::BadRequest);
    let kind = upstream.and_then(|upstream| upstream.kind.as_deref()).unwrap_or(meaning.openai_type);
    let ours = Some(meaning.openai_code).filter(|code| !code.is_empty());
    let code = upstream.and_then(|upstream| upstream.code.as_deref()).or(ours);
    json!({ "error": { "message": fault.text(), "type": kind, "param": fault.param, "code": code } })
}

/// An object of the members that are not `null`.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Members {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The beginning of an item's id, by what it is.
fn prefix(kind: &Kind) -> &'static str {
    match kind {
        Kind::Reasoning { .. } => "rs",
        Kind::ToolUse { .. } => "fc",
        _ => "msg",
    }
}

/// What a block becomes.
enum Piece {
    Part(Value),
    Item(Value),
    Nothing,
}

/// Writes, and notes what is lost.
pub(super) struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    /// The number of the block, when an answer is written and not a request.
    answer: Option<usize>,
    pub(super) losses: Losses,
}

impl Pen {
    pub(super) fn new(own: bool) -> Self {
        Pen { own, answer: None, losses: Losses::new() }
    }

    fn lose(&mut self, block: &Block, member: &str, why: &'static str) {
        let pointer = match self.answer {
            Some(number) => format!("/content/{number}/{member}").trim_end_matches('/').to_owned(),
            None => block.at.pointer("messages", "content", member),
        };
        self.losses.note(pointer, why);
    }

    fn lose_extra(&mut self, extra: &Extra, pointer: &str) {
        for name in extra.lost_to(ME) {
            self.losses.note(format!("{pointer}/{name}"), UNKNOWN);
        }
    }

    /// The instructions and the input. Another dialect's system prompt is the instructions where it is words
    /// and something else is said, as the API wants some input.
    fn conversation(&mut self, turns: &[Turn]) -> (Value, Value) {
        let is_text = |block: &Block| matches!(block.kind, Kind::Text(_));
        let leads = |turn: &&Turn| {
            let fits = if self.own { turn.at.turn.is_none() } else { turn.blocks.iter().all(is_text) };
            turn.role == Role::System && fits
        };
        let count = turns.iter().take_while(leads).count();
        let (leading, rest) = turns.split_at(if count == turns.len() && !self.own { 0 } else { count });
        let said: Vec<&Block> = leading.iter().flat_map(|turn| &turn.blocks).collect();
        let text: Vec<&str> = said.iter().map(|block| words(block)).collect();
        said.iter().for_each(|block| self.hints(block));
        let instructions = if said.is_empty() { Value::Null } else { text.join("\n\n").into() };
        match rest {
            [only] if self.own && only.at.turn.is_none() => {
                (instructions, only.blocks.first().map(words).into())
            }
            [] if self.own => (instructions, Value::Null),
            rest => (instructions, rest.iter().flat_map(|turn| self.items(turn)).collect()),
        }
    }

    fn items(&mut self, turn: &Turn) -> Vec<Value> {
        let pointer = At { part: None, ..turn.at }.pointer("messages", "content", "");
        if turn.name.is_some() {
            self.losses.note(format!("{pointer}/name"), UNKNOWN);
        }
        self.lose_extra(&turn.extra, &pointer);
        let (mut items, mut parts, mut place) = (Vec::new(), Vec::new(), None);
        for block in &turn.blocks {
            if place.replace(block.at.turn).is_some_and(|place| place != block.at.turn) {
                items.extend(self.message(turn.role, block_list(&mut parts)));
            }
            let piece = match block.extra.form(ME).and_then(|form| form.get(ITEM)) {
                Some(Value::Null) => Piece::Nothing,
                Some(kept) => Piece::Item(kept.clone()),
                None => self.piece(block, turn.role),
            };
            match piece {
                Piece::Part(part) => parts.push((block.at.part.is_none(), part)),
                Piece::Item(item) => {
                    items.extend(self.message(turn.role, block_list(&mut parts)));
                    items.push(item);
                }
                Piece::Nothing => {}
            }
        }
        items.extend(self.message(turn.role, block_list(&mut parts)));
        items
    }

    /// A message of these parts; a string where it was one, and for another dialect's words alone.
    fn message(&self, role: Role, parts: Vec<(bool, Value)>) -> Option<Value> {
        let role = match role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let content = match parts.as_slice() {
            [] => return None,
            [(plain, part)] if *plain || !self.own => part.get("text").cloned(),
            _ => None,
        };
        let content = content.unwrap_or_else(|| parts.into_iter().map(|(_, part)| part).collect());
        Some(json!({ "role": role, "content": content }))
    }

    /// Item `index` of the answer `id`; `None` where nothing is left of the block.
    pub(super) fn answer_item(
        &mut self,
        block: &Block,
        number: usize,
        id: &str,
        index: usize,
    ) -> Option<Value> {
        self.answer = Some(number);
        let id = wire::item_id(prefix(&block.kind), id, index);
        let kept = block.extra.form(ME).and_then(|form| form.get(ITEM));
        if let Some(kept) = kept {
            return Some(kept.clone()).filter(|kept| !kept.is_null());
        }
        match self.piece(block, Role::Assistant) {
            Piece::Part(mut part) => {
                if let (Value::Object(part), Kind::Text(_)) = (&mut part, &block.kind) {
                    part.extend(object([("annotations", json!([])), ("logprobs", json!([]))]));
                }
                let (kind, status) = ("message", "completed");
                Some(
                    json!({ "id": id, "type": kind, "status": status, "role": "assistant", "content": [part] }),
                )
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
        self.hints(block);
        let (assistant, text) = (role == Role::Assistant, |words: &str, kind: &str| {
            Piece::Part(json!({ "type": kind, "text": words }))
        });
        let why = match &block.kind {
            Kind::Text(words) | Kind::Refusal(words)
                if words.is_empty() && !self.own && self.answer.is_none() =>
            {
                return Piece::Nothing;
            }
            Kind::Refusal(words) if assistant => {
                return Piece::Part(json!({ "type": "refusal", "refusal": words }));
            }
            Kind::Text(words) if assistant => return text(words, "output_text"),
            Kind::Text(words) | Kind::Refusal(words) => return text(words, "input_text"),
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) if !assistant || self.own => {
                match self.medium(&block.kind, media) {
                    Some(part) => return Piece::Part(part),
                    None => NO_PLACE,
                }
            }
            Kind::ToolUse { id, name, input } => {
                let input =
                    if input.is_empty() && (!self.own || self.answer.is_some()) { "{}" } else { input };
                let kind = "function_call";
                return Piece::Item(json!({ "type": kind, "call_id": id, "name": name, "arguments": input }));
            }
            Kind::ToolResult { id, error, content, plain } => {
                if *error == Some(true) {
                    self.lose(block, "is_error", "the Responses API cannot say that a tool failed");
                }
                let output = self.output(content, *plain);
                return Piece::Item(
                    json!({ "type": "function_call_output", "call_id": id, "output": output }),
                );
            }
            Kind::Reasoning { text, seal } => {
                let (foreign, seal) = (seal.is_some(), seal.as_ref().filter(|seal| seal.issuer == ME));
                if self.answer.is_some() && foreign && seal.is_none() {
                    self.lose(block, "signature", "another API's seal");
                }
                let seal = seal.map(|seal| seal.data.as_str());
                if self.own || self.answer.is_some() || seal.is_some() {
                    return Piece::Item(reasoning(text, seal));
                }
                "thoughts return only to the API that sealed them"
            }
            Kind::Opaque { dialect: ME, json } if block.at.part.is_some() => {
                return Piece::Part(json.clone());
            }
            Kind::Opaque { dialect: ME, json } => return Piece::Item(json.clone()),
            Kind::Opaque { .. } => FOREIGN,
            _ => NO_PLACE,
        };
        self.lose(block, "", why);
        Piece::Nothing
    }

    /// What a tool gave: a string, or a list of parts where it is more than one text.
    fn output(&mut self, content: &[Block], plain: bool) -> Value {
        match content {
            [only] if plain || (!self.own && matches!(only.kind, Kind::Text(_))) => {
                self.hints(only);
                words(only).into()
            }
            [] if !self.own => "".into(),
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
        let (url, id) = match source {
            Source::Base64 { media_type, data } => (Some(format!("data:{media_type};base64,{data}")), None),
            Source::Url(url) => (Some(url.clone()), None),
            Source::FileId(id) if self.own => (None, Some(id)),
            Source::Text { data, .. } => return Some(json!({ "type": "input_text", "text": data })),
            Source::FileId(_) => return None,
        };
        let kind = match (kind, source) {
            (Kind::Audio(_), Source::Base64 { media_type, data }) => {
                let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
                let format = if !self.own && format == "mpeg" { "mp3" } else { format };
                return Some(
                    json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } }),
                );
            }
            (Kind::Audio(_), _) => return None,
            (Kind::Image(_), _) => ["input_image", "image_url"],
            (_, Source::Base64 { .. }) => ["input_file", "file_data"],
            _ => ["input_file", "file_url"],
        };
        // The API wants a name where it gets the bytes.
        let unnamed = (kind[1] == "file_data" && !self.own).then_some("document.pdf");
        let name = name.as_deref().or(unnamed);
        let part = [("type", json!(kind[0])), (kind[1], json!(url)), ("file_id", json!(id))];
        let mut part = object(part);
        part.extend(object([("filename", json!(name))]));
        Some(Value::Object(part))
    }

    /// Notes what a block loses beside what it says.
    fn hints(&mut self, block: &Block) {
        if block.cache.is_some() {
            self.lose(block, "cache_control", "the Responses API has no cache hints");
        }
        for name in block.extra.lost_to(ME) {
            self.lose(block, name, UNKNOWN);
        }
    }

    /// All of a request but the model and what is said.
    fn settings(&mut self, request: &Request) -> Members {
        let tools = request.tools.iter().enumerate();
        let tools: Vec<Value> = tools.filter_map(|(index, tool)| self.tool(tool, index)).collect();
        let has_tools = self.own || !tools.is_empty();
        let choice = request.choice.as_ref().filter(|_| has_tools).map(|choice| self.choice(choice));
        let format = request.format.as_ref().map(|format| self.format(format)).unwrap_or_default();
        let effort = request.reasoning.as_ref().and_then(wire::write_effort);
        let inner = |name: &str, value: Value| if value.is_null() { value } else { json!({ name: value }) };
        let sampling = &request.sampling;
        // Anthropic's clients send ids that OpenAI refuses the whole request for.
        let user = request.user.as_deref().filter(|user| self.own || user.len() <= wire::USER_MAX);
        if user.is_none() && request.user.is_some() {
            self.losses.note("/metadata/user_id", "the Responses API takes 64 characters at most");
        }
        let mut body = object([
            ("tools", if tools.is_empty() { Value::Null } else { tools.into() }),
            ("tool_choice", choice.unwrap_or_default()),
            ("parallel_tool_calls", json!(request.parallel.filter(|_| has_tools))),
            ("text", inner("format", format)),
            ("reasoning", inner("effort", json!(effort))),
            ("max_output_tokens", self.limit(request.limit)),
            ("temperature", json!(sampling.temperature)),
            ("top_p", json!(sampling.top_p)),
            ("top_logprobs", json!(sampling.top_logprobs)),
            ("user", json!(user)),
        ]);
        body.extend(request.extra.form(ME).cloned().unwrap_or_default());
        json::add(&mut body, request.extra.of(ME));
        self.lose_extra(&request.extra, "");
        body
    }

    /// A function. This API is strict where it is not told otherwise, others are not.
    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, json)) = &tool.native {
            if *dialect != ME {
                self.losses.note(format!("/tools/{index}"), FOREIGN);
            }
            return Some(json.clone()).filter(|_| *dialect == ME);
        }
        let other = !self.own;
        let schema = || other.then(|| json!({ "type": "object", "properties": {} }));
        let mut json = object([
            ("type", json!("function")),
            ("name", json!(tool.name)),
            ("description", json!(tool.description)),
            ("parameters", json!(tool.schema.clone().or_else(schema))),
            ("strict", json!(tool.strict.or(other.then_some(false)))),
        ]);
        if tool.cache.is_some() {
            self.losses.note(format!("/tools/{index}/cache_control"), UNKNOWN);
        }
        json::add(&mut json, tool.extra.of(ME));
        self.lose_extra(&tool.extra, &format!("/tools/{index}"));
        Some(Value::Object(json))
    }

    fn choice(&mut self, choice: &Choose) -> Value {
        match choice {
            Choose::Auto => "auto".into(),
            Choose::None => "none".into(),
            Choose::Required => "required".into(),
            Choose::Tool(name) => json!({ "type": "function", "name": name }),
            Choose::Native(ME, value) => value.clone(),
            Choose::Native(..) => {
                self.losses.note("/tool_choice", FOREIGN);
                Value::Null
            }
        }
    }

    /// The form of the answer. A schema must have a name.
    fn format(&mut self, format: &Format) -> Value {
        match format {
            Format::Text => json!({ "type": "text" }),
            Format::Json => json!({ "type": "json_object" }),
            Format::Schema { name, description, schema, strict } => Value::Object(object([
                ("type", json!("json_schema")),
                ("name", json!(name.as_deref().unwrap_or("answer"))),
                ("description", json!(description)),
                ("schema", schema.clone()),
                ("strict", json!(strict)),
            ])),
            Format::Native(ME, value) => value.clone(),
            Format::Native(..) => {
                self.losses.note("/response_format", FOREIGN);
                Value::Null
            }
        }
    }

    fn limit(&mut self, limit: Option<u64>) -> Value {
        if !self.own && limit.is_some_and(|limit| limit < wire::LIMIT_MIN) {
            self.losses.note("/max_tokens", "the Responses API takes no limit under 16");
            return wire::LIMIT_MIN.into();
        }
        json!(limit)
    }

    /// Notes the wishes that have no place here; one that asks for nothing is no loss.
    fn lose_sampling(&mut self, sampling: &Sampling) {
        let asks =
            |number: &Option<serde_json::Number>| number.as_ref().is_some_and(|n| n.as_f64() != Some(0.0));
        let lost = [
            ("/stop", !sampling.stop.is_empty()),
            ("/top_k", sampling.top_k.is_some()),
            ("/frequency_penalty", asks(&sampling.frequency_penalty)),
            ("/presence_penalty", asks(&sampling.presence_penalty)),
            ("/seed", sampling.seed.is_some()),
            ("/n", sampling.n.is_some_and(|n| n > 1)),
        ];
        for (pointer, _) in lost.into_iter().filter(|(_, lost)| *lost) {
            self.losses.note(pointer, UNKNOWN);
        }
    }
}

fn block_list(parts: &mut Vec<(bool, Value)>) -> Vec<(bool, Value)> {
    std::mem::take(parts)
}

/// The words of a block that has words.
fn words(block: &Block) -> &str {
    match &block.kind {
        Kind::Text(text) | Kind::Refusal(text) => text,
        _ => "",
    }
}

fn reasoning(text: &str, seal: Option<&str>) -> Value {
    let summary = if text.is_empty() { json!([]) } else { json!([{ "type": "summary_text", "text": text }]) };
    let parts = [("type", json!("reasoning")), ("summary", summary), ("encrypted_content", json!(seal))];
    Value::Object(object(parts))
}
