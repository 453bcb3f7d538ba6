//! The words of the Messages API, as tables, and what reading and writing share: usage, stop reasons, ids.

use crate::{
    DialectId,
    canon::{Effort, Extra, Stop, StopReason, Usage},
    json::{self, Counts},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// This dialect.
pub(super) const ID: DialectId = DialectId::Anthropic;

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

/// Efforts: the word of `output_config.effort`, and the thinking budget in tokens that stands for it on
/// models that know budgets alone. There is no word below `low`.
const EFFORTS: &[(&str, Effort, u64)] = &[
    ("low", Effort::Low, 2_048),
    ("medium", Effort::Medium, 8_192),
    ("high", Effort::High, 16_384),
    ("max", Effort::Max, 32_000),
    ("low", Effort::Minimal, 1_024),
];

/// The effort that a word means.
pub(super) fn effort(word: &str) -> Effort {
    let row = EFFORTS.iter().find(|(name, ..)| *name == word);
    row.map_or_else(|| Effort::Other(word.to_owned()), |(_, effort, _)| effort.clone())
}

/// The word for an effort.
pub(super) fn effort_word(effort: &Effort) -> &str {
    match effort {
        Effort::Other(word) => word,
        known => EFFORTS.iter().find(|(_, row, _)| row == known).map_or("high", |(word, ..)| word),
    }
}

/// The thinking budget for an effort, in tokens; `None` for a word that we do not know.
pub(super) fn effort_budget(effort: &Effort) -> Option<u64> {
    EFFORTS.iter().find(|(_, row, _)| row == effort).map(|(.., budget)| *budget)
}

/// The stop that a word and a sequence mean.
pub(super) fn stop(word: &str, sequence: Option<String>) -> Stop {
    let reason =
        STOPS.iter().find(|(name, _)| *name == word).map_or(StopReason::Other, |(_, reason)| *reason);
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
pub(super) fn usage(native: Map<String, Value>) -> Usage {
    let mut usage = buckets(&Counts::of_map(&native));
    let calls = native.get("iterations").and_then(Value::as_array).into_iter().flatten();
    for call in calls.filter_map(Value::as_object) {
        if call.get("type").and_then(Value::as_str) == Some("compaction") {
            let more = buckets(&Counts::of_map(call));
            usage.input = usage.input.saturating_add(more.input);
            usage.cache_read = usage.cache_read.saturating_add(more.cache_read);
            usage.cache_write = usage.cache_write.saturating_add(more.cache_write);
            usage.cache_write_1h = usage.cache_write_1h.saturating_add(more.cache_write_1h);
            usage.output = usage.output.saturating_add(more.output);
        }
    }
    Usage { native: Extra::new(ID, native), ..usage }
}

/// Reads nothing but the usage of a whole answer, and of that nothing but the counts. One with `iterations`
/// is read whole.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    if memchr::memmem::find(body, b"\"iterations\"").is_none() {
        return Counts::of_last(body, "usage").map(|counts| buckets(&counts));
    }
    match json::members(body, &["usage"])?.remove("usage") {
        Some(Value::Object(native)) => Some(usage(native)),
        _ => None,
    }
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

/// Usage as Anthropic writes it. It is never absent: official clients fail without it.
pub(super) fn usage_json(usage: Option<&Usage>) -> Map<String, Value> {
    let none = Usage::default();
    let usage = usage.unwrap_or(&none);
    if let Some(native) = usage.native.of(ID) {
        return native.clone();
    }
    let mut json = Map::new();
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    json.insert("input_tokens".to_owned(), json!(usage.input.saturating_add(usage.audio_in)));
    json.insert("cache_creation_input_tokens".to_owned(), json!(written));
    json.insert("cache_read_input_tokens".to_owned(), json!(usage.cache_read));
    json.insert("output_tokens".to_owned(), json!(usage.all_output()));
    if usage.cache_write_1h > 0 {
        let split = json!({
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        });
        json.insert("cache_creation".to_owned(), split);
    }
    if usage.reasoning > 0 {
        json.insert("output_tokens_details".to_owned(), json!({ "thinking_tokens": usage.reasoning }));
    }
    json
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
        Some(usage(self.0.clone()))
    }
}

/// Ids of tool calls as the API takes them: letters, digits, `_` and `-`, each once in a conversation.
/// Others write `functions.weather:0`, or `call_0` in every turn.
#[derive(Default)]
pub(super) struct ToolIds {
    /// For every id of the sender's: what it was last written as, and how often it has been.
    given: BTreeMap<String, (String, u32)>,
    used: BTreeSet<String>,
}

impl ToolIds {
    /// How a call is written.
    pub(super) fn call(&mut self, id: &str) -> String {
        let plain = plain_id(id);
        let before = self.given.get(id).map_or(0, |(_, count)| *count);
        // Every number that is tried in vain was given to another call, so this ends.
        for count in before.saturating_add(1).. {
            let written = if count == 1 { plain.clone() } else { format!("{plain}_{count}") };
            if self.used.insert(written.clone()) {
                self.given.insert(id.to_owned(), (written.clone(), count));
                return written;
            }
        }
        plain
    }

    /// How the result of a call is written.
    pub(super) fn result(&self, id: &str) -> String {
        self.given.get(id).map_or_else(|| plain_id(id), |(written, _)| written.clone())
    }
}

fn plain_id(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    if id.is_empty() { "call".to_owned() } else { id.chars().map(plain).collect() }
}
