//! Which path is which operation of which dialect, in one table.

use super::{
    answer::{Answer, Ask},
    anthropic, bedrock, cohere, completions, embeddings, gemini, openai, responses,
    script::Script,
};
use http::{Method, request::Parts};
use serde_json::{Value, json};

/// What a dialect reads of a request.
pub(crate) struct Given<'a> {
    pub(crate) path: &'a str,
    pub(crate) body: &'a Value,
    /// What the real API would refuse is let through.
    pub(crate) lenient: bool,
}

impl Given<'_> {
    /// What is wrong, unless the script is lenient.
    pub(crate) fn insist(&self, found: Result<(), String>) -> Result<(), String> {
        if self.lenient { Ok(()) } else { found }
    }
}

/// How a dialect dresses what is said.
pub(crate) struct Dialect {
    /// The answer as one JSON object.
    pub(crate) whole: fn(&Ask, &Answer, &Script, u64) -> Value,
    /// The answer's events in order, each with its name where the dialect has names.
    pub(crate) stream: fn(&Ask, &Answer, &Script, u64) -> Vec<Event>,
    /// An error body.
    pub(crate) fault: fn(u16, &str) -> Value,
    /// An error in the place of an event.
    pub(crate) stream_fault: fn(&str) -> Event,
    /// An error body with a code, that says why a request is not answered, where the dialect has codes.
    pub(crate) refusal: Option<fn(&str, &str) -> Value>,
    /// How many events stand before the first token of a stream.
    pub(crate) lead: usize,
    /// What holds the events of a stream together.
    pub(crate) framing: Framing,
}

/// An event's name, if the dialect names them, and its data.
pub(crate) type Event = (Option<String>, String);

/// What holds the events of a stream together.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Sse,
    /// Server-sent events whose lines end with CR LF; without `alt=sse` in the query, the elements of an array.
    Google,
    /// AWS event-stream messages.
    Aws,
}

/// What is done.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// The model answers.
    Generate,
    /// Tokens are counted; so many is told like this.
    Count(fn(u64) -> Value),
    /// Texts become vectors, which are told like this.
    Embed(fn(&Ask, &[Vec<f32>]) -> Value),
    /// The models of the house, told like this.
    Models(fn(&[&str]) -> Value),
    /// What was sent is told.
    Echo,
}

type Read = fn(&Given<'_>) -> Result<Ask, String>;

/// A route: how its path ends, who reads it, what is done, and in which dialect.
pub(crate) struct Route {
    ending: &'static str,
    pub(crate) read: Option<Read>,
    pub(crate) action: Action,
    pub(crate) dialect: &'static Dialect,
}

const fn post(ending: &'static str, dialect: &'static Dialect, read: Read, action: Action) -> Route {
    Route { ending, read: Some(read), action, dialect }
}

const fn list(dialect: &'static Dialect, tell: fn(&[&str]) -> Value) -> Route {
    Route { ending: "", read: None, action: Action::Models(tell), dialect }
}

#[rustfmt::skip]
const POSTS: &[Route] = &[
    post("/chat/completions", &openai::DIALECT, openai::ask, Action::Generate),
    post("/completions", &completions::DIALECT, completions::ask, Action::Generate),
    post("/embeddings", &openai::DIALECT, embeddings::ask, Action::Embed(embeddings::whole)),
    post("/responses", &responses::DIALECT, responses::ask, Action::Generate),
    post("/messages", &anthropic::DIALECT, anthropic::ask, Action::Generate),
    post("/messages/count_tokens", &anthropic::DIALECT, anthropic::ask_count, Action::Count(anthropic::count)),
    post(":generateContent", &gemini::DIALECT, gemini::ask, Action::Generate),
    post(":streamGenerateContent", &gemini::DIALECT, gemini::ask, Action::Generate),
    post(":countTokens", &gemini::DIALECT, gemini::ask_count, Action::Count(gemini::count)),
    post(":embedContent", &gemini::DIALECT, gemini::ask_embed, Action::Embed(gemini::embedding)),
    post(":batchEmbedContents", &gemini::DIALECT, gemini::ask_embeds, Action::Embed(gemini::embeddings)),
    post("/v2/chat", &cohere::DIALECT, cohere::ask, Action::Generate),
    post("/converse", &bedrock::DIALECT, bedrock::ask, Action::Generate),
    post("/converse-stream", &bedrock::DIALECT, bedrock::ask, Action::Generate),
];

const OPENAI_MODELS: Route = list(&openai::DIALECT, openai::models);
const ANTHROPIC_MODELS: Route = list(&anthropic::DIALECT, anthropic::models);
const GEMINI_MODELS: Route = list(&gemini::DIALECT, gemini::models);
const COHERE_MODELS: Route = list(&cohere::DIALECT, cohere::models);
const ECHO: Route = Route { ending: "", read: None, action: Action::Echo, dialect: &openai::DIALECT };

/// The route of a request; what is on none is echoed.
pub(crate) fn find(head: &Parts) -> &'static Route {
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if path.starts_with("/echo") {
        return &ECHO;
    }
    if head.method == Method::POST {
        return POSTS.iter().find(|route| path.ends_with(route.ending)).unwrap_or(&ECHO);
    }
    match path.ends_with("/models") {
        true if head.headers.contains_key("anthropic-version") => &ANTHROPIC_MODELS,
        true if path.ends_with("v1beta/models") => &GEMINI_MODELS,
        true if query.contains("endpoint=chat") => &COHERE_MODELS,
        true => &OPENAI_MODELS,
        false => &ECHO,
    }
}

/// A list of `{"NAME": …}` as Cohere and Google have it.
pub(crate) fn named_models(names: &[&str], prefix: &str) -> Value {
    let one = |name: &&str| json!({"name": format!("{prefix}{name}"), "displayName": name});
    json!({"models": names.iter().map(one).collect::<Vec<_>>()})
}
