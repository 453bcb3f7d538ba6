//! What is wrong with a configuration, and where.

use super::{
    read::is_plain_name,
    tree::{Node, Place},
};
use std::{fmt, ops::Range};

/// Something that is wrong with a configuration. It never holds a secret: a value is quoted only in
/// `excerpt`, where all that may be one is masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file, `environment` or `command line`.
    pub file: String,
    /// From 1; 0 where there is no line to show.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In words.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
    /// The line itself, without what may be secret.
    pub excerpt: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Problem { message: message.into(), ..Problem::default() }
    }

    pub(crate) fn at(self, place: &Place) -> Self {
        Problem { line: place.line, column: place.column, ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Problem { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{:>5} | {excerpt}", self.line)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Something that the operator should know, though it stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// It is dangerous and not only news.
    pub warning: bool,
    /// In words.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.warning { "warning" } else { "note" }, self.message)
    }
}

/// One line of `text` in which every word is masked that does not stand in one of `safe` (ranges of bytes)
/// and is not one of `words`. Punctuation stays.
pub(super) fn excerpt(text: &str, line: usize, safe: &[Range<usize>], words: &[&str]) -> Option<String> {
    let line = text.split('\n').nth(line.checked_sub(1)?)?.trim_end_matches('\r');
    let offset = line.as_ptr() as usize - text.as_ptr() as usize;
    let is_safe = |at: usize| safe.iter().any(|range| range.contains(&(offset + at)));
    let mut shown = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let at = line.len() - rest.len();
        let end = match first {
            first if ends_word(first) => first.len_utf8(),
            _ => rest.find(ends_word).unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at(end);
        let keep =
            ends_word(first) || words.contains(&word) || word.char_indices().all(|(i, _)| is_safe(at + i));
        shown.push_str(if keep { word } else { MASK });
        rest = behind;
    }
    while shown.contains(TWO_MASKS) {
        shown = shown.replace(TWO_MASKS, MASK);
    }
    Some(shown.chars().filter(|c| !c.is_control() || *c == '\t').take(EXCERPT_MAX).collect())
}

const MASK: &str = "***";
const TWO_MASKS: &str = "*** ***";
/// Longest line that is shown, in characters.
const EXCERPT_MAX: usize = 160;

/// Punctuation of YAML, and blanks.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, ':' | ',' | '[' | ']' | '{' | '}' | '"' | '\'' | '#' | '|' | '>' | '&')
}

/// The places of a tree whose text may be shown: names of members, and values that are not secret, not
/// unknown and not in `hidden`.
pub(super) fn safe_places(tree: &Node, hidden: &[Vec<String>]) -> Vec<Range<usize>> {
    let mut safe = Vec::new();
    tree.walk(&mut Vec::new(), &mut |path, node| {
        if is_secret(path) || hidden.iter().any(|hidden| path.starts_with(hidden)) {
            return;
        }
        let given = matches!(path, [room] if room == "models" || room == "providers");
        let names = node.names().filter(|(name, _)| given || is_plain_name(name));
        safe.extend(names.map(|(_, place)| place));
        if node.text().is_some_and(|text| !may_hold_password(text)) {
            safe.push(node.at.bytes.clone());
        }
    });
    safe
}

/// It may be an address with a user and a password, or with a key in its query, even a broken one: a colon
/// has something other than a port behind it.
fn may_hold_password(text: &str) -> bool {
    let address = text.split_once("//").map_or(text, |(_, address)| address);
    let ports = |part: &str| part.is_empty() || part.starts_with(|c: char| c.is_ascii_digit() || c == ':');
    text.contains(['@', '?']) || (text.contains('/') && !address.split(':').skip(1).all(ports))
}

/// Values below these names are secrets, wherever they stand.
fn is_secret(path: &[String]) -> bool {
    path.iter().any(|name| matches!(name.as_str(), "keys" | "headers" | "params" | "apiKeys" | "caller"))
}
