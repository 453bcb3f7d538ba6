//! Counts server-sent events in a stream of bytes cut anywhere: lines that start with `data:`.

use memchr::memchr;

const FIELD: &[u8] = b"data:";

/// The count so far, and how much of the field's name the current line has shown.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) count: u64,
    matched: usize,
    /// The rest of the line does not matter.
    skipping: bool,
}

impl Events {
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.skipping {
                let Some(end) = memchr(b'\n', bytes) else { return };
                bytes = bytes.get(end + 1..).unwrap_or_default();
                (self.skipping, self.matched) = (false, 0);
                continue;
            }
            bytes = rest;
            match FIELD.get(self.matched) {
                Some(wanted) if wanted == first => self.matched += 1,
                _ if *first == b'\n' => self.matched = 0,
                _ => self.skipping = true,
            }
            if self.matched == FIELD.len() {
                self.count += 1;
                self.skipping = true;
            }
        }
    }
}
