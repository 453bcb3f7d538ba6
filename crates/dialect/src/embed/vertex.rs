//! Vertex AI's embeddings of text (`:predict`):
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>

use super::{Embedded, Pen, Truncate, Wire, gemini::PURPOSES, parsed, tokens, vectors};
use crate::{Fault, json::put, limits::EMBED_INPUTS_VERTEX_MAX};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

pub(super) const WIRE: Wire =
    Wire { caller: None, write_request, read_response, inputs_max: EMBED_INPUTS_VERTEX_MAX };

fn write_request(pen: &mut Pen<'_>, _model: &str) -> Result<Value, Fault> {
    pen.floats_only()?;
    pen.lose(pen.embed.user.as_ref());
    let purpose = pen.purpose(PURPOSES);
    let mut instances = Vec::new();
    for input in &pen.embed.inputs {
        let mut instance = Map::new();
        put(&mut instance, "content", Some(pen.text(input)?));
        put(&mut instance, "task_type", purpose);
        put(&mut instance, "title", input.title.as_ref().map(|title| title.value.as_str()));
        instances.push(Value::Object(instance));
    }
    let mut parameters = Map::new();
    put(&mut parameters, "outputDimensionality", pen.embed.dimensions.as_ref().map(|wish| wish.value));
    let truncate = pen.embed.truncate.as_ref();
    if truncate.is_some_and(|wish| wish.value == Truncate::Start) {
        pen.lose(truncate);
    }
    put(&mut parameters, "autoTruncate", truncate.map(|wish| wish.value != Truncate::Never));
    Ok(json!({"instances": instances, "parameters": parameters}))
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    predictions: Vec<Prediction<'a>>,
}

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Row<'a>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
    #[serde(default)]
    statistics: Option<Value>,
}

/// Reads an answer; every vector tells what it cost, in a number that has been written as a float.
fn read_response(body: &[u8]) -> Result<Embedded, Fault> {
    let answer: Answer<'_> = parsed(body)?;
    let rows = answer.predictions.into_iter().map(|prediction| prediction.embeddings);
    let mut count = None;
    let mut list = Vec::new();
    for row in rows {
        let told = row.statistics.as_ref().and_then(|told| told.get("token_count")?.as_f64());
        // A float becomes a whole number within its bounds.
        count = told.map(|told| told as u64).map(|told| told.saturating_add(count.unwrap_or(0))).or(count);
        list.push(row.values);
    }
    Ok(Embedded { vectors: vectors(list)?, usage: tokens(count), ..Embedded::default() })
}
