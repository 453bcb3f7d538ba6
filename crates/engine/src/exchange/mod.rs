//! One request as a machine: reports in, orders out.
//!
//! A door makes an [`Exchange`], obeys its [`Order`]s one by one and reports what came of them. The machine
//! knows no network and no clock; the door knows no policy. The way back is before the first byte of the
//! answer: a failed attempt returns to rendering with the next target. After it there is only the way on: a
//! stream that breaks is taken up by another target where it stands, or ends with an error.

mod answer;
mod beat;
mod choose;
mod embed;
mod follow;
mod later;
mod machine;
mod orders;
mod prefill;
mod preview;
mod relay;
mod remedy;
mod render;
mod reply;
mod session;
mod unheard;
mod used;

use crate::{
    access::Caller,
    ledger::{Asks, Command, Turn},
    plan::{Aim, PlanHandle, Provider},
    provider::Operation,
    rates::Priority,
    record::{self, Outcome, PassedOver, Record, Trial},
    route::Route,
    tiers::Shape,
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{Carried, DialectId, Fault, Losses, canon, splice::Outline};
use http::Uri;
pub use orders::{Attempt, Inbound, Io, Moved, Named, Order, Reply, Report, Upstream, UpstreamHead};
use prefill::Prefill;
pub(crate) use preview::Preview;
use remedy::Trouble;
use std::{collections::VecDeque, mem, ops::Range, sync::Arc};
use used::Ending;

/// What is asked for.
enum Task {
    /// An operation that is understood.
    Call(Box<Call>),
    /// A request that goes to one provider untouched; one that is `chosen` was not named by the path.
    Pass { uri: Uri, chosen: bool },
    /// A request that is refused before anything is asked of anybody.
    Refused(DialectId),
}

/// An operation that is understood.
struct Call {
    dialect: DialectId,
    operation: Operation,
    /// The operation is not understood, only its model is read.
    relayed: Option<Relayed>,
    outline: Outline,
    model: String,
    stream: bool,
    strict: bool,
    /// The caller asks the model to think first.
    thinks: bool,
    /// The body in canonical form, once a target needed it.
    canonical: Option<Carried<canon::Request>>,
}

/// What is relayed.
struct Relayed {
    /// The path at the provider, with its query.
    path: String,
    model: Place,
}

/// Where the model's name stands.
enum Place {
    /// In a body of JSON.
    Json,
    /// There in a body that is a form.
    Form(Range<usize>),
    /// There in the path.
    Query(Range<usize>),
}

/// One request, from its arrival to its settlement.
pub struct Exchange {
    plan: PlanHandle,
    inbound: Inbound,
    task: Task,
    orders: VecDeque<Order>,
    /// The targets, in the operator's order.
    aims: Vec<Aim>,
    shape: Option<Arc<Shape>>,
    /// It is part of a conversation, which chooses its targets.
    sticks: bool,
    /// How urgent it is, where it has to wait.
    priority: Priority,
    /// Those that have not been asked, as indexes into `aims`.
    left: Vec<usize>,
    /// Those that have been asked, where they have a shape.
    asked: Vec<usize>,
    /// Those that are there for certain faults, which have not happened.
    spare: Vec<usize>,
    /// What the ledger has been asked.
    asking: Option<Asking>,
    /// Where it waits for a limit.
    queued: Option<Queued>,
    /// How long it has waited for limits.
    waited: Option<Span>,
    /// The attempts under way. Once an answer has begun to go out, there is only that one.
    live: Vec<Live>,
    /// What went wrong last, as long as something may still be done about it.
    trouble: Option<Box<Trouble>>,
    trials: Vec<Trial>,
    /// The trial whose answer the caller gets.
    voice: Option<usize>,
    /// Targets that were not asked.
    passed_over: Vec<PassedOver>,
    /// What the answer lost, of whose trial the caller hears.
    losses: Losses,
    admitted: bool,
    /// Nobody gets the answer.
    mirrored: bool,
    /// The caller has gone.
    left_by_caller: bool,
    /// What may still come of a stream, in bytes, where that is read on since the caller has gone.
    unheard: Option<usize>,
    over: bool,
    deadline: Instant,
    status: Option<u16>,
    /// When the first of an answer went out; a heartbeat is none.
    first_byte: Option<Instant>,
    /// When the caller was last sent anything.
    heard: Instant,
    /// What the caller has been sent of a stream that another target could take up.
    sent: Vec<Bytes>,
    sent_len: usize,
    /// Targets that are asked for the whole answer from here on, since they did not go on with its beginning.
    unprefilled: Vec<usize>,
    /// What went over a WebSocket.
    carried: Option<(u64, u64)>,
}

/// A place in the ledger's queue.
#[derive(Clone, Copy)]
struct Queued {
    /// What is asked again.
    asking: Asking,
    command: Command,
    since: Instant,
    until: Instant,
}

/// What the ledger has been asked.
#[derive(Clone, Copy)]
enum Asking {
    /// Whether the caller may.
    Admission,
    /// For a turn that shall mend what went wrong.
    Remedy,
    /// For a turn beside a slow one.
    Race,
}

/// An attempt under way.
struct Live {
    attempt: Attempt,
    turn: Turn,
    /// How often its target has been asked with the same key, this time included.
    tries: u32,
    asked: Instant,
    /// It was asked for a WebSocket.
    socket: bool,
    /// When the next target is asked beside it.
    race: Instant,
    /// The same where it need not be slow.
    hedge: Instant,
    /// What could not be carried to it.
    losses: Losses,
    /// The beginning of the answer that it was given.
    prefill: Option<Prefill>,
    /// How often its answer was asked for again that was not finished.
    followed: u32,
    phase: Phase,
}

/// Where an attempt stands.
enum Phase {
    /// The provider has not answered.
    Asked { until: Instant },
    /// The provider has refused; its body is being read, as far as it matters.
    Refused { head: UpstreamHead, body: Vec<u8>, until: Instant },
    /// The provider is answering.
    Answering(Box<Answering>),
    /// The answer is not finished, and will be asked for again.
    Pausing { until: Instant, next: follow::Next },
    /// The connections are a WebSocket, over which the door carries bytes.
    Socket { until: Instant },
}

/// An answer on its way.
struct Answering {
    head: UpstreamHead,
    way: reply::Way,
    /// What has been brought forth before the head was committed.
    held: Vec<Bytes>,
    held_len: usize,
    /// When its first content came.
    begun: Option<Instant>,
    /// How much of the body the caller has been sent, and how much it has, where that was said.
    passed: u64,
    length: Option<u64>,
    until: Instant,
}

impl Exchange {
    /// A request for an operation that is understood. Whatever is wrong with it is told through the orders,
    /// like everything else.
    #[must_use]
    pub fn call(plan: PlanHandle, dialect: DialectId, operation: Operation, inbound: Inbound) -> Self {
        let read = Outline::read(&inbound.body, &[])
            .and_then(|outline| render::read_call(&plan, dialect, operation, &inbound, outline));
        Exchange::read(plan, dialect, inbound, read)
    }

    /// A request that goes to `provider` untouched, at `path` (with its query) behind the provider's base.
    #[must_use]
    pub fn pass(plan: PlanHandle, provider: usize, path: &str, inbound: Inbound) -> Self {
        Exchange::passing(plan, provider, path, inbound, false)
    }

    fn passing(plan: PlanHandle, provider: usize, path: &str, inbound: Inbound, chosen: bool) -> Self {
        let aim = Aim::new(provider, String::new());
        let uri = plan.providers.get(provider).and_then(|p| p.address(path));
        let wrong = || Fault::bad("", "the path cannot stand behind the provider's address");
        match Priority::said(&inbound.headers).and_then(|_| uri.ok_or_else(wrong)) {
            Ok(uri) => Exchange::new(plan, inbound, Task::Pass { uri, chosen }, aim.into()),
            Err(fault) => Exchange::refuse(plan, DialectId::OpenaiChat, inbound, &fault),
        }
    }

    /// The same request for the target that it shall be mirrored to, if it shall: an exchange of its own, whose
    /// answer is for nobody.
    #[must_use]
    pub fn mirror(&self) -> Option<Exchange> {
        let mirror = self.shape.as_ref()?.mirror.as_ref()?;
        let Task::Call(call) = &self.task else { return None };
        let whole = call.operation == Operation::Generate && call.relayed.is_none() && !self.inbound.more;
        if !whole || !mirror.takes(self.inbound.roll) {
            return None;
        }
        let id = format!("{}-mirror", self.inbound.id);
        // A number of its own, and for nobody: it takes nothing from its caller's limits.
        let (roll, caller) = (!self.inbound.roll, Caller(None));
        let inbound = Inbound { id, roll, caller, ..self.inbound.clone() };
        let (call, _) =
            render::read_call(&self.plan, call.dialect, call.operation, &inbound, call.outline.clone())
                .ok()?;
        let route = self.plan.resolve(&mirror.to).ok()?;
        let mut exchange = Exchange::new(self.plan.clone(), inbound, Task::Call(Box::new(call)), route);
        (exchange.mirrored, exchange.priority) = (true, Priority::Batch);
        exchange.arrange();
        exchange.pass_over();
        Some(exchange)
    }

    /// What to do next.
    pub fn order(&mut self) -> Option<Order> {
        self.drop_unheard();
        self.orders.pop_front().or_else(|| self.wait().map(Order::Wait))
    }

    /// What the ledger must know to answer [`Order::Ask`] and [`Order::Note`].
    #[must_use]
    pub fn asks(&self) -> Asks<'_> {
        let Inbound { key, roll, caller, .. } = self.inbound;
        let shape = self.shape.as_deref().filter(|_| !self.sticks);
        let model = match &self.task {
            Task::Call(call) => call.model.as_str(),
            _ => "",
        };
        let (ticket, body) = (self.ticket(), &*self.inbound.body);
        let (plan, aims, left) = (&*self.plan, &self.aims, &self.left);
        let priority = self.priority;
        Asks { plan, aims, left, shape, key, roll, ticket, caller, priority, model, body }
    }

    /// The number by which the ledger knows it.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.inbound.roll
    }

    /// It waits for a limit: the door must report [`Report::Woke`] when the ledger says so, whatever the time.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.queued.is_some() && self.asking.is_none()
    }

    fn new(plan: PlanHandle, inbound: Inbound, task: Task, route: Route) -> Self {
        let (deadline, heard) = (inbound.arrived.after(plan.timeouts.total), inbound.arrived);
        let said = Priority::said(&inbound.headers).ok().flatten().unwrap_or(Priority::Interactive);
        let priority = plan.rates.priority(inbound.caller).max(said);
        let mut orders = VecDeque::with_capacity(4);
        orders.push_back(Order::Ask(Command::Admit(inbound.caller)));
        Exchange {
            plan,
            inbound,
            task,
            orders,
            left: (0..route.aims.len()).collect(),
            aims: route.aims,
            shape: route.shape,
            priority,
            sticks: false,
            asked: Vec::new(),
            spare: Vec::new(),
            asking: Some(Asking::Admission),
            queued: None,
            waited: None,
            live: Vec::with_capacity(1),
            trouble: None,
            trials: Vec::with_capacity(1),
            voice: None,
            passed_over: Vec::new(),
            losses: Losses::new(),
            admitted: false,
            mirrored: false,
            left_by_caller: false,
            unheard: None,
            over: false,
            deadline,
            status: None,
            first_byte: None,
            heard,
            sent: Vec::new(),
            sent_len: 0,
            unprefilled: Vec::new(),
            carried: None,
        }
    }

    fn read(
        plan: PlanHandle,
        dialect: DialectId,
        inbound: Inbound,
        read: Result<(Call, Route), Fault>,
    ) -> Self {
        match read {
            Ok((call, route)) => {
                let mut exchange = Exchange::new(plan, inbound, Task::Call(Box::new(call)), route);
                exchange.arrange();
                exchange.pass_over();
                exchange
            }
            Err(fault) => Exchange::refuse(plan, dialect, inbound, &fault),
        }
    }

    /// A request that is refused before anything is asked of anybody.
    fn refuse(plan: PlanHandle, dialect: DialectId, inbound: Inbound, fault: &Fault) -> Self {
        let arrived = inbound.arrived;
        let mut exchange = Exchange::new(plan, inbound, Task::Refused(dialect), Route::default());
        exchange.orders.clear();
        exchange.asking = None;
        exchange.tell(fault, arrived);
        exchange
    }

    /// Until when there is something to wait for.
    fn wait(&self) -> Option<Instant> {
        if self.over || self.asking.is_some() {
            return None;
        }
        let pause = self.trouble.as_ref().filter(|_| self.live.is_empty()).and_then(|trouble| trouble.pause);
        let race = self.live.iter().map(|live| live.race.min(live.hedge)).min().filter(|_| self.may_race());
        let queued = self.queued.map(|queued| queued.until);
        let limits = self.live.iter().map(Live::until);
        let hold = self.hold();
        let ripe = self.live.iter().filter_map(|live| live.ripe(hold));
        let beat = self.next_beat();
        limits.chain(ripe).chain(race).chain(pause).chain(queued).chain(beat).chain([self.deadline]).min()
    }

    /// The provider of a target.
    fn provider(&self, aim: usize) -> Option<&Provider> {
        self.plan.providers.get(self.aims.get(aim)?.provider)
    }

    /// The dialect in which a target is asked.
    fn dialect_of(&self, aim: usize) -> DialectId {
        let Some(provider) = self.provider(aim) else { return DialectId::OpenaiChat };
        let model = self.aims.get(aim).map_or("", |aim| aim.model.as_str());
        let speech = match &self.task {
            Task::Call(call) => provider.speech(call.dialect, model),
            _ => None,
        };
        speech.map_or_else(|| provider.dialect(), |speech| speech.dialect)
    }

    /// The record, for which the exchange gives up what it knows: it is over.
    fn record(&mut self, outcome: Outcome, now: Instant) -> Record {
        let (dialect, model) = match &mut self.task {
            Task::Call(call) => (call.dialect, mem::take(&mut call.model)),
            Task::Pass { .. } => (self.dialect_of(0), String::new()),
            Task::Refused(dialect) => (*dialect, String::new()),
        };
        let heard = self.voice.and_then(|voice| self.trials.get(voice)).or(self.trials.last());
        let usage = heard.and_then(|trial| trial.usage.clone());
        Record {
            id: mem::take(&mut self.inbound.id),
            caller: self.inbound.caller,
            admitted: self.admitted,
            mirrored: self.mirrored,
            dialect,
            model,
            cost: record::cost(&self.trials),
            trials: mem::take(&mut self.trials),
            voice: self.voice,
            passed_over: mem::take(&mut self.passed_over),
            status: self.status,
            outcome,
            usage,
            ttft: self.first_byte.map(|at| at.since(self.inbound.arrived)),
            took: now.since(self.inbound.arrived),
            queued: self.waited,
            losses: mem::take(&mut self.losses),
            carried: self.carried,
            unheard: self.unheard.is_some(),
        }
    }
}

impl Answering {
    /// When its beginning has been held back for long enough.
    fn ripe(&self, hold: Option<(usize, Span)>) -> Instant {
        match (self.begun, hold) {
            (Some(begun), Some((_, time))) => begun.after(time),
            _ => Instant(u64::MAX),
        }
    }
}

impl Live {
    /// When what it holds back goes out, whatever comes.
    fn ripe(&self, hold: Option<(usize, Span)>) -> Option<Instant> {
        match &self.phase {
            Phase::Answering(answering) if !answering.held.is_empty() => Some(answering.ripe(hold)),
            _ => None,
        }
    }

    /// Its answer is not the one that it should go on with.
    fn strayed(&self) -> bool {
        matches!(&self.phase, Phase::Answering(answering) if answering.way.pipe.strayed())
    }

    fn until(&self) -> Instant {
        match &self.phase {
            Phase::Asked { until }
            | Phase::Refused { until, .. }
            | Phase::Pausing { until, .. }
            | Phase::Socket { until } => *until,
            Phase::Answering(answering) => answering.until,
        }
    }
}
