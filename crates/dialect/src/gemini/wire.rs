//! The words of the Gemini API, as tables, and the shapes that reading and writing share: spelling, usage
//! and stop reasons.

use crate::{
    DialectId,
    canon::{Effort, Extra, Kind, Stop, StopReason, Usage},
    json::put,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::Gemini;
/// Most stop sequences: <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>
pub(super) const STOPS_MAX: usize = 5;
/// What stands for the seal on a call that another model made. Without any, Gemini 3 refuses the request:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>
pub(super) const NO_SEAL: &str = "skip_thought_signature_validator";
/// The beginning of ids for calls that came without one, as they do from Gemini 2.5.
pub(super) const DERIVED: &str = "call_gm_";

/// The members of a request that clients also write in snake case.
pub(super) const REQUEST: [&str; 4] = ["systemInstruction", "tools", "toolConfig", "generationConfig"];
/// The members of `generationConfig` that canonical form knows.
pub(super) const GENERATION: &[&str] = &[
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "thinkingConfig",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
];
/// The members of `thinkingConfig`.
pub(super) const THINKING: &[&str] = &["includeThoughts", "thinkingBudget", "thinkingLevel"];
/// The members of a part, and of what is in it.
pub(super) const PART: &[&str] = &[
    "thoughtSignature",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "mimeType",
    "fileUri",
];

/// Why the model stopped: <https://ai.google.dev/api/generate-content#FinishReason>, and the reasons for
/// which a prompt is blocked. The first row of a reason writes it; calls of tools have no reason of their own.
const FINISH: &[(&str, StopReason)] = &[
    ("STOP", StopReason::End),
    ("MAX_TOKENS", StopReason::MaxTokens),
    ("SAFETY", StopReason::ContentFilter),
    ("RECITATION", StopReason::ContentFilter),
    ("BLOCKLIST", StopReason::ContentFilter),
    ("PROHIBITED_CONTENT", StopReason::ContentFilter),
    ("SPII", StopReason::ContentFilter),
    ("MODEL_ARMOR", StopReason::ContentFilter),
    ("IMAGE_SAFETY", StopReason::ContentFilter),
    ("IMAGE_PROHIBITED_CONTENT", StopReason::ContentFilter),
    ("IMAGE_RECITATION", StopReason::ContentFilter),
    ("JAILBREAK", StopReason::ContentFilter),
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

/// The stop that a word means; `called` says whether the answer calls tools.
pub(super) fn read_stop(word: &str, called: bool) -> Stop {
    let known = FINISH.iter().find(|(name, _)| *name == word);
    let reason = match known.map_or(StopReason::Other, |(_, reason)| *reason) {
        StopReason::End if called => StopReason::ToolUse,
        reason => reason,
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
    let known = EFFORTS.iter().find(|(name, ..)| word.eq_ignore_ascii_case(name));
    known.map_or_else(|| Effort::Other(word.to_owned()), |(_, effort, _)| effort.clone())
}

/// The level and the budget for an effort; `None` for a word that we do not know.
pub(super) fn write_effort(effort: &Effort) -> Option<(&'static str, u64)> {
    EFFORTS.iter().find(|(_, known, _)| known == effort).map(|(word, _, budget)| (*word, *budget))
}

/// A model from before Gemini 3: it knows budgets and no levels, and wants no seals.
pub(super) fn is_older(model: &str) -> bool {
    ["gemini-1", "gemini-2", "gemma"].iter().any(|family| model.contains(family))
}

/// The snake case spelling of a name.
pub(super) fn snake(name: &str) -> String {
    let mut written = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            written.push('_');
        }
        written.push(letter.to_ascii_lowercase());
    }
    written
}

/// Spells the `known` members in camel case, where they are not there in it.
pub(super) fn camel(members: &mut Map<String, Value>, known: &[&str]) {
    for name in known.iter().filter(|name| name.contains(char::is_uppercase)) {
        if !members.contains_key(*name)
            && let Some(value) = members.shift_remove(&snake(name))
        {
            members.insert((*name).to_owned(), value);
        }
    }
}

/// Reads usage: <https://ai.google.dev/api/generate-content#UsageMetadata>
///
/// The prompt holds what came from a cache; thoughts are beside the candidates, and so is what the
/// provider's own tools brought. Sound is told by modality.
pub(super) fn read_usage(native: Map<String, Value>) -> Usage {
    let count = |name: &str| native.get(name).and_then(Value::as_u64);
    let sound = |name: &str| -> u64 {
        let list = native.get(name).and_then(Value::as_array).into_iter().flatten();
        let sound = list.filter(|entry| entry.get("modality").is_some_and(|modality| modality == "AUDIO"));
        sound.filter_map(|entry| entry.get("tokenCount")?.as_u64()).fold(0, u64::saturating_add)
    };
    let prompt = count("promptTokenCount").unwrap_or(0);
    let by_tools = count("toolUsePromptTokenCount").unwrap_or(0);
    let cache_read = count("cachedContentTokenCount").unwrap_or(0).min(prompt);
    let audio_in =
        sound("promptTokensDetails").saturating_sub(sound("cacheTokensDetails")).min(prompt - cache_read);
    let reasoning = count("thoughtsTokenCount").unwrap_or(0);
    let rest = || {
        let beside = [prompt, by_tools, reasoning];
        beside.into_iter().fold(count("totalTokenCount").unwrap_or(0), u64::saturating_sub)
    };
    let said = count("candidatesTokenCount").unwrap_or_else(rest);
    let audio_out = sound("candidatesTokensDetails").min(said);
    Usage {
        input: (prompt - cache_read - audio_in).saturating_add(by_tools),
        cache_read,
        audio_in,
        output: said - audio_out,
        reasoning,
        audio_out,
        native: Extra::new(ME, native),
        ..Usage::default()
    }
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

/// The type of a medium that is named by its address alone.
pub(super) fn media_type(url: &str, kind: &Kind) -> &'static str {
    const TYPES: &[(&str, &str)] =
        &[(".png", "image/png"), (".webp", "image/webp"), (".gif", "image/gif"), (".wav", "audio/wav")];
    let usual = match kind {
        Kind::Image(_) => "image/jpeg",
        Kind::Audio(_) => "audio/mp3",
        _ => "application/pdf",
    };
    let path = url.split(['?', '#']).next().unwrap_or(url);
    TYPES.iter().find(|(end, _)| path.ends_with(end)).map_or(usual, |(_, name)| name)
}
