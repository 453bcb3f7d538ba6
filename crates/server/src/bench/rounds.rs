//! What is measured, in which order.

use super::{BenchArgs, child::Child};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::json;
use std::{
    io,
    net::SocketAddr,
    process::ExitStatus,
    time::{Duration, Instant},
};
use testkit::load::{self, Arrival, Load, Outcome};
use testkit::proc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How often each kind is measured on each subject.
pub(super) const ROUNDS: usize = 3;
/// Requests a second where the rate is fixed.
pub(super) const RATE: f64 = 500.0;
/// Events of one streamed answer: the role, the words, the finish reason, `[DONE]`.
pub(super) const STREAM_EVENTS: usize = 67;
/// Part of each measurement that is not counted.
const WARM: f64 = 0.2;

/// Longest answer read while finding out whether a subject works, in bytes.
const ANSWER_MAX: u64 = 1 << 20;
pub(super) const PATH: &str = "/v1/chat/completions";

/// One way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One connection, whole answers: the cleanest added latency.
    Single,
    /// Whole answers at a fixed rate.
    Rate,
    /// Many connections, whole answers: what a request costs.
    Full,
    /// One stream at a time: how soon the first event comes.
    FirstEvent,
    /// Several streams at once: what an event costs.
    Streams,
}

pub(super) const KINDS: &[Kind] = &[Kind::Single, Kind::Rate, Kind::Full, Kind::FirstEvent, Kind::Streams];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Rate => "rate",
            Self::Full => "full",
            Self::FirstEvent => "first_event",
            Self::Streams => "streams",
        }
    }

    fn arrival(self, args: &BenchArgs) -> Arrival {
        let connections = usize::from(args.connections);
        match self {
            Self::Single | Self::FirstEvent => Arrival::Closed { connections: 1 },
            Self::Rate => Arrival::Open { per_second: RATE, connections },
            Self::Full => Arrival::Closed { connections },
            Self::Streams => Arrival::Closed { connections: streams(args) },
        }
    }
}

/// How many streams run at once.
pub(super) fn streams(args: &BenchArgs) -> usize {
    usize::from(args.connections / 4)
}

/// One that answers.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) addr: SocketAddr,
    pub(super) pid: Option<u32>,
    /// When it was started, if its first answer is of interest.
    started: Option<Instant>,
    /// From then to its first answer.
    pub(super) start: Option<Duration>,
    /// Memory after its first answer, in bytes.
    pub(super) idle: Option<u64>,
    whole: Bytes,
    stream: Bytes,
    probe: Bytes,
}

/// One measurement.
pub(super) struct Row {
    pub(super) round: usize,
    pub(super) kind: Kind,
    /// Place among the subjects.
    pub(super) subject: usize,
    /// Whole answers a second.
    pub(super) per_second: f64,
    pub(super) answers: u64,
    pub(super) events: u64,
    /// Answers with another status, and requests without one.
    pub(super) failed: u64,
    /// The commonest reason for a failure.
    pub(super) reason: Option<String>,
    /// In microseconds.
    pub(super) latency: [f64; 2],
    /// In microseconds; of whole answers none.
    pub(super) first_event: Option<[f64; 2]>,
    /// Processor time of the subject, in microseconds.
    pub(super) cpu: Option<f64>,
    /// Processor time of the generator, in microseconds.
    pub(super) generator_cpu: f64,
    /// Requests at a fixed rate that nobody had taken at the end.
    pub(super) waiting: usize,
    /// Cores that programs other than these took meanwhile.
    pub(super) other_cores: f64,
}

impl Subject {
    pub(super) fn child(name: &'static str, child: &Child, args: &BenchArgs) -> Self {
        Self::new(name, child.addr, PATH, Some(child.pid()), args)
    }

    pub(super) fn new(
        name: &'static str,
        addr: SocketAddr,
        path: &str,
        pid: Option<u32>,
        args: &BenchArgs,
    ) -> Self {
        let bearer = format!("Bearer {}", args.key);
        let host = addr.to_string();
        let request = |body: &[u8], more: &[(&str, &str)]| {
            let mut headers = vec![
                ("authorization", bearer.as_str()),
                ("accept", "application/json"),
                ("user-agent", "sekisho-bench"),
            ];
            headers.extend(more);
            load::request(&host, path, &headers, body)
        };
        let (whole, stream) = (body(&args.model, None), body(&args.model, Some(STREAM_EVENTS - 3)));
        let probe = request(&whole, &[("connection", "close")]);
        let (whole, stream) = (request(&whole, &[]), request(&stream, &[]));
        Self { name, addr, pid, started: None, start: None, idle: None, whole, stream, probe }
    }

    /// The same, with a clock that runs since then.
    pub(super) fn started_at(self, started: Instant) -> Self {
        Self { started: Some(started), ..self }
    }

    /// Asks until there is an answer, and makes sure that it is the provider's.
    /// Waits no longer when `ended` says that there is nobody left to answer.
    pub(super) async fn first_answer(
        &mut self,
        patience: Duration,
        mut ended: impl FnMut() -> Option<ExitStatus>,
    ) -> io::Result<()> {
        let since = self.started.unwrap_or_else(Instant::now);
        let mut last = io::Error::other("no answer");
        while since.elapsed() < patience {
            match self.ask_once(patience).await {
                Ok(answer) if answer.starts_with("HTTP/1.1 200") && answer.contains("関所") => {
                    self.start = self.started.map(|started| started.elapsed());
                    self.idle = self.pid.and_then(proc::resident);
                    return Ok(());
                }
                Ok(answer) => last = io::Error::other(format!("answered {}", summary(&answer))),
                Err(error) => last = error,
            }
            if let Some(status) = ended() {
                last = io::Error::other(format!("the gateway ended ({status}); `sekisho serve` may say why"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(io::Error::other(format!(
            "`{}` at {} does not pass requests on to the provider: {last}",
            self.name, self.addr
        )))
    }

    async fn ask_once(&self, patience: Duration) -> io::Result<String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.addr).await?;
            stream.write_all(&self.probe).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        tokio::time::timeout(patience, exchange).await?
    }
}

/// First line and body of an answer, for a message.
fn summary(answer: &str) -> String {
    let status: String = answer.lines().next().unwrap_or("nothing").chars().take(80).collect();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    format!("`{status}` {}", body.chars().take(300).collect::<String>())
}

/// A request of ordinary size. The provider's script stands in its text, where every gateway lets it be.
fn body(model: &str, stream_words: Option<usize>) -> Vec<u8> {
    let script = match stream_words {
        Some(words) => format!("words={words} flush"),
        None => "words=96".to_owned(),
    };
    let text = format!(
        "Who kept the gates on the old road, and what did they ask of those who came? [[kit {script}]]"
    );
    let mut body = json!({
        "model": model,
        "messages": [{"role": "system", "content": "You answer in short sentences."}, {"role": "user", "content": text}],
        "temperature": 0.2,
        "max_tokens": 512,
    });
    if let (Some(_), Some(body)) = (stream_words, body.as_object_mut()) {
        body.insert("stream".to_owned(), true.into());
    }
    body.to_string().into_bytes()
}

/// Measures each kind on each subject, one kind after the other so that what is compared lies close
/// together, each round starting with another subject.
pub(super) async fn run(subjects: &[Subject], provider: u32, args: &BenchArgs) -> io::Result<Vec<Row>> {
    let turns = ROUNDS * KINDS.len() * subjects.len();
    let turn = args.seconds as f64 / turns as f64;
    let mut rows = Vec::with_capacity(turns);
    for round in 0..ROUNDS {
        for kind in KINDS {
            for place in 0..subjects.len() {
                let place = (place + round) % subjects.len();
                let Some(subject) = subjects.get(place) else { continue };
                let load = load_of(*kind, subject, provider, turn, args);
                let outcome = load::run(&load).await?;
                rows.push(row(round, *kind, place, subject, &outcome));
            }
        }
    }
    Ok(rows)
}

fn load_of(kind: Kind, subject: &Subject, provider: u32, turn: f64, args: &BenchArgs) -> Load {
    let streamed = matches!(kind, Kind::FirstEvent | Kind::Streams);
    let mut watch = vec![std::process::id(), provider];
    watch.extend(subject.pid.filter(|pid| *pid != provider));
    Load {
        addr: subject.addr,
        request: if streamed { subject.stream.clone() } else { subject.whole.clone() },
        arrival: kind.arrival(args),
        warm: Duration::from_secs_f64(turn * WARM),
        run: Duration::from_secs_f64(turn * (1.0 - WARM)),
        read_rate: None,
        watch,
    }
}

fn row(round: usize, kind: Kind, place: usize, subject: &Subject, outcome: &Outcome) -> Row {
    let watched: Duration = outcome.cpu.iter().sum();
    let other = outcome.machine_cpu.saturating_sub(watched);
    let wall = outcome.wall.as_secs_f64();
    let statuses = outcome.statuses.values().sum::<u64>();
    let unanswered = outcome.failures.values().sum::<u64>();
    let status =
        outcome.statuses.iter().filter(|(status, _)| !(200..300).contains(*status)).max_by_key(|(_, n)| **n);
    let failure = outcome.failures.iter().max_by_key(|(_, n)| **n).map(|(words, _)| words.clone());
    // The generator is the first that is watched, and the subject the last: the provider itself when it is asked directly.
    let cpu = subject.pid.and_then(|_| outcome.cpu.last());
    Row {
        round,
        kind,
        subject: place,
        per_second: outcome.ok as f64 / wall,
        answers: outcome.ok,
        events: outcome.events,
        failed: statuses - outcome.ok + unanswered,
        reason: failure.or_else(|| status.map(|(status, _)| format!("status {status}"))),
        latency: median_and_tail(&outcome.latency),
        first_event: (!outcome.first_event.is_empty()).then(|| median_and_tail(&outcome.first_event)),
        cpu: cpu.copied().map(microseconds),
        generator_cpu: outcome.cpu.first().copied().map_or(0.0, microseconds),
        waiting: outcome.waiting,
        other_cores: other.as_secs_f64() / wall,
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median_and_tail(nanoseconds: &Histogram<u64>) -> [f64; 2] {
    [0.5, 0.99].map(|quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3)
}
