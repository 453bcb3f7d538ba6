//! Plays worlds: a few in every test run, as many as are wanted in a long one.
//!
//! `cargo xtask sim` is the long one. A seed that breaks a rule is played again with ever fewer of its requests,
//! as long as it still does.

use super::{Rule, Tally, World, make::Setup, wire::Wire};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How many worlds the test plays, where nothing says otherwise.
const WORLDS: u64 = 12;
/// Most replays of a world that broke a rule.
const REPLAYS_MAX: u32 = 600;
/// Most broken rules that are told of.
const FAILURES_MAX: usize = 12;
const PROGRESS: Duration = Duration::from_secs(5);

/// A world that broke a rule.
struct Failure {
    seed: u64,
    rule: String,
    /// The fewest of its requests with which it still does.
    numbers: Vec<u64>,
    /// So many of its requests come before.
    prefix: u64,
}

/// Plays a world, or some of its requests.
fn play(setup: &Setup, wire: &mut Wire, numbers: &[u64]) -> Result<Tally, (String, u64)> {
    let mut world = World::new(setup, wire);
    let played: Result<Rule, _> =
        catch_unwind(AssertUnwindSafe(|| world.play(numbers.iter().copied())));
    let came = world.tally.requests;
    match played {
        Ok(Ok(())) => Ok(world.tally),
        Ok(Err(rule)) => Err((rule, came)),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            Err((format!("panics: {}", words.unwrap_or_default()), came))
        }
    }
}

fn play_seed(seed: u64, wire: &mut Wire) -> Result<Tally, Box<Failure>> {
    let setup = Setup::from_seed(seed);
    let all: Vec<u64> = (0..setup.requests).collect();
    play(&setup, wire, &all).map_err(|(rule, came)| Box::new(shrink(&setup, wire, rule, came)))
}

/// Leaves out requests as long as the same rule is broken.
fn shrink(setup: &Setup, wire: &mut Wire, rule: String, came: u64) -> Failure {
    let mut numbers: Vec<u64> = (0..came).collect();
    let (mut size, mut replays) = (numbers.len().div_ceil(2), 0);
    while size > 0 && replays < REPLAYS_MAX {
        let mut at = 0;
        while at < numbers.len() && replays < REPLAYS_MAX {
            let fewer: Vec<u64> =
                numbers.iter().enumerate().filter(|(n, _)| !(at..at + size).contains(n)).map(|(_, n)| *n).collect();
            replays += 1;
            match play(setup, wire, &fewer) {
                Err((other, _)) if other == rule => numbers = fewer,
                _ => at += size,
            }
        }
        size /= 2;
    }
    Failure { seed: setup.seed, rule, numbers, prefix: came }
}

impl Failure {
    fn tell(&self) -> String {
        format!(
            "world {} breaks a rule: {}\nby its first {} requests, of which these are enough: {:?}\n\
             again: cargo xtask sim --requests 1 --seed {}\nfor ever: a line `world {}` in cases/sim/seeds.txt",
            self.seed, self.rule, self.prefix, self.numbers, self.seed, self.seed
        )
    }
}

impl Tally {
    fn each(&self) -> [(&'static str, u64); 17] {
        [
            ("requests", self.requests),
            ("attempts", self.attempts),
            ("whole", self.whole),
            ("refused", self.refused),
            ("broken_off", self.broken_off),
            ("left", self.left),
            ("raced", self.raced),
            ("resumed", self.resumed),
            ("failed_over", self.failed_over),
            ("again", self.again),
            ("queued", self.queued),
            ("limited", self.limited),
            ("mirrored", self.mirrored),
            ("reloaded", self.reloaded),
            ("opened", self.opened),
            ("closed", self.closed),
            ("steps", self.steps),
        ]
    }

    fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.whole += other.whole;
        self.refused += other.refused;
        self.broken_off += other.broken_off;
        self.left += other.left;
        self.raced += other.raced;
        self.resumed += other.resumed;
        self.failed_over += other.failed_over;
        self.again += other.again;
        self.queued += other.queued;
        self.limited += other.limited;
        self.mirrored += other.mirrored;
        self.reloaded += other.reloaded;
        self.opened += other.opened;
        self.closed += other.closed;
        self.steps += other.steps;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_world_breaks_a_rule() {
    let kept = include_str!("../../../../../cases/sim/seeds.txt");
    let kept = kept.lines().filter_map(|line| line.split('#').next()?.trim().strip_prefix("world ")?.parse().ok());
    let count = number("SEKISHO_SIM").map_or(WORLDS, |seeds| seeds / 100);
    let (mut wire, mut tally) = (Wire::default(), Tally::default());
    for seed in kept.chain(0..count) {
        match play_seed(seed, &mut wire) {
            Ok(played) => tally.add(&played),
            Err(failure) => panic!("{}", failure.tell()),
        }
    }
    println!("{tally:?}");
    // What never happens is not tried.
    assert!(tally.each().iter().all(|(_, count)| *count > 0), "something never happens: {tally:?}");
}

/// Worlds are played by several threads, until there were enough requests or one breaks a rule.
struct Long {
    next: AtomicU64,
    wanted: u64,
    stop: AtomicBool,
    tally: Mutex<(Tally, u64)>,
    failures: Mutex<Vec<Box<Failure>>>,
    /// It goes on, to find what else is broken.
    keeps_on: bool,
    begun: Instant,
    json: bool,
}

impl Long {
    fn work(&self) {
        let mut wire = Wire::default();
        while !self.stop.load(Ordering::Relaxed) {
            match play_seed(self.next.fetch_add(1, Ordering::Relaxed), &mut wire) {
                Ok(tally) => {
                    let mut all = self.tally.lock().unwrap();
                    all.0.add(&tally);
                    all.1 += 1;
                    if all.0.requests >= self.wanted {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(failure) => self.fail(failure),
            }
        }
    }

    /// Each rule is told of once.
    fn fail(&self, failure: Box<Failure>) {
        let mut all = self.failures.lock().unwrap();
        if all.iter().all(|other| other.rule != failure.rule) {
            println!("{}", failure.tell());
            all.push(failure);
        }
        let enough = !self.keeps_on || all.len() >= FAILURES_MAX;
        self.stop.fetch_or(enough, Ordering::Relaxed);
    }

    fn tell(&self) {
        let (tally, worlds) = *self.tally.lock().unwrap();
        let secs = self.begun.elapsed().as_secs_f64();
        let rate = u128::from(tally.requests) * 1_000 / self.begun.elapsed().as_millis().max(1);
        if self.json {
            let counts = tally.each().map(|(name, count)| format!("\"{name}\":{count}"));
            println!("{{\"worlds\":{worlds},\"secs\":{secs:.1},\"rate\":{rate},{}}}", counts.join(","));
        } else {
            let counts = tally.each().map(|(name, count)| format!("{name} {count}"));
            println!("{worlds} worlds in {secs:.0} s, {rate} requests a second: {}", counts.join(", "));
        }
    }
}

#[test]
#[ignore = "for `cargo xtask sim`"]
fn long() {
    let seed = number("SEKISHO_SIM_SEED").unwrap_or_default();
    let long = Long {
        next: AtomicU64::new(seed),
        wanted: number("SEKISHO_SIM_REQUESTS").unwrap_or(1_000_000),
        stop: AtomicBool::new(false),
        tally: Mutex::default(),
        failures: Mutex::default(),
        keeps_on: number("SEKISHO_SIM_KEEP_ON") == Some(1),
        begun: Instant::now(),
        json: number("SEKISHO_SIM_JSON") == Some(1),
    };
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        let threads = number("SEKISHO_SIM_THREADS").unwrap_or(1);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| long.work())).collect();
        let mut told = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() >= PROGRESS {
                long.tell();
                told = Instant::now();
            }
        }
    });
    long.tell();
    if !long.failures.lock().unwrap().is_empty() {
        std::process::exit(1);
    }
}
