//! What an exchange cost, in disjoint buckets.

use super::Extra;
use crate::DialectId;
use serde_json::{Map, Value};

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

    /// Both together; the provider's own object is that of neither.
    #[must_use]
    pub fn plus(&self, more: &Usage) -> Usage {
        Usage {
            input: self.input.saturating_add(more.input),
            cache_read: self.cache_read.saturating_add(more.cache_read),
            cache_write: self.cache_write.saturating_add(more.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(more.cache_write_1h),
            audio_in: self.audio_in.saturating_add(more.audio_in),
            output: self.output.saturating_add(more.output),
            reasoning: self.reasoning.saturating_add(more.reasoning),
            audio_out: self.audio_out.saturating_add(more.audio_out),
            native: Extra::NONE,
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.all_input().saturating_add(self.all_output())
    }

    /// All input that was written to a cache.
    #[must_use]
    pub fn all_written(&self) -> u64 {
        self.cache_write.saturating_add(self.cache_write_1h)
    }

    /// The usage as `dialect` writes it: the provider's own object, where it is of that dialect, else these
    /// rows.
    #[must_use]
    pub fn written(&self, dialect: DialectId, rows: &[UsageRow]) -> Map<String, Value> {
        if let Some(native) = self.native.of(dialect) {
            return native.clone();
        }
        let mut written = Map::new();
        for (inside, name, count) in rows {
            let holder = match *inside {
                "" => Some(&mut written),
                inside => {
                    let inner = written.entry(inside).or_insert_with(|| Value::Object(Map::new()));
                    inner.as_object_mut()
                }
            };
            holder.into_iter().for_each(|holder| drop(holder.insert((*name).to_owned(), count(self).into())));
        }
        written
    }
}

/// A count as it is written: the inner object in which it stands, if it does, its name, and what it counts.
pub type UsageRow = (&'static str, &'static str, fn(&Usage) -> u64);
