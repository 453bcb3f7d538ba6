//! What may become of one request, by what providers did with it and by what is configured.

use super::{
    Rule,
    make::{Act, Name, Setup, Stage},
    wire::{INPUT, VOICES, Wire},
};
use crate::{
    exchange::{Attempt, Io, Reply},
    ledger::{Note, Verdict},
    limits::RACERS_MAX,
    plan::Streams,
    record::{Outcome, Record},
    tiers::When,
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{DialectId, FaultKind};

/// One request, as it is told by those who see it from outside.
pub(super) struct Story {
    pub(super) caller: DialectId,
    pub(super) stream: bool,
    pub(super) stage: usize,
    /// Among its stage's names; `None` for a mirrored one, which goes where the mirror leads.
    pub(super) name: Option<usize>,
    pub(super) arrived: Instant,
    pub(super) tries: Vec<Try>,
    pub(super) head: Option<Box<Reply>>,
    pub(super) body: Vec<Bytes>,
    pub(super) aborted: bool,
    /// The caller has gone, or the gateway was shut.
    pub(super) left: bool,
    pub(super) shut: bool,
    /// A limit or a spent budget kept it from something.
    pub(super) denied: bool,
    ended: u32,
}

/// One attempt.
pub(super) struct Try {
    pub(super) aim: usize,
    pub(super) source: usize,
    pub(super) model: &'static str,
    pub(super) key: usize,
    pub(super) act: Act,
    begun: Instant,
    end: Option<End>,
}

/// How an attempt ended, after so many others.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    order: u32,
    verdict: Verdict,
    /// A limit of time may have been reached.
    late: bool,
}

/// What may be done about a fault: ask the same again, with another key, or the next.
struct Remedies {
    again: bool,
    key: bool,
    next: bool,
}

impl Story {
    pub(super) fn new(
        caller: DialectId,
        stream: bool,
        (stage, name): (usize, Option<usize>),
        now: Instant,
    ) -> Story {
        Story {
            caller,
            stream,
            stage,
            name,
            arrived: now,
            tries: Vec::new(),
            head: None,
            body: Vec::new(),
            aborted: false,
            left: false,
            shut: false,
            denied: false,
            ended: 0,
        }
    }

    fn stage<'s>(&self, setup: &'s Setup) -> &'s Stage {
        &setup.stages[self.stage]
    }

    fn name<'s>(&self, setup: &'s Setup) -> Option<&'s Name> {
        self.name.map(|name| &self.stage(setup).names[name])
    }

    fn live(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(|one| one.end.is_none())
    }

    /// The attempt that ended last, and how.
    fn last(&self) -> Option<(&Try, End)> {
        self.tries.iter().filter_map(|one| Some((one, one.end?))).max_by_key(|(_, end)| end.order)
    }

    /// A target is asked, which will do this.
    pub(super) fn sends(
        &mut self,
        setup: &Setup,
        attempt: Attempt,
        one: (usize, usize, &'static str, usize),
        act: Act,
        now: Instant,
    ) -> Rule {
        let (aim, source, model, key) = one;
        let plan = &self.stage(setup).plan;
        rule(attempt.0 as usize == self.tries.len(), "attempts are numbered")?;
        rule(self.tries.len() < plan.attempts as usize, "attempts are bounded")?;
        rule(self.live().count() < RACERS_MAX, "few attempts are under way at once")?;
        rule(now < self.arrived.after(plan.timeouts.total), "nobody is asked after the deadline")?;
        rule(!self.left && !self.shut, "nobody is asked for one who has left")?;
        self.may_ask(setup, aim, source, model)?;
        if self.head.is_some() {
            let recovers = self.stream && plan.failover.streams == Streams::Recover;
            rule(recovers && self.live().count() == 0, "an answer that has begun goes on in one way")?;
        }
        let before = self.tries.iter().rev().find(|one| (one.source, one.model) == (source, model));
        match before {
            Some(before) => self.asks_again(setup, before, key, now)?,
            None => self.asks_next(setup, source, model, now)?,
        }
        self.tries.push(Try { aim, source, model, key, act, begun: now, end: None });
        Ok(())
    }

    /// The target is one of the name's, and one that is there for certain faults comes after such a fault.
    fn may_ask(&self, setup: &Setup, aim: usize, source: usize, model: &'static str) -> Rule {
        let Some(name) = self.name(setup) else { return Ok(()) };
        let all =
            name.rungs.iter().flat_map(|rung| rung.targets.iter().map(move |target| (target, rung.when)));
        let mut all = all.filter(|(target, _)| **target == (source, model)).map(|(_, when)| when).peekable();
        rule(all.peek().is_some(), "only the name's targets are asked")?;
        let happened = |act: Act| self.tries.iter().any(|one| one.act == act && one.end.is_some());
        let may = all.any(|when| match when {
            When::Always => true,
            When::TooLong => happened(Act::TooLong),
            When::Filtered => happened(Act::Filtered),
        });
        rule(may && aim < 64, "a fallback waits for its fault")
    }

    fn asks_again(&self, setup: &Setup, before: &Try, key: usize, now: Instant) -> Rule {
        let end = before.end.ok_or("nobody is asked twice at once")?;
        rule(before.act.did_nothing(), "what may have been done is not asked for again")?;
        let Verdict::Bad(kind, after) = end.verdict else {
            return Err("only what failed is asked again".to_owned());
        };
        let remedies = remedies(kind);
        if key == before.key {
            rule(remedies.again, "this fault is not asked again")?;
            rule(self.stage(setup).plan.failover.retries > 0, "retries are switched off")?;
            let rests = after.unwrap_or_default();
            return rule(now.since(end.at) >= rests, "who wants to be left alone is");
        }
        rule(remedies.key || remedies.again, "another key mends what is the key's")
    }

    fn asks_next(&self, setup: &Setup, source: usize, model: &'static str, now: Instant) -> Rule {
        if let Some(slow) = self.live().next() {
            let slow = now.since(slow.begun) >= Span::secs(2);
            let race = self.stage(setup).plan.failover.race > Span::ZERO;
            let failed = self.tries.iter().any(|one| one.end.is_some());
            return rule((slow || failed) && race, "only who is slow is raced");
        }
        let Some((last, end)) = self.last() else { return Ok(()) };
        let kind = match end.verdict {
            Verdict::Bad(kind, _) => kind,
            // Whose words were others could not go on with what had been told, and is not to blame.
            Verdict::Dropped if self.head.is_some() => FaultKind::UpstreamTruncated,
            _ => return Err("what went well is not repeated".to_owned()),
        };
        let brought = self.name(setup).is_some_and(|name| {
            name.rungs.iter().any(|rung| rung.when.is_for(kind) && rung.targets.contains(&(source, model)))
        });
        let filtered = kind == FaultKind::ContentFiltered && self.stage(setup).plan.failover.content_filter;
        rule(remedies(kind).next || brought || filtered, &format!("{:?} ends it", last.act))
    }

    /// An attempt has ended, and the ledger is told so.
    pub(super) fn noted(&mut self, setup: &Setup, note: Note, now: Instant) -> Result<Option<usize>, String> {
        let is_it = |one: &Try| one.aim == note.aim && one.key == note.key && one.end.is_none();
        let Some(place) = self.tries.iter().position(is_it) else { return Ok(None) };
        let timeouts = self.stage(setup).plan.timeouts;
        let least = timeouts.first_byte.min(timeouts.first_token).min(timeouts.idle).min(timeouts.total);
        let one = &mut self.tries[place];
        let late = now.since(one.begun) >= least || now.since(self.arrived) >= timeouts.total;
        match note.verdict {
            Verdict::Bad(FaultKind::UpstreamTimeout, _) if late => {}
            Verdict::Bad(FaultKind::ShuttingDown, _) if self.shut => {}
            // It says something else than the caller has been told.
            Verdict::Bad(FaultKind::UpstreamInvalid | FaultKind::UpstreamTruncated, _)
                if place > 0 && self.head.is_some() => {}
            Verdict::Bad(kind, _) => {
                rule(one.act.kinds().contains(&kind), &format!("{:?} is no {kind:?}", one.act))?;
            }
            Verdict::Good(_) => rule(one.act.may_answer(), &format!("{:?} did not answer", one.act))?,
            Verdict::Slow | Verdict::Dropped => {}
        }
        let whole = INPUT + setup.sources[one.source].output;
        // A limit may end what has said its last word before it says what it cost.
        let cut = late || self.shut;
        let answered = matches!(note.verdict, Verdict::Good(_)) && one.act == Act::Answer && !cut;
        rule(!answered || note.tokens == Some(whole), "a whole answer costs what it says")?;
        rule(note.tokens.is_none_or(|tokens| tokens <= whole), "nothing costs more than the whole")?;
        one.end = Some(End { at: now, order: self.ended, verdict: note.verdict, late });
        self.ended += 1;
        Ok(Some(place))
    }

    /// Whether all that was told is true.
    pub(super) fn ends(&mut self, setup: &Setup, record: &Record, wire: &mut Wire, now: Instant) -> Rule {
        let timeouts = self.stage(setup).plan.timeouts;
        rule(self.live().count() == 0, "what is under way ends with the request")?;
        rule(
            record.took <= timeouts.total && record.took == now.since(self.arrived),
            "an exchange has a deadline",
        )?;
        let told = self.head.as_ref().map(|head| head.status.as_u16());
        rule(self.left || told == record.status, "the record tells the caller's status")?;
        self.trials(setup, record)?;
        match record.outcome {
            Outcome::ClientGone => rule(self.left, "nobody left"),
            Outcome::Whole => self.is_whole(setup, record, wire),
            Outcome::Fault(kind) if told.is_some_and(|status| status >= 400) => {
                self.is_error(kind, told.unwrap_or_default())?;
                self.nothing_was_left(setup, kind, now)
            }
            Outcome::Fault(_) => {
                rule(self.aborted || self.stream, "a broken whole answer is aborted")?;
                let read = !self.aborted && wire.read(self.caller, self.stream, self.told()).is_some();
                rule(!read, "a broken answer does not pass for a whole one")
            }
        }
    }

    /// The record names each attempt and what it cost.
    fn trials(&self, setup: &Setup, record: &Record) -> Rule {
        let (named, sent) = (record.trials.len(), self.tries.len());
        rule(named == sent || self.left && named == sent + 1, "the record names every attempt")?;
        for (trial, one) in record.trials.iter().zip(&self.tries) {
            let number = trial.provider.strip_prefix('p').and_then(|number| number.parse().ok());
            rule(number == Some(one.source) && trial.model == one.model, "the record names who was asked")?;
            let whole = setup.sources[one.source].output;
            let usage = trial.usage.as_ref();
            rule(
                usage.is_none_or(|usage| usage.input <= INPUT && usage.output <= whole),
                "costs are the attempt's own",
            )?;
            if let Some(Verdict::Bad(kind, _)) = one.end.map(|end| end.verdict) {
                rule(trial.fault == Some(kind), "the record tells what went wrong")?;
            }
        }
        let sum = record.trials.iter().filter(|trial| trial.fault.is_none() && !trial.outrun).count();
        rule(record.outcome != Outcome::Whole || sum == 1, "one attempt went well")
    }

    fn told(&self) -> Bytes {
        match self.body.as_slice() {
            [one] => one.clone(),
            all => all.concat().into(),
        }
    }

    fn is_whole(&self, setup: &Setup, record: &Record, wire: &mut Wire) -> Rule {
        rule(!self.aborted, "a whole answer is not aborted")?;
        let voice = record.voice.ok_or("a whole answer is somebody's")?;
        let one = self.tries.get(voice).ok_or("a whole answer is of one who was asked")?;
        let source = &setup.sources[one.source];
        let seen = wire.read(self.caller, self.stream, self.told()).ok_or("a whole answer can be read")?;
        rule(seen.words == VOICES[source.voice], "a whole answer holds every word, once")?;
        rule(seen.ended, "a whole answer says why it ended")?;
        let usage = record.usage.as_ref().map(|usage| (usage.input, usage.output));
        let late = one.end.is_none_or(|end| end.late);
        let cut = one.act != Act::Answer || self.shut || late;
        rule(cut || usage == Some((INPUT, source.output)), "a whole answer tells its usage")
    }

    /// What the caller is told is what happened last.
    fn is_error(&self, kind: FaultKind, told: u16) -> Rule {
        rule(!self.body.iter().all(Bytes::is_empty), "an error is told in words")?;
        let Some((last, _)) = self.last() else {
            let ours = matches!(
                kind,
                FaultKind::RateLimited
                    | FaultKind::Unavailable
                    | FaultKind::ShuttingDown
                    | FaultKind::UpstreamTimeout
            );
            return rule(ours, "who was not asked about is told why");
        };
        let verbatim = match last.act {
            Act::Refuse(status, _) => Some(status),
            Act::TooLong | Act::Filtered => Some(400),
            _ => None,
        };
        let own = matches!(kind, FaultKind::UpstreamTimeout | FaultKind::ShuttingDown);
        let blamed = last.act.kinds().contains(&kind);
        rule(own || blamed, &format!("{:?} is told as {kind:?}", last.act))?;
        rule(told == status(kind) || Some(told) == verbatim, &format!("{kind:?} is told as {told}"))
    }

    /// Who is told of an error has had all the chances that were configured.
    fn nothing_was_left(&self, setup: &Setup, kind: FaultKind, now: Instant) -> Rule {
        let plan = &self.stage(setup).plan;
        let (Some(name), Some((last, _))) = (self.name(setup), self.last()) else { return Ok(()) };
        let over = self.shut || self.left || self.denied || now.since(self.arrived) >= plan.timeouts.total;
        if over || self.tries.len() >= plan.attempts as usize || !last.act.kinds().contains(&kind) {
            return Ok(());
        }
        let filtered = kind == FaultKind::ContentFiltered;
        let asked =
            |target: &(usize, &'static str)| self.tries.iter().any(|one| (one.source, one.model) == *target);
        let left = |when: When| {
            name.rungs
                .iter()
                .filter(move |rung| rung.when == when)
                .flat_map(|rung| &rung.targets)
                .any(|target| !asked(target))
        };
        let next = remedies(kind).next || filtered && plan.failover.content_filter;
        // A filter's refusal goes to nobody but those who are there for it, once one has been.
        let narrowed = !plan.failover.content_filter && self.tries.iter().any(|one| one.act == Act::Filtered);
        rule(!next || narrowed || !left(When::Always), "a target was left unasked")?;
        let brought = match kind {
            FaultKind::ContextTooLong => left(When::TooLong),
            FaultKind::ContentFiltered => left(When::Filtered),
            _ => false,
        };
        rule(!brought, "a fallback was left unasked")
    }
}

impl Act {
    /// A provider that does this has said, or it is plain, that it has not begun to answer.
    fn did_nothing(&self) -> bool {
        let failed = matches!(self, Act::Fail(Io::Connect | Io::Tls | Io::Credentials));
        failed || matches!(self, Act::Refuse(..) | Act::TooLong | Act::Filtered | Act::ErrorInside)
    }

    /// It may pass for a whole answer: what is cut off may be nothing but ceremony.
    fn may_answer(&self) -> bool {
        matches!(self, Act::Answer | Act::Cut(_) | Act::Break(_) | Act::Stall(_))
    }

    /// What this is to be called.
    fn kinds(&self) -> &'static [FaultKind] {
        match self {
            Act::Answer => &[],
            Act::Cut(_) => &[FaultKind::UpstreamTruncated, FaultKind::UpstreamInvalid],
            Act::Break(_) => &[FaultKind::UpstreamTruncated],
            Act::Stall(_) | Act::Silent | Act::Fail(Io::ConnectTimeout) | Act::Refuse(408 | 504, _) => {
                &[FaultKind::UpstreamTimeout]
            }
            Act::Fail(Io::Connect | Io::Tls) => &[FaultKind::UpstreamUnreachable],
            Act::Fail(Io::Broken) => &[FaultKind::UpstreamTruncated],
            Act::Fail(Io::Credentials) | Act::Refuse(401 | 403, _) => &[FaultKind::UpstreamAuth],
            Act::Refuse(402, _) => &[FaultKind::UpstreamQuota],
            Act::Refuse(404, _) => &[FaultKind::UpstreamNotFound],
            Act::Refuse(413, _) => &[FaultKind::TooLarge],
            Act::Refuse(429, _) => &[FaultKind::UpstreamLimited],
            Act::Refuse(503 | 529, _) => &[FaultKind::UpstreamOverloaded],
            // Where answers are not text it means nothing.
            Act::ErrorInside => {
                &[FaultKind::UpstreamOverloaded, FaultKind::UpstreamInvalid, FaultKind::UpstreamTruncated]
            }
            Act::Refuse(409 | 500 | 502, _) => &[FaultKind::UpstreamFailed],
            Act::Refuse(..) => &[FaultKind::BadRequest],
            Act::TooLong => &[FaultKind::ContextTooLong],
            Act::Filtered => &[FaultKind::ContentFiltered],
            Act::Garbage => &[FaultKind::UpstreamInvalid, FaultKind::UpstreamTruncated],
        }
    }
}

fn remedies(kind: FaultKind) -> Remedies {
    let (again, key, next) = match kind {
        FaultKind::UpstreamLimited => (true, true, true),
        FaultKind::UpstreamAuth | FaultKind::UpstreamQuota => (false, true, true),
        FaultKind::UpstreamOverloaded | FaultKind::UpstreamFailed | FaultKind::UpstreamUnreachable => {
            (true, false, true)
        }
        FaultKind::UpstreamTimeout
        | FaultKind::UpstreamTruncated
        | FaultKind::UpstreamInvalid
        | FaultKind::UpstreamNotFound
        | FaultKind::ContextTooLong => (false, false, true),
        _ => (false, false, false),
    };
    Remedies { again, key, next }
}

/// The status of a fault that is told in our words.
fn status(kind: FaultKind) -> u16 {
    match kind {
        FaultKind::BadRequest | FaultKind::ContextTooLong | FaultKind::ContentFiltered => 400,
        FaultKind::UpstreamNotFound => 404,
        FaultKind::TooLarge => 413,
        FaultKind::UpstreamLimited => 429,
        FaultKind::UpstreamOverloaded | FaultKind::ShuttingDown => 503,
        FaultKind::UpstreamTimeout => 504,
        _ => 502,
    }
}

pub(super) fn rule(holds: bool, words: &str) -> Rule {
    if holds { Ok(()) } else { Err(words.to_owned()) }
}
