//! Time as a value. The doors own the clocks.

/// A moment, in microseconds since 1970, by a clock that was right when the door began and never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Span {
        Span(secs.saturating_mul(1_000_000))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Span {
        Span(millis.saturating_mul(1_000))
    }
}

impl Instant {
    /// The same in whole seconds since 1970.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment that is `span` later.
    #[must_use]
    pub const fn after(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was; zero where it was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}
