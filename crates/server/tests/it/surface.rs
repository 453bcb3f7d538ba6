//! The routes: what is there, what is not, and what every answer carries.

use crate::support::{
    chat,
    client::{Answer, get, post, request},
    gateway::{Gateway, Setup},
    message, streamed, tag,
    world::{CLIENT_KEY, OPENAI_KEY, World},
};
use serde_json::{Value, json};

#[test]
fn a_provider_s_own_paths_pass_through_with_its_key() {
    let world = World::open();
    for (path, target) in [
        ("/box/files?limit=2&after=x%20y", "/echo/box/v1/files?limit=2&after=x%20y"),
        ("/box/v1/files", "/echo/box/v1/files"),
        ("/box/v1/v1/files", "/echo/box/v1/v1/files"),
        ("/box/a%20b/%E6%97%A5", "/echo/box/v1/a%20b/%E6%97%A5"),
    ] {
        let answer = world.ask(&get(path).header("accept", "x/y").header("authorization", "Bearer mine"));
        assert_eq!(answer.status, 200, "{path} {}", answer.text());
        let echo = answer.json();
        assert_eq!((echo["method"].as_str(), echo["target"].as_str()), (Some("GET"), Some(target)), "{path}");
        let field = |name: &str| {
            let fields = echo["headers"].as_array().expect("headers").iter();
            fields.filter(|field| field[0] == name).map(|field| field[1].clone()).collect::<Vec<_>>()
        };
        assert_eq!(field("authorization"), [json!("Bearer sk-box-0123456789abcdef")]);
        assert_eq!(field("accept"), [json!("x/y")]);
    }
}

#[test]
fn a_body_passes_through_untouched_whatever_it_is() {
    let world = World::open();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let tag = tag();
        let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let sent = request(method, &format!("/box/things/{tag}")).header("content-type", "x/y");
        let answer = world.ask(&sent.body(body.clone()));
        assert_eq!((answer.status, answer.json()["method"].as_str()), (200, Some(method)));
        let seen = world.saw(&tag);
        assert_eq!((seen.body.as_deref(), seen.header("content-type")), (Some(body.as_slice()), "x/y"));
    }
}

#[test]
fn a_doubled_version_is_mended_and_the_rest_is_not() {
    let world = World::open();
    for path in ["/openai/chat/completions", "/openai/v1/chat/completions"] {
        let tag = tag();
        let answer = world.ask(&post(path, chat("any-model", &tag)));
        assert_eq!(answer.status, 200, "{path} {}", answer.text());
        let seen = world.saw(&tag);
        assert_eq!(seen.target, "/v1/chat/completions", "{path}");
        assert_eq!(seen.header("authorization"), format!("Bearer {OPENAI_KEY}"));
    }
}

#[test]
fn a_stream_passes_through_as_it_comes() {
    let world = World::open();
    let body = streamed(chat("m", "[[kit stall=3]]"));
    let mut client = world.gateway.connect();
    client.send_request(&post("/openai/chat/completions", body));
    // The provider is silent after its third event: what came before must be here already.
    client.wait_for("関所");
    assert!(String::from_utf8_lossy(&client.buffer).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_browser_may_call_from_where_the_operator_says() {
    let world = World::keyed();
    let own = "https://app.example";
    let ask = |request: crate::support::client::Request, origin: &str| {
        world.ask(&request.header("authorization", &format!("Bearer {CLIENT_KEY}")).header("origin", origin))
    };
    let preflight = request("OPTIONS", "/v1/chat/completions")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-stainless-os");
    let answer = ask(preflight.clone(), own);
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (204, own));
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,x-stainless-os");
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    for origin in ["https://other.example", "null", "https://app.example.evil.test", "http://app.example"] {
        assert_eq!(ask(preflight.clone(), origin).header("access-control-allow-origin"), "", "{origin}");
    }
    let real = ask(post("/v1/chat/completions", chat("good", "hi")), own);
    assert_eq!((real.status, real.header("access-control-allow-origin").as_str()), (200, own));
    assert!(real.header("access-control-expose-headers").contains("x-request-id"));
    assert_eq!(
        (real.header("vary").as_str(), real.header("access-control-allow-credentials").as_str()),
        ("origin", "")
    );
    let refused = world.ask(&post("/v1/chat/completions", chat("good", "hi")).header("origin", own));
    assert_eq!((refused.status, refused.header("access-control-allow-origin").as_str()), (401, own));
}

#[test]
fn without_cors_no_answer_allows_an_origin() {
    let world = World::open();
    for origin in ["http://localhost:3000", "http://127.0.0.1"] {
        let answer = world.ask(&get("/v1/models").header("origin", origin));
        assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (200, ""));
    }
    let preflight = world.ask(&request("OPTIONS", "/v1/models").header("origin", "http://localhost:3000"));
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin").as_str()), (405, ""));
}

#[test]
fn models_are_listed_aliases_first_and_a_failing_provider_adds_nothing() {
    let config = "providers:\n  openai: {base_url: \"KIT/v1\", keys: x}\n  anthropic: {base_url: \"KIT\", keys: x}\n  \
                  nobody: {base_url: \"http://127.0.0.1:1\", keys: []}\n  \
                  broken: {base_url: \"KIT/echo\", keys: []}\n  hand: {base_url: \"KIT\", keys: [], models: [a/b]}\n\
                  models: {zeta: openai/x, alpha: [anthropic/y]}\n";
    let world = World::start(config, Setup::default());
    for path in ["/v1/models", "/models"] {
        let list = world.ask(&get(path)).json();
        let ids = list["data"].as_array().expect("a list").iter().map(|entry| entry["id"].clone());
        let mut ids: Vec<Value> = ids.collect();
        assert_eq!(ids[..2], [json!("alpha"), json!("zeta")]);
        ids[2..].sort_by_key(ToString::to_string);
        let expected = [
            "anthropic/kit-large",
            "anthropic/kit-small",
            "hand/a/b",
            "openai/kit-large",
            "openai/kit-small",
        ];
        assert_eq!(ids[2..], expected.map(|id| json!(id)));
        assert_eq!(list["object"], "list");
    }
    for id in ["zeta", "openai/kit-small", "hand/a/b"] {
        let one = world.ask(&get(&format!("/v1/models/{id}")));
        assert_eq!((one.status, one.json()["id"].as_str()), (200, Some(id)));
    }
    let none = world.ask(&get("/v1/models/zetta"));
    assert_eq!((none.status, none.code().as_str()), (404, "model_not_found"));
    assert!(none.text().contains("did you mean `zeta`?"), "{}", none.text());
}

#[test]
fn health_is_open_and_tells_details_to_those_with_a_key() {
    let world = World::keyed();
    for path in ["/", "/health", "/health/live", "/health/ready"] {
        for method in ["GET", "HEAD"] {
            let mut client = world.gateway.connect();
            let answer = client.ask(&request(method, path));
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.body.is_empty(), method == "HEAD");
            // The connection is still in order.
            assert_eq!(client.ask(&get("/health")).json()["status"], "ok");
        }
        let open = world.ask(&get(path)).json();
        assert_eq!((open["ok"].clone(), open.get("providers")), (json!(true), None));
        let keyed = world.ask(&get(path).header("x-api-key", CLIENT_KEY)).json();
        assert!(keyed["providers"].as_array().is_some_and(|all| all.contains(&json!("openai"))), "{keyed}");
        let wrong = world.ask(&get(path).header("x-api-key", "wrong"));
        assert_eq!((wrong.status, wrong.json().get("providers")), (200, None));
    }
}

#[test]
fn what_is_not_there_says_so() {
    let world = World::open();
    let code = |answer: &Answer| (answer.status, answer.code());
    for path in ["/nothing", "/nothing/here", "/v1/chat", "/v1", "/v2/chat/completions", "/v1/messages/x"] {
        assert_eq!(code(&world.ask(&post(path, json!({})))), (404, "not_found".into()), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/messages", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/health", "GET, HEAD"),
    ] {
        let answer = world.ask(&request(method, path));
        assert_eq!((answer.status, answer.header("allow").as_str()), (405, allow), "{method} {path}");
    }
    let anthropic = world.ask(&get("/v1/messages"));
    assert_eq!((anthropic.status, anthropic.json()["type"].as_str()), (405, Some("error")));
}

#[test]
fn what_cannot_be_understood_says_what_was_meant() {
    let world = World::open();
    for body in ["", "{", "[]", "null", "{} {}", "{\"model\":\"good\"", "\u{feff}{\"model\":\"good\"}"] {
        for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
            let answer = world.ask(&post(path, body));
            let error = answer.json()["error"]["type"].clone();
            assert_eq!((answer.status, error), (400, json!("invalid_request_error")), "{path} {body}");
        }
    }
    for (body, pointer) in [("{}", "model"), ("{\"model\":7}", "model"), ("{\"model\":\"\"}", "model")] {
        let answer = world.ask(&post("/v1/chat/completions", body));
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"]["param"].to_string().contains(pointer), "{}", answer.text());
    }
    for (model, hint) in [
        ("godo", "did you mean `good`?"),
        ("opnai/x", "did you mean `openai/x`?"),
        ("groq/llama", "GROQ_API_KEY"),
        ("plain/", "slash"),
    ] {
        for (path, body) in
            [("/v1/chat/completions", chat(model, "hi")), ("/v1/messages", message(model, "hi"))]
        {
            let answer = world.ask(&post(path, body));
            assert_eq!(answer.status, 404, "{model} {}", answer.text());
            assert!(answer.text().contains(hint), "{model}: {}", answer.text());
        }
    }
}

#[test]
fn every_answer_has_a_request_id_of_its_own() {
    let world = World::once();
    let mut ids = std::collections::HashSet::new();
    let requests = [
        get("/"),
        get("/health/ready"),
        get("/v1/models"),
        get("/nothing"),
        get("/v1/messages"),
        get("/box/x"),
        request("OPTIONS", "/v1/models"),
        post("/v1/chat/completions", "{"),
        post("/v1/chat/completions", chat("nothing", "hi")),
        post("/v1/chat/completions", chat("good", "hi")),
        post("/v1/chat/completions", streamed(chat("good", "hi"))),
        post("/v1/messages", message("good", "hi")),
        post("/v1/chat/completions", chat("says-429/m", "hi")),
        post("/v1/chat/completions", chat("nobody/m", "hi")),
        post("/v1/chat/completions", chat("good", "hi")).header("host", "evil.test"),
        post("/v1/chat/completions", chat("good", "hi")).header("x-request-id", "mine"),
    ];
    let count = requests.len();
    for request in requests {
        let answer = world.ask(&request);
        let id = answer.header("x-request-id");
        assert!(id.starts_with("req-") && !id.contains(','), "{} {}: {id:?}", request.method, request.path);
        ids.insert(id);
    }
    assert_eq!(ids.len(), count);
}

#[test]
fn operations_that_are_not_understood_are_relayed_by_their_model() {
    let world = World::open();
    for (path, target) in [
        ("/v1/embeddings", "/echo/box/v1/embeddings"),
        ("/embeddings", "/echo/box/v1/embeddings"),
        ("/v1/audio/speech", "/echo/box/v1/audio/speech"),
        ("/v1/images/generations", "/echo/box/v1/images/generations"),
        ("/v1/rerank", "/echo/box/v1/rerank"),
    ] {
        let tag = tag();
        let body = json!({"model": "box/text-model", "input": tag, "z": 1.0});
        let answer = world.ask(&post(path, &body));
        assert_eq!((answer.status, answer.json()["target"].as_str()), (200, Some(target)), "{path}");
        let seen = world.saw(&tag);
        let expected = body.to_string().replace("box/text-model", "text-model");
        assert_eq!(String::from_utf8_lossy(&seen.body.expect("a body")), expected);
    }
    let answer = world.ask(&post("/v1/embeddings", json!({"model": "claude", "input": "x"})));
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[test]
fn tokens_are_counted_by_who_can_and_else_estimated() {
    let world = World::open();
    let ask = |model: &str, path: &str| world.ask(&post(path, message(model, "[[kit input=77]]")));
    let counted = ask("claude", "/v1/messages/count_tokens");
    assert_eq!(
        (counted.json()["input_tokens"].as_u64(), counted.header("x-sekisho-estimated").as_str()),
        (Some(77), "")
    );
    let estimated = ask("good", "/v1/messages/count_tokens");
    assert!(estimated.json()["input_tokens"].as_u64().is_some_and(|n| n > 0), "{}", estimated.text());
    assert_eq!(estimated.header("x-sekisho-estimated"), "true");
}

#[test]
fn with_nothing_configured_the_demo_answers_streams_and_calls_a_tool() {
    let gateway = Gateway::start(&Setup::default());
    let ids = gateway.ask(&get("/v1/models")).json();
    let model = ids["data"][0]["id"].as_str().expect("a model").to_owned();
    for model in [model.as_str(), "demo/demo"] {
        let whole = gateway.ask(&post("/v1/chat/completions", chat(model, "knock knock"))).json();
        let text = whole["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains("knock knock"), "{whole}");
        let stream = gateway.ask(&post("/v1/chat/completions", streamed(chat(model, "hi"))));
        let events = stream.events();
        assert!(stream.whole && events.len() > 5 && events.last().is_some_and(|(_, data)| data == "[DONE]"));
        let stream = gateway.ask(&post("/v1/messages", streamed(message(model, "hi"))));
        assert_eq!(stream.events().last().map(|(name, _)| name.clone()), Some("message_stop".to_owned()));
    }
    let mut body = message(&model, "what is the weather?");
    body["tools"] = json!([{"name": "weather", "input_schema": {"type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}]);
    let answer = gateway.ask(&post("/v1/messages", &body)).json();
    assert_eq!(
        (answer["stop_reason"].as_str(), answer["content"][0]["name"].as_str()),
        (Some("tool_use"), Some("weather"))
    );
    assert!(answer["content"][0]["input"]["city"].is_string(), "{answer}");
    body["stream"] = true.into();
    let stream = gateway.ask(&post("/v1/messages", &body));
    assert!(stream.text().contains("\"partial_json\"") && stream.text().contains("\"tool_use\""));
}
