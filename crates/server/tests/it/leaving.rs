//! A client that leaves takes its request with it: the provider sees it at once, in every phase.

use crate::support::{
    chat,
    client::{Client, PATIENCE, Request, post},
    eventually,
    gateway::Setup,
    h2::H2,
    message, percentile, streamed, tag,
    upstream::Upstream,
    world::{World, shared},
};
use serde_json::Value;
use socket2::{SockFilter, SockRef};
use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::provider::{End, Seen};

/// A provider's script, and whether the answer is streamed; the client leaves when the provider has come
/// to where the script keeps it.
const PHASES: [(&str, &str, bool); 5] = [
    ("before the head of a whole answer", "silent", false),
    ("before the body of a whole answer", "stall=0", false),
    ("before the head of a stream", "silent", true),
    ("before the first token", "stall=1", true),
    ("within a stream", "stall=5", true),
];

type Body = fn(&str, &str) -> Value;

const DIALECTS: [(&str, Body, &str); 2] =
    [("/v1/chat/completions", chat, "openai/m"), ("/v1/messages", message, "anthropic/m")];

/// Gone quickly enough, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(2);

fn world() -> Arc<World> {
    let config =
        "providers: {openai: {base_url: \"KIT/v1\", keys: x}, anthropic: {base_url: \"KIT\", keys: x}}\n";
    shared("leaving", || World::start(config, Setup::default()))
}

/// The request of a cell, and the word by which the provider knows it.
fn cell(dialect: usize, script: &str, stream: bool) -> (Request, String) {
    let (path, body, model) = DIALECTS[dialect];
    let tag = tag();
    let request = body(model, &format!("{tag} [[kit {script}]]"));
    (post(path, if stream { streamed(request) } else { request }), tag)
}

/// The provider has come to where its script keeps it.
fn has_arrived(world: &World, tag: &str, script: &str) -> bool {
    let there = |seen: &Seen| match script {
        "silent" | "stall=0" => seen.body.is_some(),
        "stall=1" => seen.events == 1,
        _ => seen.events == 5,
    };
    world.seen_so_far(tag).first().is_some_and(there)
}

/// How long after `left` the provider saw it.
fn noticed(world: &World, tag: &str, left: Instant) -> Duration {
    let seen = world.saw(tag);
    let Some((End::Cancelled, at)) = seen.end else { panic!("{tag}: {:?}", seen.end) };
    at.saturating_duration_since(left)
}

fn go(client: Client, reset: bool) {
    match reset {
        true => client.vanish(),
        false => client.leave(),
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (half, most) = (percentile(&times, 50), percentile(&times, 99));
    println!("{what}: {} cells, seen after {half:?} (p50), {most:?} (p99)", times.len());
    assert!(half < Duration::from_millis(100), "{half:?}");
    assert!(most < AT_ONCE, "{most:?}");
}

#[test]
fn a_client_that_leaves_over_http1_is_seen_to_leave_in_every_phase() {
    let world = world();
    let mut times = Vec::new();
    for dialect in 0..DIALECTS.len() {
        for (phase, script, stream) in PHASES {
            for reset in [false, true] {
                for _ in 0..3 {
                    let (request, tag) = cell(dialect, script, stream);
                    let mut client = world.gateway.connect();
                    client.send_request(&request);
                    eventually(phase, PATIENCE, || has_arrived(&world, &tag, script));
                    let left = Instant::now();
                    go(client, reset);
                    times.push(noticed(&world, &tag, left));
                }
            }
        }
    }
    report("over HTTP/1.1", times);
}

#[test]
fn a_client_that_leaves_over_http2_is_seen_to_leave_in_every_phase() {
    let world = world();
    let mut times = Vec::new();
    for dialect in 0..DIALECTS.len() {
        for (phase, script, stream) in PHASES {
            for how in ["end", "reset", "reset of the stream"] {
                let (request, tag) = cell(dialect, script, stream);
                let client = H2::connect(world.gateway.addr);
                let started = client.start(&request);
                let arrived = client.work_until(|| has_arrived(&world, &tag, script));
                assert!(arrived, "{phase}");
                let left = Instant::now();
                match how {
                    "end" => drop(client.socket.shutdown(Shutdown::Both)),
                    "reset" => {
                        let linger = SockRef::from(&client.socket).set_linger(Some(Duration::ZERO));
                        linger.expect("a socket takes options");
                        drop((started, client));
                        times.push(noticed(&world, &tag, left));
                        continue;
                    }
                    _ => drop(started),
                }
                client.work_until(|| world.seen_so_far(&tag)[0].ended().is_some());
                times.push(noticed(&world, &tag, left));
            }
        }
    }
    report("over HTTP/2", times);
}

#[test]
fn a_client_that_leaves_within_a_whole_answer_is_seen_to_leave() {
    let (sender, seen) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |socket, _| {
        // More than is held back, less than all; then the end of the connection is all that can come.
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n";
        let _ = socket.write_all(&[head.as_bytes(), &[b'x'; 500_000]].concat());
        while matches!(socket.read(&mut [0; 1024]), Ok(1..)) {}
        let _ = sender.send(Instant::now());
    });
    let url = upstream.url();
    let config = format!("providers: {{half: {{base_url: \"{url}/v1\", keys: []}}}}\n");
    let world = World::start(&config, Setup::default());
    let request = post("/v1/chat/completions", chat("half/m", "hi"));
    let mut times = Vec::new();
    for reset in [false, true] {
        let mut client = world.gateway.connect();
        client.send_request(&request);
        client.wait_for("xxxxxxxx");
        let left = Instant::now();
        go(client, reset);
        times.push(seen.recv_timeout(PATIENCE).expect("it ends").saturating_duration_since(left));

        let client = H2::connect(world.gateway.addr);
        let mut response = client.response(client.start(&request));
        client.first_piece(response.body_mut());
        let left = Instant::now();
        if reset {
            drop(response);
        } else {
            drop(client.socket.shutdown(Shutdown::Both));
        }
        client.work_until(|| match seen.try_recv() {
            Ok(at) => {
                times.push(at.saturating_duration_since(left));
                true
            }
            Err(_) => false,
        });
    }
    assert_eq!(times.len(), 4, "{times:?}");
    report("within a whole answer", times);
}

#[test]
fn a_stream_over_http2_neither_waits_for_another_nor_ends_with_it() {
    let world = world();
    let client = H2::connect(world.gateway.addr);
    let (long, tag) = cell(0, "words=60 gap-ms=200", true);
    let mut long = client.response(client.start(&long));
    let began = Instant::now();
    for index in 0..5 {
        let (request, _) = cell(index % 2, "", index > 2);
        let answer = client.ask(&request);
        assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    }
    println!("five requests beside a stream took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "they waited: {:?}", began.elapsed());
    client.first_piece(long.body_mut());
    let answer = client.answer(long);
    // Longer than the head of a request may take, which the other requests had long sent.
    assert!(began.elapsed() > Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(answer.whole && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    world.saw(&tag);
}

#[test]
fn a_client_that_leaves_while_it_uploads_reaches_no_provider() {
    let world = world();
    let idle = world.gateway.descriptors();
    for dialect in 0..DIALECTS.len() {
        for reset in [false, true] {
            let (request, tag) = cell(dialect, "", false);
            let bytes = request.bytes("localhost");
            let mut client = world.gateway.connect();
            client.send(&bytes[..bytes.len() - 9]);
            go(client, reset);
            // The next request is a barrier: what the one before does, it has done.
            let (barrier, known) = cell(dialect, "", false);
            assert_eq!(world.ask(&barrier).status, 200);
            world.saw(&known);
            assert!(world.seen_so_far(&tag).is_empty());
        }
    }
    // Other tests come and go here, so less is asked than nothing left behind.
    eventually("connections close", PATIENCE, || world.gateway.descriptors() <= idle + 40);
}

#[test]
fn a_client_that_leaves_with_more_bytes_behind_its_request_is_seen_to_leave() {
    let world = world();
    let mut times = Vec::new();
    for dialect in 0..DIALECTS.len() {
        for (phase, script, stream) in PHASES {
            for extra in ["GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", "rubbish"] {
                let (request, tag) = cell(dialect, script, stream);
                let mut client = world.gateway.connect();
                client.send([&request.bytes("localhost"), extra.as_bytes()].concat());
                eventually(phase, PATIENCE, || has_arrived(&world, &tag, script));
                client.send(extra);
                let left = Instant::now();
                client.leave();
                times.push(noticed(&world, &tag, left));
            }
        }
    }
    report("with bytes behind the request", times);
}

#[test]
fn a_client_that_closes_its_half_is_taken_for_gone() {
    let world = world();
    let mut times = Vec::new();
    for (phase, script, stream) in PHASES {
        let (request, tag) = cell(0, script, stream);
        let mut client = world.gateway.connect();
        client.send_request(&request);
        eventually(phase, PATIENCE, || has_arrived(&world, &tag, script));
        let left = Instant::now();
        client.stream.shutdown(Shutdown::Write).expect("a socket");
        times.push(noticed(&world, &tag, left));
    }
    report("with one half closed", times);
}

/// From here on nothing reaches the client, and nothing that it would say to that reaches the gateway: as if its
/// cable had been pulled.
fn cut_off(client: &Client) {
    let drop_all = SockFilter::new(0x06, 0, 0, 0); // BPF_RET | BPF_K
    SockRef::from(&client.stream).attach_filter(&[drop_all]).expect("a socket takes a filter");
}

#[test]
fn a_client_that_vanishes_without_a_word_is_taken_for_gone_within_a_minute() {
    let world = world();
    let scripts = [("silent", false), ("silent", true), ("words=1000 gap-ms=400 flush=yes", true)];
    let vanished = scripts.map(|(script, stream)| {
        let (request, tag) = cell(0, script, stream);
        let mut client = world.gateway.connect();
        client.send_request(&request);
        eventually("it is served", PATIENCE, || {
            world.seen_so_far(&tag).first().is_some_and(|seen| seen.events > 2 || script == "silent")
        });
        cut_off(&client);
        (client, tag, script, Instant::now())
    });
    for (_client, tag, script, left) in &vanished {
        let ended = || world.seen_so_far(tag)[0].end.is_some();
        eventually(script, Duration::from_secs(90), ended);
        let after = noticed(&world, tag, *left);
        println!("{script}: seen after {after:?}");
        assert!(after <= Duration::from_secs(60), "{script}: {after:?}");
    }
}

#[test]
fn after_all_have_left_nothing_is_in_flight() {
    let world = World::start("providers: {openai: {base_url: \"KIT/v1\", keys: x}}\n", Setup::default());
    // Once it has answered, it has all that it needs.
    world.ask(&crate::support::client::get("/health"));
    let idle = world.gateway.descriptors();
    let tag = tag();
    let body = streamed(chat("openai/m", &format!("{tag} [[kit stall=3]]")));
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = world.gateway.connect();
            client.send_request(&post("/v1/chat/completions", &body));
            client
        })
        .collect();
    let in_flight = || {
        let health = world.ask(&crate::support::client::get("/health")).json();
        health["in_flight"].as_u64().expect("a number")
    };
    eventually("all are served", PATIENCE, || {
        in_flight() == 100 && world.seen_so_far(&tag).iter().filter(|seen| seen.events == 3).count() == 100
    });
    for (index, client) in clients.into_iter().enumerate() {
        go(client, index % 2 == 0);
    }
    eventually("none is served", PATIENCE, || in_flight() == 0);
    assert!(world.seen(&tag, 100).iter().all(|seen| seen.ended() == Some(End::Cancelled)));
    eventually("descriptors are given back", PATIENCE, || world.gateway.descriptors() <= idle + 1);
}
