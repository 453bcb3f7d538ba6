//! Which API each flavour is, and what it leaves out.

use dialect::{DialectId, canon::Usage, embed::EmbedShape};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One API of one provider, as the other book reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flavour {
    /// `provider/flavour`; `*` stands for every provider, or for every flavour.
    name: &'static str,
    /// The dialect that it is. One that is not there yet takes part from the day on which it is.
    dialect: &'static str,
    /// The fields that it does not read, and ours does.
    pub(super) unread: &'static [&'static str],
}

const CHAT: &str = "openai_chat";
const RESPONSES: &str = "openai_responses";

const READ: &str = "cache_read_tokens";
const WRITE: &str = "cache_write_tokens";
const AUDIO: &str = "input_audio_tokens";
const OUTPUT: &str = "output_tokens";
const REASONING: &str = "output_reasoning_tokens";

/// Every flavour; the first row that fits counts.
#[rustfmt::skip]
const FLAVOURS: &[Flavour] = &[
    Flavour { name: "anthropic/chat", dialect: CHAT, unread: &[READ, WRITE, AUDIO] },
    Flavour { name: "anthropic/default", dialect: "anthropic", unread: &[] },
    Flavour { name: "aws/default", dialect: "bedrock", unread: &[] },
    Flavour { name: "azure/chat", dialect: CHAT, unread: &[WRITE] },
    Flavour { name: "azure/responses", dialect: RESPONSES, unread: &[WRITE] },
    Flavour { name: "cerebras/chat", dialect: CHAT, unread: &[READ, WRITE, AUDIO] },
    Flavour { name: "cohere/default", dialect: "cohere", unread: &[] },
    Flavour { name: "cohere/embeddings", dialect: EMBED, unread: &[] },
    Flavour { name: "cohere/tokens", dialect: "cohere", unread: &[] },
    Flavour { name: "deepseek/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "doubleword/chat", dialect: CHAT, unread: &[AUDIO] },
    Flavour { name: "doubleword/responses", dialect: RESPONSES, unread: &[WRITE, REASONING] },
    Flavour { name: "fireworks/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "google/chat", dialect: CHAT, unread: &[WRITE] },
    Flavour { name: "google/default", dialect: "gemini", unread: &[] },
    Flavour { name: "groq/default", dialect: CHAT, unread: &[WRITE] },
    Flavour { name: "minimax/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "minimax/default", dialect: "anthropic", unread: &[REASONING] },
    Flavour { name: "minimax/responses", dialect: RESPONSES, unread: &[WRITE, REASONING] },
    Flavour { name: "mistral/default", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "modal/chat", dialect: CHAT, unread: &[WRITE, AUDIO, REASONING] },
    Flavour { name: "moonshotai/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "perplexity/default", dialect: CHAT, unread: &[READ, WRITE, AUDIO, REASONING] },
    Flavour { name: "x-ai/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "x-ai/default", dialect: CHAT, unread: &[READ, WRITE, AUDIO, REASONING] },
    Flavour { name: "zai/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "zhipuai/chat", dialect: CHAT, unread: &[WRITE, AUDIO] },
    Flavour { name: "*/anthropic", dialect: "anthropic", unread: &[REASONING] },
    Flavour { name: "*/chat", dialect: CHAT, unread: &[] },
    Flavour { name: "*/embeddings", dialect: CHAT, unread: &[READ, WRITE, AUDIO, OUTPUT, REASONING] },
    Flavour { name: "*/responses", dialect: RESPONSES, unread: &[] },
];

/// What an answer has beside its usage, for APIs that read it with the rest.
const ANSWERS: &[(&str, &str)] = &[
    (
        "cohere",
        r#"{"id": "a", "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}, "finish_reason": "COMPLETE"}"#,
    ),
    (EMBED, r#"{"id": "a", "embeddings": {"float": [[0.5]]}}"#),
];

/// Cohere's embeddings, which are no dialect.
const EMBED: &str = "cohere_embed";

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

    /// There is something that reads it.
    pub(super) fn is_spoken(&self) -> bool {
        self.dialect == EMBED || DialectId::from_name(self.dialect).is_some()
    }

    /// Reads the usage of a body as a whole answer's.
    pub(super) fn read(&self, body: &Map<String, Value>) -> Option<Usage> {
        let text = ANSWERS.iter().find(|(name, _)| *name == self.dialect).map_or("{}", |(_, text)| text);
        let mut answer: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        answer.extend(body.clone());
        let answer = serde_json::to_vec(&answer).ok()?;
        if self.dialect == EMBED {
            return EmbedShape::Cohere.read_response(&answer).ok()?.usage;
        }
        DialectId::from_name(self.dialect)?.dialect().read_usage(&answer)
    }
}

/// A difference that is known, and why ours is right.
pub(super) struct Known {
    flavours: &'static str,
    fields: &'static [&'static str],
    pub(super) why: &'static str,
    is: fn(&Usage, &Theirs) -> bool,
}

/// Counts of the other book, by field.
pub(super) type Theirs = BTreeMap<String, u64>;

/// Every known difference.
pub(super) const KNOWN: &[Known] = &[
    Known {
        flavours: "/anthropic",
        fields: COMPACTION_FIELDS,
        why: "a compaction is billed and not in the totals; ours counts it",
        is: has_compaction,
    },
    Known {
        flavours: "/default",
        fields: COMPACTION_FIELDS,
        why: "a compaction is billed and not in the totals; ours counts it",
        is: has_compaction,
    },
    Known {
        flavours: "cohere/tokens",
        fields: &["input_tokens", READ, OUTPUT],
        why: "theirs counts a preamble that nobody is billed for; ours counts what is billed",
        is: |ours, _| {
            ours.native.of(DialectId::Cohere).is_some_and(|usage| usage.contains_key("billed_units"))
        },
    },
    Known {
        flavours: "x-ai/chat",
        fields: &[OUTPUT],
        why: "theirs adds thoughts to every output; ours only where the total says that they stand beside it",
        is: |ours, theirs| theirs.get(OUTPUT) == Some(&(ours.all_output() + ours.reasoning)),
    },
];

const COMPACTION_FIELDS: &[&str] = &["input_tokens", READ, WRITE, OUTPUT];

impl Known {
    pub(super) fn holds(&self, name: &str, field: &str, ours: &Usage, theirs: &Theirs) -> bool {
        name.ends_with(self.flavours) && self.fields.contains(&field) && (self.is)(ours, theirs)
    }
}

fn has_compaction(ours: &Usage, _: &Theirs) -> bool {
    let native = ours.native.of(DialectId::Anthropic);
    let calls = native.and_then(|native| native.get("iterations")?.as_array());
    calls.is_some_and(|calls| {
        calls.iter().any(|call| call.get("type").is_some_and(|kind| kind == "compaction"))
    })
}
