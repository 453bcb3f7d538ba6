//! The laws, applied to one recorded exchange.

use super::{Exchange, Received};
use dialect::{
    DialectId, FaultKind,
    embed::EmbedShape,
    frame::{Framing, aws},
    laws::{self, Broken},
    splice::Outline,
};
use serde_json::{Map, Value};
use std::panic::catch_unwind;

/// Which endpoints speak which dialect.
const DIALECTS: &[(&str, DialectId)] = &[
    ("chat", DialectId::OpenaiChat),
    ("completions", DialectId::OpenaiCompletions),
    ("converse", DialectId::Bedrock),
    ("converse-stream", DialectId::Bedrock),
    ("count_tokens", DialectId::Anthropic),
    ("generateContent", DialectId::Gemini),
    ("messages", DialectId::Anthropic),
    ("predictions", DialectId::Replicate),
    ("responses", DialectId::OpenaiResponses),
    ("stream", DialectId::Replicate),
    ("streamGenerateContent", DialectId::Gemini),
];
/// Providers that call an endpoint so and mean something else, and the dialect that it is.
const OTHERS: &[(&str, &str, Option<DialectId>)] = &[
    ("bedrock", "count_tokens", Some(DialectId::Bedrock)),
    ("cohere", "chat", Some(DialectId::Cohere)),
    ("gemini", "count_tokens", Some(DialectId::Gemini)),
    ("vertex", "count_tokens", Some(DialectId::Gemini)),
];
/// What marks the answer of another operation (pictures, of predictions), or in another dialect than the
/// endpoint's.
const STRAY: &[(&str, &str)] = &[
    ("predictions", "\"model\":\"kvfrans/clipdraw\""),
    ("predictions", "\"model\":\"stability-ai/"),
    ("responses", "\"chat.completion"),
    ("responses", "\"response.input_tokens\""),
];
/// Where a request to count tokens holds another API's body, as base64.
const WRAPPED: &str = "/input/invokeModel";
/// An endpoint that hands any maker's body on, the model in its path, and the mark of Anthropic's.
const INVOKE: (&str, &str) = ("invoke", "/anthropic_version");
/// Bytes that stand for numbers in base64.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The endpoint of embeddings, the shape that it has nearly everywhere, and where it has another. Of Ollama only
/// its own older API was recorded.
const EMBEDDINGS: &str = "embeddings";
const SHAPES: &[(&str, Option<EmbedShape>)] =
    &[("cohere", Some(EmbedShape::Cohere)), ("gemini", Some(EmbedShape::Gemini)), ("ollama", None)];
/// What marks the answer of a model that embeds, on Bedrock.
const BEDROCK: &[&str] = &["{\"embedding\":", "\"embeddings_by_type\""];
/// Members that must stand once, as in a gateway.
const POLICY: &[&str] = &["model", "stream", "max_tokens", "max_completion_tokens", "stream_options", "n"];
/// A source whose answers are made by hand, some of them broken on purpose: a stream that never says that it
/// ends, an answer with nothing in it. Of these it is right that they cannot be read.
const MOCKS: &str = "firebase-mock";
/// The tag of an answer that holds an error in spite of its status.
const ERROR_IN_200: &str = "error_in_200";
/// Longest piece of a stream that is split at random, in bytes.
const PIECE_MAX: u64 = 100;

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Answer,
    Stream,
    Error,
    NotYet,
}

/// What was found in one exchange.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) kinds: Vec<Kind>,
    /// Each law that does not hold, with what was found.
    pub(super) broken: Vec<(String, String)>,
}

/// Checks everything of an exchange.
pub(super) fn exchange(exchange: &Exchange) -> Outcome {
    if let Some(shape) = shape_of(exchange) {
        return embeddings(exchange, shape);
    }
    let Some(dialect) = dialect_of(exchange) else {
        return Outcome { kinds: vec![Kind::NotYet], broken: Vec::new() };
    };
    let mut outcome = Outcome::default();
    let body = exchange.request.as_ref().map(|request| &request.body);
    if let Some(Value::Object(body)) = body.filter(|_| dialect.dialect().serves_callers()) {
        let mut body = body.clone();
        if exchange.endpoint == INVOKE.0 {
            body.insert("model".to_owned(), "model".into());
        }
        let body = Value::Object(body).to_string().into_bytes();
        outcome.take(Kind::Request, || request(exchange, dialect, &body));
    }
    if exchange.endpoint == "count_tokens" && exchange.response.status < 400 {
        return outcome;
    }
    let kind = kind_of(&exchange.response);
    let body = bytes(&exchange.response, dialect.dialect().framing() == Framing::Aws && kind == Kind::Stream);
    outcome.take(kind, || match kind {
        Kind::Error => error(exchange, dialect, &body),
        Kind::Stream => stream(exchange, dialect, &body),
        _ => answer(exchange, dialect, &body),
    });
    outcome
}

fn shape_of(exchange: &Exchange) -> Option<EmbedShape> {
    let Exchange { provider, endpoint, response, .. } = exchange;
    if (provider.as_str(), endpoint.as_str()) == ("bedrock", "invoke") {
        let marked = BEDROCK.iter().any(|mark| response.body.contains(mark));
        return marked.then_some(EmbedShape::Bedrock);
    }
    let other = SHAPES.iter().find(|(name, _)| name == provider);
    let shape = other.map_or(Some(EmbedShape::Openai), |(_, shape)| *shape);
    shape.filter(|_| endpoint == EMBEDDINGS)
}

fn embeddings(exchange: &Exchange, shape: EmbedShape) -> Outcome {
    let mut outcome = Outcome::default();
    let sent = exchange.request.as_ref().map(|request| &request.body).filter(|body| body.is_object());
    let asked = sent.map(|body| body.to_string().into_bytes());
    if let Some(body) = asked.as_ref().filter(|_| shape.is_callers()) {
        outcome.take(Kind::Request, || embed_request(exchange, shape, body));
    }
    let Received { status, body, .. } = &exchange.response;
    let kind = if *status < 400 { Kind::Answer } else { Kind::Error };
    outcome.take(kind, || match kind {
        Kind::Answer => embed_answer(exchange, shape, asked.as_deref()),
        _ => laws::error(DialectId::OpenaiChat, *status, body.as_bytes(), DialectId::OpenaiChat),
    });
    outcome
}

fn embed_request(exchange: &Exchange, shape: EmbedShape, body: &[u8]) -> Result<(), Broken> {
    if let (Err(fault), 0..400) = (shape.read_request(body), exchange.response.status) {
        return broken("a request that the provider took can be read", fault.to_string());
    }
    spliced(body)?;
    laws::embed_request(shape, body)
}

/// A recorded answer can be read, and passes untouched to the caller who got it.
fn embed_answer(exchange: &Exchange, shape: EmbedShape, asked: Option<&[u8]>) -> Result<(), Broken> {
    let body = exchange.response.body.as_bytes();
    expect(exchange, shape.read_response(body).map(|_| ()))?;
    if let Some(Ok(asked)) = asked.map(|asked| shape.read_request(asked)) {
        match shape.answer(body.to_vec().into(), &asked) {
            Ok(answer) if answer.body == body => {}
            other => return broken("an answer in the caller's shape passes untouched", format!("{other:?}")),
        }
    }
    laws::embed_response(shape, body)
}

impl Outcome {
    /// Runs a check; a panic is a law that does not hold.
    fn take(&mut self, kind: Kind, check: impl Fn() -> Result<(), Broken>) {
        self.kinds.push(kind);
        match catch_unwind(std::panic::AssertUnwindSafe(check)) {
            Ok(Ok(())) => {}
            Ok(Err(Broken { law, found })) => self.broken.push((law.to_owned(), found)),
            Err(_) => self.broken.push(("nothing panics".to_owned(), format!("{kind:?}"))),
        }
    }
}

fn dialect_of(exchange: &Exchange) -> Option<DialectId> {
    let asked = exchange.request.as_ref().map(|request| &request.body);
    let holds = |pointer: &str| asked.is_some_and(|body| body.pointer(pointer).is_some());
    if exchange.endpoint == INVOKE.0 {
        return holds(INVOKE.1).then_some(DialectId::Anthropic);
    }
    if holds(WRAPPED) {
        return None;
    }
    let other = |(provider, endpoint, _): &&(&str, &str, Option<DialectId>)| {
        *provider == exchange.provider.as_str() && *endpoint == exchange.endpoint.as_str()
    };
    if let Some((.., other)) = OTHERS.iter().find(other) {
        return *other;
    }
    let stray = |(endpoint, mark): &(&str, &str)| {
        *endpoint == exchange.endpoint && exchange.response.body.contains(mark)
    };
    if STRAY.iter().any(stray) {
        return None;
    }
    DIALECTS.iter().find(|(endpoint, _)| *endpoint == exchange.endpoint).map(|(_, dialect)| *dialect)
}

fn kind_of(response: &Received) -> Kind {
    let is_stream = |(name, value): (&String, &Value)| {
        let streams = ["text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson"];
        let value = value.to_string();
        name.eq_ignore_ascii_case("content-type") && streams.iter().any(|kind| value.contains(kind))
    };
    match response.status {
        400.. => Kind::Error,
        _ if response.headers.iter().any(is_stream) => Kind::Stream,
        _ => Kind::Answer,
    }
}

/// The bytes of a body. AWS's frames are recorded as base64, or as lines that hold an event under its name.
fn bytes(response: &Received, is_framed: bool) -> Vec<u8> {
    if response.body_encoding == "base64" {
        return unpacked(&response.body);
    }
    if !is_framed {
        return response.body.clone().into_bytes();
    }
    let mut out = Vec::new();
    let events =
        response.body.lines().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
    for (name, data) in events.flatten() {
        aws::write_event(&mut out, &name, data.to_string().as_bytes());
    }
    out
}

fn unpacked(base64: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for number in base64.bytes().filter_map(|byte| BASE64.iter().position(|known| *known == byte)) {
        bits = (bits << 6) | u32::try_from(number).unwrap_or_default();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.extend((bits >> count).to_be_bytes().last());
        }
    }
    out
}

fn request(exchange: &Exchange, dialect: DialectId, body: &[u8]) -> Result<(), Broken> {
    let implementation = dialect.dialect();
    let read = match exchange.endpoint.as_str() {
        "count_tokens" => implementation.read_count_request(body),
        _ => implementation.read_request(body),
    };
    if let (Err(fault), 0..400) = (&read, exchange.response.status) {
        return broken("a request that the provider took can be read", fault.to_string());
    }
    spliced(body)?;
    DialectId::ALL.iter().try_for_each(|to| laws::request(dialect, body, *to))
}

fn spliced(body: &[u8]) -> Result<(), Broken> {
    match Outline::read(&body.to_vec().into(), POLICY) {
        Err(fault) => broken("a request can be spliced", fault.to_string()),
        Ok(outline) if outline.apply(&[]).concat() == body => Ok(()),
        Ok(_) => broken("a splice without edits changes nothing", String::new()),
    }
}

fn answer(exchange: &Exchange, dialect: DialectId, body: &[u8]) -> Result<(), Broken> {
    let read = dialect.dialect().read_response(body).map(|_| ());
    let follows = [true, false].map(|streamed| dialect.dialect().next_step(body, streamed).is_some());
    if follows.contains(&true) {
        let refused = read.as_ref().is_err_and(|fault| fault.kind == FaultKind::UpstreamTruncated);
        return match follows == [true, true] && refused {
            true => Ok(()),
            false => broken("an answer that goes on elsewhere is no answer yet", format!("{read:?}")),
        };
    }
    expect(exchange, read)?;
    DialectId::callers().try_for_each(|to| laws::response(dialect, body, to))
}

fn stream(exchange: &Exchange, dialect: DialectId, body: &[u8]) -> Result<(), Broken> {
    expect(exchange, laws::read_stream(dialect, &[body])?.ended)?;
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    let pieces = pieces(body, seed(&exchange.id));
    DialectId::callers().try_for_each(|to| {
        laws::stream(dialect, body, to)?;
        laws::split(dialect, &pieces, to)?;
        laws::split(dialect, &bytes, to)
    })
}

fn error(exchange: &Exchange, dialect: DialectId, body: &[u8]) -> Result<(), Broken> {
    let status = exchange.response.status;
    DialectId::callers().try_for_each(|to| laws::error(dialect, status, body, to))
}

/// A recorded answer can be read, or is the provider's own error; one that is tagged as an error is one.
fn expect(exchange: &Exchange, read: Result<(), dialect::Fault>) -> Result<(), Broken> {
    let tagged = exchange.tags.iter().any(|tag| tag == ERROR_IN_200);
    match read {
        Ok(()) if tagged => broken("an error inside a 200 is an error", String::new()),
        Err(fault) if fault.upstream.is_none() && exchange.source != MOCKS => {
            broken("a recorded answer can be read", format!("{:?}: {fault}", fault.kind))
        }
        _ => Ok(()),
    }
}

fn broken(law: &'static str, found: String) -> Result<(), Broken> {
    Err(Broken { law, found })
}

/// A seed that is the same in every run (FNV-1a).
fn seed(id: &str) -> u64 {
    id.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The body in pieces of random length.
fn pieces(body: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let (mut pieces, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        // xorshift64; the seed is never zero as FNV's is not.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let length = usize::try_from(1 + seed % PIECE_MAX).unwrap_or(1).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
