//! The whole test run: every check there is, with the set-up that a fresh machine needs.

mod count;
mod steps;
#[cfg(test)]
mod tests;

use crate::{
    job::{cargo, run, tail},
    misused,
    tools::Tools,
};
use count::Count;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};
use steps::STEPS;

/// Lines of a failing step's output that are shown.
const TAIL: usize = 60;

/// What every step may use.
struct Bench<'a> {
    root: &'a Path,
    target: PathBuf,
    tools: Tools,
    log: PathBuf,
}

/// What a step has found.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    count: Count,
    /// Why something failed or was skipped, or what took the time.
    words: String,
}

#[derive(Debug, Default)]
struct Options<'a> {
    only: Option<&'a str>,
    json: bool,
    allow_skips: bool,
}

/// `cargo xtask test`.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    if words == ["--list"] {
        STEPS.iter().for_each(|step| println!("{:8} {}", step.name, step.what));
        return ExitCode::SUCCESS;
    }
    let options = match options(words) {
        Ok(options) => options,
        Err(what) => return misused(&what),
    };
    let mut total = Count::default();
    let mut rows = Vec::new();
    for step in STEPS.iter().filter(|step| options.only.is_none_or(|name| name == step.name)) {
        let begun = Instant::now();
        let outcome = (step.run)(&bench(root, step.name));
        let seconds = begun.elapsed().as_secs_f64();
        total.add(outcome.count);
        report(step.name, &outcome, seconds);
        rows.push(row(step.name, &outcome, seconds));
    }
    if options.json {
        println!("{}", serde_json::json!({ "steps": rows, "total": total.json() }));
        eprintln!("{total}");
    } else {
        println!("{total}");
    }
    let good = total.failed == 0 && total.passed > 0 && (total.skipped == 0 || options.allow_skips);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options<'a>(words: &[&'a str]) -> Result<Options<'a>, String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--json" => options.json = true,
            "--allow-skips" => options.allow_skips = true,
            "--only" => options.only = Some(*words.next().ok_or("`--only` wants the name of a step")?),
            other => return Err(format!("`test` has no option `{other}`")),
        }
    }
    match options.only {
        Some(name) if !STEPS.iter().any(|step| step.name == name) => {
            Err(format!("no step is called `{name}`; `cargo xtask test --list` names them"))
        }
        _ => Ok(options),
    }
}

fn bench<'a>(root: &'a Path, step: &str) -> Bench<'a> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let log = target.join("xtask").join(format!("{step}.log"));
    let _ = std::fs::remove_file(&log);
    Bench { root, target, tools: Tools::find(root, &log), log }
}

fn report(name: &str, outcome: &Outcome, seconds: f64) {
    eprintln!("{name:8} {seconds:7.1} s   {}", outcome.count);
    let words = tail(&outcome.words, TAIL);
    words.lines().for_each(|line| eprintln!("    {line}"));
}

fn row(name: &str, outcome: &Outcome, seconds: f64) -> serde_json::Value {
    serde_json::json!({ "name": name, "seconds": seconds, "count": outcome.count.json(),
        "words": tail(&outcome.words, TAIL) })
}

impl Bench<'_> {
    /// Cargo at the top of the checkout: one thing that passes or fails.
    fn cargo(&self, words: &[&str], minutes: u64) -> Outcome {
        Outcome::of(self.run(&mut cargo(words), minutes).map(drop))
    }

    /// A program at the top of the checkout.
    fn run(&self, command: &mut Command, minutes: u64) -> Result<String, String> {
        run(command.current_dir(self.root), Duration::from_secs(60 * minutes), &self.log)
    }
}

impl Outcome {
    /// One thing that passed, or failed with these words.
    fn of(result: Result<(), String>) -> Outcome {
        match result {
            Ok(()) => Outcome { count: Count { passed: 1, ..Count::default() }, words: String::new() },
            Err(words) => Outcome { count: Count { failed: 1, ..Count::default() }, words },
        }
    }

    /// One thing that this machine cannot do, with the reason.
    fn skipped(words: String) -> Outcome {
        Outcome { count: Count { skipped: 1, ..Count::default() }, words }
    }

    /// What a program counted itself. One that failed without a count of failures has failed once more.
    fn counted(result: Result<String, String>, count: fn(&str) -> Count) -> Outcome {
        let failed = result.is_err();
        let output = result.unwrap_or_else(|output| output);
        let mut count = count(&output);
        if failed && count.failed == 0 {
            count.failed = 1;
        }
        let quiet = count.failed == 0 && count.skipped == 0;
        Outcome { count, words: if quiet { String::new() } else { output } }
    }
}
