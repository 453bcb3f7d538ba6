//! What an exchange cost, in disjoint buckets.

use super::Extra;

/// Tokens in disjoint buckets: no token is counted in two of them, whatever the provider's convention.
/// Readers convert; the sum of all is what was processed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Input that was read afresh: text, and whatever the provider does not tell apart.
    pub input: u64,
    /// Input that came from a cache.
    pub cache_read: u64,
    /// Input written to a cache for five minutes, or for the provider's usual time.
    pub cache_write: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Input that was sound.
    pub audio_in: u64,
    /// Output that the caller sees as text or tool calls.
    pub output: u64,
    /// Output that was thought.
    pub reasoning: u64,
    /// Output that was sound.
    pub audio_out: u64,
    /// The provider's own object, whole, written back in its own dialect.
    pub native: Extra,
}

impl Usage {
    /// All input, cached or not.
    #[must_use]
    pub fn all_input(&self) -> u64 {
        [self.cache_read, self.cache_write, self.cache_write_1h, self.audio_in]
            .into_iter()
            .fold(self.input, u64::saturating_add)
    }

    /// All output, thought included.
    #[must_use]
    pub fn all_output(&self) -> u64 {
        self.output.saturating_add(self.reasoning).saturating_add(self.audio_out)
    }
}
