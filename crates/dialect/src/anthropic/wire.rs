//! The words of the Messages API, as tables, and what reading and writing share: usage, stop reasons, ids.

use crate::{
    DialectId,
    canon::{Extra, Role, Stop, StopReason, Usage, UsageRow},
    json::{self, Counts},
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ID: DialectId = DialectId::Anthropic;

/// What writers call a thing in their losses, and what it is called here.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("/parallel_tool_calls", "/tool_choice/disable_parallel_tool_use"),
    ("/reasoning_effort", "/thinking"),
    ("/response_format", "/output_config/format"),
    ("/stop", "/stop_sequences"),
    ("/user", "/metadata/user_id"),
];

/// Who speaks in a request.
pub(super) const ROLES: &[Role] = &[Role::User, Role::Assistant, Role::System];
/// The event behind the stop reason. It tells nothing more, but official clients wait for it.
pub(super) const LAST_EVENT: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Blocks that canonical form knows. All others are carried whole and opaque: server tools with their
/// results, search results, container uploads, MCP calls, and those that are yet to come.
pub(super) const BLOCKS: &[&str] =
    &["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"];

/// Where the bytes of an image or a document can be. A document whose source is a list of blocks
/// (`content`) is carried opaque.
pub(super) const SOURCES: &[&str] = &["base64", "text", "url", "file"];

/// Why the model stopped: <https://docs.anthropic.com/en/api/handling-stop-reasons>. The first row of a
/// word reads it, the first row of a reason writes it.
const STOPS: &[(&str, StopReason)] = &[
    ("end_turn", StopReason::End),
    ("max_tokens", StopReason::MaxTokens),
    ("stop_sequence", StopReason::Sequence),
    ("tool_use", StopReason::ToolUse),
    ("pause_turn", StopReason::Pause),
    ("refusal", StopReason::Refusal),
    ("refusal", StopReason::ContentFilter),
    ("model_context_window_exceeded", StopReason::ContextWindow),
];

/// Words by which Claude Code knows that it must compact the conversation.
pub(super) const TOO_LONG: &str = "prompt is too long";

/// The stop that a word and a sequence mean.
pub(super) fn stop(word: &str, sequence: Option<String>) -> Stop {
    let reason = StopReason::of_word(STOPS, word);
    Stop { reason, sequence: sequence.filter(|sequence| !sequence.is_empty()), native: word.to_owned() }
}

/// The word for a stop. A reason that we do not know is told in the provider's own word, which is truer
/// than `end_turn`.
pub(super) fn stop_word(stop: &Stop) -> &str {
    match STOPS.iter().find(|(_, reason)| *reason == stop.reason) {
        Some((word, _)) => word,
        None if stop.native.is_empty() => "end_turn",
        None => &stop.native,
    }
}

/// Usage in disjoint buckets. Anthropic counts cached input apart from `input_tokens`, and thoughts within
/// `output_tokens`. A compaction is a call of its own to the same model, billed but not in the totals:
/// <https://docs.anthropic.com/en/docs/build-with-claude/compaction>.
pub(super) fn usage(native: Value) -> Option<Usage> {
    let Value::Object(native) = native else { return None };
    let mut usage = buckets(&Counts::of_map(&native));
    let calls = native.get("iterations").and_then(Value::as_array).into_iter().flatten();
    let compactions = calls.filter(|call| json::word(call, "type") == Some("compaction"));
    for call in compactions.filter_map(Value::as_object) {
        usage = usage.plus(&buckets(&Counts::of_map(call)));
    }
    Some(Usage { native: Extra::new(ID, native), ..usage })
}

/// Reads nothing but the usage of a whole answer, and of that nothing but the counts. One with `iterations`
/// is read whole.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    if memchr::memmem::find(body, b"\"iterations\"").is_none() {
        return Counts::of_last(body, "usage").map(|counts| buckets(&counts));
    }
    json::members(body, &["usage"])?.remove("usage").and_then(usage)
}

fn buckets(counts: &Counts<'_>) -> Usage {
    let hour = counts.get("cache_creation", "ephemeral_1h_input_tokens");
    let minutes = counts.get("cache_creation", "ephemeral_5m_input_tokens");
    let thought = counts.get("output_tokens_details", "thinking_tokens");
    let written = counts.get("", "cache_creation_input_tokens").max(minutes.saturating_add(hour));
    let output = counts.get("", "output_tokens");
    Usage {
        input: counts.get("", "input_tokens"),
        cache_read: counts.get("", "cache_read_input_tokens"),
        cache_write: written.saturating_sub(hour),
        cache_write_1h: hour,
        output: output.saturating_sub(thought),
        reasoning: thought.min(output),
        ..Usage::default()
    }
}

#[rustfmt::skip]
const USAGE: &[UsageRow] = &[
    ("", "input_tokens", |usage| usage.input.saturating_add(usage.audio_in)),
    ("", "cache_creation_input_tokens", Usage::all_written),
    ("", "cache_read_input_tokens", |usage| usage.cache_read),
    ("", "output_tokens", Usage::all_output),
];
const HOUR: &[UsageRow] = &[
    ("cache_creation", "ephemeral_5m_input_tokens", |usage| usage.cache_write),
    ("cache_creation", "ephemeral_1h_input_tokens", |usage| usage.cache_write_1h),
];
const THOUGHT: &[UsageRow] = &[("output_tokens_details", "thinking_tokens", |usage| usage.reasoning)];

/// Usage as Anthropic writes it. It is never absent: official clients fail without it.
pub(super) fn usage_json(usage: Option<&Usage>) -> Map<String, Value> {
    let none = Usage::default();
    let usage = usage.unwrap_or(&none);
    let hour = if usage.cache_write_1h > 0 { HOUR } else { &[] };
    let thought = if usage.reasoning > 0 { THOUGHT } else { &[] };
    usage.written(ID, &[USAGE, hour, thought].concat())
}

/// Usage that comes in pieces (`message_start`, then `message_delta`, cumulative): a count that a later
/// piece leaves out, or gives as `null`, keeps its earlier value.
#[derive(Debug, Default)]
pub(super) struct UsageSoFar(Map<String, Value>);

impl UsageSoFar {
    /// Takes the next piece and gives the whole so far; `None` where `piece` is not an object.
    pub(super) fn take(&mut self, piece: Option<&Value>) -> Option<Usage> {
        for (name, value) in piece?.as_object()? {
            if !value.is_null() || !self.0.contains_key(name) {
                self.0.insert(name.clone(), value.clone());
            }
        }
        usage(Value::Object(self.0.clone()))
    }
}

/// Fills a whole answer with the members that the API always sends, as they are where there is nothing to say:
/// typed clients want them. <https://docs.anthropic.com/en/api/messages>
pub(super) fn filled(mut body: Map<String, Value>) -> Map<String, Value> {
    let blocks = body.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten();
    for block in blocks.filter_map(Value::as_object_mut) {
        let (name, idle) = match block.get("type").and_then(Value::as_str) {
            Some("text") => ("citations", json!([])),
            Some("tool_use") => ("caller", json!({"type": "direct"})),
            _ => continue,
        };
        block.entry(name).or_insert(idle);
    }
    if let Some(usage) = body.get_mut("usage").and_then(Value::as_object_mut) {
        json::fill(
            usage,
            &["cache_creation", "inference_geo", "output_tokens_details", "server_tool_use", "service_tier"],
        );
        json::fill(&mut body, &["stop_details", "container"]);
    }
    body
}
