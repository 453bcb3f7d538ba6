//! Who may go, who waits, and who is called next.
//!
//! Callers take turns: whoever has many requests waiting gets no more of what becomes free than whoever has one.
//! What a waiter lacks is not given to anybody behind him, so that a large request comes to its turn as well as
//! small ones. Whoever is called has his place kept until he takes it or leaves.

use super::{
    Asks,
    rates::{self, Count, Demand, Meter, Need, UNKNOWN},
};
use crate::{
    access::Caller,
    limits::{COME_BACK, METERS_KEPT},
    plan::Plan,
    rates::{Of, Queue},
    time::{Instant, Span},
};
use dialect::{Fault, FaultKind};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// All that is limited, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    meters: HashMap<Arc<str>, Meter>,
    /// How many meters there are when idle ones are next looked for.
    many: usize,
    /// By the number of the exchange.
    tickets: HashMap<u64, Ticket>,
    queue: BTreeMap<Place, Waiter>,
    lanes: HashMap<Caller, Lane>,
    /// The turn of whoever was called last.
    turn: u64,
    /// How many have waited.
    count: u64,
    waited: Span,
    /// Who shall ask again, and has not been told.
    woken: Vec<u64>,
    clock: Instant,
}

/// What one who asks is told.
pub(super) enum Pass {
    /// One of these targets may be asked.
    Go(Vec<usize>),
    /// Ask again then, or when woken.
    Wait(Instant),
    /// No.
    No(Box<Fault>),
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Requests that wait now.
    pub now: usize,
    /// Requests that have waited.
    pub count: u64,
    /// How long those have waited, together.
    pub waited: Span,
}

/// A place in the queue: a turn, and a number that no other has.
type Place = (u64, u64);

/// What those lack who come before, and until when at least.
type Claims = HashMap<Arc<str>, Instant>;

/// The waiting requests of one caller.
#[derive(Debug, Default)]
struct Lane {
    waiting: usize,
    last: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    caller: Caller,
    demand: Demand,
    since: Instant,
    /// When it was told to ask again.
    until: Instant,
    deadline: Instant,
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
    Called,
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

/// Why a request may not go.
struct Barred {
    until: Instant,
    by: Vec<(Arc<str>, Instant)>,
    why: (Need, Count),
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
        match self.state(asks.ticket) {
            State::Called => self.take_up(asks, aims, first, now),
            State::Going => self.arrive(asks, aims, (first, waits), others, now),
            State::Waiting(_) => {
                self.call(now);
                self.wait_on(asks, aims, first, now)
            }
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
        if !self.queue.is_empty() {
            self.call(now);
        }
    }

    /// The key may be used, as far as its own limits go.
    pub(super) fn key_is_free(&self, asks: &Asks<'_>, aim: usize, key: usize, now: Instant) -> bool {
        let needs = rates::needs_of_key(asks, aim, key);
        self.barred(&needs, rates::tokens(asks), &Claims::new(), now).is_none()
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
            self.unqueue(place, now);
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
        }
        self.go_round(now);
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
        Waiting { now: self.queue.len(), count: self.count, waited: self.waited }
    }

    /// Nobody waits who may go, or who may go before he asks again.
    #[cfg(test)]
    pub(super) fn forgets_nobody(&self, now: Instant) -> bool {
        let mut claimed = Claims::new();
        // Those behind one who is about to ask are called when he does.
        let mut waiters = self.queue.values().take_while(|waiter| waiter.until > now);
        waiters.all(|waiter| match self.open(&waiter.demand, &claimed, now) {
            Ok(_) => false,
            Err(barred) => {
                barred.claim(&mut claimed);
                waiter.until <= barred.until.min(waiter.deadline)
            }
        })
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let clear = self.meters.values().all(|meter| meter.under_way() == 0 && meter.held() == 0);
        clear && self.tickets.is_empty() && self.queue.is_empty() && self.lanes.is_empty()
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
        if first && rates.requests.is_some_and(|most| others + self.outside() >= most) {
            return Pass::No(Box::new(busy(asks.plan, "too many requests are being served", COME_BACK)));
        }
        let demand = Demand::of(asks, aims, first);
        let barred = match self.open(&demand, &self.claims(now), now) {
            Ok(open) => return Pass::Go(open.into_iter().map(|(aim, _)| aim).collect()),
            Err(barred) => barred,
        };
        match rates.queue.filter(|queue| waits && self.has_room(asks.caller, *queue)) {
            Some(queue) => {
                self.wait(asks, demand, queue, barred.until, now);
                self.call(now);
                self.wait_on(asks, aims, first, now)
            }
            None => Pass::No(Box::new(refusal(asks, &barred, rates.queue.is_some() && waits, now))),
        }
    }

    /// One who was called takes his place, or another that is free and better.
    fn take_up(&mut self, asks: &Asks<'_>, aims: &[usize], first: bool, now: Instant) -> Pass {
        let Some(ticket) = self.tickets.get_mut(&asks.ticket) else { return Pass::Go(aims.to_vec()) };
        (ticket.state, ticket.woken) = (State::Going, false);
        for hold in ticket.holds.extract_if(.., |hold| hold.called) {
            if let Some(meter) = self.meters.get_mut(&hold.need.id) {
                meter.uncall(hold.tokens);
            }
        }
        let open = self.open(&Demand::of(asks, aims, first), &Claims::new(), now);
        Pass::Go(open.map_or_else(|_| aims.to_vec(), |open| open.into_iter().map(|(aim, _)| aim).collect()))
    }

    fn wait_on(&mut self, asks: &Asks<'_>, aims: &[usize], first: bool, now: Instant) -> Pass {
        let State::Waiting(place) = self.state(asks.ticket) else {
            return self.take_up(asks, aims, first, now);
        };
        let Some(waiter) = self.queue.get(&place) else { return Pass::Go(aims.to_vec()) };
        let barred = self.open(&waiter.demand, &self.claims_before(place, now), now).err();
        let until = barred.as_ref().map_or(UNKNOWN, |barred| barred.until);
        if now < waiter.deadline {
            let until = until.min(waiter.deadline);
            if let Some(waiter) = self.queue.get_mut(&place) {
                waiter.until = until;
            }
            return Pass::Wait(until);
        }
        self.set(asks.ticket, State::Going);
        self.unqueue(place, now);
        self.call(now);
        let fault = barred.map(|barred| refusal(asks, &barred, false, now));
        Pass::No(Box::new(fault.unwrap_or_else(|| busy(asks.plan, "the queue is full", COME_BACK))))
    }

    /// There is room in the queue, or is now: of a full one the caller with the most in it has to leave.
    fn has_room(&mut self, caller: Caller, queue: Queue) -> bool {
        if self.queue.len() < queue.size {
            return true;
        }
        let own = self.lanes.get(&caller).map_or(0, |lane| lane.waiting);
        let Some((most, lane)) = self.lanes.iter().max_by_key(|(_, lane)| lane.waiting) else { return false };
        if lane.waiting <= own + 1 {
            return false;
        }
        let most = *most;
        let last = self.queue.iter().rev().find(|(_, waiter)| waiter.caller == most);
        let Some((place, ticket)) = last.map(|(place, waiter)| (*place, waiter.ticket)) else { return false };
        self.queue.remove(&place);
        self.leave_lane(most);
        self.set(ticket, State::Evicted);
        self.wake(ticket);
        true
    }

    fn wait(&mut self, asks: &Asks<'_>, demand: Demand, queue: Queue, until: Instant, now: Instant) {
        let lane = self.lanes.entry(asks.caller).or_default();
        let turn = if lane.waiting > 0 { self.turn.max(lane.last + 1) } else { self.turn };
        (lane.waiting, lane.last) = (lane.waiting + 1, turn);
        self.count += 1;
        let place = (turn, self.count);
        let (ticket, caller, deadline) = (asks.ticket, asks.caller, now.after(queue.wait));
        self.queue.insert(place, Waiter { ticket, caller, demand, since: now, until, deadline });
        self.set(ticket, State::Waiting(place));
    }

    fn unqueue(&mut self, place: Place, now: Instant) -> Option<Waiter> {
        let waiter = self.queue.remove(&place)?;
        self.leave_lane(waiter.caller);
        self.waited = Span(self.waited.0.saturating_add(now.since(waiter.since).0));
        Some(waiter)
    }

    fn leave_lane(&mut self, caller: Caller) {
        if let Some(lane) = self.lanes.get_mut(&caller) {
            lane.waiting = lane.waiting.saturating_sub(1);
            if lane.waiting == 0 {
                self.lanes.remove(&caller);
            }
        }
    }

    /// Calls all who may go, in their turn. Whoever is called may take what holds up another before him, who then
    /// lacks less of what those behind need: so they are asked once more.
    fn call(&mut self, now: Instant) {
        while self.call_round(now) {}
    }

    /// Calls who may go, and wakes who may go earlier than he was told. Tells whether anybody was called.
    fn call_round(&mut self, now: Instant) -> bool {
        let (mut claimed, mut called) = (Claims::new(), false);
        let places: Vec<Place> = self.queue.keys().copied().collect();
        for place in places {
            let Some(waiter) = self.queue.get(&place) else { continue };
            let ticket = waiter.ticket;
            match self.open(&waiter.demand, &claimed, now) {
                Ok(open) => {
                    self.call_one(place, open.first().copied(), now);
                    called = true;
                }
                Err(barred) => {
                    barred.claim(&mut claimed);
                    if let Some(waiter) =
                        self.queue.get_mut(&place).filter(|waiter| barred.until < waiter.until)
                    {
                        waiter.until = barred.until;
                        self.wake(ticket);
                    }
                }
            }
        }
        called
    }

    fn call_one(&mut self, place: Place, to: Option<(usize, Option<usize>)>, now: Instant) {
        let Some(waiter) = self.unqueue(place, now) else { return };
        self.turn = self.turn.max(place.0);
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
        self.set(waiter.ticket, State::Called);
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
        }
        self.go_round(now);
    }

    /// The targets that may be asked, each with a key where that matters.
    fn open(
        &self,
        demand: &Demand,
        claimed: &Claims,
        now: Instant,
    ) -> Result<Vec<(usize, Option<usize>)>, Barred> {
        let own = self.barred(&demand.request, demand.tokens, claimed, now);
        let (mut open, mut closed) = (Vec::new(), None);
        for target in &demand.targets {
            match self.open_target(target, demand.tokens, claimed, now) {
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
        claimed: &Claims,
        now: Instant,
    ) -> Result<Option<usize>, Barred> {
        let own = self.barred(&target.needs, tokens, claimed, now);
        let (mut open, mut closed) = (None, None);
        for (key, needs) in &target.keys {
            match self.barred(needs, tokens, claimed, now) {
                None => open = open.or(Some(*key)),
                Some(barred) => closed = Some(either(closed, barred)),
            }
        }
        both(own, closed.filter(|_| open.is_none())).map_or(Ok(open), Err)
    }

    /// Why not all of these may be taken now.
    fn barred(&self, needs: &[Need], tokens: u64, claimed: &Claims, now: Instant) -> Option<Barred> {
        let mut found: Option<Barred> = None;
        for need in needs {
            let meter = self.meters.get(&need.id);
            let (opens, count) =
                meter.map_or((now, Count::AtOnce), |meter| meter.opens(&need.rule, tokens, now));
            let opens = claimed.get(&need.id).map_or(opens, |claimed| opens.max(*claimed));
            if opens <= now {
                continue;
            }
            let why = (need.clone(), count);
            match &mut found {
                Some(barred) => {
                    barred.by.push((need.id.clone(), opens));
                    if opens > barred.until {
                        (barred.until, barred.why) = (opens, why);
                    }
                }
                None => found = Some(Barred { until: opens, by: vec![(need.id.clone(), opens)], why }),
            }
        }
        found
    }

    /// What those who wait lack.
    fn claims(&self, now: Instant) -> Claims {
        self.claims_before((u64::MAX, u64::MAX), now)
    }

    fn claims_before(&self, place: Place, now: Instant) -> Claims {
        let mut claimed = Claims::new();
        for waiter in self.queue.range(..place).map(|(_, waiter)| waiter) {
            if let Err(barred) = self.open(&waiter.demand, &claimed, now) {
                barred.claim(&mut claimed);
            }
        }
        claimed
    }

    /// Requests that wait and are not among those that are being served.
    fn outside(&self) -> usize {
        self.queue.values().filter(|waiter| waiter.demand.first).count()
    }

    fn meter(&mut self, id: &Arc<str>, now: Instant) -> &mut Meter {
        if self.meters.len() >= self.many.max(METERS_KEPT) && !self.meters.contains_key(id) {
            self.meters.retain(|_, meter| !meter.is_idle(now));
            self.many = self.meters.len() * 2;
        }
        self.meters.entry(id.clone()).or_default()
    }
}

impl Barred {
    /// What it lacks is not given to those behind.
    fn claim(&self, claims: &mut Claims) {
        for (id, until) in &self.by {
            let claim = claims.entry(id.clone()).or_default();
            *claim = (*claim).max(*until);
        }
    }
}

/// The one of two that opens earlier, and what both lack.
fn either(one: Option<Barred>, mut other: Barred) -> Barred {
    let Some(mut one) = one else { return other };
    if other.until < one.until {
        std::mem::swap(&mut one, &mut other);
    }
    one.by.extend(other.by);
    one
}

/// Both are needed: what opens later counts. The second claims nothing as long as the first is closed.
fn both(one: Option<Barred>, other: Option<Barred>) -> Option<Barred> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    let later = other.until > one.until;
    let (until, why) = if later { (other.until, other.why) } else { (one.until, one.why) };
    Some(Barred { until, by: one.by, why })
}

fn busy(plan: &Plan, otherwise: &str, after: Span) -> Fault {
    let words = plan.rates.busy.clone().unwrap_or_else(|| otherwise.to_owned());
    Fault { retry_after_ms: Some(after.0.div_ceil(1_000)), ..Fault::new(FaultKind::RateLimited, words) }
}

/// Tells which limit has been reached, and when to come back.
fn refusal(asks: &Asks<'_>, barred: &Barred, full: bool, now: Instant) -> Fault {
    let after = if barred.until == UNKNOWN { COME_BACK } else { barred.until.since(now) };
    let (Need { rule, .. }, count) = &barred.why;
    let whose = match rule.of {
        Of::Caller(_) | Of::EachCaller => "you".to_owned(),
        _ => rule.whose(asks.plan),
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
