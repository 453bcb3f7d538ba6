//! What clients can call: the routes of the data plane, in one table.

use crate::provider::Operation;
use dialect::DialectId;
use http::HeaderMap;
use std::{collections::HashMap, sync::LazyLock};

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Says that the gateway is up.
    Health,
    /// Lists the models.
    Models,
    /// Describes one model, the rest of the path.
    Model,
    /// An operation that is understood, in the dialect of the route.
    Do(Operation),
    /// A body with a `model` is relayed to the same path of the provider that the model names.
    Relay,
    /// The same, and a body of JSON without a `model` is refused.
    RelayModel,
    /// Relayed to the same path of one provider, which keeps what is asked for: there is no `model`.
    Keep,
    /// A WebSocket, whose address has a `model`.
    Socket,
    /// `/{provider}/…`: everything is relayed to that provider.
    Pass,
}

/// A route of the data plane.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Methods that it takes; none for any.
    pub methods: &'static [&'static str],
    /// Its path; `{name}` stands for a segment, `{name..}` for the rest.
    pub path: &'static str,
    /// The dialect of its bodies and of its errors.
    pub dialect: DialectId,
    /// What it does.
    pub action: Action,
    /// The path itself asks for a stream.
    pub stream: bool,
    /// A credential is needed where any are configured.
    pub guarded: bool,
}

const fn open(path: &'static str) -> Route {
    Route {
        methods: READ,
        path,
        dialect: DialectId::OpenaiChat,
        action: Action::Health,
        stream: false,
        guarded: false,
    }
}

const fn read(path: &'static str, action: Action) -> Route {
    Route { methods: READ, path, dialect: DialectId::OpenaiChat, action, stream: false, guarded: true }
}

const fn google(path: &'static str, action: Action) -> Route {
    Route { dialect: DialectId::Gemini, ..read(path, action) }
}

const fn post(path: &'static str, dialect: DialectId, action: Action) -> Route {
    Route { methods: &["POST"], path, dialect, action, stream: false, guarded: true }
}

const fn relay(path: &'static str) -> Route {
    post(path, DialectId::OpenaiChat, Action::Relay)
}

const fn gemini(path: &'static str, operation: Operation) -> Route {
    post(path, DialectId::Gemini, Action::Do(operation))
}

const fn bedrock(path: &'static str, operation: Operation) -> Route {
    post(path, DialectId::Bedrock, Action::Do(operation))
}

const fn stream(route: Route) -> Route {
    Route { stream: true, ..route }
}

const fn keep(path: &'static str) -> Route {
    Route { methods: &[], ..post(path, DialectId::OpenaiChat, Action::Keep) }
}

const fn socket(path: &'static str) -> Route {
    Route { methods: &["GET"], ..post(path, DialectId::OpenaiChat, Action::Socket) }
}

const READ: &[&str] = &["GET", "HEAD"];

/// Every route, the special ones before the general one. (`OPTIONS` is answered for all of them where CORS
/// is configured.)
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    open("/"),
    open("/health"),
    open("/health/live"),
    open("/health/ready"),
    read("/models", Action::Models),
    read("/v1/models", Action::Models),
    google("/v1beta/models", Action::Models),
    post("/chat/completions", DialectId::OpenaiChat, Action::Do(Operation::Generate)),
    post("/v1/chat/completions", DialectId::OpenaiChat, Action::Do(Operation::Generate)),
    post("/completions", DialectId::OpenaiCompletions, Action::Do(Operation::Generate)),
    post("/v1/completions", DialectId::OpenaiCompletions, Action::Do(Operation::Generate)),
    post("/embeddings", DialectId::OpenaiChat, Action::Do(Operation::Embed)),
    post("/v1/embeddings", DialectId::OpenaiChat, Action::Do(Operation::Embed)),
    post("/v1/responses", DialectId::OpenaiResponses, Action::Do(Operation::Generate)),
    post("/v1/messages", DialectId::Anthropic, Action::Do(Operation::Generate)),
    post("/v1/messages/count_tokens", DialectId::Anthropic, Action::Do(Operation::CountTokens)),
    relay("/moderations"),
    relay("/rerank"),
    relay("/v1/moderations"),
    relay("/v1/rerank"),
    relay("/audio/{path..}"),
    relay("/images/{path..}"),
    relay("/v1/audio/{path..}"),
    relay("/v1/images/{path..}"),
    post("/v1/responses/compact", DialectId::OpenaiResponses, Action::RelayModel),
    post("/v1/responses/input_tokens", DialectId::OpenaiResponses, Action::RelayModel),
    keep("/v1/responses/{path..}"),
    keep("/batches"),
    keep("/batches/{path..}"),
    keep("/files"),
    keep("/files/{path..}"),
    keep("/v1/batches"),
    keep("/v1/batches/{path..}"),
    keep("/v1/files"),
    keep("/v1/files/{path..}"),
    keep("/uploads"),
    keep("/uploads/{path..}"),
    keep("/v1/uploads"),
    keep("/v1/uploads/{path..}"),
    socket("/realtime"),
    socket("/v1/realtime"),
    keep("/v1/realtime/{path..}"),
    gemini("/v1beta/models/{model..}:generateContent", Operation::Generate),
    gemini("/v1beta/models/{model..}:countTokens", Operation::CountTokens),
    stream(gemini("/v1beta/models/{model..}:streamGenerateContent", Operation::Generate)),
    gemini("/v1beta/models/{model..}:embedContent", Operation::EmbedOne),
    gemini("/v1beta/models/{model..}:batchEmbedContents", Operation::Embed),
    // Some clients leave `models/` out where the model's name has a slash.
    gemini("/v1beta/{model..}:generateContent", Operation::Generate),
    gemini("/v1beta/{model..}:countTokens", Operation::CountTokens),
    stream(gemini("/v1beta/{model..}:streamGenerateContent", Operation::Generate)),
    gemini("/v1/models/{model..}:generateContent", Operation::Generate),
    gemini("/v1/models/{model..}:countTokens", Operation::CountTokens),
    stream(gemini("/v1/models/{model..}:streamGenerateContent", Operation::Generate)),
    gemini("/v1/models/{model..}:embedContent", Operation::EmbedOne),
    gemini("/v1/models/{model..}:batchEmbedContents", Operation::Embed),
    read("/v1/models/{model..}", Action::Model),
    google("/v1beta/models/{model..}", Action::Model),
    bedrock("/model/{model..}/converse", Operation::Generate),
    stream(bedrock("/model/{model..}/converse-stream", Operation::Generate)),
    bedrock("/model/{model..}/count-tokens", Operation::CountTokens),
    Route { methods: &[], path: "/{provider}/{path..}", dialect: DialectId::OpenaiChat, action: Action::Pass, stream: false, guarded: true },
];

/// Headers that tell whose client lists models where OpenAI's do: Anthropic's
/// (<https://docs.anthropic.com/en/api/versioning>), and Google's, whose newer ones ask for `/v1/models`.
const LISTERS: [(&str, DialectId); 2] =
    [("anthropic-version", DialectId::Anthropic), ("x-goog-api-client", DialectId::Gemini)];

/// First segments of paths that no provider may be called by: those of the table, and those that are kept
/// for what is to come.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    const KEPT: &[&str] = &["admin", "compat", "g", "key", "metrics", "ui", "v1beta"];
    KEPT.contains(&name) || BY_FIRST.contains_key(name)
}

/// What a path means.
#[derive(Clone, Copy, Debug)]
pub struct Found<'p> {
    /// Its route.
    pub route: &'static Route,
    /// The model that it names (`{model}` and `{model..}`), its percent codes as they are.
    pub model: Option<&'p str>,
}

/// The route of a path (without its query, after [`crate::path::check`]). Any path of two segments is at
/// least a pass-through; whether there is such a provider says [`crate::plan::Plan::pass`].
#[must_use]
pub fn find(path: &str) -> Option<Found<'_>> {
    let near = BY_FIRST.get(first(path)).map_or(&[][..], Vec::as_slice);
    // Most paths stand in the table to the letter; the patterns are behind all of these.
    if let Some(route) = near.iter().find(|route| route.path == path) {
        return Some(Found { route, model: None });
    }
    let mut patterns = near.iter().copied().chain(ROUTES.last());
    patterns.find_map(|route| Some(Found { route, model: matches(route.path, path)? }))
}

/// The routes by their first segment, which is a name in all of them but the last: each request is looked up.
static BY_FIRST: LazyLock<HashMap<&str, Vec<&Route>>> = LazyLock::new(|| {
    let mut routes: HashMap<&str, Vec<&Route>> = HashMap::new();
    for route in ROUTES {
        routes.entry(first(route.path)).or_default().push(route);
    }
    routes
});

fn first(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').map_or(path, |(first, _)| first)
}

/// `path` is of `pattern`: the model that it names, if it names one.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<&'p str>> {
    if let Some((before, verb)) = pattern.split_once("{model..}") {
        let model = path.strip_prefix(before)?.strip_suffix(verb)?;
        return (!model.is_empty()).then_some(Some(model));
    }
    let mut segments = path.split('/');
    let mut model = None;
    for part in pattern.split('/') {
        match segments.next()? {
            segment if part.ends_with("..}") => return (!segment.is_empty()).then_some(model),
            segment if part.starts_with('{') && !segment.is_empty() => {
                model = (part == "{model}").then_some(segment).or(model);
            }
            segment if part == segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(model)
}

impl Route {
    /// It takes requests of that method. Where not, the answer is a 405 that lists [`Route::methods`].
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(&method)
    }

    /// The dialect in which it answers a request with these headers: several APIs list models at one path.
    #[must_use]
    pub fn dialect_for(&self, headers: &HeaderMap) -> DialectId {
        let shared =
            self.dialect == DialectId::OpenaiChat && matches!(self.action, Action::Models | Action::Model);
        let told = LISTERS.iter().find(|(name, _)| shared && headers.contains_key(*name));
        told.map_or(self.dialect, |(_, dialect)| *dialect)
    }

    /// What it does, in a word.
    #[must_use]
    pub fn does(&self) -> &'static str {
        match self.action {
            Action::Health => "health",
            Action::Models => "models",
            Action::Model => "model",
            Action::Do(Operation::Generate) => "generate",
            Action::Do(Operation::CountTokens) => "count_tokens",
            Action::Do(Operation::Embed | Operation::EmbedOne) => "embed",
            Action::Relay | Action::RelayModel | Action::Keep => "relay",
            Action::Socket => "socket",
            Action::Pass => "pass",
        }
    }
}
