//! The native door: accepts connections, refuses what must not come in, and hands the rest to the engine.

pub(crate) mod body;
mod cors;
pub(crate) mod filter;
mod gate;
pub(crate) mod io;
pub(crate) mod reply;
pub(crate) mod worker;

use crate::{
    drive::{Drive, Step},
    limits::{CONNECTION_BUFFER, H2_CLIENT_WINDOWS, H2_STREAMS_MAX},
    models,
    upload::Upload,
    upstream::LocalExec,
};
use body::{Begun, Permit};
use dialect::{DialectId, Fault, FaultKind};
use engine::{
    access::{self, Caller},
    exchange::{Exchange, Inbound, Named},
    form::Form,
    headers,
    limits::{HEAD_MAX, HEADERS_MAX},
    path::{self, KeyChoice, Pass},
    plan::{Plan, PlanHandle, Provider},
    surface::{self, Action, Found, Route},
};
use gate::Gated;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts, uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use io::ClientIo;
use reply::{Driven, ReplyBody};
use std::{future::poll_fn, pin::pin, rc::Rc};
use tokio::{net::TcpStream, task::spawn_local};
use worker::{Stage, Worker};

/// The connection broke before there was an answer.
#[derive(Debug)]
pub(crate) struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client has gone")
    }
}

impl std::error::Error for Gone {}

/// Serves one client connection until it ends.
pub(crate) async fn connection(worker: Rc<Worker>, stream: TcpStream) {
    // Small answers must not wait for the client's acknowledgement of the piece before.
    let _ = stream.set_nodelay(true);
    let client = ClientIo::new(stream);
    let mut builder = auto::Builder::new(LocalExec);
    builder.http1().max_buf_size(CONNECTION_BUFFER).max_headers(HEADERS_MAX).header_read_timeout(None);
    let (stream_window, connection_window) = H2_CLIENT_WINDOWS;
    builder
        .http2()
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_concurrent_streams(u32::try_from(H2_STREAMS_MAX).ok())
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX));
    let service = service_fn(|request| serve(worker.clone(), client.clone(), request));
    let mut stages = worker.shared.stages.subscribe();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(client.clone()), service));
    let mut expired = Gated::new(client.expired());
    let ended = loop {
        let changed = Gated::new(stages.changed());
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended.is_ok(),
            () = &mut expired => break false,
            changed = changed => if changed.is_err() { break false },
        }
        // As long as new requests are taken, one that may be on its way is: its answer says that it was the
        // last here.
        if worker.stage() > Stage::LameDuck || !client.awaits_answer() {
            connection.as_mut().graceful_shutdown();
        }
    };
    if let Some(drive) = client.take_over().filter(|_| ended) {
        tunnel(&worker, &client, *drive).await;
    }
}

/// Drives an exchange that has made a WebSocket of its client's connection.
async fn tunnel(worker: &Worker, client: &ClientIo, mut drive: Drive) {
    let _serving = client.served(false);
    let mut stages = worker.shared.stages.subscribe();
    loop {
        tokio::select! {
            biased;
            step = poll_fn(|cx| drive.poll_step(cx)) => if matches!(step, Step::Abort | Step::Over) { return },
            changed = stages.changed() => if changed.is_err() { return },
        }
    }
}

/// Serves one request.
async fn serve(
    worker: Rc<Worker>,
    client: ClientIo,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Gone> {
    let serving = client.served(request.version() == Version::HTTP_2);
    let plan = worker.plan();
    let (parts, body) = request.into_parts();
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let mut response = match route(&worker, &client, &plan, parts, body).await? {
        Ok(response) => response,
        Err((dialect, fault)) => reply::fault(&worker, &client, dialect, &fault),
    };
    serving.answered();
    cors::allow(plan.cors.as_ref(), origin.as_ref(), response.headers_mut());
    if worker.stage() > Stage::Serving && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

type Routed = Result<Response<ReplyBody>, (DialectId, Fault)>;

async fn route(
    worker: &Rc<Worker>,
    client: &ClientIo,
    plan: &PlanHandle,
    parts: Parts,
    body: Incoming,
) -> Result<Routed, Gone> {
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let (key, target) = path::key_choice(&target);
    let (plain, query) = target.split_once('?').unwrap_or((target, ""));
    let found = surface::find(plain);
    let dialect = found.map_or(DialectId::OpenaiChat, |found| found.route.dialect_for(&parts.headers));
    let left = !body.is_end_stream();
    let refuse = |fault| Ok(Ok(reply::unread(worker, client, dialect, &fault, left)));
    let chunks = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let both = chunks && client.head_names("content-length");
    let keyed = dialect == DialectId::Gemini;
    let named = found.is_some_and(|found| found.model.is_some());
    if let Err(fault) = filter::check(&parts, both, keyed, named).and_then(|()| worker.guard(plan, &parts)) {
        return refuse(fault);
    }
    if parts.method == Method::OPTIONS && plan.cors.is_some() {
        return Ok(Ok(cors::preflight(worker, client, &parts)));
    }
    let Some(Found { route, model }) = found else { return refuse(nothing_here()) };
    if !route.takes(parts.method.as_str()) {
        return Ok(Ok(reply::wrong_method(worker, client, route, left)));
    }
    let key_of_query = path::query(query).find(|(name, _)| keyed && name == "key").map(|(_, key)| key);
    let socket = matches!(route.action, Action::Socket | Action::Pass)
        && headers::wants_socket(&parts.method, &parts.headers);
    if socket && let Err(fault) = clean_socket(client, &parts) {
        return refuse(fault);
    }
    let key_of_protocol =
        socket.then(|| access::protocols(&parts.headers).find_map(access::key_of_protocol)).flatten();
    let caller = match access::admit(plan, &parts.headers, key_of_query.as_deref().or(key_of_protocol)) {
        Ok(caller) => caller,
        Err(_) if !route.guarded => return Ok(Ok(reply::health(worker, client, route, false))),
        Err(fault) => return refuse(fault),
    };
    let named = model.filter(|_| matches!(route.action, Action::Do(_))).map(|model| Named {
        model: path::decode(model).unwrap_or_default(),
        stream: route.stream,
        list: keyed && path::query(query).all(|member| member != ("alt".to_owned(), "sse".to_owned())),
    });
    let asked = Asked { key, caller, named, parts, body };
    match route.action {
        Action::Health => Ok(Ok(reply::health(worker, client, route, true))),
        // Rare and large: boxed, so that every other request does not carry their room about.
        Action::Models => Ok(Ok(Box::pin(models::list(worker, client, plan, dialect)).await)),
        Action::Model => Ok(Box::pin(models::one(worker, client, plan, dialect, model.unwrap_or_default()))
            .await
            .map_err(|fault| (dialect, fault))),
        Action::Do(_) | Action::Relay | Action::RelayModel | Action::Keep | Action::Socket => {
            exchange(worker, client, plan, (route, dialect, target, None), asked).await
        }
        Action::Pass => {
            let Some(pass) = plan.pass(target) else { return refuse(nothing_here()) };
            let dialect = plan.providers.get(pass.provider).map_or(dialect, Provider::dialect);
            exchange(worker, client, plan, (route, dialect, target, Some(pass)), asked).await
        }
    }
}

/// Reads the body and drives the exchange that `route` begins. Its faults are told in `dialect`.
async fn exchange(
    worker: &Rc<Worker>,
    client: &ClientIo,
    plan: &PlanHandle,
    (route, dialect, target, pass): (&Route, DialectId, &str, Option<Pass<'_>>),
    asked: Asked,
) -> Result<Routed, Gone> {
    let (inbound, kept) = match asked.read(worker, plan, route.action).await {
        Ok(read) => read,
        Err(fault) => return Ok(Err((dialect, fault))),
    };
    let exchange = match (route.action, pass) {
        (Action::Do(operation), _) => Exchange::call(plan.clone(), dialect, operation, inbound),
        (_, Some(pass)) => Exchange::pass(plan.clone(), pass.provider, pass.path, inbound),
        (action, None) => Exchange::relay(plan.clone(), action, target, inbound),
    };
    if let Some(mirror) = exchange.mirror() {
        reflect(worker, mirror, &kept.0);
    }
    drive(worker, client, exchange, kept).await.map(Ok)
}

/// Does a request once more for nobody, beside the one that matters and behind it: only where there is room, in
/// numbers and in memory.
fn reflect(worker: &Rc<Worker>, mirror: Exchange, permit: &Permit) {
    let (Some(place), Some(permit)) = (worker.mirror(), permit.again()) else { return };
    let drive = Drive::new(mirror, worker.clone(), None, (permit, None));
    spawn_local(async move {
        drive.alone().await;
        drop(place);
    });
}

/// Nothing but a head may come before a connection becomes a WebSocket: what stands behind it would be a
/// request to one of us and bytes of the WebSocket to the other.
fn clean_socket(client: &ClientIo, parts: &Parts) -> Result<(), Fault> {
    let length = parts.headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    if length && !parts.headers.contains_key(header::TRANSFER_ENCODING) && client.head_is_all() {
        return Ok(());
    }
    Err(Fault::bad("Upgrade", "nothing may stand behind a request for a WebSocket before its answer"))
}

fn nothing_here() -> Fault {
    Fault::new(FaultKind::NotFound, "there is nothing at this path")
        .hint("`sekisho routes` lists what there is")
}

/// A request whose caller may call.
struct Asked {
    key: KeyChoice,
    caller: Caller,
    named: Option<Named>,
    parts: Parts,
    body: Incoming,
}

impl Asked {
    /// Reads its body: of a form that is relayed, no more than must be known.
    async fn read(self, worker: &Rc<Worker>, plan: &Plan, action: Action) -> Result<(Inbound, Kept), Fault> {
        let arrived = worker.now();
        let Asked { caller, named, key, parts: Parts { method, headers, .. }, body } = self;
        let form = if matches!(action, Action::Do(_)) { Ok(None) } else { Form::of(&headers) };
        let begun = if matches!(form, Ok(None)) {
            let (body, permit) = body::read(worker, body, &headers, plan.body_max).await?;
            Begun { body, field: None, rest: None, permit }
        } else {
            let by_model = action == Action::Relay && !headers.contains_key(headers::PROVIDER);
            let form = if by_model { form? } else { None };
            // Boxed: rare, and larger than all the rest.
            Box::pin(body::begin(worker, body, &headers, plan.body_max, form)).await?
        };
        let (id, roll) = worker.id();
        let Begun { body, field, rest, permit } = begun;
        let more = rest.is_some();
        let inbound = Inbound { id, caller, method, headers, body, more, field, named, key, roll, arrived };
        Ok((inbound, (permit, rest)))
    }
}

/// What is held of a request's body, and what is still to come of it.
type Kept = (Permit, Option<Upload>);

/// Drives an exchange up to its head; the body drives it on.
async fn drive(
    worker: &Rc<Worker>,
    client: &ClientIo,
    exchange: Exchange,
    kept: Kept,
) -> Result<Response<ReplyBody>, Gone> {
    let mut drive = Drive::new(exchange, worker.clone(), Some(client.clone()), kept);
    match poll_fn(|cx| drive.poll_step(cx)).await {
        Step::Head(head) => {
            let uploads = drive.uploads();
            let body = if head.status == StatusCode::SWITCHING_PROTOCOLS {
                client.hand_over(drive);
                ReplyBody::none(client)
            } else {
                ReplyBody::driven(Driven::new(drive, head.length), client)
            };
            let mut response = Response::new(body);
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            if uploads {
                // An answer that comes before the end of the request may be all that is wanted of it.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
        Step::Body(_) | Step::Abort | Step::Over => Err(Gone),
    }
}

impl Worker {
    /// Without client keys this gateway is open to its own machine, and a web page must not borrow that: a
    /// name that only resolves to this machine (DNS rebinding) and a page of another origin are refused.
    fn guard(&self, plan: &Plan, parts: &Parts) -> Result<(), Fault> {
        if !self.shared.loopback_only || !plan.access.keys.is_empty() {
            return Ok(());
        }
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        if !filter::is_loopback(host) {
            let fault = Fault::new(
                FaultKind::Misdirected,
                "`Host` must name this machine while there are no client keys",
            );
            return Err(fault.hint("use `127.0.0.1` or `localhost`, or set `SEKISHO_KEYS`"));
        }
        match parts.headers.get(header::ORIGIN) {
            Some(origin) if !cors::is_own(plan.cors.as_ref(), origin) => {
                let fault =
                    Fault::new(FaultKind::Forbidden, "web pages may not call while there are no client keys");
                Err(fault.hint("set `SEKISHO_KEYS`, or name the page's origin in `cors`"))
            }
            _ => Ok(()),
        }
    }
}
