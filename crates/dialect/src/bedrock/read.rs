//! Converse API into canonical form: requests, answers and errors.
//!
//! Where a thing would be written in another way than it stood, what stood there is kept as its form, so a
//! body comes back as it was.

use super::{
    wire::{self, ME},
    write,
};
use crate::{
    Fault,
    canon::{
        At, Block, Cache, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role,
        Sampling, Seal, Source, Tool, Turn,
    },
    claude, error_body,
    json::{self, Object, bounded, put, wrong},
    limits::{PARTS_MAX, TOOLS_MAX, TURNS_MAX},
    openai, shape,
};
use serde_json::{Map, Value};

type Members = Map<String, Value>;

/// Behind a signature that is another API's: the thoughts are inside the seal, not beside it.
pub(super) const HIDDEN: char = '#';

/// Reads a request: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    body_of(Object::new(json::parse(body)?, "")?)
}

/// Reads a request to count tokens, which holds that of a conversation:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>
pub(super) fn count_request(body: &[u8]) -> Result<Request, Fault> {
    let mut body = Object::new(json::parse(body)?, "")?;
    let mut input = body.object("input")?.ok_or_else(|| Fault::bad("/input", "`input` is missing"))?;
    let fault = || Fault::bad(input.at("converse"), "`converse` is missing");
    let fault = fault().hint("tokens are counted of what `converse` takes, not of another API's body");
    body_of(input.object("converse")?.ok_or(fault)?)
}

fn body_of(mut object: Object) -> Result<Request, Fault> {
    let mut kept = Members::new();
    for name in ["toolConfig", "inferenceConfig", "outputConfig", "additionalModelRequestFields"] {
        put(&mut kept, name, object.peek(name).filter(|value| !value.is_null()).cloned());
    }
    let mut request = Request::new(ME, "");
    let pointer = object.at("system");
    match object.list("system")? {
        Some(system) if system.is_empty() => put(&mut kept, "system", Some(Value::Array(system))),
        Some(system) => request.turns.push(Turn {
            blocks: blocks(system, &pointer, |part| At { turn: None, part: Some(part) })?,
            ..Turn::new(Role::System, At::default())
        }),
        None => {}
    }
    let pointer = object.at("messages");
    let messages = object.list("messages")?.ok_or_else(|| Fault::bad(&pointer, "`messages` is missing"))?;
    bounded(&pointer, messages.len(), TURNS_MAX)?;
    for (index, message) in (0..).zip(messages) {
        request.turns.push(turn(message, index, format!("{pointer}/{index}"))?);
    }
    bounded(&pointer, request.turns.iter().map(Turn::parts).sum(), PARTS_MAX)?;
    (request.tools, request.choice) = object.nested("toolConfig", tools)?;
    object.nested("inferenceConfig", |config| inference(config, &mut request))?;
    request.format = object.nested("outputConfig", |config| config.nested("textFormat", format))?;
    object.nested("additionalModelRequestFields", |fields| additional(fields, &mut request))?;
    request.extra = Extra::with_form(ME, object.rest(), kept);
    Ok(request)
}

fn turn(message: Value, index: u32, pointer: String) -> Result<Turn, Fault> {
    let at = At { turn: Some(index), part: None };
    let mut message = Object::new(message, pointer)?;
    let role = shape::role(&message.need_string("role")?, &[Role::User, Role::Assistant], message.at("role"))
        .map_err(|fault| fault.hint("roles are `user` and `assistant`; instructions stand in `system`"))?;
    let pointer = message.at("content");
    let content = message.list("content")?.ok_or_else(|| Fault::bad(&pointer, "`content` is missing"))?;
    let blocks = blocks(content, &pointer, |part| At { part: Some(part), ..at })?;
    Ok(Turn { blocks, extra: message.extra(ME), ..Turn::new(role, at) })
}

/// Reads content blocks. A cache point is a wish of the block before it.
fn blocks(list: Vec<Value>, pointer: &str, at: impl Fn(u32) -> At) -> Result<Vec<Block>, Fault> {
    let mut blocks: Vec<Block> = Vec::new();
    for (number, value) in (0..).zip(list) {
        match (cache_point(&value), blocks.last_mut().filter(|block| block.cache.is_none())) {
            (Some(cache), Some(last)) => last.cache = Some(cache),
            _ => blocks.push(block(value, at(number), &format!("{pointer}/{number}"))?),
        }
    }
    Ok(blocks)
}

/// The wish that a cache point is, where it says nothing more:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CachePointBlock.html>
fn cache_point(block: &Value) -> Option<Cache> {
    let point = block.as_object().filter(|block| block.len() == 1)?.get("cachePoint")?.as_object()?;
    let ttl = match point.get("ttl") {
        Some(ttl) => Some(ttl.as_str()?.to_owned()),
        None => None,
    };
    let is_plain = point.get("type")? == "default" && point.len() == 1 + usize::from(ttl.is_some());
    is_plain.then_some(Cache { ttl })
}

/// Reads one block of a request or an answer. One that canonical form cannot hold is kept whole.
pub(super) fn block(value: Value, at: At, pointer: &str) -> Result<Block, Fault> {
    let Value::Object(original) = value else { return Err(wrong(pointer, "an object", &value)) };
    let mut object = Object::new(Value::Object(original.clone()), pointer)?;
    let Some(kind) = kind(&mut object, at)? else {
        let kind = Kind::Opaque { dialect: ME, json: Value::Object(original) };
        return Ok(Block { at, ..Block::new(kind) });
    };
    let rest = object.rest();
    let mut block = Block { at, extra: Extra::new(ME, rest.clone()), ..Block::new(kind) };
    // Thoughts under another API's seal must not be written back.
    let is_foreign = matches!(&block.kind, Kind::Reasoning { seal: Some(seal), .. } if seal.issuer != ME);
    if write::own_block(&block).as_ref() != Some(&original) && !is_foreign {
        block.extra = Extra::with_form(ME, rest, original);
    }
    Ok(block)
}

/// Kinds of blocks that are objects.
#[rustfmt::skip]
const HELD: &[&str] = &[
    "image", "document", "video", "audio", "toolUse", "toolResult", "reasoningContent", "citationsContent",
    "guardContent",
];

/// What a block is: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>
fn kind(block: &mut Object, at: At) -> Result<Option<Kind>, Fault> {
    if let Some(text) = block.string("text")? {
        return Ok(Some(Kind::Text(text)));
    }
    if let Some(json) = block.take("json") {
        return Ok(Some(Kind::Text(json.to_string())));
    }
    // A tool of the provider's own is no call for the caller.
    let is_theirs = |name: &str| block.peek(name).is_some_and(|inner| inner.get("type").is_some());
    if is_theirs("toolUse") || is_theirs("toolResult") {
        return Ok(None);
    }
    let Some(name) = HELD.iter().find(|name| block.peek(name).is_some()) else { return Ok(None) };
    block.nested(name, |inner| match *name {
        "toolUse" => call(inner),
        "toolResult" => result(inner, at),
        "reasoningContent" => thoughts(inner),
        "citationsContent" => cited(inner),
        "image" | "document" | "video" | "audio" => medium(name, inner),
        _ => Ok(inner.nested("text", |text| text.string("text"))?.map(Kind::Text)),
    })
}

fn medium(member: &str, held: &mut Object) -> Result<Option<Kind>, Fault> {
    let format = held.string("format")?.unwrap_or_default();
    let media_type = if format.is_empty() { String::new() } else { wire::media_type(member, &format) };
    let source: Option<Source> = held.nested("source", |source| {
        if let Some(data) = source.string("bytes")? {
            return Ok(Some(Source::Base64 { media_type, data }));
        }
        if let Some(data) = source.string("text")? {
            return Ok(Some(Source::Text { media_type: "text/plain".to_owned(), data }));
        }
        // It lies at Amazon.
        let uri: Option<String> = source.nested("s3Location", |place| place.string("uri"))?;
        Ok(uri.map(Source::FileId))
    })?;
    let Some(source) = source else { return Ok(None) };
    let media = Media { source, name: held.string("name")? };
    Ok(Some(match member {
        "image" => Kind::Image(media),
        "audio" => Kind::Audio(media),
        _ => Kind::File(media),
    }))
}

fn call(call: &mut Object) -> Result<Option<Kind>, Fault> {
    let (id, name) = (call.need_string("toolUseId")?, call.need_string("name")?);
    let input = call.take("input").map(|input| input.to_string()).unwrap_or_default();
    Ok(Some(Kind::ToolUse { id, name, input }))
}

fn result(result: &mut Object, at: At) -> Result<Option<Kind>, Fault> {
    let id = result.need_string("toolUseId")?;
    let error = match result.peek("status").and_then(Value::as_str) {
        Some(word @ ("success" | "error")) => Some(word == "error"),
        _ => None,
    };
    error.and_then(|_| result.take("status"));
    let pointer = result.at("content");
    let content = result.list("content")?;
    // No content at all is told from an empty list by `plain`.
    let plain = content.is_none();
    let content = blocks(content.unwrap_or_default(), &pointer, |_| at)?;
    Ok(Some(Kind::ToolResult { id, error, content, plain }))
}

fn thoughts(held: &mut Object) -> Result<Option<Kind>, Fault> {
    if let Some(data) = held.string("redactedContent")? {
        let seal = Some(Seal { issuer: ME, data, redacted: true });
        return Ok(Some(Kind::Reasoning { text: String::new(), seal }));
    }
    held.nested("reasoningText", |inner| {
        let text = inner.string("text")?.unwrap_or_default();
        let seal = inner.string("signature")?.and_then(|text| seal(&text));
        Ok(Some(Kind::Reasoning { text, seal }))
    })
}

/// The seal that a signature is; an empty one is none.
pub(super) fn seal(signature: &str) -> Option<Seal> {
    let seal = Seal::brought(signature, ME, false);
    match seal.data.strip_suffix(HIDDEN).filter(|_| seal.issuer != ME) {
        Some(data) => Some(Seal { data: data.to_owned(), redacted: true, ..seal }),
        None => Some(seal).filter(|seal| !seal.data.is_empty()),
    }
}

/// Words with their citations: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CitationsContentBlock.html>
fn cited(held: &mut Object) -> Result<Option<Kind>, Fault> {
    let words = held.list("content")?.unwrap_or_default();
    Ok(Some(Kind::Text(words.iter().filter_map(|piece| piece.get("text")?.as_str()).collect())))
}

/// Reads `toolConfig`: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html>
fn tools(config: &mut Object) -> Result<(Vec<Tool>, Option<Choose>), Fault> {
    let pointer = config.at("tools");
    let list = config.list("tools")?.unwrap_or_default();
    bounded(&pointer, list.len(), TOOLS_MAX)?;
    let mut tools: Vec<Tool> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        match (cache_point(&value), tools.last_mut().filter(|tool| tool.cache.is_none())) {
            (Some(cache), Some(last)) => last.cache = Some(cache),
            _ if value.get("toolSpec").is_some() => tools.push(tool(value, format!("{pointer}/{index}"))?),
            _ => tools.push(Tool { native: Some((ME, value)), ..Tool::default() }),
        }
    }
    Ok((tools, config.take("toolChoice").map(choice)))
}

fn tool(value: Value, pointer: String) -> Result<Tool, Fault> {
    let mut entry = Object::new(value, pointer)?;
    let tool: Option<Tool> = entry.nested("toolSpec", |spec| {
        let name = spec.need_string("name")?;
        let description = spec.string("description")?;
        let schema = spec.nested("inputSchema", |schema| Ok(schema.take("json")))?;
        Ok(Some(Tool { name, description, schema, strict: spec.boolean("strict")?, ..Tool::default() }))
    })?;
    let tool = tool.ok_or_else(|| Fault::bad(entry.at("toolSpec"), "`toolSpec` is missing"))?;
    Ok(Tool { extra: entry.extra(ME), ..tool })
}

fn choice(value: Value) -> Choose {
    let is = |name: &str| value.get(name).is_some_and(Value::is_object);
    match value.pointer("/tool/name").and_then(Value::as_str) {
        Some(name) => Choose::Tool(name.to_owned()),
        None if is("auto") => Choose::Auto,
        None if is("any") => Choose::Required,
        None => Choose::Native(ME, value),
    }
}

/// Reads `inferenceConfig`: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html>
fn inference(config: &mut Object, request: &mut Request) -> Result<(), Fault> {
    request.limit = config.whole("maxTokens")?;
    request.sampling = Sampling {
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        stop: config.strings("stopSequences")?,
        ..Sampling::default()
    };
    Ok(())
}

/// Reads `outputConfig.textFormat`: <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>.
/// The schema is JSON inside a string.
fn format(format: &mut Object) -> Result<Option<Format>, Fault> {
    if format.peek("type").is_none_or(|kind| kind != "json_schema") {
        return Ok(None);
    }
    let read: Option<Format> = format.nested("structure", |structure| {
        structure.nested("jsonSchema", |inner| {
            let text = inner.peek("schema").and_then(Value::as_str);
            let Some(schema) = text.and_then(|text| serde_json::from_str(text).ok()) else { return Ok(None) };
            inner.take("schema");
            let (name, description) = (inner.string("name")?, inner.string("description")?);
            Ok(Some(Format::Schema { name, description, schema, strict: None }))
        })
    })?;
    read.as_ref().and_then(|_| format.take("type"));
    Ok(read)
}

/// Reads what models want in their own way: how to think, and `top_k`.
fn additional(fields: &mut Object, request: &mut Request) -> Result<(), Fault> {
    for name in ["thinking", "reasoning_config", "reasoningConfig", "reasoning_effort"] {
        let wish = fields.peek(name).and_then(thinking);
        if request.reasoning.is_none() && wish.is_some() {
            fields.take(name);
            request.reasoning = wish;
        }
    }
    if let Some(Reasoning::Adaptive(effort)) = &mut request.reasoning {
        let word = fields.nested("output_config", |config| config.string("effort"))?;
        *effort = word.map(|word| claude::read_effort(&word));
    }
    let top_k = |fields: &mut Object, name: &str| match fields.peek(name) {
        Some(Value::Number(_)) => fields.number(name),
        _ => Ok(None),
    };
    request.sampling.top_k = top_k(fields, "top_k")?;
    if request.sampling.top_k.is_none() && fields.peek("inferenceConfig").is_some_and(Value::is_object) {
        request.sampling.top_k = fields.nested("inferenceConfig", |config| top_k(config, "topK"))?;
    }
    Ok(())
}

/// How to think, in the words of Claude (an object with a budget), Nova (one with an effort) and others (the
/// effort itself).
fn thinking(wish: &Value) -> Option<Reasoning> {
    let words = |name: &str| wish.get(name).and_then(Value::as_str);
    match wish.as_str().or_else(|| words("type"))? {
        word if wish.is_string() => Some(openai::read_effort(word)),
        "disabled" => Some(Reasoning::Off),
        "adaptive" => Some(Reasoning::Adaptive(None)),
        "enabled" => match wish.get("budget_tokens").and_then(Value::as_u64) {
            Some(budget) => Some(Reasoning::Budget(budget)),
            None => words("maxReasoningEffort").map(openai::read_effort),
        },
        _ => None,
    }
}

/// Reads a whole answer: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let is_fault = |value: &Value| {
        let has = |name: &&str| value.get(*name).is_some();
        !has(&"output") && ["message", "Message", "__type"].iter().any(has)
    };
    shape::answer(body, |value| is_fault(value).then(|| error_body::told(200, value)), message)
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut body = Object::new(value, "")?;
    let stop = Some(wire::read_stop(&body.string("stopReason")?.unwrap_or_default()));
    let usage = body.object("usage")?.map(|usage| wire::read_usage(usage.rest()));
    let blocks: Option<Vec<Block>> = body.nested("output", |output| {
        output.nested("message", |message| {
            message.take("role");
            let pointer = message.at("content");
            let list = message.list("content")?.unwrap_or_default().into_iter().enumerate();
            let each = |(number, value)| block(value, At::default(), &format!("{pointer}/{number}"));
            list.map(each).collect::<Result<_, _>>().map(Some)
        })
    })?;
    let blocks = blocks.ok_or_else(|| Fault::bad("/output/message", "`message` is missing"))?;
    let choices = vec![Choice { blocks, stop, ..Choice::new(0) }];
    let mut rest = body.rest();
    let diagnosis = wire::DIAGNOSIS.iter().filter_map(|name| rest.shift_remove_entry(*name)).collect();
    Ok(Message { choices, usage, extra: Extra::with_form(ME, rest, diagnosis), ..Message::new(ME) })
}
