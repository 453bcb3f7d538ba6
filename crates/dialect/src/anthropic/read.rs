//! Messages API into canonical form: requests, answers, errors.

use super::wire::{self, ID};
use crate::{
    Carried, Fault, FaultKind,
    canon::{
        At, Block, Cache, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role,
        Sampling, Seal, Source, Stop, Tool, Turn,
    },
    error_body,
    json::{self, Object, wrong},
    limits::{PARTS_MAX, TOOLS_MAX, TURNS_MAX},
};
use serde_json::{Map, Value};

/// Reads a request for an answer.
pub(super) fn request(body: &[u8]) -> Result<Carried<Request>, Fault> {
    let request = count_request(body)?;
    if request.value.limit.is_none() {
        let fault = Fault::bad("/max_tokens", "`max_tokens` is missing");
        return Err(fault.hint("the Messages API demands it; 4096 is a good start"));
    }
    Ok(request)
}

/// Reads a request to count tokens: the same, but it needs no `max_tokens`.
pub(super) fn count_request(body: &[u8]) -> Result<Carried<Request>, Fault> {
    let mut body = Object::new(json::parse(body)?, "")?;
    let mut form = empty_lists(&mut body);
    let mut request = Request::new(ID, body.need_string("model")?);
    request.turns = turns(&mut body)?;
    request.tools = tools(&mut body)?;
    (request.choice, request.parallel) = nested(&mut body, "tool_choice", tool_choice)?;
    request.sampling = sampling(&mut body)?;
    request.limit = body.whole("max_tokens")?;
    request.reasoning = nested(&mut body, "thinking", thinking)?;
    nested(&mut body, "output_config", |config| output_config(config, &mut request))?;
    if request.format.is_none() {
        // The older name of `output_config.format`.
        let older = body.peek("output_format").cloned();
        request.format = format(&mut body, "output_format")?;
        form.extend(
            older.filter(|_| request.format.is_some()).map(|older| ("output_format".to_owned(), older)),
        );
    }
    request.stream = body.boolean("stream")?;
    request.user = nested(&mut body, "metadata", |metadata| metadata.string("user_id"))?;
    request.extra = Extra::with_form(ID, body.rest(), form);
    Ok(Carried::whole(request))
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

/// Takes the inner object `name` apart. What `take` leaves of it stays in `parent` under the same name,
/// and so the writer finds it in `extra` and puts it back in its place.
fn nested<T: Default>(
    parent: &mut Object,
    name: &str,
    take: impl FnOnce(&mut Object) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if parent.peek(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
        return Ok(T::default());
    }
    let Some(mut inner) = parent.object(name)? else { return Ok(T::default()) };
    let taken = take(&mut inner)?;
    let rest = inner.rest();
    if !rest.is_empty() {
        parent.put(name, Value::Object(rest));
    }
    Ok(taken)
}

/// The `type` of an object that is being taken apart.
fn kind(object: &Object) -> Option<&str> {
    object.peek("type").and_then(Value::as_str)
}

fn turns(body: &mut Object) -> Result<Vec<Turn>, Fault> {
    let mut turns = Vec::new();
    if let Some(system) = body.take("system") {
        let (blocks, plain) = content(system, "/system", |part| At { turn: None, part: Some(part) })?;
        turns.push(Turn {
            role: Role::System,
            blocks,
            plain,
            at: At::default(),
            name: None,
            extra: Extra::NONE,
        });
    }
    let Some(messages) = body.list("messages")? else {
        return Err(Fault::bad("/messages", "`messages` is missing"));
    };
    at_most(TURNS_MAX, messages.len(), "/messages", "messages")?;
    for (index, message) in (0..).zip(messages) {
        turns.push(turn(message, index)?);
    }
    at_most(PARTS_MAX, turns.iter().map(|turn| parts(&turn.blocks)).sum(), "/messages", "content blocks")?;
    Ok(turns)
}

fn parts(blocks: &[Block]) -> usize {
    let inside = |block: &Block| match &block.kind {
        Kind::ToolResult { content, .. } => content.len(),
        _ => 0,
    };
    blocks.iter().map(|block| 1 + inside(block)).sum()
}

fn at_most(max: usize, found: usize, pointer: &str, what: &str) -> Result<(), Fault> {
    if found <= max {
        return Ok(());
    }
    Err(Fault::bad(pointer, format!("`{pointer}` holds {found} {what}, and at most {max} are taken")))
}

fn turn(message: Value, index: u32) -> Result<Turn, Fault> {
    let at = At { turn: Some(index), part: None };
    let mut message = Object::new(message, format!("/messages/{index}"))?;
    let role = match message.need_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let words = format!("`{other}` is no role; it must be `user`, `assistant` or `system`");
            return Err(Fault::bad(message.at("role"), words));
        }
    };
    let pointer = message.at("content");
    let Some(said) = message.take("content") else {
        return Err(Fault::bad(pointer, "`content` is missing"));
    };
    let (blocks, plain) = content(said, &pointer, |part| At { part: Some(part), ..at })?;
    Ok(Turn { role, blocks, plain, at, name: None, extra: message.extra(ID) })
}

/// A string or a list of blocks; tells which it was.
fn content(value: Value, pointer: &str, at: impl Fn(u32) -> At) -> Result<(Vec<Block>, bool), Fault> {
    match value {
        Value::String(text) => {
            let at = At { part: None, ..at(0) };
            Ok((vec![Block { at, ..Block::new(Kind::Text(text)) }], true))
        }
        Value::Array(list) => {
            let each = |(part, value)| block(value, at(part), &format!("{pointer}/{part}"));
            Ok(((0..).zip(list).map(each).collect::<Result<_, _>>()?, false))
        }
        other => Err(wrong(pointer, "a string or a list of content blocks", &other)),
    }
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
    let word = |value: &Value| value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let named = word(block);
    let has_source = !matches!(named.as_str(), "image" | "document")
        || block.get("source").is_none_or(|source| wire::SOURCES.contains(&word(source).as_str()));
    wire::BLOCKS.contains(&named.as_str()) && has_source
}

/// The seal that a signature is. An empty one is none: it stands in answers that were translated from
/// another dialect.
pub(super) fn seal(signature: String) -> Option<Seal> {
    (!signature.is_empty()).then(|| Seal::brought(&signature, ID, false))
}

fn source(block: &mut Object) -> Result<Source, Fault> {
    let pointer = block.at("source");
    let source = nested(block, "source", |source| {
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
        Some(value) => content(value, &pointer, |_| at)?,
        None => (Vec::new(), true),
    };
    content.iter_mut().for_each(|block| block.at = at);
    Ok(Kind::ToolResult { id, error, content, plain })
}

fn cache(object: &mut Object) -> Result<Option<Cache>, Fault> {
    nested(object, "cache_control", |cache| {
        if kind(cache) != Some("ephemeral") {
            return Ok(None);
        }
        cache.take("type");
        Ok(Some(Cache { ttl: cache.string("ttl")? }))
    })
}

fn tools(body: &mut Object) -> Result<Vec<Tool>, Fault> {
    let list = body.list("tools")?.unwrap_or_default();
    at_most(TOOLS_MAX, list.len(), "/tools", "tools")?;
    list.into_iter().enumerate().map(|(index, value)| tool(value, index)).collect()
}

/// A tool of the caller's own has no `type`, or `custom`, which means the same; every other type is a
/// tool of Anthropic's.
fn tool(value: Value, index: usize) -> Result<Tool, Fault> {
    let typed = value.get("type").and_then(Value::as_str).is_some_and(|word| word != "custom");
    let mut tool = Tool {
        name: String::new(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        native: None,
        extra: Extra::NONE,
    };
    if typed {
        tool.native = Some((ID, value));
        return Ok(tool);
    }
    let mut object = Object::new(value, format!("/tools/{index}"))?;
    let form = object.string("type")?.map(|custom| ("type".to_owned(), Value::String(custom)));
    tool.name = object.need_string("name")?;
    tool.description = object.string("description")?;
    tool.schema = object.take("input_schema");
    tool.strict = object.boolean("strict")?;
    tool.cache = cache(&mut object)?;
    tool.extra = Extra::with_form(ID, object.rest(), form.into_iter().collect());
    Ok(tool)
}

fn tool_choice(choice: &mut Object) -> Result<(Option<Choose>, Option<bool>), Fault> {
    let choose = match kind(choice) {
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
    let mut stop = Vec::new();
    for (index, word) in body.list("stop_sequences")?.into_iter().flatten().enumerate() {
        match word {
            Value::String(word) => stop.push(word),
            other => return Err(wrong(&format!("/stop_sequences/{index}"), "a string", &other)),
        }
    }
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        stop,
        ..Sampling::default()
    })
}

fn thinking(thinking: &mut Object) -> Result<Option<Reasoning>, Fault> {
    let reasoning = match kind(thinking) {
        Some("adaptive") => Reasoning::Adaptive(None),
        Some("disabled") => Reasoning::Off,
        Some("enabled") => match thinking.whole("budget_tokens")? {
            Some(budget) => Reasoning::Budget(budget),
            None => return Err(Fault::bad(thinking.at("budget_tokens"), "`budget_tokens` is missing")),
        },
        _ => return Ok(None),
    };
    thinking.take("type");
    Ok(Some(reasoning))
}

fn output_config(config: &mut Object, request: &mut Request) -> Result<(), Fault> {
    request.format = format(config, "format")?;
    // Beside a budget, and beside no thinking at all, an effort means something that only Anthropic knows.
    let meant = matches!(request.reasoning, None | Some(Reasoning::Adaptive(_)));
    if meant && let Some(word) = config.string("effort")? {
        let effort = wire::effort(&word);
        request.reasoning = Some(match request.reasoning {
            Some(_) => Reasoning::Adaptive(Some(effort)),
            None => Reasoning::Effort(effort),
        });
    }
    Ok(())
}

fn format(parent: &mut Object, member: &str) -> Result<Option<Format>, Fault> {
    nested(parent, member, |format| {
        if kind(format) != Some("json_schema") || format.peek("schema").is_none_or(Value::is_null) {
            return Ok(None);
        }
        format.take("type");
        let schema = format.take("schema").unwrap_or_default();
        Ok(Some(Format::Schema { name: None, description: None, schema, strict: None }))
    })
}

/// Reads a whole answer.
pub(super) fn response(body: &[u8]) -> Result<Carried<Message>, Fault> {
    let invalid = |fault: Fault| Fault { kind: FaultKind::UpstreamInvalid, ..fault };
    let value = json::parse(body).map_err(invalid)?;
    if value.get("content").is_none() && value.get("error").is_some() {
        return Err(error_body::read(200, body));
    }
    message(value).map(Carried::whole).map_err(invalid)
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
    let stop = Some(stop(&mut body)?);
    let usage = match body.take("usage") {
        Some(Value::Object(native)) => Some(wire::usage(native)),
        _ => None,
    };
    Ok(Message {
        from: ID,
        id: body.string("id")?.unwrap_or_default(),
        model: body.string("model")?.unwrap_or_default(),
        created: None,
        choices: vec![Choice { index: 0, blocks, stop, logprobs: None, extra: Extra::NONE }],
        usage,
        extra: body.extra(ID),
    })
}

/// Reads a block of an answer. Compatible servers leave out what is empty, and may give the input of a call
/// as text.
pub(super) fn answer_block(mut value: Value, pointer: &str) -> Result<Block, Fault> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (Some(members), "text" | "thinking") = (value.as_object_mut(), kind.as_str()) {
        members.entry(kind).or_insert_with(|| Value::String(String::new()));
    } else if let (Some(members), "tool_use") = (value.as_object_mut(), kind.as_str()) {
        let input = members.entry("input").or_insert_with(|| Value::Object(Map::new()));
        let object = input.as_str().and_then(|text| serde_json::from_str(text).ok());
        *input = object.unwrap_or_else(|| input.take());
    }
    block(value, At::default(), pointer)
}

/// Why it stopped; an answer that does not say is none of the reasons that we know.
fn stop(body: &mut Object) -> Result<Stop, Fault> {
    let word = body.string("stop_reason")?.unwrap_or_default();
    Ok(wire::stop(&word, body.string("stop_sequence")?))
}
