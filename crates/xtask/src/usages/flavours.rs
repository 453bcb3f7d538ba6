//! Which API each flavour is, and what it leaves out.

use dialect::{DialectId, canon::Usage};
use std::collections::BTreeMap;

/// One API of one provider, as the other book reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flavour {
    /// `provider/flavour`; `*` stands for every provider.
    name: &'static str,
    /// The dialect that it is. One that is not there yet takes part from the day on which it is.
    dialect: &'static str,
    /// The fields that it does not read, and ours does.
    pub(super) unread: &'static [&'static str],
}

const CHAT: &str = "openai_chat";
const REASONING: &str = "output_reasoning_tokens";
const WRITE: &str = "cache_write_tokens";
const READ: &str = "cache_read_tokens";
const AUDIO: &str = "input_audio_tokens";

/// Every flavour; the first row that fits counts.
#[rustfmt::skip]
const FLAVOURS: &[Flavour] = &[
    Flavour { name: "*/anthropic", dialect: "anthropic", unread: &[REASONING] },
    Flavour { name: "*/embeddings", dialect: CHAT, unread: &[] },
    Flavour { name: "*/responses", dialect: "openai_responses", unread: &[] },
    Flavour { name: "*/chat", dialect: CHAT, unread: &[] },
    Flavour { name: "anthropic/default", dialect: "anthropic", unread: &[REASONING] },
    Flavour { name: "aws/default", dialect: "bedrock", unread: &[] },
    Flavour { name: "cohere/*", dialect: "cohere", unread: &[] },
    Flavour { name: "google/default", dialect: "gemini", unread: &[] },
    Flavour { name: "minimax/default", dialect: "anthropic", unread: &[] },
    Flavour { name: "*/default", dialect: CHAT, unread: &[] },
];

impl Flavour {
    /// The flavour of that name. One that has no row is one that no dialect speaks.
    pub(super) fn find(name: &str) -> Flavour {
        let fits = |row: &&Flavour| match (row.name.strip_prefix('*'), row.name.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(start)) => name.starts_with(start),
            _ => name == row.name,
        };
        FLAVOURS.iter().find(fits).copied().unwrap_or(Flavour { name: "", dialect: "", unread: &[] })
    }

    pub(super) fn dialect(&self) -> Option<DialectId> {
        DialectId::from_name(self.dialect)
    }
}

/// A difference that is known, and why it is right.
pub(super) struct Known {
    field: &'static str,
    pub(super) why: &'static str,
    is: fn(&Flavour, &BTreeMap<String, u64>, &Usage) -> bool,
}

impl Known {
    pub(super) fn holds(
        &self,
        flavour: &Flavour,
        field: &str,
        theirs: &BTreeMap<String, u64>,
        ours: &Usage,
    ) -> bool {
        self.field == field && (self.is)(flavour, theirs, ours)
    }
}

/// Every known difference.
pub(super) const KNOWN: &[Known] = &[];
