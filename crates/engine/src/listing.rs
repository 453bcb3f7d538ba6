//! Lists of models: providers' in, each in its own shape, and ours out in that of the caller's API.

use crate::{models::Facts, provider::ModelList};
use dialect::DialectId;
use serde_json::{Map, Value, json};

/// One model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name by which callers ask for it.
    pub id: String,
    owned_by: String,
    /// In Unix seconds.
    created: u64,
    created_at: Option<Value>,
    display_name: Option<Value>,
}

impl Listed {
    /// A model of which no more is known.
    #[must_use]
    pub fn new(id: &str, owned_by: &str) -> Listed {
        let (id, owned_by) = (id.to_owned(), owned_by.to_owned());
        Listed { id, owned_by, created: 0, created_at: None, display_name: None }
    }

    /// The model as an API describes it: Google's and Anthropic's have shapes of their own, all others have
    /// OpenAI's.
    #[must_use]
    pub fn told(&self, dialect: DialectId, facts: &Facts) -> Value {
        let name = || self.display_name.clone().unwrap_or_else(|| self.id.as_str().into());
        match dialect {
            DialectId::Anthropic => {
                let created = self.created_at.clone().unwrap_or_else(|| "1970-01-01T00:00:00Z".into());
                json!({"type": "model", "id": self.id, "display_name": name(), "created_at": created})
            }
            DialectId::Gemini => {
                let mut model = json!({"name": format!("models/{}", self.id), "displayName": name(),
                    "supportedGenerationMethods": ["generateContent", "countTokens"]});
                let limits = [("inputTokenLimit", facts.context), ("outputTokenLimit", facts.max_output)];
                for (member, limit) in limits {
                    if let (Some(limit), Some(model)) = (limit, model.as_object_mut()) {
                        model.insert(member.to_owned(), limit.into());
                    }
                }
                model
            }
            _ => {
                json!({"id": self.id, "object": "model", "created": self.created, "owned_by": self.owned_by})
            }
        }
    }
}

/// The list of such models as an API tells it, all on one page.
#[must_use]
pub fn list(dialect: DialectId, models: Vec<Value>) -> Value {
    let id = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
    match dialect {
        DialectId::Anthropic => {
            let (first, last) = (id(models.first()), id(models.last()));
            json!({"data": models, "has_more": false, "first_id": first, "last_id": last})
        }
        DialectId::Gemini => json!({"models": models}),
        _ => json!({"object": "list", "data": models}),
    }
}

/// The models that a provider's `body` lists, each with the id `provider/model`. A body that is no such list
/// gives none.
#[must_use]
pub fn read(list: ModelList, provider: &str, body: &[u8]) -> Vec<Listed> {
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

fn one(list: ModelList, provider: &str, model: &Value) -> Option<Listed> {
    let model = model.as_object()?;
    let id = match list {
        ModelList::Openai | ModelList::Anthropic | ModelList::Array => text(model, "id")?,
        ModelList::Names | ModelList::Result => text(model, "name")?,
        ModelList::Google => text(model, "name")?.trim_start_matches("models/"),
        ModelList::Vertex => text(model, "name")?.rsplit('/').next()?,
        ModelList::Bedrock => text(model, "modelId")?,
    };
    let own = |name: &str| model.get(name).filter(|value| value.is_string()).cloned();
    Some(Listed {
        created: model.get("created").and_then(Value::as_u64).unwrap_or(0),
        created_at: own("created_at"),
        display_name: own("display_name").or_else(|| own("displayName")),
        ..Listed::new(&format!("{provider}/{id}"), text(model, "owned_by").unwrap_or(provider))
    })
}

fn text<'a>(model: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    model.get(name)?.as_str()
}
