//! Server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>
//!
//! The standard's rules for line ends, comments and fields hold, and two things that servers do against
//! it are understood, because an error would be lost otherwise:
//!
//! * a line `error: {…}` is read as `event: error` and `data: {…}`;
//! * where an event should begin, a line that begins with `{` or `[` is bare JSON (an error body under the
//!   wrong content type, or one in the middle of a stream). All lines up to the next blank one, or to the
//!   end, are then given as the data of one event without a name.

#[cfg(test)]
mod tests;

use crate::{
    Fault, FaultKind,
    limits::{SSE_EVENT_MAX, SSE_LINE_MAX},
};
use memchr::{memchr, memchr2};
use std::{borrow::Cow, mem};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event of a stream, before its blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The value of the last `event:` line; empty where there was none.
    pub event: &'a [u8],
    /// All `data:` lines, joined by newlines.
    pub data: &'a [u8],
}

/// Cuts bytes into events. A push machine: any split of the input gives the same events. An event that
/// lies whole in the bytes of one call, with one line of data, is handed out without a copy.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The lines of the event whose blank line has not come.
    pending: Pending<'static>,
    /// Bytes since the last whole event.
    open: usize,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    /// The first line has passed, so there is no byte order mark to come.
    begun: bool,
}

impl Frames {
    /// Takes the next bytes and calls `each` for every event that is complete. After an error the machine
    /// is spent.
    ///
    /// # Errors
    /// What `each` says, or [`FaultKind::UpstreamInvalid`] when a line is longer than [`SSE_LINE_MAX`] or an
    /// event longer than [`SSE_EVENT_MAX`].
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut carried = mem::take(&mut self.line);
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.open += usize::from(self.open > 0 && rest.len() < bytes.len());
        }
        if !carried.is_empty()
            && let Some(end) = memchr2(b'\r', b'\n', rest)
        {
            let (line, behind) = rest.split_at(end);
            carried.extend_from_slice(line);
            self.open += line.len();
            rest = self.line_end(behind);
            let mut pending = mem::take(&mut self.pending);
            let whole = self.take_line(&carried, &mut pending, each);
            self.pending = pending.into_owned();
            carried.clear();
            whole?;
        }
        if !carried.is_empty() {
            carried.extend_from_slice(rest);
            self.open += rest.len();
            rest = &[];
        }
        let tail = self.take_lines(rest, each)?;
        carried.extend_from_slice(tail);
        self.pending.room_for(carried.len())?;
        self.line = carried;
        Ok(())
    }

    /// The bytes have ended. What is left counts as an event, although the standard would drop it: some
    /// servers leave out the last blank line, or even the line end.
    ///
    /// # Errors
    /// As [`Frames::feed`].
    pub fn finish(&mut self, each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let line = mem::take(&mut self.line);
        let mut pending = mem::take(&mut self.pending);
        if !line.is_empty() {
            self.take_line(&line, &mut pending, each)?;
        }
        self.open = 0;
        pending.dispatch(each)
    }

    /// How many bytes at the end of all that was fed belong to an event that is not complete. A relay
    /// that holds back so many forwards whole events and whole comments only.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// Takes all whole lines and gives back what is behind them.
    fn take_lines<'a>(
        &mut self,
        bytes: &'a [u8],
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<&'a [u8], Fault> {
        let mut rest = bytes;
        let mut pending: Pending<'a> = mem::take(&mut self.pending);
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            let (line, behind) = rest.split_at(end);
            self.open += end;
            rest = self.line_end(behind);
            self.take_line(line, &mut pending, each)?;
        }
        self.open += rest.len();
        self.pending = pending.into_owned();
        Ok(rest)
    }

    /// Steps over the line end that `bytes` begins with.
    fn line_end<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let behind = match bytes {
            [b'\r', b'\n', behind @ ..] | [_, behind @ ..] => behind,
            [] => bytes,
        };
        self.after_cr = behind.is_empty() && bytes == b"\r";
        self.open += bytes.len() - behind.len();
        behind
    }

    /// Takes one line, whose bytes and line end are already counted in `open`.
    fn take_line<'a>(
        &mut self,
        line: &'a [u8],
        pending: &mut Pending<'a>,
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let line = if self.begun { line } else { line.strip_prefix(BOM).unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            pending.dispatch(each)?;
        } else {
            pending.room_for(line.len() + 1)?;
            pending.take(line);
        }
        if !pending.begun {
            self.open = 0;
        }
        Ok(())
    }
}

/// The lines of an event so far.
#[derive(Debug, Default)]
struct Pending<'a> {
    /// A field has come: what follows belongs to this event until a blank line.
    begun: bool,
    /// The lines are bare JSON and not fields.
    bare: bool,
    /// A line of data has come.
    full: bool,
    /// Bytes of all lines.
    size: usize,
    event: Cow<'a, [u8]>,
    data: Cow<'a, [u8]>,
}

impl<'a> Pending<'a> {
    fn take(&mut self, line: &'a [u8]) {
        if self.bare {
            self.size += line.len() + 1;
            return self.add_data(line);
        }
        if line.starts_with(b":") {
            self.size += if self.begun { line.len() + 1 } else { 0 };
            return;
        }
        self.bare = !self.begun && matches!(line.trim_ascii_start(), [b'{' | b'[', ..]);
        self.begun = true;
        self.size += line.len() + 1;
        if self.bare {
            return self.add_data(line);
        }
        match field(line) {
            (b"data", value) => self.add_data(value),
            (b"event", value) => self.event = Cow::Borrowed(value),
            (b"error", value) => {
                self.event = Cow::Borrowed(b"error");
                self.add_data(value);
            }
            _ => {}
        }
    }

    fn add_data(&mut self, value: &'a [u8]) {
        if self.full {
            let data = self.data.to_mut();
            data.push(b'\n');
            data.extend_from_slice(value);
        } else {
            self.full = true;
            self.data = Cow::Borrowed(value);
        }
    }

    fn dispatch(&mut self, each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let done = mem::take(self);
        if done.full { each(Frame { event: &done.event, data: &done.data }) } else { Ok(()) }
    }

    /// A fault when `line` more bytes do not fit.
    fn room_for(&self, line: usize) -> Result<(), Fault> {
        if line <= SSE_LINE_MAX && self.size + line <= SSE_EVENT_MAX {
            return Ok(());
        }
        let (what, max) =
            if line > SSE_LINE_MAX { ("a line", SSE_LINE_MAX) } else { ("an event", SSE_EVENT_MAX) };
        Err(Fault::new(
            FaultKind::UpstreamInvalid,
            format!("{what} of the provider's stream is over {max} bytes"),
        ))
    }

    fn into_owned(self) -> Pending<'static> {
        Pending {
            event: Cow::Owned(self.event.into_owned()),
            data: Cow::Owned(self.data.into_owned()),
            begun: self.begun,
            bare: self.bare,
            full: self.full,
            size: self.size,
        }
    }
}

/// Writes an event whose data comes in pieces, without a line break in them.
pub fn write(out: &mut Vec<u8>, name: &str, data: &[&[u8]]) {
    let head = [b"event: ", name.as_bytes(), b"\ndata: "];
    head.iter().chain(data).chain(&[b"\n\n".as_slice()]).for_each(|piece| out.extend_from_slice(piece));
}

/// The name and the value of a line.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = match memchr(b':', line) {
        Some(colon) => line.split_at(colon),
        None => (line, &[] as &[u8]),
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}
