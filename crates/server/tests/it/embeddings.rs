//! Embeddings: whatever the caller's shape and the provider's.

use crate::support::{
    client::{Answer, PATIENCE, Request, post},
    cloud::{Asked, Cloud},
    eventually,
    gateway::{Gateway, Setup},
};
use serde_json::{Value, json};

/// Providers of every shape, all at the same address.
const PROVIDERS: &str = r#"
log: {format: json}
providers:
  openai: {base_url: "URL/v1", keys: key-of-openai-0123}
  mine: {base_url: "URL/mine", keys: []}
  cohere: {base_url: "URL", keys: key-of-cohere-0123}
  gemini: {base_url: "URL", keys: key-of-gemini-0123}
  vertex: {base_url: "URL", keys: key-of-vertex-0123, project: p, region: global}
  bedrock: {base_url: "URL", keys: key-of-bedrock-012, region: r}
  anthropic: {base_url: "URL", keys: key-of-anthropic-0}
models:
  mixed: [anthropic/a, mine/fails, gemini/embedding-x]
  wrong: [cohere/wrong, mine/wrong]
"#;

/// A provider that has all of these shapes. Models called `fails` and `wrong` do as they are called.
fn provider(asked: &Asked) -> Option<(u16, String)> {
    if asked.body.contains("\"fails\"") {
        return Some((500, json!({"error": {"message": "broken"}}).to_string()));
    }
    if asked.body.contains("\"wrong\"") {
        return Some((400, json!({"message": "too long", "id": "e-1"}).to_string()));
    }
    let answer = match asked.target.as_str() {
        "/v1/embeddings" | "/mine/embeddings" => {
            json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.0, -0.50, 2e-3]}], "model": "m",
                "usage": {"prompt_tokens": 7, "total_tokens": 7}, "own": true})
        }
        "/v2/embed" => {
            json!({"id": "x", "embeddings": {"float": [[0.25, 1.5]]}, "meta": {"billed_units": {"input_tokens": 5}}})
        }
        "/v1beta/models/embedding-x:batchEmbedContents" => json!({"embeddings": [{"values": [0.125]}]}),
        "/v1beta/models/embedding-x:embedContent" => json!({"embedding": {"values": [0.125]}}),
        "/v1/projects/p/locations/global/publishers/google/models/text-x:predict" => {
            json!({"predictions": [{"embeddings": {"values": [4.5], "statistics": {"token_count": 3}}}]})
        }
        "/model/amazon.titan-embed-text-v2%3A0/invoke" => {
            json!({"embedding": [9.75], "inputTextTokenCount": 2})
        }
        _ => return Some((404, json!({"error": {"message": "no such path"}}).to_string())),
    };
    Some((200, answer.to_string()))
}

fn world() -> (Cloud, Gateway) {
    let cloud = Cloud::start(provider);
    let config = Some(PROVIDERS.replace("URL", &cloud.url()));
    let gateway = Gateway::start(&Setup { config, ..Setup::default() });
    (cloud, gateway)
}

fn embed(model: &str) -> Request {
    post("/v1/embeddings", json!({"model": model, "input": "hello"}))
}

fn vector(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"][0]["embedding"].clone()
}

#[test]
fn the_same_shape_passes_both_ways_as_it_is() {
    let (cloud, gateway) = world();
    let body = r#"{"z": 1.50,  "model" : "mine/m", "input": ["a", [1, 2]] }"#;
    let own = provider(&Asked { target: "/v1/embeddings".into(), ..cloud_asked() }).expect("an answer").1;
    for (path, body) in [("/v1/embeddings", body), ("/embeddings", r#"{"model":"mine/m","input":{"odd":1}}"#)]
    {
        let answer = gateway.ask(&post(path, "").body(body));
        assert_eq!((answer.status, answer.text()), (200, own.clone()), "{path}");
        assert_eq!(answer.header("x-sekisho-target"), "mine/m");
        let sent = cloud.asked("/mine/embeddings").pop().expect("it was asked");
        assert_eq!(sent.body, body.replace("mine/m", "m"));
    }
    let log = || gateway.err().matches("\"tokens_in\":7").count();
    eventually("both are metered", PATIENCE, || log() == 2);
}

fn cloud_asked() -> Asked {
    Asked { method: String::new(), target: String::new(), headers: Vec::new(), body: String::new() }
}

#[test]
fn a_large_answer_passes_whole() {
    let row = json!({"object": "embedding", "index": 0, "embedding": vec![0.123_456_789; 100_000]});
    let body = json!({"object": "list", "data": [row], "model": "m"}).to_string();
    let (length, told) = (body.len(), body.clone());
    let cloud = Cloud::start(move |_| Some((200, told.clone())));
    let config = Some(PROVIDERS.replace("URL", &cloud.url()));
    let gateway = Gateway::start(&Setup { config, ..Setup::default() });
    let same = gateway.ask(&embed("mine/m"));
    assert!(same.whole && same.body == body.as_bytes());
    assert_eq!(same.header("content-length"), length.to_string());
    let body = json!({"model": "mine/m", "input": "hello", "encoding_format": "base64"});
    let other = gateway.ask(&post("/v1/embeddings", body));
    assert_eq!((other.whole, other.header("content-length")), (true, other.body.len().to_string()));
    assert_eq!(vector(&other).as_str().map(str::len), Some(533_336));
}

#[test]
fn base64_is_given_where_it_was_asked_for() {
    let (_cloud, gateway) = world();
    for model in ["openai/m", "cohere/embed-v4.0", "gemini/embedding-x"] {
        let body = json!({"model": model, "input": "hello", "encoding_format": "base64"});
        let answer = gateway.ask(&post("/v1/embeddings", body));
        assert!(vector(&answer).is_string(), "{model}: {}", answer.text());
    }
}

#[test]
fn every_provider_is_asked_in_its_own_shape() {
    let (cloud, gateway) = world();
    #[rustfmt::skip]
    let table = [
        ("cohere/embed-v4.0", "/v2/embed", "authorization", json!([0.25, 1.5]), json!({"model": "embed-v4.0", "texts": ["hello"], "input_type": "search_document", "embedding_types": ["float"]})),
        ("gemini/embedding-x", ":batchEmbedContents", "x-goog-api-key", json!([0.125]), json!({"requests": [{"model": "models/embedding-x", "content": {"parts": [{"text": "hello"}]}}]})),
        ("vertex/text-x", ":predict", "x-goog-api-key", json!([4.5]), json!({"instances": [{"content": "hello"}], "parameters": {}})),
        ("bedrock/amazon.titan-embed-text-v2:0", "/invoke", "authorization", json!([9.75]), json!({"inputText": "hello"})),
    ];
    for (model, path, header, expected, body) in table {
        let answer = gateway.ask(&embed(model));
        assert_eq!(vector(&answer), expected, "{model}");
        assert_eq!(answer.header("x-sekisho-target").rsplit('/').next(), model.rsplit('/').next());
        let asked = cloud.asked_once(path);
        assert!(asked.header(header).contains("key-of-"), "{model}: {:?}", asked.headers);
        assert_eq!(serde_json::from_str::<Value>(&asked.body).expect("JSON"), body, "{model}");
    }
}

#[test]
fn gemini_s_callers_have_two_paths_for_it() {
    let (cloud, gateway) = world();
    let one = json!({"content": {"parts": [{"text": "hello"}]}});
    let batch =
        |model: &str| json!({"requests": [{"model": model, "content": {"parts": [{"text": "hello"}]}}]});
    for version in ["v1", "v1beta"] {
        let path = |model: &str, verb: &str| format!("/{version}/models/{model}:{verb}");
        let answer = gateway.ask(&post(&path("gemini/embedding-x", "embedContent"), &one));
        assert_eq!(answer.json(), json!({"embedding": {"values": [0.125]}}));
        assert_eq!(cloud.asked(":embedContent").pop().expect("it was asked").body, one.to_string());
        let named = batch("models/gemini/embedding-x");
        let answer = gateway.ask(&post(&path("gemini/embedding-x", "batchEmbedContents"), named));
        assert_eq!(answer.json(), json!({"embeddings": [{"values": [0.125]}]}));
        let asked = cloud.asked(":batchEmbedContents").pop().expect("it was asked");
        assert_eq!(asked.body, batch("models/embedding-x").to_string());
        let answer = gateway.ask(&post(&path("openai/m", "embedContent"), &one));
        assert_eq!(answer.json()["embedding"]["values"], json!([1.0, -0.5, 0.002]), "{}", answer.text());
        let answer = gateway.ask(&post(&path("openai/m", "batchEmbedContents"), batch("models/other")));
        assert_eq!(answer.json()["embeddings"][0]["values"], json!([1.0, -0.5, 0.002]), "{}", answer.text());
    }
    let answer = gateway.ask(&post("/v1beta/models/anthropic/a:embedContent", one));
    assert_eq!((answer.status, &answer.json()["error"]["status"]), (404, &json!("NOT_FOUND")));
}

#[test]
fn what_fails_is_asked_of_the_next_and_what_is_wrong_is_told() {
    let (_cloud, gateway) = world();
    let answer = gateway.ask(&embed("mixed"));
    assert_eq!(vector(&answer), json!([0.125]));
    assert_eq!(answer.header("x-sekisho-target"), "google-ai-studio/embedding-x");
    let none = gateway.ask(&embed("anthropic/a"));
    assert_eq!((none.status, none.code().as_str()), (404, "not_found"), "{}", none.text());
    assert!(none.text().contains("`anthropic` has no embeddings"), "{}", none.text());
    // A provider of another shape is quoted, one of the same speaks for itself.
    let wrong = gateway.ask(&embed("wrong"));
    assert_eq!((wrong.status, &wrong.json()["error"]["message"]), (400, &json!("too long")));
    let own = gateway.ask(&embed("mine/wrong"));
    assert_eq!((own.status, own.json()), (400, json!({"message": "too long", "id": "e-1"})));
    let missing = gateway.ask(&post("/v1/embeddings", json!({"input": "x"})));
    assert_eq!((missing.status, &missing.json()["error"]["param"]), (400, &json!("/model")));
}

#[test]
fn losses_are_named_or_refused() {
    let (_cloud, gateway) = world();
    let body = json!({"model": "gemini/embedding-x", "input": "hello", "user": "u-1"});
    let answer = gateway.ask(&post("/v1/embeddings", &body));
    assert_eq!(
        (answer.status, answer.header("x-sekisho-loss").as_str()),
        (200, "/user"),
        "{}",
        answer.text()
    );
    let answer = gateway.ask(&post("/v1/embeddings", &body).header("x-sekisho-strict", "true"));
    assert!(answer.status == 400 && answer.text().contains("/user"), "{}", answer.text());
    let tokens = json!({"model": "gemini/embedding-x", "input": [[1, 2]]});
    let answer = gateway.ask(&post("/v1/embeddings", tokens));
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("/input/0")));
}
