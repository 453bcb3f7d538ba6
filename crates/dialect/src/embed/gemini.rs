//! Gemini's embeddings, of one content (`embedContent`) and of several (`batchEmbedContents`):
//! <https://ai.google.dev/api/embeddings>
//!
//! A caller of another shape has a provider asked for several, which it takes for one too.

use super::{
    Caller, Embed, Embedded, Input, Part, Pen, Purpose, Wire, Wish, list, parsed, purpose, said, tokens,
    vectors,
};
use crate::{
    DialectId, Fault,
    canon::Source,
    json::{Object, put, wrong},
    limits::EMBED_INPUTS_GEMINI_MAX,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

pub(super) const WIRE: Wire = Wire {
    caller: Some(Caller { read_request, write_response, errors: Some(DialectId::Gemini), is_proto: true }),
    write_request,
    read_response,
    inputs_max: EMBED_INPUTS_GEMINI_MAX,
};

/// The words of `taskType` that others have too: <https://ai.google.dev/api/embeddings#v1beta.TaskType>
pub(super) const PURPOSES: &[(&str, Purpose)] = &[
    ("RETRIEVAL_QUERY", Purpose::Query),
    ("RETRIEVAL_DOCUMENT", Purpose::Document),
    ("CLASSIFICATION", Purpose::Classification),
    ("CLUSTERING", Purpose::Clustering),
    ("SEMANTIC_SIMILARITY", Purpose::Similarity),
];
const NO_PURPOSE: &str = "TASK_TYPE_UNSPECIFIED";

fn read_request(mut object: Object, embed: &mut Embed) -> Result<Object, Fault> {
    let Some(requests) = object.list("requests")? else {
        embed.single = true;
        let (rest, input) = request(object, embed)?;
        embed.inputs.push(input);
        return Ok(rest);
    };
    for (index, value) in requests.into_iter().enumerate() {
        let (rest, input) = request(Object::proto(value, format!("/requests/{index}"))?, embed)?;
        embed.stranger(rest);
        embed.inputs.push(input);
    }
    Ok(object)
}

/// Reads one request. Wishes hold for all of them elsewhere, so those of the first count, and others are lost.
fn request(mut object: Object, embed: &mut Embed) -> Result<(Object, Input), Fault> {
    if let Some(model) = object.string("model")?.filter(|_| embed.model.is_empty()) {
        embed.model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    }
    let word = object.string("taskType")?.filter(|word| word != NO_PURPOSE);
    let word = word.map(|word| purpose(PURPOSES, word));
    let dimensions = object.whole("outputDimensionality")?;
    if embed.inputs.is_empty() {
        embed.purpose = said(&object, "taskType", word);
        embed.dimensions = said(&object, "outputDimensionality", dimensions);
    } else {
        let purpose = other(&object, "taskType", &embed.purpose, word);
        let size = other(&object, "outputDimensionality", &embed.dimensions, dimensions);
        embed.strange.extend(purpose.into_iter().chain(size));
    }
    let title = object.string("title")?;
    let title = said(&object, "title", title);
    let at = object.at("content");
    let content = object.object("content")?.ok_or_else(|| Fault::bad(&at, "`content` is missing"))?;
    let parts = parts(content, embed)?;
    Ok((object, Input { parts, title, at }))
}

/// A wish of one of several requests, which must be that of the first one; its pointer where it is not.
fn other<T: PartialEq>(
    object: &Object,
    name: &str,
    first: &Option<Wish<T>>,
    value: Option<T>,
) -> Option<String> {
    (first.as_ref().map(|wish| &wish.value) != value.as_ref()).then(|| object.at(name))
}

fn parts(mut content: Object, embed: &mut Embed) -> Result<Vec<Part>, Fault> {
    let pointer = content.at("parts");
    let list = content.list("parts")?.unwrap_or_default();
    // Who speaks says nothing here.
    content.take("role");
    embed.stranger(content);
    let numbered = list.into_iter().enumerate();
    numbered.map(|(index, value)| part(value, format!("{pointer}/{index}"), embed)).collect()
}

fn part(value: Value, at: String, embed: &mut Embed) -> Result<Part, Fault> {
    let strange = wrong(&at, "a part with `text`, `inlineData` or `fileData`", &value);
    let mut object = Object::proto(value, &at)?;
    let read = if let Some(text) = object.string("text")? {
        Part::Text(text)
    } else if let Some(mut inner) = object.object("inlineData")? {
        let (media_type, data) = (inner.need_string("mimeType")?, inner.need_string("data")?);
        embed.stranger(inner);
        Part::Media(Source::Base64 { media_type, data })
    } else {
        let mut inner = object.object("fileData")?.ok_or(strange)?;
        let url = inner.need_string("fileUri")?;
        embed.stranger(inner);
        Part::Media(Source::Url(url))
    };
    embed.stranger(object);
    Ok(read)
}

fn write_request(pen: &mut Pen<'_>, model: &str) -> Result<Value, Fault> {
    pen.floats_only()?;
    pen.lose(pen.embed.truncate.as_ref());
    pen.lose(pen.embed.user.as_ref());
    let model = full_name(model);
    let purpose = pen.purpose(PURPOSES);
    let mut requests = Vec::new();
    for input in &pen.embed.inputs {
        let mut request = Map::new();
        put(&mut request, "model", Some(model.as_str()));
        put(&mut request, "content", Some(json!({"parts": written(pen, input)?})));
        put(&mut request, "taskType", purpose);
        put(&mut request, "title", input.title.as_ref().map(|title| title.value.as_str()));
        put(&mut request, "outputDimensionality", pen.embed.dimensions.as_ref().map(|wish| wish.value));
        requests.push(Value::Object(request));
    }
    Ok(json!({"requests": requests}))
}

/// The name of a model as a resource: <https://ai.google.dev/api/models>
pub(super) fn full_name(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("models/{model}") }
}

fn written(pen: &Pen<'_>, input: &Input) -> Result<Vec<Value>, Fault> {
    let part = |part: &Part| match part {
        Part::Text(text) => Ok(json!({"text": text})),
        Part::Media(Source::Base64 { media_type, data }) => {
            Ok(json!({"inlineData": {"mimeType": media_type, "data": data}}))
        }
        Part::Media(Source::Url(url)) => Ok(json!({"fileData": {"fileUri": url}})),
        other => Err(pen.cannot(input, other)),
    };
    input.parts.iter().map(part).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, alias = "embedding")]
    embeddings: Rows<'a>,
    #[serde(default)]
    usage_metadata: Option<Value>,
}

/// One, or several.
struct Rows<'a>(Vec<Row<'a>>);

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let rows = if raw.starts_with('{') {
            serde_json::from_str(raw).map(|row| vec![row])
        } else {
            serde_json::from_str(raw)
        };
        rows.map(Rows).map_err(serde::de::Error::custom)
    }
}

/// Reads an answer. Older models tell no usage.
fn read_response(body: &[u8]) -> Result<Embedded, Fault> {
    let answer: Answer<'_> = parsed(body)?;
    let count = answer.usage_metadata.as_ref().and_then(|usage| usage.get("promptTokenCount")?.as_u64());
    let vectors = vectors(answer.embeddings.0.into_iter().map(|row| row.values).collect())?;
    Ok(Embedded { vectors, usage: tokens(count), ..Embedded::default() })
}

fn write_response(embedded: &Embedded, asked: &Embed) -> String {
    let row = |out: &mut String, vector: &super::Vector| {
        out.push_str(r#"{"values":"#);
        vector.push_list(out);
        out.push('}');
    };
    let mut out = String::from("{");
    match embedded.vectors.as_slice() {
        [vector] if asked.single => {
            out.push_str(r#""embedding":"#);
            row(&mut out, vector);
        }
        vectors => {
            out.push_str(r#""embeddings":"#);
            list(&mut out, vectors, row);
        }
    }
    if let Some(usage) = &embedded.usage {
        out.push_str(&format!(r#","usageMetadata":{{"promptTokenCount":{}}}"#, usage.all_input()));
    }
    out.push('}');
    out
}
