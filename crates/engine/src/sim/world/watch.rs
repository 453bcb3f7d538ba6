//! Limits, counted once more: everything that was let through is kept and added up.

use super::Rule;
use crate::{
    access::Caller,
    plan::Plan,
    rates::{self, Of},
    time::{Instant, Span},
};
use std::{collections::HashMap, sync::Arc};

/// All that limits let through.
#[derive(Default)]
pub(super) struct Watches(HashMap<Arc<str>, Watch>);

/// What one limit let through.
#[derive(Default)]
struct Watch {
    starts: Log,
    costs: Log,
    /// Who is under way, with what is reserved for him.
    running: Vec<(u64, u64)>,
    /// The most that any configuration has let pass: requests a minute, tokens a minute, requests at once.
    most: [u64; 3],
}

/// What came when, in order. What is older than a minute stays where it is and is not looked at.
#[derive(Default)]
struct Log {
    all: Vec<(Instant, u64)>,
    old: usize,
}

/// Whom limits see.
pub(super) struct Seeker<'a> {
    pub(super) plan: &'a Plan,
    pub(super) ticket: u64,
    pub(super) caller: Caller,
    pub(super) name: &'a str,
    /// What the request is thought to cost.
    pub(super) tokens: u64,
    /// It has been called from the queue. Its place was kept, and others, by the larger limits of another
    /// configuration, may have come since.
    pub(super) called: bool,
}

/// What is limited: the request itself, or an attempt at a provider, a model, a key.
pub(super) type What<'a> = Option<(usize, &'a str, usize)>;

impl Log {
    fn recent(&mut self, now: Instant) -> u64 {
        while self.all.get(self.old).is_some_and(|(at, _)| now.since(*at) >= Span::secs(60)) {
            self.old += 1;
        }
        self.all[self.old..].iter().map(|(_, amount)| amount).sum()
    }
}

impl Seeker<'_> {
    /// The limits that count this.
    pub(super) fn rules(&self, what: What<'_>) -> Vec<(Arc<rates::Rule>, Arc<str>)> {
        let all = self.plan.rates.rules.iter();
        let own =
            all.clone().any(|rule| matches!(rule.of, Of::Caller(one) if self.caller == Caller(Some(one))));
        let counts = |rule: &rates::Rule| match (&rule.of, what) {
            (Of::Callers, None) => true,
            (Of::EachCaller, None) => !own,
            (Of::Caller(one), None) => self.caller == Caller(Some(*one)),
            (Of::Name(name), None) => name == self.name,
            (Of::Provider(one), Some((provider, ..))) => *one == provider,
            (Of::Target(one, of), Some((provider, model, _))) => (*one, of.as_str()) == (provider, model),
            (Of::Key(one, of), Some((provider, _, key))) => (*one, *of) == (provider, key),
            _ => false,
        };
        all.filter(|rule| counts(rule)).map(|rule| (rule.clone(), rule.id(self.plan, self.caller))).collect()
    }
}

impl Watches {
    /// Something begins, and no limit may be passed by it.
    pub(super) fn start(&mut self, who: &Seeker<'_>, what: What<'_>, now: Instant) -> Rule {
        for (rule, id) in who.rules(what) {
            let watch = self.0.entry(id.clone()).or_default();
            if rule.rpm.is_some() {
                watch.starts.all.push((now, 1));
            }
            watch.running.push((who.ticket, rule.tpm.map_or(0, |most| who.tokens.min(most))));
            let (requests, spent) = (watch.starts.recent(now), watch.costs.recent(now));
            let held: u64 = watch.running.iter().map(|(_, held)| held).sum();
            let limits = [rule.rpm, rule.tpm, rule.concurrent.map(u64::from)];
            let counts = [requests, held + spent, watch.running.len() as u64];
            let words = ["requests a minute", "tokens a minute", "requests at once"];
            for (place, limit) in limits.into_iter().enumerate() {
                let Some(limit) = limit else { continue };
                watch.most[place] = watch.most[place].max(limit);
                let most = if who.called { watch.most[place] } else { limit };
                let (is, what) = (counts[place], words[place]);
                if is > most {
                    return Err(format!("`{id}` lets {is} {what} pass, of {most}"));
                }
            }
        }
        Ok(())
    }

    /// It is over, and has cost this of what was reserved.
    pub(super) fn stop(
        &mut self,
        who: &Seeker<'_>,
        what: What<'_>,
        cost: impl Fn(u64) -> u64,
        now: Instant,
    ) -> Rule {
        for (rule, id) in who.rules(what) {
            let watch = self.0.entry(id).or_default();
            let place = watch.running.iter().position(|(ticket, _)| *ticket == who.ticket);
            let (_, held) = watch.running.swap_remove(place.ok_or("what ends has begun")?);
            if rule.tpm.is_some() {
                watch.costs.all.push((now, cost(held)));
            }
        }
        Ok(())
    }

    /// Some limit holds up an attempt at any of these, or the request itself.
    pub(super) fn bar(&mut self, who: &Seeker<'_>, targets: &[(usize, &str, usize)], now: Instant) -> bool {
        if self.bars(who, None, now) {
            return true;
        }
        let key = |watches: &mut Self, (provider, model, keys): (usize, &str, usize)| {
            (0..keys.max(1)).all(|key| watches.bars(who, Some((provider, model, key)), now))
        };
        targets.iter().all(|target| key(self, *target))
    }

    /// The key could be used, as far as limits go.
    pub(super) fn bars(&mut self, who: &Seeker<'_>, what: What<'_>, now: Instant) -> bool {
        who.rules(what).into_iter().any(|(rule, id)| {
            let watch = self.0.entry(id).or_default();
            let held: u64 = watch.running.iter().map(|(_, held)| held).sum();
            let tokens = |most: u64| held + watch.costs.recent(now) + who.tokens.min(most) > most;
            rule.tpm.is_some_and(tokens)
                || rule.rpm.is_some_and(|most| watch.starts.recent(now) >= most)
                || rule.concurrent.is_some_and(|most| watch.running.len() >= most as usize)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|watch| watch.running.is_empty())
    }
}
