//! What models cost. Money is counted in whole pico-dollars: a price of one dollar for a million tokens is a
//! million of them for one token, so prices down to a millionth of a dollar for a million tokens are exact.

use dialect::canon::Usage;
use std::fmt;

/// Decimals of a price in USD that are kept.
const DECIMALS: usize = 6;
/// Pico-dollars in a dollar.
const DOLLAR: u64 = 1_000_000_000_000;
/// A price for a thousand calls, in millionths of a dollar, as pico-dollars for one.
const CALL: u64 = 1_000;

/// An amount of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(
    /// Pico-dollars (10⁻¹² USD).
    pub u64,
);

impl Money {
    /// The sum, or the most there is.
    #[must_use]
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The amount in millionths of a dollar, rounded to the nearest.
    #[must_use]
    pub fn micro_dollars(self) -> u64 {
        self.0.saturating_add(500_000) / 1_000_000
    }
}

impl fmt::Display for Money {
    /// In US dollars, such as `0.000102`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, DOLLAR, 12))
    }
}

/// What is paid for apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// [`Usage::input`].
    Input,
    /// [`Usage::cache_read`].
    CacheRead,
    /// [`Usage::cache_write`].
    CacheWrite,
    /// [`Usage::cache_write_1h`].
    CacheWriteHour,
    /// [`Usage::output`].
    Output,
    /// [`Usage::reasoning`].
    Reasoning,
    /// [`Usage::audio_in`].
    AudioIn,
    /// [`Usage::audio_out`].
    AudioOut,
    /// One call, whatever it used; its price is for a thousand.
    Call,
}

/// A bucket with its letter in the table, its name in configuration, the bucket whose price holds where it has
/// none of its own, and its tokens.
type Row = (Bucket, char, &'static str, Option<Bucket>, fn(&Usage) -> u64);

/// Every bucket, in the order of [`Bucket`].
#[rustfmt::skip]
const BUCKETS: &[Row] = &[
    (Bucket::Input, 'i', "input", None, |usage| usage.input),
    (Bucket::CacheRead, 'r', "cache_read", Some(Bucket::Input), |usage| usage.cache_read),
    (Bucket::CacheWrite, 'w', "cache_write", Some(Bucket::Input), |usage| usage.cache_write),
    (Bucket::CacheWriteHour, 'h', "cache_write_1h", Some(Bucket::CacheWrite), |usage| usage.cache_write_1h),
    (Bucket::Output, 'o', "output", None, |usage| usage.output),
    (Bucket::Reasoning, 't', "reasoning", Some(Bucket::Output), |usage| usage.reasoning),
    (Bucket::AudioIn, 'a', "audio_in", Some(Bucket::Input), |usage| usage.audio_in),
    (Bucket::AudioOut, 'b', "audio_out", Some(Bucket::Output), |usage| usage.audio_out),
    (Bucket::Call, 'q', "call", None, |_| 0),
];

impl Bucket {
    /// Every bucket.
    pub fn all() -> impl Iterator<Item = Bucket> {
        BUCKETS.iter().map(|row| row.0)
    }

    /// Its name in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        BUCKETS.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    fn from_letter(letter: char) -> Option<Bucket> {
        BUCKETS.iter().find(|row| row.1 == letter).map(|row| row.0)
    }

    /// The bucket whose price holds where this one has none.
    fn instead(self) -> Option<Bucket> {
        BUCKETS.iter().find(|row| row.0 == self).and_then(|row| row.3)
    }
}

/// Prices by bucket, in millionths of a dollar for a million tokens (of [`Bucket::Call`], for a thousand calls).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Option<u64>; BUCKETS.len()]);

impl Rates {
    /// The price of a bucket, as it is stated.
    #[must_use]
    pub fn of(&self, bucket: Bucket) -> Option<u64> {
        self.0.get(bucket as usize).copied().flatten()
    }

    /// States the price of a bucket.
    pub fn set(&mut self, bucket: Bucket, price: u64) {
        if let Some(place) = self.0.get_mut(bucket as usize) {
            *place = Some(price);
        }
    }

    /// The price that holds for a bucket: its own, or that of the one which stands in for it.
    fn holds(&self, bucket: Bucket) -> Option<u64> {
        std::iter::successors(Some(bucket), |bucket| bucket.instead()).find_map(|bucket| self.of(bucket))
    }

    fn cost(&self, usage: &Usage) -> Option<Money> {
        let call = self.of(Bucket::Call).unwrap_or(0).saturating_mul(CALL);
        let used = BUCKETS.iter().map(|(bucket, .., tokens)| (*bucket, tokens(usage)));
        used.filter(|(_, tokens)| *tokens > 0).try_fold(Money(call), |sum, (bucket, tokens)| {
            Some(sum.plus(Money(self.holds(bucket)?.saturating_mul(tokens))))
        })
    }
}

/// Prices that hold for prompts above a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The prompt, cached or not, has more tokens than this.
    pub above: u64,
    /// The prices.
    pub rates: Rates,
}

/// What a model costs, by the size of the prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(Vec<Tier>);

impl Prices {
    /// Prices of tiers, which are put in order. What a tier does not state holds as in the one below it.
    #[must_use]
    pub fn new(mut tiers: Vec<Tier>) -> Prices {
        tiers.sort_by_key(|tier| tier.above);
        let mut below = Rates::default();
        for tier in &mut tiers {
            for (bucket, ..) in BUCKETS {
                if let (None, Some(price)) = (tier.rates.of(*bucket), below.of(*bucket)) {
                    tier.rates.set(*bucket, price);
                }
            }
            below = tier.rates;
        }
        Prices(tiers)
    }

    /// Nothing is known of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tiers, from the one for the shortest prompts on.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// What a call cost that used so much. `None` where a price of something that it used is not known.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<Money> {
        let prompt = usage.all_input();
        self.0.iter().rev().find(|tier| tier.above < prompt || tier.above == 0)?.rates.cost(usage)
    }

    /// Reads the prices of a line.
    #[must_use]
    pub fn parse(column: &str) -> Option<Prices> {
        let mut tiers: Vec<Tier> = Vec::new();
        for word in column.split(' ').filter(|word| *word != "-") {
            if let Some(above) = word.strip_prefix('>') {
                tiers.push(Tier { above: above.parse().ok()?, rates: Rates::default() });
                continue;
            }
            if tiers.is_empty() {
                tiers.push(Tier { above: 0, rates: Rates::default() });
            }
            let mut letters = word.chars();
            let bucket = Bucket::from_letter(letters.next()?)?;
            tiers.last_mut()?.rates.set(bucket, millionths(letters.as_str())?);
        }
        Some(Prices::new(tiers))
    }
}

impl fmt::Display for Prices {
    /// As [`Prices::parse`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        let (mut below, mut words) = (Rates::default(), Vec::new());
        for tier in &self.0 {
            words.extend((tier.above > 0).then(|| format!(">{}", tier.above)));
            for (bucket, letter, ..) in BUCKETS {
                let price = tier.rates.of(*bucket).filter(|price| below.of(*bucket) != Some(*price));
                words.extend(price.map(|price| format!("{letter}{}", decimal(price, 1_000_000, DECIMALS))));
            }
            below = tier.rates;
        }
        f.write_str(&words.join(" "))
    }
}

/// A decimal number of dollars as millionths; what is smaller is cut off. `None` where it is none.
pub(crate) fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + part.len() == 0 || !digits(whole) || !digits(part) {
        return None;
    }
    let part = format!("{:0<DECIMALS$}", part.get(..part.len().min(DECIMALS))?);
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(1_000_000)?.checked_add(part.parse().ok()?)
}

/// `amount` parts of a `unit` as a decimal number with so many decimals at most.
fn decimal(amount: u64, unit: u64, decimals: usize) -> String {
    let text = format!("{}.{:0decimals$}", amount / unit, amount % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
