//! `cargo xtask usages FILE [--json]`: reads recorded usages through our dialects and compares them, and their
//! prices, with what another book makes of them.
//!
//! `FILE` is `genai-prices-usages.json.gz`: a list of `{"body": {…}, "model": "…", "extracted": [{"usage": {…},
//! "extractors": [{"provider_id": "…", "api_flavor": "…", "input_price": "…", "output_price": "…"}]}]}`. A
//! body is read as every API in turn whose members it has, whatever API it came from. The book of prices,
//! `genai-prices-data_slim.json`, stands beside it.

mod flavours;
mod price;
#[cfg(test)]
mod tests;

use crate::misused;
use dialect::canon::Usage;
use flate2::read::MultiGzDecoder;
use flavours::{Flavour, KNOWN, Theirs};
use price::{Books, Price};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs::File, path::Path, process::ExitCode};

/// A recorded body, and what is made of it.
#[derive(Debug, Deserialize)]
struct Case {
    body: Map<String, Value>,
    #[serde(default)]
    model: String,
    extracted: Vec<Extracted>,
}

/// What some flavours make of a body.
#[derive(Debug, Deserialize)]
struct Extracted {
    usage: Theirs,
    extractors: Vec<Extractor>,
}

#[derive(Debug, Deserialize)]
struct Extractor {
    provider_id: String,
    api_flavor: String,
    #[serde(default)]
    input_price: Option<String>,
    #[serde(default)]
    output_price: Option<String>,
}

/// What came of one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The same in everything.
    Same,
    /// The same in all that the flavour reads.
    Partly,
    /// Other, for a reason that is known.
    Known(&'static str),
    /// No dialect of ours speaks it.
    NotYet,
    /// Other.
    Broken,
}

/// The readings of one flavour.
#[derive(Debug, Default)]
struct Row {
    outcomes: BTreeMap<Outcome, usize>,
    prices: BTreeMap<Price, usize>,
}

/// What was found in all cases.
#[derive(Debug, Default)]
struct Found {
    cases: usize,
    /// Cases with a reading that no dialect of ours speaks and none that is broken.
    not_yet: usize,
    broken: usize,
    rows: BTreeMap<String, Row>,
    faults: Vec<String>,
}

/// `cargo xtask usages FILE [--json]`.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    let (json, file) = match words {
        [file] | [file, "--json"] | ["--json", file] => (words.contains(&"--json"), file),
        _ => return misused("`usages` wants the file of the recordings"),
    };
    match run(Path::new(file)) {
        Ok(found) => found.report(json),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<Found, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| said(&error))?;
    let cases: Vec<Case> =
        serde_json::from_reader(MultiGzDecoder::new(file)).map_err(|error| said(&error))?;
    let books = Books::beside(path)?;
    let mut found = Found::default();
    cases.iter().for_each(|case| found.take(case, &books));
    Ok(found)
}

impl Found {
    fn take(&mut self, case: &Case, books: &Books) {
        let readings = case
            .extracted
            .iter()
            .flat_map(|extracted| extracted.extractors.iter().map(move |extractor| (extracted, extractor)));
        let (mut not_yet, mut broken) = (false, false);
        for (extracted, extractor) in readings {
            let name = format!("{}/{}", extractor.provider_id, extractor.api_flavor);
            let flavour = Flavour::find(&name);
            let usage = flavour.read(&case.body);
            let outcome = match flavour.is_spoken() {
                false => Outcome::NotYet,
                true => compare((&name, &flavour), &extracted.usage, usage.as_ref()),
            };
            let price = match (outcome, &usage) {
                (Outcome::Same, Some(usage)) => {
                    books.compare(extractor, &case.model, &extracted.usage, usage)
                }
                _ => Price::None,
            };
            not_yet |= outcome == Outcome::NotYet;
            if outcome == Outcome::Broken || price == Price::Broken {
                broken = true;
                self.faults.push(format!(
                    "{name}: {price:?}: {:?} is {usage:?} of {:?}",
                    extracted.usage, case.body
                ));
            }
            let row = self.rows.entry(name).or_default();
            *row.outcomes.entry(outcome).or_default() += 1;
            *row.prices.entry(price).or_default() += 1;
        }
        self.cases += 1;
        self.broken += usize::from(broken);
        self.not_yet += usize::from(not_yet && !broken);
    }

    fn report(&self, json: bool) -> ExitCode {
        self.faults.iter().for_each(|fault| eprintln!("{fault}"));
        if json {
            println!("{}", self.json());
        } else {
            self.table();
        }
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn table(&self) {
        println!("{:32}{}", "flavour", Row::NAMES.map(|name| format!("{name:>13}")).concat());
        for (name, row) in &self.rows {
            println!("{name:32}{}", row.numbers().map(|number| format!("{number:>13}")).concat());
        }
        for (why, count) in self.reasons() {
            println!("known: {count} times: {why}");
        }
        let passed = self.cases - self.broken - self.not_yet;
        println!("{} cases, {passed} passed, {} not yet, {} broken", self.cases, self.not_yet, self.broken);
    }

    /// How often each known reason was met.
    fn reasons(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for (outcome, count) in self.rows.values().flat_map(|row| &row.outcomes) {
            if let Outcome::Known(why) = outcome {
                *reasons.entry(*why).or_default() += count;
            }
        }
        reasons
    }

    fn json(&self) -> Value {
        let row = |(name, row): (&String, &Row)| {
            let names = Row::NAMES.iter().map(|name| (*name).to_owned());
            let mut line: Map<String, Value> = names.zip(row.numbers().map(Value::from)).collect();
            line.insert("flavour".to_owned(), name.as_str().into());
            Value::Object(line)
        };
        json!({
            "flavours": self.rows.iter().map(row).collect::<Vec<_>>(),
            "known": self.reasons(),
            "cases": self.cases,
            "not yet": self.not_yet,
            "broken": self.broken,
            "faults": self.faults,
        })
    }
}

impl Row {
    const NAMES: [&'static str; 8] =
        ["same", "partly", "known", "not yet", "broken", "same price", "other book", "broken price"];

    fn numbers(&self) -> [usize; 8] {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.outcomes.iter().filter(|(outcome, _)| wanted(outcome)).map(|(_, count)| count).sum()
        };
        let price = |wanted: Price| self.prices.get(&wanted).copied().unwrap_or(0);
        [
            count(|outcome| *outcome == Outcome::Same),
            count(|outcome| *outcome == Outcome::Partly),
            count(|outcome| matches!(outcome, Outcome::Known(_))),
            count(|outcome| *outcome == Outcome::NotYet),
            count(|outcome| *outcome == Outcome::Broken),
            price(Price::Same),
            price(Price::OtherBook),
            price(Price::Broken),
        ]
    }
}

/// A field of theirs, and what ours makes of it.
type Field = (&'static str, fn(&Usage) -> u64);

/// What both tell, with our disjoint buckets counted as theirs: a part counts in the whole too.
const FIELDS: &[Field] = &[
    ("input_tokens", Usage::all_input),
    ("cache_read_tokens", |usage| usage.cache_read),
    ("cache_write_tokens", |usage| usage.cache_write + usage.cache_write_1h),
    ("input_audio_tokens", |usage| usage.audio_in),
    ("output_tokens", Usage::all_output),
    ("output_reasoning_tokens", |usage| usage.reasoning),
    ("output_audio_tokens", |usage| usage.audio_out),
];

fn compare((name, flavour): (&str, &Flavour), theirs: &Theirs, ours: Option<&Usage>) -> Outcome {
    let none = Usage::default();
    let ours = ours.unwrap_or(&none);
    let count = |name: &str| theirs.get(name).copied().unwrap_or(0);
    let mut outcome = Outcome::Same;
    for (field, of) in FIELDS {
        // Cached sound is sound for them, and cached input for us.
        let cached = if *field == "input_audio_tokens" { count("cache_audio_read_tokens") } else { 0 };
        let theirs_here = count(field).saturating_sub(cached);
        let known = || KNOWN.iter().find(|known| known.holds(name, field, ours, theirs));
        let here = if of(ours) == theirs_here {
            Outcome::Same
        } else if theirs_here == 0 && flavour.unread.contains(field) {
            Outcome::Partly
        } else {
            known().map_or(Outcome::Broken, |known| Outcome::Known(known.why))
        };
        outcome = outcome.max(here);
    }
    outcome
}
