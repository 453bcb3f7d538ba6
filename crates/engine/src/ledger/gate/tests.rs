//! The largest queue there may be.

use crate::{
    access::{self, Caller},
    config::{Overrides, Source, World, load},
    ledger::{Answer, Asks, Command, Ledger, Note, Turn, Verdict},
    limits::QUEUE_MAX,
    path::KeyChoice,
    plan::Plan,
    rates::Priority,
    time::Instant,
};
use std::{collections::VecDeque, time::Duration};

/// What is served at once.
const SERVED: usize = 50;

/// One provider for all, of which only so many may ask at once, each caller with a limit of his own.
fn plan(callers: usize) -> Plan {
    let text = format!(
        "environment: false\nproviders: {{p: {{base_url: 'http://p.test'}}}}\nmodels: {{m: p/m}}\n\
         limits: {{queue: {{size: {QUEUE_MAX}}}, requests: 100000, \
         rates: [{{provider: p, concurrent: {SERVED}, rpm: 1000000}}, {{caller: '*', concurrent: {SERVED}}}]}}\n"
    );
    let world = World { env: &|_| None, read_file: &|_| Err(String::new()) };
    let source = Source { name: "t", text: text.as_bytes() };
    let (mut plan, _) =
        load(Some(source), &world, &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    plan.access.keys = (0..callers).map(|caller| access::hash(&caller.to_string())).collect();
    plan
}

fn asks(plan: &Plan, ticket: usize) -> Asks<'_> {
    let priority = Priority::ALL[ticket % 3];
    let caller = Caller(Some(ticket % plan.access.keys.len()));
    let (aims, ticket) = (plan.aliases["m"].aims.as_slice(), ticket as u64);
    let (key, left) = (KeyChoice::Next, &[0][..]);
    Asks { plan, aims, left, shape: None, key, roll: 0, ticket, caller, priority, model: "m", body: b"{}" }
}

/// A full house, and so many who wait.
struct Crowd {
    plan: Plan,
    ledger: Ledger,
    under_way: VecDeque<(usize, Turn)>,
    now: Instant,
    /// How many have come.
    come: usize,
}

impl Crowd {
    fn of(callers: usize, waiting: usize) -> Crowd {
        let (plan, ledger, under_way) = (plan(callers), Ledger::default(), VecDeque::new());
        let mut crowd = Crowd { plan, ledger, under_way, now: Instant(1), come: 0 };
        (0..SERVED + waiting).for_each(|_| crowd.come());
        assert_eq!((crowd.under_way.len(), crowd.ledger.waiting().now), (SERVED, waiting));
        crowd
    }

    fn come(&mut self) {
        self.come += 1;
        self.admit(self.come);
    }

    fn admit(&mut self, ticket: usize) {
        let asks = asks(&self.plan, ticket);
        match self.ledger.apply(&asks, Command::Admit(asks.caller), self.now) {
            Answer::Admitted(turn) => self.under_way.push_back((ticket, turn)),
            answer => assert!(matches!(answer, Answer::Queued(..)), "{answer:?}"),
        }
    }

    /// One who is served leaves, and whoever is called takes his place.
    fn serve(&mut self) {
        self.now = Instant(self.now.0 + 1_000);
        let (ticket, turn) = self.under_way.pop_front().expect("somebody is served");
        let note = Note { aim: turn.aim, key: turn.key, verdict: Verdict::Dropped, tokens: Some(1) };
        self.ledger.note(&asks(&self.plan, ticket), note, self.now);
        self.ledger.leave(ticket as u64, self.now);
        for called in self.ledger.take_woken() {
            self.admit(usize::try_from(called).expect("a ticket"));
        }
        assert_eq!(self.under_way.len(), SERVED, "whoever is called takes his place");
    }

    /// One comes to wait, one who is served leaves, and one who waits is called: what that takes at best.
    fn turn(&mut self) -> Duration {
        let rounds = (0..20).map(|_| {
            let began = std::time::Instant::now();
            for _ in 0..200 {
                self.come();
                self.serve();
            }
            began.elapsed() / 200
        });
        rounds.min().expect("there are some")
    }
}

#[test]
fn the_largest_queue_is_not_looked_through() {
    for callers in [1, 100, QUEUE_MAX] {
        let mut crowd = Crowd::of(callers, QUEUE_MAX);
        let (before, served) = (crowd.ledger.gate.looks, 1_000);
        (0..served).for_each(|_| crowd.serve());
        // Noting, leaving, being called.
        let looks = (crowd.ledger.gate.looks - before) as f64 / (3 * served) as f64;
        assert!(looks <= 3.0, "{callers} callers: {looks} for each command");
    }
}

#[test]
fn a_turn_in_the_largest_queue_costs_little_more_than_in_a_small_one() {
    for callers in [1, 100] {
        let [small, large] = [10, QUEUE_MAX - 1].map(|waiting| Crowd::of(callers, waiting).turn());
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        println!("{callers} callers: {small:?} among 10, {large:?} among {QUEUE_MAX}, {ratio:.1} times");
        assert!(ratio < 5.0, "{callers} callers: {small:?}, {large:?}");
    }
}
