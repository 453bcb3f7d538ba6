//! Bearer tokens: Entra's and Google's.

use super::{
    Credential,
    fetch::{self, Fetcher},
    keep::Grant,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use engine::{cloud::Proof, secret::Secret};
use http::{HeaderName, HeaderValue, Uri};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What an Entra token shall be good for: <https://learn.microsoft.com/en-us/azure/ai-foundry/openai/how-to/managed-identity>
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// What a Google token shall be good for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion is good, in seconds: Google takes no longer ones.
const ASSERTION_LIFE: u64 = 3_600;

/// A token as it is given out. Azure writes numbers as texts.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

/// A token as the operator gave it.
pub(super) fn plain(token: &Secret) -> Result<Grant, String> {
    Ok(Grant { credential: bearer(token.expose())?, expires: None })
}

/// A token for an application of Entra ID.
pub(super) async fn entra(
    fetcher: &Fetcher,
    url: &Uri,
    client: &str,
    proof: &Proof,
) -> Result<Grant, String> {
    const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let secret = fetch::proof(proof)?;
    let mut form = vec![("grant_type", "client_credentials"), ("client_id", client), ("scope", ENTRA_SCOPE)];
    match proof {
        Proof::Secret(_) => form.push(("client_secret", secret.expose())),
        Proof::File(_) => {
            form.extend([("client_assertion_type", ASSERTION), ("client_assertion", secret.expose())]);
        }
    }
    granted(&fetcher.post(url, &form).await?, fetcher.now)
}

/// A token of Azure's managed identity.
pub(super) async fn managed(
    fetcher: &Fetcher,
    url: &Uri,
    header: &(HeaderName, HeaderValue),
) -> Result<Grant, String> {
    granted(&fetcher.get(url, std::slice::from_ref(header)).await?, fetcher.now)
}

/// A token for a Google service account, which signs that it is itself.
pub(super) async fn google_account(
    fetcher: &Fetcher,
    url: &Uri,
    email: &str,
    key_id: Option<&str>,
    key: &Secret,
) -> Result<Grant, String> {
    let claims = json!({
        "iss": email,
        "scope": GOOGLE_SCOPE,
        "aud": url.to_string(),
        "iat": fetcher.now,
        "exp": fetcher.now + ASSERTION_LIFE,
    });
    let assertion = assertion(key_id, &claims, key)?;
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
    granted(&fetcher.post(url, &form).await?, fetcher.now)
}

/// A token for a person, by his refresh token.
pub(super) async fn google_user(
    fetcher: &Fetcher,
    url: &Uri,
    client: &str,
    secret: &Secret,
    refresh: &Secret,
) -> Result<Grant, String> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("client_secret", secret.expose()),
        ("refresh_token", refresh.expose()),
    ];
    granted(&fetcher.post(url, &form).await?, fetcher.now)
}

/// A token of Google's metadata server.
pub(super) async fn google_metadata(fetcher: &Fetcher, url: &Uri) -> Result<Grant, String> {
    let flavor = (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
    granted(&fetcher.get(url, &[flavor]).await?, fetcher.now)
}

fn granted(body: &[u8], now: u64) -> Result<Grant, String> {
    let token: Token = fetch::json(body)?;
    let access = Secret::new(token.access_token);
    let text = token.expires_in.as_str().and_then(|text| text.parse().ok());
    let life = token.expires_in.as_u64().or(text).unwrap_or(ASSERTION_LIFE);
    Ok(Grant { credential: bearer(access.expose())?, expires: Some(now.saturating_add(life)) })
}

fn bearer(token: &str) -> Result<Credential, String> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| "the token cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(Credential::Bearer(value))
}

/// A JSON Web Token, signed with RS256. TLS brings all that it needs.
fn assertion(key_id: Option<&str>, claims: &Value, key: &Secret) -> Result<String, String> {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(id), Some(header)) = (key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), id.into());
    }
    let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
    let key = key.map_err(|_| "`private_key` is no private key in PEM".to_owned())?;
    let key = any_supported_type(&key).map_err(|_| "`private_key` is of no known kind".to_owned())?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
    let signer = signer.ok_or_else(|| "`private_key` is no RSA key".to_owned())?;
    let signature = signer.sign(text.as_bytes()).map_err(|_| "`private_key` cannot sign".to_owned())?;
    Ok(format!("{text}.{}", BASE64.encode(signature)))
}
