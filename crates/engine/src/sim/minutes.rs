//! Minutes of traffic under one limit: what passes in them, to the request and to the token.

use super::{
    chance::Chance,
    crowd::{plan, rule},
};
use crate::{
    access::Caller,
    exchange::{Attempt, Exchange, Inbound, Order, Report, UpstreamHead},
    ledger::Ledger,
    path::KeyChoice,
    plan::PlanHandle,
    provider::Operation,
    rates::{Of, Rates},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::DialectId;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::collections::VecDeque;

const MINUTE: Span = Span::secs(60);

/// Requests and tokens a minute.
type Limit = (Option<u64>, Option<u64>);

/// One provider, whose answers take a while and cost so many tokens.
struct Traffic {
    plan: PlanHandle,
    ledger: Ledger,
    served: Span,
    cost: u64,
    number: u64,
    under_way: VecDeque<(Instant, Exchange, Attempt)>,
    /// What has been answered, with its tokens.
    answered: Vec<(Instant, u64)>,
}

/// What a request came to.
#[derive(Debug, PartialEq)]
enum Fate {
    Admitted,
    /// He may come back after so many seconds.
    Refused(u64),
}

impl Traffic {
    fn new(of: Of, (rpm, tpm): Limit, callers: usize, (served, cost): (Span, u64)) -> Traffic {
        let rates = Rates { rules: vec![rule("it", of, (rpm, tpm, None))], ..Rates::default() };
        let plan = plan(&[0], callers, rates);
        let (ledger, under_way, answered) = (Ledger::default(), VecDeque::new(), Vec::new());
        Traffic { plan, ledger, served, cost, number: 0, under_way, answered }
    }

    /// A caller asks, and is answered later.
    fn ask(&mut self, caller: usize, now: Instant) -> Fate {
        self.answer_until(now);
        self.number += 1;
        let body = r#"{"model":"m","messages":[{"role":"user","content":"why"}]}"#;
        let inbound = Inbound {
            id: String::new(),
            caller: Caller(Some(caller)),
            method: Method::POST,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            more: false,
            field: None,
            named: None,
            key: KeyChoice::Next,
            roll: self.number,
            arrived: now,
        };
        let exchange = Exchange::call(self.plan.clone(), DialectId::OpenaiChat, Operation::Generate, inbound);
        self.obey(exchange, now)
    }

    /// What is due by then is answered.
    fn answer_until(&mut self, now: Instant) {
        while self.under_way.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((at, mut exchange, attempt)) = self.under_way.pop_front() else { return };
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let headers = HeaderMap::from_iter([kind]);
            let head =
                UpstreamHead { status: StatusCode::OK, headers, framed: true, signed_with: Vec::new() };
            let body = format!(
                r#"{{"id":"x","object":"chat.completion","model":"served","choices":[{{"index":0,"message":{{"role":"assistant","content":"so"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":10,"completion_tokens":{}}}}}"#,
                self.cost - 10
            );
            exchange.report(Report::Head(attempt, head), at);
            exchange.report(Report::Body(attempt, body.into()), at);
            exchange.report(Report::End(attempt), at);
            self.answered.push((at, self.cost));
            self.obey(exchange, at);
        }
    }

    fn obey(&mut self, mut exchange: Exchange, now: Instant) -> Fate {
        let mut fate = Fate::Admitted;
        while let Some(order) = exchange.order() {
            match order {
                Order::Ask(command) => {
                    let answer = self.ledger.apply(&exchange.asks(), command, now);
                    exchange.report(Report::Answer(answer), now);
                }
                Order::Note(note) => self.ledger.note(&exchange.asks(), note, now),
                Order::Leave(ticket) => self.ledger.leave(ticket, now),
                Order::Send(attempt, _) => {
                    self.under_way.push_back((now.after(self.served), exchange, attempt));
                    return Fate::Admitted;
                }
                Order::Head(reply) => {
                    let after = reply.headers.get(header::RETRY_AFTER);
                    fate = after.map_or(Fate::Admitted, |after| {
                        Fate::Refused(after.to_str().unwrap().parse().unwrap())
                    });
                }
                Order::Done(record) if record.admitted => self.ledger.settle(&record),
                _ => {}
            }
        }
        fate
    }

    /// Asks every `gap` for as long: when it was admitted.
    fn flood(&mut self, gap: Span, length: Span) -> Vec<Instant> {
        let times = (0..length.0 / gap.0).map(|count| Instant(1).after(Span(count * gap.0)));
        times.filter(|at| self.ask(0, *at) == Fate::Admitted).collect()
    }
}

/// How many of these fall within the minute from `start` on.
fn within(times: &[Instant], start: Instant) -> usize {
    times.iter().filter(|at| **at >= start && **at < start.after(MINUTE)).count()
}

#[test]
fn ten_thousand_a_minute_under_a_limit_of_a_thousand_are_a_thousand_in_every_minute() {
    let mut traffic = Traffic::new(Of::EachCaller, (Some(1_000), None), 1, (Span::millis(100), 30));
    let admitted = traffic.flood(Span::millis(6), Span::secs(300));
    let over = admitted.windows(1_001).filter(|window| window[1_000].since(window[0]) < MINUTE).count();
    let minutes = (0..240).map(|second| within(&admitted, Instant(1).after(Span::secs(second))));
    let least = minutes.min().unwrap();
    println!("{} of 50000 in five minutes, {least} in the least of them, {over} over", admitted.len());
    assert_eq!((admitted.len(), over), (5_000, 0));
    // What came within a quarter of a second leaves together.
    assert!(least >= 1_000 - 10_000 / 60 / 4 - 1, "{least}");
}

#[test]
fn two_bursts_at_the_edge_of_a_minute_are_one() {
    let mut traffic = Traffic::new(Of::EachCaller, (Some(1_000), None), 1, (Span::millis(1), 30));
    let mut burst = |at: u64| {
        let fates = (0..1_000).map(|_| traffic.ask(0, Instant::default().after(Span::millis(at))));
        fates.filter(|fate| *fate == Fate::Admitted).count()
    };
    assert_eq!(burst(59_900), 1_000);
    assert_eq!(burst(60_100), 0, "a clock's minute has begun, and no other");
    assert_eq!(burst(119_899), 0);
    assert_eq!(burst(119_900), 1_000);
}

#[test]
fn limits_of_tokens_count_what_was_used_and_not_what_was_guessed() {
    // A request is guessed at a thousand tokens and some. What is under way may be misjudged, and that shows in the
    // rate the longer answers take.
    for (cost, limit, millis, percent) in [
        (200, 100_000, 300, 99..=101),
        (1_000, 500_000, 2_000, 99..=101),
        (3_000, 2_000_000, 300, 99..=101),
        (200, 100_000, 2_000, 80..=101),
        (3_000, 2_000_000, 2_000, 99..=107),
    ] {
        let served = (Span::millis(millis), cost);
        let mut traffic = Traffic::new(Of::EachCaller, (None, Some(limit)), 1, served);
        let gap = Span(MINUTE.0 * cost / limit / 2);
        traffic.flood(gap, Span::secs(600));
        traffic.answer_until(Instant(u64::MAX));
        let steady = Instant::default().after(MINUTE)..Instant::default().after(Span::secs(540));
        let used: u64 =
            traffic.answered.iter().filter(|(at, _)| steady.contains(at)).map(|(_, cost)| cost).sum();
        let rate = used / 8;
        println!("{cost} tokens a request in {millis} ms, {limit} a minute: {rate}");
        let (least, most) = (limit * percent.start() / 100, limit * percent.end() / 100);
        assert!((least..=most).contains(&rate), "{cost} in {millis} ms: {rate} of {limit}");
    }
}

#[test]
fn a_wrong_guess_is_mended_with_the_answer() {
    let mut traffic = Traffic::new(Of::EachCaller, (None, Some(2_000)), 1, (Span::secs(5), 100));
    let at = |millis| Instant::default().after(Span::millis(millis));
    assert_eq!(traffic.ask(0, at(0)), Fate::Admitted);
    assert_ne!(traffic.ask(0, at(4_999)), Fate::Admitted, "a thousand are reserved and no other has room");
    assert_eq!(traffic.ask(0, at(5_000)), Fate::Admitted, "a hundred were used");
}

#[test]
fn who_obeys_is_admitted_when_he_was_told() {
    let mut chance = Chance::new(7);
    let mut traffic = Traffic::new(Of::EachCaller, (Some(5), None), 100, (Span::millis(300), 30));
    // When each asks next, and whether he was told to.
    let start = |chance: &mut Chance| Instant(1).after(Span::millis(chance.below(60_000)));
    let mut callers: Vec<(Instant, bool)> = (0..100).map(|_| (start(&mut chance), false)).collect();
    let (mut kept, mut broken) = (0, 0);
    for _ in 0..20_000 {
        let next = callers.iter().enumerate().min_by_key(|(_, (at, _))| *at);
        let (caller, (now, told)) = next.map(|(caller, next)| (caller, *next)).unwrap();
        let fate = traffic.ask(caller, now);
        let is_kept = fate == Fate::Admitted;
        (kept, broken) = (kept + u64::from(told && is_kept), broken + u64::from(told && !is_kept));
        callers[caller] = match fate {
            Fate::Admitted => (now.after(Span::millis(1 + chance.below(8_000))), false),
            Fate::Refused(seconds) => (now.after(Span::secs(seconds)), true),
        };
    }
    println!("{kept} came back when they were told to and were admitted, {broken} were not");
    assert!(kept > 1_000 && broken * 99 <= kept, "{broken} of {kept}");
}
