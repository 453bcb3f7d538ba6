//! A stream whose caller has left in the middle of it: cut at once, or read to its end, where it says what it cost.

use super::{Exchange, Live, Order, Phase, Task};
use crate::{
    limits::{UNHEARD_MAX, UNHEARD_TIME},
    plan::ClientGone,
    provider::Operation,
    time::Instant,
};
use std::mem;

impl Exchange {
    /// Reads on where the operator wants that and there is a stream to read, for so long and so much and no more.
    /// Tells whether it does.
    pub(super) fn read_on(&mut self, now: Instant) -> bool {
        if self.plan.client_gone == ClientGone::Cancel || self.unheard.is_some() || self.mirrored {
            return false;
        }
        let understood = matches!(&self.task, Task::Call(call)
            if call.operation == Operation::Generate && call.relayed.is_none());
        let Some(place) = self.live.iter().position(Live::is_stream).filter(|_| understood) else {
            return false;
        };
        let live = self.live.swap_remove(place);
        self.cancel_all(now);
        // It has the word, though nobody listens: nobody else is asked, whatever becomes of it.
        self.voice = usize::try_from(live.attempt.0).ok();
        self.left.clear();
        (self.trouble, self.unheard) = (None, Some(UNHEARD_MAX));
        self.deadline = self.deadline.min(now.after(UNHEARD_TIME));
        mem::take(&mut self.sent);
        self.live.push(live);
        self.orders.push_back(Order::Part(self.ticket()));
        true
    }

    /// So much more has come of an answer. Tells whether it may: one that nobody hears has a limit of its own.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let Some(room) = &mut self.unheard else { return true };
        let left = room.checked_sub(bytes);
        *room = left.unwrap_or(0);
        left.is_some()
    }

    /// Drops what is for a caller who has left.
    pub(super) fn drop_unheard(&mut self) {
        let is_for_him = |order: &Order| matches!(order, Order::Head(_) | Order::Body(_) | Order::Abort);
        while self.left_by_caller && self.orders.front().is_some_and(is_for_him) {
            self.orders.pop_front();
        }
    }
}

impl Live {
    /// It is answering with a stream.
    fn is_stream(&self) -> bool {
        matches!(&self.phase, Phase::Answering(answering) if answering.way.streamed)
    }
}
