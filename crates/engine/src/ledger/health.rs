//! What is known of the targets: what is under way, how they have fared, and how long they take.

use super::{
    breaker::Breaker,
    choice::{Peak, Recent},
    savings::Savings,
};
use crate::{
    limits::{
        KEY_REST, KEY_REST_MAX, PATIENCE, PATIENCE_LEARNT, PATIENCE_MAX, PATIENCE_MIN, RETRY_BUDGET_MAX,
        RETRY_BUDGET_MIN, RETRY_EARNS, TARGETS_KNOWN_MAX,
    },
    path::KeyChoice,
    time::{Instant, Span},
};
use dialect::{FaultKind, fault::Blame};
use std::collections::HashMap;

/// How an attempt ended, for the one that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered. For a stream: how long until its first content.
    Good(Option<Span>),
    /// It failed, and may have said when to come back.
    Bad(FaultKind, Option<Span>),
    /// It had said nothing for so long that another was asked beside it, which then was faster. Its time is
    /// not known, so nothing is learnt of it: otherwise who is slow would be given ever more time.
    Slow,
    /// It was given up, for reasons that are not its own.
    Dropped,
}

/// One provider.
#[derive(Debug)]
pub(super) struct Line {
    /// The key whose turn it is.
    turn: usize,
    /// Per key, until when it rests, whatever the model.
    rests: Vec<Instant>,
    models: HashMap<String, Health>,
    /// What first attempts have earned for retries.
    retries: Savings,
}

/// One model of one provider.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) in_flight: u32,
    pub(super) breaker: Breaker,
    /// Per key, until when it rests for this model.
    rests: Vec<Instant>,
    first_token: Average,
    pub(super) peak: Peak,
    pub(super) recent: Recent,
}

impl Default for Line {
    fn default() -> Self {
        let retries = Savings::of(RETRY_BUDGET_MIN);
        Line { turn: 0, rests: Vec::new(), models: HashMap::new(), retries }
    }
}

/// The average of what was seen lately, and how far it varies.
#[derive(Debug, Default)]
struct Average {
    seen: u32,
    mean: u64,
    deviation: u64,
}

impl Line {
    /// The model's health. Of many models those that nothing is known against are forgotten.
    pub(super) fn health(&mut self, model: &str) -> Option<&mut Health> {
        if !self.models.contains_key(model) {
            if self.models.len() >= TARGETS_KNOWN_MAX {
                self.models.retain(|_, health| health.in_flight > 0 || !health.breaker.is_closed());
            }
            self.models.insert(model.to_owned(), Health::default());
        }
        self.models.get_mut(model)
    }

    /// The model's health, if anything is known of it.
    pub(super) fn known(&self, model: &str) -> Option<&Health> {
        self.models.get(model)
    }

    /// From when on `model` may be asked, with any of `keys` keys that is free.
    pub(super) fn opens(
        &self,
        model: &str,
        keys: usize,
        is_free: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Instant {
        let health = self.models.get(model);
        let target = health.map_or(now, |health| health.breaker.opens(now));
        let free = (0..keys.max(1)).filter(|key| keys <= 1 || is_free(*key));
        let key = free.map(|key| self.rest(health, key)).min().unwrap_or_default();
        target.max(key)
    }

    /// The breaker lets requests for `model` through.
    pub(super) fn passes(&self, model: &str, now: Instant) -> bool {
        self.models.get(model).is_none_or(|health| health.breaker.opens(now) <= now)
    }

    fn rest(&self, health: Option<&Health>, key: usize) -> Instant {
        let of = |rests: &[Instant]| rests.get(key).copied().unwrap_or_default();
        of(&self.rests).max(health.map_or(Instant::default(), |health| of(&health.rests)))
    }

    /// The key of the next request for `model`: the next in turn that is free and does not rest, or the one
    /// that rests least. A request may have chosen its own.
    pub(super) fn key(
        &mut self,
        model: &str,
        keys: usize,
        (choice, roll): (KeyChoice, u64),
        is_free: impl Fn(usize) -> bool,
        now: Instant,
    ) -> usize {
        if keys <= 1 {
            return 0;
        }
        let turn = if self.turn < keys { self.turn } else { 0 };
        self.turn = turn + 1;
        let first = choice.pick(keys, turn, roll);
        if choice != KeyChoice::Next {
            return first;
        }
        let health = self.models.get(model);
        let awake = |key: &usize| self.rest(health, *key) <= now;
        let around = || (first..keys).chain(0..first).filter(|key| is_free(*key));
        let least = || around().min_by_key(|key| self.rest(health, *key));
        let key = around().find(awake).or_else(least).unwrap_or(first);
        self.turn = key + 1;
        key
    }

    /// Another of `keys` keys is free, and awake for `model`.
    pub(super) fn has_other_key(
        &self,
        model: &str,
        keys: usize,
        is_free: impl Fn(usize) -> bool,
        now: Instant,
    ) -> bool {
        let is_awake = |key: usize| self.rest(self.models.get(model), key) <= now;
        keys > 1 && (0..keys).any(|key| is_awake(key) && is_free(key))
    }

    /// A first attempt earns a part of a retry.
    pub(super) fn earn(&mut self) {
        self.retries.earn(1, RETRY_BUDGET_MAX * RETRY_EARNS);
    }

    /// Takes a retry, if there is one.
    pub(super) fn spend(&mut self) -> bool {
        self.retries.spend(RETRY_EARNS)
    }

    /// Attempts under way, of all models.
    pub(super) fn under_way(&self) -> u64 {
        self.models.values().map(|health| u64::from(health.in_flight)).sum()
    }

    /// An attempt has ended.
    pub(super) fn note(&mut self, model: &str, key: usize, verdict: Verdict, now: Instant) {
        let Some(health) = self.models.get_mut(model) else { return };
        health.in_flight = health.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Dropped => {}
            Verdict::Slow => {
                let waited = health.patience().unwrap_or(PATIENCE);
                health.breaker.bad(now);
                health.peak.add(waited, now);
            }
            Verdict::Good(first) => {
                health.breaker.good(now);
                if let Some(first) = first {
                    health.speaks(first, now);
                }
            }
            Verdict::Bad(FaultKind::UpstreamLimited, after) => {
                rest(&mut health.rests, key, now.after(after.unwrap_or(KEY_REST).min(KEY_REST_MAX)));
            }
            Verdict::Bad(kind, after) => match kind.meaning().blame {
                Blame::Provider => health.breaker.bad(now),
                Blame::Operator if kind.meaning().key => {
                    rest(&mut self.rests, key, now.after(after.unwrap_or(KEY_REST_MAX).min(KEY_REST_MAX)));
                }
                // It answered as it should.
                Blame::Caller | Blame::Operator => health.breaker.good(now),
                Blame::Us => {}
            },
        }
    }
}

impl Health {
    /// A first token has taken so long.
    fn speaks(&mut self, span: Span, now: Instant) {
        self.first_token.add(span);
        self.peak.add(span, now);
    }

    /// How long its first token may take before it is slow, where enough has been seen.
    pub(super) fn patience(&self) -> Option<Span> {
        let Average { seen, mean, deviation } = self.first_token;
        let usual = Span(mean.saturating_mul(2).saturating_add(deviation.saturating_mul(4)));
        (seen >= PATIENCE_LEARNT).then(|| usual.max(PATIENCE_MIN).min(PATIENCE_MAX))
    }
}

impl Average {
    /// As TCP measures its round trips (RFC 6298).
    fn add(&mut self, span: Span) {
        if self.seen == 0 {
            (self.mean, self.deviation) = (span.0, span.0 / 2);
        } else {
            self.deviation = (self.deviation * 3 + self.mean.abs_diff(span.0)) / 4;
            self.mean = (self.mean * 7 + span.0) / 8;
        }
        self.seen = self.seen.saturating_add(1);
    }
}

fn rest(rests: &mut Vec<Instant>, key: usize, until: Instant) {
    if rests.len() <= key {
        rests.resize(key + 1, Instant::default());
    }
    if let Some(rest) = rests.get_mut(key) {
        *rest = until;
    }
}
