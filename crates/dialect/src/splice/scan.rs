//! One pass over a JSON text: it is checked whole, and nothing is built.

use super::{Member, Outline, Place};
use crate::{Fault, FaultKind, limits::JSON_DEPTH_MAX};
use bytes::Bytes;
use memchr::memchr;
use std::mem;

// One bit a level.
const _: () = assert!(JSON_DEPTH_MAX <= u64::BITS as usize);

/// Room for the members of an ordinary request.
const MEMBERS: usize = 16;

/// How many words of a string are looked at before it counts as long.
const SHORT: usize = 4;

/// Reads the outline of `body`.
pub(super) fn outline(body: &Bytes) -> Result<Outline, Fault> {
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(Fault::bad("", "the body begins with a byte order mark, which JSON does not allow")
            .hint("send UTF-8 without a byte order mark"));
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(Fault::bad("", format!("the body is not UTF-8 at byte {}", error.valid_up_to())));
    }
    if u32::try_from(body.len()).is_err() {
        return Err(Fault::new(FaultKind::TooLarge, "the body is larger than 4 GiB"));
    }
    let mut scan = Scan::new(body);
    let mut members = Vec::with_capacity(MEMBERS);
    let open = scan.document(|member| members.push(member))?;
    Ok(Outline { body: body.clone(), open, members })
}

/// The bytes of text, about, in the members of these names (with their quotes), wherever they stand in `body`.
/// `None` where that is not one JSON object, whole.
pub(super) fn texts(body: &[u8], names: &[&str]) -> Option<usize> {
    let mut scan = Scan { names, ..Scan::new(body) };
    scan.document(|_| ()).ok()?;
    Some(scan.texts)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// A bit for each open level, the innermost lowest: it is an object.
    objects: u64,
    /// The name of the last member of the top level, and where its value begins.
    key: Place,
    value: usize,
    /// Members whose texts are measured, whether the next value is one's, and what there has been of them.
    names: &'a [&'a str],
    named: bool,
    texts: usize,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (key, names) = (Place::default(), &[]);
        Scan { bytes, at: 0, depth: 0, objects: 0, key, value: 0, names, named: false, texts: 0 }
    }

    /// Checks the whole text and tells of each member of the top level; the place behind its `{`.
    fn document(&mut self, mut tell: impl FnMut(Member)) -> Result<usize, Fault> {
        self.white();
        match self.peek() {
            None => return Err(Fault::bad("", "the body is empty").hint("send a JSON object")),
            Some(b'{') => {}
            Some(_) => return Err(self.wrong("`{`, as the body must be an object")),
        }
        let open = self.at + 1;
        loop {
            if self.value()? {
                self.value_end(&mut tell)?;
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
        let named = mem::take(&mut self.named);
        match self.peek() {
            Some(b'"') if named => self.text().map(|()| true),
            Some(b'"') => self.string().map(|()| true),
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
    fn value_end(&mut self, tell: &mut impl FnMut(Member)) -> Result<(), Fault> {
        while self.depth > 0 {
            if self.depth == 1 {
                tell(Member { key: self.key, value: Place::new(self.value, self.at) });
            }
            self.white();
            let object = self.objects & 1 == 1;
            match (self.peek(), object) {
                (Some(b','), _) => {
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
        self.string()?;
        let end = self.at;
        let name = self.bytes.get(start..end).unwrap_or_default();
        self.named = self.names.iter().any(|named| named.as_bytes() == name);
        self.white();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:`"));
        }
        self.at += 1;
        self.white();
        if self.depth == 1 {
            (self.key, self.value) = (Place::new(start, end), self.at);
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("no control character in a string")),
                None => return Err(self.wrong("the string's end")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a string and measures it.
    fn text(&mut self) -> Result<(), Fault> {
        let start = self.at + 1;
        self.string()?;
        self.texts += size(self.bytes.get(start..self.at - 1).unwrap_or_default());
        Ok(())
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

/// The bytes that a string stands for in UTF-8, about.
fn size(text: &[u8]) -> usize {
    let (mut rest, mut size) = (text, text.len());
    while let Some(at) = memchr(b'\\', rest) {
        // Six bytes stand for three at most, and otherwise two for one.
        size = size.saturating_sub(if rest.get(at + 1) == Some(&b'u') { 3 } else { 1 });
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    size
}

/// How many bytes from the beginning are plain: no quote, no backslash, no control character. Most strings are
/// short, and the first words find their end. Then it is thirty-two bytes at a time (which the compiler turns
/// into vector code), then eight, then one.
fn plain(bytes: &[u8]) -> usize {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (words, _) = bytes.as_chunks::<8>();
    let short = words.get(..SHORT).unwrap_or(words);
    if let Some(end) = special_in(short) {
        return end;
    }
    let (wide, _) = bytes.get(8 * short.len()..).unwrap_or_default().as_chunks::<32>();
    let is_clean = |chunk: &&[u8; 32]| !chunk.iter().fold(false, |hit, byte| hit | special(*byte));
    let clean = 8 * short.len() + 32 * wide.iter().take_while(is_clean).count();
    let (words, _) = bytes.get(clean..).unwrap_or_default().as_chunks::<8>();
    if let Some(end) = special_in(words) {
        return clean + end;
    }
    let done = clean + 8 * words.len();
    let rest = bytes.get(done..).unwrap_or_default();
    done + rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len())
}

/// Where the first special byte is.
fn special_in(words: &[[u8; 8]]) -> Option<usize> {
    words.iter().enumerate().find_map(|(number, word)| {
        let hits = special_bytes(u64::from_le_bytes(*word));
        (hits != 0).then(|| number * 8 + hits.trailing_zeros() as usize / 8)
    })
}

/// The high bit of each byte that is special. Above the lowest one there may be false ones.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let less = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & HIGHS
}
