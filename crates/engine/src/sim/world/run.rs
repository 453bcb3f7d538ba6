//! Plays worlds: a few in every test run, as many as are wanted in a long one.
//!
//! `cargo xtask sim` is the long one. A seed that breaks a rule is played again with ever fewer of its requests,
//! as long as it still does.

use super::{Tally, World, make::Setup, wire::Wire};
use crate::sim::{Broken, caught, kept};

/// How many worlds the test plays, where nothing says otherwise.
const WORLDS: u64 = 60;
/// Most replays of a world that broke a rule.
const REPLAYS_MAX: u32 = 600;
/// Plays a world, or some of its requests.
fn play(setup: &Setup, wire: &mut Wire, numbers: &[u64]) -> Result<Tally, (String, u64)> {
    let mut world = World::new(setup, wire);
    let played = caught(|| world.play(numbers.iter().copied())).and_then(|played| played);
    let came = world.tally.requests;
    played.map(|()| world.tally).map_err(|rule| (rule, came))
}

/// Plays the world that a seed makes.
pub(in crate::sim) fn play_seed(seed: u64, wire: &mut Wire) -> Result<Tally, Broken> {
    let setup = Setup::from_seed(seed);
    let all: Vec<u64> = (0..setup.requests).collect();
    play(&setup, wire, &all).map_err(|(rule, came)| {
        let enough = shrink(&setup, wire, &rule, came);
        let more = format!("by its first {came} requests, of which these are enough: {enough:?}");
        Broken { kind: "world", seed, of: seed, rule, more }
    })
}

/// Leaves out requests as long as the same rule is broken.
fn shrink(setup: &Setup, wire: &mut Wire, rule: &str, came: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..came).collect();
    let (mut size, mut replays) = (numbers.len().div_ceil(2), 0);
    while size > 0 && replays < REPLAYS_MAX {
        let mut at = 0;
        while at < numbers.len() && replays < REPLAYS_MAX {
            let end = numbers.len().min(at + size);
            let fewer = [&numbers[..at], &numbers[end..]].concat();
            replays += 1;
            match play(setup, wire, &fewer) {
                Err((other, _)) if other == rule => numbers = fewer,
                _ => at += size,
            }
        }
        size /= 2;
    }
    numbers
}

impl Tally {
    pub(in crate::sim) fn each(&self) -> [(&'static str, u64); 17] {
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

    pub(in crate::sim) fn add(&mut self, other: &Tally) {
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

#[test]
fn no_world_breaks_a_rule() {
    let seeds: Option<u64> = std::env::var("SEKISHO_SIM").ok().and_then(|seeds| seeds.parse().ok());
    let count = seeds.map_or(WORLDS, |seeds| seeds / 100);
    let (mut wire, mut tally) = (Wire::default(), Tally::default());
    for seed in kept("world ").chain(0..count) {
        let played = play_seed(seed, &mut wire).unwrap_or_else(|broken| panic!("{broken}"));
        tally.add(&played);
    }
    println!("{tally:?}");
    // What never happens is not tried.
    assert!(tally.each().iter().all(|(_, count)| *count > 0), "something never happens: {tally:?}");
}
