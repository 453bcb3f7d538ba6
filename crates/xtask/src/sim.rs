//! `cargo xtask sim`: the engine's simulation, optimised, on all cores, over seeds that nobody has tried.
//!
//! The simulation is test code of the engine, so it is in nothing that is shipped. Here its test binary is built
//! with the profile `sim` and told by the environment what to play.

use crate::{job, misused};
use serde_json::Value;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    path::Path,
    process::{ExitCode, Stdio},
};

/// Requests, where neither they nor seconds are asked for.
const REQUESTS: u64 = 1_000_000;
const BUILD_AND_RUN: &[&str] =
    &["test", "--quiet", "--locked", "--profile", "sim", "--package", "engine", "--lib", "--"];
const PLAY: &[&str] = &["--exact", "sim::long::plays_until_it_is_enough", "--nocapture"];

/// What is wanted.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    requests: Option<u64>,
    seconds: Option<u64>,
    seed: Option<u64>,
    jobs: Option<u64>,
    json: bool,
}

/// `cargo xtask sim [--requests N] [--seconds N] [--seed S] [--jobs N] [--json]`.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    let Some(wanted) = Wanted::read(words) else {
        return misused("`sim` takes `--requests N`, `--seconds N`, `--seed S`, `--jobs N` and `--json`");
    };
    match run(root, &wanted) {
        Ok(played) => tell(&played, wanted.json),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

impl Wanted {
    fn read(words: &[&str]) -> Option<Wanted> {
        let (mut wanted, mut words) = (Wanted::default(), words.iter());
        while let Some(word) = words.next() {
            let option = match *word {
                "--json" => {
                    wanted.json = true;
                    continue;
                }
                "--requests" => &mut wanted.requests,
                "--seconds" => &mut wanted.seconds,
                "--seed" => &mut wanted.seed,
                "--jobs" => &mut wanted.jobs,
                _ => return None,
            };
            *option = Some(words.next()?.parse().ok()?);
        }
        Some(wanted)
    }

    /// As the simulation reads it from its environment. A seed alone is played alone.
    fn environment(&self) -> Vec<(&'static str, u64)> {
        let bounded = self.requests.is_some() || self.seconds.is_some();
        let alone = self.seed.is_some() && !bounded;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let jobs = self.jobs.unwrap_or(cores).max(1);
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let requests = self.requests.or((!bounded).then_some(REQUESTS));
        let all = [
            ("SEKISHO_SIM_SEED", Some(seed)),
            ("SEKISHO_SIM_SEEDS", alone.then_some(1)),
            ("SEKISHO_SIM_REQUESTS", requests),
            ("SEKISHO_SIM_SECONDS", self.seconds),
            ("SEKISHO_SIM_JOBS", Some(jobs)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Builds, plays, and gives back what the simulation says at the end. Its progress goes to our stderr.
fn run(root: &Path, wanted: &Wanted) -> Result<Value, String> {
    let mut command = job::cargo(BUILD_AND_RUN);
    command.args(PLAY).current_dir(root).stderr(Stdio::inherit()).stdin(Stdio::null());
    for (name, value) in wanted.environment() {
        command.env(name, value.to_string());
    }
    let output = command.output().map_err(|e| format!("cannot start cargo: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().filter_map(|line| serde_json::from_str(line).ok()).find(Value::is_object);
    last.ok_or_else(|| format!("{said}\nthe simulation did not come to its end: {}", output.status))
}

fn tell(played: &Value, json: bool) -> ExitCode {
    let count = |name: &str| played.get(name).and_then(Value::as_u64).unwrap_or_default();
    let broken = played.pointer("/broken/words").and_then(Value::as_str);
    if json {
        println!("{played}");
    } else {
        let (requests, worlds, seconds) = (count("requests"), count("worlds"), count("seconds"));
        println!("{requests} requests in {worlds} worlds and {seconds} s, {} a second", count("rate"));
        println!("{}", broken.unwrap_or("no rule was broken"));
    }
    ExitCode::from(u8::from(broken.is_some()))
}

#[cfg(test)]
mod tests;
