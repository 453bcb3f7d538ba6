//! Requests that are too large, too deep or written to be read in two ways.

use crate::support::{
    all_at_once, chat,
    client::{Answer, Client, Fill, Request, get, post},
    gateway::Setup,
    h2::H2,
    message, tag,
    world::{CLIENT_KEY, World},
};
use serde_json::Value;

/// The body limit of the gateway that has client keys.
const LIMIT: usize = 64 << 10;

fn keyed(request: Request) -> Request {
    request.header("authorization", &format!("Bearer {CLIENT_KEY}"))
}

/// The answer, after which the connection must have been closed.
fn last_answer(mut client: Client) -> Answer {
    let answer = client.answer();
    assert_ne!(client.end(), Fill::Nothing, "the connection was left open after {}", answer.status);
    answer
}

#[test]
fn heads_that_are_too_large_are_refused_and_closed() {
    let world = World::open();
    let fields = |count: usize| {
        (0..count).fold(get("/health"), |request, index| request.header(&format!("x-{index}"), "y"))
    };
    let long = |size: usize| get("/health").header("x-long", &"y".repeat(size));
    let cookies = |count: usize| get("/health").header("cookie", &"name=value; ".repeat(count));
    for (name, request) in [
        ("33 KiB in one field", long(33 << 10)),
        (
            "33 KiB in many fields",
            (0..90).fold(get("/health"), |r, i| r.header(&format!("x-{i}"), &"y".repeat(400))),
        ),
        ("101 fields", fields(100)),
        ("500 KB in one field", long(500_000)),
        ("10,000 cookies", cookies(10_000)),
        ("10,000 fields", fields(10_000)),
    ] {
        let mut client = world.gateway.connect();
        client.send_request(&request);
        let answer = client.try_answer("GET");
        // What is not read may reset the connection before the answer is.
        let refused = answer.map_or(client.last == Fill::Reset, |answer| answer.status == 431);
        assert!(refused, "{name}");
        assert_ne!(client.end(), Fill::Nothing, "{name}");
    }
    for request in [long(30 << 10), fields(90)] {
        assert_eq!(world.ask(&request).status, 200);
    }
    // An address that no route can have.
    let status = world.ask(&get(&format!("/{}", "a".repeat(40_000)))).status;
    assert!(status == 414 || status == 431, "{status}");
}

#[test]
fn a_head_that_is_too_large_is_refused_over_http2() {
    let world = World::open();
    let client = H2::connect(world.gateway.addr);
    let large = get("/health").header("x-long", &"y".repeat(33 << 10));
    let status = client.ask(&large).status;
    assert_eq!(status, 431);
    assert_eq!(client.ask(&get("/health")).status, 200);
}

#[test]
fn bodies_over_the_limit_are_refused_at_the_limit() {
    let world = World::keyed();
    let body = |size: usize| {
        let frame = chat("good", "").to_string().len();
        chat("good", &"x".repeat(size - frame)).to_string()
    };
    let path = "/v1/chat/completions";
    assert_eq!(body(LIMIT).len(), LIMIT);
    assert_eq!(world.ask(&keyed(post(path, body(LIMIT)))).status, 200);
    // With a length: the head is enough.
    let request = keyed(post(path, body(LIMIT + 1)));
    let mut client = world.gateway.connect();
    client.send(request.head("localhost"));
    let answer = last_answer(client);
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
    // In chunks: at the limit, whatever would come.
    for size in [LIMIT, LIMIT + 1] {
        let mut client = world.gateway.connect();
        client.send(keyed(post(path, "")).header("transfer-encoding", "chunked").head("localhost"));
        client.send(format!("{size:x}\r\n{}\r\n0\r\n\r\n", body(size)));
        let answer = if size > LIMIT { last_answer(client) } else { client.answer() };
        assert_eq!(answer.status, if size > LIMIT { 413 } else { 200 });
    }
    let client = H2::connect(world.gateway.addr);
    assert_eq!(client.ask(&keyed(post(path, body(LIMIT)))).status, 200);
    assert_eq!(client.ask(&keyed(post(path, body(LIMIT + 1)))).status, 413);
    // In Anthropic's words.
    let answer = world.ask(&keyed(post("/v1/messages", body(LIMIT + 1))));
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (413, Some("request_too_large")));
}

#[test]
fn a_refused_upload_is_not_gathered() {
    let world = World::start(
        &format!(
            "keys: [{CLIENT_KEY}]\nlimits: {{body: 1MiB}}\nproviders: {{openai: {{base_url: \"KIT/v1\", keys: x}}}}\n"
        ),
        Setup::default(),
    );
    assert_eq!(world.ask(&keyed(post("/v1/chat/completions", chat("openai/m", "hi")))).status, 200);
    let before = world.gateway.resident();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    all_at_once(&[(); 16], 16, |()| {
        let mut client = world.gateway.connect();
        client.send(
            keyed(post("/v1/chat/completions", "")).header("transfer-encoding", "chunked").head("localhost"),
        );
        for _ in 0..200 {
            client.send(&chunk);
        }
        client.end();
    });
    let grown = world.gateway.resident().saturating_sub(before);
    println!("16 uploads of 12.5 MiB with a limit of 1 MiB: memory +{grown} bytes");
    // A buffer that grows holds more than its limit for a moment, and the allocator keeps some of what it had.
    assert!(grown < 16 * (6 << 20), "{grown}");
}

#[test]
fn a_body_without_a_key_is_refused_before_it_is_read() {
    let world = World::keyed();
    let mut client = world.gateway.connect();
    client.send(post("/v1/chat/completions", "").header("content-length", "60000").head("localhost"));
    assert_eq!(last_answer(client).status, 401);
}

#[test]
fn a_compressed_body_is_refused() {
    let world = World::open();
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"] {
        let request = post("/v1/chat/completions", chat("good", "hi")).header("content-encoding", encoding);
        assert_eq!(world.ask(&request).status, 415, "{encoding}");
    }
    let request = post("/v1/chat/completions", chat("good", "hi")).header("content-encoding", "identity");
    assert_eq!(world.ask(&request).status, 200);
}

#[test]
fn nesting_without_end_is_refused() {
    let world = World::open();
    const DEEP: usize = 1_000_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (before, behind) in [
            ("{\"model\":\"good\",\"x\":", "}"),
            ("{\"model\":\"good\",\"messages\":", "}"),
            ("{\"model\":", "}"),
            ("", ""),
        ] {
            for whole in [true, false] {
                let deep = open.repeat(DEEP) + if whole { "1" } else { "" };
                let deep = deep + &if whole { close.repeat(DEEP) } else { String::new() };
                for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
                    let answer = world.ask(&post(path, format!("{before}{deep}{behind}")));
                    assert_eq!(answer.status, 400, "{path} {open} {before}");
                }
            }
        }
    }
    assert_eq!(world.ask(&get("/health")).status, 200);
}

/// Bodies that two parsers read in two ways. `@` stands for the model that is allowed.
#[rustfmt::skip]
const TWO_WAYS: &[&str] = &[
    r#"{"model":"@","model":"openai/other","messages":[]}"#,
    r#"{"model":"@","messages":[],"model":"@"}"#,
    r#"{"model":"@","messages":[],"mod\u0065l":"openai/other"}"#,
    r#"{"mod\u0065l":"@","messages":[]}"#,
    r#"{"\u006dodel":"@","messages":[]}"#,
    r#"{"Model":"@","messages":[]}"#,
    r#"{"model":"@","Model":"openai/other","messages":[]}"#,
    r#"{"MODEL":"openai/other","model":"@","messages":[]}"#,
    r#"{"model":"@","ſtream":true,"messages":[],"Stream":true}"#,
    r#"{"model":"@","stream":false,"stream":true,"messages":[]}"#,
    r#"{"model":"@","STREAM":true,"messages":[]}"#,
    r#"{"model":"@","str\u0065am":true,"messages":[]}"#,
    r#"{"model":"@","messages":[]}{"model":"openai/other"}"#,
    r#"{"model":"@","messages":[]} x"#,
    r#"{"model":"@","messages":[],}"#,
    r#"{"model":"@" "messages":[]}"#,
    r#"{'model':'@','messages':[]}"#,
    r#"{model:"@","messages":[]}"#,
    r#"{"model":"@",/* */"messages":[]}"#,
    r#"{"model":["@"],"messages":[]}"#,
    r#"{"model":{"model":"@"},"messages":[]}"#,
    r#"{"model":"@","stream":"true","messages":[]}"#,
    r#"{"model":"@","stream":1,"messages":[]}"#,
    r#"[{"model":"@","messages":[]}]"#,
    r#""@""#,
];

#[test]
fn a_body_that_two_parsers_read_in_two_ways_reaches_no_provider() {
    let world = World::open();
    for body in TWO_WAYS {
        for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
            let tag = tag();
            let body = body.replace('@', &format!("openai/{tag}"));
            let answer = world.ask(&post(path, &body));
            assert_eq!(answer.status, 400, "{path} {body} {}", answer.text());
            assert!(world.seen_so_far(&tag).is_empty(), "{path} {body}");
        }
    }
    // What only looks like it is no harm: nested, in text, in another member.
    for member in [r#""metadata":{"model":"x","Model":"y"}"#, r#""x":"\"model\":\"x\"""#, r#""modell":"x""#] {
        let tag = tag();
        let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
        let body = format!(r#"{{{member},"model":"openai/{tag}",{messages}}}"#);
        assert_eq!(world.ask(&post("/v1/chat/completions", &body)).status, 200, "{body}");
        assert_eq!(world.saw(&tag).json()["model"], tag.as_str());
    }
    // A value may be escaped: it is understood.
    let (tag, messages) = (tag(), r#""messages":[{"role":"user","content":"hi"}]"#);
    let body = format!(r#"{{"model":"openai\/{tag}\u002dx",{messages}}}"#);
    let answer = world.ask(&post("/v1/chat/completions", &body));
    assert_eq!((answer.status, answer.header("x-sekisho-target")), (200, format!("openai/{tag}-x")));
}

/// Texts between quotation marks, as bytes.
const TEXTS: &[&[u8]] = &[
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\ud83d\\ude00",
    b"\\u0000",
    b"\\u202e\\ufeff\\u2028",
    "\u{feff}\u{202e}\u{2028}\u{0}".as_bytes(),
    "日本語 👩‍👩‍👧‍👦 \u{10ffff}".as_bytes(),
    "e\u{301} \u{e9}".as_bytes(),
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe6\x97",
    b"\xf8\x88\x80\x80\x80",
    b"\x80",
    b"a\nb",
    b"a\x00b",
    b"a\x7fb",
    b"\\x41",
    b"\\u12",
];

#[test]
fn text_passes_as_the_bytes_it_is_or_not_at_all() {
    let world = World::open();
    for text in TEXTS {
        for (path, model) in [("/v1/chat/completions", "good"), ("/v1/messages", "claude")] {
            let tag = tag();
            let with = |model: &str| {
                let body = message(model, &format!("{tag}TEXT")).to_string();
                let (before, behind) = body.split_once("TEXT").expect("its place");
                [before.as_bytes(), text, behind.as_bytes()].concat()
            };
            let answer = world.ask(&post(path, "").body(with(model)));
            let shown = String::from_utf8_lossy(text);
            if answer.status == 400 && world.seen_so_far(&tag).is_empty() {
                continue;
            }
            let seen = world.saw(&tag).body.expect("a body");
            let real = if model == "good" { "real-model" } else { "real-claude" };
            assert!(seen == with(real), "{shown:?}: {:?}", String::from_utf8_lossy(&seen));
            // The provider of the tests may refuse what we pass on; that is its own affair.
            assert!(answer.status == 200 || answer.status == 400, "{shown:?} {}", answer.status);
        }
    }
}

#[test]
fn text_that_must_be_read_is_read_right_or_refused() {
    let world = World::open();
    for text in TEXTS {
        let tag = tag();
        let body = message("good", &format!("{tag}TEXT")).to_string();
        let (before, behind) = body.split_once("TEXT").expect("its place");
        let body = [before.as_bytes(), text, behind.as_bytes()].concat();
        let meant: Option<Value> = serde_json::from_slice(&body).ok();
        let answer = world.ask(&post("/v1/messages", "").body(body));
        let Some(meant) = meant.filter(|_| answer.status != 400) else {
            assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(text));
            continue;
        };
        assert_eq!(world.saw(&tag).json()["messages"][0]["content"], meant["messages"][0]["content"]);
    }
}

#[test]
fn odd_numbers_pass_as_they_are_or_are_refused() {
    let world = World::open();
    let numbers = [
        "1e400",
        "-0",
        "18446744073709551616",
        "-1",
        "0.1e-400",
        "1E+2",
        "123456789012345678901234567890",
        "9007199254740993",
        "0.30000000000000004",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "1e",
        "--1",
        "1_000",
    ];
    for number in numbers {
        for member in ["temperature", "max_tokens", "seed", "x", "stream", "n"] {
            let tag = tag();
            let body = format!(
                r#"{{"model":"MODEL","{member}":{number},"messages":[{{"role":"user","content":"{tag}"}}]}}"#
            );
            for (path, model, real) in
                [("/v1/chat/completions", "good", "real-model"), ("/v1/chat/completions", "claude", "")]
            {
                let answer = world.ask(&post(path, body.replace("MODEL", model)));
                assert!(matches!(answer.status, 200 | 400), "{body} {}: {}", answer.status, answer.text());
                let seen = world.seen_so_far(&tag);
                let Some(seen) = seen.first().filter(|_| !real.is_empty()) else { continue };
                let got = seen.body.clone().unwrap_or_default();
                assert_eq!(String::from_utf8_lossy(&got), body.replace("MODEL", real));
            }
        }
    }
}

#[test]
fn a_request_with_too_many_parts_is_refused_where_it_must_be_read() {
    let world = World::open();
    let one = r#"{"role":"user","content":"x"}"#;
    let many = |count: usize| vec![one; count].join(",");
    let image = r#"{"type":"text","text":"x"}"#;
    let parts = vec![image; 10_000].join(",");
    let tool = r#"{"name":"t","input_schema":{"type":"object"}}"#;
    let tools = vec![tool; 5_000].join(",");
    for (name, body) in [
        ("messages", format!(r#"{{"model":"good","max_tokens":9,"messages":[{}]}}"#, many(100_000))),
        (
            "parts",
            format!(
                r#"{{"model":"good","max_tokens":9,"messages":[{{"role":"user","content":[{parts}]}}]}}"#
            ),
        ),
        ("tools", format!(r#"{{"model":"good","max_tokens":9,"tools":[{tools}],"messages":[{one}]}}"#)),
    ] {
        let began = std::time::Instant::now();
        let answer = world.ask(&post("/v1/messages", body));
        println!("too many {name}: {} after {:?}", answer.status, began.elapsed());
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
}
