//! How much a provider has said of an answer that came to no end, where nobody tells what it cost: an estimate.

use crate::canon::{Delta, Event, Usage};

/// Most bytes of a piece, on the average, where each is one token: many providers send token by token, and those
/// are counted. Others send several at once, and those are measured.
const TOKEN_MAX: u64 = 8;
/// Bytes of text in one token: English has a little more, code and other scripts less.
const BYTES_A_TOKEN: u64 = 4;

/// Pieces of an answer, and what the provider itself has said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauge {
    /// Since the provider last said.
    pieces: u64,
    bytes: u64,
    /// What it said then, and whether anything had come by then: before, it can only have guessed.
    told: u64,
    begun: bool,
}

impl Gauge {
    /// A piece of so many bytes has come.
    pub(super) fn add(&mut self, bytes: usize) {
        if bytes > 0 {
            self.begun = true;
            self.pieces += 1;
            self.bytes = self.bytes.saturating_add(bytes as u64);
        }
    }

    /// The provider has said what it has written so far.
    pub(super) fn told(&mut self, usage: &Usage) {
        if self.begun && usage.all_output() > 0 && usage.all_output() != self.told {
            *self = Gauge { told: usage.all_output(), begun: true, ..Gauge::default() };
        }
    }

    /// An event has come.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Delta { delta: Delta::Text(text) | Delta::Input(text), .. } => self.add(text.len()),
            Event::Usage(usage) => self.told(usage),
            _ => {}
        }
    }

    /// Tokens that have come, about.
    pub(super) fn tokens(&self) -> u64 {
        let counted = self.bytes <= self.pieces.saturating_mul(TOKEN_MAX);
        self.told.saturating_add(if counted { self.pieces } else { self.bytes / BYTES_A_TOKEN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(pieces: &[usize]) -> Gauge {
        let mut gauge = Gauge::default();
        pieces.iter().for_each(|bytes| gauge.add(*bytes));
        gauge
    }

    #[test]
    fn tokens_are_counted_and_larger_pieces_measured() {
        assert_eq!(gauge(&[]).tokens(), 0);
        assert_eq!(gauge(&[0, 4, 7, 1, 8]).tokens(), 4);
        assert_eq!(gauge(&[12; 10]).tokens(), 30);
    }

    #[test]
    fn what_the_provider_says_counts_from_there_on() {
        let said = |output| Usage { output, ..Usage::default() };
        let mut gauge = Gauge::default();
        // A placeholder before the first word is none.
        gauge.told(&said(1));
        gauge.add(4);
        assert_eq!(gauge.tokens(), 1);
        gauge.told(&said(5));
        assert_eq!(gauge.tokens(), 5);
        gauge.add(4);
        gauge.told(&said(5));
        assert_eq!(gauge.tokens(), 6);
    }
}
