use super::{
    Arrival, Load,
    head::{Framing, head},
    request, run_blocking,
    sse::Events,
};
use crate::{
    proc,
    provider::{Provider, Settings},
};
use std::time::Duration;

fn load(provider: &Provider, body: &str, arrival: Arrival) -> Load {
    Load {
        addr: provider.addr(),
        request: request("kit", "/v1/chat/completions", &[("authorization", "Bearer k")], body.as_bytes()),
        arrival,
        warm: Duration::from_millis(50),
        run: Duration::from_millis(300),
        read_rate: None,
        watch: vec![std::process::id()],
    }
}

const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

#[test]
fn events_are_counted_however_the_bytes_are_cut() {
    let text = b"data: a\n\n: data: no\n\nevent: x\ndata: b\n\nxdata: no\ndatum\n\ndata:c\r\n\r\n";
    for piece in 1..text.len() {
        let mut events = Events::default();
        text.chunks(piece).for_each(|bytes| events.read(bytes));
        assert_eq!(events.count, 3, "pieces of {piece}");
    }
}

#[test]
fn heads_are_read_when_whole() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nrest";
    assert_eq!(head(&text[..40]).unwrap(), None);
    let read = head(text).unwrap().unwrap();
    assert_eq!((read.status, read.length, read.framing), (200, text.len() - 4, Framing::Chunked));
    assert!(read.events && !read.keep_alive);
    assert!(head(b"ICY 200 OK\r\n\r\n").is_err());
}

#[test]
fn a_closed_loop_keeps_its_connections_and_counts() {
    let provider = Provider::start("words=5").unwrap();
    let outcome = run_blocking(&load(&provider, WHOLE, Arrival::Closed { connections: 3 })).unwrap();
    assert!(outcome.ok > 3, "{outcome:?}");
    assert_eq!((outcome.statuses.get(&200), outcome.latency.len()), (Some(&outcome.ok), outcome.ok));
    assert!(outcome.failures.is_empty());
    assert!(outcome.cpu[0] > Duration::ZERO && outcome.machine_cpu > Duration::ZERO);
    let connections = provider.log().iter().map(|seen| seen.connection).max();
    assert_eq!(connections, Some(2));

    let outcome = run_blocking(&load(&provider, STREAM, Arrival::Closed { connections: 1 })).unwrap();
    // Role, five words, finish, [DONE].
    assert_eq!(outcome.events, outcome.ok * 8, "{outcome:?}");
    assert_eq!(outcome.first_event.len(), outcome.ok);
    assert!(outcome.first_event.value_at_quantile(0.5) <= outcome.latency.value_at_quantile(0.5));
}

#[test]
fn an_open_loop_does_not_forgive_a_stall() {
    // One connection and 20 ms an answer carry 50 requests a second; 200 are planned.
    let provider = Provider::start("head-ms=20").unwrap();
    let arrival = Arrival::Open { per_second: 200.0, connections: 1 };
    let outcome = run_blocking(&load(&provider, WHOLE, arrival)).unwrap();
    assert!(outcome.waiting > 10, "{outcome:?}");
    // The last answered had waited for those before it, not only for its own 20 ms.
    assert!(outcome.latency.max() > 40_000_000, "{outcome:?}");
}

#[test]
fn failures_and_statuses_are_told_apart() {
    let provider = Provider::start("status=503").unwrap();
    let outcome = run_blocking(&load(&provider, WHOLE, Arrival::Closed { connections: 1 })).unwrap();
    assert_eq!((outcome.ok, outcome.statuses.contains_key(&503)), (0, true));
    assert_eq!((outcome.latency.len(), Some(&outcome.refused.len())), (0, outcome.statuses.get(&503)));
    let provider = Provider::start("cut=10").unwrap();
    let outcome = run_blocking(&load(&provider, WHOLE, Arrival::Closed { connections: 1 })).unwrap();
    assert!(outcome.failures.contains_key("closed inside the body"), "{outcome:?}");
}

#[test]
fn a_slow_reader_reads_slowly() {
    let provider = Provider::start("words=100 word-bytes=100000").unwrap();
    let load = Load {
        read_rate: Some(40_000),
        run: Duration::from_millis(500),
        ..load(&provider, STREAM, Arrival::Closed { connections: 1 })
    };
    let outcome = run_blocking(&load).unwrap();
    // Nothing was finished, and the provider could not hand over the 10 MB.
    assert_eq!(outcome.ok, 0);
    assert!(
        provider.wait_for(|log| log.last().is_some_and(|seen| seen.end.is_some()), Duration::from_secs(10))
    );
    assert!(provider.log()[0].bytes < 9_000_000);
}

#[test]
fn remembered_answers_are_the_same_answer() {
    let settings = Settings { record: false, remember_answers: true, ..Settings::default() };
    let provider = Provider::start_with(settings).unwrap();
    let outcome = run_blocking(&load(&provider, WHOLE, Arrival::Closed { connections: 2 })).unwrap();
    assert!(outcome.ok > 0 && provider.log().is_empty());
    assert_eq!(outcome.bytes % outcome.ok, 0);
}

#[test]
fn a_process_has_time_and_memory() {
    let me = std::process::id();
    let before = proc::cpu(me).unwrap();
    let sum = (0..20_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(n));
    std::hint::black_box(sum);
    assert!(proc::cpu(me).unwrap() > before);
    // In this order: other tests of this process take memory meanwhile.
    let resident = proc::resident(me).unwrap();
    assert!(resident > 1 << 20 && proc::resident_peak(me).unwrap() >= resident);
    assert!(proc::descriptors(me).unwrap() > 2 && proc::machine_cpu().unwrap() > before);
    assert_eq!(proc::cpu(u32::MAX), None);
}
