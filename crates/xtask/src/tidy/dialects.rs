//! Rules for the dialects: each has the same rooms, none knows another.

use super::{Tree, rust};
use dialect::DialectId;
use std::collections::{BTreeMap, BTreeSet};

const SOURCE: &str = "crates/dialect/src/";
/// The files of a dialect's folder.
const ROOMS: &[&str] = &["mod.rs", "read.rs", "stream.rs", "tests.rs", "wire.rs", "write.rs"];
/// Lines of a dialect without its tests.
const DIALECT_MAX: usize = 1_500;
/// Folders of the crate that are no dialects, with all of the crate that they may know.
const GROUND: &[(&str, &[&str])] =
    &[("canon", &["canon", "DialectId"]), ("frame", &["frame", "fault", "Fault", "FaultKind", "limits"])];

/// Folders of cases that are not about dialects: configurations, embeddings, rows of the provider table, seeds
/// of the simulation, and usages.
const OTHER_CASES: &[&str] = &["config", "embed", "explain", "failover", "provider", "sim", "usage"];

/// Each dialect is a folder with the same files, and small.
pub(super) fn rooms(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, files) in folders(tree) {
        let names: BTreeSet<&str> = files.keys().copied().collect();
        let expected: BTreeSet<&str> = ROOMS.iter().copied().collect();
        if names != expected {
            found.push(format!("{SOURCE}{folder} has {names:?}, a dialect has {expected:?}"));
        }
        let code = files.iter().filter(|(name, _)| **name != "tests.rs");
        let lines: usize = code.map(|(_, text)| text.lines().count()).sum();
        if lines > DIALECT_MAX {
            found.push(format!("{SOURCE}{folder} has {lines} lines without tests, most is {DIALECT_MAX}"));
        }
    }
    found
}

/// No dialect names another one's module.
pub(super) fn siblings(tree: &Tree) -> Vec<String> {
    let folders = folders(tree);
    let mut found = Vec::new();
    for (folder, files) in &folders {
        for (file, text) in files {
            let code = rust::code_only(text);
            let others = rust::names(&code).filter(|(name, after)| {
                name != folder && folders.contains_key(name) && is_path(&code, name, after)
            });
            found.extend(others.map(|(name, _)| format!("{SOURCE}{folder}/{file} knows `{name}`")));
        }
    }
    found
}

/// What all dialects stand on knows only itself.
pub(super) fn ground(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, allowed) in GROUND {
        for (path, text) in tree.code(&format!("{SOURCE}{folder}/")) {
            let code = rust::code_only(text);
            let strangers = of_the_crate(&code).into_iter().filter(|name| !allowed.contains(name));
            found.extend(strangers.map(|name| format!("{path} knows `crate::{name}`")));
        }
    }
    found
}

/// Folders of cases say from which dialect to which, one of them spoken by callers, or hold those of
/// [`OTHER_CASES`].
pub(super) fn case_folders(tree: &Tree) -> Vec<String> {
    let cases =
        tree.below("cases/").filter_map(|(path, _)| Some(path.strip_prefix("cases/")?.split_once('/')?.0));
    let folders: BTreeSet<&str> = cases.collect();
    let folders = folders.into_iter().filter(|folder| !OTHER_CASES.contains(folder));
    let breach = |folder: &str| match pair(folder) {
        None => Some(format!("cases/{folder} is not `FROM-to-TO` with the names of two dialects")),
        Some(pair) => {
            let called = pair.iter().any(|id| id.dialect().serves_callers());
            (!called).then(|| format!("cases/{folder} has no dialect that callers speak"))
        }
    };
    folders.filter_map(breach).collect()
}

fn pair(folder: &str) -> Option<[DialectId; 2]> {
    let (from, to) = folder.split_once("-to-")?;
    Some([DialectId::from_name(from)?, DialectId::from_name(to)?])
}

/// Every dialect's folder with its files.
fn folders(tree: &Tree) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut folders: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (path, text) in tree.below(SOURCE) {
        let Some((folder, file)) = path.strip_prefix(SOURCE).and_then(|path| path.split_once('/')) else {
            continue;
        };
        // A folder beside a file of its name is the rest of that file.
        let rest_of_file = tree.files.contains_key(&format!("{SOURCE}{folder}.rs"));
        if !rest_of_file && !GROUND.iter().any(|(ground, _)| *ground == folder) {
            folders.entry(folder).or_default().insert(file, text);
        }
    }
    folders
}

/// Whether a name stands in a path: before `::`, or behind it or a brace of a `use`.
fn is_path(code: &str, name: &str, after: &str) -> bool {
    let before = code.get(..code.len() - after.len() - name.len()).unwrap_or("");
    after.starts_with("::") || before.ends_with("::") || before.trim_end().ends_with("crate::{")
}

/// The names that directly follow `crate::`, alone or in braces.
fn of_the_crate(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let after = code.get(at + prefix.len()..).unwrap_or("");
        match after.strip_prefix('{') {
            Some(group) => found.extend(first_level(group)),
            None => found.extend(rust::names(after).next().map(|(name, _)| name)),
        }
    }
    found
}

/// The first name of every item of a `{…}` group, without what stands in inner groups.
fn first_level(group: &str) -> Vec<&str> {
    let (mut depth, mut fresh, mut found) = (1_usize, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' => fresh |= depth == 1,
            _ if fresh && !c.is_whitespace() => {
                fresh = false;
                found.extend(group.get(at..).and_then(|rest| rust::names(rest).next()).map(|(name, _)| name));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}
