//! Same dialect: the request but for its model, and the answer, pass byte for byte.

use crate::support::{
    chat,
    client::{find, post},
    message, streamed, tag,
    upstream::Upstream,
    world::World,
};
use std::io::Write;

/// A body that any parser would write otherwise.
fn odd_chat(tag: &str, model: &str) -> String {
    format!(
        " {{ \"x-unknown\" : [1.50, 1E2, -0, 12345678901234567890, \"\\u0041\\/\"],\t\"messages\":[ {{\"role\":\
         \"user\",\"content\":\"{tag} \\u65e5本 [[kit words=3]]\"}} ] ,\r\n \"model\" : \"{model}\", \
         \"temperature\":0.70 , \"a\":{{}} }}\n"
    )
}

#[test]
fn a_request_in_the_same_dialect_differs_in_its_model_alone() {
    let world = World::open();
    let (openai, claude) = (tag(), tag());
    let answer = world.ask(&post("/v1/chat/completions", odd_chat(&openai, "good")));
    assert_eq!((answer.status, answer.header("x-sekisho-target").as_str()), (200, "openai/real-model"));
    let body = world.saw(&openai).body.expect("a body");
    assert_eq!(String::from_utf8_lossy(&body), odd_chat(&openai, "real-model"));

    let odd = |model: &str| odd_chat(&claude, model).replace("0.70", "0.70,\"max_tokens\": 50 ");
    let answer = world.ask(&post("/v1/messages", odd("claude")));
    assert_eq!((answer.status, answer.header("x-sekisho-loss").as_str()), (200, ""), "{}", answer.text());
    let body = world.saw(&claude).body.expect("a body");
    assert_eq!(String::from_utf8_lossy(&body), odd("real-claude"));
}

#[test]
fn unknown_headers_and_beta_flags_pass_in_the_same_dialect() {
    let world = World::open();
    let tag = tag();
    let request = post("/v1/messages", message("claude", &tag))
        .header("anthropic-beta", "one-2025-01-01,two-2025-02-02")
        .header("anthropic-version", "2024-01-01")
        .header("x-stainless-lang", "rust")
        .header("user-agent", "some-sdk/1.0");
    assert_eq!(world.ask(&request).status, 200);
    let seen = world.saw(&tag);
    let headers = ["anthropic-beta", "anthropic-version", "x-stainless-lang", "user-agent"];
    let expected = ["one-2025-01-01,two-2025-02-02", "2024-01-01", "rust", "some-sdk/1.0"];
    assert_eq!(headers.map(|name| seen.header(name)), expected);
    assert_eq!(seen.header("x-api-key"), crate::support::world::ANTHROPIC_KEY);
}

#[test]
fn a_header_that_the_provider_demands_is_put_in_where_the_client_sent_none() {
    let world = World::open();
    let tag = tag();
    assert_eq!(world.ask(&post("/v1/messages", message("claude", &tag))).status, 200);
    assert_eq!(world.saw(&tag).header("anthropic-version"), "2023-06-01");
}

const OPENAI_STREAM: &str = ": a comment\n\ndata: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\
    \"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}], \"new\":1}\n\n\
    id: 7\nevent: odd\ndata:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\\u00e9 日\"}}]}\n\n: ping\n\n\
    retry: 10\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n\
    data: [DONE]\n\n";

const ANTHROPIC_STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\
    \"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,\
    \"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
    event: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\
    \"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\n\
    data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"日本\"}}\n\n\
    event: never_heard_of\ndata: {\"type\":\"never_heard_of\",\"x\":[ ]}\n\n\
    event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\
    \"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A provider that sends a stream in pieces of so many bytes.
fn streaming(stream: &str, piece: usize) -> Upstream {
    let bytes = stream.to_owned().into_bytes();
    Upstream::start(move |socket, _| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = socket.write_all(head.as_bytes());
        for piece in bytes.chunks(piece) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            let _ = socket.write_all(&[chunk.as_slice(), b"\r\n"].concat());
        }
        let _ = socket.write_all(b"0\r\n\r\n");
    })
}

#[test]
fn a_stream_comes_back_byte_for_byte_however_it_is_cut() {
    for (stream, path, model) in [
        (OPENAI_STREAM, "/v1/chat/completions", "chat/m"),
        (ANTHROPIC_STREAM, "/v1/messages", "claude-like/m"),
    ] {
        for stream in [stream.to_owned(), stream.replace('\n', "\r\n")] {
            let pieces = [1, 7, 64, 100_000].map(|piece| streaming(&stream, piece));
            let entry = |(index, upstream): (usize, &Upstream)| {
                let base = upstream.url();
                format!(
                    "  chat{index}: {{base_url: \"{base}/v1\", keys: []}}\n  \
                       claude-like{index}: {{base_url: \"{base}\", keys: [], dialect: anthropic}}\n"
                )
            };
            let providers: String = pieces.iter().enumerate().map(entry).collect();
            let world = World::start(&format!("providers:\n{providers}"), Default::default());
            for index in 0..pieces.len() {
                let model = model.replace('/', &format!("{index}/"));
                let answer = world.ask(&post(path, streamed(message(&model, "hi"))));
                assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
                assert_eq!(answer.text(), stream, "piece {index}");
                assert_eq!(answer.header("content-type"), "text/event-stream");
            }
        }
    }
}

#[test]
fn a_whole_answer_comes_back_byte_for_byte_with_its_length() {
    let world = World::open();
    let odd = "{ \"choices\" : [ ], \"usage\":{\"prompt_tokens\":1, \"completion_tokens\":1,\"total_tokens\":2},\
               \"n\":1.00, \"t\":\"\\u0041日\" }\n";
    let text = format!("[[kit body='{odd}']]");
    let answer = world.ask(&post("/v1/chat/completions", chat("good", &text)));
    assert_eq!((answer.status, answer.text().as_str()), (200, odd));
    assert_eq!(answer.header("content-length"), odd.len().to_string());
}

#[test]
fn a_provider_s_own_error_comes_back_byte_for_byte_in_its_dialect() {
    let world = World::open();
    let odd =
        "{\"error\": {\"message\": \"no, 日本\",\"type\":\"odd\",\"param\":null,\"code\":\"strange\"} }";
    let text = format!("[[kit status=422 body='{odd}' header.x-odd=1]]");
    let answer = world.ask(&post("/v1/chat/completions", chat("good", &text)));
    assert_eq!((answer.status, answer.text().as_str()), (422, odd));
    assert_eq!(answer.header("x-odd"), "1");
    // In another dialect it is told in that dialect's words.
    let answer = world.ask(&post("/v1/messages", message("openai/m", &text)));
    assert_eq!((answer.status, answer.json()["type"].as_str()), (400, Some("error")));
    assert!(answer.text().contains("no, 日本"), "{}", answer.text());
}

#[test]
fn a_body_that_came_in_many_pieces_goes_out_as_one_of_the_same_bytes() {
    let world = World::open();
    let tag = tag();
    let body = chat("openai/m", &format!("{tag} {}", "long ".repeat(40_000))).to_string();
    let mut client = world.gateway.connect();
    client
        .send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in body.as_bytes().chunks(9_973) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send([piece, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let seen = world.saw(&tag);
    assert_eq!(seen.header("content-length"), seen.body.as_ref().map_or(0, |b| b.len()).to_string());
    let got = seen.body.expect("a body");
    assert!(find(&got, b"\"model\":\"m\"").is_some());
    assert_eq!(String::from_utf8_lossy(&got), body.replace("openai/m", "m"));
}
