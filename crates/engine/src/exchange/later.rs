//! When a provider wants to be asked again, as the head of its refusal says.

#[cfg(test)]
mod tests;

use http::{HeaderMap, header};

/// What is left of a limit, and when it is whole again:
/// <https://platform.openai.com/docs/guides/rate-limits>
const LIMITS: [(&str, &str); 2] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// In how many milliseconds: `retry-after-ms` (OpenAI, Azure), `Retry-After` in seconds or as a date, or when
/// the limit that is used up is whole again.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    // The provider's own clock tells how far away its date is.
    let date =
        || Some(date(text("retry-after")?)?.saturating_sub(date(text(header::DATE.as_str())?)?) * 1_000);
    let used_up = |(remaining, reset): &(&str, &str)| match text(remaining) {
        None | Some("0") => duration(text(reset)?),
        Some(_) => None,
    };
    let told = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"));
    told.and_then(in_millis).or_else(date).or_else(|| LIMITS.iter().filter_map(used_up).max())
}

/// The same as a provider says it in words: `try again in 7m12.5s`, `Please retry in 33.5s.`
pub(super) fn in_words(message: &str) -> Option<u64> {
    let message = message.to_ascii_lowercase();
    let (_, wait) = ["try again in ", "retry in "].iter().find_map(|words| message.split_once(words))?;
    let wait = wait.split_ascii_whitespace().next()?.trim_end_matches(['.', ',']);
    // Behind a bare number stands its unit, which is written in too many ways.
    wait.ends_with(|c: char| c.is_ascii_alphabetic()).then(|| duration(wait))?
}

/// Seconds as milliseconds.
fn in_millis(seconds: f64) -> Option<u64> {
    // The cast saturates, and a negative number becomes 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating by definition")]
    seconds.is_finite().then_some((seconds * 1_000.0) as u64)
}

/// A length of time as `6m0s`, `1.5s` or `20ms`; without a unit it is seconds.
fn duration(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let unit = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.saturating_add(in_millis(number.parse::<f64>().ok()? * unit)?);
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// A date as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`), in seconds since some day long ago:
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
fn date(text: &str) -> Option<u64> {
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split([' ', ':']);
    let mut number = |most: u64| parts.next()?.parse::<u64>().ok().filter(|number| *number <= most);
    let day = number(31)?;
    let month = parts.next()?;
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let mut number = |most: u64| parts.next()?.parse::<u64>().ok().filter(|number| *number <= most);
    let (year, hours, minutes, seconds) = (number(9_999)?, number(23)?, number(59)?, number(60)?);
    // Years that begin in March end with their leap day.
    let (year, month) = if month < 2 { (year.checked_sub(1)?, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day;
    Some(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}
