//! A future that is polled only when it has something to say.
//!
//! A connection is polled with every piece that comes or goes. What it waits for besides, a limit of time or
//! the end of the gateway, happens once; to ask for it each time costs more than many a request.

use super::worker::lock;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A future behind its gate. It belongs to one task: the waker of its first poll is kept.
pub(super) struct Gated<F> {
    future: Pin<Box<F>>,
    gate: Arc<Gate>,
    waker: Waker,
}

struct Gate {
    open: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.open.store(true, Ordering::Release);
        if let Some(task) = &*lock(&self.task) {
            task.wake_by_ref();
        }
    }
}

impl<F: Future> Gated<F> {
    pub(super) fn new(future: F) -> Self {
        let gate = Arc::new(Gate { open: AtomicBool::new(true), task: Mutex::new(None) });
        Gated { future: Box::pin(future), waker: gate.clone().into(), gate }
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.gate.open.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        lock(&self.gate.task).get_or_insert_with(|| cx.waker().clone());
        self.gate.open.store(false, Ordering::Release);
        let this = &mut *self;
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}
