//! What the targets share.

use dialect::{DialectId, laws};

/// Reads and writes `data` in every way that a dialect has. The first three bytes say how a stream is cut,
/// what status an error has, and for whom the stream is written.
pub fn dialect(id: DialectId, data: &[u8]) {
    let [length, status, caller, text @ ..] = data else { return };
    hold(laws::any_bytes(id, text, 400 + u16::from(*status)));
    let callers: Vec<DialectId> = DialectId::callers().collect();
    if let Some(to) = callers.get(usize::from(*caller) % callers.len()) {
        hold(laws::split(id, &pieces(text, *length), *to));
    }
}

/// Reads and writes `data` as embeddings in every shape.
pub fn embed(data: &[u8]) {
    hold(laws::any_embeddings(data));
}

/// `text` in pieces of at most 64 bytes.
pub fn pieces(text: &[u8], length: u8) -> Vec<&[u8]> {
    text.chunks(1 + usize::from(length % 64)).collect()
}

fn hold(law: Result<(), laws::Broken>) {
    if let Err(broken) = law {
        panic!("{broken}");
    }
}
