//! What a seed makes: who asks what, of which providers, and what they do.

use super::chance::Chance;
use crate::{
    access::Caller,
    exchange::{Inbound, Io, Named},
    limits::HEDGE_COSTS,
    models::{Ability, Facts},
    path::KeyChoice,
    plan::{Aim, ClientGone, Failover, Heartbeat, Hedge, Plan, PlanHandle, Provider, Streams, Timeouts},
    provider::{Operation, of_dialect},
    route::Route,
    secret::Secret,
    speech::{Speech, spoken},
    tiers::{Shape, Strategy, Tier, When},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{
    DialectId,
    canon::{
        At, Block, Choice, Delta, Event, Extra, Kind, Message, Request, Role, Stop, StopReason, Turn, Usage,
        unfold,
    },
};
use http::{HeaderMap, Method};
use std::{rc::Rc, sync::Arc};

/// Words that the answer holds, so that what arrives can be compared.
pub(super) const WORDS: &str = "the answer is forty-two and this is the whole of it";

/// One request and its world.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) caller: DialectId,
    pub(super) stream: bool,
    /// Per target of the alias.
    pub(super) targets: Vec<Target>,
    pub(super) attempts: u32,
    pub(super) streams: Streams,
    /// What the caller is sent who waits.
    pub(super) heartbeat: Heartbeat,
    /// The next target is asked beside one that has not spoken for so long.
    pub(super) hedge: Option<Span>,
    /// How the targets hang together.
    pub(super) shape: Option<Shape>,
    /// What becomes of a stream whose caller leaves.
    pub(super) gone: ClientGone,
    /// The caller leaves after so many steps.
    pub(super) leaves: Option<u64>,
    /// The gateway is shut after so many steps.
    pub(super) shut: Option<u64>,
}

/// A provider and what it does when it is asked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) dialect: DialectId,
    pub(super) keys: usize,
    /// What it does when it is first asked, and whenever it is asked again.
    pub(super) act: Act,
    pub(super) then: Act,
    /// How long until anything comes.
    pub(super) first: Span,
    /// What it does when it is given the beginning of an answer, where its model is known to go on with one.
    pub(super) given: Option<Given>,
    /// Bytes of a body that come at once.
    pub(super) piece: usize,
    /// Time between two pieces.
    pub(super) pause: Span,
}

/// What a provider does that is given the beginning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// It goes on with it.
    GoesOn,
    /// It gives the whole answer.
    BeginsAnew,
    /// It refuses.
    Refuses,
}

/// What a provider does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The whole answer.
    Answer,
    /// The answer up to that many thousandths of it, then a clean end.
    Cut(u64),
    /// The answer up to that many thousandths of it, then a broken connection.
    Break(u64),
    /// The answer up to that many thousandths of it, then nothing.
    Stall(u64),
    /// No head, ever.
    Silent,
    /// A failure before any head.
    Fail(Io),
    /// An error with this status.
    Refuse(u16),
    /// An error inside a stream that began with 200.
    ErrorInside,
    /// Bytes that mean nothing.
    Garbage,
}

/// The dialects that callers speak: what providers of others answer nobody here can write.
fn spoken_by_callers() -> Vec<DialectId> {
    DialectId::callers().collect()
}

impl Scene {
    pub(super) fn from_seed(seed: u64) -> Scene {
        let mut chance = Chance::new(seed);
        let count = 1 + chance.below(4);
        let mut given = Chance::new(seed.rotate_left(32));
        let mut target = |chance: &mut Chance| Target { given: Given::by(&mut given), ..Target::by(chance) };
        Scene {
            seed,
            caller: *chance.pick(&spoken_by_callers()),
            stream: chance.percent(60),
            targets: (0..count).map(|_| target(&mut chance)).collect(),
            attempts: u32::try_from(1 + chance.below(4)).unwrap(),
            heartbeat: heartbeat(Chance::new(seed.rotate_left(32))),
            gone: if seed.count_ones().is_multiple_of(2) { ClientGone::Drain } else { ClientGone::Cancel },
            shape: shape(Chance::new(!seed), usize::try_from(count).unwrap()),
            streams: *chance.pick(&[Streams::Off, Streams::Hold, Streams::Recover, Streams::Recover]),
            hedge: given.percent(30).then(|| Span::millis(1 + given.below(2_000))),
            leaves: chance.percent(15).then(|| chance.below(40)),
            shut: chance.percent(3).then(|| chance.below(40)),
        }
        .broken_off(Chance::new(!seed.rotate_left(32)))
    }

    /// Often a stream breaks off that another target could go on with: by chance alone that is rare.
    fn broken_off(mut self, mut chance: Chance) -> Scene {
        if chance.percent(20)
            && let [first, _, ..] = &mut *self.targets
        {
            first.act = Act::Break(300 + chance.below(600));
            (self.stream, self.streams, self.attempts) = (true, Streams::Recover, 4);
        }
        self
    }

    /// The plan: one provider a target, and the alias `m` over all of them.
    pub(super) fn plan(&self) -> PlanHandle {
        let aims: Vec<Aim> = (0..self.targets.len()).map(|provider| Aim::new(provider, "served")).collect();
        Rc::new(Arc::new(Plan {
            providers: self
                .targets
                .iter()
                .enumerate()
                .map(|(index, target)| target.provider(index))
                .collect(),
            aliases: [("m".to_owned(), Route { aims, shape: self.shape.clone().map(Arc::new) })].into(),
            attempts: self.attempts,
            heartbeat: self.heartbeat,
            client_gone: self.gone,
            failover: Failover {
                streams: self.streams,
                hedge: self.hedge.map(always),
                ..Failover::default()
            },
            timeouts: Timeouts {
                connect: Span::secs(3),
                first_byte: Span::secs(60),
                first_token: Span::secs(60),
                idle: Span::secs(30),
                total: Span::secs(600),
            },
            ..Plan::default()
        }))
    }

    /// After how long a silence the caller is sent what.
    pub(super) fn beat(&self) -> (Span, &'static [u8]) {
        match self.stream {
            true if self.listed() => (self.heartbeat.streams, b" "),
            true if self.caller == DialectId::Bedrock => (Span::ZERO, b""),
            true => (self.heartbeat.streams, b": keep-alive\n\n"),
            false => (self.heartbeat.answers, b" "),
        }
    }

    /// The caller wants the events as an array.
    pub(super) fn listed(&self) -> bool {
        self.stream && self.caller == DialectId::Gemini && self.seed.is_multiple_of(2)
    }

    /// The request, in the caller's dialect.
    pub(super) fn inbound(&self) -> Inbound {
        let dialect = self.caller.dialect();
        let mut request = Request::new(self.caller, "m");
        request.stream = Some(self.stream);
        request.limit = Some(100);
        let blocks = vec![Block::new(Kind::Text("why".to_owned()))];
        let (at, extra) = (At { turn: Some(0), part: None }, Extra::NONE);
        request.turns.push(Turn { role: Role::User, blocks, plain: true, at, name: None, extra });
        let to = dialect::Target { model: "m", ..dialect::Target::default() };
        let body = dialect.write_request(&request, &to).value;
        let named = Named { model: "m".to_owned(), stream: self.stream, list: self.listed() };
        Inbound {
            id: "req-1".to_owned(),
            caller: Caller(None),
            method: Method::POST,
            headers: HeaderMap::new(),
            body: Bytes::from(body),
            more: false,
            field: None,
            named: dialect.paths().names_model().then_some(named),
            key: KeyChoice::Next,
            roll: self.seed,
            arrived: Instant::default(),
        }
    }
}

/// None, or often enough to be seen.
fn heartbeat(mut chance: Chance) -> Heartbeat {
    let mut span = || Span::millis(if chance.percent(60) { 100 + chance.below(15_000) } else { 0 });
    Heartbeat { streams: span(), answers: span() }
}

/// Tiers of every kind, the first of them for whatever reason.
fn shape(mut chance: Chance, targets: usize) -> Option<Shape> {
    if chance.percent(40) {
        return None;
    }
    let (mut tiers, mut start) = (Vec::new(), 0);
    while start < targets {
        let end = targets.min(start + 1 + usize::try_from(chance.below(3)).unwrap());
        let strategy = *chance.pick(&[
            Strategy::Ordered,
            Strategy::Shuffle,
            Strategy::RoundRobin,
            Strategy::LeastBusy,
            Strategy::Fastest,
            Strategy::Cheapest,
            Strategy::Usage,
        ]);
        let when = *chance.pick(&[When::Always, When::Always, When::TooLong, When::Filtered]);
        let when = if start == 0 { When::Always } else { when };
        tiers.push(Tier { aims: start..end, strategy, when, of: "m".to_owned(), id: start as u64 });
        start = end;
    }
    Some(Shape { tiers, affinity: chance.percent(50), mirror: None })
}

impl Target {
    fn by(chance: &mut Chance) -> Target {
        Target {
            dialect: *chance.pick(&spoken_by_callers()),
            keys: usize::try_from(chance.below(4)).unwrap(),
            act: Act::by(chance),
            then: Act::by(chance),
            first: Span::millis(if chance.percent(20) { chance.below(30_000) } else { chance.below(2_000) }),
            given: None,
            piece: usize::try_from(1 + chance.below(400)).unwrap(),
            pause: Span::millis(chance.below(5_000)),
        }
    }

    /// What it does when it has been asked so many times before.
    pub(super) fn does(&self, times: usize) -> &Act {
        if times > 0 { &self.then } else { &self.act }
    }

    pub(super) fn provider(&self, index: usize) -> Provider {
        let row = of_dialect(self.dialect);
        Provider {
            name: format!("p{index}"),
            aka: Vec::new(),
            embeds: None,
            hosts: &[],
            speaks: vec![Speech::new(&spoken(self.dialect), row.auth, None)],
            base: format!("http://p{index}.test"),
            auth: row.auth,
            keys: (0..self.keys).map(|key| Secret::new(format!("secret-{index}-{key}"))).collect(),
            signer: None,
            headers: Vec::new(),
            default_headers: Vec::new(),
            models: None,
            listed: Vec::new(),
            facts: [("*".to_owned(), self.facts())].into(),
            drops: Vec::new(),
            renames: Vec::new(),
            quirks: &[],
            built_in: false,
            memo: crate::plan::Memo::default(),
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        if self.given.is_some() {
            facts.abilities.set(Ability::Prefill, true);
        }
        facts
    }

    /// The beginning of an answer that it is given in a request.
    pub(super) fn given_in(&self, body: &[u8]) -> Option<String> {
        let request = self.dialect.dialect().read_request(body).ok()?.value;
        let last = request.turns.last().filter(|turn| turn.role == Role::Assistant)?;
        last.blocks.first().map(|block| block.kind.words().to_owned())
    }

    /// The bytes of an answer with these words, whole or as a stream.
    pub(super) fn answer(&self, words: &str, stream: bool) -> Vec<u8> {
        let message = message(self.dialect, words);
        let dialect = self.dialect.dialect();
        if !stream {
            return dialect.write_response(&message).value;
        }
        let mut request = Request::new(self.dialect, "served");
        request.stream = Some(true);
        request.stream_usage = Some(true);
        let mut writer = dialect.writer(&request);
        let (mut out, mut losses) = (Vec::new(), dialect::Losses::new());
        for event in unfold(&message).into_iter().flat_map(word_by_word) {
            writer.write(&event, &mut out, &mut losses);
        }
        out
    }
}

impl Given {
    fn by(chance: &mut Chance) -> Option<Given> {
        let given = *chance.pick(&[Given::GoesOn, Given::GoesOn, Given::BeginsAnew, Given::Refuses]);
        chance.percent(50).then_some(given)
    }
}

impl Act {
    /// A provider that does this has said, or it is plain, that it has not begun to answer.
    pub(super) fn did_nothing(&self) -> bool {
        matches!(self, Act::Refuse(_) | Act::ErrorInside | Act::Fail(Io::Connect | Io::Tls | Io::Credentials))
    }

    fn by(chance: &mut Chance) -> Act {
        let part = chance.below(1_000);
        match chance.below(14) {
            0..5 => Act::Answer,
            5 => Act::Cut(part),
            6 => Act::Break(part),
            7 => Act::Stall(part),
            8 => Act::Silent,
            9 => Act::Fail(*chance.pick(&[
                Io::Connect,
                Io::ConnectTimeout,
                Io::Tls,
                Io::Broken,
                Io::Credentials,
            ])),
            10 | 11 => Act::Refuse(
                *chance.pick(&[400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529]),
            ),
            12 => Act::ErrorInside,
            _ => Act::Garbage,
        }
    }
}

/// Words come one at a time.
fn word_by_word(event: Event) -> Vec<Event> {
    let Event::Delta { choice, block, delta: Delta::Text(text) } = &event else { return vec![event] };
    let delta =
        |word: &str| Event::Delta { choice: *choice, block: *block, delta: Delta::Text(word.to_owned()) };
    text.split_inclusive(' ').map(delta).collect()
}

/// Each request has earned one hedge.
fn always(after: Span) -> Hedge {
    Hedge { after, share: HEDGE_COSTS }
}

fn message(from: DialectId, words: &str) -> Message {
    let text = Block::new(Kind::Text(words.to_owned()));
    let native = match from {
        DialectId::Anthropic | DialectId::Bedrock => "end_turn",
        DialectId::Gemini => "STOP",
        _ => "stop",
    };
    let stop = Stop::new(StopReason::End, native);
    let choice =
        Choice { index: 0, blocks: vec![text], stop: Some(stop), logprobs: None, extra: Extra::NONE };
    Message {
        from,
        id: "id-1".to_owned(),
        model: "served".to_owned(),
        created: Some(1),
        choices: vec![choice],
        usage: Some(Usage { input: 10, output: 12, ..Usage::default() }),
        extra: Extra::NONE,
    }
}

/// How a request is called in the plan of every scene.
pub(super) const OPERATION: Operation = Operation::Generate;
