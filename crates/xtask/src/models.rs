//! `cargo xtask models DIR [YYYY-MM-DD]`: writes the table of facts about models,
//! `crates/engine/src/models/table.tsv`.
//!
//! `DIR` holds `models-dev.json` (context windows, abilities, prices), `genai-prices-data_slim.json` (prices,
//! names) and a `README.md` that tells the commit and the date of each. Of prices with conditions those count
//! that hold on the day, which is today where none is given.

mod book;
mod dev;
#[cfg(test)]
mod tests;

use crate::misused;
pub(crate) use book::Book;
use engine::models::{Ability, Bucket, Facts, Prices, Tier, spellings};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the facts come from.
const FACTS_FILE: &str = "models-dev.json";
/// Where prices and other names come from.
pub(crate) const PRICES_FILE: &str = "genai-prices-data_slim.json";
/// What tells of both.
pub(crate) const NOTES_FILE: &str = "README.md";
/// Where the table stands.
const TABLE: &str = "crates/engine/src/models/table.tsv";

/// A provider of ours, what the source of facts calls it, and what the source of prices does. The first of
/// several that know a model counts.
#[rustfmt::skip]
const PROVIDERS: &[(&str, &[&str], Option<&str>)] = &[
    ("anthropic", &["anthropic"], Some("anthropic")),
    ("azure", &["azure", "azure-cognitive-services"], Some("azure")),
    ("bedrock", &["amazon-bedrock"], Some("aws")),
    ("cerebras", &["cerebras"], Some("cerebras")),
    ("cohere", &["cohere"], Some("cohere")),
    ("dashscope", &["alibaba"], None),
    ("deepseek", &["deepseek"], Some("deepseek")),
    ("fireworks", &["fireworks-ai"], Some("fireworks")),
    ("google-ai-studio", &["google"], Some("google")),
    ("grok", &["xai"], Some("x-ai")),
    ("groq", &["groq"], Some("groq")),
    ("huggingface", &["huggingface"], None),
    ("mistral", &["mistral"], Some("mistral")),
    ("moonshot", &["moonshotai"], Some("moonshotai")),
    ("ollama", &["ollama-cloud"], None),
    ("openai", &["openai"], Some("openai")),
    ("openrouter", &["openrouter"], Some("openrouter")),
    ("perplexity-ai", &["perplexity"], Some("perplexity")),
    ("together", &["togetherai"], Some("together")),
    ("vertex", &["google-vertex", "google-vertex-anthropic"], Some("google")),
    ("workers-ai", &["cloudflare-workers-ai"], None),
    ("z-ai", &["zai"], None),
];
/// Providers of whose models only those count that the source of facts knows: the other one keeps every model
/// that there ever was.
const NOT_MORE: &[&str] = &["openrouter"];

/// Models whose price hangs on the region: <https://aws.amazon.com/bedrock/pricing/>
const REGIONAL: &[(&str, &str)] = &[("bedrock", "claude")];
/// Providers whose entries in the book are those of another product too, and the word in the names of these.
const NOT_THEIRS: &[(&str, &str)] = &[("google-ai-studio", "claude")];

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Facts(Facts),
    /// Another name of the same provider's.
    Alias(String),
}

/// The rows of one provider.
type Rows = BTreeMap<String, Row>;

/// `cargo xtask models DIR [YYYY-MM-DD]`.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    let (folder, day) = match words {
        [folder] => (Path::new(folder), today()),
        [folder, day] if day.len() == 10 => (Path::new(folder), (*day).to_owned()),
        _ => return misused("`models` wants the folder of the sources"),
    };
    match write(root, folder, &day) {
        Ok(said) => {
            eprintln!("{said}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path, folder: &Path, day: &str) -> Result<String, String> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let json = |name: &str| -> Result<Value, String> {
        serde_json::from_str(&read(name)?).map_err(|error| format!("{name}: {error}"))
    };
    let notes = read(NOTES_FILE)?;
    let mut text = header(&notes, day);
    let table = table(&json(FACTS_FILE)?, &json(PRICES_FILE)?, day);
    table.iter().for_each(|line| text += &format!("{line}\n"));
    fs::write(root.join(TABLE), &text).map_err(|error| format!("{TABLE}: {error}"))?;
    Ok(format!("{TABLE}: {} rows, {} bytes", table.len(), text.len()))
}

fn header(notes: &str, day: &str) -> String {
    let named = |file: &str| commit(notes, file).map(|(commit, day)| format!("{commit} of {day}"));
    let (facts, prices) = (named(FACTS_FILE).unwrap_or_default(), named(PRICES_FILE).unwrap_or_default());
    format!(
        "# Written by `cargo xtask models` on {day}; corrections stand in corrections.tsv, the form in mod.rs.\n\
         # Facts: https://github.com/anomalyco/models.dev {facts}, MIT licence.\n\
         # Prices: https://github.com/pydantic/genai-prices {prices}, MIT licence; where it has none, the former.\n"
    )
}

/// The commit and the day that stand in the notes' line about a file, or in the next one that has them.
pub(crate) fn commit<'a>(notes: &'a str, file: &str) -> Option<(&'a str, &'a str)> {
    let is_commit = |word: &&str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_day = |word: &&str| word.len() == 10 && word.matches('-').count() == 2;
    let mut lines = notes.lines().skip_while(|line| !line.contains(file));
    lines.find_map(|line| {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        Some((words.find(is_commit)?, words.find(is_day)?))
    })
}

/// The lines of the table, in order.
fn table(facts: &Value, prices: &Value, day: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (ours, names, book) in PROVIDERS {
        let book = book.and_then(|name| Book::of(prices, name, day)).unwrap_or_default();
        let mut rows = Rows::new();
        for (id, model) in names.iter().flat_map(|name| dev::models(facts, name)) {
            let row = known(ours, &id, model, &book);
            rows.entry(id).or_insert(Row::Facts(row));
        }
        if !NOT_MORE.contains(ours) {
            more(&mut rows, ours, &book);
        }
        prune(&mut rows, ours);
        lines.extend(rows.iter().map(|(name, row)| match row {
            Row::Facts(facts) => format!("{ours}/{name}\t{facts}"),
            Row::Alias(other) => format!("{ours}/{name}\t={other}"),
        }));
    }
    // By bytes of the whole name: `a-b/x` stands before `a/x`.
    lines.sort_by(|one, other| one.split('\t').next().cmp(&other.split('\t').next()));
    lines
}

/// The facts of a model that the source of facts has, with the prices of the book where it has them.
fn known(provider: &str, id: &str, model: &Value, book: &Book) -> Facts {
    let mut facts = dev::facts(id, model);
    let entry = book.find(id);
    if let Some(entry) = entry {
        facts.prices = prices(provider, id, &facts.prices, entry);
    }
    // Of two windows the larger, which some header may open: too small is a reason to ask another target.
    facts.context = facts.context.max(entry.and_then(|entry| entry.context));
    finished(provider, id, facts)
}

/// Prices of a model that both sources may have. They agree about most; then the book knows more of longer prompts.
/// Else the book has them by a pattern, which may be meant for another model, and counts only where it says from
/// which day on, or where the other source does not tell regions apart.
fn prices(provider: &str, id: &str, facts: &Prices, entry: &book::Entry<'_>) -> Prices {
    let base = |prices: &Prices| prices.tiers().first().map(|tier| tier.rates).unwrap_or_default();
    let (ours, theirs) = (base(facts), base(&entry.prices));
    let agree = [Bucket::Input, Bucket::Output].iter().all(|bucket| ours.of(*bucket) == theirs.of(*bucket));
    let by_region = REGIONAL.iter().any(|(ours, word)| *ours == provider && id.contains(word));
    if facts.is_empty() || !entry.prices.is_empty() && (entry.dated || by_region) {
        return entry.prices.clone();
    }
    if !agree {
        return facts.clone();
    }
    let missing = Bucket::all().filter(|bucket| theirs.of(*bucket).is_none());
    let mut tiers = entry.prices.tiers().to_vec();
    for (bucket, price) in missing.filter_map(|bucket| Some((bucket, ours.of(bucket)?))) {
        tiers.iter_mut().for_each(|tier| tier.rates.set(bucket, price));
    }
    Prices::new(tiers)
}

/// Models and names that only the book has.
fn more(rows: &mut Rows, provider: &str, book: &Book<'_>) {
    for entry in book.entries() {
        let names = book.names_of(provider, entry);
        let theirs = rows.keys().filter(|id| book.find(id).is_some_and(|found| found.id == entry.id));
        let mut first = theirs.min_by_key(|id| id.len()).cloned();
        // A name without its date takes the place of the one that has it.
        let undated = |id: &String| spellings(provider, id).find(|name| names.contains(name));
        if let Some((dated, name)) = first.as_ref().and_then(|id| Some((id, undated(id)?)))
            && let Some(row) = rows.get(dated).cloned()
        {
            rows.entry(name.clone()).or_insert(row);
            first = Some(name);
        }
        let foreign =
            |name: &str| NOT_THEIRS.iter().any(|(ours, word)| *ours == provider && name.contains(word));
        for name in names {
            if rows.contains_key(&name) || foreign(&name) {
                continue;
            }
            let row = match &first {
                Some(first) => Row::Alias(first.clone()),
                None => {
                    let facts =
                        Facts { context: entry.context, prices: entry.prices.clone(), ..Facts::default() };
                    Row::Facts(finished(provider, &name, facts))
                }
            };
            first.get_or_insert_with(|| name.clone());
            rows.insert(name, row);
        }
    }
}

/// What no source tells.
fn finished(provider: &str, id: &str, mut facts: Facts) -> Facts {
    if id.contains("embed") {
        facts.abilities.set(Ability::Embeddings, true);
        facts.abilities.set(Ability::Tools, false);
        // What stands there is the length of a vector.
        facts.max_output = None;
    }
    if id.contains("claude") && ["anthropic", "azure", "bedrock", "vertex"].contains(&provider) {
        facts.prices = with_hour(&facts.prices);
    }
    facts
}

/// Claude's prices, with writing to a cache for an hour at twice the price of input:
/// <https://docs.claude.com/en/docs/build-with-claude/prompt-caching#pricing>
fn with_hour(prices: &Prices) -> Prices {
    let tiers = prices.tiers().iter().map(|tier| {
        let mut rates = tier.rates;
        if let (Some(input), Some(_)) = (rates.of(Bucket::Input), rates.of(Bucket::CacheWrite)) {
            rates.set(Bucket::CacheWriteHour, input * 2);
        }
        Tier { above: tier.above, rates }
    });
    Prices::new(tiers.collect())
}

/// Takes out the rows without which the same would be found.
fn prune(rows: &mut Rows, provider: &str) {
    let mut names: Vec<String> = rows.keys().cloned().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        let Some(row) = rows.remove(&name) else { continue };
        let same = spellings(provider, &name).find_map(|name| resolve(rows, rows.get(&name)?));
        let needed = same.is_none() || same != resolve(rows, &row);
        // An alias of what is gone would point to nothing.
        let pointed_at = rows.values().any(|other| *other == Row::Alias(name.clone()));
        if needed || pointed_at {
            rows.insert(name, row);
        }
    }
}

/// The facts behind a row. An alias never points to another.
fn resolve<'a>(rows: &'a Rows, row: &'a Row) -> Option<&'a Facts> {
    match row {
        Row::Facts(facts) => Some(facts),
        Row::Alias(name) => {
            rows.get(name).filter(|row| matches!(row, Row::Facts(_))).and_then(|row| resolve(rows, row))
        }
    }
}

/// Our name of a provider of the book's.
pub(crate) fn ours(book: &str) -> Option<&'static str> {
    PROVIDERS.iter().find(|(.., name)| *name == Some(book)).map(|(ours, ..)| *ours)
}

/// Today's date in UTC: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
