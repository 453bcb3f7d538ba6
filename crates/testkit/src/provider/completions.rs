//! OpenAI's older completions: <https://platform.openai.com/docs/api-reference/completions>.

use super::{
    answer::{Answer, Ask, Stop, Usage},
    identity, openai,
    routes::{Dialect, Event, Framing, Given},
    script::{Script, UsageAt},
    shape::{self, COUNT, Member, Shape, TEXT},
};
use serde_json::{Value, json};
use std::time::SystemTime;

/// How this API dresses what is said.
pub(crate) const DIALECT: Dialect = Dialect {
    whole,
    stream,
    fault: openai::fault,
    stream_fault: openai::DIALECT.stream_fault,
    refusal: Some(openai::refusal),
    lead: 0,
    framing: Framing::Sse,
};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an OpenAI error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(openai::wrong))?;
    let count = |name: &str| body.get(name).and_then(Value::as_u64).map(|n| n as usize);
    let texts = |name: &str| match body.get(name) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    Ok(Ask {
        model: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        stream: body.get("stream") == Some(&json!(true)),
        user_text: texts("prompt").join("\n"),
        stops: texts("stop"),
        limit: count("max_tokens").or(Some(16)),
        choices: texts("prompt").len().max(1) * count("n").unwrap_or(1),
        include_usage: body.pointer("/stream_options/include_usage") == Some(&json!(true)),
        ..Ask::default()
    })
}

fn whole(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Value {
    let choice = |index| choice(index, &answer.words.concat(), Some(&answer.stop));
    let choices = (0..ask.choices).map(choice).collect();
    envelope(ask, seed, choices, (script.usage != UsageAt::Never).then_some(&answer.usage))
}

fn stream(ask: &Ask, answer: &Answer, script: &Script, seed: u64) -> Vec<Event> {
    let mut out = Vec::new();
    for index in 0..ask.choices {
        out.extend(
            answer.words.iter().map(|word| envelope(ask, seed, vec![choice(index, word, None)], None)),
        );
        out.push(envelope(ask, seed, vec![choice(index, "", Some(&answer.stop))], None));
    }
    if ask.include_usage {
        out.push(envelope(ask, seed, Vec::new(), Some(&answer.usage)));
    }
    let done = script.done.then(|| "[DONE]".to_owned());
    out.iter().map(Value::to_string).chain(done).map(|data| (None, data)).collect()
}

fn choice(index: usize, text: &str, stop: Option<&Stop>) -> Value {
    let reason = stop.map(|stop| if *stop == Stop::Length { "length" } else { "stop" });
    json!({"index": index, "text": text, "logprobs": null, "finish_reason": reason})
}

fn envelope(ask: &Ask, seed: u64, choices: Vec<Value>, used: Option<&Usage>) -> Value {
    let created = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs());
    let usage = used.map(|used| {
        json!({
            "prompt_tokens": used.input, "completion_tokens": used.output, "total_tokens": used.input + used.output,
        })
    });
    json!({
        "id": identity("cmpl-", 29, seed), "object": "text_completion", "created": created, "model": ask.model,
        "choices": choices, "usage": usage,
    })
}

/// <https://platform.openai.com/docs/api-reference/completions/create>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("prompt!", Shape::Either(&[TEXT, Shape::List(&Shape::Any)])),
    ("best_of", COUNT),
    ("echo", Shape::Flag),
    ("frequency_penalty", Shape::Number(-2.0, 2.0)),
    ("logit_bias", Shape::Map),
    ("logprobs", COUNT),
    ("max_tokens", COUNT),
    ("n", Shape::Count(1)),
    ("presence_penalty", Shape::Number(-2.0, 2.0)),
    ("seed", Shape::Any),
    ("stop", Shape::Either(&[TEXT, Shape::List(&TEXT)])),
    ("stream", Shape::Flag),
    (
        "stream_options",
        Shape::Object(&[("include_usage", Shape::Flag), ("include_obfuscation", Shape::Flag)]),
    ),
    ("suffix", TEXT),
    ("temperature", Shape::Number(0.0, 2.0)),
    ("top_p", Shape::Number(0.0, 1.0)),
    ("user", TEXT),
];
