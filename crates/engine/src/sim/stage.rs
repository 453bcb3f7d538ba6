//! Plays a scene as a door would, and watches that every rule holds.

use super::scene::{Act, Given, OPERATION, Scene, WORDS};
use crate::{
    exchange::{Attempt, Exchange, Order, Reply, Report, UpstreamHead},
    ledger::{Command, Ledger},
    limits::{RACERS_MAX, UNHEARD_TIME},
    plan::ClientGone,
    record::{Manner, Outcome, Record, Trial},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{DialectId, Reader, Sink, canon};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::collections::BTreeMap;

/// More steps than any exchange may take.
const STEPS_MAX: u64 = 20_000;

/// What the caller has seen at the end.
#[derive(Default)]
pub(super) struct Ending {
    head: Option<Box<Reply>>,
    /// What he was sent, and the same without heartbeats.
    raw: Vec<u8>,
    body: Vec<u8>,
    /// When he was last sent anything.
    heard: Instant,
    beats: u64,
    aborted: bool,
    record: Option<Box<Record>>,
    sent: u32,
    /// The providers that were asked, in order.
    asked: Vec<usize>,
    /// Attempts that went on with an answer which had begun.
    resumed: u32,
    /// Of these, those that were given what had been sent.
    given: u32,
    /// Who did not go on with it, and was not asked again yet.
    missed: Vec<usize>,
    raced: bool,
    cancelled: u32,
    left: bool,
    /// When a stream was read on that nobody heard any more.
    parted: Option<Instant>,
    /// For how long.
    read_on: Option<Span>,
}

/// A provider's answer on its way.
struct Live {
    head: Option<UpstreamHead>,
    pieces: Vec<Bytes>,
    at: usize,
    /// When the next thing comes, and how long each takes.
    next: Instant,
    pause: Span,
    end: End,
}

enum End {
    Clean,
    Broken,
    Never,
    Fails(crate::exchange::Io),
}

type Rule = Result<(), String>;

/// Plays `scene` to its end.
pub(super) fn play(scene: &Scene) -> Result<Ending, String> {
    let mut exchange = Exchange::call(scene.plan(), scene.caller, OPERATION, scene.inbound());
    let mut ledger = Ledger::default();
    let mut ending = Ending::default();
    let mut live: BTreeMap<Attempt, Live> = BTreeMap::new();
    let (mut now, mut admissions) = (Instant::default(), 0_u64);
    for step in 0..STEPS_MAX {
        if scene.leaves == Some(step) && ending.record.is_none() {
            ending.left = true;
            exchange.report(Report::ClientGone, now);
        }
        if scene.shut == Some(step) {
            exchange.report(Report::ShuttingDown, now);
        }
        let Some(order) = exchange.order() else { break };
        rule(ending.record.is_none(), "nothing comes after `Done`")?;
        match order {
            Order::Ask(command) => {
                admissions += u64::from(matches!(command, Command::Admit(_)));
                let answer = ledger.apply(&exchange.asks(), command, now);
                exchange.report(Report::Answer(answer), now);
            }
            Order::Note(note) => ledger.note(&exchange.asks(), note, now),
            Order::Leave(ticket) => ledger.leave(ticket, now),
            Order::Part(ticket) => {
                ledger.part(ticket, now);
                ending.parted = Some(now);
            }
            Order::Send(attempt, upstream) => {
                rule(!ending.left, "nothing is asked for who has left")?;
                rule(ending.body.is_empty() || live.is_empty(), "nobody is asked beside one who speaks")?;
                rule(live.len() < RACERS_MAX, "few attempts are under way at once")?;
                let given = scene.targets[upstream.provider].given_in(&upstream.body.concat());
                let times = ending.send(scene, attempt, upstream.provider, given.as_deref())?;
                live.insert(attempt, Live::of(scene, upstream.provider, times, given.as_deref(), now));
                ending.raced |= live.len() > 1;
            }
            Order::Cancel(attempt) => {
                live.remove(&attempt);
                ending.cancelled += 1;
            }
            Order::Head(_) | Order::Body(_) | Order::Abort => ending.told(scene, order, now)?,
            Order::Wait(until) => {
                ending.waits(scene, until)?;
                let (report, at) = wait(&mut live, now, until.max(now));
                now = at;
                exchange.report(report, now);
            }
            Order::Done(record) => {
                if record.admitted {
                    ledger.settle(&record);
                }
                ending.read_on = ending.parted.map(|parted| now.since(parted));
                ending.record = Some(record);
            }
        }
    }
    rule(admissions <= 1 && (ending.left || admissions == 1), "the ledger is asked once")?;
    rule(ledger.in_flight() == 0 && ledger.settled() == admissions, "every admission is settled once")?;
    rule(ledger.under_way() == 0, "every turn is given back")?;
    rule(live.is_empty(), "nothing goes on at a provider that nobody waits for")?;
    ending.check(scene)?;
    Ok(ending)
}

/// What comes first of any attempt, or the end of the wait.
fn wait(live: &mut BTreeMap<Attempt, Live>, now: Instant, until: Instant) -> (Report, Instant) {
    let speaks = live.iter_mut().filter(|(_, one)| !one.is_silent());
    let Some((attempt, first)) = speaks.min_by_key(|(_, one)| one.next) else { return (Report::Woke, until) };
    if first.next >= until {
        return (Report::Woke, until);
    }
    let (attempt, at) = (*attempt, first.next.max(now));
    first.next = at.after(first.pause);
    let report = first.report(attempt);
    if matches!(report, Report::End(_) | Report::Failed(..)) {
        live.remove(&attempt);
    }
    (report, at)
}

impl Live {
    /// What a provider does that has been asked so many times before.
    fn of(scene: &Scene, provider: usize, times: usize, given: Option<&str>, now: Instant) -> Live {
        let target = &scene.targets[provider];
        let act = match (given, target.given) {
            (Some(_), Some(Given::Refuses)) => &Act::Refuse(400),
            _ => target.does(times),
        };
        let said = given.filter(|_| target.given == Some(Given::GoesOn)).map_or(0, str::len);
        let whole = target.answer(&WORDS[said..], scene.stream);
        let part = |thousandths: u64| {
            let end = usize::try_from(whole.len() as u64 * thousandths / 1_000).unwrap();
            whole[..end].to_vec()
        };
        let (status, body, end) = match act {
            Act::Answer => (200, whole.clone(), End::Clean),
            Act::Cut(at) => (200, part(*at), End::Clean),
            Act::Break(at) => (200, part(*at), End::Broken),
            Act::Stall(at) => (200, part(*at), End::Never),
            Act::Silent => (0, Vec::new(), End::Never),
            Act::Fail(io) => (0, Vec::new(), End::Fails(*io)),
            Act::Refuse(status) => {
                (*status, br#"{"error":{"message":"no","type":"t"}}"#.to_vec(), End::Clean)
            }
            Act::ErrorInside => (200, error_inside(scene.stream), End::Clean),
            Act::Garbage => (200, b"\x00\xff<html>{{{{data: ".to_vec(), End::Clean),
        };
        let head = (status > 0).then(|| head(status, target.dialect, scene.stream && status == 200));
        let pieces = body.chunks(target.piece).map(Bytes::copy_from_slice).collect();
        Live { head, pieces, at: 0, next: now.after(target.first), pause: target.pause, end }
    }

    fn is_silent(&self) -> bool {
        self.head.is_none() && self.at == self.pieces.len() && matches!(self.end, End::Never)
    }

    fn report(&mut self, attempt: Attempt) -> Report {
        if let Some(head) = self.head.take() {
            return Report::Head(attempt, head);
        }
        if let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            return Report::Body(attempt, piece.clone());
        }
        match self.end {
            End::Fails(io) => Report::Failed(attempt, io),
            End::Broken => Report::Failed(attempt, crate::exchange::Io::Broken),
            End::Clean | End::Never => Report::End(attempt),
        }
    }
}

fn head(status: u16, dialect: DialectId, stream: bool) -> UpstreamHead {
    let kind = if stream { dialect.dialect().framing().content_type() } else { "application/json" };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let status = StatusCode::from_u16(status).unwrap();
    UpstreamHead { status, headers, framed: false, signed_with: Vec::new() }
}

/// An error that both dialects know for one.
fn error_inside(stream: bool) -> Vec<u8> {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    if stream { format!("event: error\ndata: {error}\n\n").into_bytes() } else { error.as_bytes().to_vec() }
}

impl Ending {
    /// A provider is asked; tells how often it had been before.
    fn send(
        &mut self,
        scene: &Scene,
        attempt: Attempt,
        provider: usize,
        given: Option<&str>,
    ) -> Result<usize, String> {
        rule(attempt.0 == self.sent, "attempts are numbered")?;
        self.sent += 1;
        rule(self.sent <= scene.attempts, "attempts are bounded")?;
        self.resumed += u32::from(!self.body.is_empty());
        let times = self.asked.iter().filter(|asked| **asked == provider).count();
        let before = times.checked_sub(1).map(|last| scene.targets[provider].does(last));
        let missed = self.missed.contains(&provider) && given.is_none();
        self.missed.retain(|one| *one != provider);
        let may = missed || before.is_none_or(Act::did_nothing);
        rule(may, "what may have been done is not asked for again")?;
        self.asked.push(provider);
        if let Some(given) = given {
            let able = scene.targets[provider].given;
            rule(self.head.is_some(), "nothing is handed on before it has been sent")?;
            rule(able.is_some(), "only who is able is given the beginning of an answer")?;
            rule(WORDS.starts_with(given) && !given.is_empty(), "what is handed on has been said")?;
            self.given += 1;
            if able != Some(Given::GoesOn) {
                self.missed.push(provider);
            }
        }
        Ok(times)
    }

    /// The caller is told something.
    fn told(&mut self, scene: &Scene, order: Order, now: Instant) -> Rule {
        rule(self.parted.is_none(), "nothing is sent to who has left")?;
        match order {
            Order::Head(reply) => {
                rule(self.head.is_none(), "there is one head")?;
                self.head = Some(reply);
            }
            Order::Body(bytes) => {
                rule(self.head.is_some(), "the head comes before the body")?;
                self.hear(scene, &bytes, now)?;
            }
            _ => self.aborted = true,
        }
        Ok(())
    }

    /// The caller is sent something.
    fn hear(&mut self, scene: &Scene, bytes: &Bytes, now: Instant) -> Rule {
        let (span, beat) = scene.beat();
        self.raw.extend_from_slice(bytes);
        // A space within a whole answer is part of it.
        if span > Span::ZERO && bytes == beat && (scene.stream || self.body.is_empty()) {
            rule(now == self.heard.after(span), "a heartbeat comes after so long a silence")?;
            // A carriage return ends a line by itself, whatever comes of the line feed behind it.
            let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\n\r"];
            let whole = ends.iter().any(|end| self.body.ends_with(end)) || scene.listed();
            rule(self.body.is_empty() || whole, "a heartbeat comes between events")?;
            self.beats += 1;
        } else {
            self.body.extend_from_slice(bytes);
        }
        self.heard = now;
        Ok(())
    }

    /// The machine waits: nobody is left in silence for longer than that.
    fn waits(&self, scene: &Scene, until: Instant) -> Rule {
        let (span, _) = scene.beat();
        let begun = !scene.stream && !self.body.is_empty();
        rule(
            self.left || span == Span::ZERO || begun || until <= self.heard.after(span),
            "a silence is broken in time",
        )
    }

    /// What the caller saw is true.
    fn check(&self, scene: &Scene) -> Rule {
        let record = self.record.as_ref().ok_or("every exchange ends")?;
        let (named, sent) = (record.trials.len(), self.sent as usize);
        rule(named == sent || self.left && named == sent + 1, "the record names every attempt")?;
        let fine = |trial: &&Trial| trial.fault.is_none() && !trial.outrun;
        let good = record.trials.iter().filter(fine).count();
        rule(record.outcome != Outcome::Whole || good == 1, "one attempt went well")?;
        record.trials.iter().try_for_each(check_used)?;
        let earned = usize::from(scene.hedge.is_some());
        rule(hedges(record) <= earned, "one request has earned one hedge at most")?;
        let told = self.head.as_ref().map(|head| head.status.as_u16());
        rule(self.left || told == record.status, "the record tells the caller's status")?;
        match record.outcome {
            Outcome::ClientGone => {
                rule(self.left, "nobody left")?;
                self.check_read_on(scene, record)
            }
            Outcome::Whole => {
                rule(!self.aborted, "a whole answer is not aborted")?;
                let message = self.read(scene, &self.body).ok_or("a whole answer can be read")?;
                let same = self.read(scene, &self.raw).as_ref() == Some(&message);
                rule(same, "heartbeats say nothing")?;
                rule(text(&message) == WORDS, "a whole answer holds every word")?;
                let why = message.choices.first().and_then(|choice| Some(choice.stop.as_ref()?.reason));
                rule(why == Some(canon::StopReason::End), "a whole answer says why it ended")?;
                // A stream may be cut behind its last word and before its usage, by the provider or by a limit.
                let voice = record.voice.ok_or("a whole answer is somebody's")?;
                let target = &scene.targets[self.asked[voice]];
                let uncut = matches!((&target.act, &target.then), (Act::Answer, Act::Answer))
                    && record.took < scene.plan().timeouts.total
                    && scene.shut.is_none();
                let told =
                    record.trials.get(voice).is_some_and(|trial| trial.usage.is_some() && !trial.estimated);
                rule(!uncut || told, "a whole answer tells its usage")
            }
            Outcome::Fault(_) if told.is_some_and(|status| status >= 400) => {
                let fault = scene.caller.dialect().read_fault(told.unwrap_or(500), &self.body);
                rule(!fault.message.is_empty(), "an error is told in the caller's dialect")
            }
            Outcome::Fault(_) => {
                let late = self.beats > 0 && !self.body.is_empty();
                rule(
                    self.aborted || scene.stream || late,
                    "a broken whole answer is aborted, or told as such",
                )?;
                rule(WORDS.starts_with(&self.words(scene)), "nothing is told that nobody said")?;
                for text in [&self.body, &self.raw] {
                    rule(self.read(scene, text).is_none(), "a broken answer does not pass for a whole one")?;
                }
                let told = scene.caller.dialect().read_fault(500, &self.raw);
                rule(self.aborted || scene.stream || !told.message.is_empty(), "a late error is told")
            }
        }
    }

    /// What was read for nobody was read to its end, within bounds.
    fn check_read_on(&self, scene: &Scene, record: &Record) -> Rule {
        let Some(span) = self.read_on else { return rule(!record.unheard, "what is read on is said to be") };
        rule(record.unheard && scene.gone == ClientGone::Drain, "only what shall be is read on")?;
        rule(span <= UNHEARD_TIME, "what nobody hears is read for so long and no longer")?;
        let place = record.voice.ok_or("what is read on is somebody's")?;
        let target = &scene.targets[self.asked[place]];
        let whole = matches!((&target.act, &target.then), (Act::Answer, Act::Answer))
            && span < UNHEARD_TIME
            && scene.shut.is_none();
        // One may be too slow even for its first token.
        let trial = record.trials.get(place).ok_or("who is read on has a trial")?;
        let told = trial.fault.is_some() || trial.usage.is_some() && !trial.estimated;
        rule(!whole || told, "what is read to its end tells its usage")
    }

    /// The words of a stream as far as it came.
    fn words(&self, scene: &Scene) -> String {
        let (mut reader, mut sink) = (scene.caller.dialect().reader(), Sink::default());
        if scene.stream {
            let _ = reader.feed(&self.body, &mut sink);
        }
        text(&canon::fold(scene.caller, sink.events))
    }

    /// The answer as a client of the caller's dialect would read it; `None` where it would see an error.
    fn read(&self, scene: &Scene, text: &[u8]) -> Option<canon::Message> {
        let dialect = scene.caller.dialect();
        if self.aborted {
            return None;
        }
        if !scene.stream {
            return dialect.read_response(text).ok().map(|carried| carried.value);
        }
        let (mut reader, mut sink): (Box<dyn Reader>, Sink) = (dialect.reader(), Sink::default());
        reader.feed(text, &mut sink).ok()?;
        reader.finish(&mut sink).ok()?;
        Some(canon::fold(scene.caller, sink.events))
    }
}

/// What an attempt used is what the provider said, or no more than all of its answer can have cost.
fn check_used(trial: &Trial) -> Rule {
    let Some(usage) = &trial.usage else { return rule(!trial.estimated, "an estimate says something") };
    let most = (WORDS.len() as u64).div_ceil(4);
    let possible = !trial.estimated || usage.all_input() > 0 && usage.all_output() <= most;
    rule(possible, "an estimate is no more than the whole answer")
}

fn text(message: &canon::Message) -> String {
    let blocks = message.choices.iter().flat_map(|choice| &choice.blocks);
    let words = blocks.filter_map(|block| match &block.kind {
        canon::Kind::Text(text) => Some(text.as_str()),
        _ => None,
    });
    words.collect()
}

fn rule(holds: bool, words: &str) -> Rule {
    if holds { Ok(()) } else { Err(words.to_owned()) }
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    whole: u64,
    failed_over: u64,
    refused: u64,
    broken_off: u64,
    left: u64,
    cancelled: u64,
    raced: u64,
    hedged: u64,
    resumed: u64,
    given: u64,
    again: u64,
    beats: u64,
    /// What failed with nothing but heartbeats before it, and what was answered so by another target.
    late: u64,
    late_failed_over: u64,
    /// Streams that were read on, and those that were cut then.
    read_on: u64,
    read_too_long: u64,
}

fn hedges(record: &Record) -> usize {
    record.trials.iter().filter(|trial| trial.manner == Manner::Hedge).count()
}

impl Tally {
    pub(super) fn count(&mut self, ending: &Ending) {
        let Some(record) = &ending.record else { return };
        let refused = record.status.is_some_and(|status| status >= 400);
        self.whole += u64::from(record.outcome == Outcome::Whole);
        self.failed_over += u64::from(record.outcome == Outcome::Whole && ending.sent > 1);
        self.refused += u64::from(refused);
        self.broken_off += u64::from(matches!(record.outcome, Outcome::Fault(_)) && !refused);
        self.left += u64::from(record.outcome == Outcome::ClientGone);
        self.cancelled += u64::from(ending.cancelled > 0);
        self.raced += u64::from(ending.raced);
        self.hedged += u64::from(hedges(record) > 0);
        self.resumed += u64::from(ending.resumed > 0 && record.outcome == Outcome::Whole);
        let late = ending.beats > 0;
        self.beats += ending.beats;
        self.late += u64::from(late && matches!(record.outcome, Outcome::Fault(_)));
        self.late_failed_over += u64::from(late && record.outcome == Outcome::Whole && ending.sent > 1);
        self.read_on += u64::from(ending.read_on.is_some());
        self.read_too_long += u64::from(ending.read_on == Some(UNHEARD_TIME));
        self.given += u64::from(ending.given > 0 && record.outcome == Outcome::Whole);
        self.again += u64::from(ending.asked.windows(2).any(|pair| pair[0] == pair[1]));
    }

    pub(super) fn assert_all_happened(&self) {
        let Tally { whole, failed_over, refused, broken_off, left, cancelled, .. } = *self;
        let Tally { raced, resumed, again, beats, late, late_failed_over, read_on, read_too_long, .. } =
            *self;
        let all = [whole, failed_over, refused, broken_off, left, cancelled, raced, resumed, again];
        let all = all.iter().chain([&beats, &late, &late_failed_over, &read_on, &read_too_long]);
        let mut all = all.copied();
        assert!(all.all(|count| count > 0), "something never happens: {self:?}");
    }
}
