//! A client that leaves in the middle of a stream has cost something: what is booked then is true, or said to be an
//! estimate.

use crate::support::{
    all_at_once, chat,
    client::{PATIENCE, Request, get, post},
    eventually,
    gateway::Setup,
    h2::H2,
    message, streamed, tag,
    world::World,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::provider::End;

const PROVIDERS: &str = "log: {format: json}\nproviders: {openai: {base_url: \"KIT/v1\", keys: x}, \
    anthropic: {base_url: \"KIT\", keys: x}, gemini: {base_url: \"KIT/v1beta\", keys: x}}\n";
const KEY: &str = "client-00-0123456789abcdef";

/// Path, model and how its body is made, for a caller's API.
type Api = (&'static str, fn(&str, &str) -> Value);

const APIS: [Api; 3] =
    [("/v1/chat/completions", chat), ("/v1/messages", message), ("/v1/responses", responses)];
const MODELS: [&str; 3] = ["openai/m", "anthropic/m", "gemini/m"];

fn responses(model: &str, text: &str) -> Value {
    json!({"model": model, "input": text})
}

/// Every API before every provider: the same on both sides, and translated.
fn cells() -> Vec<(Api, &'static str)> {
    APIS.iter().flat_map(|api| MODELS.map(|model| (*api, model))).collect()
}

fn ask((path, body): Api, model: &str, text: &str) -> Request {
    let mut body = streamed(body(model, text));
    if path.ends_with("/chat/completions") {
        body["stream_options"] = json!({"include_usage": true});
    }
    post(path, body)
}

/// The line of the log in which the request of this model's name stands that has ended so.
fn booked(world: &World, model: &str) -> Value {
    let line = || {
        let lines = world.gateway.err();
        let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["model"] == model)
    };
    eventually("it is booked", PATIENCE, || line().is_some());
    line().expect("it is booked")
}

fn in_flight(world: &World) -> u64 {
    world.ask(&get("/health")).json()["in_flight"].as_u64().expect("a number")
}

#[test]
fn a_stream_that_is_cut_is_booked_by_what_had_come() {
    let world = World::start(PROVIDERS, Setup::default());
    let cells = cells();
    all_at_once(&cells, cells.len(), |(api, model)| {
        for tokens in [20_u64, 150] {
            let tag = tag();
            let model = format!("{model}-{tag}");
            let text: String = (1..400).map(|word| format!("word{word} ")).collect();
            let script = format!("{tag} [[kit text='{text}' stall-token={tokens}]]");
            let mut client = world.gateway.connect();
            client.send_request(&ask(*api, &model, &script));
            client.wait_for(&format!("word{} ", tokens - 1));
            client.leave();
            assert_eq!(world.saw(&tag).ended(), Some(End::Cancelled), "{model}");
            let row = booked(&world, &model);
            let place = format!("{} {model}: {row}", api.0);
            assert_eq!(
                (&row["outcome"], &row["estimated"]),
                (&json!("client_closed"), &json!(true)),
                "{place}"
            );
            let booked = row["tokens_out"].as_u64().expect(&place);
            assert!((tokens * 9 / 10..=tokens * 11 / 10).contains(&booked), "{place}: of {tokens}");
            assert!(row["tokens_in"].as_u64() > Some(0), "{place}");
        }
    });
    eventually("nothing is left", PATIENCE, || in_flight(&world) == 0);
}

#[test]
fn a_stream_that_is_read_on_is_booked_exactly_and_holds_up_nobody() {
    let config = format!("client_gone: drain\n{PROVIDERS}");
    let world = World::start(&config, Setup::default());
    let cells = cells();
    all_at_once(&cells, cells.len(), |(api, model)| {
        let tag = tag();
        let model = format!("{model}-{tag}");
        let mut client = world.gateway.connect();
        client.send_request(&ask(*api, &model, &format!("{tag} [[kit words=60 gap-ms=50 output=77]]")));
        eventually("it has begun", PATIENCE, || {
            world.seen_so_far(&tag).first().is_some_and(|seen| seen.events >= 5)
        });
        let left = Instant::now();
        client.leave();
        let row = booked(&world, &model);
        assert_eq!(world.saw(&tag).ended(), Some(End::Whole), "{model}");
        assert!(left.elapsed() < Duration::from_secs(30), "{:?}", left.elapsed());
        let place = format!("{} {model}: {row}", api.0);
        assert_eq!((&row["outcome"], &row["drained"]), (&json!("client_closed"), &json!(true)), "{place}");
        assert_eq!((&row["tokens_out"], &row["estimated"]), (&json!(77), &Value::Null), "{place}");
    });
}

#[test]
fn what_is_read_on_and_never_tells_is_estimated() {
    let world = World::start(&format!("client_gone: drain\n{PROVIDERS}"), Setup::default());
    let model = format!("openai/{}", tag());
    let mut client = world.gateway.connect();
    let untold = streamed(chat(&model, "why [[kit words=60 gap-ms=20]]"));
    client.send_request(&post("/v1/chat/completions", untold));
    client.wait_for("toll");
    client.leave();
    let row = booked(&world, &model);
    assert_eq!((&row["drained"], &row["estimated"]), (&json!(true), &json!(true)), "{row}");
    assert!((54..=66).contains(&row["tokens_out"].as_u64().expect("a number")), "{row}");
}

#[test]
fn a_stream_that_is_whole_and_never_tells_is_estimated() {
    let world = World::start(PROVIDERS, Setup::default());
    let model = format!("openai/{}", tag());
    let answer = world.ask(&post("/v1/chat/completions", streamed(chat(&model, "why [[kit words=60]]"))));
    assert!(answer.whole, "{}", answer.text());
    let row = booked(&world, &model);
    assert_eq!((&row["outcome"], &row["estimated"]), (&json!("ok"), &json!(true)), "{row}");
    assert!((54..=66).contains(&row["tokens_out"].as_u64().expect("a number")), "{row}");
}

#[test]
fn who_leaves_gives_his_place_free_at_once_under_either_policy() {
    for policy in ["cancel", "drain"] {
        let config = format!(
            "client_gone: {policy}\nkeys: [{KEY}]\nlimits: {{rates: [{{caller: \"*\", concurrent: 1}}]}}\n{PROVIDERS}"
        );
        let world = World::start(&config, Setup::default());
        let keyed = |text: &str| ask(APIS[0], "openai/m", text).header("x-api-key", KEY);
        let tag = tag();
        let mut client = world.gateway.connect();
        client.send_request(&keyed(&format!("{tag} [[kit stall-token=9]]")));
        eventually("it has begun", PATIENCE, || {
            world.seen_so_far(&tag).first().is_some_and(|seen| seen.events >= 9)
        });
        assert_eq!(world.ask(&keyed("why")).status, 429, "{policy}");
        client.leave();
        eventually("his place is free", PATIENCE, || world.ask(&keyed("why")).status == 200);
        let ended = world.seen_so_far(&tag)[0].ended();
        assert_eq!(ended.is_none(), policy == "drain", "{policy}: {ended:?}");
    }
}

#[test]
fn a_stream_that_never_ends_is_not_read_on_for_ever() {
    let world = World::start(&format!("client_gone: drain\n{PROVIDERS}"), Setup::default());
    let (over_http1, over_http2) = (tag(), tag());
    let text = |tag: &str| format!("{tag} [[kit words=400 stall-token=40]]");
    let begun = |tag: &str| world.seen_so_far(tag).first().is_some_and(|seen| seen.events >= 40);
    let mut client = world.gateway.connect();
    client.send_request(&ask(APIS[0], &format!("openai/{over_http1}"), &text(&over_http1)));
    let other = H2::connect(world.gateway.addr);
    let started = other.start(&ask(APIS[0], &format!("openai/{over_http2}"), &text(&over_http2)));
    assert!(other.work_until(|| begun(&over_http1) && begun(&over_http2)));
    let left = Instant::now();
    client.leave();
    drop((started, other));
    eventually("nobody is served", PATIENCE, || in_flight(&world) == 0);
    assert!(world.seen_so_far(&over_http1)[0].end.is_none(), "and it is read on");
    for tag in [&over_http1, &over_http2] {
        // 25 s, and never more than 30.
        let seen = || world.seen_so_far(tag)[0].end;
        eventually("it is cut", Duration::from_secs(40), || seen().is_some());
        let Some((End::Cancelled, at)) = seen() else { panic!("{:?}", seen()) };
        let after = at.saturating_duration_since(left);
        println!("cut after {after:?}");
        assert!((Duration::from_secs(20)..=Duration::from_secs(30)).contains(&after), "{after:?}");
        let row = booked(&world, &format!("openai/{tag}"));
        assert_eq!((&row["estimated"], &row["drained"]), (&json!(true), &json!(true)), "{row}");
        assert!((36..=44).contains(&row["tokens_out"].as_u64().expect("a number")), "{row}");
    }
}

#[test]
fn a_stream_without_measure_is_not_read_on_without_measure() {
    let world = World::start(&format!("client_gone: drain\n{PROVIDERS}"), Setup::default());
    let (tag, words) = (tag(), 400);
    let mut client = world.gateway.connect();
    let script = format!("{tag} [[kit words={words} word-bytes=100000 flush=yes]]");
    client.send_request(&ask(APIS[0], &format!("openai/{tag}"), &script));
    client.wait_for("each");
    client.leave();
    let seen = world.saw(&tag);
    println!("{} bytes were read", seen.bytes);
    // 8 MiB of 40 MB, and what was on its way.
    assert_eq!(seen.ended(), Some(End::Cancelled));
    assert!((8 << 20..24 << 20).contains(&seen.bytes), "{}", seen.bytes);
    assert_eq!(booked(&world, &format!("openai/{tag}"))["estimated"], true);
}

#[test]
fn limits_of_tokens_settle_with_what_was_booked() {
    for (policy, spent) in [("cancel", 100), ("drain", 700)] {
        let config = format!(
            "client_gone: {policy}\nkeys: [{KEY}]\nlimits: {{rates: [{{caller: \"*\", tpm: 1300}}]}}\n{PROVIDERS}"
        );
        let world = World::start(&config, Setup::default());
        let keyed = |text: &str| {
            let mut body = streamed(chat("openai/m", text));
            body["max_tokens"] = 1000.into();
            body["stream_options"] = json!({"include_usage": true});
            post("/v1/chat/completions", body).header("x-api-key", KEY)
        };
        let tag = tag();
        let mut client = world.gateway.connect();
        let script = "words=120 gap-ms=10 flush=yes output=700";
        client.send_request(&keyed(&format!("{tag} [[kit {script}]]")));
        eventually("it has begun", PATIENCE, || {
            world.seen_so_far(&tag).first().is_some_and(|seen| seen.events >= 90)
        });
        // A thousand are reserved as long as it is under way.
        assert_eq!(world.ask(&keyed("why")).status, 429, "{policy}");
        client.leave();
        let booked = || world.gateway.err().contains("client_closed");
        eventually("it is booked", PATIENCE, booked);
        let answer = world.ask(&keyed("why"));
        assert_eq!(answer.status, if spent < 300 { 200 } else { 429 }, "{policy}: {}", answer.text());
    }
}

#[test]
fn a_gateway_that_ends_books_what_it_reads_for_nobody() {
    let world = World::start(&format!("client_gone: drain\n{PROVIDERS}"), Setup::default());
    let tag = tag();
    let mut client = world.gateway.connect();
    client.send_request(&ask(APIS[0], "openai/m", &format!("{tag} [[kit words=60 gap-ms=100]]")));
    eventually("it has begun", PATIENCE, || {
        world.seen_so_far(&tag).first().is_some_and(|seen| seen.events >= 5)
    });
    client.leave();
    world.gateway.terminate();
    let ended = world.gateway.ending();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err.contains("\"tokens_out\":60") && ended.err.contains("\"drained\":true"),
        "{}",
        ended.err
    );
}
