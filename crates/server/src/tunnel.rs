//! Two connections that have become a WebSocket: bytes are carried both ways and not looked at, so pings,
//! codes of closing and extensions pass as they are.

use crate::{
    door::io::ClientIo,
    door::io::duration,
    limits::{TUNNEL_BUFFER, TUNNEL_CLOSING},
};
use engine::time::Instant;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The two ends, and what is on its way between them.
pub(crate) struct Tunnel {
    client: ClientIo,
    provider: Provider,
    up: Lane,
    down: Lane,
    /// One side has ended; the other may take its time, but not for ever.
    closing: Option<Pin<Box<Sleep>>>,
    moved: Option<Instant>,
}

enum Provider {
    /// Its 101 has come, the connection follows.
    Coming(OnUpgrade),
    There(TokioIo<Upgraded>),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides were told, and have closed.
    Closed,
    /// The caller's connection broke.
    ClientGone,
    /// The provider's connection broke.
    ProviderGone,
}

/// One direction.
struct Lane {
    buffer: Box<[u8]>,
    /// What has been read and not been written yet.
    from: usize,
    to: usize,
    carried: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing more is read.
    Ending,
    /// The other side has been told.
    Over,
}

/// What broke.
enum Broke {
    Reading,
    Writing,
}

impl Tunnel {
    /// Between `client` and the provider whose connection comes with `upgrade`.
    pub(crate) fn new(client: ClientIo, upgrade: OnUpgrade) -> Self {
        let provider = Provider::Coming(upgrade);
        Tunnel { client, provider, up: Lane::new(), down: Lane::new(), closing: None, moved: None }
    }

    /// Bytes carried to the provider and to the caller, and when the last were.
    pub(crate) fn carried(&self) -> (u64, u64, Option<Instant>) {
        (self.up.carried, self.down.carried, self.moved)
    }

    /// Carries until one side has ended it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: impl Fn() -> Instant) -> Poll<Ended> {
        if let Provider::Coming(upgrade) = &mut self.provider {
            match ready!(Pin::new(upgrade).poll(cx)) {
                Ok(io) => self.provider = Provider::There(TokioIo::new(io)),
                Err(_) => return Poll::Ready(Ended::ProviderGone),
            }
        }
        let Provider::There(provider) = &mut self.provider else { return Poll::Pending };
        let before = self.up.carried + self.down.carried;
        let up = self.up.poll(&mut self.client, &mut *provider, cx);
        let down = self.down.poll(provider, &mut self.client, cx);
        if self.up.carried + self.down.carried > before {
            self.moved = Some(now());
        }
        let broke = match (up, down) {
            (Err(Broke::Reading), _) | (_, Err(Broke::Writing)) => Some(Ended::ClientGone),
            (Err(Broke::Writing), _) | (_, Err(Broke::Reading)) => Some(Ended::ProviderGone),
            (Ok(()), Ok(())) => None,
        };
        let over = [&self.up, &self.down].map(|lane| lane.stage == Stage::Over);
        match (over, broke) {
            ([true, true], _) => Poll::Ready(Ended::Closed),
            ([false, false], Some(broke)) => Poll::Ready(broke),
            ([false, false], None) => Poll::Pending,
            // One side has ended it in order: how the other one goes does not matter.
            (_, Some(_)) => Poll::Ready(Ended::Closed),
            (_, None) => {
                let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(duration(TUNNEL_CLOSING))));
                closing.as_mut().poll(cx).map(|()| Ended::Closed)
            }
        }
    }
}

impl Lane {
    fn new() -> Self {
        let buffer = vec![0; TUNNEL_BUFFER].into_boxed_slice();
        Lane { buffer, from: 0, to: 0, carried: 0, stage: Stage::Open }
    }

    /// Carries what can be carried now.
    fn poll(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        cx: &mut Context<'_>,
    ) -> Result<(), Broke> {
        loop {
            while self.from < self.to {
                let held = self.buffer.get(self.from..self.to).unwrap_or_default();
                match Pin::new(&mut writer).poll_write(cx, held) {
                    Poll::Ready(Ok(written @ 1..)) => {
                        self.from += written;
                        self.carried += written as u64;
                    }
                    Poll::Ready(_) => return Err(Broke::Writing),
                    Poll::Pending => return Ok(()),
                }
            }
            match self.stage {
                Stage::Over => return Ok(()),
                Stage::Ending => {
                    if Pin::new(&mut writer).poll_shutdown(cx).is_ready() {
                        self.stage = Stage::Over;
                    }
                    return Ok(());
                }
                Stage::Open => {}
            }
            match self.fill(&mut reader, cx) {
                Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Err(Broke::Reading),
                Poll::Pending => {
                    // What was written may stand in a buffer of the other side's.
                    let flushed = Pin::new(&mut writer).poll_flush(cx);
                    let broke = matches!(flushed, Poll::Ready(Err(_)));
                    return if broke { Err(Broke::Writing) } else { Ok(()) };
                }
            }
        }
    }

    fn fill(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(reader).poll_read(cx, &mut space))?;
        (self.from, self.to) = (0, space.filled().len());
        Poll::Ready(Ok(self.to))
    }
}
