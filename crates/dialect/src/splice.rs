//! A body with declared edits and every other byte as it was.
//!
//! The body is looked at once, without a tree: it must be one JSON object (RFC 8259), and where its top-level
//! members stand is noted. Those that we must understand (*policy members*: `model`, `stream`, …) may stand
//! there once, in their exact spelling. Of `{"model":"a","model":"b"}`, `{"mod\u0065l":"a"}` and `{"Model":"a"}`
//! one parser reads one model and the next parser another, so what we allowed would not be what the provider
//! does.

mod scan;
#[cfg(test)]
mod tests;

use crate::{Fault, json};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::{borrow::Cow, ops::Range};

/// A body that was checked whole, with the places of its members.
#[derive(Clone, Debug)]
pub struct Outline {
    body: Bytes,
    /// Behind the `{` of the body.
    open: usize,
    /// In the order of the body.
    members: Vec<Member>,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Its name with the quotes.
    key: Place,
    value: Place,
}

/// A part of the body. Small, since a body may consist of next to nothing but members.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// Of a body whose length is known to fit.
    fn new(start: usize, end: usize) -> Self {
        let short = |place| u32::try_from(place).unwrap_or(u32::MAX);
        Place { start: short(start), end: short(end) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A change of one policy member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'p> {
    /// The member gets this value, and is put in where it was not there.
    Set {
        /// The member.
        name: &'p str,
        /// JSON text.
        json: Bytes,
    },
    /// The member goes.
    Remove(&'p str),
    /// The member gets another name. It goes where a member of that name is there already or is set.
    Rename {
        /// The member.
        from: &'p str,
        /// Its new name, a policy member too.
        to: &'p str,
    },
}

impl<'p> Edit<'p> {
    fn name(&self) -> &'p str {
        match self {
            Edit::Set { name, .. } | Edit::Remove(name) | Edit::Rename { from: name, .. } => name,
        }
    }
}

/// `body` is one JSON object, whole. A cheap way to see that an answer was not cut.
#[must_use]
pub fn is_object(body: &[u8]) -> bool {
    scan::texts(body, &[]).is_some()
}

/// The bytes of text, about, in the members of these names (with their quotes), wherever they stand in `body`.
/// `None` where that is not one JSON object, whole.
pub(crate) fn texts(body: &[u8], names: &[&str]) -> Option<usize> {
    scan::texts(body, names)
}

impl Outline {
    /// Checks `body` and notes where its members stand. Those named in `policy` are checked as
    /// [`Outline::check`] does.
    ///
    /// # Errors
    /// [`crate::FaultKind::BadRequest`] when the body is not one JSON object in UTF-8, is nested deeper than
    /// [`crate::limits::JSON_DEPTH_MAX`], or has a policy member twice or in another spelling.
    pub fn read(body: &Bytes, policy: &[&str]) -> Result<Outline, Fault> {
        let outline = scan::outline(body)?;
        outline.check(policy)?;
        Ok(outline)
    }

    /// The members named in `policy` may be looked for and changed: what they are is beyond doubt. Names are
    /// ASCII.
    ///
    /// # Errors
    /// [`crate::FaultKind::BadRequest`] when one of them stands there twice or in another spelling.
    pub fn check(&self, policy: &[&str]) -> Result<(), Fault> {
        for (number, member) in self.members.iter().enumerate() {
            let quoted = self.body.get(member.key.range()).unwrap_or_default();
            let Some((name, exact)) = policy_name(quoted, policy) else { continue };
            let before = self.members.get(..number).unwrap_or_default();
            if before.iter().any(|member| self.is_called(member, name)) {
                return Err(Fault::bad(pointer(name), format!("`{name}` stands twice in the body"))
                    .hint("send it once"));
            }
            if !exact {
                return Err(Fault::bad(pointer(name), format!("`{name}` is written in another way"))
                    .hint(format!("write it `\"{name}\"`, to the letter and without escapes")));
            }
        }
        Ok(())
    }

    /// The body as it was read.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The member is there, be it `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// The JSON text of the member's value; `null` counts as absent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        let value = self.body.get(self.member(name)?.value.range())?;
        std::str::from_utf8(value).ok().filter(|value| *value != "null")
    }

    /// The member's value, where it is a string.
    ///
    /// # Errors
    /// A fault when it is there and not a string.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'_, str>>, Fault> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            None => Err(wrong(name, "a string", raw)),
            Some(text) if !text.contains('\\') => Ok(Some(Cow::Borrowed(text))),
            Some(_) => match serde_json::from_str(raw) {
                Ok(text) => Ok(Some(Cow::Owned(text))),
                Err(_) => {
                    Err(Fault::bad(pointer(name), format!("`{name}` holds an escape that is no character")))
                }
            },
        }
    }

    /// The member's value, where it is a boolean.
    ///
    /// # Errors
    /// A fault when it is there and not a boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.raw(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(raw) => Err(wrong(name, "true or false", raw)),
        }
    }

    /// The member's value, where it is a whole number that is not negative.
    ///
    /// # Errors
    /// A fault when it is there and not such a number.
    pub fn whole(&self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        raw.parse().map(Some).map_err(|_| wrong(name, "a whole number, not negative", raw))
    }

    /// The body with `edits`, in pieces that share its buffer. Of several edits of one member the last
    /// counts.
    #[must_use]
    pub fn apply(&self, edits: &[Edit<'_>]) -> Vec<Bytes> {
        let (changes, survivors) = self.changes(edits);
        let mut pieces = Vec::with_capacity(2 * (changes.len() + edits.len()) + 2);
        let mut put = |piece: Bytes| {
            if !piece.is_empty() {
                pieces.push(piece);
            }
        };
        put(self.body.slice(..self.open));
        put(self.insertions(edits, survivors));
        let mut at = self.open;
        for (place, text) in changes {
            put(self.body.slice(at..place.start));
            put(text);
            at = place.end;
        }
        put(self.body.slice(at..));
        pieces
    }

    /// What is written in place of what, in the order of the body, and how many members stay.
    fn changes(&self, edits: &[Edit<'_>]) -> (Vec<(Range<usize>, Bytes)>, usize) {
        let mut removed = 0;
        let mut changes = Vec::with_capacity(edits.len());
        for (index, member) in self.members.iter().enumerate() {
            let edit = edits.iter().rev().find(|edit| self.is_called(member, edit.name()));
            match edit {
                None => {}
                Some(Edit::Set { json, .. }) => changes.push((member.value.range(), json.clone())),
                Some(Edit::Rename { to, .. }) if !self.will_have(to, edits) => {
                    changes.push((member.key.range(), Bytes::from(quoted(to))));
                }
                Some(Edit::Remove(_) | Edit::Rename { .. }) => {
                    changes.push((self.removal(index, removed == index), Bytes::new()));
                    removed += 1;
                }
            }
        }
        (changes, self.members.len() - removed)
    }

    /// What goes with a member: the comma before it, or, where nothing is left before it, the one behind.
    fn removal(&self, index: usize, first: bool) -> Range<usize> {
        let place = |index: Option<usize>| index.and_then(|index| self.members.get(index));
        let Some(member) = place(Some(index)) else { return 0..0 };
        let (key, value) = (member.key.range(), member.value.range());
        if first {
            return key.start..place(index.checked_add(1)).map_or(value.end, |next| next.key.range().start);
        }
        // Nothing but a comma and white space stands between two members.
        let end = place(index.checked_sub(1)).map_or(key.start, |before| before.value.range().end);
        let between = self.body.get(end..key.start).unwrap_or_default();
        end + between.iter().position(|byte| *byte == b',').unwrap_or(0)..value.end
    }

    /// The members that are set and were not there, for the place behind the `{`.
    fn insertions(&self, edits: &[Edit<'_>], survivors: usize) -> Bytes {
        let mut text = Vec::new();
        for (number, edit) in edits.iter().enumerate() {
            let Edit::Set { name, json } = edit else { continue };
            let later = edits.get(number + 1..).unwrap_or_default();
            if self.has(name) || last_edit(later, name).is_some() {
                continue;
            }
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(quoted(name).as_bytes());
            text.push(b':');
            text.extend_from_slice(json);
        }
        if !text.is_empty() && survivors > 0 {
            text.push(b',');
        }
        Bytes::from(text)
    }

    fn will_have(&self, name: &str, edits: &[Edit<'_>]) -> bool {
        match last_edit(edits, name) {
            Some(Edit::Set { .. }) => true,
            Some(_) => false,
            None => self.has(name),
        }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| self.is_called(member, name))
    }

    /// Its name is this, to the letter.
    fn is_called(&self, member: &Member, name: &str) -> bool {
        let Range { start, end } = member.key.range();
        end - start == name.len() + 2 && self.body.get(start + 1..end - 1) == Some(name.as_bytes())
    }
}

/// The policy member that some parser might take a name for, and whether it is written exactly so.
fn policy_name<'p>(quoted: &[u8], policy: &[&'p str]) -> Option<(&'p str, bool)> {
    let plain = quoted.get(1..quoted.len() - 1)?;
    if !plain.is_ascii() || plain.contains(&b'\\') {
        let decoded: String = serde_json::from_slice(quoted).ok()?;
        let folded: String = decoded.chars().map(fold).collect();
        return policy.iter().find(|name| name.eq_ignore_ascii_case(&folded)).map(|name| (*name, false));
    }
    let name = policy.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(plain))?;
    Some((name, name.as_bytes() == plain))
}

/// A character as the laxest parser folds it: Go's `encoding/json` takes these two for `s` and `k`
/// (<https://pkg.go.dev/encoding/json#Unmarshal>, "case-insensitive match").
fn fold(character: char) -> char {
    match character {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

fn last_edit<'a>(edits: &'a [Edit<'a>], name: &str) -> Option<&'a Edit<'a>> {
    edits.iter().rev().find(|edit| edit.name() == name)
}

/// A member's name as JSON text.
fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

fn pointer(name: &str) -> String {
    format!("/{name}")
}

/// The fault for a value of the wrong type; its first byte tells the type.
fn wrong(name: &str, expected: &str, raw: &str) -> Fault {
    let found = match raw.bytes().next() {
        Some(b'"') => Value::String(String::new()),
        Some(b'{') => Value::Object(Map::new()),
        Some(b'[') => Value::Array(Vec::new()),
        Some(b't' | b'f') => Value::Bool(true),
        _ => Value::Number(0.into()),
    };
    json::wrong(&pointer(name), expected, &found)
}
