//! The transitions: which attempts there are.

use super::{
    Asking, Attempt, Ending, Exchange, Io, Live, Order, Phase, Queued, Reply, Report, Task, Upstream,
    UpstreamHead, embed, prefill::Prefill, relay, render, reply,
};
use crate::{
    estimate,
    ledger::{Answer, Command, Note, Turn, Verdict},
    limits::{PATIENCE_LONG, RACERS_MAX},
    plan::Aim,
    provider::Operation,
    record::{Manner, Outcome, Trial},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{Fault, FaultKind, Losses, canon::Usage};

impl Exchange {
    /// Takes a report. One that belongs to an attempt which was given up says nothing.
    pub fn report(&mut self, report: Report, now: Instant) {
        if self.over {
            return;
        }
        match report {
            Report::Answer(answer) => self.answered(answer, now),
            Report::ClientGone => self.client_gone(now),
            Report::ShuttingDown => self.shut(now),
            Report::Woke => self.woke(now),
            Report::Head(attempt, head) => {
                self.with(attempt, |exchange, live| exchange.head(live, head, now));
            }
            Report::Body(_, bytes) if !self.has_room(bytes.len()) => self.client_gone(now),
            Report::Body(attempt, bytes) => {
                self.with(attempt, |exchange, live| exchange.body(live, bytes, now));
            }
            Report::End(attempt) => self.with(attempt, |exchange, live| exchange.end(live, now)),
            Report::Failed(attempt, io) => {
                self.with(attempt, |exchange, live| exchange.failed(live, fault_of(io), now));
            }
            Report::Refused(attempt, fault) => self.with(attempt, |exchange, live| {
                exchange.orders.push_back(Order::Cancel(attempt));
                exchange.failed(live, fault, now);
            }),
            Report::Moved(attempt, moved) => self.moved(attempt, moved),
        }
    }

    /// Does something with an attempt, which is put back by whoever finds that it goes on.
    fn with(&mut self, attempt: Attempt, what: impl FnOnce(&mut Self, Live)) {
        let place = self.live.iter().position(|live| live.attempt == attempt);
        if let Some(place) = place {
            let live = self.live.swap_remove(place);
            what(self, live);
        }
    }

    fn answered(&mut self, answer: Answer, now: Instant) {
        let asked = self.asking.take();
        if let (Some(asking), Answer::Queued(command, until)) = (asked, &answer) {
            return self.queue(asking, *command, *until, now);
        }
        self.count_wait(now);
        match (asked, answer) {
            (Some(Asking::Admission), Answer::Admitted(turn)) => {
                self.admitted = true;
                self.begin(turn, now);
            }
            (Some(Asking::Admission), Answer::Refused(fault)) => self.tell(&fault, now),
            (Some(_), Answer::Begun(turn)) => self.begin(turn, now),
            (Some(Asking::Remedy), _) => self.remedy(now),
            _ => {}
        }
    }

    /// A limit holds the exchange up: the same is asked again later.
    fn queue(&mut self, asking: Asking, command: Command, until: Instant, now: Instant) {
        let since = self.queued.map_or(now, |queued| queued.since);
        self.queued = Some(Queued { asking, command, since, until });
        if self.left_by_caller {
            self.finish(Outcome::ClientGone, now);
        }
    }

    /// It waits no longer.
    fn count_wait(&mut self, now: Instant) {
        if let Some(queued) = self.queued.take() {
            let before = self.waited.unwrap_or_default();
            self.waited = Some(Span(before.0.saturating_add(now.since(queued.since).0)));
        }
    }

    /// Asks the target whose turn it is.
    fn begin(&mut self, turn: Turn, now: Instant) {
        if self.left_by_caller {
            self.drop_turn(turn);
            return self.finish(Outcome::ClientGone, now);
        }
        self.left.retain(|aim| *aim != turn.aim);
        if self.shape.is_some() {
            self.asked.push(turn.aim);
        }
        if let Some(tokens) = self.estimates(turn.aim) {
            self.drop_turn(turn);
            return self.tell_estimate(tokens, now);
        }
        let prefill = self.prefill(turn.aim);
        match self.render(turn, prefill.as_ref()) {
            Ok((upstream, losses)) => self.send(turn, upstream, (losses, prefill), now),
            Err(fault) => {
                self.drop_turn(turn);
                if self.live.is_empty() {
                    self.unfit(fault, now);
                }
            }
        }
    }

    fn send(
        &mut self,
        turn: Turn,
        upstream: Upstream,
        (losses, prefill): (Losses, Option<Prefill>),
        now: Instant,
    ) {
        let again = self.trouble.as_ref().filter(|trouble| trouble.aim == Some(turn.aim));
        let tries = 1 + again.map_or(0, |trouble| trouble.tries);
        let attempt = Attempt(u32::try_from(self.trials.len()).unwrap_or(u32::MAX));
        let socket = upstream.socket;
        let manner = match &prefill {
            Some(_) => Manner::Prefill,
            None if self.is_told() => Manner::Resume,
            None if turn.hedge => Manner::Hedge,
            None if !self.live.is_empty() => Manner::Race,
            None => Manner::Turn,
        };
        self.trials.push(Trial { manner, ..self.trial(turn.aim) });
        self.orders.push_back(Order::Send(attempt, Box::new(upstream)));
        let until = now.after(self.plan.timeouts.first_byte);
        let never = self.deadline;
        let race = self.patience(turn).map_or(never, |patience| now.after(patience));
        let hedge = self.hedge().map_or(never, |after| now.after(after));
        self.live.push(Live {
            attempt,
            turn,
            tries,
            asked: now,
            socket,
            race,
            hedge,
            losses,
            prefill,
            followed: 0,
            phase: Phase::Asked { until },
        });
    }

    /// How long a target may take to its first token before the next is asked beside it, if that is at all.
    fn patience(&self, turn: Turn) -> Option<Span> {
        let usual = Some(self.plan.failover.race).filter(|race| *race > Span::ZERO)?;
        Some(turn.patience.unwrap_or(if self.takes_its_time() { PATIENCE_LONG } else { usual }))
    }

    /// The same for a target that need not be slow. For a mirrored request nobody waits.
    fn hedge(&self) -> Option<Span> {
        let hedge = self.plan.failover.hedge?;
        (!self.mirrored && !self.takes_its_time()).then_some(hedge.after)
    }

    /// The answer comes whole, or the model thinks first.
    fn takes_its_time(&self) -> bool {
        matches!(&self.task, Task::Call(call) if !call.stream || call.thinks)
    }

    /// The next target may be asked beside a slow one.
    pub(super) fn may_race(&self) -> bool {
        let understood = matches!(&self.task, Task::Call(call)
            if call.relayed.is_none() && !call.operation.embeds());
        understood
            && !self.is_told()
            && !self.left.is_empty()
            && self.trials.len() < usize::try_from(self.plan.attempts).unwrap_or(usize::MAX)
            && (1..RACERS_MAX).contains(&self.live.len())
    }

    /// A provider that cannot count tokens is not asked: the prompt's are estimated.
    fn estimates(&mut self, aim: usize) -> Option<Result<u64, Fault>> {
        let aim = self.aims.get(aim)?;
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

    pub(super) fn render(
        &mut self,
        turn: Turn,
        prefill: Option<&Prefill>,
    ) -> Result<(Upstream, Losses), Fault> {
        let missing = || Fault::new(FaultKind::Internal, "the plan does not hold its own target");
        let aim = self.aims.get(turn.aim).ok_or_else(missing)?;
        let provider = self.plan.providers.get(aim.provider).ok_or_else(missing)?;
        match &mut self.task {
            Task::Refused(_) => Err(missing()),
            Task::Pass { uri, .. } => {
                let upstream = render::pass(provider, aim, uri.clone(), turn.key, &self.inbound)?;
                Ok((upstream, Losses::new()))
            }
            Task::Call(call) => {
                if let Some(sent) = relay::render(provider, aim, call, turn.key, &self.inbound) {
                    return Ok((sent?, Losses::new()));
                }
                let (upstream, losses) = match call.operation.embeds() {
                    true => embed::render(provider, aim, call, turn.key, &self.inbound)?,
                    false => render::call(provider, aim, call, (turn.key, prefill), &self.inbound)?,
                };
                if call.strict && !losses.is_empty() {
                    return Err(render::strict(&losses));
                }
                Ok((upstream, losses))
            }
        }
    }

    fn trial(&self, aim: usize) -> Trial {
        let provider = self.provider(aim).map_or(String::new(), |provider| provider.name.clone());
        let model = self.aims.get(aim).map_or(String::new(), |Aim { model, .. }| model.clone());
        Trial {
            provider,
            model,
            status: None,
            fault: None,
            usage: None,
            estimated: false,
            cost: None,
            ttft: None,
            took: Span::ZERO,
            outrun: false,
            manner: Manner::Turn,
        }
    }

    pub(super) fn trial_of(&mut self, live: &Live) -> Option<&mut Trial> {
        self.trials.get_mut(usize::try_from(live.attempt.0).ok()?)
    }

    /// Has the ledger know how an attempt went.
    pub(super) fn note(&mut self, live: &Live, verdict: Verdict) {
        let answering = matches!(live.phase, Phase::Answering(_));
        // Of what said nothing before it was given up, what was reserved is the better guess.
        let known = |trial: &&mut Trial| answering || !trial.estimated;
        let usage = self.trial_of(live).filter(known).and_then(|trial| trial.usage.as_ref());
        let tokens = usage.map(Usage::total);
        // What failed before it said anything has cost nothing, as far as anybody knows.
        let failed = matches!(verdict, Verdict::Bad(..)) && !answering;
        let tokens = tokens.or(failed.then_some(0));
        let Turn { aim, key, .. } = live.turn;
        self.orders.push_back(Order::Note(Note { aim, key, verdict, tokens }));
    }

    /// Gives back a turn of which nothing was made.
    fn drop_turn(&mut self, Turn { aim, key, .. }: Turn) {
        self.orders.push_back(Order::Note(Note { aim, key, verdict: Verdict::Dropped, tokens: Some(0) }));
    }

    /// Gives up an attempt, which is not under way any more.
    pub(super) fn cancel(&mut self, live: &Live, verdict: Verdict, now: Instant) {
        self.orders.push_back(Order::Cancel(live.attempt));
        let used = self.used(live, Ending::GivenUp);
        self.close(live, used, now);
        self.note(live, verdict);
    }

    /// Another answer has begun, or none is wanted any more.
    pub(super) fn cancel_all(&mut self, now: Instant) {
        for live in std::mem::take(&mut self.live) {
            self.cancel(&live, Verdict::Dropped, now);
        }
    }

    fn woke(&mut self, now: Instant) {
        if self.asking.is_some() {
            return;
        }
        self.keep_alive(now);
        if now >= self.deadline {
            let fault = Fault::new(FaultKind::UpstreamTimeout, "the exchange took longer than it may");
            return if self.unheard.is_some() { self.client_gone(now) } else { self.stop(&fault, now) };
        }
        if let Some(queued) = self.queued {
            return self.ask(queued.asking, queued.command);
        }
        if let Some(late) = self.live.iter().find(|live| live.until() <= now).map(|live| live.attempt) {
            return self.with(late, |exchange, live| exchange.late(live, now));
        }
        let hold = self.hold();
        let ripe = |live: &&Live| live.ripe(hold).is_some_and(|ripe| ripe <= now);
        if let Some(ripe) = self.live.iter().find(ripe).map(|live| live.attempt) {
            return self.with(ripe, |exchange, live| exchange.release(live, now));
        }
        if let Some(command) = self.race(now) {
            return self.ask(Asking::Race, command);
        }
        if self.live.is_empty()
            && self.trouble.as_ref().and_then(|trouble| trouble.pause).is_some_and(|at| at <= now)
        {
            self.again();
        }
    }

    /// The next target shall be asked beside one that is slow, or that is to be hedged. Once for each: the next
    /// race begins with whoever is asked now.
    fn race(&mut self, now: Instant) -> Option<Command> {
        if !self.may_race() {
            return None;
        }
        let (slow, late) = (|live: &Live| live.race <= now, |live: &Live| live.hedge <= now);
        let (is_slow, is_late) = (self.live.iter().any(slow), self.live.iter().any(late));
        let never = self.deadline;
        self.live.iter_mut().filter(|_| is_slow || is_late).for_each(|live| live.hedge = never);
        self.live.iter_mut().filter(|_| is_slow).for_each(|live| live.race = never);
        is_slow.then_some(Command::Race).or(is_late.then_some(Command::Hedge))
    }

    /// An attempt has reached a limit of its own.
    fn late(&mut self, live: Live, now: Instant) {
        if let Phase::Pausing { next, .. } = &live.phase {
            let next = next.clone();
            return self.resend(live, &next, now);
        }
        self.orders.push_back(Order::Cancel(live.attempt));
        if self.is_said(&live) {
            return self.end(live, now);
        }
        let what = match live.phase {
            Phase::Asked { .. } => "the provider did not answer in time",
            Phase::Socket { .. } => "neither side of the WebSocket said anything for longer than it may",
            _ => "the provider fell silent in the middle of its answer",
        };
        self.failed(live, Fault::new(FaultKind::UpstreamTimeout, what), now);
    }

    /// Ends everything with a fault.
    fn stop(&mut self, fault: &Fault, now: Instant) {
        let speaking = self.live.iter().position(|_| self.is_told());
        let speaking = speaking.map(|place| self.live.swap_remove(place));
        self.cancel_all(now);
        self.left.clear();
        match speaking {
            Some(live) => {
                self.orders.push_back(Order::Cancel(live.attempt));
                self.failed(live, fault.clone(), now);
            }
            None if self.status.is_some() => self.break_off(None, fault, now),
            None => self.tell(fault, now),
        }
    }

    fn shut(&mut self, now: Instant) {
        if self.asking.is_none() {
            self.stop(&Fault::new(FaultKind::ShuttingDown, "the gateway is shutting down"), now);
        }
    }

    /// What has not been obeyed is not needed any more, but what is under way must end and what the ledger has
    /// given must be given back. Told once more, a stream that is being read on is cut. While the ledger is being
    /// asked its answer is waited for.
    fn client_gone(&mut self, now: Instant) {
        let asked = self.orders.iter().any(|order| matches!(order, Order::Ask(_)));
        self.orders.retain(|order| matches!(order, Order::Cancel(_) | Order::Note(_) | Order::Part(_)));
        self.left_by_caller = true;
        if self.asking.is_some() && !asked {
            return;
        }
        self.asking = None;
        if !self.read_on(now) {
            self.cancel_all(now);
            self.finish(Outcome::ClientGone, now);
        }
    }

    /// Tells the caller of a fault before the first byte of an answer.
    pub(super) fn tell(&mut self, fault: &Fault, now: Instant) {
        if self.status.is_some() {
            return self.break_off(None, fault, now);
        }
        let (reply, body) = reply::fault(self, fault);
        self.tell_whole(reply, body, Outcome::Fault(fault.kind), now);
    }

    /// Tells the caller something that is whole already.
    pub(super) fn tell_whole(&mut self, reply: Reply, body: Bytes, outcome: Outcome, now: Instant) {
        if self.status.is_none() {
            self.status = Some(reply.status.as_u16());
            self.orders.push_back(Order::Head(Box::new(reply)));
        }
        self.orders.push_back(Order::Body(body));
        self.finish(outcome, now);
    }

    /// Nothing more can be done about what went wrong.
    pub(super) fn give_up(&mut self, now: Instant) {
        let Some(trouble) = self.trouble.take() else { return };
        if self.status.is_some() {
            return self.break_off(None, &trouble.fault, now);
        }
        match (trouble.said, trouble.aim) {
            (Some((head, body)), Some(aim)) if self.is_own(aim) => {
                // The provider's own words in the caller's own dialect: verbatim.
                let mut reply = reply::success(self, head, true, false);
                reply.length = u64::try_from(body.len()).ok();
                self.tell_whole(reply, body.into(), Outcome::Fault(trouble.fault.kind), now);
            }
            _ => self.tell(&trouble.fault, now),
        }
    }

    /// The target is asked in the caller's own dialect.
    fn is_own(&self, aim: usize) -> bool {
        if let Some((caller, provider)) = self.embeds(aim) {
            return caller == provider;
        }
        matches!(&self.task, Task::Call(call) if call.dialect == self.dialect_of(aim))
    }

    /// The one end of every exchange.
    pub(super) fn finish(&mut self, outcome: Outcome, now: Instant) {
        self.over = true;
        self.trouble = None;
        self.count_wait(now);
        if (self.admitted || self.waited.is_some()) && !self.plan.rates.is_empty() {
            self.orders.push_back(Order::Leave(self.ticket()));
        }
        let outcome = if self.left_by_caller { Outcome::ClientGone } else { outcome };
        let record = self.record(outcome, now);
        self.orders.push_back(Order::Done(Box::new(record)));
    }
}

/// How an attempt failed, as a fault.
fn fault_of(io: Io) -> Fault {
    match io {
        Io::Connect => Fault::new(FaultKind::UpstreamUnreachable, "the provider could not be reached"),
        Io::ConnectTimeout => {
            Fault::new(FaultKind::UpstreamTimeout, "the provider could not be reached in time")
        }
        Io::Tls => Fault::new(FaultKind::UpstreamUnreachable, "no TLS connection to the provider"),
        Io::Broken => Fault::new(FaultKind::UpstreamTruncated, "the provider's answer broke off"),
        Io::Credentials => {
            Fault::new(FaultKind::UpstreamAuth, "the gateway has no credentials for the provider")
        }
    }
}

/// What a provider said of itself when it refused.
pub(super) type Said = (UpstreamHead, Vec<u8>);
