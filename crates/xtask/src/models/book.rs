//! genai-prices: prices with conditions, and the names by which models are known.

use engine::models::{Bucket, Prices, Rates, Tier};
use serde_json::Value;
use std::collections::BTreeMap;

/// Its names of prices.
const PRICES: &[(&str, Bucket)] = &[
    ("input_mtok", Bucket::Input),
    ("cache_read_mtok", Bucket::CacheRead),
    ("cache_write_mtok", Bucket::CacheWrite),
    ("output_mtok", Bucket::Output),
    ("input_audio_mtok", Bucket::AudioIn),
    ("output_audio_mtok", Bucket::AudioOut),
    ("requests_kcount", Bucket::Call),
];
/// Rules that hold a name or a part of one.
const WORDS: &[&str] = &["equals", "starts_with", "contains"];

/// What the book says of one provider.
#[derive(Debug, Default)]
pub(crate) struct Book<'a>(Vec<Entry<'a>>);

/// What it says of one model.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(super) id: &'a str,
    pub(super) context: Option<u64>,
    /// None where they depend on the hour.
    pub(crate) prices: Prices,
    /// They hold from a day on that is stated.
    pub(super) dated: bool,
    rule: &'a Value,
}

impl<'a> Book<'a> {
    /// The entries of a provider, with the prices of the day.
    pub(crate) fn of(all: &'a Value, provider: &str, day: &str) -> Option<Self> {
        let provider =
            all.as_array()?.iter().find(|known| known.get("id").is_some_and(|id| id == provider))?;
        let models = provider.get("models")?.as_array()?.iter();
        let entries = models.filter_map(|model| {
            let (prices, dated) = prices(model.get("prices")?, day).unwrap_or_default();
            Some(Entry {
                id: model.get("id")?.as_str()?,
                context: model.get("context_window").and_then(Value::as_u64),
                prices,
                dated,
                rule: model.get("match")?,
            })
        });
        Some(Book(entries.collect()))
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.0
    }

    /// The entry of a model: the first whose rule takes its name.
    pub(crate) fn find(&self, model: &str) -> Option<&Entry<'a>> {
        self.0.iter().find(|entry| takes(entry.rule, model))
    }

    /// The names in an entry's rule that lead to it, in lower case. Bedrock's names begin with the maker.
    pub(super) fn names_of(&self, provider: &str, entry: &Entry<'_>) -> Vec<String> {
        let mut names = Vec::new();
        words(entry.rule, &mut names);
        if provider == "bedrock" {
            let bare = |name: &String| name.starts_with("claude").then(|| format!("anthropic.{name}"));
            names = names.iter().map(|name| bare(name).unwrap_or_else(|| name.clone())).collect();
        }
        names.retain(|name| self.find(name).is_some_and(|found| found.id == entry.id));
        names
    }
}

/// Collects the names of a rule.
fn words(rule: &Value, names: &mut Vec<String>) {
    for (kind, value) in rule.as_object().into_iter().flatten() {
        match value {
            Value::String(name) if WORDS.contains(&kind.as_str()) => {
                names.push(name.to_ascii_lowercase().trim_end_matches(['-', '@', ':', '.']).to_owned());
            }
            Value::Array(rules) => rules.iter().for_each(|rule| words(rule, names)),
            _ => {}
        }
    }
}

/// A rule takes a name. Regular expressions take none: those that there are name dates.
fn takes(rule: &Value, model: &str) -> bool {
    let one = |(kind, value): (&String, &Value)| {
        let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
        let mut rules = value.as_array().into_iter().flatten();
        match kind.as_str() {
            "or" => rules.any(|rule| takes(rule, model)),
            "and" => rules.all(|rule| takes(rule, model)),
            "equals" => model == text,
            "starts_with" => model.starts_with(&text),
            "ends_with" => model.ends_with(&text),
            "contains" => model.contains(&text),
            _ => false,
        }
    };
    rule.as_object().is_some_and(|rules| rules.iter().any(one))
}

/// The prices that hold on a day, the last whose condition is met, and whether that is a day. `None` where a
/// condition is an hour.
fn prices(prices: &Value, day: &str) -> Option<(Prices, bool)> {
    let Some(list) = prices.as_array() else { return Some((tiers(prices), false)) };
    let condition = |price: &Value, name: &str| price.pointer(&format!("/constraint/{name}")).cloned();
    if list.iter().any(|price| condition(price, "start_time").is_some()) {
        return None;
    }
    let holds = |price: &&Value| {
        condition(price, "start_date").is_none_or(|start| start.as_str().is_some_and(|start| start <= day))
    };
    let price = list.iter().rev().find(holds)?;
    Some((tiers(price.get("prices")?), condition(price, "start_date").is_some()))
}

fn tiers(prices: &Value) -> Prices {
    let mut tiers: BTreeMap<u64, Rates> = BTreeMap::new();
    let mut state = |above: u64, bucket: Bucket, value: Option<&Value>| {
        if let Some(price) = value.and_then(price) {
            tiers.entry(above).or_default().set(bucket, price);
        }
    };
    for (name, bucket) in PRICES {
        let Some(value) = prices.get(*name) else { continue };
        state(0, *bucket, value.get("base").or(Some(value)));
        for tier in value.get("tiers").and_then(Value::as_array).into_iter().flatten() {
            let above = tier.get("start").and_then(Value::as_u64).unwrap_or(0);
            state(above, *bucket, tier.get("price"));
        }
    }
    Prices::new(tiers.into_iter().map(|(above, rates)| Tier { above, rates }).collect())
}

/// A price in millionths of a dollar, rounded to the nearest. Sources write some as sums of floating point.
pub(super) fn price(value: &Value) -> Option<u64> {
    let dollars = value.as_f64().filter(|dollars| (0.0..1e9).contains(dollars))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was looked at")]
    Some((dollars * 1e6).round() as u64)
}
