//! More than can be served: whoever is refused hears it at once and whole, whoever is urgent comes first.

use crate::support::{
    all_at_once, chat,
    client::{Answer, Client, Request, code_of, get, post},
    gateway::Setup,
    message, tag,
    upstream::Upstream,
    world::World,
};
use serde_json::json;
use socket2::SockRef;
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

fn key(number: usize) -> String {
    format!("client-{number:02}-0123456789abcdef")
}

/// A gateway with three client keys in front of what does four things at once.
fn world(more: &str, queue: usize) -> World {
    let keys: Vec<String> = (0..3).map(key).collect();
    let config = format!(
        "log: {{format: json}}\nkeys: {keys:?}\n\
         limits: {{rates: [{{provider: box, concurrent: 4}}{more}], queue: {{size: {queue}, wait: 60s}}}}\n\
         providers: {{box: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: head-ms=250}}}}}}\n"
    );
    World::start(&config, Setup::default())
}

fn by(caller: usize, request: Request) -> Request {
    request.header("authorization", &format!("Bearer {}", key(caller)))
}

fn ask(caller: usize, text: &str) -> Request {
    by(caller, post("/v1/chat/completions", chat("box/m", text)))
}

/// The same question in four APIs, each with where its errors have their code.
fn apis() -> [(Request, &'static str); 4] {
    let gemini = json!({"contents": [{"parts": [{"text": "why"}]}]});
    [
        (post("/v1/chat/completions", chat("box/m", "why")), "rate_limit_exceeded"),
        (post("/v1/responses", json!({"model": "box/m", "input": "why"})), "rate_limit_exceeded"),
        (post("/v1/messages", message("box/m", "why")), "rate_limit_error"),
        (post("/v1beta/models/box%2Fm:generateContent", gemini), "RESOURCE_EXHAUSTED"),
    ]
}

fn is_refusal(answer: &Answer, code: &str) -> bool {
    let body = answer.json();
    let found = body["error"]["status"].as_str().map_or_else(|| code_of(&body), str::to_owned);
    let after = answer.header("retry-after").parse::<u64>();
    answer.status == 429
        && answer.whole
        && found == code
        && after.is_ok_and(|after| (1..=60).contains(&after))
}

/// Ten times as many as can be served: forty at once, where four are served and four wait.
#[test]
fn who_is_refused_hears_it_whole_in_his_own_api_while_the_health_is_told() {
    let world = world("", 4);
    let (refused, served, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let callers: Vec<usize> = (0..40).collect();
    thread::scope(|scope| {
        let health = scope.spawn(|| {
            let (mut count, mut deepest) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let answer = world.ask(&by(0, get("/health/ready")));
                assert_eq!(answer.status, 200, "{}", answer.text());
                deepest = deepest.max(answer.json()["waiting"]["normal"].as_u64().expect("a depth"));
                count += 1;
                thread::sleep(Duration::from_millis(20));
            }
            (count, deepest)
        });
        all_at_once(&callers, callers.len(), |caller| {
            let (request, code) = apis()[caller % 4].clone();
            let request = by(caller % 3, request);
            let mut client = world.gateway.connect();
            for _ in 0..5 {
                let answer = client.ask(&request);
                let counted = if answer.status == 200 { &served } else { &refused };
                counted.fetch_add(1, Ordering::SeqCst);
                assert!(answer.status == 200 || is_refusal(&answer, code), "{code}: {}", answer.text());
                assert_ne!(answer.header("connection"), "close");
            }
        });
        over.store(true, Ordering::SeqCst);
        let (count, deepest) = health.join().expect("no panic");
        assert!(count > 2 && deepest == 4, "asked {count} times, {deepest} waited at most");
    });
    let (refused, served) = (refused.into_inner(), served.into_inner());
    println!("{served} served, {refused} refused");
    assert!(refused + served == 200 && refused > served, "{served} {refused}");
}

#[test]
fn a_batch_that_floods_is_overtaken_and_gives_way() {
    let more = format!(", {{caller: {}, priority: interactive}}", key(1));
    let world = world(&more, 16);
    let floods: Vec<usize> = (0..60).collect();
    let flood = |_: &usize| {
        let answer = world.ask(&ask(0, "why").header("x-sekisho-priority", "batch"));
        assert!(answer.status == 200 || is_refusal(&answer, "rate_limit_exceeded"), "{}", answer.text());
    };
    thread::scope(|scope| {
        let flood = scope.spawn(|| all_at_once(&floods, floods.len(), flood));
        crate::support::eventually("the queue is full of it", Duration::from_secs(20), || {
            world.ask(&by(0, get("/health"))).json()["waiting"]["batch"] == 16
        });
        let urgent: Vec<usize> = (0..12).collect();
        all_at_once(&urgent, urgent.len(), |_| {
            // What he says of himself lowers his priority, and never raises it.
            let answer = world.ask(&ask(1, "why").header("x-sekisho-priority", "interactive"));
            assert_eq!(answer.status, 200, "{}", answer.text());
        });
        flood.join().expect("no panic");
    });
    for request in [
        ask(0, "why"),
        by(0, post("/v1/moderations", json!({"model": "box/m", "input": "why"}))),
        by(0, get("/box/models")),
    ] {
        let answer = world.ask(&request.header("x-sekisho-priority", "urgent"));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("must be `interactive`, `normal` or `batch`"), "{}", answer.text());
    }
}

/// Resets the connection when it is dropped.
fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// A whole request with a length, or nothing where the connection ends.
fn read_request(socket: &mut TcpStream, rest: &mut Vec<u8>) -> Option<String> {
    let mut piece = [0; 4 << 10];
    loop {
        let text = String::from_utf8_lossy(rest).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                rest.clear();
                return Some(text);
            }
        }
        match socket.read(&mut piece) {
            Ok(read @ 1..) => rest.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}

/// Resets connections in every phase, by chance of the connection's number: before it reads, after half, after
/// the whole request, and while they are idle behind an answer.
#[test]
fn what_may_have_been_done_is_never_done_twice() {
    const ANSWER: &str = r#"{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"so"},"finish_reason":"stop"}]}"#;
    let done: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let (seen, number) = (done.clone(), AtomicUsize::new(0));
    let upstream = Upstream::reading(move |socket| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let mut rest = Vec::new();
        match number % 8 {
            0 => return reset(socket),
            1 => {
                let _ = socket.read(&mut [0; 64]);
                return reset(socket);
            }
            _ => {}
        }
        for turn in 0..1 + number % 5 {
            let Some(request) = read_request(socket, &mut rest) else { return };
            let tag = request.split("tag-").nth(1).unwrap_or_default().split('-').next().unwrap_or_default();
            *seen.lock().expect("no panic").entry(tag.to_owned()).or_default() += 1;
            if number % 8 == 2 && turn == number % 5 {
                return reset(socket);
            }
            let length = ANSWER.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = socket.write_all((head + ANSWER).as_bytes());
        }
        // Idle behind its last answer it closes, or is reset.
        if number % 2 == 0 {
            reset(socket);
        }
    });
    let config = format!("providers: {{box: {{base_url: \"{}/v1\", keys: []}}}}\n", upstream.url());
    let world = World::start(&config, Setup::default());
    let rounds: Vec<usize> = (0..16).collect();
    let statuses: Mutex<HashMap<u16, usize>> = Mutex::default();
    all_at_once(&rounds, rounds.len(), |round| {
        let mut client: Client = world.gateway.connect();
        for turn in 0..625 {
            // Many models, of which no breaker opens.
            let body = chat(&format!("box/{round}-{turn}"), &tag());
            let answer = client.ask(&post("/v1/chat/completions", body));
            *statuses.lock().expect("no panic").entry(answer.status).or_default() += 1;
        }
    });
    let statuses = statuses.into_inner().expect("no panic");
    let done = done.lock().expect("no panic");
    println!("{statuses:?}, {} came to the provider whole", done.len());
    let twice: Vec<_> = done.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "done more than once: {twice:?}");
    let served = statuses.get(&200).copied().unwrap_or(0);
    assert!(served > 5_000 && statuses.get(&502).copied().unwrap_or(0) > 600, "{statuses:?}");
    assert_eq!(statuses.values().sum::<usize>(), 10_000);
}
