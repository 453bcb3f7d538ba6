//! Schemas that are not JSON Schema. Gemini's older members take a part of OpenAPI's schemas; every other
//! dialect, and Gemini's newer members, take JSON Schema, so that is what canonical form holds. It is a room
//! of its own because a schema is a language of its own, whoever speaks it.
//!
//! There is no way back: `parametersJsonSchema` and `responseJsonSchema` take all of JSON Schema, in AI
//! Studio and in Vertex AI, and pass over the words that they do not keep to:
//! <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig>

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
