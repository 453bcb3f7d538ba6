//! A form (`multipart/form-data`, RFC 7578) on its way: where its `model` stands, and that it stands there
//! once.
//!
//! A form is never held whole. It is looked at as it passes, since of two fields `model` one parser reads the
//! first and the next parser the last: what we allowed would not be what the provider does.

use crate::limits::{MODEL_NAME_MAX, PART_HEAD_MAX};
use dialect::Fault;
use http::{HeaderMap, header};
use memchr::memmem;
use std::ops::Range;

/// The field that says where a form goes.
const MODEL: &str = "model";

/// A form of which more and more is seen. Any split of its bytes gives the same.
pub struct Form {
    /// The line that ends a part, with the end of the line before it.
    delimiter: Vec<u8>,
    place: Place,
    /// What has come and is not understood yet. Before the first byte stands the end of a line, so that the
    /// first delimiter is one like the others.
    held: Vec<u8>,
    /// Where `held` begins in the form, counted with the byte before its first.
    at: usize,
    model: Option<Field>,
}

/// Where we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In what a part holds, or before the first part.
    Data,
    /// In what the field `model` holds.
    Model,
    /// Behind a delimiter, in the headers of a part.
    Head,
}

/// The model that a form names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where its name stands in the form.
    pub range: Range<usize>,
    /// Its name.
    pub name: String,
}

impl Form {
    /// The form that a request with these headers brings; `None` where its body is none.
    ///
    /// # Errors
    /// A bad request where the headers do not say how the form is cut.
    pub fn of(headers: &HeaderMap) -> Result<Option<Form>, Fault> {
        let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(kind) = kinds.next() else { return Ok(None) };
        let refused = || Fault::bad("Content-Type", "a form needs one `boundary` of 1 to 70 characters");
        let Ok(kind) = kind.to_str() else { return Ok(None) };
        let (name, rest) = kind.split_once(';').unwrap_or((kind, ""));
        if !name.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let parameters = parameters(rest).filter(|_| kinds.next().is_none()).ok_or_else(refused)?;
        let mut boundaries = parameters.iter().filter(|(name, _)| name == "boundary");
        match (boundaries.next(), boundaries.next()) {
            (Some((_, boundary)), None) if (1..=70).contains(&boundary.len()) => Ok(Some(Form {
                delimiter: format!("\n--{boundary}").into_bytes(),
                place: Place::Data,
                held: vec![b'\n'],
                at: 0,
                model: None,
            })),
            _ => Err(refused()),
        }
    }

    /// The model, once its whole field has been seen.
    #[must_use]
    pub fn model(&self) -> Option<&Field> {
        self.model.as_ref()
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// A bad request where a part cannot be read in one way only, or there is a second `model`.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut done = 0;
        while let Some(step) = self.step(held.get(done..).unwrap_or_default(), self.at + done)? {
            done += step;
        }
        if self.place == Place::Data {
            // Nothing but the beginning of a delimiter can be of use.
            done = done.max((held.len() + 1).saturating_sub(self.delimiter.len()));
        }
        self.held = held.get(done..).unwrap_or_default().to_vec();
        self.at += done;
        Ok(())
    }

    /// Goes over as much of `bytes` as can be understood, which is nothing where more must come first.
    fn step(&mut self, bytes: &[u8], at: usize) -> Result<Option<usize>, Fault> {
        if self.place == Place::Head {
            return self.head(bytes);
        }
        let end = memmem::find(bytes, &self.delimiter);
        if self.place == Place::Model {
            // With the end of the line that comes before the delimiter.
            if end.unwrap_or(bytes.len()) > MODEL_NAME_MAX + self.delimiter.len() {
                return Err(Fault::bad(MODEL, format!("a model name has 1 to {MODEL_NAME_MAX} bytes")));
            }
            if let Some(end) = end {
                self.model = Some(field(bytes.get(..end).unwrap_or_default(), at)?);
            }
        }
        let Some(end) = end else { return Ok(None) };
        self.place = Place::Head;
        Ok(Some(end + self.delimiter.len()))
    }

    /// Reads the headers of a part, from behind its delimiter on.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if bytes.len() < 2 {
            return Ok(None);
        }
        if bytes.starts_with(b"--") {
            self.place = Place::Data;
            return Ok(Some(2));
        }
        let end = end_of_head(bytes);
        if end.unwrap_or(bytes.len()) > PART_HEAD_MAX {
            return Err(Fault::bad(
                "",
                format!("the headers of a part are over the limit of {PART_HEAD_MAX} bytes"),
            ));
        }
        let Some(end) = end else { return Ok(None) };
        let is_model = is_model(bytes.get(..end).unwrap_or_default())?;
        if is_model && self.model.is_some() {
            return Err(Fault::bad(MODEL, "the form has the field `model` twice"));
        }
        self.place = if is_model { Place::Model } else { Place::Data };
        // The end of the line stays: a delimiter may follow at once.
        Ok(Some(if is_model { end } else { end - 1 }))
    }
}

/// Behind the first empty line. Nothing behind it is looked at: a form may have many parts.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The model in `bytes`, which begin at `at` and end with the end of a line but for its last byte.
fn field(bytes: &[u8], at: usize) -> Result<Field, Fault> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let name = std::str::from_utf8(bytes).map_err(|_| Fault::bad(MODEL, "the model's name is not UTF-8"))?;
    // Less the byte that stands before the first.
    let start = at.saturating_sub(1);
    Ok(Field { range: start..start + bytes.len(), name: name.to_owned() })
}

/// A part with these headers is the field `model`.
fn is_model(head: &[u8]) -> Result<bool, Fault> {
    let refused = |what: &str| Err(Fault::bad("", format!("a part of the form has {what}")));
    // A file's name may be in any encoding.
    let head = String::from_utf8_lossy(head);
    // What stands on the line of the delimiter is padding.
    let lines = head.split('\n').skip(1).map(|line| line.strip_suffix('\r').unwrap_or(line));
    let (mut names, mut encoded) = (Vec::new(), false);
    for line in lines.filter(|line| !line.is_empty()) {
        let Some((field, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else {
            return refused("a line in its headers that is no header");
        };
        encoded |= field.trim().eq_ignore_ascii_case("content-transfer-encoding");
        if field.trim().eq_ignore_ascii_case("content-disposition") {
            let rest = value.split_once(';').map_or("", |(_, rest)| rest);
            let Some(all) = parameters(rest) else { return refused("a crooked `Content-Disposition`") };
            names.extend(all.into_iter().filter(|(name, _)| name.trim_end_matches('*') == "name"));
        }
    }
    match names.as_slice() {
        [] => Ok(false),
        [(name, value)] if name == "name" => match value.replace('\\', "").eq_ignore_ascii_case(MODEL) {
            true if value == MODEL && !encoded => Ok(true),
            true => refused("a `model` that is not written plainly"),
            false => Ok(false),
        },
        _ => refused("a name that can be read in two ways"),
    }
}

/// The parameters behind a header's value, `name=value; name="value"`, names in lower case. `None` where they
/// are none.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                (value.trim().to_owned(), behind)
            }
        };
        all.push((name.trim().to_ascii_lowercase(), value));
        let behind = behind.trim_start();
        rest = if behind.is_empty() { behind } else { behind.strip_prefix(';')?.trim_start() };
    }
    Some(all)
}

/// A text up to its closing quote, its escapes resolved, and what stands behind it.
fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, quoted.get(at + 1..)?)),
            // Browsers write names of files with lone backslashes; only a quote is ever escaped.
            '\\' if quoted.get(at + 1..)?.starts_with(['"', '\\']) => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
    None
}
