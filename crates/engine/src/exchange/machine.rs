//! The transitions.

use super::{
    Answering, Attempt, Exchange, Io, Order, Reply, Report, State, Task, Upstream, UpstreamHead, render,
    reply,
};
use crate::{
    estimate,
    ledger::{Answer, Command},
    limits,
    plan::Aim,
    provider::Operation,
    record::{Outcome, Trial},
    time::Instant,
};
use bytes::Bytes;
use dialect::{Fault, FaultKind, pipe::Pipe};
use std::mem;

impl Exchange {
    /// Takes a report. One that belongs to an attempt which was given up says nothing.
    pub fn report(&mut self, report: Report, now: Instant) {
        if matches!(self.state, State::Over) {
            return;
        }
        match report {
            Report::Answer(answer) => self.answered(answer, now),
            Report::ClientGone => self.client_gone(now),
            Report::ShuttingDown => self.shut(now),
            Report::Woke => self.woke(now),
            Report::Head(attempt, head) if self.is_live(attempt) => self.head(head, now),
            Report::Body(attempt, bytes) if self.is_live(attempt) => self.body(bytes, now),
            Report::End(attempt) if self.is_live(attempt) => self.end(now),
            Report::Failed(attempt, io) if self.is_live(attempt) => self.failed(&fault_of(io), now),
            Report::Head(..) | Report::Body(..) | Report::End(_) | Report::Failed(..) => {}
        }
    }

    fn is_live(&self, attempt: Attempt) -> bool {
        !self.trials.is_empty() && attempt == self.attempt()
    }

    fn answered(&mut self, answer: Answer, now: Instant) {
        match (&self.state, answer) {
            (State::Admitting, Answer::Admitted) => {
                self.admitted = true;
                if self.left { self.finish(Outcome::ClientGone, now) } else { self.begin(now) }
            }
            (State::Admitting, Answer::Refused(fault)) => self.tell(&fault, now),
            (State::Choosing { keys }, Answer::Key(turn)) => {
                let key = self.inbound.key.pick(*keys, turn, self.inbound.roll);
                self.send(key, now);
            }
            _ => {}
        }
    }

    /// Turns to the next target.
    fn begin(&mut self, now: Instant) {
        let Some(aim) = self.aims.pop_front() else {
            return self.tell(&Fault::new(FaultKind::Unavailable, "no target is left to ask"), now);
        };
        if let Some(tokens) = self.estimates(&aim) {
            return self.tell_estimate(tokens, now);
        }
        let provider = aim.provider;
        let keys = self.plan.providers.get(provider).map_or(0, |p| p.keys.len());
        self.aim = Some(aim);
        if keys > 1 {
            self.state = State::Choosing { keys };
            self.orders.push_back(Order::Ask(Command::NextKey { provider, keys }));
        } else {
            self.send(0, now);
        }
    }

    /// A provider that cannot count tokens is not asked: the prompt's are estimated.
    fn estimates(&mut self, aim: &Aim) -> Option<Result<u64, Fault>> {
        let Task::Call(call) = &mut self.task else { return None };
        let speech = self.plan.providers.get(aim.provider)?.speech(call.dialect, &aim.model)?;
        let counts = call.operation == Operation::CountTokens;
        let asks = speech.dialect == call.dialect && speech.count.is_some();
        (counts && !asks).then(|| render::canonical(call, &self.inbound.body).map(estimate::prompt))
    }

    fn tell_estimate(&mut self, tokens: Result<u64, Fault>, now: Instant) {
        let (Ok(tokens), Task::Call(call)) = (&tokens, &self.task) else {
            return tokens.map_or_else(|fault| self.tell(&fault, now), drop);
        };
        let (reply, body) = reply::estimate(self, call.dialect, *tokens);
        self.tell_whole(reply, body, Outcome::Whole, now);
    }

    fn send(&mut self, key: usize, now: Instant) {
        match self.render(key) {
            Ok(upstream) => {
                self.trials.push(self.trial(&upstream));
                self.orders.push_back(Order::Send(self.attempt(), Box::new(upstream)));
                self.state = State::Asked { until: now.after(self.plan.timeouts.first_byte) };
            }
            Err(fault) => self.tell(&fault, now),
        }
    }

    fn render(&mut self, key: usize) -> Result<Upstream, Fault> {
        let missing = || Fault::new(FaultKind::Internal, "the plan does not hold its own target");
        let aim = self.aim.as_ref().ok_or_else(missing)?;
        let provider = self.plan.providers.get(aim.provider).ok_or_else(missing)?;
        match &mut self.task {
            Task::Refused(_) => Err(missing()),
            Task::Pass { uri } => render::pass(provider, aim, uri.clone(), key, &self.inbound),
            Task::Call(call) => {
                let (upstream, losses) = render::call(provider, aim, call, key, &self.inbound)?;
                if call.strict && !losses.is_empty() {
                    return Err(render::strict(&losses));
                }
                self.losses = losses;
                Ok(upstream)
            }
        }
    }

    fn trial(&self, upstream: &Upstream) -> Trial {
        let provider = self.plan.providers.get(upstream.provider).map_or(String::new(), |p| p.name.clone());
        let model = self.aim.as_ref().map_or(String::new(), |aim| aim.model.clone());
        Trial { provider, model, status: None, fault: None }
    }

    fn head(&mut self, head: UpstreamHead, now: Instant) {
        if let Some(trial) = self.trials.last_mut() {
            trial.status = Some(head.status.as_u16());
        }
        if head.status.is_informational() {
            // `Upgrade` never goes to a provider, and a 101 that nobody asked for cannot be passed on.
            self.orders.push_back(Order::Cancel(self.attempt()));
            let what = "the provider switched protocols unasked";
            return self.failed(&Fault::new(FaultKind::UpstreamInvalid, what), now);
        }
        let until = now.after(self.plan.timeouts.idle);
        if matches!(self.task, Task::Call(_)) && !head.status.is_success() {
            self.state = State::Refused { head, body: Vec::new(), until };
            return;
        }
        match self.open(&head) {
            Ok(way) => {
                let answering =
                    Answering { head, way, held: Vec::new(), held_len: 0, committed: false, until };
                self.state = State::Answering(Box::new(answering));
                if matches!(self.task, Task::Pass { .. }) {
                    self.commit(false, now);
                }
            }
            Err(fault) => self.failed(&fault, now),
        }
    }

    fn body(&mut self, bytes: Bytes, now: Instant) {
        let until = now.after(self.plan.timeouts.idle);
        match &mut self.state {
            State::Refused { body, until: limit, .. } => {
                *limit = until;
                let room = limits::ERROR_BODY_MAX.saturating_sub(body.len());
                body.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                if body.len() == limits::ERROR_BODY_MAX {
                    self.orders.push_back(Order::Cancel(self.attempt()));
                    self.refused(now);
                }
            }
            State::Answering(answering) => {
                answering.until = until;
                let fed = self.pour(now, |pipe, out| pipe.feed(bytes, out));
                if let Err(fault) = fed {
                    self.orders.push_back(Order::Cancel(self.attempt()));
                    self.failed(&fault, now);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Instant) {
        match &mut self.state {
            State::Asked { .. } => self.failed(&fault_of(Io::Broken), now),
            State::Refused { .. } => self.refused(now),
            State::Answering(_) => {
                let finished = self.pour(now, Pipe::finish);
                match finished {
                    Ok(()) => self.complete(now),
                    Err(fault) => self.failed(&fault, now),
                }
            }
            _ => {}
        }
    }

    /// Lets the pipe bring forth bytes for the caller: held until something of the answer has come, then sent.
    fn pour(
        &mut self,
        now: Instant,
        pipe: impl FnOnce(&mut Pipe, &mut Vec<Bytes>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let State::Answering(answering) = &mut self.state else { return Ok(()) };
        let before = answering.held.len();
        let poured = pipe(&mut answering.way.pipe, &mut answering.held);
        if answering.committed {
            self.orders.extend(answering.held.drain(..).map(Order::Body));
            return poured;
        }
        answering.held_len += answering.held.iter().skip(before).map(Bytes::len).sum::<usize>();
        // A stream waits for its first content, a whole answer for its end: until then another target may
        // still be asked. Either waits no longer than the hold is large.
        let ripe = answering.way.streamed && answering.way.pipe.content();
        if ripe || answering.held_len > limits::HOLD_MAX {
            self.commit(false, now);
        }
        poured
    }

    /// Sends the head and what was held behind it, which may be the `whole` answer. From here on there is no
    /// way back.
    fn commit(&mut self, whole: bool, now: Instant) {
        let State::Answering(answering) = &mut self.state else { return };
        if mem::replace(&mut answering.committed, true) {
            return;
        }
        let held = mem::take(&mut answering.held);
        let held_len = answering.held_len;
        let head = UpstreamHead { headers: mem::take(&mut answering.head.headers), ..answering.head };
        let (relayed, streamed) = (answering.way.relayed, answering.way.streamed && !answering.way.listed);
        let mut reply = reply::success(self, head, relayed, streamed);
        if whole {
            reply.length = u64::try_from(held_len).ok();
        }
        self.first_byte = Some(now);
        self.status = Some(reply.status.as_u16());
        self.orders.push_back(Order::Head(Box::new(reply)));
        self.orders.extend(held.into_iter().map(Order::Body));
    }

    fn complete(&mut self, now: Instant) {
        if let State::Answering(answering) = &self.state {
            self.losses.absorb(answering.way.pipe.losses().clone());
        }
        self.commit(true, now);
        let broken = match &self.state {
            State::Answering(answering) => answering.way.pipe.failed().map(|fault| fault.kind),
            _ => None,
        };
        self.note(broken);
        self.finish(broken.map_or(Outcome::Whole, Outcome::Fault), now);
    }

    /// A provider has refused, and what it said has been read.
    fn refused(&mut self, now: Instant) {
        let State::Refused { head, body, .. } = mem::replace(&mut self.state, State::Over) else { return };
        let body = self.without_keys(body);
        let dialect = self.provider_dialect();
        let mut fault = dialect.dialect().read_fault(head.status.as_u16(), &body);
        fault.retry_after_ms = fault.retry_after_ms.or_else(|| reply::retry_after(&head.headers));
        if self.goes_on(&fault, now) {
            return self.begin(now);
        }
        let same = matches!(&self.task, Task::Call(call) if call.dialect == dialect);
        if !same {
            return self.tell(&fault, now);
        }
        // The provider's own words in the caller's own dialect: verbatim.
        let mut reply = reply::success(self, head, true, false);
        reply.length = u64::try_from(body.len()).ok();
        self.tell_whole(reply, body.into(), Outcome::Fault(fault.kind), now);
    }

    /// A provider's error without the keys that it repeats in it: they are ours, and not the caller's.
    fn without_keys(&self, body: Vec<u8>) -> Vec<u8> {
        let provider = self.aim.as_ref().and_then(|aim| self.plan.providers.get(aim.provider));
        let keys = provider.map(|provider| provider.keys.as_slice()).unwrap_or_default();
        keys.iter().map(|key| key.expose()).filter(|key| key.len() >= limits::SECRET_MIN).fold(
            body,
            |mut body, key| {
                while let Some(at) = memchr::memmem::find(&body, key.as_bytes()) {
                    body.splice(at..at + key.len(), *b"***");
                }
                body
            },
        )
    }

    /// An attempt has failed.
    fn failed(&mut self, fault: &Fault, now: Instant) {
        if let State::Answering(answering) = &self.state
            && answering.committed
        {
            // What breaks behind the last word of a stream breaks nothing.
            let whole = answering.way.streamed && self.pour(now, Pipe::finish).is_ok();
            return if whole { self.complete(now) } else { self.break_off(fault, now) };
        }
        if self.goes_on(fault, now) {
            return self.begin(now);
        }
        self.tell(fault, now);
    }

    /// Notes the fault, and says whether the next target is asked.
    fn goes_on(&mut self, fault: &Fault, now: Instant) -> bool {
        self.note(Some(fault.kind));
        let tried = u32::try_from(self.trials.len()).unwrap_or(u32::MAX);
        fault.kind.meaning().next
            && !self.aims.is_empty()
            && tried < self.plan.attempts
            && now < self.deadline
    }

    fn note(&mut self, kind: Option<FaultKind>) {
        if let Some(trial) = self.trials.last_mut() {
            trial.fault = kind;
        }
    }

    /// The answer breaks after its first byte: a truthful error where the dialect has one, a broken
    /// connection where it has not.
    fn break_off(&mut self, fault: &Fault, now: Instant) {
        self.note(Some(fault.kind));
        if let State::Answering(answering) = &mut self.state {
            let mut out = Vec::new();
            if answering.way.streamed {
                answering.way.pipe.fault(fault, &mut out);
            }
            if out.is_empty() {
                self.orders.push_back(Order::Abort);
            }
            self.orders.extend(out.into_iter().map(Order::Body));
        }
        self.finish(Outcome::Fault(fault.kind), now);
    }

    /// Tells the caller of a fault before the first byte.
    pub(super) fn tell(&mut self, fault: &Fault, now: Instant) {
        let (reply, body) = reply::fault(self, fault);
        self.tell_whole(reply, body, Outcome::Fault(fault.kind), now);
    }

    /// Tells the caller something that is whole already.
    fn tell_whole(&mut self, reply: Reply, body: Bytes, outcome: Outcome, now: Instant) {
        self.status = Some(reply.status.as_u16());
        self.orders.push_back(Order::Head(Box::new(reply)));
        self.orders.push_back(Order::Body(body));
        self.finish(outcome, now);
    }

    fn woke(&mut self, now: Instant) {
        let Some(Order::Wait { until, pull }) = self.wait() else { return };
        if now < until {
            return;
        }
        self.orders.push_back(Order::Cancel(pull));
        let what = if now >= self.deadline {
            "the exchange took longer than it may"
        } else if matches!(self.state, State::Asked { .. }) {
            "the provider did not answer in time"
        } else {
            "the provider fell silent in the middle of its answer"
        };
        self.failed(&Fault::new(FaultKind::UpstreamTimeout, what), now);
    }

    fn shut(&mut self, now: Instant) {
        if self.wait().is_none() {
            return;
        }
        self.orders.push_back(Order::Cancel(self.attempt()));
        self.aims.clear();
        self.failed(&Fault::new(FaultKind::ShuttingDown, "the gateway is shutting down"), now);
    }

    /// What has not been obeyed is not needed any more, but an attempt under way must end. While the ledger
    /// is being asked its answer is waited for: what it admits must be settled.
    fn client_gone(&mut self, now: Instant) {
        let asking = matches!(self.state, State::Admitting) && self.orders.is_empty();
        self.orders.retain(|order| matches!(order, Order::Cancel(_)));
        self.left = true;
        if asking {
            return;
        }
        if self.wait().is_some() {
            self.orders.push_back(Order::Cancel(self.attempt()));
        }
        self.finish(Outcome::ClientGone, now);
    }

    /// The one end of every exchange.
    fn finish(&mut self, outcome: Outcome, now: Instant) {
        let usage = match mem::replace(&mut self.state, State::Over) {
            State::Answering(answering) => answering.way.pipe.usage().cloned(),
            _ => None,
        };
        let record = self.record(outcome, usage, now);
        self.orders.push_back(Order::Done(Box::new(record)));
    }
}

/// How an attempt failed, as a fault.
fn fault_of(io: Io) -> Fault {
    match io {
        Io::Connect => Fault::new(FaultKind::UpstreamUnreachable, "the provider could not be reached"),
        Io::ConnectTimeout => {
            Fault::new(FaultKind::UpstreamUnreachable, "the provider could not be reached in time")
        }
        Io::Tls => Fault::new(FaultKind::UpstreamUnreachable, "no TLS connection to the provider"),
        Io::Broken => Fault::new(FaultKind::UpstreamTruncated, "the provider's answer broke off"),
    }
}
