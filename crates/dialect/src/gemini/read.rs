//! Gemini API into canonical form: requests, answers and errors.
//!
//! Where a thing would be written in another way than it stood (its spelling included), what stood there is
//! kept as its form, so a body comes back as it was.

use super::{
    wire::{self, ME},
    write,
};
use crate::{
    Fault,
    canon::{
        At, Block, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Sampling,
        Seal, Source, Stop, StopReason, Tool, Turn,
    },
    error_body,
    json::{self, Object, bounded, put, wrong},
    limits::{CHOICES_MAX, PARTS_MAX, TOOLS_MAX, TURNS_MAX},
    schema, shape,
};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// Reads a request: <https://ai.google.dev/api/generate-content#request-body>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    body_of(Object::proto(json::parse(body)?, "")?)
}

/// Reads a request to count tokens, which may hold the whole request in a member:
/// <https://ai.google.dev/api/tokens#method:-models.counttokens>
pub(super) fn count_request(body: &[u8]) -> Result<Request, Fault> {
    let mut body = Object::proto(json::parse(body)?, "")?;
    let inner = body.object("generateContentRequest")?;
    body_of(inner.unwrap_or(body))
}

fn body_of(mut object: Object) -> Result<Request, Fault> {
    let mut kept = Members::new();
    // The path tells the model; a body may tell it too.
    for name in ["systemInstruction", "tools", "toolConfig", "generationConfig", "model"] {
        let there = object.peek(name).filter(|value| !value.is_null()).cloned();
        put(&mut kept, &object.spelling(name), there);
    }
    object.take("model");
    put(&mut kept, "contents", object.peek("contents").filter(|contents| contents.is_object()).cloned());
    let mut request = Request::new(ME, "");
    let mut ids = Ids::default();
    if let Some(system) = object.take("systemInstruction") {
        request.turns.push(turn(system, None, object.at("systemInstruction"), &mut ids)?);
    }
    request.tools = tools(&mut object)?;
    request.choice = object.nested("toolConfig", choice)?;
    object.nested("generationConfig", |config| generation(config, &mut request))?;
    let pointer = object.at("contents");
    let contents = object.take("contents").ok_or_else(|| Fault::bad(&pointer, "`contents` is missing"))?;
    let contents = listed(contents);
    bounded(&pointer, contents.len(), TURNS_MAX)?;
    for (index, content) in (0..).zip(contents) {
        request.turns.push(turn(content, Some(index), format!("{pointer}/{index}"), &mut ids)?);
    }
    bounded(&pointer, request.turns.iter().map(|turn| turn.blocks.len()).sum(), PARTS_MAX)?;
    request.extra = Extra::with_form(ME, object.rest(), kept);
    Ok(request)
}

/// A list, or the one thing that would stand in it: protocol buffers take both.
fn listed(value: Value) -> Vec<Value> {
    if let Value::Array(list) = value { list } else { vec![value] }
}

/// Ids of calls and of their results. A call without one gets one from its place.
#[derive(Default)]
pub(super) struct Ids {
    base: String,
    count: usize,
    /// Names and ids of the calls of the last answer that have no result yet.
    open: Vec<(String, String)>,
}

impl Ids {
    /// For choice `index` of the answer with that id.
    pub(super) fn of_answer(id: &str, index: u32) -> Self {
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        Ids { base: format!("{id}_{index}_"), ..Ids::default() }
    }

    pub(super) fn call(&mut self, name: &str, id: Option<String>) -> String {
        let made = format!("{}{}{}", wire::DERIVED, self.base, self.count);
        let id = id.filter(|id| !id.is_empty()).unwrap_or(made);
        self.count += 1;
        self.open.push((name.to_owned(), id.clone()));
        id
    }

    /// A result without an id is that of the first call of its name that has none.
    fn result(&mut self, name: &str, id: Option<String>) -> String {
        let id = id.filter(|id| !id.is_empty());
        let is_its = |(call, known): &(String, String)| id.as_ref().map_or(call == name, |id| known == id);
        let known = self.open.iter().position(is_its).map(|place| self.open.remove(place).1);
        id.or(known).unwrap_or_else(|| self.call(name, None))
    }
}

/// Reads one content, or the system instruction, which has no `index`.
fn turn(value: Value, index: Option<u32>, pointer: String, ids: &mut Ids) -> Result<Turn, Fault> {
    let at = At { turn: index, part: None };
    let role = if index.is_some() { Role::User } else { Role::System };
    let mut turn = Turn::new(role, at);
    if let (Value::String(text), None) = (&value, index) {
        turn.blocks.push(Block { at, ..Block::new(Kind::Text(text.clone())) });
        return Ok(Turn { plain: true, ..turn });
    }
    let mut object = Object::proto(value, pointer)?;
    // `null` stands for a member that was not there.
    let mut kept = Members::new();
    match object.string("role")?.as_deref() {
        _ if index.is_none() => {}
        Some("user") => {}
        Some("model") => {
            turn.role = Role::Assistant;
            ids.open.clear();
        }
        None => put(&mut kept, "role", Some(Value::Null)),
        Some(role @ ("function" | "tool")) => put(&mut kept, "role", Some(role)),
        Some(role) => {
            let fault = Fault::bad(object.at("role"), format!("`{role}` is no role"));
            return Err(fault.hint("roles are `user` and `model`"));
        }
    }
    let pointer = object.at("parts");
    match object.take("parts") {
        None => put(&mut kept, "parts", Some(Value::Null)),
        Some(parts) => {
            put(&mut kept, "parts", Some(&parts).filter(|parts| parts.is_object()).cloned());
            for (number, value) in (0..).zip(listed(parts)) {
                let at = At { part: Some(number), ..at };
                turn.blocks.push(Block { at, ..part(value, &format!("{pointer}/{number}"), ids)? });
            }
        }
    }
    turn.extra = Extra::with_form(ME, object.rest(), kept);
    Ok(turn)
}

/// Reads one part of a request or an answer. One that canonical form cannot hold is kept whole.
pub(super) fn part(value: Value, pointer: &str, ids: &mut Ids) -> Result<Block, Fault> {
    let Value::Object(mut original) = value else { return Err(wrong(pointer, "an object", &value)) };
    let mut object = Object::proto(Value::Object(original.clone()), pointer)?;
    let is_thought = object.peek("thought").is_some_and(|thought| thought == true);
    let is_alone = !is_thought && object.peek("text").is_some_and(|text| text == "");
    let signature = object.string("thoughtSignature")?.filter(|signature| !signature.is_empty());
    let seal = signature.map(|signature| Seal::brought(&signature, ME, is_alone));
    if seal.as_ref().is_some_and(|seal| seal.issuer != ME) {
        original.retain(|name, _| name != "thoughtSignature" && name != "thought_signature");
    }
    let Some(kind) = kind(&mut object, is_thought, ids)? else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: Value::Object(original) }));
    };
    if object.peek("thought").is_some_and(Value::is_boolean) {
        object.take("thought");
    }
    let mut block = match (kind, seal) {
        (Kind::Reasoning { text, .. }, seal) => Block::new(Kind::Reasoning { text, seal }),
        (Kind::Text(text), Some(seal)) if is_alone => Block::new(Kind::Reasoning { text, seal: Some(seal) }),
        (kind, seal) => Block { seal, ..Block::new(kind) },
    };
    let rest = object.rest();
    block.extra = Extra::new(ME, rest.clone());
    if write::own_part(&block).as_ref() != Some(&original) {
        block.extra = Extra::with_form(ME, rest, original);
    }
    Ok(block)
}

/// What a part is; of thoughts only words are known.
fn kind(part: &mut Object, is_thought: bool, ids: &mut Ids) -> Result<Option<Kind>, Fault> {
    if let Some(text) = part.string("text")? {
        return Ok(Some(if is_thought { Kind::Reasoning { text, seal: None } } else { Kind::Text(text) }));
    }
    let held = ["functionCall", "functionResponse", "inlineData", "fileData"];
    match held.into_iter().find(|name| part.peek(name).is_some_and(Value::is_object)) {
        Some(name) if !is_thought => part.nested(name, |inner| match name {
            "functionCall" => call(inner, ids).map(Some),
            "functionResponse" => result(inner, ids).map(Some),
            _ => medium(inner),
        }),
        _ => Ok(None),
    }
}

fn call(call: &mut Object, ids: &mut Ids) -> Result<Kind, Fault> {
    let name = call.string("name")?.unwrap_or_default();
    let input = call.object("args")?.map(|args| Value::Object(args.rest()).to_string());
    let id = ids.call(&name, call.string("id")?);
    Ok(Kind::ToolUse { id, name, input: input.unwrap_or_default() })
}

fn result(result: &mut Object, ids: &mut Ids) -> Result<Kind, Fault> {
    let name = result.string("name")?.unwrap_or_default();
    let id = ids.result(&name, result.string("id")?);
    let (text, error) = match result.take("response") {
        Some(Value::Object(response)) => words_of(&response),
        Some(Value::String(text)) => (text, None),
        other => (other.map(|other| other.to_string()).unwrap_or_default(), None),
    };
    let mut content = vec![Block::new(Kind::Text(text))];
    let pointer = result.at("parts");
    for (number, value) in result.list("parts")?.into_iter().flatten().enumerate() {
        content.push(part(value, &format!("{pointer}/{number}"), ids)?);
    }
    Ok(Kind::ToolResult { id, error, plain: content.len() == 1, content })
}

/// What a function's response says, and whether it is an error. Text stands in an object of its own, as
/// Google's own libraries put it: <https://ai.google.dev/api/caching#FunctionResponse>
pub(super) fn words_of(response: &Members) -> (String, Option<bool>) {
    let only = response.iter().next().filter(|_| response.len() == 1);
    match only.map(|(name, value)| (name.as_str(), value)) {
        Some(("result" | "output", Value::String(text))) => (text.clone(), None),
        Some(("error", Value::String(text))) => (text.clone(), Some(true)),
        _ => (Value::Object(response.clone()).to_string(), None),
    }
}

/// Reads a picture, a sound, a film or a document. One that was uploaded before lies at Google.
fn medium(held: &mut Object) -> Result<Option<Kind>, Fault> {
    let media_type = held.string("mimeType")?.unwrap_or_default();
    let family = media_type.split('/').next().unwrap_or_default().to_owned();
    let source = match (held.string("data")?, held.string("fileUri")?) {
        (Some(data), _) => Source::Base64 { media_type, data },
        (None, Some(uri)) if uri.starts_with("http") && !uri.contains("googleapis.com/v1") => {
            Source::Url(uri)
        }
        (None, Some(uri)) => Source::FileId(uri),
        (None, None) => return Ok(None),
    };
    let media = Media { source, name: held.string("displayName")? };
    Ok(Some(match family.as_str() {
        "image" => Kind::Image(media),
        "audio" => Kind::Audio(media),
        _ => Kind::File(media),
    }))
}

/// Reads `tools`: each entry holds functions, or a tool of Google's own under its name.
fn tools(body: &mut Object) -> Result<Vec<Tool>, Fault> {
    let pointer = body.at("tools");
    let entries = body.take("tools").map(listed);
    let mut tools = Vec::new();
    for (index, value) in entries.into_iter().flatten().enumerate() {
        let mut entry = Object::proto(value, format!("{pointer}/{index}"))?;
        let functions = entry.take("functionDeclarations").map(listed);
        for (number, value) in functions.into_iter().flatten().enumerate() {
            tools.push(function(value, format!("{}/{number}", entry.at("functionDeclarations")))?);
        }
        for native in entry.rest().into_iter().filter(|(_, value)| !value.is_null()) {
            let native = Some((ME, Value::Object(Map::from_iter([native]))));
            tools.push(Tool { native, ..Tool::default() });
        }
    }
    bounded(&pointer, tools.len(), TOOLS_MAX)?;
    Ok(tools)
}

fn function(value: Value, pointer: String) -> Result<Tool, Fault> {
    let mut object = Object::proto(value, pointer)?;
    let name = object.need_string("name")?;
    let description = object.string("description")?;
    let whole = object.take("parametersJsonSchema");
    let schema = whole.or_else(|| object.take("parameters").map(schema::from_open_api));
    Ok(Tool { name, description, schema, extra: object.extra(ME), ..Tool::default() })
}

/// Reads what is in `toolConfig`: <https://ai.google.dev/api/caching#FunctionCallingConfig>
fn choice(config: &mut Object) -> Result<Option<Choose>, Fault> {
    let Some(calling) = config.object("functionCallingConfig")? else { return Ok(None) };
    let mode = calling.peek("mode").and_then(Value::as_str).unwrap_or("AUTO").to_ascii_uppercase();
    let names = calling.peek("allowedFunctionNames").and_then(Value::as_array).map(Vec::as_slice);
    Ok(Some(match (mode.as_str(), names.unwrap_or_default()) {
        ("AUTO", []) => Choose::Auto,
        ("NONE", _) => Choose::None,
        ("ANY", []) => Choose::Required,
        ("ANY", [Value::String(name)]) => Choose::Tool(name.clone()),
        _ => Choose::Native(ME, Value::Object(calling.rest())),
    }))
}

/// Reads `generationConfig`: <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>
fn generation(config: &mut Object, request: &mut Request) -> Result<(), Fault> {
    request.sampling = Sampling {
        stop: config.strings("stopSequences")?,
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.number("topK")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        presence_penalty: config.number("presencePenalty")?,
        seed: config.number("seed")?,
        n: config.small("candidateCount", CHOICES_MAX)?,
        logprobs: config.boolean("responseLogprobs")?,
        top_logprobs: config.small("logprobs", u32::MAX)?,
    };
    request.limit = config.whole("maxOutputTokens")?;
    request.reasoning = config.nested("thinkingConfig", thinking)?;
    request.format = format(config);
    Ok(())
}

/// Reads `thinkingConfig`: <https://ai.google.dev/gemini-api/docs/thinking>. Others tell thoughts unasked.
fn thinking(config: &mut Object) -> Result<Option<Reasoning>, Fault> {
    config.take("includeThoughts");
    if let Some(level) = config.string("thinkingLevel")? {
        return Ok(Some(Reasoning::Effort(wire::read_effort(&level))));
    }
    let reasoning = match config.peek("thinkingBudget").and_then(Value::as_i64) {
        Some(-1) => Reasoning::Adaptive(None),
        Some(0) => Reasoning::Off,
        Some(tokens) if tokens > 0 => Reasoning::Budget(tokens.unsigned_abs()),
        _ => return Ok(None),
    };
    config.take("thinkingBudget");
    Ok(Some(reasoning))
}

/// Reads the form of the answer: <https://ai.google.dev/gemini-api/docs/structured-output>
fn format(config: &mut Object) -> Option<Format> {
    let read = match config.peek("responseMimeType")?.as_str()? {
        "text/plain" => Format::Text,
        "application/json" => {
            let whole = config.take("responseJsonSchema");
            let schema = whole.or_else(|| config.take("responseSchema").map(schema::from_open_api));
            let strict = |schema| Format::Schema { name: None, description: None, schema, strict: None };
            schema.map_or(Format::Json, strict)
        }
        _ => return None,
    };
    config.take("responseMimeType");
    Some(read)
}

/// Reads a whole answer: <https://ai.google.dev/api/generate-content#generatecontentresponse>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    shape::answer(body, fault_in, message)
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut object = Object::new(value, "")?;
    let id = object.string("responseId")?.unwrap_or_default();
    let model = object.string("modelVersion")?.unwrap_or_default();
    let usage = object.object("usageMetadata")?.map(|usage| wire::read_usage(usage.rest()));
    let mut choices = Vec::new();
    for (position, value) in object.list("candidates")?.into_iter().flatten().enumerate() {
        choices.push(candidate(value, position, &id)?);
    }
    if choices.is_empty() {
        let stop = object.peek("promptFeedback").and_then(blocked);
        let stop = Some(stop.ok_or_else(|| Fault::bad("/candidates", "`candidates` is missing"))?);
        choices.push(Choice { stop, ..Choice::new(0) });
    }
    Ok(Message { id, model, choices, usage, extra: extra(object.rest()), ..Message::new(ME) })
}

/// What a filter said of a prompt that got no answer. The provider took it and may charge for it, so it is
/// an answer without words and not an error.
pub(super) fn blocked(feedback: &Value) -> Option<Stop> {
    let word = |name: &str| feedback.get(name).and_then(Value::as_str);
    let reason = word("blockReason").or_else(|| word("blockReasonMessage").map(|_| "OTHER"))?;
    Some(Stop::new(StopReason::ContentFilter, reason))
}

/// What is left of an answer, a candidate or a piece. How it came about is no loss to others.
pub(super) fn extra(mut rest: Members) -> Extra {
    let names = [
        "promptFeedback",
        "createTime",
        "safetyRatings",
        "avgLogprobs",
        "finishMessage",
        "modelVersion",
        "tokenCount",
    ];
    let diagnosis = names.into_iter().filter_map(|name| rest.shift_remove_entry(name)).collect();
    Extra::with_form(ME, rest, diagnosis)
}

fn candidate(value: Value, position: usize, id: &str) -> Result<Choice, Fault> {
    let mut object = Object::new(value, format!("/candidates/{position}"))?;
    let index = object.whole("index")?.and_then(|index| u32::try_from(index).ok());
    let index = index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
    let mut ids = Ids::of_answer(id, index);
    let blocks: Vec<Block> = object.nested("content", |content| {
        content.take("role");
        let pointer = content.at("parts");
        let parts = content.list("parts")?.into_iter().flatten().enumerate();
        parts.map(|(number, value)| part(value, &format!("{pointer}/{number}"), &mut ids)).collect()
    })?;
    // A content without anything says nothing.
    let _ = object.peek("content").is_some_and(|content| *content == json!({}))
        && object.take("content").is_some();
    let called = blocks.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
    let stop = Some(wire::read_stop(&object.string("finishReason")?.unwrap_or_default(), called));
    Ok(Choice { blocks, stop, extra: extra(object.rest()), ..Choice::new(index) })
}

/// The error inside an answer or a piece of a stream that came under the status 200, if it is one. Without
/// `alt=sse` it is the only element of a list.
pub(super) fn fault_in(value: &Value) -> Option<Fault> {
    let error = value.get(0).unwrap_or(value).get("error");
    error.filter(|error| !error.is_null()).map(|_| error_body::told(200, value))
}
