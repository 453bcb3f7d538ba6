//! A dialect as a provider speaks it: on which paths, for which models, with which header for its key.

use crate::provider::Auth;
use dialect::DialectId;
use http::Uri;
use std::sync::OnceLock;

/// One dialect of a row of the table. What it leaves out is as [`dialect::Dialect::paths`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The dialect.
    pub dialect: DialectId,
    /// Path of [`crate::provider::Operation::Generate`], behind the base.
    pub generate: Option<&'static str>,
    /// Path of a streamed answer, where it does not follow from the other.
    pub stream: Option<&'static str>,
    /// How it wants its key on these paths, where that is not the provider's way.
    pub auth: Option<Auth>,
    /// The beginning of the names of the models that speak it; empty for all that no other one of the row
    /// begins.
    pub only: &'static str,
    /// Members that a body must have beside the caller's, as JSON text.
    pub sets: &'static [(&'static str, &'static str)],
}

/// A dialect on its own paths.
pub(crate) const fn spoken(dialect: DialectId) -> Spoken {
    Spoken { dialect, generate: None, stream: None, auth: None, only: "", sets: &[] }
}

/// The ways to deviate.
impl Spoken {
    pub(crate) const fn at(self, generate: &'static str) -> Self {
        Spoken { generate: Some(generate), ..self }
    }

    pub(crate) const fn streamed_at(self, stream: &'static str) -> Self {
        Spoken { stream: Some(stream), ..self }
    }

    pub(crate) const fn only(self, only: &'static str) -> Self {
        Spoken { only, ..self }
    }

    pub(crate) const fn sets(self, sets: &'static [(&'static str, &'static str)]) -> Self {
        Spoken { sets, ..self }
    }

    pub(crate) const fn auth(self, auth: Auth) -> Self {
        Spoken { auth: Some(auth), ..self }
    }
}

/// One dialect of a provider that is on.
#[derive(Clone, Debug)]
pub struct Speech {
    /// The dialect.
    pub dialect: DialectId,
    /// Path of [`crate::provider::Operation::Generate`], behind the base.
    pub generate: String,
    /// Path of a streamed answer, where that is another.
    pub stream: Option<String>,
    /// Path of [`crate::provider::Operation::CountTokens`], where it has that.
    pub count: Option<String>,
    /// How it wants its key on these paths.
    pub auth: Auth,
    /// See [`Spoken::only`].
    pub only: &'static str,
    /// See [`Spoken::sets`].
    pub sets: &'static [(&'static str, &'static str)],
    /// The address of `generate`, where it is the same for every model.
    pub(crate) memo: OnceLock<Option<Uri>>,
}

impl Speech {
    /// What `spoken` means at a provider that wants its key as `auth` says. An operator may have said where
    /// `generate` is.
    #[must_use]
    pub fn new(spoken: &Spoken, auth: Auth, generate: Option<String>) -> Self {
        let natural = spoken.dialect.dialect().paths();
        let generate = generate.unwrap_or_else(|| spoken.generate.unwrap_or(natural.generate).to_owned());
        // Who names the model in the path against the dialect's habit counts tokens in no way that follows.
        let alike = natural.names_model() == generate.contains("{model");
        let beside = |other: &str| sibling(natural.generate, other, &generate);
        Speech {
            dialect: spoken.dialect,
            stream: spoken.stream.map(str::to_owned).or_else(|| natural.stream.and_then(beside)),
            count: natural.count.filter(|_| alike).and_then(beside),
            auth: spoken.auth.unwrap_or(auth),
            only: spoken.only,
            sets: spoken.sets,
            memo: OnceLock::new(),
            generate,
        }
    }

    /// Puts `text` in place of `{place}` in every path.
    pub(crate) fn place(&mut self, text: &str) {
        let paths = [Some(&mut self.generate), self.stream.as_mut(), self.count.as_mut()];
        for path in paths.into_iter().flatten() {
            *path = place(path, text);
        }
    }

    /// The model's name stands in the path, and so in no body.
    #[must_use]
    pub fn names_model(&self) -> bool {
        self.generate.contains("{model")
    }

    /// `path` is one of this dialect's, beside that of `generate`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let room = self.generate.split("/{").next().unwrap_or_default();
        let room = room.strip_suffix("/chat/completions").unwrap_or(room);
        path.starts_with(room)
    }
}

/// Where `other` is when `generate` stands in place of `natural`: they differ behind what both begin with.
fn sibling(natural: &str, other: &str, generate: &str) -> Option<String> {
    let same = natural.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let head = generate.strip_suffix(natural.get(same..)?)?;
    Some(head.to_owned() + other.get(same..)?)
}

/// `path` with what lies between a cloud's version and its models in its place, which may be nothing.
pub(crate) fn place(path: &str, text: &str) -> String {
    let nothing = if text.is_empty() { "/{place}" } else { "{place}" };
    path.replacen(nothing, text, 1)
}

/// `path` with the model in its place.
pub(crate) fn fill(path: &str, model: &str) -> String {
    path.replacen("{model..}", &encoded(model, true), 1).replacen("{model}", &encoded(model, false), 1)
}

/// A name as a path can hold it, its slashes kept or not.
fn encoded(name: &str, slashes: bool) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'@' => text.push(char::from(byte)),
            b'/' if slashes => text.push('/'),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
