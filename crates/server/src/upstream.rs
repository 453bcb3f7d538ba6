//! The way to providers: pooled connections, one pool a core, nothing shared.
//!
//! HTTP/1.1 connections carry one exchange at a time, so that one stalled stream harms no other. HTTP/2 is
//! spoken where a provider's TLS offers it, with a small window for each stream and a huge one for the
//! connection: h2 counts small unread frames against half of the connection's window, and with the default
//! of 5 MiB a single stalled client would close the connection of all.

#[cfg(test)]
mod tests;

use crate::{
    limits::{H2_CONNECTION_WINDOW, H2_STREAM_WINDOW, H2_STREAMS_MAX, IDLE_CONNECTIONS_MAX},
    upload::Pieces,
};
use bytes::Bytes;
use engine::exchange::Io;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connection, HttpConnector},
    rt::TokioIo,
};
use std::{
    cell::{Cell, RefCell},
    error::Error,
    io,
    pin::Pin,
    rc::Rc,
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, task::spawn_local, time::timeout};
use tower_service::Service;

/// The connections of one core.
pub(crate) struct Pool {
    /// Few, and looked through in order: comparing is cheaper than hashing a name without regard to case.
    hosts: RefCell<Vec<(Host, Connections)>>,
    connect_timeout: Duration,
}

/// Where a connection leads.
#[derive(Clone)]
struct Host {
    tls: bool,
    authority: http::uri::Authority,
}

impl PartialEq for Host {
    /// To the letter: the same host always comes from the same plan, and a second spelling costs a
    /// connection and nothing else.
    fn eq(&self, other: &Host) -> bool {
        self.tls == other.tls && self.authority.as_str() == other.authority.as_str()
    }
}

#[derive(Default)]
struct Connections {
    /// Idle, the one used last on top.
    h1: Vec<http1::SendRequest<Pieces>>,
    h2: Vec<H2>,
}

#[derive(Clone)]
struct H2 {
    sender: http2::SendRequest<Pieces>,
    streams: Rc<Cell<usize>>,
}

/// A connection in use.
enum Lease {
    H1(http1::SendRequest<Pieces>),
    H2(H2),
}

impl Pool {
    /// No connection yet. A new one may take `connect_timeout`.
    pub(crate) fn new(connect_timeout: Duration) -> Rc<Self> {
        Rc::new(Pool { hosts: RefCell::default(), connect_timeout })
    }

    /// Sends a request. It is sent again only where hyper gives it back unwritten: a connection that had
    /// been idle can close at that very moment.
    ///
    /// One that asks for a WebSocket (`socket`) gets a connection of its own, over HTTP/1.1.
    ///
    /// # Errors
    /// How it failed.
    pub(crate) async fn send(
        self: Rc<Self>,
        request: Request<Pieces>,
        socket: bool,
    ) -> Result<Response<Answer>, Io> {
        let uri = request.uri().clone();
        let host = Host::of(&uri)?;
        let mut request = request;
        loop {
            let idle = if socket { None } else { self.idle(&host, request.body().is_once()).await };
            let fresh = idle.is_none();
            let mut lease = match idle {
                Some(lease) => lease,
                // Boxed: rare, and with TLS in it larger than all the rest.
                None => Box::pin(self.connect(&host, &uri, socket)).await?,
            };
            match lease.send(request).await {
                // What is no HTTP any more does not come back.
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Ok(response.map(|inner| Answer { inner, lease: None }));
                }
                Ok(response) => return Ok(response.map(|inner| Answer::new(inner, lease, host, self))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => {
                        request = unsent;
                        *request.uri_mut() = uri.clone();
                    }
                    _ => return Err(Io::Broken),
                },
            }
        }
    }

    /// An open connection that can take a request. One whose body can be sent only `once` must not meet a
    /// connection that closes at that very moment, as an idle one of HTTP/1.1 may.
    async fn idle(&self, host: &Host, once: bool) -> Option<Lease> {
        loop {
            let taken = self.take(host, once)?;
            match taken {
                Lease::H1(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Some(Lease::H1(sender));
                    }
                }
                Lease::H2(_) => return Some(taken),
            }
        }
    }

    fn take(&self, host: &Host, once: bool) -> Option<Lease> {
        let mut hosts = self.hosts.borrow_mut();
        let (_, connections) = hosts.iter_mut().find(|(known, _)| known == host)?;
        connections.h2.retain(|h2| !h2.sender.is_closed());
        let h2 = connections.h2.iter().find(|h2| h2.streams.get() < H2_STREAMS_MAX);
        if let Some(h2) = h2 {
            return Some(Lease::H2(h2.clone()));
        }
        while !once && let Some(sender) = connections.h1.pop() {
            if !sender.is_closed() {
                return Some(Lease::H1(sender));
            }
        }
        None
    }

    async fn connect(&self, host: &Host, uri: &Uri, socket: bool) -> Result<Lease, Io> {
        let stream = match timeout(self.connect_timeout, dial(host, uri.clone(), socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(io_of(&*error)),
            Err(_) => return Err(Io::ConnectTimeout),
        };
        if stream.connected().is_negotiated_h2() {
            self.shake_h2(host, stream).await
        } else {
            shake_h1(stream, socket).await
        }
    }

    async fn shake_h2(&self, host: &Host, stream: Stream) -> Result<Lease, Io> {
        let (sender, connection) = http2::Builder::new(LocalExec)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .handshake(stream)
            .await
            .map_err(|_| Io::Connect)?;
        spawn_local(connection);
        let h2 = H2 { sender, streams: Rc::default() };
        connections_to(&mut self.hosts.borrow_mut(), host).h2.push(h2.clone());
        Ok(Lease::H2(h2))
    }

    fn put(&self, host: &Host, sender: http1::SendRequest<Pieces>) {
        let mut hosts = self.hosts.borrow_mut();
        let connections = connections_to(&mut hosts, host);
        if connections.h1.len() < IDLE_CONNECTIONS_MAX {
            connections.h1.push(sender);
        }
    }
}

/// The connections to `host`, none where there have been none. Hosts come from the plan alone, so they are
/// few.
fn connections_to<'a>(hosts: &'a mut Vec<(Host, Connections)>, host: &Host) -> &'a mut Connections {
    let place = hosts.iter().position(|(known, _)| known == host).unwrap_or_else(|| {
        hosts.push((host.clone(), Connections::default()));
        hosts.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "`place` was found or made just above")]
    &mut hosts[place].1
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn Error + Send + Sync>;

async fn dial(host: &Host, uri: Uri, socket: bool) -> Result<Stream, BoxError> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    if host.tls {
        return tls(tcp, socket).call(uri).await;
    }
    Ok(MaybeHttpsStream::Http(tcp.call(uri).await?))
}

/// TLS with the machine's roots, or Mozilla's where the machine has none. Read once, when it is first needed.
/// For a WebSocket HTTP/1.1 alone is offered.
fn tls(tcp: HttpConnector, socket: bool) -> HttpsConnector<HttpConnector> {
    static CONFIG: OnceLock<rustls::ClientConfig> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions();
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        match builder {
            Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
            // The default provider supports the default versions.
            Err(_) => unreachable!("aws-lc-rs speaks TLS 1.3"),
        }
    });
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http();
    match socket {
        true => builder.enable_http1().wrap_connector(tcp),
        false => builder.enable_all_versions().wrap_connector(tcp),
    }
}

async fn shake_h1(stream: Stream, socket: bool) -> Result<Lease, Io> {
    let (sender, connection) = http1::Builder::new().handshake(stream).await.map_err(|_| Io::Connect)?;
    if socket {
        spawn_local(connection.with_upgrades());
    } else {
        spawn_local(connection);
    }
    Ok(Lease::H1(sender))
}

/// What kept a connection from standing.
fn io_of(error: &(dyn Error + 'static)) -> Io {
    if is_tls(error) { Io::Tls } else { Io::Connect }
}

/// What TLS says may lie anywhere in the chain; an IO error holds what it wraps beside the chain.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let below = || match wrapped {
        Some(wrapped) => is_tls(wrapped),
        None => error.source().is_some_and(is_tls),
    };
    error.is::<rustls::Error>() || below()
}

impl Host {
    fn of(uri: &Uri) -> Result<Host, Io> {
        let authority = uri.authority().ok_or(Io::Connect)?.clone();
        Ok(Host { tls: uri.scheme_str() == Some("https"), authority })
    }
}

impl Lease {
    async fn send(
        &mut self,
        mut request: Request<Pieces>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Pieces>>> {
        match self {
            Lease::H1(sender) => {
                origin_form(&mut request);
                sender.try_send_request(request).await
            }
            Lease::H2(h2) => {
                h2.streams.set(h2.streams.get() + 1);
                let sent = h2.sender.try_send_request(request).await;
                if sent.is_err() {
                    h2.streams.set(h2.streams.get().saturating_sub(1));
                }
                sent
            }
        }
    }
}

/// HTTP/1.1 wants the path in the request line and the host in a header.
fn origin_form(request: &mut Request<Pieces>) {
    let uri = request.uri().clone();
    if let Some(host) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
}

/// A provider's answer, which gives its connection back when it has been read to its end. Dropped before,
/// it takes the connection with it, and so the provider sees at once that nobody listens any more.
pub(crate) struct Answer {
    inner: Incoming,
    lease: Option<(Lease, Host, Rc<Pool>)>,
}

impl Answer {
    fn new(inner: Incoming, lease: Lease, host: Host, pool: Rc<Pool>) -> Self {
        let mut answer = Answer { inner, lease: Some((lease, host, pool)) };
        if answer.inner.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    fn give_back(&mut self) {
        match self.lease.take() {
            Some((Lease::H1(sender), host, pool)) => pool.put(&host, sender),
            Some((Lease::H2(h2), ..)) => h2.streams.set(h2.streams.get().saturating_sub(1)),
            None => {}
        }
    }

    /// The next piece of the body; `None` at its clean end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Io>>> {
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Io::Broken))),
                None => {
                    self.give_back();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.give_back();
        } else if let Some((Lease::H2(h2), ..)) = &self.lease {
            h2.streams.set(h2.streams.get().saturating_sub(1));
        }
    }
}

/// Spawns on this core.
#[derive(Clone, Copy)]
pub(crate) struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}
