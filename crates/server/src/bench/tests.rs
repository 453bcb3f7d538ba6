use super::{
    BenchArgs, CLIENT_KEY, floor,
    report::{FIGURES, Report, median},
    rounds::{Kind, PATH, Row, Subject},
};
use serde_json::{Value, json};
use std::{net::TcpListener, thread, time::Duration};
use testkit::{
    load::{self, Arrival, Load},
    provider::Provider,
};

fn args() -> BenchArgs {
    BenchArgs {
        target: None,
        provider: ([127, 0, 0, 1], 0).into(),
        model: "m".to_owned(),
        key: CLIENT_KEY.to_owned(),
        pid: None,
        seconds: 5,
        connections: 4,
        json: false,
    }
}

fn row(kind: Kind, round: usize, subject: usize, figure: f64) -> Row {
    Row {
        round,
        kind,
        subject,
        per_second: figure,
        answers: 10,
        events: 100,
        failed: 0,
        reason: None,
        latency: [figure, figure * 2.0],
        first_event: None,
        cpu: Some(figure * 10.0),
        generator_cpu: 0.0,
        waiting: 0,
        other_cores: 0.0,
    }
}

#[test]
fn a_median_needs_values() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
}

#[test]
fn figures_are_compared_within_a_round_before_the_median_is_taken() {
    let args = args();
    let addr = args.provider;
    let subjects = ["direct", "floor", "sekisho"].map(|name| Subject::new(name, addr, PATH, None, &args));
    // The machine was ten times slower in the second round, for everyone.
    let rounds = [(0, 1.0), (1, 10.0), (2, 1.0)];
    let rows = rounds.into_iter().flat_map(|(round, slow)| {
        [(0, 70.0), (1, 100.0), (2, 120.0)].into_iter().flat_map(move |(subject, figure)| {
            [Kind::Single, Kind::Full].map(|kind| row(kind, round, subject, figure * slow))
        })
    });
    let report = Report::new(&args, &subjects, rows.collect());
    let figure =
        |name: &str, place| report.figure(FIGURES.iter().find(|figure| figure.name == name).unwrap(), place);
    assert_eq!(figure("single_added_p50_us", 2), Some(50.0));
    assert_eq!(figure("single_added_p50_us", 0), None);
    assert_eq!(figure("full_cpu_us", 1), Some(100.0));
    assert_eq!(figure("full_cpu_to_floor", 2), Some(1.2));
    assert_eq!(figure("streams_cpu_us", 2), None);
    let told: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(told["subjects"]["sekisho"]["full_cpu_to_floor"], json!(1.2));
    assert_eq!(told["measurements"].as_array().unwrap().len(), 18);
    assert!(report.table().contains("CPU a request, floor = 1"));
}

#[test]
fn a_subject_that_fails_is_named() {
    let args = args();
    let subjects = [Subject::new("direct", args.provider, PATH, None, &args)];
    let failed = Row { failed: 5, reason: Some("status 503".to_owned()), ..row(Kind::Full, 0, 0, 1.0) };
    let table = Report::new(&args, &subjects, vec![failed]).table();
    assert!(table.contains("5 of 15 requests to `direct` failed"), "{table}");
}

#[test]
fn the_floor_passes_on_with_its_own_credential() {
    let provider = Provider::start("words=4").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (addr, upstream) = (listener.local_addr().unwrap(), provider.addr());
    // It has no end of its own; it ends with the test program.
    thread::spawn(move || floor::work(listener, upstream));
    let body = br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let load = Load {
        addr,
        request: load::request("kit", PATH, &[("authorization", "Bearer mine")], body),
        arrival: Arrival::Closed { connections: 2 },
        warm: Duration::ZERO,
        run: Duration::from_millis(200),
        read_rate: None,
        watch: Vec::new(),
    };
    let outcome = load::run_blocking(&load).unwrap();
    assert!(outcome.ok > 0 && outcome.failures.is_empty(), "{outcome:?}");
    // Role, four words, finish, `[DONE]`.
    assert_eq!(outcome.events, outcome.ok * 7);
    let seen = provider.log().remove(0);
    assert_eq!(seen.header("authorization"), "Bearer sk-bench-upstream");
    assert_eq!(seen.body.unwrap(), body.as_slice());
}
