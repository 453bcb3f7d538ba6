//! Keeps requests away from what fails, and finds out whether it has recovered.
//!
//! Closed until failures pile up; then open for a while that doubles each time; then half open, when one
//! request at a time goes there as a probe, and enough good ones close it again. It counts faults of the
//! provider only: a caller's mistake says nothing of a provider's health.

use crate::{
    limits::{
        BREAKER_CALM, BREAKER_OPEN, BREAKER_OPEN_MAX, BREAKER_PROBE_GAP, BREAKER_PROBES, BREAKER_SHARE,
        BREAKER_STREAK, BREAKER_WINDOW,
    },
    time::{Instant, Span},
};

/// The breaker of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// How often in a row it has opened; forgotten when it has been calm for long enough.
    times: u32,
    /// When it last closed.
    closed: Instant,
}

#[derive(Clone, Debug)]
enum State {
    Closed {
        /// Failures since the last success.
        streak: u32,
        /// What has come since `since`.
        good: u32,
        bad: u32,
        since: Instant,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        /// Probes that went well.
        good: u32,
        /// When the last probe was let through.
        last: Option<Instant>,
    },
}

impl Default for State {
    fn default() -> Self {
        State::closed(Instant::default())
    }
}

impl State {
    fn closed(since: Instant) -> State {
        State::Closed { streak: 0, good: 0, bad: 0, since }
    }
}

impl Breaker {
    /// From when on a request may go there: now, where nothing is against it.
    pub(super) fn opens(&self, now: Instant) -> Instant {
        match &self.state {
            State::Closed { .. } => now,
            State::Open { until } => now.max(*until),
            State::HalfOpen { last, .. } => last.map_or(now, |last| now.max(last.after(BREAKER_PROBE_GAP))),
        }
    }

    /// A request goes there.
    pub(super) fn ask(&mut self, now: Instant) {
        match &mut self.state {
            State::Open { until } if *until <= now => {
                self.state = State::HalfOpen { good: 0, last: Some(now) };
            }
            State::HalfOpen { last, .. } => *last = Some(now),
            State::Open { .. } | State::Closed { .. } => {}
        }
    }

    /// It went well.
    pub(super) fn good(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed { streak, good, bad, since } => {
                *streak = 0;
                renew(good, bad, since, now);
                *good += 1;
            }
            State::HalfOpen { good, .. } => {
                *good += 1;
                if *good >= BREAKER_PROBES {
                    self.closed = now;
                    self.state = State::closed(now);
                }
            }
            State::Open { .. } => {}
        }
    }

    /// It failed, and the provider is to blame.
    pub(super) fn bad(&mut self, now: Instant) {
        let opens = match &mut self.state {
            State::Closed { streak, good, bad, since } => {
                *streak += 1;
                renew(good, bad, since, now);
                *bad += 1;
                *streak >= BREAKER_STREAK || *bad >= BREAKER_SHARE && *bad >= *good
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            if matches!(self.state, State::Closed { .. }) && now.since(self.closed) > BREAKER_CALM {
                self.times = 0;
            }
            let length = BREAKER_OPEN.0.saturating_mul(1 << self.times.min(16));
            self.times = self.times.saturating_add(1);
            self.state = State::Open { until: now.after(Span(length).min(BREAKER_OPEN_MAX)) };
        }
    }

    #[cfg(test)]
    pub(super) fn gate(&self) -> crate::sim::world::Gate {
        use crate::sim::world::Gate;
        match self.state {
            State::Closed { .. } => Gate::Closed,
            State::Open { .. } => Gate::Open,
            State::HalfOpen { .. } => Gate::HalfOpen,
        }
    }

    /// It lets everything through.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

/// Begins to count anew when the window is over.
fn renew(good: &mut u32, bad: &mut u32, since: &mut Instant, now: Instant) {
    if now.since(*since) > BREAKER_WINDOW {
        (*good, *bad, *since) = (0, 0, now);
    }
}
