//! Who may call.

use crate::plan::Plan;
use dialect::{Fault, FaultKind};
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A caller who may call. Without client keys there is only one, and he is nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller(pub Option<usize>);

/// The headers that may hold a caller's key, in the order in which they are asked. The first that is there
/// decides: a wrong one is not rescued by a right one behind it.
pub const CREDENTIAL_HEADERS: [&str; 4] = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];

/// Says who calls. `query` is the key in the address, where the path's API has it there.
///
/// # Errors
/// [`FaultKind::Unauthorized`], in the same words for every cause.
pub fn admit(plan: &Plan, headers: &HeaderMap, query: Option<&str>) -> Result<Caller, Fault> {
    if plan.access.keys.is_empty() {
        return Ok(Caller(None));
    }
    let presented = credential(headers, query).unwrap_or_default();
    let hash: [u8; 32] = Sha256::digest(presented).into();
    find(&plan.access.keys, &hash)
        .map(|index| Caller(Some(index)))
        .ok_or_else(|| Fault::new(FaultKind::Unauthorized, "Incorrect API key provided."))
}

/// The key in the headers: the token of `Authorization: Bearer` (whatever the case of the scheme), or the
/// value of one of the others.
fn credential<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a [u8]> {
    let header = CREDENTIAL_HEADERS.iter().find_map(|name| Some((*name, headers.get(*name)?)));
    let Some((name, value)) = header else { return query.map(str::as_bytes) };
    let value = value.as_bytes().trim_ascii();
    if name != header::AUTHORIZATION.as_str() {
        return Some(value);
    }
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// The subprotocols that a WebSocket's caller offers.
pub fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let words = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

/// The key in a subprotocol: a web page can give a WebSocket no other header
/// (<https://platform.openai.com/docs/guides/realtime-websocket>).
#[must_use]
pub fn key_of_protocol(protocol: &str) -> Option<&str> {
    protocol.strip_prefix("openai-insecure-api-key.")
}

/// The index of `hash`, looking at every key whatever is found, so that time tells nothing.
fn find(keys: &[[u8; 32]], hash: &[u8; 32]) -> Option<usize> {
    let mut found = None;
    for (index, key) in keys.iter().enumerate() {
        let same: Choice = key.ct_eq(hash);
        if bool::from(same) {
            found = Some(index);
        }
    }
    found
}

/// The SHA-256 of a client key, as [`crate::plan::Access`] keeps it.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
