//! Which headers cross the gateway, and which end here.

use crate::{
    access::{self, CREDENTIAL_HEADERS},
    plan::Provider,
    provider::Auth,
};
use dialect::{Fault, FaultKind};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// The header by which a caller names the provider of what is relayed.
pub const PROVIDER: &str = "x-sekisho-provider";

/// The header by which a caller says that a request is less urgent than his others.
pub const PRIORITY: &str = "x-sekisho-priority";

/// Headers that concern one connection only (RFC 9110 §7.6.1), never the next.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Request headers that end here: they are about the caller's way to us.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "cookie"
            | "expect"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "x-request-id"
            | "true-client-ip"
            // AWS's clients sign their way to us, even with nothing but a made-up key.
            | "x-amz-content-sha256"
            | "x-amz-date"
            | "x-amz-security-token"
    )
}

/// Prefixes of request headers that end here. Cloudflare answers error 1000 to its own `cf-*`.
const ENDS_HERE_PREFIXES: [&str; 4] = ["cf-", "x-forwarded-", "x-sekisho-", "sec-"];

/// Headers of a provider's answer that are about its way to us, or that only we may send.
fn stays_here(name: &str) -> bool {
    matches!(name, "content-length" | "set-cookie" | "alt-svc" | "strict-transport-security" | "x-request-id")
}

/// Prefixes of such headers.
const STAYS_HERE_PREFIXES: [&str; 2] = ["access-control-", "x-sekisho-"];

/// The caller's headers as they go to the provider: less credentials, hop-by-hop headers and those about
/// the caller's way to us.
#[must_use]
pub fn forward(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    let mut out = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        if crosses(name) && !named.contains(&name.as_str()) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// The request asks for a WebSocket (RFC 6455 §4.1).
#[must_use]
pub fn wants_socket(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && is_socket(headers) && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Both sides of a connection that becomes a WebSocket say so in these headers.
#[must_use]
pub fn is_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    let named = named_by_connection(headers).into_iter().any(|name| name.eq_ignore_ascii_case("upgrade"));
    upgrade.eq_ignore_ascii_case(b"websocket") && named
}

/// Puts into `to` what makes a WebSocket's handshake, which [`forward`] and [`backward`] leave out.
pub fn shake(from: &HeaderMap, to: &mut HeaderMap) {
    to.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    to.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_EXTENSIONS] {
        to.remove(&name);
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
    let protocols = access::protocols(from).filter(|one| access::key_of_protocol(one).is_none());
    let protocols: Vec<&str> = protocols.collect();
    if let Ok(value) = HeaderValue::from_str(&protocols.join(", "))
        && !protocols.is_empty()
    {
        to.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
}

/// The provider's headers as they go to the caller: less hop-by-hop headers, cookies, and the length, which
/// the door knows itself.
pub fn backward(headers: &mut HeaderMap) {
    let named = named_by_connection(headers);
    let stays = |name: &HeaderName| {
        let text = name.as_str();
        is_hop_by_hop(text)
            || stays_here(text)
            || STAYS_HERE_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || named.contains(&text)
    };
    let stay: Vec<HeaderName> = headers.keys().filter(|name| stays(name)).cloned().collect();
    for name in stay {
        headers.remove(name);
    }
}

/// Puts the provider's key in, as `auth` says, and the provider's own headers. Some of these stand in place
/// of the caller's, others only where the caller sent none (`anthropic-version`).
///
/// # Errors
/// [`FaultKind::Internal`] when the key cannot stand in a header; the plan has checked that it can.
pub fn credentials(out: &mut HeaderMap, provider: &Provider, auth: Auth, key: usize) -> Result<(), Fault> {
    for (name, value) in &provider.headers {
        out.insert(name.clone(), value.clone());
    }
    for (name, value) in &provider.default_headers {
        if !out.contains_key(name) {
            out.insert(name.clone(), value.clone());
        }
    }
    let Some(secret) = provider.keys.get(key).filter(|_| auth != Auth::None) else { return Ok(()) };
    let usual = || provider.credentials().get(key).cloned().flatten();
    let header = if auth == provider.auth { usual() } else { auth.header(secret) };
    let refused = || Fault::new(FaultKind::Internal, "the provider's key cannot stand in a header");
    let (name, value) = header.ok_or_else(refused)?;
    out.insert(name, value);
    Ok(())
}

fn crosses(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(is_hop_by_hop(text)
        || ends_here(text)
        || CREDENTIAL_HEADERS.contains(&text)
        || ENDS_HERE_PREFIXES.iter().any(|prefix| text.starts_with(prefix)))
}

/// The headers that `Connection` names: hop-by-hop by the sender's own word.
fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',').map(str::trim)).collect()
}
