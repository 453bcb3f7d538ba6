//! One pass over a JSON text: it is checked whole, and nothing is built.

use super::{Member, Outline, pointer};
use crate::{Fault, limits::JSON_DEPTH_MAX};
use bytes::Bytes;

// One bit a level.
const _: () = assert!(JSON_DEPTH_MAX <= u64::BITS as usize);

/// Reads the outline of `body`.
pub(super) fn outline<'p>(body: &Bytes, policy: &[&'p str]) -> Result<Outline<'p>, Fault> {
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(Fault::bad("", "the body begins with a byte order mark, which JSON does not allow")
            .hint("send UTF-8 without a byte order mark"));
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(Fault::bad("", format!("the body is not UTF-8 at byte {}", error.valid_up_to())));
    }
    let mut scan =
        Scan { bytes: body, policy, at: 0, depth: 0, objects: 0, count: 0, comma: 0, members: Vec::new() };
    let open = scan.document()?;
    Ok(Outline { body: body.clone(), open, count: scan.count, members: scan.members })
}

struct Scan<'a, 'p> {
    bytes: &'a [u8],
    policy: &'a [&'p str],
    at: usize,
    depth: usize,
    /// A bit for each open level, the innermost lowest: it is an object.
    objects: u64,
    /// Top-level members so far.
    count: usize,
    /// The last comma at top level.
    comma: usize,
    members: Vec<Member<'p>>,
}

impl<'p> Scan<'_, 'p> {
    /// Checks the whole text; the place behind its `{`.
    fn document(&mut self) -> Result<usize, Fault> {
        self.white();
        match self.peek() {
            None => return Err(Fault::bad("", "the body is empty").hint("send a JSON object")),
            Some(b'{') => {}
            Some(_) => return Err(self.wrong("`{`, as the body must be an object")),
        }
        let open = self.at + 1;
        loop {
            if self.value()? {
                self.value_end()?;
            }
            if self.depth == 0 {
                break;
            }
        }
        self.white();
        if self.at < self.bytes.len() { Err(self.wrong("nothing behind the object")) } else { Ok(open) }
    }

    /// Takes a value, or the opening of a list or object that is not empty: then `false`, and its first
    /// value is due.
    fn value(&mut self) -> Result<bool, Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| true),
            Some(b'{') => self.open(true, b'}'),
            Some(b'[') => self.open(false, b']'),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| true),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.wrong("a value")),
        }
    }

    fn open(&mut self, object: bool, close: u8) -> Result<bool, Fault> {
        if self.depth == JSON_DEPTH_MAX {
            let (line, column) = self.place();
            let message =
                format!("the body is nested deeper than {JSON_DEPTH_MAX} levels at {line}:{column}");
            return Err(Fault::bad("", message));
        }
        self.at += 1;
        self.white();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(true);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u64::from(object);
        if object {
            self.key()?;
        }
        Ok(false)
    }

    /// Goes on behind a value: closes what ends here, until another value is due or all is closed.
    fn value_end(&mut self) -> Result<(), Fault> {
        while self.depth > 0 {
            if self.depth == 1 {
                self.member_end();
            }
            self.white();
            let object = self.objects & 1 == 1;
            match (self.peek(), object) {
                (Some(b','), _) => {
                    if self.depth == 1 {
                        self.comma = self.at;
                    }
                    self.at += 1;
                    self.white();
                    return if object { self.key() } else { Ok(()) };
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.depth -= 1;
                    self.objects >>= 1;
                }
                (_, true) => return Err(self.wrong("`,` or `}`")),
                (_, false) => return Err(self.wrong("`,` or `]`")),
            }
        }
        Ok(())
    }

    /// Takes a member's name and its colon.
    fn key(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a member's name in double quotes"));
        }
        let escaped = self.string()?;
        let end = self.at;
        self.white();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:`"));
        }
        self.at += 1;
        self.white();
        if self.depth == 1 { self.member(start, end, escaped) } else { Ok(()) }
    }

    /// Notes a member of the top level whose value begins here.
    fn member(&mut self, start: usize, end: usize, escaped: bool) -> Result<(), Fault> {
        let index = self.count;
        self.count += 1;
        if let Some(before) = self.members.last_mut().filter(|before| before.index + 1 == index) {
            before.next = start;
        }
        let Some((name, exact)) = self.policy_name(start, end, escaped) else { return Ok(()) };
        if self.members.iter().any(|member| member.name == name) {
            return Err(
                Fault::bad(pointer(name), format!("`{name}` stands twice in the body")).hint("send it once")
            );
        }
        if !exact {
            return Err(Fault::bad(pointer(name), format!("`{name}` is written in another way"))
                .hint(format!("write it `\"{name}\"`, to the letter and without escapes")));
        }
        let comma = if index == 0 { start } else { self.comma };
        let value = self.at..self.at;
        self.members.push(Member { name, index, comma, key: start..end, value, next: end });
        Ok(())
    }

    fn member_end(&mut self) {
        let at = self.at;
        if let Some(member) = self.members.last_mut().filter(|member| member.index + 1 == self.count) {
            member.value.end = at;
            member.next = at;
        }
    }

    /// The policy member that some parser might take the name for, and whether it is written exactly so.
    fn policy_name(&self, start: usize, end: usize, escaped: bool) -> Option<(&'p str, bool)> {
        let quoted = self.bytes.get(start..end)?;
        let plain = quoted.get(1..quoted.len() - 1)?;
        if escaped || !plain.is_ascii() {
            let decoded: String = serde_json::from_slice(quoted).ok()?;
            let folded: String = decoded.chars().map(fold).collect();
            return self
                .policy
                .iter()
                .find(|name| name.eq_ignore_ascii_case(&folded))
                .map(|name| (*name, false));
        }
        let name = self.policy.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(plain))?;
        Some((name, name.as_bytes() == plain))
    }

    /// Takes a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("no control character in a string")),
                None => return Err(self.wrong("the string's end")),
            }
            escaped = true;
        }
        self.at += 1;
        Ok(escaped)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.wrong("four hex digits behind `\\u`"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("one of `\"\\/bfnrtu` behind `\\`")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<bool, Fault> {
        if !self.bytes.get(self.at..).unwrap_or_default().starts_with(word) {
            return Err(self.wrong("`true`, `false` or `null`"));
        }
        self.at += word.len();
        Ok(true)
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn wrong(&self, expected: &str) -> Fault {
        let (line, column) = self.place();
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(byte @ b'!'..=b'~') => format!("`{}`", char::from(byte)),
            Some(byte) => format!("byte 0x{byte:02X}"),
        };
        Fault::bad(
            "",
            format!("the body is not valid JSON: expected {expected}, found {found} at {line}:{column}"),
        )
    }

    /// Line and column of the place where we stand, from 1, in bytes.
    fn place(&self) -> (usize, usize) {
        let before = self.bytes.get(..self.at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        (line, column)
    }
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

/// How many bytes from the beginning are plain: no quote, no backslash, no control character. Thirty-two
/// at a time (which the compiler turns into vector code), then eight, then one.
fn plain(bytes: &[u8]) -> usize {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (wide, _) = bytes.as_chunks::<32>();
    let clean =
        wide.iter().take_while(|chunk| !chunk.iter().fold(false, |hit, byte| hit | special(*byte))).count()
            * 32;
    let rest = bytes.get(clean..).unwrap_or_default();
    let (words, _) = rest.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return clean + number * 8 + hits.trailing_zeros() as usize / 8;
        }
    }
    let done = clean + words.len() * 8;
    let rest = bytes.get(done..).unwrap_or_default();
    done + rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len())
}

/// The high bit of each byte that is special. Above the lowest one there may be false ones.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let less = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & HIGHS
}
