//! AWS event streams (`application/vnd.amazon.eventstream`):
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>
//!
//! A frame is a prelude (its length, the length of its headers, a checksum), headers, a payload and a
//! checksum. Of the headers only those count that say what the frame is. An exception is handed out as an
//! event `error` whose data has the exception's name in `__type`, as AWS writes it into whole answers.

#[cfg(test)]
mod tests;

use super::sse::Frame;
use crate::{
    Fault, FaultKind,
    limits::{AWS_FRAME_MAX, AWS_HEADERS_MAX},
};
use serde_json::{Map, Value};
use std::{borrow::Cow, mem};

/// Bytes of the prelude with its checksum.
const PRELUDE: usize = 12;
/// Bytes of a checksum.
const CHECKSUM: usize = 4;
/// The type of a header whose value is text.
const TEXT: u8 = 7;

/// Cuts bytes into frames. A push machine: any split of the input gives the same frames. A frame that lies
/// whole in the bytes of one call is handed out without a copy.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// Bytes at the end of all that was fed which belong to no whole frame.
    open: usize,
    /// What was wrong behind a whole frame, told when that frame has gone on.
    broken: Option<Fault>,
}

impl Frames {
    /// Takes the next bytes and calls `each` for every frame that is complete. After an error the machine is
    /// spent.
    ///
    /// # Errors
    /// What `each` says, or [`FaultKind::UpstreamInvalid`] when a frame is longer than [`AWS_FRAME_MAX`] or is
    /// none. One that stands behind a whole frame of the same bytes is told by the next call.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.told()?;
        let mut rest = bytes;
        let mut first = true;
        if !self.held.is_empty() {
            rest = self.complete(rest)?;
            let held = mem::take(&mut self.held);
            match whole(&held)? {
                Some((message, _)) => message.tell(each)?,
                None => self.held = held,
            }
            first = !self.held.is_empty();
        }
        while !rest.is_empty() {
            match whole(rest) {
                Ok(Some((message, behind))) => {
                    message.tell(each)?;
                    (rest, first) = (behind, false);
                }
                Ok(None) => {
                    self.held.extend_from_slice(rest);
                    break;
                }
                Err(fault) if first => return Err(fault),
                Err(fault) => {
                    self.broken = Some(fault);
                    break;
                }
            }
        }
        self.open = self.held.len().max(rest.len());
        Ok(())
    }

    /// The bytes have ended. A frame whose end has not come is none.
    ///
    /// # Errors
    /// What [`Frames::feed`] has not told yet.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.told()
    }

    /// How many bytes at the end of all that was fed belong to a frame that is not complete.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    fn told(&self) -> Result<(), Fault> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Adds to the frame that is held what it wants, and gives back what is behind it.
    fn complete<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let mut rest = bytes;
        // Once for the prelude, which tells the length, and once for the rest.
        for _ in 0..2 {
            let wanted = length(&self.held)?.unwrap_or(PRELUDE).saturating_sub(self.held.len());
            let (more, behind) = rest.split_at(wanted.min(rest.len()));
            self.held.extend_from_slice(more);
            rest = behind;
        }
        Ok(rest)
    }
}

/// What of a frame counts.
struct Message<'a> {
    event: &'a [u8],
    data: Cow<'a, [u8]>,
}

impl Message<'_> {
    fn tell(&self, each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        each(Frame { event: self.event, data: &self.data })
    }
}

/// The frame that `bytes` begins with, and what is behind it; `None` where its end is not there.
fn whole(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, Fault> {
    let Some((frame, behind)) = length(bytes)?.and_then(|length| bytes.split_at_checked(length)) else {
        return Ok(None);
    };
    let (signed, checksum) = frame.split_at(frame.len() - CHECKSUM);
    if number(checksum) != Some(crc32fast::hash(signed)) {
        return Err(broken("its checksum is wrong"));
    }
    let headers = number(frame.get(4..).unwrap_or_default()).unwrap_or_default() as usize;
    let parts = signed.get(PRELUDE..).and_then(|rest| rest.split_at_checked(headers));
    let (headers, payload) = parts.ok_or_else(|| broken("its headers are longer than itself"))?;
    Ok(Some((message(headers, payload)?, behind)))
}

/// How long the frame is that `bytes` begins with; `None` where its prelude is not there.
fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some((prelude, checksum)) = bytes.get(..PRELUDE).map(|prelude| prelude.split_at(PRELUDE - CHECKSUM))
    else {
        return Ok(None);
    };
    if number(checksum) != Some(crc32fast::hash(prelude)) {
        return Err(broken("its prelude has the wrong checksum"));
    }
    let length = number(prelude).unwrap_or_default() as usize;
    let headers = number(prelude.get(4..).unwrap_or_default()).unwrap_or_default() as usize;
    if length > AWS_FRAME_MAX || headers > AWS_HEADERS_MAX {
        let words = format!("a frame of the provider's stream is over {AWS_FRAME_MAX} bytes");
        return Err(Fault::new(FaultKind::UpstreamInvalid, words));
    }
    if length < PRELUDE + CHECKSUM {
        return Err(broken("it is shorter than its own prelude"));
    }
    Ok(Some(length))
}

fn broken(why: &str) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, format!("the provider's event stream is broken: {why}"))
}

/// The number in the first four bytes.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn message<'a>(headers: &'a [u8], payload: &'a [u8]) -> Result<Message<'a>, Fault> {
    let (mut kind, mut event, mut exception, mut words) = (&b""[..], &b""[..], &b""[..], &b""[..]);
    let mut rest = headers;
    while !rest.is_empty() {
        let (name, value, behind) = header(rest).ok_or_else(|| broken("a header cannot be read"))?;
        match name {
            b":message-type" => kind = value,
            b":event-type" => event = value,
            b":exception-type" | b":error-code" => exception = value,
            b":error-message" => words = value,
            _ => {}
        }
        rest = behind;
    }
    Ok(match kind {
        b"exception" => Message { event: b"error", data: Cow::Owned(named(exception, payload)) },
        b"error" => Message { event: b"error", data: Cow::Owned(named(exception, words)) },
        _ => Message { event, data: Cow::Borrowed(payload) },
    })
}

/// The name and the value of the first header, and what is behind it. Only text has a value here.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let size = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | &TEXT => {
            let (size, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
            return Some((name, value, rest));
        }
        _ => return None,
    };
    Some((name, b"", rest.split_at_checked(size)?.1))
}

/// The body of an exception with its name in it.
fn named(name: &[u8], body: &[u8]) -> Vec<u8> {
    let mut error = match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => members,
        _ => Map::from_iter([("message".to_owned(), String::from_utf8_lossy(body).into())]),
    };
    error.insert("__type".to_owned(), String::from_utf8_lossy(name).into());
    Value::Object(error).to_string().into_bytes()
}

/// Writes an event.
pub fn write_event(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    write(out, &[(":event-type", name), (":content-type", JSON), (":message-type", "event")], payload);
}

/// Writes an exception, after which a stream has nothing more to say.
pub fn write_exception(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    write(
        out,
        &[(":exception-type", name), (":content-type", JSON), (":message-type", "exception")],
        payload,
    );
}

const JSON: &str = "application/json";

fn write(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: &[u8]) {
    let mut head = Vec::new();
    for (name, value) in headers {
        // Names and values are ours and short; one that does not fit is cut.
        let name = name.as_bytes().iter().take(usize::from(u8::MAX));
        let value = value.as_bytes().iter().take(usize::from(u16::MAX));
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend(name);
        head.push(TEXT);
        head.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend(value);
    }
    let start = out.len();
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend(size(PRELUDE + head.len() + payload.len() + CHECKSUM));
    out.extend(size(head.len()));
    sign(out, start);
    out.extend(head);
    out.extend_from_slice(payload);
    sign(out, start);
}

/// Adds the checksum of all bytes from `start` on.
fn sign(out: &mut Vec<u8>, start: usize) {
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend(checksum.to_be_bytes());
}
