//! Tests of the tables, of how names are found in them, and of what things cost.

use super::{Abilities, Ability, Bucket, CORRECTIONS, Facts, Money, Prices, TABLE, find, lines, resolve};
use crate::providers;
use dialect::canon::Usage;
use proptest::prelude::*;

/// Providers that have facts and no row in the table of providers yet.
const TO_COME: &[&str] = &["azure", "bedrock", "vertex"];

#[test]
fn the_tables_are_sorted_and_every_line_can_be_read() {
    for table in [TABLE, CORRECTIONS] {
        let lines: Vec<_> = table.lines().skip_while(|line| line.starts_with('#')).collect();
        let keys: Vec<_> = lines.iter().map(|line| line.split('\t').next().unwrap()).collect();
        assert!(keys.is_sorted_by(|one, other| one < other), "sorted by name, each name once");
        for line in lines {
            let (key, columns) = line.split_once('\t').unwrap();
            let (provider, model) = key.split_once('/').unwrap();
            assert!(
                providers::find(provider).is_some_and(|row| row.name == provider)
                    || TO_COME.contains(&provider),
                "{provider}"
            );
            let (_, facts) = resolve(table, provider, model.into()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(key, key.to_ascii_lowercase());
            if !columns.starts_with('=') {
                assert_eq!(facts.to_string(), columns, "written as it was read");
            }
        }
    }
    assert!(lines().count() > 1_000);
}

#[test]
fn names_are_found_in_all_their_spellings() {
    let context = |provider, model: &str| find(provider, model).and_then(|facts| facts.context);
    let table = [
        ("anthropic", "claude-sonnet-4-6", Some(1_000_000)),
        ("anthropic", "Claude-Sonnet-4-6-20260101", Some(1_000_000)),
        ("anthropic", "claude-opus-4-1-20250805", Some(200_000)),
        ("openai", "gpt-5-2025-08-07", Some(400_000)),
        ("openai", "gpt-4-0613", Some(8_192)),
        ("openai", "gpt-4-turbo-2024-04-09", Some(128_000)),
        ("google-ai-studio", "models/gemini-2.5-pro", Some(1_048_576)),
        ("google-ai-studio", "gemini-2.0-flash-001", Some(1_048_576)),
        ("vertex", "publishers/google/models/gemini-2.5-pro", Some(1_048_576)),
        ("vertex", "claude-sonnet-4-5@20250929", Some(200_000)),
        ("bedrock", "us.anthropic.claude-opus-4-1-20250805-v1:0", Some(200_000)),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-6",
            Some(1_000_000),
        ),
        ("bedrock", "meta.llama3-1-8b-instruct-v1:0", Some(128_000)),
        ("bedrock", "amazon.titan-embed-text-v2:0", Some(8_192)),
        ("cohere", "command-r-plus-v9", None),
        ("openai", "gpt-4-9999", None),
        ("openai", "no-such-model", None),
        ("no-such-provider", "gpt-5", None),
        ("anthropic", "", None),
    ];
    for (provider, model, expected) in table {
        assert_eq!(context(provider, model), expected, "{provider}/{model}");
    }
}

#[test]
fn a_region_may_have_prices_of_its_own() {
    let input = |model| find("bedrock", model).unwrap().prices.tiers()[0].rates.of(Bucket::Input).unwrap();
    assert_eq!(input("global.anthropic.claude-sonnet-4-6"), 3_000_000);
    assert_eq!(input("eu.anthropic.claude-sonnet-4-6"), 3_300_000);
    assert_eq!(input("anthropic.claude-sonnet-4-6"), 3_300_000);
}

#[test]
fn a_correction_wins_where_it_says_something() {
    let facts = find("openai", "gpt-4o-audio-preview-2024-12-17").unwrap();
    assert_eq!(facts.prices.to_string(), "i2.5 o10 a40 b80");
    assert_eq!(facts.context, Some(128_000), "from the table");
    let prefill = |model| find("anthropic", model).unwrap().abilities.has(Ability::Prefill);
    assert_eq!(prefill("claude-opus-4.6"), Some(false), "by another name");
    assert_eq!(prefill("claude-opus-4-5"), Some(true));
    assert_eq!(prefill("claude-sonnet-4-5"), None);
    let local = find("llamacpp", "anything").unwrap();
    assert_eq!(local.prices.cost(&Usage { input: 7, ..Usage::default() }), Some(Money(0)));
}

#[test]
fn abilities_are_known_or_not() {
    let abilities = Abilities::parse("tv!ad").unwrap();
    let known: Vec<_> = Ability::all().map(|ability| abilities.has(ability)).collect();
    let [a, d, t, v] = [Some(false), Some(false), Some(true), Some(true)];
    assert_eq!(known, [a, d, None, None, None, None, None, t, v]);
    let mut more = Abilities::parse("a!tr").unwrap().or(abilities);
    assert_eq!(more.to_string(), "av!drt");
    more.set(Ability::Tools, true);
    assert_eq!(more.to_string(), "atv!dr");
    assert_eq!(Abilities::parse("x"), None);
    for ability in Ability::all() {
        assert_eq!(Ability::from_name(ability.name()), Some(ability));
    }
}

fn all_kinds() -> Usage {
    Usage {
        input: 1_000,
        cache_read: 200,
        cache_write: 30,
        cache_write_1h: 4,
        audio_in: 50,
        output: 600,
        reasoning: 70,
        audio_out: 8,
        ..Usage::default()
    }
}

#[test]
fn every_bucket_has_its_price_or_that_of_the_one_that_stands_in() {
    let cost = |prices: &str| Prices::parse(prices).unwrap().cost(&all_kinds()).map(|cost| cost.to_string());
    let table = [
        ("i1 r0.1 w1.25 h2 o5 t4 a3 b10", Some("0.0045755")),
        ("i1 o5", Some("0.004674")),
        ("i1 w2 o5", Some("0.004708")),
        ("i0.000001 o0", Some("0.000000001284")),
        ("i1 o5 q5", Some("0.009674")),
        ("o5", None),
        ("i1", None),
        ("-", None),
    ];
    for (prices, expected) in table {
        assert_eq!(cost(prices).as_deref(), expected, "{prices}");
    }
}

#[test]
fn a_long_prompt_has_the_prices_of_its_tier() {
    let prices = Prices::parse("i1 r0.5 o5 >1000 i2 o6 >2000 i3").unwrap();
    let cost = |input, cache_read| {
        let usage = Usage { input, cache_read, output: 1, ..Usage::default() };
        prices.cost(&usage).unwrap().0
    };
    assert_eq!(cost(1_000, 0), 1_005_000_000);
    assert_eq!(cost(1_000, 1), 2_006_500_000, "what comes from a cache is prompt too");
    assert_eq!(cost(2_000, 1), 6_006_500_000, "what a tier does not state holds on");
    assert_eq!(prices.to_string(), "i1 r0.5 o5 >1000 i2 o6 >2000 i3");
}

#[test]
fn money_is_told_in_dollars_and_never_overflows() {
    assert_eq!(Money(102_000_000).to_string(), "0.000102");
    assert_eq!(Money(3_000_000_000_000).to_string(), "3");
    assert_eq!(Money(0).to_string(), "0");
    assert_eq!(Money(1_499_999).micro_dollars(), 1);
    let usage = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
    assert_eq!(Prices::parse("i15 o75").unwrap().cost(&usage), Some(Money(u64::MAX)));
}

#[test]
fn what_is_no_line_is_none() {
    for columns in [
        "",
        "1",
        "1\t2\t-",
        "x\t1\t-\t-",
        "1\t1\tz\t-",
        "1\t1\t-\tz1",
        "1\t1\t-\ti1.x",
        "1\t1\t-\t-\t-",
        "1\t1\t-\ti-1",
    ] {
        assert_eq!(Facts::parse(columns), None, "{columns:?}");
    }
}

proptest! {
    #[test]
    fn no_name_breaks_the_search(provider in "[a-z./*-]{0,9}", model in any::<String>()) {
        let found = find(&provider, &model);
        prop_assert!(found.is_none() || providers::find(&provider).is_some(), "{provider}/{model}");
        let _ = (find("bedrock", &model), find("vertex", &model));
    }

    #[test]
    fn every_line_is_found(at in 0..1_400_usize) {
        let (key, _) = lines().nth(at % lines().count()).unwrap();
        let (provider, model) = key.split_once('/').unwrap();
        prop_assert!(find(provider, model).is_some(), "{key}");
    }
}
