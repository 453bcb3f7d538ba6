#![no_main]

use bytes::Bytes;
use dialect::splice::{Edit, Outline};
use serde::de::IgnoredAny;
use serde_json::Value;

const POLICY: &[&str] = &["model", "stream", "max_tokens", "n", "a"];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let body = Bytes::copy_from_slice(body);
    let valid = std::str::from_utf8(&body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let object = body.trim_ascii_start().starts_with(b"{");
    match Outline::read(&body, &[]) {
        Ok(_) => assert!(valid && object),
        Err(fault) => assert!(!valid || !object || fault.message.contains("nested deeper"), "{fault}"),
    }
    let Ok(outline) = Outline::read(&body, POLICY) else { return };
    assert_eq!(outline.apply(&[]).concat(), body);
    let Ok(Value::Object(mut tree)) = serde_json::from_slice(&body) else { return };
    let mut edits = Vec::new();
    for (bit, name) in POLICY.iter().enumerate() {
        assert_eq!(outline.has(name), tree.contains_key(*name));
        match choice >> bit & 1 {
            1 if choice & 128 == 0 => {
                edits.push(Edit::Remove(name));
                tree.remove(*name);
            }
            1 => {
                edits.push(Edit::Set { name, json: Bytes::from_static(b"[1]") });
                tree.insert((*name).to_owned(), serde_json::json!([1]));
            }
            _ => {}
        }
    }
    let edited: Value = serde_json::from_slice(&outline.apply(&edits).concat()).unwrap();
    assert_eq!(edited, Value::Object(tree));
});
