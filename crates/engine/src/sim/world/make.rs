//! What a seed makes: a gateway, the providers behind it and how they fare, and the callers before it.

use super::super::{
    chance::Chance,
    scene::{self, Target},
};
use crate::{
    access,
    exchange::Io,
    plan::{Access, Aim, Failover, Plan, PlanHandle, Streams, Terms, Timeouts},
    rates::{Of, Priorities, Queue, Rates, Rule},
    route::Route,
    tiers::{self, Mirror, Shape, Strategy, Tier, When},
    time::{Instant, Span},
};
use dialect::DialectId;
use std::{rc::Rc, sync::Arc};

/// All of a world but its requests.
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) requests: u64,
    pub(super) sources: Vec<Source>,
    /// What is configured, one after the other.
    pub(super) stages: Vec<Stage>,
    pub(super) traffic: Traffic,
}

/// Who asks, and how.
pub(super) struct Traffic {
    /// Between two requests, on average.
    pub(super) gap: Span,
    pub(super) callers: usize,
    pub(super) dialects: Vec<DialectId>,
    /// In a hundred: requests for a stream, callers who leave, requests that belong to a conversation.
    pub(super) streams: u64,
    pub(super) leaves: u64,
    pub(super) sessions: u64,
    /// The gateway is shut.
    pub(super) shut: Option<Instant>,
}

/// A configuration in force.
pub(super) struct Stage {
    pub(super) from: Instant,
    pub(super) plan: PlanHandle,
    /// The source behind each of the plan's providers.
    pub(super) sources: Vec<usize>,
    pub(super) names: Vec<Name>,
}

/// Where a name leads, said once more.
pub(super) struct Name {
    pub(super) name: String,
    pub(super) rungs: Vec<Rung>,
    pub(super) sticks: bool,
}

/// Targets among which is chosen.
pub(super) struct Rung {
    /// Source and model.
    pub(super) targets: Vec<(usize, &'static str)>,
    pub(super) strategy: Strategy,
    pub(super) when: When,
}

/// A provider, whatever its place in a plan.
pub(super) struct Source {
    pub(super) dialect: DialectId,
    pub(super) voice: usize,
    pub(super) keys: usize,
    /// What its answers cost besides the prompt.
    pub(super) output: u64,
    first: Span,
    pause: Span,
    pub(super) pieces: usize,
    /// How it fares, for so long each, over and over.
    weather: Vec<(Span, Weather)>,
    /// A key that is refused with this status for a while.
    bad_key: Option<(usize, u16, Instant, Instant)>,
}

/// How a provider fares.
#[derive(Clone, Debug)]
enum Weather {
    Well,
    /// Of a hundred requests so many do not go well.
    Shaky(u64),
    Always(Act),
    /// It answers, after very long.
    Slow,
}

/// What a provider does with one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Answer,
    /// The answer up to that many thousandths of it, then a clean end, a broken connection, or nothing.
    Cut(u64),
    Break(u64),
    Stall(u64),
    Silent,
    Fail(Io),
    /// With this status, and perhaps a number of seconds to stay away.
    Refuse(u16, Option<u64>),
    TooLong,
    Filtered,
    ErrorInside,
    Garbage,
}

pub(super) const MODELS: [&str; 2] = ["served", "other"];

impl Act {
    fn by(chance: &mut Chance) -> Act {
        let part = chance.below(1_000);
        match chance.below(16) {
            0 | 1 => Act::Cut(part),
            2 => Act::Break(part),
            3 => Act::Stall(part),
            4 => Act::Silent,
            5 | 6 => Act::Fail(*chance.pick(&[
                Io::Connect,
                Io::ConnectTimeout,
                Io::Tls,
                Io::Broken,
                Io::Credentials,
            ])),
            7 => Act::TooLong,
            8 => Act::Filtered,
            9 => Act::ErrorInside,
            10 => Act::Garbage,
            11 => Act::Refuse(429, *chance.pick(&[None, Some(1), Some(7), Some(100)])),
            12 => Act::Refuse(503, *chance.pick(&[None, Some(0), Some(3)])),
            13 => Act::Refuse(*chance.pick(&[400, 404, 413, 422]), None),
            14 => Act::Refuse(*chance.pick(&[401, 402, 403]), None),
            _ => Act::Refuse(*chance.pick(&[408, 409, 500, 502, 529]), None),
        }
    }
}

impl Source {
    fn by(chance: &mut Chance, dialect: DialectId, number: u64, well: bool) -> Source {
        let keys = usize::try_from(chance.below(4)).unwrap();
        let status = *chance.pick(&[401, 402, 403, 429]);
        let bad_key = (keys > 0 && chance.percent(30)).then(|| {
            let from = Instant(chance.below(60_000_000));
            let key = usize::try_from(chance.below(keys as u64)).unwrap();
            (key, status, from, from.after(Span::secs(chance.below(200))))
        });
        let weather = match chance.below(10) {
            _ if well => vec![Weather::Well],
            0..3 => vec![Weather::Well],
            3..5 => vec![Weather::Shaky(1 + chance.below(30))],
            5 => vec![Weather::Well, Weather::Always(Act::by(chance))],
            6 => vec![Weather::Always(Act::by(chance)), Weather::Shaky(70), Weather::Slow],
            7 => vec![Weather::Well, Weather::Slow, Weather::Shaky(20)],
            8 => vec![Weather::Well, Weather::Always(Act::Refuse(503, None))],
            _ => vec![Weather::Shaky(50), Weather::Always(Act::by(chance)), Weather::Well],
        };
        let length = *chance.pick(&[500, 2_000, 2_000, 10_000, 45_000]);
        let weather: Vec<(Span, Weather)> =
            weather.into_iter().map(|one| (Span::millis(length + chance.below(length)), one)).collect();
        Source {
            dialect,
            voice: usize::from(chance.percent(10)),
            keys,
            output: 12 + number,
            first: Span::millis(*chance.pick(&[5, 40, 200, 1_500])),
            pause: Span::millis(*chance.pick(&[0, 1, 20, 400])),
            pieces: usize::try_from(1 + chance.below(4)).unwrap(),
            weather,
            bad_key: if well { None } else { bad_key },
        }
    }

    /// What it does with an attempt, how long that takes to begin, and how long each step.
    pub(super) fn does(&self, key: usize, now: Instant, chance: &mut Chance) -> (Act, Span, Span) {
        let first = Span(self.first.0 / 2 + chance.below(self.first.0));
        let refused = self.bad_key.filter(|(bad, _, from, to)| *bad == key && (*from..*to).contains(&now));
        if let Some((_, status, ..)) = refused {
            return (Act::Refuse(status, None), first, self.pause);
        }
        match self.weather(now) {
            Weather::Shaky(share) if chance.percent(*share) => (Act::by(chance), first, self.pause),
            Weather::Always(act) => (act.clone(), first, self.pause),
            Weather::Slow => (Act::Answer, Span::millis(2_000 + chance.below(30_000)), self.pause),
            Weather::Well | Weather::Shaky(_) => (Act::Answer, first, self.pause),
        }
    }

    fn weather(&self, now: Instant) -> &Weather {
        let all: u64 = self.weather.iter().map(|(span, _)| span.0).sum();
        let mut at = now.0 % all.max(1);
        for (span, weather) in &self.weather {
            if at < span.0 {
                return weather;
            }
            at -= span.0;
        }
        &Weather::Well
    }

    fn provider(&self, number: usize) -> crate::plan::Provider {
        let (act, then) = (scene::Act::Answer, scene::Act::Answer);
        let (first, pause, piece) = (Span::ZERO, Span::ZERO, 1);
        let (dialect, keys, given) = (self.dialect, self.keys, None);
        Target { dialect, keys, act, then, given, first, piece, pause }.provider(number)
    }
}

impl Setup {
    pub(super) fn from_seed(seed: u64) -> Setup {
        let mut chance = Chance::new(seed);
        let all: Vec<DialectId> = DialectId::callers().collect();
        let one = *chance.pick(&all);
        let dialects = match chance.below(10) {
            0..6 => vec![DialectId::OpenaiChat],
            6..8 => vec![one],
            _ => vec![one, *chance.pick(&all), DialectId::OpenaiChat],
        };
        let well = chance.percent(15);
        let sources: Vec<Source> = (0..2 + chance.below(4))
            .map(|number| {
                let own = *chance.pick(&dialects);
                let dialect = if chance.percent(10) { *chance.pick(&all) } else { own };
                Source::by(&mut chance, dialect, number, well)
            })
            .collect();
        let traffic = Traffic {
            gap: Span::millis(*chance.pick(&[5, 50, 50, 300, 1_000])),
            callers: usize::try_from(1 + chance.below(4)).unwrap(),
            dialects,
            streams: *chance.pick(&[0, 50, 50, 100]),
            leaves: *chance.pick(&[0, 3, 10]),
            sessions: *chance.pick(&[0, 50]),
            shut: chance.percent(3).then(|| Instant(chance.below(120_000_000))),
        };
        let limits = if chance.percent(30) { limits(&mut chance, &sources) } else { Vec::new() };
        let everyone: Vec<usize> = (0..sources.len()).collect();
        let mut stages = vec![Stage::by(&mut chance, &sources, everyone.clone(), (&traffic, &limits))];
        if chance.percent(25) {
            let mut others = everyone;
            others.rotate_left(1);
            others.truncate(others.len() - usize::from(chance.percent(50)));
            let mut second = Stage::by(&mut chance, &sources, others, (&traffic, &limits));
            second.from = Instant(traffic.gap.0 * chance.below(400));
            stages.push(second);
        }
        Setup { seed, requests: 200 + chance.below(600), sources, stages, traffic }
    }
}

/// Whom a limit limits, and what.
struct Limit {
    whom: Whom,
    rpm: bool,
    tpm: bool,
    concurrent: bool,
}

#[derive(Clone, Debug)]
enum Whom {
    Everybody,
    Each,
    One,
    Name,
    Source(usize),
    Target(usize),
    Key(usize, usize),
}

fn limits(chance: &mut Chance, sources: &[Source]) -> Vec<Limit> {
    let mut whom = vec![Whom::Everybody, Whom::Each, Whom::One, Whom::Name];
    for (number, source) in sources.iter().enumerate() {
        whom.extend([Whom::Source(number), Whom::Target(number)]);
        whom.extend((0..source.keys).map(|key| Whom::Key(number, key)));
    }
    whom.retain(|_| chance.percent(30));
    let limit = |whom| Limit {
        whom,
        rpm: chance.percent(50),
        tpm: chance.percent(30),
        concurrent: chance.percent(40),
    };
    whom.into_iter().map(limit).collect()
}

impl Limit {
    fn rule(&self, chance: &mut Chance, sources: &[usize]) -> Option<Arc<Rule>> {
        let at = |source: &usize| sources.iter().position(|other| other == source);
        let of = match &self.whom {
            Whom::Everybody => Of::Callers,
            Whom::Each => Of::EachCaller,
            Whom::One => Of::Caller(0),
            Whom::Name => Of::Name("m0".to_owned()),
            Whom::Source(source) => Of::Provider(at(source)?),
            Whom::Target(source) => Of::Target(at(source)?, MODELS[0].to_owned()),
            Whom::Key(source, key) => Of::Key(at(source)?, *key),
        };
        let most = *chance.pick(&[6, 60, 600]);
        Some(Arc::new(Rule {
            id: format!("{:?}", self.whom).into(),
            of,
            rpm: self.rpm.then(|| 1 + chance.below(most)),
            tpm: self.tpm.then(|| 50 + chance.below(most * 100)),
            concurrent: self.concurrent.then(|| u32::try_from(1 + chance.below(most / 5)).unwrap()),
        }))
    }
}

impl Stage {
    fn by(
        chance: &mut Chance,
        all: &[Source],
        sources: Vec<usize>,
        (traffic, limits): (&Traffic, &[Limit]),
    ) -> Stage {
        let mut names: Vec<Name> =
            (0..2).map(|number| Name::by(chance, &sources, format!("m{number}"))).collect();
        names.extend(sources.iter().take(2).map(|source| Name::direct(*source)));
        let aliases = names.iter().filter(|name| !name.name.contains('/'));
        let aliases = aliases.map(|name| (name.name.clone(), name.route(chance, &sources))).collect();
        let secs = |chance: &mut Chance, least, most| Span::secs(least + chance.below(most - least));
        let mut plan = Plan {
            access: Access {
                keys: (0..traffic.callers).map(|caller| access::hash(&caller.to_string())).collect(),
            },
            providers: sources.iter().map(|source| all[*source].provider(*source)).collect(),
            aliases,
            attempts: u32::try_from(1 + chance.below(5)).unwrap(),
            failover: Failover {
                retries: u32::try_from(chance.below(3)).unwrap(),
                race: *chance.pick(&[Span::secs(10), Span::secs(3), Span::ZERO]),
                streams: *chance.pick(&[Streams::Off, Streams::Hold, Streams::Recover, Streams::Recover]),
                content_filter: chance.percent(20),
                ..Failover::default()
            },
            timeouts: Timeouts {
                connect: Span::secs(3),
                first_byte: secs(chance, 5, 60),
                first_token: secs(chance, 5, 60),
                idle: secs(chance, 3, 30),
                total: secs(chance, 30, 300),
            },
            rates: Rates {
                rules: limits.iter().filter_map(|limit| limit.rule(chance, &sources)).collect(),
                queue: chance.percent(60).then(|| Queue {
                    size: usize::try_from(1 + chance.below(12)).unwrap(),
                    wait: Span::millis(1_000 + chance.below(60_000)),
                }),
                requests: (!limits.is_empty() && chance.percent(15))
                    .then(|| usize::try_from(2 + chance.below(30)).unwrap()),
                // Who goes first among those who wait is the crowd's business.
                priorities: Priorities::default(),
                busy: None,
            },
            ..Plan::default()
        };
        plan.look_up_facts();
        Stage { from: Instant::default(), plan: Rc::new(Arc::new(plan)), sources, names }
    }
}

impl Name {
    fn direct(source: usize) -> Name {
        let rung =
            Rung { targets: vec![(source, MODELS[0])], strategy: Strategy::Ordered, when: When::Always };
        Name { name: format!("p{source}/{}", MODELS[0]), rungs: vec![rung], sticks: false }
    }

    fn by(chance: &mut Chance, sources: &[usize], name: String) -> Name {
        let mut targets: Vec<(usize, &'static str)> =
            sources.iter().map(|source| (*source, *chance.pick(&MODELS))).collect();
        targets.rotate_left(usize::try_from(chance.below(sources.len() as u64)).unwrap());
        let again = *chance.pick(&targets);
        let plain = chance.percent(25);
        let mut rungs = Vec::new();
        while !targets.is_empty() {
            let count = targets.len().min(1 + usize::try_from(chance.below(3)).unwrap());
            let when = *chance.pick(&[When::Always, When::Always, When::TooLong, When::Filtered]);
            rungs.push(Rung {
                targets: targets.drain(..count).collect(),
                strategy: *chance.pick(&STRATEGIES),
                when: if rungs.is_empty() { When::Always } else { when },
            });
        }
        if plain {
            let targets = rungs.into_iter().flat_map(|rung| rung.targets).collect();
            let rung = Rung { targets, strategy: Strategy::Ordered, when: When::Always };
            return Name { name, rungs: vec![rung], sticks: false };
        }
        // The same target may stand in two lists, if they are there for other faults.
        let when = rungs.last().map_or(When::Always, |rung| rung.when);
        let known = rungs.iter().any(|rung| rung.when == when && rung.targets.contains(&again));
        if let Some(last) = rungs.last_mut().filter(|_| when != When::Always && !known) {
            last.targets.push(again);
        }
        Name { name, rungs, sticks: chance.percent(50) }
    }

    fn route(&self, chance: &mut Chance, sources: &[usize]) -> Route {
        let place = |source: usize| sources.iter().position(|other| *other == source).unwrap();
        let (mut aims, mut tiers) = (Vec::new(), Vec::new());
        for rung in &self.rungs {
            let start = aims.len();
            for (source, model) in &rung.targets {
                let weight = u32::try_from(1 + chance.below(3)).unwrap();
                let terms = Terms { weight, params: Vec::new(), drops: Vec::new() };
                let terms = chance.percent(30).then(|| Arc::new(terms));
                aims.push(Aim { provider: place(*source), model: (*model).to_owned(), terms });
            }
            let (of, id) = (self.name.clone(), tiers::hash(&[self.name.as_bytes()]) ^ tiers.len() as u64);
            let (strategy, when) = (rung.strategy, rung.when);
            tiers.push(Tier { aims: start..aims.len(), strategy, when, of, id });
        }
        let to = format!("p{}/{}", sources[0], MODELS[1]);
        let mirror = chance.percent(15).then_some(Mirror { to, share: 1_000 });
        let shaped = self.rungs.len() > 1 || self.rungs[0].strategy != Strategy::Ordered;
        let shape = shaped.then(|| Arc::new(Shape { tiers, affinity: self.sticks, mirror }));
        Route { aims, shape }
    }
}

const STRATEGIES: [Strategy; 7] = [
    Strategy::Ordered,
    Strategy::Shuffle,
    Strategy::RoundRobin,
    Strategy::LeastBusy,
    Strategy::Fastest,
    Strategy::Cheapest,
    Strategy::Usage,
];
