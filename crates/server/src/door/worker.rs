//! One core: its runtime's connections, its pool, and its view of what all cores share.

use crate::{
    clock::Clock,
    credential::Credentials,
    limits::MIRRORS_MAX,
    log::{Lines, Log},
    models::Catalogue,
    upstream::Pool,
};
use engine::{
    ledger::Ledger,
    limits::UNHEARD_AT_ONCE,
    plan::{Plan, PlanHandle},
    record::Record,
    time::Instant,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};
use tokio::sync::{Notify, watch};

/// Where the gateway stands on its way from start to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It serves.
    Serving,
    /// It serves what comes, and says that it would rather not.
    LameDuck,
    /// It finishes what it has begun.
    Draining,
    /// It ends everything.
    Shut,
}

/// What all cores share.
pub(crate) struct Shared {
    plan: Mutex<Arc<Plan>>,
    /// Counts the plans there have been, so that a core sees a new one without asking for it.
    plans: AtomicU64,
    pub(crate) ledger: Mutex<Ledger>,
    /// Drives that wait for a limit, on whatever core, by the numbers that the ledger knows them by.
    waiting: Mutex<HashMap<u64, Waker>>,
    pub(crate) catalogue: Catalogue,
    pub(crate) credentials: Credentials,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    /// Tells connections of a new stage; see [`Shared::enter`].
    pub(crate) stages: watch::Sender<Stage>,
    stage: AtomicU8,
    /// Only this machine can reach us.
    pub(crate) loopback_only: bool,
    /// Bytes of request bodies in memory.
    pub(crate) bodies: AtomicUsize,
    /// Streams that are read on since their clients have gone.
    unheard: AtomicUsize,
    /// A connection has ended, or one of those streams.
    pub(crate) ended: Notify,
}

/// A place among the streams that are read on since their clients have gone.
pub(crate) struct Unheard(Arc<Shared>);

impl Drop for Unheard {
    fn drop(&mut self) {
        self.0.unheard.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl Shared {
    /// Begins with `plan`.
    pub(crate) fn new(plan: Plan, log: Log) -> Arc<Self> {
        let loopback_only = plan.listen.ip().is_loopback();
        Arc::new(Shared {
            plan: Mutex::new(Arc::new(plan)),
            plans: AtomicU64::new(0),
            ledger: Mutex::default(),
            waiting: Mutex::default(),
            catalogue: Catalogue::default(),
            credentials: Credentials::default(),
            clock: Clock::start(),
            log,
            stages: watch::Sender::new(Stage::Serving),
            stage: AtomicU8::new(Stage::Serving as u8),
            loopback_only,
            bodies: AtomicUsize::new(0),
            unheard: AtomicUsize::new(0),
            ended: Notify::new(),
        })
    }

    /// The plan in force.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        lock(&self.plan).clone()
    }

    /// Another plan is in force from here on. Requests under way keep the one they began with.
    pub(crate) fn replace(&self, plan: Plan) {
        *lock(&self.plan) = Arc::new(plan);
        self.plans.fetch_add(1, Ordering::Release);
    }

    /// Wakes drives that the ledger has called.
    fn wake(&self, called: &[u64]) {
        if called.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        called.iter().filter_map(|ticket| waiting.remove(ticket)).for_each(Waker::wake);
    }

    /// How many streams are read on for nobody.
    pub(crate) fn unheard(&self) -> usize {
        self.unheard.load(Ordering::Relaxed)
    }

    /// Another stage has come.
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.stages.send_replace(stage);
    }
}

/// One core.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pool: Rc<Pool>,
    /// The plan as this core saw it last, and its number.
    plan: RefCell<(u64, PlanHandle)>,
    log: Lines,
    ids: Ids,
    /// One for all, and one for each request that is being mirrored.
    mirrors: Rc<()>,
}

impl Worker {
    /// A core without connections.
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Self> {
        let number = shared.plans.load(Ordering::Acquire);
        let plan = shared.plan();
        let pool = Pool::new(super::io::duration(plan.timeouts.connect));
        let plan = RefCell::new((number, Rc::new(plan)));
        let log = shared.log.lines();
        Rc::new(Worker { shared, pool, plan, log, ids: Ids::default(), mirrors: Rc::default() })
    }

    /// The plan as it is now. A request keeps the one it began with.
    pub(crate) fn plan(&self) -> PlanHandle {
        let number = self.shared.plans.load(Ordering::Acquire);
        let mut plan = self.plan.borrow_mut();
        if plan.0 != number {
            *plan = (number, Rc::new(self.shared.plan()));
        }
        plan.1.clone()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
    }

    /// Does something with the ledger, and wakes those drives that it calls for it. Where nothing is limited
    /// nobody waits.
    pub(crate) fn with_ledger<T>(&self, plan: &Plan, what: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger();
        let done = what(&mut ledger);
        if !plan.rates.is_empty() {
            let called = ledger.take_woken();
            drop(ledger);
            self.shared.wake(&called);
        }
        done
    }

    /// The ledger has called a drive that waits; if not, it will be woken. The order of the two steps sees to it
    /// that no call is missed.
    pub(crate) fn is_called(&self, ticket: u64, waker: &Waker) -> bool {
        lock(&self.shared.waiting).insert(ticket, waker.clone());
        let is_called = self.ledger().is_woken(ticket);
        if is_called {
            lock(&self.shared.waiting).remove(&ticket);
        }
        is_called
    }

    /// A drive waits no longer.
    pub(crate) fn forget(&self, ticket: u64) {
        lock(&self.shared.waiting).remove(&ticket);
    }

    pub(crate) fn pool(&self) -> Rc<Pool> {
        self.pool.clone()
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    pub(crate) fn tokio(&self, at: Instant) -> tokio::time::Instant {
        self.shared.clock.tokio(at)
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.shared.stage.load(Ordering::Relaxed) {
            stage if stage == Stage::Serving as u8 => Stage::Serving,
            stage if stage == Stage::LameDuck as u8 => Stage::LameDuck,
            stage if stage == Stage::Draining as u8 => Stage::Draining,
            _ => Stage::Shut,
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.stage() == Stage::Shut
    }

    /// A fresh request id, and a number by chance.
    pub(crate) fn id(&self) -> (String, u64) {
        self.ids.next()
    }

    /// A place among the requests that are being mirrored, kept as long as it is held.
    pub(crate) fn mirror(&self) -> Option<Rc<()>> {
        (Rc::strong_count(&self.mirrors) <= MIRRORS_MAX).then(|| self.mirrors.clone())
    }

    /// A place for one more stream that is read on for nobody, if there is one.
    pub(crate) fn unheard(&self) -> Option<Unheard> {
        let before = self.shared.unheard.fetch_add(1, Ordering::Relaxed);
        let place = Unheard(self.shared.clone());
        (before < UNHEARD_AT_ONCE && !self.is_shut()).then_some(place)
    }

    /// Settles an exchange and writes its record down.
    pub(crate) fn keep(&self, record: &Record) {
        if record.admitted {
            self.ledger().settle(record);
        }
        self.log.record(record);
    }
}

/// A lock that a panic elsewhere does not close: what it guards is changed in single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A core's request ids: unlike any of another core or process, never twice on this one.
struct Ids {
    seed: u64,
    count: Cell<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        // The standard library's hasher keys are the randomness at hand.
        Ids { seed: RandomState::new().hash_one(std::process::id()), count: Cell::new(0) }
    }
}

impl Ids {
    fn next(&self) -> (String, u64) {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let roll = mix(self.seed.wrapping_add(count));
        let mut id = String::with_capacity(32);
        id.push_str("req-");
        push_hex(&mut id, self.seed, 16);
        push_hex(&mut id, count, 8);
        (id, roll)
    }
}

/// The lowest digits of a number, in hexadecimal: each request needs an id, and formatting is slow.
fn push_hex(text: &mut String, number: u64, digits: u32) {
    let digit = |place: u32| u32::try_from(number >> (4 * place) & 15).unwrap_or(0);
    text.extend((0..digits).rev().filter_map(|place| char::from_digit(digit(place), 16)));
}

/// One step of `SplitMix64`: neighbours in, strangers out.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
