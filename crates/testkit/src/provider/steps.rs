//! An answer's body as steps: what is written, when, and where it breaks off.

use super::{
    script::{Cut, How, Place, Script},
    seen::{End, Entry},
    wire::Wire,
};
use crate::limits;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

/// One step of writing a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Hands these bytes to HTTP; with the last of them so many events are out.
    Send(Bytes, usize),
    /// Goes on when HTTP has written all it holds.
    Flush,
    /// Goes on after this time.
    Wait(Duration),
    /// Never goes on.
    Stall,
    /// Breaks the connection (or, over HTTP/2, the stream) here.
    Break(How),
}

/// The steps that write `events` (a whole answer is one event) as the script says, whose places are told in
/// events. `lead` events stand before the first token.
pub(crate) fn steps(events: &[Bytes], lead: usize, script: &Script) -> Vec<Step> {
    let steps = paced(events, lead, script);
    let steps = match script.cut {
        Some(Cut::Byte(bytes)) => cut_at(steps, bytes, script.how),
        Some(Cut::Head | Cut::At(_)) | None => steps,
    };
    resized(steps, script.chunk)
}

fn paced(events: &[Bytes], lead: usize, script: &Script) -> Vec<Step> {
    let mut steps = Vec::with_capacity(events.len() + 4);
    for position in 0..=events.len() {
        if script.cut == Some(Cut::At(Place::Event(position))) {
            break_off(&mut steps, script.how);
            return steps;
        }
        if script.stall == Some(Place::Event(position)) {
            steps.push(Step::Stall);
            return steps;
        }
        let Some(event) = events.get(position) else { break };
        let pause = if position == 0 { script.first_wait } else { script.gap };
        let pause = if position == lead { pause + script.token_wait } else { pause };
        if !pause.is_zero() {
            steps.push(Step::Wait(pause));
        }
        steps.push(Step::Send(event.clone(), 1));
        if script.flush {
            steps.push(Step::Flush);
        }
    }
    if script.hang {
        steps.push(Step::Stall);
    }
    steps
}

fn cut_at(steps: Vec<Step>, bytes: usize, how: How) -> Vec<Step> {
    let (mut kept, mut left) = (Vec::with_capacity(steps.len()), bytes);
    for step in steps {
        match step {
            Step::Send(sent, _) if sent.len() >= left => {
                if left > 0 {
                    kept.push(Step::Send(sent.slice(..left), usize::from(sent.len() == left)));
                }
                break_off(&mut kept, how);
                return kept;
            }
            Step::Send(sent, events) => {
                left -= sent.len();
                kept.push(Step::Send(sent, events));
            }
            other => kept.push(other),
        }
    }
    kept
}

fn break_off(steps: &mut Vec<Step>, how: How) {
    if how != How::Eof {
        steps.extend([Step::Flush, Step::Break(how)]);
    }
}

/// Splits what is sent into pieces: of exactly `chunk` bytes, across events where no pause stands
/// between them, each a write of its own; or only so that none is too large.
fn resized(steps: Vec<Step>, chunk: Option<usize>) -> Vec<Step> {
    let Some(chunk) = chunk else {
        return steps.into_iter().flat_map(split_large).collect();
    };
    let mut out = Vec::new();
    let (mut held, mut events) = (BytesMut::new(), 0);
    for step in steps {
        match step {
            Step::Send(bytes, more) => {
                held.extend_from_slice(&bytes);
                events += more;
                while held.len() > chunk {
                    out.extend([Step::Send(held.split_to(chunk).freeze(), 0), Step::Flush]);
                }
            }
            other => {
                if !held.is_empty() {
                    out.push(Step::Send(held.split().freeze(), std::mem::take(&mut events)));
                }
                out.push(other);
            }
        }
    }
    if !held.is_empty() {
        out.push(Step::Send(held.freeze(), events));
    }
    out
}

fn split_large(step: Step) -> Vec<Step> {
    match step {
        Step::Send(bytes, events) if bytes.len() > limits::PIECE_MAX => {
            let mut pieces = Vec::with_capacity(bytes.len() / limits::PIECE_MAX + 1);
            let mut rest = bytes;
            while rest.len() > limits::PIECE_MAX {
                pieces.push(Step::Send(rest.split_to(limits::PIECE_MAX), 0));
            }
            pieces.push(Step::Send(rest, events));
            pieces
        }
        other => vec![other],
    }
}

/// A response body that performs steps.
pub(crate) struct Steps {
    steps: Rc<[Step]>,
    next: usize,
    state: State,
    length: Option<u64>,
    entry: Entry,
    wire: Rc<Wire>,
}

enum State {
    Going,
    Sleeping(Pin<Box<Sleep>>),
    Flushing(u64),
}

impl Steps {
    pub(crate) fn new(steps: Rc<[Step]>, length: Option<u64>, entry: Entry, wire: Rc<Wire>) -> Self {
        if steps.is_empty() {
            entry.end(End::Whole);
        }
        Self { steps, next: 0, state: State::Going, length, entry, wire }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Going => {}
            State::Sleeping(sleep) => ready!(sleep.as_mut().poll(cx)),
            State::Flushing(mark) => ready!(self.wire.poll_flushed(*mark, cx)),
        }
        self.state = State::Going;
        Poll::Ready(())
    }

    fn send(&mut self, bytes: Bytes, events: usize) -> Frame<Bytes> {
        self.entry.sent(bytes.len(), events);
        self.length = self.length.map(|length| length.saturating_sub(bytes.len() as u64));
        if self.only_flushes_left() {
            self.entry.end(End::Whole);
        }
        Frame::data(bytes)
    }

    fn only_flushes_left(&self) -> bool {
        self.steps.iter().skip(self.next).all(|step| *step == Step::Flush)
    }

    fn break_off(&self, how: How) -> io::Error {
        self.entry.end(End::Cut);
        if how == How::Rst {
            self.wire.reset();
        }
        io::Error::other("the script says so")
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            ready!(this.poll_state(cx));
            let step = this.steps.get(this.next).cloned();
            this.next += 1;
            match step {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes, events)) => return Poll::Ready(Some(Ok(this.send(bytes, events)))),
                Some(Step::Flush) => this.state = State::Flushing(this.wire.flushes()),
                Some(Step::Wait(pause)) => {
                    this.state = State::Sleeping(Box::pin(tokio::time::sleep(pause)));
                }
                Some(Step::Stall) => {
                    // Nothing wakes this body again; it is dropped when the client leaves.
                    this.next -= 1;
                    return Poll::Pending;
                }
                Some(Step::Break(how)) => return Poll::Ready(Some(Err(this.break_off(how)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.steps.len()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
