//! Which target is chosen, as laws.

use super::{asks, plan};
use crate::{
    access::Caller,
    ledger::{Answer, Asks, Command, Ledger, Note, Turn, Verdict},
    plan::Plan,
    route::Route,
    tiers::{Mirror, mix},
    time::{Instant, Span},
};
use dialect::FaultKind;
use proptest::prelude::*;

/// A gateway of which one name is asked again and again.
struct Bench {
    plan: Plan,
    route: Route,
    ledger: Ledger,
    now: Instant,
    count: u64,
}

/// `targets` as they stand in the file.
fn bench(strategy: &str, targets: &str) -> Bench {
    let text = format!(
        "environment: false\n\
         providers: {{p: {{base_url: 'http://p.test', facts: {{cheap: {{prices: [{{input: 1, output: 1}}]}}, \
         dear: {{prices: [{{input: 9, output: 9}}]}}}}}}}}\n\
         models: {{m: {{targets: [{targets}], strategy: {strategy}}}}}"
    );
    let plan = plan(&[], &text);
    let route = plan.resolve("m").unwrap();
    Bench { plan, route, ledger: Ledger::default(), now: Instant::default(), count: 0 }
}

impl Bench {
    /// Begins a request, of a conversation where it has a `key`, of which some targets have failed.
    fn begin(&mut self, key: Option<u64>, failed: &[usize]) -> Turn {
        self.count += 1;
        let roll = mix(self.count);
        let shape = self.route.shape.as_deref();
        let all = (0..self.route.aims.len()).collect();
        let order = shape.map_or(all, |shape| shape.order(&self.plan, &self.route.aims, key, roll));
        let left: Vec<usize> = order.into_iter().filter(|aim| !failed.contains(aim)).collect();
        let shape = shape.filter(|_| key.is_none());
        let asks = Asks { left: &left, shape, roll, ..asks(&self.plan, &self.route.aims, &[]) };
        match self.ledger.apply(&asks, Command::Admit(Caller(None)), self.now) {
            Answer::Admitted(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, turn: Turn, verdict: Verdict) {
        let asks = asks(&self.plan, &self.route.aims, &[]);
        let Turn { aim, key, .. } = turn;
        self.ledger.note(&asks, Note { aim, key, verdict, tokens: None }, self.now);
        self.ledger.abandon();
    }

    /// How often each target is chosen in so many requests that are well at once.
    fn counts(&mut self, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; self.route.aims.len()];
        for _ in 0..requests {
            let turn = self.begin(None, &[]);
            counts[turn.aim] += 1;
            self.end(turn, Verdict::Good(None));
        }
        counts
    }

    /// A target fails until nobody wants to ask it.
    fn break_down(&mut self, aim: usize) {
        let others: Vec<usize> = (0..self.route.aims.len()).filter(|other| *other != aim).collect();
        for _ in 0..5 {
            let turn = self.begin(None, &others);
            self.end(turn, Verdict::Bad(FaultKind::UpstreamFailed, None));
        }
    }
}

fn weighted(weights: &[u32]) -> String {
    let one = |(index, weight): (usize, &u32)| format!("{{model: p/m{index}, weight: {weight}}}");
    weights.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// By chance: each target as often as its weight says, within six standard deviations.
    #[test]
    fn a_shuffle_keeps_to_the_weights(weights in prop::collection::vec(1_u32..9, 2..6)) {
        let requests = 4_000;
        let counts = bench("shuffle", &weighted(&weights)).counts(requests);
        let all = f64::from(weights.iter().sum::<u32>());
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(*weight) / all;
            let (mean, spread) = (share * requests as f64, (share * (1.0 - share) * requests as f64).sqrt());
            prop_assert!((*count as f64 - mean).abs() <= 6.0 * spread, "{weights:?} {counts:?}");
        }
    }

    /// In turns: after as many requests as the weights make together each has had exactly its own.
    #[test]
    fn turns_are_fair(weights in prop::collection::vec(1_u32..6, 2..6), rounds in 1_usize..5) {
        let all: u32 = weights.iter().sum();
        let counts = bench("round_robin", &weighted(&weights)).counts(all as usize * rounds);
        let expected: Vec<usize> = weights.iter().map(|weight| *weight as usize * rounds).collect();
        prop_assert_eq!(counts, expected);
    }

    /// When one is down the others share what it would have had, in turns as well.
    #[test]
    fn turns_stay_fair_without_one(count in 3_usize..6, down in any::<prop::sample::Index>()) {
        let mut bench = bench("round_robin", &weighted(&vec![1; count]));
        let down = down.index(count);
        bench.break_down(down);
        let counts = bench.counts((count - 1) * 7);
        for (aim, asked) in counts.iter().enumerate() {
            prop_assert_eq!(*asked, if aim == down { 0 } else { 7 });
        }
    }

    /// The one with the fewest under way for its weight: none ever has more than its share and one.
    #[test]
    fn the_least_busy_is_asked(weights in prop::collection::vec(1_u32..4, 2..5), requests in 1_usize..60) {
        let mut bench = bench("least_busy", &weighted(&weights));
        let mut busy = vec![0_usize; weights.len()];
        for _ in 0..requests {
            busy[bench.begin(None, &[]).aim] += 1;
        }
        let all: u32 = weights.iter().sum();
        for (busy, weight) in busy.iter().zip(&weights) {
            let share = requests * *weight as usize / all as usize;
            prop_assert!(busy.abs_diff(share) <= *weight as usize + 1, "{busy} of {share}");
        }
    }

    /// What was asked least in the last minute is asked; after two minutes nothing counts any more.
    #[test]
    fn the_least_used_is_asked(count in 2_usize..5, head_start in 1_usize..20) {
        let mut bench = bench("usage", &weighted(&vec![1; count]));
        let others: Vec<usize> = (1..count).collect();
        for _ in 0..head_start {
            let turn = bench.begin(None, &others);
            bench.end(turn, Verdict::Good(None));
        }
        let counts = bench.counts(head_start * (count - 1));
        prop_assert_eq!(counts[0], 0, "{:?}", counts);
        bench.now = bench.now.after(Span::secs(120));
        prop_assert!(bench.counts(count * 10).iter().all(|asked| *asked == 10));
    }

    /// Where a target goes, only its own conversations move; where all are well a conversation stays.
    #[test]
    fn only_the_conversations_of_a_target_that_goes_move(
        weights in prop::collection::vec(1_u32..5, 2..6),
        gone in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u64>(), 50),
    ) {
        let mut bench = bench("fastest", &weighted(&weights));
        let gone = gone.index(weights.len());
        for key in keys {
            let before = bench.begin(Some(key), &[]).aim;
            prop_assert_eq!(bench.begin(Some(key), &[]).aim, before);
            let after = bench.begin(Some(key), &[gone]).aim;
            prop_assert!(after == before || before == gone);
        }
    }

    /// Conversations are many, and each target has as many as its weight says.
    #[test]
    fn conversations_keep_to_the_weights(weights in prop::collection::vec(1_u32..5, 2..5)) {
        let mut bench = bench("shuffle", &weighted(&weights));
        let mut counts = vec![0_u32; weights.len()];
        for key in 0..2_000 {
            counts[bench.begin(Some(mix(key)), &[]).aim] += 1;
        }
        let all: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let mean = f64::from(2_000 * weight) / f64::from(all);
            prop_assert!((f64::from(*count) - mean).abs() < 6.0 * mean.sqrt() + 1.0, "{weights:?} {counts:?}");
        }
    }

    /// Of two the faster, most of the time; and the slower is tried again, so that it is found when it is well.
    #[test]
    fn the_faster_is_asked_and_the_slower_not_forgotten(fast in 100_u64..1_000, times in 3_u64..10) {
        let mut bench = bench("fastest", "p/fast, p/slow");
        let mut counts = [0_usize; 2];
        // Ten minutes: time to forget more than once.
        while bench.now < Instant(600_000_000) {
            let turn = bench.begin(None, &[]);
            counts[turn.aim] += 1;
            let took = Span::millis(if turn.aim == 0 { fast } else { fast * times });
            bench.now = bench.now.after(took);
            bench.end(turn, Verdict::Good(Some(took)));
        }
        prop_assert!(counts[0] >= 9 * counts[1] && counts[1] >= 3, "{counts:?}");
    }
}

#[test]
fn the_first_that_may_be_asked_is_and_the_next_tier_only_behind_it() {
    let mut bench = bench("ordered", "p/a, p/b, {model: p/c, priority: 2}");
    assert_eq!(bench.begin(None, &[]).aim, 0);
    bench.break_down(0);
    assert_eq!(bench.begin(None, &[]).aim, 1);
    bench.break_down(1);
    assert_eq!(bench.begin(None, &[]).aim, 2);
    assert_eq!(bench.begin(None, &[2]).aim, 0, "when all are resting, the one that rests least");
}

#[test]
fn a_tier_that_lives_is_left_only_when_nothing_in_it_may_be_asked() {
    for strategy in ["shuffle", "round_robin", "least_busy", "fastest", "usage"] {
        let mut bench = bench(strategy, "p/a, p/b, {model: p/c, priority: 2}, {model: p/d, priority: 2}");
        let counts = bench.counts(40);
        assert!(counts[0] > 0 && counts[1] > 0 && counts[2] + counts[3] == 0, "{strategy}: {counts:?}");
        bench.break_down(0);
        let counts = bench.counts(40);
        assert_eq!(counts, [0, 40, 0, 0], "{strategy}");
        bench.break_down(1);
        let counts = bench.counts(40);
        assert!(counts[0] + counts[1] == 0 && counts[2] > 0 && counts[3] > 0, "{strategy}: {counts:?}");
    }
}

#[test]
fn the_cheapest_comes_first_and_the_unknown_last() {
    let bench = bench("cheapest", "p/dear, p/unknown, p/cheap");
    assert_eq!(bench.plan.targets(&bench.route.aims), "p/cheap, p/dear, p/unknown");
}

#[test]
fn a_slow_answer_counts_at_once_and_fades() {
    let mut bench = bench("fastest", "p/a, p/b");
    for (aim, millis) in [(0, 500), (1, 600)] {
        let turn = bench.begin(None, &[1 - aim]);
        bench.end(turn, Verdict::Good(Some(Span::millis(millis))));
    }
    assert_eq!(bench.counts(10), [10, 0]);
    let turn = bench.begin(None, &[1]);
    bench.end(turn, Verdict::Slow);
    assert_eq!(bench.counts(10), [0, 10]);
}

#[test]
fn a_share_of_the_requests_is_mirrored() {
    for (share, least, most) in [(0, 0, 0), (500, 400, 600), (10_000, 10_000, 10_000)] {
        let mirror = Mirror { to: "p/m".to_owned(), share };
        let taken = (0..10_000).filter(|number| mirror.takes(mix(*number))).count();
        assert!((least..=most).contains(&taken), "{share}: {taken}");
    }
}
