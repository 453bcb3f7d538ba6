//! The words of Cohere's API, and what reading whole answers and streams shares.

use crate::{
    DialectId, Fault, FaultKind, Losses,
    canon::{Effort, Extra, Stop, StopReason, Usage},
    error_body,
};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// This dialect.
pub(super) const ME: DialectId = DialectId::Cohere;
/// Most stop sequences: <https://docs.cohere.com/reference/chat>
pub(super) const STOPS_MAX: usize = 5;
/// What `p` may be; where it is not said it is 0.75.
pub(super) const P: RangeInclusive<f64> = 0.01..=0.99;
/// What penalties may be.
pub(super) const PENALTY: RangeInclusive<f64> = 0.0..=1.0;

/// The tokens of thought that stand for an effort; the most is as many as the model likes.
const EFFORTS: &[(Effort, Option<u64>)] = &[
    (Effort::Minimal, Some(1_024)),
    (Effort::Low, Some(1_024)),
    (Effort::Medium, Some(8_192)),
    (Effort::High, Some(24_576)),
    (Effort::Max, None),
];

/// The budget for an effort; `None` for a word that we do not know.
pub(super) fn budget(effort: &Effort) -> Option<Option<u64>> {
    EFFORTS.iter().find(|(known, _)| known == effort).map(|(_, budget)| *budget)
}

/// Why the model stopped: <https://docs.cohere.com/reference/chat#response.body.finish_reason>
const STOPS: &[(&str, StopReason)] = &[
    ("COMPLETE", StopReason::End),
    ("STOP_SEQUENCE", StopReason::Sequence),
    ("MAX_TOKENS", StopReason::MaxTokens),
    ("TOOL_CALL", StopReason::ToolUse),
];

/// The stop that a word means.
pub(super) fn read_stop(word: &str) -> Stop {
    Stop::new(StopReason::of_word(STOPS, word), word)
}

/// The fault of an answer or the end of a stream. Two words say that there was no stop: the answer broke, and
/// `error` says why where it is told.
pub(super) fn failure(end: &Value) -> Option<Fault> {
    let text = |name: &str| end.get(name).and_then(Value::as_str);
    let (word, error) = (text("finish_reason").unwrap_or_default(), text("error"));
    (error.is_some() || matches!(word, "ERROR" | "TIMEOUT")).then(|| broken(word, error))
}

fn broken(word: &str, error: Option<&str>) -> Fault {
    let message = error.map_or_else(|| format!("the provider ended its answer with `{word}`"), str::to_owned);
    let fault = error_body::told(200, &json!({"message": message, "type": word}));
    if word == "TIMEOUT" { Fault { kind: FaultKind::UpstreamTimeout, ..fault } } else { fault }
}

/// Reads usage: <https://docs.cohere.com/reference/chat#response.body.usage>
///
/// `tokens` counts a preamble of Cohere's own, a thousand tokens and more, which nobody is billed for;
/// `billed_units` are what an answer costs, and what a caller sent. `cached_tokens` are some of `tokens` and
/// cost no less, so they are told apart only where nothing else is known. Thoughts are part of the output.
pub(super) fn read_usage(native: Map<String, Value>) -> Usage {
    let count = |part: &str, name: &str| native.get(part).and_then(|part| whole(part.get(name)?));
    let billed = count("billed_units", "input_tokens");
    let input = billed.or_else(|| count("tokens", "input_tokens")).unwrap_or(0);
    let cached = native.get("cached_tokens").and_then(whole).filter(|_| billed.is_none());
    let cache_read = cached.unwrap_or(0).min(input);
    let output = count("billed_units", "output_tokens").or_else(|| count("tokens", "output_tokens"));
    let output = output.unwrap_or(0);
    let reasoning = count("tokens", "reasoning_tokens").unwrap_or(0).min(output);
    Usage {
        input: input - cache_read,
        cache_read,
        output: output - reasoning,
        reasoning,
        native: Extra::new(ME, native),
        ..Usage::default()
    }
}

/// A count; the API's own schema has numbers with a fraction.
fn whole(value: &Value) -> Option<u64> {
    // The cast saturates.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "filtered to be at least 0")]
    value.as_u64().or_else(|| value.as_f64().filter(|count| *count >= 0.0).map(|count| count as u64))
}

/// Log probabilities of one piece of text in OpenAI's form. A piece may be several tokens, whose
/// probabilities are multiplied; what their numbers are in the model's vocabulary is lost.
/// <https://docs.cohere.com/reference/chat#response.body.logprobs>
pub(super) fn read_logprob(item: &Value, losses: &mut Losses) -> Option<Value> {
    let text = item.get("text")?.as_str()?;
    let sum: f64 = item.get("logprobs")?.as_array()?.iter().filter_map(Value::as_f64).sum();
    losses.note("/logprobs/token_ids", "no other API tells the numbers of tokens");
    Some(json!({"token": text, "logprob": sum, "bytes": text.as_bytes(), "top_logprobs": []}))
}

/// Notes citations that an answer holds. They point into documents and results of tools; what other APIs
/// have (OpenAI's and Anthropic's) points to pages and to documents of their own.
pub(super) fn lose_citations(losses: &mut Losses) {
    losses.note("/message/citations", "no other API has such citations");
}
