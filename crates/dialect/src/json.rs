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
}

impl Object {
    /// Begins to take `value` apart; `pointer` is where it stands (`""` for the whole body).
    ///
    /// # Errors
    /// A fault when it is not an object.
    pub fn new(value: Value, pointer: impl Into<String>) -> Result<Self, Fault> {
        let pointer = pointer.into();
        match value {
            Value::Object(members) => Ok(Object { members, pointer }),
            other => Err(wrong(&pointer, "an object", &other)),
        }
    }

    /// Where a member stands.
    #[must_use]
    pub fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    /// Where the object stands.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Takes a member; `null` counts as absent. (A `null` that must be written back belongs in
    /// [`Object::rest`]: look with [`Object::is_null`] before.)
    pub fn take(&mut self, name: &str) -> Option<Value> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(_) => self.members.shift_remove(name),
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
        self.members.get(name)
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

    /// Takes an object.
    ///
    /// # Errors
    /// A fault when the member is there and not an object.
    pub fn object(&mut self, name: &str) -> Result<Option<Object>, Fault> {
        let pointer = self.at(name);
        self.take(name).map(|value| Object::new(value, pointer)).transpose()
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

/// Adds members to an object that is being written; a member that is already there stays as it is.
pub fn add(object: &mut Map<String, Value>, extra: Option<&Map<String, Value>>) {
    for (name, value) in extra.into_iter().flatten() {
        if !object.contains_key(name) {
            object.insert(name.clone(), value.clone());
        }
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
