//! Raw bytes that two servers could take for two different requests: the table is `smuggling.txt`.

use crate::support::{
    all_at_once,
    client::{Fill, PATIENCE, get},
    tag,
    world::World,
};
use std::time::Duration;

const CASES: &str = include_str!("smuggling.txt");

/// A connection that says nothing for so long waits for more.
const QUIET: Duration = Duration::from_millis(250);

struct Case {
    name: &'static str,
    /// Alternatives, each a list of what is answered.
    expected: Vec<&'static str>,
    saw: Option<usize>,
    open: bool,
    lines: Vec<&'static str>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CASES.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            let (name, expected) = title.split_once(" -> ").expect("a title has an expectation");
            let (expected, open) = match expected.strip_suffix(" open") {
                Some(expected) => (expected, true),
                None => (expected, false),
            };
            let (expected, saw) = match expected.split_once(" saw ") {
                Some((expected, saw)) => (expected, Some(saw.parse().expect("a number"))),
                None => (expected, None),
            };
            cases.push(Case { name, expected: expected.split('|').collect(), saw, open, lines: Vec::new() });
        } else if let (Some(case), false) = (cases.last_mut(), line.starts_with('#')) {
            case.lines.push(line);
        }
    }
    cases
}

/// The bytes of a case, with its own tag.
fn bytes(case: &Case, tag: &str) -> Vec<u8> {
    let body = |model: &str| format!("{{\"model\":\"openai/{model}\",\"messages\":[]}}");
    let good = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost";
    let (first, second) = (body(tag), body(&format!("{tag}-2")));
    let second = format!("{good}\r\nContent-Length: {}\r\n\r\n{second}", second.len());
    let mut text = String::new();
    for line in &case.lines {
        match line.strip_suffix('\\') {
            Some(open) => text += open,
            None => text += &format!("{line}\r\n"),
        }
    }
    let hex = format!("{:x}", first.len());
    let chunks = format!("{hex}\r\n{first}\r\n0\r\n\r\n");
    let words = [
        ("{POST}", good.to_owned()),
        ("{SECOND}", second.clone()),
        ("{LEN2}", second.len().to_string()),
        ("{LEN}", first.len().to_string()),
        ("{HEX}", hex),
        ("{CHUNKS}", chunks),
        ("{BODY}", first),
    ];
    // Escapes first: what stands for text holds none.
    let mut bytes = unescaped(&text);
    for (word, meant) in words {
        while let Some(at) = memchr::memmem::find(&bytes, word.as_bytes()) {
            bytes.splice(at..at + word.len(), meant.bytes());
        }
    }
    bytes
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        bytes.push(match rest.next().expect("an escape") {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).expect("two digits")
            }
            other => panic!("no escape: {other}"),
        });
    }
    bytes
}

/// What came back: statuses, then how the connection stands.
fn outcome(world: &World, bytes: &[u8]) -> (Vec<String>, Fill) {
    let mut client = world.gateway.connect().patience(PATIENCE);
    client.send(bytes);
    let mut got = Vec::new();
    client = client.patience(QUIET * 4);
    while let Some(answer) = client.try_answer("POST") {
        assert!(answer.whole);
        got.push(answer.status.to_string());
        client = client.patience(QUIET);
    }
    if client.last == Fill::Nothing && got.is_empty() {
        got.push("wait".to_owned());
    }
    if client.last != Fill::Nothing && got.is_empty() {
        got.push("close".to_owned());
    }
    (got, client.last)
}

#[test]
fn bytes_that_could_be_read_in_two_ways_are_refused_and_the_rest_is_asked_once() {
    let world = World::open();
    let cases = cases();
    let wrong = std::sync::Mutex::new(Vec::new());
    all_at_once(&cases, 12, |case| {
        let tag = tag();
        let bytes = bytes(case, &tag);
        let (got, last) = outcome(&world, &bytes);
        let statuses = got.join(",");
        let answered = got.iter().filter(|status| *status == "200").count();
        let saw = world.seen_so_far(&tag).len();
        let refused = got.last().is_some_and(|status| status == "400") && !case.open;
        let mut breaches = Vec::new();
        if !case.expected.contains(&statuses.as_str()) {
            breaches.push(format!("got {statuses}, not {}", case.expected.join("|")));
        }
        if saw != case.saw.unwrap_or(answered) {
            breaches.push(format!("the provider saw {saw}"));
        }
        if refused && last == Fill::Nothing {
            breaches.push("the connection stays open".to_owned());
        }
        if !breaches.is_empty() {
            let text = format!("{}: {}", case.name, breaches.join("; "));
            wrong.lock().expect("no panic").push(text);
        }
    });
    println!("{} cases", cases.len());
    let wrong = wrong.into_inner().expect("no panic");
    assert!(cases.len() > 110 && wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_request_of_a_connection_is_looked_at() {
    let world = World::open();
    let mut client = world.gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&get("/health")).status, 200);
    }
    let both =
        "GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(both.to_owned() + "0\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert_ne!(client.end(), Fill::Nothing);
}
