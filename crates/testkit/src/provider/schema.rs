//! An example that satisfies a JSON schema, good enough for tool arguments and structured output.

use crate::limits;
use serde_json::{Map, Value, json};

/// A value that satisfies `schema` in what it says of types, members, choices and least sizes.
pub(crate) fn example(schema: &Value) -> Value {
    value(schema, schema, "value", 0)
}

/// What keeps a schema from being followed to the letter: every object must name all its members as required
/// and allow no others.
pub(crate) fn loose(schema: &Value) -> Option<&'static str> {
    let nested = |name: &str| schema.get(name).and_then(Value::as_object).into_iter().flatten();
    let listed = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
    if type_of(schema) == "object" && schema.get("$ref").is_none() && schema.get("anyOf").is_none() {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some("'additionalProperties' is required to be supplied and to be false");
        }
        if nested("properties").any(|(name, _)| !listed("required").any(|required| required == name)) {
            return Some("'required' is required to be supplied and to include every key in properties");
        }
    }
    let inner = nested("properties").chain(nested("$defs")).map(|(_, inner)| inner);
    inner.chain(listed("anyOf")).chain(schema.get("items")).find_map(loose)
}

fn value(root: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    if depth > limits::SCHEMA_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null);
        return value(root, target, name, depth + 1);
    }
    if let Some(fixed) = schema.get("const").or_else(|| first(schema, "enum")) {
        return fixed.clone();
    }
    if let Some(branch) = ["anyOf", "oneOf", "allOf"].into_iter().find_map(|word| first(schema, word)) {
        return value(root, branch, name, depth + 1);
    }
    match type_of(schema) {
        "object" => object(root, schema, depth),
        "array" => array(root, schema, name, depth),
        "integer" | "number" => json!(least_number(schema)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(string(schema, name)),
    }
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let made = members.map(|(name, inner)| (name.clone(), value(root, inner, name, depth + 1)));
    Value::Object(made.collect::<Map<_, _>>())
}

fn array(root: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    let items = schema.get("items").unwrap_or(&Value::Null);
    let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1) as usize;
    (0..count.min(limits::SCHEMA_ITEMS)).map(|_| value(root, items, name, depth + 1)).collect()
}

fn type_of(schema: &Value) -> &str {
    let stated = match schema.get("type") {
        Some(Value::Array(several)) => several.iter().find_map(|one| one.as_str().filter(|t| *t != "null")),
        Some(one) => one.as_str(),
        None => None,
    };
    stated.unwrap_or(if schema.get("properties").is_some() { "object" } else { "string" })
}

fn least_number(schema: &Value) -> i64 {
    let least = schema.get("minimum").and_then(Value::as_f64).map(f64::ceil);
    let above = schema.get("exclusiveMinimum").and_then(Value::as_f64).map(|n| n.floor() + 1.0);
    let most = schema.get("maximum").and_then(Value::as_f64).map_or(7.0, f64::floor);
    least.or(above).unwrap_or_else(|| most.min(7.0)) as i64
}

fn string(schema: &Value, name: &str) -> String {
    let text = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "date" => "2026-03-01",
        "date-time" => "2026-03-01T09:30:00Z",
        "email" => "guard@example.com",
        "uri" => "https://example.com/gate",
        "uuid" => "6f0b6e0e-6a54-4d1c-9a3f-0d6b8a3f2c11",
        _ => return padded(schema, format!("a {name}")),
    };
    text.to_owned()
}

fn padded(schema: &Value, mut text: String) -> String {
    let bound = |word| schema.get(word).and_then(Value::as_u64).map(|n| n as usize);
    let least = bound("minLength").unwrap_or(0).min(limits::PIECE_MAX);
    text.extend(std::iter::repeat_n('x', least.saturating_sub(text.chars().count())));
    text.chars().take(bound("maxLength").unwrap_or(usize::MAX)).collect()
}

fn first<'a>(schema: &'a Value, word: &str) -> Option<&'a Value> {
    schema.get(word)?.as_array()?.first()
}
