//! How one of a name's targets is chosen: tier by tier, and within a tier by a strategy.
//!
//! What hangs on the request alone is settled before the ledger is asked: its targets are put in the order in
//! which they may be asked. What hangs on how targets fare just then is the ledger's.

use crate::plan::{Aim, Plan};
use dialect::FaultKind;
use std::ops::Range;

/// How the targets of a name hang together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// In the order in which they are asked: the next when nothing is left of the first that may be asked.
    pub tiers: Vec<Tier>,
    /// Requests of one conversation go to one target.
    pub affinity: bool,
    /// Where some requests go as well.
    pub mirror: Option<Mirror>,
}

/// Where some requests go as well, though nobody gets the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// A name, or a target.
    pub to: String,
    /// How many of ten thousand requests.
    pub share: u32,
}

/// Targets among which is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Which they are, as indexes into [`crate::route::Route::aims`].
    pub aims: Range<usize>,
    /// How one of them is chosen.
    pub strategy: Strategy,
    /// For which faults they are there.
    pub when: When,
    /// The name whose targets they are.
    pub of: String,
    /// Under which number the ledger knows whose turn it is.
    pub id: u64,
}

/// How one of several targets is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The first that may be asked.
    #[default]
    Ordered,
    /// By chance, as often as their weights say.
    Shuffle,
    /// In turns, as often as their weights say.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastBusy,
    /// Of two by chance the one whose streams' first tokens come sooner, as seen lately.
    Fastest,
    /// The cheapest, by what is known of prices. Unknown ones come last.
    Cheapest,
    /// The one that was asked least in the last minute.
    Usage,
}

/// When targets may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// For whatever reason.
    #[default]
    Always,
    /// Once the prompt was too long for another.
    TooLong,
    /// Once another's content filter refused.
    Filtered,
}

impl Strategy {
    /// Its name in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Ordered => "ordered",
            Strategy::Shuffle => "shuffle",
            Strategy::RoundRobin => "round_robin",
            Strategy::LeastBusy => "least_busy",
            Strategy::Fastest => "fastest",
            Strategy::Cheapest => "cheapest",
            Strategy::Usage => "usage",
        }
    }

    /// The ledger chooses, by how targets fare.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Strategy::RoundRobin | Strategy::LeastBusy | Strategy::Fastest | Strategy::Usage)
    }

    /// Requests go to more than one target though all is well.
    #[must_use]
    pub fn spreads(self) -> bool {
        !matches!(self, Strategy::Ordered | Strategy::Cheapest)
    }
}

impl When {
    /// The fault brings these targets in.
    #[must_use]
    pub fn is_for(self, kind: FaultKind) -> bool {
        match self {
            When::Always => false,
            When::TooLong => kind == FaultKind::ContextTooLong,
            When::Filtered => kind == FaultKind::ContentFiltered,
        }
    }
}

impl Mirror {
    /// One that was asked for as a share of a hundred.
    #[must_use]
    pub fn percent(&self) -> f64 {
        f64::from(self.share) / 100.0
    }

    /// The request with this number by chance goes there too.
    #[must_use]
    pub fn takes(&self, roll: u64) -> bool {
        // Not the number by which targets are chosen: those of one target would be mirrored, and no other's.
        mix(roll ^ hash(&[self.to.as_bytes()])) % 10_000 < u64::from(self.share)
    }
}

impl Shape {
    /// The tier of a target.
    #[must_use]
    pub fn tier(&self, aim: usize) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.aims.contains(&aim))
    }

    /// The targets in the order in which they may be asked; those of [`When::Always`] first. A conversation has
    /// its `key`, by which its targets are found again (rendezvous hashing: when a target goes, only its own
    /// conversations move); without one, what is chosen by chance is by `roll`.
    #[must_use]
    pub fn order(&self, plan: &Plan, aims: &[Aim], key: Option<u64>, roll: u64) -> Vec<usize> {
        let mut all = Vec::with_capacity(aims.len());
        for tier in &self.tiers {
            let start = all.len();
            all.extend(tier.aims.clone());
            let chance = if tier.strategy == Strategy::Shuffle { Some(roll) } else { None };
            let Some(key) = key.filter(|_| tier.strategy.spreads()).or(chance) else { continue };
            let of = |index: &usize| aims.get(*index).map_or(f64::MAX, |aim| distance(plan, aim, key));
            if let Some(own) = all.get_mut(start..) {
                own.sort_by(|a, b| of(a).total_cmp(&of(b)));
            }
        }
        all
    }
}

/// How far a target lies from `key`. The nearest of several is any of them, as often as their weights say.
fn distance(plan: &Plan, aim: &Aim, key: u64) -> f64 {
    let provider = plan.providers.get(aim.provider).map_or("", |provider| provider.name.as_str());
    let hash = mix(key ^ hash(&[provider.as_bytes(), aim.model.as_bytes()]));
    // A number between 0 and 1, neither of them: 52 bits, and a half.
    #[expect(clippy::cast_precision_loss, reason = "52 bits are exact")]
    let share = ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -share.ln() / f64::from(aim.weight())
}

/// A hash that is the same everywhere and for ever (FNV-1a), of texts one behind the other.
#[must_use]
pub fn hash(texts: &[&[u8]]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let text = |hash: u64, text: &&[u8]| step(text.iter().fold(hash, step), &0);
    texts.iter().fold(0xcbf2_9ce4_8422_2325, text)
}

/// Spreads the bits of a number over all of it (the last step of SplitMix64).
#[must_use]
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
