//! The provider `demo`: lives in this process, speaks OpenAI's chat dialect, streams and calls tools like a
//! real one. With it the first command of a newcomer answers at once.

use crate::time::Span;
use bytes::Bytes;
use serde_json::{Value, json};

/// The host by which a door knows that a request stays in this process.
pub const HOST: &str = "demo.invalid";
/// The one model.
pub const MODEL: &str = "demo";
/// The pause between two pieces of an answer.
pub const PACE: Span = Span::millis(15);

const GREETING: &str = "Hello from sekisho. This is the built-in demo model: set a provider key such as \
                        OPENAI_API_KEY and ask again to reach a real one.";

/// What the demo answers.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body, in the pieces in which it is sent.
    pub pieces: Vec<Bytes>,
}

/// Answers a request body.
#[must_use]
pub fn answer(body: &[u8]) -> Answer {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        let error = json!({"error": {"message": "the body is not valid JSON", "type": "invalid_request_error",
            "param": null, "code": null}});
        return Answer {
            status: 400,
            content_type: "application/json",
            pieces: vec![error.to_string().into()],
        };
    };
    let said = Said::to(&request);
    if request.get("stream").and_then(Value::as_bool).unwrap_or(false) {
        let usage =
            request.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        Answer { status: 200, content_type: "text/event-stream", pieces: said.stream(usage) }
    } else {
        Answer {
            status: 200,
            content_type: "application/json",
            pieces: vec![said.whole().to_string().into()],
        }
    }
}

/// What the demo says to a request.
struct Said {
    text: String,
    /// The tool that it calls instead, and with what.
    call: Option<(String, String)>,
    prompt_tokens: usize,
}

impl Said {
    fn to(request: &Value) -> Said {
        let messages =
            request.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let last = messages.last().and_then(|message| message.get("role")).and_then(Value::as_str);
        let question = messages.last().map(text_of).unwrap_or_default();
        let tool = request.pointer("/tools/0/function");
        // A tool is called once; when its result is there, the demo speaks of it.
        let call = tool.filter(|_| last == Some("user")).map(|tool| {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            (name, arguments(tool.get("parameters")).to_string())
        });
        let text = match last {
            Some("tool") => format!("The tool says: {question}"),
            _ if question.is_empty() => GREETING.to_owned(),
            _ => format!("{GREETING} You said: {question}"),
        };
        Said { text, call, prompt_tokens: request.to_string().len().div_ceil(4) }
    }

    fn finish(&self) -> &'static str {
        if self.call.is_some() { "tool_calls" } else { "stop" }
    }

    fn usage(&self) -> Value {
        let written =
            self.call.as_ref().map_or(self.text.len(), |(_, arguments)| arguments.len()).div_ceil(4);
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written})
    }

    fn whole(&self) -> Value {
        let message = match &self.call {
            None => json!({"role": "assistant", "content": self.text, "refusal": null}),
            Some((name, arguments)) => json!({"role": "assistant", "content": null, "refusal": null,
                "tool_calls": [{"id": "call_demo", "type": "function",
                    "function": {"name": name, "arguments": arguments}}]}),
        };
        json!({"id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish()}],
            "usage": self.usage()})
    }

    fn stream(&self, usage: bool) -> Vec<Bytes> {
        let mut pieces = vec![chunk(&json!({"role": "assistant", "content": ""}), None)];
        match &self.call {
            None => pieces
                .extend(self.text.split_inclusive(' ').map(|word| chunk(&json!({"content": word}), None))),
            Some((name, arguments)) => {
                let begin = json!([{"index": 0, "id": "call_demo", "type": "function",
                    "function": {"name": name, "arguments": ""}}]);
                pieces.push(chunk(&json!({"tool_calls": begin}), None));
                let more = json!([{"index": 0, "function": {"arguments": arguments}}]);
                pieces.push(chunk(&json!({"tool_calls": more}), None));
            }
        }
        pieces.push(chunk(&json!({}), Some(self.finish())));
        if usage {
            let last = json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0,
                "model": MODEL, "choices": [], "usage": self.usage()});
            pieces.push(format!("data: {last}\n\n").into());
        }
        pieces.push("data: [DONE]\n\n".into());
        pieces
    }
}

fn chunk(delta: &Value, finish: Option<&str>) -> Bytes {
    let chunk = json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n").into()
}

/// The text of a message, whether it is a string or a list of parts.
fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Arguments that fit a schema's required members, one word each.
fn arguments(schema: Option<&Value>) -> Value {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let members = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), example(schema)));
    Value::Object(members.collect())
}

fn example(schema: &Value) -> Value {
    if let Some(first) = schema.get("enum").and_then(|options| options.get(0)) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => 1.into(),
        Some("boolean") => true.into(),
        Some("array") => json!([]),
        Some("object") => arguments(Some(schema)),
        _ => "demo".into(),
    }
}
