//! What OpenAI's dialects have in common, though each writes it in a shape of its own: errors, stops, efforts,
//! functions, the form of an answer, usage and media.

use crate::{
    DialectId, Fault, FaultKind,
    canon::{
        Choose, Effort, Extra, Format, Kind, Media, Reasoning, Request, Source, Stop, StopReason, Tool, Usage,
    },
    json::{self, Counts, Object, object, put, wrong},
    pen::Notes,
    shape,
};
use serde_json::{Map, Value, json};

/// Longest id of an end user, in bytes: longer ones get `string_above_max_length`.
const USER_MAX: usize = 64;

const EFFORTS: &[(&str, Effort)] = &[
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::Max),
    ("max", Effort::Max),
];

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

/// Writes an error: <https://platform.openai.com/docs/guides/error-codes>
///
/// Where the provider refused the request itself, its own type and code say more than ours.
pub(crate) fn fault(fault: &Fault) -> Value {
    let meaning = fault.kind.meaning();
    let upstream = fault.upstream.as_deref().filter(|_| fault.kind == FaultKind::BadRequest);
    let kind = upstream.and_then(|upstream| upstream.kind.as_deref()).unwrap_or(meaning.openai_type);
    let ours = Some(meaning.openai_code).filter(|code| !code.is_empty());
    let code = upstream.and_then(|upstream| upstream.code.as_deref()).or(ours);
    json!({"error": {"message": fault.text(), "type": kind, "param": fault.param, "code": code}})
}

/// Reads a `finish_reason`.
pub(crate) fn read_stop(word: &str) -> Stop {
    Stop::new(StopReason::of_word(FINISH, word), word)
}

/// The `finish_reason` for a stop: the provider's own word where it is of this dialect, else a documented
/// one.
pub(crate) fn write_stop(stop: &Stop, own: bool) -> &str {
    match stop.reason {
        _ if own && !stop.native.is_empty() => &stop.native,
        StopReason::End | StopReason::Sequence | StopReason::Pause | StopReason::Other => "stop",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
    }
}

/// Reads an effort.
pub(crate) fn read_effort(word: &str) -> Reasoning {
    let known = EFFORTS.iter().find(|(name, _)| *name == word);
    match known {
        _ if word == "none" => Reasoning::Off,
        Some((_, effort)) => Reasoning::Effort(effort.clone()),
        None => Reasoning::Effort(Effort::Other(word.to_owned())),
    }
}

/// Writes an effort. A budget of tokens becomes the effort that comes nearest; "as long as you like" is what
/// a model does anyway.
pub(crate) fn write_effort(wish: &Reasoning) -> Option<&str> {
    match wish {
        Reasoning::Off => Some("none"),
        Reasoning::Adaptive(None) => None,
        Reasoning::Adaptive(Some(Effort::Other(word))) | Reasoning::Effort(Effort::Other(word)) => Some(word),
        Reasoning::Adaptive(Some(known)) | Reasoning::Effort(known) => {
            EFFORTS.iter().find(|(_, effort)| effort == known).map(|(name, _)| *name)
        }
        Reasoning::Budget(0..4_096) => Some("low"),
        Reasoning::Budget(4_096..16_384) => Some("medium"),
        Reasoning::Budget(_) => Some("high"),
    }
}

/// Reads a small member, and keeps its form where it would not be written back the same.
pub(crate) fn small<T>(
    object: &mut Object,
    kept: &mut Map<String, Value>,
    name: &str,
    read: impl FnOnce(&Value) -> T,
    write: impl FnOnce(&T) -> Option<Value>,
) -> Option<T> {
    let value = object.take(name)?;
    let found = read(&value);
    let is_canonical = write(&found).as_ref() == Some(&value);
    put(kept, name, (!is_canonical).then_some(value));
    Some(found)
}

/// Reads `stop`, a string or a list of strings.
///
/// # Errors
/// A fault when it is neither.
pub(crate) fn read_stops(object: &mut Object, kept: &mut Map<String, Value>) -> Result<Vec<String>, Fault> {
    let Some(value) = object.take("stop") else { return Ok(Vec::new()) };
    put(kept, "stop", Some(&value).filter(|value| value.as_array().is_none_or(Vec::is_empty)).cloned());
    let list = if let Value::Array(list) = value { list } else { vec![value] };
    let word = |value: Value| match value {
        Value::String(word) => Ok(word),
        other => Err(wrong(&object.at("stop"), "a string or a list of strings", &other)),
    };
    list.into_iter().map(word).collect()
}

/// Reads the wish for a stream's usage.
pub(crate) fn stream_usage(object: &mut Object, kept: &mut Map<String, Value>) -> Option<bool> {
    let options = object.take("stream_options")?;
    let usage = options.get("include_usage").and_then(Value::as_bool);
    let is_canonical = usage.is_some() && options.as_object().is_some_and(|options| options.len() == 1);
    put(kept, "stream_options", (!is_canonical).then_some(options));
    usage
}

/// Reads a `tool_choice`; `name` is where it names a function.
pub(crate) fn read_choice(me: DialectId, value: &Value, name: &str) -> Choose {
    let is_function = value.get("type").is_some_and(|kind| kind == "function");
    let named = value.pointer(name).and_then(Value::as_str).filter(|_| is_function);
    match (value.as_str(), named) {
        (Some("auto"), _) => Choose::Auto,
        (Some("none"), _) => Choose::None,
        // `any` is Mistral's word.
        (Some("required" | "any"), _) => Choose::Required,
        (_, Some(name)) => Choose::Tool(name.to_owned()),
        _ => Choose::Native(me, value.clone()),
    }
}

/// Writes a `tool_choice`; `named` writes one that names a function.
pub(crate) fn write_choice(me: DialectId, wish: &Choose, named: impl FnOnce(&str) -> Value) -> Option<Value> {
    Some(match wish {
        Choose::Auto => "auto".into(),
        Choose::None => "none".into(),
        Choose::Required => "required".into(),
        Choose::Tool(name) => named(name),
        Choose::Native(dialect, value) => return (*dialect == me).then(|| value.clone()),
    })
}

/// Reads the form of an answer, whose schema stands in `held`:
/// <https://platform.openai.com/docs/guides/structured-outputs>
pub(crate) fn read_format(me: DialectId, value: &Value, held: Option<&Value>) -> Format {
    let member = |name: &str| held.and_then(|held| held.get(name));
    let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
    match (value.get("type").and_then(Value::as_str), member("schema")) {
        (Some("text"), _) => Format::Text,
        (Some("json_object"), _) => Format::Json,
        (Some("json_schema"), Some(schema)) => Format::Schema {
            name: text("name"),
            description: text("description"),
            schema: schema.clone(),
            strict: member("strict").and_then(Value::as_bool),
        },
        _ => Format::Native(me, value.clone()),
    }
}

/// Writes the form of an answer, with the schema where `place` puts it. OpenAI demands a name for it, so one
/// that is not our `own` gets one.
pub(crate) fn write_format(
    me: DialectId,
    wish: &Format,
    own: bool,
    place: impl FnOnce(Map<String, Value>) -> Map<String, Value>,
) -> Option<Value> {
    let (kind, held) = match wish {
        Format::Native(dialect, value) => return (*dialect == me).then(|| value.clone()),
        Format::Text => ("text", Map::new()),
        Format::Json => ("json_object", Map::new()),
        Format::Schema { name, description, schema, strict } => {
            let name = name.as_deref().or((!own).then_some("answer"));
            let held = object([
                ("name", json!(name)),
                ("description", json!(description)),
                ("schema", schema.clone()),
                ("strict", json!(strict)),
            ]);
            ("json_schema", place(held))
        }
    };
    let mut written = object([("type", kind.into())]);
    written.extend(held);
    Some(Value::Object(written))
}

/// Reads `tools`, each with `tool`, which is told its number, and keeps a list of none.
///
/// # Errors
/// A fault when it is no list or too long a one, and what `tool` says.
pub(crate) fn read_tools(
    object: &mut Object,
    kept: &mut Map<String, Value>,
    tool: impl Fn(Value, usize) -> Result<Tool, Fault>,
) -> Result<Vec<Tool>, Fault> {
    let tools = object.list("tools")?;
    put(kept, "tools", tools.as_ref().filter(|list| list.is_empty()).cloned());
    shape::tools(tools.unwrap_or_default(), tool)
}

/// Takes a function apart.
///
/// # Errors
/// A fault when a member has the wrong type.
pub(crate) fn read_function(function: &mut Object) -> Result<Tool, Fault> {
    Ok(Tool {
        name: function.need_string("name")?,
        description: function.string("description")?,
        schema: function.take("parameters"),
        strict: function.boolean("strict")?,
        ..Tool::default()
    })
}

/// The members of a function; `unsaid` is the schema of one that has none.
pub(crate) fn write_function(tool: &Tool, unsaid: Value) -> Map<String, Value> {
    object([
        ("name", json!(tool.name)),
        ("description", json!(tool.description)),
        ("parameters", tool.schema.clone().unwrap_or(unsaid)),
        ("strict", json!(tool.strict)),
    ])
}

/// Members that mean the same in chat and in Responses, by where they stand in each.
const SHARED: &[(&str, &str)] = &[
    ("/metadata", "/metadata"),
    ("/moderation", "/moderation"),
    ("/prompt_cache_key", "/prompt_cache_key"),
    ("/prompt_cache_retention", "/prompt_cache_retention"),
    ("/safety_identifier", "/safety_identifier"),
    ("/service_tier", "/service_tier"),
    ("/store", "/store"),
    ("/verbosity", "/text/verbosity"),
];

/// What of a request's own members `me` has too, though the request is of OpenAI's other dialect, as it
/// stands here; and what only the other has.
pub(crate) fn shared(request: &Request, me: DialectId) -> (Map<String, Value>, Extra) {
    let is_ours = |dialect| matches!(dialect, DialectId::OpenaiChat | DialectId::OpenaiResponses);
    let (mut written, from) = (Map::new(), request.from);
    let members = request.extra.of(from).filter(|_| from != me && is_ours(from) && is_ours(me));
    let Some(mut rest) = members.cloned().map(Value::Object) else { return (written, request.extra.clone()) };
    for (chat, responses) in SHARED {
        let (here, there) = if me == DialectId::OpenaiChat { (chat, responses) } else { (responses, chat) };
        let Some(value) = rest.pointer_mut(there).map(Value::take) else { continue };
        let path: Vec<&str> = here.split('/').filter(|step| !step.is_empty()).collect();
        let nest = |value, step: &&str| Value::Object(object([(*step, value)]));
        if let Value::Object(members) = path.iter().rev().fold(value, nest) {
            json::add(&mut written, Some(&members));
        }
    }
    let rest = if let Value::Object(rest) = rest { rest } else { Map::new() };
    (written, Extra::new(from, rest))
}

/// The id of the end user. Anthropic's clients send ids that OpenAI refuses the whole request for.
pub(crate) fn user<'a>(request: &'a Request, notes: &mut Notes) -> Option<&'a str> {
    let user = request.user.as_deref()?;
    if notes.own || user.len() <= USER_MAX {
        return Some(user);
    }
    notes.losses.note("/user", "OpenAI takes 64 characters at most");
    None
}

/// What a dialect calls all input, all output, and the details of each.
pub(crate) struct UsageNames([&'static str; 4]);

/// The names of chat and of completions.
pub(crate) const PROMPT: UsageNames =
    UsageNames(["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"]);
/// The names of the Responses API.
pub(crate) const INPUT: UsageNames =
    UsageNames(["input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"]);

/// Reads a usage object.
pub(crate) fn read_usage(me: DialectId, usage: &Value, names: &UsageNames) -> Option<Usage> {
    let members = usage.as_object()?;
    Some(Usage { native: Extra::new(me, members.clone()), ..buckets(&Counts::of_map(members), names) })
}

/// The counts of a usage object in buckets. OpenAI counts cached and audio tokens within the input and
/// thoughts within the output. xAI counts thoughts beside them (<https://docs.x.ai/docs/guides/reasoning>),
/// Mistral sound: there the total tells.
pub(crate) fn buckets(counts: &Counts<'_>, names: &UsageNames) -> Usage {
    let UsageNames([input, output, of_input, of_output]) = *names;
    // Counts that stand at the top are of chat's servers; beside `input_tokens` they would be Anthropic's, which
    // are not within it.
    let is_chat = input == "prompt_tokens";
    let first = |places: &[(&str, &str)]| {
        let mut places = places.iter().filter(|(inside, _)| is_chat || !inside.is_empty());
        places.find_map(|(inside, name)| counts.find(inside, name)).unwrap_or(0)
    };
    let (prompt, completion) = (counts.get("", input), counts.get("", output));
    let cache_read = first(&[
        (of_input, "cached_tokens"),
        ("", "prompt_cache_hit_tokens"),
        ("", "cached_tokens"),
        ("", "cache_read_input_tokens"),
    ]);
    let cache_write = first(&[(of_input, "cache_write_tokens"), ("", "cache_creation_input_tokens")]);
    let audio_in = counts.get(of_input, "audio_tokens");
    let audio_out = counts.get(of_output, "audio_tokens");
    let thought = counts.get(of_output, "reasoning_tokens");
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

/// Reads the `input_audio` of a part that holds nothing else.
pub(crate) fn read_audio(held: &Value) -> Option<Kind> {
    let text = |name: &str| held.get(name).and_then(Value::as_str);
    let media_type = format!("audio/{}", text("format")?);
    let source = Source::Base64 { media_type, data: text("data")?.to_owned() };
    (held.as_object()?.len() == 2).then_some(Kind::Audio(Media { source, name: None }))
}

/// Writes a part of sound.
pub(crate) fn write_audio(media_type: &str, data: &str, own: bool) -> Value {
    let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
    let format = if !own && format == "mpeg" { "mp3" } else { format };
    json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
}
