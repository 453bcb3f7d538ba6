//! The rest of a request's body, which goes to the provider as it comes and is never held whole.
//!
//! The provider's connection takes a piece when it has room for one, and only then is one taken from the
//! caller's: so a slow provider slows the caller down, and nothing piles up between them.

use crate::door::worker::Worker;
use bytes::Bytes;
use dialect::{Fault, FaultKind};
use engine::{
    form::Form,
    limits::{BODY_GRACE, BODY_RATE_MIN, UPLOAD_MAX},
    time::{Instant, Span},
};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// A handle on it: one is with the exchange, one with the provider's connection.
#[derive(Clone)]
pub(crate) struct Upload(Rc<Inner>);

struct Inner {
    worker: Rc<Worker>,
    /// Gone when nothing more will come of it.
    body: RefCell<Option<Incoming>>,
    /// Looks at a form as it passes.
    form: RefCell<Option<Form>>,
    taken: Cell<u64>,
    /// When the last piece was taken.
    at: Cell<Instant>,
    /// Since when the caller has been waited for.
    waits: Cell<Option<Instant>>,
    waited: Cell<Span>,
    end: RefCell<End>,
    /// Of the provider's connection, while it waits for a piece.
    waker: RefCell<Option<Waker>>,
}

/// How it stands.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// More may come.
    Open,
    /// All of it has been taken.
    Whole,
    /// The caller has gone.
    Gone,
    /// It cannot go on.
    Refused(Fault),
    /// Nobody wants it any more.
    Stopped,
}

impl Upload {
    /// The rest of a body of which `taken` bytes have been read. `form` looks at it as it passes.
    pub(crate) fn new(worker: &Rc<Worker>, body: Incoming, form: Option<Form>, taken: usize) -> Self {
        Upload(Rc::new(Inner {
            worker: worker.clone(),
            body: RefCell::new(Some(body)),
            form: RefCell::new(form),
            taken: Cell::new(taken as u64),
            at: Cell::new(worker.now()),
            waits: Cell::default(),
            waited: Cell::default(),
            end: RefCell::new(End::Open),
            waker: RefCell::default(),
        }))
    }

    /// How it stands.
    pub(crate) fn end(&self) -> End {
        self.0.end.borrow().clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.0.end.borrow(), End::Open)
    }

    /// The caller is waited for, and not the provider.
    pub(crate) fn waits(&self) -> bool {
        self.0.waits.get().is_some()
    }

    /// Bytes that were taken, and when the last of them were.
    pub(crate) fn taken(&self) -> (u64, Instant) {
        (self.0.taken.get(), self.0.at.get())
    }

    /// Nobody wants it any more: the caller may stop, and the provider sees that it was not whole.
    pub(crate) fn stop(&self) {
        self.close(End::Stopped);
    }

    fn close(&self, end: End) {
        if !self.is_open() {
            return;
        }
        self.0.end.replace(end);
        self.0.body.take();
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }

    /// The next piece; `None` at its clean end.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let polled = match &mut *self.0.body.borrow_mut() {
                Some(body) => Pin::new(body).poll_frame(cx),
                None if matches!(*self.0.end.borrow(), End::Whole) => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            };
            if polled.is_pending() {
                self.0.waits.set(self.0.waits.get().or(Some(self.0.worker.now())));
                self.0.waker.replace(Some(cx.waker().clone()));
            }
            match ready!(polled) {
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    let passed = self.pass(piece);
                    // Who knows how much there is does not ask whether that was all.
                    if self.0.body.borrow().as_ref().is_some_and(Body::is_end_stream) {
                        self.close(End::Whole);
                    }
                    return Poll::Ready(Some(passed));
                }
                Some(Err(_)) => self.close(End::Gone),
                None => self.close(End::Whole),
            }
        }
    }

    fn pass(&self, piece: Bytes) -> io::Result<Bytes> {
        self.look(&piece).map(|()| piece).map_err(|fault| {
            self.close(End::Refused(fault));
            io::ErrorKind::InvalidData.into()
        })
    }

    fn look(&self, piece: &Bytes) -> Result<(), Fault> {
        let now = self.0.worker.now();
        let taken = self.0.taken.get().saturating_add(piece.len() as u64);
        self.0.taken.set(taken);
        self.0.at.set(now);
        if let Some(since) = self.0.waits.take() {
            self.0.waited.set(Span(self.0.waited.get().0.saturating_add(now.since(since).0)));
        }
        if taken > UPLOAD_MAX {
            return Err(too_large());
        }
        if self.0.waited.get() > Span(BODY_GRACE.0 + Span::secs(taken / BODY_RATE_MIN).0) {
            return Err(too_slow());
        }
        match &mut *self.0.form.borrow_mut() {
            Some(form) => form.feed(piece),
            None => Ok(()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.borrow().as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// It is larger than may pass.
pub(crate) fn too_large() -> Fault {
    Fault::new(FaultKind::TooLarge, format!("the body is over the limit of {UPLOAD_MAX} bytes"))
}

/// It comes slower than it may.
pub(crate) fn too_slow() -> Fault {
    let message = format!("the body came slower than {BODY_RATE_MIN} bytes a second");
    Fault::new(FaultKind::RequestTimeout, message)
}

/// A request's body: pieces that lie in memory, and what comes behind them.
#[derive(Default)]
pub(crate) struct Pieces {
    pieces: std::collections::VecDeque<Bytes>,
    rest: Option<Upload>,
}

impl Pieces {
    pub(crate) fn new(pieces: Vec<Bytes>, rest: Option<Upload>) -> Self {
        Pieces { pieces: pieces.into(), rest }
    }

    /// The pieces in memory, to look at.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Bytes::as_ref)
    }

    /// A part of it comes from the caller, and can be sent once.
    pub(crate) fn is_once(&self) -> bool {
        self.rest.is_some()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &self.rest {
            Some(rest) => rest.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        match self.rest.as_ref().map(|rest| rest.size_hint().exact()) {
            None => SizeHint::with_exact(held),
            Some(Some(more)) => SizeHint::with_exact(held + more),
            Some(None) => SizeHint::default(),
        }
    }
}
