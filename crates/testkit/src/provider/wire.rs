//! A TCP connection that the answer being written on it can reset, flush and break.

use socket2::SockRef;
use std::{
    cell::{Cell, RefCell},
    io,
    net::Shutdown,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// One connection, shared between HTTP (through [`Io`]) and the answers on it.
pub(crate) struct Wire {
    /// Its number, in the order of acceptance.
    pub(crate) number: u64,
    stream: TcpStream,
    broken: Cell<bool>,
    flushes: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, number: u64) -> Rc<Self> {
        let (broken, flushes) = (Cell::new(false), Cell::new(0));
        Rc::new(Self { number, stream, broken, flushes, waiting: RefCell::default() })
    }

    /// How often HTTP had written everything it held.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Ready when HTTP has written everything it held since it was asked for `mark`.
    pub(crate) fn poll_flushed(&self, mark: u64, cx: &Context<'_>) -> Poll<()> {
        if self.flushes.get() > mark {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// From here on the connection is dead, and the other side gets a reset.
    pub(crate) fn reset(&self) {
        // With lingering switched on for no time, closing discards what is unsent and sends RST.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        self.broken.set(true);
    }

    /// Writes behind HTTP's back.
    pub(crate) async fn write_raw(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn alive(&self) -> io::Result<()> {
        if self.broken.get() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            self.alive()?;
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

/// HTTP's side of a [`Wire`].
pub(crate) struct Io(pub(crate) Rc<Wire>);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &self.0;
        loop {
            wire.alive()?;
            ready!(wire.stream.poll_read_ready(cx))?;
            match wire.stream.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // HTTP comes here only after its own buffer is empty.
        self.0.flushes.set(self.0.flushes.get() + 1);
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.0.broken.get() {
            let _ = SockRef::from(&self.0.stream).shutdown(Shutdown::Write);
        }
        Poll::Ready(Ok(()))
    }
}
