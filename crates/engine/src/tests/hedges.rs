//! The next target asked beside one that has not spoken yet: when, how often, and what comes of it.

use super::{
    hand::{Hand, heard},
    plan,
};
use crate::{
    access::Caller,
    exchange::Attempt,
    ledger::{Answer, Asks, Command, Ledger, Note, Verdict},
    limits::{BREAKER_STREAK, HEDGES_SAVED},
    plan::Plan,
    record::Manner,
    time::{Instant, Span},
};
use dialect::FaultKind;
use proptest::prelude::*;

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"why"}]}"#;
const ALWAYS: &str = "hedge: {after: 300ms, percent: 100}";

fn three(more: &str) -> Plan {
    let own = |name: &str| format!("{name}: {{base_url: 'http://{name}/v1', keys: []}}");
    let text = format!(
        "environment: false\nproviders: {{{}, {}, {}}}\nmodels: {{m: [a/m, b/m, c/m]}}\n{more}",
        own("a"),
        own("b"),
        own("c")
    );
    plan(&[], &text)
}

fn asked(ledger: Ledger, failover: &str, body: &str) -> Hand {
    Hand::new(ledger, three(&format!("failover: {{{failover}}}")), body)
}

impl Hand {
    /// Who was asked, and after how many milliseconds.
    fn who(&self) -> Vec<(&str, u64)> {
        let times = self.times.iter().map(|time| time.since(Instant::default()).0 / 1_000);
        self.sent.iter().filter_map(|sent| sent.uri.host()).zip(times).collect()
    }

    fn manners(&self) -> Vec<Manner> {
        let record = self.record.as_ref().expect("it is over");
        record.trials.iter().map(|trial| trial.manner).collect()
    }
}

#[test]
fn a_hedge_is_a_race_that_begins_sooner() {
    let whole = STREAM.replace("true", "false");
    let thinks = STREAM.replace("}]}", "}],\"reasoning_effort\":\"low\"}");
    let (hedged, raced, late) = (Some(300), Some(10_000), Some(60_000));
    let table = [
        ("", STREAM, raced),
        (ALWAYS, STREAM, hedged),
        ("race: 0s", STREAM, None),
        ("race: 0s, hedge: {after: 300ms, percent: 100}", STREAM, hedged),
        // Nothing has been earned yet.
        ("hedge: {after: 300ms}", STREAM, raced),
        ("hedge: {after: 300ms, percent: 0}", STREAM, raced),
        // Nobody knows when these begin to speak, or they think first.
        (ALWAYS, &whole, late),
        (ALWAYS, &thinks, late),
        ("race: 0s, hedge: {after: 300ms, percent: 100}", &whole, None),
    ];
    for (failover, body, expected) in table {
        let mut hand = asked(Ledger::default(), failover, body);
        hand.wait(Span::secs(70));
        let both = [("a", 0)].into_iter().chain(expected.map(|time| ("b", time))).collect::<Vec<_>>();
        assert_eq!(hand.who(), both, "{failover} {body}");
    }
}

#[test]
fn who_speaks_first_is_heard_and_the_other_is_left() {
    for (speaker, loser) in [(0, 1), (1, 0)] {
        let mut hand = asked(Ledger::default(), ALWAYS, STREAM);
        hand.wait(Span::millis(400));
        hand.speaker = Attempt(speaker);
        hand.says("because", true);
        assert_eq!((heard(&hand.told).0.as_str(), &hand.cancelled[..]), ("because", &[Attempt(loser)][..]));
        assert_eq!(hand.manners(), [Manner::Turn, Manner::Hedge]);
        let outrun = hand.record.iter().flat_map(|record| &record.trials).map(|trial| trial.outrun);
        assert_eq!(outrun.collect::<Vec<_>>(), [loser == 0, loser == 1]);
    }
}

#[test]
fn only_who_is_slow_by_its_own_measure_is_blamed() {
    for (spoken, next) in [(Span::millis(400), "a"), (Span::secs(11), "b")] {
        let mut ledger = Ledger::default();
        for _ in 0..BREAKER_STREAK {
            let mut hand = asked(ledger, ALWAYS, STREAM);
            hand.wait(spoken);
            hand.says("because", true);
            assert_eq!(hand.manners(), [Manner::Turn, Manner::Hedge]);
            ledger = hand.ledger;
        }
        assert_eq!(asked(ledger, ALWAYS, STREAM).who(), [(next, 0)], "{spoken:?}");
    }
}

#[test]
fn who_is_left_of_two_has_its_own_time() {
    // The hedge fails, then the first is raced when it is slow; the first fails, then the hedge is.
    for (fails, third) in [(1, 10_000), (0, 10_300)] {
        let mut hand = asked(Ledger::default(), ALWAYS, STREAM);
        hand.wait(Span::millis(500));
        hand.speaker = Attempt(fails);
        hand.breaks();
        hand.wait(Span::secs(15));
        assert_eq!(hand.who(), [("a", 0), ("b", 300), ("c", third)]);
        hand.says("because", true);
        assert_eq!(hand.manners(), [Manner::Turn, Manner::Hedge, Manner::Race]);
    }
}

#[test]
fn one_in_so_many_is_hedged() {
    let mut ledger = Ledger::default();
    let hedged: Vec<usize> = (1..=60)
        .filter(|_| {
            let mut hand = asked(std::mem::take(&mut ledger), "hedge: {after: 300ms, percent: 5}", STREAM);
            hand.wait(Span::millis(400));
            hand.says("because", true);
            ledger = std::mem::take(&mut hand.ledger);
            hand.sent.len() == 2
        })
        .collect();
    assert_eq!(hedged, [20, 40, 60]);
}

/// A request that asks the ledger for a hedge, with the second of three targets next.
fn asks(plan: &Plan, run: impl FnOnce(&Asks<'_>)) {
    let route = plan.resolve("m").unwrap();
    run(&super::asks(plan, &route.aims, &[1]));
}

const ADMIT: Command = Command::Admit(Caller(None));

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hedges_are_never_more_than_their_share(
        percent in 0_u64..=100,
        quick in 0_u64..100,
        gap in 1_u64..8,
    ) {
        let plan = three(&format!("failover: {{hedge: {{after: 300ms, percent: {percent}}}}}"));
        asks(&plan, |asks| {
            let (mut ledger, mut hedged, now) = (Ledger::default(), 0, Instant::default());
            // In hundredths of a hedge.
            let mut saved = 0;
            for count in 1..=600 {
                assert!(matches!(ledger.apply(asks, ADMIT, now), Answer::Admitted(turn) if !turn.hedge));
                saved = (saved + percent).min(u64::from(HEDGES_SAVED) * 100);
                // Some requests at the beginning, and others now and then, need none.
                if count <= quick || count % gap != 0 {
                    continue;
                }
                let begun = match ledger.apply(asks, Command::Hedge, now) {
                    Answer::Begun(turn) => turn.hedge,
                    _ => false,
                };
                assert_eq!(begun, saved >= 100, "{saved} saved at {count}");
                hedged += u64::from(begun);
                saved -= if begun { 100 } else { 0 };
                assert!(hedged * 100 <= percent * count, "{hedged} of {count}");
            }
        });
    }
}

#[test]
fn what_was_saved_up_is_no_burst() {
    asks(&three("failover: {hedge: {after: 300ms, percent: 50}}"), |asks| {
        let (mut ledger, now) = (Ledger::default(), Instant::default());
        (0..1_000).for_each(|_| drop(ledger.apply(asks, ADMIT, now)));
        let begun = |ledger: &mut Ledger| ledger.apply(asks, Command::Hedge, now) != Answer::Spent;
        assert_eq!((0..1_000).filter(|_| begun(&mut ledger)).count(), HEDGES_SAVED as usize);
    });
}

#[test]
fn a_hedge_waits_for_nobody() {
    // The other rests.
    asks(&three(&format!("failover: {{{ALWAYS}}}")), |asks| {
        let (mut ledger, now) = (Ledger::default(), Instant::default());
        for _ in 0..BREAKER_STREAK {
            ledger.apply(asks, ADMIT, now);
            let verdict = Verdict::Bad(FaultKind::UpstreamFailed, None);
            ledger.note(asks, Note { aim: 1, key: 0, verdict, tokens: None }, now);
        }
        assert_eq!(ledger.apply(asks, Command::Hedge, now), Answer::Spent);
        let later = now.after(Span::secs(60));
        assert!(matches!(ledger.apply(asks, Command::Hedge, later), Answer::Begun(_)), "nothing was paid");
    });
    // It has been asked as often as it may be.
    let limits = "limits: {rates: [{provider: b, rpm: 1}], queue: {}}";
    asks(&three(&format!("failover: {{{ALWAYS}}}\n{limits}")), |asks| {
        let (mut ledger, now) = (Ledger::default(), Instant::default());
        assert!(matches!(ledger.apply(asks, ADMIT, now), Answer::Admitted(_)));
        assert_eq!(ledger.apply(asks, Command::Hedge, now), Answer::Spent);
    });
}
