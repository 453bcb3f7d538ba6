//! Paths: which are refused at sight, what `/key/…` chooses, and where `/{provider}/…` goes.

use crate::plan::Plan;
use dialect::Fault;

/// Looks at the path of a request (without its query) before anything else does: what one reader takes for
/// another path than the next one must not get through.
///
/// # Errors
/// A bad request that names what is wrong.
pub fn check(path: &str) -> Result<(), Fault> {
    let refuse = |what: &str| Err(Fault::bad("", format!("the path must not hold {what}")));
    if !path.starts_with('/') {
        return Err(Fault::bad("", "the path must begin with `/`"));
    }
    if is_plain(path) {
        return Ok(());
    }
    let Some(plain) = decode(path) else {
        return refuse("a `%` without two hexadecimal digits, or what is not UTF-8");
    };
    let encoded = path.to_ascii_lowercase();
    if let Some(what) = ["%2e", "%2f", "%5c", "%25", "%3b"].iter().find(|code| encoded.contains(**code)) {
        return refuse(&format!("`{what}`"));
    }
    if plain.chars().any(char::is_control) {
        return refuse("control characters");
    }
    if let Some(what) = plain.chars().find(|c| matches!(c, '\\' | ';' | '?' | '#') || is_look_alike(*c)) {
        return refuse(&format!("`{what}`"));
    }
    if plain.contains("//") {
        return refuse("`//`");
    }
    if plain.split('/').any(|segment| segment == "." || segment == "..") {
        return refuse("`.` or `..` as a segment");
    }
    Ok(())
}

/// Letters and digits between single slashes, as nearly every path is: there is only one way to read it.
fn is_plain(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b':');
    path.bytes().all(plain) && !path.contains("//")
}

/// Characters that some servers fold into `.`, `/` or `\`.
fn is_look_alike(c: char) -> bool {
    matches!(c, '\u{2024}' | '\u{2025}' | '\u{2044}' | '\u{2215}' | '\u{FF0E}' | '\u{FF0F}' | '\u{FF3C}')
}

/// A path, or a part of an address, with its percent codes resolved, once. `None` where they are no text.
#[must_use]
pub fn decode(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut plain = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

/// The members of an address's query, their percent codes resolved. One that is no text is empty.
pub fn query(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split(['&', ';']).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name).unwrap_or_default(), decode(value).unwrap_or_default())
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Which of a provider's keys a request wants (`/key/…/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChoice {
    /// Whichever is next: `/key/-/`, or no such prefix.
    Next,
    /// This one, counted from 0 and around: `/key/3/`.
    One(usize),
    /// Any from the first to the last, both counted in: `/key/1-3/`, `/key/2-/`, `/key/-4/`.
    Range(usize, Option<usize>),
}

impl KeyChoice {
    /// The index of the key that a request gets: `keys` are there, `next` is the one whose turn it is and
    /// `roll` a number by chance.
    #[must_use]
    pub fn pick(self, keys: usize, next: usize, roll: u64) -> usize {
        let keys = keys.max(1);
        match self {
            KeyChoice::Next => next % keys,
            KeyChoice::One(index) => index % keys,
            KeyChoice::Range(first, last) => {
                let first = first % keys;
                let last = last.unwrap_or(usize::MAX).min(keys - 1);
                let width = u64::try_from(last.saturating_sub(first)).unwrap_or(0) + 1;
                first + usize::try_from(roll % width).unwrap_or(0)
            }
        }
    }
}

/// Takes `/key/…` off the front of a path. A path without it, or with something else in its place, comes
/// back as it is.
#[must_use]
pub fn key_choice(path: &str) -> (KeyChoice, &str) {
    let choice = || {
        let rest = path.strip_prefix("/key/")?;
        let (choice, _) = rest.split_once('/')?;
        Some((parse_choice(choice)?, rest.get(choice.len()..)?))
    };
    choice().unwrap_or((KeyChoice::Next, path))
}

fn parse_choice(text: &str) -> Option<KeyChoice> {
    let Some((first, last)) = text.split_once('-') else {
        return number(text).map(KeyChoice::One);
    };
    match (first, last) {
        ("", "") => Some(KeyChoice::Next),
        (first, "") => Some(KeyChoice::Range(number(first)?, None)),
        ("", last) => Some(KeyChoice::Range(0, Some(number(last)?))),
        (first, last) => Some(KeyChoice::Range(number(first)?, Some(number(last)?))),
    }
}

/// Digits and nothing else; not so many that they could mean anything.
fn number(text: &str) -> Option<usize> {
    (text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Where a request of the pass-through goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass<'a> {
    /// Index into [`Plan::providers`].
    pub provider: usize,
    /// The rest of the path, with its query, for [`crate::plan::Provider::address`].
    pub path: &'a str,
}

impl Plan {
    /// The provider that the first segment of a path names, and the rest. `path` has its query still and
    /// has passed [`check`].
    #[must_use]
    pub fn pass<'a>(&self, path: &'a str) -> Option<Pass<'a>> {
        let rest = path.strip_prefix('/')?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let provider = self.provider(rest.get(..end)?)?;
        Some(Pass { provider, path: rest.get(end..).filter(|rest| !rest.is_empty()).unwrap_or("/") })
    }
}
