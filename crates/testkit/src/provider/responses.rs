//! OpenAI's Responses API: <https://platform.openai.com/docs/api-reference/responses> and
//! <https://platform.openai.com/docs/api-reference/responses-streaming>.

use super::{
    answer::{Answer, Ask, Choice, Stop, Usage, pieces, seal},
    calls::{self, Loose, Step},
    identity, openai,
    routes::{Dialect, Event, Framing, Given},
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT},
};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault: openai::fault,
    stream_fault,
    refusal: Some(openai::refusal),
    lead: 3,
    framing: Framing::Sse,
};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an OpenAI error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(openai::wrong))?;
    let items = items(body);
    given.insist(check(body, &items))?;
    let is_user = |item: &&Value| role(item) == "user";
    let results = items.iter().rev().take_while(|item| kind(item) == "function_call_output");
    let results: Vec<String> = results.map(|item| words(item.get("output"))).collect();
    let format = body.pointer("/text/format");
    let schema = match format.map_or("", kind) {
        "json_schema" => format.and_then(|format| format.get("schema")).cloned(),
        "json_object" => Some(Value::Null),
        _ => None,
    };
    let effort = body.pointer("/reasoning/effort").and_then(Value::as_str);
    Ok(Ask {
        model: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        stream: body.get("stream") == Some(&json!(true)),
        user_text: items
            .iter()
            .rev()
            .find(is_user)
            .map(|item| words(item.get("content")))
            .unwrap_or_default(),
        tool_result: (!results.is_empty()).then(|| results.into_iter().rev().collect::<Vec<_>>().join("\n")),
        tools: list(body, "tools").filter_map(tool).collect(),
        choice: choice(body.get("tool_choice")),
        schema,
        images: items
            .iter()
            .flat_map(|item| list(item, "content"))
            .filter(|part| kind(part) == "input_image")
            .count(),
        thinks: effort.is_some_and(|effort| effort != "none"),
        limit: body.get("max_output_tokens").and_then(Value::as_u64).map(|limit| limit as usize),
        choices: 1,
        body: body.clone(),
        ..Ask::default()
    })
}

fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let output = output(ask, answer, seed).into_iter().map(|(item, _)| item).collect();
    Value::Object(response(ask, answer, script, seed, Some(output)))
}

/// Its items one by one, then the whole.
fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let mut events = Events::default();
    let begun = response(ask, answer, script, seed, None);
    events.push("response.created", json!({ "response": begun }));
    events.push("response.in_progress", json!({ "response": begun }));
    for (index, (item, texts)) in output(ask, answer, seed).into_iter().enumerate() {
        events.item(index, &item, &texts);
    }
    if script.done {
        let last = if answer.stop == Stop::Length { "response.incomplete" } else { "response.completed" };
        let output = output(ask, answer, seed).into_iter().map(|(item, _)| item).collect();
        let response = response(ask, answer, script, seed, Some(output));
        events.push(last, json!({ "response": response }));
    }
    events.out
}

fn stream_fault(message: &str) -> Event {
    let data = json!({"type": "error", "sequence_number": 0, "code": "server_error", "message": message, "param": null});
    (Some("error".to_owned()), data.to_string())
}

/// Events with their numbers.
#[derive(Default)]
struct Events {
    out: Vec<Event>,
}

impl Events {
    fn push(&mut self, kind: &str, mut data: Value) {
        if let Value::Object(data) = &mut data {
            data.insert("type".to_owned(), json!(kind));
            data.insert("sequence_number".to_owned(), json!(self.out.len()));
        }
        self.out.push((Some(kind.to_owned()), data.to_string()));
    }

    /// An item from its opening to its end; its text comes in these pieces.
    fn item(&mut self, index: usize, item: &Value, texts: &[String]) {
        let id = item.get("id").cloned().unwrap_or_default();
        let opened = opened(item);
        self.push("response.output_item.added", json!({"output_index": index, "item": opened}));
        let with = |more: Value| {
            let mut data = json!({"item_id": id, "output_index": index});
            if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
                data.extend(more);
            }
            data
        };
        let text = texts.concat();
        match kind(item) {
            "function_call" => {
                for piece in texts {
                    self.push("response.function_call_arguments.delta", with(json!({"delta": piece})));
                }
                let name = item.get("name");
                self.push(
                    "response.function_call_arguments.done",
                    with(json!({"arguments": text, "name": name})),
                );
            }
            "message" => {
                let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
                self.push("response.content_part.added", with(json!({"content_index": 0, "part": part("")})));
                for piece in texts {
                    let data = json!({"content_index": 0, "delta": piece, "logprobs": []});
                    self.push("response.output_text.delta", with(data));
                }
                let data = json!({"content_index": 0, "text": text, "logprobs": []});
                self.push("response.output_text.done", with(data));
                self.push(
                    "response.content_part.done",
                    with(json!({"content_index": 0, "part": part(&text)})),
                );
            }
            _ if list(item, "summary").next().is_some() => {
                let part = |text: &str| json!({"type": "summary_text", "text": text});
                let at = |more: Value| with(more);
                self.push(
                    "response.reasoning_summary_part.added",
                    at(json!({"summary_index": 0, "part": part("")})),
                );
                for piece in texts {
                    let data = json!({"summary_index": 0, "delta": piece});
                    self.push("response.reasoning_summary_text.delta", at(data));
                }
                self.push(
                    "response.reasoning_summary_text.done",
                    at(json!({"summary_index": 0, "text": text})),
                );
                self.push(
                    "response.reasoning_summary_part.done",
                    at(json!({"summary_index": 0, "part": part(&text)})),
                );
            }
            _ => {}
        }
        self.push("response.output_item.done", json!({"output_index": index, "item": item}));
    }
}

/// An item as it stands before anything of it has been said.
fn opened(item: &Value) -> Value {
    let mut opened = item.clone();
    if let Value::Object(opened) = &mut opened {
        for (name, value) in opened.iter_mut() {
            match name.as_str() {
                "content" | "summary" => *value = json!([]),
                "arguments" => *value = json!(""),
                "status" => *value = json!("in_progress"),
                _ => {}
            }
        }
    }
    opened
}

/// The items of an answer, each with the pieces in which its text comes.
fn output(ask: &Ask, answer: &Answer, seed: u64) -> Vec<(Value, Vec<String>)> {
    let mut out = Vec::new();
    if let Some(thought) = &answer.thought {
        let text = thought.concat();
        let is_told = ask.body.pointer("/reasoning/summary").is_some_and(|summary| !summary.is_null());
        let summary = if is_told { json!([{"type": "summary_text", "text": text}]) } else { json!([]) };
        let mut item = json!({"id": identity("rs_", 48, seed), "type": "reasoning", "summary": summary});
        let seals = list(&ask.body, "include").any(|name| name == "reasoning.encrypted_content");
        if let (Value::Object(item), true) = (&mut item, seals) {
            item.insert("encrypted_content".to_owned(), json!(seal(&text)));
        }
        out.push((item, thought.clone()));
    }
    let status = if answer.stop == Stop::Length { "incomplete" } else { "completed" };
    if answer.calls.is_empty() {
        let part =
            json!({"type": "output_text", "text": answer.words.concat(), "annotations": [], "logprobs": []});
        let item = json!({
            "id": identity("msg_", 48, seed), "type": "message", "status": status, "role": "assistant",
            "content": [part],
        });
        out.push((item, answer.words.clone()));
    }
    for (place, call) in answer.calls.iter().enumerate() {
        let seed = seed.wrapping_mul(64).wrapping_add(place as u64);
        let arguments = call.arguments.to_string();
        let item = json!({
            "id": identity("fc_", 48, seed), "type": "function_call", "status": status,
            "call_id": identity("call_", 24, seed), "name": call.name, "arguments": arguments,
        });
        out.push((item, pieces(&arguments)));
    }
    out
}

/// The response object: with its output where it is there, as it begins where not.
fn response(
    ask: &Ask,
    answer: &Answer,
    script: &Script,
    seed: u64,
    output: Option<Vec<Value>>,
) -> Map<String, Value> {
    let said = |name: &str, otherwise: Value| {
        ask.body.get(name).cloned().filter(|v| !v.is_null()).unwrap_or(otherwise)
    };
    let created = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs());
    let cut = output.is_some() && answer.stop == Stop::Length;
    let status = match (&output, cut) {
        (None, _) => "in_progress",
        (_, true) => "incomplete",
        _ => "completed",
    };
    let has_usage = output.is_some() && script.usage != UsageAt::Never;
    let pairs = [
        ("id", json!(identity("resp_", 48, seed))),
        ("object", json!("response")),
        ("created_at", json!(created)),
        ("status", json!(status)),
        ("background", json!(false)),
        ("error", Value::Null),
        ("incomplete_details", if cut { json!({"reason": "max_output_tokens"}) } else { Value::Null }),
        ("instructions", said("instructions", Value::Null)),
        ("max_output_tokens", said("max_output_tokens", Value::Null)),
        ("max_tool_calls", Value::Null),
        ("model", json!(ask.model)),
        ("output", output.unwrap_or_default().into()),
        ("parallel_tool_calls", said("parallel_tool_calls", json!(true))),
        ("previous_response_id", Value::Null),
        ("prompt_cache_key", said("prompt_cache_key", Value::Null)),
        ("reasoning", said("reasoning", json!({"effort": null, "summary": null}))),
        ("safety_identifier", Value::Null),
        ("service_tier", json!("default")),
        ("store", said("store", json!(true))),
        ("temperature", said("temperature", json!(1.0))),
        ("text", said("text", json!({"format": {"type": "text"}, "verbosity": "medium"}))),
        ("tool_choice", said("tool_choice", json!("auto"))),
        ("tools", said("tools", json!([]))),
        ("top_logprobs", json!(0)),
        ("top_p", said("top_p", json!(1.0))),
        ("truncation", json!("disabled")),
        ("usage", if has_usage { usage(&answer.usage) } else { Value::Null }),
        ("user", Value::Null),
        ("metadata", said("metadata", json!({}))),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    })
}

/// What was said so far, item by item.
fn items(body: &Value) -> Vec<Value> {
    match body.get("input") {
        Some(Value::String(text)) => vec![json!({"role": "user", "content": text})],
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    }
}

/// What no shape can say.
fn check(body: &Value, items: &[Value]) -> Result<(), String> {
    for (index, item) in items.iter().enumerate() {
        let speaks = role(item) == "assistant";
        let is_odd = |part: &&Value| kind(part).starts_with("input_") == speaks;
        if let Some(part) = list(item, "content").find(is_odd).filter(|_| kind(item) != "reasoning") {
            return Err(format!("Invalid value: '{}' in 'input[{index}].content'.", kind(part)));
        }
        let sealed = item.get("encrypted_content").and_then(Value::as_str);
        let summary: String = list(item, "summary").filter_map(|part| part.get("text")?.as_str()).collect();
        if sealed.is_some_and(|sealed| !summary.is_empty() && sealed != seal(&summary)) {
            return Err(format!("The encrypted content of 'input[{index}]' could not be verified."));
        }
        if kind(item) == "reasoning" && sealed.is_none() && body.get("store") == Some(&json!(false)) {
            return Err(format!(
                "Item 'input[{index}]' not found. Items are not persisted when `store` is set to false."
            ));
        }
    }
    let tools: Vec<&Value> = list(body, "tools").collect();
    for tool in &tools {
        openai::check_strict("function", Some(tool), "parameters")?;
    }
    openai::check_strict("response_format", body.pointer("/text/format"), "schema")?;
    let forced = body.get("tool_choice").is_some_and(|choice| choice == "required" || choice.is_object());
    if forced && tools.is_empty() {
        return Err("Tool choice 'required' must be specified with 'tools' parameter.".to_owned());
    }
    calls::check(items.iter().filter_map(step)).map_err(|loose| match loose {
        Loose::Result(id) => format!("No tool call found for function call output with call_id {id}."),
        Loose::Call(id) => format!("No tool output found for function call {id}."),
    })
}

fn step(item: &Value) -> Option<Step> {
    let id = item.get("call_id").and_then(Value::as_str).map(str::to_owned);
    match kind(item) {
        "function_call" => id.map(Step::Call),
        "function_call_output" => id.map(Step::Result),
        // Thoughts and words may stand between a call and its result.
        _ if role(item) == "user" => Some(Step::Words),
        _ => None,
    }
}

fn choice(given: Option<&Value>) -> Choice {
    match given {
        Some(Value::String(word)) if word == "none" => Choice::Never,
        Some(Value::String(word)) if word == "required" => Choice::Any,
        Some(named) => match named.get("name").and_then(Value::as_str) {
            Some(name) => Choice::Named(name.to_owned()),
            None => Choice::Auto,
        },
        None => Choice::Auto,
    }
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    Some((tool.get("name")?.as_str()?.to_owned(), tool.get("parameters").cloned().unwrap_or_default()))
}

fn words(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn role(item: &Value) -> &str {
    item.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

const STATUS: Member = ("status", Shape::Word(&["in_progress", "completed", "incomplete"]));
const ID: Member = ("id", TEXT);
const PART: Shape = Shape::Tagged(
    "type",
    &[
        ("input_text", &[("text!", TEXT)]),
        ("input_image", &[("image_url", TEXT), ("file_id", TEXT), ("detail", TEXT)]),
        ("input_file", &[("file_data", TEXT), ("file_id", TEXT), ("file_url", TEXT), ("filename", TEXT)]),
        ("input_audio", &[("input_audio!", Shape::Map)]),
        (
            "output_text",
            &[("text!", TEXT), ("annotations", Shape::List(&Shape::Any)), ("logprobs", Shape::Any)],
        ),
        ("refusal", &[("refusal!", TEXT)]),
    ],
);
const WORDS: Shape = Shape::Either(&[TEXT, Shape::List(&PART)]);
const ITEM: Shape = Shape::Tagged(
    "type",
    &[
        (
            "message",
            &[
                ("role!", Shape::Word(&["user", "assistant", "system", "developer"])),
                ("content!", WORDS),
                ("phase", Shape::Word(&["commentary", "final_answer"])),
                ID,
                STATUS,
            ],
        ),
        (
            "function_call",
            &[
                ("call_id!", Shape::Text(64)),
                ("name!", Shape::Text(64)),
                ("arguments!", TEXT),
                ("namespace", TEXT),
                ID,
                STATUS,
            ],
        ),
        ("function_call_output", &[("call_id!", Shape::Text(64)), ("output!", WORDS), ID, STATUS]),
        (
            "reasoning",
            &[
                ("summary!", Shape::List(&Shape::Tagged("type", &[("summary_text", &[("text!", TEXT)])]))),
                ("content", Shape::List(&Shape::Any)),
                ("encrypted_content", TEXT),
                ID,
                STATUS,
            ],
        ),
        ("item_reference", &[("id!", TEXT)]),
    ],
);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function",
            &[
                ("name!", Shape::Text(64)),
                ("description", TEXT),
                ("parameters", Shape::Map),
                ("strict", Shape::Flag),
            ],
        ),
        (
            "web_search",
            &[("filters", Shape::Map), ("search_context_size", TEXT), ("user_location", Shape::Map)],
        ),
    ],
);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[
                ("name!", Shape::Text(64)),
                ("schema!", Shape::Map),
                ("description", TEXT),
                ("strict", Shape::Flag),
            ],
        ),
    ],
);
const CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[("function", &[("name!", TEXT)]), ("allowed_tools", &[("mode!", TEXT), ("tools!", Shape::Any)])],
    ),
]);
const REASONING: Shape = Shape::Object(&[
    ("effort", Shape::Word(&["none", "minimal", "low", "medium", "high", "xhigh"])),
    ("summary", Shape::Word(&["auto", "concise", "detailed"])),
]);

/// <https://platform.openai.com/docs/api-reference/responses/create>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("input!", Shape::Either(&[TEXT, Shape::List(&ITEM)])),
    ("background", Shape::Flag),
    ("client_metadata", Shape::Map),
    ("include", Shape::List(&TEXT)),
    ("instructions", TEXT),
    // Smaller ones are refused.
    ("max_output_tokens", Shape::Count(16)),
    ("max_tool_calls", COUNT),
    ("metadata", Shape::Map),
    ("parallel_tool_calls", Shape::Flag),
    ("prompt_cache_key", Shape::Text(64)),
    ("prompt_cache_retention", TEXT),
    ("reasoning", REASONING),
    ("safety_identifier", Shape::Text(64)),
    ("service_tier", TEXT),
    ("store", Shape::Flag),
    ("stream", Shape::Flag),
    ("stream_options", Shape::Object(&[("include_obfuscation", Shape::Flag)])),
    ("temperature", Shape::Number(0.0, 2.0)),
    ("text", Shape::Object(&[("format", FORMAT), ("verbosity", Shape::Word(&["low", "medium", "high"]))])),
    ("tool_choice", CHOICE),
    ("tools", Shape::List(&TOOL)),
    ("top_logprobs", COUNT),
    ("top_p", Shape::Number(0.0, 1.0)),
    ("truncation", Shape::Word(&["auto", "disabled"])),
    ("user", Shape::Text(64)),
];
