//! Schemas that are not JSON Schema. Gemini's older members take a part of OpenAPI's schemas; every other
//! dialect, and Gemini's newer members, take JSON Schema, so that is what canonical form holds. It is a room
//! of its own because a schema is a language of its own, whoever speaks it.
//!
//! There is no way back to those: `parametersJsonSchema` and `responseJsonSchema` take all of JSON Schema, in AI
//! Studio and in Vertex AI, and pass over the words that they do not keep to:
//! <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>

//!
//! Claude takes a part of JSON Schema where it keeps to a schema to the letter, and refuses a request that
//! holds more: [`lower`]. OpenAI's strict mode needs nothing of the kind, as whoever asks for it wrote for it.

use crate::{Losses, json::escaped, limits::SCHEMA_PLACES_MAX};
use serde_json::{Map, Value, json};

/// Numbers that protocol buffers write as strings.
const LONGS: &[&str] = &["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// A schema of OpenAPI's in JSON Schema: <https://ai.google.dev/api/caching#Schema>
#[must_use]
pub fn from_open_api(schema: Value) -> Value {
    let Value::Object(mut members) = schema else { return schema };
    let nullable = members.shift_remove("nullable").is_some_and(|flag| flag == true);
    let mut written = Map::new();
    for (name, value) in members {
        let (name, value) = match (name.as_str(), value) {
            ("type", Value::String(word)) if word == "TYPE_UNSPECIFIED" => continue,
            ("format", Value::String(word)) if word == "enum" => continue,
            ("propertyOrdering" | "property_ordering", _) => continue,
            ("type", Value::String(word)) => (name, word.to_ascii_lowercase().into()),
            ("defs", Value::Object(inner)) => ("$defs".to_owned(), each(inner)),
            ("ref", Value::String(place)) => ("$ref".to_owned(), place.replace("#/defs/", "#/$defs/").into()),
            ("properties", Value::Object(inner)) => (name, each(inner)),
            ("items" | "additionalProperties", inner) => (name, from_open_api(inner)),
            ("any_of" | "anyOf", Value::Array(list)) => ("anyOf".to_owned(), all(list)),
            ("prefixItems", Value::Array(list)) => (name, all(list)),
            (long, Value::String(digits)) if LONGS.contains(&long) => {
                (name, digits.parse::<u64>().map_or(Value::String(digits), Value::from))
            }
            (_, value) => (name, value),
        };
        written.insert(name, value);
    }
    if nullable {
        allow_null(&mut written);
    }
    Value::Object(written)
}

fn each(schemas: Map<String, Value>) -> Value {
    schemas.into_iter().map(|(name, schema)| (name, from_open_api(schema))).collect()
}

fn all(schemas: Vec<Value>) -> Value {
    schemas.into_iter().map(from_open_api).collect()
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.push(json!({"type": "null"}));
    }
}

/// The schema of a tool, which must be that of an object; other APIs let `type` be left out, and all of it.
#[must_use]
pub fn of_object(schema: Option<Value>) -> Value {
    match schema {
        Some(Value::Object(mut schema)) => {
            schema.entry("type").or_insert_with(|| json!("object"));
            Value::Object(schema)
        }
        _ => json!({"type": "object", "properties": {}}),
    }
}

/// What Claude keeps to, word by word:
/// <https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations>
#[rustfmt::skip]
const KEPT: &[&str] = &[
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "definitions", "description",
    "enum", "format", "items", "minItems", "pattern", "properties", "required", "title", "type",
];
/// Words that bind no answer, so it is no loss when they go.
const REMARKS: &[&str] = &["$comment", "$id", "$schema", "deprecated", "examples", "readOnly", "writeOnly"];
#[rustfmt::skip]
const FORMATS: &[&str] = &[
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
];
/// What patterns may not hold: looking around, looking back, the edges of words.
const NO_PATTERN: &[&str] = &["(?", "\\b", "\\B", "\\1", "\\2", "\\3"];

/// The schema in the words that Claude keeps to. What goes is noted below `pointer`; it widens what may be
/// answered, and a caller who checks the answer sees no other kind of it.
///
/// # Errors
/// Why it cannot be said without another meaning: it holds itself, points elsewhere, or has objects whose
/// members have no names.
pub fn lower(schema: &Value, pointer: &str, losses: &mut Losses) -> Result<Value, &'static str> {
    let mut done = Vec::new();
    if is_recursive(schema, "#", &mut Vec::new(), &mut done) {
        return Err("a schema that holds itself, or points elsewhere");
    }
    lowered(schema, pointer, losses)
}

fn lowered(schema: &Value, pointer: &str, losses: &mut Losses) -> Result<Value, &'static str> {
    let Some(members) = schema.as_object() else { return Ok(schema.clone()) };
    let mut written = Map::new();
    for (name, value) in members {
        let at = format!("{pointer}/{}", escaped(name));
        let is_free = !members.contains_key("anyOf");
        let (name, value) = match (name.as_str(), value) {
            ("oneOf", Value::Array(list)) if is_free => {
                losses.note(at.as_str(), "that it is only one of them");
                ("anyOf", list_of(list, &at, losses)?)
            }
            ("anyOf" | "allOf", Value::Array(list)) => (name.as_str(), list_of(list, &at, losses)?),
            ("properties" | "$defs" | "definitions", Value::Object(inner)) => {
                let each = |(name, schema): (&String, &Value)| {
                    Ok((name.clone(), lowered(schema, &format!("{at}/{}", escaped(name)), losses)?))
                };
                (name.as_str(), Value::Object(inner.iter().map(each).collect::<Result<_, &'static str>>()?))
            }
            ("items", inner) => ("items", lowered(inner, &at, losses)?),
            ("additionalProperties", Value::Object(_)) => return Err("objects whose members have no names"),
            ("additionalProperties", _) => continue,
            ("minItems", least) if least.as_u64().is_none_or(|least| least > 1) => {
                losses.note(at, "it keeps to no more than one");
                ("minItems", json!(1))
            }
            (word, value) if is_kept(word, value) => (word, value.clone()),
            (word, _) if REMARKS.contains(&word) => continue,
            _ => {
                losses.note(at, "the model does not keep to it");
                continue;
            }
        };
        written.insert(name.to_owned(), value);
    }
    let is_object = written.get("type").is_some_and(|kind| kind == "object" || has(kind, "object"));
    if is_object || written.contains_key("properties") {
        let is_closed = members.get("additionalProperties").is_some_and(|more| more == false);
        if !written.contains_key("properties") && !is_closed {
            return Err("objects whose members have no names");
        }
        written.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Ok(Value::Object(written))
}

fn list_of(list: &[Value], at: &str, losses: &mut Losses) -> Result<Value, &'static str> {
    let each = |(index, schema)| lowered(schema, &format!("{at}/{index}"), losses);
    list.iter().enumerate().map(each).collect()
}

fn is_kept(word: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match word {
        "format" => FORMATS.contains(&text),
        "pattern" => !NO_PATTERN.iter().any(|part| text.contains(part)),
        "enum" => value.as_array().is_some_and(|values| !values.iter().any(is_nested)),
        "const" => !is_nested(value),
        _ => KEPT.contains(&word),
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|value| value == word))
}

/// What is at `place` holds itself, or points where nothing is, or to more places than
/// [`SCHEMA_PLACES_MAX`]. Each place is looked at once.
fn is_recursive<'a>(
    root: &'a Value,
    place: &'a str,
    open: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) -> bool {
    if open.contains(&place) || done.len() + open.len() > SCHEMA_PLACES_MAX {
        return true;
    }
    if done.contains(&place) {
        return false;
    }
    let Some(schema) = place.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else { return true };
    open.push(place);
    let mut references = Vec::new();
    gather(schema, &mut references);
    let recurses = references.into_iter().any(|place| is_recursive(root, place, open, done));
    open.pop();
    done.push(place);
    recurses
}

fn gather<'a>(schema: &'a Value, references: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|inner| gather(inner, references));
        }
        Value::Array(list) => list.iter().for_each(|inner| gather(inner, references)),
        _ => {}
    }
}
