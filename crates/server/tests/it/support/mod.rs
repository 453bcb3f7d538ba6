//! What every test needs: the binary, clients, providers.

pub(crate) mod client;
pub(crate) mod cloud;
pub(crate) mod gateway;
pub(crate) mod h2;
pub(crate) mod pair;
pub(crate) mod upstream;
pub(crate) mod world;

use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// An OpenAI request.
pub(crate) fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// An Anthropic request.
pub(crate) fn message(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}]})
}

/// The same, streamed.
pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

/// A word that no other request has.
pub(crate) fn tag() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("tag-{:05}-x", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `holds`.
pub(crate) fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `work` on every item, several at once.
pub(crate) fn all_at_once<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        let run = || {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                work(item);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// The part of sorted durations below which `percent` of them lie.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}
