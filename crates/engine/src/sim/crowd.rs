//! Many callers at once under limits, on one ledger: whatever a seed makes of them, no limit is ever passed,
//! everybody is answered, and nothing is left behind.

mod classes;

use super::{
    Broken, caught,
    chance::Chance,
    kept,
    scene::{Act, Target},
};
use crate::{
    access::{self, Caller},
    exchange::{Attempt, Exchange, Inbound, Io, Order, Report, UpstreamHead},
    headers::PRIORITY,
    ledger::{Answer, Command, Ledger, Note},
    path::KeyChoice,
    plan::{Access, Aim, Plan, PlanHandle},
    provider::Operation,
    rates::{self, Of, Priorities, Priority, Queue, Rates, Rule},
    record::{Outcome, Record},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{DialectId, FaultKind};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

/// One caller's request.
struct One {
    exchange: Exchange,
    caller: Caller,
    model: &'static str,
    tokens: u64,
    arrives: Instant,
    /// When the caller goes, whatever he has.
    goes: Instant,
    /// When it wants to be woken.
    wakes: Instant,
    live: Vec<Live>,
    record: Option<Box<Record>>,
    status: Option<u16>,
    retry_after: Option<u64>,
    said: Vec<u8>,
    /// What it has, as the limits see it.
    turns: BTreeMap<(usize, usize), Vec<Arc<str>>>,
    own: Vec<Arc<str>>,
    spent: Option<u64>,
    unknown: bool,
}

struct Live {
    attempt: Attempt,
    at: Instant,
    act: Act,
}

/// What a limit has let through, all of it.
#[derive(Default)]
struct Watch {
    starts: Vec<Instant>,
    running: Vec<(usize, u64)>,
    costs: Vec<(Instant, u64)>,
}

struct Crowd {
    plan: PlanHandle,
    ledger: Ledger,
    ones: Vec<One>,
    watches: BTreeMap<Arc<str>, Watch>,
    now: Instant,
    chance: Chance,
    /// Providers answer, and nothing else.
    well: bool,
    served: Span,
    waited: u64,
    refused: u64,
    whole: Vec<usize>,
}

const MODELS: [&str; 3] = ["m", "p0/served", "p1/served"];

pub(super) fn rule(
    id: &str,
    of: Of,
    (rpm, tpm, concurrent): (Option<u64>, Option<u64>, Option<u32>),
) -> Arc<Rule> {
    Arc::new(Rule { id: id.into(), of, rpm, tpm, concurrent })
}

/// A plan with providers `p0`, `p1`, …, each with so many keys, and the alias `m` over all of them.
pub(super) fn plan(keys: &[usize], callers: usize, rates: Rates) -> PlanHandle {
    let target = |(index, keys): (usize, &usize)| {
        let (act, then, first, pause) = (Act::Answer, Act::Answer, Span::ZERO, Span::ZERO);
        Target { dialect: DialectId::OpenaiChat, keys: *keys, act, then, first, given: None, piece: 1, pause }
            .provider(index)
    };
    let aims: Vec<Aim> = (0..keys.len()).map(|provider| Aim::new(provider, "served")).collect();
    Rc::new(Arc::new(Plan {
        access: Access { keys: (0..callers).map(|caller| access::hash(&caller.to_string())).collect() },
        providers: keys.iter().enumerate().map(target).collect(),
        aliases: [("m".to_owned(), aims.into())].into(),
        rates,
        ..Plan::default()
    }))
}

impl Crowd {
    fn new(plan: PlanHandle, seed: u64) -> Crowd {
        Crowd {
            plan,
            ledger: Ledger::default(),
            ones: Vec::new(),
            watches: BTreeMap::new(),
            now: Instant::default(),
            chance: Chance::new(seed),
            well: true,
            served: Span::secs(1),
            waited: 0,
            refused: 0,
            whole: Vec::new(),
        }
    }

    /// All that a seed makes.
    fn from_seed(seed: u64) -> Crowd {
        let mut chance = Chance::new(seed);
        let some = |chance: &mut Chance, most: u64| chance.percent(50).then(|| 1 + chance.below(most));
        let limits = |chance: &mut Chance| {
            let tpm = chance.percent(30).then(|| 50 + chance.below(1_500));
            let concurrent = some(chance, 4).map(|most| u32::try_from(most).unwrap());
            (some(chance, 12), tpm, concurrent)
        };
        let keys: Vec<usize> =
            (0..2 + chance.below(2)).map(|_| usize::try_from(chance.below(3)).unwrap()).collect();
        let callers = usize::try_from(1 + chance.below(4)).unwrap();
        let mut of = vec![Of::EachCaller, Of::Caller(0), Of::Callers, Of::Name("m".to_owned())];
        for (provider, keys) in keys.iter().enumerate() {
            of.extend([Of::Provider(provider), Of::Target(provider, "served".to_owned())]);
            of.extend((0..*keys).map(|key| Of::Key(provider, key)));
        }
        of.retain(|_| chance.percent(50));
        let rules = of.into_iter().map(|of| rule(&format!("{of:?}"), of, limits(&mut chance))).collect();
        let queue = chance.percent(75).then(|| Queue {
            size: usize::try_from(1 + chance.below(20)).unwrap(),
            wait: Span::millis(1_000 + chance.below(90_000)),
        });
        let requests = chance.percent(15).then(|| usize::try_from(2 + chance.below(20)).unwrap());
        let priority = |chance: &mut Chance| *chance.pick(&Priority::ALL);
        let each = chance.percent(30).then(|| priority(&mut chance));
        let mut own: BTreeMap<usize, Priority> =
            (0..callers).map(|caller| (caller, priority(&mut chance))).collect();
        own.retain(|_, _| chance.percent(50));
        let rates = Rates { rules, queue, requests, priorities: Priorities { each, own }, busy: None };
        let mut crowd = Crowd::new(plan(&keys, callers, rates), seed);
        crowd.well = chance.percent(30);
        crowd.served = Span::millis(1 + chance.below(20_000));
        let rush = 1 + chance.below(120_000);
        for _ in 0..10 + chance.below(60) {
            let caller = Caller(Some(usize::try_from(chance.below(callers as u64)).unwrap()));
            let arrives = Instant(1).after(Span::millis(chance.below(rush)));
            let said = chance.percent(20).then(|| priority(&mut chance));
            crowd.put_saying(said, caller, chance.pick::<&str>(&MODELS), arrives);
            let goes = chance.percent(15).then(|| arrives.after(Span::millis(chance.below(40_000))));
            crowd.ones.last_mut().unwrap().goes = goes.unwrap_or(Instant(u64::MAX));
        }
        crowd
    }

    fn put(&mut self, caller: Caller, model: &'static str, arrives: Instant) {
        self.put_saying(None, caller, model, arrives);
    }

    /// A request that says how urgent it is.
    fn put_saying(&mut self, said: Option<Priority>, caller: Caller, model: &'static str, arrives: Instant) {
        let said = said.map(|said| (PRIORITY, HeaderValue::from_static(said.name())));
        let said = said.into_iter().map(|(name, value)| (HeaderName::from_static(name), value));
        let number = self.ones.len() as u64;
        let body = format!(
            r#"{{"model":"{model}","max_tokens":{},"messages":[{{"role":"user","content":"why"}}]}}"#,
            1 + self.chance.below(400)
        );
        let tokens = rates::tokens(body.as_bytes());
        let inbound = Inbound {
            id: format!("req-{number}"),
            caller,
            method: Method::POST,
            headers: said.collect(),
            body: Bytes::from(body),
            more: false,
            field: None,
            named: None,
            key: KeyChoice::Next,
            roll: number,
            arrived: arrives,
        };
        let exchange = Exchange::call(self.plan.clone(), DialectId::OpenaiChat, Operation::Generate, inbound);
        let (never, turns) = (Instant(u64::MAX), BTreeMap::new());
        self.ones.push(One {
            exchange,
            caller,
            model,
            tokens,
            arrives,
            goes: never,
            wakes: arrives,
            live: Vec::new(),
            record: None,
            status: None,
            retry_after: None,
            said: Vec::new(),
            turns,
            own: Vec::new(),
            spent: Some(0),
            unknown: false,
        });
    }

    /// Plays until nothing happens any more.
    fn play(&mut self) {
        for _ in 0..200_000 {
            let next = |one: &One| {
                let open = one.record.is_none();
                let live = one.live.iter().map(|live| live.at).min();
                open.then(|| one.wakes.min(one.goes).min(live.unwrap_or(Instant(u64::MAX))))
            };
            let first =
                self.ones.iter().enumerate().filter_map(|(index, one)| Some((next(one)?, index))).min();
            let Some((at, index)) = first else { return };
            assert!(at < Instant(u64::MAX), "somebody waits for nothing");
            self.now = self.now.max(at);
            self.step(index);
        }
        panic!("it never ends");
    }

    fn step(&mut self, index: usize) {
        let now = self.now;
        let one = &mut self.ones[index];
        let begins = one.arrives <= now && one.wakes == one.arrives && one.live.is_empty();
        if let Some(place) = one.live.iter().position(|live| live.at <= now) {
            let live = one.live.swap_remove(place);
            for report in reports(&live) {
                self.ones[index].exchange.report(report, now);
                self.obey(index);
            }
        } else if one.goes <= now {
            one.goes = Instant(u64::MAX);
            one.exchange.report(Report::ClientGone, now);
        } else if !begins {
            one.exchange.report(Report::Woke, now);
        }
        self.obey(index);
    }

    fn obey(&mut self, index: usize) {
        let now = self.now;
        while let Some(order) = self.ones[index].exchange.order() {
            match order {
                Order::Ask(command) => {
                    let answer = self.ledger.apply(&self.ones[index].exchange.asks(), command, now);
                    self.heard(index, command, &answer);
                    self.ones[index].exchange.report(Report::Answer(answer), now);
                }
                Order::Note(note) => {
                    self.ledger.note(&self.ones[index].exchange.asks(), note, now);
                    self.noted(index, note);
                }
                Order::Leave(ticket) => {
                    self.ledger.leave(ticket, now);
                    self.left(index);
                }
                Order::Part(_) => panic!("nobody leaves within a stream here"),
                Order::Send(attempt, _) => {
                    let act = self.act();
                    let at = now.after(Span(1 + self.chance.below(self.served.0 * 2)));
                    self.ones[index].live.push(Live { attempt, at, act });
                }
                Order::Cancel(attempt) => self.ones[index].live.retain(|live| live.attempt != attempt),
                Order::Head(reply) => {
                    let after = reply.headers.get(header::RETRY_AFTER);
                    self.ones[index].retry_after =
                        after.map(|after| after.to_str().unwrap().parse().unwrap());
                    self.ones[index].status = Some(reply.status.as_u16());
                }
                Order::Body(bytes) => self.ones[index].said.extend_from_slice(&bytes),
                Order::Abort => {}
                Order::Wait(until) => {
                    self.ones[index].wakes = until.max(Instant(now.0 + 1));
                    break;
                }
                Order::Done(record) => self.done(index, record),
            }
        }
        self.wake();
        assert!(self.ledger.forgets_nobody(now), "nobody waits who may go");
        let size = self.plan.rates.queue.map_or(0, |queue| queue.size);
        assert!(self.ledger.waiting().now <= size, "the queue is bounded");
    }

    /// As a door does: whoever is called is woken.
    fn wake(&mut self) {
        for ticket in self.ledger.take_woken() {
            let one = &mut self.ones[usize::try_from(ticket).unwrap()];
            assert!(one.exchange.is_queued() || one.record.is_some(), "only who waits is called");
            one.wakes = self.now;
        }
    }

    fn act(&mut self) -> Act {
        if self.well || self.chance.percent(70) {
            return Act::Answer;
        }
        let fail = Act::Fail(*self.chance.pick(&[Io::Connect, Io::Broken]));
        let refuse = Act::Refuse(*self.chance.pick(&[429, 500, 503]));
        self.chance.pick(&[fail, refuse, Act::Silent]).clone()
    }

    fn done(&mut self, index: usize, record: Box<Record>) {
        if record.admitted {
            self.ledger.settle(&record);
        }
        let ours = record.trials.is_empty() && record.outcome == Outcome::Fault(FaultKind::RateLimited);
        if ours {
            self.refused += 1;
            assert_eq!(self.ones[index].status, Some(429));
            assert!(self.ones[index].retry_after.is_some(), "who is refused hears when to come back");
        }
        self.waited += u64::from(record.queued.is_some());
        if record.outcome == Outcome::Whole {
            self.whole.push(index);
        }
        self.ones[index].record = Some(record);
    }

    /// The limits of a request, or of one turn of it, by a reading of the rules of its own.
    fn ids(&self, index: usize, turn: Option<(usize, usize)>) -> Vec<Arc<str>> {
        let one = &self.ones[index];
        let rules = self.plan.rates.rules.iter();
        let provider = |aim: usize| match one.model {
            "m" => aim,
            "p0/served" => 0,
            _ => 1,
        };
        let own = rules
            .clone()
            .any(|rule| matches!(rule.of, Of::Caller(caller) if one.caller == Caller(Some(caller))));
        let ids = rules.filter_map(|rule| match (&rule.of, turn) {
            (Of::Callers, None) => Some(rule.id.clone()),
            (Of::EachCaller, None) => (!own).then(|| rule.id(&self.plan, one.caller)),
            (Of::Caller(caller), None) => (one.caller == Caller(Some(*caller))).then(|| rule.id.clone()),
            (Of::Name(name), None) => (name == one.model).then(|| rule.id.clone()),
            (Of::Provider(of) | Of::Target(of, _), Some((aim, _))) => {
                (provider(aim) == *of).then(|| rule.id.clone())
            }
            (Of::Key(of, key), Some(turn)) => {
                ((provider(turn.0), turn.1) == (*of, *key)).then(|| rule.id.clone())
            }
            _ => None,
        });
        ids.collect()
    }

    fn rule(&self, index: usize, id: &Arc<str>) -> Arc<Rule> {
        let is_it = |rule: &&Arc<Rule>| rule.id == *id || rule.id(&self.plan, self.ones[index].caller) == *id;
        self.plan.rates.rules.iter().find(is_it).expect("a rule").clone()
    }

    fn heard(&mut self, index: usize, command: Command, answer: &Answer) {
        let (Answer::Admitted(turn) | Answer::Begun(turn)) = answer else { return };
        if matches!(command, Command::Admit(_)) {
            let own = self.ids(index, None);
            own.iter().for_each(|id| self.start(index, id));
            self.ones[index].own = own;
        }
        let turn = (turn.aim, turn.key);
        let ids = self.ids(index, Some(turn));
        ids.iter().for_each(|id| self.start(index, id));
        self.ones[index].turns.insert(turn, ids);
    }

    /// Something begins, and no limit may be passed by it.
    fn start(&mut self, index: usize, id: &Arc<str>) {
        let (rule, now) = (self.rule(index, id), self.now);
        let held = rule.tpm.map_or(0, |most| self.ones[index].tokens.min(most));
        let watch = self.watches.entry(id.clone()).or_default();
        watch.starts.push(now);
        watch.running.push((index, held));
        let recent = |at: &Instant| now.since(*at) < Span::secs(60);
        let requests = watch.starts.iter().filter(|at| recent(at)).count() as u64;
        let held: u64 = watch.running.iter().map(|(_, held)| held).sum();
        let spent: u64 = watch.costs.iter().filter(|(at, _)| recent(at)).map(|(_, cost)| cost).sum();
        assert!(rule.rpm.is_none_or(|most| requests <= most), "{id}: {requests} requests");
        assert!(rule.tpm.is_none_or(|most| held + spent <= most), "{id}: {held} + {spent} tokens");
        let running = watch.running.len();
        assert!(rule.concurrent.is_none_or(|most| running <= most as usize), "{id}: {running} at once");
    }

    fn stop(&mut self, index: usize, id: &Arc<str>, cost: impl Fn(u64) -> u64) {
        let watch = self.watches.get_mut(id).expect("it has begun");
        let place = watch.running.iter().position(|(who, _)| *who == index).expect("it is under way");
        let (_, held) = watch.running.swap_remove(place);
        watch.costs.push((self.now, cost(held)));
    }

    fn noted(&mut self, index: usize, note: Note) {
        let cost = note.tokens;
        let one = &mut self.ones[index];
        one.spent = one.spent.map(|spent| spent + cost.unwrap_or(0));
        one.unknown |= cost.is_none();
        let ids = one.turns.remove(&(note.aim, note.key)).expect("it was begun, and ends once");
        ids.iter().for_each(|id| self.stop(index, id, |held| cost.unwrap_or(held)));
    }

    fn left(&mut self, index: usize) {
        let one = &mut self.ones[index];
        let spent = one.spent.take().expect("it leaves once");
        let (own, unknown) = (std::mem::take(&mut one.own), one.unknown);
        own.iter().for_each(|id| self.stop(index, id, |held| if unknown { spent.max(held) } else { spent }));
    }

    fn assert_empty(&self) {
        assert!(
            self.ones.iter().all(|one| one.record.is_some() && one.turns.is_empty() && one.own.is_empty())
        );
        assert_eq!((self.ledger.in_flight(), self.ledger.under_way(), self.ledger.waiting().now), (0, 0, 0));
        assert!(self.ledger.is_clear(), "nothing is reserved for nobody");
    }
}

fn reports(live: &Live) -> Vec<Report> {
    let kind = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let head = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        Report::Head(
            live.attempt,
            UpstreamHead { status, headers: kind.clone(), framed: true, signed_with: Vec::new() },
        )
    };
    let body = |text: &'static str| Report::Body(live.attempt, Bytes::from_static(text.as_bytes()));
    match live.act {
        Act::Answer => vec![
            head(200),
            body(
                r#"{"id":"x","object":"chat.completion","model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":12,"total_tokens":22}}"#,
            ),
            Report::End(live.attempt),
        ],
        Act::Refuse(status) => {
            vec![head(status), body(r#"{"error":{"message":"no"}}"#), Report::End(live.attempt)]
        }
        Act::Fail(io) => vec![Report::Failed(live.attempt, io)],
        _ => vec![],
    }
}

/// What came of a crowd.
#[derive(Default)]
pub(super) struct Played {
    pub(super) requests: u64,
    waited: u64,
    refused: u64,
    whole: u64,
}

/// Plays the crowd that a seed makes.
pub(super) fn play_seed(seed: u64) -> Result<Played, Broken> {
    let played = caught(|| {
        let mut crowd = Crowd::from_seed(seed);
        crowd.play();
        crowd.assert_empty();
        let (requests, whole) = (crowd.ones.len() as u64, crowd.whole.len() as u64);
        Played { requests, waited: crowd.waited, refused: crowd.refused, whole }
    });
    played.map_err(|rule| Broken { kind: "crowd", seed, of: seed, rule, more: String::new() })
}

#[test]
fn no_seed_breaks_a_limit() {
    let count = std::env::var("SEKISHO_SIM").ok().and_then(|count| count.parse().ok()).unwrap_or(500_u64);
    let mut all = Played::default();
    for seed in kept("crowd ").chain(0..count) {
        let played = play_seed(seed).unwrap_or_else(|broken| panic!("{broken}"));
        all.waited += played.waited;
        all.refused += played.refused;
        all.whole += played.whole;
    }
    let Played { waited, refused, whole, .. } = all;
    println!("{waited} waited, {refused} were refused, {whole} were answered");
    assert!(waited > count && refused > count && whole > count);
}

#[test]
fn a_caller_with_many_requests_does_not_hold_up_those_with_few() {
    let rules = vec![rule("p0", Of::Provider(0), (None, None, Some(1)))];
    let queue = Some(Queue { size: 200, wait: Span::secs(600) });
    let mut crowd = Crowd::new(plan(&[0], 10, Rates { rules, queue, ..Rates::default() }), 1);
    crowd.served = Span::millis(100);
    (0..100).for_each(|_| crowd.put(Caller(Some(0)), "p0/served", Instant(1)));
    for caller in 1..10 {
        (0..3).for_each(|_| crowd.put(Caller(Some(caller)), "p0/served", Instant(2)));
    }
    crowd.play();
    crowd.assert_empty();
    assert_eq!(crowd.whole.len(), 127);
    let last = crowd.whole.iter().rposition(|index| *index >= 100).unwrap();
    // Three rounds of ten, and the one who was first.
    assert!(last <= 31, "the last of the small ones came after {last} others");
}

#[test]
fn a_full_queue_loses_the_last_of_who_fills_it() {
    let rules = vec![rule("p0", Of::Provider(0), (None, None, Some(1)))];
    let queue = Some(Queue { size: 10, wait: Span::secs(600) });
    let mut crowd = Crowd::new(plan(&[0], 10, Rates { rules, queue, ..Rates::default() }), 1);
    (0..100).for_each(|_| crowd.put(Caller(Some(0)), "p0/served", Instant(1)));
    (1..10).for_each(|caller| crowd.put(Caller(Some(caller)), "p0/served", Instant(2)));
    crowd.play();
    crowd.assert_empty();
    assert!((100..109).all(|index| crowd.whole.contains(&index)), "{:?}", crowd.whole);
    assert_eq!(crowd.whole.len(), 11);
}

#[test]
fn who_comes_back_when_he_is_told_to_is_served() {
    let rules = vec![rule("own", Of::EachCaller, (Some(3), None, None))];
    let mut crowd = Crowd::new(plan(&[0], 1, Rates { rules, ..Rates::default() }), 1);
    let me = Caller(Some(0));
    for at in [0, 10, 20] {
        crowd.put(me, "p0/served", Instant::default().after(Span::secs(at)));
    }
    crowd.put(me, "p0/served", Instant::default().after(Span::secs(30)));
    crowd.play();
    let one = &crowd.ones[3];
    assert_eq!((one.status, one.retry_after), (Some(429), Some(30)));
    let said = String::from_utf8_lossy(&one.said);
    assert!(said.contains("the limit of 3 requests a minute for you is reached"), "{said}");
    crowd.put(me, "p0/served", Instant(Span::secs(60).0 - 1));
    crowd.put(me, "p0/served", Instant(Span::secs(60).0));
    crowd.play();
    assert_eq!((crowd.ones[4].status, crowd.ones[4].retry_after), (Some(429), Some(1)));
    assert_eq!(crowd.ones[5].status, Some(200));
    crowd.assert_empty();
}

#[test]
fn a_limited_target_or_key_gives_way_to_another() {
    let rules = vec![
        rule("p0", Of::Provider(0), (Some(2), None, None)),
        rule("key", Of::Key(1, 0), (Some(1), None, None)),
    ];
    let mut crowd = Crowd::new(plan(&[0, 2], 1, Rates { rules, ..Rates::default() }), 1);
    (0..6).for_each(|at| crowd.put(Caller(Some(0)), "m", Instant::default().after(Span::secs(4 * at))));
    crowd.play();
    crowd.assert_empty();
    let asked = |one: &One| one.record.as_ref().unwrap().trials[0].provider.clone();
    let asked: Vec<String> = crowd.ones.iter().map(asked).collect();
    assert_eq!(asked, ["p0", "p0", "p1", "p1", "p1", "p1"]);
}
