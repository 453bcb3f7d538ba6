//! How much a provider has said of an answer that came to no end, where nobody tells what it cost: an estimate.

use crate::canon::{Delta, Event, Usage};
use memchr::{memchr2, memmem::Finder};

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

/// Finds texts in the events of a stream without reading them.
pub(super) struct Words(Vec<Finder<'static>>);

impl Words {
    /// For these beginnings of members.
    pub(super) fn new(members: &'static [&'static str]) -> Words {
        Words(members.iter().map(Finder::new).collect())
    }

    /// The bytes of text in those members, wherever they stand in an event.
    pub(super) fn size(&self, event: &[u8]) -> usize {
        let behind = |finder: &Finder<'_>| {
            let ends = finder.find_iter(event).map(|at| at + finder.needle().len());
            let texts = ends.filter_map(|end| event.get(end..)?.trim_ascii_start().strip_prefix(b"\""));
            texts.map(text).sum::<usize>()
        };
        self.0.iter().map(behind).sum()
    }
}

/// Of what follows a quote: the bytes of its text in UTF-8, about.
fn text(rest: &[u8]) -> usize {
    let (mut at, mut escapes) = (0, 0);
    while let Some(next) = memchr2(b'"', b'\\', rest.get(at..).unwrap_or_default()) {
        at += next;
        match (rest.get(at), rest.get(at + 1)) {
            (Some(b'"'), _) => return at - escapes,
            // Six bytes that stand for three at most.
            (_, Some(b'u')) => (escapes, at) = (escapes + 3, at + 6),
            _ => (escapes, at) = (escapes + 1, at + 2),
        }
    }
    rest.len().saturating_sub(escapes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn only_the_text_of_these_members_counts() {
        let words = Words::new(&["\"content\":", "\"arguments\":"]);
        for (event, size) in [
            (r#"{"id":"content","choices":[{"delta":{"content":"four"}}]}"#, 4),
            (r#"{"content": "a\"b\n\u95a2"}"#, 7),
            (r#"{"content":null,"name":"weather","arguments":"{\"a\":"}"#, 5),
            (r#"{"content":{"text":"no"},"arguments":["no"]}"#, 0),
            (r#"{"content":"cut"#, 3),
            ("[DONE]", 0),
        ] {
            assert_eq!(words.size(event.as_bytes()), size, "{event}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_measured_as_it_reads(text: String, other: String) {
            let event = serde_json::json!({"a": other, "list": [{"content": text}], "z": {"content": 1}});
            let size = Words::new(&["\"content\":"]).size(event.to_string().as_bytes());
            // serde_json escapes control characters as six bytes, which stand for one.
            let control = text.chars().filter(|c| c.is_control()).count();
            prop_assert!((text.len()..=text.len() + 2 * control).contains(&size), "{size} of {}", text.len());
        }

        #[test]
        fn nothing_makes_it_panic(event: Vec<u8>) {
            Words::new(&["\"content\":"]).size(&event);
        }
    }
}
