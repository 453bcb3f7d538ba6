use super::*;

fn found(cases: Value) -> Found {
    let cases: Vec<Case> = serde_json::from_value(cases).unwrap();
    let books = Books::new(json!([]), "2026-01-01");
    let mut found = Found::default();
    cases.iter().for_each(|case| found.take(case, &books));
    found
}

fn one(flavour: &str, usage: Value, counts: Value, price: &str) -> Found {
    let (provider, flavour) = flavour.split_once('/').unwrap();
    let extractor =
        json!({"provider_id": provider, "api_flavor": flavour, "input_price": price, "output_price": "0"});
    found(json!([{"body": {"usage": usage}, "model": "gpt-4",
        "extracted": [{"usage": counts, "extractors": [extractor]}]}]))
}

#[test]
fn a_reading_is_the_same_or_not() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 30}, "completion_tokens_details": {"reasoning_tokens": 20}});
    let same = json!({"input_tokens": 100, "cache_read_tokens": 30, "output_tokens": 50, "output_reasoning_tokens": 20});
    let less = json!({"input_tokens": 100, "output_tokens": 50});
    let more = json!({"input_tokens": 100, "cache_read_tokens": 30, "output_tokens": 70, "output_reasoning_tokens": 20});
    let table = [
        ("openai/chat", &same, [1, 0, 0, 0, 0, 1, 0, 0]),
        ("openai/chat", &less, [0, 0, 0, 0, 1, 0, 0, 0]),
        ("x-ai/default", &less, [0, 1, 0, 0, 0, 0, 0, 0]),
        ("x-ai/chat", &more, [0, 0, 1, 0, 0, 0, 0, 0]),
        ("openai/chat", &more, [0, 0, 0, 0, 1, 0, 0, 0]),
        ("nobody/default", &same, [0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    for (flavour, counts, expected) in table {
        let found = one(flavour, usage.clone(), counts.clone(), "0.006");
        assert_eq!(found.rows[flavour].numbers(), expected, "{flavour} {counts}");
        assert_eq!(found.broken, expected[4]);
    }
}

#[test]
fn a_price_is_the_same_within_a_millionth() {
    let price = |price| {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 0});
        let found = one("openai/chat", usage, json!({"input_tokens": 100}), price);
        found.rows["openai/chat"].numbers()[5..].to_vec()
    };
    assert_eq!(price("0.003"), [1, 0, 0]);
    assert_eq!(price("0.0030009"), [1, 0, 0]);
    assert_eq!(price("0.004"), [0, 1, 0], "a book without the model is another book");
}
