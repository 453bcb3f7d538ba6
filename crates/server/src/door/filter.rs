//! The front filter: what is refused before anything else is looked at.
//!
//! hyper refuses what breaks HTTP. What is legal but has been used to make two parsers see two requests is
//! refused here, and so is every way to write a path other than the plain one.

use dialect::{Fault, FaultKind};
use engine::{
    limits::{HEAD_MAX, HEADERS_MAX},
    path,
};
use http::{
    HeaderMap, HeaderValue, Method, Version, header,
    request::Parts,
    uri::{Authority, Scheme},
};

/// The methods that exist here.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Refuses a request that two parsers could read in two ways. `length_and_chunks`: the head had both
/// `Content-Length` and `Transfer-Encoding`; `keyed`: the path is of an API that has its key in the address;
/// `named`: it names a model.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(parts: &Parts, length_and_chunks: bool, keyed: bool, named: bool) -> Result<(), Fault> {
    size(parts)?;
    if !METHODS.contains(&parts.method) {
        let fault = Fault::new(FaultKind::MethodNotAllowed, "this method is not served here");
        return Err(fault.hint("methods are in upper case"));
    }
    host(parts)?;
    framing(&parts.headers, length_and_chunks)?;
    path(parts.uri.path(), named)?;
    query(parts.uri.query().unwrap_or_default(), keyed)?;
    if parts.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Fault::bad(
            "",
            "a header name with `_` is refused: servers behind us may take it for `-`",
        ));
    }
    Ok(())
}

fn size(parts: &Parts) -> Result<(), Fault> {
    let address = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if address + fields.sum::<usize>() > HEAD_MAX || parts.headers.len() > HEADERS_MAX {
        let limit = format!("the head is over the limit of {HEAD_MAX} bytes and {HEADERS_MAX} fields");
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
    if parts.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Fault::bad("", "the request line names an address that is not of the web"));
    }
    match parts.uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(plain) => {
            Err(Fault::new(FaultKind::Misdirected, "the request line names another host than `Host`"))
        }
        _ => Ok(()),
    }
}

fn is_plain_host(text: &str) -> bool {
    // A name or an IPv4 address, with a port that is one: as good as every request has it.
    let (name, port) = text.rsplit_once(':').unwrap_or((text, "80"));
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if is_port && !name.is_empty() && name.bytes().all(is_name) {
        return true;
    }
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let bracketed = authority.host().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_err()) {
        return false;
    }
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

/// Many clients write a model's name as one segment, `openai%2Fgpt-x`. It is looked up and goes into no path as
/// it is, so a slash in code is looked at like any other.
fn path(path: &str, named: bool) -> Result<(), Fault> {
    if named && path.contains('%') {
        return path::check(&path.replace("%2F", "/").replace("%2f", "/"));
    }
    path::check(path)
}

/// Keys do not belong in addresses: addresses are logged everywhere. `keyed`: one named `key` may stand there.
fn query(query: &str, keyed: bool) -> Result<(), Fault> {
    const NAMES: [&str; 6] = ["key", "api_key", "api-key", "apikey", "access_token", "token"];
    let secret = |name: &str| NAMES.iter().any(|secret| name.eq_ignore_ascii_case(secret));
    if path::query(query).any(|(name, _)| secret(&name) && !(keyed && name == "key")) {
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
