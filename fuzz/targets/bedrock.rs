#![no_main]

use dialect::{DialectId, frame::aws};

// Bytes that nobody framed end at the first checksum, so they come framed too: a line is an event or, where its
// name says so, an exception.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sekisho_fuzz::dialect(DialectId::Bedrock, data);
    let [length, status, text @ ..] = data else { return };
    let mut framed = vec![*length, *status];
    for line in String::from_utf8_lossy(text).lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            (name, body) if name.ends_with("Exception") => {
                aws::write_exception(&mut framed, name, body.as_bytes())
            }
            (name, body) => aws::write_event(&mut framed, name, body.as_bytes()),
        }
    }
    sekisho_fuzz::dialect(DialectId::Bedrock, &framed);
});
