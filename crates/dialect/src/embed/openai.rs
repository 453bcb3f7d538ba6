//! OpenAI's embeddings, and those of the many servers that have taken them over:
//! <https://platform.openai.com/docs/api-reference/embeddings>
//!
//! Vectors come in the form that `encoding_format` asks for, because clients decode what they asked for: OpenAI's
//! library for Node asks for base64 where its user said nothing, and makes a vector of one zero of a list of
//! numbers.

use super::{
    Caller, Embed, Embedded, Encoding, Input, Part, Pen, Purpose, Wire, content, list, parsed, purpose,
    quoted, said, tokens, vectors,
};
use crate::{
    DialectId, Fault,
    json::{Object, put, wrong},
    limits::EMBED_INPUTS_MAX,
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

pub(super) const WIRE: Wire = Wire {
    caller: Some(Caller {
        read_request,
        write_response,
        errors: Some(DialectId::OpenaiChat),
        is_proto: false,
    }),
    write_request,
    read_response,
    inputs_max: EMBED_INPUTS_MAX,
};

/// The words of `input_type`, which OpenAI has not: those of NVIDIA, Voyage AI and OpenRouter, and Cohere's.
const PURPOSES: &[(&str, Purpose)] = &[
    ("query", Purpose::Query),
    ("document", Purpose::Document),
    ("passage", Purpose::Document),
    ("search_query", Purpose::Query),
    ("search_document", Purpose::Document),
    ("classification", Purpose::Classification),
    ("clustering", Purpose::Clustering),
];

fn read_request(mut object: Object, embed: &mut Embed) -> Result<Object, Fault> {
    embed.model = object.need_string("model")?;
    let input = object.take("input").ok_or_else(|| Fault::bad("/input", "`input` is missing"))?;
    embed.inputs = match input {
        Value::Array(list) if list.iter().any(|item| !item.is_number()) => {
            let numbered = list.into_iter().enumerate();
            numbered
                .map(|(index, value)| one(value, format!("/input/{index}"), embed))
                .collect::<Result<_, _>>()?
        }
        Value::Array(list) if list.is_empty() => Vec::new(),
        whole => vec![one(whole, "/input".to_owned(), embed)?],
    };
    let encoding = object.string("encoding_format")?.map(|word| {
        vec![match word.as_str() {
            "float" => Encoding::Float,
            "base64" => Encoding::Base64,
            _ => Encoding::Packed(word),
        }]
    });
    embed.encodings = said(&object, "encoding_format", encoding);
    let dimensions = object.whole("dimensions")?;
    embed.dimensions = said(&object, "dimensions", dimensions);
    let word = object.string("input_type")?.map(|word| purpose(PURPOSES, word));
    embed.purpose = said(&object, "input_type", word);
    let user = object.string("user")?;
    embed.user = said(&object, "user", user);
    Ok(object)
}

/// Reads one input: a text, a list of tokens, or an object with a list of parts (OpenRouter).
fn one(value: Value, at: String, embed: &mut Embed) -> Result<Input, Fault> {
    match value {
        Value::String(text) => Ok(Input::new(Part::Text(text), at)),
        Value::Object(_) => content(value, at, embed),
        Value::Array(list) => {
            let tokens: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
            let tokens = tokens.ok_or_else(|| wrong(&at, "a list of tokens", &Value::Array(list)))?;
            Ok(Input::new(Part::Tokens(tokens), at))
        }
        other => Err(wrong(&at, "a text or a list of tokens", &other)),
    }
}

/// Writes a request. The form of the vectors is left to the provider: what it gives can be turned into what the
/// caller wants.
fn write_request(pen: &mut Pen<'_>, model: &str) -> Result<Value, Fault> {
    pen.floats_only()?;
    let mut inputs = Vec::new();
    for input in &pen.embed.inputs {
        inputs.push(match input.parts.as_slice() {
            [Part::Tokens(tokens)] => tokens.as_slice().into(),
            _ => Value::String(pen.text(input)?),
        });
    }
    let mut body = Map::new();
    put(&mut body, "model", Some(model));
    put(&mut body, "input", Some(inputs));
    put(&mut body, "dimensions", pen.embed.dimensions.as_ref().map(|wish| wish.value));
    put(&mut body, "user", pen.embed.user.as_ref().map(|wish| wish.value.as_str()));
    pen.lose(pen.embed.purpose.as_ref());
    pen.lose(pen.embed.truncate.as_ref());
    pen.titles();
    Ok(body.into())
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Row<'a>>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

fn read_response(body: &[u8]) -> Result<Embedded, Fault> {
    let mut answer: Answer<'_> = parsed(body)?;
    // They stand in the order of their numbers nearly everywhere.
    answer.data.sort_by_key(|row| row.index);
    let usage = answer.usage.as_ref().and_then(|usage| {
        ["prompt_tokens", "input_tokens", "total_tokens"].iter().find_map(|name| usage.get(name)?.as_u64())
    });
    Ok(Embedded {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        vectors: vectors(answer.data.into_iter().map(|row| row.embedding).collect())?,
        packed: Vec::new(),
        usage: tokens(usage),
    })
}

/// Writes an answer. Clients read the numbers of its usage without looking whether it is there, so where the
/// provider tells none they are 0.
fn write_response(embedded: &Embedded, asked: &Embed) -> String {
    let model = if embedded.model.is_empty() { &asked.model } else { &embedded.model };
    let mut out = String::from(r#"{"object":"list","data":"#);
    list(&mut out, embedded.vectors.iter().enumerate(), |out, (index, vector)| {
        out.push_str(&format!(r#"{{"object":"embedding","index":{index},"embedding":"#));
        if asked.is_base64() {
            vector.push_base64(out);
        } else {
            vector.push_list(out);
        }
        out.push('}');
    });
    let tokens = embedded.usage.as_ref().map_or(0, |usage| usage.all_input());
    let usage = format!(r#"{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}"#);
    out.push_str(&format!(r#","model":{},"usage":{usage}}}"#, quoted(model)));
    out
}
