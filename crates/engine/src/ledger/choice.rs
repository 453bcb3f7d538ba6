//! Which target of a tier is asked, where that hangs on how targets fare.

use super::{Asks, Ledger, health::Health};
use crate::{
    limits::{PATIENCE, RECENT, SLOW_REMEMBERED, TURNS_MAX},
    tiers::{Strategy, Tier, mix},
    time::{Instant, Span},
};

/// How long first tokens take: at once as long as the last that was slow, and shorter only as time goes by, so
/// that a target which begins to be slow is seen as such at its first answer, and is tried again later.
#[derive(Debug, Default)]
pub(super) struct Peak {
    span: f64,
    at: Instant,
}

/// How many requests there were lately.
#[derive(Debug, Default)]
pub(super) struct Recent {
    since: Instant,
    now: u64,
    before: u64,
}

impl Ledger {
    /// One of those left of `tier` that may be asked now, of which there is at least one: `first`.
    pub(super) fn choose(&mut self, asks: &Asks<'_>, tier: &Tier, first: usize, now: Instant) -> usize {
        let is_open = |index: &usize| tier.aims.contains(index) && self.opens(asks, *index, now) <= now;
        let mut open: Vec<usize> = asks.left.iter().copied().filter(is_open).collect();
        // Another attempt of the same request has another chance.
        let roll = mix(asks.roll ^ asks.left.len() as u64);
        let count = open.len().max(1) as u64;
        let start = usize::try_from(roll % count).unwrap_or(0);
        // Equals take turns by chance.
        open.rotate_left(start);
        match tier.strategy {
            Strategy::RoundRobin => self.in_turn(asks, tier, &open),
            Strategy::Fastest => {
                let other = usize::try_from((roll >> 32) % (count - 1).max(1)).unwrap_or(0);
                let two = open.first().into_iter().chain(open.get(1 + other)).copied();
                two.min_by_key(|index| self.wait(asks, *index, now))
            }
            Strategy::LeastBusy => open.into_iter().min_by_key(|index| {
                let busy = self.health(asks, *index).map_or(0, |health| health.in_flight);
                share(asks, *index, u64::from(busy))
            }),
            Strategy::Usage => open.into_iter().min_by_key(|index| {
                let used = self.health(asks, *index).map_or(0, |health| health.recent.count(now));
                share(asks, *index, used)
            }),
            Strategy::Ordered | Strategy::Shuffle | Strategy::Cheapest => None,
        }
        .unwrap_or(first)
    }

    /// The next in turn: each saves up its weight, who has most is asked and pays for all.
    fn in_turn(&mut self, asks: &Asks<'_>, tier: &Tier, open: &[usize]) -> Option<usize> {
        if self.turns.len() >= TURNS_MAX && !self.turns.contains_key(&tier.id) {
            self.turns.clear();
        }
        let saved = self.turns.entry(tier.id).or_default();
        saved.resize(tier.aims.len(), 0);
        let weight = |index: usize| asks.aims.get(index).map_or(1, |aim| i64::from(aim.weight()));
        let mut all = 0;
        for index in open {
            all += weight(*index);
            if let Some(saved) = saved.get_mut(index.checked_sub(tier.aims.start)?) {
                *saved += weight(*index);
            }
        }
        let of = |index: &usize| saved.get(index.checked_sub(tier.aims.start)?).copied();
        // Of equals the first in the operator's order, so that turns are turns.
        let chosen = open.iter().copied().max_by_key(|index| (of(index), std::cmp::Reverse(*index)))?;
        *saved.get_mut(chosen.checked_sub(tier.aims.start)?)? -= all;
        Some(chosen)
    }

    /// How long a first token of a target would take, in microseconds: as long as they do, for each that is
    /// under way. Of one that has not answered yet all that is known is whether somebody waits for it.
    fn wait(&self, asks: &Asks<'_>, index: usize, now: Instant) -> u64 {
        let Some(health) = self.health(asks, index) else { return 0 };
        match health.peak.read(now).0 {
            0 => PATIENCE.0.saturating_mul(u64::from(health.in_flight)),
            span => span.saturating_mul(u64::from(health.in_flight) + 1),
        }
    }

    fn health(&self, asks: &Asks<'_>, index: usize) -> Option<&Health> {
        let aim = asks.aims.get(index)?;
        let provider = asks.plan.providers.get(aim.provider)?;
        self.lines.get(&provider.name)?.known(&aim.model)
    }
}

/// What a target has, with one request more, for its weight.
fn share(asks: &Asks<'_>, index: usize, has: u64) -> u64 {
    let weight = asks.aims.get(index).map_or(1, |aim| u64::from(aim.weight()));
    (has + 1).saturating_mul(1 << 32) / weight.max(1)
}

impl Peak {
    pub(super) fn add(&mut self, span: Span, now: Instant) {
        let (span, left) = (micros(span), self.fades(now));
        self.span = span.max(self.span * left + span * (1.0 - left));
        self.at = now;
    }

    pub(super) fn read(&self, now: Instant) -> Span {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturating, and never negative"
        )]
        Span((self.span * self.fades(now)) as u64)
    }

    fn fades(&self, now: Instant) -> f64 {
        (-micros(now.since(self.at)) / micros(SLOW_REMEMBERED)).exp()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths of time that count here are far below 2^53 microseconds"
)]
fn micros(span: Span) -> f64 {
    span.0 as f64
}

impl Recent {
    pub(super) fn add(&mut self, now: Instant) {
        let passed = now.since(self.since);
        if passed >= RECENT {
            self.before = if passed < Span(2 * RECENT.0) { self.now } else { 0 };
            self.now = 0;
            self.since = Instant(now.0 - now.0 % RECENT.0);
        }
        self.now += 1;
    }

    /// About how many there were within [`RECENT`].
    pub(super) fn count(&self, now: Instant) -> u64 {
        let passed = now.since(self.since).0;
        match passed / RECENT.0 {
            0 => self.now + self.before * (RECENT.0 - passed) / RECENT.0,
            1 => self.now * (2 * RECENT.0 - passed) / RECENT.0,
            _ => 0,
        }
    }
}
