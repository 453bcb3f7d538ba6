//! The order in which those who wait are called, as laws.

use super::{Demand, Place, Priority, UNKNOWN, Waiter, Waiters};
use crate::{
    access::Caller,
    limits::QUEUE_SHARE,
    time::{Instant, Span},
};
use proptest::prelude::*;

/// Who waits for one thing, of which there is one.
#[derive(Default)]
struct Line {
    waiters: Waiters,
    all: Vec<(Place, Priority, Caller)>,
}

impl Line {
    fn push(&mut self, (class, caller): (usize, usize)) {
        let (priority, caller) = (Priority::ALL[class], Caller(Some(caller)));
        let demand = Demand { tokens: 0, first: true, mark: 0, request: Vec::new(), targets: Vec::new() };
        let (since, until, deadline) = (Instant(0), UNKNOWN, UNKNOWN);
        let place = self.waiters.push(Waiter { ticket: 0, caller, priority, demand, since, until, deadline });
        self.all.push((place, priority, caller));
    }

    /// Who is called next.
    fn call(&mut self) -> Option<(Priority, Caller)> {
        let first = self.waiters.heads().next().map(|(place, ..)| place)?;
        let (called, moved) = self.waiters.call(first, Instant(0)).expect("it waits");
        self.all.retain(|(place, ..)| place.number != first.number);
        for (_, to) in moved {
            let one = self.all.iter_mut().find(|(place, ..)| place.number == to.number);
            one.expect("only who waits is moved").0 = to;
        }
        Some((called.priority, called.caller))
    }

    fn waits(&self, is_it: impl Fn(Priority, Caller) -> bool) -> usize {
        self.all.iter().filter(|(_, priority, caller)| is_it(*priority, *caller)).count()
    }
}

/// Arrivals, and so many calls behind each.
fn crowd() -> impl Strategy<Value = Vec<((usize, usize), usize)>> {
    proptest::collection::vec(((0_usize..3, 0_usize..3), 0_usize..3), 1..300)
}

proptest! {
    /// A lower class has its share, and no more than that as long as a higher one waits.
    #[test]
    fn a_lower_class_has_its_share_and_no_more(crowd in crowd()) {
        let mut line = Line::default();
        let mut since = [0; 3];
        let mut lower = Vec::new();
        let mut step = |line: &mut Line| {
            let waited = Priority::ALL.map(|class| line.waits(|priority, _| priority == class) > 0);
            let Some((called, _)) = line.call() else { return Ok(()) };
            for class in 0..3 {
                since[class] = if waited[class] && called as usize != class { since[class] + 1 } else { 0 };
                // The lower classes may have come to their shares at the same time.
                let bound = if class == 0 { 2 } else { QUEUE_SHARE + 1 };
                prop_assert!(since[class] <= bound, "{since:?}");
            }
            match waited[0] {
                true => lower.push(called != Priority::Interactive),
                false => lower.clear(),
            }
            let recent = lower.iter().rev().take(QUEUE_SHARE as usize - 1).filter(|lower| **lower).count();
            prop_assert!(recent <= 2, "one of each lower class at most: {lower:?}");
            Ok(())
        };
        for (one, calls) in crowd {
            line.push(one);
            for _ in 0..calls {
                step(&mut line)?;
            }
        }
        while line.waits(|_, _| true) > 0 {
            step(&mut line)?;
        }
        prop_assert!(line.waiters.is_clear());
    }

    /// Callers of one class take turns, whoever has more waiting.
    #[test]
    fn callers_of_one_class_take_turns(crowd in crowd(), mine in 0_usize..3) {
        let mut line = Line::default();
        crowd.iter().for_each(|(one, _)| line.push(*one));
        let mine = Priority::ALL[mine];
        let mut calls = [0_i32; 3];
        let both = |line: &Line| (0..2).all(|one| line.waits(|p, c| p == mine && c == Caller(Some(one))) > 0);
        while both(&line) {
            let (called, caller) = line.call().expect("they wait");
            if called == mine {
                calls[caller.0.unwrap()] += 1;
            }
            prop_assert!((calls[0] - calls[1]).abs() <= 1, "{calls:?}");
        }
    }

    /// Who has to leave a full queue is of the lowest class, and the last of whoever has most there.
    #[test]
    fn a_full_queue_loses_the_least_urgent(crowd in crowd(), class in 0_usize..3, caller in 0_usize..4) {
        let mut line = Line::default();
        for (one, calls) in crowd {
            line.push(one);
            (0..calls).for_each(|_| _ = line.call());
        }
        let (priority, caller) = (Priority::ALL[class], Caller(Some(caller)));
        let yields = line.waiters.yields(priority, caller);
        let Some(lowest) = line.all.iter().map(|(_, priority, _)| *priority).max() else { return Ok(()) };
        let length = |who: Caller| line.waits(|p, c| p == lowest && c == who);
        let longest = (0..4).map(|who| length(Caller(Some(who)))).max().unwrap();
        let Some(last) = yields else {
            prop_assert!(lowest < priority || lowest == priority && longest <= length(caller) + 1);
            return Ok(());
        };
        let (_, of, whose) = *line.all.iter().find(|(place, ..)| *place == last).expect("it waits");
        prop_assert_eq!(of, lowest);
        prop_assert_eq!(length(whose), longest);
        prop_assert!(line.all.iter().all(|(place, p, c)| (*p, *c) != (of, whose) || *place <= last));
        prop_assert!(lowest > priority || longest > length(caller) + 1);
    }
}

#[test]
fn what_has_waited_is_counted() {
    let mut line = Line::default();
    (0..3).for_each(|class| line.push((class, 0)));
    assert_eq!(line.waiters.waiting().classes, [1, 1, 1]);
    line.waiters.call(line.all[0].0, Instant::default().after(Span::secs(2))).expect("it waits");
    let waiting = line.waiters.waiting();
    assert_eq!((waiting.now, waiting.count, waiting.waited), (2, 3, Span::secs(2)));
    assert_eq!((waiting.classes, line.waiters.outside()), ([0, 1, 1], 2));
}
