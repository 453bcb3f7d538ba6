//! WebSockets: bytes go both ways, and so do their ends.

use crate::support::{
    client::{Answer, Client, Fill, PATIENCE, Request, get, post},
    eventually,
    gateway::{Gateway, Setup},
    upstream::{Upstream, read_head},
    world::CLIENT_KEY,
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One whole frame (RFC 6455 §5.2).
fn frame(kind: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | kind];
    match payload.len() {
        length @ 0..126 => bytes.push(masked | u8::try_from(length).expect("it is small")),
        length @ 126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("it is small").to_be_bytes());
        }
        length => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| bytes.extend_from_slice(mask)).unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The next frame; `None` where the connection ends before one is whole.
fn next_frame(mut read: impl FnMut(&mut [u8]) -> bool) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    let mut take = |into: &mut [u8]| read(into).then_some(());
    take(&mut head)?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            take(&mut length)?;
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            take(&mut length)?;
            u64::from_be_bytes(length)
        }
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        take(&mut mask)?;
    }
    let mut payload = vec![0; usize::try_from(length).expect("it fits")];
    take(&mut payload)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((head[0] & 0x0f, payload))
}

/// What a provider saw.
#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    /// Connections that have ended, and when.
    ended: Mutex<Vec<Instant>>,
}

impl Seen {
    fn head(&self) -> String {
        self.heads.lock().expect("no panic").last().cloned().unwrap_or_default()
    }

    fn ends(&self) -> usize {
        self.ended.lock().expect("no panic").len()
    }
}

/// A provider of WebSockets: its model says what it does.
fn provider() -> (Upstream, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let noted = seen.clone();
    let upstream = Upstream::reading(move |socket| {
        let head = read_head(socket);
        noted.heads.lock().expect("no panic").push(head.clone());
        serve(socket, &head);
        noted.ended.lock().expect("no panic").push(Instant::now());
    });
    (upstream, seen)
}

fn serve(socket: &mut TcpStream, head: &str) {
    let of =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    if head.contains("model=refuses") || !head.contains("upgrade: websocket\r\n") {
        let body = r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"nope"}}"#;
        let head = format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = socket.write_all((head + body).as_bytes());
        return;
    }
    let protocol = match of("sec-websocket-protocol: ") {
        empty if empty.is_empty() => empty,
        list => format!("sec-websocket-protocol: {}\r\n", list.split(',').next().unwrap_or_default()),
    };
    let key = of("sec-websocket-key: ");
    let shaken = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Extensions: x-none\r\nSec-WebSocket-Accept: of-{key}\r\n{protocol}set-cookie: a=b\r\n\r\n"
    );
    // The first frame comes with the head, as it may.
    let _ = socket.write_all(&[shaken.as_bytes(), &frame(TEXT, b"session.created", None)].concat());
    let mut reader = socket.try_clone().expect("a socket");
    while let Some((kind, payload)) = next_frame(|into| reader.read_exact(into).is_ok()) {
        if head.contains("model=drops") {
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
        let answer = if kind == PING { PONG } else { kind };
        if socket.write_all(&frame(answer, &payload, None)).is_err() || kind == CLOSE {
            return;
        }
    }
}

fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    let config = format!(
        "log: {{format: json}}\n{more}\nproviders: {{live: {{base_url: \"{}/v1\", keys: [provider-key-0123]}}, \
         nobody: {{base_url: \"http://127.0.0.1:1/v1\", keys: []}}}}\n\
         models: {{voice: live/gpt-realtime, spare: [nobody/x, live/gpt-realtime]}}\n",
        upstream.url()
    );
    Gateway::start(&Setup { config: Some(config), ..Setup::default() })
}

fn asking(path: &str) -> Request {
    get(path)
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
}

/// A client whose connection has become a WebSocket.
struct Socket {
    client: Client,
    answer: String,
}

impl Socket {
    fn open(gateway: &Gateway, request: &Request) -> Socket {
        Socket::over(gateway.connect(), request)
    }

    fn over(mut client: Client, request: &Request) -> Socket {
        client.send_request(request);
        client.wait_for("\r\n\r\n");
        let end = memchr::memmem::find(&client.buffer, b"\r\n\r\n").expect("a head") + 4;
        let answer: Vec<u8> = client.buffer.drain(..end).collect();
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer} {}", String::from_utf8_lossy(&client.buffer));
        let mut socket = Socket { client, answer };
        assert_eq!(socket.next(), Some((TEXT, b"session.created".to_vec())));
        socket
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        self.client.send(frame(kind, payload, Some([1, 2, 3, 4])));
    }

    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        next_frame(|into| {
            while self.client.buffer.len() < into.len() {
                if self.client.fill() != Fill::Some {
                    return false;
                }
            }
            let bytes: Vec<u8> = self.client.buffer.drain(..into.len()).collect();
            into.copy_from_slice(&bytes);
            true
        })
    }

    fn echo(&mut self, kind: u8, payload: &[u8]) {
        self.send(kind, payload);
        let expected = if kind == PING { PONG } else { kind };
        let (got, echoed) = self.next().expect("a frame");
        assert!(got == expected && echoed == payload, "{got} of {} bytes", echoed.len());
    }
}

#[test]
fn frames_of_every_kind_and_size_go_both_ways_and_codes_of_closing_too() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, "");
    let request = asking("/v1/realtime?intent=x&model=voice&z=%2B")
        .header("openai-beta", "realtime=v1")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("authorization", "Bearer any");
    let mut socket = Socket::open(&gateway, &request);
    assert!(
        socket.answer.contains("sec-websocket-accept: of-dghlihnhbxbszsbub25jzq==\r\n"),
        "{}",
        socket.answer
    );
    assert!(socket.answer.contains("x-sekisho-target: live/gpt-realtime"), "{}", socket.answer);
    assert!(!socket.answer.contains("set-cookie"), "{}", socket.answer);
    assert_eq!(socket.answer.matches("x-none").count(), 1, "{}", socket.answer);
    let head = seen.head();
    assert!(head.starts_with("GET /v1/realtime?intent=x&model=gpt-realtime&z=%2B HTTP/1.1\r\n"), "{head}");
    for line in [
        "authorization: Bearer provider-key-0123",
        "openai-beta: realtime=v1",
        "upgrade: websocket",
        "sec-websocket-extensions: permessage-deflate",
        "sec-websocket-version: 13",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    let large: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    socket.echo(TEXT, b"hello");
    socket.echo(BINARY, &[0, 255, 13, 10]);
    socket.echo(PING, b"are you there");
    socket.echo(TEXT, b"");
    for size in [125, 126, 65_535, 65_536, 1 << 20] {
        socket.echo(BINARY, &large[..size]);
    }
    socket.echo(CLOSE, &[0x0f, 0xa1, b'b', b'y', b'e']);
    assert_eq!(socket.client.end(), Fill::Closed);
    let line = logged(&gateway);
    assert_eq!(
        (&line["status"], &line["outcome"], &line["target"]),
        (&json!(101), &json!("ok"), &json!("live/gpt-realtime")),
        "{line}"
    );
    assert!(
        line["bytes_up"].as_u64() > Some(1 << 20) && line["bytes_down"].as_u64() > Some(1 << 20),
        "{line}"
    );
}

/// The one request that was logged.
fn logged(gateway: &Gateway) -> Value {
    let line = || {
        let said = gateway.err();
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["msg"] == "request")
    };
    eventually("it is logged", PATIENCE, || line().is_some());
    line().expect("it is there")
}

#[test]
fn a_key_is_needed_in_a_header_or_a_subprotocol_and_goes_no_further() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, &format!("keys: [{CLIENT_KEY}]"));
    let protocols = |key: &str| format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1");
    for path in [
        "/v1/realtime?model=voice",
        "/realtime?model=live/gpt-realtime",
        "/live/v1/realtime?model=gpt-realtime",
    ] {
        let keyed = [
            asking(path).header("authorization", &format!("Bearer {CLIENT_KEY}")),
            asking(path).header("x-api-key", CLIENT_KEY),
            asking(path).header("sec-websocket-protocol", &protocols(CLIENT_KEY)),
        ];
        for request in keyed {
            let mut socket = Socket::open(&gateway, &request);
            socket.echo(TEXT, b"hi");
            let head = seen.head();
            assert!(!head.contains(CLIENT_KEY) && head.contains("Bearer provider-key-0123"), "{head}");
            if request.headers.iter().any(|(name, _)| name == "sec-websocket-protocol") {
                assert!(
                    head.contains("sec-websocket-protocol: realtime, openai-beta.realtime-v1\r\n"),
                    "{head}"
                );
                assert!(socket.answer.contains("sec-websocket-protocol: realtime\r\n"), "{}", socket.answer);
            }
        }
        for wrong in [asking(path), asking(path).header("sec-websocket-protocol", &protocols("wrong"))] {
            let answer = gateway.ask(&wrong);
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"), "{path}");
        }
    }
    // A subprotocol is no credential of anything else.
    let chat =
        post("/v1/chat/completions", json!({})).header("sec-websocket-protocol", &protocols(CLIENT_KEY));
    assert_eq!(gateway.ask(&chat).status, 401);
}

#[test]
fn what_does_not_become_a_websocket_is_an_ordinary_error() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, "");
    let code = |answer: &Answer| (answer.status, answer.code());
    let mut client = gateway.connect();
    let refused = client.ask(&asking("/v1/realtime?model=live/refuses"));
    assert_eq!(code(&refused), (403, "nope".to_owned()), "{}", refused.text());
    // The connection is still one of HTTP.
    assert_eq!(client.ask(&get("/health")).status, 200);
    let unknown = gateway.ask(&asking("/v1/realtime?model=vioce"));
    assert_eq!(code(&unknown), (404, "model_not_found".to_owned()));
    assert!(unknown.text().contains("did you mean `voice`?"), "{}", unknown.text());
    assert_eq!(
        code(&gateway.ask(&asking("/v1/realtime?model=nobody/x"))),
        (502, "upstream_unreachable".to_owned())
    );
    let plain = gateway.ask(&get("/v1/realtime?model=voice"));
    assert!(plain.status == 400 && plain.text().contains("WebSocket"), "{}", plain.text());
    for path in [
        "/v1/realtime?model=voice&model=voice",
        "/v1/realtime?mod%65l=voice",
        "/v1/realtime?model=voice;model=x",
    ] {
        assert_eq!(gateway.ask(&asking(path)).status, 400, "{path}");
    }
    let heads = seen.heads.lock().expect("no panic").len();
    for behind in ["GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", "\u{81}"] {
        let mut client = gateway.connect();
        client.send(asking("/v1/realtime?model=voice").head("localhost") + behind);
        assert_eq!(client.answer().status, 400);
    }
    let body = asking("/v1/realtime?model=voice").header("content-length", "5").body("hello");
    assert_eq!(gateway.ask(&body).status, 400);
    assert_eq!(seen.heads.lock().expect("no panic").len(), heads);
    // An alias's next target is asked as ever, and a connection may have served other requests before.
    let mut client = gateway.connect();
    assert_eq!(client.ask(&get("/health")).status, 200);
    let spare = Socket::over(client, &asking("/v1/realtime?model=spare"));
    assert!(spare.answer.contains("x-sekisho-attempts: 2"), "{}", spare.answer);
}

#[test]
fn who_leaves_is_seen_to_leave_by_the_other() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, "");
    let mut dropped = Socket::open(&gateway, &asking("/v1/realtime?model=live/drops"));
    dropped.send(TEXT, b"go");
    assert_eq!(dropped.next(), None);
    assert_ne!(dropped.client.last, Fill::Nothing);
    for reset in [false, true] {
        let ends = seen.ends();
        let mut socket = Socket::open(&gateway, &asking("/v1/realtime?model=voice"));
        socket.echo(TEXT, b"hi");
        if reset {
            socket.client.vanish();
        } else {
            socket.client.leave();
        }
        eventually("the provider sees it", Duration::from_secs(2), || seen.ends() > ends);
    }
    eventually("nothing is in flight", PATIENCE, || gateway.ask(&get("/health")).json()["in_flight"] == 0);
}

#[test]
fn silence_has_a_limit_and_a_ping_breaks_it() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, "timeouts: {idle: 600ms}");
    let mut socket = Socket::open(&gateway, &asking("/v1/realtime?model=voice"));
    let began = Instant::now();
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(250));
        socket.echo(PING, b"still here");
    }
    assert!(began.elapsed() > Duration::from_millis(1_400));
    assert_eq!(socket.next(), None);
    assert_ne!(socket.client.last, Fill::Nothing);
    eventually("the provider sees it", PATIENCE, || seen.ends() == 1);
    assert_eq!(logged(&gateway)["outcome"], "upstream_timeout");
}

#[test]
fn a_shutdown_lets_a_websocket_go_on_and_then_ends_it() {
    let (upstream, seen) = provider();
    let gateway = gateway(&upstream, "drain: 1s");
    let mut socket = Socket::open(&gateway, &asking("/v1/realtime?model=voice"));
    gateway.terminate();
    eventually("it knows", PATIENCE, || gateway.err().contains("SIGTERM"));
    // As long as new requests are taken, new ones are too.
    Socket::open(&gateway, &asking("/v1/realtime?model=voice")).echo(TEXT, b"hi");
    socket.echo(TEXT, b"still here");
    assert_eq!(socket.next(), None);
    eventually("the provider sees it", PATIENCE, || seen.ends() == 2);
    assert_eq!(gateway.ending().code, Some(0));
}
