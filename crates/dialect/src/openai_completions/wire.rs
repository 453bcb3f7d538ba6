//! The dialect's vocabulary: its words, its usage and its log probabilities.

use crate::{
    DialectId,
    canon::{Stop, StopReason, Usage, UsageRow},
    json::Counts,
    openai,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::OpenaiCompletions;

/// What writers call a thing in their losses, and what it is called here.
pub(super) const NAMES: &[(&str, &str)] =
    &[("/messages", "/prompt"), ("/system", "/prompt"), ("/top_logprobs", "/logprobs")];

/// The object of an answer and of a chunk.
pub(super) const OBJECT: &str = "text_completion";
/// Most alternatives for a token.
pub(super) const TOP_LOGPROBS_MAX: u32 = 5;
/// What OpenAI gives for a token that is too unlikely to tell.
const UNLIKELY: f64 = -9999.0;

/// Reads a `finish_reason`. There are no calls, so none is waited for.
pub(super) fn read_stop(word: &str) -> Stop {
    let stop = openai::read_stop(word);
    let reason = Some(stop.reason).filter(|reason| *reason != StopReason::ToolUse);
    Stop { reason: reason.unwrap_or(StopReason::Other), ..stop }
}

/// The `finish_reason` for a stop: OpenAI's word, but there are no calls.
pub(super) fn write_stop(stop: &Stop, own: bool) -> &str {
    if stop.reason == StopReason::ToolUse && !own { "stop" } else { openai::write_stop(stop, own) }
}

/// Whether a member of a request asks for nothing that would not be done anyway, so that it is no loss.
pub(super) fn is_mute(name: &str, value: &Value, n: u32) -> bool {
    match name {
        "echo" => value == false,
        "suffix" => value == "",
        "best_of" => value.as_u64().is_some_and(|count| count <= u64::from(n)),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        // "None" to llama.cpp.
        "max_tokens" => value.as_i64().is_some_and(|limit| limit < 0),
        _ => false,
    }
}

/// Reads a usage object: <https://platform.openai.com/docs/api-reference/completions/object>
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    openai::read_usage(ME, usage, &openai::PROMPT).filter(|_| usage != &json!({}))
}

/// Reads nothing but the usage of a whole answer, and of that nothing but the counts.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    Counts::of_last(body, "usage").map(|counts| openai::buckets(&counts, &openai::PROMPT))
}

#[rustfmt::skip]
const USAGE: &[UsageRow] = &[
    ("", "prompt_tokens", Usage::all_input),
    ("", "completion_tokens", Usage::all_output),
    ("", "total_tokens", Usage::total),
    ("prompt_tokens_details", "cached_tokens", |usage| usage.cache_read),
    ("prompt_tokens_details", "cache_write_tokens", Usage::all_written),
    ("completion_tokens_details", "reasoning_tokens", |usage| usage.reasoning),
];

/// Writes a usage object, or gives back the one that was read.
pub(super) fn write_usage(usage: &Usage) -> Value {
    usage.written(ME, USAGE).into()
}

/// Reads log probabilities: lists side by side here, a list of tokens in canonical form. llama.cpp writes
/// that form here too. A token without a number is the first of an echo.
pub(super) fn read_logprobs(held: &Value) -> Option<Value> {
    if held.get("content").is_some() {
        return Some(held.clone());
    }
    let tokens = held.get("tokens")?.as_array()?;
    let of = |name: &str, index: usize| held.get(name).and_then(|list| list.get(index));
    let read = |(index, token): (usize, &Value)| {
        let mut read = token_told(token.as_str()?, of("token_logprobs", index));
        let top = of("top_logprobs", index).and_then(Value::as_object).into_iter().flatten();
        let top: Vec<Value> = top.map(|(token, logprob)| token_told(token, Some(logprob))).collect();
        read.as_object_mut()?.insert("top_logprobs".to_owned(), top.into());
        Some(read)
    };
    let content: Vec<Value> = tokens.iter().enumerate().filter_map(read).collect();
    Some(json!({"content": content, "refusal": null}))
}

fn token_told(token: &str, logprob: Option<&Value>) -> Value {
    let logprob = logprob.filter(|value| value.is_number()).cloned().unwrap_or(json!(UNLIKELY));
    json!({"token": token, "logprob": logprob, "bytes": bytes_of(token)})
}

/// The bytes of a token; those that are no text by themselves are written `bytes:\xe2\x80`.
fn bytes_of(token: &str) -> Vec<u8> {
    let hex = |part: &str| u8::from_str_radix(part, 16).ok();
    let parts = token.strip_prefix("bytes:\\x").map(|parts| parts.split("\\x").map(hex).collect());
    parts.flatten().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Writes log probabilities. `offset` is where the next token begins, in characters of the answer: the prompt's
/// length, from which OpenAI counts, is not known here.
pub(super) fn write_logprobs(told: &Value, offset: &mut usize) -> Value {
    let lists = ["content", "refusal"].into_iter().filter_map(|name| told.get(name)?.as_array());
    let (mut tokens, mut logprobs, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
    for entry in lists.flatten() {
        let token = entry.get("token").and_then(Value::as_str).unwrap_or("");
        tokens.push(token);
        logprobs.push(entry.get("logprob").cloned().unwrap_or_default());
        let top = entry.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        let top = top.filter_map(|other| {
            Some((other.get("token")?.as_str()?.to_owned(), other.get("logprob")?.clone()))
        });
        tops.push(top.collect::<Map<String, Value>>());
        offsets.push(*offset);
        *offset += token.chars().count();
    }
    let tops = tops.iter().any(|top| !top.is_empty()).then_some(tops);
    json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets})
}
