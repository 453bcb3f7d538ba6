//! Spellings of paths.

use super::plan;
use crate::path::{KeyChoice, check, key_choice};
use proptest::prelude::*;

/// Pieces that no path may hold, in the ways in which people have tried to hide them.
#[rustfmt::skip]
const BAD_SEGMENTS: &[&str] = &[
    "..", ".", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%2e", "%2E", ".%2E", "%2E.",
    "%252e%252e", "%252E", "%25%32%65", "%25", "%252f", "%255c", "%c0%ae%c0%ae", "%c0%2e", "%e0%80%ae", "%f0%80%80%ae",
    "a%2fb", "a%2Fb", "..%2f", "%2f..", "%2f", "%2F", "..%5c", "%5c", "%5C", "..\\", "\\", "a\\b", "\\..\\",
    "..;", "..;a=b", ";", "a;b", "%3b", "%3B", ";..", ".;", "..%3b", "%00", "a%00b", "..%00", "%0a", "%0d%0a", "%09", "%7f", "%1f",
    "%", "%2", "a%", "a%z", "%zz", "%2g", "%g2", "%u002e", "%-1", "% 2e",
    "\u{FF0E}\u{FF0E}", "\u{2024}\u{2024}", "\u{2025}", "a\u{FF0F}b", "a\u{2215}b", "a\u{2044}b", "a\u{FF3C}b",
    "%EF%BC%8E%EF%BC%8E", "%e2%80%a4%e2%80%a4", "%E2%88%95", "%EF%BC%8F", "%ff", "%c3", "%80", "?", "#", "%3f\u{0}", "a\nb", "a\tb", "\u{7f}", "\u{85}",
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let mut count = 0;
    for bad in BAD_SEGMENTS {
        for path in [format!("/openai/{bad}/v1"), format!("/{bad}/openai"), format!("/openai/v1/{bad}")] {
            let fault = check(&path).expect_err(&path);
            assert_eq!(fault.status(), 400, "{path}");
            count += 1;
        }
    }
    for path in [
        "//",
        "//openai/v1",
        "/openai//v1",
        "/openai/v1//",
        "///",
        "",
        "openai/v1",
        "*",
        "http://h/v1",
        "/a/./b",
        "/a/..",
    ] {
        check(path).expect_err(path);
        count += 1;
    }
    assert!(count > 200, "{count} spellings");
}

#[test]
fn ordinary_paths_pass() {
    #[rustfmt::skip]
    let good = [
        "/", "/v1/models", "/openai/v1/files/file-abc.123", "/v1beta/models/gemini-2.5-pro:generateContent",
        "/openrouter/v1/models/meta-llama/llama-3.3-70b-instruct:free", "/workers-ai/run/@cf/meta/llama",
        "/a/...", "/a/..b", "/a/b..", "/a/.b", "/a/b.", "/a/b/", "/a/~user", "/a/a%20b", "/a/%41", "/a/a+b", "/a/a=b&c",
        "/a/(b)", "/a/b,c", "/a/b!", "/a/$b", "/a/'b'", "/a/schl%C3%BCssel", "/a/%E6%97%A5", "/a/%3f", "/a/%23", "/key/1-3/openai/v1",
    ];
    for path in good {
        let outcome = check(path);
        // A question mark or number sign in code is one for us and another for who decodes twice.
        let expected = !path.contains("%3f") && !path.contains("%23");
        assert_eq!(outcome.is_ok(), expected, "{path}: {outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What passes cannot leave its folder, however often it is decoded.
    #[test]
    fn what_passes_stays_in_its_folder(path in "/([a-z.%/\\\\;0-9]|%2[eEfF5]|%5[cC]|\\.\\.){0,12}") {
        if check(&path).is_ok() {
            let mut plain = path.clone();
            for _ in 0..3 {
                plain = plain.replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%2F", "/");
                plain = plain.replace("%5c", "\\").replace("%5C", "\\").replace("%25", "%");
            }
            prop_assert!(plain.split(['/', '\\']).all(|segment| segment != ".." && segment != "."), "{}", path);
        }
    }

    #[test]
    fn no_path_makes_it_panic(path in ".{0,40}") {
        let _ = check(&path);
        let _ = key_choice(&path);
    }

    /// A choice is always a key that is there.
    #[test]
    fn a_choice_is_in_range(first in 0_usize..9, last in prop::option::of(0_usize..9), keys in 1_usize..6, next: usize, roll: u64) {
        for choice in [KeyChoice::Next, KeyChoice::One(first), KeyChoice::Range(first, last)] {
            prop_assert!(choice.pick(keys, next, roll) < keys);
        }
    }
}

#[test]
fn a_prefix_chooses_the_key() {
    use KeyChoice::{Next, One, Range};
    #[rustfmt::skip]
    let table = [
        ("/key/3/openai/v1", One(3), "/openai/v1"),
        ("/key/0/v1/chat/completions", One(0), "/v1/chat/completions"),
        ("/key/1-3/openai/v1", Range(1, Some(3)), "/openai/v1"),
        ("/key/2-/openai/v1", Range(2, None), "/openai/v1"),
        ("/key/-4/openai/v1", Range(0, Some(4)), "/openai/v1"),
        ("/key/-/openai/v1", Next, "/openai/v1"),
        ("/key/3/", One(3), "/"),
        // What is no choice is left alone, and is no path then.
        ("/key/foo/openai", Next, "/key/foo/openai"),
        ("/key/5abc/openai", Next, "/key/5abc/openai"),
        ("/key/1-2-3/openai", Next, "/key/1-2-3/openai"),
        ("/key/+1/openai", Next, "/key/+1/openai"),
        ("/key//openai", Next, "/key//openai"),
        ("/key/9999999/openai", Next, "/key/9999999/openai"),
        ("/key/3", Next, "/key/3"),
        ("/keys/3/openai", Next, "/keys/3/openai"),
        ("/openai/key/3/x", Next, "/openai/key/3/x"),
    ];
    for (path, choice, rest) in table {
        assert_eq!(key_choice(path), (choice, rest), "{path}");
    }
}

#[test]
fn choices_go_around_and_are_clipped() {
    use KeyChoice::{Next, One, Range};
    let all = |choice: KeyChoice, keys: usize| {
        let mut seen: Vec<usize> = (0..60).map(|roll| choice.pick(keys, 7, roll)).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(all(Next, 4), [3]);
    assert_eq!(all(One(3), 2), [1]);
    assert_eq!(all(Range(1, Some(3)), 5), [1, 2, 3]);
    assert_eq!(all(Range(1, Some(3)), 3), [1, 2], "the end is clipped");
    assert_eq!(all(Range(2, None), 4), [2, 3]);
    assert_eq!(all(Range(0, Some(4)), 9), [0, 1, 2, 3, 4]);
    assert_eq!(all(Range(5, Some(7)), 4), [1, 2, 3], "the beginning goes around");
    assert_eq!(all(Range(3, Some(1)), 5), [3], "an end before the beginning is the beginning");
    assert_eq!(all(One(0), 0), [0], "no keys are no reason to fail");
}

#[test]
fn the_first_segment_is_the_provider() {
    let plan = plan(&[("OPENAI_API_KEY", "k"), ("GEMINI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")], "");
    #[rustfmt::skip]
    let table = [
        ("/openai/v1/chat/completions", Some("https://api.openai.com/v1/chat/completions")),
        ("/openai/chat/completions", Some("https://api.openai.com/v1/chat/completions")),
        ("/openai/v1/files?purpose=/v1/x", Some("https://api.openai.com/v1/files?purpose=/v1/x")),
        ("/anthropic/v1/messages", Some("https://api.anthropic.com/v1/messages")),
        ("/gemini/v1beta/models/g:generateContent", Some("https://generativelanguage.googleapis.com/v1beta/models/g:generateContent")),
        ("/google-ai-studio/v1beta/openai/models", Some("https://generativelanguage.googleapis.com/v1beta/openai/models")),
        ("/openai", Some("https://api.openai.com/v1/")),
        ("/groq/models", None),
        ("/v1/models", None),
        ("/", None),
    ];
    for (path, expected) in table {
        let url = plan.pass(path).and_then(|pass| plan.providers[pass.provider].address(pass.path));
        assert_eq!(url.map(|url| url.to_string()).as_deref(), expected, "{path}");
    }
    let google = &plan.providers[plan.provider("gemini").expect("gemini")];
    let header = |path: &str| {
        let (name, value) = google.auth_at(path).header(&google.keys[0]).expect("a header");
        assert!(value.is_sensitive());
        name.to_string()
    };
    assert_eq!(header("/v1beta/openai/models"), "authorization");
    assert_eq!(header("/v1beta/models"), "x-goog-api-key");
}
