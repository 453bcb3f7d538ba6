//! Bedrock's routes: what AWS's clients send with a key and an address of ours.

use crate::support::{
    client::{Answer, Request, post},
    cloud::Cloud,
    gateway::{Gateway, Setup},
    world::{CLIENT_KEY, World},
};
use dialect::{DialectId, Fault, Sink, canon::Event};
use serde_json::{Value, json};

fn ask(path: &str, text: &str) -> Request {
    let content = json!([{"text": text}]);
    let body =
        json!({"messages": [{"role": "user", "content": content}], "inferenceConfig": {"maxTokens": 50}});
    post(path, body)
}

fn words(answer: &Value) -> String {
    answer["output"]["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// The words of a stream, read as AWS's clients would, and how it ended.
fn streamed(answer: &Answer) -> (String, Result<(), Fault>) {
    let mut reader = DialectId::Bedrock.dialect().reader();
    let mut sink = Sink::default();
    let ended = reader.feed(&answer.body, &mut sink).and_then(|()| reader.finish(&mut sink));
    let text = sink.events.iter().filter_map(|event| match event {
        Event::Delta { delta: dialect::canon::Delta::Text(text), .. } => Some(text.as_str()),
        _ => None,
    });
    (text.collect(), ended)
}

#[test]
fn any_model_answers_whole_and_as_a_stream() {
    let world = World::open();
    for model in ["good", "claude", "openai%2Freal-model", "anthropic%2freal-claude", "openai/real-model"] {
        let whole = world.ask(&ask(&format!("/model/{model}/converse"), "hello"));
        let body = whole.json();
        assert_eq!((whole.status, &body["stopReason"]), (200, &json!("end_turn")), "{model}: {body}");
        assert!(!words(&body).is_empty() && body["usage"]["outputTokens"].is_u64(), "{body}");
        assert_eq!(whole.header("x-amzn-requestid"), whole.header("x-request-id"));
        let stream = world.ask(&ask(&format!("/model/{model}/converse-stream"), "hello"));
        assert_eq!(stream.header("content-type"), "application/vnd.amazon.eventstream");
        assert_eq!(streamed(&stream), (words(&body), Ok(())), "{model}");
    }
}

#[test]
fn a_stream_that_breaks_ends_with_an_exception() {
    let world = World::open();
    let stream = world.ask(&ask("/model/good/converse-stream", "[[kit error-at=4]]"));
    let (text, ended) = streamed(&stream);
    assert!(!text.is_empty() && stream.whole, "{text}");
    assert!(ended.is_err_and(|fault| fault.upstream.is_some()));
}

#[test]
fn faults_are_aws_s() {
    let says = |status: u16| {
        format!("  says-{status}: {{base_url: \"KIT/v1\", keys: [], headers: {{x-kit: status={status}}}}}\n")
    };
    let config = ["providers:\n", &says(429), &says(500), &says(503), "failover: {retries: 0}\n"].concat();
    let world = World::start(&config, Setup::default());
    for (model, status, name) in [
        ("nobody-knows-this", 404, "ResourceNotFoundException"),
        ("says-429%2Fm", 429, "ThrottlingException"),
        ("says-500%2Fm", 502, "InternalServerException"),
        ("says-503%2Fm", 503, "ServiceUnavailableException"),
    ] {
        let answer = world.ask(&ask(&format!("/model/{model}/converse"), "hello"));
        assert_eq!((answer.status, answer.header("x-amzn-errortype").as_str()), (status, name), "{model}");
        assert_eq!(answer.json()["__type"], name);
        assert!(answer.json()["message"].is_string(), "{}", answer.text());
    }
    let broken = world.ask(&post("/model/says-429%2Fm/converse", "{"));
    assert_eq!((broken.status, broken.header("x-amzn-errortype").as_str()), (400, "ValidationException"));
    for path in [
        "/model/a%2F..%2Fb/converse",
        "/model/%2F/converse",
        "/model/a%252Fb/converse",
        "/model/a%5Cb/converse",
    ] {
        assert_eq!(world.ask(&ask(path, "hello")).status, 400, "{path}");
    }
}

#[test]
fn a_key_is_wanted_like_everywhere() {
    let world = World::keyed();
    let request = || ask("/model/good/converse", "hello");
    let answer = world.ask(&request().header("authorization", &format!("Bearer {CLIENT_KEY}")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    for refused in [
        request(),
        request().header("authorization", "Bearer wrong"),
        request().header("authorization", "AWS4-HMAC-SHA256 Credential=AKIA/x"),
    ] {
        let answer = world.ask(&refused);
        let name = answer.header("x-amzn-errortype");
        assert_eq!((answer.status, name.as_str()), (401, "AccessDeniedException"), "{}", answer.text());
    }
}

#[test]
fn tokens_are_counted() {
    let world = World::open();
    let body = json!({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}}});
    let answer = world.ask(&post("/model/good/count-tokens", body));
    assert!(answer.json()["inputTokens"].as_u64().is_some_and(|tokens| tokens > 0), "{}", answer.text());
    assert_eq!(answer.header("x-sekisho-estimated"), "true");
}

#[test]
fn bedrock_itself_gets_what_was_sent() {
    let cloud = Cloud::start(|_| None);
    let config = format!(
        "providers: {{bedrock: {{base_url: \"{}\", keys: key-of-bedrock-012, region: r}}}}\n",
        cloud.url()
    );
    let gateway = Gateway::start(&Setup { config: Some(config), ..Setup::default() });
    let body = r#"{"messages": [{"role":"user","content":[{"text":"hi"}]}],  "own": 1.50}"#;
    for (verb, count) in [("converse", 1), ("converse-stream", 1), ("count-tokens", 1)] {
        let path = format!("/model/bedrock%2Famazon.nova-x%3A0/{verb}");
        let request = post(&path, "").body(body).header("x-amz-security-token", "session-of-the-caller");
        let answer = gateway.ask(&request);
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
        let asked = cloud.asked(&format!("/model/amazon.nova-x%3A0/{verb}"));
        let asked: Vec<_> = asked.iter().filter(|asked| asked.target.ends_with(verb)).collect();
        assert_eq!(asked.len(), count, "{verb}");
        for asked in asked {
            assert_eq!(asked.body, body);
            assert_eq!(asked.header("authorization"), "Bearer key-of-bedrock-012");
            assert_eq!(asked.header("x-amz-security-token"), "");
        }
    }
}
