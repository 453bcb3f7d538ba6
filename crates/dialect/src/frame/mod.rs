//! How streams are cut into frames.

pub mod array;
pub mod aws;
pub mod sse;

use crate::Fault;
use sse::Frame;

/// What a dialect's streams are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// AWS event streams.
    Aws,
}

impl Framing {
    /// The content type of such a stream.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Sse => "text/event-stream",
            Framing::Aws => "application/vnd.amazon.eventstream",
        }
    }

    /// A machine that cuts such a stream.
    #[must_use]
    pub fn frames(self) -> Frames {
        match self {
            Framing::Sse => Frames::Sse(sse::Frames::default()),
            Framing::Aws => Frames::Aws(aws::Frames::default()),
        }
    }
}

/// Cuts a stream of either kind. A push machine: any split of the input gives the same frames.
#[derive(Debug)]
pub enum Frames {
    /// Server-sent events.
    Sse(sse::Frames),
    /// AWS event streams.
    Aws(aws::Frames),
}

impl Frames {
    /// Takes the next bytes and calls `each` for every frame that is complete.
    ///
    /// # Errors
    /// As [`sse::Frames::feed`] and [`aws::Frames::feed`].
    pub fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self {
            Frames::Sse(frames) => frames.feed(bytes, each),
            Frames::Aws(frames) => frames.feed(bytes, each),
        }
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// As [`sse::Frames::finish`] and [`aws::Frames::finish`].
    pub fn finish(&mut self, each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        match self {
            Frames::Sse(frames) => frames.finish(each),
            Frames::Aws(frames) => frames.finish(),
        }
    }

    /// How many bytes at the end of all that was fed belong to a frame that is not complete.
    #[must_use]
    pub fn open(&self) -> usize {
        match self {
            Frames::Sse(frames) => frames.open(),
            Frames::Aws(frames) => frames.open(),
        }
    }
}
