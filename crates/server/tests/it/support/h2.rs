//! An HTTP/2 client with prior knowledge, whose socket can be taken from under it.

use super::client::{Answer, PATIENCE, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// One connection and what drives it.
pub(crate) struct H2 {
    runtime: Runtime,
    sender: http2::SendRequest<Full<Bytes>>,
    addr: SocketAddr,
    /// The same socket once more.
    pub(crate) socket: TcpStream,
}

impl H2 {
    pub(crate) fn connect(addr: SocketAddr) -> H2 {
        let socket = TcpStream::connect(addr).expect("the gateway listens");
        let driven = socket.try_clone().expect("a socket has copies");
        driven.set_nonblocking(true).expect("a socket takes options");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(driven).expect("a socket");
            let io = TokioIo::new(stream);
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2 is spoken");
            tokio::spawn(connection);
            sender
        });
        H2 { runtime, sender, addr, socket }
    }

    /// Sends a request whose answer comes later.
    pub(crate) fn start(&self, request: &Request) -> Started {
        let mut built = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("http://{}{}", self.addr, request.path));
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        let built = built.body(Full::from(request.body.clone())).expect("a request");
        let mut sender = self.sender.clone();
        Started { task: self.runtime.spawn(async move { sender.send_request(built).await }) }
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        let response = self.response(self.start(request));
        self.answer(response)
    }

    /// The head of an answer.
    pub(crate) fn response(&self, started: Started) -> http::Response<Incoming> {
        let mut started = started;
        let waited = async { tokio::time::timeout(PATIENCE, &mut started.task).await };
        let joined = self.runtime.block_on(waited).expect("an answer in time");
        joined.expect("no panic").expect("an answer")
    }

    /// An answer to its end.
    pub(crate) fn answer(&self, response: http::Response<Incoming>) -> Answer {
        let (parts, mut body) = response.into_parts();
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = parts.headers.iter().map(field).collect();
        let mut answer = Answer { status: parts.status.as_u16(), headers, body: Vec::new(), whole: false };
        self.runtime.block_on(async {
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => answer.body.extend_from_slice(frame.data_ref().map_or(&[], |b| b)),
                    Some(Err(_)) => break,
                    None => {
                        answer.whole = true;
                        break;
                    }
                }
            }
        });
        answer
    }

    /// Lets the connection work until `holds`; false if it never did.
    pub(crate) fn work_until(&self, mut holds: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        self.runtime.block_on(async {
            while !holds() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            holds()
        })
    }

    /// Waits for the first piece of a body.
    pub(crate) fn first_piece(&self, body: &mut Incoming) {
        self.runtime.block_on(async { body.frame().await }).expect("a piece").expect("no error");
    }
}

/// A request on its way. Dropped, its stream is reset.
pub(crate) struct Started {
    task: tokio::task::JoinHandle<hyper::Result<http::Response<Incoming>>>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.task.abort();
    }
}
