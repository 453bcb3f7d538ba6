//! The head of our answer, and which way its body goes.

use super::{Exchange, Reply, Task, UpstreamHead, beat::Form, prefill::Prefill, render};
use crate::{headers, limits, plan::Streams, provider::Operation};
use bytes::Bytes;
use dialect::{DialectId, Fault, FaultKind, Losses, pipe::Pipe};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TARGET: HeaderName = HeaderName::from_static("x-sekisho-target");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-sekisho-attempts");
const ESTIMATED: HeaderName = HeaderName::from_static("x-sekisho-estimated");
const LOSS: HeaderName = HeaderName::from_static("x-sekisho-loss");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The way of an answer's body to the caller.
pub(super) struct Way {
    pub(super) pipe: Pipe,
    /// The caller gets a stream of events.
    pub(super) streamed: bool,
    /// These are the elements of a JSON array.
    pub(super) listed: bool,
    /// Nothing is rewritten.
    pub(super) relayed: bool,
    /// It comes all at once, when the provider's is whole, and has a length of its own.
    pub(super) gathered: bool,
    /// Another target could go on with this answer where it breaks off: what is sent is kept.
    pub(super) guarded: bool,
}

impl Way {
    /// Untouched bytes.
    pub(super) fn raw() -> Way {
        Way { relayed: true, ..Way::of(Pipe::raw()) }
    }

    /// A whole answer on its way through `pipe`.
    pub(super) fn of(pipe: Pipe) -> Way {
        Way { pipe, streamed: false, listed: false, relayed: false, gathered: false, guarded: false }
    }
}

impl Exchange {
    /// The dialect in which the caller is told of things.
    pub(super) fn caller_dialect(&self) -> DialectId {
        match &self.task {
            Task::Call(call) => call.dialect,
            Task::Pass { .. } => self.dialect_of(0),
            Task::Refused(dialect) => *dialect,
        }
    }

    /// Chooses the way of an answer whose head has come.
    pub(super) fn open(
        &mut self,
        head: &UpstreamHead,
        aim: usize,
        prefill: Option<&Prefill>,
    ) -> Result<Way, Fault> {
        let provider = self.dialect_of(aim);
        let lost = || Fault::new(FaultKind::UpstreamTruncated, "the provider's answer broke off");
        let resume = if self.is_told() { Some(self.resume().ok_or_else(lost)?) } else { None };
        let resume = match (resume, prefill) {
            (Some(resume), Some(prefill)) => Some(resume.given(prefill.tokens, prefill.echoed)),
            (resume, _) => resume,
        };
        let others = !self.left.is_empty() && self.plan.failover.streams == Streams::Recover;
        if self.is_relay() {
            let (events, plain) = (is_events(&head.headers, provider), !is_compressed(&head.headers));
            let metered = self.is_routed() && plain && (events || is_of_kind(&head.headers, &JSON));
            let pipe = if metered { Pipe::aside(events) } else { Pipe::raw() };
            return Ok(Way { pipe, ..Way::raw() });
        }
        if let Some(shapes) = self.embeds(aim) {
            return self.open_embeddings(shapes, head);
        }
        let Task::Call(call) = &mut self.task else { return Ok(Way::raw()) };
        let same = provider == call.dialect;
        if is_compressed(&head.headers) && (!same || self.status.is_some()) {
            return Err(compressed());
        }
        // We asked for plain bytes. What cannot be read can still be relayed where no head has gone.
        if call.operation != Operation::Generate || is_compressed(&head.headers) {
            return Ok(Way::raw());
        }
        let events = is_events(&head.headers, provider);
        let relayed = same && events == call.stream && resume.is_none();
        let listed = call.stream && self.inbound.named.as_ref().is_some_and(|named| named.list);
        let guarded = call.stream && others && !listed;
        let pipe = match resume {
            Some(resume) => Pipe::resume(provider, events, resume),
            None if !relayed => {
                let asked = render::canonical(call, &self.inbound.body)?;
                Pipe::translate(provider, events, asked)
                    .of(&self.inbound.id, self.inbound.arrived.unix_seconds())
            }
            None if !events && !head.framed => Pipe::relay_unframed(provider),
            None => Pipe::relay(provider, events),
        };
        let pipe = if listed { pipe.listed() } else { pipe };
        let pipe = if guarded { pipe.guarded() } else { pipe };
        Ok(Way { streamed: call.stream, listed, relayed: relayed && !listed, guarded, ..Way::of(pipe) })
    }
}

/// The head of an answer that a provider gave.
pub(super) fn success(exchange: &Exchange, from: UpstreamHead, relayed: bool, streamed: bool) -> Reply {
    let length = if relayed { content_length(&from.headers) } else { None };
    // Another API's `201 Created` says nothing in the caller's.
    let status = if relayed { from.status } else { StatusCode::OK };
    let mut headers = from.headers;
    if relayed {
        headers::backward(&mut headers);
    } else {
        headers.clear();
    }
    if !relayed {
        let events =
            || HeaderValue::from_static(exchange.caller_dialect().dialect().framing().content_type());
        headers.insert(header::CONTENT_TYPE, if streamed { events() } else { JSON });
    }
    if streamed {
        // Proxies on the way to the caller must not gather events.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    ours(exchange, &mut headers);
    Reply { status, headers, length }
}

/// The head that goes out with the first heartbeat. Nobody has answered, so it cannot say who did.
pub(super) fn early(exchange: &Exchange) -> Reply {
    let mut headers = HeaderMap::with_capacity(6);
    let events = exchange.form() == Some(Form::Events);
    let dialect = exchange.caller_dialect().dialect();
    let kind = if events { HeaderValue::from_static(dialect.framing().content_type()) } else { JSON };
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    ids(exchange, &mut headers);
    Reply { status: StatusCode::OK, headers, length: None }
}

/// The head with which a caller's connection becomes a WebSocket.
pub(super) fn socket(exchange: &Exchange, head: &UpstreamHead) -> Reply {
    let mut headers = head.headers.clone();
    headers::backward(&mut headers);
    headers::shake(&head.headers, &mut headers);
    ours(exchange, &mut headers);
    Reply { status: head.status, headers, length: None }
}

/// The head and the body of an answer that no provider gave: how many tokens a prompt has, about.
pub(super) fn estimate(exchange: &Exchange, dialect: DialectId, tokens: u64) -> (Reply, Bytes) {
    let body: Bytes = dialect.dialect().write_count(tokens).into();
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(ESTIMATED, HeaderValue::from_static("true"));
    ours(exchange, &mut headers);
    let length = u64::try_from(body.len()).ok();
    (Reply { status: StatusCode::OK, headers, length }, body)
}

/// The head and the body that tell a fault.
pub(super) fn fault(exchange: &Exchange, fault: &Fault) -> (Reply, Bytes) {
    let body: Bytes = exchange.caller_dialect().dialect().write_fault(fault).into();
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some((name, value)) = exchange.caller_dialect().dialect().fault_header(fault) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(ms) = fault.retry_after_ms {
        headers.insert(header::RETRY_AFTER, ms.div_ceil(1_000).into());
    }
    ours(exchange, &mut headers);
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let length = u64::try_from(body.len()).ok();
    (Reply { status, headers, length }, body)
}

/// What every answer says of us.
fn ours(exchange: &Exchange, headers: &mut HeaderMap) {
    ids(exchange, headers);
    let heard = exchange.voice.and_then(|voice| exchange.trials.get(voice));
    let last = heard.or(exchange.trials.last()).filter(|_| exchange.is_routed());
    let Some(last) = last else { return };
    let target = match last.model.as_str() {
        "" => last.provider.clone(),
        model => [last.provider.as_str(), model].join("/"),
    };
    headers.insert(TARGET, legible(&target));
    headers.insert(ATTEMPTS, exchange.trials.len().into());
    if !exchange.losses.is_empty() {
        headers.insert(LOSS, loss_header(&exchange.losses));
    }
}

/// The ids by which the caller can speak of the request.
fn ids(exchange: &Exchange, headers: &mut HeaderMap) {
    if let Ok(id) = HeaderValue::from_str(&exchange.inbound.id) {
        // A provider's own id, where its answer is relayed, tells more.
        if let Some(name) = exchange.caller_dialect().dialect().id_header() {
            headers.entry(HeaderName::from_static(name)).or_insert_with(|| id.clone());
        }
        headers.insert(REQUEST_ID, id);
    }
}

fn loss_header(losses: &Losses) -> HeaderValue {
    let mut list = String::new();
    for loss in losses.iter() {
        if list.len() + loss.pointer.len() >= limits::LOSS_HEADER_MAX {
            break;
        }
        if !list.is_empty() {
            list.push(';');
        }
        list.push_str(&loss.pointer);
    }
    legible(&list)
}

/// Text as a header can hold it: what is not visible ASCII becomes `?`.
fn legible(text: &str) -> HeaderValue {
    if let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let legible: String =
        text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    HeaderValue::from_str(&legible).unwrap_or(HeaderValue::from_static("?"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_events(headers: &HeaderMap, provider: DialectId) -> bool {
    is_of_kind(headers, &HeaderValue::from_static(provider.dialect().framing().content_type()))
}

fn is_of_kind(headers: &HeaderMap, kind: &HeaderValue) -> bool {
    let own = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    own.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
}

pub(super) fn compressed() -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, "the provider compressed its answer unasked")
}

pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
