//! Ids of tool calls, as one API gives them and another takes them.

use crate::DialectId;
use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};

/// What ids of tool calls a provider takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// Any.
    #[default]
    Any,
    /// Letters, digits, `_` and `-`, so many at most, each id once in a conversation.
    Plain(usize),
    /// Exactly nine letters and digits (Mistral).
    Nine,
}

impl IdForm {
    /// An id of this form.
    #[must_use]
    pub fn fits(self, id: &str) -> bool {
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
        match self {
            IdForm::Any => true,
            IdForm::Plain(max) => (1..=max).contains(&id.len()) && id.bytes().all(is_plain),
            IdForm::Nine => id.len() == 9 && id.bytes().all(|letter| letter.is_ascii_alphanumeric()),
        }
    }

    /// The results in a body of `dialect` name calls by ids of this form. The body is looked at, not parsed:
    /// within a string the quotes would be escaped. A call without a result has its id for no one.
    #[must_use]
    pub fn fits_all(self, body: &[u8], dialect: DialectId) -> bool {
        let name: &[u8] = match (self, dialect) {
            (IdForm::Plain(_) | IdForm::Nine, DialectId::Anthropic) => b"\"tool_use_id\"",
            (IdForm::Plain(_) | IdForm::Nine, DialectId::OpenaiChat) => b"\"tool_call_id\"",
            _ => return true,
        };
        memmem::find_iter(body, name).all(|place| {
            let value = body.get(place + name.len()..).unwrap_or_default().trim_ascii_start();
            let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
            let id = value.strip_prefix(b"\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
            id.and_then(|id| std::str::from_utf8(id).ok()).is_none_or(|id| self.fits(id))
        })
    }
}

/// Writes ids of tool calls in the form that a provider takes. Others write `functions.weather:0`, or
/// `call_0` in every turn.
#[derive(Debug, Default)]
pub struct ToolIds {
    form: IdForm,
    /// For every id of the sender's: what it was last written as, and how often it has been.
    given: BTreeMap<String, (String, u32)>,
    used: BTreeSet<String>,
}

impl ToolIds {
    /// No id has been written.
    #[must_use]
    pub fn new(form: IdForm) -> Self {
        ToolIds { form, ..ToolIds::default() }
    }

    /// How a call is written.
    #[must_use]
    pub fn call(&mut self, id: &str) -> String {
        let before = self.given.get(id).map_or(0, |(_, count)| *count);
        // Every number that is tried in vain was given to another call, so this ends.
        for count in before.saturating_add(1).. {
            let written = self.written(id, count);
            if self.form == IdForm::Any || self.used.insert(written.clone()) {
                self.given.insert(id.to_owned(), (written.clone(), count));
                return written;
            }
        }
        self.written(id, 1)
    }

    /// How the result of a call is written.
    #[must_use]
    pub fn result(&self, id: &str) -> String {
        self.given.get(id).map_or_else(|| self.written(id, 1), |(written, _)| written.clone())
    }

    /// The same id and number are always written the same, so that prompts can be cached.
    fn written(&self, id: &str, count: u32) -> String {
        let end = if count == 1 { String::new() } else { format!("_{count}") };
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        match self.form {
            IdForm::Nine if !(self.form.fits(id) && count == 1) => nine(&format!("{id}{end}")),
            IdForm::Any | IdForm::Nine => id.to_owned(),
            IdForm::Plain(max) => {
                let id = if id.is_empty() { "call" } else { id };
                let room = max.saturating_sub(end.len());
                id.chars().map(plain).take(room).chain(end.chars()).collect()
            }
        }
    }
}

/// Nine letters and digits made of a text (FNV-1a).
fn nine(text: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let mut hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, step);
    let letter = |_| {
        let place = usize::try_from(hash % 62).unwrap_or(0);
        hash /= 62;
        LETTERS.get(place).map_or('0', |letter| char::from(*letter))
    };
    (0..9).map(letter).collect()
}
