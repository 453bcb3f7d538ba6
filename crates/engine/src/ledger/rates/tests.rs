//! Windows against one that forgets nothing.

use super::Window;
use crate::{
    limits::MARKS_EXACT,
    time::{Instant, Span},
};
use proptest::prelude::*;

/// All that ever came.
#[derive(Default)]
struct Naive(Vec<(Instant, u64)>);

impl Naive {
    /// What came in the minute that ends at `now`.
    fn sum(&self, now: Instant) -> u64 {
        let recent = self.0.iter().filter(|(at, _)| now.since(*at) < Span::secs(60));
        recent.map(|(_, amount)| amount).sum()
    }
}

proptest! {
    /// Whatever comes, nothing is let through above the limit, and the window stays small.
    #[test]
    fn a_window_never_passes_its_limit(
        limit in 1_u64..3_000,
        steps in proptest::collection::vec((0_u64..120_000, 1_u64..4), 1..2_000),
    ) {
        let (mut window, mut naive) = (Window::default(), Naive::default());
        let mut now = Instant(5);
        for (gap, amount) in steps {
            now = now.after(Span(gap));
            let opens = limit.checked_sub(amount).map(|room| window.opens(room, now));
            if opens == Some(now) {
                window.add(amount, now);
                naive.0.push((now, amount));
                prop_assert!(naive.sum(now) <= limit);
            }
            prop_assert!(window.marks() <= MARKS_EXACT + 241, "{} marks", window.marks());
        }
    }

    /// Small limits are exact: something may come when it may, and not a microsecond earlier or later.
    #[test]
    fn a_small_window_is_exact(
        limit in 1_u64..200,
        steps in proptest::collection::vec(0_u64..2_000_000, 1..600),
    ) {
        let (mut window, mut naive) = (Window::default(), Naive::default());
        let mut now = Instant(5);
        for gap in steps {
            now = now.after(Span(gap));
            let opens = window.opens(limit - 1, now);
            prop_assert!(naive.sum(opens) < limit);
            prop_assert!(opens == now || naive.sum(Instant(opens.0 - 1)) == limit);
            if opens == now {
                window.add(1, now);
                naive.0.push((now, 1));
            }
        }
    }
}
