//! The clock that the engine is told of.

use engine::time::Instant;
use std::time::Duration;

/// A beginning, from which moments are counted.
#[derive(Clone, Copy)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Clock(tokio::time::Instant::now())
    }

    /// The moment it is.
    pub(crate) fn now(self) -> Instant {
        Instant(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The same moment as tokio counts it.
    pub(crate) fn tokio(self, at: Instant) -> tokio::time::Instant {
        self.0 + Duration::from_micros(at.0)
    }
}
