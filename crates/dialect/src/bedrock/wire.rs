//! The words of the Converse API, as tables, and what reading and writing share: usage, stop reasons, media
//! types, and what models want each in their own way.

use crate::{
    DialectId, Fault,
    canon::{Effort, Extra, Reasoning, Stop, StopReason, Usage, UsageRow},
    claude,
    json::{self, Counts},
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::Bedrock;
/// Longest id of a tool call, in characters:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html>
pub(super) const ID_MAX: usize = 64;
/// Longest name of a document, in characters:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>
pub(super) const NAME_MAX: usize = 200;

/// What stands elsewhere in this API's requests than in canonical form.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("/max_tokens", "/inferenceConfig/maxTokens"),
    ("/parallel_tool_calls", "/toolConfig/toolChoice"),
    ("/reasoning_effort", "/additionalModelRequestFields"),
    ("/response_format", "/outputConfig/textFormat"),
    ("/stop", "/inferenceConfig/stopSequences"),
    ("/temperature", "/inferenceConfig/temperature"),
    ("/tool_choice", "/toolConfig/toolChoice"),
    ("/tools", "/toolConfig/tools"),
    ("/top_k", "/additionalModelRequestFields/top_k"),
    ("/top_p", "/inferenceConfig/topP"),
];

/// What tells how an answer came about, which is no loss to others.
pub(super) const DIAGNOSIS: &[&str] = &["metrics", "performanceConfig", "serviceTier"];

/// Why the model stopped:
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_MessageStopEvent.html>. The first row of
/// a word reads it, the first row of a reason writes it.
const STOPS: &[(&str, StopReason)] = &[
    ("end_turn", StopReason::End),
    ("tool_use", StopReason::ToolUse),
    ("max_tokens", StopReason::MaxTokens),
    ("stop_sequence", StopReason::Sequence),
    ("content_filtered", StopReason::ContentFilter),
    ("guardrail_intervened", StopReason::ContentFilter),
    ("content_filtered", StopReason::Refusal),
    ("refusal", StopReason::Refusal),
    ("end_turn", StopReason::Pause),
    ("model_context_window_exceeded", StopReason::ContextWindow),
];

/// Media types whose second half is not the `format` that this API calls them by: the type, the member that
/// holds such a medium, and the format. The first row of a format reads it.
#[rustfmt::skip]
const FORMATS: &[(&str, &str, &str)] = &[
    ("application/pdf", "document", "pdf"),
    ("text/csv", "document", "csv"),
    ("application/msword", "document", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document", "docx"),
    ("application/vnd.ms-excel", "document", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "document", "xlsx"),
    ("text/html", "document", "html"),
    ("text/plain", "document", "txt"),
    ("text/markdown", "document", "md"),
    ("image/jpg", "image", "jpeg"),
    ("video/quicktime", "video", "mov"),
    ("video/x-matroska", "video", "mkv"),
    ("video/3gpp", "video", "three_gp"),
    ("audio/mpeg", "audio", "mp3"),
];
/// The other formats: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html> and
/// its siblings.
#[rustfmt::skip]
const PLAIN_FORMATS: &[&str] = &[
    "image/png", "image/jpeg", "image/gif", "image/webp", "video/mp4", "video/webm", "video/mpeg", "video/flv",
    "video/wmv", "audio/wav", "audio/ogg", "audio/flac", "audio/aac", "audio/opus", "audio/mp3",
];

/// What models have in common that are made by one maker, beyond what Converse has for all:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's: <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>
    Claude,
    /// Amazon's: <https://docs.aws.amazon.com/nova/latest/userguide/using-converse-api.html>
    Nova,
    /// OpenAI's open models.
    Gpt,
    /// All others, and profiles whose names do not tell the model.
    Other,
}

/// The family of a model by its id.
pub(super) fn family(model: &str) -> Family {
    let has = |words: &[&str]| words.iter().any(|word| model.contains(word));
    match () {
        () if has(&["anthropic", "claude"]) => Family::Claude,
        () if has(&["nova"]) => Family::Nova,
        () if has(&["openai", "gpt-oss"]) => Family::Gpt,
        () => Family::Other,
    }
}

/// The stop that a word means.
pub(super) fn read_stop(word: &str) -> Stop {
    Stop::new(StopReason::of_word(STOPS, word), word)
}

/// The word for a stop: the provider's own where it is of this dialect. Some providers say of an answer with
/// calls that it ended, and clients would then not call the tools.
pub(super) fn write_stop(stop: Option<&Stop>, own: bool, called: bool, refused: bool) -> &str {
    let Some(stop) = stop else { return "end_turn" };
    match stop.reason {
        StopReason::End if refused => "content_filtered",
        StopReason::End if called => "tool_use",
        _ if own && !stop.native.is_empty() => &stop.native,
        reason => match STOPS.iter().find(|(_, known)| *known == reason) {
            Some((word, _)) => word,
            None if stop.native.is_empty() => "end_turn",
            None => &stop.native,
        },
    }
}

/// The word for how long to think, of the three that all makers know; `None` where we know none.
pub(super) fn effort(wish: &Reasoning) -> Option<&'static str> {
    let budget = match wish {
        Reasoning::Off => 0,
        Reasoning::Budget(budget) => *budget,
        Reasoning::Adaptive(None) => claude::budget(&Effort::Medium),
        Reasoning::Adaptive(Some(effort)) | Reasoning::Effort(effort) => claude::budget(effort),
    };
    match budget {
        0 => None,
        1..=2_048 => Some("low"),
        2_049..=8_192 => Some("medium"),
        _ => Some("high"),
    }
}

/// The type of a medium that stands in `member` with that format.
pub(super) fn media_type(member: &str, format: &str) -> String {
    let plain = format!("{member}/{format}");
    let row = FORMATS.iter().find(|(_, other, word)| *other == member && *word == format);
    let known = row.filter(|_| !PLAIN_FORMATS.contains(&plain.as_str()));
    known.map_or(plain, |(media_type, ..)| (*media_type).to_owned())
}

/// The member and the format for a medium of that type, where the API takes such.
pub(super) fn format(media_type: &str) -> Option<(&str, &str)> {
    let plain = media_type.split(';').next().unwrap_or_default().trim();
    let row = FORMATS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(plain));
    let plain = PLAIN_FORMATS.iter().find(|known| known.eq_ignore_ascii_case(plain));
    row.map(|(_, member, format)| (*member, *format)).or_else(|| plain?.split_once('/'))
}

/// Reads usage: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>
///
/// What came from a cache or went into one is beside `inputTokens`; thoughts are not told apart.
pub(super) fn read_usage(native: Map<String, Value>) -> Usage {
    let counts = Counts::of_map(&native);
    // Older answers have the second name alone.
    let cached = |names: [&str; 2]| names.iter().find_map(|name| counts.find("", name)).unwrap_or(0);
    let written = cached(["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
    let details = native.get("cacheDetails").and_then(Value::as_array).into_iter().flatten();
    let hours = details.filter(|entry| entry.get("ttl").is_some_and(|ttl| ttl == "1h"));
    let hours = hours.filter_map(|entry| entry.get("inputTokens")?.as_u64()).fold(0, u64::saturating_add);
    let hours = hours.min(written);
    Usage {
        input: counts.get("", "inputTokens"),
        cache_read: cached(["cacheReadInputTokens", "cacheReadInputTokenCount"]),
        cache_write: written - hours,
        cache_write_1h: hours,
        output: counts.get("", "outputTokens"),
        native: Extra::new(ME, native),
        ..Usage::default()
    }
}

/// Takes the usage out of an answer or an event.
pub(super) fn usage_of(data: &mut Map<String, Value>) -> Option<Usage> {
    if let Some(Value::Object(usage)) = data.remove("usage") { Some(read_usage(usage)) } else { None }
}

/// Reads nothing but the usage of a whole answer.
pub(super) fn meter(body: &[u8]) -> Option<Usage> {
    usage_of(&mut json::members(body, &["usage"])?)
}

#[rustfmt::skip]
const USAGE: &[UsageRow] = &[
    ("", "inputTokens", |usage| usage.input.saturating_add(usage.audio_in)),
    ("", "outputTokens", Usage::all_output),
    ("", "totalTokens", Usage::total),
];
/// What is written where there is some of it.
const CACHED: &[UsageRow] = &[
    ("", "cacheReadInputTokens", |usage| usage.cache_read),
    ("", "cacheWriteInputTokens", Usage::all_written),
];

/// Writes usage, or gives back what was read. It is never absent: the API demands it.
pub(super) fn write_usage(usage: Option<&Usage>) -> Map<String, Value> {
    let none = Usage::default();
    let usage = usage.unwrap_or(&none);
    let cached = CACHED.iter().filter(|(.., count)| count(usage) > 0);
    let mut written = usage.written(ME, &USAGE.iter().chain(cached).copied().collect::<Vec<_>>());
    if usage.cache_write_1h > 0 {
        let details = [("5m", usage.cache_write), ("1h", usage.cache_write_1h)];
        let details = details.map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}));
        written.entry("cacheDetails").or_insert_with(|| details.to_vec().into());
    }
    written
}

/// The header that names an error:
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
pub(super) fn fault_header(fault: &Fault) -> (&'static str, &'static str) {
    ("x-amzn-errortype", error_names(fault.status()).0)
}

/// The name of an error by its status: in whole answers with a capital letter, in streams (which know fewer)
/// without: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>
pub(super) fn error_names(status: u16) -> (&'static str, &'static str) {
    match status {
        401 | 403 => ("AccessDeniedException", "validationException"),
        404 => ("ResourceNotFoundException", "validationException"),
        408 | 504 => ("ModelTimeoutException", "modelStreamErrorException"),
        429 => ("ThrottlingException", "throttlingException"),
        400..=499 => ("ValidationException", "validationException"),
        503 => ("ServiceUnavailableException", "serviceUnavailableException"),
        _ => ("InternalServerException", "internalServerException"),
    }
}
