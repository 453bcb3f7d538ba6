//! Cohere's answers into canonical form.

use super::wire::{self, ME};
use crate::{
    Carried, Fault, Losses,
    canon::{Block, Choice, Extra, Kind, Message},
    error_body,
    json::Object,
    limits::PARTS_MAX,
    shape,
};
use serde_json::{Value, json};

/// Reads a whole answer: <https://docs.cohere.com/reference/chat#response>
pub(super) fn response(body: &[u8]) -> Result<Carried<Message>, Fault> {
    let mut losses = Losses::new();
    let failure = |value: &Value| {
        let told = is_fault(value).then(|| error_body::told(200, value));
        told.or_else(|| wire::failure(value))
    };
    let value = shape::answer(body, failure, |value| message(value, &mut losses))?;
    Ok(Carried { value, losses })
}

/// An error says in words what an answer has as an object.
pub(super) fn is_fault(value: &Value) -> bool {
    value.get("message").is_some_and(Value::is_string)
}

fn message(value: Value, losses: &mut Losses) -> Result<Message, Fault> {
    let mut object = Object::new(value, "")?;
    let id = object.string("id")?.unwrap_or_default();
    let stop = object.string("finish_reason")?.map(|word| wire::read_stop(&word));
    let usage = object.object("usage")?.map(|usage| wire::read_usage(usage.rest()));
    let items = object.list("logprobs")?.unwrap_or_default();
    let items: Vec<Value> = items.iter().filter_map(|item| wire::read_logprob(item, losses)).collect();
    let logprobs = (!items.is_empty()).then(|| json!({ "content": items }));
    let message = object.object("message")?.ok_or_else(|| Fault::bad("/message", "`message` is missing"))?;
    let (blocks, extra) = said(message, losses)?;
    let choices = vec![Choice { blocks, stop, logprobs, extra, ..Choice::new(0) }];
    Ok(Message { id, choices, usage, extra: object.extra(ME), ..Message::new(ME) })
}

/// What the model said, and what else stands in its message.
///
/// A `tool_plan` becomes words and not thoughts. Every caller keeps words that stand before calls and sends
/// them back with its next request, where they become the plan again, as the API wants it; thoughts without
/// a seal most callers drop, and no API takes back another's.
fn said(mut message: Object, losses: &mut Losses) -> Result<(Vec<Block>, Extra), Fault> {
    let mut blocks = Vec::new();
    let pointer = message.at("content");
    for (number, value) in content(&mut message)?.into_iter().enumerate() {
        blocks.push(Block::new(part(value, &format!("{pointer}/{number}"))?));
    }
    let plan = message.string("tool_plan")?.filter(|plan| !plan.is_empty());
    blocks.extend(plan.map(|plan| Block::new(Kind::Text(plan))));
    let pointer = message.at("tool_calls");
    for (number, value) in message.list("tool_calls")?.into_iter().flatten().enumerate() {
        blocks.push(Block::new(call(value, format!("{pointer}/{number}"))?));
    }
    if blocks.len() > PARTS_MAX {
        return Err(Fault::bad(pointer, format!("an answer holds {PARTS_MAX} parts at most")));
    }
    if message.list("citations")?.is_some_and(|list| !list.is_empty()) {
        wire::lose_citations(losses);
    }
    message.take("role");
    Ok((blocks, message.extra(ME)))
}

/// The content; some models give it as a string.
fn content(message: &mut Object) -> Result<Vec<Value>, Fault> {
    match message.take("content") {
        Some(Value::String(text)) => Ok(vec![json!({"type": "text", "text": text})]),
        Some(content) => {
            message.put("content", content);
            Ok(message.list("content")?.unwrap_or_default())
        }
        None => Ok(Vec::new()),
    }
}

fn part(value: Value, pointer: &str) -> Result<Kind, Fault> {
    let mut part = Object::new(value.clone(), pointer)?;
    Ok(match part.string("type")?.as_deref() {
        Some("text") => Kind::Text(part.string("text")?.unwrap_or_default()),
        Some("thinking") => {
            Kind::Reasoning { text: part.string("thinking")?.unwrap_or_default(), seal: None }
        }
        _ => Kind::Opaque { dialect: ME, json: value },
    })
}

fn call(value: Value, pointer: String) -> Result<Kind, Fault> {
    let mut call = Object::new(value, pointer)?;
    let id = call.string("id")?.unwrap_or_default();
    let mut function = call.object("function")?.ok_or_else(|| {
        let pointer = call.at("function");
        Fault::bad(pointer, "`function` is missing")
    })?;
    let name = function.string("name")?.unwrap_or_default();
    Ok(Kind::ToolUse { id, name, input: function.string("arguments")?.unwrap_or_default() })
}
