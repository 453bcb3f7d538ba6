//! Anthropic messages: <https://docs.anthropic.com/en/api/messages> and
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use super::{
    answer::{Answer, Ask, Call, Choice, Stop, pieces},
    identity,
    script::{Script, UsageAt},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an Anthropic error message.
pub(crate) fn ask(body: &Value) -> Result<Ask, String> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let messages = body.get("messages").and_then(Value::as_array).ok_or("messages: Field required")?;
    check_signatures(messages)?;
    let last_user = messages.iter().rev().find(|message| role(message) == "user");
    let with_text =
        messages.iter().rev().find(|message| role(message) == "user" && !own_text(message).is_empty());
    let format = body.pointer("/output_config/format").or_else(|| body.get("output_format"));
    let schema = format.filter(|format| format.get("type").is_some_and(|kind| kind == "json_schema"));
    let thinking = body.pointer("/thinking/type").and_then(Value::as_str).unwrap_or("disabled");
    let stops = body.get("stop_sequences").and_then(Value::as_array).into_iter().flatten();
    Ok(Ask {
        model: text("model").ok_or("model: Field required")?.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        user_text: with_text.map(own_text).unwrap_or_default(),
        prefilled: messages.last().is_some_and(|last| role(last) == "assistant"),
        tool_result: last_user.and_then(tool_result),
        tools: body.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(tool).collect(),
        choice: choice(body.get("tool_choice")),
        schema: schema.map(|format| format.get("schema").cloned().unwrap_or_default()),
        images: messages.iter().flat_map(blocks).map(images).sum(),
        thinks: thinking != "disabled",
        stops: stops.filter_map(|stop| stop.as_str().map(str::to_owned)).collect(),
        limit: body.get("max_tokens").and_then(Value::as_u64).map(|limit| limit as usize),
        choices: 1,
        ..Ask::default()
    })
}

/// The answer as one JSON object.
pub(crate) fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = &answer.thought {
        let thought = thought.concat();
        content.push(json!({"type": "thinking", "thinking": thought, "signature": signature(&thought)}));
    }
    if answer.calls.is_empty() {
        content.push(json!({"type": "text", "text": answer.words.concat()}));
    }
    let call = |(place, call): (usize, &Call)| json!({"type": "tool_use", "id": call_id(seed, place), "name": call.name, "input": call.arguments});
    content.extend(answer.calls.iter().enumerate().map(call));
    let (reason, sequence) = stop(&answer.stop);
    let mut message = json!({
        "id": identity("msg_01", 22, seed), "type": "message", "role": "assistant", "model": ask.model,
        "content": content, "stop_reason": reason, "stop_sequence": sequence,
    });
    if let (Value::Object(message), true) = (&mut message, script.usage != UsageAt::Never) {
        message.insert("usage".to_owned(), usage(answer, answer.usage.output));
    }
    message
}

/// The answer as the data of its events, in order. An event's name is its `type`.
pub(crate) fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Value> {
    let mut out = vec![json!({"type": "message_start", "message": {
        "id": identity("msg_01", 22, seed), "type": "message", "role": "assistant", "model": ask.model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(answer, 1),
    }})];
    if script.empty_first {
        out.push(json!({"type": "ping"}));
    }
    let mut index = 0;
    if let Some(thought) = &answer.thought {
        let mut deltas: Vec<Value> =
            thought.iter().map(|word| json!({"type": "thinking_delta", "thinking": word})).collect();
        deltas.push(json!({"type": "signature_delta", "signature": signature(&thought.concat())}));
        let opened = json!({"type": "thinking", "thinking": "", "signature": ""});
        block(&mut out, &mut index, &opened, &deltas);
    }
    if answer.calls.is_empty() {
        let deltas: Vec<Value> =
            answer.words.iter().map(|word| json!({"type": "text_delta", "text": word})).collect();
        block(&mut out, &mut index, &json!({"type": "text", "text": ""}), &deltas);
    }
    for (place, call) in answer.calls.iter().enumerate() {
        let opened = json!({"type": "tool_use", "id": call_id(seed, place), "name": call.name, "input": {}});
        let mut deltas = vec![json!({"type": "input_json_delta", "partial_json": ""})];
        let arguments = pieces(&call.arguments.to_string());
        deltas
            .extend(arguments.iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
        block(&mut out, &mut index, &opened, &deltas);
    }
    finish(&mut out, answer, script);
    out
}

/// An error body, which is also the data of an error event.
pub(crate) fn fault(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": identity("req_01", 22, 1)})
}

/// The seal on a thought: it depends on every byte, and holds characters that careless code changes.
pub(crate) fn signature(thought: &str) -> String {
    let mut signature = "EqQB/+".to_owned();
    for byte in Sha256::digest(thought) {
        let _ = write!(signature, "{byte:02x}");
    }
    signature + "=="
}

fn check_signatures(messages: &[Value]) -> Result<(), String> {
    for (m, message) in messages.iter().enumerate() {
        for (b, block) in blocks(message).enumerate() {
            let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("type") == "thinking" && text("signature") != signature(text("thinking")) {
                return Err(format!("messages.{m}.content.{b}: Invalid `signature` in `thinking` block"));
            }
        }
    }
    Ok(())
}

fn block(out: &mut Vec<Value>, index: &mut usize, opened: &Value, deltas: &[Value]) {
    out.push(json!({"type": "content_block_start", "index": *index, "content_block": opened}));
    out.extend(
        deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": *index, "delta": delta})),
    );
    out.push(json!({"type": "content_block_stop", "index": *index}));
    *index += 1;
}

fn finish(out: &mut Vec<Value>, answer: &Answer, script: &Script) {
    let (reason, sequence) = stop(&answer.stop);
    let mut delta =
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}});
    if let (Value::Object(delta), true) = (&mut delta, script.usage != UsageAt::Never) {
        delta.insert("usage".to_owned(), usage(answer, answer.usage.output));
    }
    if script.finish_twice {
        out.push(delta.clone());
    }
    out.push(delta);
    if script.done {
        out.push(json!({"type": "message_stop"}));
    }
}

fn usage(answer: &Answer, output: u64) -> Value {
    json!({
        "input_tokens": answer.usage.input.saturating_sub(answer.usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.usage.cached,
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn stop(stop: &Stop) -> (&'static str, Option<&str>) {
    match stop {
        Stop::End => ("end_turn", None),
        Stop::Length => ("max_tokens", None),
        Stop::Sequence(sequence) => ("stop_sequence", Some(sequence)),
        Stop::Tool => ("tool_use", None),
    }
}

fn call_id(seed: u64, index: usize) -> String {
    identity("toolu_01", 22, seed.wrapping_mul(64).wrapping_add(index as u64))
}

fn choice(given: Option<&Value>) -> Choice {
    let text = |name: &str| given.and_then(|choice| choice.get(name)?.as_str());
    match (text("type"), text("name")) {
        (Some("none"), _) => Choice::Never,
        (Some("any"), _) => Choice::Any,
        (Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    }
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    Some((tool.get("name")?.as_str()?.to_owned(), tool.get("input_schema").cloned().unwrap_or_default()))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message.get("content").and_then(Value::as_array).into_iter().flatten()
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Images in a block, those inside a tool's result included.
fn images(block: &Value) -> usize {
    usize::from(kind(block) == "image") + blocks(block).map(images).sum::<usize>()
}

/// What a message or a tool's result says in text.
fn own_text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        _ => blocks(message).filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n"),
    }
}

fn tool_result(message: &Value) -> Option<String> {
    let results: Vec<String> =
        blocks(message).filter(|block| kind(block) == "tool_result").map(own_text).collect();
    (!results.is_empty()).then(|| results.join("\n"))
}
