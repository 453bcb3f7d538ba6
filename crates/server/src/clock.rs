//! The clock that the engine is told of.

use engine::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A beginning, from which moments are counted.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    began: tokio::time::Instant,
    /// The time it was then, since 1970.
    at: Duration,
}

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { began: tokio::time::Instant::now(), at }
    }

    /// The moment it is.
    pub(crate) fn now(self) -> Instant {
        Instant(u64::try_from((self.at + self.began.elapsed()).as_micros()).unwrap_or(u64::MAX))
    }

    /// The same moment as tokio counts it.
    pub(crate) fn tokio(self, at: Instant) -> tokio::time::Instant {
        self.began + Duration::from_micros(at.0).saturating_sub(self.at)
    }
}
