//! Names by which the gateway is called: one host, a plain one, and without client keys only this machine's.

use crate::support::{
    chat,
    client::{Client, Request, get, post, request},
    tag,
    world::{CLIENT_KEY, World},
};

/// One request to every kind of route.
fn routes(tag: &str) -> Vec<Request> {
    vec![
        get("/"),
        get("/health"),
        get("/health/ready"),
        get("/v1/models"),
        get("/v1/models/good"),
        post("/v1/chat/completions", chat("good", tag)),
        post("/v1/messages", chat("good", tag)),
        post("/v1/embeddings", chat("good", tag)),
        post("/openai/chat/completions", chat("good", tag)),
        get("/nothing"),
        request("OPTIONS", "/v1/chat/completions"),
    ]
}

/// Values of `Host` that no honest client sends.
const CROOKED: &[&str] = &[
    "",
    " ",
    "127.0.0.1/v1/models",
    "127.0.0.1/../",
    "127.0.0.1?x",
    "127.0.0.1#x",
    "user@127.0.0.1",
    "user:password@127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "127.0.0.1:80:80",
    "127.0.0.1:80x",
    "127.0.0.1:-1",
    "127.0.0.1 evil.test",
    "127.0.0.1, evil.test",
    "127.0.0.1\tx",
    "[127.0.0.1",
    "127.0.0.1]",
    "[::1",
    "::1]",
    "[::1]x",
    "[]",
    "http://127.0.0.1",
    "127.0.0.1\\evil",
    "%31%32%37.0.0.1",
    "127.0.0.1\u{e9}",
    "loc\"alhost",
    ":80",
    "localhost;x",
];

#[test]
fn a_crooked_host_is_refused_on_every_route() {
    for (world, key) in [(World::open(), ""), (World::keyed(), CLIENT_KEY)] {
        for host in CROOKED {
            let tag = tag();
            for request in routes(&tag) {
                let request = request.header("host", host).header("x-api-key", key);
                let status = world.ask(&request).status;
                let place = format!("{host:?} {} {}", request.method, request.path);
                assert!(matches!(status, 400 | 421), "{place}: {status}");
            }
            assert!(world.seen_so_far(&tag).is_empty(), "{host:?}");
        }
    }
}

#[test]
fn an_honest_host_makes_no_difference() {
    let (open, keyed) = (World::open(), World::keyed());
    let canonical = |request: &Request| (open.ask(request).status, keyed.ask(request).status);
    for host in ["localhost", "LOCALHOST:8787", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:80"] {
        for request in routes("hi") {
            let expected = canonical(&request);
            let got = canonical(&request.clone().header("host", host));
            assert_eq!(got, expected, "{host} {} {}", request.method, request.path);
        }
    }
}

#[test]
fn a_request_has_one_host_and_the_address_names_no_other() {
    let world = World::open();
    let raw = |bytes: &str| {
        let mut client = world.gateway.connect();
        client.send(bytes);
        client.answer().status
    };
    assert_eq!(raw("GET /health HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(raw("GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n"), 400);
    assert_eq!(raw("GET /health HTTP/1.1\r\nhost: localhost\r\nHost: evil.test\r\n\r\n"), 400);
    assert_eq!(raw("GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\n\r\n"), 200);
    for address in ["http://evil.test/health", "http://localhost@evil.test/health", "//evil.test/health"] {
        let status = raw(&format!("GET {address} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        assert!(matches!(status, 400 | 421), "{address}: {status}");
    }
}

#[test]
fn without_client_keys_only_this_machine_s_names_are_served() {
    let world = World::open();
    let port = world.gateway.addr.port();
    for host in
        ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "0.0.0.0", "10.0.0.1", "[::]", "127.1"]
    {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            for origin in ["", "http://evil.test", "http://localhost", "null"] {
                let tag = tag();
                for request in routes(&tag) {
                    let request = request.header("host", &host);
                    let request = if origin.is_empty() { request } else { request.header("origin", origin) };
                    let status = world.ask(&request).status;
                    assert!(matches!(status, 403 | 421), "{host} {origin} {}: {status}", request.path);
                }
                assert!(world.seen_so_far(&tag).is_empty());
            }
        }
    }
    // With keys, the name is a matter of whoever set up the name.
    let keyed = World::keyed();
    let named = get("/v1/models").header("host", "llm.example:443").header("x-api-key", CLIENT_KEY);
    assert_eq!(keyed.ask(&named).status, 200);
}

#[test]
fn without_client_keys_web_pages_of_other_origins_are_refused() {
    let world = World::open();
    for origin in
        ["http://evil.test", "https://127.0.0.1.evil.test", "null", "file://", "chrome-extension://abc", "x"]
    {
        let tag = tag();
        for request in routes(&tag) {
            let status = world.ask(&request.clone().header("origin", origin)).status;
            assert_eq!(status, 403, "{origin} {} {}", request.method, request.path);
        }
        assert!(world.seen_so_far(&tag).is_empty());
    }
    for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
        let asked = post("/v1/chat/completions", chat("good", "hi")).header("origin", origin);
        assert_eq!(world.ask(&asked).status, 200, "{origin}");
    }
}

#[test]
fn over_http2_the_authority_is_the_host() {
    let world = World::open();
    let h2 = crate::support::h2::H2::connect(world.gateway.addr);
    assert_eq!(h2.ask(&get("/health")).status, 200);
    // The name in `host` counts no more and no less than the authority.
    assert!(matches!(h2.ask(&get("/health").header("host", "evil.test")).status, 400 | 421));
    let mut client: Client = world.gateway.connect();
    assert_eq!(client.ask(&get("/health")).status, 200);
}
