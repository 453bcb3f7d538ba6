//! Access keys of AWS.

#[cfg(test)]
mod tests;

use super::{
    Credential,
    fetch::{self, Fetcher, between},
    keep::Grant,
};
use crate::limits::PROFILE_TTL;
use engine::{
    cloud::{Proof, profile as shared},
    secret::Secret,
    sign::aws::Credentials,
};
use http::{HeaderName, HeaderValue, Method, Uri, header::AUTHORIZATION};
use serde::Deserialize;

/// Where a machine's role is given out, behind the address of the metadata service.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// How long the session with the metadata service lasts, in seconds.
const SESSION_LIFE: &str = "21600";

/// An access key as containers and machines get it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// An access key as the operator gave it.
pub(super) fn static_keys(keys: Credentials) -> Grant {
    Grant { credential: Credential::Aws(keys), expires: None }
}

/// The access key of a profile, for as long as the file is believed.
pub(super) fn profile(fetcher: &Fetcher, files: &[String], profile: &str) -> Result<Grant, String> {
    let found = files.iter().find_map(|path| shared::keys(&fetch::file(path).ok()?, profile));
    let keys = found.ok_or_else(|| format!("profile `{profile}` has no access key any more"))?;
    Ok(Grant { credential: Credential::Aws(keys), expires: Some(fetcher.now + PROFILE_TTL) })
}

/// The access key of a role that a token opens.
pub(super) async fn web_identity(
    fetcher: &Fetcher,
    url: &Uri,
    role: &str,
    session: &str,
    token_file: &str,
) -> Result<Grant, String> {
    let token = Secret::new(fetch::file(token_file)?);
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose()),
    ];
    let body = fetcher.post(url, &form).await?;
    let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let member = |tag: &str| between(text, tag).map(str::to_owned);
    let missing = || "the answer has no access key".to_owned();
    grant(Given {
        access_key_id: member("AccessKeyId").ok_or_else(missing)?,
        secret_access_key: member("SecretAccessKey").ok_or_else(missing)?,
        token: member("SessionToken"),
        expiration: member("Expiration"),
    })
}

/// The access key of a container's role.
pub(super) async fn container(fetcher: &Fetcher, url: &Uri, token: Option<&Proof>) -> Result<Grant, String> {
    let token = token.map(fetch::proof).transpose()?;
    let headers = match &token {
        Some(token) => vec![(AUTHORIZATION, sensitive(token.expose())?)],
        None => Vec::new(),
    };
    grant(fetch::json(&fetcher.get(url, &headers).await?)?)
}

/// The access key of a machine's role, by the second version of the metadata service: in a session, which no
/// request that was smuggled in can open.
pub(super) async fn instance(fetcher: &Fetcher, url: &str) -> Result<Grant, String> {
    let address = |path: &str| format!("{url}{path}").parse::<Uri>().map_err(|_| "no address".to_owned());
    let life = (
        HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
        HeaderValue::from_static(SESSION_LIFE),
    );
    let opened = fetcher.send(Method::PUT, &address("/latest/api/token")?, &[life], String::new()).await?;
    let session = std::str::from_utf8(&opened).map_err(|_| "the session is not UTF-8".to_owned())?;
    let session = (HeaderName::from_static("x-aws-ec2-metadata-token"), sensitive(session.trim())?);
    let session = std::slice::from_ref(&session);
    let roles = fetcher.get(&address(ROLES)?, session).await?;
    let role = String::from_utf8_lossy(&roles).lines().next().map(|role| role.trim().to_owned());
    let role = role.filter(|role| !role.is_empty()).ok_or("this machine has no role")?;
    grant(fetch::json(&fetcher.get(&address(&format!("{ROLES}{role}"))?, session).await?)?)
}

fn grant(given: Given) -> Result<Grant, String> {
    let expires = match &given.expiration {
        Some(text) => Some(unix_seconds(text).ok_or("`Expiration` is no time")?),
        None => None,
    };
    let keys = Credentials {
        access_key: given.access_key_id,
        secret: Secret::new(given.secret_access_key),
        session: given.token.map(Secret::new),
    };
    Ok(Grant { credential: Credential::Aws(keys), expires })
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| "the token cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// `2026-11-20T16:00:00Z`, with or without parts of a second, as Unix seconds.
fn unix_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let whole = time.strip_suffix('Z')?.split('.').next()?;
    let numbers =
        |text: &str, mark: char| text.split(mark).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (&[year, month @ 1..=12, day @ 1..=31], &[hour @ 0..=23, minute @ 0..=59, second @ 0..=60]) =
        (numbers(date, '-')?.as_slice(), numbers(whole, ':')?.as_slice())
    else {
        return None;
    };
    // Years begin in March here, so that the day of a leap year is the last of its year.
    let year = if month > 2 { year } else { year.checked_sub(1)? };
    let months = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * months + 2) / 5 + day - 1;
    days.checked_sub(719_468)?.checked_mul(86_400)?.checked_add(hour * 3_600 + minute * 60 + second)
}
