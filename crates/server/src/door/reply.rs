//! Answers on their way to the client.

use super::{
    io::ClientIo,
    worker::{Stage, Worker},
};
use crate::drive::{Drive, Step};
use bytes::Bytes;
use dialect::{DialectId, Fault, FaultKind};
use engine::{rates::Priority, surface::Route};

use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Map, Value, json};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body of an answer.
pub(crate) struct ReplyBody {
    kind: Kind,
    client: ClientIo,
}

enum Kind {
    Whole(Option<Bytes>),
    Driven(Box<Driven>),
}

/// A body that comes from an exchange as it is driven.
pub(crate) struct Driven {
    drive: Drive,
    length: Option<u64>,
    /// The first piece has just gone: let it be flushed before the next one is looked at, however fast the
    /// provider is. A reader waits for the first word, not for the tenth.
    flush: bool,
    begun: bool,
}

impl Driven {
    pub(super) fn new(drive: Drive, length: Option<u64>) -> Self {
        Driven { drive, length, flush: false, begun: false }
    }
}

impl ReplyBody {
    pub(super) fn driven(driven: Driven, client: &ClientIo) -> Self {
        ReplyBody { kind: Kind::Driven(Box::new(driven)), client: client.clone() }
    }

    pub(super) fn none(client: &ClientIo) -> Self {
        ReplyBody { kind: Kind::Whole(None), client: client.clone() }
    }

    fn whole(bytes: Bytes, client: &ClientIo) -> Self {
        ReplyBody { kind: Kind::Whole(Some(bytes)), client: client.clone() }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.client.idle();
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let driven = match &mut self.kind {
            Kind::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Driven(driven) => driven,
        };
        if std::mem::take(&mut driven.flush) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match ready!(driven.drive.poll_step(cx)) {
            Step::Body(bytes) => {
                driven.flush = !std::mem::replace(&mut driven.begun, true) && driven.length.is_none();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Step::Over => Poll::Ready(None),
            Step::Abort | Step::Head(_) => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Driven(driven) => driven.length.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

/// An answer without a body.
pub(super) fn empty(worker: &Worker, client: &ClientIo, status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::none(client));
    *response.status_mut() = status;
    mark(worker, DialectId::OpenaiChat, &mut response);
    response
}

/// An answer in JSON, for a caller of `dialect`.
pub(crate) fn json(
    worker: &Worker,
    client: &ClientIo,
    dialect: DialectId,
    status: StatusCode,
    value: &Value,
) -> Response<ReplyBody> {
    bytes(worker, client, dialect, status, value.to_string().into())
}

/// A refusal that no exchange has told.
pub(super) fn fault(
    worker: &Worker,
    client: &ClientIo,
    dialect: DialectId,
    fault: &Fault,
) -> Response<ReplyBody> {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = bytes(worker, client, dialect, status, dialect.dialect().write_fault(fault).into());
    let headers = response.headers_mut();
    if let Some((name, value)) = dialect.dialect().fault_header(fault) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    match fault.kind {
        FaultKind::Unauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What is left of the request is not read, so the connection cannot be used again.
        FaultKind::TooLarge | FaultKind::HeadTooLarge | FaultKind::RequestTimeout | FaultKind::BadRequest => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// A refusal before the body is read. Where some of it is `left`, no other request can follow on the
/// connection, and the client must know before it sends one.
pub(super) fn unread(
    worker: &Worker,
    client: &ClientIo,
    dialect: DialectId,
    told: &Fault,
    left: bool,
) -> Response<ReplyBody> {
    let mut response = fault(worker, client, dialect, told);
    if left {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The path is there, the method is not.
pub(super) fn wrong_method(
    worker: &Worker,
    client: &ClientIo,
    route: &Route,
    left: bool,
) -> Response<ReplyBody> {
    let methods = route.methods.join(", ");
    let told = Fault::new(FaultKind::MethodNotAllowed, format!("this path takes {methods}"));
    let mut response = unread(worker, client, route.dialect, &told, left);
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// The gateway's health; details are for who has a key. `/` and `/health/live` say that it is there, the
/// others that it takes requests.
pub(super) fn health(worker: &Worker, client: &ClientIo, route: &Route, detail: bool) -> Response<ReplyBody> {
    let red = !matches!(route.path, "/" | "/health/live") && worker.stage() != Stage::Serving;
    let mut body = json!({ "status": if red { "draining" } else { "ok" }, "ok": !red, "service": "sekisho" });
    if detail && let Some(members) = body.as_object_mut() {
        let providers: Vec<_> =
            worker.plan().providers.iter().map(|provider| provider.name.clone()).collect();
        members.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        members.insert("providers".into(), providers.into());
        let ledger = worker.ledger();
        let (in_flight, waiting) = (ledger.in_flight(), ledger.waiting());
        drop(ledger);
        let classes = Priority::ALL.into_iter().zip(waiting.classes);
        let classes: Map<_, _> = classes.map(|(class, now)| (class.name().to_owned(), now.into())).collect();
        members.insert("in_flight".into(), in_flight.into());
        members.insert("waiting".into(), classes.into());
    }
    json(
        worker,
        client,
        route.dialect,
        if red { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK },
        &body,
    )
}

fn bytes(
    worker: &Worker,
    client: &ClientIo,
    dialect: DialectId,
    status: StatusCode,
    body: Bytes,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body, client));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark(worker, dialect, &mut response);
    response
}

fn mark(worker: &Worker, dialect: DialectId, response: &mut Response<ReplyBody>) {
    if let Ok(id) = HeaderValue::from_str(&worker.id().0) {
        if let Some(name) = dialect.dialect().id_header() {
            response.headers_mut().insert(name, id.clone());
        }
        response.headers_mut().insert("x-request-id", id);
    }
}
