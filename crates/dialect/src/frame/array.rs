//! A JSON array that is still being written: its elements one by one, each as soon as it is whole.

use crate::{Fault, FaultKind, limits::SSE_EVENT_MAX};

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
