//! The transitions: what becomes of an answer.

use super::{
    Answering, Ending, Exchange, Live, Order, Phase, Task, UpstreamHead, later, machine::Said, reply,
};
use crate::{
    headers,
    ledger::Verdict,
    limits::{AFTER_END, ERROR_BODY_MAX, HOLD_MAX, RECOVER_MAX, SECRET_MIN},
    plan::Streams,
    record::Outcome,
    secret::Secret,
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{
    Fault, FaultKind,
    pipe::{Pipe, Resume},
};
use http::{Method, StatusCode};
use std::mem;

impl Exchange {
    /// The head of an answer has come.
    pub(super) fn head(&mut self, mut live: Live, head: UpstreamHead, now: Instant) {
        if let Some(trial) = self.trial_of(&live) {
            trial.status = Some(head.status.as_u16());
        }
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && live.socket && headers::is_socket(&head.headers) {
            return self.shake(live, &head, now);
        }
        if head.status.is_informational() {
            // Where `Upgrade` went to no provider, a 101 that nobody asked for cannot be passed on.
            self.orders.push_back(Order::Cancel(live.attempt));
            let what = "the provider switched protocols unasked";
            return self.failed(live, Fault::new(FaultKind::UpstreamInvalid, what), now);
        }
        let until = now.after(self.plan.timeouts.idle);
        if matches!(self.task, Task::Call(_)) && !head.status.is_success() {
            live.phase = Phase::Refused { head, body: Vec::new(), until };
            return self.live.push(live);
        }
        match self.open(&head, live.turn.aim, live.prefill.as_ref()) {
            Ok(way) => {
                let token = live.asked.after(self.plan.timeouts.first_token);
                let until = if way.streamed { until.min(token) } else { until };
                let (held, begun, length) = (Vec::new(), None, None);
                let answering = Answering { head, way, held, held_len: 0, begun, passed: 0, length, until };
                live.phase = Phase::Answering(Box::new(answering));
                // What is not understood says nothing of whether it is whole.
                if self.is_relay() {
                    self.commit(&mut live, false, now);
                }
                self.go_on(live, now);
            }
            Err(fault) => {
                self.orders.push_back(Order::Cancel(live.attempt));
                self.failed(live, fault, now);
            }
        }
    }

    /// A piece of an answer has come.
    pub(super) fn body(&mut self, mut live: Live, bytes: Bytes, now: Instant) {
        let limit = now.after(self.plan.timeouts.idle);
        match &mut live.phase {
            Phase::Asked { .. } | Phase::Pausing { .. } | Phase::Socket { .. } => {}
            Phase::Refused { body, until, .. } => {
                *until = limit;
                let room = ERROR_BODY_MAX.saturating_sub(body.len());
                body.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                if body.len() == ERROR_BODY_MAX {
                    self.orders.push_back(Order::Cancel(live.attempt));
                    return self.refused(live, now);
                }
            }
            Phase::Answering(_) => {
                let fed = self.pour(&mut live, now, |pipe, out| pipe.feed(bytes, out));
                if let Err(fault) = fed {
                    self.orders.push_back(Order::Cancel(live.attempt));
                    return self.failed(live, fault, now);
                }
                let (said, token) = (self.is_said(&live), live.asked.after(self.plan.timeouts.first_token));
                if let Phase::Answering(answering) = &mut live.phase {
                    answering.until = match said {
                        true => limit.min(now.after(AFTER_END)),
                        false if answering.way.streamed && !answering.way.pipe.content() => limit.min(token),
                        false => limit,
                    };
                }
            }
        }
        self.go_on(live, now);
    }

    /// An attempt is under way still, unless the caller has all that its head announced: then nobody asks for
    /// more, and this is the end.
    fn go_on(&mut self, live: Live, now: Instant) {
        let Phase::Answering(answering) = &live.phase else { return self.live.push(live) };
        let bodiless = self.inbound.method == Method::HEAD
            || matches!(answering.head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.speaks(&live) && (bodiless || answering.length == Some(answering.passed)) {
            return self.end(live, now);
        }
        self.live.push(live);
    }

    /// The last word of a stream has come: what follows is ceremony.
    pub(super) fn is_said(&self, live: &Live) -> bool {
        matches!(&live.phase, Phase::Answering(answering) if answering.way.streamed && answering.way.pipe.ended())
    }

    /// An answer's bytes have ended.
    pub(super) fn end(&mut self, mut live: Live, now: Instant) {
        match self.next(&live) {
            Ok(None) => {}
            Ok(Some(next)) => return self.follow(live, next, now),
            Err(fault) => return self.failed(live, fault, now),
        }
        match &live.phase {
            Phase::Asked { .. } | Phase::Pausing { .. } => {
                let what = "the provider's answer broke off";
                self.failed(live, Fault::new(FaultKind::UpstreamTruncated, what), now);
            }
            Phase::Refused { .. } => self.refused(live, now),
            Phase::Socket { .. } => self.complete(live, now),
            Phase::Answering(_) => match self.pour(&mut live, now, Pipe::finish) {
                Ok(()) => self.complete(live, now),
                Err(fault) => self.failed(live, fault, now),
            },
        }
    }

    /// Lets the pipe bring forth bytes for the caller: held until something of the answer has come, then sent.
    fn pour(
        &mut self,
        live: &mut Live,
        now: Instant,
        pipe: impl FnOnce(&mut Pipe, &mut Vec<Bytes>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let speaks = self.speaks(live);
        let hold = self.hold();
        let Phase::Answering(answering) = &mut live.phase else { return Ok(()) };
        let before = answering.held.len();
        let poured = pipe(&mut answering.way.pipe, &mut answering.held);
        if speaks {
            for piece in answering.held.drain(..) {
                answering.passed += piece.len() as u64;
                if !self.left_by_caller {
                    keep(&mut self.sent, &mut self.sent_len, answering.way.guarded, &piece);
                }
                self.orders.push_back(Order::Body(piece));
                self.heard = now;
            }
            return poured;
        }
        answering.held_len += answering.held.iter().skip(before).map(Bytes::len).sum::<usize>();
        // A stream waits for its first content, or longer where the operator says so, a whole answer for its
        // end: until then another target may still be asked. Either waits no longer than the hold is large.
        let begun = answering.way.streamed && answering.way.pipe.content();
        if begun {
            answering.begun.get_or_insert(now);
        }
        let ripe = begun && (hold.is_none() || answering.held_len >= hold.map_or(0, |(bytes, _)| bytes));
        if ripe || answering.ripe(hold) <= now || answering.held_len > HOLD_MAX {
            self.commit(live, false, now);
        }
        poured
    }

    /// How much of a stream is held back at its beginning, and for how long.
    pub(super) fn hold(&self) -> Option<(usize, Span)> {
        let failover = &self.plan.failover;
        (failover.streams == Streams::Hold && !self.left.is_empty()).then_some(failover.hold)
    }

    /// The time is over for which the beginning of an answer was held back.
    pub(super) fn release(&mut self, mut live: Live, now: Instant) {
        self.commit(&mut live, false, now);
        self.live.push(live);
    }

    /// This attempt's answer is the one that goes out.
    fn speaks(&self, live: &Live) -> bool {
        self.voice.is_some() && self.voice == usize::try_from(live.attempt.0).ok()
    }

    /// This attempt's answer goes out from here on, with the head and what was held behind it, which may be the
    /// `whole` answer. There is no way back.
    fn commit(&mut self, live: &mut Live, whole: bool, now: Instant) {
        if self.speaks(live) {
            return;
        }
        for other in mem::take(&mut self.live) {
            if let Some(trial) = self.trial_of(&other) {
                trial.outrun = true;
            }
            // Who was asked first and is heard last was too slow; who was asked beside it was only not needed.
            let slow = other.attempt < live.attempt && (!live.turn.hedge || other.race <= now);
            self.cancel(&other, if slow { Verdict::Slow } else { Verdict::Dropped }, now);
        }
        self.trouble = None;
        self.voice = usize::try_from(live.attempt.0).ok();
        self.losses.absorb(mem::take(&mut live.losses));
        if let Some(trial) = self.trial_of(live) {
            trial.ttft = Some(now.since(live.asked));
        }
        let Phase::Answering(answering) = &mut live.phase else { return };
        let held = mem::take(&mut answering.held);
        self.first_byte.get_or_insert(now);
        self.heard = now;
        if self.status.is_none() {
            let (status, framed) = (answering.head.status, answering.head.framed);
            let headers = mem::take(&mut answering.head.headers);
            let head = UpstreamHead { status, headers, framed, signed_with: Vec::new() };
            let (relayed, streamed) =
                (answering.way.relayed, answering.way.streamed && !answering.way.listed);
            let mut reply = reply::success(self, head, relayed, streamed);
            if whole || answering.way.gathered {
                reply.length = u64::try_from(answering.held_len).ok();
            }
            answering.length = reply.length;
            if self.beats_within() {
                // Comments are more than the provider has counted.
                reply.length = None;
            }
            self.status = Some(reply.status.as_u16());
            self.orders.push_back(Order::Head(Box::new(reply)));
        }
        for piece in held {
            answering.passed += piece.len() as u64;
            keep(&mut self.sent, &mut self.sent_len, answering.way.guarded, &piece);
            self.orders.push_back(Order::Body(piece));
        }
    }

    /// An answer is whole.
    fn complete(&mut self, mut live: Live, now: Instant) {
        if let Phase::Answering(answering) = &live.phase {
            let lost = if self.speaks(&live) { &mut self.losses } else { &mut live.losses };
            lost.absorb(answering.way.pipe.losses().clone());
        }
        self.commit(&mut live, true, now);
        let broken = match &live.phase {
            Phase::Answering(answering) => answering.way.pipe.failed().map(|fault| fault.kind),
            _ => None,
        };
        let used = self.used(&live, if broken.is_some() { Ending::Failed } else { Ending::Whole });
        self.close(&live, used, now);
        let first = self.first_token(&live);
        self.note(&live, broken.map_or(Verdict::Good(first), |kind| Verdict::Bad(kind, None)));
        if let Some(trial) = self.trial_of(&live) {
            trial.fault = broken;
        }
        self.finish(broken.map_or(Outcome::Whole, Outcome::Fault), now);
    }

    /// How long the first token of a stream took.
    fn first_token(&mut self, live: &Live) -> Option<Span> {
        let streamed = matches!(&live.phase, Phase::Answering(answering) if answering.way.streamed);
        self.trial_of(live)?.ttft.filter(|_| streamed)
    }

    /// A provider has refused, and what it said has been read.
    fn refused(&mut self, mut live: Live, now: Instant) {
        let Phase::Refused { head, body, until } = live.phase else { return };
        let body = self.without_keys(live.turn.aim, body, &head.signed_with);
        let status = head.status.as_u16();
        let mut fault = match self.embeds(live.turn.aim) {
            Some((_, shape)) => shape.read_fault(status, &body),
            None => self.dialect_of(live.turn.aim).dialect().read_fault(status, &body),
        };
        let told = fault.retry_after_ms.or_else(|| later::retry_after(&head.headers));
        fault.retry_after_ms = told.or_else(|| later::in_words(&fault.message));
        live.phase = Phase::Asked { until };
        self.fail(live, fault, Some((head, body)), now);
    }

    /// A provider's error without the keys that it repeats in it: they are ours, and not the caller's.
    fn without_keys(&self, aim: usize, body: Vec<u8>, signed_with: &[Secret]) -> Vec<u8> {
        let keys = self.provider(aim).map(|provider| provider.keys.as_slice()).unwrap_or_default();
        let keys = keys.iter().chain(signed_with).map(|key| key.expose());
        keys.filter(|key| key.len() >= SECRET_MIN).fold(body, |mut body, key| {
            while let Some(at) = memchr::memmem::find(&body, key.as_bytes()) {
                body.splice(at..at + key.len(), *b"***");
            }
            body
        })
    }

    /// An attempt has failed, and is not under way any more.
    pub(super) fn failed(&mut self, mut live: Live, fault: Fault, now: Instant) {
        if self.speaks(&live) {
            // What breaks behind the last word of a stream breaks nothing.
            let streamed = matches!(&live.phase, Phase::Answering(answering) if answering.way.streamed);
            if streamed && self.pour(&mut live, now, Pipe::finish).is_ok() {
                return self.complete(live, now);
            }
        }
        self.fail(live, fault, None, now);
    }

    fn fail(&mut self, live: Live, fault: Fault, said: Option<Said>, now: Instant) {
        let used = self.used(&live, Ending::Failed);
        self.close(&live, used, now);
        if let Some(trial) = self.trial_of(&live) {
            trial.fault = Some(fault.kind);
        }
        // Whose answer is another than the one that broke off may have done well.
        let verdict = match live.strayed() {
            true => Verdict::Dropped,
            false => Verdict::Bad(fault.kind, fault.retry_after_ms.map(Span::millis)),
        };
        self.note(&live, verdict);
        if !self.speaks(&live) {
            return self.mend(&live, fault, said, now);
        }
        if fault.kind.meaning().next && !self.left.is_empty() && self.resume().is_some() {
            self.voice = None;
            return self.mend(&live, fault, None, now);
        }
        self.break_off(Some(live), &fault, now);
    }

    /// What another target needs to go on with the stream that has broken off, if it can be gone on with.
    pub(super) fn resume(&mut self) -> Option<Resume> {
        let Task::Call(call) = &mut self.task else { return None };
        if self.sent_len == 0 || self.sent_len > RECOVER_MAX {
            return None;
        }
        Resume::new(super::render::canonical(call, &self.inbound.body).ok()?, &self.sent)
    }

    /// The answer breaks after its first byte: a truthful error where the dialect has one, a broken
    /// connection where it has not.
    pub(super) fn break_off(&mut self, live: Option<Live>, fault: &Fault, now: Instant) {
        let mut out = Vec::new();
        match live.map(|live| live.phase) {
            Some(Phase::Answering(mut answering)) if answering.way.streamed => {
                answering.way.pipe.fault(fault, &mut out);
            }
            Some(_) => {}
            None if !self.is_told() => out.push(self.late_fault(fault)),
            // Nobody speaks: the stream is ended where it stands.
            None => out.extend(self.last_words(fault)),
        }
        if out.is_empty() {
            self.orders.push_back(Order::Abort);
        }
        self.orders.extend(out.into_iter().map(Order::Body));
        self.finish(Outcome::Fault(fault.kind), now);
    }

    pub(super) fn last_words(&mut self, fault: &Fault) -> Option<Bytes> {
        let Task::Call(call) = &mut self.task else { return None };
        let dialect = call.dialect.dialect();
        let request = super::render::canonical(call, &self.inbound.body).ok()?;
        let ended = Resume::new(request, &self.sent).map(|resume| resume.fault(fault));
        Some(Bytes::from(ended.unwrap_or_else(|| dialect.write_stream_fault(fault))))
    }

    /// A target cannot be asked what the caller wants: the next may.
    pub(super) fn unfit(&mut self, fault: Fault, now: Instant) {
        self.trouble = Some(Box::new(super::remedy::Trouble::of(fault, !self.left.is_empty())));
        self.remedy(now);
    }
}

/// Keeps what has been sent, as long as another target could go on with it.
fn keep(sent: &mut Vec<Bytes>, size: &mut usize, guarded: bool, piece: &Bytes) {
    if guarded && *size <= RECOVER_MAX {
        *size += piece.len();
        sent.push(piece.clone());
    }
}
