//! From a request and its script to the response: pure, so that it can be read and tested at rest.

use super::{
    answer::{Ask, answer},
    anthropic, date, identity, openai,
    script::{Cut, Garbage, How, Place, Refusal, Script, directive},
    steps::{Step, steps},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{rc::Rc, time::Duration};

/// What will be done.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) head_wait: Duration,
    pub(crate) start: Start,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) steps: Rc<[Step]>,
    /// The body's length in bytes, where it is stated.
    pub(crate) length: Option<u64>,
}

/// How the response begins.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Start {
    Head,
    /// Nothing, for ever.
    Never,
    /// Bytes that are no response.
    Garbage,
    /// The connection ends before any byte.
    Break(How),
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    OpenAi,
    Anthropic,
}

/// The body before it is paced: whole, or events.
struct Content {
    status: u16,
    kind: &'static str,
    events: Vec<Bytes>,
    /// Of a stream, how many events stand before its first token.
    lead: Option<usize>,
}

/// What an answered request gets, given its script so far (started with, or queued). Of trouble that does not
/// last, `befalls` says whether it befalls this request, for this model.
pub(crate) fn plan(
    head: &Parts,
    body: &Bytes,
    mut script: Script,
    seed: u64,
    befalls: impl FnOnce(&Script, &str) -> bool,
) -> Plan {
    let given: Option<Value> = serde_json::from_slice(body).ok();
    let route = &route(head);
    let asked = asked(route, given.as_ref(), body.len());
    if let Some(text) = head.headers.get("x-kit").and_then(|value| value.to_str().ok()) {
        script.apply(text);
    }
    if let Some(Ok(ask)) = &asked {
        script.apply(directive(&ask.user_text).unwrap_or_default());
    }
    let model = given.as_ref().and_then(|given| given.get("model")?.as_str()).unwrap_or_default();
    if (script.times.is_some() || script.lasts.is_some()) && !befalls(&script, model) {
        script = script.healed();
    }
    let content = content(head, body, route, asked, &script, seed);
    dressed(content, &script, seed)
}

enum Route {
    Generate(Dialect),
    CountTokens,
    Models(Dialect),
    Echo,
}

fn route(head: &Parts) -> Route {
    let path = head.uri.path();
    let post = head.method == Method::POST;
    let anthropic = head.headers.contains_key("anthropic-version");
    match path {
        _ if path.starts_with("/echo") => Route::Echo,
        _ if post && path.ends_with("/chat/completions") => Route::Generate(Dialect::OpenAi),
        _ if post && path.ends_with("/messages") => Route::Generate(Dialect::Anthropic),
        _ if post && path.ends_with("/messages/count_tokens") => Route::CountTokens,
        _ if !post && path.ends_with("/models") => {
            Route::Models(if anthropic { Dialect::Anthropic } else { Dialect::OpenAi })
        }
        _ => Route::Echo,
    }
}

fn asked(route: &Route, body: Option<&Value>, size: usize) -> Option<Result<Ask, String>> {
    type Read = fn(&Value) -> Result<Ask, String>;
    let (read, needs_limit): (Read, _) = match route {
        Route::Generate(Dialect::OpenAi) => (openai::ask, false),
        Route::Generate(Dialect::Anthropic) => (anthropic::ask, true),
        Route::CountTokens => (anthropic::ask, false),
        Route::Models(_) | Route::Echo => return None,
    };
    let read = |body| match read(body)? {
        ask if needs_limit && ask.limit.is_none() => Err("max_tokens: Field required".to_owned()),
        // About four bytes a token.
        ask => Ok(Ask { input: size as u64 / 4, ..ask }),
    };
    Some(body.ok_or_else(|| "the body is not valid JSON".to_owned()).and_then(read))
}

fn content(
    head: &Parts,
    body: &Bytes,
    route: &Route,
    asked: Option<Result<Ask, String>>,
    script: &Script,
    seed: u64,
) -> Content {
    let dialect = match route {
        Route::Generate(Dialect::Anthropic) | Route::CountTokens | Route::Models(Dialect::Anthropic) => {
            Dialect::Anthropic
        }
        Route::Generate(Dialect::OpenAi) | Route::Models(Dialect::OpenAi) | Route::Echo => Dialect::OpenAi,
    };
    if let Some(mistake) = &script.mistake {
        return fault(dialect, 500, mistake);
    }
    if let Some(body) = &script.body {
        return Content {
            status: script.status,
            kind: "application/json",
            events: vec![body.clone()],
            lead: None,
        };
    }
    if let (Some(refusal), Route::Generate(_)) = (script.refusal, route) {
        return refused(dialect, refusal);
    }
    if script.status >= 400 {
        return fault(dialect, script.status, &format!("scripted status {}", script.status));
    }
    match (route, asked) {
        (_, Some(Err(wrong))) => fault(dialect, 400, &wrong),
        (Route::Generate(_), Some(Ok(ask))) if ask.prefilled && !script.prefill => {
            fault(dialect, 400, "the last message must be the user's")
        }
        (Route::CountTokens, Some(Ok(ask))) => {
            whole(script.status, &json!({"input_tokens": script.input.unwrap_or(ask.input)}))
        }
        (Route::Generate(_), Some(Ok(ask))) => generated(dialect, &ask, script, seed),
        (Route::Models(_), _) => whole(script.status, &models(dialect)),
        _ => whole(script.status, &echo(head, body)),
    }
}

fn generated(dialect: Dialect, ask: &Ask, script: &Script, seed: u64) -> Content {
    let answer = answer(ask, script);
    let lead = usize::from(script.empty_first) + if dialect == Dialect::OpenAi { 1 } else { 2 };
    if !ask.stream {
        let body = match dialect {
            Dialect::OpenAi => openai::whole(ask, &answer, script, seed),
            Dialect::Anthropic => anthropic::whole(ask, &answer, script, seed),
        };
        return whole(script.status, &body);
    }
    // Each event as its name (if the dialect names events) and its data.
    let mut events: Vec<(Option<String>, String)> = match dialect {
        Dialect::OpenAi => {
            let done = script.done.then(|| "[DONE]".to_owned());
            openai::stream(ask, &answer, script, seed)
                .into_iter()
                .chain(done)
                .map(|data| (None, data))
                .collect()
        }
        Dialect::Anthropic => anthropic::stream(ask, &answer, script, seed).iter().map(named).collect(),
    };
    if let Some(position) = script.error_at {
        events.truncate(position);
        events.push(match dialect {
            Dialect::OpenAi => (None, openai::fault(500, "scripted error").to_string()),
            Dialect::Anthropic => named(&anthropic::fault(529, "scripted error")),
        });
    }
    if let Some(position) = script.noise.map(|tokens| lead + tokens)
        && let Some((name, data)) = events.get(position).cloned()
    {
        events.insert(position, (name, broken(&data)));
    }
    if let Some(Garbage::At(Place::Event(position))) = script.placed(Some(lead), 0).garbage
        && let Some((_, data)) = events.get_mut(position)
    {
        *data = broken(data);
    }
    let events = events.iter().map(|(name, data)| framed(name.as_deref(), data, script)).collect();
    Content { status: script.status, kind: "text/event-stream; charset=utf-8", events, lead: Some(lead) }
}

fn named(data: &Value) -> (Option<String>, String) {
    (data.get("type").and_then(Value::as_str).map(str::to_owned), data.to_string())
}

/// An event as bytes: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
fn framed(name: Option<&str>, data: &str, script: &Script) -> Bytes {
    let end = if script.crlf { "\r\n" } else { "\n" };
    let mut text = String::with_capacity(data.len() + 64);
    if script.comments {
        text.extend([": keep-alive", end, end]);
    }
    if let Some(name) = name {
        text.extend(["event: ", name, end]);
    }
    text.extend(["data: ", data, end, end]);
    text.into()
}

fn dressed(mut content: Content, script: &Script, seed: u64) -> Plan {
    let length: usize = content.events.iter().map(Bytes::len).sum();
    let (streamed, script) = (content.lead.is_some(), &script.placed(content.lead, length));
    if script.garbage == Some(Garbage::At(Place::Event(0))) && !streamed {
        content.events =
            content.events.iter().map(|body| broken(&String::from_utf8_lossy(body)).into()).collect();
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.kind));
    if let Ok(id) = HeaderValue::from_str(&identity("req_", 24, seed)) {
        headers.insert("x-request-id", id);
    }
    if let Some(date) =
        script.retry_date.and_then(|seconds| HeaderValue::from_str(&date::in_seconds(seconds)).ok())
    {
        headers.insert(RETRY_AFTER, date);
    }
    for (name, value) in &script.headers {
        headers.insert(name, value.clone());
    }
    let unstated = streamed || (script.cut.is_some() && script.how == How::Eof);
    let length = content.events.iter().map(|event| event.len() as u64).sum();
    let start = match (script.cut, script.garbage) {
        _ if script.silent => Start::Never,
        (Some(Cut::Head), _) => Start::Break(script.how),
        (_, Some(Garbage::Head)) => Start::Garbage,
        _ => Start::Head,
    };
    Plan {
        head_wait: script.head_wait,
        start,
        status: StatusCode::from_u16(content.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers,
        steps: steps(&content.events, content.lead.unwrap_or(0), script).into(),
        length: (!unstated).then_some(length),
    }
}

/// The first half of some JSON, which is none.
fn broken(json: &str) -> String {
    json.chars().take(json.chars().count() / 2).collect()
}

fn whole(status: u16, body: &Value) -> Content {
    Content { status, kind: "application/json", events: vec![body.to_string().into()], lead: None }
}

/// What a provider says that will not answer: <https://platform.openai.com/docs/guides/error-codes>,
/// <https://docs.anthropic.com/en/api/errors>
fn refused(dialect: Dialect, refusal: Refusal) -> Content {
    let (code, message) = match (dialect, refusal) {
        (Dialect::OpenAi, Refusal::Context) => {
            ("context_length_exceeded", "the context length is 128 tokens")
        }
        (Dialect::OpenAi, Refusal::Filter) => ("content_filter", "the prompt was filtered"),
        (Dialect::Anthropic, Refusal::Context) => ("", "prompt is too long: 4096 tokens > 128 maximum"),
        (Dialect::Anthropic, Refusal::Filter) => ("", "Output blocked by content filtering policy"),
    };
    match dialect {
        Dialect::OpenAi => whole(400, &openai::refusal(code, message)),
        Dialect::Anthropic => fault(dialect, 400, message),
    }
}

fn fault(dialect: Dialect, status: u16, message: &str) -> Content {
    whole(
        status,
        &match dialect {
            Dialect::OpenAi => openai::fault(status, message),
            Dialect::Anthropic => anthropic::fault(status, message),
        },
    )
}

fn models(dialect: Dialect) -> Value {
    let names = ["kit-large", "kit-small"];
    match dialect {
        Dialect::OpenAi => {
            let one =
                |name| json!({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "kit"});
            json!({"object": "list", "data": names.map(one)})
        }
        Dialect::Anthropic => {
            let one = |name| json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"});
            json!({"data": names.map(one), "has_more": false, "first_id": "kit-large", "last_id": "kit-small"})
        }
    }
}

fn echo(head: &Parts, body: &Bytes) -> Value {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "method": head.method.as_str(),
        "target": head.uri.path_and_query().map(ToString::to_string),
        "headers": headers,
        "body_length": body.len(),
        "body_sha256": hash,
    })
}
