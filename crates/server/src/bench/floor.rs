//! The least that a gateway must do, made of the same parts in the same shape: a runtime and a
//! connection pool per core, accepts shared by the kernel, the body read whole, the model read from it,
//! the credential replaced, the answer passed on as it comes.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde::Deserialize;
use socket2::{Domain, Socket, Type};
use std::{borrow::Cow, io, net::SocketAddr, num::NonZero, thread};

type Pool = Client<HttpConnector, Full<Bytes>>;
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Fields of one connection, which are not passed on.
const HOP_BY_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// What a gateway reads of every request.
#[derive(Deserialize)]
struct Policy<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: bool,
}

/// Serves until the process is ended.
pub(super) fn serve(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let first = listener(listen)?;
    let addr = first.local_addr()?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut listeners = vec![first];
    for _ in 1..cores {
        listeners.push(listener(addr)?);
    }
    super::announce(addr)?;
    let workers: Vec<_> =
        listeners.into_iter().map(|listener| thread::spawn(move || work(listener, upstream))).collect();
    for worker in workers {
        worker.join().map_err(|_| io::Error::other("a worker of the floor failed"))??;
    }
    Ok(())
}

fn listener(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

pub(super) fn work(listener: std::net::TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(accept(listener, upstream))
}

async fn accept(listener: std::net::TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(4096).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = pool.clone();
        let service = service_fn(move |request| pass(request, pool.clone(), upstream));
        // How a connection ends is its client's business.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn pass(request: Request<Incoming>, pool: Pool, upstream: SocketAddr) -> io::Result<Answer> {
    let (mut head, body) = request.into_parts();
    let bounded = Limited::new(body, engine::limits::BODY_MAX);
    let body = bounded.collect().await.map_err(io::Error::other)?.to_bytes();
    let Ok(policy) = serde_json::from_slice::<Policy<'_>>(&body) else {
        return Ok(refusal(StatusCode::BAD_REQUEST));
    };
    std::hint::black_box((&policy.model, policy.stream));
    let path = head.uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("http").authority(upstream.to_string()).path_and_query(path).build();
    head.uri = uri.map_err(io::Error::other)?;
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    head.headers.remove(header::HOST);
    head.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer sk-bench-upstream"));
    match pool.request(Request::from_parts(head, Full::new(body))).await {
        Ok(mut answer) => {
            strip(answer.headers_mut());
            Ok(answer.map(Either::Left))
        }
        Err(_) => Ok(refusal(StatusCode::BAD_GATEWAY)),
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

fn refusal(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Right(Full::default()));
    *answer.status_mut() = status;
    answer
}
