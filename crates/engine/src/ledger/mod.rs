//! What all exchanges share: commands in, answers out. A plain struct behind the door's lock, or in a
//! Durable Object.

mod barred;
mod breaker;
mod choice;
mod gate;
mod health;
mod queue;
mod rates;
mod savings;
#[cfg(test)]
mod tests;

use crate::{
    access::Caller,
    limits,
    path::KeyChoice,
    plan::{Aim, Plan},
    rates::Priority,
    record::Record,
    tiers::Shape,
    time::{Instant, Span},
};
use dialect::{Fault, FaultKind};
use gate::{Gate, Pass};
use health::Line;
pub use health::Verdict;
pub use queue::Waiting;
use savings::Savings;
use std::collections::HashMap;

/// What an exchange asks of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// May this caller be served, and if so, which target is asked first?
    Admit(Caller),
    /// Which target is asked next?
    Next,
    /// Which target is asked beside one that is slow? For that nobody waits.
    Race,
    /// Which target is asked beside one that is not slow yet? For that nobody waits, and few may.
    Hedge,
    /// May this target (an index into [`Asks::aims`]) be asked once more?
    Again(usize),
    /// May this target be asked with another key than this (an index into its provider's keys)?
    Key(usize, usize),
}

/// What the ledger must know of an exchange that asks.
#[derive(Clone, Copy)]
pub struct Asks<'e> {
    /// Its plan.
    pub plan: &'e Plan,
    /// Its targets.
    pub aims: &'e [Aim],
    /// Those that are left, as indexes into `aims`, in the order in which they may be asked.
    pub left: &'e [usize],
    /// How they hang together, where that says more than their order.
    pub shape: Option<&'e Shape>,
    /// Which of a provider's keys it wants.
    pub key: KeyChoice,
    /// A number by chance.
    pub roll: u64,
    /// A number that no other exchange has.
    pub ticket: u64,
    /// Who calls.
    pub caller: Caller,
    /// How urgent it is.
    pub priority: Priority,
    /// The model's name as he wrote it; empty for a pass-through.
    pub model: &'e str,
    /// The request's body, or its beginning.
    pub body: &'e [u8],
}

/// What the ledger answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The caller may be served, and this target is asked.
    Admitted(Turn),
    /// He may not, and there is nothing to settle.
    Refused(Fault),
    /// This target is asked.
    Begun(Turn),
    /// A limit holds it up: the same must be asked again at this time, or when a door is told to
    /// ([`Ledger::take_woken`]); who gives up must leave ([`Ledger::leave`]).
    Queued(Command, Instant),
    /// No: there have been too many retries, no key is left, or a limit has been reached.
    Spent,
}

/// A target that is asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// An index into [`Asks::aims`].
    pub aim: usize,
    /// Which of the provider's keys.
    pub key: usize,
    /// The provider has another key that may be asked.
    pub keys_left: bool,
    /// How long its first token may take before it is slow, where that has been learnt.
    pub patience: Option<Span>,
    /// It is asked beside one that is not slow yet.
    pub hedge: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// An index into [`Asks::aims`].
    pub aim: usize,
    /// Which of the provider's keys.
    pub key: usize,
    /// What it was like.
    pub verdict: Verdict,
    /// How many tokens it cost, where that is known.
    pub tokens: Option<u64>,
}

/// What is in flight, and how providers have fared.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the provider's name, which a new plan keeps.
    lines: HashMap<String, Line>,
    /// What each target of a tier has saved up, where they take turns, by the tier's number.
    turns: HashMap<u64, Vec<i64>>,
    gate: Gate,
    /// What requests have earned for hedges.
    hedges: Savings,
    in_flight: usize,
    settled: u64,
}

impl Ledger {
    /// Obeys a command.
    pub fn apply(&mut self, asks: &Asks<'_>, command: Command, now: Instant) -> Answer {
        if asks.plan.rates.is_empty() {
            return self.obey(asks, command, now);
        }
        self.limit(asks, command, now)
    }

    /// Obeys a command as far as limits allow.
    fn limit(&mut self, asks: &Asks<'_>, command: Command, now: Instant) -> Answer {
        let now = self.gate.time(now);
        let first = matches!(command, Command::Admit(_));
        let waits = !matches!(command, Command::Race | Command::Hedge);
        let only;
        let aims = match command {
            Command::Again(aim) | Command::Key(aim, _) => {
                only = [aim];
                &only[..]
            }
            _ => asks.left,
        };
        match self.gate.pass(asks, aims, (first, waits), self.in_flight, now) {
            Pass::Go(free) => self.pass(asks, (&free, asks.key), command, now),
            Pass::Kept(aim, key) => {
                let refused = |key: usize| matches!(command, Command::Key(_, but) if but == key);
                let key = key.filter(|key| !refused(*key)).map_or(asks.key, KeyChoice::One);
                self.pass(asks, (&[aim], key), command, now)
            }
            Pass::Wait(until) => Answer::Queued(command, until),
            Pass::No(fault) if first => Answer::Refused(*fault),
            Pass::No(_) => Answer::Spent,
        }
    }

    /// Obeys what limits let pass: with these targets, and that choice of keys.
    fn pass(
        &mut self,
        asks: &Asks<'_>,
        (left, key): (&[usize], KeyChoice),
        command: Command,
        now: Instant,
    ) -> Answer {
        let answer = self.obey(&Asks { left, key, ..*asks }, command, now);
        if let Answer::Admitted(turn) | Answer::Begun(turn) = &answer {
            let first = matches!(command, Command::Admit(_));
            self.gate.begin(asks, first, (turn.aim, turn.key), now);
        }
        self.gate.go_round(now);
        answer
    }

    fn obey(&mut self, asks: &Asks<'_>, command: Command, now: Instant) -> Answer {
        match command {
            Command::Admit(_) if self.in_flight >= limits::IN_FLIGHT_MAX => {
                let fault = Fault::new(FaultKind::Unavailable, "too many requests are being served");
                Answer::Refused(Fault { retry_after_ms: Some(1_000), ..fault })
            }
            Command::Admit(_) => {
                self.in_flight += 1;
                let share = asks.plan.failover.hedge.map_or(0, |hedge| hedge.share);
                self.hedges.earn(share, limits::HEDGES_SAVED * limits::HEDGE_COSTS);
                let aim = self.best(asks, now);
                Answer::Admitted(self.begin(asks, aim, (true, None), now))
            }
            Command::Next | Command::Race => {
                let aim = self.best(asks, now);
                Answer::Begun(self.begin(asks, aim, (true, None), now))
            }
            Command::Hedge => {
                let aim = self.best(asks, now);
                match self.opens(asks, aim, now) <= now && self.hedges.spend(limits::HEDGE_COSTS) {
                    true => Answer::Begun(Turn { hedge: true, ..self.begin(asks, aim, (true, None), now) }),
                    false => Answer::Spent,
                }
            }
            Command::Again(aim) => {
                let provider = asks.aims.get(aim).and_then(|aim| asks.plan.providers.get(aim.provider));
                let line = provider.and_then(|provider| self.lines.get_mut(&provider.name));
                let model = asks.aims.get(aim).map_or("", |aim| aim.model.as_str());
                match line.is_some_and(|line| line.passes(model, now) && line.spend()) {
                    true => Answer::Begun(self.begin(asks, aim, (false, None), now)),
                    false => Answer::Spent,
                }
            }
            Command::Key(aim, but) => match self.has_key_but(asks, aim, but, now) {
                true => Answer::Begun(self.begin(asks, aim, (false, Some(but)), now)),
                false => Answer::Spent,
            },
        }
    }

    /// Takes note of how an attempt of a turn ended.
    pub fn note(&mut self, asks: &Asks<'_>, note: Note, now: Instant) {
        let Some(aim) = asks.aims.get(note.aim) else { return };
        let Some(provider) = asks.plan.providers.get(aim.provider) else { return };
        if let Some(line) = self.lines.get_mut(&provider.name) {
            line.note(&aim.model, note.key, note.verdict, now);
        }
        if !asks.plan.rates.is_empty() {
            let now = self.gate.time(now);
            self.gate.end(asks.ticket, (note.aim, note.key), note.tokens, now);
        }
    }

    /// An exchange under limits is over, or waits no longer.
    pub fn leave(&mut self, ticket: u64, now: Instant) {
        let now = self.gate.time(now);
        self.gate.leave(ticket, now);
    }

    /// The client of an exchange has left, and it goes on for nobody: it holds up no other of his any more.
    pub fn part(&mut self, ticket: u64, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let now = self.gate.time(now);
        self.gate.part(ticket, now);
    }

    /// The exchanges that wait and shall ask again, since this was last asked.
    pub fn take_woken(&mut self) -> Vec<u64> {
        self.gate.take_woken()
    }

    /// This exchange shall ask again. For a door that has just made ready to be woken.
    #[must_use]
    pub fn is_woken(&self, ticket: u64) -> bool {
        self.gate.is_woken(ticket)
    }

    /// What waits for a limit.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.gate.waiting()
    }

    /// Settles what was admitted.
    pub fn settle(&mut self, record: &Record) {
        debug_assert!(record.unheard || self.in_flight > 0, "every settlement has its admission");
        self.in_flight = self.in_flight.saturating_sub(usize::from(!record.unheard));
        self.settled += 1;
    }

    /// Settles what was admitted and then lost to a defect of ours, of which there is no record.
    pub fn abandon(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many requests are being served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many attempts are under way, by what providers' health knows.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.lines.values().map(Line::under_way).sum()
    }

    /// How many have been settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// The target may be asked now, as far as its breaker and its keys go.
    #[cfg(test)]
    pub(crate) fn is_open(&self, asks: &Asks<'_>, aim: usize, now: Instant) -> bool {
        self.opens(asks, aim, now) <= now
    }

    /// What the breaker of a provider's model lets through.
    #[cfg(test)]
    pub(crate) fn breaker(&self, provider: &str, model: &str) -> crate::sim::world::Gate {
        let health = self.lines.get(provider).and_then(|line| line.known(model));
        health.map(|health| health.breaker.gate()).unwrap_or_default()
    }

    /// Nobody waits who may go.
    #[cfg(test)]
    pub(crate) fn forgets_nobody(&self, now: Instant) -> bool {
        self.gate.forgets_nobody(now)
    }

    /// Nothing is reserved for anybody.
    #[cfg(test)]
    pub(crate) fn is_clear(&self) -> bool {
        self.gate.is_clear()
    }

    /// The first of those left that may be asked now, or another of its tier where the tier's strategy says so;
    /// where none may, the one that may be soonest: a request is never refused because everything is resting.
    fn best(&mut self, asks: &Asks<'_>, now: Instant) -> usize {
        let [first, rest @ ..] = asks.left else { return 0 };
        if rest.is_empty() {
            return *first;
        }
        let opens = |index: &&usize| self.opens(asks, **index, now);
        let first = asks.left.iter().min_by_key(opens).copied().unwrap_or(*first);
        match asks.shape.and_then(|shape| shape.tier(first)) {
            Some(tier) if tier.strategy.is_live() => self.choose(asks, tier, first, now),
            _ => first,
        }
    }

    fn opens(&self, asks: &Asks<'_>, index: usize, now: Instant) -> Instant {
        let opens = || {
            let aim = asks.aims.get(index)?;
            let provider = asks.plan.providers.get(aim.provider)?;
            let limited = asks.plan.rates.of_keys(aim.provider).next().is_some();
            let is_free = |key: usize| !limited || self.gate.key_is_free(asks, index, key, now);
            Some(self.lines.get(&provider.name)?.opens(&aim.model, provider.keys.len(), is_free, now))
        };
        opens().unwrap_or_default().max(now)
    }

    /// The target may be asked now with another key than this. One who waited for that may find his own awake.
    fn has_key_but(&self, asks: &Asks<'_>, index: usize, but: usize, now: Instant) -> bool {
        let Some(aim) = asks.aims.get(index) else { return false };
        let Some(provider) = asks.plan.providers.get(aim.provider) else { return false };
        let limited = asks.plan.rates.of_keys(aim.provider).next().is_some();
        let is_free = |key: usize| key != but && (!limited || self.gate.key_is_free(asks, index, key, now));
        self.lines.get(&provider.name).is_some_and(|line| {
            line.passes(&aim.model, now) && line.has_other_key(&aim.model, provider.keys.len(), is_free, now)
        })
    }

    fn begin(
        &mut self,
        asks: &Asks<'_>,
        index: usize,
        (first, but): (bool, Option<usize>),
        now: Instant,
    ) -> Turn {
        let none = Turn { aim: index, key: 0, keys_left: false, patience: None, hedge: false };
        let Some(aim) = asks.aims.get(index) else { return none };
        let Some(provider) = asks.plan.providers.get(aim.provider) else { return none };
        if !self.lines.contains_key(&provider.name) {
            self.lines.insert(provider.name.clone(), Line::default());
        }
        let Some(line) = self.lines.get_mut(&provider.name) else { return none };
        let keys = provider.keys.len();
        let gate = &self.gate;
        let limited = asks.plan.rates.of_keys(aim.provider).next().is_some();
        let is_free = |key: usize| Some(key) != but && (!limited || gate.key_is_free(asks, index, key, now));
        let key = line.key(&aim.model, keys, (asks.key, asks.roll), is_free, now);
        let keys_left = asks.key == KeyChoice::Next && line.has_other_key(&aim.model, keys, is_free, now);
        if first {
            line.earn();
        }
        let Some(health) = line.health(&aim.model) else { return none };
        health.in_flight += 1;
        health.recent.add(now);
        health.breaker.ask(now);
        Turn { aim: index, key, keys_left, patience: health.patience(), hedge: false }
    }
}
