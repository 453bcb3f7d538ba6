//! From single measurements to figures: compared within a round, medians over the rounds.

use super::{
    BenchArgs,
    rounds::{KINDS, Kind, RATE, ROUNDS, Row, STREAM_EVENTS, Subject, streams},
};
use serde_json::{Map, Value, json};
use std::{fmt::Write, time::Duration};
use testkit::proc;

/// Place of the control and of the bare proxy among the subjects.
const DIRECT: usize = 0;
const FLOOR: usize = 1;
/// From so many cores taken by other programs on, the slowest requests say more about them.
const BUSY: f64 = 0.3;
/// Above this share of failed requests a subject was not measured but broken.
const FAILED_MAX: f64 = 0.02;

/// All that was measured.
pub(super) struct Report<'a> {
    args: &'a BenchArgs,
    subjects: &'a [Subject],
    rows: Vec<Row>,
}

/// One figure of each subject.
pub(super) struct Figure {
    pub(super) name: &'static str,
    label: &'static str,
    kind: Kind,
    compare: Compare,
    of: fn(&Row) -> Option<f64>,
}

/// What a figure is told against, in the same round.
pub(super) enum Compare {
    Plain,
    /// Less the control's.
    Added,
    /// Divided by the bare proxy's.
    ToFloor,
}

use Compare::{Added, Plain, ToFloor};

#[rustfmt::skip]
pub(super) const FIGURES: &[Figure] = &[
    Figure { name: "single_added_p50_us", label: "added p50, µs", kind: Kind::Single, compare: Added, of: |row| Some(row.latency[0]) },
    Figure { name: "single_added_p99_us", label: "added p99, µs", kind: Kind::Single, compare: Added, of: |row| Some(row.latency[1]) },
    Figure { name: "rate_added_p50_us", label: "added p50, µs", kind: Kind::Rate, compare: Added, of: |row| Some(row.latency[0]) },
    Figure { name: "rate_added_p99_us", label: "added p99, µs", kind: Kind::Rate, compare: Added, of: |row| Some(row.latency[1]) },
    Figure { name: "full_per_second", label: "requests a second", kind: Kind::Full, compare: Plain, of: |row| Some(row.per_second) },
    Figure { name: "full_per_cpu_second", label: "requests a CPU-second", kind: Kind::Full, compare: Plain, of: |row| cpu_per_answer(row).map(|cpu| 1e6 / cpu) },
    Figure { name: "full_cpu_us", label: "CPU a request, µs", kind: Kind::Full, compare: Plain, of: cpu_per_answer },
    Figure { name: "full_cpu_to_floor", label: "CPU a request, floor = 1", kind: Kind::Full, compare: ToFloor, of: cpu_per_answer },
    Figure { name: "first_event_added_p50_us", label: "first event added p50, µs", kind: Kind::FirstEvent, compare: Added, of: |row| Some(row.first_event?[0]) },
    Figure { name: "first_event_added_p99_us", label: "first event added p99, µs", kind: Kind::FirstEvent, compare: Added, of: |row| Some(row.first_event?[1]) },
    Figure { name: "streams_events_per_second", label: "events a second", kind: Kind::Streams, compare: Plain, of: |row| Some(row.per_second * STREAM_EVENTS as f64) },
    Figure { name: "streams_cpu_us", label: "CPU an event, µs", kind: Kind::Streams, compare: Plain, of: cpu_per_event },
    Figure { name: "streams_cpu_to_floor", label: "CPU an event, floor = 1", kind: Kind::Streams, compare: ToFloor, of: cpu_per_event },
];

fn cpu_per_answer(row: &Row) -> Option<f64> {
    (row.answers > 0).then_some(row.cpu? / row.answers as f64)
}

fn cpu_per_event(row: &Row) -> Option<f64> {
    (row.events > 0).then_some(row.cpu? / row.events as f64)
}

impl<'a> Report<'a> {
    pub(super) fn new(args: &'a BenchArgs, subjects: &'a [Subject], rows: Vec<Row>) -> Self {
        Self { args, subjects, rows }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        self.line(&mut out, "", self.subjects.iter().map(|subject| subject.name.to_owned()));
        for kind in KINDS {
            let _ = writeln!(out, "{}", self.heading(*kind));
            for figure in FIGURES.iter().filter(|figure| figure.kind == *kind) {
                let digits = if matches!(figure.compare, ToFloor) { 2 } else { 1 };
                let figures = (0..self.subjects.len()).map(|place| shown(self.figure(figure, place), digits));
                self.line(&mut out, figure.label, figures);
            }
        }
        let _ = writeln!(out, "process");
        for (label, of) in PROCESS {
            self.line(&mut out, label, self.subjects.iter().map(|subject| shown(of(subject), 1)));
        }
        let _ = write!(out, "\n{}", self.notes().join("\n"));
        out
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let subjects = self.subjects.iter().enumerate().map(|(place, subject)| {
            let figures = FIGURES.iter().map(|figure| (figure.name, self.figure(figure, place)));
            let process = PROCESS_NAMES.iter().zip(PROCESS).map(|(name, (_, of))| (*name, of(subject)));
            let all = figures.chain(process).map(|(name, value)| (name.to_owned(), json!(value)));
            (subject.name.to_owned(), Value::Object(all.collect()))
        });
        json!({
            "seconds": self.args.seconds,
            "connections": self.args.connections,
            "rounds": ROUNDS,
            "rate_per_second": RATE,
            "stream_events": STREAM_EVENTS,
            "subjects": subjects.collect::<Map<_, _>>(),
            "measurements": self.rows.iter().map(|row| self.measurement(row)).collect::<Vec<_>>(),
            "notes": self.notes(),
        })
        .to_string()
    }

    /// The median over the rounds of one subject's figure, compared within each round.
    pub(super) fn figure(&self, figure: &Figure, place: usize) -> Option<f64> {
        let of = |place, round| {
            let found = self
                .rows
                .iter()
                .find(|row| (row.kind, row.subject, row.round) == (figure.kind, place, round));
            found.filter(|row| row.answers > 0).and_then(figure.of)
        };
        let rounds = (0..ROUNDS).filter_map(|round| match figure.compare {
            Plain => of(place, round),
            Added if place == DIRECT => None,
            Added => Some(of(place, round)? - of(DIRECT, round)?),
            ToFloor if place == DIRECT => None,
            ToFloor => Some(of(place, round)? / of(FLOOR, round)?),
        });
        median(rounds.collect())
    }

    fn heading(&self, kind: Kind) -> String {
        match kind {
            Kind::Single => "one connection".to_owned(),
            Kind::Rate => format!("{RATE} requests a second, counted from the planned time"),
            Kind::Full => format!("{} connections, each at once again", self.args.connections),
            Kind::FirstEvent => format!("one stream of {STREAM_EVENTS} events at a time"),
            Kind::Streams => {
                format!("{} streams of {STREAM_EVENTS} events, each at once again", streams(self.args))
            }
        }
    }

    fn line(&self, out: &mut String, label: &str, cells: impl Iterator<Item = String>) {
        let cells: String = cells.map(|cell| format!("{cell:>14}")).collect();
        let _ = writeln!(out, "  {label:<27}{cells}");
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "`direct` is the built-in provider without a gateway; `floor` a bare proxy of the same parts."
                .to_owned(),
            "`sekisho` routes by the model's name, `pass-through` by the provider in the path.".to_owned(),
            "All share this machine: compare within a run, as ratios; the figures are medians of rounds."
                .to_owned(),
        ];
        let others = median(self.rows.iter().map(|row| row.other_cores).collect()).unwrap_or_default();
        if others > BUSY {
            notes.push(format!("other programs took {others:.1} cores meanwhile: do not trust the p99"));
        }
        notes.extend(
            self.subjects.iter().enumerate().filter_map(|(place, subject)| self.broken(place, subject)),
        );
        notes
    }

    fn broken(&self, place: usize, subject: &Subject) -> Option<String> {
        let rows = || self.rows.iter().filter(|row| row.subject == place);
        let failed: u64 = rows().map(|row| row.failed).sum();
        let all = failed + rows().map(|row| row.answers).sum::<u64>();
        let reason = rows().find_map(|row| row.reason.clone()).unwrap_or_default();
        let too_many = failed as f64 > all as f64 * FAILED_MAX;
        too_many.then(|| {
            format!(
                "{failed} of {all} requests to `{}` failed, so this is no measurement: {reason}",
                subject.name
            )
        })
    }

    fn measurement(&self, row: &Row) -> Value {
        json!({
            "round": row.round,
            "kind": row.kind.name(),
            "subject": self.subjects.get(row.subject).map(|subject| subject.name),
            "answers": row.answers,
            "answers_per_second": row.per_second,
            "events": row.events,
            "failed": row.failed,
            "p50_us": row.latency[0],
            "p99_us": row.latency[1],
            "first_event_p50_us": row.first_event.map(|first| first[0]),
            "first_event_p99_us": row.first_event.map(|first| first[1]),
            "cpu_us": row.cpu,
            "generator_cpu_us": row.generator_cpu,
            "waiting": row.waiting,
            "other_cores": row.other_cores,
        })
    }
}

type OfProcess = fn(&Subject) -> Option<f64>;

const PROCESS_NAMES: [&str; 3] = ["start_ms", "idle_mb", "peak_mb"];
const PROCESS: [(&str, OfProcess); 3] = [
    ("first answer after, ms", |subject| subject.start.map(milliseconds)),
    ("memory after it, MB", |subject| subject.idle.map(megabytes)),
    ("most memory, MB", |subject| subject.pid.and_then(proc::resident_peak).map(megabytes)),
];

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn shown(value: Option<f64>, digits: usize) -> String {
    match value {
        // Large figures carry no meaning behind the point.
        Some(value) if value >= 1e4 => format!("{value:.0}"),
        Some(value) => format!("{value:.digits$}"),
        None => "–".to_owned(),
    }
}

pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    match values.len() % 2 {
        0 => values.get(middle - 1).map(|lower| (lower + upper) / 2.0),
        _ => Some(upper),
    }
}
