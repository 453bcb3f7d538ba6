//! AWS's shared files: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

#[cfg(test)]
mod tests;

use crate::{secret::Secret, sign::aws::Credentials};

/// The last value of `key` in `profile`. The sections of the file of settings are called `[profile NAME]`,
/// those of the file of credentials `[NAME]`.
#[must_use]
pub fn value<'a>(text: &'a str, profile: &str, key: &str) -> Option<&'a str> {
    let mut inside = false;
    let mut found = None;
    for line in text.lines() {
        if let Some(section) = line.trim().strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            let long = name.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']));
            inside = name == profile || long.is_some_and(|rest| rest.trim() == profile);
            continue;
        }
        // What is indented belongs to a setting that has others in it, and is none of its own.
        let own = inside && !line.starts_with([' ', '\t', '#', ';']);
        let Some((name, value)) = line.split_once('=').filter(|_| own) else { continue };
        if name.trim().eq_ignore_ascii_case(key) {
            found = Some(without_comment(value)).filter(|value| !value.is_empty());
        }
    }
    found
}

/// The access key of `profile`, if it has one.
#[must_use]
pub fn keys(text: &str, profile: &str) -> Option<Credentials> {
    let secret = |key| value(text, profile, key).map(Secret::new);
    Some(Credentials {
        access_key: value(text, profile, "aws_access_key_id")?.to_owned(),
        secret: secret("aws_secret_access_key")?,
        session: secret("aws_session_token"),
    })
}

/// A comment behind a value begins with a blank and one of these.
fn without_comment(value: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
    value.get(..end.unwrap_or(value.len())).unwrap_or_default().trim()
}
