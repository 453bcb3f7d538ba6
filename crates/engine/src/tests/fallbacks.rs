//! Where a request goes when a target has failed, by what went wrong.

use super::plan;
use crate::{
    access::Caller,
    exchange::{Exchange, Inbound, Order, Report, UpstreamHead},
    ledger::Ledger,
    path::KeyChoice,
    provider::Operation,
    record::Record,
    time::Instant,
};
use bytes::Bytes;
use dialect::DialectId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{rc::Rc, sync::Arc};

const LONG: &str =
    r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
const FILTER: &str = r#"{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}"#;
const BROKEN: &str = r#"{"error":{"message":"oh","type":"server_error"}}"#;
const FINE: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;

const FILE: &str = r#"
environment: false
attempts: 10
failover: {retries: 0, content_filter: FILTERED}
providers:
  p: {base_url: "http://p.test", facts: {tiny: {context_window: 2}, short: {context_window: 3}}}
models:
  m:
    targets: [p/a, p/b]
    fallbacks: [other, p/last]
    context_fallbacks: [wide]
    content_filter_fallbacks: [p/free, p/freer]
  other: {targets: p/o, fallbacks: [wide]}
  wide: [p/w, p/b]
  small: {targets: [p/tiny, p/short], context_fallbacks: [p/short, wide]}
  kept: {targets: [p/a, p/b, p/c, p/d], strategy: round_robin, affinity: true}
  given: [{model: p/a, params: {temperature: 0, max_tokens: 7, top_k: 1}, drops: [user, top_k]}]
"#;

struct Seen {
    /// The models that were asked, and with which bodies.
    asked: Vec<(String, String)>,
    record: Record,
}

impl Seen {
    fn models(&self) -> Vec<&str> {
        self.asked.iter().map(|(model, _)| model.as_str()).collect()
    }
}

fn play(
    file: &str,
    headers: &[(&'static str, &'static str)],
    body: &str,
    says: &dyn Fn(&str) -> (u16, &'static str),
) -> Seen {
    play_on(&mut Ledger::default(), file, headers, body, says)
}

/// Has each model answer as `says` says.
fn play_on(
    ledger: &mut Ledger,
    file: &str,
    headers: &[(&'static str, &'static str)],
    body: &str,
    says: &dyn Fn(&str) -> (u16, &'static str),
) -> Seen {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let inbound = Inbound {
        id: "req-1".to_owned(),
        caller: Caller(None),
        method: Method::POST,
        headers: headers.iter().map(header).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        more: false,
        field: None,
        named: None,
        key: KeyChoice::Next,
        roll: 7,
        arrived: Instant::default(),
    };
    let plan = Rc::new(Arc::new(plan(&[], file)));
    let mut exchange = Exchange::call(plan, DialectId::OpenaiChat, Operation::Generate, inbound);
    let now = Instant::default();
    let mut asked = Vec::new();
    while let Some(order) = exchange.order() {
        match order {
            Order::Ask(command) => {
                let answer = ledger.apply(&exchange.asks(), command, now);
                exchange.report(Report::Answer(answer), now);
            }
            Order::Note(note) => ledger.note(&exchange.asks(), note, now),
            Order::Send(attempt, upstream) => {
                let sent = String::from_utf8(upstream.body.concat()).unwrap();
                let json: serde_json::Value = serde_json::from_str(&sent).unwrap();
                let model = json["model"].as_str().unwrap().to_owned();
                let (status, answer) = says(&model);
                asked.push((model, sent));
                let kind = HeaderValue::from_static("application/json");
                let head = UpstreamHead {
                    status: StatusCode::from_u16(status).unwrap(),
                    headers: HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]),
                    framed: true,
                    signed_with: Vec::new(),
                };
                exchange.report(Report::Head(attempt, head), now);
                exchange.report(Report::Body(attempt, Bytes::from_static(answer.as_bytes())), now);
                exchange.report(Report::End(attempt), now);
            }
            Order::Done(record) => {
                ledger.settle(&record);
                return Seen { asked, record: *record };
            }
            _ => {}
        }
    }
    panic!("it never ends")
}

fn body(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"0123456789 0123456789"}}]}}"#)
}

#[test]
fn the_fault_says_who_is_asked_next() {
    let file = FILE.replace("FILTERED", "false");
    let all_fail = |with: (u16, &'static str)| move |_: &str| with;
    let m = body("m");
    // Whatever fails: its own targets, then the fallbacks with theirs, none twice.
    let seen = play(&file, &[], &m, &all_fail((500, BROKEN)));
    assert_eq!(seen.models(), ["a", "b", "o", "w", "last"]);
    // Too long: those that are there for that, then the rest.
    let seen = play(&file, &[], &m, &all_fail((400, LONG)));
    assert_eq!(seen.models(), ["a", "w", "b", "o", "last"]);
    // A filter: those that are there for that, and nobody else.
    let seen = play(&file, &[], &m, &all_fail((400, FILTER)));
    assert_eq!(seen.models(), ["a", "free", "freer"]);
    let seen = play(&file, &[], &m, &|model| if model == "a" { (400, FILTER) } else { (500, BROKEN) });
    assert_eq!(seen.models(), ["a", "free", "freer"]);
    let seen = play(&file, &[], &m, &|model| if model == "free" { (200, FINE) } else { (400, FILTER) });
    assert_eq!((seen.models(), seen.record.status), (vec!["a", "free"], Some(200)));
    // Or everybody, where the operator wants that.
    let seen = play(&FILE.replace("FILTERED", "true"), &[], &m, &all_fail((400, FILTER)));
    assert_eq!(seen.models(), ["a", "free", "freer", "b", "o", "w", "last"]);
    // What nobody listed anything for goes nowhere.
    let seen = play(&file, &[], &body("other"), &all_fail((400, FILTER)));
    assert_eq!(seen.models(), ["o"]);
}

#[test]
fn a_prompt_that_is_known_to_be_too_long_for_all_goes_where_there_is_room() {
    let file = FILE.replace("FILTERED", "false");
    let seen = play(&file, &[], &body("small"), &|_| (200, FINE));
    assert_eq!(seen.models(), ["w"]);
    assert_eq!(seen.record.passed_over.len(), 2, "{:?}", seen.record.passed_over);
}

#[test]
fn a_conversation_stays_where_it_is_by_whatever_names_it() {
    let file = FILE.replace("FILTERED", "false");
    let mut ledger = Ledger::default();
    let plain = body("kept");
    let with = |member: &str| plain.replacen('{', &format!("{{{member},"), 1);
    let mut asked = |headers: &[(&'static str, &'static str)], body: &str| {
        let seen = play_on(&mut ledger, &file, headers, body, &|_| (200, FINE));
        seen.models().concat()
    };
    let by: [(&[(&str, &str)], String); 6] = [
        (&[("x-session-affinity", "s-1")], plain.clone()),
        (&[("x-claude-code-session-id", "s-1"), ("x-other", "1")], with(r#""user":"u-9""#)),
        (&[("session-id", "s-1")], plain.clone()),
        (&[], with(r#""prompt_cache_key":"s-1","user":"u-9""#)),
        (&[], with(r#""user":"s-1""#)),
        (&[], with(r#""metadata":{"user_id":"s-1"}"#)),
    ];
    let first = asked(by[0].0, &by[0].1);
    for (headers, body) in &by {
        assert_eq!(asked(headers, body), first, "{headers:?} {body}");
    }
    // Without any of them they take turns.
    let mut turns: Vec<String> = (0..4).map(|_| asked(&[], &plain)).collect();
    turns.sort();
    assert_eq!(turns, ["a", "b", "c", "d"]);
}

#[test]
fn a_target_s_parameters_are_defaults_unless_they_replace() {
    let file = FILE.replace("FILTERED", "false");
    let sent = |more: &str| {
        let body = format!(r#"{{"model":"given","messages":[]{more}}}"#);
        play(&file, &[], &body, &|_| (200, FINE)).asked.remove(0).1
    };
    assert_eq!(sent(""), r#"{"max_tokens":7,"temperature":0,"top_k":1,"model":"a","messages":[]}"#);
    assert_eq!(
        sent(r#","temperature":1,"max_completion_tokens":9,"top_k":5,"user":"u""#),
        r#"{"model":"a","messages":[],"temperature":1,"max_completion_tokens":9,"top_k":1}"#
    );
    let seen = play(&file, &[], r#"{"model":"given","messages":[],"user":"u"}"#, &|_| (200, FINE));
    assert_eq!(seen.record.losses.iter().map(|loss| loss.pointer.as_str()).collect::<Vec<_>>(), ["/user"]);
}
