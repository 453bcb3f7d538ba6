//! Ids of tool calls, as one API gives them and another takes them.

use std::collections::{BTreeMap, BTreeSet};

/// Ids of tool calls as Anthropic takes them: letters, digits, `_` and `-`, each once in a conversation.
/// Others write `functions.weather:0`, or `call_0` in every turn.
#[derive(Debug, Default)]
pub struct ToolIds {
    /// For every id of the sender's: what it was last written as, and how often it has been.
    given: BTreeMap<String, (String, u32)>,
    used: BTreeSet<String>,
}

impl ToolIds {
    /// How a call is written.
    #[must_use]
    pub fn call(&mut self, id: &str) -> String {
        let plain = plain_id(id);
        let before = self.given.get(id).map_or(0, |(_, count)| *count);
        // Every number that is tried in vain was given to another call, so this ends.
        for count in before.saturating_add(1).. {
            let written = if count == 1 { plain.clone() } else { format!("{plain}_{count}") };
            if self.used.insert(written.clone()) {
                self.given.insert(id.to_owned(), (written.clone(), count));
                return written;
            }
        }
        plain
    }

    /// How the result of a call is written.
    #[must_use]
    pub fn result(&self, id: &str) -> String {
        self.given.get(id).map_or_else(|| plain_id(id), |(written, _)| written.clone())
    }
}

fn plain_id(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    if id.is_empty() { "call".to_owned() } else { id.chars().map(plain).collect() }
}
