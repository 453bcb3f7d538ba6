//! Who may go, and who waits.
//!
//! Whoever is called has his place kept until he takes it or leaves, and a large request comes to its turn as well
//! as small ones: see [`super::queue`].

#[cfg(test)]
mod tests;

use super::{
    Asks,
    barred::{Barred, both, busy, either, refusal},
    queue::{Place, Waiter, Waiters, Waiting},
    rates::{self, Count, Demand, Meter, Need, UNKNOWN},
};
use crate::{
    limits::{COME_BACK, METERS_KEPT},
    rates::Queue,
    time::Instant,
};
use dialect::Fault;
use std::{collections::HashMap, sync::Arc};

/// All that is limited, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    meters: HashMap<Arc<str>, Meter>,
    /// How many meters there are when idle ones are next looked for.
    many: usize,
    /// By the number of the exchange.
    tickets: HashMap<u64, Ticket>,
    waiters: Waiters,
    /// Who shall ask again, and has not been told.
    woken: Vec<u64>,
    clock: Instant,
    /// How often a waiter has been looked at.
    #[cfg(test)]
    looks: u64,
}

/// What one who asks is told.
pub(super) enum Pass {
    /// One of these targets may be asked.
    Go(Vec<usize>),
    /// This target may be asked, with this key where its keys have limits: the place was kept.
    Kept(usize, Option<usize>),
    /// Ask again then, or when woken.
    Wait(Instant),
    /// No.
    No(Box<Fault>),
}

/// What one exchange has.
#[derive(Debug, Default)]
struct Ticket {
    state: State,
    holds: Vec<Hold>,
    /// What its attempts have cost so far, as far as that is known.
    spent: u64,
    unknown: bool,
    woken: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Going,
    Waiting(Place),
    /// To this target and key, whose place is kept.
    Called(Option<(usize, Option<usize>)>),
    /// Another needed the place in the queue more.
    Evicted,
}

#[derive(Debug)]
struct Hold {
    need: Need,
    tokens: u64,
    /// Target and key; without them it is the request's own.
    turn: Option<(usize, usize)>,
    /// It is kept for one who has been called.
    called: bool,
    /// Only its tokens count still.
    parted: bool,
}

impl Gate {
    /// May this exchange go on, with one of `aims`? A `first` request brings what it takes itself. `others` are
    /// being served.
    pub(super) fn pass(
        &mut self,
        asks: &Asks<'_>,
        aims: &[usize],
        (first, waits): (bool, bool),
        others: usize,
        now: Instant,
    ) -> Pass {
        if let Some(ticket) = self.tickets.get_mut(&asks.ticket) {
            ticket.woken = false;
        }
        self.call(now);
        match self.state(asks.ticket) {
            State::Called(kept) => self.take_up(asks, aims, (first, kept), now),
            State::Going => self.arrive(asks, aims, (first, waits), others, now),
            State::Waiting(_) => self.wait_on(asks, aims, first, now),
            State::Evicted => {
                self.set(asks.ticket, State::Going);
                Pass::No(Box::new(busy(asks.plan, "the queue is full", COME_BACK)))
            }
        }
    }

    /// The time: cores do not see the same, and here it never goes back.
    pub(super) fn time(&mut self, now: Instant) -> Instant {
        self.clock = self.clock.max(now);
        self.clock
    }

    /// It goes on with that target and key.
    pub(super) fn begin(&mut self, asks: &Asks<'_>, first: bool, (aim, key): (usize, usize), now: Instant) {
        let tokens = rates::tokens(asks);
        let request = if first { rates::needs_of_request(asks) } else { Vec::new() };
        let target = rates::needs_of_target(asks, aim).into_iter().chain(rates::needs_of_key(asks, aim, key));
        let needs = request.into_iter().map(|need| (need, None));
        for (need, turn) in needs.chain(target.map(|need| (need, Some((aim, key))))) {
            let meter = self.meter(&need.id, now);
            let tokens = meter.call(&need.rule, tokens);
            meter.begin(&need.rule, now);
            self.hold(asks.ticket, Hold { need, tokens, turn, called: false, parted: false });
        }
    }

    /// Who has taken another place than was kept for him has left that one free.
    pub(super) fn go_round(&mut self, now: Instant) {
        self.call(now);
    }

    /// The key may be used, as far as its own limits go.
    pub(super) fn key_is_free(&self, asks: &Asks<'_>, aim: usize, key: usize, now: Instant) -> bool {
        let needs = rates::needs_of_key(asks, aim, key);
        self.barred(&needs, rates::tokens(asks), None, now).is_none()
    }

    /// An attempt has ended, and has cost so many tokens, or about what was reserved.
    pub(super) fn end(&mut self, ticket: u64, turn: (usize, usize), cost: Option<u64>, now: Instant) {
        let Some(held) = self.tickets.get_mut(&ticket) else { return };
        held.spent = held.spent.saturating_add(cost.unwrap_or(0));
        held.unknown |= cost.is_none();
        let is_its = |hold: &mut Hold| hold.turn == Some(turn) && !hold.called;
        let ended: Vec<Hold> = held.holds.extract_if(.., is_its).collect();
        self.give_back(ended, |held| cost.unwrap_or(held), now);
    }

    /// An exchange is over, or waits no longer: all that it has is free.
    pub(super) fn leave(&mut self, ticket: u64, now: Instant) {
        let Some(left) = self.tickets.remove(&ticket) else { return };
        if let State::Waiting(place) = left.state {
            self.waiters.remove(place, now);
        }
        let Ticket { spent, unknown, .. } = left;
        self.give_back(left.holds, |held| if unknown { spent.max(held) } else { spent }, now);
    }

    /// What an exchange has of its own holds up nobody any more, but for the tokens.
    pub(super) fn part(&mut self, ticket: u64, now: Instant) {
        let holds = self.tickets.get_mut(&ticket).into_iter().flat_map(|ticket| &mut ticket.holds);
        for hold in holds.filter(|hold| hold.turn.is_none() && !hold.parted) {
            hold.parted = true;
            self.meters.get_mut(&hold.need.id).into_iter().for_each(Meter::part);
            self.waiters.opened(&hold.need.id);
        }
        self.call(now);
    }

    /// Those who shall ask again, since it was last asked.
    pub(super) fn take_woken(&mut self) -> Vec<u64> {
        let mut woken = std::mem::take(&mut self.woken);
        woken.retain(|ticket| self.is_woken(*ticket));
        woken
    }

    /// It shall ask again.
    pub(super) fn is_woken(&self, ticket: u64) -> bool {
        self.tickets.get(&ticket).is_some_and(|ticket| ticket.woken)
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.waiters.waiting()
    }

    /// Nobody waits who may go, nobody claims what is open, and whoever lacks what opens by itself asks then.
    #[cfg(test)]
    pub(super) fn forgets_nobody(&self, now: Instant) -> bool {
        // Those behind one who is about to ask are looked at when he does.
        let mut heads =
            self.waiters.heads().take_while(|(_, _, lacks)| lacks.iter().all(|(_, at)| *at > now));
        heads.all(|(place, waiter, lacks)| {
            let demand = &waiter.demand;
            let all = demand
                .targets
                .iter()
                .flat_map(|target| target.keys.iter().flat_map(|(_, needs)| needs).chain(&target.needs));
            let needs: Vec<&Need> = demand.request.iter().chain(all).collect();
            let is_closed = |id: &Arc<str>| {
                let need = needs.iter().find(|need| need.id == *id).expect("it lacks what it needs");
                self.barred(std::slice::from_ref(*need), demand.tokens, Some(place), now).is_some()
            };
            match self.open(demand, Some(place), now) {
                Ok(_) => false,
                Err(_) => lacks.iter().all(|(id, at)| is_closed(id) && waiter.until <= *at),
            }
        })
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let clear = self.meters.values().all(|meter| meter.under_way() == 0 && meter.held() == 0);
        clear && self.tickets.is_empty() && self.waiters.is_clear()
    }

    fn state(&self, ticket: u64) -> State {
        self.tickets.get(&ticket).map(|ticket| ticket.state).unwrap_or_default()
    }

    fn set(&mut self, ticket: u64, state: State) {
        self.tickets.entry(ticket).or_default().state = state;
    }

    fn hold(&mut self, ticket: u64, hold: Hold) {
        self.tickets.entry(ticket).or_default().holds.push(hold);
    }

    fn arrive(
        &mut self,
        asks: &Asks<'_>,
        aims: &[usize],
        (first, waits): (bool, bool),
        others: usize,
        now: Instant,
    ) -> Pass {
        let rates = &asks.plan.rates;
        if first && rates.requests.is_some_and(|most| others + self.waiters.outside() >= most) {
            return Pass::No(Box::new(busy(asks.plan, "too many requests are being served", COME_BACK)));
        }
        let demand = Demand::of(asks, aims, first);
        if let Ok(open) = self.open(&demand, Some(Place::LAST), now) {
            return Pass::Go(open.into_iter().map(|(aim, _)| aim).collect());
        }
        if let Some(queue) = rates.queue.filter(|queue| waits && self.has_room(asks, *queue, now)) {
            self.wait(asks, demand, queue, now);
            self.call(now);
            return self.wait_on(asks, aims, first, now);
        }
        let full = rates.queue.is_some() && waits;
        let barred = self.open(&demand, None, now).err();
        let fault = barred.map(|barred| refusal(asks, &barred, full, now));
        Pass::No(Box::new(fault.unwrap_or_else(|| busy(asks.plan, "the queue is full", COME_BACK))))
    }

    /// One who was called takes his place, or another that is free and better. Where none seems free it is the
    /// place that was kept: others, with the larger limits of another configuration, have been called since.
    fn take_up(
        &mut self,
        asks: &Asks<'_>,
        aims: &[usize],
        (first, kept): (bool, Option<(usize, Option<usize>)>),
        now: Instant,
    ) -> Pass {
        let Some(ticket) = self.tickets.get_mut(&asks.ticket) else { return Pass::Go(aims.to_vec()) };
        (ticket.state, ticket.woken) = (State::Going, false);
        for hold in ticket.holds.extract_if(.., |hold| hold.called) {
            if let Some(meter) = self.meters.get_mut(&hold.need.id) {
                meter.uncall(hold.tokens);
                self.waiters.opened(&hold.need.id);
            }
        }
        match self.open(&Demand::of(asks, aims, first), None, now) {
            Ok(open) => Pass::Go(open.into_iter().map(|(aim, _)| aim).collect()),
            Err(_) => kept.map_or_else(|| Pass::Go(aims.to_vec()), |(aim, key)| Pass::Kept(aim, key)),
        }
    }

    fn wait_on(&mut self, asks: &Asks<'_>, aims: &[usize], first: bool, now: Instant) -> Pass {
        let place = match self.state(asks.ticket) {
            State::Waiting(place) => place,
            State::Called(kept) => return self.take_up(asks, aims, (first, kept), now),
            State::Going | State::Evicted => return self.take_up(asks, aims, (first, None), now),
        };
        let Some(waiter) = self.waiters.at(place) else { return Pass::Go(aims.to_vec()) };
        if now < waiter.deadline {
            let until = waiter.until.min(waiter.deadline);
            if let Some(ticket) = self.tickets.get_mut(&asks.ticket) {
                ticket.woken = false;
            }
            return Pass::Wait(until);
        }
        self.set(asks.ticket, State::Going);
        let late = self.waiters.remove(place, now);
        self.call(now);
        let barred = late.and_then(|waiter| self.open(&waiter.demand, None, now).err());
        let fault = barred.map(|barred| refusal(asks, &barred, false, now));
        Pass::No(Box::new(fault.unwrap_or_else(|| busy(asks.plan, "no turn came in time", COME_BACK))))
    }

    /// There is room in the queue, or is now that another has had to leave it.
    fn has_room(&mut self, asks: &Asks<'_>, queue: Queue, now: Instant) -> bool {
        if self.waiters.len() < queue.size {
            return true;
        }
        let last = self.waiters.yields(asks.priority, asks.caller);
        let Some(evicted) = last.and_then(|last| self.waiters.remove(last, now)) else { return false };
        self.set(evicted.ticket, State::Evicted);
        self.wake(evicted.ticket);
        true
    }

    fn wait(&mut self, asks: &Asks<'_>, demand: Demand, queue: Queue, now: Instant) {
        let Asks { ticket, caller, priority, .. } = *asks;
        let (until, deadline) = (UNKNOWN, now.after(queue.wait));
        let waiter = Waiter { ticket, caller, priority, demand, since: now, until, deadline };
        let place = self.waiters.push(waiter);
        self.set(ticket, State::Waiting(place));
    }

    /// Calls all who may go, in their turn.
    fn call(&mut self, now: Instant) {
        while let Some(place) = self.waiters.next_due(now) {
            #[cfg(test)]
            (self.looks += 1);
            let Some(waiter) = self.waiters.at(place) else { continue };
            match self.open(&waiter.demand, Some(place), now) {
                Ok(open) => self.call_one(place, open.first().copied(), now),
                Err(barred) => self.hold_up(place, barred),
            }
        }
    }

    /// He waits on, and is woken where he may go earlier than he was told.
    fn hold_up(&mut self, place: Place, barred: Barred) {
        let until = barred.lacks.iter().map(|(_, at)| *at).min().unwrap_or(UNKNOWN);
        self.waiters.keep(place, barred.lacks);
        let Some(waiter) = self.waiters.at_mut(place) else { return };
        if until < std::mem::replace(&mut waiter.until, until) {
            let ticket = waiter.ticket;
            self.wake(ticket);
        }
    }

    fn call_one(&mut self, place: Place, to: Option<(usize, Option<usize>)>, now: Instant) {
        let Some((waiter, moved)) = self.waiters.call(place, now) else { return };
        for (ticket, place) in moved {
            self.set(ticket, State::Waiting(place));
        }
        let tokens = waiter.demand.tokens;
        let mut needs = waiter.demand.request;
        let chosen = waiter.demand.targets.into_iter().find(|target| Some(target.aim) == to.map(|to| to.0));
        if let Some(target) = chosen {
            needs.extend(target.needs);
            let key = target.keys.into_iter().find(|(key, _)| Some(*key) == to.and_then(|to| to.1));
            needs.extend(key.map(|(_, needs)| needs).unwrap_or_default());
        }
        for need in needs {
            let tokens = self.meter(&need.id, now).call(&need.rule, tokens);
            self.hold(waiter.ticket, Hold { need, tokens, turn: None, called: true, parted: false });
        }
        self.set(waiter.ticket, State::Called(to));
        self.wake(waiter.ticket);
    }

    fn wake(&mut self, ticket: u64) {
        if let Some(held) = self.tickets.get_mut(&ticket)
            && !held.woken
        {
            held.woken = true;
            self.woken.push(ticket);
        }
    }

    fn give_back(&mut self, holds: Vec<Hold>, cost: impl Fn(u64) -> u64, now: Instant) {
        for hold in holds {
            let Some(meter) = self.meters.get_mut(&hold.need.id) else { continue };
            match hold.called {
                true => meter.uncall(hold.tokens),
                false if hold.parted => meter.settle(&hold.need.rule, hold.tokens, cost(hold.tokens), now),
                false => meter.end(&hold.need.rule, hold.tokens, cost(hold.tokens), now),
            }
            self.waiters.opened(&hold.need.id);
        }
        self.call(now);
    }

    /// The targets that may be asked, each with a key where that matters. What those lack who wait `before` that
    /// place may not be taken.
    fn open(
        &self,
        demand: &Demand,
        before: Option<Place>,
        now: Instant,
    ) -> Result<Vec<(usize, Option<usize>)>, Barred> {
        let own = self.barred(&demand.request, demand.tokens, before, now);
        let (mut open, mut closed) = (Vec::new(), None);
        for target in &demand.targets {
            match self.open_target(target, demand.tokens, before, now) {
                Ok(key) => open.push((target.aim, key)),
                Err(barred) => closed = Some(either(closed, barred)),
            }
        }
        match both(own, closed.filter(|_| open.is_empty())) {
            Some(barred) => Err(barred),
            None => Ok(open),
        }
    }

    fn open_target(
        &self,
        target: &rates::Target,
        tokens: u64,
        before: Option<Place>,
        now: Instant,
    ) -> Result<Option<usize>, Barred> {
        let own = self.barred(&target.needs, tokens, before, now);
        let (mut open, mut closed) = (None, None);
        for (key, needs) in &target.keys {
            match self.barred(needs, tokens, before, now) {
                None => open = open.or(Some(*key)),
                Some(barred) => closed = Some(either(closed, barred)),
            }
        }
        both(own, closed.filter(|_| open.is_none())).map_or(Ok(open), Err)
    }

    /// Why not all of these may be taken now.
    fn barred(&self, needs: &[Need], tokens: u64, before: Option<Place>, now: Instant) -> Option<Barred> {
        let mut found: Option<Barred> = None;
        for need in needs {
            let meter = self.meters.get(&need.id);
            let (opens, count) =
                meter.map_or((now, Count::AtOnce), |meter| meter.opens(&need.rule, tokens, now));
            let claimed = before.is_some_and(|before| self.waiters.is_claimed(&need.id, before));
            let opens = if claimed { UNKNOWN } else { opens };
            if opens <= now {
                continue;
            }
            match &mut found {
                Some(barred) => barred.and(need, opens, count),
                None => found = Some(Barred::by(need, opens, count)),
            }
        }
        found
    }

    fn meter(&mut self, id: &Arc<str>, now: Instant) -> &mut Meter {
        if self.meters.len() >= self.many.max(METERS_KEPT) && !self.meters.contains_key(id) {
            self.meters.retain(|_, meter| !meter.is_idle(now));
            self.many = self.meters.len() * 2;
        }
        self.meters.entry(id.clone()).or_default()
    }
}
