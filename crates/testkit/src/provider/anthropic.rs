//! Anthropic messages: <https://docs.anthropic.com/en/api/messages> and
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use super::{
    answer::{Answer, Ask, Call, Choice, Stop, pieces, seal},
    calls::{self, Loose, Step},
    identity,
    routes::{Dialect, Event, Framing, Given},
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT, Why, Wrong},
};
use serde_json::{Value, json};

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault,
    stream_fault: |message| named(&fault(529, message)),
    refusal: None,
    lead: 2,
    framing: Framing::Sse,
};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an Anthropic error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let ask = ask_count(given)?;
    if ask.limit.is_none() {
        return Err("max_tokens: Field required".to_owned());
    }
    Ok(ask)
}

/// Reads a request to count tokens, which needs no limit.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_count(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(wrong))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let messages = body.get("messages").and_then(Value::as_array).ok_or("messages: Field required")?;
    given.insist(check(body, messages))?;
    given.insist(check_signatures(messages))?;
    if prefill(messages).is_some_and(|begun| begun.ends_with(char::is_whitespace)) {
        given.insist(Err(
            "messages: final assistant content cannot end with trailing whitespace".to_owned()
        ))?;
    }
    let last_user = messages.iter().rev().find(|message| role(message) == "user");
    let with_text =
        messages.iter().rev().find(|message| role(message) == "user" && !own_text(message).is_empty());
    let format = body.pointer("/output_config/format").or_else(|| body.get("output_format"));
    let schema = format.filter(|format| format.get("type").is_some_and(|kind| kind == "json_schema"));
    let thinking = body.pointer("/thinking/type").and_then(Value::as_str).unwrap_or("disabled");
    let stops = body.get("stop_sequences").and_then(Value::as_array).into_iter().flatten();
    Ok(Ask {
        model: text("model").ok_or("model: Field required")?.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        user_text: with_text.map(own_text).unwrap_or_default(),
        prefill: prefill(messages),
        tool_result: last_user.and_then(tool_result),
        tools: body.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(tool).collect(),
        choice: choice(body.get("tool_choice")),
        schema: schema.map(|format| format.get("schema").cloned().unwrap_or_default()),
        images: messages.iter().flat_map(blocks).map(images).sum(),
        thinks: thinking != "disabled",
        stops: stops.filter_map(|stop| stop.as_str().map(str::to_owned)).collect(),
        limit: body.get("max_tokens").and_then(Value::as_u64).map(|limit| limit as usize),
        choices: 1,
        ..Ask::default()
    })
}

/// What the answer shall begin with: <https://docs.claude.com/en/docs/prefill-claudes-response>
fn prefill(messages: &[Value]) -> Option<String> {
    messages.last().filter(|last| role(last) == "assistant").map(own_text)
}

/// The answer as one JSON object.
fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = &answer.thought {
        let thought = thought.concat();
        content.push(json!({"type": "thinking", "thinking": thought, "signature": seal(&thought)}));
    }
    if answer.calls.is_empty() {
        content.push(json!({"type": "text", "text": answer.words.concat()}));
    }
    let call = |(place, call): (usize, &Call)| json!({"type": "tool_use", "id": call_id(seed, place), "name": call.name, "input": call.arguments});
    content.extend(answer.calls.iter().enumerate().map(call));
    let (reason, sequence) = stop(&answer.stop);
    let mut message = json!({
        "id": identity("msg_01", 22, seed), "type": "message", "role": "assistant", "model": ask.model,
        "content": content, "stop_reason": reason, "stop_sequence": sequence,
    });
    if let (Value::Object(message), true) = (&mut message, script.usage != UsageAt::Never) {
        message.insert("usage".to_owned(), usage(answer, answer.usage.output));
    }
    message
}

/// The answer as the data of its events, in order. An event's name is its `type`.
fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let mut out = vec![json!({"type": "message_start", "message": {
        "id": identity("msg_01", 22, seed), "type": "message", "role": "assistant", "model": ask.model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(answer, 1),
    }})];
    if script.empty_first {
        out.push(json!({"type": "ping"}));
    }
    let mut index = 0;
    if let Some(thought) = &answer.thought {
        let mut deltas: Vec<Value> =
            thought.iter().map(|word| json!({"type": "thinking_delta", "thinking": word})).collect();
        deltas.push(json!({"type": "signature_delta", "signature": seal(&thought.concat())}));
        let opened = json!({"type": "thinking", "thinking": "", "signature": ""});
        block(&mut out, &mut index, &opened, &deltas);
    }
    if answer.calls.is_empty() {
        let deltas: Vec<Value> =
            answer.words.iter().map(|word| json!({"type": "text_delta", "text": word})).collect();
        block(&mut out, &mut index, &json!({"type": "text", "text": ""}), &deltas);
    }
    for (place, call) in answer.calls.iter().enumerate() {
        let opened = json!({"type": "tool_use", "id": call_id(seed, place), "name": call.name, "input": {}});
        let mut deltas = vec![json!({"type": "input_json_delta", "partial_json": ""})];
        let arguments = pieces(&call.arguments.to_string());
        deltas
            .extend(arguments.iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece})));
        block(&mut out, &mut index, &opened, &deltas);
    }
    finish(&mut out, answer, script);
    out.iter().map(named).collect()
}

/// An error body, which is also the data of an error event.
pub(crate) fn fault(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": identity("req_01", 22, 1)})
}

/// How many tokens were counted.
pub(crate) fn count(tokens: u64) -> Value {
    json!({ "input_tokens": tokens })
}

/// The models of the house.
pub(crate) fn models(names: &[&str]) -> Value {
    let one = |name: &&str| json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"});
    let ends = (names.first(), names.last());
    json!({"data": names.iter().map(one).collect::<Vec<_>>(), "has_more": false, "first_id": ends.0, "last_id": ends.1})
}

/// An event, called by its type.
pub(crate) fn named(data: &Value) -> Event {
    (data.get("type").and_then(Value::as_str).map(str::to_owned), data.to_string())
}

fn wrong(Wrong { path, why }: Wrong) -> String {
    let path = shape::dotted(&path);
    match why {
        Why::Unknown => format!("{path}: Extra inputs are not permitted"),
        Why::Missing => format!("{path}: Field required"),
        Why::Not(wanted) => format!("{path}: Input should be {wanted}"),
    }
}

fn check_signatures(messages: &[Value]) -> Result<(), String> {
    for (m, message) in messages.iter().enumerate() {
        for (b, block) in blocks(message).enumerate() {
            let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("type") == "thinking" && text("signature") != seal(text("thinking")) {
                return Err(format!("messages.{m}.content.{b}: Invalid `signature` in `thinking` block"));
            }
        }
    }
    Ok(())
}

fn block(out: &mut Vec<Value>, index: &mut usize, opened: &Value, deltas: &[Value]) {
    out.push(json!({"type": "content_block_start", "index": *index, "content_block": opened}));
    out.extend(
        deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": *index, "delta": delta})),
    );
    out.push(json!({"type": "content_block_stop", "index": *index}));
    *index += 1;
}

fn finish(out: &mut Vec<Value>, answer: &Answer, script: &Script) {
    let (reason, sequence) = stop(&answer.stop);
    let mut delta =
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}});
    if let (Value::Object(delta), true) = (&mut delta, script.usage != UsageAt::Never) {
        delta.insert("usage".to_owned(), usage(answer, answer.usage.output));
    }
    if script.finish_twice {
        out.push(delta.clone());
    }
    out.push(delta);
    if script.done {
        out.push(json!({"type": "message_stop"}));
    }
}

fn usage(answer: &Answer, output: u64) -> Value {
    json!({
        "input_tokens": answer.usage.input.saturating_sub(answer.usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.usage.cached,
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn stop(stop: &Stop) -> (&'static str, Option<&str>) {
    match stop {
        Stop::End => ("end_turn", None),
        Stop::Length => ("max_tokens", None),
        Stop::Sequence(sequence) => ("stop_sequence", Some(sequence)),
        Stop::Tool => ("tool_use", None),
    }
}

fn call_id(seed: u64, index: usize) -> String {
    identity("toolu_01", 22, seed.wrapping_mul(64).wrapping_add(index as u64))
}

fn choice(given: Option<&Value>) -> Choice {
    let text = |name: &str| given.and_then(|choice| choice.get(name)?.as_str());
    match (text("type"), text("name")) {
        (Some("none"), _) => Choice::Never,
        (Some("any"), _) => Choice::Any,
        (Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    }
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    Some((tool.get("name")?.as_str()?.to_owned(), tool.get("input_schema").cloned().unwrap_or_default()))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message.get("content").and_then(Value::as_array).into_iter().flatten()
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Images in a block, those inside a tool's result included.
fn images(block: &Value) -> usize {
    usize::from(kind(block) == "image") + blocks(block).map(images).sum::<usize>()
}

/// What a message or a tool's result says in text.
fn own_text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        _ => blocks(message).filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n"),
    }
}

fn tool_result(message: &Value) -> Option<String> {
    let results: Vec<String> =
        blocks(message).filter(|block| kind(block) == "tool_result").map(own_text).collect();
    (!results.is_empty()).then(|| results.join("\n"))
}

const CACHE: Member = ("cache_control", Shape::Map);
const SOURCE: Shape = Shape::Tagged(
    "type",
    &[
        ("base64", &[("media_type!", TEXT), ("data!", TEXT)]),
        ("url", &[("url!", TEXT)]),
        ("file", &[("file_id!", TEXT)]),
        ("text", &[("media_type!", TEXT), ("data!", TEXT)]),
        ("content", &[("content!", Shape::Any)]),
    ],
);
const TEXT_BLOCK: (&str, &[Member]) =
    ("text", &[("text!", TEXT), CACHE, ("citations", Shape::List(&Shape::Any))]);
const IMAGE: (&str, &[Member]) = ("image", &[("source!", SOURCE), CACHE]);
const DOCUMENT: (&str, &[Member]) = (
    "document",
    &[("source!", SOURCE), ("title", TEXT), ("context", TEXT), ("citations", Shape::Map), CACHE],
);
const RESULT: Shape =
    Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[TEXT_BLOCK, IMAGE, DOCUMENT]))]);
const BLOCK: Shape = Shape::Tagged(
    "type",
    &[
        TEXT_BLOCK,
        IMAGE,
        DOCUMENT,
        (
            "tool_use",
            &[
                ("id!", TEXT),
                ("name!", Shape::Text(128)),
                ("input!", Shape::Map),
                CACHE,
                ("caller", Shape::Map),
            ],
        ),
        ("tool_result", &[("tool_use_id!", TEXT), ("content", RESULT), ("is_error", Shape::Flag), CACHE]),
        ("thinking", &[("thinking!", TEXT), ("signature!", TEXT)]),
        ("redacted_thinking", &[("data!", TEXT)]),
    ],
);
const MESSAGE: Shape = Shape::Object(&[
    ("role!", Shape::Word(&["user", "assistant"])),
    ("content!", Shape::Either(&[TEXT, Shape::List(&BLOCK)])),
]);
const SYSTEM: Shape = Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[TEXT_BLOCK]))]);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[(
        "custom",
        &[
            ("name!", Shape::Text(128)),
            ("description", TEXT),
            ("input_schema!", Shape::Map),
            CACHE,
            ("strict", Shape::Flag),
            ("defer_loading", Shape::Flag),
            ("eager_input_streaming", Shape::Flag),
        ],
    )],
);
const NO_PARALLEL: Member = ("disable_parallel_tool_use", Shape::Flag);
const CHOICE: Shape = Shape::Tagged(
    "type",
    &[
        ("auto", &[NO_PARALLEL]),
        ("any", &[NO_PARALLEL]),
        ("tool", &[("name!", TEXT), NO_PARALLEL]),
        ("none", &[]),
    ],
);
const THINKING: Shape = Shape::Tagged(
    "type",
    &[
        ("enabled", &[("budget_tokens!", Shape::Count(1024)), ("display", TEXT)]),
        ("adaptive", &[("display", TEXT)]),
        ("disabled", &[]),
    ],
);
const FORMAT: Shape = Shape::Tagged("type", &[("json_schema", &[("schema!", Shape::Map)])]);
const OUTPUT: Shape = Shape::Object(&[
    ("effort", Shape::Word(&["low", "medium", "high", "xhigh", "max"])),
    ("format", FORMAT),
    ("task_budget", Shape::Map),
]);

/// <https://docs.anthropic.com/en/api/messages>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("messages!", Shape::List(&MESSAGE)),
    ("max_tokens", Shape::Count(1)),
    ("cache_control", Shape::Map),
    ("container", Shape::Any),
    ("context_management", Shape::Map),
    ("mcp_servers", Shape::List(&Shape::Map)),
    ("metadata", Shape::Object(&[("user_id", Shape::Text(256))])),
    ("output_config", OUTPUT),
    ("output_format", FORMAT),
    ("service_tier", Shape::Word(&["auto", "standard_only"])),
    ("stop_sequences", Shape::List(&TEXT)),
    ("stream", Shape::Flag),
    ("system", SYSTEM),
    ("temperature", Shape::Number(0.0, 1.0)),
    ("thinking", THINKING),
    ("tool_choice", CHOICE),
    ("tools", Shape::List(&TOOL)),
    ("top_k", COUNT),
    ("top_p", Shape::Number(0.0, 1.0)),
];

/// What no shape can say.
fn check(body: &Value, messages: &[Value]) -> Result<(), String> {
    if messages.is_empty() {
        return Err("messages: at least one message is required".to_owned());
    }
    for (m, message) in messages.iter().enumerate() {
        let is_last = m + 1 == messages.len();
        let is_bare = |content: &Value| content == "" || content.as_array().is_some_and(Vec::is_empty);
        if message.get("content").is_some_and(is_bare) && !(is_last && role(message) == "assistant") {
            return Err(format!("messages.{m}: all messages must have non-empty content"));
        }
        if blocks(message).any(|block| block.get("text").is_some_and(|text| text == "")) {
            return Err(format!("messages.{m}: text content blocks must be non-empty"));
        }
        let ids = blocks(message).filter_map(|block| block.get("id")?.as_str());
        let is_odd =
            |id: &str| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if let Some(id) = ids.into_iter().find(|id| is_odd(id)) {
            return Err(format!(
                "messages.{m}.content: String should match pattern '^[a-zA-Z0-9_-]+$': {id}"
            ));
        }
    }
    let budget = body.pointer("/thinking/budget_tokens").and_then(Value::as_u64);
    let limit = body.get("max_tokens").and_then(Value::as_u64);
    if budget.zip(limit).is_some_and(|(budget, limit)| budget >= limit) {
        return Err("`max_tokens` must be greater than `thinking.budget_tokens`".to_owned());
    }
    let thinks = body.pointer("/thinking/type").is_some_and(|kind| kind != "disabled");
    let forced = body.pointer("/tool_choice/type").is_some_and(|kind| kind == "any" || kind == "tool");
    if thinks && forced {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    if body.get("tool_choice").is_some() && body.get("tools").is_none() {
        return Err("tool_choice may only be specified while providing tools.".to_owned());
    }
    check_calls(messages)
}

/// Results stand in the message behind their calls, all of them, and before anything else in it.
fn check_calls(messages: &[Value]) -> Result<(), String> {
    let steps = messages.iter().flat_map(|message| {
        let results = blocks(message).filter(|block| kind(block) == "tool_result").count();
        let id = |block: &Value, name: &str| block.get(name)?.as_str().map(str::to_owned);
        let mut steps: Vec<Step> = blocks(message)
            .filter_map(|block| match kind(block) {
                "tool_use" => id(block, "id").map(Step::Call),
                "tool_result" => id(block, "tool_use_id").map(Step::Result),
                // What stands behind a call in the same message is no answer that was forgotten.
                _ => None,
            })
            .collect();
        steps.insert(if role(message) == "assistant" { 0 } else { results.min(steps.len()) }, Step::Words);
        steps
    });
    calls::check(steps).map_err(|loose| match loose {
        Loose::Result(id) => {
            format!("unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
        }
        Loose::Call(id) => {
            format!("`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.")
        }
    })
}
