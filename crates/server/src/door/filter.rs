//! The front filter: what is refused before anything else is looked at.
//!
//! hyper refuses what breaks HTTP. What is legal but has been used to make two parsers see two requests is
//! refused here, and so is every way to write a path other than the plain one.

use dialect::{Fault, FaultKind};
use engine::limits::{HEAD_MAX, HEADERS_MAX};
use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts, uri::Authority};

/// The methods that exist here.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Spellings in a path by which another parser may see another path.
const TRAPS: [&str; 9] = ["//", "\\", "/../", "/./", "%2e", "%2f", "%5c", "%00", "%25"];

/// Refuses a request that two parsers could read in two ways. `length_and_chunks`: the head had both
/// `Content-Length` and `Transfer-Encoding`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(parts: &Parts, length_and_chunks: bool) -> Result<(), Fault> {
    size(&parts.headers)?;
    if !METHODS.contains(&parts.method) {
        let fault = Fault::new(FaultKind::MethodNotAllowed, "this method is not served here");
        return Err(fault.hint("methods are in upper case"));
    }
    host(parts)?;
    framing(&parts.headers, length_and_chunks)?;
    path(parts.uri.path())?;
    query(parts.uri.query().unwrap_or_default())?;
    if parts.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Fault::bad(
            "",
            "a header name with `_` is refused: servers behind us may take it for `-`",
        ));
    }
    Ok(())
}

fn size(headers: &HeaderMap) -> Result<(), Fault> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEAD_MAX || headers.len() > HEADERS_MAX {
        let limit = format!("the headers are over the limit of {HEAD_MAX} bytes and {HEADERS_MAX} fields");
        return Err(Fault::new(FaultKind::HeadTooLarge, limit));
    }
    Ok(())
}

/// There is exactly one host, it is a plain one, and the request line names no other.
fn host(parts: &Parts) -> Result<(), Fault> {
    if parts.version == Version::HTTP_2 {
        let named = parts.uri.authority().is_some() || parts.headers.contains_key(header::HOST);
        return if named { Ok(()) } else { Err(Fault::bad("Host", "the request names no host")) };
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Fault::bad("Host", "the request must have exactly one `Host` header"));
    };
    let plain = host.to_str().ok().filter(|text| is_plain_host(text));
    let Some(plain) = plain else {
        return Err(Fault::bad("Host", "the `Host` header is not a host name with an optional port"));
    };
    match parts.uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(plain) => {
            Err(Fault::new(FaultKind::Misdirected, "the request line names another host than `Host`"))
        }
        _ => Ok(()),
    }
}

fn is_plain_host(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    let Ok(authority) = text.parse::<Authority>() else { return false };
    // A port that is written must be a port.
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !text.ends_with(']'));
    let port_ok = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    !authority.host().is_empty() && port_ok && text.bytes().all(plain)
}

fn framing(headers: &HeaderMap, length_and_chunks: bool) -> Result<(), Fault> {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let plain = match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(value), None) => chunked(value) && !length_and_chunks,
        (Some(_), Some(_)) => false,
    };
    if plain {
        return Ok(());
    }
    Err(Fault::bad("Transfer-Encoding", "only `chunked` is taken, once, and not beside `Content-Length`"))
}

fn path(path: &str) -> Result<(), Fault> {
    let lower = path.to_ascii_lowercase();
    let trap = TRAPS.iter().find(|trap| lower.contains(**trap));
    if let Some(trap) = trap {
        return Err(Fault::bad("", format!("a path with `{trap}` is refused")));
    }
    if lower.ends_with("/..") || lower.ends_with("/.") || lower.contains(";") {
        return Err(Fault::bad("", "a path with `..`, `.` or `;` is refused"));
    }
    Ok(())
}

/// Keys do not belong in addresses: addresses are logged everywhere.
fn query(query: &str) -> Result<(), Fault> {
    const NAMES: [&str; 6] = ["key", "api_key", "api-key", "apikey", "access_token", "token"];
    let holds = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        NAMES.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    });
    if holds {
        let fault = Fault::bad("", "a key in the address is refused: addresses are logged");
        return Err(fault.hint("send it as `Authorization: Bearer KEY`"));
    }
    Ok(())
}

/// Whether a `Host` (or the host of an `Origin`) names this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
