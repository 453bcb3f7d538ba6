//! What becomes of callers when more is asked than can be served, measured on the release binary.
//!
//! The capacity is set by configuration and not by the processor: so many slots, each taken for so long. Requests
//! come whether or not answers keep up, and their time counts from when they should have begun. Each step
//! measures a control in the same run; its bounds are ratios to that, or to the capacity.

mod asks;
mod promises;
mod stage;
mod steps;
mod storm;
mod streams;

use crate::{job, misused};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use steps::{STEPS, Step};

/// How long each load lasts, where nothing is said.
const SECONDS: u64 = 10;
/// The longest that it may last.
const SECONDS_MAX: u64 = 600;

/// One measured figure, and what it must be.
struct Figure {
    what: String,
    value: f64,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Options {
    steps: Vec<String>,
    run: Duration,
    /// Where nothing is said the release binary is built.
    binary: Option<PathBuf>,
    json: bool,
}

/// `cargo xtask load`.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    let options = match options(words) {
        Ok(options) => options,
        Err(what) => return misused(&what),
    };
    match run(root, &options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let run = Duration::from_secs(SECONDS);
    let mut options = Options { steps: Vec::new(), run, binary: None, json: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--json" => options.json = true,
            "--seconds" => {
                let seconds = words.next().and_then(|word| word.parse::<u64>().ok());
                let seconds = seconds.filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
                let wrong = || format!("`--seconds` takes a number from 1 to {SECONDS_MAX}");
                options.run = Duration::from_secs(seconds.ok_or_else(wrong)?);
            }
            "--binary" => {
                let path = words.next().ok_or("`--binary` takes the path of a `sekisho`")?;
                options.binary = Some(PathBuf::from(path));
            }
            name if STEPS.iter().any(|step| step.name == name) => options.steps.push(name.to_owned()),
            name => {
                let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
                return Err(format!("no step is called `{name}`; there are {}", names.join(", ")));
            }
        }
    }
    Ok(options)
}

/// Whether every figure is as it must be.
fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let binary = match &options.binary {
        Some(binary) => std::path::absolute(binary).map_err(|error| error.to_string())?,
        None => build(root)?,
    };
    let chosen = |name: &str| options.steps.is_empty() || options.steps.iter().any(|step| step == name);
    let mut rows = Vec::new();
    for step in STEPS.iter().filter(|step| chosen(step.name)) {
        let before = machine_load();
        eprintln!("{}: {}; load of the machine: {before}", step.name, step.scale);
        for figure in (step.run)(&binary, options.run).map_err(|error| format!("{}: {error}", step.name))? {
            if !options.json {
                figure.print(step.name);
            }
            rows.push(figure.row(step, &before));
        }
    }
    let well = rows.iter().all(|row| row["pass"] == true);
    if options.json {
        println!("{}", json!({"seconds": options.run.as_secs(), "figures": rows}));
    }
    Ok(well)
}

/// The release binary, built anew where it is old.
fn build(root: &Path) -> Result<PathBuf, String> {
    let words = ["build", "--locked", "--release", "--package", "sekisho", "--bins"];
    let built = job::cargo(&words).current_dir(root).status().map_err(|error| error.to_string())?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    built
        .success()
        .then(|| target.join("release/sekisho"))
        .ok_or_else(|| "`sekisho` was not built".to_owned())
}

/// How many programs wanted a processor in the last minute, ours among them; empty where nobody knows.
fn machine_load() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().next().unwrap_or_default().to_owned()
}

impl Figure {
    fn print(&self, step: &str) {
        let Figure { what, value, bound } = self;
        let verdict = if bound.holds(*value) { "pass" } else { "FAIL" };
        println!("{step:10} {what:52} {value:>9.3}  {:10} {verdict}", bound.words());
    }

    fn row(&self, step: &Step, machine_load: &str) -> Value {
        let Figure { what, value, bound } = self;
        json!({"step": step.name, "scale": step.scale, "figure": what, "value": value, "bound": bound.words(),
            "pass": bound.holds(*value), "machine_load": machine_load})
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }

    fn words(self) -> String {
        match self {
            Bound::AtLeast(bound) => format!(">= {bound:.2}"),
            Bound::AtMost(bound) => format!("<= {bound:.2}"),
        }
    }
}
