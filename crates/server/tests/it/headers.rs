//! Which headers cross the gateway, in both directions.

use crate::support::{
    chat,
    client::post,
    message, streamed, tag,
    upstream::Upstream,
    world::{CLIENT_KEY, OPENAI_KEY, World},
};

/// Request headers that end at the gateway.
const END_HERE: &[(&str, &str)] = &[
    ("authorization", "Bearer client-key-0123456789-abcdef"),
    ("x-api-key", "client-key-0123456789-abcdef"),
    ("x-goog-api-key", "client-key-0123456789-abcdef"),
    ("api-key", "client-key-0123456789-abcdef"),
    ("proxy-authorization", "Basic eDp5"),
    ("proxy-authenticate", "Basic"),
    ("proxy-connection", "keep-alive"),
    ("connection", "x-hop, keep-alive, close"),
    ("keep-alive", "timeout=5"),
    ("x-hop", "named by connection"),
    ("te", "trailers"),
    ("trailer", "x-later"),
    ("upgrade", "websocket"),
    ("expect", "100-continue"),
    ("cookie", "session=1"),
    ("forwarded", "for=1.2.3.4"),
    ("via", "1.1 proxy"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "1.2.3.4"),
    ("true-client-ip", "1.2.3.4"),
    ("cf-connecting-ip", "1.2.3.4"),
    ("cf-ray", "x"),
    ("sec-fetch-site", "none"),
    ("x-request-id", "mine"),
    ("x-sekisho-strict", "false"),
    ("x-sekisho-anything", "x"),
];

#[test]
fn what_concerns_the_client_alone_reaches_no_provider() {
    let world = World::keyed();
    for path in ["/v1/chat/completions", "/openai/chat/completions"] {
        for (model, body) in [("good", chat as fn(&str, &str) -> serde_json::Value), ("claude", chat)] {
            let tag = tag();
            let request = END_HERE
                .iter()
                .fold(post(path, body(model, &tag)), |request, (name, value)| request.header(name, value));
            let answer = world.ask(&request.header("x-passes", "yes"));
            assert_eq!(answer.status, 200, "{path} {}", answer.text());
            let seen = world.saw(&tag);
            for (name, value) in END_HERE {
                let ours = ["authorization", "x-api-key"].contains(name);
                assert!(ours || !seen.headers.contains_key(*name), "{path} {model}: {name} passed");
                assert_ne!(seen.header(name), *value, "{path} {model}: {name}");
            }
            let all = format!("{:?}", seen.headers);
            assert!(!all.contains(CLIENT_KEY) && !all.contains("1.2.3.4"), "{all}");
            let passes = model == "good" || path.starts_with("/openai");
            assert_eq!(seen.header("x-passes"), if passes { "yes" } else { "" }, "{path} {model}");
        }
    }
}

#[test]
fn a_provider_gets_its_own_key_and_no_other() {
    let world = World::open();
    let (openai, claude) = (tag(), tag());
    assert_eq!(world.ask(&post("/v1/chat/completions", chat("good", &openai))).status, 200);
    assert_eq!(world.ask(&post("/v1/messages", message("claude", &claude))).status, 200);
    let (openai, claude) = (world.saw(&openai), world.saw(&claude));
    assert_eq!(openai.header("authorization"), format!("Bearer {OPENAI_KEY}"));
    assert_eq!((openai.header("x-api-key"), claude.header("authorization")), ("", ""));
    assert_eq!(openai.header("host"), world.kit.addr().to_string());
}

#[test]
fn what_concerns_the_provider_alone_reaches_no_client() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: KIND\r\nconnection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
        proxy-authenticate: Basic\r\ntrailer: x-later\r\nupgrade: h2c\r\nset-cookie: session=1\r\nalt-svc: h3=\":443\"\r\n\
        strict-transport-security: max-age=1\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n\
        x-sekisho-target: evil/model\r\nx-sekisho-loss: none\r\nx-request-id: provider-id\r\n\
        x-ratelimit-remaining-requests: 9\r\nopenai-processing-ms: 12\r\ncf-ray: abc\r\n\r\n";
    let whole = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}";
    let stream =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    let upstreams = [
        Upstream::saying(head.replace("KIND", "application/json") + whole),
        Upstream::saying(head.replace("KIND", "text/event-stream") + stream),
    ];
    let config = format!(
        "providers:\n  whole: {{base_url: \"{}/v1\", keys: []}}\n  stream: {{base_url: \"{}/v1\", keys: []}}\n",
        upstreams[0].url(),
        upstreams[1].url()
    );
    let world = World::start(&config, Default::default());
    for request in [
        post("/v1/chat/completions", chat("whole/m", "hi")),
        post("/v1/chat/completions", streamed(chat("stream/m", "hi"))),
        post("/whole/anything", "{}"),
        post("/stream/anything", "{}"),
    ] {
        let answer = world.ask(&request);
        assert_eq!(answer.status, 200, "{} {}", request.path, answer.text());
        for name in [
            "x-hop",
            "keep-alive",
            "proxy-authenticate",
            "trailer",
            "upgrade",
            "set-cookie",
            "alt-svc",
            "strict-transport-security",
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ] {
            assert_eq!(answer.header(name), "", "{}: {name}", request.path);
        }
        assert!(answer.header("x-request-id").starts_with("req-"));
        assert!(!answer.header("x-sekisho-target").contains("evil"));
        assert_eq!(answer.header("x-sekisho-loss"), "");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), "9");
        assert_eq!(answer.header("openai-processing-ms"), "12");
        assert!(!answer.header("connection").contains("x-hop"));
    }
}

#[test]
fn a_provider_s_crooked_head_is_a_fault_and_splits_nothing() {
    let crooked: Vec<&[u8]> = vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
        b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ];
    let upstreams: Vec<Upstream> = crooked.iter().map(|bytes| Upstream::saying(*bytes)).collect();
    let provider = |(index, upstream): (usize, &Upstream)| {
        format!("  crooked{index}: {{base_url: \"{}/v1\", keys: []}}\n", upstream.url())
    };
    let providers: String = upstreams.iter().enumerate().map(provider).collect();
    let world = World::start(&format!("providers:\n{providers}"), Default::default());
    for (index, bytes) in crooked.iter().enumerate() {
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let model = format!("crooked{index}/m");
            let answer = world.ask(&post(path, message(&model, "hi")));
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(answer.status, 502, "{path} {shown:?}: {}", answer.text());
            assert_eq!(answer.header("x"), "", "{shown:?}");
        }
    }
}

#[test]
fn a_second_answer_that_nobody_asked_for_is_not_the_next_one() {
    let body = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}";
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let stray = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray";
    let upstream = Upstream::start(move |socket, _| {
        use std::io::{Read, Write};
        let _ = socket.write_all(format!("{answer}{stray}").as_bytes());
        let _ = socket.read(&mut [0; 1024]);
    });
    let config = format!("providers: {{strays: {{base_url: \"{}/v1\", keys: []}}}}\n", upstream.url());
    let world = World::start(&config, Default::default());
    for _ in 0..20 {
        let answer = world.ask(&post("/v1/chat/completions", chat("strays/m", "hi")));
        assert_eq!((answer.status, answer.text().as_str()), (200, body));
    }
}
