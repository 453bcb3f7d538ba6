//! A body with declared edits and every other byte as it was.
//!
//! The body is looked at once, without a tree: it must be one JSON object (RFC 8259), and the top-level
//! members that we must understand (*policy members*: `model`, `stream`, …) are noted. They may stand there
//! once, in their exact spelling. Of `{"model":"a","model":"b"}`, `{"mod\u0065l":"a"}` and `{"Model":"a"}`
//! one parser reads one model and the next parser another, so what we allowed would not be what the provider
//! does.

mod scan;
#[cfg(test)]
mod tests;

use crate::{Fault, json};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::{borrow::Cow, ops::Range};

/// A body that was checked whole, with the places of its policy members.
#[derive(Clone, Debug)]
pub struct Outline<'p> {
    body: Bytes,
    /// Behind the `{` of the body.
    open: usize,
    /// How many members the body has, all counted.
    count: usize,
    /// The policy members that are there, in the order of the body.
    members: Vec<Member<'p>>,
}

/// Where a policy member stands.
#[derive(Clone, Debug)]
struct Member<'p> {
    name: &'p str,
    /// Its number among all members, from 0.
    index: usize,
    /// The comma before it; for the first member its own beginning.
    comma: usize,
    /// Its name with the quotes.
    key: Range<usize>,
    value: Range<usize>,
    /// The beginning of the next member; for the last member its own end.
    next: usize,
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

impl<'p> Outline<'p> {
    /// Checks `body` and notes where the members named in `policy` stand. Names are ASCII.
    ///
    /// # Errors
    /// [`crate::FaultKind::BadRequest`] when the body is not one JSON object in UTF-8, is nested deeper than
    /// [`crate::limits::JSON_DEPTH_MAX`], or has a policy member twice or in another spelling.
    pub fn read(body: &Bytes, policy: &[&'p str]) -> Result<Outline<'p>, Fault> {
        scan::outline(body, policy)
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
        let value = self.body.get(self.member(name)?.value.clone())?;
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
        let mut changes = Vec::with_capacity(self.members.len());
        for member in &self.members {
            match last_edit(edits, member.name) {
                None => {}
                Some(Edit::Set { json, .. }) => changes.push((member.value.clone(), json.clone())),
                Some(Edit::Rename { to, .. }) if !self.will_have(to, edits) => {
                    changes.push((member.key.clone(), Bytes::from(quoted(to))));
                }
                Some(Edit::Remove(_) | Edit::Rename { .. }) => {
                    // The comma before goes along, unless nothing is left before it: then the one behind.
                    let first = removed == member.index;
                    let place =
                        if first { member.key.start..member.next } else { member.comma..member.value.end };
                    changes.push((place, Bytes::new()));
                    removed += 1;
                }
            }
        }
        (changes, self.count - removed)
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

    fn member(&self, name: &str) -> Option<&Member<'p>> {
        self.members.iter().find(|member| member.name == name)
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
