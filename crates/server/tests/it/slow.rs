//! Peers that are slow or silent: everything has a time after which it is given up.

use crate::support::{
    all_at_once, chat,
    client::{Client, Fill, get, post},
    gateway::Setup,
    message, streamed, tag,
    upstream::Upstream,
    world::World,
};
use socket2::{Domain, Socket, Type};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use testkit::provider::{End, Provider};

/// A listener whose queue is full: who connects gets no answer at all.
struct Full {
    addr: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Full {
    fn new() -> Full {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port is free");
        listener.listen(0).expect("it listens");
        let addr = listener.local_addr().expect("it is bound");
        let connect = || {
            let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            waiting.set_nonblocking(true).expect("a socket takes options");
            let _ = waiting.connect(&addr);
            waiting
        };
        let waiting = (0..4).map(|_| connect()).collect();
        Full { addr: addr.as_socket().expect("an address"), _listener: listener, _waiting: waiting }
    }
}

/// A provider whose head comes byte by byte, and never ends.
fn trickling() -> Upstream {
    Upstream::start(|socket, _| {
        for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain([b'x'; 10_000].iter()) {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_provider_that_is_silent_is_given_up_in_time_and_the_next_is_asked() {
    let (full, deaf, trickling) = (Full::new(), Provider::start("deaf").expect("it starts"), trickling());
    let config = format!(
        "timeouts: {{connect: 400ms, first_byte: 700ms, idle: 700ms, total: 20s}}\n\
         providers:\n  \
           openai: {{base_url: \"KIT/v1\", keys: x}}\n  anthropic: {{base_url: \"KIT\", keys: x}}\n  \
           closed: {{base_url: \"http://127.0.0.1:1/v1\", keys: []}}\n  \
           full: {{base_url: \"http://{}/v1\", keys: []}}\n  deaf: {{base_url: \"{}/v1\", keys: []}}\n  \
           trickles: {{base_url: \"{}/v1\", keys: []}}\n  \
           silent: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: silent}}}}\n  \
           late: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: head-ms=5000}}}}\n  \
           stalls: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: stall=0}}}}\n  \
           role: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: stall=1}}}}\n\
         models: {{{}}}\n",
        full.addr,
        deaf.url(),
        trickling.url(),
        SILENT.map(|(name, ..)| format!("then-good/{name}: [{name}/m, openai/second]")).join(", "),
    );
    let world = World::start(&config, Setup::default());
    all_at_once(&SILENT, SILENT.len(), |(name, status, code, limit)| {
        let streams: &[bool] = if *name == "role" { &[true] } else { &[false, true] };
        for stream in streams {
            given_up(&world, name, (*status, code), *limit, *stream);
        }
    });
}

/// Name, status, OpenAI code, and the limit that ends it in milliseconds.
const SILENT: [(&str, u16, &str, u64); 8] = [
    ("closed", 502, "upstream_unreachable", 0),
    ("full", 504, "upstream_timeout", 400),
    ("deaf", 504, "upstream_timeout", 700),
    ("trickles", 504, "upstream_timeout", 700),
    ("silent", 504, "upstream_timeout", 700),
    ("late", 504, "upstream_timeout", 700),
    ("stalls", 504, "upstream_timeout", 700),
    ("role", 504, "upstream_timeout", 700),
];

fn given_up(world: &World, name: &str, told: (u16, &str), limit: u64, stream: bool) {
    let limit = Duration::from_millis(limit);
    let ask = |model: &str| {
        let body = chat(model, "hi");
        let request = post("/v1/chat/completions", if stream { streamed(body) } else { body });
        let began = Instant::now();
        (world.ask(&request), began.elapsed())
    };
    let (answer, took) = ask(&format!("{name}/m"));
    println!("{name}, streamed: {stream}: {} after {took:?}", answer.status);
    assert_eq!((answer.status, answer.code().as_str()), told, "{name}");
    assert!(took >= limit && took < limit + Duration::from_secs(3), "{name}: {took:?}");
    let (answer, took) = ask(&format!("then-good/{name}"));
    assert_eq!((answer.status, answer.whole), (200, true), "{name}: {}", answer.text());
    assert_eq!(answer.header("x-sekisho-target"), "openai/second", "{name}");
    assert!(took >= limit && took < limit + Duration::from_secs(3), "{name}: {took:?}");
}

#[test]
fn a_stream_that_falls_silent_in_the_middle_ends_with_an_error() {
    let config = "timeouts: {idle: 600ms}\nproviders: {openai: {base_url: \"KIT/v1\", keys: x}, \
                  anthropic: {base_url: \"KIT\", keys: x}}\n";
    let world = World::start(config, Setup::default());
    let cells = [
        ("/v1/chat/completions", chat as fn(&str, &str) -> serde_json::Value, "openai/m", "upstream_timeout"),
        ("/v1/chat/completions", chat, "anthropic/m", "upstream_timeout"),
        ("/v1/messages", message, "anthropic/m", "timeout_error"),
        ("/v1/messages", message, "openai/m", "timeout_error"),
    ];
    all_at_once(&cells, 4, |(path, body, model, code)| {
        let tag = tag();
        let answer = world.ask(&post(path, streamed(body(model, &format!("{tag} [[kit stall=5]]")))));
        let (_, last) = answer.events().pop().expect("an event");
        assert_eq!((answer.status, answer.whole), (200, true));
        assert!(last.contains("\"error\"") && last.contains(code), "{model}: {}", answer.text());
        assert!(!answer.text().contains("[DONE]") && !answer.text().contains("message_stop"));
        assert_eq!(world.saw(&tag).ended(), Some(End::Cancelled));
    });
}

#[test]
fn a_request_that_takes_too_long_in_all_is_ended() {
    let config = "timeouts: {total: 800ms}\nproviders: {openai: {base_url: \"KIT/v1\", keys: x}}\n";
    let world = World::start(config, Setup::default());
    // It is never silent for long, and still it ends.
    let body = streamed(chat("openai/m", "[[kit words=1000 gap-ms=20]]"));
    let answer = world.ask(&post("/v1/chat/completions", body));
    let (_, last) = answer.events().pop().expect("an event");
    assert!(answer.whole && last.contains("upstream_timeout"), "{last}");
}

#[test]
fn bodies_that_trickle_are_refused() {
    let world = World::open();
    let mut slow: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = world.gateway.connect();
            client.send(post("/v1/chat/completions", "").header("content-length", "9000").head("localhost"));
            client
        })
        .collect();
    let began = Instant::now();
    // Some bytes a second are too few.
    while began.elapsed() < Duration::from_secs(9) {
        slow.iter_mut().for_each(|client| client.send("x".repeat(20)));
        thread::sleep(Duration::from_millis(500));
    }
    for mut client in slow {
        let answer = client.answer();
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
        assert_ne!(client.end(), Fill::Nothing);
    }
    println!("20 bodies were given up after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn heads_that_trickle_are_closed_and_disturb_nobody() {
    let world = World::start("providers: {openai: {base_url: \"KIT/v1\", keys: x}}\n", Setup::default());
    let usual = request_time(&world);
    let before = world.gateway.resident();
    let mut slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(world.gateway.addr).expect("it listens");
            let _ = stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx: ");
            stream.set_nonblocking(true).expect("a socket takes options");
            stream
        })
        .collect();
    let began = Instant::now();
    let mut beside = Vec::new();
    let (mut closed, mut grown) = (0, 0);
    // A byte now and then keeps none of them.
    while closed < slow.len() && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(500));
        beside.push(request_time(&world));
        grown = grown.max(world.gateway.resident().saturating_sub(before));
        for stream in &mut slow {
            let _ = stream.write_all(b"x");
        }
        closed = slow.iter().filter(|stream| is_closed(stream)).count();
    }
    let took = began.elapsed();
    beside.sort_unstable();
    let half = beside[beside.len() / 2];
    println!(
        "{closed} of 300 closed after {took:?}; memory +{grown} bytes; a request beside them took {half:?}, \
         alone {usual:?}"
    );
    assert_eq!(closed, 300);
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(15), "{took:?}");
    // The allocator takes from the system in pieces of megabytes.
    assert!(grown < 300 * (16 << 10) + (8 << 20), "{grown}");
    assert!(half < usual * 10 + Duration::from_millis(100), "{half:?}");
}

fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 1024]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// The median of a few.
fn request_time(world: &World) -> Duration {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(world.ask(&post("/v1/chat/completions", chat("openai/m", "hi"))).status, 200);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[2]
}

#[test]
fn a_connection_that_says_nothing_is_not_kept_waiting_for_an_answer() {
    let world = World::open();
    let mut client = world.gateway.connect().patience(Duration::from_millis(200));
    assert_eq!(client.fill(), Fill::Nothing);
    // It is still taken, once it speaks.
    let mut client: Client = client.patience(crate::support::client::PATIENCE);
    assert_eq!(client.ask(&get("/health")).status, 200);
}
