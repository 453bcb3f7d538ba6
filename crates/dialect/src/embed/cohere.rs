//! Cohere's embeddings: <https://docs.cohere.com/reference/embed>

use super::{
    Caller, Embed, EmbedShape, Embedded, Encoding, Input, Part, Pen, Purpose, Truncate, Wire, content, list,
    parsed, purpose, quoted, said, source, tokens, vectors,
};
use crate::{
    Fault,
    canon::Source,
    json::{Object, put},
    limits::EMBED_INPUTS_COHERE_MAX,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::BTreeMap;

pub(super) const WIRE: Wire = Wire {
    caller: Some(Caller { read_request, write_response, errors: None, is_proto: false }),
    write_request: |pen, model| body(pen, Some(model)),
    read_response,
    inputs_max: EMBED_INPUTS_COHERE_MAX,
};

/// The words of `input_type`.
const PURPOSES: &[(&str, Purpose)] = &[
    ("search_query", Purpose::Query),
    ("search_document", Purpose::Document),
    ("classification", Purpose::Classification),
    ("clustering", Purpose::Clustering),
];
/// The purpose where none is told, or one that Cohere does not know; newer models demand one.
const USUAL: &str = "search_document";
/// Pictures alone have a type of their own.
const PICTURE: &str = "image";

const TRUNCATES: &[(&str, Truncate)] =
    &[("NONE", Truncate::Never), ("START", Truncate::Start), ("END", Truncate::End)];

fn read_request(mut object: Object, embed: &mut Embed) -> Result<Object, Fault> {
    embed.model = object.need_string("model")?;
    let texts = object.strings("texts")?.into_iter().map(Part::Text).enumerate();
    embed.inputs.extend(texts.map(|(index, part)| Input::new(part, format!("/texts/{index}"))));
    let images = object.strings("images")?.into_iter().map(|url| Part::Media(source(&url))).enumerate();
    embed.inputs.extend(images.map(|(index, part)| Input::new(part, format!("/images/{index}"))));
    for (index, value) in object.list("inputs")?.into_iter().flatten().enumerate() {
        let input = content(value, format!("/inputs/{index}"), embed)?;
        embed.inputs.push(input);
    }
    let word = object.string("input_type")?.filter(|word| word != PICTURE);
    embed.purpose = said(&object, "input_type", word.map(|word| purpose(PURPOSES, word)));
    let types = object.peek("embedding_types").is_some_and(Value::is_array);
    let encodings = object.strings("embedding_types")?.into_iter().map(encoding).collect();
    embed.encodings = said(&object, "embedding_types", types.then_some(encodings));
    let dimensions = object.whole("output_dimension")?;
    embed.dimensions = said(&object, "output_dimension", dimensions);
    let truncate = object.string("truncate")?.map(truncate).transpose()?;
    embed.truncate = said(&object, "truncate", truncate);
    Ok(object)
}

fn encoding(word: String) -> Encoding {
    match word.as_str() {
        "float" => Encoding::Float,
        "base64" => Encoding::Base64,
        _ => Encoding::Packed(word),
    }
}

fn truncate(word: String) -> Result<Truncate, Fault> {
    let known = TRUNCATES.iter().find(|(name, _)| *name == word).map(|(_, truncate)| *truncate);
    let strange = || Fault::bad("/truncate", format!("`{word}` is no way to truncate"));
    known.ok_or_else(|| strange().hint("the ways are `NONE`, `START` and `END`"))
}

/// Writes a request; on Bedrock the path tells the model.
///
/// Floats are always asked for, as numbers: base64 is made of them where it is wanted, since not every model gives
/// it.
pub(super) fn body(pen: &mut Pen<'_>, model: Option<&str>) -> Result<Value, Fault> {
    let embed = pen.embed;
    if embed.from != EmbedShape::Cohere {
        pen.floats_only()?;
    }
    pen.lose(embed.user.as_ref());
    pen.titles();
    let mut body = Map::new();
    put(&mut body, "model", model);
    let is_picture = inputs(pen, &mut body)?;
    let word = if is_picture {
        pen.lose(embed.purpose.as_ref());
        PICTURE
    } else {
        pen.purpose(PURPOSES).unwrap_or(USUAL)
    };
    put(&mut body, "input_type", Some(word));
    let packed = embed.encodings.iter().flat_map(|wish| &wish.value).filter_map(|encoding| match encoding {
        Encoding::Packed(word) => Some(word.as_str()),
        _ => None,
    });
    let types: Vec<&str> = ["float"].into_iter().chain(packed).collect();
    put(&mut body, "embedding_types", Some(types));
    put(&mut body, "output_dimension", embed.dimensions.as_ref().map(|wish| wish.value));
    let truncate = embed.truncate.as_ref().and_then(|wish| {
        TRUNCATES.iter().find(|(_, truncate)| *truncate == wish.value).map(|(word, _)| *word)
    });
    put(&mut body, "truncate", truncate);
    Ok(body.into())
}

/// Writes the inputs, which have three forms: texts, pictures, and lists of parts. They are pictures alone?
fn inputs(pen: &mut Pen<'_>, body: &mut Map<String, Value>) -> Result<bool, Fault> {
    let inputs = pen.embed.inputs.iter();
    let is_text = |part: &Part| matches!(part, Part::Text(_));
    if inputs.clone().flat_map(|input| &input.parts).all(is_text) {
        let texts = inputs.map(|input| pen.text(input)).collect::<Result<Vec<String>, Fault>>()?;
        put(body, "texts", Some(texts));
        return Ok(false);
    }
    let images = inputs.clone().map(|input| match input.parts.as_slice() {
        [Part::Media(source)] => address(source),
        _ => None,
    });
    if let Some(images) = images.collect::<Option<Vec<String>>>() {
        put(body, "images", Some(images));
        return Ok(true);
    }
    let part = |input: &Input, part: &Part| match part {
        Part::Text(text) => Ok(json!({"type": "text", "text": text})),
        Part::Media(source) => {
            let url = address(source).ok_or_else(|| pen.cannot(input, part))?;
            Ok(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        Part::Tokens(_) => Err(pen.cannot(input, part)),
    };
    let mixed = inputs.map(|input| {
        let parts: Vec<Value> =
            input.parts.iter().map(|piece| part(input, piece)).collect::<Result<_, _>>()?;
        Ok(json!({"content": parts}))
    });
    put(body, "inputs", Some(mixed.collect::<Result<Vec<Value>, Fault>>()?));
    Ok(false)
}

fn address(source: &Source) -> Option<String> {
    match source {
        Source::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        Source::Url(url) => Some(url.clone()),
        Source::Text { .. } | Source::FileId(_) => None,
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    embeddings: &'a RawValue,
    #[serde(default)]
    meta: Option<Value>,
}

/// Reads an answer: vectors by their types, or a list of them where no types were asked for (the older API, and
/// Bedrock). Bedrock tells no usage.
pub(super) fn read_response(body: &[u8]) -> Result<Embedded, Fault> {
    let answer: Answer<'_> = parsed(body)?;
    let count = answer.meta.as_ref().and_then(|meta| meta.pointer("/billed_units/input_tokens")?.as_u64());
    let mut embedded =
        Embedded { id: answer.id.unwrap_or_default(), usage: tokens(count), ..Embedded::default() };
    let text = answer.embeddings.get();
    if text.starts_with('[') {
        embedded.vectors = vectors(parsed(text.as_bytes())?)?;
        return Ok(embedded);
    }
    let mut types: BTreeMap<String, Option<Vec<&RawValue>>> = parsed(text.as_bytes())?;
    let plain = ["float", "base64"].iter().find_map(|name| types.remove(*name).flatten());
    embedded.vectors = vectors(plain.unwrap_or_default())?;
    types.remove("base64");
    for (name, list) in types {
        embedded.packed.extend(list.map(|list| Ok::<_, Fault>((name, vectors(list)?))).transpose()?);
    }
    Ok(embedded)
}

/// Writes an answer with the types that were asked for.
fn write_response(embedded: &Embedded, asked: &Embed) -> String {
    let wanted = asked.encodings.as_ref().map(|wish| wish.value.as_slice()).filter(|list| !list.is_empty());
    let mut types = Vec::new();
    for encoding in wanted.unwrap_or(&[Encoding::Float]) {
        let mut out = String::new();
        match encoding {
            Encoding::Float => {
                out.push_str(r#""float":"#);
                list(&mut out, &embedded.vectors, |out, vector| vector.push_list(out));
            }
            Encoding::Base64 => {
                out.push_str(r#""base64":"#);
                list(&mut out, &embedded.vectors, |out, vector| vector.push_base64(out));
            }
            Encoding::Packed(word) => {
                let Some((_, vectors)) = embedded.packed.iter().find(|(name, _)| name == word) else {
                    continue;
                };
                out.push_str(&format!("{}:", quoted(word)));
                list(&mut out, vectors, |out, vector| vector.push_list(out));
            }
        }
        types.push(out);
    }
    let id = if embedded.id.is_empty() { "embed-0" } else { &embedded.id };
    let mut texts = Vec::new();
    for input in &asked.inputs {
        if let [Part::Text(text)] = input.parts.as_slice() {
            texts.push(text.as_str());
        }
    }
    let tokens = embedded.usage.as_ref().map_or(0, |usage| usage.all_input());
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}});
    format!(
        r#"{{"id":{},"embeddings":{{{}}},"texts":{},"meta":{meta},"response_type":"embeddings_by_type"}}"#,
        quoted(id),
        types.join(","),
        json!(texts),
    )
}
