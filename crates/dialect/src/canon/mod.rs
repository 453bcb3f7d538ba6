//! The canonical form: where dialects meet. Block-shaped, private to sekisho, and deliberately not
//! `Serialize`: nobody outside may depend on it.

mod block;
mod event;
mod fold;
mod ids;
mod order;
mod request;
mod teller;
mod usage;

pub use block::{Block, Cache, Kind, Media, Seal, Source};
pub use event::{BlockStart, Delta, Event, Grammar, GrammarError};
pub use fold::{Fold, fold, unfold};
pub use ids::{IdForm, ToolIds};
pub use order::InOrder;
pub use request::{At, Choose, Effort, Format, Reasoning, Request, Role, Sampling, Tool, Turn};
pub use teller::Teller;
pub use usage::{Usage, UsageRow};

use crate::DialectId;
use serde_json::{Map, Value};

/// Members that only one dialect knows. They are written back in that dialect and are a loss in every
/// other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra(Option<Box<Known>>);

#[derive(Clone, Debug, PartialEq)]
struct Known {
    dialect: DialectId,
    members: Map<String, Value>,
    form: Map<String, Value>,
}

impl Extra {
    /// No members.
    pub const NONE: Extra = Extra(None);

    /// Members that `dialect` knows; an empty map is none.
    #[must_use]
    pub fn new(dialect: DialectId, members: Map<String, Value>) -> Self {
        Extra::with_form(dialect, members, Map::new())
    }

    /// The same, with members whose meaning canonical form carries but whose form it does not (a string
    /// where others have a list, say): `dialect` writes these as they were, and elsewhere they are no loss.
    #[must_use]
    pub fn with_form(dialect: DialectId, members: Map<String, Value>, form: Map<String, Value>) -> Self {
        if members.is_empty() && form.is_empty() {
            return Extra::NONE;
        }
        Extra(Some(Box::new(Known { dialect, members, form })))
    }

    /// The members, if `dialect` is the one that knows them.
    #[must_use]
    pub fn of(&self, dialect: DialectId) -> Option<&Map<String, Value>> {
        self.known(dialect).map(|known| &known.members)
    }

    /// The members whose form is kept, if `dialect` is the one that wrote them.
    #[must_use]
    pub fn form(&self, dialect: DialectId) -> Option<&Map<String, Value>> {
        self.known(dialect).map(|known| &known.form)
    }

    /// The names of members that are lost when `dialect` writes, because another dialect owns them. A
    /// `null` says nothing, nor does an object of nothing else, so it is no loss.
    pub fn lost_to(&self, dialect: DialectId) -> impl Iterator<Item = &str> {
        let lost = self.0.as_deref().filter(|known| known.dialect != dialect);
        lost.into_iter()
            .flat_map(|known| &known.members)
            .filter(|(_, value)| !is_mute(value))
            .map(|(name, _)| name.as_str())
    }

    fn known(&self, dialect: DialectId) -> Option<&Known> {
        self.0.as_deref().filter(|known| known.dialect == dialect)
    }
}

fn is_mute(value: &Value) -> bool {
    let nulls = |members: &Map<String, Value>| !members.is_empty() && members.values().all(Value::is_null);
    value.is_null() || value.as_object().is_some_and(nulls)
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The reason that all dialects share.
    pub reason: StopReason,
    /// The stop sequence that was met, where the provider says which.
    pub sequence: Option<String>,
    /// The provider's own word, written back in its own dialect.
    pub native: String,
}

impl Stop {
    /// A stop for `reason`, with the provider's own word for it.
    #[must_use]
    pub fn new(reason: StopReason, native: impl Into<String>) -> Self {
        Stop { reason, sequence: None, native: native.into() }
    }
}

/// The reasons for which a model stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It had said all.
    End,
    /// The token limit was reached.
    MaxTokens,
    /// A stop sequence was met.
    Sequence,
    /// It waits for the results of tool calls.
    ToolUse,
    /// The provider's filter cut the answer.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// A long turn was paused and may be continued.
    Pause,
    /// The context window is full.
    ContextWindow,
    /// A reason that no dialect of ours names; see [`Stop::native`].
    Other,
}

impl StopReason {
    /// The reason that a `word` of a dialect's table means.
    #[must_use]
    pub fn of_word(table: &[(&str, StopReason)], word: &str) -> StopReason {
        table.iter().find(|(name, _)| *name == word).map_or(StopReason::Other, |(_, reason)| *reason)
    }
}

/// A whole answer: the fold of its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The dialect it was read from.
    pub from: DialectId,
    /// The provider's id of the answer; may be empty.
    pub id: String,
    /// The model that the provider names.
    pub model: String,
    /// Unix time in seconds, where the provider gives it.
    pub created: Option<u64>,
    /// The alternatives; most often one.
    pub choices: Vec<Choice>,
    /// What it cost, where the provider says.
    pub usage: Option<Usage>,
    /// Members of the answer that only its own dialect knows.
    pub extra: Extra,
}

impl Message {
    /// An answer of which nothing is known but its dialect.
    #[must_use]
    pub fn new(from: DialectId) -> Self {
        Message {
            from,
            id: String::new(),
            model: String::new(),
            created: None,
            choices: Vec::new(),
            usage: None,
            extra: Extra::NONE,
        }
    }

    /// Every alternative says why it ended, and there is one. Only then can it be told as a stream.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.stop.is_some())
    }
}

/// One alternative of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u32,
    /// What was said.
    pub blocks: Vec<Block>,
    /// Why it ended. `None` only in an answer that is not whole.
    pub stop: Option<Stop>,
    /// Log probabilities in OpenAI's form (`{"content":[…],"refusal":…}`), the only form there is.
    pub logprobs: Option<Value>,
    /// Members of the choice or its message that only its own dialect knows.
    pub extra: Extra,
}

impl Choice {
    /// An alternative of which nothing has been said.
    #[must_use]
    pub fn new(index: u32) -> Self {
        Choice { index, blocks: Vec::new(), stop: None, logprobs: None, extra: Extra::NONE }
    }
}
