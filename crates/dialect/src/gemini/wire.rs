//! The words of the Gemini API, as tables, and the shapes that reading and writing share: spelling, usage,
//! seals, schemas and log probabilities.

use crate::{
    DialectId, FaultKind,
    canon::{Effort, Extra, Kind, Seal, Stop, StopReason, Usage},
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
pub(super) const REQUEST: &[&str] = &["systemInstruction", "tools", "toolConfig", "generationConfig"];
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

/// Errors by their reason, to the letter: <https://cloud.google.com/apis/design/errors>
pub(super) const REASONS: &[(&str, FaultKind)] = &[
    ("API_KEY_INVALID", FaultKind::UpstreamAuth),
    ("API_KEY_EXPIRED", FaultKind::UpstreamAuth),
    ("API_KEY_SERVICE_BLOCKED", FaultKind::UpstreamAuth),
    ("SERVICE_DISABLED", FaultKind::UpstreamAuth),
    ("CONSUMER_SUSPENDED", FaultKind::UpstreamAuth),
    ("BILLING_DISABLED", FaultKind::UpstreamQuota),
];

/// Errors by what their message says, in small letters, where the status says less.
pub(super) const PHRASES: &[(&str, FaultKind)] = &[
    ("exceeds the maximum number of tokens", FaultKind::ContextTooLong),
    ("api key not valid", FaultKind::UpstreamAuth),
    ("api key expired", FaultKind::UpstreamAuth),
    ("user location is not supported", FaultKind::UpstreamAuth),
    ("credits are depleted", FaultKind::UpstreamQuota),
];

/// Errors by their status: <https://google.aip.dev/193>
pub(super) const STATUSES: &[(&str, FaultKind)] = &[
    ("INVALID_ARGUMENT", FaultKind::BadRequest),
    ("OUT_OF_RANGE", FaultKind::BadRequest),
    ("UNIMPLEMENTED", FaultKind::BadRequest),
    ("FAILED_PRECONDITION", FaultKind::BadRequest),
    ("UNAUTHENTICATED", FaultKind::UpstreamAuth),
    ("PERMISSION_DENIED", FaultKind::UpstreamAuth),
    ("NOT_FOUND", FaultKind::UpstreamNotFound),
    ("RESOURCE_EXHAUSTED", FaultKind::UpstreamLimited),
    ("UNAVAILABLE", FaultKind::UpstreamOverloaded),
    ("DEADLINE_EXCEEDED", FaultKind::UpstreamTimeout),
    ("ABORTED", FaultKind::UpstreamFailed),
    ("CANCELLED", FaultKind::UpstreamFailed),
    ("DATA_LOSS", FaultKind::UpstreamFailed),
    ("INTERNAL", FaultKind::UpstreamFailed),
    ("UNKNOWN", FaultKind::UpstreamFailed),
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

/// Spells the `known` members in camel case; says whether any was not.
pub(super) fn camel(members: &mut Map<String, Value>, known: &[&str]) -> bool {
    let mut changed = false;
    for name in known {
        let other = snake(name);
        if other != *name
            && members.get(*name).is_none_or(Value::is_null)
            && let Some(value) = members.shift_remove(&other)
        {
            members.insert((*name).to_owned(), value);
            changed = true;
        }
    }
    changed
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
    let said = usage.output.saturating_add(usage.audio_out);
    let sound = |tokens: u64| json!([{"modality": "AUDIO", "tokenCount": tokens}]);
    let mut written = Map::new();
    let mut put = |name: &str, wanted: bool, value: Value| {
        written.extend(wanted.then(|| (name.to_owned(), value)));
    };
    put("promptTokenCount", true, usage.all_input().into());
    put("cachedContentTokenCount", usage.cache_read > 0, usage.cache_read.into());
    put("promptTokensDetails", usage.audio_in > 0, sound(usage.audio_in));
    put("candidatesTokenCount", true, said.into());
    put("candidatesTokensDetails", usage.audio_out > 0, sound(usage.audio_out));
    put("thoughtsTokenCount", usage.reasoning > 0, usage.reasoning.into());
    put("totalTokenCount", true, usage.all_input().saturating_add(usage.all_output()).into());
    written.into()
}

/// The seal that a `thoughtSignature` holds. Clients keep it as bytes in base64, so another dialect's seal
/// stands behind a name that is base64 too.
pub(super) fn read_seal(signature: &str, redacted: bool) -> Seal {
    let other = |issuer: &DialectId| Some((*issuer, signature.strip_prefix(&mark(*issuer))?));
    let others = DialectId::ALL.iter().filter(|issuer| **issuer != ME);
    let (issuer, data) = others.into_iter().find_map(other).unwrap_or((ME, signature));
    Seal { issuer, data: data.to_owned(), redacted }
}

/// The `thoughtSignature` that holds a seal.
pub(super) fn write_seal(seal: &Seal) -> String {
    if seal.issuer == ME { seal.data.clone() } else { mark(seal.issuer) + &seal.data }
}

/// A dialect's name in letters of base64, filled up to whole groups of four.
fn mark(issuer: DialectId) -> String {
    let mut name = format!("{}++", issuer.name().replace('_', "/"));
    while name.len() % 4 > 0 {
        name.push('+');
    }
    name
}

/// The type of a medium that is named by its address alone.
pub(super) fn media_type(url: &str, kind: &Kind) -> &'static str {
    const TYPES: &[(&str, &str)] = &[
        (".png", "image/png"),
        (".webp", "image/webp"),
        (".gif", "image/gif"),
        (".heic", "image/heic"),
        (".wav", "audio/wav"),
        (".mp4", "video/mp4"),
        (".txt", "text/plain"),
    ];
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    let by_kind = match kind {
        Kind::Image(_) => "image/jpeg",
        Kind::Audio(_) => "audio/mp3",
        _ => "application/pdf",
    };
    TYPES.iter().find(|(end, _)| path.ends_with(end)).map_or(by_kind, |(_, name)| name)
}

/// Gemini's schemas are a part of OpenAPI's with names of types in capitals; all others know JSON Schema.
/// <https://ai.google.dev/api/caching#Schema>
///
/// The way back is not needed: `parametersJsonSchema` and `responseJsonSchema` take all of JSON Schema, in
/// AI Studio and in Vertex AI, and pass over what they do not keep to.
pub(super) fn json_schema(schema: Value) -> Value {
    let Value::Object(mut members) = schema else { return schema };
    camel(&mut members, &["anyOf", "minItems", "maxItems", "minLength", "maxLength", "propertyOrdering"]);
    let nullable = members.shift_remove("nullable").is_some_and(|flag| flag == true);
    let mut written = Map::new();
    for (name, value) in members {
        let (name, value) = match (name.as_str(), value) {
            ("type", Value::String(word)) if word == "TYPE_UNSPECIFIED" => continue,
            ("type", Value::String(word)) => (name, word.to_ascii_lowercase().into()),
            ("propertyOrdering", _) => continue,
            ("format", Value::String(word)) if word == "enum" => continue,
            ("defs", Value::Object(inner)) => ("$defs".to_owned(), each(inner)),
            ("ref", Value::String(place)) => ("$ref".to_owned(), place.replace("#/defs/", "#/$defs/").into()),
            ("properties", Value::Object(inner)) => (name, each(inner)),
            ("items" | "additionalProperties", inner) => (name, json_schema(inner)),
            ("anyOf" | "prefixItems", Value::Array(list)) => {
                (name, list.into_iter().map(json_schema).collect())
            }
            // Protocol buffers write long numbers as strings.
            (
                "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties",
                Value::String(number),
            ) => (name, number.parse::<u64>().map_or(Value::String(number), Value::from)),
            (_, value) => (name, value),
        };
        written.insert(name, value);
    }
    if nullable {
        allow_null(&mut written);
    }
    Value::Object(written)
}

fn each(schemas: Map<String, Value>) -> Value {
    schemas.into_iter().map(|(name, schema)| (name, json_schema(schema))).collect()
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.push(json!({"type": "null"}));
    }
}

/// `logprobsResult` in OpenAI's form: <https://ai.google.dev/api/generate-content#LogprobsResult>
pub(super) fn read_logprobs(result: &Value) -> Value {
    let one = |entry: &Value| {
        let token = entry.get("token").cloned().unwrap_or_default();
        let logprob = entry.get("logProbability").cloned().unwrap_or_default();
        Map::from_iter([
            ("token".to_owned(), token),
            ("logprob".to_owned(), logprob),
            ("bytes".to_owned(), Value::Null),
        ])
    };
    let chosen = result.get("chosenCandidates").and_then(Value::as_array).into_iter().flatten();
    let content = chosen.enumerate().map(|(index, entry)| {
        let best = result.pointer(&format!("/topCandidates/{index}/candidates")).and_then(Value::as_array);
        let best: Vec<Value> = best.into_iter().flatten().map(|entry| one(entry).into()).collect();
        let mut entry = one(entry);
        entry.insert("top_logprobs".to_owned(), best.into());
        Value::Object(entry)
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

/// The way back of [`read_logprobs`].
pub(super) fn write_logprobs(logprobs: &Value) -> Value {
    let one = |entry: &Value| json!({"token": entry.get("token"), "logProbability": entry.get("logprob")});
    let content = logprobs.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let best = |entry: &Value| -> Value {
        let list = entry.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        json!({"candidates": list.map(one).collect::<Vec<_>>()})
    };
    json!({
        "topCandidates": content.iter().map(best).collect::<Vec<_>>(),
        "chosenCandidates": content.iter().map(one).collect::<Vec<_>>(),
    })
}
