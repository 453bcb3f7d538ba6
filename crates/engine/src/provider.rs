//! The shape of a provider: what a row of the table says, and what a user's own provider may say.

use dialect::DialectId;

/// How a provider wants its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone, in the header of that name.
    Header(&'static str),
    /// No key at all.
    None,
}

/// How a provider lists its models, and how the list becomes OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelList {
    /// `{"data":[{"id":…}]}`, as it is.
    Openai,
    /// Anthropic's: `created_at` becomes Unix seconds, `type` becomes `object`.
    Anthropic,
    /// Cohere's: `{"models":[{"name":…}]}`.
    Names,
    /// Google's: as [`ModelList::Names`], less the prefix `models/`.
    Google,
    /// Cloudflare's: `{"result":[{"name":…}]}`.
    Result,
}

/// An operation that is understood, and so may be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A model answers.
    Generate,
    /// A prompt's tokens are counted.
    CountTokens,
}

/// A provider as the table states it.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, in configuration and in `provider/model`.
    pub name: &'static str,
    /// Other spellings of its name.
    pub aka: &'static [&'static str],
    /// The dialect it speaks.
    pub dialect: DialectId,
    /// Where it lives, without a slash at the end.
    pub base: &'static str,
    /// Environment variables that may hold its keys; the first that is set counts.
    pub key_vars: &'static [&'static str],
    /// Environment variables that may say where it lives; the first that is set counts.
    pub base_vars: &'static [&'static str],
    /// How it wants its key.
    pub auth: Auth,
    /// Path of [`Operation::Generate`], behind the base.
    pub generate: &'static str,
    /// Path and shape of its model list, where it has one.
    pub models: Option<(&'static str, ModelList)>,
}
