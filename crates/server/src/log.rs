//! The log: one line a request on stderr, in JSON or for people.
//!
//! Cores only append to a buffer; a thread of its own writes. A log that nobody reads (a full pipe, a full
//! disk) costs lines, counted, and never a request.

use crate::{
    door::{io::duration, worker::lock},
    limits::{LOG_BUFFER_MAX, LOG_DELAY, LOG_DUE},
};
use dialect::FaultKind;
use engine::record::{Outcome, Record, Trial};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Log {
    own: Lines,
    shared: Arc<Shared>,
}

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Human,
}

/// One writer's lines. Each core has its own, so that cores do not wait for one another; what they wrote is
/// gathered by the thread that writes.
#[derive(Clone)]
pub(crate) struct Lines {
    format: Format,
    waiting: Arc<Mutex<Waiting>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    writers: Mutex<Vec<Arc<Mutex<Waiting>>>>,
    closed: Mutex<bool>,
    /// The thread that writes has something to do before its time.
    due: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    left_out: u64,
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
        let own = Lines::of(&shared, format);
        (Log { own, shared: shared.clone() }, LogEnd { shared, thread: Some(thread) })
    }

    /// Lines of another writer.
    pub(crate) fn lines(&self) -> Lines {
        Lines::of(&self.shared, self.own.format)
    }

    /// Something that is not a request.
    pub(crate) fn say(&self, level: &str, message: &str) {
        self.own.say(level, message);
    }
}

impl Lines {
    fn of(shared: &Arc<Shared>, format: Format) -> Lines {
        let waiting = Arc::<Mutex<Waiting>>::default();
        lock(&shared.writers).push(waiting.clone());
        Lines { format, waiting, shared: shared.clone() }
    }

    /// A request has ended.
    pub(crate) fn record(&self, record: &Record) {
        match self.format {
            Format::Json => self.put(&json_line(record)),
            Format::Human => self.put(&human_line(record)),
        }
    }

    fn say(&self, level: &str, message: &str) {
        match self.format {
            Format::Json => {
                let rest = json!({"level": level, "msg": message}).to_string();
                self.put(&format!("{{\"ts\":{},{}\n", unix_seconds(), rest.trim_start_matches('{')));
            }
            Format::Human => self.put(&format!("{} {level:5} {}\n", clock_time(), harmless(message))),
        }
    }

    fn put(&self, line: &str) {
        let mut waiting = lock(&self.waiting);
        let before = waiting.bytes.len();
        if before + line.len() > LOG_BUFFER_MAX {
            waiting.left_out += 1;
            return;
        }
        waiting.bytes.extend_from_slice(line.as_bytes());
        // Often enough that what is written is still in the core's cache.
        if before < LOG_DUE && before + line.len() >= LOG_DUE {
            self.shared.due.notify_one();
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
        *lock(&self.shared.closed) = true;
        self.shared.due.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The writing thread: every moment it takes what has come and writes it at once. A writer gets an empty buffer
/// for its full one, so that neither is ever allocated again.
fn write(shared: &Shared) {
    let mut spare = Vec::new();
    loop {
        let closed = lock(&shared.closed);
        let waited = if *closed { None } else { Some(shared.due.wait_timeout(closed, duration(LOG_DELAY))) };
        let closed = waited.is_none_or(|waited| *waited.unwrap_or_else(PoisonError::into_inner).0);
        let writers = lock(&shared.writers).clone();
        for writer in writers {
            let empty = Waiting { bytes: std::mem::take(&mut spare), left_out: 0 };
            let taken = std::mem::replace(&mut *lock(&writer), empty);
            spare = taken.bytes;
            if taken.left_out > 0 {
                let line =
                    json!({"level": "warn", "msg": "log lines were left out", "lines": taken.left_out});
                spare.extend_from_slice(format!("{line}\n").as_bytes());
            }
            // There is nowhere to report that the log cannot be written.
            let _ = io::stderr().lock().write_all(&spare);
            spare.clear();
        }
        if closed {
            return;
        }
    }
}

/// One record as JSON, written by hand: a tree for each request would cost more than the request's routing.
fn json_line(record: &Record) -> String {
    let mut line = Line(String::with_capacity(384));
    line.0.push_str("{\"ts\":");
    line.0.push_str(&unix_seconds());
    line.plain("level", level(record));
    line.plain("msg", "request");
    line.plain("id", &record.id);
    line.number("status", record.status.map(u64::from));
    line.plain("outcome", outcome(record.outcome));
    if record.mirrored {
        line.value("mirror", "true");
    }
    line.plain("dialect", record.dialect.name());
    line.text("model", &record.model);
    if let Some(heard) = record.heard() {
        line.text("target", &target(heard));
    }
    line.number("attempts", u64::try_from(record.trials.len()).ok());
    if record.trials.len() > 1 || record.trials.iter().any(|trial| trial.fault.is_some()) {
        line.value("trials", &record.trials.iter().map(trial).collect::<Value>().to_string());
    }
    if !record.passed_over.is_empty() {
        line.value("passed_over", &record.passed_over.iter().map(passed_over).collect::<Value>().to_string());
    }
    line.value("ms", &millis(record.took.0));
    if let Some(queued) = record.queued {
        line.value("queued_ms", &millis(queued.0));
    }
    if let Some(ttft) = record.ttft {
        line.value("ttft_ms", &millis(ttft.0));
    }
    if let Some(usage) = &record.usage {
        line.number("tokens_in", Some(usage.all_input()));
        line.number("tokens_cached", Some(usage.cache_read));
        line.number("tokens_out", Some(usage.all_output()));
    }
    if let Some(cost) = record.cost {
        line.value("cost_usd", &cost.to_string());
    }
    if record.is_estimated() {
        line.value("estimated", "true");
    }
    if record.unheard {
        line.value("drained", "true");
    }
    if let Some((up, down)) = record.carried {
        line.number("bytes_up", Some(up));
        line.number("bytes_down", Some(down));
    }
    if !record.losses.is_empty() {
        let losses = record.losses.iter().map(|loss| json!({"at": loss.pointer, "why": loss.why}));
        line.value("losses", &losses.collect::<Value>().to_string());
    }
    line.0.push_str("}\n");
    line.0
}

/// A JSON object that is being written, after its first member.
struct Line(String);

impl Line {
    fn value(&mut self, name: &str, json: &str) {
        for part in [",\"", name, "\":", json] {
            self.0.push_str(part);
        }
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        match number {
            Some(number) => self.value(name, itoa::Buffer::new().format(number)),
            None => self.value(name, "null"),
        }
    }

    /// A text that is known to need no escape.
    fn plain(&mut self, name: &str, text: &str) {
        for part in [",\"", name, "\":\"", text, "\""] {
            self.0.push_str(part);
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.plain(name, text);
        } else {
            self.value(name, &Value::from(text).to_string());
        }
    }
}

/// One attempt: what is known of it, and no more.
fn trial(trial: &Trial) -> Value {
    let mut told = json!({"target": target(trial), "status": trial.status, "ms": trial.took.0 / 1_000});
    let usage = trial.usage.as_ref();
    let more = [
        ("fault", trial.fault.map(|kind| kind_name(kind).into())),
        ("as", trial.manner.word().map(Into::into)),
        ("outrun", trial.outrun.then_some(true.into())),
        ("ttft_ms", trial.ttft.map(|ttft| (ttft.0 / 1_000).into())),
        ("tokens_in", usage.map(|usage| usage.all_input().into())),
        ("tokens_out", usage.map(|usage| usage.all_output().into())),
        ("estimated", trial.estimated.then_some(true.into())),
        ("cost_usd", trial.cost.and_then(|cost| serde_json::from_str(&cost.to_string()).ok())),
    ];
    if let Value::Object(told) = &mut told {
        told.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    told
}

fn target(trial: &Trial) -> String {
    [trial.provider.as_str(), trial.model.as_str()].join("/")
}

fn passed_over(target: &engine::record::PassedOver) -> Value {
    json!({"target": format!("{}/{}", target.provider, target.model), "why": target.why.to_string()})
}

fn human_line(record: &Record) -> String {
    let status = record.status.map_or("---".to_owned(), |status| status.to_string());
    let target = record.heard().map(|heard| format!(" -> {}", target(heard)));
    let attempts = match record.trials.len() {
        0 | 1 => String::new(),
        more => {
            format!(" ({more} attempts: {})", record.trials.iter().map(fate).collect::<Vec<_>>().join(", "))
        }
    };
    let about = if record.is_estimated() { "about " } else { "" };
    let tokens = record
        .usage
        .as_ref()
        .map(|usage| format!(" {about}{}+{} tokens", usage.all_input(), usage.all_output()));
    let trouble = match record.outcome {
        Outcome::Whole => String::new(),
        other => format!(" {}", outcome(other)),
    };
    let losses = if record.losses.is_empty() { "" } else { " with losses" };
    format!(
        "{} {status} {}{}{} {} ms{}{trouble}{losses} {}\n",
        clock_time(),
        harmless(&record.model),
        harmless(&target.unwrap_or_default()),
        harmless(&attempts),
        millis(record.took.0),
        tokens.unwrap_or_default(),
        record.id,
    )
}

/// What became of one attempt, in a few words.
fn fate(trial: &Trial) -> String {
    let fate = trial.fault.map_or(if trial.outrun { "outrun" } else { "ok" }, kind_name);
    format!("{} {fate}", target(trial))
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
        Outcome::Fault(kind) => kind_name(kind),
    }
}

fn kind_name(kind: FaultKind) -> &'static str {
    match kind.meaning().openai_code {
        "" => kind.meaning().openai_type,
        code => code,
    }
}

/// Text that a terminal takes for text: control characters are shown, not obeyed.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Milliseconds with one decimal.
fn millis(micros: u64) -> String {
    decimal(micros / 1_000, micros / 100 % 10, 1)
}

/// Seconds since 1970, with three decimals.
fn unix_seconds() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    decimal(since.as_secs(), since.subsec_millis().into(), 3)
}

/// A number with that many decimals. (Formatting a float costs more than a whole line.)
fn decimal(whole: u64, part: u64, decimals: usize) -> String {
    let (mut buffer, mut text) = (itoa::Buffer::new(), String::with_capacity(24));
    text.push_str(buffer.format(whole));
    text.push('.');
    let part = buffer.format(part);
    (part.len()..decimals).for_each(|_| text.push('0'));
    text.push_str(part);
    text
}

/// The time of day, in UTC.
fn clock_time() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
