//! From a request and its script to the response: pure, so that it can be read and tested at rest.

use super::{
    answer::{Ask, answer},
    bedrock, date, embeddings, identity,
    routes::{self, Action, Dialect, Event, Framing, Given, Route},
    script::{Cut, Garbage, How, Place, Refusal, Script, directive},
    steps::{Step, steps},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{rc::Rc, time::Duration};

/// The models that the provider says it has.
const MODELS: &[&str] = &["kit-large", "kit-small"];
const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";
const AWS: &str = "application/vnd.amazon.eventstream";

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
    let route = routes::find(head);
    let asked = asked(route, head, body, script.lenient);
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
    let mut plan = dressed(content, &script, seed);
    if route.dialect.framing == Framing::Aws && plan.status.as_u16() >= 400 {
        let kind = HeaderValue::from_static(bedrock::error_type(plan.status.as_u16()));
        plan.headers.entry("x-amzn-errortype").or_insert(kind);
    }
    plan
}

fn asked(route: &Route, head: &Parts, body: &Bytes, lenient: bool) -> Option<Result<Ask, String>> {
    let read = route.read?;
    let given: Option<Value> = serde_json::from_slice(body).ok();
    let path = head.uri.path();
    let read = |body: &Value| read(&Given { path, body, lenient });
    let asked = given.as_ref().ok_or_else(|| "the body is not valid JSON".to_owned()).and_then(read);
    // About four bytes a token.
    Some(asked.map(|ask| Ask { input: body.len() as u64 / 4, ..ask }))
}

fn content(
    head: &Parts,
    body: &Bytes,
    route: &Route,
    asked: Option<Result<Ask, String>>,
    script: &Script,
    seed: u64,
) -> Content {
    let fault = |status, message: &str| whole(status, &(route.dialect.fault)(status, message));
    if let Some(mistake) = &script.mistake {
        return fault(500, mistake);
    }
    if let Some(body) = &script.body {
        return Content { status: script.status, kind: JSON, events: vec![body.clone()], lead: None };
    }
    if let (Some(refusal), Action::Generate) = (script.refusal, route.action) {
        return refused(route.dialect, refusal);
    }
    if script.status >= 400 {
        return fault(script.status, &format!("scripted status {}", script.status));
    }
    match (route.action, asked) {
        (_, Some(Err(wrong))) => fault(400, &wrong),
        (Action::Generate, Some(Ok(ask))) if ask.prefill.is_some() && !script.prefill => {
            fault(400, "the last message must be the user's")
        }
        (Action::Count(tell), Some(Ok(ask))) => {
            whole(script.status, &tell(script.input.unwrap_or(ask.input)))
        }
        (Action::Generate, Some(Ok(ask))) => generated(route.dialect, &ask, head, script, seed),
        (Action::Embed(tell), Some(Ok(ask))) => whole(script.status, &tell(&ask, &embeddings::vectors(&ask))),
        (Action::Models(tell), _) => whole(script.status, &tell(MODELS)),
        _ => whole(script.status, &echo(head, body)),
    }
}

fn generated(dialect: &Dialect, ask: &Ask, head: &Parts, script: &Script, seed: u64) -> Content {
    let answer = answer(ask, script);
    let lead = usize::from(script.empty_first) + dialect.lead;
    if !ask.stream {
        return whole(script.status, &(dialect.whole)(ask, &answer, script, seed));
    }
    let mut events = (dialect.stream)(ask, &answer, script, seed);
    if let Some(position) = script.error_at {
        events.truncate(position);
        events.push((dialect.stream_fault)("scripted error"));
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
    let in_array = !head.uri.query().unwrap_or_default().contains("alt=sse");
    let (kind, events) = match dialect.framing {
        Framing::Aws => (AWS, events.iter().map(bedrock::frame).collect()),
        Framing::Google if in_array => (JSON, elements(&events)),
        framing => {
            let crlf = script.crlf || framing == Framing::Google;
            (SSE, events.iter().map(|event| framed(event, script, crlf)).collect())
        }
    };
    Content { status: script.status, kind, events, lead: Some(lead) }
}

/// Events as the elements of an array, each with what stands around it:
/// <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>.
fn elements(events: &[Event]) -> Vec<Bytes> {
    let last = events.len().saturating_sub(1);
    let element = |(place, (_, data)): (usize, &Event)| {
        let (before, behind) = (if place == 0 { "[" } else { ",\r\n" }, if place == last { "]" } else { "" });
        Bytes::from(format!("{before}{data}{behind}"))
    };
    events.iter().enumerate().map(element).collect()
}

/// An event as bytes: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
fn framed((name, data): &Event, script: &Script, crlf: bool) -> Bytes {
    let end = if crlf { "\r\n" } else { "\n" };
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
    Content { status, kind: JSON, events: vec![body.to_string().into()], lead: None }
}

/// What a provider says that will not answer: <https://platform.openai.com/docs/guides/error-codes>,
/// <https://docs.anthropic.com/en/api/errors>
fn refused(dialect: &Dialect, refusal: Refusal) -> Content {
    let (code, plain, message) = match refusal {
        Refusal::Context => (
            "context_length_exceeded",
            "prompt is too long: 4096 tokens > 128 maximum",
            "the context length is 128 tokens",
        ),
        Refusal::Filter => {
            ("content_filter", "Output blocked by content filtering policy", "the prompt was filtered")
        }
    };
    let body = dialect.refusal.map_or_else(|| (dialect.fault)(400, plain), |tell| tell(code, message));
    whole(400, &body)
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
