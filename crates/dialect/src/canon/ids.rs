//! Ids of tool calls, for dialects that are strict about them.

use std::collections::{BTreeMap, BTreeSet};

/// Ids of tool calls as strict APIs take them: letters, digits, `_` and `-`, each once in a conversation.
/// Others write `functions.weather:0`, or `call_0` in every turn.
pub struct ToolIds {
    /// The longest, in characters.
    max: usize,
    /// For every id of the sender's: what it was last written as, and how often it has been.
    given: BTreeMap<String, (String, u32)>,
    used: BTreeSet<String>,
}

impl ToolIds {
    /// No id has been written; one has `max` characters at most.
    #[must_use]
    pub fn new(max: usize) -> Self {
        ToolIds { max, given: BTreeMap::new(), used: BTreeSet::new() }
    }

    /// How a call is written.
    pub fn call(&mut self, id: &str) -> String {
        let before = self.given.get(id).map_or(0, |(_, count)| *count);
        // Every number that is tried in vain was given to another call, so this ends.
        for count in before.saturating_add(1).. {
            let end = if count == 1 { String::new() } else { format!("_{count}") };
            let written = self.plain(id, &end);
            if self.used.insert(written.clone()) {
                self.given.insert(id.to_owned(), (written.clone(), count));
                return written;
            }
        }
        self.plain(id, "")
    }

    /// How the result of a call is written.
    #[must_use]
    pub fn result(&self, id: &str) -> String {
        self.given.get(id).map_or_else(|| self.plain(id, ""), |(written, _)| written.clone())
    }

    fn plain(&self, id: &str, end: &str) -> String {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        let id = if id.is_empty() { "call" } else { id };
        let room = self.max.saturating_sub(end.len());
        id.chars().map(plain).take(room).chain(end.chars()).collect()
    }
}
