//! As much of Rust's grammar as the rules need: what is code, and where a function begins and ends.

/// The text with every comment and literal emptied, line for line as it was.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest)
            .or_else(|| raw_string(rest, &out))
            .or_else(|| quoted(rest))
            .or_else(|| character(rest));
        let length = skipped.unwrap_or(first.len_utf8());
        let (token, after) = rest.split_at(length);
        match skipped {
            Some(_) => out.extend(token.chars().filter(|c| *c == '\n')),
            None => out.push(first),
        }
        rest = after;
    }
    out
}

/// Every function with a body: its name, its first line (from 1) and how many lines it has. Wants
/// [`code_only`] text.
pub(super) fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let starts = code.match_indices("fn ").filter(|(at, _)| !ends_in_word(code.get(..*at).unwrap_or("")));
    starts.filter_map(|(at, _)| function(code, at)).collect()
}

/// The words of a text that are made like Rust's names, each with what follows it.
pub(super) fn names(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = code;
    std::iter::from_fn(move || {
        let start = rest.find(is_word)?;
        let word = rest.get(start..)?;
        let length = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(length);
        rest = after;
        Some((name, after))
    })
}

fn function(code: &str, at: usize) -> Option<(&str, usize, usize)> {
    let body = code.get(at + 3..)?;
    let name = body.get(..body.find(|c| !is_word(c))?)?;
    let mut depth = 0_usize;
    for (offset, byte) in body.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 && byte == b';' {
            return None;
        }
        if depth == 0 && byte == b'}' {
            let line = code.get(..at)?.matches('\n').count() + 1;
            let lines = body.get(..offset)?.matches('\n').count() + 1;
            return (!name.is_empty()).then_some((name, line, lines));
        }
    }
    None
}

/// Length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let inside = text.strip_prefix("/*")?;
    Some(inside.find("*/").map_or(text.len(), |end| end + 4))
}

/// Length of the raw string that the text begins with, unless its `r` is the end of a name.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    let fence = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = fence.len() - fence.trim_start_matches('#').len();
    if ends_in_word(before) || !fence.trim_start_matches('#').starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = text.len() - fence.len() + hashes + 1;
    Some(text.get(opening..)?.find(&end).map_or(text.len(), |at| opening + at + end.len()))
}

/// Length of the string that the text begins with.
fn quoted(text: &str) -> Option<usize> {
    text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return Some(at + 1),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Some(text.len())
}

/// Length of the character literal that the text begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let end = escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0;
        return Some(end + 3);
    }
    let first = inside.chars().next()?;
    inside.get(first.len_utf8()..)?.starts_with('\'').then(|| first.len_utf8() + 2)
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(is_word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
