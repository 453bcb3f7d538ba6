//! Many requests on one ledger: callers, configurations and providers of one seed, all at once, and beside them
//! a second and simpler statement of what may happen, to which everything is held.
//!
//! What a request is and what a provider does with it hang on the seed, the request's number and the attempt's
//! number, and on nothing else. So a seed is the same world whenever it is played, and its first requests are
//! the same whether others follow or not.

mod arrive;
mod choice;
mod health;
mod make;
pub(super) mod run;
mod story;
mod watch;
pub(super) mod wire;

use super::chance::Chance;
use crate::{
    access::Caller,
    exchange::{Attempt, Exchange, Io, Order, Report, UpstreamHead},
    ledger::{Answer, Command, Ledger, Note, Turn},
    path::KeyChoice,
    plan::Plan,
    record::{Outcome, Record},
    tiers::mix,
    time::{Instant, Span},
};
use arrive::Arrivals;
use bytes::Bytes;
use dialect::FaultKind;
pub(crate) use health::Gate;
use health::{At, Health};
use http::StatusCode;
use make::{Act, Setup, Stage};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};
use story::{Story, rule};
use watch::{Seeker, Watches};
use wire::Wire;

/// Broken rules are told in words.
type Rule = Result<(), String>;

/// More steps than any request takes.
const STEPS_MAX: u32 = 5_000;

/// A world under way.
struct World<'w> {
    setup: &'w Setup,
    wire: &'w mut Wire,
    ledger: Ledger,
    now: Instant,
    /// What happens next, in order of time and then as it was put here.
    events: BinaryHeap<Reverse<Event>>,
    count: u64,
    ones: Vec<Option<Box<One>>>,
    free: Vec<usize>,
    /// Where the one with that number is.
    tickets: HashMap<u64, usize>,
    health: Health,
    watches: Watches,
    /// Which targets a conversation has.
    sessions: HashMap<(usize, usize, u64), Vec<usize>>,
    admitted: u64,
    tally: Tally,
}

/// Something that happens: when, after how many others, to whom in which place, and what.
type Event = (Instant, u64, usize, u64, What);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrives(u64),
    Wakes,
    Speaks(u32),
    Leaves,
    Shuts,
}

/// One request under way.
struct One {
    exchange: Exchange,
    ticket: u64,
    caller: Caller,
    model: String,
    /// What the request is thought to cost, where somebody counts that.
    tokens: u64,
    story: Story,
    live: Vec<Live>,
    /// When it wants to be woken, and when it will be at the latest.
    wakes: Instant,
    set: Instant,
    turn: Option<Turn>,
    /// It has waited for what it asks.
    waited: bool,
    /// It holds what its own limits gave it, and what that has cost so far.
    admitted: bool,
    spent: u64,
    unknown: bool,
    steps: u32,
}

/// A provider's answer on its way.
struct Live {
    attempt: Attempt,
    head: Option<UpstreamHead>,
    body: Bytes,
    piece: usize,
    next: Instant,
    pause: Span,
    end: Last,
}

enum Last {
    Clean,
    Never,
    Fails(Io),
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) attempts: u64,
    pub(super) whole: u64,
    pub(super) refused: u64,
    pub(super) broken_off: u64,
    pub(super) left: u64,
    pub(super) raced: u64,
    pub(super) resumed: u64,
    pub(super) failed_over: u64,
    pub(super) again: u64,
    pub(super) queued: u64,
    pub(super) limited: u64,
    pub(super) mirrored: u64,
    pub(super) reloaded: u64,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) steps: u64,
}

impl<'w> World<'w> {
    fn new(setup: &'w Setup, wire: &'w mut Wire) -> World<'w> {
        World {
            setup,
            wire,
            ledger: Ledger::default(),
            now: Instant::default(),
            events: BinaryHeap::new(),
            count: 0,
            ones: Vec::new(),
            free: Vec::new(),
            tickets: HashMap::new(),
            health: Health::default(),
            watches: Watches::default(),
            sessions: HashMap::new(),
            admitted: 0,
            tally: Tally::default(),
        }
    }

    /// Plays the requests of these numbers, in order, to the end of them all.
    fn play(&mut self, numbers: impl Iterator<Item = u64>) -> Rule {
        let mut numbers = numbers.peekable();
        let mut arrivals = Arrivals::new(self.setup);
        let mut arrive = |world: &mut Self| {
            if let Some(number) = numbers.next() {
                world.put(arrivals.at(number), usize::MAX, 0, What::Arrives(number));
            }
        };
        arrive(self);
        while let Some(Reverse((at, _, place, ticket, what))) = self.events.pop() {
            self.now = self.now.max(at);
            if let What::Arrives(number) = what {
                self.arrive(number)?;
                arrive(self);
            } else {
                self.step(place, ticket, at, what)?;
            }
        }
        self.end()
    }

    fn put(&mut self, at: Instant, place: usize, ticket: u64, what: What) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, place, ticket, what)));
    }

    fn end(&mut self) -> Rule {
        rule(self.ones.iter().all(Option::is_none), "everybody comes to an end")?;
        rule(
            self.ledger.in_flight() == 0 && self.ledger.settled() == self.admitted,
            "admissions are settled once",
        )?;
        rule(self.ledger.under_way() == 0, "every turn is given back")?;
        rule(self.ledger.waiting().now == 0 && self.ledger.is_clear(), "nothing is kept for nobody")?;
        rule(self.watches.is_empty(), "limits are given back what they gave")?;
        (self.tally.opened, self.tally.closed) = (self.health.opened, self.health.closed);
        Ok(())
    }

    /// Something happens to a request, if it is still there.
    fn step(&mut self, place: usize, ticket: u64, at: Instant, what: What) -> Rule {
        let now = self.now;
        let Some(one) = self.ones[place].as_mut().filter(|one| one.ticket == ticket) else { return Ok(()) };
        match what {
            What::Arrives(_) => {}
            What::Wakes => {
                if at != one.set {
                    return Ok(());
                }
                one.set = Instant(u64::MAX);
                if one.wakes > now {
                    let wakes = one.wakes;
                    one.set = wakes;
                    self.put(wakes, place, ticket, What::Wakes);
                    return Ok(());
                }
                one.exchange.report(Report::Woke, now);
            }
            What::Leaves => {
                one.story.left = true;
                one.exchange.report(Report::ClientGone, now);
            }
            What::Shuts => {
                one.story.shut = true;
                one.exchange.report(Report::ShuttingDown, now);
            }
            What::Speaks(attempt) => return self.speak(place, Attempt(attempt)),
        }
        self.obey(place)
    }

    /// A provider goes on with its answer.
    fn speak(&mut self, place: usize, attempt: Attempt) -> Rule {
        let now = self.now;
        let Some(one) = self.ones[place].as_mut() else { return Ok(()) };
        let Some(at) = one.live.iter().position(|live| live.attempt == attempt) else { return Ok(()) };
        let live = &mut one.live[at];
        if let Some(head) = live.head.take() {
            one.exchange.report(Report::Head(attempt, head), now);
        } else if !live.body.is_empty() {
            let piece = live.body.split_to(live.piece.min(live.body.len()));
            one.exchange.report(Report::Body(attempt, piece), now);
        } else {
            let live = one.live.swap_remove(at);
            let report = match live.end {
                Last::Fails(io) => Report::Failed(attempt, io),
                Last::Clean | Last::Never => Report::End(attempt),
            };
            one.exchange.report(report, now);
        }
        self.obey(place)?;
        let Some(one) = self.ones[place].as_mut() else { return Ok(()) };
        let Some(live) = one.live.iter_mut().find(|live| live.attempt == attempt) else { return Ok(()) };
        if live.body.is_empty() && matches!(live.end, Last::Never) {
            return Ok(());
        }
        live.next = now.after(live.pause);
        let (next, ticket) = (live.next, one.ticket);
        self.put(next, place, ticket, What::Speaks(attempt.0));
        Ok(())
    }

    /// Does as it is ordered, as a door would.
    fn obey(&mut self, place: usize) -> Rule {
        let Some(mut one) = self.ones[place].take() else { return Ok(()) };
        let mut over = false;
        while let Some(order) = one.exchange.order() {
            rule(!over, "nothing comes after `Done`")?;
            one.steps += 1;
            self.tally.steps += 1;
            match order {
                Order::Ask(command) => self.ask(&mut one, command)?,
                Order::Note(note) => self.note(&mut one, note)?,
                Order::Leave(ticket) => self.leave(&mut one, ticket)?,
                Order::Part(_) => rule(false, "no stream is read on for who has left")?,
                Order::Send(attempt, upstream) => self.send(&mut one, place, attempt, upstream.provider)?,
                Order::Cancel(attempt) => one.live.retain(|live| live.attempt != attempt),
                Order::Head(reply) => {
                    rule(one.story.head.is_none(), "there is one head")?;
                    one.story.head = Some(reply);
                }
                Order::Body(bytes) => {
                    rule(one.story.head.is_some(), "the head comes before the body")?;
                    one.story.body.push(bytes);
                }
                Order::Abort => one.story.aborted = true,
                Order::Wait(until) => {
                    self.sleep(&mut one, place, until)?;
                    break;
                }
                Order::Done(record) => {
                    over = true;
                    self.done(&mut one, &record)?;
                }
            }
        }
        rule(one.steps < STEPS_MAX, "it does not turn in circles")?;
        if over {
            self.tickets.remove(&one.ticket);
            self.free.push(place);
        } else {
            self.ones[place] = Some(one);
        }
        self.wake()
    }

    fn sleep(&mut self, one: &mut One, place: usize, until: Instant) -> Rule {
        let total = self.setup.stages[one.story.stage].plan.timeouts.total;
        rule(until <= one.story.arrived.after(total), "nobody waits longer than he may")?;
        one.wakes = until.max(Instant(self.now.0 + 1));
        if one.set > one.wakes {
            one.set = one.wakes;
            self.put(one.wakes, place, one.ticket, What::Wakes);
        }
        Ok(())
    }

    /// As a door does: whoever is called is woken.
    fn wake(&mut self) -> Rule {
        for ticket in self.ledger.take_woken() {
            let place = self.tickets.get(&ticket).copied().ok_or("only who is there is called")?;
            let Some(one) = self.ones[place].as_mut() else { continue };
            rule(one.exchange.is_queued(), "only who waits is called")?;
            (one.wakes, one.set) = (self.now, self.now);
            self.put(self.now, place, ticket, What::Wakes);
        }
        if self.ledger.waiting().now > 0 {
            rule(self.ledger.forgets_nobody(self.now), "nobody waits who may go")?;
            let size = |stage: &Stage| stage.plan.rates.queue.map_or(0, |queue| queue.size);
            let most = self.setup.stages.iter().map(size).max().unwrap_or_default();
            rule(self.ledger.waiting().now <= most, "the queue is bounded")?;
        }
        Ok(())
    }

    fn ask(&mut self, one: &mut One, command: Command) -> Rule {
        let now = self.now;
        let stage = &self.setup.stages[one.story.stage];
        let asks = one.exchange.asks();
        let chooses = matches!(command, Command::Admit(_) | Command::Next | Command::Race);
        let first = matches!(command, Command::Admit(_));
        let look = chooses && asks.left.len() > 1 && stage.plan.rates.is_empty();
        let open: Vec<usize> = match look {
            true => asks.left.iter().copied().filter(|aim| self.ledger.is_open(&asks, *aim, now)).collect(),
            false => Vec::new(),
        };
        let answer = self.ledger.apply(&asks, command, now);
        match &answer {
            Answer::Admitted(turn) | Answer::Begun(turn) => {
                if look {
                    self.is_best(one, stage, &open, *turn)?;
                }
                self.begin(one, stage, (first, matches!(command, Command::Again(_))), open.len() > 1, *turn)?;
            }
            Answer::Refused(fault) => {
                let busy = self.ledger.waiting().now > 0 || stage.plan.rates.requests.is_some();
                let called = self.ones.iter().flatten().any(|one| one.exchange.is_queued());
                let chosen = one.exchange.asks().key != KeyChoice::Next;
                let barred = busy || called || chosen || self.is_barred(one, stage);
                rule(barred, &format!("nobody is told `{}` who may go", fault.message))?;
                self.tally.limited += 1;
            }
            Answer::Queued(..) => one.waited = true,
            Answer::Spent => one.story.denied = true,
        }
        one.exchange.report(Report::Answer(answer), now);
        Ok(())
    }

    /// An attempt begins.
    fn begin(
        &mut self,
        one: &mut One,
        stage: &Stage,
        (first, again): (bool, bool),
        choice: bool,
        turn: Turn,
    ) -> Rule {
        let now = self.now;
        if first {
            self.admitted += 1;
            one.admitted = true;
            self.watches.start(&one.seeker(&stage.plan), None, now)?;
        }
        let asks = one.exchange.asks();
        let aim = &asks.aims[turn.aim];
        let (source, model) = (stage.sources[aim.provider], known(&aim.model));
        let (provider, keys) = (aim.provider, self.setup.sources[source].keys);
        let who = one.seeker(&stage.plan);
        let at = At { source, model, key: turn.key, now };
        if asks.key == KeyChoice::Next {
            let watches = &mut self.watches;
            let mut free: Vec<bool> = vec![true; keys];
            let rates = &stage.plan.rates;
            // A place with a key may be kept for one who has been called from the queue and has not come yet.
            let kept = rates.queue.is_some() && rates.of_keys(provider).next().is_some();
            if kept {
                free = vec![false; keys];
            } else if !rates.is_empty() {
                free = (0..keys).map(|key| !watches.bars(&who, Some((provider, model, key)), now)).collect();
            }
            self.health.used(at, keys, |key| free[key])?;
        }
        self.watches.start(&who, Some((provider, model, turn.key)), now)?;
        let gate = self.gate(stage, aim);
        self.health.asked(at, again, choice, gate)?;
        self.tally.again += u64::from(again);
        (one.turn, one.waited) = (Some(turn), false);
        Ok(())
    }

    /// A limit holds up whatever this one could do.
    fn is_barred(&mut self, one: &One, stage: &Stage) -> bool {
        let asks = one.exchange.asks();
        let targets: Vec<(usize, &str, usize)> = asks
            .left
            .iter()
            .map(|aim| &asks.aims[*aim])
            .map(|aim| {
                (aim.provider, aim.model.as_str(), self.setup.sources[stage.sources[aim.provider]].keys)
            })
            .collect();
        self.watches.bar(&one.seeker(&stage.plan), &targets, self.now)
    }

    fn note(&mut self, one: &mut One, note: Note) -> Rule {
        let (now, stage) = (self.now, &self.setup.stages[one.story.stage]);
        let asks = one.exchange.asks();
        self.ledger.note(&asks, note, now);
        let aim = &asks.aims[note.aim];
        let (provider, model) = (aim.provider, known(&aim.model));
        let who = one.seeker(&stage.plan);
        self.watches.stop(
            &who,
            Some((provider, model, note.key)),
            |held| note.tokens.unwrap_or(held),
            now,
        )?;
        one.spent += note.tokens.unwrap_or(0);
        one.unknown |= note.tokens.is_none();
        let at = At { source: stage.sources[provider], model, key: note.key, now };
        let gate = self.gate(stage, aim);
        self.health.ended(at, note.verdict, gate)?;
        one.story.noted(self.setup, note, now)?;
        Ok(())
    }

    fn leave(&mut self, one: &mut One, ticket: u64) -> Rule {
        self.ledger.leave(ticket, self.now);
        if std::mem::take(&mut one.admitted) {
            let (spent, unknown) = (one.spent, one.unknown);
            let cost = |held: u64| if unknown { spent.max(held) } else { spent };
            let plan = &self.setup.stages[one.story.stage].plan;
            self.watches.stop(&one.seeker(plan), None, cost, self.now)?;
        }
        Ok(())
    }

    /// A provider is asked, and begins to do what it will.
    fn send(&mut self, one: &mut One, place: usize, attempt: Attempt, provider: usize) -> Rule {
        let now = self.now;
        let stage = &self.setup.stages[one.story.stage];
        let turn = one.turn.take().ok_or("nobody is asked unasked")?;
        let aim = &one.exchange.asks().aims[turn.aim];
        rule(aim.provider == provider, "whose turn it is is asked")?;
        let (number, model) = (stage.sources[provider], known(&aim.model));
        let source = &self.setup.sources[number];
        let mut chance = Chance::new(mix(one.ticket ^ mix(u64::from(attempt.0) + 1)));
        let (act, first, pause) = source.does(turn.key, now, &mut chance);
        let stream = one.story.stream;
        let (status, retry, body, end) = self.answer(number, &act, stream);
        let head = (status > 0).then(|| UpstreamHead {
            status: StatusCode::from_u16(status).unwrap(),
            headers: self.wire.head(source.dialect, stream && status == 200, retry),
            framed: false,
            signed_with: Vec::new(),
        });
        self.tally.attempts += 1;
        self.tally.raced += u64::from(!one.live.is_empty());
        self.tally.resumed += u64::from(one.story.head.is_some());
        one.story.sends(self.setup, attempt, (turn.aim, number, model, turn.key), act, now)?;
        let never = head.is_none() && matches!(end, Last::Never);
        let (next, piece) = (now.after(first), (body.len() / source.pieces).max(1));
        one.live.push(Live { attempt, head, body, piece, next, pause, end });
        if !never {
            self.put(next, place, one.ticket, What::Speaks(attempt.0));
        }
        Ok(())
    }

    /// Status, when to come back, body and end of what a source does.
    fn answer(&mut self, number: usize, act: &Act, stream: bool) -> (u16, Option<u64>, Bytes, Last) {
        let source = &self.setup.sources[number];
        let mut whole = || self.wire.answer(source.dialect, stream, source.voice, source.output);
        let mut part = |thousandths: u64| {
            let whole = whole();
            whole.slice(..usize::try_from(whole.len() as u64 * thousandths / 1_000).unwrap())
        };
        let said = Bytes::from_static;
        match act {
            Act::Answer => (200, None, whole(), Last::Clean),
            Act::Cut(at) => (200, None, part(*at), Last::Clean),
            Act::Break(at) => (200, None, part(*at), Last::Fails(Io::Broken)),
            Act::Stall(at) => (200, None, part(*at), Last::Never),
            Act::Silent => (0, None, Bytes::new(), Last::Never),
            Act::Fail(io) => (0, None, Bytes::new(), Last::Fails(*io)),
            Act::Refuse(status, retry) => (*status, *retry, said(wire::refusal(act)), Last::Clean),
            Act::TooLong | Act::Filtered => (400, None, said(wire::refusal(act)), Last::Clean),
            Act::ErrorInside => (200, None, said(wire::error_inside(stream)), Last::Clean),
            Act::Garbage => (200, None, said(b"\x00\xff<html>{{{{data: "), Last::Clean),
        }
    }

    fn done(&mut self, one: &mut One, record: &Record) -> Rule {
        if record.admitted {
            self.ledger.settle(record);
        }
        rule(one.live.is_empty(), "nothing goes on that nobody waits for")?;
        rule(record.mirrored == one.story.name.is_none(), "the record tells a mirrored request")?;
        rule(one.turn.is_none() || one.story.left, "a turn is used")?;
        one.story.ends(self.setup, record, self.wire, self.now)?;
        let refused = record.status.is_some_and(|status| status >= 400);
        let whole = record.outcome == Outcome::Whole;
        let tally = &mut self.tally;
        tally.whole += u64::from(whole);
        tally.refused += u64::from(refused);
        tally.broken_off += u64::from(matches!(record.outcome, Outcome::Fault(_)) && !refused);
        tally.left += u64::from(record.outcome == Outcome::ClientGone);
        tally.failed_over += u64::from(whole && record.trials.len() > 1);
        tally.queued += u64::from(record.queued.is_some());
        let lost = matches!(record.outcome, Outcome::Fault(FaultKind::Internal | FaultKind::ModelNotFound));
        rule(!lost, "no defect is ours")
    }
}

impl One {
    fn new(
        exchange: Exchange,
        (ticket, caller): (u64, Caller),
        (model, tokens): (String, u64),
        story: Story,
    ) -> One {
        let never = Instant(u64::MAX);
        One {
            exchange,
            ticket,
            caller,
            model,
            tokens,
            story,
            live: Vec::new(),
            wakes: never,
            set: never,
            turn: None,
            waited: false,
            admitted: false,
            spent: 0,
            unknown: false,
            steps: 0,
        }
    }

    fn seeker<'a>(&'a self, plan: &'a Plan) -> Seeker<'a> {
        let (ticket, caller, tokens, called) = (self.ticket, self.caller, self.tokens, self.waited);
        Seeker { plan, ticket, caller, name: &self.model, tokens, called }
    }
}

/// The name of a model as it is known here.
fn known(model: &str) -> &'static str {
    if model == make::MODELS[0] { make::MODELS[0] } else { make::MODELS[1] }
}
