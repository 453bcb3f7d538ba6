//! The way to the end: nothing that was begun is cut before its time, and the end comes.

use crate::support::{
    chat,
    client::{Answer, Client, PATIENCE, get, post},
    eventually,
    gateway::Setup,
    h2::H2,
    message, streamed, tag,
    world::World,
};
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

const CONFIG: &str =
    "providers: {openai: {base_url: \"KIT/v1\", keys: x}, anthropic: {base_url: \"KIT\", keys: x}}\n";

/// Begins so many streams of both dialects with this script and waits until all have brought something.
fn streams(world: &World, count: usize, script: &str) -> (String, Vec<Client>) {
    let tag = tag();
    let text = format!("{tag} [[kit {script}]]");
    let clients = (0..count).map(|index| {
        let mut client = world.gateway.connect();
        client.send_request(&match index % 2 {
            0 => post("/v1/chat/completions", streamed(chat("openai/m", &text))),
            _ => post("/v1/messages", streamed(message("anthropic/m", &text))),
        });
        client
    });
    let mut clients: Vec<Client> = clients.collect();
    clients.iter_mut().for_each(|client| client.wait_for("data: "));
    (tag, clients)
}

fn is_whole(answer: &Answer) -> bool {
    let (name, data) = answer.events().pop().unwrap_or_default();
    answer.whole && (data == "[DONE]" || name == "message_stop")
}

#[test]
fn streams_end_in_their_own_time_and_new_requests_are_taken_until_others_know() {
    let world = World::start(CONFIG, Setup::default());
    let (tag, clients) = streams(&world, 50, "gap-ms=450");
    let h2 = H2::connect(world.gateway.addr);
    let over_h2 = post("/v1/messages", streamed(message("openai/m", "[[kit gap-ms=450]]")));
    let over_h2 = h2.response(h2.start(&over_h2));
    let mut idle = world.gateway.connect();
    assert_eq!(idle.ask(&get("/health/ready")).status, 200);
    let told = Instant::now();
    world.gateway.terminate();
    eventually("readiness is red", PATIENCE, || world.ask(&get("/health/ready")).status == 503);
    println!("readiness was red after {:?}", told.elapsed());
    assert_eq!(world.ask(&get("/health/live")).status, 200);
    // A connection that stood idle is closed, so that its client looks for another gateway.
    assert_eq!(idle.end(), crate::support::client::Fill::Closed);
    let late = world.ask(&post("/v1/chat/completions", chat("openai/m", "hi")));
    assert_eq!((late.status, late.header("connection").as_str()), (200, "close"));
    let answers: Vec<Answer> = clients.into_iter().map(|mut client| client.answer()).collect();
    let whole = answers.iter().filter(|answer| is_whole(answer)).count();
    assert_eq!(whole, 50);
    assert!(is_whole(&h2.answer(over_h2)));
    let last = Instant::now();
    world.seen(&tag, 50);
    let ended = world.gateway.ending();
    println!("ended {:?} after the signal, {:?} after the last stream", told.elapsed(), last.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(last.elapsed() < Duration::from_secs(5), "{:?}", last.elapsed());
}

#[test]
fn what_is_not_done_when_the_drain_is_over_is_told_so() {
    let world = World::start(&format!("drain: 1s\n{CONFIG}"), Setup::default());
    let (tag, clients) = streams(&world, 10, "stall=5");
    let mut waiting = world.gateway.connect();
    waiting.send_request(&post("/v1/chat/completions", chat("openai/m", &format!("{tag} [[kit silent]]"))));
    eventually("it is asked", PATIENCE, || world.seen_so_far(&tag).len() == 11);
    let told = Instant::now();
    world.gateway.terminate();
    let answers: Vec<Answer> = clients.into_iter().map(|mut client| client.answer()).collect();
    for answer in answers {
        let (name, data) = answer.events().pop().expect("an event");
        let data: Value = serde_json::from_str(&data).expect("JSON");
        let error = data["error"].clone();
        let told = if name == "error" {
            &error["type"] == "overloaded_error"
        } else {
            &error["code"] == "gateway_shutdown"
        };
        assert!(told && answer.whole, "{}", answer.text());
        assert!(error["message"].as_str().is_some_and(|text| text.contains("shutting down")), "{error}");
        assert!(!answer.text().contains("[DONE]") && !answer.text().contains("message_stop"));
    }
    let answer = waiting.answer();
    assert_eq!((answer.status, answer.code().as_str()), (503, "gateway_shutdown"));
    let ended = world.gateway.ending();
    // A lame duck of five seconds, a drain of one.
    println!("ended {:?} after the signal", told.elapsed());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(told.elapsed() > Duration::from_millis(5_900), "{:?}", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(11), "{:?}", told.elapsed());
    // Each has its line in the log.
    assert_eq!(ended.err.matches("\"outcome\":\"gateway_shutdown\"").count(), 11, "{}", ended.err);
}

#[test]
fn a_second_signal_ends_at_once() {
    let world = World::start(CONFIG, Setup::default());
    let (_, clients) = streams(&world, 4, "stall=5");
    world.gateway.terminate();
    eventually("readiness is red", PATIENCE, || world.ask(&get("/health/ready")).status == 503);
    let told = Instant::now();
    world.gateway.terminate();
    assert!(world.gateway.wait(PATIENCE).is_some());
    println!("ended {:?} after the second signal", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    for mut client in clients {
        assert!(!is_whole(&client.answer()));
    }
    // The same without anything to wait for.
    let world = World::start(CONFIG, Setup::default());
    world.ask(&get("/health"));
    world.gateway.terminate();
    thread::sleep(Duration::from_millis(100));
    world.gateway.terminate();
    assert!(world.gateway.wait(Duration::from_secs(3)).is_some());
}
