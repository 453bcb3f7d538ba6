//! The breaker under providers that fail in the ways that providers do.

use super::breaker::Breaker;
use crate::{
    limits::{BREAKER_OPEN_MAX, BREAKER_PROBE_GAP},
    time::{Instant, Span},
};
use proptest::prelude::*;

/// What came of a provider that was asked every `gap`, and failed as `fails` says of the moment.
struct Run {
    /// When requests got through to it, and whether they failed.
    asked: Vec<(Instant, bool)>,
    /// When it opened or closed.
    changes: Vec<Instant>,
    breaker: Breaker,
}

fn run(gap: Span, end: Span, mut fails: impl FnMut(Instant, u64) -> bool) -> Run {
    let mut run = Run { asked: Vec::new(), changes: Vec::new(), breaker: Breaker::default() };
    let mut now = Instant::default();
    for count in 0.. {
        if now.since(Instant::default()) > end {
            break;
        }
        let before = run.breaker.is_closed();
        if run.breaker.opens(now) <= now {
            run.breaker.ask(now);
            let failed = fails(now, count);
            run.asked.push((now, failed));
            if failed { run.breaker.bad(now) } else { run.breaker.good(now) }
        }
        if run.breaker.is_closed() != before {
            run.changes.push(now);
        }
        now = now.after(gap);
    }
    run
}

#[test]
fn a_provider_that_is_down_is_asked_seldom_and_found_again_soon() {
    let down = Span::secs(60);
    let run = run(Span::millis(100), Span::secs(120), |now, _| now.since(Instant::default()) < down);
    let failed = run.asked.iter().filter(|(_, failed)| *failed).count();
    assert!(failed <= 20, "{failed} requests went to a dead provider");
    let back = run.asked.iter().find(|(_, failed)| !failed).expect("it is found again").0;
    assert!(back.since(Instant::default().after(down)) <= BREAKER_OPEN_MAX, "{back:?}");
    assert!(run.breaker.is_closed());
    assert_eq!(run.changes.len(), 2, "opened once, closed once");
    let good = run.asked.iter().filter(|(at, failed)| !failed && *at <= run.changes[1]).count();
    assert_eq!(good, 2, "two good probes close it");
}

/// Failures before it opened, and how long that took.
fn opened(run: &Run) -> (usize, Span) {
    let open = run.changes[0];
    let failed = run.asked.iter().filter(|(at, failed)| *failed && *at <= open).count();
    (failed, open.since(Instant::default()))
}

#[test]
fn one_that_fails_always_is_left_at_once() {
    for gap in [1, 50, 500] {
        let (failures, took) = opened(&run(Span::millis(gap), Span::secs(30), |_, _| true));
        assert!(failures <= 20 && took <= Span::secs(5), "{failures} failures, {took:?}");
    }
}

#[test]
fn one_that_flaps_every_other_second_is_asked_now_and_then() {
    let fails = |now: Instant, _| now.since(Instant::default()).0 / 2_000_000 % 2 == 1;
    for gap in [5, 50, 200] {
        let run = run(Span::millis(gap), Span::secs(120), fails);
        let changes = &run.changes;
        println!("asked every {gap} ms: {} changes in two minutes", changes.len());
        assert!((1..=120).contains(&changes.len()), "{}", changes.len());
        assert!(changes.windows(3).all(|three| three[2].since(three[0]) >= Span::secs(2)), "{changes:?}");
        let opened = |at: Instant| changes.iter().filter(|change| **change < at).count() % 2 == 1;
        let probes: Vec<Instant> = run.asked.iter().map(|(at, _)| *at).filter(|at| opened(*at)).collect();
        assert!(probes.windows(2).all(|two| two[1].since(two[0]) >= BREAKER_PROBE_GAP), "{probes:?}");
    }
}

#[test]
fn one_that_fails_half_of_the_time_is_left_within_twenty_failures() {
    let run = run(Span::millis(50), Span::secs(30), |_, count| count % 2 == 0);
    let before = run.asked.iter().take_while(|(at, _)| *at < run.changes[0]).filter(|(_, failed)| *failed);
    assert!(before.count() <= 20);
}

#[test]
fn a_caller_s_mistakes_and_rare_failures_open_nothing() {
    let run = run(Span::millis(20), Span::secs(60), |_, count| count % 20 == 0);
    assert!(run.changes.is_empty());
}

proptest! {
    /// Whatever a provider does, probes come one a second at most, and its breaker changes no more often.
    #[test]
    fn it_neither_flaps_nor_storms(failures in proptest::collection::vec(any::<bool>(), 1..400), gap in 5_u64..500) {
        let at = |count: u64| failures[usize::try_from(count).unwrap() % failures.len()];
        let run = run(Span::millis(gap), Span::secs(60), |_, count| at(count));
        let mut closed = true;
        let mut changes = run.changes.iter().peekable();
        let mut last_probe: Option<Instant> = None;
        for (now, _) in &run.asked {
            while changes.peek().is_some_and(|change| **change < *now) {
                closed = !closed;
                changes.next();
            }
            if !closed {
                if let Some(last) = last_probe {
                    prop_assert!(now.since(last) >= BREAKER_PROBE_GAP);
                }
                last_probe = Some(*now);
            }
        }
        for pair in run.changes.windows(2) {
            prop_assert!(pair[1].since(pair[0]) >= Span::millis(gap.min(900)));
        }
    }
}
