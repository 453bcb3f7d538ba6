//! Messages API into canonical form: requests, answers, errors.

use super::wire::{self, ID};
use crate::{
    Fault, FaultKind,
    canon::{
        At, Block, Cache, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role,
        Sampling, Seal, Source, Tool, Turn,
    },
    claude, error_body,
    json::{self, Object, bounded, wrong},
    limits::{PARTS_MAX, TURNS_MAX},
    shape,
};
use serde_json::{Map, Value};

/// Reads a request for an answer.
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    let request = count_request(body)?;
    if request.limit.is_none() {
        let fault = Fault::bad("/max_tokens", "`max_tokens` is missing");
        return Err(fault.hint("the Messages API demands it; 4096 is a good start"));
    }
    Ok(request)
}

/// Reads a request to count tokens: the same, but it needs no `max_tokens`.
pub(super) fn count_request(body: &[u8]) -> Result<Request, Fault> {
    let mut body = Object::new(json::parse(body)?, "")?;
    let mut form = empty_lists(&mut body);
    let mut request = Request::new(ID, body.need_string("model")?);
    request.turns = turns(&mut body)?;
    request.tools = shape::tools(body.list("tools")?.unwrap_or_default(), tool)?;
    (request.choice, request.parallel) = body.nested("tool_choice", tool_choice)?;
    request.sampling = sampling(&mut body)?;
    request.limit = body.whole("max_tokens")?;
    request.reasoning = body.nested("thinking", claude::read_thinking)?;
    body.nested("output_config", |config| output_config(config, &mut request))?;
    if request.format.is_none() {
        // The older name of `output_config.format`.
        let older = body.peek("output_format").cloned();
        request.format = format(&mut body, "output_format")?;
        form.extend(
            older.filter(|_| request.format.is_some()).map(|older| ("output_format".to_owned(), older)),
        );
    }
    request.stream = body.boolean("stream")?;
    request.user = body.nested("metadata", |metadata| metadata.string("user_id"))?;
    request.extra = Extra::with_form(ID, body.rest(), form);
    Ok(request)
}

/// Empty lists, which mean the same as none.
fn empty_lists(body: &mut Object) -> Map<String, Value> {
    let mut form = Map::new();
    for name in ["tools", "stop_sequences"] {
        if body.peek(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            form.extend(body.take(name).map(|empty| (name.to_owned(), empty)));
        }
    }
    form
}

fn turns(body: &mut Object) -> Result<Vec<Turn>, Fault> {
    let mut turns = Vec::new();
    if let Some(system) = body.take("system") {
        let (blocks, plain) = content(system, "/system", At::default())?;
        turns.push(Turn { blocks, plain, ..Turn::new(Role::System, At::default()) });
    }
    let Some(messages) = body.list("messages")? else {
        return Err(Fault::bad("/messages", "`messages` is missing"));
    };
    bounded("/messages", messages.len(), TURNS_MAX)?;
    for (index, message) in (0..).zip(messages) {
        turns.push(turn(message, index)?);
    }
    bounded("/messages", turns.iter().map(Turn::parts).sum(), PARTS_MAX)?;
    Ok(turns)
}

fn turn(message: Value, index: u32) -> Result<Turn, Fault> {
    let at = At { turn: Some(index), part: None };
    let mut message = Object::new(message, format!("/messages/{index}"))?;
    let role = shape::role(&message.need_string("role")?, wire::ROLES, message.at("role"))?;
    let pointer = message.at("content");
    let Some(said) = message.take("content") else {
        return Err(Fault::bad(pointer, "`content` is missing"));
    };
    let (blocks, plain) = content(said, &pointer, at)?;
    Ok(Turn { blocks, plain, extra: message.extra(ID), ..Turn::new(role, at) })
}

/// A string or a list of blocks; tells which it was.
fn content(value: Value, pointer: &str, at: At) -> Result<(Vec<Block>, bool), Fault> {
    shape::content(value, pointer, at, |value, pointer| block(value, at, pointer))
}

/// Reads one content block of a request or an answer.
pub(super) fn block(value: Value, at: At, pointer: &str) -> Result<Block, Fault> {
    if value.get("type").is_some_and(Value::is_string) && !is_known(&value) {
        return Ok(Block { at, ..Block::new(Kind::Opaque { dialect: ID, json: value }) });
    }
    let mut object = Object::new(value, pointer)?;
    let mut form = Map::new();
    let kind = match object.need_string("type")?.as_str() {
        "image" => Kind::Image(Media { source: source(&mut object)?, name: None }),
        "document" => Kind::File(Media { source: source(&mut object)?, name: object.string("title")? }),
        "tool_use" => tool_use(&mut object)?,
        "tool_result" => tool_result(&mut object, at)?,
        "thinking" => {
            let text = object.need_string("thinking")?;
            let signature = object.string("signature")?;
            form.extend(
                signature.clone().filter(String::is_empty).map(|none| ("signature".to_owned(), none.into())),
            );
            Kind::Reasoning { text, seal: signature.and_then(seal) }
        }
        "redacted_thinking" => {
            let data = object.need_string("data")?;
            Kind::Reasoning { text: String::new(), seal: Some(Seal::brought(&data, ID, true)) }
        }
        _ => Kind::Text(object.need_string("text")?),
    };
    let cache = cache(&mut object)?;
    // A call that the model made by itself, as nearly all are: newer models say so in every one. And a text
    // without citations.
    for (name, is_idle) in IDLE {
        let idle = object.peek(name).is_some_and(is_idle).then(|| object.take(name)).flatten();
        form.extend(idle.map(|idle| ((*name).to_owned(), idle)));
    }
    Ok(Block { at, cache, extra: Extra::with_form(ID, object.rest(), form), ..Block::new(kind) })
}

/// Members of a block that may say no more than if they were not there, and when they do not.
const IDLE: &[(&str, IsIdle)] =
    &[("caller", is_direct), ("citations", |list| list.as_array().is_some_and(Vec::is_empty))];

type IsIdle = fn(&Value) -> bool;

/// The caller of a tool is the model itself, which is what no caller at all means too.
fn is_direct(caller: &Value) -> bool {
    let members = caller.as_object().filter(|members| members.len() == 1);
    members.and_then(|members| members.get("type")).and_then(Value::as_str) == Some("direct")
}

fn is_known(block: &Value) -> bool {
    let kind = |value| json::word(value, "type").unwrap_or_default();
    let has_source = !matches!(kind(block), "image" | "document")
        || block.get("source").is_none_or(|source| wire::SOURCES.contains(&kind(source)));
    wire::BLOCKS.contains(&kind(block)) && has_source
}

/// The seal that a signature is. An empty one is none: it stands in answers that were translated from
/// another dialect.
pub(super) fn seal(signature: String) -> Option<Seal> {
    (!signature.is_empty()).then(|| Seal::brought(&signature, ID, false))
}

fn source(block: &mut Object) -> Result<Source, Fault> {
    let pointer = block.at("source");
    let source = block.nested("source", |source| {
        let kind = source.need_string("type")?;
        Ok(Some(match kind.as_str() {
            "url" => Source::Url(source.need_string("url")?),
            "file" => Source::FileId(source.need_string("file_id")?),
            form => {
                let media_type = source.need_string("media_type")?;
                let data = source.need_string("data")?;
                match form {
                    "text" => Source::Text { media_type, data },
                    _ => Source::Base64 { media_type, data },
                }
            }
        }))
    })?;
    source.ok_or_else(|| Fault::bad(pointer, "`source` is missing"))
}

fn tool_use(block: &mut Object) -> Result<Kind, Fault> {
    let id = block.need_string("id")?;
    let name = block.need_string("name")?;
    let input = match block.take("input").unwrap_or_default() {
        input @ Value::Object(_) => input.to_string(),
        other => return Err(wrong(&block.at("input"), "an object", &other)),
    };
    Ok(Kind::ToolUse { id, name, input })
}

fn tool_result(block: &mut Object, at: At) -> Result<Kind, Fault> {
    let id = block.need_string("tool_use_id")?;
    let error = block.boolean("is_error")?;
    let pointer = block.at("content");
    // No content at all is told from an empty list by `plain`.
    let (mut content, plain) = match block.take("content") {
        Some(value) => content(value, &pointer, at)?,
        None => (Vec::new(), true),
    };
    content.iter_mut().for_each(|block| block.at = at);
    Ok(Kind::ToolResult { id, error, content, plain })
}

fn cache(object: &mut Object) -> Result<Option<Cache>, Fault> {
    object.nested("cache_control", |cache| {
        if cache.word("type") != Some("ephemeral") {
            return Ok(None);
        }
        cache.take("type");
        Ok(Some(Cache { ttl: cache.string("ttl")? }))
    })
}

/// A tool of the caller's own has no `type`, or `custom`, which means the same; every other type is a
/// tool of Anthropic's.
fn tool(value: Value, index: usize) -> Result<Tool, Fault> {
    let typed = json::word(&value, "type").is_some_and(|word| word != "custom");
    if typed {
        return Ok(Tool { native: Some((ID, value)), ..Tool::default() });
    }
    let mut object = Object::new(value, format!("/tools/{index}"))?;
    let form = object.string("type")?.map(|custom| ("type".to_owned(), Value::String(custom)));
    let tool = Tool {
        name: object.need_string("name")?,
        description: object.string("description")?,
        schema: object.take("input_schema"),
        strict: object.boolean("strict")?,
        cache: cache(&mut object)?,
        ..Tool::default()
    };
    Ok(Tool { extra: Extra::with_form(ID, object.rest(), form.into_iter().collect()), ..tool })
}

fn tool_choice(choice: &mut Object) -> Result<(Option<Choose>, Option<bool>), Fault> {
    let choose = match choice.word("type") {
        Some("auto") => Choose::Auto,
        Some("any") => Choose::Required,
        Some("none") => Choose::None,
        Some("tool") => Choose::Tool(choice.need_string("name")?),
        _ => return Ok((None, None)),
    };
    choice.take("type");
    let disabled = choice.boolean("disable_parallel_tool_use")?;
    Ok((Some(choose), disabled.map(|disabled| !disabled)))
}

fn sampling(body: &mut Object) -> Result<Sampling, Fault> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        stop: body.strings("stop_sequences")?,
        ..Sampling::default()
    })
}

fn output_config(config: &mut Object, request: &mut Request) -> Result<(), Fault> {
    request.format = format(config, "format")?;
    // Beside a budget, and beside no thinking at all, an effort means something that only Anthropic knows.
    let meant = matches!(request.reasoning, None | Some(Reasoning::Adaptive(_)));
    if meant && let Some(word) = config.string("effort")? {
        let effort = claude::read_effort(&word);
        request.reasoning = Some(match request.reasoning {
            Some(_) => Reasoning::Adaptive(Some(effort)),
            None => Reasoning::Effort(effort),
        });
    }
    Ok(())
}

fn format(parent: &mut Object, member: &str) -> Result<Option<Format>, Fault> {
    parent.nested(member, |format| {
        if format.word("type") != Some("json_schema") || format.peek("schema").is_none_or(Value::is_null) {
            return Ok(None);
        }
        format.take("type");
        let schema = format.take("schema").unwrap_or_default();
        Ok(Some(Format::Schema { name: None, description: None, schema, strict: None }))
    })
}

/// Reads a whole answer.
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let invalid = |fault: Fault| Fault { kind: FaultKind::UpstreamInvalid, ..fault };
    let value = json::parse(body).map_err(invalid)?;
    if value.get("content").is_none() && value.get("error").is_some() {
        return Err(error_body::read(200, body));
    }
    message(value).map_err(invalid)
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut body = Object::new(value, "")?;
    let Some(list) = body.list("content")? else {
        return Err(Fault::bad("/content", "`content` is missing"));
    };
    let each = |(index, value)| answer_block(value, &format!("/content/{index}"));
    let blocks = list.into_iter().enumerate().map(each).collect::<Result<_, _>>()?;
    body.take("type");
    body.take("role");
    let (word, sequence) = (body.string("stop_reason")?, body.string("stop_sequence")?);
    let stop = Some(wire::stop(&word.unwrap_or_default(), sequence));
    let usage = body.take("usage").and_then(wire::usage);
    Ok(Message {
        id: body.string("id")?.unwrap_or_default(),
        model: body.string("model")?.unwrap_or_default(),
        choices: vec![Choice { blocks, stop, ..Choice::new(0) }],
        usage,
        extra: body.extra(ID),
        ..Message::new(ID)
    })
}

/// Reads a block of an answer. Compatible servers leave out what is empty, and may give the input of a call
/// as text.
pub(super) fn answer_block(mut value: Value, pointer: &str) -> Result<Block, Fault> {
    let kind = json::word(&value, "type").unwrap_or_default().to_owned();
    if let (Some(members), "text" | "thinking") = (value.as_object_mut(), kind.as_str()) {
        members.entry(kind).or_insert_with(|| Value::String(String::new()));
    } else if let (Some(members), "tool_use") = (value.as_object_mut(), kind.as_str()) {
        let input = members.entry("input").or_insert_with(|| Value::Object(Map::new()));
        let object = input.as_str().and_then(|text| serde_json::from_str(text).ok());
        *input = object.unwrap_or_else(|| input.take());
    }
    block(value, At::default(), pointer)
}
