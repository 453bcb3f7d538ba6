//! The largest queue there may be.

use crate::{
    access::{self, Caller},
    config::{Overrides, Source, World, load},
    ledger::{Answer, Asks, Command, Ledger, Note, Verdict},
    limits::QUEUE_MAX,
    path::KeyChoice,
    plan::Plan,
    rates::Priority,
    time::Instant,
};

/// One provider for all, of which only so many may ask at once, each caller with a limit of his own.
fn plan(callers: usize) -> Plan {
    let text = format!(
        "environment: false\nproviders: {{p: {{base_url: 'http://p.test'}}}}\nmodels: {{m: p/m}}\n\
         limits: {{queue: {{size: {QUEUE_MAX}}}, requests: 100000, \
         rates: [{{provider: p, concurrent: 50, rpm: 1000000}}, {{caller: '*', concurrent: 50}}]}}\n"
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

/// Fills the queue and has so many of it served; then how often a waiter was looked at for each command.
fn looks(callers: usize, served: usize) -> f64 {
    let (plan, mut ledger) = (plan(callers), Ledger::default());
    let mut now = Instant(1);
    let admit = |ledger: &mut Ledger, ticket: usize, now: Instant| {
        let asks = asks(&plan, ticket);
        ledger.apply(&asks, Command::Admit(asks.caller), now)
    };
    let mut under_way = Vec::new();
    for ticket in 0..QUEUE_MAX + 50 {
        match admit(&mut ledger, ticket, now) {
            Answer::Admitted(turn) => under_way.push((ticket, turn)),
            answer => assert!(matches!(answer, Answer::Queued(..)), "{answer:?}"),
        }
    }
    assert_eq!((under_way.len(), ledger.waiting().now), (50, QUEUE_MAX));
    let before = ledger.gate.looks;
    for _ in 0..served {
        now = Instant(now.0 + 1_000);
        let (ticket, turn) = under_way.remove(0);
        let note = Note { aim: turn.aim, key: turn.key, verdict: Verdict::Dropped, tokens: Some(1) };
        ledger.note(&asks(&plan, ticket), note, now);
        ledger.leave(ticket as u64, now);
        for called in ledger.take_woken() {
            let called = usize::try_from(called).expect("a ticket");
            if let Answer::Admitted(turn) = admit(&mut ledger, called, now) {
                under_way.push((called, turn));
            }
        }
        assert_eq!(under_way.len(), 50, "whoever is called takes his place");
    }
    // Noting, leaving, being called.
    (ledger.gate.looks - before) as f64 / (3 * served) as f64
}

#[test]
fn the_largest_queue_is_not_looked_through() {
    for callers in [1, 100, QUEUE_MAX] {
        let looks = looks(callers, 1_000);
        assert!(looks <= 3.0, "{callers} callers: {looks} for each command");
    }
}
