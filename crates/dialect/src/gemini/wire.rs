//! The words of the Gemini API, and what reading and writing share: usage, efforts and stop reasons.

use crate::{
    DialectId,
    canon::{Effort, Extra, Stop, StopReason, Usage},
    json::{self, put},
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::Gemini;
/// What writers call a thing in their losses, and what it is called here.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("/messages", "/contents"),
    ("/system", "/systemInstruction/parts"),
    ("content", "parts"),
    ("/tool_choice", "/toolConfig/functionCallingConfig"),
    ("/reasoning_effort", "/generationConfig/thinkingConfig"),
    ("/response_format/schema", "/generationConfig/responseJsonSchema"),
    ("/response_format", "/generationConfig/responseMimeType"),
    ("/max_tokens", "/generationConfig/maxOutputTokens"),
    ("/temperature", "/generationConfig/temperature"),
    ("/top_p", "/generationConfig/topP"),
    ("/top_k", "/generationConfig/topK"),
    ("/stop", "/generationConfig/stopSequences"),
    ("/n", "/generationConfig/candidateCount"),
    ("/seed", "/generationConfig/seed"),
    ("/presence_penalty", "/generationConfig/presencePenalty"),
    ("/frequency_penalty", "/generationConfig/frequencyPenalty"),
    ("/logprobs", "/generationConfig/responseLogprobs"),
    ("/top_logprobs", "/generationConfig/logprobs"),
];
/// Most stop sequences: <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>
pub(super) const STOPS_MAX: usize = 5;
/// What stands for the seal on a call that another model made. Without any, Gemini 3 refuses the request:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
pub(super) const NO_SEAL: &str = "skip_thought_signature_validator";
/// The beginning of ids for calls that came without one, as they do from Gemini 2.5.
pub(super) const DERIVED: &str = "call_gm_";

/// Words of a filter: <https://ai.google.dev/api/generate-content#FinishReason>, and the reasons for which a
/// prompt is blocked.
#[rustfmt::skip]
const FILTERED: &[&str] = &[
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "JAILBREAK",
];

/// Efforts: the word of `thinkingLevel`, which models know from Gemini 3 on, and the budget that stands for
/// it on older ones: <https://ai.google.dev/gemini-api/docs/openai#thinking>
const EFFORTS: &[(&str, Effort, u64)] = &[
    ("minimal", Effort::Minimal, 1_024),
    ("low", Effort::Low, 1_024),
    ("medium", Effort::Medium, 8_192),
    ("high", Effort::High, 24_576),
    ("high", Effort::Max, 24_576),
];

/// The stop that a word means; an answer that calls tools (`called`) has no word of its own.
pub(super) fn read_stop(word: &str, called: bool) -> Stop {
    let reason = match word {
        "STOP" if called => StopReason::ToolUse,
        "STOP" => StopReason::End,
        "MAX_TOKENS" => StopReason::MaxTokens,
        word if FILTERED.contains(&word) => StopReason::ContentFilter,
        _ => StopReason::Other,
    };
    Stop::new(reason, word)
}

/// The word for a stop: the provider's own where it is of this dialect.
pub(super) fn write_stop(stop: &Stop, own: bool) -> &str {
    match stop.reason {
        _ if own && !stop.native.is_empty() => &stop.native,
        StopReason::End | StopReason::Sequence | StopReason::Pause | StopReason::ToolUse => "STOP",
        StopReason::MaxTokens | StopReason::ContextWindow => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
        StopReason::Other => "OTHER",
    }
}

/// The effort that a level means.
pub(super) fn read_effort(word: &str) -> Effort {
    Effort::of_word(EFFORTS, word)
}

/// The level and the budget for an effort; `None` for a word that we do not know.
pub(super) fn write_effort(effort: &Effort) -> Option<(&'static str, u64)> {
    effort.row(EFFORTS)
}

/// A model from before Gemini 3: it knows budgets and no levels, and wants no seals.
pub(super) fn is_older(model: &str) -> bool {
    ["gemini-1", "gemini-2", "gemma"].iter().any(|family| model.contains(family))
}

/// Reads usage: <https://ai.google.dev/api/generate-content#UsageMetadata>
///
/// The prompt holds what came from a cache; thoughts are beside the candidates, and so is what the
/// provider's own tools brought. Sound is told by modality.
pub(super) fn read_usage(native: Map<String, Value>) -> Usage {
    let count = |name: &str| native.get(name).and_then(Value::as_u64).unwrap_or(0);
    let sound = |name: &str| -> u64 {
        let list = native.get(name).and_then(Value::as_array).into_iter().flatten();
        let sound = list.filter(|entry| entry.get("modality").is_some_and(|modality| modality == "AUDIO"));
        sound.filter_map(|entry| entry.get("tokenCount")?.as_u64()).fold(0, u64::saturating_add)
    };
    let prompt = count("promptTokenCount");
    let tools = count("toolUsePromptTokenCount");
    let cache_read = count("cachedContentTokenCount").min(prompt);
    let audio_in =
        sound("promptTokensDetails").saturating_sub(sound("cacheTokensDetails")).min(prompt - cache_read);
    let thought = count("thoughtsTokenCount");
    let rest = [prompt, tools, thought].into_iter().fold(count("totalTokenCount"), u64::saturating_sub);
    let said = native.get("candidatesTokenCount").and_then(Value::as_u64).unwrap_or(rest);
    let audio_out = sound("candidatesTokensDetails").min(said);
    Usage {
        input: (prompt - cache_read - audio_in).saturating_add(tools),
        cache_read,
        audio_in,
        output: said - audio_out,
        reasoning: thought,
        audio_out,
        native: Extra::new(ME, native),
        ..Usage::default()
    }
}

/// The usage of an answer or a piece of one.
pub(super) fn usage_of(chunk: &mut Map<String, Value>) -> Option<Usage> {
    let usage = chunk.shift_remove("usageMetadata");
    if let Some(Value::Object(usage)) = usage { Some(read_usage(usage)) } else { None }
}

/// Reads nothing but the usage of a whole answer.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    usage_of(&mut json::members(body, &["usageMetadata"])?)
}

/// Writes usage, or gives back what was read.
pub(super) fn write_usage(usage: &Usage) -> Value {
    if let Some(native) = usage.native.of(ME) {
        return Value::Object(native.clone());
    }
    let some = |tokens: u64| Some(tokens).filter(|tokens| *tokens > 0);
    let sound = |tokens| some(tokens).map(|tokens| json!([{"modality": "AUDIO", "tokenCount": tokens}]));
    let mut written = Map::new();
    put(&mut written, "promptTokenCount", Some(usage.all_input()));
    put(&mut written, "cachedContentTokenCount", some(usage.cache_read));
    put(&mut written, "promptTokensDetails", sound(usage.audio_in));
    put(&mut written, "candidatesTokenCount", Some(usage.output.saturating_add(usage.audio_out)));
    put(&mut written, "candidatesTokensDetails", sound(usage.audio_out));
    put(&mut written, "thoughtsTokenCount", some(usage.reasoning));
    put(&mut written, "totalTokenCount", Some(usage.all_input().saturating_add(usage.all_output())));
    written.into()
}
