//! The data plane's routes: which path speaks which dialect and means which operation.

use crate::provider::Operation;
use dialect::{DialectId, Fault, FaultKind};
use http::Method;

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The gateway says that it is there. Open.
    Home,
    /// It lives. Open.
    Live,
    /// It takes requests. Open; details only with a key.
    Ready,
    /// What models there are.
    Models,
    /// What one model is; the rest of the path is its name.
    Model,
    /// An operation that is understood, in a dialect.
    Call(DialectId, Operation),
    /// Untouched to the provider that the path names.
    PassThrough,
}

/// One route of the data plane.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The methods it takes.
    pub methods: &'static [Method],
    /// The path; one that ends in `/*` takes everything behind it.
    pub path: &'static str,
    /// What it means.
    pub means: Means,
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const CHAT: Means = Means::Call(DialectId::OpenaiChat, Operation::Generate);
const MESSAGES: Means = Means::Call(DialectId::Anthropic, Operation::Generate);
const COUNT: Means = Means::Call(DialectId::Anthropic, Operation::CountTokens);

/// Every route, the most particular first. `OPTIONS` is answered on all of them where CORS is on.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    Route { methods: READ, path: "/",                          means: Means::Home },
    Route { methods: READ, path: "/health",                    means: Means::Ready },
    Route { methods: READ, path: "/health/live",               means: Means::Live },
    Route { methods: READ, path: "/health/ready",              means: Means::Ready },
    Route { methods: READ, path: "/v1/models",                 means: Means::Models },
    Route { methods: READ, path: "/models",                    means: Means::Models },
    Route { methods: READ, path: "/v1/models/*",               means: Means::Model },
    Route { methods: POST, path: "/v1/chat/completions",       means: CHAT },
    Route { methods: POST, path: "/chat/completions",          means: CHAT },
    Route { methods: POST, path: "/v1/messages",               means: MESSAGES },
    Route { methods: POST, path: "/v1/messages/count_tokens",  means: COUNT },
    Route { methods: &[],  path: "/*",                         means: Means::PassThrough },
];

/// What a request with this method and path means, and for a path that ends in `/*` what stood there.
///
/// # Errors
/// [`FaultKind::MethodNotAllowed`]; [`allowed`] names the methods for `Allow`.
pub fn identify<'a>(method: &Method, path: &'a str) -> Result<(Means, &'a str), Fault> {
    let Some((route, rest)) = find(path) else {
        return Err(Fault::new(FaultKind::NotFound, "there is nothing at this path"));
    };
    if route.methods.is_empty() || route.methods.contains(method) {
        return Ok((route.means, rest));
    }
    Err(Fault::new(FaultKind::MethodNotAllowed, format!("this path takes {}", allowed(path))))
}

/// The methods that a path takes, as `Allow` wants them.
#[must_use]
pub fn allowed(path: &str) -> String {
    let methods = find(path).map_or(&[][..], |(route, _)| route.methods);
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// The dialect in which a caller of this path wants its errors.
#[must_use]
pub fn dialect(path: &str) -> DialectId {
    match find(path).map(|(route, _)| route.means) {
        Some(Means::Call(dialect, _)) => dialect,
        _ => DialectId::OpenaiChat,
    }
}

fn find(path: &str) -> Option<(&'static Route, &str)> {
    ROUTES.iter().find_map(|route| match route.path.strip_suffix('*') {
        Some(prefix) => path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(|rest| (route, rest)),
        None => (route.path == path).then_some((route, "")),
    })
}
