//! Embeddings on Amazon Bedrock (`InvokeModel`), where every family of models has its own shape: Titan's
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>), which takes
//! one text a request, and Cohere's
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>). The path tells the model.

use super::{Embedded, Pen, Wire, cohere, parsed, tokens, vectors};
use crate::{Fault, json::put, limits::EMBED_INPUTS_COHERE_MAX};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

pub(super) const WIRE: Wire =
    Wire { caller: None, write_request, read_response, inputs_max: EMBED_INPUTS_COHERE_MAX };

fn write_request(pen: &mut Pen<'_>, model: &str) -> Result<Value, Fault> {
    if model.contains("cohere.") {
        return cohere::body(pen, None);
    }
    if !model.contains("titan-embed-") || model.contains("-image-") {
        let message = format!("`{model}` is no model of which the shape of embeddings is known");
        return Err(Fault::bad("/model", message).hint("Titan's for text and Cohere's are known"));
    }
    titan(pen, model)
}

fn titan(pen: &mut Pen<'_>, model: &str) -> Result<Value, Fault> {
    pen.at_most(1)?;
    pen.floats_only()?;
    let embed = pen.embed;
    let mut body = Map::new();
    for input in &embed.inputs {
        put(&mut body, "inputText", Some(pen.text(input)?));
    }
    if model.contains("-v2") {
        put(&mut body, "dimensions", embed.dimensions.as_ref().map(|wish| wish.value));
    } else {
        pen.lose(embed.dimensions.as_ref());
    }
    pen.lose(embed.purpose.as_ref());
    pen.lose(embed.truncate.as_ref());
    pen.lose(embed.user.as_ref());
    pen.titles();
    Ok(body.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
    #[serde(default)]
    input_text_token_count: Option<u64>,
}

fn read_response(body: &[u8]) -> Result<Embedded, Fault> {
    let answer: Answer<'_> = parsed(body)?;
    let Some(embedding) = answer.embedding else { return cohere::read_response(body) };
    let usage = tokens(answer.input_text_token_count);
    Ok(Embedded { vectors: vectors(vec![embedding])?, usage, ..Embedded::default() })
}
