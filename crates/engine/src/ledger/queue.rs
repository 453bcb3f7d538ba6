//! Who waits, in which order, and what each lacks.
//!
//! Higher classes come first; within a class callers take turns. Of so many who are called one at least is of a
//! lower class, as long as such wait: the first of it is put before all others.
//!
//! Those who need the same stand in one row, and only its head is looked at. What a head lacks is not given to
//! anybody behind it. So it is enough to look at few when something changes: when a limit opens, at the first
//! who lacks it, since all others who do are held up by him; when he goes, at the next.

#[cfg(test)]
mod tests;

use super::rates::{Demand, UNKNOWN};
use crate::{
    access::Caller,
    limits::QUEUE_SHARE,
    rates::Priority,
    time::{Instant, Span},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    queue: BTreeMap<Place, Waiter>,
    /// By what they need, as [`Demand::mark`] says it.
    rows: HashMap<u64, Row>,
    lanes: HashMap<(Priority, Caller), Lane>,
    /// Each lane's length and last place: the one that loses its last place first comes last.
    lengths: BTreeSet<(Priority, usize, Place)>,
    classes: [Class; Priority::ALL.len()],
    /// The heads that lack something, by what they lack, each with the time at which that opens.
    lacks: HashMap<Arc<str>, BTreeMap<Place, Instant>>,
    /// When something opens that a head lacks.
    alarms: BTreeSet<(Instant, Place)>,
    /// The heads that must be looked at.
    due: BTreeSet<Place>,
    /// Those that are not among the requests being served.
    outside: usize,
    /// How many have waited.
    count: u64,
    waited: Span,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Requests that wait now.
    pub now: usize,
    /// The same, class by class, in the order of [`Priority::ALL`].
    pub classes: [usize; Priority::ALL.len()],
    /// Requests that have waited.
    pub count: u64,
    /// How long those have waited, together.
    pub waited: Span,
}

/// A place in the queue; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Nothing for one who was put before all others, else one more than the class's place among the classes.
    rank: usize,
    turn: u64,
    /// No other has it.
    number: u64,
}

/// What one lacks: what it is, and when it opens, as far as that is known.
pub(super) type Lacks = Vec<(Arc<str>, Instant)>;

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) caller: Caller,
    pub(super) priority: Priority,
    pub(super) demand: Demand,
    pub(super) since: Instant,
    /// When it was told to ask again.
    pub(super) until: Instant,
    pub(super) deadline: Instant,
}

/// Waiters that need the same.
#[derive(Debug, Default)]
struct Row {
    places: BTreeSet<Place>,
    /// What its head lacks.
    lacks: Lacks,
}

/// The waiting requests of one caller in one class.
#[derive(Debug, Default)]
struct Lane {
    places: BTreeSet<Place>,
    last: u64,
}

#[derive(Debug, Default)]
struct Class {
    waiting: usize,
    /// The turn of whoever was called last.
    turn: u64,
    /// How many of higher classes have been called since one of this was, while some of this waited.
    passed: u32,
}

impl Place {
    /// Behind everybody.
    pub(super) const LAST: Place = Place { rank: usize::MAX, turn: u64::MAX, number: u64::MAX };
    /// Before everybody who has not been put there.
    const FRONT: usize = 0;
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn outside(&self) -> usize {
        self.outside
    }

    pub(super) fn at(&self, place: Place) -> Option<&Waiter> {
        self.queue.get(&place)
    }

    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Waiter> {
        self.queue.get_mut(&place)
    }

    pub(super) fn waiting(&self) -> Waiting {
        let classes = std::array::from_fn(|class| self.classes.get(class).map_or(0, |class| class.waiting));
        Waiting { now: self.len(), classes, count: self.count, waited: self.waited }
    }

    /// Puts one behind those of its class and caller.
    pub(super) fn push(&mut self, waiter: Waiter) -> Place {
        let Waiter { priority, caller, .. } = waiter;
        self.count += 1;
        let (turn, number) = (self.classes.get(priority as usize).map_or(0, |class| class.turn), self.count);
        let lane = self.lanes.entry((priority, caller)).or_default();
        lane.last = if lane.places.is_empty() { turn } else { turn.max(lane.last + 1) };
        let place = Place { rank: 1 + priority as usize, turn: lane.last, number };
        self.put(place, waiter);
        place
    }

    /// Whose place is needed more by a request of this class and caller, where everybody keeps less than others
    /// have: the last of the lowest class's largest caller.
    pub(super) fn yields(&self, priority: Priority, caller: Caller) -> Option<Place> {
        let own = self.lanes.get(&(priority, caller)).map_or(0, |lane| lane.places.len());
        let (lowest, waiting, last) = self.lengths.last()?;
        (*lowest > priority || *lowest == priority && *waiting > own + 1).then_some(*last)
    }

    /// Takes one out who has been called, or leaves.
    pub(super) fn remove(&mut self, place: Place, now: Instant) -> Option<Waiter> {
        let waiter = self.take(place)?;
        self.waited = Span(self.waited.0.saturating_add(now.since(waiter.since).0));
        Some(waiter)
    }

    /// Takes one out who is called. Tells whom that puts before all others.
    pub(super) fn call(&mut self, place: Place, now: Instant) -> Option<(Waiter, Vec<(u64, Place)>)> {
        let waiter = self.remove(place, now)?;
        let called = waiter.priority as usize;
        let mut owed = Vec::new();
        for (number, class) in self.classes.iter_mut().enumerate() {
            if number == called {
                class.turn = class.turn.max(if place.rank == Place::FRONT { 0 } else { place.turn });
            }
            class.passed = if number > called && class.waiting > 0 { class.passed + 1 } else { class.passed };
            if number == called || class.waiting == 0 || class.passed + 1 >= QUEUE_SHARE {
                owed.extend((number != called && class.waiting > 0).then_some(number));
                class.passed = 0;
            }
        }
        Some((waiter, owed.into_iter().filter_map(|class| self.put_before_all(class)).collect()))
    }

    /// A head that must be looked at.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Place> {
        while let Some((_, place)) = self.alarms.first().filter(|(at, _)| *at <= now).copied() {
            self.alarms.pop_first();
            self.due.insert(place);
        }
        self.due.pop_first()
    }

    /// What a head that has been looked at lacks.
    pub(super) fn keep(&mut self, place: Place, lacks: Lacks) {
        let Some(row) = self.queue.get(&place).and_then(|waiter| self.rows.get_mut(&waiter.demand.mark))
        else {
            return;
        };
        let before = std::mem::replace(&mut row.lacks, lacks.clone());
        for (id, at) in &before {
            self.alarms.remove(&(*at, place));
            if !lacks.iter().any(|(other, _)| other == id) {
                self.lift(id, place);
            }
        }
        for (id, at) in lacks {
            if at < UNKNOWN {
                self.alarms.insert((at, place));
            }
            self.lacks.entry(id).or_default().insert(place, at);
        }
    }

    /// Somebody before that place lacks it.
    pub(super) fn is_claimed(&self, id: &Arc<str>, before: Place) -> bool {
        let first = self.lacks.get(id).and_then(|heads| heads.first_key_value());
        first.is_some_and(|(place, _)| *place < before)
    }

    /// It may have opened.
    pub(super) fn opened(&mut self, id: &Arc<str>) {
        let first = self.lacks.get(id).and_then(|heads| heads.first_key_value());
        self.due.extend(first.map(|(place, _)| *place));
    }

    /// The heads with what they lack, in order.
    #[cfg(test)]
    pub(super) fn heads(&self) -> impl Iterator<Item = (Place, &Waiter, &Lacks)> {
        self.queue.iter().filter_map(|(place, waiter)| {
            let row = self.rows.get(&waiter.demand.mark)?;
            (row.places.first() == Some(place)).then_some((*place, waiter, &row.lacks))
        })
    }

    /// Nothing is left of anybody.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let sets = [self.due.len(), self.alarms.len(), self.lacks.len(), self.lengths.len()];
        let maps = [self.queue.len(), self.rows.len(), self.lanes.len(), self.outside];
        sets == [0; 4] && maps == [0; 4] && self.waiting().classes.iter().all(|waiting| *waiting == 0)
    }

    fn put(&mut self, place: Place, waiter: Waiter) {
        let Waiter { priority, caller, ref demand, .. } = waiter;
        self.outside += usize::from(demand.first);
        if let Some(class) = self.classes.get_mut(priority as usize) {
            class.waiting += 1;
        }
        let lane = self.lanes.entry((priority, caller)).or_default();
        change(&mut self.lengths, priority, lane, |places| places.insert(place));
        let row = self.rows.entry(demand.mark).or_default();
        let head = row.places.first().copied();
        row.places.insert(place);
        let mark = demand.mark;
        self.queue.insert(place, waiter);
        if head.is_none_or(|head| place < head) {
            self.due.insert(place);
            self.step_back(mark, head);
        }
    }

    fn take(&mut self, place: Place) -> Option<Waiter> {
        let waiter = self.queue.remove(&place)?;
        let Waiter { priority, caller, ref demand, .. } = waiter;
        self.outside -= usize::from(demand.first);
        if let Some(class) = self.classes.get_mut(priority as usize) {
            class.waiting -= 1;
        }
        if let Some(lane) = self.lanes.get_mut(&(priority, caller)) {
            change(&mut self.lengths, priority, lane, |places| places.remove(&place));
            if lane.places.is_empty() {
                self.lanes.remove(&(priority, caller));
            }
        }
        let row = self.rows.get_mut(&demand.mark)?;
        let was_head = row.places.first() == Some(&place);
        row.places.remove(&place);
        if was_head {
            let next = row.places.first().copied();
            self.due.extend(next);
            self.step_back(demand.mark, Some(place));
            if next.is_none() {
                self.rows.remove(&demand.mark);
            }
        }
        Some(waiter)
    }

    /// One is no longer the head of its row, and claims nothing.
    fn step_back(&mut self, row: u64, head: Option<Place>) {
        let (Some(place), Some(row)) = (head, self.rows.get_mut(&row)) else { return };
        self.due.remove(&place);
        for (id, at) in std::mem::take(&mut row.lacks) {
            self.alarms.remove(&(at, place));
            self.lift(&id, place);
        }
        // Whoever stands behind another is told nothing until it is his turn to be looked at.
        if let Some(waiter) = self.queue.get_mut(&place) {
            waiter.until = UNKNOWN;
        }
    }

    /// One claims something no longer: the next who lacks it must be looked at.
    fn lift(&mut self, id: &Arc<str>, place: Place) {
        let Some(heads) = self.lacks.get_mut(id) else { return };
        heads.remove(&place);
        let next = heads.range((Bound::Excluded(place), Bound::Unbounded)).next();
        self.due.extend(next.map(|(place, _)| *place));
        if heads.is_empty() {
            self.lacks.remove(id);
        }
    }

    /// Puts the first of a class before all others.
    fn put_before_all(&mut self, class: usize) -> Option<(u64, Place)> {
        let first = Place { rank: 1 + class, turn: 0, number: 0 };
        let place = *self.queue.range(first..).next().filter(|(place, _)| place.rank == 1 + class)?.0;
        let waiter = self.take(place)?;
        let (ticket, moved) = (waiter.ticket, Place { rank: Place::FRONT, turn: 0, ..place });
        if let Some(class) = self.classes.get_mut(class) {
            class.turn = class.turn.max(place.turn);
        }
        self.put(moved, waiter);
        Some((ticket, moved))
    }
}

/// Changes a lane, and what is known of its length.
fn change(
    lengths: &mut BTreeSet<(Priority, usize, Place)>,
    priority: Priority,
    lane: &mut Lane,
    what: impl FnOnce(&mut BTreeSet<Place>) -> bool,
) {
    let length = |lane: &Lane| Some((priority, lane.places.len(), *lane.places.last()?));
    if let Some(before) = length(lane) {
        lengths.remove(&before);
    }
    what(&mut lane.places);
    lengths.extend(length(lane));
}
