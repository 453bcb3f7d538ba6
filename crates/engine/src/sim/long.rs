//! Plays seeds until there were enough requests: for `cargo xtask sim`, which says how many.
//!
//! A seed is a world, a crowd and some scenes. What is played, and what came of it, goes to stderr in words; one
//! line of JSON on stdout at the end says it to the chore.

use super::{Broken, crowd, scenes, world::Tally, world::run, world::wire::Wire};
use crate::tiers::mix;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Scenes of a seed.
const SCENES: u64 = 16;
/// Seeds where the chore does not say how many.
const FEW: u64 = 3;
const PROGRESS: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);

/// Seeds are played by several threads, until there were enough requests or one breaks a rule.
struct Long {
    first: u64,
    next: AtomicU64,
    /// How many requests, seeds and seconds are enough.
    requests: u64,
    seeds: u64,
    span: Duration,
    stop: AtomicBool,
    played: Mutex<Played>,
    broken: Mutex<Option<Broken>>,
    begun: Instant,
}

/// What has been played.
#[derive(Clone, Copy, Debug, Default)]
struct Played {
    requests: u64,
    worlds: u64,
    /// Of worlds alone.
    tally: Tally,
}

impl Long {
    fn by_environment(seeds: u64) -> Long {
        Long {
            first: number("SEKISHO_SIM_SEED").unwrap_or_default(),
            next: AtomicU64::new(0),
            requests: number("SEKISHO_SIM_REQUESTS").unwrap_or(u64::MAX),
            seeds: number("SEKISHO_SIM_SEEDS").unwrap_or(seeds),
            span: Duration::from_secs(number("SEKISHO_SIM_SECONDS").unwrap_or(u64::from(u32::MAX))),
            stop: AtomicBool::new(false),
            played: Mutex::default(),
            broken: Mutex::default(),
            begun: Instant::now(),
        }
    }

    fn work(&self) {
        let mut wire = Wire::default();
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.seeds {
                return;
            }
            // Seeds that follow one another have much in common.
            let seed = if number == 0 { self.first } else { mix(self.first.wrapping_add(number)) };
            match play(seed, &mut wire) {
                Ok(played) => self.add(&played),
                Err(broken) => {
                    self.broken.lock().unwrap().get_or_insert(broken);
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn add(&self, played: &Played) {
        let mut all = self.played.lock().unwrap();
        all.requests += played.requests;
        all.worlds += played.worlds;
        all.tally.add(&played.tally);
        if all.requests >= self.requests || self.begun.elapsed() >= self.span {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Plays with so many threads, and says how it goes.
    fn play(&self, jobs: u64) {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| self.work())).collect();
            let mut told = Instant::now();
            while workers.iter().any(|worker| !worker.is_finished()) {
                std::thread::sleep(GLANCE);
                if told.elapsed() >= PROGRESS {
                    eprintln!("{}", self.words());
                    told = Instant::now();
                }
            }
        });
    }

    fn rate(&self, requests: u64) -> u128 {
        u128::from(requests) * 1_000 / self.begun.elapsed().as_millis().max(1)
    }

    fn words(&self) -> String {
        let Played { requests, worlds, .. } = *self.played.lock().unwrap();
        let (secs, rate) = (self.begun.elapsed().as_secs(), self.rate(requests));
        format!("{requests} requests in {worlds} worlds and {secs} s, {rate} a second")
    }

    fn json(&self) -> serde_json::Value {
        let Played { requests, worlds, tally } = *self.played.lock().unwrap();
        let counts = tally.each().into_iter().map(|(name, count)| (name.to_owned(), count.into()));
        let broken = self.broken.lock().unwrap();
        serde_json::json!({
            "requests": requests,
            "worlds": worlds,
            "seconds": self.begun.elapsed().as_secs(),
            "rate": u64::try_from(self.rate(requests)).unwrap_or(u64::MAX),
            "in_worlds": counts.collect::<serde_json::Map<_, _>>(),
            "broken": broken.as_ref().map(|broken| serde_json::json!({
                "seed": broken.seed, "kind": broken.kind, "rule": broken.rule, "words": broken.to_string(),
            })),
        })
    }
}

/// All that a seed makes.
fn play(seed: u64, wire: &mut Wire) -> Result<Played, Broken> {
    let tally = run::play_seed(seed, wire)?;
    let crowd = crowd::play_seed(seed).map_err(|broken| broken.of(seed))?;
    for number in 0..SCENES {
        scenes::play_seed(scene_of(seed, number)).map_err(|broken| broken.of(seed))?;
    }
    Ok(Played { requests: tally.requests + crowd.requests + SCENES, worlds: 1, tally })
}

fn scene_of(seed: u64, number: u64) -> u64 {
    if number == 0 { seed } else { mix(seed.wrapping_add(number)) }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn plays_until_it_is_enough() {
    // Nobody else's panics are to be told in the chore's way.
    let asked = number("SEKISHO_SIM_JOBS");
    if asked.is_some() {
        std::panic::set_hook(Box::new(|info| super::note_place(info.location())));
    }
    let long = Long::by_environment(asked.map_or(FEW, |_| u64::MAX));
    long.play(asked.unwrap_or(1));
    println!("\n{}", long.json());
    assert!(long.broken.lock().unwrap().is_none(), "a rule is broken");
}
