//! Cohere's chat, version 2: <https://docs.cohere.com/reference/chat> and
//! <https://docs.cohere.com/reference/chat-stream>.

use super::{
    answer::{Answer, Ask, Call, Choice, Stop, Usage, pieces},
    calls::{self, Loose, Step},
    identity,
    routes::{Dialect, Event, Framing, Given, named_models},
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT, Why, Wrong},
};
use serde_json::{Value, json};

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault: |_, message| json!({"id": identity("", 36, 1), "message": message}),
    stream_fault: |message| {
        named(json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": message}}))
    },
    refusal: None,
    lead: 2,
    framing: Framing::Sse,
};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of a Cohere error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(wrong))?;
    let messages: Vec<&Value> = list(body, "messages").collect();
    given.insist(check(body, &messages))?;
    let results = messages.iter().rev().take_while(|message| role(message) == "tool");
    let results: Vec<String> = results.map(|message| words(message)).collect();
    let is_json = body.pointer("/response_format/type").is_some_and(|kind| kind == "json_object");
    let schema = || body.pointer("/response_format/json_schema").cloned().unwrap_or_default();
    let stops = list(body, "stop_sequences").filter_map(|stop| stop.as_str().map(str::to_owned));
    let last_user = messages.iter().rev().find(|message| role(message) == "user");
    let is_image = |part: &&Value| part.get("type").is_some_and(|kind| kind == "image_url");
    Ok(Ask {
        model: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        stream: body.get("stream") == Some(&json!(true)),
        user_text: last_user.map(|message| words(message)).unwrap_or_default(),
        tool_result: (!results.is_empty()).then(|| results.into_iter().rev().collect::<Vec<_>>().join("\n")),
        tools: list(body, "tools").filter_map(tool).collect(),
        choice: match body.get("tool_choice").and_then(Value::as_str) {
            Some("REQUIRED") => Choice::Any,
            Some("NONE") => Choice::Never,
            _ => Choice::Auto,
        },
        schema: is_json.then(schema),
        images: messages.iter().flat_map(|message| list(message, "content")).filter(is_image).count(),
        thinks: body.pointer("/thinking/type").is_some_and(|kind| kind == "enabled"),
        stops: stops.collect(),
        limit: body.get("max_tokens").and_then(Value::as_u64).map(|limit| limit as usize),
        choices: 1,
        ..Ask::default()
    })
}

/// The models of the house.
pub(crate) fn models(names: &[&str]) -> Value {
    named_models(names, "")
}

fn whole(_: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let mut content = Vec::new();
    content.extend(answer.thought.as_ref().map(|it| json!({"type": "thinking", "thinking": it.concat()})));
    if answer.calls.is_empty() {
        content.push(json!({"type": "text", "text": answer.words.concat()}));
    }
    let calls: Vec<Value> = answer
        .calls
        .iter()
        .enumerate()
        .map(|(place, made)| call(made, &call_id(made, seed, place), &made.arguments.to_string()))
        .collect();
    let mut message = json!({"role": "assistant"});
    if let Value::Object(message) = &mut message {
        if !content.is_empty() {
            message.insert("content".to_owned(), content.into());
        }
        if !calls.is_empty() {
            message.insert("tool_plan".to_owned(), json!(PLAN));
            message.insert("tool_calls".to_owned(), calls.into());
        }
    }
    let mut body =
        json!({"id": identity("", 36, seed), "finish_reason": finish(&answer.stop), "message": message});
    if let (Value::Object(body), true) = (&mut body, script.usage != UsageAt::Never) {
        body.insert("usage".to_owned(), usage(&answer.usage));
    }
    body
}

const PLAN: &str = "I will use a tool.";

fn stream(_: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let begun =
        json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let mut out =
        vec![json!({"type": "message-start", "id": identity("", 36, seed), "delta": {"message": begun}})];
    let mut index = 0;
    let mut block = |kind: &str, words: &[String]| {
        let inner = |kind: &str, word: &str| json!({"message": {"content": {kind: word}}});
        let opened = json!({"message": {"content": {"type": kind, kind: ""}}});
        out.push(json!({"type": "content-start", "index": index, "delta": opened}));
        let delta =
            |word: &String| json!({"type": "content-delta", "index": index, "delta": inner(kind, word)});
        out.extend(words.iter().map(delta));
        out.push(json!({"type": "content-end", "index": index}));
        index += 1;
    };
    if let Some(thought) = &answer.thought {
        block("thinking", thought);
    }
    if answer.calls.is_empty() {
        block("text", &answer.words);
    } else {
        out.push(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": PLAN}}}));
    }
    for (place, made) in answer.calls.iter().enumerate() {
        let opened = json!({"message": {"tool_calls": call(made, &call_id(made, seed, place), "")}});
        out.push(json!({"type": "tool-call-start", "index": place, "delta": opened}));
        let delta = |piece: &String| json!({"message": {"tool_calls": {"function": {"arguments": piece}}}});
        let arguments = pieces(&made.arguments.to_string());
        out.extend(
            arguments
                .iter()
                .map(|piece| json!({"type": "tool-call-delta", "index": place, "delta": delta(piece)})),
        );
        out.push(json!({"type": "tool-call-end", "index": place}));
    }
    let used = if script.usage == UsageAt::Never { Value::Null } else { usage(&answer.usage) };
    let ending =
        json!({"type": "message-end", "delta": {"finish_reason": finish(&answer.stop), "usage": used}});
    let done = script.done.then(|| [named(ending), (None, "[DONE]".to_owned())]);
    out.into_iter().map(named).chain(done.into_iter().flatten()).collect()
}

fn named(data: Value) -> Event {
    (data.get("type").and_then(Value::as_str).map(str::to_owned), data.to_string())
}

fn call(call: &Call, id: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn call_id(call: &Call, seed: u64, place: usize) -> String {
    identity(&format!("{}_", call.name), 12, seed.wrapping_mul(64).wrapping_add(place as u64))
}

fn finish(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "COMPLETE",
        Stop::Length => "MAX_TOKENS",
        Stop::Sequence(_) => "STOP_SEQUENCE",
        Stop::Tool => "TOOL_CALL",
    }
}

fn usage(usage: &Usage) -> Value {
    json!({
        "billed_units": {"input_tokens": usage.input, "output_tokens": usage.output},
        "tokens": {"input_tokens": usage.input, "output_tokens": usage.output},
        "cached_tokens": usage.cached,
    })
}

fn wrong(Wrong { path, why }: Wrong) -> String {
    let path = shape::dotted(&path);
    match why {
        Why::Unknown => format!("unknown field: parameter '{path}' is not a valid field"),
        Why::Missing => format!("invalid request: field '{path}' is required but was not specified"),
        Why::Not(wanted) => format!("invalid type: parameter '{path}' should be {wanted}"),
    }
}

/// What no shape can say.
fn check(body: &Value, messages: &[&Value]) -> Result<(), String> {
    let empty = |message: &&&Value| list(message, "tool_calls").next().is_none() && words(message).is_empty();
    if messages.is_empty() {
        return Err("invalid request: list of messages must not be empty".to_owned());
    }
    let images = |message: &Value| list(message, "content").any(|part| part.get("image_url").is_some());
    if let Some(place) = messages.iter().position(|message| empty(&message) && !images(message)) {
        return Err(format!("invalid request: all elements in messages[{place}].content must be non-empty"));
    }
    if list(body, "stop_sequences").count() > 5 {
        return Err("invalid request: too many stop sequences, 5 are the limit".to_owned());
    }
    if body.get("tool_choice").is_some() && list(body, "tools").next().is_none() {
        return Err("invalid request: tool_choice can only be specified if tools are provided".to_owned());
    }
    calls::check(messages.iter().flat_map(|message| steps(message))).map_err(|loose| match loose {
        Loose::Result(id) => format!("invalid request: tool call id {id} not found in previous tool calls"),
        Loose::Call(id) => format!("invalid request: no tool message for tool call {id}"),
    })
}

fn steps(message: &Value) -> Vec<Step> {
    let id = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    if let Some(id) = id(message, "tool_call_id") {
        return vec![Step::Result(id)];
    }
    let calls = list(message, "tool_calls").filter_map(|call| id(call, "id").map(Step::Call));
    [Step::Words].into_iter().chain(calls).collect()
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    let function = tool.get("function")?;
    Some((
        function.get("name")?.as_str()?.to_owned(),
        function.get("parameters").cloned().unwrap_or_default(),
    ))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn words(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        _ => {
            let text = |part: &Value| {
                let inner = part
                    .get("text")
                    .or_else(|| part.pointer("/document/data"))
                    .or_else(|| part.get("thinking"))?;
                Some(inner.as_str().map_or_else(|| inner.to_string(), str::to_owned))
            };
            list(message, "content").filter_map(text).collect::<Vec<_>>().join("\n")
        }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

const PART: (&str, &[Member]) = ("text", &[("text!", TEXT)]);
const IMAGE: (&str, &[Member]) = (
    "image_url",
    &[("image_url!", Shape::Object(&[("url!", TEXT), ("detail", Shape::Word(&["auto", "low", "high"]))]))],
);
const DOCUMENT: (&str, &[Member]) =
    ("document", &[("document!", Shape::Object(&[("data!", Shape::Any), ("id", TEXT)]))]);
const CALL: Shape = Shape::Tagged(
    "type",
    &[("function", &[("id!", TEXT), ("function!", Shape::Object(&[("name!", TEXT), ("arguments!", TEXT)]))])],
);
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        (
            "user",
            &[("content!", Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[PART, IMAGE]))]))],
        ),
        ("system", &[("content!", Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[PART]))]))]),
        (
            "assistant",
            &[
                (
                    "content",
                    Shape::Either(&[
                        TEXT,
                        Shape::List(&Shape::Tagged("type", &[PART, ("thinking", &[("thinking!", TEXT)])])),
                    ]),
                ),
                ("tool_calls", Shape::List(&CALL)),
                ("tool_plan", TEXT),
                ("citations", Shape::List(&Shape::Any)),
            ],
        ),
        (
            "tool",
            &[
                ("tool_call_id!", TEXT),
                ("content!", Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[PART, DOCUMENT]))])),
            ],
        ),
    ],
);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[(
        "function",
        &[(
            "function!",
            Shape::Object(&[("name!", TEXT), ("description", TEXT), ("parameters!", Shape::Map)]),
        )],
    )],
);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[("text", &[]), ("json_object", &[("json_schema", Shape::Map), ("schema", Shape::Map)])],
);

/// <https://docs.cohere.com/reference/chat>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("messages!", Shape::List(&MESSAGE)),
    ("citation_options", Shape::Map),
    ("documents", Shape::List(&Shape::Any)),
    ("frequency_penalty", Shape::Number(0.0, 1.0)),
    ("k", Shape::Number(0.0, 500.0)),
    ("logprobs", Shape::Flag),
    ("max_tokens", Shape::Count(1)),
    ("p", Shape::Number(0.01, 0.99)),
    ("presence_penalty", Shape::Number(0.0, 1.0)),
    ("priority", COUNT),
    ("response_format", FORMAT),
    ("safety_mode", Shape::Word(&["CONTEXTUAL", "STRICT", "OFF"])),
    ("seed", COUNT),
    ("stop_sequences", Shape::List(&TEXT)),
    ("stream", Shape::Flag),
    ("strict_tools", Shape::Flag),
    ("temperature", Shape::Number(0.0, 2.0)),
    (
        "thinking",
        Shape::Object(&[("type!", Shape::Word(&["enabled", "disabled"])), ("token_budget", Shape::Count(1))]),
    ),
    ("tool_choice", Shape::Word(&["REQUIRED", "NONE"])),
    ("tools", Shape::List(&TOOL)),
];
