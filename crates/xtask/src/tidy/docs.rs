//! Rules for the papers: they name every room, and what they promise is held.

use super::{RULES, Tree};
use std::collections::BTreeSet;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// How many invariants the house has.
const INVARIANTS: usize = 12;
/// Files that are no rooms: the door of a crate, and tests.
const NO_ROOMS: &[&str] = &["lib.rs", "main.rs", "tests.rs", "tests"];

/// Every file and folder at the top of a crate is named in the crate's part of ARCHITECTURE.md, and
/// whatever is named there exists.
pub(super) fn rooms_named(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let crates: BTreeSet<&str> =
        tree.below("crates/").filter_map(|(path, _)| path.split('/').nth(1)).collect();
    for name in crates {
        let named = named_rooms(tree.text(ARCHITECTURE), name);
        let rooms = rooms(tree, name);
        let missing = rooms.difference(&named);
        found.extend(missing.map(|room| format!("{ARCHITECTURE} does not name `{room}` of crate `{name}`")));
        let stale = named.difference(&rooms);
        found.extend(
            stale.map(|room| format!("{ARCHITECTURE} names `{room}` of crate `{name}`, which is not there")),
        );
    }
    found
}

/// Each invariant names the tests that hold it, and they exist.
pub(super) fn invariants_held(tree: &Tree) -> Vec<String> {
    let lines = section(tree.text(ARCHITECTURE), "## Invariants");
    let numbered = lines.iter().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let promises: Vec<&&str> = numbered.collect();
    let mut found = Vec::new();
    if promises.len() != INVARIANTS {
        found.push(format!("{ARCHITECTURE} has {} invariants, not {INVARIANTS}", promises.len()));
    }
    for promise in promises {
        let tests = promise.split_once("Held by").map_or("", |(_, tests)| tests);
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            found.push(format!("no test is named for: {promise}"));
        }
        let absent = tests.iter().filter(|test| !is_test_there(tree, test));
        found.extend(absent.map(|test| format!("the test `{test}` that {ARCHITECTURE} names is not there")));
    }
    found
}

/// The version of the workspace has its part of the change log.
pub(super) fn changelog(tree: &Tree) -> Vec<String> {
    let manifest = tree.text("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    let Some(version) = version else { return vec!["Cargo.toml has no version".into()] };
    let heading = format!("## {version}");
    let has = tree
        .text("CHANGELOG.md")
        .lines()
        .any(|line| line == heading || line.starts_with(&format!("{heading} ")));
    if has { Vec::new() } else { vec![format!("CHANGELOG.md has no `{heading}`")] }
}

/// A tidy rule as `tidy: NAME`, an end-to-end check as `e2e: NAME`, otherwise a test function of Rust.
fn is_test_there(tree: &Tree, test: &str) -> bool {
    if let Some(rule) = test.strip_prefix("tidy: ") {
        return RULES.iter().any(|known| known.name == rule);
    }
    if let Some(name) = test.strip_prefix("e2e: ") {
        return tree.below("e2e/").any(|(_, text)| text.contains(&format!("\"{name}\"")));
    }
    let head = format!("fn {test}(");
    tree.below("crates/").any(|(path, text)| path.ends_with(".rs") && text.contains(&head))
}

/// The rooms of a crate: what lies at depth one of its source, and its programs.
fn rooms<'a>(tree: &'a Tree, name: &str) -> BTreeSet<&'a str> {
    let prefix = format!("crates/{name}/src/");
    let inside = tree.below(&prefix).filter_map(|(path, _)| path.get(prefix.len()..));
    let tops = inside.map(|path| path.split_inclusive('/').next().unwrap_or(path).trim_end_matches('/'));
    tops.filter(|room| !NO_ROOMS.contains(room)).map(|room| room.trim_end_matches(".rs")).collect()
}

/// The words in backticks that the lines of a crate's part begin with.
fn named_rooms<'a>(text: &'a str, name: &str) -> BTreeSet<&'a str> {
    let lines = section(text, &format!("### `{name}`"));
    let rows = lines.iter().filter_map(|line| line.strip_prefix("* `")?.split('`').next());
    rows.map(|room| room.trim_end_matches('/').trim_end_matches(".rs")).collect()
}

/// The lines under a heading, until the next heading of its rank or a higher one.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let rank = heading.split(' ').next().map_or(0, str::len);
    let ends = |line: &&str| line.starts_with('#') && line.find(' ').is_some_and(|hashes| hashes <= rank);
    let lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    lines.take_while(|line| !ends(line)).collect()
}
