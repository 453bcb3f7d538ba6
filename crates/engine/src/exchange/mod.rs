//! One request as a machine: reports in, orders out.
//!
//! A door makes an [`Exchange`], obeys its [`Order`]s one by one and reports what came of them. The machine
//! knows no network and no clock; the door knows no policy. The way back is before the first byte of the
//! answer: a failed attempt returns to rendering with the next target. After it there is only the way on: a
//! stream that breaks is taken up by another target where it stands, or ends with an error.

mod answer;
mod choose;
mod embed;
mod follow;
mod later;
mod machine;
mod preview;
mod relay;
mod remedy;
mod render;
mod reply;
mod session;

use crate::{
    access::Caller,
    cloud::Signer,
    form::Field,
    ledger::{Answer, Asks, Command, Note, Turn},
    path::KeyChoice,
    plan::{Aim, PlanHandle, Provider},
    provider::Operation,
    record::{Outcome, PassedOver, Record, Trial},
    route::Route,
    secret::Secret,
    tiers::Shape,
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{Carried, DialectId, Fault, Losses, canon, splice::Outline};
use http::{HeaderMap, Method, StatusCode, Uri};
pub(crate) use preview::Preview;
use remedy::Trouble;
use std::{collections::VecDeque, fmt, mem, ops::Range, sync::Arc};

/// A request as the door received it, its caller known and its body read.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The id that the caller will be told.
    pub id: String,
    /// Who calls.
    pub caller: Caller,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// More of the body comes behind that. Only the door has it, and it can be sent once.
    pub more: bool,
    /// Where the body names its model, where it is a form.
    pub field: Option<Field>,
    /// What the path says of an operation whose dialect does not say it in the body.
    pub named: Option<Named>,
    /// Which of the provider's keys it wants.
    pub key: KeyChoice,
    /// A number by chance that no other request has, for what is chosen by chance and for the ledger.
    pub roll: u64,
    /// When it arrived.
    pub arrived: Instant,
}

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The model.
    pub model: String,
    /// The answer is wanted as a stream.
    pub stream: bool,
    /// The stream is wanted as a JSON array, as Gemini's are without `alt=sse`.
    pub list: bool,
}

/// The number of an attempt, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// What the door must do.
pub enum Order {
    /// Ask the ledger, and report the answer before anything else.
    Ask(Command),
    /// Have the ledger take note of how an attempt ended.
    Note(Note),
    /// Have the ledger know that this exchange is over, or waits no longer: its number.
    Leave(u64),
    /// Send this request to a provider.
    Send(Attempt, Box<Upstream>),
    /// Give up an attempt: the provider must see it at once.
    Cancel(Attempt),
    /// Send this head to the caller. Once, before any body.
    Head(Box<Reply>),
    /// Send these bytes to the caller, and take no more from the provider before they are gone.
    Body(Bytes),
    /// Break the caller's connection: the answer is not whole, and the dialect has no other way to say so.
    Abort,
    /// Report what comes of any attempt that is under way, or that it is this time.
    Wait(Instant),
    /// It is over: settle it and keep the record.
    Done(Box<Record>),
}

/// What the door has to tell.
#[derive(Debug)]
pub enum Report {
    /// The ledger's answer.
    Answer(Answer),
    /// The head of a provider's answer.
    Head(Attempt, UpstreamHead),
    /// A piece of its body.
    Body(Attempt, Bytes),
    /// Its body has ended, cleanly.
    End(Attempt),
    /// The attempt failed.
    Failed(Attempt, Io),
    /// The rest of the caller's body, of which the attempt has had a part, cannot be sent.
    Refused(Attempt, Fault),
    /// What the door carries by itself has moved: the rest of the body, or a WebSocket.
    Moved(Attempt, Moved),
    /// It is the time that [`Order::Wait`] named, or the ledger calls the exchange from its queue.
    Woke,
    /// The caller has gone.
    ClientGone,
    /// The gateway shuts down and waits no longer.
    ShuttingDown,
}

/// What has been carried so far, past the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When the last of it was.
    pub at: Instant,
    /// Bytes to the provider.
    pub up: u64,
    /// Bytes to the caller.
    pub down: u64,
}

/// A request to a provider.
pub struct Upstream {
    /// Index into [`Plan::providers`].
    pub provider: usize,
    /// The method.
    pub method: Method,
    /// The address.
    pub uri: Uri,
    /// The headers, the provider's key among them, if it has one.
    pub headers: HeaderMap,
    /// The body, in pieces that share the caller's buffer.
    pub body: Vec<Bytes>,
    /// The rest of the caller's body comes behind these.
    pub more: bool,
    /// The connection shall become a WebSocket, over HTTP/1.1. Where the answer's head is a 101, the door
    /// carries bytes both ways until one side ends it ([`Report::End`]).
    pub socket: bool,
    /// What must sign it before it is sent.
    pub signer: Option<Arc<Signer>>,
}

/// The head of a provider's answer.
#[derive(Clone)]
pub struct UpstreamHead {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The transport tells the end of the body from a broken connection: it has a length, chunks or frames.
    pub framed: bool,
    /// What the door signed the request with: no caller may read it in the answer.
    pub signed_with: Vec<Secret>,
}

impl fmt::Debug for UpstreamHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamHead").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The head of our answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that the door knows itself (length, connection, date).
    pub headers: HeaderMap,
    /// The length of the body, where it is known before it is sent.
    pub length: Option<u64>,
}

/// How an attempt failed before or between bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// No connection: the name is unknown, or nobody listens.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No TLS with this peer.
    Tls,
    /// The connection broke.
    Broken,
    /// There are no credentials to sign with; the door has told the operator why.
    Credentials,
}

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
    outline: Outline<'static>,
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
    over: bool,
    deadline: Instant,
    status: Option<u16>,
    first_byte: Option<Instant>,
    /// What the caller has been sent of a stream that another target could take up.
    sent: Vec<Bytes>,
    sent_len: usize,
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
    /// What could not be carried to it.
    losses: Losses,
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
        let read = render::read_call(&plan, dialect, operation, &inbound);
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
        match uri {
            Some(uri) => Exchange::new(plan, inbound, Task::Pass { uri, chosen }, aim.into()),
            None => {
                let fault = Fault::bad("", "the path cannot stand behind the provider's address");
                Exchange::refuse(plan, DialectId::OpenaiChat, inbound, &fault)
            }
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
        let (call, _) = render::read_call(&self.plan, call.dialect, call.operation, &inbound).ok()?;
        let route = self.plan.resolve(&mirror.to).ok()?;
        let mut exchange = Exchange::new(self.plan.clone(), inbound, Task::Call(Box::new(call)), route);
        exchange.mirrored = true;
        exchange.arrange();
        exchange.pass_over();
        Some(exchange)
    }

    /// What to do next.
    pub fn order(&mut self) -> Option<Order> {
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
        Asks { plan, aims, left, shape, key, roll, ticket, caller, model, body }
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
        let deadline = inbound.arrived.after(plan.timeouts.total);
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
            over: false,
            deadline,
            status: None,
            first_byte: None,
            sent: Vec::new(),
            sent_len: 0,
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
        let race = self.live.iter().map(|live| live.race).min().filter(|_| self.may_race());
        let queued = self.queued.map(|queued| queued.until);
        let limits = self.live.iter().map(Live::until);
        let hold = self.hold();
        let ripe = self.live.iter().filter_map(|live| live.ripe(hold));
        limits.chain(ripe).chain(race).chain(pause).chain(queued).chain([self.deadline]).min()
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
        let usage = self.voice.and_then(|voice| self.trials.get(voice)?.usage.clone());
        Record {
            id: mem::take(&mut self.inbound.id),
            caller: self.inbound.caller,
            admitted: self.admitted,
            mirrored: self.mirrored,
            dialect,
            model,
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
