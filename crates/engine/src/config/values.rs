//! Values that may be written in more than one way.

use crate::{models::millionths, secret::Secret, time::Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::{borrow::Cow, fmt};

/// Keys: one, several separated by commas, a JSON array as text, or a list of such.
#[derive(Clone, Default)]
pub struct Keys(pub Vec<Secret>);

/// Names: one, or a list.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

/// A length of time: `500ms`, `30s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug)]
pub struct Duration(pub Span);

/// A number of bytes: `512KiB`, `32MiB`, `10MB`, `1048576`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub usize);

/// US dollars, in millionths: `3`, `0.25`.
#[derive(Clone, Copy, Debug)]
pub struct Usd(pub u64);

/// A share of a hundred, in hundredths: `5`, `0.1`.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub u32);

/// The keys in a value of the environment or of a configuration. What is not a JSON array is ordinary text;
/// commas separate, blanks around a key do not belong to it, an empty value is none.
///
/// # Errors
/// In words, where it begins like a JSON array and is none of texts.
pub fn keys(value: &str) -> Result<Vec<Secret>, &'static str> {
    let value = value.trim();
    let list: Vec<String> = if value.starts_with('[') {
        serde_json::from_str(value).map_err(|_| "this begins like a JSON array, but is none of texts")?
    } else {
        value.split(',').map(str::to_owned).collect()
    };
    let keys: Vec<&str> = list.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).collect();
    if keys.iter().any(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("a key must be printable ASCII without blanks");
    }
    Ok(keys.into_iter().map(Secret::new).collect())
}

/// A number and the unit behind it.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn duration(text: &str) -> Option<Span> {
    let (number, unit) = split_unit(text)?;
    let micros = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Span)
}

fn size(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes).and_then(|bytes| usize::try_from(bytes).ok())
}

/// The texts of one value: itself, or a list.
struct Texts(&'static str);

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list of them", self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Vec::new();
        for text in deserializer.deserialize_str(Texts("a key"))? {
            all.extend(keys(&text).map_err(D::Error::custom)?);
        }
        Ok(Keys(all))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Texts("a name")).map(Names)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Duration).ok_or_else(|| {
            D::Error::custom("this is not a length of time\nwrite `500ms`, `30s`, `5m` or `1h`")
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = "this is not a number of bytes\nwrite `512KiB`, `32MiB` or `1GiB`";
        size(&text).map(Size).ok_or_else(|| D::Error::custom(wrong))
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        millionths(&text).map(Usd).ok_or_else(|| {
            D::Error::custom("this is not a price\nwrite US dollars for a million tokens, such as `0.25`")
        })
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = "this is not a share of a hundred\nwrite a number from 0 to 100, such as `5` or `0.1`";
        // In millionths, as prices are.
        let share = millionths(&text).filter(|share| *share <= 100_000_000).map(|share| share / 10_000);
        share.and_then(|share| u32::try_from(share).ok()).map(Percent).ok_or_else(|| D::Error::custom(wrong))
    }
}

/// What the published schema says of these types.
macro_rules! schemas {
    ($($type:ident $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    Keys { "type": ["string", "array"], "items": { "type": "string" }, "writeOnly": true }
    Names { "type": ["string", "array"], "items": { "type": "string" } }
    Duration { "type": "string", "pattern": "^([0-9]+ ?(ms|s|m|h)|.*\\$\\{.*)$", "examples": ["30s"] }
    Usd { "type": ["string", "number"], "minimum": 0, "examples": [0.25] }
    Percent { "type": ["string", "number"], "minimum": 0, "maximum": 100, "examples": [5] }
    Size { "type": ["string", "integer"], "minimum": 0, "examples": ["32MiB"] }
}
