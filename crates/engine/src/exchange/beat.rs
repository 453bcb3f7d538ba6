//! Heartbeats: who waits in silence is sent something that means nothing, so that nothing on the way takes the
//! connection for dead. Between the events of a stream that is a comment, before an answer that comes whole a space.
//!
//! The first may go out before any provider has answered, and the head with it. Nothing of an answer has been told
//! then, so other targets may be asked as before; but what fails has no status of its own any more, and is told in
//! the body.

use super::{Exchange, Live, Order, Phase, Task, reply};
use crate::time::{Instant, Span};
use bytes::Bytes;
use dialect::{Fault, frame::Framing};

/// A comment, as the standard has it: <https://html.spec.whatwg.org/multipage/server-sent-events.html>
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");
/// What may stand around any value of JSON.
const SPACE: Bytes = Bytes::from_static(b" ");

/// The form in which the caller of an operation that is understood gets his answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Events, one by one.
    Events,
    /// The same as the elements of a JSON array.
    List,
    /// JSON that comes whole.
    Whole,
}

impl Exchange {
    /// The form of the answer, where it is understood.
    pub(super) fn form(&self) -> Option<Form> {
        let Task::Call(call) = &self.task else { return None };
        let listed = || self.inbound.named.as_ref().is_some_and(|named| named.list);
        match (&call.relayed, call.stream) {
            (Some(_), _) => None,
            (None, true) if listed() => Some(Form::List),
            (None, true) => Some(Form::Events),
            (None, false) => Some(Form::Whole),
        }
    }

    /// Something of an answer has been told, and not only heartbeats.
    pub(super) fn is_told(&self) -> bool {
        self.first_byte.is_some()
    }

    /// When the next heartbeat is due, if any is.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        let (span, _) = self.beat()?;
        Some(self.heard.after(span))
    }

    /// Sends a heartbeat if it is time, the head before it where none has gone.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        let Some((_, beat)) = self.beat().filter(|(span, _)| self.heard.after(*span) <= now) else { return };
        if self.status.is_none() {
            let reply = reply::early(self);
            self.status = Some(reply.status.as_u16());
            self.orders.push_back(Order::Head(Box::new(reply)));
        }
        self.orders.push_back(Order::Body(beat));
        self.heard = now;
    }

    /// After how long a silence the caller is sent what, where he stands now.
    fn beat(&self) -> Option<(Span, Bytes)> {
        let beats = self.plan.heartbeat;
        let form = self.form().filter(|_| !self.mirrored && !self.left_by_caller)?;
        let (span, beat) = match form {
            Form::Events => (beats.streams, COMMENT),
            Form::List => (beats.streams, SPACE),
            Form::Whole => (beats.answers, SPACE),
        };
        let binary = form == Form::Events && self.caller_dialect().dialect().framing() != Framing::Sse;
        // What has begun and comes whole may stand within a word.
        let within =
            self.is_told() && (form == Form::Whole || !self.live.iter().all(Live::is_between_events));
        (span > Span::ZERO && !binary && !within).then_some((span, beat))
    }

    /// Heartbeats may go out between the pieces of an answer.
    pub(super) fn beats_within(&self) -> bool {
        self.plan.heartbeat.streams > Span::ZERO && self.form() == Some(Form::Events)
    }

    /// What the caller is told of a fault where the head has gone and nothing of an answer.
    pub(super) fn late_fault(&mut self, fault: &Fault) -> Bytes {
        let dialect = self.caller_dialect().dialect();
        match self.form() {
            Some(Form::Events) => {
                self.last_words(fault).unwrap_or_else(|| dialect.write_stream_fault(fault).into())
            }
            Some(Form::List) => [b"[", &*dialect.write_fault(fault), b"]"].concat().into(),
            _ => dialect.write_fault(fault).into(),
        }
    }
}

impl Live {
    /// Whatever has gone out of its answer are whole events.
    fn is_between_events(&self) -> bool {
        !matches!(&self.phase, Phase::Answering(answering) if !answering.way.streamed)
    }
}
