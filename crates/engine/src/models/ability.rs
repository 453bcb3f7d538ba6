//! What models can do.

use std::fmt;

/// Something that a model can do, or cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It hears.
    Audio,
    /// It reads documents (PDF).
    Documents,
    /// It gives vectors, and does not talk.
    Embeddings,
    /// Its answer keeps to a JSON Schema.
    JsonSchema,
    /// It goes on with an answer that the caller has begun.
    Prefill,
    /// It thinks before it answers.
    Reasoning,
    /// Its answers come as streams.
    Streaming,
    /// It calls tools.
    Tools,
    /// It sees pictures.
    Vision,
}

/// Every ability with its letter in the table and its name in configuration, in the order of letters.
pub(super) const ABILITIES: &[(Ability, char, &str)] = &[
    (Ability::Audio, 'a', "audio"),
    (Ability::Documents, 'd', "documents"),
    (Ability::Embeddings, 'e', "embeddings"),
    (Ability::JsonSchema, 'j', "json_schema"),
    (Ability::Prefill, 'p', "prefill"),
    (Ability::Reasoning, 'r', "reasoning"),
    (Ability::Streaming, 's', "streaming"),
    (Ability::Tools, 't', "tools"),
    (Ability::Vision, 'v', "vision"),
];

impl Ability {
    /// Every ability, in the order of their letters.
    pub fn all() -> impl Iterator<Item = Ability> {
        ABILITIES.iter().map(|(ability, ..)| *ability)
    }

    /// Its name in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        ABILITIES.iter().find(|(ability, ..)| *ability == self).map_or("", |(.., name)| name)
    }

    /// The ability of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Ability> {
        ABILITIES.iter().find(|(.., known)| *known == name).map(|(ability, ..)| *ability)
    }

    fn from_letter(letter: char) -> Option<Ability> {
        ABILITIES.iter().find(|(_, known, _)| *known == letter).map(|(ability, ..)| *ability)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What is known of a model's abilities: those it has, those it lacks, and of the others nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    has: u16,
    lacks: u16,
}

impl Abilities {
    /// The model has it. `None` where that is not known.
    #[must_use]
    pub fn has(self, ability: Ability) -> Option<bool> {
        let is_in = |set: u16| set & ability.bit() != 0;
        if is_in(self.has) { Some(true) } else { is_in(self.lacks).then_some(false) }
    }

    /// Says whether the model has it.
    pub fn set(&mut self, ability: Ability, has: bool) {
        let (into, out_of) =
            if has { (&mut self.has, &mut self.lacks) } else { (&mut self.lacks, &mut self.has) };
        *into |= ability.bit();
        *out_of &= !ability.bit();
    }

    /// These, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, other: Abilities) -> Abilities {
        let known = self.has | self.lacks;
        Abilities { has: self.has | (other.has & !known), lacks: self.lacks | (other.lacks & !known) }
    }

    /// Reads the letters of those it has and, behind a `!`, of those it lacks.
    #[must_use]
    pub fn parse(column: &str) -> Option<Abilities> {
        let mut abilities = Abilities::default();
        let (has, lacks) = column.split_once('!').unwrap_or((column, ""));
        for (letters, value) in [(has, true), (lacks, false)] {
            for letter in letters.chars().filter(|letter| *letter != '-') {
                abilities.set(Ability::from_letter(letter)?, value);
            }
        }
        Some(abilities)
    }
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = |value| {
            let those = ABILITIES.iter().filter(move |(ability, ..)| self.has(*ability) == Some(value));
            those.map(|(_, letter, _)| *letter).collect::<String>()
        };
        match (letters(true).as_str(), letters(false).as_str()) {
            ("", "") => f.write_str("-"),
            (has, "") => f.write_str(has),
            (has, lacks) => write!(f, "{has}!{lacks}"),
        }
    }
}
