//! One keep-alive connection that writes a request and reads its answer.

use super::{
    Answered, Load,
    head::{Framing, Head, head},
    sse::Events,
};
use crate::limits;
use memchr::memchr;
use socket2::SockRef;
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much is read at once, in bytes.
const READ: usize = 64 << 10;
/// A slow reader reads so many times a second.
const SLOW_READS: u32 = 20;

pub(crate) struct Connection<'a> {
    load: &'a Load,
    stream: Option<TcpStream>,
    /// What was read, up to `filled`.
    buffer: Vec<u8>,
    filled: usize,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(load: &'a Load) -> Self {
        let size = load.read_rate.map_or(READ, |rate| (rate / SLOW_READS).max(1) as usize);
        // A head must fit, however slowly it is read.
        Self { load, stream: None, buffer: vec![0; size.max(4096)], filled: 0 }
    }

    /// Asks, and reads the answer to its end. After a failure the next call connects anew.
    pub(crate) async fn ask(&mut self, start: Instant) -> io::Result<Answered> {
        let mut stream = self.stream.take();
        let connected = stream.is_none();
        let mut open = match stream.take() {
            Some(stream) => stream,
            None => connect(self.load).await?,
        };
        open.write_all(&self.load.request).await?;
        let (mut answered, keep_alive) = self.read(&mut open, start).await?;
        answered.connected = connected;
        if keep_alive {
            self.stream = Some(open);
        }
        Ok(answered)
    }

    async fn read(&mut self, stream: &mut TcpStream, start: Instant) -> io::Result<(Answered, bool)> {
        self.filled = 0;
        let head = self.read_head(stream).await?;
        let mut answered =
            Answered { status: head.status, events: 0, bytes: 0, first_event: None, connected: false };
        let mut body = Body::new(head);
        let mut from = head.length;
        loop {
            let fresh = self.buffer.get(from..self.filled).unwrap_or_default();
            body.read(fresh)?;
            if body.events.count > 0 && answered.first_event.is_none() {
                answered.first_event = Some(start.elapsed());
            }
            from = 0;
            self.filled = 0;
            if body.over || (self.fill(stream).await? == 0 && body.ended_by_close()?) {
                (answered.events, answered.bytes) = (body.events.count, body.bytes);
                return Ok((answered, head.keep_alive && head.framing != Framing::UntilClose));
            }
        }
    }

    async fn read_head(&mut self, stream: &mut TcpStream) -> io::Result<Head> {
        loop {
            if self.fill(stream).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the head"));
            }
            match head(self.buffer.get(..self.filled).unwrap_or_default())? {
                Some(head) if head.status >= 200 => return Ok(head),
                Some(interim) => {
                    self.buffer.copy_within(interim.length..self.filled, 0);
                    self.filled -= interim.length;
                }
                None if self.filled == self.buffer.len() && self.filled < limits::HEAD_MAX => {
                    self.buffer.resize(limits::HEAD_MAX, 0);
                }
                None if self.filled >= limits::HEAD_MAX => {
                    return Err(io::Error::other("the head is too large"));
                }
                None => {}
            }
        }
    }

    async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let mut room = self.buffer.len() - self.filled;
        if let Some(rate) = self.load.read_rate {
            tokio::time::sleep(Duration::from_secs(1) / SLOW_READS).await;
            room = room.min((rate / SLOW_READS).max(1) as usize);
        }
        let room = self.buffer.get_mut(self.filled..self.filled + room).unwrap_or_default();
        let read = stream.read(room).await?;
        self.filled += read;
        Ok(read)
    }
}

async fn connect(load: &Load) -> io::Result<TcpStream> {
    let socket =
        if load.addr.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    if load.read_rate.is_some() {
        // Otherwise the kernel reads ahead for a slow reader.
        SockRef::from(&socket).set_recv_buffer_size(4096)?;
    }
    let stream = socket.connect(load.addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A body being read: where its frames are, and the events in it.
struct Body {
    head: Head,
    events: Events,
    bytes: u64,
    over: bool,
    chunk: Chunk,
    /// A chunk's size line, when a read ended inside it.
    line: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Chunk {
    Size,
    Data(usize),
    /// The line end after data.
    Gap,
    Trailer,
}

impl Body {
    fn new(head: Head) -> Self {
        let over = head.framing == Framing::Length(0);
        Self { head, events: Events::default(), bytes: 0, over, chunk: Chunk::Size, line: Vec::new() }
    }

    fn ended_by_close(&self) -> io::Result<bool> {
        match self.head.framing {
            Framing::UntilClose => Ok(true),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed inside the body")),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.head.framing {
            Framing::Chunked => return self.read_chunks(bytes),
            Framing::Length(length) => {
                self.data(bytes);
                self.over = self.bytes >= length as u64;
            }
            Framing::UntilClose => self.data(bytes),
        }
        Ok(())
    }

    fn read_chunks(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.over {
            bytes = match self.chunk {
                Chunk::Data(size) => {
                    let (data, rest) = bytes.split_at(size.min(bytes.len()));
                    self.data(data);
                    self.chunk = if data.len() == size { Chunk::Gap } else { Chunk::Data(size - data.len()) };
                    rest
                }
                Chunk::Size | Chunk::Gap | Chunk::Trailer => self.line(bytes)?,
            };
        }
        Ok(())
    }

    /// Reads to the end of a line of the framing, or keeps what there is of it.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > limits::HEAD_MAX {
                return Err(io::Error::other("a chunk's size line is too long"));
            }
            return Ok(&[]);
        };
        let (line, rest) = bytes.split_at(end);
        self.line.extend_from_slice(line);
        let text = std::str::from_utf8(&self.line).map_err(io::Error::other)?.trim();
        self.chunk = match self.chunk {
            Chunk::Size => match usize::from_str_radix(text, 16).map_err(io::Error::other)? {
                0 => Chunk::Trailer,
                size => Chunk::Data(size),
            },
            Chunk::Trailer if text.is_empty() => {
                self.over = true;
                Chunk::Trailer
            }
            Chunk::Trailer => Chunk::Trailer,
            Chunk::Gap | Chunk::Data(_) => Chunk::Size,
        };
        self.line.clear();
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn data(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.head.events {
            self.events.read(bytes);
        }
    }
}
