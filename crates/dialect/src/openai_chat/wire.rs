//! The dialect's vocabulary: its words, its usage and its thoughts.

use crate::{
    DialectId,
    canon::{Effort, Extra, Seal, Stop, StopReason, Usage},
    json::Counts,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::OpenaiChat;
/// Most stop sequences: <https://platform.openai.com/docs/api-reference/chat/create#chat-create-stop>
pub(super) const STOPS_MAX: usize = 4;
/// Longest id of an end user, in bytes: longer ones get `string_above_max_length`.
pub(super) const USER_MAX: usize = 64;
/// The object of a whole answer.
pub(super) const WHOLE: &str = "chat.completion";

/// Members that say the same: where the form of the first is kept, the second is not written beside it.
pub(super) const SYNONYMS: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_tokens"),
    ("reasoning", "reasoning_effort"),
    ("thinking", "reasoning_effort"),
    ("reasoning", "reasoning_content"),
    ("reasoning_details", "reasoning_content"),
    // The legacy `function` message has no id.
    ("role", "tool_call_id"),
];
/// Among the kept forms of a message: what its choice held beside it.
pub(super) const REST: &str = "/";

const FINISH: &[(&str, StopReason)] = &[
    ("stop", StopReason::End),
    ("length", StopReason::MaxTokens),
    ("tool_calls", StopReason::ToolUse),
    ("content_filter", StopReason::ContentFilter),
    ("function_call", StopReason::ToolUse),
    // xAI, Together and Text Generation Inference.
    ("end_turn", StopReason::End),
    ("eos", StopReason::End),
    ("eos_token", StopReason::End),
    ("stop_sequence", StopReason::Sequence),
    // Mistral.
    ("model_length", StopReason::ContextWindow),
];

const EFFORTS: &[(&str, Effort)] = &[
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::Max),
    ("max", Effort::Max),
];

/// Reads a `finish_reason`.
pub(super) fn read_stop(word: &str) -> Stop {
    let known = FINISH.iter().find(|(name, _)| *name == word);
    Stop::new(known.map_or(StopReason::Other, |(_, reason)| *reason), word)
}

/// The `finish_reason` for a stop: the provider's own word where it is of this dialect, else a documented
/// one.
pub(super) fn write_stop(stop: &Stop, own: bool) -> &str {
    match stop.reason {
        _ if own && !stop.native.is_empty() => &stop.native,
        StopReason::End | StopReason::Sequence | StopReason::Pause | StopReason::Other => "stop",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
    }
}

/// Reads a `reasoning_effort` other than `none`.
pub(super) fn read_effort(word: &str) -> Effort {
    let known = EFFORTS.iter().find(|(name, _)| *name == word);
    known.map_or_else(|| Effort::Other(word.to_owned()), |(_, effort)| effort.clone())
}

/// Writes a `reasoning_effort`.
pub(super) fn write_effort(effort: &Effort) -> &str {
    match effort {
        Effort::Other(word) => word,
        known => EFFORTS.iter().find(|(_, effort)| effort == known).map_or("medium", |(name, _)| name),
    }
}

/// The usage among the members of an answer or a chunk. Groq puts it into `x_groq` too.
pub(super) fn usage_of(members: &Map<String, Value>) -> Option<Usage> {
    let groq = || members.get("x_groq").and_then(|groq| groq.get("usage"));
    read_usage(members.get("usage").filter(|usage| usage.is_object()).or_else(groq)?)
}

/// Reads a usage object: <https://platform.openai.com/docs/api-reference/completions/object>
///
/// OpenAI counts cached and audio tokens within `prompt_tokens` and thoughts within `completion_tokens`.
/// xAI counts thoughts beside them (<https://docs.x.ai/docs/guides/reasoning>), Mistral sound: there the
/// total tells.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    let members = usage.as_object()?;
    Some(Usage { native: Extra::new(ME, members.clone()), ..buckets(&Counts::of_map(members)) })
}

/// Reads nothing but the usage of a whole answer, and of that nothing but the counts.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    Counts::of_last(body, "usage").map(|counts| buckets(&counts))
}

fn buckets(counts: &Counts<'_>) -> Usage {
    let first = |places: &[(&str, &str)]| {
        places.iter().find_map(|(inside, name)| counts.find(inside, name)).unwrap_or(0)
    };
    let (prompt, completion) = (counts.get("", "prompt_tokens"), counts.get("", "completion_tokens"));
    let cache_read = first(&[
        ("prompt_tokens_details", "cached_tokens"),
        ("", "prompt_cache_hit_tokens"),
        ("", "cached_tokens"),
        ("", "cache_read_input_tokens"),
    ]);
    let cache_write =
        first(&[("prompt_tokens_details", "cache_write_tokens"), ("", "cache_creation_input_tokens")]);
    let audio_in = counts.get("prompt_tokens_details", "audio_tokens");
    let audio_out = counts.get("completion_tokens_details", "audio_tokens");
    let thought = counts.get("completion_tokens_details", "reasoning_tokens");
    let beside = counts.get("", "total_tokens").saturating_sub(prompt.saturating_add(completion));
    let is_beside = |tokens: u64| {
        beside > 0 && tokens > 0 && (beside == tokens || beside == audio_in.saturating_add(thought))
    };
    let (audio_within, thought_within) = (!is_beside(audio_in), !is_beside(thought));
    // OpenRouter has reported more thoughts than it reported output in all.
    let reasoning = if thought_within { thought.min(completion) } else { thought };
    let within = |tokens: u64, is_within: bool| if is_within { tokens } else { 0 };
    Usage {
        input: [cache_read, cache_write, within(audio_in, audio_within)]
            .into_iter()
            .fold(prompt, u64::saturating_sub),
        // Grok on Azure has reported more cached tokens than its prompt had; the totals are without them.
        cache_read: cache_read.min(prompt),
        cache_write: cache_write.min(prompt.saturating_sub(cache_read)),
        audio_in,
        output: completion.saturating_sub(within(reasoning, thought_within)).saturating_sub(audio_out),
        reasoning,
        audio_out,
        ..Usage::default()
    }
}

/// Writes a usage object, or gives back the one that was read.
pub(super) fn write_usage(usage: &Usage) -> Value {
    if let Some(native) = usage.native.of(ME) {
        return Value::Object(native.clone());
    }
    let (prompt, completion) = (usage.all_input(), usage.all_output());
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": written,
            "audio_tokens": usage.audio_in,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_out,
        },
    })
}

/// One entry of `reasoning_details`:
/// <https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks>
pub(super) struct Detail<'a> {
    /// What may be read.
    pub(super) text: &'a str,
    /// The seal, where its issuer is a dialect of ours.
    pub(super) seal: Option<Seal>,
    /// It holds a seal of an issuer that we do not know.
    pub(super) foreign: bool,
}

impl<'a> Detail<'a> {
    /// Reads an entry; one of a type that we do not know counts as foreign.
    pub(super) fn read(entry: &'a Value) -> Self {
        let word = |name: &str| entry.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        let (text, sealed, redacted) = match word("type") {
            Some("reasoning.text") => (word("text"), word("signature"), false),
            Some("reasoning.summary") => (word("summary"), None, false),
            Some("reasoning.encrypted") => (None, word("data"), true),
            _ => return Detail { text: "", seal: None, foreign: true },
        };
        let issuer = word("format").and_then(issuer);
        let seal = sealed.zip(issuer).map(|(data, issuer)| Seal { issuer, data: data.to_owned(), redacted });
        Detail { text: text.unwrap_or(""), foreign: sealed.is_some() && seal.is_none(), seal }
    }
}

/// The dialect that a `format` names: our own names, and OpenRouter's name for Anthropic's.
fn issuer(format: &str) -> Option<DialectId> {
    match format {
        "anthropic-claude-v1" => Some(DialectId::Anthropic),
        other => DialectId::from_name(other),
    }
}

/// Writes an entry of `reasoning_details` for sealed thoughts, so that they come back to their issuer
/// with the client's next request.
pub(super) fn write_detail(text: &str, seal: &Seal, index: usize) -> Value {
    let format = seal.issuer.name();
    if seal.redacted {
        return json!({"type": "reasoning.encrypted", "data": seal.data, "format": format, "index": index});
    }
    json!({"type": "reasoning.text", "text": text, "signature": seal.data, "format": format, "index": index})
}

/// Where Google's own OpenAI API keeps Gemini's seal on a tool call:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
const SIGNATURE: &str = "/extra_content/google/thought_signature";

/// Reads Gemini's seal on a tool call.
pub(super) fn read_signature(call: &Value) -> Option<Seal> {
    let data = call.pointer(SIGNATURE)?.as_str().filter(|data| !data.is_empty())?;
    Some(Seal { issuer: DialectId::Gemini, data: data.to_owned(), redacted: false })
}

/// Writes it, as `extra_content`.
pub(super) fn write_signature(seal: &Seal) -> Option<Value> {
    (seal.issuer == DialectId::Gemini).then(|| json!({"google": {"thought_signature": seal.data}}))
}

/// The beginning of ids for tool calls that came without one: unique over the turns of a conversation as
/// far as the provider's ids of answers are.
pub(super) fn call_id(answer: &str, choice: u32) -> String {
    let answer: String = answer.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("call_{answer}_{choice}")
}
