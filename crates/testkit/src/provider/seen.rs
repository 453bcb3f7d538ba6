//! What the provider saw: one entry a request, kept while it is answered and after.

use crate::limits;
use bytes::Bytes;
use http::{HeaderMap, Method, Version, request::Parts};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One request as the provider saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection it came on, counted from 0 in the order they were accepted.
    pub connection: u64,
    /// HTTP version.
    pub version: Version,
    /// Method.
    pub method: Method,
    /// Path, and query if there is one, as sent.
    pub target: String,
    /// Header fields as sent.
    pub headers: HeaderMap,
    /// The body; `None` until it was read whole.
    pub body: Option<Bytes>,
    /// When its head was read.
    pub arrived: Instant,
    /// Events (of a whole answer: 1 when its first byte went) handed to HTTP so far.
    pub events: usize,
    /// Bytes of the answer's body handed to HTTP so far.
    pub bytes: usize,
    /// How and when it ended; `None` while it is being answered.
    pub end: Option<(End, Instant)>,
}

impl Seen {
    /// A header's value as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if it is not there or none.
    pub fn json(&self) -> serde_json::Value {
        self.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.end.map(|(end, _)| end)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Answered to the end.
    Whole,
    /// Ended early because the script says so.
    Cut,
    /// The client left before the end.
    Cancelled,
}

/// All requests seen, shared between the provider's thread and the test.
#[derive(Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// How many entries were forgotten.
    forgotten: usize,
    entries: Vec<Seen>,
}

impl Log {
    pub(crate) fn entries(&self) -> Vec<Seen> {
        self.lock().entries.clone()
    }

    /// Waits until `holds` for the entries, at most `patience`. False if it never did.
    pub(crate) fn wait_for(&self, mut holds: impl FnMut(&[Seen]) -> bool, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |inner| !holds(&inner.entries));
        waited.map(|(_, timeout)| !timeout.timed_out()).unwrap_or(false)
    }

    pub(crate) fn open(self: &Arc<Self>, head: &Parts, connection: u64) -> Entry {
        let mut inner = self.lock();
        if inner.entries.len() >= limits::LOG_MAX {
            inner.entries.drain(..limits::LOG_MAX / 2);
            inner.forgotten += limits::LOG_MAX / 2;
        }
        inner.entries.push(Seen {
            connection,
            version: head.version,
            method: head.method.clone(),
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers.clone(),
            body: None,
            arrived: Instant::now(),
            events: 0,
            bytes: 0,
            end: None,
        });
        let number = inner.forgotten + inner.entries.len() - 1;
        drop(inner);
        self.changed.notify_all();
        Entry { log: Some(Arc::clone(self)), number }
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Seen)) {
        let mut inner = self.lock();
        let place = number.checked_sub(inner.forgotten);
        if let Some(seen) = place.and_then(|place| inner.entries.get_mut(place)) {
            change(seen);
        }
        drop(inner);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's place in the log. Dropped before its end, the client has left.
pub(crate) struct Entry {
    log: Option<Arc<Log>>,
    number: usize,
}

impl Entry {
    /// An entry that nobody keeps.
    pub(crate) fn unrecorded() -> Self {
        Self { log: None, number: 0 }
    }

    pub(crate) fn received(&self, body: &Bytes) {
        self.change(|seen| seen.body = Some(body.clone()));
    }

    pub(crate) fn sent(&self, bytes: usize, events: usize) {
        self.change(|seen| {
            seen.bytes += bytes;
            seen.events += events;
        });
    }

    pub(crate) fn end(&self, end: End) {
        self.change(|seen| {
            seen.end.get_or_insert((end, Instant::now()));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(log) = &self.log {
            log.change(self.number, change);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}
