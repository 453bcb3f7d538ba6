//! Whether a model can serve a request, by what is known of it. What is not known stands in nobody's way.

use crate::{
    estimate,
    models::{Ability, Facts},
};
use dialect::canon::{Block, Format, Kind, Request};
use memchr::memmem;
use std::fmt;

/// What a request needs of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What the model must be able to do.
    pub abilities: Vec<Ability>,
    /// About how many tokens the prompt has.
    pub prompt: u64,
}

/// Why a model cannot serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It cannot do what is needed.
    Lacks(Ability),
    /// Its context window is smaller than the prompt.
    TooLong {
        /// About how many tokens the prompt has.
        prompt: u64,
        /// How many the window has.
        window: u64,
    },
}

/// Words without which no body of any dialect needs an ability.
const WORDS: &[(Ability, &[&str])] = &[
    (Ability::Audio, &["audio"]),
    (Ability::Documents, &["document", "file", "pdf"]),
    (Ability::JsonSchema, &["chema"]),
    (Ability::Tools, &["tools", "functions"]),
    (Ability::Vision, &["image"]),
];

/// The first reason for which a model cannot serve what is needed.
///
/// # Errors
/// That reason, where it is known.
pub fn fit(needs: &Needs, facts: &Facts) -> Result<(), Unfit> {
    if let Some(lacked) = needs.abilities.iter().find(|need| facts.abilities.has(**need) == Some(false)) {
        return Err(Unfit::Lacks(*lacked));
    }
    match facts.context {
        Some(window) if window < needs.prompt => Err(Unfit::TooLong { prompt: needs.prompt, window }),
        _ => Ok(()),
    }
}

/// The model may be unable to serve a body, so that it is worth reading: a word in it, or its size, speaks for
/// something that the model is known not to have. Nothing is parsed.
#[must_use]
pub fn is_in_question(body: &[u8], facts: &Facts) -> bool {
    let speaks_for = |words: &[&str]| words.iter().any(|word| memmem::find(body, word.as_bytes()).is_some());
    let lacks = |ability: Ability| facts.abilities.has(ability) == Some(false);
    facts.context.is_some_and(|window| window < estimate::most(body.len()))
        || WORDS.iter().any(|(ability, words)| lacks(*ability) && speaks_for(words))
}

impl Needs {
    /// What a request needs.
    #[must_use]
    pub fn of(request: &Request) -> Needs {
        let mut needs = Needs { abilities: Vec::new(), prompt: estimate::prompt(request) };
        if !request.tools.is_empty() {
            needs.put(Ability::Tools);
        }
        if matches!(request.format, Some(Format::Schema { .. })) {
            needs.put(Ability::JsonSchema);
        }
        request.turns.iter().for_each(|turn| needs.read(&turn.blocks));
        needs
    }

    fn read(&mut self, blocks: &[Block]) {
        for block in blocks {
            match &block.kind {
                Kind::Image(_) => self.put(Ability::Vision),
                Kind::Audio(_) => self.put(Ability::Audio),
                Kind::File(_) => self.put(Ability::Documents),
                Kind::ToolResult { content, .. } => self.read(content),
                _ => {}
            }
        }
    }

    fn put(&mut self, ability: Ability) {
        if !self.abilities.contains(&ability) {
            self.abilities.push(ability);
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Lacks(ability) => write!(f, "it has no `{}`", ability.name()),
            Unfit::TooLong { prompt, window } => {
                write!(f, "the prompt has about {prompt} tokens, its context window {window}")
            }
        }
    }
}
