//! What is kept of one exchange.

use crate::{access::Caller, fit::Unfit, models::Money, time::Span};
use dialect::{DialectId, FaultKind, Losses, canon::Usage};

/// One exchange, told at its end. Holds no secret and no word of a prompt or an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The id that the caller was told.
    pub id: String,
    /// Who called.
    pub caller: Caller,
    /// The ledger admitted it, and so it must be settled.
    pub admitted: bool,
    /// It repeats another request, and nobody got its answer.
    pub mirrored: bool,
    /// The dialect he spoke.
    pub dialect: DialectId,
    /// The model's name as he wrote it; empty for a pass-through.
    pub model: String,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
    /// The one of them whose answer the caller got, as an index. Of an answer that was taken up by another
    /// target it is the last.
    pub voice: Option<usize>,
    /// The targets that were not asked, since they could not have served it.
    pub passed_over: Vec<PassedOver>,
    /// The status he got; `None` where he left before there was one.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was used by the attempt that the caller hears of, where that is known.
    pub usage: Option<Usage>,
    /// What all attempts together cost. `None` where one of them used what has no price that is known, and where
    /// none used anything.
    pub cost: Option<Money>,
    /// From the request's arrival until the first byte of the answer's body.
    pub ttft: Option<Span>,
    /// How long it waited for limits, where it did.
    pub queued: Option<Span>,
    /// From the request's arrival until the end.
    pub took: Span,
    /// What could not be carried.
    pub losses: Losses,
    /// What went over a WebSocket, in bytes: to the provider, and to the caller.
    pub carried: Option<(u64, u64)>,
    /// The caller left in the middle of a stream, which was read on for nobody ([`crate::exchange::Order::Part`]).
    pub unheard: bool,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The provider's name.
    pub provider: String,
    /// The model as that provider knows it; empty for a pass-through.
    pub model: String,
    /// The status that it answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub fault: Option<FaultKind>,
    /// What it used, where that is known.
    pub usage: Option<Usage>,
    /// Its provider did not say, at the end or because there was none: what it used is estimated by what had come.
    pub estimated: bool,
    /// What that cost, where the prices are known.
    pub cost: Option<Money>,
    /// Until the first content of its answer.
    pub ttft: Option<Span>,
    /// Until its end, or until it was given up.
    pub took: Span,
    /// Another was faster, so it was given up.
    pub outrun: bool,
    /// Why it was asked.
    pub manner: Manner,
}

/// Why a target was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// It was its turn: the first, or the next after one that failed.
    #[default]
    Turn,
    /// Another was slow.
    Race,
    /// Another had not spoken yet, and was not slow.
    Hedge,
    /// An answer had broken off: it was asked for the whole, of which what had been sent is dropped.
    Resume,
    /// The same: it was given what had been sent, to go on with it.
    Prefill,
}

impl Manner {
    /// A word for it, where there is something to say.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Manner::Turn => None,
            Manner::Race => Some("race"),
            Manner::Hedge => Some("hedge"),
            Manner::Resume => Some("resume"),
            Manner::Prefill => Some("prefill"),
        }
    }
}

/// A target that was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The provider's name.
    pub provider: String,
    /// The model as that provider knows it.
    pub model: String,
    /// Why not.
    pub why: Unfit,
}

/// What these attempts cost together; see [`Record::cost`].
#[must_use]
pub fn cost(trials: &[Trial]) -> Option<Money> {
    let mut used = trials.iter().filter(|trial| trial.usage.is_some()).peekable();
    used.peek()?;
    used.try_fold(Money::default(), |sum, trial| Some(sum.plus(trial.cost?)))
}

impl Record {
    /// Something of what it used and cost is an estimate.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.trials.iter().any(|trial| trial.estimated)
    }

    /// The trial that the caller hears of: whose answer he got, or the last.
    #[must_use]
    pub fn heard(&self) -> Option<&Trial> {
        self.voice.and_then(|voice| self.trials.get(voice)).or(self.trials.last())
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With the whole answer.
    Whole,
    /// With a fault, told before the first byte or in the dialect's error event.
    Fault(FaultKind),
    /// The caller left.
    ClientGone,
}
