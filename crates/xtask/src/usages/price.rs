//! Prices of recorded usages, ours and those of the other book.

use super::{Extractor, flavours::Theirs};
use crate::models::{self, Book};
use dialect::canon::Usage;
use engine::models::{Money, Prices, find};
use serde_json::Value;
use std::{fs, path::Path};

/// What came of comparing a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Price {
    /// One of the two has none.
    None,
    /// The same, within a millionth of a dollar.
    Same,
    /// Other, and so are the prices that it was made of.
    OtherBook,
    /// Other, though the prices are the same.
    Broken,
}

/// The other book, on the day for which our table was written.
pub(super) struct Books {
    all: Value,
    day: String,
}

impl Books {
    /// The book that stands in the folder of `path`.
    pub(super) fn beside(path: &Path) -> Result<Books, String> {
        let path = path.with_file_name(models::PRICES_FILE);
        let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| said(&error))?;
        let all = serde_json::from_str(&text).map_err(|error| said(&error))?;
        Ok(Books::new(all, &models::today()))
    }

    pub(super) fn new(all: Value, day: &str) -> Books {
        Books { all, day: day.to_owned() }
    }

    pub(super) fn compare(
        &self,
        extractor: &Extractor,
        model: &str,
        counts: &Theirs,
        usage: &Usage,
    ) -> Price {
        let Some(theirs) = told(extractor) else { return Price::None };
        let ours = models::ours(&extractor.provider_id).and_then(|provider| find(provider, model));
        let Some(prices) = ours.map(|facts| facts.prices) else { return Price::None };
        let Some(cost) = prices.cost(usage) else { return Price::None };
        if cost.0.abs_diff(theirs.0) <= 1_000_000 {
            return Price::Same;
        }
        // They have prices for these, and not in the book as it is given away.
        if model.contains("-image") || counts.contains_key("cache_audio_read_tokens") {
            return Price::OtherBook;
        }
        if self.prices(&extractor.provider_id, model) == Some(prices) {
            Price::Broken
        } else {
            Price::OtherBook
        }
    }

    fn prices(&self, provider: &str, model: &str) -> Option<Prices> {
        let book = Book::of(&self.all, provider, &self.day)?;
        book.find(&model.to_ascii_lowercase()).map(|entry| entry.prices.clone())
    }
}

/// What the other book says that it cost.
fn told(extractor: &Extractor) -> Option<Money> {
    let part = |price: &Option<String>| price.as_deref().map_or(Some(0), dollars);
    extractor.input_price.as_ref().or(extractor.output_price.as_ref())?;
    Some(Money(part(&extractor.input_price)?.checked_add(part(&extractor.output_price)?)?))
}

/// A decimal number of dollars as pico-dollars; what is smaller is cut off.
fn dollars(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<12}");
    Some(whole.parse::<u64>().ok()?.checked_mul(1_000_000_000_000)? + part.get(..12)?.parse::<u64>().ok()?)
}
