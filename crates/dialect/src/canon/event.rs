//! An answer, piece by piece, and the grammar that every stream of pieces keeps.

use super::{Extra, Seal, Stop, Usage};
use crate::DialectId;
use serde_json::Value;
use std::collections::BTreeMap;

/// A piece of an answer.
///
/// The grammar, which [`Grammar`] checks:
///
/// ```text
/// stream  = Start { piece } End
/// piece   = BlockStart | Delta | BlockStop | Finish | Usage | Opaque
/// ```
///
/// A block is named by its choice and its number. Numbers are given in the order of `BlockStart`, from 0,
/// per choice. Blocks may overlap (OpenAI interleaves tool calls). A `Delta` names a block that is open.
/// `Finish` comes once per choice and closes its blocks: every block has been stopped before. `Usage` may
/// come at any time and more than once, the last one counts. After `End` there is nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id of the answer; may be empty.
        id: String,
        /// The model that the provider names.
        model: String,
        /// Unix time in seconds.
        created: Option<u64>,
        /// Members that only its own dialect knows.
        extra: Extra,
    },
    /// A block begins.
    BlockStart {
        /// The alternative, from 0.
        choice: u32,
        /// The block's number in it.
        block: u32,
        /// What kind of block.
        start: BlockStart,
    },
    /// More of a block.
    Delta {
        /// The alternative.
        choice: u32,
        /// The block.
        block: u32,
        /// What more.
        delta: Delta,
    },
    /// A block is complete.
    BlockStop {
        /// The alternative.
        choice: u32,
        /// The block.
        block: u32,
    },
    /// Log probabilities of what has just been said, in OpenAI's form.
    Logprobs {
        /// The alternative.
        choice: u32,
        /// `{"content":[…],"refusal":…}`; to be joined with those before.
        logprobs: Value,
    },
    /// An alternative is complete.
    Finish {
        /// The alternative.
        choice: u32,
        /// Why.
        stop: Stop,
    },
    /// What it cost so far.
    Usage(Usage),
    /// Something that only one dialect knows.
    Opaque {
        /// The dialect that knows it.
        dialect: DialectId,
        /// The thing as it stood.
        json: Value,
    },
    /// The dialect's terminal event was seen: the answer is whole.
    End,
}

/// What kind of block begins.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockStart {
    /// Words.
    Text,
    /// Words of refusal.
    Refusal,
    /// Thoughts.
    Reasoning,
    /// A tool call.
    ToolUse {
        /// Its id.
        id: String,
        /// The tool.
        name: String,
    },
    /// A block that comes whole: an image, or one that only its dialect knows.
    Whole(Box<super::Block>),
}

/// More of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Words, of text, refusal or thoughts.
    Text(String),
    /// JSON text of a tool call's arguments.
    Input(String),
    /// The seal over thoughts, words or a tool call. It comes once, whole, and on words and calls first.
    Seal(Seal),
}

/// Checks a stream of events against the grammar. Readers assert it as they emit, writers as they
/// consume, tests always.
#[derive(Debug, Default)]
pub struct Grammar {
    started: bool,
    ended: bool,
    choices: BTreeMap<u32, ChoiceState>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    /// Per block: its kind's letter while open, `None` once stopped.
    blocks: Vec<Option<char>>,
    finished: bool,
}

/// How a stream of events broke the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrammarError(pub &'static str);

impl Grammar {
    /// Takes the next event.
    ///
    /// # Errors
    /// The rule that the event breaks.
    pub fn check(&mut self, event: &Event) -> Result<(), GrammarError> {
        let rule = |holds: bool, words| if holds { Ok(()) } else { Err(GrammarError(words)) };
        rule(!self.ended, "nothing comes after `End`")?;
        if let Event::Start { .. } = event {
            rule(!self.started, "`Start` comes once")?;
            self.started = true;
            return Ok(());
        }
        rule(self.started, "`Start` comes first")?;
        match event {
            Event::BlockStart { choice, block, start } => {
                let state = self.choices.entry(*choice).or_default();
                rule(!state.finished, "no block begins after `Finish`")?;
                rule(
                    *block as usize == state.blocks.len(),
                    "blocks are numbered in the order of `BlockStart`",
                )?;
                state.blocks.push(Some(letter(start)));
            }
            Event::Delta { choice, block, delta } => {
                let open = self.open(*choice, *block).ok_or(GrammarError("`Delta` names an open block"))?;
                let fits = match delta {
                    Delta::Text(_) => matches!(open, 't' | 'r'),
                    Delta::Input(_) => open == 'u',
                    Delta::Seal(_) => matches!(open, 't' | 'r' | 'u'),
                };
                rule(fits, "a `Delta` fits the kind of its block")?;
            }
            Event::BlockStop { choice, block } => {
                self.open(*choice, *block).ok_or(GrammarError("`BlockStop` names an open block"))?;
                if let Some(slot) =
                    self.choices.get_mut(choice).and_then(|state| state.blocks.get_mut(*block as usize))
                {
                    *slot = None;
                }
            }
            Event::Finish { choice, .. } => {
                let state = self.choices.entry(*choice).or_default();
                rule(!state.finished, "`Finish` comes once a choice")?;
                rule(
                    state.blocks.iter().all(Option::is_none),
                    "`Finish` comes when every block has stopped",
                )?;
                state.finished = true;
            }
            Event::End => {
                rule(
                    self.choices.values().all(|state| state.finished),
                    "`End` comes when every choice has finished",
                )?;
                self.ended = true;
            }
            Event::Start { .. } | Event::Logprobs { .. } | Event::Usage(_) | Event::Opaque { .. } => {}
        }
        Ok(())
    }

    fn open(&self, choice: u32, block: u32) -> Option<char> {
        self.choices.get(&choice)?.blocks.get(block as usize).copied().flatten()
    }
}

fn letter(start: &BlockStart) -> char {
    match start {
        BlockStart::Text | BlockStart::Refusal => 't',
        BlockStart::Reasoning => 'r',
        BlockStart::ToolUse { .. } => 'u',
        BlockStart::Whole(_) => 'w',
    }
}
