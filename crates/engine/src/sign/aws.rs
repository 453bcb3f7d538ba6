//! AWS Signature Version 4, in headers:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! What stands in the path is written there encoded ([`segment`]), and for the signature all of the path is
//! encoded once more, as every service but S3 wants it.

#[cfg(test)]
mod tests;

use crate::secret::Secret;
use dialect::{Fault, FaultKind};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Method, Uri, header};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Who signs.
#[derive(Clone)]
pub struct Credentials {
    /// The id of the access key, which is no secret.
    pub access_key: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of credentials that end.
    pub session: Option<Secret>,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// The service's name in signatures; `bedrock`, say.
    pub service: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The address, whole and as it is sent.
    pub uri: &'a Uri,
    /// The headers that the signature shall cover; none may be changed behind it. `host` is covered even where
    /// it is not among them, and so are the headers that [`sign`] gives.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The hash of the body ([`hash`]).
    pub body_sha256: [u8; 32],
}

/// The hash of a body that may lie in pieces.
pub fn hash<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    pieces.into_iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

/// One segment of a path, encoded: in a model's id `:` becomes `%3A` and `/` becomes `%2F`.
#[must_use]
pub fn segment(text: &str) -> String {
    encoded(text.as_bytes(), "")
}

/// The headers to add, so that the request is signed: the time, the session's token and the signature.
/// `unix_seconds` is the time; AWS takes no request that is more than five minutes off.
///
/// # Errors
/// [`FaultKind::UpstreamAuth`] where the credentials cannot stand in a header, and [`FaultKind::Internal`] where
/// the address names no host or a header holds what is not ASCII.
pub fn sign(
    request: &Signable<'_>,
    credentials: &Credentials,
    region: &str,
    unix_seconds: u64,
) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let time = timestamp(unix_seconds);
    let day = time.get(..8).unwrap_or_default();
    let mut added = vec![(DATE, credential(&time)?)];
    if let Some(session) = &credentials.session {
        let mut token = credential(session.expose())?;
        token.set_sensitive(true);
        added.push((TOKEN, token));
    }
    let headers = covered(request, &added)?;
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    let names = names.join(";");
    let canonical = hex(&hash([canonical(request, &headers, &names).as_bytes()]));

    let scope = format!("{day}/{region}/{}/aws4_request", request.service);
    let key = signing_key(credentials, day, region, request.service);
    let signature = hex(&mac(&*key, &format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}")));
    let who = &credentials.access_key;
    let mut authorization = credential(&format!(
        "{ALGORITHM} Credential={who}/{scope}, SignedHeaders={names}, Signature={signature}"
    ))?;
    authorization.set_sensitive(true);
    added.push((header::AUTHORIZATION, authorization));
    Ok(added)
}

fn credential(text: &str) -> Result<HeaderValue, Fault> {
    let words = "the AWS credentials hold a character that no header takes";
    HeaderValue::from_str(text).map_err(|_| Fault::new(FaultKind::UpstreamAuth, words))
}

/// The headers that are signed, by their names: values of one name joined, white space made one space.
fn covered(
    request: &Signable<'_>,
    added: &[(HeaderName, HeaderValue)],
) -> Result<BTreeMap<String, String>, Fault> {
    let mut covered: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in request.headers.iter().chain(added) {
        let words = || Fault::new(FaultKind::Internal, format!("header `{name}` cannot be signed"));
        let value = value.to_str().map_err(|_| words())?;
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match covered.get_mut(name.as_str()) {
            Some(before) => *before = format!("{before},{value}"),
            None => drop(covered.insert(name.as_str().to_owned(), value)),
        }
    }
    let host = request.uri.authority().map(|authority| authority.as_str().to_owned());
    if !covered.contains_key(header::HOST.as_str()) {
        let words = "a request without a host cannot be signed";
        let host = host.ok_or_else(|| Fault::new(FaultKind::Internal, words))?;
        covered.insert(header::HOST.to_string(), host);
    }
    Ok(covered)
}

/// The request in the one form of which both sides have the same hash.
fn canonical(request: &Signable<'_>, headers: &BTreeMap<String, String>, names: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = (path(request.uri.path()), query(request.uri.query().unwrap_or_default()));
    format!("{}\n{path}\n{query}\n{headers}\n{names}\n{}", request.method, hex(&request.body_sha256))
}

/// The path, encoded once more. AWS looks past slashes that follow each other; segments of dots never come
/// here, since such paths are refused.
fn path(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    encoded(format!("/{}{end}", segments.join("/")).as_bytes(), "/")
}

/// The query, in the order of the encoded names.
fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(&decoded(name), ""), encoded(&decoded(value), "")))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Every byte but letters, digits, `-`, `.`, `_`, `~` and those in `kept` as `%` and its number.
fn encoded(bytes: &[u8], kept: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.as_bytes().contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A part of a query without its encoding; `+` is a space.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let number = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number = number.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, number) {
            (b'%', Some(number)) => {
                out.push(number);
                rest = behind.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
        rest = behind;
    }
    out
}

/// The key of one day, region and service.
fn signing_key(credentials: &Credentials, day: &str, region: &str, service: &str) -> Zeroizing<[u8; 32]> {
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret.expose()));
    let mut key = Zeroizing::new(mac(secret.as_bytes(), day));
    for step in [region, service, "aws4_request"] {
        key = Zeroizing::new(mac(&*key, step));
    }
    key
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length fits");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time as AWS writes it: `20150830T123600Z`. The calendar is Gregorian, counted from the first of March
/// so that leap days come last: <https://howardhinnant.github.io/date_algorithms.html>
fn timestamp(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / DAY, unix_seconds % DAY);
    // 719,468 days lie between 1 March of the year 0 and 1970; an era has 400 years.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era.saturating_mul(400) + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day_of_month:02}T{hour:02}{minute:02}{second:02}Z")
}
