//! The limits that a request comes under, and what becomes of it where one holds it up.

use crate::{
    access::Caller,
    plan::{Aim, Plan},
    rates::Rule,
};
use serde::Serialize;
use std::fmt;

/// What a request comes under, whoever answers it.
#[derive(Clone, Debug, Serialize)]
pub struct Limited {
    /// Its own limits: its caller's, and its model's by the name that the operator gave.
    pub limits: Vec<Limit>,
    /// Requests that are served or wait at most, all together.
    pub requests: Option<usize>,
    /// Where it waits when a limit holds it up; without it, it is refused with a 429.
    pub queue: Option<Waits>,
}

/// The limits of one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Whom it limits, in words.
    pub of: String,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u32>,
    #[serde(skip)]
    words: String,
}

/// A place to wait.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    /// How urgent the request is, unless it says itself that it is less.
    pub priority: &'static str,
    /// Requests that wait at most.
    pub size: usize,
    /// How long one waits at most, in milliseconds.
    pub wait_ms: u64,
}

impl Limited {
    /// What a request of `caller` comes under, who writes `model`; nothing where nothing is limited.
    pub(super) fn of(plan: &Plan, caller: Caller, model: &str) -> Option<Limited> {
        let rates = &plan.rates;
        let queue = rates.queue.map(|queue| Waits {
            priority: rates.priority(caller).name(),
            size: queue.size,
            wait_ms: queue.wait.0 / 1_000,
        });
        let limits = rates.of_request(caller, model).map(|rule| Limit::of(plan, rule)).collect();
        (!rates.is_empty()).then_some(Limited { limits, requests: rates.requests, queue })
    }
}

impl Limit {
    fn of(plan: &Plan, rule: &Rule) -> Limit {
        let Rule { rpm, tpm, concurrent, .. } = *rule;
        Limit { of: rule.of.whose(plan), rpm, tpm, concurrent, words: rule.to_string() }
    }

    /// Those of a target, of its provider and the provider's keys.
    pub(super) fn of_target(plan: &Plan, aim: &Aim) -> Vec<Limit> {
        let keys = plan.rates.of_keys(aim.provider).map(|(_, rule)| rule);
        plan.rates.of_target(aim).chain(keys).map(|rule| Limit::of(plan, rule)).collect()
    }
}

/// `500 requests a minute, 50 at once for provider `openai``.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.words, self.of)
    }
}
