//! Error bodies, whoever wrote them. Providers that speak one dialect do not agree on its errors, and the
//! same dozen shapes come back in every dialect, so they are read in one place.

use crate::{
    Fault, FaultKind,
    fault::{Upstream, kind_of_status},
    limits::FAULT_TEXT_MAX,
};
use serde_json::Value;

/// Reads an error body of any shape, or plain text.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Fault {
    match serde_json::from_slice(body) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => told(status, &value),
        Ok(Value::String(text)) => plain(status, &text),
        _ => plain(status, &String::from_utf8_lossy(body)),
    }
}

/// The error inside an answer or a chunk of OpenAI's chat and completions that came under the status 200, if
/// it is one.
#[must_use]
pub fn in_answer(value: &Value) -> Option<Fault> {
    let says = |name: &&str| value.get(*name).is_some_and(|said| !said.is_null());
    let choices = value.get("choices").and_then(Value::as_array);
    if says(&"error") || choices.is_none() && ["errors", "detail", "message"].iter().any(says) {
        return Some(told(200, value));
    }
    let choice = choices?.iter().find(|choice| {
        choice.get("finish_reason").is_some_and(|word| word == "error")
            || choice.get("error").is_some_and(Value::is_object)
    })?;
    let bare =
        || Fault::new(FaultKind::UpstreamFailed, "the provider broke off with `finish_reason` `error`");
    Some(choice.get("error").map_or_else(bare, |_| told(200, choice)))
}

fn plain(status: u16, text: &str) -> Fault {
    let text = shortened(text.trim());
    let message = if text.is_empty() { format!("the provider answered {status} and no more") } else { text };
    let upstream = Some(Box::new(Upstream { status, kind: None, code: None }));
    Fault { upstream, ..Fault::new(kind_of(status, &[], &message, &[]), message) }
}

/// Reads an error object of any of the shapes that are known.
///
/// The object may stand in `error` (OpenAI), be the first of `errors` (Cloudflare), the first of a list
/// (Google) or the body itself (Mistral, Cerebras, AWS); `error` may be a string (xAI, Hugging Face), and so
/// may `detail` (Mistral, FastAPI).
pub fn told(status: u16, value: &Value) -> Fault {
    let body = value.get(0).unwrap_or(value);
    let cloudflare = body.pointer("/errors/0").filter(|error| error.is_object());
    let error = body.get("error").filter(|error| error.is_object()).or(cloudflare).unwrap_or(body);
    let said = ["message", "Message", "error", "errors", "detail", "msg", "title"];
    let message = said.iter().find_map(|name| words(error.get(*name)?));
    let mut message = message.unwrap_or_else(|| shortened(&value.to_string()));
    // OpenRouter hides what the provider behind it said.
    if let Some(raw) = error.pointer("/metadata/raw").and_then(words) {
        message = shortened(&format!("{message}: {raw}"));
    }
    let word = |name: &str| [error, body].iter().find_map(|part| label(part.get(name)?));
    let (kind, code) = (
        word("type")
            .or_else(|| word("error_type"))
            .or_else(|| error.get("status").filter(|status| status.is_string()).and_then(label))
            .or_else(|| error.get("__type").and_then(label).map(|name| plain_name(&name))),
        word("code"),
    );
    let inner = error.pointer("/innererror/code").and_then(label);
    let names: Vec<&str> = [&code, &kind, &inner].into_iter().flatten().map(String::as_str).collect();
    let table = if cloudflare.is_some() { CLOUDFLARE } else { WORDS };
    let numbers = ["code", "status", "status_code"].iter().find_map(|name| error.get(*name)?.as_u64());
    let told =
        numbers.and_then(|number| u16::try_from(number).ok()).filter(|number| (400..600).contains(number));
    let meant = if status >= 400 { status } else { told.unwrap_or(status) };
    let fault = Fault::new(kind_of(meant, &names, &message, table), message);
    let upstream = Some(Box::new(Upstream { status, kind, code }));
    Fault { param: word("param"), upstream, retry_after_ms: retry_after(error), ..fault }
}

/// The name of an AWS error without what stands around it (`com.amazon.coral.service#…`, `…:http://…`):
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
fn plain_name(name: &str) -> String {
    let name = name.rsplit('#').next().unwrap_or(name);
    name.split(':').next().unwrap_or(name).to_owned()
}

/// When to come back, in milliseconds, as Google says it (`7s` or `0.5s`): <https://google.aip.dev/193>, or
/// Replicate (`retry_after`, in seconds): <https://replicate.com/docs/topics/predictions/rate-limits>
fn retry_after(error: &Value) -> Option<u64> {
    if let Some(seconds) = error.get("retry_after").and_then(Value::as_u64) {
        return seconds.checked_mul(1_000);
    }
    let details = error.get("details")?.as_array()?;
    let wait = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s'))?;
    let (whole, part) = wait.split_once('.').unwrap_or((wait, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(part.parse().ok()?)
}

/// The kind of a fault: what the provider's own names tell, else what its message tells, else what its
/// status tells. An error under the status 200 is the provider's, unless it blames the request.
fn kind_of(status: u16, names: &[&str], message: &str, table: &[(&str, FaultKind)]) -> FaultKind {
    let named = |(word, _): &&(&str, FaultKind)| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if let Some((_, kind)) = table.iter().find(named) {
        return *kind;
    }
    let told = match kind_of_status(status) {
        FaultKind::UpstreamInvalid if names.iter().any(|name| BLAMES.contains(name)) => FaultKind::BadRequest,
        FaultKind::UpstreamInvalid => FaultKind::UpstreamFailed,
        kind => kind,
    };
    let message = message.to_ascii_lowercase();
    let is_open = matches!(told, FaultKind::BadRequest | FaultKind::TooLarge | FaultKind::UpstreamFailed);
    PHRASES
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

/// Names that blame the request and tell no more.
const BLAMES: &[&str] = &["invalid_request_error", "ValidationException", "validationException"];

/// What a provider's code or type of error tells, to the letter.
const WORDS: &[(&str, FaultKind)] = &[
    ("context_length_exceeded", FaultKind::ContextTooLong),
    ("exceed_context_size_error", FaultKind::ContextTooLong),
    ("too_many_prompt_tokens", FaultKind::ContextTooLong),
    ("too_many_tokens", FaultKind::ContextTooLong),
    ("content_filter", FaultKind::ContentFiltered),
    ("content_policy_violation", FaultKind::ContentFiltered),
    ("responsibleaipolicyviolation", FaultKind::ContentFiltered),
    ("insufficient_quota", FaultKind::UpstreamQuota),
    ("insufficient_balance", FaultKind::UpstreamQuota),
    ("billing_error", FaultKind::UpstreamQuota),
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
    ("timeout_error", FaultKind::UpstreamTimeout),
    // Google: <https://google.aip.dev/193>
    ("cancelled", FaultKind::UpstreamFailed),
    // OpenAI's Responses API, and Codex' own backend.
    ("invalid_prompt", FaultKind::ContentFiltered),
    ("usage_not_included", FaultKind::UpstreamQuota),
    ("slow_down", FaultKind::UpstreamOverloaded),
    ("server_is_overloaded", FaultKind::UpstreamOverloaded),
    // AWS: <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
    ("accessdeniedexception", FaultKind::UpstreamAuth),
    ("expiredtokenexception", FaultKind::UpstreamAuth),
    ("incompletesignatureexception", FaultKind::UpstreamAuth),
    ("invalidsignatureexception", FaultKind::UpstreamAuth),
    ("missingauthenticationtokenexception", FaultKind::UpstreamAuth),
    ("unrecognizedclientexception", FaultKind::UpstreamAuth),
    ("modelnotreadyexception", FaultKind::UpstreamOverloaded),
    ("serviceunavailableexception", FaultKind::UpstreamOverloaded),
    ("modeltimeoutexception", FaultKind::UpstreamTimeout),
    ("resourcenotfoundexception", FaultKind::UpstreamNotFound),
    ("servicequotaexceededexception", FaultKind::UpstreamQuota),
    ("throttlingexception", FaultKind::UpstreamLimited),
];

/// What Cloudflare's numbers tell:
/// <https://developers.cloudflare.com/workers-ai/platform/errors/>
const CLOUDFLARE: &[(&str, FaultKind)] = &[
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
const PHRASES: &[(&str, FaultKind)] = &[
    ("available credits", FaultKind::UpstreamQuota),
    ("credit balance is too low", FaultKind::UpstreamQuota),
    ("specified api usage limits", FaultKind::UpstreamQuota),
    ("spending limit", FaultKind::UpstreamQuota),
    ("insufficient balance", FaultKind::UpstreamQuota),
    ("exceeded your current quota", FaultKind::UpstreamQuota),
    ("daily free allocation", FaultKind::UpstreamQuota),
    ("context length", FaultKind::ContextTooLong),
    ("context window", FaultKind::ContextTooLong),
    ("available context size", FaultKind::ContextTooLong),
    ("exceed context limit", FaultKind::ContextTooLong),
    ("prompt is too long", FaultKind::ContextTooLong),
    ("content management policy", FaultKind::ContentFiltered),
    ("content filtering policy", FaultKind::ContentFiltered),
    ("exceeds the maximum number of tokens", FaultKind::ContextTooLong),
    ("credits are depleted", FaultKind::UpstreamQuota),
    ("api key not valid", FaultKind::UpstreamAuth),
    ("api key expired", FaultKind::UpstreamAuth),
    ("user location is not supported", FaultKind::UpstreamAuth),
    ("incorrect api key", FaultKind::UpstreamAuth),
    ("invalid api key", FaultKind::UpstreamAuth),
    ("model not found", FaultKind::UpstreamNotFound),
    ("not a valid model", FaultKind::UpstreamNotFound),
    ("invalid model", FaultKind::UpstreamNotFound),
    ("model identifier is invalid", FaultKind::UpstreamNotFound),
    ("input is too long", FaultKind::ContextTooLong),
    ("input tokens exceeded", FaultKind::ContextTooLong),
];
