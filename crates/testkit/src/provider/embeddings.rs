//! Vectors, and OpenAI's way to ask for them: <https://platform.openai.com/docs/api-reference/embeddings>.

use super::{
    answer::Ask,
    openai,
    routes::Given,
    shape::{self, Member, Shape, TEXT},
};
use crate::limits;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Reads a request.
///
/// # Errors
/// Says what is wrong in the words of an OpenAI error message.
pub(crate) fn ask(given: &Given<'_>) -> Result<Ask, String> {
    let body = given.body;
    given.insist(shape::check(body, &Shape::Object(REQUEST)).map_err(openai::wrong))?;
    let texts = match body.get("input") {
        // Tokens are as good as the text that they stand for.
        Some(Value::Array(all)) if all.iter().all(Value::is_u64) => {
            vec![Value::from(all.clone()).to_string()]
        }
        Some(Value::Array(all)) => all.iter().map(text_of).collect(),
        Some(one) => vec![text_of(one)],
        None => Vec::new(),
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err("'$.input' is invalid. Please check the API reference.".to_owned());
    }
    Ok(Ask {
        model: body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
        user_text: texts.join("\n"),
        texts,
        dimensions: body.get("dimensions").and_then(Value::as_u64).map(|n| n as usize),
        base64: body.get("encoding_format").is_some_and(|format| format == "base64"),
        ..Ask::default()
    })
}

/// A vector for each text: of length one, the same for the same text.
pub(crate) fn vectors(ask: &Ask) -> Vec<Vec<f32>> {
    let length = ask.dimensions.unwrap_or(limits::VECTOR).min(limits::VECTOR_MAX);
    let vector = |text: &String| {
        let hash = Sha256::digest(text);
        let raw: Vec<f32> = hash.iter().cycle().take(length).map(|byte| f32::from(*byte) - 127.5).collect();
        let size = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        raw.into_iter().map(|x| x / size).collect()
    };
    ask.texts.iter().map(vector).collect()
}

/// The answer as one JSON object.
pub(crate) fn whole(ask: &Ask, vectors: &[Vec<f32>]) -> Value {
    let one = |(index, vector): (usize, &Vec<f32>)| {
        let told = if ask.base64 { json!(base64(&bytes(vector))) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": told})
    };
    let data: Vec<Value> = vectors.iter().enumerate().map(one).collect();
    let usage = json!({"prompt_tokens": ask.input, "total_tokens": ask.input});
    json!({"object": "list", "data": data, "model": ask.model, "usage": usage})
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3)
            .fold(0_usize, |bits, place| bits << 8 | usize::from(group.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = DIGITS.get(bits >> (18 - 6 * place) & 63).filter(|_| place <= group.len());
            out.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    out
}

/// <https://platform.openai.com/docs/api-reference/embeddings/create>
const REQUEST: &[Member] = &[
    ("model!", TEXT),
    ("input!", Shape::Either(&[TEXT, Shape::List(&Shape::Any)])),
    ("dimensions", Shape::Count(1)),
    ("encoding_format", Shape::Word(&["float", "base64"])),
    ("user", TEXT),
];
