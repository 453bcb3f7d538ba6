use super::*;
use serde_json::json;

fn lines(day: &str) -> Vec<String> {
    let facts = json!({"anthropic": {"models": {
        "claude-a-1-20250101": {"limit": {"context": 1000, "output": 10}, "tool_call": true, "reasoning": false,
            "modalities": {"input": ["text", "pdf"]}, "cost": {"input": 9, "output": 9}},
        "claude-b": {"limit": {"context": 0, "output": 7}, "cost": {"input": 0, "output": 0}},
        "Claude-C": {"limit": {"context": 5}, "cost": {"input": 1, "output": 2.5,
            "tiers": [{"input": 2, "tier": {"size": 100}}]}},
        "claude-d": {"limit": {"context": 9}, "cost": {"input": 1, "output": 2, "input_audio": 3}},
        "claude-c-20260101": {"limit": {"context": 5}, "cost": {"input": 1, "output": 2.5,
            "tiers": [{"input": 2, "tier": {"size": 100}}]}},
    }}});
    let prices = json!([{"id": "anthropic", "models": [
        {"id": "claude-a-1", "match": {"or": [{"starts_with": "claude-a-1"}, {"equals": "claude-1-a"}]},
            "context_window": 2000,
            "prices": [{"prices": {"input_mtok": 2, "output_mtok": 4}},
                {"constraint": {"start_date": "2026-03-01"}, "prices": {
                    "input_mtok": {"base": 3, "tiers": [{"start": 500, "price": 6}]},
                    "cache_write_mtok": 3.75, "output_mtok": 15}}]},
        {"id": "claude-d", "match": {"equals": "claude-d"}, "prices": {"output_mtok": 2,
            "input_mtok": {"base": 1, "tiers": [{"start": 50, "price": 4}]}}},
        {"id": "claude-old", "match": {"equals": "claude-old"}, "prices": {"input_mtok": 0.1 + 0.2}},
        {"id": "claude-hours", "match": {"equals": "claude-hours"},
            "prices": [{"constraint": {"start_time": "00:30:00Z"}, "prices": {"input_mtok": 1}}]},
    ]}]);
    table(&facts, &prices, day)
}

#[test]
fn a_table_is_written_of_two_sources() {
    let expected = [
        "anthropic/claude-1-a\t=claude-a-1",
        "anthropic/claude-a-1\t2000\t10\tdt!arv\ti3 w3.75 h6 o15 >500 i6 h12",
        "anthropic/claude-b\t-\t7\t-\t-",
        "anthropic/claude-c\t5\t-\t-\ti1 o2.5 >100 i2",
        "anthropic/claude-d\t9\t-\t-\ti1 o2 a3 >50 i4",
        "anthropic/claude-hours\t-\t-\t-\t-",
        "anthropic/claude-old\t-\t-\t-\ti0.3",
    ];
    assert_eq!(lines("2026-03-01"), expected);
    let before = lines("2026-02-28");
    assert!(before[1].ends_with("\ti9 o9"), "two that differ, and no day: {}", before[1]);
}

#[test]
fn the_header_names_commits_and_days() {
    let commit = "f3fc692299671838c7c65fd8126bf84d81a2e817";
    let notes = format!("| `models-dev.json` | somewhere | MIT, `{commit}` (2026-07-02) |\n");
    let header = header(&notes, "2026-11-20");
    assert!(header.contains(&format!("{commit} of 2026-07-02")), "{header}");
    assert!(header.lines().all(|line| line.starts_with('#') && !line.contains('\t')));
}

#[test]
fn today_is_a_date() {
    let today = today();
    assert!(today.len() == 10 && today.as_str() > "2026-01-01", "{today}");
}
