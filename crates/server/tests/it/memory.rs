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
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The answer, in bytes.
const SIZE: usize = 100 << 20;

#[test]
fn a_slow_reader_of_a_huge_answer_holds_the_provider_back_and_no_memory() {
    let sent = Arc::<AtomicUsize>::default();
    let counted = sent.clone();
    let upstream = Upstream::start(move |socket, request| {
        let streamed = memchr::memmem::find(request, b"\"stream\":true").is_some();
        let size = if memchr::memmem::find(request, b"warm").is_some() { 4 << 20 } else { SIZE };
        let kind = if streamed { "text/event-stream" } else { "application/json" };
        let delta = format!("{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}", "x".repeat(32 << 10));
        let event = format!("data: {{\"choices\":[{delta}]}}\n\n");
        // Until the connection closes: neither form is ever whole.
        let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n").as_bytes());
        counted.store(0, Ordering::SeqCst);
        while counted.load(Ordering::SeqCst) < size && socket.write_all(event.as_bytes()).is_ok() {
            counted.fetch_add(event.len(), Ordering::SeqCst);
        }
    });
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
        let begin = || {
            let mut client = gateway.connect();
            SockRef::from(&client.stream).set_recv_buffer_size(4096).expect("a socket takes options");
            client.send_request(&request("huge"));
            client.wait_for("xxxx");
            client
        };
        read_slowly(&gateway, &mut begin(), 0, Duration::from_millis(500));
        let before = gateway.resident();
        let mut client = begin();
        let (most, read) = read_slowly(&gateway, &mut client, before, Duration::from_secs(2));
        let sent = sent.load(Ordering::SeqCst);
        println!("streamed: {stream}: {read} bytes read, {sent} sent, memory +{most} bytes");
        assert!(most <= 2 << 20, "{most}");
        // What is not with the reader stands in the kernel's buffers of two connections.
        assert!(sent < SIZE / 2, "{sent}");
        client.leave();
    }
}

/// Reads a little, now and then, for a while: the most memory that was held meanwhile, and what was read.
fn read_slowly(gateway: &Gateway, client: &mut Client, before: u64, time: Duration) -> (u64, usize) {
    let (began, mut most, mut read) = (Instant::now(), 0, 0);
    while began.elapsed() < time {
        read += client.stream.read(&mut [0; 1024]).expect("it goes on");
        most = most.max(gateway.resident().saturating_sub(before));
        thread::sleep(Duration::from_millis(50));
    }
    (most, read)
}
