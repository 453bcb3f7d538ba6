//! One core: its runtime's connections, its pool, and its view of what all cores share.

use crate::{clock::Clock, log::Log, models::Catalogue, upstream::Pool};
use engine::{ledger::Ledger, plan::Plan, record::Record, time::Instant};
use std::{
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;

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
    pub(crate) plan: Mutex<Arc<Plan>>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Only this machine can reach us.
    pub(crate) loopback_only: bool,
    /// Bytes of request bodies in memory.
    pub(crate) bodies: AtomicUsize,
    ids: Ids,
}

impl Shared {
    /// Begins with `plan`.
    pub(crate) fn new(plan: Plan, log: Log, stage: watch::Receiver<Stage>, loopback_only: bool) -> Arc<Self> {
        Arc::new(Shared {
            plan: Mutex::new(Arc::new(plan)),
            ledger: Mutex::default(),
            catalogue: Catalogue::default(),
            clock: Clock::start(),
            log,
            stage,
            loopback_only,
            bodies: AtomicUsize::new(0),
            ids: Ids::default(),
        })
    }
}

/// One core.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pool: Rc<Pool>,
}

impl Worker {
    /// A core without connections.
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Self> {
        let connect = lock(&shared.plan).timeouts.connect;
        Rc::new(Worker { shared, pool: Pool::new(super::io::duration(connect)) })
    }

    /// The plan as it is now. A request keeps the one it began with.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        lock(&self.shared.plan).clone()
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
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
        *self.shared.stage.borrow()
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.stage() == Stage::Shut
    }

    /// A fresh request id, and a number by chance.
    pub(crate) fn id(&self) -> (String, u64) {
        self.shared.ids.next()
    }

    /// Settles an exchange and writes its record down.
    pub(crate) fn keep(&self, record: &Record) {
        if record.admitted {
            self.ledger().settle(record);
        }
        self.shared.log.record(record);
    }
}

/// A lock that a panic elsewhere does not close: what it guards is changed in single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Request ids: unlike any of another process, never twice in this one.
struct Ids {
    seed: u64,
    count: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        // The standard library's hasher keys are the randomness at hand.
        Ids { seed: RandomState::new().hash_one(std::process::id()), count: AtomicU64::new(0) }
    }
}

impl Ids {
    fn next(&self) -> (String, u64) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let roll = mix(self.seed.wrapping_add(count));
        (format!("req-{:016x}{count:08x}", self.seed), roll)
    }
}

/// One step of `SplitMix64`: neighbours in, strangers out.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
