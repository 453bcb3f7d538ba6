//! Vectors: a list of numbers as it was written, or floats out of base64.

use super::invalid;
use crate::Fault;
use serde_json::value::RawValue;
use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A vector.
#[derive(Clone, Debug)]
pub enum Vector {
    /// A list of numbers as JSON text, with every digit that the provider wrote.
    Text(String),
    /// Floats that came as bits.
    Bits(Vec<f32>),
}

impl PartialEq for Vector {
    /// The same numbers, bit by bit, in whatever form.
    fn eq(&self, other: &Vector) -> bool {
        let bits = |vector: &Vector| vector.floats().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        bits(self) == bits(other)
    }
}

impl Vector {
    /// Reads a list of numbers, or a string of base64: floats of 32 bits, little-endian.
    pub(super) fn read(raw: &RawValue) -> Result<Vector, Fault> {
        let text = raw.get();
        let is_finite = |floats: &Vec<f32>| floats.iter().all(|float| float.is_finite());
        let vector = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => decode(text).filter(is_finite).map(Vector::Bits),
            None => numbers(text).filter(is_finite).map(|_| Vector::Text(text.to_owned())),
        };
        vector.ok_or_else(|| {
            invalid("a vector of the provider's is neither a list of numbers nor base64 of floats".to_owned())
        })
    }

    /// The numbers, to the nearest float of 32 bits.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        match self {
            Vector::Text(text) => numbers(text).unwrap_or_default(),
            Vector::Bits(floats) => floats.clone(),
        }
    }

    /// Writes a list of numbers: the digits as they were, or the fewest that tell the float.
    pub(super) fn push_list(&self, out: &mut String) {
        match self {
            Vector::Text(text) => out.push_str(text),
            Vector::Bits(floats) => super::list(out, floats, |out, float| {
                // Writing to a string cannot fail.
                let _ = write!(out, "{float}");
            }),
        }
    }

    /// Writes a string of base64.
    pub(super) fn push_base64(&self, out: &mut String) {
        let bytes: Vec<u8> = self.floats().into_iter().flat_map(f32::to_le_bytes).collect();
        out.push('"');
        encode(&bytes, out);
        out.push('"');
    }
}

/// The numbers of a JSON list. `None` where it is something else.
fn numbers(text: &str) -> Option<Vec<f32>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    if inner.is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(|number| number.trim().parse().ok()).collect()
}

/// Base64 with its padding: <https://www.rfc-editor.org/rfc/rfc4648#section-4>
fn encode(bytes: &[u8], out: &mut String) {
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter =
                ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize).filter(|_| place <= group.len());
            out.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
}

/// Floats out of base64. `None` where it is none, or not of whole floats.
fn decode(text: &str) -> Option<Vec<f32>> {
    let letters = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in letters {
        bits = bits << 6 | sextet(letter)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    let floats = bytes.chunks_exact(4);
    let is_whole = floats.remainder().is_empty();
    let floats = floats.map(|four| four.try_into().map(f32::from_le_bytes).ok());
    is_whole.then(|| floats.collect()).flatten()
}

fn sextet(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}
