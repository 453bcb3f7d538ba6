//! Walking JSON by hand: members are taken out as they are understood, and what is left is what the
//! dialect does not know. Every refusal names the place by JSON pointer.

use crate::{DialectId, Fault, canon::Extra};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Parses a body into a value.
///
/// # Errors
/// [`crate::FaultKind::BadRequest`] with the line and column.
pub fn parse(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::bad("", format!("the body is not valid JSON: {error}")))
}

/// An object that is being taken apart.
#[derive(Debug)]
pub struct Object {
    members: Map<String, Value>,
    pointer: String,
    /// Members may be spelt in snake case where they are asked for in camel case.
    lenient: bool,
}

impl Object {
    /// Begins to take `value` apart; `pointer` is where it stands (`""` for the whole body).
    ///
    /// # Errors
    /// A fault when it is not an object.
    pub fn new(value: Value, pointer: impl Into<String>) -> Result<Self, Fault> {
        let pointer = pointer.into();
        match value {
            Value::Object(members) => Ok(Object { members, pointer, lenient: false }),
            other => Err(wrong(&pointer, "an object", &other)),
        }
    }

    /// The same for an object whose members, and those of the objects in it, are spelt in camel case or in
    /// snake case, as protocol buffers allow: <https://protobuf.dev/programming-guides/json/>. They are asked
    /// for in camel case; what is not taken keeps its spelling.
    ///
    /// # Errors
    /// A fault when it is not an object.
    pub fn proto(value: Value, pointer: impl Into<String>) -> Result<Self, Fault> {
        Ok(Object { lenient: true, ..Object::new(value, pointer)? })
    }

    /// How a member is spelt here.
    #[must_use]
    pub fn spelling(&self, name: &str) -> String {
        let other = snake(name);
        let is_other = self.lenient && !self.members.contains_key(name) && self.members.contains_key(&other);
        if is_other { other } else { name.to_owned() }
    }

    /// Where a member stands.
    #[must_use]
    pub fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escaped(name))
    }

    /// Where the object stands.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Takes a member; `null` counts as absent. (A `null` that must be written back belongs in
    /// [`Object::rest`]: look with [`Object::is_null`] before.)
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let spelling = if self.lenient { &self.spelling(name) } else { name };
        match self.members.get(spelling) {
            None | Some(Value::Null) => None,
            Some(_) => self.members.shift_remove(spelling),
        }
    }

    /// The member is there and `null`.
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// Looks at a member without taking it.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&Value> {
        if self.lenient { self.members.get(&self.spelling(name)) } else { self.members.get(name) }
    }

    /// Looks at a string without taking it.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.peek(name).and_then(Value::as_str)
    }

    /// Puts a member back, so that it stays in [`Object::rest`].
    pub fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// Takes a string.
    ///
    /// # Errors
    /// A fault when the member is there and not a string. So do the others.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.at(name), "a string", &other)),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// A fault when it is missing or not a string.
    pub fn need_string(&mut self, name: &str) -> Result<String, Fault> {
        self.string(name)?.ok_or_else(|| Fault::bad(self.at(name), format!("`{name}` is missing")))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// A fault when the member is there and not a boolean.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(&self.at(name), "true or false", &other)),
        }
    }

    /// Takes a number, as it was written.
    ///
    /// # Errors
    /// A fault when the member is there and not a number.
    pub fn number(&mut self, name: &str) -> Result<Option<Number>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(other) => Err(wrong(&self.at(name), "a number", &other)),
        }
    }

    /// Takes a whole number that is not negative.
    ///
    /// # Errors
    /// A fault when the member is there and not such a number.
    pub fn whole(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(&self.at(name), "a whole number, not negative", &value)),
            },
        }
    }

    /// Takes a list.
    ///
    /// # Errors
    /// A fault when the member is there and not a list.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(wrong(&self.at(name), "a list", &other)),
        }
    }

    /// Takes a list of strings; one that is missing is empty.
    ///
    /// # Errors
    /// A fault when the member is there and not such a list.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>, Fault> {
        let words = self.list(name)?.into_iter().flatten().enumerate();
        let word = |(index, word)| match word {
            Value::String(word) => Ok(word),
            other => Err(wrong(&format!("{}/{index}", self.at(name)), "a string", &other)),
        };
        words.map(word).collect()
    }

    /// Takes an object.
    ///
    /// # Errors
    /// A fault when the member is there and not an object.
    pub fn object(&mut self, name: &str) -> Result<Option<Object>, Fault> {
        let pointer = self.at(name);
        let Some(value) = self.take(name) else { return Ok(None) };
        Ok(Some(Object { lenient: self.lenient, ..Object::new(value, pointer)? }))
    }

    /// Takes an object apart with `take`. What `take` leaves of it stays under the same name, and so does one
    /// that holds nothing.
    ///
    /// # Errors
    /// A fault when the member is there and not an object, and what `take` says.
    pub fn nested<T: Default>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Object) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.peek(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
            return Ok(T::default());
        }
        let Some(mut inner) = self.object(name)? else { return Ok(T::default()) };
        let taken = take(&mut inner)?;
        if !inner.members.is_empty() {
            self.put(name, Value::Object(inner.members));
        }
        Ok(taken)
    }

    /// Takes a whole number of at most `max`.
    ///
    /// # Errors
    /// A fault when the member is there and not such a number.
    pub fn small(&mut self, name: &str, max: u32) -> Result<Option<u32>, Fault> {
        let Some(number) = self.whole(name)? else { return Ok(None) };
        let fits = u32::try_from(number).ok().filter(|number| *number <= max);
        let fault = || Fault::bad(self.at(name), format!("`{name}` is {number}, and may be {max} at most"));
        fits.ok_or_else(fault).map(Some)
    }

    /// The names of the members that were not taken, without those that are `null`.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name)
    }

    /// What was not taken.
    #[must_use]
    pub fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// What was not taken, as members that only `dialect` knows.
    #[must_use]
    pub fn extra(self, dialect: DialectId) -> Extra {
        Extra::new(dialect, self.members)
    }
}

/// The place that a path such as `$.list[0].name` names, made where it is missing. `None` where there is
/// something else in the way.
pub fn place<'a>(mut value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    for step in path.split(['$', '.', '[', ']', '\'', '"']).filter(|step| !step.is_empty()) {
        let number = step.parse::<usize>().ok().filter(|_| !value.is_object());
        if value.is_null() {
            *value = if number.is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        value = match (value, number) {
            (Value::Array(list), Some(number)) => {
                if number == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(number)?
            }
            (Value::Object(members), None) => members.entry(step).or_insert(Value::Null),
            _ => return None,
        };
    }
    Some(value)
}

/// A name as a step of a JSON pointer.
#[must_use]
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The snake case spelling of a name in camel case.
#[must_use]
pub fn snake(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            written.push('_');
        }
        written.push(letter.to_ascii_lowercase());
    }
    written
}

/// Refuses what holds more than `max`.
///
/// # Errors
/// A fault at `pointer`.
pub fn bounded(pointer: &str, found: usize, max: usize) -> Result<(), Fault> {
    if found <= max {
        return Ok(());
    }
    Err(Fault::bad(pointer, format!("`{pointer}` holds {found}, and at most {max} are taken")))
}

/// The fault for a value of the wrong type.
#[must_use]
pub fn wrong(pointer: &str, expected: &str, found: &Value) -> Fault {
    let place = if pointer.is_empty() { "the body".to_owned() } else { format!("`{pointer}`") };
    Fault::bad(pointer, format!("{place} must be {expected}, not {}", name(found)))
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The string `name` of an object.
#[must_use]
pub fn word<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// An object of the members that are not `null`.
#[must_use]
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Puts the members that are not there in, as `null`.
pub(crate) fn fill(object: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        object.entry(*name).or_insert(Value::Null);
    }
}

/// Adds members to an object that is being written, into inner objects too; what is already there stays as
/// it is.
pub fn add(object: &mut Map<String, Value>, extra: Option<&Map<String, Value>>) {
    for (name, value) in extra.into_iter().flatten() {
        match (object.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => add(inner, Some(more)),
            (Some(_), _) => {}
            (None, value) => drop(object.insert(name.clone(), value.clone())),
        }
    }
}

/// The members of an object; of what is none there are none.
#[must_use]
pub fn into_members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

/// The members of an object that are not `null`.
#[must_use]
pub fn told(value: Value) -> Map<String, Value> {
    let mut members = into_members(value);
    members.retain(|_, value| !value.is_null());
    members
}

/// Takes a string out of an object; what is none goes too, and is empty.
pub fn take_text(members: &mut Map<String, Value>, name: &str) -> String {
    match members.shift_remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Writes a value; JSON values of our own making always can be written.
#[must_use]
pub fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Adds a member to an object that is being written, where there is one to add.
pub fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

/// The `wanted` members of an object, without a tree of the others. Of one that comes twice the last
/// counts. `None` where the body is not one JSON object.
#[must_use]
pub fn members(body: &[u8], wanted: &[&str]) -> Option<Map<String, Value>> {
    let mut json = serde_json::Deserializer::from_slice(body);
    Wanted(wanted).deserialize(&mut json).ok()
}

struct Wanted<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut found = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                found.insert(name, access.next_value()?);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The whole numbers of an object and of the objects in it, without a tree: what a meter needs of a usage,
/// many times a second.
#[derive(Debug, Default)]
pub struct Counts<'a>(Vec<(&'a [u8], &'a [u8], u64)>);

impl<'a> Counts<'a> {
    /// The counts of the last object called `name` in `body`, which is looked for and not parsed: within a
    /// string its quotes would be escaped, and providers tell a usage once, at the end. `None` where there is
    /// none, and where it is cut.
    #[must_use]
    pub fn of_last(body: &'a [u8], name: &str) -> Option<Self> {
        memchr::memrchr_iter(b'{', body)
            .find_map(|place| {
                let (before, object) = body.split_at_checked(place)?;
                let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
                let quoted = before.strip_suffix(b"\"")?.strip_suffix(name.as_bytes())?.ends_with(b"\"");
                quoted.then_some(object)
            })
            .and_then(Counts::of_object)
    }

    /// `text` begins with an object; what stands behind it does not matter.
    fn of_object(text: &'a [u8]) -> Option<Self> {
        let mut counts = Vec::with_capacity(16);
        // The string read last, and the name of the object on the second level.
        let (mut last, mut inside): (&[u8], &[u8]) = (b"", b"");
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let end = at + string_end(text.get(at..)?)?;
                    last = text.get(at..end)?;
                    at = end + 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    inside = if depth == 2 { last } else { inside };
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(Counts(counts));
                    }
                }
                b'0'..=b'9' => {
                    let digits = text.get(at - 1..)?;
                    let end = digits.iter().position(|byte| !is_of_number(*byte)).unwrap_or(digits.len());
                    at += end - 1;
                    let number =
                        std::str::from_utf8(digits.get(..end)?).ok().and_then(|text| text.parse().ok());
                    let inside = if depth == 2 { inside } else { b"" };
                    counts.extend(number.filter(|_| depth <= 2).map(|number| (inside, last, number)));
                }
                _ => {}
            }
        }
        None
    }

    /// The counts of an object that has been read already.
    #[must_use]
    pub fn of_map(map: &'a Map<String, Value>) -> Self {
        let mut counts = Vec::new();
        for (name, value) in map {
            let inner = value.as_object().into_iter().flatten();
            let numbers =
                inner.filter_map(|(inner, value)| Some((name.as_bytes(), inner.as_bytes(), value.as_u64()?)));
            counts.extend(numbers);
            counts.extend(value.as_u64().map(|number| (&b""[..], name.as_bytes(), number)));
        }
        Counts(counts)
    }

    /// The count `name` of the object, or of the object `inside` in it. Of one that comes twice the last
    /// counts.
    #[must_use]
    pub fn find(&self, inside: &str, name: &str) -> Option<u64> {
        let is = |entry: &&(&[u8], &[u8], u64)| entry.0 == inside.as_bytes() && entry.1 == name.as_bytes();
        self.0.iter().rev().find(is).map(|(_, _, number)| *number)
    }

    /// The same, 0 where it is not there.
    #[must_use]
    pub fn get(&self, inside: &str, name: &str) -> u64 {
        self.find(inside, name).unwrap_or(0)
    }
}

/// How far the quote is that ends a string.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
}
