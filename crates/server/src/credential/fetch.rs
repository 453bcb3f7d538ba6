//! How credentials are asked for: over the pool of the core, like everything else.

use crate::{
    limits::CREDENTIAL_BODY_MAX,
    load,
    upload::Pieces,
    upstream::{Answer, Pool},
};
use bytes::Bytes;
use engine::{cloud::Proof, exchange::Io, secret::Secret, sign::aws::segment};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use serde::{Deserialize, de::DeserializeOwned};
use std::{future::poll_fn, path::Path, rc::Rc};
use zeroize::Zeroizing;

/// The longest words of a stranger that go into the log, in characters.
const QUOTE_MAX: usize = 300;

/// What a fetch has at hand.
pub(super) struct Fetcher {
    pub(super) pool: Rc<Pool>,
    /// Unix seconds.
    pub(super) now: u64,
}

/// The shapes of errors.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    message: String,
}

impl Fetcher {
    /// Sends a form.
    pub(super) async fn post(&self, url: &Uri, form: &[(&str, &str)]) -> Result<Zeroizing<Vec<u8>>, String> {
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.send(Method::POST, url, &[(header::CONTENT_TYPE, form)], pairs.join("&")).await
    }

    pub(super) async fn get(
        &self,
        url: &Uri,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        self.send(Method::GET, url, headers, String::new()).await
    }

    /// The whole answer.
    ///
    /// The error says in words what went wrong, and holds nothing that is secret.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Uri,
        headers: &[(HeaderName, HeaderValue)],
        body: String,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let pieces = if body.is_empty() { Vec::new() } else { vec![Bytes::from(body)] };
        let mut request = Request::new(Pieces::new(pieces, None));
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers.iter().cloned().collect::<HeaderMap>();
        let host = url.host().unwrap_or_default();
        let sent = self.pool.clone().send(request, false).await;
        let answer = sent.map_err(|io| format!("`{host}` {}", words(io)))?;
        let status = answer.status();
        let body = whole(answer.into_body()).await.ok_or_else(|| format!("`{host}`'s answer broke off"))?;
        match status.is_success() {
            true => Ok(body),
            false => Err(format!("`{host}` answered {}{}", status.as_u16(), said(&body))),
        }
    }
}

/// An answer in JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| "the answer is not what was expected".to_owned())
}

/// What stands between two tags.
pub(super) fn between<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(inner, _)| inner.trim())
}

/// A secret, read anew where it stands in a file.
pub(super) fn proof(proof: &Proof) -> Result<Secret, String> {
    match proof {
        Proof::Secret(secret) => Ok(secret.clone()),
        Proof::File(path) => file(path).map(Secret::new),
    }
}

/// What a file holds, less white space around it.
pub(super) fn file(path: &str) -> Result<String, String> {
    let bytes = load::read(Path::new(path), load::SMALL_FILE_MAX);
    let bytes = bytes.map_err(|why| format!("`{path}` cannot be read: {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{path}` is not UTF-8"))?;
    Ok(text.trim().to_owned())
}

fn words(io: Io) -> &'static str {
    match io {
        Io::Connect => "could not be reached",
        Io::ConnectTimeout => "could not be reached in time",
        Io::Tls => "speaks no TLS that we trust",
        Io::Broken | Io::Credentials => "broke off",
    }
}

/// What a refusal says of itself, as far as it does.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let xml = [between(&text, "Code").unwrap_or_default(), between(&text, "Message").unwrap_or_default()];
    let parts = [refusal.error.as_str(), &refusal.error_description, &refusal.message, xml[0], xml[1]];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let quote: String = parts.join(": ").chars().filter(|c| !c.is_control()).take(QUOTE_MAX).collect();
    if quote.is_empty() { quote } else { format!(": {quote}") }
}

/// The whole body, where it is within its limit.
async fn whole(mut body: Answer) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(piece) = poll_fn(|cx| body.poll_piece(cx)).await {
        bytes.extend_from_slice(&piece.ok()?);
        if bytes.len() > CREDENTIAL_BODY_MAX {
            return None;
        }
    }
    Some(bytes)
}
