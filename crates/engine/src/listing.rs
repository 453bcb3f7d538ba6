//! Providers' lists of models, each in its own shape, as OpenAI's.

use crate::provider::ModelList;
use serde_json::{Map, Value, json};

/// The models that a provider's `body` lists, each as an entry of OpenAI's list with the id
/// `provider/model`. A body that is no such list gives none.
#[must_use]
pub fn read(list: ModelList, provider: &str, body: &[u8]) -> Vec<Value> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let member = match list {
        ModelList::Openai | ModelList::Anthropic => body.get("data"),
        ModelList::Names | ModelList::Google => body.get("models"),
        ModelList::Result => body.get("result"),
        ModelList::Vertex => body.get("publisherModels"),
        ModelList::Bedrock => body.get("modelSummaries"),
        ModelList::Array => Some(&body),
    };
    let models = member.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|model| one(list, provider, model)).collect()
}

/// An entry of OpenAI's list. The fields of Anthropic's list stand beside them, so that either SDK reads it.
#[must_use]
pub fn entry(id: &str, owned_by: &str, created: u64) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": owned_by, "type": "model",
        "display_name": id, "created_at": "1970-01-01T00:00:00Z"})
}

/// The list of all of them.
#[must_use]
pub fn list(entries: Vec<Value>) -> Value {
    let id = |entry: Option<&Value>| entry.and_then(|entry| entry.get("id")).cloned().unwrap_or(Value::Null);
    let (first, last) = (id(entries.first()), id(entries.last()));
    json!({"object": "list", "data": entries, "has_more": false, "first_id": first, "last_id": last})
}

fn one(list: ModelList, provider: &str, model: &Value) -> Option<Value> {
    let model = model.as_object()?;
    let id = match list {
        ModelList::Openai | ModelList::Anthropic | ModelList::Array => text(model, "id")?,
        ModelList::Names | ModelList::Result => text(model, "name")?,
        ModelList::Google => text(model, "name")?.trim_start_matches("models/"),
        ModelList::Vertex => text(model, "name")?.rsplit('/').next()?,
        ModelList::Bedrock => text(model, "modelId")?,
    };
    let created = model.get("created").and_then(Value::as_u64).unwrap_or(0);
    let mut entry = entry(&format!("{provider}/{id}"), text(model, "owned_by").unwrap_or(provider), created);
    for name in ["created_at", "display_name"] {
        if let (Some(own), Some(entry)) = (model.get(name), entry.as_object_mut()) {
            entry.insert(name.to_owned(), own.clone());
        }
    }
    Some(entry)
}

fn text<'a>(model: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    model.get(name)?.as_str()
}
