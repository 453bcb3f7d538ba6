//! A stream as a JSON array that is still being written: read element by element, each as soon as it is whole,
//! and written so.

use super::sse::{Frame, Frames};
use crate::{Fault, FaultKind, limits::SSE_EVENT_MAX};

/// A stream of JSON that comes as events or as an array; its first byte tells which.
#[derive(Debug, Default)]
pub enum Pieces {
    /// Nothing has come yet.
    #[default]
    Unknown,
    /// Events.
    Events(Frames),
    /// An array.
    Array(Elements),
}

impl Pieces {
    /// Takes the next bytes and calls `each` for the data of every event, or for every object.
    ///
    /// # Errors
    /// As [`Frames::feed`] and [`Elements::feed`].
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if let Pieces::Unknown = self {
            *self = match bytes.trim_ascii_start() {
                [] => return Ok(()),
                [b'[', ..] => Pieces::Array(Elements::default()),
                _ => Pieces::Events(Frames::default()),
            };
        }
        match self {
            Pieces::Unknown => Ok(()),
            Pieces::Events(frames) => frames.feed(bytes, &mut |frame| each(frame.data)),
            Pieces::Array(elements) => elements.feed(bytes, each),
        }
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// As [`Frames::finish`].
    pub fn finish(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Pieces::Events(frames) => frames.finish(&mut |frame| each(frame.data)),
            Pieces::Unknown | Pieces::Array(_) => Ok(()),
        }
    }
}

/// Cuts the objects out of a JSON array. A push machine: any split of the input gives the same objects.
/// What stands between them is not looked at.
#[derive(Debug, Default)]
pub struct Elements {
    /// The beginning of the object whose end has not come.
    held: Vec<u8>,
    /// How many braces are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Elements {
    /// Takes the next bytes and calls `each` for every object that is complete.
    ///
    /// # Errors
    /// What `each` says, or [`FaultKind::UpstreamInvalid`] when an object is longer than [`SSE_EVENT_MAX`].
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for byte in bytes {
            if self.depth == 0 && *byte != b'{' {
                continue;
            }
            self.held.push(*byte);
            self.step(*byte);
            if self.depth == 0 {
                each(&std::mem::take(&mut self.held))?;
            } else if self.held.len() > SSE_EVENT_MAX {
                let words = format!("an element of the provider's stream is over {SSE_EVENT_MAX} bytes");
                return Err(Fault::new(FaultKind::UpstreamInvalid, words));
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' => self.depth += 1,
            b'}' => self.depth -= 1,
            _ => {}
        }
    }
}

/// Events become the elements of a JSON array.
#[derive(Debug, Default)]
pub struct Lister {
    frames: Frames,
    /// The array has begun.
    begun: bool,
}

impl Lister {
    /// Takes the next bytes of a stream of events, and writes what is whole of the array.
    ///
    /// # Errors
    /// As [`Frames::feed`].
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let Lister { frames, begun } = self;
        frames.feed(bytes, &mut |frame| element(frame, begun, out))
    }

    /// The events have ended, the last perhaps without its empty line, and so does the array.
    ///
    /// # Errors
    /// As [`Frames::finish`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Lister { frames, begun } = self;
        frames.finish(&mut |frame| element(frame, begun, out))?;
        out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        Ok(())
    }
}

fn element(frame: Frame<'_>, begun: &mut bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(if std::mem::replace(begun, true) { b",\r\n" } else { b"[" });
    out.extend_from_slice(frame.data);
    Ok(())
}
