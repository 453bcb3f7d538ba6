//! Secrets: a type that cannot be printed.

use zeroize::Zeroizing;

/// A key, token or password. It has no `Debug`, no `Display` and no `Serialize`; its bytes are wiped when
/// it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one place that must send or hash it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
