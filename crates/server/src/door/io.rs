//! One client connection: bytes in, bytes out, and three things that hyper does not watch.
//!
//! * A client that goes while its request is being served, with more bytes in flight behind the request:
//!   hyper reads no further then and never learns of it. [`ClientIo::poll_gone`] reads ahead, bounded.
//! * A client that sends the head of a request byte by byte, or stands idle for ever.
//! * A client that reads nothing of what we write.

use crate::{drive::Drive, limits::READ_AHEAD_MAX};
use engine::limits::{HEAD_MAX, HEAD_TIMEOUT, KEEP_ALIVE, WRITE_STALL};
use std::{
    cell::{Cell, RefCell},
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// One client connection, shared by hyper, by what serves its requests and by the watch over it.
#[derive(Clone)]
pub(crate) struct ClientIo(Rc<Inner>);

struct Inner {
    stream: RefCell<TcpStream>,
    /// Read ahead of hyper.
    ahead: RefCell<Vec<u8>>,
    /// The head of the request, as it came: hyper drops a `Content-Length` beside `Transfer-Encoding`
    /// before anybody can see it.
    head: RefCell<Vec<u8>>,
    phase: Cell<Phase>,
    /// Requests being served. Over HTTP/2 there may be several.
    serving: Cell<usize>,
    /// HTTP/2 is spoken: it reads at any time and sees by itself who has gone.
    multiplexed: Cell<bool>,
    stall: RefCell<Option<Pin<Box<Sleep>>>>,
    tunnel: RefCell<Option<Box<Drive>>>,
}

/// What the client is doing.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing, since then.
    Idle(Instant),
    /// It sends the head of a request, since then.
    Head(Instant),
    /// It waits for us.
    Served,
}

impl ClientIo {
    /// Takes over a fresh connection, from which a head is expected at once.
    pub(crate) fn new(stream: TcpStream) -> Self {
        ClientIo(Rc::new(Inner {
            stream: RefCell::new(stream),
            ahead: RefCell::default(),
            head: RefCell::default(),
            phase: Cell::new(Phase::Head(Instant::now())),
            serving: Cell::default(),
            multiplexed: Cell::default(),
            stall: RefCell::default(),
            tunnel: RefCell::default(),
        }))
    }

    /// A request has been read and is being served, over HTTP/2 or not.
    pub(crate) fn served(&self, multiplexed: bool) -> Serving {
        self.0.multiplexed.set(multiplexed);
        self.0.serving.set(self.0.serving.get() + 1);
        self.0.phase.set(Phase::Served);
        Serving(Some(self.clone()))
    }

    /// It may be sending a request, and has not been answered yet.
    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(self.0.phase.get(), Phase::Head(_))
    }

    /// The answer to a request has gone; with the last of them the next request may come.
    pub(crate) fn idle(&self) {
        let left = self.0.serving.get().saturating_sub(1);
        self.0.serving.set(left);
        if left == 0 {
            self.0.head.borrow_mut().clear();
            self.0.phase.set(Phase::Idle(Instant::now()));
        }
    }

    /// The head of the request being served named this header, as it came over the wire. Only the first of
    /// several pipelined requests is known.
    pub(crate) fn head_names(&self, header: &str) -> bool {
        let head = self.0.head.borrow();
        let lines = head.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
        lines.skip(1).any(|line| {
            line.get(..header.len()).is_some_and(|name| name.eq_ignore_ascii_case(header.as_bytes()))
                && line.get(header.len()) == Some(&b':')
        })
    }

    /// Nothing has come behind the head of the request being served, as far as is known: what stands in hyper's
    /// buffers would be lost to whoever takes the connection over.
    pub(crate) fn head_is_all(&self) -> bool {
        let head = self.0.head.borrow();
        let end = memchr::memmem::find(&head, b"\r\n\r\n").map(|at| at + 4);
        end == Some(head.len()) && self.0.ahead.borrow().is_empty() && !self.0.multiplexed.get()
    }

    /// Keeps a drive whose answer has made a WebSocket of this connection, until hyper has let go of it.
    pub(crate) fn hand_over(&self, drive: Drive) {
        self.0.tunnel.replace(Some(Box::new(drive)));
    }

    /// The drive that was handed over. It holds this connection, so it must be taken before the end.
    pub(crate) fn take_over(&self) -> Option<Box<Drive>> {
        self.0.tunnel.take()
    }

    /// Ready when the client has gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.multiplexed.get() {
            // To read here would take the wake-up for what comes next from the connection itself.
            return Poll::Pending;
        }
        let mut ahead = self.0.ahead.borrow_mut();
        while ahead.len() < READ_AHEAD_MAX {
            let mut space = [MaybeUninit::<u8>::uninit(); 4_096];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, &mut buffer);
            match ready!(read) {
                Ok(()) if !buffer.filled().is_empty() => {
                    ahead.extend_from_slice(buffer.filled());
                    // hyper may be waiting for these very bytes: those of a body.
                    cx.waker().wake_by_ref();
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Ends when the client has been idle, or has sent a head, for longer than it may.
    pub(crate) async fn expired(&self) {
        loop {
            let until = match self.0.phase.get() {
                Phase::Idle(since) => since + duration(KEEP_ALIVE),
                Phase::Head(since) => since + duration(HEAD_TIMEOUT),
                // Serving has limits of its own; look again later.
                Phase::Served => Instant::now() + duration(HEAD_TIMEOUT),
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn note_read(&self, bytes: &[u8]) {
        if matches!(self.0.phase.get(), Phase::Idle(_)) && !self.0.multiplexed.get() {
            self.0.phase.set(Phase::Head(Instant::now()));
        }
        if let Phase::Head(_) = self.0.phase.get() {
            let mut head = self.0.head.borrow_mut();
            let room = HEAD_MAX.saturating_sub(head.len());
            head.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
    }

    /// Lets a write that cannot go on wait for [`WRITE_STALL`] and no longer.
    fn watch_stall<T>(&self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let mut stall = self.0.stall.borrow_mut();
        if written.is_ready() {
            *stall = None;
            return written;
        }
        let sleep = stall.get_or_insert_with(|| Box::pin(sleep(duration(WRITE_STALL))));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A request being served that has no answer yet. Dropped without one, it is not served any more.
pub(crate) struct Serving(Option<ClientIo>);

impl Serving {
    /// There is an answer; its body says when it has gone.
    pub(crate) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.idle();
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ahead = self.0.ahead.borrow_mut();
        if !ahead.is_empty() {
            let count = ahead.len().min(buffer.remaining());
            let bytes: Vec<u8> = ahead.drain(..count).collect();
            buffer.put_slice(&bytes);
            self.note_read(&bytes);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, buffer))?;
        self.note_read(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(cx, bytes);
        self.watch_stall(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write_vectored(cx, pieces);
        self.watch_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// A span of ours as tokio wants it.
pub(crate) fn duration(span: engine::time::Span) -> Duration {
    Duration::from_micros(span.0)
}
