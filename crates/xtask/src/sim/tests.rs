use super::Wanted;
use std::collections::BTreeMap;

fn environment(words: &[&str]) -> BTreeMap<&'static str, u64> {
    Wanted::read(words).unwrap().environment().into_iter().collect()
}

#[test]
fn a_seed_alone_is_played_alone() {
    let alone = environment(&["--seed", "7"]);
    assert_eq!((alone["SEKISHO_SIM_SEED"], alone["SEKISHO_SIM_SEEDS"]), (7, 1));
    let first = environment(&["--seed", "7", "--requests", "1000", "--jobs", "2"]);
    assert_eq!(
        (first["SEKISHO_SIM_SEED"], first["SEKISHO_SIM_REQUESTS"], first["SEKISHO_SIM_JOBS"]),
        (7, 1_000, 2)
    );
    assert!(!first.contains_key("SEKISHO_SIM_SEEDS"));
}

#[test]
fn seconds_alone_do_not_count_requests() {
    assert!(!environment(&["--seconds", "9"]).contains_key("SEKISHO_SIM_REQUESTS"));
    assert!(environment(&[]).contains_key("SEKISHO_SIM_REQUESTS"));
}

#[test]
fn what_is_misspelt_is_refused() {
    for words in [&["--seeds"][..], &["--seed"], &["--seed", "x"], &["--requests", "-1"], &["7"]] {
        assert_eq!(Wanted::read(words), None, "{words:?}");
    }
}
