//! `cargo xtask corpus DIR`: replays recorded exchanges through every reader and writer and checks the laws
//! of `dialect::laws`.
//!
//! `DIR` holds `*.jsonl.gz` (or `*.jsonl`), one HTTP exchange a line:
//!
//! ```text
//! {"id": "…", "provider": "openai", "endpoint": "chat", "tags": ["stream", "error_in_200", …],
//!  "request":  {"body": {…} | "text" | null},
//!  "response": {"status": 200, "headers": {"content-type": "…"}, "body_encoding": "utf8", "body": "…"}}
//! ```
//!
//! The recordings stay outside of the repository. Faults are printed by the id of their exchange.

mod check;
#[cfg(test)]
mod tests;

use crate::misused;
use check::{Kind, Outcome};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::{self, File},
    io::{BufRead, BufReader, IsTerminal, Read},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Longest text of a fault that is printed, in characters.
const FOUND_MAX: usize = 400;
/// Exchanges between two progress lines.
const PROGRESS_EVERY: usize = 100;

/// A recorded exchange.
#[derive(Debug, Deserialize)]
struct Exchange {
    id: String,
    #[serde(default)]
    source: String,
    provider: String,
    endpoint: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    request: Option<Sent>,
    response: Received,
}

#[derive(Debug, Default, Deserialize)]
struct Sent {
    #[serde(default)]
    body: Value,
}

#[derive(Debug, Deserialize)]
struct Received {
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body_encoding: String,
    #[serde(default)]
    body: String,
}

/// What was found in all exchanges.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// By provider and endpoint.
    rows: BTreeMap<(String, String), Row>,
    faults: Vec<Fault>,
}

/// The exchanges of one endpoint.
#[derive(Debug, Default)]
struct Row {
    exchanges: usize,
    requests: usize,
    answers: usize,
    streams: usize,
    errors: usize,
    not_yet: usize,
    broken: usize,
}

#[derive(Debug)]
struct Fault {
    id: String,
    law: String,
    found: String,
}

/// `cargo xtask corpus DIR [--json]`.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    let (json, folder) = match words {
        [folder] | [folder, "--json"] | ["--json", folder] => (words.contains(&"--json"), folder),
        _ => return misused("`corpus` wants the folder of the recordings"),
    };
    match run(Path::new(folder)) {
        Ok(replay) => replay.report(json),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

/// Replays all exchanges in `folder`.
pub(crate) fn run(folder: &Path) -> Result<Replay, String> {
    let files = files(folder)?;
    if files.is_empty() {
        return Err(format!("no `*.jsonl.gz` in {}", folder.display()));
    }
    let mut exchanges = Vec::new();
    for file in files {
        let wrong = |error: &dyn Display| format!("{}: {error}", file.display());
        for line in lines(&file)? {
            let line = line.map_err(|error| wrong(&error))?;
            exchanges.push(serde_json::from_str(&line).map_err(|error| wrong(&error))?);
        }
    }
    Ok(replay(&exchanges))
}

/// Replays them on all cores: it is minutes of work. What is found is told by the ids.
fn replay(exchanges: &[Exchange]) -> Replay {
    let next = AtomicUsize::new(0);
    let replay = Mutex::new(Replay::default());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(exchange) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = check::exchange(exchange);
                    replay.lock().unwrap_or_else(PoisonError::into_inner).take(exchange, outcome);
                }
            });
        }
    });
    let mut replay = replay.into_inner().unwrap_or_else(PoisonError::into_inner);
    replay.faults.sort_by(|one, other| one.id.cmp(&other.id));
    replay.progress("\n");
    replay
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".jsonl.gz") || name.ends_with(".jsonl")
    });
    files.sort();
    Ok(files)
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(reader).lines())
}

impl Replay {
    fn take(&mut self, exchange: &Exchange, Outcome { kinds, broken }: Outcome) {
        let row = self.rows.entry((exchange.provider.clone(), exchange.endpoint.clone())).or_default();
        row.exchanges += 1;
        for kind in kinds {
            *row.count(kind) += 1;
        }
        row.broken += usize::from(!broken.is_empty());
        for (law, found) in broken {
            let found = found.chars().take(FOUND_MAX).collect();
            self.faults.push(Fault { id: exchange.id.clone(), law, found });
        }
        if self.total().exchanges.is_multiple_of(PROGRESS_EVERY) {
            self.progress("");
        }
    }

    /// One line that is written over and over, for somebody who looks.
    fn progress(&self, end: &str) {
        if std::io::stderr().is_terminal() {
            let total = self.total();
            eprint!("\r{} exchanges, {} broken{end}", total.exchanges, total.broken);
        }
    }

    fn total(&self) -> Row {
        let mut total = Row::default();
        for row in self.rows.values() {
            let sums = total.numbers_mut().into_iter().zip(row.numbers());
            sums.for_each(|(sum, number)| *sum += number);
        }
        total
    }

    fn report(&self, json: bool) -> ExitCode {
        for Fault { id, law, found } in &self.faults {
            eprintln!("{id}: {law}: {found}");
        }
        if json {
            println!("{}", self.json());
        } else {
            self.table();
        }
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn table(&self) {
        println!(
            "{:24} {:22} {}",
            "provider",
            "endpoint",
            Row::NAMES.map(|name| format!("{name:>10}")).concat()
        );
        for ((provider, endpoint), row) in &self.rows {
            println!("{provider:24} {endpoint:22} {row}");
        }
        println!("{:24} {:22} {}", "all", "", self.total());
    }

    fn json(&self) -> Value {
        let row = |row: &Row| -> Map<String, Value> {
            Row::NAMES.iter().map(|name| (*name).to_owned()).zip(row.numbers().map(Value::from)).collect()
        };
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|((provider, endpoint), numbers)| {
                let mut line = row(numbers);
                line.insert("provider".to_owned(), provider.as_str().into());
                line.insert("endpoint".to_owned(), endpoint.as_str().into());
                Value::Object(line)
            })
            .collect();
        let faults: Vec<Value> = self
            .faults
            .iter()
            .map(|Fault { id, law, found }| json!({ "id": id, "law": law, "found": found }))
            .collect();
        json!({ "rows": rows, "total": row(&self.total()), "faults": faults })
    }
}

impl Row {
    const NAMES: [&'static str; 7] =
        ["exchanges", "requests", "answers", "streams", "errors", "not yet", "broken"];

    fn numbers(&self) -> [usize; 7] {
        [self.exchanges, self.requests, self.answers, self.streams, self.errors, self.not_yet, self.broken]
    }

    fn numbers_mut(&mut self) -> [&mut usize; 7] {
        [
            &mut self.exchanges,
            &mut self.requests,
            &mut self.answers,
            &mut self.streams,
            &mut self.errors,
            &mut self.not_yet,
            &mut self.broken,
        ]
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Request => &mut self.requests,
            Kind::Answer => &mut self.answers,
            Kind::Stream => &mut self.streams,
            Kind::Error => &mut self.errors,
            Kind::NotYet => &mut self.not_yet,
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.numbers().iter().try_for_each(|number| write!(f, "{number:>10}"))
    }
}
