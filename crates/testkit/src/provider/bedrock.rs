//! Amazon Bedrock's Converse and ConverseStream:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html> and
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>.

use super::{
    answer::{Answer, Ask, Choice, Stop, Usage, pieces, seal},
    calls::{self, Loose, Step},
    identity,
    routes::{Dialect, Event, Framing, Given},
    script::{Script, UsageAt},
    shape::{self, Member, Shape, TEXT, Why, Wrong},
};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault: |_, message| json!({ "message": message }),
    stream_fault: |message| (Some(FAULT.to_owned()), json!({ "message": message }).to_string()),
    refusal: None,
    lead: 1,
    framing: Framing::Aws,
};

/// The one event that is an exception.
const FAULT: &str = "modelStreamErrorException";

/// The type of an error, which stands in the header `x-amzn-errortype`.
pub(crate) fn error_type(status: u16) -> &'static str {
    match status {
        400 => "ValidationException",
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}

/// One message of an event stream: lengths, headers, payload, each part with its checksum.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>
pub(crate) fn frame((name, data): &Event) -> Bytes {
    let name = name.as_deref().unwrap_or_default();
    let (kind, about) =
        if name == FAULT { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let mut headers = BytesMut::new();
    for (name, value) in [(about, name), (":content-type", "application/json"), (":message-type", kind)] {
        headers.put_u8(name.len() as u8);
        headers.put_slice(name.as_bytes());
        // Type 7 is a string.
        headers.put_u8(7);
        headers.put_u16(value.len() as u16);
        headers.put_slice(value.as_bytes());
    }
    let mut out = BytesMut::new();
    out.put_u32((16 + headers.len() + data.len()) as u32);
    out.put_u32(headers.len() as u32);
    out.put_u32(crc32fast::hash(&out));
    out.put_slice(&headers);
    out.put_slice(data.as_bytes());
    out.put_u32(crc32fast::hash(&out));
    out.freeze()
}

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an AWS error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(wrong))?;
    let messages: Vec<&Value> = list(body, "messages").collect();
    given.insist(check(body, &messages))?;
    let said = |message: &&&Value| role(message) == "user" && !words(message).is_empty();
    let limit = body.pointer("/inferenceConfig/maxTokens").and_then(Value::as_u64);
    let stops = body.get("inferenceConfig").into_iter().flat_map(|config| list(config, "stopSequences"));
    let path = given.path.rsplit('/').nth(1).unwrap_or_default();
    let thinking = body.pointer("/additionalModelRequestFields/thinking/type").and_then(Value::as_str);
    let tools = body.get("toolConfig").into_iter().flat_map(|config| list(config, "tools"));
    let schema = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema").and_then(Value::as_str);
    Ok(Ask {
        schema: schema.and_then(|schema| serde_json::from_str(schema).ok()),
        model: path.replace("%3A", ":"),
        stream: given.path.ends_with("/converse-stream"),
        user_text: messages.iter().rev().find(said).map(|message| words(message)).unwrap_or_default(),
        tool_result: messages.last().and_then(|message| tool_result(message)),
        tools: tools.filter_map(tool).collect(),
        choice: choice(body.pointer("/toolConfig/toolChoice")),
        images: messages.iter().flat_map(|message| list(message, "content")).map(images).sum(),
        thinks: thinking.is_some_and(|kind| kind != "disabled"),
        stops: stops.filter_map(|stop| stop.as_str().map(str::to_owned)).collect(),
        limit: limit.map(|limit| limit as usize),
        choices: 1,
        ..Ask::default()
    })
}

fn whole(_: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = &answer.thought {
        let text = thought.concat();
        content
            .push(json!({"reasoningContent": {"reasoningText": {"text": text, "signature": seal(&text)}}}));
    }
    if answer.calls.is_empty() {
        content.push(json!({"text": answer.words.concat()}));
    }
    let call = |(place, call): (usize, &super::answer::Call)| json!({"toolUse": {"toolUseId": call_id(seed, place), "name": call.name, "input": call.arguments}});
    content.extend(answer.calls.iter().enumerate().map(call));
    let message = json!({"role": "assistant", "content": content});
    let mut body = json!({"output": {"message": message}, "stopReason": stop(&answer.stop), "metrics": {"latencyMs": 1}});
    if let (Value::Object(body), true) = (&mut body, script.usage != UsageAt::Never) {
        body.insert("usage".to_owned(), usage(&answer.usage));
    }
    body
}

/// Text and thoughts have no event that opens them.
fn stream(_: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let event = |name: &str, data: Value| (Some(name.to_owned()), data.to_string());
    let mut out = vec![event("messageStart", json!({"role": "assistant"}))];
    let mut index = 0;
    let mut block = |opened: Option<Value>, deltas: Vec<Value>| {
        let opened = opened
            .map(|start| event("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
        out.extend(opened);
        let delta = |delta| event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
        out.extend(deltas.into_iter().map(delta));
        out.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
        index += 1;
    };
    if let Some(thought) = &answer.thought {
        let mut deltas: Vec<Value> =
            thought.iter().map(|word| json!({"reasoningContent": {"text": word}})).collect();
        deltas.push(json!({"reasoningContent": {"signature": seal(&thought.concat())}}));
        block(None, deltas);
    }
    if answer.calls.is_empty() {
        block(None, answer.words.iter().map(|word| json!({ "text": word })).collect());
    }
    for (place, call) in answer.calls.iter().enumerate() {
        let arguments = pieces(&call.arguments.to_string());
        let deltas = arguments.iter().map(|piece| json!({"toolUse": {"input": piece}})).collect();
        block(Some(json!({"toolUse": {"toolUseId": call_id(seed, place), "name": call.name}})), deltas);
    }
    if script.done {
        out.push(event("messageStop", json!({"stopReason": stop(&answer.stop)})));
        if script.usage != UsageAt::Never {
            let data = json!({"usage": usage(&answer.usage), "metrics": {"latencyMs": 1}});
            out.push(event("metadata", data));
        }
    }
    out
}

fn stop(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Tool => "tool_use",
    }
}

fn usage(usage: &Usage) -> Value {
    json!({
        "inputTokens": usage.input.saturating_sub(usage.cached),
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": 0,
    })
}

fn call_id(seed: u64, place: usize) -> String {
    identity("tooluse_", 22, seed.wrapping_mul(64).wrapping_add(place as u64))
}

fn wrong(Wrong { path, why }: Wrong) -> String {
    let path = shape::dotted(&path);
    match why {
        Why::Unknown => {
            format!("The model returned the following errors: {path}: Extra inputs are not permitted")
        }
        Why::Missing => format!(
            "1 validation error detected: Value at '{path}' failed to satisfy constraint: Member must not be null"
        ),
        Why::Not(wanted) => format!(
            "1 validation error detected: Value at '{path}' failed to satisfy constraint: Member must be {wanted}"
        ),
    }
}

/// What no shape can say.
fn check(body: &Value, messages: &[&Value]) -> Result<(), String> {
    if messages.first().is_none_or(|first| role(first) != "user") {
        return Err("A conversation must start with a user message. Try again with a conversation that starts with a user message.".to_owned());
    }
    for (place, message) in messages.iter().enumerate() {
        if place > 0 && messages.get(place - 1).is_some_and(|before| role(before) == role(message)) {
            return Err("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".to_owned());
        }
        if list(message, "content").next().is_none() {
            return Err(format!(
                "The content field in the Message object at messages.{place} is empty. Add a ContentBlock object to the content field and try again."
            ));
        }
        let is_blank = |text: &Value| text.as_str().is_some_and(|text| text.trim().is_empty());
        if list(message, "content").any(|block| block.get("text").is_some_and(is_blank)) {
            return Err(format!(
                "The text field in the ContentBlock object at messages.{place} is blank. Add text to the text field, and try again."
            ));
        }
        for block in list(message, "content") {
            if block.as_object().is_none_or(|block| block.len() != 1) {
                return Err(format!(
                    "Invalid content block at messages.{place}: exactly one member must be set"
                ));
            }
            let thought = block.pointer("/reasoningContent/reasoningText");
            let text =
                |name: &str| thought.and_then(|thought| thought.get(name)?.as_str()).unwrap_or_default();
            if thought.is_some() && text("signature") != seal(text("text")) {
                return Err(format!("messages.{place}: Invalid `signature` in `thinking` block"));
            }
        }
    }
    let has_calls = messages.iter().flat_map(|message| list(message, "content"));
    let has_calls = has_calls
        .into_iter()
        .any(|block| block.get("toolUse").is_some() || block.get("toolResult").is_some());
    if has_calls && body.get("toolConfig").is_none() {
        return Err("The toolConfig field must be defined when using toolUse and toolResult content blocks."
            .to_owned());
    }
    calls::check(messages.iter().flat_map(|message| steps(message))).map_err(|loose| match loose {
        Loose::Result(id) => {
            format!("The toolResult block with id {id} has no toolUse block in the previous turn.")
        }
        Loose::Call(id) => format!("Expected toolResult blocks for the following Ids: {id}"),
    })
}

fn steps(message: &Value) -> Vec<Step> {
    let id = |block: &Value, name: &str| block.get(name)?.get("toolUseId")?.as_str().map(str::to_owned);
    let results = list(message, "content").filter_map(|block| id(block, "toolResult").map(Step::Result));
    let calls = list(message, "content").filter_map(|block| id(block, "toolUse").map(Step::Call));
    results.chain([Step::Words]).chain(calls).collect()
}

fn choice(given: Option<&Value>) -> Choice {
    let Some(given) = given else { return Choice::Auto };
    match (given.get("any"), given.pointer("/tool/name").and_then(Value::as_str)) {
        (Some(_), _) => Choice::Any,
        (_, Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    }
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    let spec = tool.get("toolSpec")?;
    Some((
        spec.get("name")?.as_str()?.to_owned(),
        spec.pointer("/inputSchema/json").cloned().unwrap_or_default(),
    ))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn words(message: &Value) -> String {
    list(message, "content").filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
}

fn tool_result(message: &Value) -> Option<String> {
    let said = |block: &Value| {
        let result = block.get("toolResult")?;
        let text = |part: &Value| {
            Some(part.get("text")?.as_str()?.to_owned()).or_else(|| Some(part.get("json")?.to_string()))
        };
        Some(list(result, "content").filter_map(text).collect::<Vec<_>>().join("\n"))
    };
    let results: Vec<String> = list(message, "content").filter_map(said).collect();
    (!results.is_empty()).then(|| results.join("\n"))
}

/// Images in a block, those inside a tool's result included.
fn images(block: &Value) -> usize {
    let inside = block.get("toolResult").map_or(0, |result| list(result, "content").map(images).sum());
    usize::from(block.get("image").is_some()) + inside
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

const CACHE: Member = ("cachePoint", Shape::Object(&[("type!", Shape::Word(&["default"])), ("ttl", TEXT)]));
const SOURCE: Shape =
    Shape::Object(&[("bytes", TEXT), ("s3Location", Shape::Map), ("text", TEXT), ("content", Shape::Any)]);
const IMAGE: Member = (
    "image",
    Shape::Object(&[("format!", Shape::Word(&["png", "jpeg", "gif", "webp"])), ("source!", SOURCE)]),
);
const DOCUMENT: Member = (
    "document",
    Shape::Object(&[
        ("format", TEXT),
        ("name!", Shape::Text(200)),
        ("source!", SOURCE),
        ("context", TEXT),
        ("citations", Shape::Map),
    ]),
);
const CALL_ID: Member = ("toolUseId!", Shape::Text(64));
const BLOCK: Shape = Shape::Object(&[
    ("text", TEXT),
    IMAGE,
    DOCUMENT,
    ("video", Shape::Map),
    ("toolUse", Shape::Object(&[CALL_ID, ("name!", Shape::Text(64)), ("input!", Shape::Map)])),
    (
        "toolResult",
        Shape::Object(&[
            CALL_ID,
            (
                "content!",
                Shape::List(&Shape::Object(&[
                    ("text", TEXT),
                    ("json", Shape::Any),
                    IMAGE,
                    DOCUMENT,
                    ("video", Shape::Map),
                ])),
            ),
            ("status", Shape::Word(&["success", "error"])),
        ]),
    ),
    (
        "reasoningContent",
        Shape::Object(&[
            ("reasoningText", Shape::Object(&[("text!", TEXT), ("signature", TEXT)])),
            ("redactedContent", TEXT),
        ]),
    ),
    ("guardContent", Shape::Map),
    CACHE,
]);
const MESSAGE: Shape =
    Shape::Object(&[("role!", Shape::Word(&["user", "assistant"])), ("content!", Shape::List(&BLOCK))]);
const SPEC: Shape = Shape::Object(&[
    ("name!", Shape::Text(64)),
    ("description", TEXT),
    ("inputSchema!", Shape::Object(&[("json!", Shape::Map)])),
    ("strict", Shape::Flag),
]);
const TOOLS: Shape = Shape::Object(&[
    ("tools!", Shape::List(&Shape::Object(&[("toolSpec", SPEC), ("systemTool", Shape::Map), CACHE]))),
    (
        "toolChoice",
        Shape::Object(&[
            ("auto", Shape::Map),
            ("any", Shape::Map),
            ("tool", Shape::Object(&[("name!", TEXT)])),
        ]),
    ),
]);
const INFERENCE: Shape = Shape::Object(&[
    ("maxTokens", Shape::Count(1)),
    ("stopSequences", Shape::List(&TEXT)),
    ("temperature", Shape::Number(0.0, 1.0)),
    ("topP", Shape::Number(0.0, 1.0)),
]);

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
const REQUEST: &[Member] = &[
    ("messages", Shape::List(&MESSAGE)),
    ("additionalModelRequestFields", Shape::Map),
    ("additionalModelResponseFieldPaths", Shape::List(&TEXT)),
    ("guardrailConfig", Shape::Map),
    ("inferenceConfig", INFERENCE),
    ("outputConfig", Shape::Map),
    ("performanceConfig", Shape::Map),
    ("promptVariables", Shape::Map),
    ("requestMetadata", Shape::Map),
    ("serviceTier", Shape::Map),
    ("system", Shape::List(&Shape::Object(&[("text", TEXT), ("guardContent", Shape::Map), CACHE]))),
    ("toolConfig", TOOLS),
];
