//! The log: one line a request on stderr, in JSON or for people.
//!
//! Cores only append to a buffer; a thread of its own writes. A log that nobody reads (a full pipe, a full
//! disk) costs lines, counted, and never a request.

use crate::{
    door::{io::duration, worker::lock},
    limits::{LOG_BUFFER_MAX, LOG_DELAY},
};
use engine::record::{Outcome, Record};
use serde_json::{Map, Value, json};
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Log {
    format: Format,
    shared: Arc<Shared>,
}

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Human,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    some: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    left_out: u64,
    closed: bool,
}

impl Log {
    /// Begins to write to stderr; `format` of the plan, or by what stderr is.
    pub(crate) fn start(format: engine::plan::LogFormat) -> (Self, LogEnd) {
        use engine::plan::LogFormat;
        let format = match format {
            LogFormat::Json => Format::Json,
            LogFormat::Human => Format::Human,
            LogFormat::Auto if io::stderr().is_terminal() => Format::Human,
            LogFormat::Auto => Format::Json,
        };
        let shared = Arc::<Shared>::default();
        let writer = shared.clone();
        let thread = thread::spawn(move || write(&writer));
        (Log { format, shared: shared.clone() }, LogEnd { shared, thread: Some(thread) })
    }

    /// A request has ended.
    pub(crate) fn record(&self, record: &Record) {
        match self.format {
            Format::Json => self.put(&json_line(record)),
            Format::Human => self.put(&human_line(record)),
        }
    }

    /// Something that is not a request.
    pub(crate) fn say(&self, level: &str, message: &str) {
        match self.format {
            Format::Json => {
                let line = json!({"ts": unix_seconds(), "level": level, "msg": message});
                self.put(&format!("{line}\n"));
            }
            Format::Human => self.put(&format!("{} {level:5} {}\n", clock_time(), harmless(message))),
        }
    }

    fn put(&self, line: &str) {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.bytes.len() + line.len() > LOG_BUFFER_MAX {
            waiting.left_out += 1;
            return;
        }
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line.as_bytes());
        if first {
            self.shared.some.notify_one();
        }
    }
}

/// Ends the log: what waits is written before it goes.
pub(crate) struct LogEnd {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for LogEnd {
    fn drop(&mut self) {
        lock(&self.shared.waiting).closed = true;
        self.shared.some.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The writing thread: waits for a line, gives others a moment to join it, writes them all at once.
fn write(shared: &Shared) {
    loop {
        let mut waiting = lock(&shared.waiting);
        while waiting.bytes.is_empty() && !waiting.closed {
            waiting = shared.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.closed {
            let company =
                shared.some.wait_timeout_while(waiting, duration(LOG_DELAY), |waiting| !waiting.closed);
            waiting = company.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bytes = std::mem::take(&mut waiting.bytes);
        let left_out = std::mem::take(&mut waiting.left_out);
        let closed = waiting.closed;
        drop(waiting);
        if left_out > 0 {
            let line = json!({"ts": unix_seconds(), "level": "warn", "msg": "log lines were left out", "lines": left_out});
            bytes.extend_from_slice(format!("{line}\n").as_bytes());
        }
        // There is nowhere to report that the log cannot be written.
        let _ = io::stderr().lock().write_all(&bytes);
        if closed {
            return;
        }
    }
}

fn json_line(record: &Record) -> String {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("ts", unix_seconds().into());
    put("level", level(record).into());
    put("msg", "request".into());
    put("id", record.id.as_str().into());
    put("status", record.status.into());
    put("outcome", outcome(record.outcome).into());
    put("dialect", record.dialect.name().into());
    put("model", record.model.as_str().into());
    if let Some(last) = record.trials.last() {
        put("target", format!("{}/{}", last.provider, last.model).into());
    }
    put("attempts", record.trials.len().into());
    if record.trials.iter().any(|trial| trial.fault.is_some()) {
        put("trials", record.trials.iter().map(trial).collect());
    }
    put("ms", millis(record.took.0).into());
    if let Some(ttft) = record.ttft {
        put("ttft_ms", millis(ttft.0).into());
    }
    if let Some(usage) = &record.usage {
        put("tokens_in", usage.all_input().into());
        put("tokens_cached", usage.cache_read.into());
        put("tokens_out", usage.all_output().into());
    }
    if !record.losses.is_empty() {
        let losses = record.losses.iter().map(|loss| json!({"at": loss.pointer, "why": loss.why}));
        put("losses", losses.collect());
    }
    format!("{}\n", Value::Object(line))
}

fn trial(trial: &engine::record::Trial) -> Value {
    let fault = trial.fault.map(|kind| kind.meaning().openai_code);
    json!({"target": format!("{}/{}", trial.provider, trial.model), "status": trial.status, "fault": fault})
}

fn human_line(record: &Record) -> String {
    let status = record.status.map_or("---".to_owned(), |status| status.to_string());
    let target = record.trials.last().map(|trial| format!(" -> {}/{}", trial.provider, trial.model));
    let attempts = match record.trials.len() {
        0 | 1 => String::new(),
        more => format!(" ({more} attempts)"),
    };
    let tokens =
        record.usage.as_ref().map(|usage| format!(" {}+{} tokens", usage.all_input(), usage.all_output()));
    let trouble = match record.outcome {
        Outcome::Whole => String::new(),
        other => format!(" {}", outcome(other)),
    };
    let losses = if record.losses.is_empty() { "" } else { " with losses" };
    format!(
        "{} {status} {}{}{attempts} {} ms{}{trouble}{losses} {}\n",
        clock_time(),
        harmless(&record.model),
        harmless(&target.unwrap_or_default()),
        millis(record.took.0),
        tokens.unwrap_or_default(),
        record.id,
    )
}

fn level(record: &Record) -> &'static str {
    match record.outcome {
        Outcome::Whole | Outcome::ClientGone => "info",
        Outcome::Fault(kind) if kind.meaning().blame == dialect::fault::Blame::Caller => "info",
        Outcome::Fault(_) => "warn",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Whole => "ok",
        Outcome::ClientGone => "client_closed",
        Outcome::Fault(kind) => match kind.meaning().openai_code {
            "" => kind.meaning().openai_type,
            code => code,
        },
    }
}

/// Text that a terminal takes for text: control characters are shown, not obeyed.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Milliseconds with one decimal.
fn millis(micros: u64) -> f64 {
    u32::try_from(micros / 100).map_or(f64::MAX, f64::from) / 10.0
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(0)).as_secs_f64()
}

/// The time of day, in UTC.
fn clock_time() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
