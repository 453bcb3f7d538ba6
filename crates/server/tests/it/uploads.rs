//! Forms pass as they come: byte for byte, in no memory, and no further than the provider wants them.

use crate::support::{
    client::{Answer, Client, Fill, PATIENCE, Request, request},
    eventually,
    gateway::{Gateway, Setup},
    h2::H2,
    upstream::{Upstream, read_head},
    world::World,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

const KIND: &str = "multipart/form-data; boundary=cut-here";

/// A form with a model, as OpenAI's SDKs write it: fields first, then the file.
fn form(model: &str, file: &[u8]) -> Vec<u8> {
    [&before_file(model), file, END].concat()
}

const END: &[u8] = b"\r\n--cut-here--\r\n";

fn field(name: &str, value: &str) -> String {
    format!("--cut-here\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn before_file(model: &str) -> Vec<u8> {
    let file = "--cut-here\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
                Content-Type: audio/wav\r\n\r\n";
    (field("model", model) + file).into_bytes()
}

fn upload(path: &str, body: impl Into<Vec<u8>>) -> Request {
    request("POST", path).header("content-type", KIND).body(body)
}

/// The head of an upload of that length.
fn head(path: &str, length: usize) -> Vec<u8> {
    upload(path, "").header("content-length", &length.to_string()).head("localhost").into_bytes()
}

/// Bytes that no two places share.
fn noise(length: usize) -> Vec<u8> {
    let words = (0..).map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.flatten().take(length).collect()
}

/// A gateway before one provider, `ear`, which is the given one.
fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    let config = format!(
        "log: {{format: json}}\nlimits: {{body: 64KiB}}\n{more}\n\
         providers: {{ear: {{base_url: \"{}/v1\", keys: [ear-key]}}, nobody: {{base_url: \"http://127.0.0.1:1/v1\", keys: []}}}}\n\
         models: {{hears: ear/whisper-9, spare: [nobody/x, ear/whisper-9], twice: [ear/a, ear/b]}}\n",
        upstream.url()
    );
    Gateway::start(&Setup { config: Some(config), ..Setup::default() })
}

/// What a provider got of an upload: its head, its body as far as it came, and whether that was all.
#[derive(Debug)]
struct Got {
    head: String,
    body: Vec<u8>,
    whole: bool,
}

/// A provider that reads uploads with a length and hands them out; it answers those that are whole.
fn taker() -> (Upstream, Receiver<Got>) {
    let (sender, got) = channel();
    let upstream = Upstream::reading(move |socket| {
        let head = read_head(socket);
        let (body, whole) = read_body(socket, &head, |_| {});
        if whole {
            say(socket, "200 OK", "{\"text\":\"yes\"}");
        }
        let _ = Sender::clone(&sender).send(Got { head, body, whole });
    });
    (upstream, got)
}

fn say(socket: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all((head + body).as_bytes());
}

fn read_body(socket: &mut TcpStream, head: &str, mut each: impl FnMut(usize)) -> (Vec<u8>, bool) {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(usize::MAX);
    let (mut body, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    while body.len() < length {
        match socket.read(&mut piece) {
            Ok(read @ 1..) => body.extend_from_slice(&piece[..read]),
            _ => return (body, false),
        }
        each(body.len());
    }
    (body, true)
}

fn got(seen: &Receiver<Got>) -> Got {
    seen.recv_timeout(PATIENCE).expect("the provider saw it")
}

#[test]
fn a_form_of_64_mib_passes_byte_for_byte_and_in_no_memory() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let file = noise(64 << 20);
    let send = |file: &[u8]| {
        let sent = form("hears", file);
        let done = AtomicBool::new(false);
        let most = thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let (before, mut most) = (gateway.resident(), 0);
                while !done.load(Ordering::SeqCst) {
                    most = most.max(gateway.resident().saturating_sub(before));
                    thread::sleep(Duration::from_millis(5));
                }
                most
            });
            let answer = gateway.ask(&upload("/v1/audio/transcriptions", sent));
            done.store(true, Ordering::SeqCst);
            assert_eq!((answer.status, answer.text().as_str()), (200, "{\"text\":\"yes\"}"));
            watch.join().expect("no panic")
        });
        let got = got(&seen);
        assert!(got.body == form("whisper-9", file), "the provider got other bytes");
        (most, got.head)
    };
    // What it takes to serve at all, on each core, is not counted.
    for _ in 0..4 {
        send(&file[..4 << 20]);
    }
    let began = Instant::now();
    let (most, head) = send(&file);
    println!("64 MiB in {:?}, {most} bytes of memory", began.elapsed());
    assert!(most <= 4 << 20, "{most}");
    assert!(head.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("content-type: {KIND}\r\n")), "{head}");
    assert!(head.contains("authorization: Bearer ear-key\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
}

#[test]
fn a_provider_that_takes_nothing_holds_the_upload_back_and_sees_the_client_leave() {
    let (sender, ended) = channel();
    let upstream = Upstream::reading(move |socket| {
        let head = read_head(socket);
        if head.contains("/v1/images/edits") {
            read_body(socket, &head, |_| {});
            return say(socket, "200 OK", "{}");
        }
        // Nothing is read until the other side has stopped.
        thread::sleep(Duration::from_secs(3));
        let (body, whole) = read_body(socket, "", |_| {});
        let _ = sender.send((body.len(), whole));
    });
    let gateway = gateway(&upstream, "");
    let warm = upload("/v1/images/edits", form("hears", &noise(4 << 20)));
    for _ in 0..4 {
        assert_eq!(gateway.ask(&warm).status, 200);
    }
    let before = gateway.resident();
    let mut client = gateway.connect();
    client.send(head("/v1/audio/transcriptions", 1 << 29));
    client.send(before_file("hears"));
    client.stream.set_nonblocking(true).expect("a socket takes options");
    let (piece, mut sent, mut quiet) = (vec![7; 64 << 10], 0, 0);
    while quiet < 20 {
        match client.stream.write(&piece) {
            Ok(written) => (sent, quiet) = (sent + written, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                quiet += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let held = gateway.resident().saturating_sub(before);
    println!("held back after {sent} bytes, {held} bytes of memory");
    // Most of it stands in the kernel's buffers of two connections.
    assert!(sent < 64 << 20 && held <= 4 << 20, "{sent} {held}");
    client.vanish();
    let (got, _) = ended.recv_timeout(PATIENCE).expect("it ends");
    assert!(got <= sent + 1_000, "{got} of {sent}");
}

#[test]
fn a_slow_upload_reaches_the_provider_piece_by_piece() {
    let came = Arc::<AtomicU64>::default();
    let counted = came.clone();
    let upstream = Upstream::reading(move |socket| {
        let head = read_head(socket);
        let (body, whole) = read_body(socket, &head, |len| counted.store(len as u64, Ordering::SeqCst));
        assert!(whole);
        say(socket, "200 OK", &body.len().to_string());
    });
    let gateway = gateway(&upstream, "timeouts: {first_byte: 400ms}");
    let whole = form("hears", &noise(200_000));
    let mut client = gateway.connect();
    client.send(head("/v1/audio/transcriptions", whole.len()));
    // Longer in all than the provider may take to answer, which it could not do before.
    for piece in whole.chunks(20_000) {
        let before = came.load(Ordering::SeqCst);
        client.send(piece);
        eventually("a piece arrives", PATIENCE, || came.load(Ordering::SeqCst) > before);
        thread::sleep(Duration::from_millis(100));
    }
    let answer = client.answer();
    let length = whole.len() + "whisper-9".len() - "hears".len();
    assert_eq!((answer.status, answer.text()), (200, length.to_string()));
    // The connection is in order.
    assert_eq!(client.ask(&request("GET", "/health")).status, 200);
}

#[test]
fn a_client_that_stops_is_told_and_one_that_leaves_is_seen_to_leave() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "timeouts: {first_byte: 500ms}");
    let part = [head("/v1/audio/transcriptions", 1 << 20), form("hears", &noise(300_000))].concat();
    let mut stops = gateway.connect();
    stops.send(&part);
    let answer = stops.answer();
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "{}", answer.text());
    assert!(!got(&seen).whole);
    for reset in [false, true] {
        let mut client = gateway.connect();
        client.send(&part);
        let left = Instant::now();
        if reset {
            client.vanish();
        } else {
            client.leave();
        }
        assert!(!got(&seen).whole);
        assert!(left.elapsed() < Duration::from_millis(400), "{:?}", left.elapsed());
    }
    eventually("nothing is in flight", PATIENCE, || {
        gateway.ask(&request("GET", "/health")).json()["in_flight"] == 0
    });
}

#[test]
fn a_provider_that_answers_early_ends_the_upload() {
    let (sender, ended) = channel();
    let upstream = Upstream::reading(move |socket| {
        let head = read_head(socket);
        say(socket, "413 Content Too Large", "{\"error\":{\"message\":\"too much\",\"type\":\"x\"}}");
        let (body, whole) = read_body(socket, &head, |_| {});
        let _ = sender.send((body.len(), whole));
    });
    let gateway = gateway(&upstream, "");
    for path in ["/v1/audio/transcriptions", "/ear/v1/files"] {
        let mut client = gateway.connect();
        client.send(head(path, 1 << 29));
        client.send(before_file("hears"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection").as_str()), (413, "close"));
        assert!(answer.text().contains("too much") && answer.whole, "{}", answer.text());
        let (got, whole) = ended.recv_timeout(PATIENCE).expect("the provider sees the end");
        assert!(!whole && got < 1 << 20, "{got}");
        assert_ne!(client.end(), Fill::Nothing);
    }
}

#[test]
fn what_cannot_be_sent_twice_goes_on_only_from_who_took_nothing() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let large = noise(200_000);
    let answer = gateway.ask(&upload("/v1/audio/translations", form("spare", &large)));
    let header = |answer: &Answer, name| answer.header(name);
    assert_eq!(
        (answer.status, header(&answer, "x-sekisho-attempts").as_str()),
        (200, "2"),
        "{}",
        answer.text()
    );
    assert_eq!(header(&answer, "x-sekisho-target"), "ear/whisper-9");
    assert!(got(&seen).body == form("whisper-9", &large));

    let fails = Upstream::start(|socket, _| {
        say(socket, "503 Service Unavailable", "{\"error\":{\"message\":\"busy\"}}");
    });
    let gateway = self::gateway(&fails, "failover: {retries: 0}");
    for (file, attempts) in [(&large[..], "1"), (&large[..1_000], "2")] {
        let answer = gateway.ask(&upload("/v1/audio/translations", form("twice", file)));
        assert_eq!((answer.status, header(&answer, "x-sekisho-attempts").as_str()), (503, attempts));
        assert!(answer.text().contains("busy"), "{}", answer.text());
    }
}

#[test]
fn a_form_goes_where_it_says_or_says_what_is_missing() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let file = noise(300_000);
    let ask = |request: Request| gateway.ask(&request);
    let to = |body: &[u8]| upload("/v1/images/edits", body);
    // The file first: its model is looked for as far as a body may lie in memory.
    let late = |file: &[u8]| {
        let start = before_file("hears");
        let (model, begin) = start.split_at(field("model", "hears").len());
        [begin, file, b"\r\n", model, END.trim_ascii_start(), b"\r\n"].concat()
    };
    assert_eq!(ask(to(&late(&file[..30_000]))).status, 200);
    let sent = String::from_utf8_lossy(&got(&seen).body).into_owned();
    assert!(sent.contains("\"model\"\r\n\r\nwhisper-9\r\n"), "the model is replaced");
    let answer = ask(to(&late(&file)));
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request_error"));
    assert!(answer.text().contains("before the file"), "{}", answer.text());
    // With the provider in a header nothing is looked for, and nothing replaced.
    let answer = ask(to(&late(&file)).header("x-sekisho-provider", "ear"));
    assert_eq!((answer.status, answer.header("x-sekisho-target").as_str()), (200, "ear"));
    let sent = got(&seen);
    assert!(sent.body == late(&file) && !sent.head.contains("x-sekisho"), "{}", sent.head);

    let unknown = ask(to(&form("nothing", &file)));
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "model_not_found"));
    let unknown = ask(to(&form("hears", &file)).header("x-sekisho-provider", "eer"));
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("did you mean `ear`?"), "{}", unknown.text());
    let huge = upload("/v1/files", "").header("content-length", "2147483648");
    let huge = ask(huge.header("x-sekisho-provider", "ear"));
    assert_eq!((huge.status, huge.code().as_str()), (413, "request_too_large"));
    let crooked = request("POST", "/v1/images/edits").header("content-type", "multipart/form-data").body("x");
    assert!(ask(crooked).text().contains("boundary"));
}

#[test]
fn a_second_model_behind_the_first_reaches_no_provider_whole() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let mut body = form("hears", &noise(300_000));
    body.truncate(body.len() - END.len());
    body.extend_from_slice(format!("\r\n{}--cut-here--\r\n", field("model", "other")).as_bytes());
    let mut client = gateway.connect();
    client.send_request(&upload("/v1/audio/transcriptions", body));
    let answer = client.answer();
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request_error"));
    assert!(answer.text().contains("twice"), "{}", answer.text());
    assert!(!got(&seen).whole);
}

#[test]
fn a_pass_through_streams_forms_too_and_chunks_stay_chunks() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let body = form("as it is", &noise(200_000));
    assert_eq!(gateway.ask(&upload("/ear/files", body.clone())).status, 200);
    assert!(got(&seen).body == body);
    let kit = World::open();
    let tag = crate::support::tag();
    let body = form("box/m", &[tag.as_bytes(), &noise(100_000)].concat());
    let mut client: Client = kit.gateway.connect();
    client.send(
        upload("/v1/audio/transcriptions", "").header("transfer-encoding", "chunked").head("localhost"),
    );
    for piece in body.chunks(7_001) {
        client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().json()["target"], "/echo/box/v1/audio/transcriptions");
    let sent = kit.saw(&tag);
    assert_eq!(sent.header("transfer-encoding"), "chunked");
    assert!(sent.body.expect("a body") == form("m", &[tag.as_bytes(), &noise(100_000)].concat()));
}

#[test]
fn an_upload_over_http2_is_one_like_the_others() {
    let (upstream, seen) = taker();
    let gateway = gateway(&upstream, "");
    let file = noise(8 << 20);
    let client = H2::connect(gateway.addr);
    let answer = client.ask(&upload("/v1/audio/transcriptions", form("hears", &file)));
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    assert!(got(&seen).body == form("whisper-9", &file));

    // One whose stream is reset while the provider takes nothing.
    let (came, ended) = (Arc::<AtomicBool>::default(), channel());
    let (noted, sender) = (came.clone(), ended.0);
    let stalls = Upstream::reading(move |socket| {
        let head = read_head(socket);
        noted.store(true, Ordering::SeqCst);
        thread::sleep(Duration::from_secs(1));
        let (body, whole) = read_body(socket, &head, |_| {});
        let _ = sender.send((body.len(), whole));
    });
    let gateway = self::gateway(&stalls, "");
    let client = H2::connect(gateway.addr);
    let started = client.start(&upload("/v1/audio/transcriptions", form("hears", &noise(32 << 20))));
    assert!(client.work_until(|| came.load(Ordering::SeqCst)));
    drop(started);
    // What it reads then is what stood in the kernel's buffers.
    let mut end = None;
    client.work_until(|| {
        end = end.or(ended.1.try_recv().ok());
        end.is_some()
    });
    let (got, whole) = end.expect("the provider sees the end");
    assert!(!whole && got < 24 << 20, "{got}");
    assert_eq!(client.ask(&request("GET", "/health")).json()["in_flight"], 0);
}

#[test]
fn an_upload_meets_no_connection_that_has_been_idle() {
    let connections = Arc::<AtomicU64>::default();
    let counted = connections.clone();
    let upstream = Upstream::reading(move |socket| {
        counted.fetch_add(1, Ordering::SeqCst);
        loop {
            let head = read_head(socket);
            if head.is_empty() || !read_body(socket, &head, |_| {}).1 {
                return;
            }
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let gateway = gateway(&upstream, "");
    let (small, large) = (noise(1_000), noise(200_000));
    let mut client = gateway.connect();
    // What can be sent again takes the connection that is there.
    for (file, expected) in [(&small, 1), (&small, 1), (&large, 2), (&small, 2), (&large, 3)] {
        let answer = client.ask(&upload("/v1/audio/transcriptions", form("hears", file)));
        assert_eq!((answer.status, connections.load(Ordering::SeqCst)), (200, expected));
    }
}
