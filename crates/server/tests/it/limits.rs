//! Limits: who is refused hears of it in his API and when to come back, who waits is called in his turn.

use crate::support::{
    chat,
    client::{Answer, PATIENCE, Request, post},
    eventually,
    gateway::{Gateway, Setup},
    message, tag,
    world::World,
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use testkit::provider::Provider;

fn key(number: usize) -> String {
    format!("client-{number:02}-0123456789abcdef")
}

/// A gateway with ten client keys, and these limits.
fn world(limits: &str) -> World {
    let keys: Vec<String> = (0..10).map(key).collect();
    let config = format!(
        "log: {{format: json}}\nkeys: {keys:?}\nlimits: {limits}\n\
         providers: {{openai: {{base_url: \"KIT/v1\", keys: [one-key-0123456789, two-key-0123456789]}}, \
         anthropic: {{base_url: \"KIT\", keys: x}}, box: {{base_url: \"KIT/v1\", keys: []}}}}\n\
         models: {{either: [box/first, openai/second]}}\n"
    );
    World::start(&config, Setup::default())
}

fn ask(model: &str, text: &str, caller: usize) -> Request {
    post("/v1/chat/completions", chat(model, text))
        .header("authorization", &format!("Bearer {}", key(caller)))
}

/// Asks on a thread of its own.
fn asking<'s>(
    scope: &'s thread::Scope<'s, '_>,
    world: &'s World,
    request: Request,
) -> thread::ScopedJoinHandle<'s, Answer> {
    scope.spawn(move || world.ask(&request))
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no `retry-after`: {}", answer.text()))
}

#[test]
fn who_is_over_his_limit_hears_in_his_own_api_when_to_come_back() {
    let world = world(r#"{rates: [{caller: "*", rpm: 2}]}"#);
    let gemini = json!({"contents": [{"parts": [{"text": "why"}]}]});
    let apis = [
        ("/v1/chat/completions", chat("openai/m", "why"), "/error/code"),
        ("/v1/responses", json!({"model": "openai/m", "input": "why"}), "/error/code"),
        ("/v1/messages", message("anthropic/m", "why"), "/error/type"),
        ("/v1beta/models/either:generateContent", gemini, "/error/status"),
    ];
    for caller in [0, 1] {
        for _ in 0..2 {
            assert_eq!(world.ask(&ask("openai/m", "why", caller)).status, 200);
        }
        for (path, body, code) in &apis {
            let request = post(path, body).header("authorization", &format!("Bearer {}", key(caller)));
            let answer = world.ask(&request);
            assert_eq!(answer.status, 429, "{path}: {}", answer.text());
            assert!((1..=60).contains(&retry_after(&answer)));
            assert!(answer.text().contains("the limit of 2 requests a minute for you is reached"), "{path}");
            let expected = ["rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"];
            let code = answer.json().pointer(code).and_then(Value::as_str).unwrap_or_default().to_owned();
            assert!(expected.contains(&code.as_str()), "{path}: {}", answer.text());
        }
    }
}

#[test]
fn of_ten_thousand_within_a_minute_a_thousand_are_served() {
    let world = world(r#"{rates: [{caller: "*", rpm: 1000}]}"#);
    let request = ask("openai/m", "why", 0);
    let (served, other) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = world.gateway.connect();
                for _ in 0..1_250 {
                    match client.ask(&request).status {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        429 => 0,
                        _ => other.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    let (took, served) = (began.elapsed(), served.into_inner());
    println!("{served} of 10000 were served in {took:?}");
    // On a machine that takes longer a second minute has begun.
    let minutes = 1 + usize::try_from(took.as_secs() / 60).expect("few");
    assert!(other.into_inner() == 0 && (1_000..=1_000 * minutes).contains(&served), "{served} in {took:?}");
}

#[test]
fn what_is_at_its_limit_gives_way_to_the_next_target() {
    let world = world("{rates: [{provider: box, rpm: 1}, {provider: openai, key: 1, rpm: 1}]}");
    let asked: Vec<String> = (0..4)
        .map(|_| {
            let tag = tag();
            let answer = world.ask(&ask("either", &tag, 0));
            assert_eq!(answer.status, 200, "{}", answer.text());
            world.saw(&tag).header("authorization").replace("Bearer ", "")
        })
        .collect();
    assert_eq!(asked[0], "", "the first wants no key");
    assert!(asked[1..].iter().filter(|key| *key == "one-key-0123456789").count() <= 1, "{asked:?}");
    let answer = world.ask(&ask("box/m", "why", 0));
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("the limit of 1 requests a minute for provider `box` is reached"));
}

#[test]
fn who_waits_is_called_when_another_leaves_and_who_leaves_the_queue_is_not() {
    let world = world("{rates: [{provider: box, concurrent: 1}], queue: {size: 10, wait: 60s}}");
    let (first, gone, third) = (tag(), tag(), tag());
    let queued = |log: &str, outcome: &str| {
        let lines = log.lines().filter(|line| line.contains(outcome));
        lines.filter(|line| line.contains("queued_ms")).count()
    };
    thread::scope(|scope| {
        let mut holds = world.gateway.connect();
        holds.send_request(&ask("box/m", &format!("{first} [[kit silent]]"), 0));
        eventually("the first is served", PATIENCE, || !world.seen_so_far(&first).is_empty());
        // One may leave before it has come to wait: then another does the same.
        eventually("one leaves the queue", PATIENCE, || {
            let mut leaves = world.gateway.connect();
            leaves.send_request(&ask("box/m", &gone, 1));
            thread::sleep(Duration::from_millis(20));
            leaves.leave();
            queued(&world.gateway.err(), "client_closed") > 0
        });
        let waits = asking(scope, &world, ask("box/m", &third, 2));
        holds.leave();
        assert_eq!(waits.join().expect("no panic").status, 200);
    });
    assert_eq!(world.seen_so_far(&gone).len(), 0, "who left was not asked for");
}

#[test]
fn one_who_floods_does_not_hurt_the_others() {
    let world = world("{rates: [{provider: box, concurrent: 2}], queue: {size: 20, wait: 60s}}");
    let text = "why [[kit head-ms=30]]";
    thread::scope(|scope| {
        let flood: Vec<_> = (0..60).map(|_| asking(scope, &world, ask("box/m", text, 0))).collect();
        let others: Vec<_> =
            (0..27).map(|index| asking(scope, &world, ask("box/m", text, 1 + index % 9))).collect();
        for other in others {
            let answer = other.join().expect("no panic");
            // The queue holds 20 and there are 27 of them: none may be refused but for that.
            assert!(answer.status == 200 || answer.text().contains("queue"), "{}", answer.text());
        }
        let flood: Vec<u16> = flood.into_iter().map(|one| one.join().expect("no panic").status).collect();
        assert!(flood.contains(&200) && flood.contains(&429), "{flood:?}");
    });
    let log = world.gateway.finish().err;
    let served = log.lines().filter(|line| line.contains("\"status\":200")).count();
    let refused = log.lines().filter(|line| line.contains("\"status\":429")).count();
    assert_eq!(served + refused, 87, "every request ends, and once");
}

#[test]
fn nine_who_come_while_one_floods_are_all_served() {
    let world = world("{rates: [{provider: box, concurrent: 2}], queue: {size: 20, wait: 60s}}");
    thread::scope(|scope| {
        let flood: Vec<_> =
            (0..90).map(|_| asking(scope, &world, ask("box/m", "why [[kit head-ms=100]]", 0))).collect();
        let began = Instant::now();
        let others: Vec<_> = (1..10)
            .map(|caller| asking(scope, &world, ask("box/m", "why [[kit head-ms=100]]", caller)))
            .collect();
        for other in others {
            let answer = other.join().expect("no panic");
            assert_eq!(answer.status, 200, "{:?} {}", began.elapsed(), answer.text());
        }
        flood.into_iter().for_each(|one| drop(one.join().expect("no panic")));
    });
}

#[test]
fn a_predecessor_s_slots_crowd_and_words_mean_what_they_meant() {
    let kit = Provider::start("").expect("a provider starts");
    let variables = [
        ("LLM_UPSTREAM", kit.url()),
        ("LLM_SERVER_MAX_CONCURRENT", "1".to_owned()),
        ("GATEWAY_MAX_CONCURRENT", "2".to_owned()),
        ("GATEWAY_BUSY_MESSAGE", "we are at lunch".to_owned()),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let gateway = Gateway::start(&Setup { environment, ..Setup::default() });
    let request = |text: &str| post("/v1/chat/completions", chat("m", text));
    thread::scope(|scope| {
        let first = scope.spawn(|| gateway.ask(&request("[[kit head-ms=800]]")));
        eventually("it is served", PATIENCE, || !kit.log().is_empty());
        let two = [(); 2].map(|()| scope.spawn(|| gateway.ask(&request("why"))));
        let mut two = two.map(|one| one.join().expect("no panic"));
        two.sort_by_key(|answer| answer.status);
        let [waited, refused] = &two;
        assert_eq!((waited.status, refused.status), (200, 429), "one is served, one waits, one is too many");
        assert!(refused.text().contains("we are at lunch"), "{}", refused.text());
        assert_eq!(first.join().expect("no panic").status, 200);
        thread::sleep(Duration::from_secs(retry_after(refused)));
        assert_eq!(gateway.ask(&request("why")).status, 200, "who comes back when he is told to is served");
    });
}
