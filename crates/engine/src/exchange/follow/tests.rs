use super::{is_own, pause};
use crate::{limits::FOLLOW_PAUSE_MAX, plan::Plan, tests::plan};

#[test]
fn a_key_goes_to_the_provider_s_own_hosts_alone() {
    let usual = plan(&[("REPLICATE_API_KEY", "KEY")], "");
    let moved = plan(&[("REPLICATE_API_KEY", "KEY"), ("REPLICATE_BASE_URL", "http://127.0.0.1:9/x")], "");
    let mine =
        plan(&[], "providers: {mine: {dialect: replicate, base_url: 'https://mine.test/v1', keys: k}}");
    #[rustfmt::skip]
    let table: &[(&Plan, &str, bool)] = &[
        (&usual, "https://api.replicate.com/v1/predictions/x", true),
        (&usual, "https://replicate.com/x", true),
        (&usual, "https://stream.replicate.com:443/v1/x", true),
        (&usual, "https://a.b.Replicate.com/x", true),
        (&usual, "https://replicate.delivery/x", true),
        (&usual, "http://api.replicate.com/v1/predictions/x", false),
        (&usual, "https://api.replicate.com:8443/x", false),
        (&usual, "https://.replicate.com/x", false),
        (&usual, "https://notreplicate.com/x", false),
        (&usual, "https://a.notreplicate.com/x", false),
        (&usual, "https://api.replicate.com.evil.test/x", false),
        (&usual, "https://api.replicate.com@evil.test/x", false),
        (&usual, "https://user:word@api.replicate.com/x", false),
        (&usual, "https://x.replicate.delivery/x", false),
        (&usual, "http://127.0.0.1:9/x", false),
        (&usual, "/v1/predictions/x", false),
        (&moved, "http://127.0.0.1:9/other", true),
        (&moved, "https://stream.replicate.com/x", true),
        (&moved, "http://127.0.0.1/other", false),
        (&moved, "https://127.0.0.1:9/other", false),
        (&mine, "https://mine.test/v1/predictions/x", true),
        (&mine, "https://api.replicate.com/x", false),
    ];
    for (plan, url, expected) in table {
        let provider = plan.providers.first().expect("a provider");
        assert_eq!(is_own(provider, &url.parse().expect("an address")), *expected, "{url}");
    }
}

#[test]
fn pauses_grow_up_to_a_bound() {
    let pauses: Vec<u64> = (1..=1_000).map(|count| pause(count).0).collect();
    assert!(pauses.is_sorted() && pauses.first() < pauses.get(1), "{:?}", pauses.get(..8));
    assert_eq!(pauses.last(), Some(&FOLLOW_PAUSE_MAX.0));
}
