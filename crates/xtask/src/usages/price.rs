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
    /// Other, since their prices are.
    OtherBook,
    /// Other, though made of their own prices.
    Broken,
}

/// The other book, on one day.
pub(super) struct Books {
    all: Value,
    day: String,
}

impl Books {
    /// The book that stands in the folder of `path`, on the day on which it was written.
    pub(super) fn beside(path: &Path) -> Result<Books, String> {
        let read = |name: &str| {
            let path = path.with_file_name(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let all = serde_json::from_str(&read(models::PRICES_FILE)?)
            .map_err(|error| format!("{}: {error}", models::PRICES_FILE))?;
        let notes = read(models::NOTES_FILE)?;
        let day = models::commit(&notes, models::PRICES_FILE).map_or("", |(_, day)| day);
        Ok(Books::new(all, day))
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
        let is_theirs = |cost: Money| cost.0.abs_diff(theirs.0) <= 1_000_000;
        if is_theirs(cost) {
            return Price::Same;
        }
        // What their own prices come to must be what they say. They have prices for pictures and for cached sound,
        // and not in the book as it is given away.
        let unknown = model.contains("-image") || counts.contains_key("cache_audio_read_tokens");
        let by_book = self.prices(&extractor.provider_id, model).and_then(|prices| prices.cost(usage));
        if unknown || by_book.is_none_or(is_theirs) { Price::OtherBook } else { Price::Broken }
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
