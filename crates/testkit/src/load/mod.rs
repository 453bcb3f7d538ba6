//! A load generator for one request repeated: closed loop (so many connections, each asks again as
//! soon as it is answered) and open loop (so many requests a second, whether or not the answers keep
//! up; latency counts from the planned time, so a stall is not forgiven to those that waited behind it).
//!
//! Connections are plain HTTP/1.1 with keep-alive, read with little more than a search for line ends,
//! so that the generator takes little from the machine that it shares with what it measures.

mod connection;
mod head;
mod sse;
#[cfg(test)]
mod tests;

use crate::{limits, proc};
use bytes::Bytes;
use connection::Connection;
use hdrhistogram::Histogram;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fs, io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local},
};

/// What to ask, of whom, how often and how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to connect.
    pub addr: SocketAddr,
    /// The whole request as it goes over the wire; [`request`] makes one.
    pub request: Bytes,
    /// When requests are made.
    pub arrival: Arrival,
    /// First part of the run, not counted.
    pub warm: Duration,
    /// Length of the run that is counted.
    pub run: Duration,
    /// Slow readers: bytes a second each connection reads at most.
    pub read_rate: Option<u32>,
    /// Processes whose processor time is taken while the run counts.
    pub watch: Vec<u32>,
}

/// When requests are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// On each of so many connections as soon as the one before is answered.
    Closed {
        /// How many.
        connections: usize,
    },
    /// At a fixed rate.
    Open {
        /// Requests a second.
        per_second: f64,
        /// Most connections; a request that finds none free waits, and its clock runs.
        connections: usize,
    },
}

/// What came of it. Requests that ended after the warm-up and before the end are counted.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Time that was counted.
    pub wall: Duration,
    /// Answers with a status from 200 to 299, whole.
    pub ok: u64,
    /// Time from the (planned) start to the last byte of those, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The same of whole answers with another status.
    pub refused: Histogram<u64>,
    /// Time from the (planned) start to the first event of those that streamed, in nanoseconds.
    pub first_event: Histogram<u64>,
    /// Server-sent events received.
    pub events: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
    /// Whole answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures to connect, to write or to read a whole answer, by their words.
    pub failures: BTreeMap<String, u64>,
    /// Connections opened.
    pub connects: u64,
    /// Planned requests still waiting for a connection at the end (open loop).
    pub waiting: usize,
    /// Processor time of each watched process.
    pub cpu: Vec<Duration>,
    /// Processor time of the whole machine.
    pub machine_cpu: Duration,
}

/// A request with a JSON body as it goes over the wire.
pub fn request(host: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Bytes {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if !body.is_empty() {
        head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat().into()
}

/// Runs a load to its end on a thread of its own.
///
/// # Errors
/// When no runtime or thread can be had.
pub fn run_blocking(load: &Load) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(load))
}

/// Runs a load to its end within a single-threaded runtime. Dropped, it ends at once.
///
/// # Errors
/// When the thread that keeps the time of an open loop cannot be started.
pub async fn run(load: &Load) -> io::Result<Outcome> {
    let shared = Rc::new(Shared { load: load.clone(), tally: RefCell::default(), over: Cell::new(false) });
    LocalSet::new().run_until(counted(shared)).await
}

struct Shared {
    load: Load,
    tally: RefCell<Tally>,
    over: Cell<bool>,
}

async fn counted(shared: Rc<Shared>) -> io::Result<Outcome> {
    let plan = Rc::new(Plan::default());
    match shared.load.arrival {
        Arrival::Closed { connections } => {
            (0..connections).for_each(|_| drop(spawn_local(ask_again(Rc::clone(&shared)))));
        }
        Arrival::Open { per_second, connections } => {
            let due = clock(per_second, shared.load.warm + shared.load.run)?;
            spawn_local(hand_out(due, Rc::clone(&plan)));
            (0..connections)
                .for_each(|_| drop(spawn_local(ask_planned(Rc::clone(&shared), Rc::clone(&plan)))));
        }
    }
    tokio::time::sleep(shared.load.warm).await;
    shared.tally.take();
    let (started, before) = (Instant::now(), Clocks::read(&shared.load.watch));
    tokio::time::sleep(shared.load.run).await;
    let (wall, after) = (started.elapsed(), Clocks::read(&shared.load.watch));
    shared.over.set(true);
    let mut outcome = shared.tally.take().outcome(wall, plan.due.borrow().len());
    let watched = after.watched.iter().zip(before.watched);
    outcome.cpu = watched.map(|(after, before)| after.saturating_sub(before)).collect();
    outcome.machine_cpu = after.machine.saturating_sub(before.machine);
    Ok(outcome)
}

/// Processor time at one moment.
struct Clocks {
    watched: Vec<Duration>,
    machine: Duration,
}

impl Clocks {
    fn read(watch: &[u32]) -> Self {
        let watched = watch.iter().map(|pid| proc::cpu(*pid).unwrap_or_default()).collect();
        Self { watched, machine: proc::machine_cpu().unwrap_or_default() }
    }
}

/// One connection of a closed loop.
async fn ask_again(shared: Rc<Shared>) {
    let mut connection = Connection::new(&shared.load);
    while !shared.over.get() {
        ask(&mut connection, &shared, Instant::now()).await;
    }
}

/// Planned requests that no connection has taken yet.
#[derive(Default)]
struct Plan {
    due: RefCell<VecDeque<Instant>>,
    more: Notify,
}

/// One connection of an open loop.
async fn ask_planned(shared: Rc<Shared>, plan: Rc<Plan>) {
    let mut connection = Connection::new(&shared.load);
    while !shared.over.get() {
        let due = plan.due.borrow_mut().pop_front();
        match due {
            Some(due) => ask(&mut connection, &shared, due).await,
            None => plan.more.notified().await,
        }
    }
}

async fn hand_out(mut due: mpsc::UnboundedReceiver<Instant>, plan: Rc<Plan>) {
    while let Some(due) = due.recv().await {
        plan.due.borrow_mut().push_back(due);
        // The connection that was used last, so that no more are used than are needed.
        plan.more.notify_last();
    }
}

async fn ask(connection: &mut Connection<'_>, shared: &Shared, start: Instant) {
    let answered = connection.ask(start).await;
    let failed = answered.is_err();
    shared.tally.borrow_mut().count(answered, start.elapsed());
    if failed {
        // A server that is down is not asked a million times a second.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A thread that says when each request is due. A runtime's timer knows only whole milliseconds.
fn clock(per_second: f64, length: Duration) -> io::Result<mpsc::UnboundedReceiver<Instant>> {
    let (tell, told) = mpsc::unbounded_channel();
    let tick = move || {
        sharpen_sleep();
        let start = Instant::now();
        for number in 0_u32.. {
            let after = Duration::from_secs_f64(f64::from(number) / per_second);
            let due = start + after;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if after >= length || tell.send(due).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("clock".to_owned()).spawn(tick)?;
    Ok(told)
}

/// Asks the kernel not to group this thread's wake-ups (by default it takes 50 µs of liberty).
/// Where that fails, sleeps are a little longer for everyone alike.
fn sharpen_sleep() {
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return };
    if let Some(number) = thread.file_name() {
        let _ = fs::write(std::path::Path::new("/proc").join(number).join("timerslack_ns"), "1");
    }
}

/// What one connection learned from one answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) first_event: Option<Duration>,
    pub(crate) connected: bool,
}

struct Tally {
    ok: u64,
    latency: Histogram<u64>,
    refused: Histogram<u64>,
    first_event: Histogram<u64>,
    events: u64,
    bytes: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    connects: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let (latency, refused, first_event) = (histogram(), histogram(), histogram());
        let (statuses, failures) = (BTreeMap::new(), BTreeMap::new());
        Self { ok: 0, latency, refused, first_event, events: 0, bytes: 0, statuses, failures, connects: 0 }
    }
}

/// From 1 µs to 5 minutes with three digits; what lies outside counts as the nearest that fits.
#[expect(clippy::expect_used, reason = "the bounds are constants that the tests run")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 300_000_000_000, 3).expect("bounds in order")
}

impl Tally {
    fn count(&mut self, answered: io::Result<Answered>, took: Duration) {
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => return self.fail(&error),
        };
        if !(200..300).contains(&answered.status) {
            self.refused.saturating_record(took.as_nanos() as u64);
        } else {
            self.ok += 1;
            self.latency.saturating_record(took.as_nanos() as u64);
            if let Some(first) = answered.first_event {
                self.first_event.saturating_record(first.as_nanos() as u64);
            }
        }
        *self.statuses.entry(answered.status).or_default() += 1;
        self.events += answered.events;
        self.bytes += answered.bytes;
        self.connects += u64::from(answered.connected);
    }

    fn fail(&mut self, error: &io::Error) {
        let words = error.to_string();
        let room = self.failures.len() < limits::FAILURES_MAX || self.failures.contains_key(&words);
        *self.failures.entry(if room { words } else { "others".to_owned() }).or_default() += 1;
    }

    fn outcome(self, wall: Duration, waiting: usize) -> Outcome {
        Outcome {
            wall,
            ok: self.ok,
            latency: self.latency,
            refused: self.refused,
            first_event: self.first_event,
            events: self.events,
            bytes: self.bytes,
            statuses: self.statuses,
            failures: self.failures,
            connects: self.connects,
            waiting,
            cpu: Vec::new(),
            machine_cpu: Duration::ZERO,
        }
    }
}
