//! OpenAI chat completions: <https://platform.openai.com/docs/api-reference/chat>.

use super::{
    answer::{Answer, Ask, Choice, Stop, Usage, pieces},
    calls::{self, Loose, Step},
    identity,
    routes::{Dialect, Event, Framing, Given},
    schema,
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT, Why, Wrong},
};
use crate::limits;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault,
    stream_fault: |message| (None, fault(500, message).to_string()),
    refusal: Some(refusal),
    lead: 1,
    framing: Framing::Sse,
};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an OpenAI error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(wrong))?;
    given.insist(check(body))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let model = text("model").ok_or("you must provide a model parameter")?.to_owned();
    let messages =
        body.get("messages").and_then(Value::as_array).ok_or("`messages` is a required property")?;
    let format = body.get("response_format");
    let schema = match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
        Some("json_schema") => format.and_then(|format| format.pointer("/json_schema/schema")).cloned(),
        Some("json_object") => Some(Value::Null),
        _ => None,
    };
    let truth = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let count = |name: &str| body.get(name).and_then(Value::as_u64).map(|n| n as usize);
    let role = |message: &&Value, wanted: &str| message.get("role").and_then(Value::as_str) == Some(wanted);
    let last_user = messages.iter().rev().find(|message| role(message, "user"));
    Ok(Ask {
        model,
        stream: truth("stream"),
        user_text: last_user.map(content_text).unwrap_or_default(),
        prefill: messages.last().filter(|last| role(last, "assistant")).map(content_text),
        tool_result: messages.last().filter(|message| role(message, "tool")).map(content_text),
        tools: body.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(tool).collect(),
        choice: choice(body.get("tool_choice")),
        schema,
        images: messages.iter().flat_map(parts).filter(|part| part.get("image_url").is_some()).count(),
        thinks: text("reasoning_effort").is_some_and(|effort| effort != "none"),
        stops: strings(body.get("stop")),
        limit: count("max_completion_tokens").or(count("max_tokens")),
        choices: count("n").unwrap_or(1).clamp(1, limits::CHOICES_MAX),
        logprobs: truth("logprobs").then(|| count("top_logprobs").unwrap_or(0)),
        include_usage: body.pointer("/stream_options/include_usage").and_then(Value::as_bool) == Some(true),
        ..Ask::default()
    })
}

/// The answer as one JSON object.
fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let choices: Vec<Value> =
        (0..ask.choices.max(1)).map(|index| whole_choice(ask, answer, script, seed, index)).collect();
    let mut body = envelope(ask, "chat.completion", seed);
    body.insert("choices".to_owned(), choices.into());
    if script.usage != UsageAt::Never {
        body.insert("usage".to_owned(), usage(&answer.usage));
    }
    body.into()
}

/// The answer as the data of its events, in order.
fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let mut chunks = Chunks { ask, answer, script, seed, out: Vec::new(), words_out: 0 };
    if script.empty_first {
        chunks.push(json!([]), None);
    }
    let each = 0..ask.choices.max(1);
    for index in each.clone() {
        let content = if answer.calls.is_empty() { json!("") } else { Value::Null };
        chunks.delta(index, json!({"role": "assistant", "content": content, "refusal": null}));
    }
    for word in answer.thought.iter().flatten() {
        each.clone().for_each(|index| chunks.delta(index, json!({&script.reasoning: word})));
    }
    for word in &answer.words {
        chunks.words_out += 1;
        each.clone().for_each(|index| chunks.word(index, word));
    }
    each.clone().for_each(|index| chunks.calls(index));
    chunks.finish(each);
    let done = script.done.then(|| "[DONE]".to_owned());
    chunks.out.into_iter().chain(done).map(|data| (None, data)).collect()
}

/// An error body.
pub(crate) fn fault(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        404 => ("invalid_request_error", json!("model_not_found")),
        429 => ("requests", json!("rate_limit_exceeded")),
        500.. => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// The models of the house.
pub(crate) fn models(names: &[&str]) -> Value {
    let one =
        |name: &&str| json!({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "kit"});
    json!({"object": "list", "data": names.iter().map(one).collect::<Vec<_>>()})
}

/// What is wrong, as OpenAI says it.
pub(crate) fn wrong(Wrong { path, why }: Wrong) -> String {
    match why {
        Why::Unknown => format!("Unknown parameter: '{path}'."),
        Why::Missing => format!("Missing required parameter: '{path}'."),
        Why::Not(wanted) => format!("Invalid value for '{path}': expected {wanted}."),
    }
}

/// Schemas that must be kept to the letter have a form of their own:
/// <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>.
pub(crate) fn check_strict(name: &str, holder: Option<&Value>, schema: &str) -> Result<(), String> {
    let Some(holder) = holder.filter(|holder| holder.get("strict") == Some(&Value::Bool(true))) else {
        return Ok(());
    };
    match holder.get(schema).and_then(schema::loose) {
        Some(why) => Err(format!("Invalid schema for {name}: {why}.")),
        None => Ok(()),
    }
}

/// An error body that says why a request is not answered.
pub(crate) fn refusal(code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}})
}

struct Chunks<'a> {
    ask: &'a Ask,
    answer: &'a Answer,
    script: &'a Script,
    seed: u64,
    out: Vec<String>,
    words_out: u64,
}

impl Chunks<'_> {
    fn push(&mut self, choices: Value, used: Option<&Usage>) {
        let mut chunk = envelope(self.ask, "chat.completion.chunk", self.seed);
        chunk.insert("choices".to_owned(), choices);
        match used {
            Some(used) => drop(chunk.insert("usage".to_owned(), usage(used))),
            None if self.script.usage == UsageAt::Every => {
                let so_far = Usage { output: self.words_out, ..self.answer.usage };
                chunk.insert("usage".to_owned(), usage(&so_far));
            }
            None if self.usage_last() => drop(chunk.insert("usage".to_owned(), Value::Null)),
            None => {}
        }
        self.out.push(Value::Object(chunk).to_string());
    }

    fn delta(&mut self, index: usize, delta: Value) {
        self.push(json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]), None);
    }

    fn word(&mut self, index: usize, word: &str) {
        let logprobs = logprobs(self.ask, std::slice::from_ref(&word.to_owned()));
        let choice =
            json!({"index": index, "delta": {"content": word}, "logprobs": logprobs, "finish_reason": null});
        self.push(json!([choice]), None);
    }

    /// The calls one choice makes, their arguments interleaved.
    fn calls(&mut self, choice: usize) {
        let calls = &self.answer.calls;
        for (index, call) in calls.iter().enumerate() {
            let function = json!({"name": call.name, "arguments": ""});
            let id = call_id(self.seed, choice, index);
            let opened = json!({"index": index, "id": id, "type": "function", "function": function});
            self.delta(choice, json!({"tool_calls": [opened]}));
        }
        let arguments: Vec<_> = calls.iter().map(|call| pieces(&call.arguments.to_string())).collect();
        for place in 0..arguments.iter().map(Vec::len).max().unwrap_or(0) {
            for (index, call) in arguments.iter().enumerate() {
                let Some(piece) = call.get(place) else { continue };
                let more = json!({"index": index, "function": {"arguments": piece}});
                self.delta(choice, json!({"tool_calls": [more]}));
            }
        }
    }

    fn finish(&mut self, each: std::ops::Range<usize>) {
        let at_finish = matches!(self.script.usage, UsageAt::Finish | UsageAt::Twice);
        let last = each.end - 1;
        for _ in 0..1 + usize::from(self.script.finish_twice) {
            for index in each.clone() {
                let reason = finish_reason(&self.answer.stop);
                let choice = json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": reason});
                self.push(json!([choice]), Some(&self.answer.usage).filter(|_| at_finish && index == last));
            }
        }
        if self.usage_last() || self.script.usage == UsageAt::Twice {
            self.push(json!([]), Some(&self.answer.usage));
        }
    }

    /// Whether the usage comes last and alone; then the chunks before it say `"usage":null`.
    fn usage_last(&self) -> bool {
        match self.script.usage {
            UsageAt::Always => true,
            UsageAt::Asked => self.ask.include_usage,
            UsageAt::Finish | UsageAt::Twice | UsageAt::Every | UsageAt::Never => false,
        }
    }
}

fn envelope(ask: &Ask, object: &str, seed: u64) -> Map<String, Value> {
    let created = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs());
    let pairs = [
        ("id", json!(identity("chatcmpl-", 29, seed))),
        ("object", json!(object)),
        ("created", json!(created)),
        ("model", json!(ask.model)),
        ("service_tier", json!("default")),
        ("system_fingerprint", json!("fp_7e57ca5e00")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn whole_choice(ask: &Ask, answer: &Answer, script: &Script, seed: u64, index: usize) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
    if answer.calls.is_empty() {
        insert(&mut message, "content", json!(answer.words.concat()));
    } else {
        let calls = answer.calls.iter().enumerate().map(|(place, call)| {
            let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
            json!({"id": call_id(seed, index, place), "type": "function", "function": function})
        });
        insert(&mut message, "tool_calls", calls.collect());
    }
    if let Some(thought) = &answer.thought {
        insert(&mut message, &script.reasoning, json!(thought.concat()));
    }
    let (logprobs, reason) = (logprobs(ask, &answer.words), finish_reason(&answer.stop));
    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(object) = object {
        object.insert(name.to_owned(), value);
    }
}

fn logprobs(ask: &Ask, words: &[String]) -> Value {
    let Some(alternatives) = ask.logprobs else { return Value::Null };
    let one =
        |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let entries = words.iter().map(|word| {
        let others = (0..alternatives).map(|rank| match rank {
            0 => one(word, -0.25),
            _ => one(&format!("other{rank}"), -0.25 - rank as f64),
        });
        let mut entry = one(word, -0.25);
        insert(&mut entry, "top_logprobs", others.collect());
        entry
    });
    json!({"content": entries.collect::<Vec<_>>(), "refusal": null})
}

fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) => "stop",
        Stop::Length => "length",
        Stop::Tool => "tool_calls",
    }
}

fn call_id(seed: u64, choice: usize, index: usize) -> String {
    identity("call_", 24, seed.wrapping_mul(64).wrapping_add((choice * 8 + index) as u64))
}

fn choice(given: Option<&Value>) -> Choice {
    match given {
        Some(Value::String(word)) if word == "none" => Choice::Never,
        Some(Value::String(word)) if word == "required" => Choice::Any,
        Some(Value::Object(named)) => match named.get("function").and_then(|f| f.get("name")?.as_str()) {
            Some(name) => Choice::Named(name.to_owned()),
            None => Choice::Auto,
        },
        _ => Choice::Auto,
    }
}

fn tool(tool: &Value) -> Option<(String, Value)> {
    let function = tool.get("function")?;
    let schema = function.get("parameters").cloned().unwrap_or_default();
    Some((function.get("name")?.as_str()?.to_owned(), schema))
}

fn parts(message: &Value) -> impl Iterator<Item = &Value> {
    message.get("content").and_then(Value::as_array).into_iter().flatten()
}

fn content_text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        _ => parts(message).filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n"),
    }
}

fn strings(given: Option<&Value>) -> Vec<String> {
    match given {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => {
            several.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

const TEXT_PART: (&str, &[Member]) = ("text", &[("text!", TEXT), ("cache_control", Shape::Map)]);
const WORDS: Shape = Shape::Either(&[TEXT, Shape::List(&Shape::Tagged("type", &[TEXT_PART]))]);
const USER_PARTS: Shape = Shape::Tagged(
    "type",
    &[
        TEXT_PART,
        ("image_url", &[("image_url!", Shape::Object(&[("url!", TEXT), ("detail", DETAIL)]))]),
        ("input_audio", &[("input_audio!", Shape::Object(&[("data!", TEXT), ("format!", TEXT)]))]),
        ("file", &[("file!", Shape::Object(&[("file_data", TEXT), ("file_id", TEXT), ("filename", TEXT)]))]),
    ],
);
const DETAIL: Shape = Shape::Word(&["auto", "low", "high"]);
const SAID: Shape = Shape::Either(&[
    TEXT,
    Shape::List(&Shape::Tagged("type", &[TEXT_PART, ("refusal", &[("refusal!", TEXT)])])),
]);
const CALL: Shape = Shape::Tagged(
    "type",
    &[(
        "function",
        &[
            // <https://platform.openai.com/docs/api-reference/chat/create> takes no longer ones.
            ("id!", Shape::Text(40)),
            ("index", COUNT),
            ("function!", Shape::Object(&[("name!", Shape::Text(64)), ("arguments!", TEXT)])),
        ],
    )],
);
/// A message as compatible servers take it: with the reasoning that they gave.
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("user", &[("content!", Shape::Either(&[TEXT, Shape::List(&USER_PARTS)])), ("name", TEXT)]),
        ("system", &[("content!", WORDS), ("name", TEXT)]),
        ("developer", &[("content!", WORDS), ("name", TEXT)]),
        ("tool", &[("content!", WORDS), ("tool_call_id!", TEXT), ("name", TEXT)]),
        (
            "assistant",
            &[
                ("content", SAID),
                ("tool_calls", Shape::List(&CALL)),
                ("refusal", TEXT),
                ("name", TEXT),
                ("annotations", Shape::List(&Shape::Any)),
                ("reasoning_content", TEXT),
                ("reasoning", TEXT),
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
            Shape::Object(&[
                ("name!", Shape::Text(64)),
                ("description", TEXT),
                ("parameters", Shape::Map),
                ("strict", Shape::Flag),
            ]),
        )],
    )],
);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[(
                "json_schema!",
                Shape::Object(&[
                    ("name!", Shape::Text(64)),
                    ("description", TEXT),
                    ("schema", Shape::Map),
                    ("strict", Shape::Flag),
                ]),
            )],
        ),
    ],
);
const CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged("type", &[("function", &[("function!", Shape::Object(&[("name!", TEXT)]))])]),
]);
const EFFORT: Shape = Shape::Word(&["none", "minimal", "low", "medium", "high", "xhigh"]);
const PENALTY: Shape = Shape::Number(-2.0, 2.0);
const STREAM_OPTIONS: Shape =
    Shape::Object(&[("include_usage", Shape::Flag), ("include_obfuscation", Shape::Flag)]);

/// <https://platform.openai.com/docs/api-reference/chat/create>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("messages!", Shape::List(&MESSAGE)),
    ("audio", Shape::Map),
    ("frequency_penalty", PENALTY),
    ("logit_bias", Shape::Map),
    ("logprobs", Shape::Flag),
    ("max_completion_tokens", Shape::Count(1)),
    ("max_tokens", Shape::Count(1)),
    ("metadata", Shape::Map),
    ("modalities", Shape::List(&TEXT)),
    ("n", Shape::Count(1)),
    ("parallel_tool_calls", Shape::Flag),
    ("prediction", Shape::Map),
    ("presence_penalty", PENALTY),
    ("prompt_cache_key", TEXT),
    ("prompt_cache_retention", TEXT),
    ("reasoning_effort", EFFORT),
    ("response_format", FORMAT),
    ("safety_identifier", TEXT),
    ("seed", Shape::Any),
    ("service_tier", TEXT),
    ("stop", Shape::Either(&[TEXT, Shape::List(&TEXT)])),
    ("store", Shape::Flag),
    ("stream", Shape::Flag),
    ("stream_options", STREAM_OPTIONS),
    ("temperature", Shape::Number(0.0, 2.0)),
    ("tool_choice", CHOICE),
    ("tools", Shape::List(&TOOL)),
    ("top_logprobs", COUNT),
    ("top_p", Shape::Number(0.0, 1.0)),
    ("user", TEXT),
    ("verbosity", TEXT),
    ("web_search_options", Shape::Map),
];

/// What no shape can say.
fn check(body: &Value) -> Result<(), String> {
    let list = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    if body.get("stream_options").is_some_and(Value::is_object) && body.get("stream") != Some(&json!(true)) {
        return Err("The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned());
    }
    if list("messages").next().is_none() {
        return Err("Invalid 'messages': empty array. Expected an array with minimum length 1.".to_owned());
    }
    let tools = list("tools").count();
    if body.get("tool_choice").is_some_and(|choice| !choice.is_null()) && tools == 0 {
        return Err(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
                .to_owned(),
        );
    }
    if list("stop").count() > 4 {
        return Err("Invalid 'stop': array too long. Expected an array with maximum length 4.".to_owned());
    }
    for function in list("tools").map(|tool| tool.get("function")) {
        check_strict("function", function, "parameters")?;
    }
    check_strict("response_format", body.pointer("/response_format/json_schema"), "schema")?;
    calls::check(list("messages").flat_map(call_steps)).map_err(|loose| match loose {
        Loose::Result(_) => {
            "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                .to_owned()
        }
        Loose::Call(id) => format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
             'tool_call_id'. The following tool_call_ids did not have response messages: {id}"
        ),
    })
}

fn call_steps(message: &Value) -> Vec<Step> {
    let id = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    if let Some(id) = id(message, "tool_call_id") {
        return vec![Step::Result(id)];
    }
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let calls = calls.filter_map(|call| Some(Step::Call(id(call, "id")?)));
    [Step::Words].into_iter().chain(calls).collect()
}
