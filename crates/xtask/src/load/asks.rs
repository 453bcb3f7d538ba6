//! Single requests, each on a connection of its own.

use super::stage::key;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use testkit::load::request;

/// When a silent gateway is given up.
const SILENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 10;

/// What came back.
pub(super) struct Heard {
    pub(super) status: u16,
    /// When to come back.
    pub(super) retry_after: Option<Duration>,
}

/// Asks that model something, and reads the answer.
pub(super) fn ask(addr: SocketAddr, caller: usize, model: &str) -> io::Result<Heard> {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "why"}]});
    let mut answer = Vec::new();
    send(addr, caller, &body, None)?.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, _) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no whole head"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let after = head.lines().find_map(|line| line.strip_prefix("retry-after: ")?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    Ok(Heard { status, retry_after: after.map(Duration::from_secs) })
}

/// Sends a request; the kernel keeps so many `unread` bytes of its answer, where that is said.
pub(super) fn send(
    addr: SocketAddr,
    caller: usize,
    body: &Value,
    unread: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    unread.map_or(Ok(()), |size| socket.set_recv_buffer_size(size))?;
    socket.connect(&addr.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SILENCE))?;
    let bearer = format!("Bearer {}", key(caller));
    let headers = [("authorization", bearer.as_str()), ("connection", "close")];
    stream.write_all(&request("kit", "/v1/chat/completions", &headers, body.to_string().as_bytes()))?;
    Ok(stream)
}
