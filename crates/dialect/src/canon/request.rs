//! A request in canonical form.

use super::{Block, Cache, Extra, Kind};
use crate::DialectId;
use serde_json::{Number, Value};

/// What a caller asks of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was read from.
    pub from: DialectId,
    /// The model's name as the caller wrote it.
    pub model: String,
    /// Instructions, questions, answers and tool results, in the order in which the dialect gave them.
    /// Anthropic's top-level `system` is the first turn, with [`Role::System`].
    pub turns: Vec<Turn>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must call one.
    pub choice: Option<Choose>,
    /// Whether it may call several at once.
    pub parallel: Option<bool>,
    /// How words are chosen.
    pub sampling: Sampling,
    /// Most tokens of the answer.
    pub limit: Option<u64>,
    /// How long to think first.
    pub reasoning: Option<Reasoning>,
    /// The form of the answer.
    pub format: Option<Format>,
    /// The answer is wanted as a stream. `None` where the caller did not say.
    pub stream: Option<bool>,
    /// A stream ends with its usage (OpenAI's `stream_options.include_usage`).
    pub stream_usage: Option<bool>,
    /// An id of the caller's end user.
    pub user: Option<String>,
    /// What in the body only a provider of the caller's dialect can serve (an earlier answer that it keeps,
    /// say, or several prompts at once), as JSON pointers: no provider of another dialect must be asked.
    pub needs: Vec<String>,
    /// Members that only the caller's dialect knows.
    pub extra: Extra,
}

impl Request {
    /// A request with nothing but its dialect and model.
    #[must_use]
    pub fn new(from: DialectId, model: impl Into<String>) -> Self {
        Request {
            from,
            model: model.into(),
            turns: Vec::new(),
            tools: Vec::new(),
            choice: None,
            parallel: None,
            sampling: Sampling::default(),
            limit: None,
            reasoning: None,
            format: None,
            stream: None,
            stream_usage: None,
            user: None,
            needs: Vec::new(),
            extra: Extra::NONE,
        }
    }
}

/// Where something stood in the sender's body: the index of the message and of the part in it. Writers
/// make a JSON pointer of it with [`At::pointer`]. `None` means "not in the list": a message whose content
/// is a plain string has no part index, a system prompt at top level has no message index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Index in `messages`.
    pub turn: Option<u32>,
    /// Index in that message's `content`.
    pub part: Option<u32>,
}

impl At {
    /// A JSON pointer into the sender's body, with `member` at the end where it is not empty. `turns` and
    /// `parts` are the sender's names for the lists (`messages` and `content`).
    #[must_use]
    pub fn pointer(self, turns: &str, parts: &str, member: &str) -> String {
        let mut pointer = String::new();
        match self.turn {
            Some(index) => pointer.push_str(&format!("/{turns}/{index}")),
            None => pointer.push_str("/system"),
        }
        if let Some(index) = self.part {
            if self.turn.is_some() {
                pointer.push_str(&format!("/{parts}"));
            }
            pointer.push_str(&format!("/{index}"));
        }
        if !member.is_empty() {
            pointer.push('/');
            pointer.push_str(&member.replace('~', "~0").replace('/', "~1"));
        }
        pointer
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator (OpenAI's `system`, Anthropic's top-level `system`).
    System,
    /// The operator, in OpenAI's newer word.
    Developer,
    /// The user. Holds tool results too, in dialects that put them there.
    User,
    /// The model.
    Assistant,
    /// A tool: exactly one [`super::Kind::ToolResult`] (OpenAI's `tool` messages).
    Tool,
}

impl Role {
    /// The word for it in most dialects.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub blocks: Vec<Block>,
    /// The content was written as a plain string, not as a list of parts. Many servers that speak OpenAI's
    /// dialect only understand strings, so a writer keeps the form where it can.
    pub plain: bool,
    /// Where it stood.
    pub at: At,
    /// The speaker's name (OpenAI).
    pub name: Option<String>,
    /// Members that only the sender's dialect knows.
    pub extra: Extra,
}

impl Turn {
    /// A turn in which nothing has been said.
    #[must_use]
    pub fn new(role: Role, at: At) -> Self {
        Turn { role, blocks: Vec::new(), plain: false, at, name: None, extra: Extra::NONE }
    }

    /// How many blocks it has, with those in the results of tools.
    #[must_use]
    pub fn parts(&self) -> usize {
        let inside = |block: &Block| match &block.kind {
            Kind::ToolResult { content, .. } => content.len(),
            _ => 0,
        };
        self.blocks.iter().map(|block| 1 + inside(block)).sum()
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tool {
    /// Its name. Empty for a tool of the provider's own, which is in `extra` whole.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its input.
    pub schema: Option<Value>,
    /// The model must keep to the schema exactly.
    pub strict: Option<bool>,
    /// A wish to cache the tools up to here.
    pub cache: Option<Cache>,
    /// A tool of one dialect alone (a server tool, a custom grammar tool): the whole object. The other
    /// members are then empty.
    pub native: Option<(DialectId, Value)>,
    /// Members that only the sender's dialect knows.
    pub extra: Extra,
}

/// Whether tools are called.
#[derive(Clone, Debug, PartialEq)]
pub enum Choose {
    /// As the model likes.
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
    /// A way that only one dialect knows.
    Native(DialectId, Value),
}

/// How words are chosen. Numbers are kept as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Randomness.
    pub temperature: Option<Number>,
    /// Nucleus.
    pub top_p: Option<Number>,
    /// Best k.
    pub top_k: Option<Number>,
    /// OpenAI's.
    pub frequency_penalty: Option<Number>,
    /// OpenAI's.
    pub presence_penalty: Option<Number>,
    /// For repeatable answers.
    pub seed: Option<Number>,
    /// Words that end the answer.
    pub stop: Vec<String>,
    /// How many answers.
    pub n: Option<u32>,
    /// Log probabilities are wanted.
    pub logprobs: Option<bool>,
    /// … and of how many alternatives for each token.
    pub top_logprobs: Option<u32>,
}

/// How the model shall think before it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reasoning {
    /// Not at all (Anthropic `thinking.type: disabled`, OpenAI `reasoning_effort: none`).
    Off,
    /// As long as it likes (Anthropic `adaptive`), with an effort where one is given.
    Adaptive(Option<Effort>),
    /// For so many tokens at most (Anthropic `budget_tokens`).
    Budget(u64),
    /// With so much effort (OpenAI `reasoning_effort`).
    Effort(Effort),
}

/// Degrees of effort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effort {
    /// OpenAI's least.
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Above high (`xhigh`, and Anthropic's `max`).
    Max,
    /// A word that none of ours is; kept as it was.
    Other(String),
}

impl Effort {
    /// The effort that a word means by a dialect's table of words and thinking budgets, in tokens.
    #[must_use]
    pub fn of_word(table: &[(&str, Effort, u64)], word: &str) -> Effort {
        let row = table.iter().find(|(name, ..)| word.eq_ignore_ascii_case(name));
        row.map_or_else(|| Effort::Other(word.to_owned()), |(_, effort, _)| effort.clone())
    }

    /// The word and the budget for it in such a table.
    #[must_use]
    pub fn row(&self, table: &[(&'static str, Effort, u64)]) -> Option<(&'static str, u64)> {
        table.iter().find(|(_, effort, _)| effort == self).map(|(word, _, budget)| (*word, *budget))
    }
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Words, said explicitly.
    Text,
    /// Some JSON object.
    Json,
    /// JSON that keeps to a schema.
    Schema {
        /// The schema's name, which OpenAI demands.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema.
        schema: Value,
        /// The model must keep to it exactly.
        strict: Option<bool>,
    },
    /// A form that only one dialect knows.
    Native(DialectId, Value),
}
