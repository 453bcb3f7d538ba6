//! What is done about an attempt that failed: another key, the same target again, the next one, or nothing.
//!
//! | fault | remedies, in this order |
//! |---|---|
//! | the key is refused, has no money, or is limited | another key of the provider, then as below |
//! | limited (429) | the next target; the same after `Retry-After` where there is none |
//! | overloaded or failed (5xx) | the same target once more after a short pause, unless it wants a longer one, then the next |
//! | unreachable | the next target; the same where there is none |
//! | silent, broken off, not understood, no such model | the next target |
//! | the prompt is too long | the next target: first those that are there for this |
//! | the beginning of the answer was refused or not gone on with, of a stream that broke off | the same target for the whole answer, then the next |
//! | a content filter | none; the targets that are there for this, or any next one where the operator wants that |
//! | the caller's mistake | none |
//!
//! What each kind of fault means stands in [`dialect::fault`]. Attempts are bounded in number, by the
//! exchange's deadline, and retries at the same target by the provider's budget of them besides.

use super::{Asking, Exchange, Live, Order, UpstreamHead};
use crate::{
    ledger::Command,
    limits::{BACKOFF, BACKOFF_MAX, RETRY_AFTER_MAX},
    time::{Instant, Span},
};
use dialect::{Fault, FaultKind};
use std::collections::VecDeque;

/// Something went wrong, and what may be done about it.
pub(super) struct Trouble {
    pub(super) fault: Fault,
    /// The provider's own words, where it said something.
    pub(super) said: Option<(UpstreamHead, Vec<u8>)>,
    /// Which target it was, where it was one, and with which key.
    pub(super) aim: Option<usize>,
    key: usize,
    /// How often that was asked with the same key.
    pub(super) tries: u32,
    /// What is left to do.
    remedies: VecDeque<Remedy>,
    /// Until when nothing is done.
    pub(super) pause: Option<Instant>,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Ask the same target with another key.
    Key,
    /// Ask the same target for the whole answer, which did not go on with its beginning.
    Whole,
    /// Ask the same target again, after a pause.
    Again(Span),
    /// Ask the next target.
    Next,
}

impl Trouble {
    /// A target could not be asked at all. `others`: there are more.
    pub(super) fn of(fault: Fault, others: bool) -> Trouble {
        let remedies = others.then_some(Remedy::Next).into_iter().collect();
        Trouble { fault, said: None, aim: None, key: 0, tries: 0, remedies, pause: None }
    }
}

impl Exchange {
    /// An attempt has failed and is not under way any more. Where another is, that one decides.
    pub(super) fn mend(
        &mut self,
        failed: &Live,
        fault: Fault,
        said: Option<(UpstreamHead, Vec<u8>)>,
        now: Instant,
    ) {
        let brought = self.bring_in(fault.kind);
        let remedies = self.remedies(failed, &fault, brought);
        let (aim, key, tries) = (Some(failed.turn.aim), failed.turn.key, failed.tries);
        self.trouble = Some(Box::new(Trouble { fault, said, aim, key, tries, remedies, pause: None }));
        match self.live.first_mut() {
            // The other was to be hurried, or to hurry: it has its time.
            Some(other) if failed.turn.hedge || other.turn.hedge => {}
            // What was to be faster has failed: the next one may be.
            Some(other) => other.race = now,
            None => self.remedy(now),
        }
    }

    fn remedies(&mut self, failed: &Live, fault: &Fault, brought: bool) -> VecDeque<Remedy> {
        let mut list = VecDeque::new();
        // Only who could not be reached has taken nothing of a body that can be sent once.
        if self.inbound.more && fault.kind != FaultKind::UpstreamUnreachable {
            return list;
        }
        let meaning = fault.kind.meaning();
        let filtered = fault.kind == FaultKind::ContentFiltered && self.plan.failover.content_filter;
        let whole = failed.prefill.is_some()
            && self.may_be_asked_whole(failed.turn.aim, fault.kind, failed.strayed());
        let others = (meaning.next || filtered || brought || whole) && !self.left.is_empty();
        if whole {
            list.push_back(Remedy::Whole);
        }
        if meaning.key && failed.turn.keys_left {
            list.push_back(Remedy::Key);
        }
        // An answer that has begun is taken up by another target, or not at all.
        if meaning.retry
            && !self.is_told()
            && (failed.tries <= self.plan.failover.retries || !others && self.plan.failover.retries > 0)
        {
            let pause = fault.retry_after_ms.map_or_else(|| self.backoff(failed.tries), Span::millis);
            // Who wants to be left alone for longer than a moment is, where there is another.
            let patient = matches!(fault.kind, FaultKind::UpstreamOverloaded | FaultKind::UpstreamFailed)
                && fault.retry_after_ms.is_none_or(|ms| Span::millis(ms) <= BACKOFF);
            if pause <= RETRY_AFTER_MAX && (!others || patient) {
                list.push_back(Remedy::Again(pause));
            }
        }
        if others {
            list.push_back(Remedy::Next);
        }
        list
    }

    /// A pause of which chance takes a part, so that what failed together does not come back together.
    fn backoff(&self, tries: u32) -> Span {
        let longest = BACKOFF.0.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(BACKOFF_MAX.0);
        Span(self.inbound.roll.rotate_left(tries) % (longest + 1))
    }

    /// Does the next thing that may help, or tells what went wrong.
    pub(super) fn remedy(&mut self, now: Instant) {
        let attempts = u32::try_from(self.trials.len()).unwrap_or(u32::MAX);
        let spent = attempts >= self.plan.attempts || now >= self.deadline;
        let Some(trouble) = &mut self.trouble else { return };
        let remedy = trouble.remedies.pop_front().filter(|_| !spent);
        match (remedy, trouble.aim) {
            (Some(Remedy::Key), Some(aim)) => {
                trouble.tries = 0;
                let refused = trouble.key;
                self.ask(Asking::Remedy, Command::Key(aim, refused));
            }
            (Some(Remedy::Again(pause)), Some(_)) if now.after(pause) < self.deadline => {
                trouble.pause = Some(now.after(pause));
            }
            (Some(Remedy::Whole), Some(aim)) => self.ask(Asking::Remedy, Command::Again(aim)),
            (Some(Remedy::Next), _) => {
                trouble.tries = 0;
                self.ask(Asking::Remedy, Command::Next);
            }
            (Some(_), _) => self.remedy(now),
            (None, _) => self.give_up(now),
        }
    }

    /// The pause before a retry is over.
    pub(super) fn again(&mut self) {
        let Some(trouble) = &mut self.trouble else { return };
        trouble.pause = None;
        let Some(aim) = trouble.aim else { return };
        self.ask(Asking::Remedy, Command::Again(aim));
    }

    pub(super) fn ask(&mut self, asking: Asking, command: Command) {
        self.asking = Some(asking);
        self.orders.push_back(Order::Ask(command));
    }
}
