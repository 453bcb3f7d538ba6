//! Schemas in the words that a model keeps to.

use crate::{Losses, schema::lower};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "maxLength": 3, "format": "date"})),
        Just(json!({"type": ["integer", "null"], "minimum": 0, "title": "t"})),
        Just(json!({"enum": ["a", 1, null], "examples": ["a"]})),
        Just(json!({"enum": [{"a": 1}]})),
        Just(json!({"const": "c", "pattern": "(?=a)"})),
        Just(json!({"$ref": "#/$defs/a"})),
        Just(json!({"$ref": "#"})),
        Just(json!({"$ref": "https://schemas.example/a"})),
        Just(json!({"type": "object"})),
        Just(json!(true)),
        Just(json!({"type": 7, "properties": [], "items": "x", "anyOf": {}})),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        let named = prop::collection::btree_map("[a-c/~]", inner.clone(), 0..3);
        prop_oneof![
            inner.clone().prop_map(
                |inner| json!({"type": "array", "items": inner, "minItems": 4, "uniqueItems": true})
            ),
            list().prop_map(|list| json!({ "oneOf": list })),
            list().prop_map(|list| json!({"anyOf": list, "oneOf": [true]})),
            list().prop_map(|list| json!({"allOf": list, "not": {"const": 1}})),
            (named, inner.clone()).prop_map(|(named, def)| {
                json!({"type": "object", "properties": named, "required": ["a"], "$defs": {"a": def}})
            }),
            inner.prop_map(|inner| json!({"type": "object", "additionalProperties": inner})),
        ]
    })
}

/// The words of a schema and of those in it, not the names of members.
fn words(schema: &Value, found: &mut Vec<String>) {
    let Value::Object(members) = schema else { return };
    for (name, value) in members {
        found.push(name.clone());
        match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(inner)) => {
                inner.values().for_each(|inner| words(inner, found));
            }
            ("anyOf" | "allOf", Value::Array(list)) => list.iter().for_each(|inner| words(inner, found)),
            ("items", inner) => words(inner, found),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn a_schema_in_fewer_words_stays_as_it_is(schema in schema()) {
        let mut losses = Losses::new();
        if let Ok(lowered) = lower(&schema, "", &mut losses) {
            let (mut none, mut found) = (Losses::new(), Vec::new());
            prop_assert_eq!(lower(&lowered, "", &mut none), Ok(lowered.clone()));
            prop_assert!(none.is_empty(), "{:?} of {}", none, lowered);
            words(&lowered, &mut found);
            for word in ["oneOf", "not", "minimum", "maxLength", "uniqueItems", "examples"] {
                prop_assert!(!found.iter().any(|found| found == word), "{} in {}", word, lowered);
            }
        }
        for loss in losses.iter() {
            prop_assert!(schema.pointer(&loss.pointer).is_some(), "{} is not in {}", loss.pointer, schema);
        }
    }
}

#[test]
fn references_have_an_end() {
    let mut defs = Map::new();
    for number in 0..100_000 {
        defs.insert(number.to_string(), json!({"$ref": format!("#/$defs/{}", number + 1)}));
    }
    let schema = json!({"$ref": "#/$defs/0", "$defs": defs});
    assert!(lower(&schema, "", &mut Losses::new()).is_err());
}
