//! Rules for every file: how long things are, and what is never written down.

use super::{Tree, rust};

/// Lines of a source file.
const FILE_MAX: usize = 600;
/// Lines of a function, from its `fn` to its bracket.
const FUNCTION_MAX: usize = 70;
/// Kinds of file that people write by hand.
const SOURCES: &[&str] = &[".rs", ".py", ".mjs", ".sh"];
/// Text that only one machine or one network knows, taken apart so that this file does not hold it.
const FOREIGN: &[&[&str]] = &[
    &["/wo", "rk/"],
    &["/ro", "ot/"],
    &["/ho", "me/"],
    &["crates", ".io"],
    &["static.rust-", "lang.org"],
    &["pypi", ".org"],
    &["python", "hosted.org"],
    &["registry.npm", "js.org"],
    &["deb.deb", "ian.org"],
];

/// Files that no reader can hold in the head.
pub(super) fn file_length(tree: &Tree) -> Vec<String> {
    let sources = tree.below("").filter(|(path, _)| SOURCES.iter().any(|end| path.ends_with(end)));
    let lengths = sources.map(|(path, text)| (path, text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > FILE_MAX);
    long.map(|(path, lines)| format!("{path} has {lines} lines, most is {FILE_MAX}")).collect()
}

/// Functions that fit on no screen.
pub(super) fn function_length(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.below("").filter(|(path, _)| path.ends_with(".rs")) {
        let code = rust::code_only(text);
        let long = rust::functions(&code).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_MAX);
        found.extend(long.map(|(name, line, lines)| {
            format!("{path}:{line} `{name}` has {lines} lines, most is {FUNCTION_MAX}")
        }));
    }
    found
}

/// Paths of a machine and hosts of package registries: what is built must not depend on where.
pub(super) fn paths_and_hosts(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.below("").filter(|(path, _)| !path.ends_with("Cargo.lock")) {
        for word in FOREIGN.iter().map(|parts| parts.concat()) {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains(&word));
            found.extend(lines.map(|(at, _)| format!("{path}:{} holds `{word}`", at + 1)));
        }
    }
    found
}
