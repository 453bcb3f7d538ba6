use super::{in_words, retry_after};
use http::{HeaderMap, HeaderName, HeaderValue};

#[test]
fn every_form_of_coming_back_is_understood() {
    let now = ("date", "Sat, 28 Feb 2032 23:59:50 GMT");
    for (fields, expected) in [
        (vec![("retry-after", "2")], Some(2_000)),
        (vec![("retry-after", "0.5")], Some(500)),
        (vec![("retry-after", "-1")], Some(0)),
        (vec![("retry-after", "NaN")], None),
        (vec![("retry-after", "1e300")], Some(u64::MAX)),
        (vec![("retry-after", "soon")], None),
        (vec![("retry-after-ms", "750"), ("retry-after", "1")], Some(750)),
        (vec![now, ("retry-after", "Sun, 29 Feb 2032 00:00:05 GMT")], Some(15_000)),
        (vec![now, ("retry-after", "Mon, 01 Mar 2032 00:00:00 GMT")], Some(86_410_000)),
        (vec![now, ("retry-after", "Sat, 28 Feb 2032 23:59:40 GMT")], Some(0)),
        (vec![now, ("retry-after", "Sat, 28 Foo 2032 23:59:40 GMT")], None),
        (vec![("retry-after", "Sun, 29 Feb 2032 00:00:05 GMT")], None),
        (vec![("x-ratelimit-reset-requests", "6m0s")], Some(360_000)),
        (vec![("x-ratelimit-reset-requests", "20ms"), ("x-ratelimit-reset-tokens", "1.5s")], Some(1_500)),
        (vec![("x-ratelimit-reset-tokens", "7"), ("x-ratelimit-remaining-tokens", "0")], Some(7_000)),
        (vec![("x-ratelimit-reset-tokens", "7s"), ("x-ratelimit-remaining-tokens", "90")], None),
        (vec![("x-ratelimit-reset-tokens", "7 s")], None),
        (vec![("x-ratelimit-reset-tokens", "")], None),
        (vec![], None),
    ] {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers: HeaderMap = fields.iter().map(field).collect();
        assert_eq!(retry_after(&headers), expected, "{fields:?}");
    }
}

#[test]
fn words_that_tell_when_to_come_back_are_understood() {
    for (message, expected) in [
        // Groq, OpenAI, Google.
        ("Rate limit reached for model `m`. Please try again in 7m12.5s. Need more? Upgrade.", Some(432_500)),
        ("Limit 3, Used 3, Requested 1. Please try again in 20s.", Some(20_000)),
        ("Please try again in 6ms, or later", Some(6)),
        ("You exceeded your current quota. Please retry in 33.561s.", Some(33_561)),
        ("try again in 5 minutes", None),
        ("try again in a moment", None),
        ("try again in ", None),
        ("try again later", None),
        ("", None),
    ] {
        assert_eq!(in_words(message), expected, "{message}");
    }
}
