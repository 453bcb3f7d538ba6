//! The head of a response, read for the little that the generator must know.

use memchr::memmem;
use std::io;

/// What follows the head, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Length in bytes, the empty line included.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) events: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// The head at the front of `bytes`, if it is there whole.
///
/// # Errors
/// When it is not the head of an HTTP/1.1 response.
pub(crate) fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(io::Error::other)?;
    let (first, fields) = text.split_once("\r\n").unwrap_or((text, ""));
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("not the head of an HTTP/1.1 response"))?;
    let mut head =
        Head { status, length: end + 4, framing: Framing::UntilClose, keep_alive: true, events: false };
    for (name, value) in fields.split("\r\n").filter_map(|field| field.split_once(':')) {
        head.field(name, value.trim())?;
    }
    if matches!(status, 100..200 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    Ok(Some(head))
}

impl Head {
    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        if name.eq_ignore_ascii_case("content-length") {
            self.framing = Framing::Length(value.parse().map_err(io::Error::other)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            self.keep_alive = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("content-type") {
            self.events = value.starts_with("text/event-stream");
        }
        Ok(())
    }
}
