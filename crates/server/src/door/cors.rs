//! Web pages of other origins: they may call only where the operator says so.

use super::{
    filter,
    io::ClientIo,
    reply::{self, ReplyBody},
    worker::Worker,
};
use engine::plan::Cors;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};

/// Answers a page's question whether it may call.
pub(super) fn preflight(worker: &Worker, client: &ClientIo, parts: &Parts) -> Response<ReplyBody> {
    let mut response = reply::empty(worker, client, StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let any = HeaderValue::from_static("authorization, content-type, x-api-key");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.cloned().unwrap_or(any));
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets the page read the answer, where it may. Never with credentials: keys are sent by hand, not by cookie.
pub(super) fn allow(cors: Option<&Cors>, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let Some(cors) = cors else { return };
    let allowed = match (cors, origin) {
        (Cors::Any, _) => Some(HeaderValue::from_static("*")),
        (Cors::Origins(_), Some(origin)) if is_own(Some(cors), origin) => Some(origin.clone()),
        (Cors::Origins(_), _) => None,
    };
    if matches!(cors, Cors::Origins(_)) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let exposed = "x-request-id, x-sekisho-target, x-sekisho-attempts, x-sekisho-loss, retry-after";
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
}

/// Whether a page of this origin may call: the operator named it, or it comes from this machine.
pub(super) fn is_own(cors: Option<&Cors>, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    match cors {
        Some(Cors::Any) => origin != "null",
        Some(Cors::Origins(origins)) => origins.iter().any(|own| own == origin),
        None => origin.split_once("://").is_some_and(|(_, host)| filter::is_loopback(host)),
    }
}
