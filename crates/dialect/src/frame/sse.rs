//! Server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use crate::Fault;

/// One event of a stream, before its blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The value of the last `event:` line; empty where there was none.
    pub event: &'a [u8],
    /// All `data:` lines, joined by newlines.
    pub data: &'a [u8],
}

/// Cuts bytes into events. A push machine: any split of the input gives the same events.
#[derive(Debug, Default)]
pub struct Frames {}

impl Frames {
    /// Takes the next bytes and calls `each` for every event that is complete.
    ///
    /// # Errors
    /// What `each` says, or a fault when a line or an event is over its limit.
    pub fn feed(
        &mut self,
        _bytes: &[u8],
        _each: &mut dyn FnMut(Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        Ok(())
    }
}
