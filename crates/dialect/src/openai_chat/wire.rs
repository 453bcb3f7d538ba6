//! The dialect's vocabulary: its words, its usage and its thoughts.

use crate::{
    DialectId,
    canon::{Role, Seal, Usage, UsageRow},
    json::Counts,
    openai,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::OpenaiChat;
/// What writers call a thing in their losses, and what it is called here.
pub(super) const NAMES: &[(&str, &str)] =
    &[("/response_format/schema", "/response_format/json_schema/schema")];
/// Most stop sequences: <https://platform.openai.com/docs/api-reference/chat/create#chat-create-stop>
pub(super) const STOPS_MAX: usize = 4;
/// Who speaks in a request.
pub(super) const ROLES: &[Role] = &[Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
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

/// The usage among the members of an answer or a chunk. Groq puts it into `x_groq` too.
pub(super) fn usage_of(members: &Map<String, Value>) -> Option<Usage> {
    let groq = || members.get("x_groq").and_then(|groq| groq.get("usage"));
    read_usage(members.get("usage").filter(|usage| usage.is_object()).or_else(groq)?)
}

/// Reads a usage object: <https://platform.openai.com/docs/api-reference/completions/object>
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    openai::read_usage(ME, usage, &openai::PROMPT)
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
    ("prompt_tokens_details", "audio_tokens", |usage| usage.audio_in),
    ("completion_tokens_details", "reasoning_tokens", |usage| usage.reasoning),
    ("completion_tokens_details", "audio_tokens", |usage| usage.audio_out),
];

/// Writes a usage object, or gives back the one that was read.
pub(super) fn write_usage(usage: &Usage) -> Value {
    usage.written(ME, USAGE).into()
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
