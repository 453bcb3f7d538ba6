//! What could not be carried from one dialect to another, said aloud.

use crate::{DialectId, limits::LOSSES_MAX};

/// One thing that was lost: where it stood in what the sender wrote, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// JSON pointer into the sender's body, such as `/messages/2/content/0/cache_control`.
    pub pointer: String,
    /// A few words for the log.
    pub why: &'static str,
}

/// The losses of one reading or writing, without repetition and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Losses(Vec::new())
    }

    /// Notes a loss. The same pointer is noted once; beyond [`LOSSES_MAX`] the rest is left out, as the
    /// caller already knows that the request does not fit.
    pub fn note(&mut self, pointer: impl Into<String>, why: &'static str) {
        let pointer = pointer.into();
        if self.0.len() < LOSSES_MAX && !self.0.iter().any(|loss| loss.pointer == pointer) {
            self.0.push(Loss { pointer, why });
        }
    }

    /// Takes over all of `other`.
    pub fn absorb(&mut self, other: Losses) {
        for loss in other.0 {
            self.note(loss.pointer, loss.why);
        }
    }

    /// The same, with pointers in the words of the `sender`, whose body they point into.
    #[must_use]
    pub fn in_words_of(mut self, sender: DialectId) -> Losses {
        let names = sender.dialect().names();
        let step = names.iter().find(|(ours, _)| *ours == "content");
        for loss in &mut self.0 {
            let renamed = names.iter().find_map(|(ours, theirs)| {
                let rest = loss.pointer.strip_prefix(ours)?;
                let rest = match step {
                    Some((ours, theirs)) if loss.pointer.starts_with("/messages/") => {
                        rest.replacen(&format!("/{ours}"), &format!("/{theirs}"), 1)
                    }
                    _ => rest.to_owned(),
                };
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("{theirs}{rest}"))
            });
            loss.pointer = renamed.unwrap_or_else(|| std::mem::take(&mut loss.pointer));
        }
        self
    }

    /// Nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The losses in the order in which they were noted.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }
}

/// A value that was read or written, with what was lost on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried<T> {
    /// The value.
    pub value: T,
    /// What it does not hold any more.
    pub losses: Losses,
}

impl<T> Carried<T> {
    /// A value that lost nothing.
    #[must_use]
    pub fn whole(value: T) -> Self {
        Carried { value, losses: Losses::new() }
    }
}
