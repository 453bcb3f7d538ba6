//! Why a request may not go, and what its caller is told.

use super::{
    Asks,
    queue::Lacks,
    rates::{Count, Need, UNKNOWN},
};
use crate::{
    limits::COME_BACK,
    plan::Plan,
    rates::Of,
    time::{Instant, Span},
};
use dialect::{Fault, FaultKind};
use std::mem;

/// Why a request may not go.
pub(super) struct Barred {
    /// Until when, as far as that is known.
    pub(super) until: Instant,
    pub(super) lacks: Lacks,
    pub(super) why: (Need, Count),
}

impl Barred {
    /// The first thing that it lacks.
    pub(super) fn by(need: &Need, opens: Instant, count: Count) -> Barred {
        Barred { until: opens, lacks: vec![(need.id.clone(), opens)], why: (need.clone(), count) }
    }

    /// It lacks this as well.
    pub(super) fn and(&mut self, need: &Need, opens: Instant, count: Count) {
        self.lacks.push((need.id.clone(), opens));
        if opens > self.until {
            (self.until, self.why) = (opens, (need.clone(), count));
        }
    }
}

/// The one of two that opens earlier, and what both lack.
pub(super) fn either(one: Option<Barred>, mut other: Barred) -> Barred {
    let Some(mut one) = one else { return other };
    if other.until < one.until {
        mem::swap(&mut one, &mut other);
    }
    one.lacks.extend(other.lacks);
    one
}

/// Both are needed: what opens later counts. The second claims nothing as long as the first is closed.
pub(super) fn both(one: Option<Barred>, other: Option<Barred>) -> Option<Barred> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    let later = other.until > one.until;
    let (until, why) = if later { (other.until, other.why) } else { (one.until, one.why) };
    Some(Barred { until, lacks: one.lacks, why })
}

/// Tells that there is no room, in the operator's words where he has some.
pub(super) fn busy(plan: &Plan, otherwise: &str, after: Span) -> Fault {
    let words = plan.rates.busy.clone().unwrap_or_else(|| otherwise.to_owned());
    Fault { retry_after_ms: Some(after.0.div_ceil(1_000)), ..Fault::new(FaultKind::RateLimited, words) }
}

/// Tells which limit has been reached, and when to come back.
pub(super) fn refusal(asks: &Asks<'_>, barred: &Barred, full: bool, now: Instant) -> Fault {
    let after = if barred.until == UNKNOWN { COME_BACK } else { barred.until.since(now) };
    let (Need { rule, .. }, count) = &barred.why;
    let whose = match rule.of {
        Of::Caller(_) | Of::EachCaller => "you".to_owned(),
        _ => rule.of.whose(asks.plan),
    };
    let number = |number: Option<u64>| number.unwrap_or_default();
    let limit = match count {
        Count::Requests => format!("{} requests a minute", number(rule.rpm)),
        Count::Tokens => format!("{} tokens a minute", number(rule.tpm)),
        Count::AtOnce => format!("{} requests at once", rule.concurrent.unwrap_or_default()),
    };
    let words = format!("the limit of {limit} for {whose} is reached");
    match full {
        true => busy(asks.plan, &format!("{words}, and the queue is full"), after),
        false => Fault {
            retry_after_ms: Some(after.0.div_ceil(1_000)),
            ..Fault::new(FaultKind::RateLimited, words)
        },
    }
}
