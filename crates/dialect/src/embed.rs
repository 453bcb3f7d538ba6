//! Embeddings: texts (and pictures) into vectors, in the shapes of several APIs.
//!
//! An operation of its own, apart from the dialects: what goes in is a list of inputs, what comes out a list of
//! vectors, and nothing streams. Where caller and provider have the same shape, requests pass untouched (see
//! [`crate::splice`] and [`EmbedShape::renamed`]); this is for where they differ:
//!
//! ```text
//! EmbedShape::read_request (caller) -> Embed -> EmbedShape::write_request (provider)
//! EmbedShape::answer (provider)  <-  the provider's whole answer, and the Embed that was asked
//! ```
//!
//! An input that a provider cannot take is a fault and no loss: there must be as many vectors as inputs.
//! Numbers keep their digits: a vector is passed on as the text that it was, unless base64 stands on one side.

mod bedrock;
mod cohere;
mod gemini;
mod openai;
mod vector;
mod vertex;

pub use vector::Vector;

use crate::{
    Carried, DialectId, Fault, FaultKind, Losses,
    canon::{Source, Usage},
    error_body,
    json::{self, Object, wrong},
    limits::{ANSWER_MAX, EMBED_INPUTS_MAX, EMBED_PARTS_MAX},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// What a caller wants to have embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// The shape it was read from.
    pub from: EmbedShape,
    /// The model's name as the caller wrote it; empty where only the path tells it.
    pub model: String,
    /// What shall be embedded: one vector each.
    pub inputs: Vec<Input>,
    /// The body is that of an operation for one input (`embedContent`), and so must be the answer.
    pub single: bool,
    /// How many numbers a vector shall have.
    pub dimensions: Option<Wish<u64>>,
    /// The forms in which the vectors are wanted; none for the shape's usual one.
    pub encodings: Option<Wish<Vec<Encoding>>>,
    /// What the vectors are for.
    pub purpose: Option<Wish<Purpose>>,
    /// Where an input that is too long may be cut.
    pub truncate: Option<Wish<Truncate>>,
    /// An id of the caller's end user.
    pub user: Option<Wish<String>>,
    /// Pointers to what only the caller's shape knows.
    pub strange: Vec<String>,
}

/// A wish, and where it stood in the caller's body, as a JSON pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish<T> {
    /// What is wished.
    pub value: T,
    /// Where.
    pub at: String,
}

/// One thing to embed.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What it is made of; most often one text.
    pub parts: Vec<Part>,
    /// The title of a document.
    pub title: Option<Wish<String>>,
    /// Where it stood, as a JSON pointer.
    pub at: String,
}

/// A piece of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// Words that have been cut into the model's own tokens (OpenAI).
    Tokens(Vec<u64>),
    /// A picture or another medium.
    Media(Source),
}

/// A form of vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON numbers.
    Float,
    /// Floats of 32 bits, little-endian, in base64.
    Base64,
    /// Smaller numbers (Cohere's `int8`, `ubinary` …), which only the model can make.
    Packed(String),
}

/// What vectors are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To be put into classes.
    Classification,
    /// To be grouped.
    Clustering,
    /// To be compared.
    Similarity,
    /// A purpose that only the caller's shape names, in its word.
    Other(String),
}

/// What happens to an input that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncate {
    /// It is refused.
    Never,
    /// Its beginning goes.
    Start,
    /// Its end goes.
    End,
}

/// The vectors, as a provider gave them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// The provider's id of the answer; may be empty.
    pub id: String,
    /// The model that the provider names; may be empty.
    pub model: String,
    /// One vector an input, in the order of the inputs.
    pub vectors: Vec<Vector>,
    /// The same in other forms, by their names (Cohere).
    pub packed: Vec<(String, Vec<Vector>)>,
    /// What it cost, where the provider says.
    pub usage: Option<Usage>,
}

/// An answer for the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its body.
    pub body: Bytes,
    /// What it cost, where the provider says.
    pub usage: Option<Usage>,
}

/// How a shape is read and written.
struct Wire {
    /// How callers of this shape are served; `None` where no caller has it.
    caller: Option<Caller>,
    write_request: fn(&mut Pen<'_>, &str) -> Result<Value, Fault>,
    read_response: fn(&[u8]) -> Result<Embedded, Fault>,
    /// Most inputs of one request.
    inputs_max: usize,
}

struct Caller {
    read_request: fn(Object, &mut Embed) -> Result<Object, Fault>,
    write_response: fn(&Embedded, &Embed) -> String,
    /// The dialect of its errors; `None` for Cohere's, a message alone.
    errors: Option<DialectId>,
    /// Members are spelt in camel case or in snake case.
    is_proto: bool,
}

/// The shapes, in alphabetical order. A new one is a file, a `mod` line and a row here.
macro_rules! shapes {
    ($($variant:ident = $name:literal => $module:ident,)*) => {
        /// The wire format of an API's embeddings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EmbedShape { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl EmbedShape {
            /// Every shape there is, in the order of their names.
            pub const ALL: &'static [EmbedShape] = &[$(EmbedShape::$variant,)*];

            /// The name as it stands in configuration and cases.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(EmbedShape::$variant => $name,)* }
            }

            fn wire(self) -> &'static Wire {
                match self { $(EmbedShape::$variant => &$module::WIRE,)* }
            }
        }
    };
}

shapes! {
    Bedrock = "bedrock" => bedrock,
    Cohere = "cohere" => cohere,
    Gemini = "gemini" => gemini,
    Openai = "openai" => openai,
    Vertex = "vertex" => vertex,
}

impl EmbedShape {
    /// The shape of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<EmbedShape> {
        EmbedShape::ALL.iter().copied().find(|shape| shape.name() == name)
    }

    /// Callers may have this shape; the others are only for providers.
    #[must_use]
    pub fn is_callers(self) -> bool {
        self.wire().caller.is_some()
    }

    /// Reads a caller's request.
    ///
    /// # Errors
    /// [`FaultKind::BadRequest`] with a JSON pointer in `param` when the body is not what the shape says or
    /// holds too much; [`FaultKind::NotFound`] where no caller has this shape.
    pub fn read_request(self, body: &[u8]) -> Result<Embed, Fault> {
        let none = || Fault::new(FaultKind::NotFound, "no caller speaks this API");
        let caller = self.wire().caller.as_ref().ok_or_else(none)?;
        let mut embed = Embed {
            from: self,
            model: String::new(),
            inputs: Vec::new(),
            single: false,
            dimensions: None,
            encodings: None,
            purpose: None,
            truncate: None,
            user: None,
            strange: Vec::new(),
        };
        let value = json::parse(body)?;
        let object = if caller.is_proto { Object::proto(value, "")? } else { Object::new(value, "")? };
        let rest = (caller.read_request)(object, &mut embed)?;
        embed.stranger(rest);
        bounded(embed.inputs.len(), EMBED_INPUTS_MAX, "inputs")?;
        let parts = embed.inputs.iter().map(|input| input.parts.len()).sum();
        bounded(parts, EMBED_PARTS_MAX, "parts")?;
        Ok(embed)
    }

    /// Writes a request for a provider of this shape that knows the model as `model`.
    /// Gemini's is for `:batchEmbedContents`.
    ///
    /// # Errors
    /// [`FaultKind::BadRequest`] where the provider cannot take the inputs: so many of them, or of that kind;
    /// or cannot give the vectors in any of the forms that are wanted.
    pub fn write_request(self, embed: &Embed, model: &str) -> Result<Carried<Vec<u8>>, Fault> {
        let mut pen = Pen::new(self, embed);
        pen.at_most(self.wire().inputs_max)?;
        let body = (self.wire().write_request)(&mut pen, model)?;
        Ok(Carried { value: json::bytes(&body), losses: pen.losses })
    }

    /// The caller's own request for a provider of the same shape, with every `model` in it changed: Gemini's
    /// batches name it in each of their requests, where a splice does not reach.
    ///
    /// # Errors
    /// [`FaultKind::BadRequest`] where the body is no JSON.
    pub fn renamed(self, body: &[u8], model: &str) -> Result<Vec<u8>, Fault> {
        let mut body = json::parse(body)?;
        let model = if self == EmbedShape::Gemini { gemini::full_name(model) } else { model.to_owned() };
        let rename = |object: &mut Value| {
            if let Some(name) = object.get_mut("model") {
                *name = model.as_str().into();
            }
        };
        rename(&mut body);
        let requests = body.get_mut("requests").and_then(Value::as_array_mut);
        requests.into_iter().flatten().for_each(rename);
        Ok(json::bytes(&body))
    }

    /// Reads a provider's whole answer (status 2xx).
    ///
    /// # Errors
    /// The provider's own fault where the body is an error in spite of its status, otherwise
    /// [`FaultKind::UpstreamInvalid`].
    pub fn read_response(self, body: &[u8]) -> Result<Embedded, Fault> {
        if body.len() > ANSWER_MAX {
            return Err(invalid(format!("the provider's answer is over {ANSWER_MAX} bytes")));
        }
        (self.wire().read_response)(body)
    }

    /// Turns a provider's whole answer (status 2xx) into that of the caller who sent `asked`. Where both have
    /// the same shape it stays as it is, unless its vectors do not come in the form that was asked for: some
    /// servers know no base64, and clients decode what they asked for without looking.
    ///
    /// # Errors
    /// As [`EmbedShape::read_response`]; also where there are not as many vectors as inputs. What cannot be read
    /// of the caller's own shape passes.
    pub fn answer(self, body: Bytes, asked: &Embed) -> Result<Answer, Fault> {
        let is_own = self == asked.from;
        let embedded = match self.read_response(&body) {
            Ok(embedded) if is_own && embedded.is_as(asked) => {
                return Ok(Answer { body, usage: embedded.usage });
            }
            Ok(embedded) => embedded,
            Err(fault) if is_own && fault.upstream.is_none() => return Ok(Answer { body, usage: None }),
            Err(fault) => return Err(fault),
        };
        let (found, wanted) = (embedded.vectors.len(), asked.inputs.len());
        if found != wanted {
            return Err(invalid(format!("the provider gave {found} vectors for {wanted} inputs")));
        }
        let body = asked.from.write_response(&embedded, asked).into();
        Ok(Answer { body, usage: embedded.usage })
    }

    /// Writes a whole answer for the caller who sent `asked`. Empty where no caller has this shape.
    #[must_use]
    pub fn write_response(self, embedded: &Embedded, asked: &Embed) -> Vec<u8> {
        let caller = self.wire().caller.as_ref();
        caller.map(|caller| (caller.write_response)(embedded, asked).into_bytes()).unwrap_or_default()
    }

    /// Reads a provider's error (status 4xx or 5xx).
    #[must_use]
    pub fn read_fault(self, status: u16, body: &[u8]) -> Fault {
        error_body::read(status, body)
    }

    /// Writes a fault as an error body of this shape's API.
    #[must_use]
    pub fn write_fault(self, fault: &Fault) -> Vec<u8> {
        match self.wire().caller.as_ref().and_then(|caller| caller.errors) {
            Some(dialect) => dialect.dialect().write_fault(fault),
            None => json::bytes(&json!({"message": fault.text()})),
        }
    }
}

impl Embed {
    /// The first wanted form that [`Vector`]s have.
    fn is_base64(&self) -> bool {
        let wanted = self.encodings.as_ref().and_then(|encodings| encodings.value.first());
        wanted == Some(&Encoding::Base64)
    }

    /// Keeps the pointers of what was not taken; a `null` says nothing.
    fn stranger(&mut self, rest: Object) {
        let at = |name: &String| rest.at(name);
        let names: Vec<String> = rest.names().map(at).collect();
        self.strange.extend(names);
    }
}

impl Embedded {
    /// The vectors come in the form that was asked for. Only OpenAI's shape has one place for two forms.
    fn is_as(&self, asked: &Embed) -> bool {
        let is_base64 = |vector: &Vector| matches!(vector, Vector::Bits(_));
        asked.from != EmbedShape::Openai
            || self.vectors.iter().all(|vector| is_base64(vector) == asked.is_base64())
    }
}

impl Input {
    fn new(part: Part, at: String) -> Input {
        Input { parts: vec![part], title: None, at }
    }
}

/// Writes a request, and notes what is lost.
struct Pen<'a> {
    shape: EmbedShape,
    embed: &'a Embed,
    losses: Losses,
}

const UNKNOWN: &str = "the provider's embeddings have no such member";

impl<'a> Pen<'a> {
    fn new(shape: EmbedShape, embed: &'a Embed) -> Pen<'a> {
        let mut losses = Losses::new();
        embed.strange.iter().for_each(|pointer| losses.note(pointer, UNKNOWN));
        Pen { shape, embed, losses }
    }

    fn lose<T>(&mut self, wish: Option<&Wish<T>>) {
        if let Some(wish) = wish {
            self.losses.note(&wish.at, UNKNOWN);
        }
    }

    fn at_most(&self, most: usize) -> Result<(), Fault> {
        let Some(input) = self.embed.inputs.get(most) else { return Ok(()) };
        let (count, inputs) = (self.embed.inputs.len(), if most == 1 { "input" } else { "inputs" });
        let message = format!("this model's provider embeds {most} {inputs} a request at most, not {count}");
        Err(Fault::bad(&input.at, message).hint("send the others in further requests"))
    }

    /// Checks that floats will do. Where smaller numbers are wanted beside them, those are lost.
    fn floats_only(&mut self) -> Result<(), Fault> {
        let Some(wish) = &self.embed.encodings else { return Ok(()) };
        let is_packed = |encoding: &Encoding| matches!(encoding, Encoding::Packed(_));
        if !wish.value.is_empty() && wish.value.iter().all(is_packed) {
            let message = format!("`{}` asks for numbers that this model's provider does not give", wish.at);
            return Err(Fault::bad(&wish.at, message).hint("ask for `float`"));
        }
        if wish.value.iter().any(is_packed) {
            self.losses.note(&wish.at, "the provider gives floats only");
        }
        Ok(())
    }

    /// The words of an input for a provider that takes nothing else.
    fn text(&mut self, input: &Input) -> Result<String, Fault> {
        let mut words = Vec::new();
        for part in &input.parts {
            match part {
                Part::Text(text) => words.push(text.as_str()),
                other => return Err(self.cannot(input, other)),
            }
        }
        if words.len() > 1 {
            self.losses.note(&input.at, "its parts are written into one text");
        }
        Ok(words.join("\n"))
    }

    fn cannot(&self, input: &Input, part: &Part) -> Fault {
        let (what, hint) = match part {
            Part::Tokens(_) => ("is made of tokens, which only OpenAI's models know", "send the text itself"),
            _ => ("is no text, and this model's provider embeds only text", "choose another model"),
        };
        Fault::bad(&input.at, format!("`{}` {what}", input.at)).hint(hint)
    }

    fn titles(&mut self) {
        self.embed.inputs.iter().for_each(|input| self.lose(input.title.as_ref()));
    }

    /// The word for the purpose among the provider's `words`. Without one it is lost.
    fn purpose(&mut self, words: &[(&'static str, Purpose)]) -> Option<&'a str> {
        let wish = self.embed.purpose.as_ref()?;
        let google = [EmbedShape::Gemini, EmbedShape::Vertex];
        let word = match &wish.value {
            Purpose::Other(word) if google.contains(&self.embed.from) && google.contains(&self.shape) => {
                Some(word.as_str())
            }
            purpose => words.iter().find(|(_, known)| known == purpose).map(|(word, _)| *word),
        };
        if word.is_none() {
            self.losses.note(&wish.at, "the provider knows no such purpose");
        }
        word
    }
}

/// Reads a purpose by a shape's words.
fn purpose(words: &[(&str, Purpose)], word: String) -> Purpose {
    let known = words.iter().find(|(name, _)| *name == word).map(|(_, purpose)| purpose.clone());
    known.unwrap_or(Purpose::Other(word))
}

/// A wish where it stands.
fn said<T>(object: &Object, name: &str, value: Option<T>) -> Option<Wish<T>> {
    value.map(|value| Wish { value, at: object.at(name) })
}

/// Reads an input that is a list of parts, as Cohere and OpenRouter have it: `{"content": […]}`.
fn content(value: Value, at: String, embed: &mut Embed) -> Result<Input, Fault> {
    let mut object = Object::new(value, &at)?;
    let pointer = object.at("content");
    let list = object.list("content")?.ok_or_else(|| Fault::bad(&pointer, "`content` is missing"))?;
    embed.stranger(object);
    let part = |(index, value): (usize, Value)| {
        let text = value.get("text").and_then(Value::as_str);
        let url = value.pointer("/image_url/url").and_then(Value::as_str);
        match (text, url) {
            (Some(text), _) => Ok(Part::Text(text.to_owned())),
            (_, Some(url)) => Ok(Part::Media(source(url))),
            _ => Err(wrong(&format!("{pointer}/{index}"), "a part with `text` or `image_url`", &value)),
        }
    };
    let parts = list.into_iter().enumerate().map(part).collect::<Result<_, _>>()?;
    Ok(Input { parts, title: None, at })
}

fn source(url: &str) -> Source {
    match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((kind, data)) => Source::Base64 { media_type: kind.to_owned(), data: data.to_owned() },
        None => Source::Url(url.to_owned()),
    }
}

fn bounded(count: usize, most: usize, what: &str) -> Result<(), Fault> {
    let message = match count {
        0 => format!("there are no {what} to embed"),
        _ if count > most => format!("there are {count} {what} to embed, and may be {most} at most"),
        _ => return Ok(()),
    };
    Err(Fault::new(FaultKind::BadRequest, message))
}

/// Reads an answer. What cannot be read may be an error under the status 200.
fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    let error = match serde_json::from_slice(body) {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let says = |value: &Value| {
        let names = ["error", "errors", "detail", "message"];
        names.iter().any(|name| value.get(name).is_some_and(|said| !said.is_null()))
    };
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if says(&value) => Err(error_body::told(200, &value)),
        _ => Err(invalid(format!("the provider's answer is unreadable: {error}"))),
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, message)
}

fn vectors(list: Vec<&RawValue>) -> Result<Vec<Vector>, Fault> {
    list.into_iter().map(Vector::read).collect()
}

fn tokens(input: Option<u64>) -> Option<Usage> {
    input.map(|input| Usage { input, ..Usage::default() })
}

/// Writes a list, each element by `each`.
fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

/// JSON text of a string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
