//! Bytes of this dialect into canonical form: requests, answers and errors.

use super::wire::{self, Detail, ME};
use crate::{
    Fault, FaultKind,
    canon::{
        At, Block, Cache, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role,
        Sampling, Source, Tool, Turn,
    },
    fault::Upstream,
    json::{self, Object, wrong},
    limits::{CHOICES_MAX, PARTS_MAX, TOOLS_MAX, TURNS_MAX},
    openai,
};
use serde_json::{Map, Value};

/// Reads a request: <https://platform.openai.com/docs/api-reference/chat/create>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    let mut object = Object::new(json::parse(body)?, "")?;
    let mut form = Map::new();
    let mut request = Request::new(ME, object.need_string("model")?);
    let messages = object.list("messages")?;
    let messages = messages.ok_or_else(|| Fault::bad("/messages", "`messages` is missing"))?;
    request.turns = turns(messages)?;
    tools(&mut object, &mut form, &mut request)?;
    request.parallel = object.boolean("parallel_tool_calls")?;
    request.sampling = sampling(&mut object, &mut form)?;
    request.limit = limit(&mut object, &mut form)?;
    request.reasoning = reasoning_wish(&mut object, &mut form);
    if let Some(value) = object.take("response_format") {
        request.format = Some(format(value));
    }
    request.stream = object.boolean("stream")?;
    request.stream_usage = stream_usage(&mut object, &mut form);
    request.user = object.string("user")?;
    request.extra = Extra::with_form(ME, object.rest(), form);
    Ok(request)
}

/// Reads a whole answer: <https://platform.openai.com/docs/api-reference/chat/object>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the provider's answer is not valid JSON: {error}")))?;
    if let Some(fault) = fault_in(&value) {
        return Err(fault);
    }
    message(value).map_err(|fault| invalid(format!("the provider's answer is not readable: {fault}")))
}

/// The error inside an answer or a chunk that came under the status 200, if it is one.
pub(super) fn fault_in(value: &Value) -> Option<Fault> {
    let said = |member: &&str| value.get(*member).is_some_and(|error| !error.is_null());
    let choices = value.get("choices").and_then(Value::as_array);
    if said(&"error") || (choices.is_none() && ["errors", "detail", "message"].iter().any(|name| said(name)))
    {
        return Some(openai::fault_of(200, value));
    }
    let broken = choices?.iter().find(|choice| {
        choice.get("finish_reason").is_some_and(|word| word == "error")
            || choice.get("error").is_some_and(Value::is_object)
    })?;
    Some(match broken.get("error") {
        Some(error) if !error.is_null() => openai::fault_of(200, broken),
        _ => Fault {
            upstream: Some(Box::new(Upstream { status: 200, kind: None, code: None })),
            ..Fault::new(FaultKind::UpstreamFailed, "the provider broke off with `finish_reason` `error`")
        },
    })
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, message)
}

fn turns(messages: Vec<Value>) -> Result<Vec<Turn>, Fault> {
    bounded("/messages", messages.len(), TURNS_MAX)?;
    let (mut turns, mut parts, mut last_call) = (Vec::with_capacity(messages.len()), 0, String::new());
    for (index, value) in messages.into_iter().enumerate() {
        parts += value.get("content").and_then(Value::as_array).map_or(0, Vec::len);
        bounded("/messages", parts, PARTS_MAX)?;
        turns.push(turn(value, index, &mut last_call)?);
    }
    Ok(turns)
}

/// Reads one message. `last_call` is the id that was given to the last legacy `function_call`, which has
/// none of its own, and which the next `function` message answers.
fn turn(value: Value, index: usize, last_call: &mut String) -> Result<Turn, Fault> {
    let mut object = Object::new(value, format!("/messages/{index}"))?;
    let mut form = Map::new();
    let at = At { turn: u32::try_from(index).ok(), part: None };
    let name = object.string("name")?;
    let plain = object.peek("content").is_some_and(Value::is_string);
    let role = object.need_string("role")?;
    let (role, mut blocks) = match role.as_str() {
        "system" => (Role::System, content(&mut object, &mut form, at)?),
        "developer" => (Role::Developer, content(&mut object, &mut form, at)?),
        "user" => (Role::User, content(&mut object, &mut form, at)?),
        "assistant" => {
            let blocks = spoken(&mut object, &mut form, at, &format!("call_{index}"))?;
            if form.contains_key("function_call") {
                *last_call = format!("call_{index}");
            }
            (Role::Assistant, blocks)
        }
        "tool" | "function" => {
            let id = if role == "tool" {
                object.need_string("tool_call_id")?
            } else {
                form.insert("role".to_owned(), Value::String(role));
                last_call.clone()
            };
            let content = content(&mut object, &mut form, at)?;
            let result = Kind::ToolResult { id, error: None, content, plain };
            (Role::Tool, vec![Block { at, ..Block::new(result) }])
        }
        other => {
            return Err(Fault::bad(object.at("role"), format!("`{other}` is not a role"))
                .hint("roles are `system`, `developer`, `user`, `assistant` and `tool`"));
        }
    };
    let holder = |block: &&mut Block| match block.kind {
        Kind::Text(_) => plain,
        _ => matches!(block.kind, Kind::ToolResult { .. }),
    };
    if let Some(block) = blocks.iter_mut().find(holder) {
        block.cache = cache(&mut object);
    }
    Ok(Turn { role, blocks, plain, at, name, extra: Extra::with_form(ME, object.rest(), form) })
}

/// Reads what a model said: an assistant's message of a request, or the message of an answer. `call` is
/// the id for a legacy `function_call`.
fn spoken(
    object: &mut Object,
    form: &mut Map<String, Value>,
    at: At,
    call: &str,
) -> Result<Vec<Block>, Fault> {
    let mut blocks = thoughts(object, form);
    blocks.extend(content(object, form, at)?);
    if let Some(words) = object.string("refusal")? {
        blocks.push(Block::new(Kind::Refusal(words)));
    }
    if object.peek("tool_calls").is_some_and(|calls| calls == &Value::Array(Vec::new())) {
        form.extend(object.take("tool_calls").map(|calls| ("tool_calls".to_owned(), calls)));
    }
    let calls = object.list("tool_calls")?;
    for (number, value) in calls.iter().flatten().enumerate() {
        blocks.push(tool_call(value, &format!("{}/tool_calls/{number}", object.pointer()), || {
            format!("{call}_{number}")
        })?);
    }
    if calls.is_none()
        && let Some(legacy) = object.peek("function_call").filter(|legacy| legacy.is_object()).cloned()
    {
        let text = |name: &str| legacy.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let kind = Kind::ToolUse { id: call.to_owned(), name: text("name"), input: text("arguments") };
        blocks.push(Block::new(kind));
        form.extend(object.take("function_call").map(|legacy| ("function_call".to_owned(), legacy)));
    }
    for block in &mut blocks {
        block.at.turn = at.turn;
    }
    Ok(blocks)
}

/// Reads thoughts, which have three names. The first alone is canonical; of the others the form is kept.
fn thoughts(object: &mut Object, form: &mut Map<String, Value>) -> Vec<Block> {
    let mut words = String::new();
    let mut given = Vec::new();
    for name in ["reasoning_content", "reasoning", "reasoning_details"] {
        let fits =
            |value: &Value| if name == "reasoning_details" { value.is_array() } else { value.is_string() };
        if object.peek(name).is_some_and(fits) {
            given.extend(object.take(name).map(|value| (name, value)));
        }
    }
    let mut blocks = Vec::new();
    for (name, value) in &given {
        match value {
            Value::String(text) if words.is_empty() => words.clone_from(text),
            Value::Array(details) => {
                let unknown = detailed(details, &mut blocks);
                if !unknown.is_empty() {
                    object.put(name, Value::Array(unknown));
                }
            }
            _ => {}
        }
    }
    let readable = |block: &Block| matches!(&block.kind, Kind::Reasoning { text, .. } if !text.is_empty());
    if !words.is_empty() && !blocks.iter().any(readable) {
        blocks.insert(0, Block::new(Kind::Reasoning { text: words.clone(), seal: None }));
    }
    if !matches!(given.as_slice(), [("reasoning_content", _)] if !words.is_empty()) {
        form.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    blocks
}

/// Reads `reasoning_details` into blocks and gives back the entries whose seals nobody here understands.
/// Clients may send the pieces of a stream as they came, so pieces of one entry are joined.
fn detailed(details: &[Value], blocks: &mut Vec<Block>) -> Vec<Value> {
    let mut unknown = Vec::new();
    let mut open = None;
    for entry in details {
        let detail = Detail::read(entry);
        if detail.foreign {
            unknown.push(entry.clone());
        }
        let joins = open.is_some() && open == entry.get("index");
        match blocks.last_mut().map(|block| &mut block.kind) {
            Some(Kind::Reasoning { text, seal: seal @ None }) if joins => {
                text.push_str(detail.text);
                *seal = detail.seal;
            }
            _ if detail.text.is_empty() && detail.seal.is_none() => {}
            _ => {
                let kind = Kind::Reasoning { text: detail.text.to_owned(), seal: detail.seal };
                blocks.push(Block::new(kind));
            }
        }
        open = entry.get("index");
    }
    unknown
}

/// Reads one of `tool_calls`; `id` gives one to a call that has none.
fn tool_call(value: &Value, pointer: &str, id: impl FnOnce() -> String) -> Result<Block, Fault> {
    let Value::Object(call) = value else { return Err(wrong(pointer, "an object", value)) };
    let is_custom = call.get("type").is_some_and(|kind| kind != "function" && !kind.is_null());
    let Some(Value::Object(function)) = call.get("function").filter(|_| !is_custom) else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: value.clone() }));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let kind = Kind::ToolUse {
        id: text(call.get("id")).filter(|id| !id.is_empty()).unwrap_or_else(id),
        name: text(function.get("name")).unwrap_or_default(),
        input: function.get("arguments").map(arguments).unwrap_or_default(),
    };
    let is_plain = call.get("type").is_some()
        && text(call.get("id")).is_some_and(|id| !id.is_empty())
        && !call.contains_key("index")
        && function.len() == 2
        && function.values().all(Value::is_string);
    let form = if is_plain { Map::new() } else { call.clone() };
    let known = ["id", "type", "function", "index"];
    let others = call.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    let members = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Block { extra: Extra::with_form(ME, members, form), ..Block::new(kind) })
}

/// The arguments of a call as text; some servers write the object itself.
pub(super) fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Reads `content`: a string or a list of parts. What is neither text nor part (`null`, or an empty
/// string or list) is no block, and stays as it was.
fn content(object: &mut Object, form: &mut Map<String, Value>, at: At) -> Result<Vec<Block>, Fault> {
    let is_empty = match object.peek("content") {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(parts)) => parts.is_empty(),
        _ => false,
    };
    let pointer = object.at("content");
    match object.take("content") {
        None => Ok(Vec::new()),
        Some(value) if is_empty => {
            form.insert("content".to_owned(), value);
            Ok(Vec::new())
        }
        Some(Value::String(text)) => Ok(vec![Block { at, ..Block::new(Kind::Text(text)) }]),
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                let part = part(value, format!("{pointer}/{index}"))?;
                Ok(Block { at: At { part: u32::try_from(index).ok(), ..at }, ..part })
            })
            .collect(),
        Some(other) => Err(wrong(&pointer, "a string or a list of parts", &other)),
    }
}

/// Reads one part. One that canonical form cannot hold is kept whole.
fn part(value: Value, pointer: String) -> Result<Block, Fault> {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let form = match (name.as_str(), value.get(&name)) {
        ("image_url", Some(Value::String(_))) | ("thinking", _) => value.as_object().cloned(),
        _ => None,
    };
    let mut object = Object::new(value, pointer)?;
    let known = match (name.as_str(), object.peek(&name)) {
        ("text", _) => Some(Kind::Text(object.need_string("text")?)),
        ("refusal", Some(Value::String(words))) => Some(Kind::Refusal(words.clone())),
        ("image_url", Some(held)) if object.peek("detail").is_none() => image(held),
        ("input_audio", Some(Value::Object(held))) => audio(held),
        ("file", Some(Value::Object(held))) => file(held),
        // Mistral: <https://docs.mistral.ai/capabilities/reasoning>
        ("thinking", Some(held)) => Some(Kind::Reasoning { text: thinking(held), seal: None }),
        _ => None,
    };
    let Some(kind) = known else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: Value::Object(object.rest()) }));
    };
    let cache = cache(&mut object);
    object.take("type");
    if let Some(Value::Object(mut held)) = object.take(&name)
        && let Some(detail) = held.remove("detail")
    {
        object.put("detail", detail);
    }
    let extra = Extra::with_form(ME, object.rest(), form.unwrap_or_default());
    Ok(Block { cache, extra, ..Block::new(kind) })
}

fn image(held: &Value) -> Option<Kind> {
    let url = match held {
        Value::String(url) => url,
        Value::Object(members) => {
            let known = members.keys().all(|name| name == "url" || name == "detail");
            members.get("url").filter(|_| known)?.as_str()?
        }
        _ => return None,
    };
    Some(Kind::Image(Media { source: openai::source(url), name: None }))
}

fn audio(held: &Map<String, Value>) -> Option<Kind> {
    let (format, data) = (held.get("format")?.as_str()?, held.get("data")?.as_str()?);
    let source = Source::Base64 { media_type: format!("audio/{format}"), data: data.to_owned() };
    (held.len() == 2).then_some(Kind::Audio(Media { source, name: None }))
}

fn file(held: &Map<String, Value>) -> Option<Kind> {
    let text = |name: &str| held.get(name).and_then(Value::as_str);
    let name = text("filename").map(str::to_owned);
    let source = match (text("file_data"), text("file_id")) {
        (Some(data), None) if data.starts_with("data:") || data.starts_with("http") => openai::source(data),
        (None, Some(id)) => Source::FileId(id.to_owned()),
        _ => return None,
    };
    let known = 1 + usize::from(name.is_some());
    (held.len() == known).then_some(Kind::File(Media { source, name }))
}

/// The words of Mistral's `thinking`: a list of text parts, or a string.
pub(super) fn thinking(held: &Value) -> String {
    match held {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    }
}

/// Takes `cache_control` as OpenRouter documents it; of another shape it stays where it is:
/// <https://openrouter.ai/docs/features/prompt-caching>
fn cache(object: &mut Object) -> Option<Cache> {
    let held = object.peek("cache_control")?.as_object()?;
    let ttl = held.get("ttl");
    let fits = held.get("type").is_some_and(|kind| kind == "ephemeral")
        && ttl.is_none_or(Value::is_string)
        && held.len() == 1 + usize::from(ttl.is_some());
    let cache = Cache { ttl: ttl.and_then(Value::as_str).map(str::to_owned) };
    fits.then(|| object.take("cache_control")).flatten().map(|_| cache)
}

/// Reads `tools` and `tool_choice`, or the legacy `functions` and `function_call`.
fn tools(object: &mut Object, form: &mut Map<String, Value>, request: &mut Request) -> Result<(), Fault> {
    if let Some(tools) = object.list("tools")? {
        bounded("/tools", tools.len(), TOOLS_MAX)?;
        if tools.is_empty() {
            form.insert("tools".to_owned(), Value::Array(Vec::new()));
        }
        request.tools = tools
            .into_iter()
            .enumerate()
            .map(|(index, value)| tool(value, index))
            .collect::<Result<_, _>>()?;
    } else if let Some(functions) = object.list("functions")? {
        bounded("/functions", functions.len(), TOOLS_MAX)?;
        for (index, value) in functions.iter().enumerate() {
            let function = Object::new(value.clone(), format!("/functions/{index}"))?;
            request.tools.push(function_tool(function)?.0);
        }
        form.insert("functions".to_owned(), Value::Array(functions));
    }
    for name in ["tool_choice", "function_call"] {
        if request.choice.is_none()
            && let Some(value) = object.take(name)
        {
            let choice = choice(&value);
            if super::write::choice(&choice).as_ref() != Some(&value) || name == "function_call" {
                form.insert(name.to_owned(), value);
            }
            request.choice = Some(choice);
        }
    }
    Ok(())
}

fn tool(value: Value, index: usize) -> Result<Tool, Fault> {
    let is_function = value.get("function").is_some_and(Value::is_object)
        && value.get("type").is_some_and(|kind| kind == "function");
    let mut object = Object::new(value, format!("/tools/{index}"))?;
    if !is_function {
        let native = Some((ME, Value::Object(object.rest())));
        return Ok(Tool { native, ..blank_tool(String::new()) });
    }
    let (cache, whole) = (cache(&mut object), object.peek("function").cloned());
    object.take("type");
    let (tool, is_whole) = match object.object("function")? {
        Some(function) => function_tool(function)?,
        None => (blank_tool(String::new()), true),
    };
    let form = whole.filter(|_| !is_whole).map(|whole| ("function".to_owned(), whole));
    let extra = Extra::with_form(ME, object.rest(), form.into_iter().collect());
    Ok(Tool { cache, extra, ..tool })
}

/// Reads a function, and says whether it held nothing else.
fn function_tool(mut function: Object) -> Result<(Tool, bool), Fault> {
    let name = function.need_string("name")?;
    let tool = Tool {
        description: function.string("description")?,
        schema: function.take("parameters"),
        strict: function.boolean("strict")?,
        ..blank_tool(name)
    };
    Ok((tool, function.rest().is_empty()))
}

fn blank_tool(name: String) -> Tool {
    let extra = Extra::NONE;
    Tool { name, description: None, schema: None, strict: None, cache: None, native: None, extra }
}

fn choice(value: &Value) -> Choose {
    let named =
        value.pointer("/function/name").filter(|_| value.get("type").is_some_and(|kind| kind == "function"));
    let legacy =
        value.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("name"));
    match (value.as_str(), named.or(legacy).and_then(Value::as_str)) {
        (Some("auto"), _) => Choose::Auto,
        (Some("none"), _) => Choose::None,
        // `any` is Mistral's word.
        (Some("required" | "any"), _) => Choose::Required,
        (_, Some(name)) => Choose::Tool(name.to_owned()),
        _ => Choose::Native(ME, value.clone()),
    }
}

fn sampling(object: &mut Object, form: &mut Map<String, Value>) -> Result<Sampling, Fault> {
    Ok(Sampling {
        temperature: object.number("temperature")?,
        top_p: object.number("top_p")?,
        top_k: object.number("top_k")?,
        frequency_penalty: object.number("frequency_penalty")?,
        presence_penalty: object.number("presence_penalty")?,
        seed: object.number("seed")?,
        stop: stop(object, form)?,
        n: small(object, "n", CHOICES_MAX)?,
        logprobs: object.boolean("logprobs")?,
        top_logprobs: small(object, "top_logprobs", u32::MAX)?,
    })
}

fn small(object: &mut Object, name: &str, max: u32) -> Result<Option<u32>, Fault> {
    let Some(number) = object.whole(name)? else { return Ok(None) };
    let fits = u32::try_from(number).ok().filter(|number| *number <= max);
    let fault = || Fault::bad(object.at(name), format!("`{name}` is {number}, and may be {max} at most"));
    fits.ok_or_else(fault).map(Some)
}

fn stop(object: &mut Object, form: &mut Map<String, Value>) -> Result<Vec<String>, Fault> {
    let Some(value) = object.take("stop") else { return Ok(Vec::new()) };
    if value.as_array().is_none_or(Vec::is_empty) {
        form.insert("stop".to_owned(), value.clone());
    }
    let list = if let Value::Array(list) = value { list } else { vec![value] };
    let word = |value: Value| match value {
        Value::String(word) => Ok(word),
        other => Err(wrong(&object.at("stop"), "a string or a list of strings", &other)),
    };
    list.into_iter().map(word).collect()
}

/// Reads the limit, which has two names; the newer one counts. A negative number means "none" to some
/// servers (llama.cpp) and is left to them.
fn limit(object: &mut Object, form: &mut Map<String, Value>) -> Result<Option<u64>, Fault> {
    for name in ["max_completion_tokens", "max_tokens"] {
        let is_negative = object.peek(name).and_then(Value::as_i64).is_some_and(|number| number < 0);
        if is_negative || object.peek(name).is_none_or(Value::is_null) {
            continue;
        }
        let limit = object.whole(name)?;
        if name == "max_completion_tokens" {
            form.extend(limit.map(|limit| (name.to_owned(), Value::from(limit))));
        }
        return Ok(limit);
    }
    Ok(None)
}

/// Reads how long to think: `reasoning_effort`, OpenRouter's `reasoning`
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>) or the `thinking` of DeepSeek and Z.ai
/// (<https://api-docs.deepseek.com/guides/thinking_mode>). The first that is there counts.
fn reasoning_wish(object: &mut Object, form: &mut Map<String, Value>) -> Option<Reasoning> {
    let mut wish = None;
    let mut given = Vec::new();
    for name in ["reasoning_effort", "reasoning", "thinking"] {
        let found = match object.peek(name) {
            Some(Value::String(word)) if name == "reasoning_effort" => Some(openai::read_effort(word)),
            Some(Value::Object(members)) if name != "reasoning_effort" => thinking_wish(members),
            _ => None,
        };
        if found.is_some() {
            wish = wish.or(found);
            given.extend(object.take(name).map(|value| (name.to_owned(), value)));
        }
    }
    let is_canonical = match given.as_slice() {
        [(_, Value::String(word))] => wish.as_ref().and_then(openai::write_effort) == Some(word),
        _ => false,
    };
    if !is_canonical {
        form.extend(given);
    }
    wish
}

/// `None` where the object says more than canonical form can.
fn thinking_wish(members: &Map<String, Value>) -> Option<Reasoning> {
    let known = ["effort", "max_tokens", "enabled", "type", "budget_tokens"];
    if !members.keys().all(|name| known.contains(&name.as_str())) {
        return None;
    }
    let word = |name: &str| members.get(name).and_then(Value::as_str);
    let enabled = members.get("enabled").and_then(Value::as_bool);
    let budget = ["max_tokens", "budget_tokens"].iter().find_map(|name| members.get(*name)?.as_u64());
    match (word("type"), enabled, budget, word("effort")) {
        (Some("disabled"), ..) | (_, Some(false), ..) => Some(Reasoning::Off),
        (_, _, Some(tokens), _) => Some(Reasoning::Budget(tokens)),
        (_, _, _, Some(word)) => Some(openai::read_effort(word)),
        (Some("enabled" | "adaptive"), ..) | (_, Some(true), ..) => Some(Reasoning::Adaptive(None)),
        _ => None,
    }
}

/// Reads `response_format`: <https://platform.openai.com/docs/guides/structured-outputs>
fn format(value: Value) -> Format {
    let schema = value.get("json_schema");
    let member = |name: &str| schema.and_then(|schema| schema.get(name));
    let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
    let read = match value.get("type").and_then(Value::as_str) {
        Some("text") => Some(Format::Text),
        Some("json_object") => Some(Format::Json),
        Some("json_schema") => member("schema").map(|schema| Format::Schema {
            name: text("name"),
            description: text("description"),
            schema: schema.clone(),
            strict: member("strict").and_then(Value::as_bool),
        }),
        _ => None,
    };
    // What would not be written back the same holds more than canonical form can.
    read.filter(|format| super::write::format(format, true).as_ref() == Some(&value))
        .unwrap_or(Format::Native(ME, value))
}

fn stream_usage(object: &mut Object, form: &mut Map<String, Value>) -> Option<bool> {
    let options = object.take("stream_options")?;
    let usage = options.get("include_usage").and_then(Value::as_bool);
    if usage.is_none() || options.as_object().is_none_or(|options| options.len() > 1) {
        form.insert("stream_options".to_owned(), options);
    }
    usage
}

fn bounded(pointer: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count <= max { Ok(()) } else { Err(Fault::bad(pointer, format!("`{pointer}` holds more than {max}"))) }
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut object = Object::new(value, "")?;
    let id = object.string("id")?.unwrap_or_default();
    let model = object.string("model")?.unwrap_or_default();
    let created = object.peek("created").and_then(Value::as_u64);
    if created.is_some() {
        object.take("created");
    }
    let mut form = Map::new();
    form.extend(object.take("object").map(|name| ("object".to_owned(), name)));
    let usage = object.peek("usage").filter(|usage| usage.as_object().is_some_and(|usage| !usage.is_empty()));
    let usage = usage.and_then(wire::read_usage);
    if usage.is_some() {
        object.take("usage");
    }
    let list = object.list("choices")?.ok_or_else(|| Fault::bad("/choices", "`choices` is missing"))?;
    let (mut choices, mut rests) = (Vec::new(), Vec::new());
    for (position, value) in list.into_iter().enumerate() {
        let (choice, rest) = answer_choice(value, position, &id)?;
        choices.push(choice);
        rests.push(Value::Object(rest));
    }
    if rests.iter().any(|rest| rest.as_object().is_some_and(|rest| !rest.is_empty())) {
        form.insert("choices".to_owned(), Value::Array(rests));
    }
    let extra = Extra::with_form(ME, object.rest(), form);
    Ok(Message { from: ME, id, model, created, choices, usage, extra })
}

/// Reads one of `choices`, and gives back what the choice held beside its message: diagnosis, of which
/// only this dialect knows.
fn answer_choice(value: Value, position: usize, id: &str) -> Result<(Choice, Map<String, Value>), Fault> {
    let mut object = Object::new(value, format!("/choices/{position}"))?;
    let index = object.whole("index")?.and_then(|index| u32::try_from(index).ok());
    let index = index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
    let mut form = Map::new();
    let (blocks, members) = match object.object("message")? {
        Some(mut message) => {
            let role = message.take("role").filter(|role| role != "assistant");
            form.extend(role.map(|role| ("role".to_owned(), role)));
            let call = wire::call_id(id, index);
            (spoken(&mut message, &mut form, At::default(), &call)?, message.rest())
        }
        None => (Vec::new(), Map::new()),
    };
    let stop = object.string("finish_reason")?.map(|word| wire::read_stop(&word));
    let has_logprobs = object.peek("logprobs").is_some_and(Value::is_object);
    let logprobs = if has_logprobs { object.take("logprobs") } else { None };
    let extra = Extra::with_form(ME, members, form);
    Ok((Choice { index, blocks, stop, logprobs, extra }, object.rest()))
}
