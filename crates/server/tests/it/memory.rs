//! What a slow reader does not take is not gathered for him.

use crate::support::{
    chat,
    client::{Client, post},
    gateway::{Gateway, Setup},
    streamed,
    upstream::Upstream,
};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The answer, in bytes.
const SIZE: usize = 100 << 20;

/// So many read slowly at once: what the allocator takes in whole pieces is not one reader's.
const READERS: usize = 16;

/// Sends an answer of that size, whole or as a stream, until it is taken or the reader has gone. Both forms
/// go on until the connection closes.
fn send_huge(socket: &mut TcpStream, request: &[u8], sent: &AtomicUsize) {
    let says = |word: &str| memchr::memmem::find(request, word.as_bytes()).is_some();
    let kind = if says("\"stream\":true") { "text/event-stream" } else { "application/json" };
    let delta = format!("{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}", "x".repeat(2_000));
    let event = format!("data: {{\"choices\":[{delta}]}}\n\n");
    let mut left = if says("warm") { 4 << 20 } else { SIZE };
    let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n").as_bytes());
    while left > 0 && socket.write_all(event.as_bytes()).is_ok() {
        sent.fetch_add(event.len(), Ordering::SeqCst);
        left = left.saturating_sub(event.len());
    }
}

#[test]
fn slow_readers_of_huge_answers_hold_the_provider_back_and_no_memory() {
    let sent = Arc::<AtomicUsize>::default();
    let counted = sent.clone();
    let upstream = Upstream::start(move |socket, request| send_huge(socket, request, &counted));
    let config = Some(format!("providers: {{huge: {{base_url: \"{}/v1\", keys: []}}}}\n", upstream.url()));
    let gateway = Gateway::start(&Setup { config, ..Setup::default() });
    for stream in [true, false] {
        let request = |text: &str| {
            let body = chat("huge/m", text);
            post("/v1/chat/completions", if stream { streamed(body) } else { body })
        };
        // What it takes to serve at all is not counted.
        for _ in 0..3 {
            assert!(gateway.ask(&request("warm")).body.len() > 4 << 20);
        }
        sent.store(0, Ordering::SeqCst);
        let before = gateway.resident();
        let begin = || {
            let mut client = gateway.connect();
            SockRef::from(&client.stream).set_recv_buffer_size(4096).expect("a socket takes options");
            client.send_request(&request("huge"));
            client.wait_for("xxxx");
            client
        };
        let mut clients: Vec<Client> = (0..READERS).map(|_| begin()).collect();
        let (most, read) = read_slowly(&gateway, &mut clients, before);
        let (most, sent) = (most / READERS as u64, sent.load(Ordering::SeqCst) / READERS);
        println!("streamed: {stream}: each read {read} bytes, was sent {sent}, took {most} of memory");
        assert!(most <= 2 << 20, "{most}");
        // What is not with the reader stands in the kernel's buffers of two connections.
        assert!(sent < SIZE / 2, "{sent}");
        clients.into_iter().for_each(Client::leave);
    }
}

/// Reads a little, now and then, for a while: the most memory that was held meanwhile beyond `before`, and
/// what each has read.
fn read_slowly(gateway: &Gateway, clients: &mut [Client], before: u64) -> (u64, usize) {
    let (began, mut most, mut read) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(2) {
        let pieces = clients.iter_mut().map(|client| client.stream.read(&mut [0; 1024]).expect("it goes on"));
        read += pieces.max().unwrap_or(0);
        most = most.max(gateway.resident().saturating_sub(before));
        thread::sleep(Duration::from_millis(50));
    }
    (most, read)
}
