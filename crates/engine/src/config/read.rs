//! From a tree to a value of any type that serde knows, with every problem and not only the first.
//!
//! Serde stops at the first error. So what is wrong is reported, cut out of the tree, and the tree is read
//! again, until nothing is wrong with it any more.

use super::{
    problem::Problem,
    tree::{Data, Node},
};
use crate::{hint, limits::PROBLEMS_MAX};
use serde::de::{
    self, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
    value::StrDeserializer,
};
use std::fmt;

/// What was read, and where it was wrong.
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) problems: Vec<Problem>,
    /// What was cut out.
    pub(super) cut: Vec<Vec<String>>,
    /// What of it must not be shown: it stands where nothing should, so nobody knows what it is.
    pub(super) hidden: Vec<Vec<String>>,
}

pub(super) fn read<T: DeserializeOwned + Default>(tree: &Node) -> Read<T> {
    let mut rest = tree.clone();
    let mut read = Read { value: T::default(), problems: Vec::new(), cut: Vec::new(), hidden: Vec::new() };
    while read.problems.len() < PROBLEMS_MAX {
        match T::deserialize(&rest) {
            Ok(value) => {
                read.value = value;
                break;
            }
            Err(wrong) => {
                let path: Vec<String> = wrong.path.into_iter().rev().collect();
                let name = if wrong.in_name { tree.find_name(&path) } else { None };
                let place = name.or_else(|| tree.find(&path).map(|node| &node.at));
                let problem = Problem { hint: wrong.hint, ..Problem::new(wrong.message) };
                read.problems.push(place.map_or(problem.clone(), |place| problem.at(place)));
                rest.cut(&path);
                if !wrong.known {
                    read.hidden.push(path.clone());
                }
                read.cut.push(path);
            }
        }
    }
    read
}

/// An error and where it happened. It never quotes a value, which may be a secret.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// From the inside out.
    path: Vec<String>,
    /// The name of the member is wrong and not its value.
    in_name: bool,
    /// The value is of the right kind, though wrong.
    known: bool,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    fn new(message: String) -> Self {
        Wrong { path: Vec::new(), in_name: false, known: false, message, hint: None }
    }

    fn value(message: String) -> Self {
        Wrong { known: true, ..Wrong::new(message) }
    }

    fn inside(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }
}

impl std::error::Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // A type of ours puts its hint behind a line break.
        let text = message.to_string();
        let (message, hint) = match text.split_once('\n') {
            Some((message, hint)) => (message, Some(hint.to_owned())),
            None => (text.as_str(), None),
        };
        Wrong { hint, ..Wrong::value(message.to_owned()) }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            Unexpected::Unit => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            Unexpected::Bool(_) => "a boolean",
            _ => "a text",
        };
        let expected = expected.to_string().replace("a string", "a text");
        Wrong::new(format!("this must be {expected}, not {found}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Wrong::new(format!("this must be {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = hint::nearest(field, expected.iter().copied());
        Wrong {
            hint: Some(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", expected.join(", ")),
            }),
            in_name: true,
            known: false,
            path: vec![field.to_owned()],
            message: match near.is_some() || is_plain_name(field) {
                true => format!("unknown key `{field}`"),
                false => "unknown key".to_owned(),
            },
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Wrong::value(format!("this must be one of `{}`", expected.join("`, `")))
    }

    fn missing_field(field: &'static str) -> Self {
        Wrong::new(format!("`{field}` is missing here"))
    }
}

/// A name as people give them to settings. What else stands before a colon may be a secret that slipped
/// there, and is not shown.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.len() <= 24 && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-'))
}

/// What a plain text is to those who take anything.
fn visit_plain<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Wrong> {
    if let Ok(flag) = text.parse::<bool>() {
        return visitor.visit_bool(flag);
    }
    if let Ok(number) = text.parse::<u64>() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return visitor.visit_i64(number);
    }
    match text.parse::<f64>() {
        Ok(number) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => visitor.visit_f64(number),
        _ => visitor.visit_str(text),
    }
}

/// Numbers by their own parsers, so that `3.5` is no count and `1e3` no surprise.
macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.text().and_then(|text| text.replace('_', "").parse::<$type>().ok()) {
                Some(number) => visitor.$visit(number),
                None => Err(self.wrong(concat!("this must be ", $what))),
            }
        }
    )*};
}

impl Node {
    fn wrong(&self, message: &str) -> Wrong {
        Wrong { known: self.text().is_some(), ..Wrong::new(message.to_owned()) }
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.data {
            Data::Null | Data::Cut => visitor.visit_unit(),
            Data::Text { text, plain: true } => visit_plain(text, visitor),
            Data::Text { text, .. } => visitor.visit_str(text),
            Data::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Data::Map(members) => visitor.visit_map(Members { rest: members.iter(), now: None }),
        }
    }

    /// Whoever wants a text gets it as it was written, and whoever would also take a list or map gets that.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.data {
            Data::Text { text, .. } => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text().and_then(|text| text.parse().ok()) {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(self.wrong("this must be `true` or `false`")),
        }
    }

    numbers! {
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number, not negative";
        deserialize_u64 visit_u64 u64, "a whole number, not negative";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.data {
            Data::Null | Data::Cut => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A name with nothing behind it is a map with nothing in it.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.data {
            Data::Null | Data::Cut => visitor.visit_map(Members { rest: [].iter(), now: None }),
            Data::Map(_) => self.deserialize_any(visitor),
            Data::List(_) => Err(Wrong::new("this must be a map, not a list".to_owned())),
            Data::Text { .. } => Err(Wrong::new("this must be a map, not a text".to_owned())),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.data {
            Data::Text { text, .. } => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(Wrong { known: false, ..de::Error::unknown_variant("", variants) }),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let next = self.0.find(|(_, item)| !matches!(item.data, Data::Cut));
        let Some((index, item)) = next else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|wrong| wrong.inside(index.to_string()))
    }
}

struct Members<'a> {
    rest: std::slice::Iter<'a, super::tree::Member>,
    now: Option<&'a super::tree::Member>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Wrong;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.now = self.rest.find(|member| !matches!(member.value.data, Data::Cut));
        let Some(member) = self.now else { return Ok(None) };
        let name: StrDeserializer<'_, Wrong> = member.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some(member) = self.now else { return Err(Wrong::new("a value without a key".to_owned())) };
        seed.deserialize(&member.value).map_err(|wrong| wrong.inside(&member.name))
    }
}
