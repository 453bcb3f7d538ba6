//! Counts what was asked in the last minute and what is asked now, of everything that is limited.
//!
//! A window never holds less than what really was in the last 60 seconds, so no limit is ever passed; once it has
//! many marks, those of a moment are kept as one and leave together, with the last of them. Tokens are counted as
//! long as an attempt is under way as estimated, and as they were for a minute after its end.

#[cfg(test)]
mod tests;

use super::Asks;
use crate::{
    limits::{MARK_GRAIN, MARKS_EXACT},
    path::KeyChoice,
    rates::{self, Rule},
    time::{Instant, Span},
};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// What a limit counts.
const MINUTE: Span = Span::secs(60);

/// When something may be asked that waits for another to end: nobody knows.
pub(super) const UNKNOWN: Instant = Instant(u64::MAX);

/// What was in the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    marks: VecDeque<Mark>,
    sum: u64,
}

/// What came within a moment.
#[derive(Debug)]
struct Mark {
    first: Instant,
    last: Instant,
    amount: u64,
}

/// One limited thing.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: Window,
    tokens: Window,
    /// Tokens that are reserved for what is under way or called.
    held: u64,
    under_way: u32,
    /// Of those, what has been called from the queue and has not begun.
    called: u32,
}

/// What a meter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Requests,
    Tokens,
    AtOnce,
}

/// What a request takes of one meter.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) rule: Arc<Rule>,
    pub(super) id: Arc<str>,
}

/// All that a request may take.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) tokens: u64,
    /// The request is not being served yet.
    pub(super) first: bool,
    /// The same for all who need the same, in whatever amount. For two who do not it may be so by chance: then
    /// the later waits for the earlier, and no longer.
    pub(super) mark: u64,
    /// Once for the request; empty where it has that already.
    pub(super) request: Vec<Need>,
    pub(super) targets: Vec<Target>,
}

/// What one target takes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) aim: usize,
    pub(super) needs: Vec<Need>,
    /// One of these keys, each with what it takes; empty where no key is limited.
    pub(super) keys: Vec<(usize, Vec<Need>)>,
}

impl Demand {
    /// What is asked for: one of `aims`, and what the request takes itself where it comes `first`.
    pub(super) fn of(asks: &Asks<'_>, aims: &[usize], first: bool) -> Demand {
        let targets: Vec<Target> = aims.iter().filter_map(|aim| Target::of(asks, *aim)).collect();
        let request = if first { needs_of_request(asks) } else { Vec::new() };
        let mark = mark(&request, &targets);
        Demand { tokens: tokens(asks), first, mark, request, targets }
    }
}

fn mark(request: &[Need], targets: &[Target]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let put = |hasher: &mut DefaultHasher, needs: &[Need]| {
        needs.len().hash(hasher);
        needs.iter().for_each(|need| need.id.hash(hasher));
    };
    put(&mut hasher, request);
    for target in targets {
        put(&mut hasher, &target.needs);
        target.keys.len().hash(&mut hasher);
        target.keys.iter().for_each(|(_, needs)| put(&mut hasher, needs));
    }
    hasher.finish()
}

impl Target {
    fn of(asks: &Asks<'_>, aim: usize) -> Option<Target> {
        let to = asks.aims.get(aim)?;
        let rates = &asks.plan.rates;
        let limited = rates.of_keys(to.provider).next().is_some();
        let count = asks.plan.providers.get(to.provider)?.keys.len();
        let keys = match asks.key {
            _ if !limited => 0..0,
            KeyChoice::Next => 0..count,
            chosen => {
                let key = chosen.pick(count, 0, asks.roll);
                key..key + 1
            }
        };
        let keys = keys.map(|key| (key, needs_of_key(asks, aim, key))).collect();
        Some(Target { aim, needs: needs_of_target(asks, aim), keys })
    }
}

/// What a request takes, whoever answers it.
pub(super) fn needs_of_request(asks: &Asks<'_>) -> Vec<Need> {
    let rules = asks.plan.rates.of_request(asks.caller, asks.model);
    rules.map(|rule| Need { rule: rule.clone(), id: rule.id(asks.plan, asks.caller) }).collect()
}

/// What an attempt takes, whatever the key.
pub(super) fn needs_of_target(asks: &Asks<'_>, aim: usize) -> Vec<Need> {
    let Some(to) = asks.aims.get(aim) else { return Vec::new() };
    asks.plan.rates.of_target(to).map(Need::new).collect()
}

/// What an attempt with that key takes besides.
pub(super) fn needs_of_key(asks: &Asks<'_>, aim: usize, key: usize) -> Vec<Need> {
    let Some(to) = asks.aims.get(aim) else { return Vec::new() };
    let rules = asks.plan.rates.of_keys(to.provider).filter(|(of, _)| *of == key);
    rules.map(|(_, rule)| Need::new(rule)).collect()
}

/// About how many tokens a request costs, where somebody counts them.
pub(super) fn tokens(asks: &Asks<'_>) -> u64 {
    let counts = asks.plan.rates.rules.iter().any(|rule| rule.tpm.is_some());
    if counts { rates::tokens(asks.body) } else { 0 }
}

impl Need {
    fn new(rule: &Arc<Rule>) -> Need {
        Need { rule: rule.clone(), id: rule.id.clone() }
    }
}

impl Window {
    /// Something has come.
    pub(super) fn add(&mut self, amount: u64, now: Instant) {
        self.pass(now);
        if amount == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        let many = self.marks.len() >= MARKS_EXACT;
        match self.marks.back_mut() {
            Some(mark) if mark.first == now || many && now.since(mark.first) < MARK_GRAIN => {
                mark.last = mark.last.max(now);
                mark.amount = mark.amount.saturating_add(amount);
            }
            last => {
                // Cores do not see the same time: what came late counts as if it had come in order.
                let at = last.map_or(now, |mark| mark.last.max(now));
                self.marks.push_back(Mark { first: at, last: at, amount });
            }
        }
    }

    /// From when on no more than `room` of it is left.
    pub(super) fn opens(&self, room: u64, now: Instant) -> Instant {
        let (mut sum, mut opens) = (self.sum, now);
        for mark in &self.marks {
            let ends = mark.last.after(MINUTE);
            if sum <= room && ends > now {
                break;
            }
            sum = sum.saturating_sub(mark.amount);
            opens = opens.max(ends);
        }
        opens
    }

    /// Lets go of what is past.
    fn pass(&mut self, now: Instant) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.last.after(MINUTE) <= now) {
            self.sum = self.sum.saturating_sub(mark.amount);
            self.marks.pop_front();
        }
    }

    fn is_empty(&self, now: Instant) -> bool {
        self.opens(0, now) <= now
    }

    #[cfg(test)]
    pub(super) fn marks(&self) -> usize {
        self.marks.len()
    }
}

impl Meter {
    /// From when on a request with so many tokens may pass, as far as that is known, and what it waits for.
    pub(super) fn opens(&self, rule: &Rule, tokens: u64, now: Instant) -> (Instant, Count) {
        if rule.concurrent.is_some_and(|most| self.under_way >= most) {
            return (UNKNOWN, Count::AtOnce);
        }
        let requests = rule.rpm.map(|most| match most.checked_sub(u64::from(self.called) + 1) {
            Some(room) => self.requests.opens(room, now),
            None => UNKNOWN,
        });
        // What is larger than the limit passes alone.
        let tokens = rule.tpm.map(|most| match (most - tokens.min(most)).checked_sub(self.held) {
            Some(room) => self.tokens.opens(room, now),
            None => UNKNOWN,
        });
        match (requests, tokens) {
            (Some(requests), tokens) if Some(requests) >= tokens => (requests, Count::Requests),
            (_, Some(tokens)) => (tokens, Count::Tokens),
            _ => (now, Count::AtOnce),
        }
    }

    /// A request is called from the queue: its place is kept.
    pub(super) fn call(&mut self, rule: &Rule, tokens: u64) -> u64 {
        let tokens = rule.tpm.map_or(0, |most| tokens.min(most));
        self.held += tokens;
        self.under_way += 1;
        self.called += 1;
        tokens
    }

    /// A request that was called begins.
    pub(super) fn begin(&mut self, rule: &Rule, now: Instant) {
        self.called = self.called.saturating_sub(1);
        if rule.rpm.is_some() {
            self.requests.add(1, now);
        }
    }

    /// A request that was called has gone.
    pub(super) fn uncall(&mut self, held: u64) {
        self.called = self.called.saturating_sub(1);
        self.held = self.held.saturating_sub(held);
        self.part();
    }

    /// A request has ended, and has cost so many tokens.
    pub(super) fn end(&mut self, rule: &Rule, held: u64, cost: u64, now: Instant) {
        self.part();
        self.settle(rule, held, cost, now);
    }

    /// A request is not under way any more, and its tokens are settled by themselves.
    pub(super) fn part(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// What is not under way any more has cost so many tokens.
    pub(super) fn settle(&mut self, rule: &Rule, held: u64, cost: u64, now: Instant) {
        self.held = self.held.saturating_sub(held);
        if rule.tpm.is_some() {
            self.tokens.add(cost, now);
        }
    }

    /// Nothing is known that must be kept.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.under_way == 0 && self.held == 0 && self.requests.is_empty(now) && self.tokens.is_empty(now)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> u32 {
        self.under_way
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.held
    }
}
