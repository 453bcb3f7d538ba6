//! The words of the Responses API, as tables, and the shapes that reading and writing share: usage, stops
//! and ids.

use crate::{
    DialectId,
    canon::{Role, Stop, StopReason, Usage, UsageRow},
    json, openai,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::OpenaiResponses;

/// What writers call a thing in their losses, and what it is called here.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("/messages", "/input"),
    ("/system", "/instructions"),
    ("/max_tokens", "/max_output_tokens"),
    ("/response_format", "/text/format"),
    ("/reasoning_effort", "/reasoning/effort"),
];

/// Members by which a request leans on what the provider keeps, where they are not `null` or `false`: no
/// provider of another dialect can serve it. An `item_reference` in `input` does the same.
/// <https://platform.openai.com/docs/guides/conversation-state>
pub(super) const STATEFUL: &[&str] = &["previous_response_id", "conversation", "prompt", "background"];

/// Who speaks in a message.
pub(super) const ROLES: &[Role] = &[Role::User, Role::Assistant, Role::System, Role::Developer];

/// Items that canonical form knows, with the members that it carries or that name nothing but the item.
/// All others are carried whole and opaque: what the provider's own tools did, custom tools, references,
/// compactions, and those that are yet to come.
pub(super) const ITEMS: &[(&str, &[&str])] = &[
    ("message", &["type", "role", "content", "id", "status"]),
    ("function_call", &["type", "call_id", "name", "arguments", "id", "status"]),
    ("function_call_output", &["type", "call_id", "output", "id", "status"]),
    ("reasoning", &["type", "summary", "content", "encrypted_content", "id", "status"]),
];

/// Parts of a message that canonical form knows, with their members. The log probabilities of an answer
/// stand beside its blocks.
pub(super) const PARTS: &[(&str, &[&str])] = &[
    ("input_text", &["type", "text"]),
    ("output_text", &["type", "text", "logprobs"]),
    ("refusal", &["type", "refusal"]),
    ("input_image", &["type", "image_url", "file_id"]),
    ("input_file", &["type", "file_data", "file_url", "file_id", "filename"]),
    ("input_audio", &["type", "input_audio"]),
];

/// What `include` asks for that other dialects give, or have no need of.
pub(super) const INCLUDES: &[&str] = &[SEALS, LOGPROBS];
/// Thoughts shall come sealed.
pub(super) const SEALS: &str = "reasoning.encrypted_content";
/// Log probabilities shall come.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";

/// Wishes that this dialect has no member for.
pub(super) const UNKNOWN: &[&str] = &["stop", "top_k", "frequency_penalty", "presence_penalty", "seed", "n"];
/// Smallest limit that OpenAI takes, in tokens.
pub(super) const LIMIT_MIN: u64 = 16;
/// Longest part of an item's id that is made of the answer's, in characters: OpenAI takes ids of 64.
const ID_MAX: usize = 40;

/// A wish that asks for nothing, so it is no loss in another dialect.
pub(super) fn is_mute(name: &str, value: &Value) -> bool {
    match name {
        "store" | "background" => value == false,
        "truncation" => value == "disabled",
        "detail" | "service_tier" => value == "auto",
        _ => value.is_null() || *value == json!([]) || *value == json!({}),
    }
}

/// Members of an answer that repeat the request, or that say nothing but how things stand, as they are
/// where the request said nothing.
pub(super) fn echo() -> Map<String, Value> {
    json::into_members(json!({
        "object": "response", "background": false, "completed_at": null, "error": null,
        "frequency_penalty": 0, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "max_tool_calls": null, "metadata": {}, "parallel_tool_calls": true, "presence_penalty": 0,
        "previous_response_id": null, "prompt_cache_key": null,
        "reasoning": { "effort": null, "summary": null }, "safety_identifier": null,
        "service_tier": "default", "store": false, "temperature": 1.0,
        "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_logprobs": 0,
        "top_p": 1.0, "truncation": "disabled", "user": null,
    }))
}

/// More of them, which not every server has.
pub(super) const ALSO_ECHO: &[&str] = &["billing", "output_text", "prompt_cache_retention", "tool_usage"];

/// Why an answer stopped, by its status and the reason in `incomplete_details`:
/// <https://platform.openai.com/docs/api-reference/responses/object>
const STOPS: &[(&str, &str, StopReason)] = &[
    ("completed", "", StopReason::End),
    ("incomplete", "max_output_tokens", StopReason::MaxTokens),
    ("incomplete", "content_filter", StopReason::ContentFilter),
    ("queued", "", StopReason::Pause),
    ("in_progress", "", StopReason::Pause),
    ("incomplete", "", StopReason::Other),
];

/// Reads why an answer stopped; `unsaid` is its status where it does not say. An answer that calls tools is
/// `completed` like every other.
pub(super) fn read_stop(response: &Value, unsaid: &str, called: bool) -> Stop {
    let word = |pointer: &str| response.pointer(pointer).and_then(Value::as_str);
    let (status, why) = (word("/status").unwrap_or(unsaid), word("/incomplete_details/reason"));
    let why = why.filter(|_| status == "incomplete").unwrap_or_default();
    let known = STOPS.iter().find(|row| (row.0, row.1) == (status, why));
    match known.map_or(StopReason::Other, |row| row.2) {
        StopReason::End if called => Stop::new(StopReason::ToolUse, status),
        reason => Stop::new(reason, if why.is_empty() { status } else { why }),
    }
}

/// The status and the `incomplete_details` for a stop. The provider's `own` words stand where they were.
pub(super) fn write_stop(stop: Option<&Stop>, own: bool) -> (&str, Value) {
    let native = stop.map(|stop| stop.native.as_str()).filter(|word| own && !word.is_empty());
    let reason = match (native, stop.map(|stop| stop.reason)) {
        (Some(word), _) if STOPS.iter().any(|(status, ..)| *status == word) => return (word, Value::Null),
        (Some(word), _) => word,
        (None, Some(StopReason::MaxTokens | StopReason::ContextWindow)) => "max_output_tokens",
        (None, Some(StopReason::ContentFilter | StopReason::Refusal)) => "content_filter",
        _ => return ("completed", Value::Null),
    };
    ("incomplete", json!({ "reason": reason }))
}

/// Reads a usage object.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    openai::read_usage(ME, usage, &openai::INPUT)
}

/// Reads nothing but the usage of a whole answer, and of that nothing but the counts.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    read_usage(&json::members(body, &["usage"])?.remove("usage")?)
}

#[rustfmt::skip]
const USAGE: &[UsageRow] = &[
    ("", "input_tokens", Usage::all_input),
    ("input_tokens_details", "cached_tokens", |usage| usage.cache_read),
    ("input_tokens_details", "cache_write_tokens", Usage::all_written),
    ("", "output_tokens", Usage::all_output),
    ("output_tokens_details", "reasoning_tokens", |usage| usage.reasoning),
    ("", "total_tokens", Usage::total),
];

/// Writes a usage object, or gives back the one that was read. It is never absent: clients fail without it.
pub(super) fn write_usage(usage: Option<&Usage>) -> Value {
    usage.unwrap_or(&Usage::default()).written(ME, USAGE).into()
}

/// An answer's id as clients of this dialect know it.
pub(super) fn response_id(id: &str, own: bool) -> String {
    match id {
        "" => "resp_0".to_owned(),
        id if own || id.starts_with("resp_") => id.to_owned(),
        id => format!("resp_{id}"),
    }
}

/// The id of item `index` of the answer `id`. OpenAI refuses an item that comes back with another prefix.
pub(super) fn item_id(prefix: &str, id: &str, index: usize) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let id: String = id.trim_start_matches("resp_").chars().filter(plain).take(ID_MAX).collect();
    format!("{prefix}_{id}_{index}")
}
