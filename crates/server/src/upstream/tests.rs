use super::{Host, Pieces, Pool, io_of};
use crate::limits::H2_STREAMS_MAX;
use engine::exchange::Io;
use http::{HeaderValue, Method, Request, Uri, Version, header};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{future::poll_fn, io, rc::Rc, time::Duration};
use testkit::provider::{End, Provider};
use tokio::{net::TcpStream, task::LocalSet, task::spawn_local, time::timeout};

#[test]
fn a_peer_that_tls_refuses_is_told_from_one_that_is_not_there() {
    let refused = || rustls::Error::General("a certificate that nobody knows".to_owned());
    let wrapped = io::Error::new(io::ErrorKind::InvalidData, refused());
    assert_eq!(io_of(&refused()), Io::Tls);
    assert_eq!(io_of(&io::Error::other(wrapped)), Io::Tls);
    assert_eq!(io_of(&io::Error::from(io::ErrorKind::ConnectionRefused)), Io::Connect);
}

/// Of a hundred streams on one connection a third are not read.
const UNREAD: usize = H2_STREAMS_MAX / 3 + 1;
/// Events of each stream: what is not read fills a stream's window where they are large, and where each comes in
/// pieces of 30 bytes it is more small frames than HTTP/2 puts up with in a connection window of the usual size.
const EVENTS: usize = 60;

fn stream(uri: &Uri, size: &str, number: usize) -> Request<Pieces> {
    let script = format!("[[kit words={EVENTS} gap-ms=5 flush {size}]]");
    let messages = json!([{"role": "user", "content": script}]);
    let body = json!({"model": format!("m-{number}"), "stream": true, "messages": messages}).to_string();
    let mut request = Request::new(Pieces::new(vec![body.into()], None));
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, uri.clone());
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer k"));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

/// A pool whose one connection to that provider speaks HTTP/2, as after TLS.
async fn pool(provider: &Provider, uri: &Uri) -> Rc<Pool> {
    let pool = Pool::new(Duration::from_secs(3));
    let tcp = TcpStream::connect(provider.addr()).await.expect("it listens");
    tcp.set_nodelay(true).expect("a socket takes options");
    let host = Host::of(uri).expect("a host");
    pool.shake_h2(&host, MaybeHttpsStream::Http(TokioIo::new(tcp))).await.expect("it speaks HTTP/2");
    pool
}

/// A hundred streams over one connection, a third of them held and not read; the others come whole.
async fn share(size: &'static str) {
    let provider = Provider::start("lenient").expect("it starts");
    let uri: Uri = format!("{}/v1/chat/completions", provider.url()).parse().expect("an address");
    let pool = pool(&provider, &uri).await;
    let mut unread = Vec::new();
    for number in 0..UNREAD {
        unread.push(pool.clone().send(stream(&uri, size, number), false).await.expect("a head"));
    }
    let read = (UNREAD..H2_STREAMS_MAX).map(|number| {
        let sent = pool.clone().send(stream(&uri, size, number), false);
        spawn_local(async move {
            let response = sent.await.expect("a head");
            assert_eq!(response.version(), Version::HTTP_2);
            let (mut answer, mut said) = (response.into_body(), Vec::new());
            while let Some(piece) = poll_fn(|cx| answer.poll_piece(cx)).await {
                said.extend_from_slice(&piece.expect("the connection stands"));
            }
            let end =
                String::from_utf8_lossy(said.last_chunk::<64>().map_or(&said[..], |end| end)).into_owned();
            assert!(end.ends_with("data: [DONE]\n\n"), "{size}: it broke off: {end}");
        })
    });
    for one in read.collect::<Vec<_>>() {
        timeout(Duration::from_secs(30), one).await.expect("it is not held up").expect("no panic");
    }
    let log = provider.log();
    assert!(log.iter().all(|seen| seen.connection == 0), "they share one connection");
    let whole = log.iter().filter(|seen| seen.ended() == Some(End::Whole)).count();
    assert!(whole >= H2_STREAMS_MAX - UNREAD, "{size}: {whole} came whole");
    drop(unread);
}

#[test]
fn streams_that_nobody_reads_hold_up_no_other_on_their_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for size in ["chunk=30", "word-bytes=240", "word-bytes=4096"] {
        LocalSet::new().block_on(&runtime, share(size));
    }
}
