//! The loads, and what must hold under each.

use super::{
    Bound::{self, AtLeast, AtMost},
    Figure, promises,
    stage::{DELAY, QUEUE, SLOTS, Stage, Tenant, capacity},
    storm, streams,
};
use std::{
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use testkit::load::Outcome;

/// A load, and what came of it.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// What is done, and how much of it.
    pub(super) scale: &'static str,
    pub(super) run: fn(&Path, Duration) -> io::Result<Vec<Figure>>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "overload",
        scale: "200 to 2,000 requests a second, where 200 can be served",
        run: overload,
    },
    Step {
        name: "recovery",
        scale: "2,000 requests a second, then 100, where 200 can be served",
        run: recovery,
    },
    Step {
        name: "batch",
        scale: "2,000 requests a second of the lowest priority, and 40 others",
        run: batch,
    },
    Step {
        name: "flood",
        scale: "2,000 requests a second by one, and 10 by each of nine others",
        run: flood,
    },
    Step { name: "storm", scale: "200 requests a second to a provider that refuses all", run: storm::storm },
    Step {
        name: "promises",
        scale: "250 callers with two requests a minute each; takes a minute and a half",
        run: promises::promises,
    },
    Step { name: "readers", scale: "100 streams, of which 34 are not read", run: streams::readers },
];

/// How long answers of the flood take, in milliseconds: if all took the same, all would end, and slots be free, at
/// the same moments only.
const FLOOD: [u64; 5] = [190, 220, 250, 280, 310];
/// How long answers may take to be as fast as before.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long memory may take to be given back.
const RELEASE: Duration = Duration::from_secs(60);

/// From as much as can be served to ten times that: it goes on being served, and the rest is refused at once.
fn overload(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let stage = Stage::limited(binary)?;
    let alone = p99(&stage.load(&[one(0.25)], run)?);
    let wait = QUEUE as f64 / SLOTS as f64 * DELAY.as_secs_f64();
    let mut figures = Vec::new();
    for times in [1.0, 2.0, 5.0, 10.0] {
        let outcome = stage.load(&[one(times)], run)?;
        let goodput = outcome.iter().map(rate).sum::<f64>() / capacity();
        figures.push(figure(format!("{times}x: served, of the capacity"), goodput, AtLeast(0.9)));
        let bound = AtMost(1.5 + wait / alone);
        figures.push(figure(format!("{times}x: p99 of the served, alone = 1"), p99(&outcome) / alone, bound));
        if times == 10.0 {
            figures.extend(refusals(&outcome));
        }
    }
    Ok(figures)
}

/// Whoever is refused hears it at once, in a whole answer.
fn refusals(outcome: &[Outcome]) -> Vec<Figure> {
    let sum = |is_it: fn(u16) -> bool| {
        let statuses = outcome.iter().flat_map(|outcome| &outcome.statuses);
        statuses.filter(|(status, _)| is_it(**status)).map(|(_, count)| *count).sum::<u64>() as f64
    };
    let broken: u64 = outcome.iter().flat_map(|outcome| outcome.failures.values()).sum();
    let p99 = outcome.iter().map(|outcome| outcome.refused.value_at_quantile(0.99)).max().unwrap_or_default();
    vec![
        figure("10x: refused, of those asked", sum(|status| status == 429) / sum(|_| true), AtLeast(0.5)),
        figure("10x: neither served nor refused", sum(|status| !matches!(status, 200 | 429)), AtMost(0.0)),
        figure("10x: broken connections", broken as f64, AtMost(0.0)),
        figure("10x: p99 of a refusal, ms", p99 as f64 / 1e6, AtMost(50.0)),
    ]
}

/// Behind ten times too much, half is served as if nothing had been.
fn recovery(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let stage = Stage::limited(binary)?;
    let alone = p99(&stage.load(&[one(0.5)], run)?);
    let before = stage.resident();
    stage.load(&[one(10.0)], run)?;
    let after = stage.load_after(RECOVERY, &[one(0.5)], run)?;
    let began = Instant::now();
    while stage.resident() > 1.2 * before && began.elapsed() < RELEASE {
        thread::sleep(Duration::from_millis(500));
    }
    let served = after.iter().map(rate).sum::<f64>() / (0.5 * capacity());
    Ok(vec![
        figure("p99 5 s later, before = 1", p99(&after) / alone, AtMost(1.1)),
        figure("served, of those asked", served, AtLeast(0.98)),
        figure("memory a minute later, before = 1", stage.resident() / before, AtMost(1.2)),
    ])
}

/// A batch asks for ten times too much; who is urgent does not notice.
fn batch(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let stage = Stage::limited(binary)?;
    let urgent = [Tenant { number: 1, ..one(0.2) }];
    let alone = p99(&stage.load(&urgent, run)?);
    let mut outcome = stage.load(&[&urgent[..], &too_much("batch")].concat(), run)?;
    let batch = outcome.split_off(1);
    Ok(vec![
        figure("urgent: p99, alone = 1", p99(&outcome) / alone, AtMost(1.3)),
        figure("urgent: not served", unserved(&outcome), AtMost(0.0)),
        // What the urgent leave, less a little.
        figure(
            "batch: served, of the capacity",
            batch.iter().map(rate).sum::<f64>() / capacity(),
            AtLeast(0.7),
        ),
    ])
}

/// One of ten equals asks for ten times too much; the others do not notice.
fn flood(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let stage = Stage::limited(binary)?;
    let nine: Vec<Tenant> = (1..10).map(|number| Tenant { number, ..one(0.05) }).collect();
    let alone = p99(&stage.load(&nine, run)?);
    let mut others = stage.load(&[&nine[..], &too_much("normal")].concat(), run)?;
    let first = others.split_off(nine.len());
    Ok(vec![
        figure("the nine: p99, alone = 1", p99(&others) / alone, AtMost(1.5)),
        figure("the nine: not served", unserved(&others), AtMost(0.0)),
        figure(
            "the one: served, of the capacity",
            first.iter().map(rate).sum::<f64>() / capacity(),
            AtLeast(0.45),
        ),
    ])
}

/// Ten times the capacity, by one caller.
fn too_much(priority: &'static str) -> [Tenant; FLOOD.len()] {
    let part = one(10.0 / FLOOD.len() as f64);
    FLOOD.map(|delay| Tenant { priority, delay: Duration::from_millis(delay), ..part })
}

/// So many times the capacity, by one caller.
fn one(times: f64) -> Tenant {
    Tenant { number: 0, per_second: times * capacity(), priority: "normal", delay: DELAY }
}

pub(super) fn figure(what: impl Into<String>, value: f64, bound: Bound) -> Figure {
    Figure { what: what.into(), value, bound }
}

/// The slowest of a hundred of those that were served, in seconds.
fn p99(outcome: &[Outcome]) -> f64 {
    let mut all = outcome.iter().map(|outcome| outcome.latency.clone());
    let Some(mut sum) = all.next() else { return f64::NAN };
    all.for_each(|other| sum += &other);
    sum.value_at_quantile(0.99) as f64 / 1e9
}

/// Requests served in a second.
fn rate(outcome: &Outcome) -> f64 {
    outcome.ok as f64 / outcome.wall.as_secs_f64()
}

fn unserved(outcome: &[Outcome]) -> f64 {
    let refused = |outcome: &Outcome| outcome.statuses.values().sum::<u64>() - outcome.ok;
    let broken = |outcome: &Outcome| outcome.failures.values().sum::<u64>();
    outcome.iter().map(|outcome| refused(outcome) + broken(outcome)).sum::<u64>() as f64
}
