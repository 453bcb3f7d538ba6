//! Guesses at what was meant.

use crate::provider::Provider;

/// The one of `known` that is nearest to `word`, if any is near enough to be a slip of the finger.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            let letters = name.len().min(word.len());
            *distance < letters && *distance <= 1 + letters / 4
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How to switch a provider of the table on.
#[must_use]
pub fn switch_on(row: &Provider) -> String {
    let variable = match row.key_vars.first() {
        Some(name) if !row.local => (*name).to_owned(),
        _ => row.base_variables().into_iter().next().unwrap_or_default(),
    };
    format!("provider `{}` is known but not on: set `{variable}`, or add it to `providers`", row.name)
}
