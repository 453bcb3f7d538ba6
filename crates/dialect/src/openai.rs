//! What OpenAI's dialects share, so that neither knows the other: errors, degrees of effort, data URLs.

use crate::{
    Fault, FaultKind,
    canon::{Effort, Reasoning, Source},
    fault::{Upstream, kind_of_status},
    limits::FAULT_TEXT_MAX,
};
use serde_json::{Value, json};

const EFFORTS: &[(&str, Effort)] = &[
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::Max),
    ("max", Effort::Max),
];

/// What a provider's code or type of error tells, to the letter.
const FAULT_WORDS: &[(&str, FaultKind)] = &[
    ("context_length_exceeded", FaultKind::ContextTooLong),
    ("exceed_context_size_error", FaultKind::ContextTooLong),
    ("too_many_prompt_tokens", FaultKind::ContextTooLong),
    ("too_many_tokens", FaultKind::ContextTooLong),
    ("content_filter", FaultKind::ContentFiltered),
    ("content_policy_violation", FaultKind::ContentFiltered),
    ("responsibleaipolicyviolation", FaultKind::ContentFiltered),
    ("insufficient_quota", FaultKind::UpstreamQuota),
    ("insufficient_balance", FaultKind::UpstreamQuota),
    ("billing_hard_limit_reached", FaultKind::UpstreamQuota),
    ("billing_not_active", FaultKind::UpstreamQuota),
    ("model_not_found", FaultKind::UpstreamNotFound),
    ("invalid_model", FaultKind::UpstreamNotFound),
    ("deploymentnotfound", FaultKind::UpstreamNotFound),
    ("invalid_api_key", FaultKind::UpstreamAuth),
    ("authentication_error", FaultKind::UpstreamAuth),
    ("rate_limit_exceeded", FaultKind::UpstreamLimited),
    ("rate_limit_error", FaultKind::UpstreamLimited),
    ("rate_limited", FaultKind::UpstreamLimited),
    ("ratelimitreached", FaultKind::UpstreamLimited),
    ("too_many_requests_error", FaultKind::UpstreamLimited),
    ("overloaded_error", FaultKind::UpstreamOverloaded),
    // The Responses API, and what Codex knows.
    ("invalid_prompt", FaultKind::ContentFiltered),
    ("usage_not_included", FaultKind::UpstreamQuota),
    ("slow_down", FaultKind::UpstreamOverloaded),
    ("server_is_overloaded", FaultKind::UpstreamOverloaded),
];

/// What Cloudflare's numbers tell:
/// <https://developers.cloudflare.com/workers-ai/platform/errors/>
const CLOUDFLARE_CODES: &[(&str, FaultKind)] = &[
    ("3007", FaultKind::UpstreamTimeout),
    ("3036", FaultKind::UpstreamQuota),
    ("3040", FaultKind::UpstreamOverloaded),
    ("3050", FaultKind::UpstreamOverloaded),
    ("4006", FaultKind::UpstreamQuota),
    ("5007", FaultKind::UpstreamNotFound),
    ("5028", FaultKind::UpstreamNotFound),
    ("5035", FaultKind::UpstreamQuota),
    ("7003", FaultKind::UpstreamNotFound),
    ("8007", FaultKind::ContextTooLong),
];

/// What a message tells where code and type tell nothing: DeepSeek, xAI, Ollama, OpenRouter and others
/// give no better sign. In small letters.
const FAULT_PHRASES: &[(&str, FaultKind)] = &[
    ("available credits", FaultKind::UpstreamQuota),
    ("spending limit", FaultKind::UpstreamQuota),
    ("insufficient balance", FaultKind::UpstreamQuota),
    ("exceeded your current quota", FaultKind::UpstreamQuota),
    ("daily free allocation", FaultKind::UpstreamQuota),
    ("context length", FaultKind::ContextTooLong),
    ("context window", FaultKind::ContextTooLong),
    ("available context size", FaultKind::ContextTooLong),
    ("prompt is too long", FaultKind::ContextTooLong),
    ("content management policy", FaultKind::ContentFiltered),
    ("incorrect api key", FaultKind::UpstreamAuth),
    ("invalid api key", FaultKind::UpstreamAuth),
    ("model not found", FaultKind::UpstreamNotFound),
    ("not a valid model", FaultKind::UpstreamNotFound),
    ("invalid model", FaultKind::UpstreamNotFound),
];

/// Reads an effort.
pub(crate) fn read_effort(word: &str) -> Reasoning {
    if word == "none" { Reasoning::Off } else { Reasoning::Effort(degree(word)) }
}

fn degree(word: &str) -> Effort {
    let known = EFFORTS.iter().find(|(name, _)| *name == word);
    known.map_or_else(|| Effort::Other(word.to_owned()), |(_, effort)| effort.clone())
}

/// Writes an effort. A budget of tokens becomes the effort that comes nearest; "as long as you
/// like" is what a model does anyway.
pub(crate) fn write_effort(wish: &Reasoning) -> Option<&str> {
    match wish {
        Reasoning::Off => Some("none"),
        Reasoning::Adaptive(effort) => effort.as_ref().map(word),
        Reasoning::Effort(effort) => Some(word(effort)),
        Reasoning::Budget(0..4_096) => Some("low"),
        Reasoning::Budget(4_096..16_384) => Some("medium"),
        Reasoning::Budget(_) => Some("high"),
    }
}

fn word(effort: &Effort) -> &str {
    match effort {
        Effort::Other(word) => word,
        known => EFFORTS.iter().find(|(_, effort)| effort == known).map_or("medium", |(name, _)| name),
    }
}

/// Where the bytes of a medium are, by its URL.
pub(crate) fn source(url: &str) -> Source {
    match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media_type, data)) => {
            Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
        }
        None => Source::Url(url.to_owned()),
    }
}

/// Reads an error, of whatever shape.
pub(crate) fn fault(status: u16, body: &[u8]) -> Fault {
    match serde_json::from_slice(body) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => fault_of(status, &value),
        Ok(Value::String(text)) => plain_fault(status, &text),
        _ => plain_fault(status, &String::from_utf8_lossy(body)),
    }
}

fn plain_fault(status: u16, text: &str) -> Fault {
    let text = shortened(text.trim());
    let message = if text.is_empty() { format!("the provider answered {status} and no more") } else { text };
    let upstream = Some(Box::new(Upstream { status, kind: None, code: None }));
    Fault { upstream, ..Fault::new(kind_of(status, &[], &message, &[]), message) }
}

/// Reads an error object of any of the shapes that are known.
///
/// The object may stand in `error` (OpenAI), be the first of `errors` (Cloudflare), the first of a list
/// (Google) or the body itself (Mistral, Cerebras); `error` may be a string (xAI, Hugging Face), and so
/// may `detail` (Mistral, FastAPI).
pub(crate) fn fault_of(status: u16, value: &Value) -> Fault {
    let body = value.get(0).unwrap_or(value);
    let cloudflare = body.pointer("/errors/0").filter(|error| error.is_object());
    let error = body.get("error").filter(|error| error.is_object()).or(cloudflare).unwrap_or(body);
    let said = ["message", "error", "errors", "detail", "msg", "title"];
    let message = said.iter().find_map(|name| words(error.get(*name)?));
    let mut message = message.unwrap_or_else(|| shortened(&value.to_string()));
    // OpenRouter hides what the provider behind it said.
    if let Some(raw) = error.pointer("/metadata/raw").and_then(words) {
        message = shortened(&format!("{message}: {raw}"));
    }
    let word = |name: &str| [error, body].iter().find_map(|part| label(part.get(name)?));
    let kind = word("type").filter(|kind| kind != "error").or_else(|| word("status"));
    let code = word("code");
    let inner = error.pointer("/innererror/code").and_then(label);
    let names: Vec<&str> = [&code, &kind, &inner].into_iter().flatten().map(String::as_str).collect();
    let table = if cloudflare.is_some() { CLOUDFLARE_CODES } else { FAULT_WORDS };
    let numbers = ["code", "status", "status_code"].iter().find_map(|name| error.get(*name)?.as_u64());
    let told =
        numbers.and_then(|number| u16::try_from(number).ok()).filter(|number| (400..600).contains(number));
    let meant = if status >= 400 { status } else { told.unwrap_or(status) };
    let fault = Fault::new(kind_of(meant, &names, &message, table), message);
    Fault { param: word("param"), upstream: Some(Box::new(Upstream { status, kind, code })), ..fault }
}

/// The kind of a fault: what the provider's own names tell, else what its message tells, else what its
/// status tells. An error under the status 200 is the provider's, unless it blames the request.
fn kind_of(status: u16, names: &[&str], message: &str, table: &[(&str, FaultKind)]) -> FaultKind {
    let named = |(word, _): &&(&str, FaultKind)| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if let Some((_, kind)) = table.iter().find(named) {
        return *kind;
    }
    let told = match kind_of_status(status) {
        FaultKind::UpstreamInvalid if names.contains(&"invalid_request_error") => FaultKind::BadRequest,
        FaultKind::UpstreamInvalid => FaultKind::UpstreamFailed,
        kind => kind,
    };
    let message = message.to_ascii_lowercase();
    let is_open = matches!(told, FaultKind::BadRequest | FaultKind::TooLarge | FaultKind::UpstreamFailed);
    FAULT_PHRASES
        .iter()
        .filter(|(_, kind)| is_open || *kind == FaultKind::UpstreamQuota)
        .find(|(phrase, _)| message.contains(phrase))
        .map_or(told, |(_, kind)| *kind)
}

/// The words in a message of any shape: a string (which may itself be an error as JSON), the first of a
/// list (FastAPI), or what an object says.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(shortened(text)),
        Value::Array(list) => list.first().filter(|first| !first.is_array()).and_then(words),
        Value::Object(error) => {
            let said = ["message", "msg"].iter().find_map(|name| error.get(*name)?.as_str());
            said.map(shortened)
        }
        _ => None,
    }
}

fn label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(shortened(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(FAULT_TEXT_MAX).collect()
}

/// Writes an error: <https://platform.openai.com/docs/guides/error-codes>
///
/// Where the provider refused the request itself, its own type and code say more than ours.
pub(crate) fn write_fault(fault: &Fault) -> Value {
    let meaning = fault.kind.meaning();
    let upstream = fault.upstream.as_deref().filter(|_| fault.kind == FaultKind::BadRequest);
    let kind = upstream.and_then(|upstream| upstream.kind.as_deref()).unwrap_or(meaning.openai_type);
    let ours = Some(meaning.openai_code).filter(|code| !code.is_empty());
    let code = upstream.and_then(|upstream| upstream.code.as_deref()).or(ours);
    json!({"error": {"message": fault.text(), "type": kind, "param": fault.param, "code": code}})
}
