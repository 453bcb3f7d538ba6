//! Streams whose callers read nothing, among streams that are read.

use super::{
    Bound::{AtLeast, AtMost},
    Figure, asks,
    stage::Stage,
    steps::figure,
};
use serde_json::json;
use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Streams that are read, and those that are not.
const READ: usize = 66;
const UNREAD: usize = 34;
/// Between two events.
const GAP: Duration = Duration::from_millis(20);
/// Least sizes of an event's text, in bytes.
const SIZES: [usize; 3] = [1, 240, 4 << 10];
/// Small, so that the kernel reads little for those who do not.
const BUFFER: usize = 4 << 10;

/// Each stream has its own connection to the provider; events of those that are read come as if they were alone.
pub(super) fn readers(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let events = (run.as_millis() / GAP.as_millis()).max(50);
    let mut figures = Vec::new();
    for size in SIZES {
        let script = format!("words={events} gap-ms={} flush word-bytes={size}", GAP.as_millis());
        let stage = Stage::start(binary, &script, "{}")?;
        let alone = gaps(&stage, 0)?;
        let beside = gaps(&stage, UNREAD)?;
        let usual = p99(&alone.concat());
        let on_time = |stream: &Vec<Duration>| {
            let good = stream.iter().filter(|gap| **gap <= 2 * usual).count();
            good as f64 / stream.len().max(1) as f64
        };
        let least = beside.iter().map(on_time).fold(1.0, f64::min);
        let ratio = p99(&beside.concat()).as_secs_f64() / usual.as_secs_f64();
        let whole = beside.iter().filter(|stream| stream.len() as u128 * 2 > events).count();
        figures.push(figure(format!("{size} B: p99 between events, alone = 1"), ratio, AtMost(2.0)));
        figures.push(figure(format!("{size} B: on time, in the worst stream"), least, AtLeast(0.95)));
        figures.push(figure(
            format!("{size} B: streams that came whole"),
            whole as f64,
            AtLeast(READ as f64),
        ));
    }
    Ok(figures)
}

/// The times between the pieces of each stream that is read, beside so many that are not.
fn gaps(stage: &Stage, unread: usize) -> io::Result<Vec<Vec<Duration>>> {
    let over = AtomicBool::new(false);
    let held: Vec<TcpStream> = (0..unread).map(|_| ask(stage.addr)).collect::<io::Result<_>>()?;
    let all = thread::scope(|scope| {
        let read = |_| scope.spawn(|| read(ask(stage.addr)?, &over));
        let all: Vec<_> = (0..READ).map(read).collect();
        let ended =
            all.into_iter().map(|one| one.join().map_err(|_| io::Error::other("a reader panicked"))?);
        ended.collect()
    });
    over.store(true, Ordering::Relaxed);
    drop(held);
    all
}

fn ask(addr: SocketAddr) -> io::Result<TcpStream> {
    let body = json!({"model": "kit/m", "stream": true, "messages": [{"role": "user", "content": "why"}]});
    asks::send(addr, 0, &body, Some(BUFFER))
}

fn read(mut stream: TcpStream, over: &AtomicBool) -> io::Result<Vec<Duration>> {
    let (mut gaps, mut last, mut piece) = (Vec::new(), None, vec![0; 16 << 10]);
    while !over.load(Ordering::Relaxed) {
        if stream.read(&mut piece)? == 0 {
            break;
        }
        let now = Instant::now();
        gaps.extend(last.map(|last| now - last));
        last = Some(now);
    }
    Ok(gaps)
}

fn p99(gaps: &[Duration]) -> Duration {
    let mut gaps = gaps.to_vec();
    gaps.sort_unstable();
    gaps.get(gaps.len() * 99 / 100).copied().unwrap_or_default()
}
