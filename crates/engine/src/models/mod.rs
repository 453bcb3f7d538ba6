//! What is known of models: context windows, longest answers, abilities, prices. Facts, and no more: nothing
//! is refused because a model is unknown here.
//!
//! They stand in two texts, sorted by `provider/model` in lower case and searched as they are, so that they
//! cost nothing at the start: `table.tsv`, written by `cargo xtask models`, and `corrections.tsv`, written by
//! hand, whose columns win. A line has five columns:
//!
//! ```text
//! provider/model  context window  longest answer  abilities  prices
//! provider/other-name  =model
//! ```
//!
//! `-` stands for what is not known. The letters of abilities are those of [`Ability`], behind a `!` what the
//! model lacks. Prices are USD for a million tokens, each behind the letter of its [`Bucket`]; `>200000` begins
//! those for longer prompts, which inherit what they do not state.

mod ability;
mod prices;
#[cfg(test)]
mod tests;

pub use ability::{Abilities, Ability};
pub(crate) use prices::millionths;
pub use prices::{Bucket, Money, Prices, Rates, Tier};

use std::borrow::Cow;

/// What is written by `cargo xtask models`.
const TABLE: &str = include_str!("table.tsv");
/// What is written by hand.
const CORRECTIONS: &str = include_str!("corrections.tsv");
/// The name that stands for every model of a provider that has no line of its own.
const ANY: &str = "*";
/// How often a name may be another name for a name.
const ALIASES_MAX: usize = 2;

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Context window: tokens of prompt and answer together.
    pub context: Option<u64>,
    /// Longest answer, in tokens.
    pub max_output: Option<u64>,
    /// What it can do, and what it cannot.
    pub abilities: Abilities,
    /// What it costs; empty where that is not known.
    pub prices: Prices,
}

impl Facts {
    /// These facts, and where they say nothing, those of `other`. Prices are taken whole.
    #[must_use]
    pub fn or(self, other: &Facts) -> Facts {
        Facts {
            context: self.context.or(other.context),
            max_output: self.max_output.or(other.max_output),
            abilities: self.abilities.or(other.abilities),
            prices: if self.prices.is_empty() { other.prices.clone() } else { self.prices },
        }
    }

    /// The facts in the columns of a line behind its name, or `None` where one of them is none.
    #[must_use]
    pub fn parse(columns: &str) -> Option<Facts> {
        let mut columns = columns.split('\t');
        let facts = Facts {
            context: tokens(columns.next()?)?,
            max_output: tokens(columns.next()?)?,
            abilities: Abilities::parse(columns.next()?)?,
            prices: Prices::parse(columns.next()?)?,
        };
        columns.next().is_none().then_some(facts)
    }
}

impl std::fmt::Display for Facts {
    /// The columns of a line, as [`Facts::parse`] reads them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = |tokens: Option<u64>| tokens.map_or("-".to_owned(), |tokens| tokens.to_string());
        write!(f, "{}\t{}\t", tokens(self.context), tokens(self.max_output))?;
        write!(f, "{}\t{}", self.abilities, self.prices)
    }
}

/// What is known of `model` at `provider` (a name of [`crate::providers`]). Costs a few microseconds: a dozen
/// lines are looked at for each spelling of the name, of which there are few.
#[must_use]
pub fn find(provider: &str, model: &str) -> Option<Facts> {
    let corrected = |name: &str| look(CORRECTIONS, provider, name).map(|(_, facts)| facts);
    let Some((name, known)) = look(TABLE, provider, model) else { return corrected(model) };
    let corrected = corrected(model).or_else(|| corrected(&name));
    Some(corrected.map_or_else(|| known.clone(), |corrected| corrected.or(&known)))
}

/// The lines of the written table: `(provider/model, columns)`, without those that are comments.
pub fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
}

/// The spellings under which a model may stand, most particular first: without what stands before it, and
/// without its date or revision at the end.
pub fn spellings(provider: &str, model: &str) -> impl Iterator<Item = String> {
    let (whole, heads) = (Some(model.to_ascii_lowercase()), heads(provider));
    let is_bedrock = provider == BEDROCK;
    std::iter::successors(whole, move |name| without_head(heads, name)).flat_map(move |name| {
        std::iter::successors(Some(name), move |name| without_revision(name, is_bedrock).map(str::to_owned))
    })
}

const BEDROCK: &str = "bedrock";

/// What stands before a model's name and is no part of it. The regions are those of Bedrock's inference profiles:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
const HEADS: &[(&str, &[&str])] = &[
    (BEDROCK, &["us.", "eu.", "global.", "apac.", "jp.", "au.", "ca.", "us-gov."]),
    ("google-ai-studio", &["models/", "google/"]),
    ("vertex", &["publishers/google/models/", "publishers/anthropic/models/", "google/", "anthropic/"]),
];

fn heads(provider: &str) -> &'static [&'static str] {
    HEADS.iter().find(|(name, _)| *name == provider).map_or(&[], |(_, heads)| heads)
}

fn without_head(heads: &[&str], model: &str) -> Option<String> {
    // The names of inference profiles and their like: `arn:aws:bedrock:…:inference-profile/us.anthropic…`.
    let named = model.starts_with("arn:").then(|| model.rsplit_once('/')).flatten();
    let bare = named.map(|(_, name)| name);
    bare.or_else(|| heads.iter().find_map(|head| model.strip_prefix(head))).map(str::to_owned)
}

/// The name without a date or a revision at its end. A number that may be part of the name (`-4-1`, `-0613`)
/// is none, and so is a version (`-v2`), but on Bedrock, where every name has one.
fn without_revision(model: &str, is_bedrock: bool) -> Option<&str> {
    let (name, last) = model.rsplit_once(['-', '@', ':'])?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = is_number(last.strip_prefix('v').unwrap_or_default())
        || last.len() == 1 && is_number(last) && model.ends_with(&format!(":{last}"));
    let is_date = matches!(last.len(), 3 | 8) && is_number(last);
    if is_date || is_bedrock && is_version || matches!(last, "latest" | "default") {
        return Some(name);
    }
    let (name, day) = model.split_at_checked(model.len().checked_sub(DAY.len())?)?;
    let is_like = |(byte, like): (u8, u8)| byte == like || byte.is_ascii_digit() && like.is_ascii_digit();
    day.bytes().zip(DAY.bytes()).all(is_like).then_some(name)
}

/// A date as some names end in one.
const DAY: &str = "-2025-01-31";

/// The first spelling that has a line, with the name that the line has in the end.
fn look(table: &str, provider: &str, model: &str) -> Option<(String, Facts)> {
    let found = spellings(provider, model).find_map(|name| resolve(table, provider, Cow::Owned(name)));
    found.or_else(|| resolve(table, provider, Cow::Borrowed(ANY)))
}

/// The facts on the line of that very name, or on the line that it points to.
fn resolve(table: &str, provider: &str, mut name: Cow<'_, str>) -> Option<(String, Facts)> {
    for _ in 0..=ALIASES_MAX {
        let columns = line(table, &format!("{provider}/{name}"))?;
        match columns.strip_prefix('=') {
            Some(other) => name = Cow::Owned(other.to_owned()),
            None => return Some((name.into_owned(), Facts::parse(columns)?)),
        }
    }
    None
}

/// The columns behind `key`: a binary search among the lines.
fn line<'a>(table: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = table;
    while !rest.is_empty() {
        let middle = rest.as_bytes().get(..rest.len() / 2)?;
        let start = memchr::memrchr(b'\n', middle).map_or(0, |at| at + 1);
        let tail = rest.get(start..)?;
        let length = memchr::memchr(b'\n', tail.as_bytes()).unwrap_or(tail.len());
        let (name, columns) = tail.get(..length)?.split_once('\t').unwrap_or_default();
        match key.cmp(name) {
            std::cmp::Ordering::Equal => return Some(columns),
            std::cmp::Ordering::Less => rest = rest.get(..start)?,
            std::cmp::Ordering::Greater => rest = rest.get(start + length + 1..).unwrap_or(""),
        }
    }
    None
}

/// A number of tokens, or `-`.
#[expect(clippy::option_option, reason = "outside: could it be read, inside: is it known")]
fn tokens(column: &str) -> Option<Option<u64>> {
    if column == "-" { Some(None) } else { column.parse().ok().map(Some) }
}
