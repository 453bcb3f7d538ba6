//! What must hold of breakers, keys and retries, by what providers did.

use super::Rule;
use crate::{
    ledger::Verdict,
    time::{Instant, Span},
};
use dialect::FaultKind;
use std::collections::{HashMap, VecDeque};

/// What is known of all providers.
#[derive(Default)]
pub(super) struct Health {
    targets: HashMap<(usize, &'static str), Target>,
    /// Of each source: first attempts, and retries at the same target.
    tries: HashMap<usize, (u64, u64)>,
    /// Until when a key rests, of one model or of all.
    rests: HashMap<(usize, usize, Option<&'static str>), Instant>,
    pub(super) opened: u64,
    pub(super) closed: u64,
}

/// One model of a source.
#[derive(Default)]
struct Target {
    gate: Gate,
    since: Instant,
    /// Faults of the provider since its gate was opened, and those in a row.
    faults: VecDeque<Instant>,
    streak: u32,
    /// Probes that went well, in a row.
    good: u32,
    changes: VecDeque<Instant>,
    probed: Instant,
    under_way: u32,
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    /// All.
    #[default]
    Closed,
    /// Nothing.
    Open,
    /// Probes.
    HalfOpen,
}

/// An attempt's target and key, and when.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) source: usize,
    pub(super) model: &'static str,
    pub(super) key: usize,
    pub(super) now: Instant,
}

/// Failures after which a target must be left alone.
const FAILURES: u32 = 20;
const SECOND: Span = Span::secs(1);

impl Health {
    pub(super) fn under_way(&self, source: usize, model: &'static str) -> u32 {
        self.targets.get(&(source, model)).map_or(0, |target| target.under_way)
    }

    /// A target is asked, or asked `again`; `choice`: another could have been. `gate` is how its breaker stands
    /// then.
    pub(super) fn asked(&mut self, at: At, again: bool, choice: bool, gate: Gate) -> Rule {
        let (firsts, retries) = self.tries.entry(at.source).or_default();
        *(if again { &mut *retries } else { &mut *firsts }) += 1;
        rule(*retries <= 10 + *firsts / 10, "retries are a tenth of the traffic")?;
        let target = self.targets.entry((at.source, at.model)).or_default();
        if gate == Gate::HalfOpen {
            let early = at.now.since(target.probed) < SECOND;
            rule(!early || !choice, "one probe a second")?;
            target.probed = at.now;
        }
        target.under_way += 1;
        target.turn(gate, at.now)
    }

    /// A key is used, of so many.
    pub(super) fn used(&self, at: At, keys: usize, is_free: impl Fn(usize) -> bool) -> Rule {
        let other = || (0..keys).any(|key| !self.rests(At { key, ..at }) && is_free(key));
        rule(keys < 2 || !self.rests(at) || !other(), "a key rests that was refused")
    }

    fn rests(&self, at: At) -> bool {
        let until = |model| self.rests.get(&(at.source, at.key, model)).copied().unwrap_or_default();
        until(None).max(until(Some(at.model))) > at.now
    }

    /// One of so many keys does not rest, or none is needed.
    pub(super) fn has_key(&self, at: At, keys: usize) -> bool {
        keys == 0 || (0..keys).any(|key| !self.rests(At { key, ..at }))
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, at: At, verdict: Verdict, gate: Gate) -> Rule {
        if let Some((model, span)) = rest(verdict, at.model) {
            self.rests.insert((at.source, at.key, model), at.now.after(span));
        }
        let target = self.targets.entry((at.source, at.model)).or_default();
        rule(target.under_way > 0, "what ends has begun")?;
        target.under_way -= 1;
        let probe = target.gate == Gate::HalfOpen;
        match verdict {
            Verdict::Slow => target.failed(at.now),
            Verdict::Bad(kind, _) if blames_provider(kind) => target.failed(at.now),
            Verdict::Dropped | Verdict::Bad(FaultKind::UpstreamLimited, _) => {}
            Verdict::Bad(FaultKind::UpstreamAuth | FaultKind::UpstreamQuota, _) => {}
            Verdict::Bad(FaultKind::ShuttingDown | FaultKind::Internal, _) => {}
            Verdict::Good(_) | Verdict::Bad(..) => {
                target.streak = 0;
                target.good += u32::from(probe);
            }
        }
        let was = target.gate;
        target.turn(gate, at.now)?;
        self.opened += u64::from(was != gate && gate == Gate::Open);
        self.closed += u64::from(was != gate && gate == Gate::Closed);
        Ok(())
    }
}

impl Target {
    fn failed(&mut self, now: Instant) {
        self.streak += 1;
        self.good = 0;
        self.faults.push_back(now);
    }

    /// Its breaker stands so now.
    fn turn(&mut self, gate: Gate, now: Instant) -> Rule {
        while self.faults.front().is_some_and(|at| now.since(*at) > Span::secs(20)) {
            self.faults.pop_front();
        }
        rule(gate != Gate::Closed || self.streak < FAILURES, "twenty failures open a breaker")?;
        rule(gate != Gate::HalfOpen || self.good < 2, "two good probes close a breaker")?;
        if gate == self.gate {
            return Ok(());
        }
        match (self.gate, gate) {
            (Gate::Closed, Gate::Open) => {
                rule(self.streak >= 5 || self.faults.len() >= 10, "faults of the provider open a breaker")?;
            }
            (Gate::Open, Gate::HalfOpen) => {
                rule(now.since(self.since) >= SECOND, "an open breaker stays so for a second")?;
                self.good = 0;
            }
            (Gate::HalfOpen, Gate::Closed) => rule(self.good > 0, "good probes close a breaker")?,
            (Gate::HalfOpen, Gate::Open) => rule(self.streak > 0, "a bad probe opens a breaker again")?,
            _ => return Err(format!("a breaker goes from {:?} to {gate:?}", self.gate)),
        }
        if gate == Gate::Closed {
            (self.streak, self.faults) = (0, VecDeque::new());
        }
        (self.gate, self.since) = (gate, now);
        self.changes.push_back(now);
        // On average, over ten seconds.
        let eleventh = self.changes.len().checked_sub(11).map(|place| self.changes[place]);
        rule(eleventh.is_none_or(|at| now.since(at) > Span::secs(10)), "a breaker changes once a second")
    }
}

/// For how long a key rests, of one model or of all.
fn rest(verdict: Verdict, model: &'static str) -> Option<(Option<&'static str>, Span)> {
    let Verdict::Bad(kind, after) = verdict else { return None };
    match kind {
        FaultKind::UpstreamLimited => Some((Some(model), after.unwrap_or(Span::secs(5)).min(Span::secs(60)))),
        FaultKind::UpstreamAuth | FaultKind::UpstreamQuota => {
            Some((None, after.unwrap_or(Span::secs(60)).min(Span::secs(60))))
        }
        _ => None,
    }
}

fn blames_provider(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::UpstreamOverloaded
            | FaultKind::UpstreamFailed
            | FaultKind::UpstreamUnreachable
            | FaultKind::UpstreamTimeout
            | FaultKind::UpstreamTruncated
            | FaultKind::UpstreamInvalid
    )
}

fn rule(holds: bool, words: &str) -> Rule {
    if holds { Ok(()) } else { Err(words.to_owned()) }
}
