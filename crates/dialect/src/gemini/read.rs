//! Gemini API into canonical form: requests, answers and errors.
//!
//! What is read is written again at once, and where that gives another thing than what stood there, what
//! stood there is kept as its form. So a body comes back as it was, whatever its spelling.

use super::{
    wire::{self, ME},
    write,
};
use crate::{
    Fault, FaultKind,
    canon::{
        At, Block, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Sampling,
        Source, Stop, StopReason, Tool, Turn,
    },
    fault::{Upstream, kind_of_status},
    json::{self, Object, wrong},
    limits::{CHOICES_MAX, FAULT_TEXT_MAX, PARTS_MAX, TOOLS_MAX, TURNS_MAX},
};
use serde_json::{Map, Value};

type Members = Map<String, Value>;

/// Reads a request: <https://ai.google.dev/api/generate-content#request-body>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    body_of(Object::new(json::parse(body)?, "")?.rest(), "")
}

/// Reads a request to count tokens, which may hold the whole request in a member:
/// <https://ai.google.dev/api/tokens#method:-models.counttokens>
pub(super) fn count_request(body: &[u8]) -> Result<Request, Fault> {
    let mut body = Object::new(json::parse(body)?, "")?.rest();
    wire::camel(&mut body, &["generateContentRequest"]);
    match body.shift_remove("generateContentRequest") {
        Some(Value::Object(inner)) => body_of(inner, "/generateContentRequest"),
        _ => body_of(body, ""),
    }
}

fn body_of(mut body: Members, pointer: &str) -> Result<Request, Fault> {
    let originals = originals(&mut body);
    let mut object = Object::new(Value::Object(body), pointer)?;
    let mut request = Request::new(ME, "");
    let mut ids = Ids::new(String::new());
    if let Some(system) = object.take("systemInstruction") {
        request.turns.push(turn(system, None, object.at("systemInstruction"), &mut ids)?);
    }
    request.tools = tools(&mut object)?;
    request.choice = nested(&mut object, "toolConfig", &["functionCallingConfig"], choice)?;
    nested(&mut object, "generationConfig", wire::GENERATION, |config| generation(config, &mut request))?;
    let mut form = Members::new();
    let written = write::frame(&request);
    for (name, spelling, original) in originals {
        if name != spelling || written.get(name) != Some(&original) {
            form.insert(spelling, original);
        }
    }
    // The path tells the model; a body may tell it too.
    form.extend(object.take("model").map(|model| ("model".to_owned(), model)));
    let Some(contents) = object.take("contents") else {
        return Err(Fault::bad(object.at("contents"), "`contents` is missing"));
    };
    let contents = listed("contents", contents, &mut form);
    bounded(object.at("contents"), contents.len(), TURNS_MAX)?;
    for (index, content) in (0..).zip(contents) {
        request.turns.push(turn(
            content,
            Some(index),
            format!("{}/{index}", object.at("contents")),
            &mut ids,
        )?);
    }
    let parts = request.turns.iter().map(|turn| turn.blocks.len()).sum();
    bounded(object.at("contents"), parts, PARTS_MAX)?;
    request.extra = Extra::with_form(ME, object.rest(), form);
    Ok(request)
}

/// The members that are written in one piece, with their spelling and as they stood; afterwards they are
/// in camel case.
fn originals(body: &mut Members) -> Vec<(&'static str, String, Value)> {
    let mut originals = Vec::new();
    for name in wire::REQUEST {
        let changed = wire::camel(body, &[name]);
        if let Some(value) = body.get(*name).filter(|value| !value.is_null()) {
            let spelling = if changed { wire::snake(name) } else { (*name).to_owned() };
            originals.push((*name, spelling, value.clone()));
        }
    }
    originals
}

/// A list, or the one thing that would stand in it: protocol buffers take both.
fn listed(name: &str, value: Value, form: &mut Members) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        one => {
            form.insert(name.to_owned(), one.clone());
            vec![one]
        }
    }
}

fn bounded(pointer: String, count: usize, max: usize) -> Result<(), Fault> {
    if count <= max {
        return Ok(());
    }
    let words = format!("`{pointer}` holds {count}, and at most {max} are taken");
    Err(Fault::bad(pointer, words))
}

/// Takes the inner object `name` apart, its `known` members in camel case. What `take` leaves of it stays
/// in `parent` under the same name.
fn nested<T: Default>(
    parent: &mut Object,
    name: &str,
    known: &[&str],
    take: impl FnOnce(&mut Object) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(inner) = parent.object(name)? else { return Ok(T::default()) };
    let pointer = inner.pointer().to_owned();
    let mut members = inner.rest();
    wire::camel(&mut members, known);
    let mut inner = Object::new(Value::Object(members), pointer)?;
    let taken = take(&mut inner)?;
    let rest = inner.rest();
    if rest.values().any(|value| !value.is_null()) {
        parent.put(name, Value::Object(rest));
    }
    Ok(taken)
}

/// Ids of calls and of their results. A call without one gets one from its place.
pub(super) struct Ids {
    base: String,
    count: usize,
    /// Names and ids of the calls of the last answer that have no result yet.
    open: Vec<(String, String)>,
}

impl Ids {
    /// `base` makes them unique over answers.
    pub(super) fn new(base: String) -> Self {
        Ids { base, count: 0, open: Vec::new() }
    }

    /// For choice `index` of the answer with that id.
    pub(super) fn of_answer(id: &str, index: u32) -> Self {
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        Ids::new(format!("{id}_{index}_"))
    }

    pub(super) fn call(&mut self, name: &str, id: Option<String>) -> String {
        let number = self.count;
        self.count += 1;
        let given = id.filter(|id| !id.is_empty());
        let id = given.unwrap_or_else(|| format!("{}{}{number}", wire::DERIVED, self.base));
        self.open.push((name.to_owned(), id.clone()));
        id
    }

    /// A result without an id is that of the first call of its name that has none.
    fn result(&mut self, name: &str, id: Option<String>) -> String {
        let id = id.filter(|id| !id.is_empty());
        let place = self.open.iter().position(|(call, known)| match &id {
            Some(id) => known == id,
            None => call == name,
        });
        let known = place.map(|place| self.open.remove(place).1);
        id.or(known).unwrap_or_else(|| self.call(name, None))
    }
}

fn turn(value: Value, index: Option<u32>, pointer: String, ids: &mut Ids) -> Result<Turn, Fault> {
    let at = At { turn: index, part: None };
    let mut turn = Turn {
        role: if index.is_some() { Role::User } else { Role::System },
        blocks: Vec::new(),
        plain: false,
        at,
        name: None,
        extra: Extra::NONE,
    };
    if let (Value::String(text), None) = (&value, index) {
        turn.plain = true;
        turn.blocks.push(Block { at, ..Block::new(Kind::Text(text.clone())) });
        return Ok(turn);
    }
    let mut object = Object::new(value, pointer)?;
    let mut form = Members::new();
    match object.string("role")? {
        Some(role) if index.is_none() => drop(form.insert("role".to_owned(), role.into())),
        Some(role) if role == "model" => {
            turn.role = Role::Assistant;
            ids.open.clear();
        }
        Some(role) if role == "user" => {}
        Some(role) if ["function", "tool"].contains(&role.as_str()) => {
            form.insert("role".to_owned(), role.into());
        }
        Some(role) => {
            let words = format!("`{role}` is no role");
            return Err(Fault::bad(object.at("role"), words).hint("roles are `user` and `model`"));
        }
        None if index.is_none() => {}
        None => drop(form.insert("role".to_owned(), Value::Null)),
    }
    let pointer = object.at("parts");
    match object.take("parts") {
        None => drop(form.insert("parts".to_owned(), Value::Null)),
        Some(parts) => {
            for (number, value) in (0..).zip(listed("parts", parts, &mut form)) {
                let at = At { part: Some(number), ..at };
                turn.blocks.push(Block { at, ..part(value, format!("{pointer}/{number}"), ids)? });
            }
        }
    }
    turn.extra = Extra::with_form(ME, object.rest(), form);
    Ok(turn)
}

/// Reads one part of a request or an answer. One that canonical form cannot hold is kept whole.
pub(super) fn part(value: Value, pointer: String, ids: &mut Ids) -> Result<Block, Fault> {
    let Value::Object(mut original) = value else { return Err(wrong(&pointer, "an object", &value)) };
    let mut members = original.clone();
    wire::camel(&mut members, wire::PART);
    let mut object = Object::new(Value::Object(members), pointer)?;
    let signature = object.string("thoughtSignature")?.filter(|signature| !signature.is_empty());
    let redacted = object.peek("text").is_some_and(|text| text == "");
    let is_thought = object.peek("thought").is_some_and(|thought| thought == true);
    let seal = signature.map(|signature| wire::read_seal(&signature, redacted && !is_thought));
    if seal.as_ref().is_some_and(|seal| seal.issuer != ME) {
        original.retain(|name, _| name != "thoughtSignature" && name != "thought_signature");
    }
    let Some(kind) = kind(&mut object, is_thought, ids)? else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: Value::Object(original) }));
    };
    if object.peek("thought").is_some_and(Value::is_boolean) {
        object.take("thought");
    }
    let mut block = Block::new(kind);
    match &mut block.kind {
        Kind::Reasoning { seal: inside, .. } => *inside = seal,
        Kind::Text(text) if redacted && seal.is_some() => {
            block.kind = Kind::Reasoning { text: std::mem::take(text), seal };
        }
        _ => block.seal = seal,
    }
    let rest = object.rest();
    block.extra = Extra::new(ME, rest.clone());
    let form = if write::own_part(&block).as_ref() == Some(&original) { Members::new() } else { original };
    block.extra = Extra::with_form(ME, rest, form);
    Ok(block)
}

/// What a part is; of thoughts only words are known.
fn kind(part: &mut Object, is_thought: bool, ids: &mut Ids) -> Result<Option<Kind>, Fault> {
    if let Some(text) = part.string("text")? {
        return Ok(Some(if is_thought { Kind::Reasoning { text, seal: None } } else { Kind::Text(text) }));
    }
    if is_thought {
        return Ok(None);
    }
    let held = ["functionCall", "functionResponse", "inlineData", "fileData"];
    let Some(name) = held.into_iter().find(|name| part.peek(name).is_some_and(Value::is_object)) else {
        return Ok(None);
    };
    nested(part, name, wire::PART, |inner| match name {
        "functionCall" => call(inner, ids).map(Some),
        "functionResponse" => result(inner, ids).map(Some),
        _ => medium(inner),
    })
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
        content.push(part(value, format!("{pointer}/{number}"), ids)?);
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

/// Reads a picture, a sound, a film or a document. A file that was uploaded before lies at Google.
fn medium(held: &mut Object) -> Result<Option<Kind>, Fault> {
    let media_type = held.string("mimeType")?.unwrap_or_default();
    let is = |family: &str| media_type.starts_with(family);
    let (is_image, is_audio) = (is("image/"), is("audio/"));
    let source = match (held.string("data")?, held.string("fileUri")?) {
        (Some(data), _) => Source::Base64 { media_type, data },
        (None, Some(uri)) if uri.starts_with("http") && !uri.contains("googleapis.com/v1") => {
            Source::Url(uri)
        }
        (None, Some(uri)) => Source::FileId(uri),
        (None, None) => return Ok(None),
    };
    let media = Media { source, name: held.string("displayName")? };
    Ok(Some(match (is_image, is_audio) {
        (true, _) => Kind::Image(media),
        (_, true) => Kind::Audio(media),
        _ => Kind::File(media),
    }))
}

fn tools(body: &mut Object) -> Result<Vec<Tool>, Fault> {
    let pointer = body.at("tools");
    let Some(list) = body.take("tools") else { return Ok(Vec::new()) };
    let mut tools = Vec::new();
    for (index, value) in listed("tools", list, &mut Members::new()).into_iter().enumerate() {
        let mut entry = Object::new(value, format!("{pointer}/{index}"))?.rest();
        wire::camel(&mut entry, &["functionDeclarations"]);
        for (name, value) in entry {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("functionDeclarations", functions) => {
                    let functions = listed(&name, functions, &mut Members::new());
                    for (number, value) in functions.into_iter().enumerate() {
                        tools.push(function(value, format!("{pointer}/{index}/{name}/{number}"))?);
                    }
                }
                (_, value) => {
                    let native = Value::Object(Map::from_iter([(name, value)]));
                    tools.push(Tool { native: Some((ME, native)), ..blank_tool() });
                }
            }
        }
    }
    bounded(pointer, tools.len(), TOOLS_MAX)?;
    Ok(tools)
}

fn blank_tool() -> Tool {
    Tool {
        name: String::new(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        native: None,
        extra: Extra::NONE,
    }
}

fn function(value: Value, pointer: String) -> Result<Tool, Fault> {
    let mut members = Object::new(value, pointer.clone())?.rest();
    wire::camel(&mut members, &["parametersJsonSchema"]);
    let mut object = Object::new(Value::Object(members), pointer)?;
    let name = object.need_string("name")?;
    let description = object.string("description")?;
    let whole = object.take("parametersJsonSchema");
    let schema = whole.or_else(|| object.take("parameters").map(wire::json_schema));
    Ok(Tool { name, description, schema, extra: object.extra(ME), ..blank_tool() })
}

/// Reads what is in `toolConfig`: <https://ai.google.dev/api/caching#FunctionCallingConfig>
fn choice(config: &mut Object) -> Result<Option<Choose>, Fault> {
    let Some(mut calling) = config.object("functionCallingConfig")?.map(Object::rest) else {
        return Ok(None);
    };
    wire::camel(&mut calling, &["allowedFunctionNames"]);
    let mode = calling.get("mode").and_then(Value::as_str).unwrap_or("AUTO").to_ascii_uppercase();
    let names = calling.get("allowedFunctionNames").and_then(Value::as_array).map(Vec::as_slice);
    Ok(Some(match (mode.as_str(), names.unwrap_or_default()) {
        ("AUTO", []) => Choose::Auto,
        ("NONE", _) => Choose::None,
        ("ANY", []) => Choose::Required,
        ("ANY", [Value::String(name)]) => Choose::Tool(name.clone()),
        _ => Choose::Native(ME, Value::Object(calling)),
    }))
}

/// Reads `generationConfig`: <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>
fn generation(config: &mut Object, request: &mut Request) -> Result<(), Fault> {
    let mut stop = Vec::new();
    for (index, word) in config.list("stopSequences")?.into_iter().flatten().enumerate() {
        match word {
            Value::String(word) => stop.push(word),
            other => {
                return Err(wrong(&format!("{}/{index}", config.at("stopSequences")), "a string", &other));
            }
        }
    }
    request.sampling = Sampling {
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.number("topK")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        presence_penalty: config.number("presencePenalty")?,
        seed: config.number("seed")?,
        stop,
        n: small(config, "candidateCount", CHOICES_MAX)?,
        logprobs: config.boolean("responseLogprobs")?,
        top_logprobs: small(config, "logprobs", u32::MAX)?,
    };
    request.limit = config.whole("maxOutputTokens")?;
    request.reasoning = nested(config, "thinkingConfig", wire::THINKING, thinking)?;
    request.format = format(config)?;
    Ok(())
}

fn small(object: &mut Object, name: &str, max: u32) -> Result<Option<u32>, Fault> {
    let Some(number) = object.whole(name)? else { return Ok(None) };
    let fits = u32::try_from(number).ok().filter(|number| *number <= max);
    let fault = || Fault::bad(object.at(name), format!("`{name}` is {number}, and may be {max} at most"));
    fits.ok_or_else(fault).map(Some)
}

/// Reads `thinkingConfig`: <https://ai.google.dev/gemini-api/docs/thinking>. That thoughts shall be told is
/// what all other dialects do anyway.
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
fn format(config: &mut Object) -> Result<Option<Format>, Fault> {
    let word = config.peek("responseMimeType").and_then(Value::as_str).map(str::to_owned);
    let read = match word.as_deref() {
        Some("text/plain") => Some(Format::Text),
        Some("application/json") => {
            let whole = config.take("responseJsonSchema");
            let schema = whole.or_else(|| config.take("responseSchema").map(wire::json_schema));
            let strict = |schema| Format::Schema { name: None, description: None, schema, strict: None };
            Some(schema.map_or(Format::Json, strict))
        }
        _ => None,
    };
    if read.is_some() {
        config.take("responseMimeType");
    }
    Ok(read)
}

/// Reads a whole answer: <https://ai.google.dev/api/generate-content#generatecontentresponse>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the provider's answer is not valid JSON: {error}")))?;
    if let Some(fault) = fault_in(&value) {
        return Err(fault);
    }
    message(value).map_err(|fault| invalid(format!("the provider's answer is not readable: {fault}")))
}

pub(super) fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, message)
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut object = Object::new(value, "")?;
    let id = object.string("responseId")?.unwrap_or_default();
    let model = object.string("modelVersion")?.unwrap_or_default();
    let usage = object.object("usageMetadata")?.map(|usage| wire::read_usage(usage.rest()));
    let list = object.list("candidates")?.unwrap_or_default();
    let mut choices = Vec::new();
    for (position, value) in list.into_iter().enumerate() {
        choices.push(candidate(value, position, &id)?);
    }
    if choices.is_empty() {
        let Some(stop) = object.peek("promptFeedback").and_then(blocked) else {
            return Err(Fault::bad("/candidates", "`candidates` is missing"));
        };
        choices.push(Choice {
            index: 0,
            blocks: Vec::new(),
            stop: Some(stop),
            logprobs: None,
            extra: Extra::NONE,
        });
    }
    let mut rest = object.rest();
    let form = diagnosis(&mut rest);
    Ok(Message {
        from: ME,
        id,
        model,
        created: None,
        choices,
        usage,
        extra: Extra::with_form(ME, rest, form),
    })
}

/// What a filter said of a prompt that got no answer. The provider took it and may charge for it, so it is
/// an answer without words and not an error.
pub(super) fn blocked(feedback: &Value) -> Option<Stop> {
    let word = |name: &str| feedback.get(name).and_then(Value::as_str);
    let reason = word("blockReason").or_else(|| word("blockReasonMessage").map(|_| "OTHER"))?;
    Some(Stop::new(StopReason::ContentFilter, reason))
}

/// Takes out what tells how an answer came about, and nothing of what it says.
pub(super) fn diagnosis(members: &mut Members) -> Members {
    let names =
        ["promptFeedback", "createTime", "safetyRatings", "avgLogprobs", "finishMessage", "tokenCount"];
    let found = names.into_iter().filter_map(|name| members.shift_remove_entry(name));
    found.collect()
}

fn candidate(value: Value, position: usize, id: &str) -> Result<Choice, Fault> {
    let mut object = Object::new(value, format!("/candidates/{position}"))?;
    let index = object.whole("index")?.and_then(|index| u32::try_from(index).ok());
    let index = index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
    let mut ids = Ids::of_answer(id, index);
    let blocks = nested(&mut object, "content", &[], |content| {
        content.take("role");
        let pointer = content.at("parts");
        let parts = content.list("parts")?.unwrap_or_default().into_iter().enumerate();
        parts.map(|(number, value)| part(value, format!("{pointer}/{number}"), &mut ids)).collect()
    })?;
    let blocks: Vec<Block> = blocks;
    let called = blocks.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
    let word = object.string("finishReason")?.unwrap_or_default();
    let logprobs = object.take("logprobsResult").map(|result| wire::read_logprobs(&result));
    let mut rest = object.rest();
    let form = diagnosis(&mut rest);
    let stop = Some(wire::read_stop(&word, called));
    Ok(Choice { index, blocks, stop, logprobs, extra: Extra::with_form(ME, rest, form) })
}

/// Reads an error, of whatever shape.
pub(super) fn fault(status: u16, body: &[u8]) -> Fault {
    fault_of(status, &serde_json::from_slice(body).unwrap_or_default(), body)
}

/// The error inside an answer or a piece of a stream that came under the status 200, if it is one. Without
/// `alt=sse` it is the only element of a list.
pub(super) fn fault_in(value: &Value) -> Option<Fault> {
    let body = value.get(0).unwrap_or(value);
    let is_error = body.get("error").is_some_and(|error| !error.is_null());
    is_error.then(|| fault_of(200, value, value.to_string().as_bytes()))
}

/// <https://google.aip.dev/193>
fn fault_of(status: u16, value: &Value, body: &[u8]) -> Fault {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let word = |name: &str| error.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
    let said = word("message").or_else(|| error.as_str().filter(|text| !text.is_empty()));
    let message = said.map_or_else(|| text(status, body), str::to_owned);
    let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let detail = |name: &str| details.iter().find_map(|detail| detail.get(name)?.as_str());
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let meant = if status >= 400 { status } else { code.unwrap_or(status) };
    let small = message.to_ascii_lowercase();
    let by_reason = wire::REASONS.iter().find(|(name, _)| Some(*name) == detail("reason"));
    let by_phrase = wire::PHRASES.iter().find(|(phrase, _)| small.contains(phrase));
    let by_status = wire::STATUSES.iter().find(|(name, _)| Some(*name) == word("status"));
    let known = by_reason.or(by_phrase).or(by_status).map(|(_, kind)| *kind);
    let kind = known.unwrap_or_else(|| match kind_of_status(meant) {
        FaultKind::UpstreamInvalid => FaultKind::UpstreamFailed,
        kind => kind,
    });
    Fault {
        upstream: Some(Box::new(Upstream {
            status,
            kind: word("status").map(str::to_owned),
            code: detail("reason").map(str::to_owned),
        })),
        retry_after_ms: detail("retryDelay").and_then(milliseconds),
        ..Fault::new(kind, message)
    }
}

/// A duration as protocol buffers write it, `7s` or `0.5s`.
fn milliseconds(duration: &str) -> Option<u64> {
    let (whole, part) =
        duration.strip_suffix('s').map(|number| number.split_once('.').unwrap_or((number, "")))?;
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(part.parse().ok()?)
}

/// The body's words, bounded, where it is not an error that we can read.
fn text(status: u16, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).trim().chars().take(FAULT_TEXT_MAX).collect();
    if text.is_empty() { format!("the provider answered {status} and no more") } else { text }
}
