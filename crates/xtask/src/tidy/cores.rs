//! Rules for the two cores: pure, and with few friends.

use super::{Tree, rust};
use crate::supply;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What a core depends on.
#[derive(Default)]
pub(super) struct Built {
    pub(super) direct: Vec<String>,
    pub(super) all: Vec<String>,
}

/// What each core may depend on directly. A new name here is a decision, not a detail.
const FRIENDS: &[(&str, &[&str])] = &[
    ("dialect", &["bytes", "crc32fast", "memchr", "serde", "serde_json"]),
    (
        "engine",
        &[
            "bytes",
            "dialect",
            "hmac",
            "http",
            "memchr",
            "schemars",
            "serde",
            "serde-saphyr",
            "serde_json",
            "sha2",
            "strsim",
            "subtle",
            "zeroize",
        ],
    ),
];
/// What does not end up in a core at any distance: it would bring a network, a clock or threads.
const STRANGERS: &[&str] = &["getrandom", "hyper", "mio", "rand", "rustls", "socket2", "tokio"];
/// Names of the standard library that do IO, or know more than their arguments.
#[rustfmt::skip]
const IMPURE: &[&str] = &[
    "Instant", "SystemTime", "TcpListener", "TcpStream", "ToSocketAddrs", "UdpSocket", "env", "fs", "os", "process",
    "thread",
];
/// Calls that read the environment, or change it.
#[rustfmt::skip]
const READERS: &[&str] =
    &["env::remove_var(", "env::set_var(", "env::var(", "env::var_os(", "env::vars(", "env::vars_os("];
/// The only places that read environment variables.
const ENVIRONMENT: &[&str] = &["crates/server/src/env.rs", "crates/server/src/load.rs"];

/// The cores depend on what they may, and nothing with IO is built into them.
pub(super) fn dependencies(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (core, friends) in FRIENDS {
        let Some(built) = tree.cores.get(*core) else {
            found.push(format!("there is no package `{core}`"));
            continue;
        };
        let new = built.direct.iter().filter(|name| !friends.contains(&name.as_str()));
        found.extend(new.map(|name| format!("`{core}` may not depend on `{name}`")));
        let strangers = built.all.iter().filter(|name| STRANGERS.contains(&name.as_str()));
        found.extend(strangers.map(|name| format!("`{name}` is built into `{core}`")));
    }
    found
}

/// The names of both cores, with what is built into each.
pub(super) fn built(root: &Path) -> Result<BTreeMap<&'static str, Built>, String> {
    let mut cores = BTreeMap::new();
    for (core, _) in FRIENDS {
        let names = |depth: &[&str]| {
            let options = [&["--package", core, "--edges", "normal,build"], depth].concat();
            let packages = supply::packages(root, &options)?;
            let names = packages.into_iter().map(|package| package.name);
            Ok::<_, String>(names.filter(|name| name != core).collect())
        };
        cores.insert(*core, Built { direct: names(&["--depth", "1"])?, all: names(&[])? });
    }
    Ok(cores)
}

/// The cores know no clock, no files, no network, no threads.
pub(super) fn purity(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for core in ["crates/dialect/src/", "crates/engine/src/"] {
        for (path, text) in tree.code(core) {
            let code = rust::code_only(text);
            let impure = standard_paths(&code).into_iter().filter(|words| is_impure(words));
            found.extend(impure.map(|words| format!("{path} uses `std::{}`", words.join("::"))));
        }
    }
    found
}

/// Environment variables are read in one place.
pub(super) fn environment(tree: &Tree) -> Vec<String> {
    let doors = tree.code("crates/").filter(|(path, _)| !path.starts_with("crates/xtask/"));
    let others = doors.filter(|(path, _)| !ENVIRONMENT.contains(path));
    let reading = others.filter(|(_, text)| {
        let code = rust::code_only(text);
        READERS.iter().any(|call| code.contains(call))
    });
    reading.map(|(path, _)| format!("{path} reads the environment, which only {ENVIRONMENT:?} may")).collect()
}

/// The rows of the provider table stand in the order of their names.
pub(super) fn providers_sorted(tree: &Tree) -> Vec<String> {
    let rows = provider_rows(tree.text("crates/engine/src/providers.rs"));
    if rows.is_empty() {
        return vec!["crates/engine/src/providers.rs has no row that could be read".into()];
    }
    let pairs = rows.iter().zip(rows.iter().skip(1)).filter(|(before, after)| before >= after);
    pairs.map(|(before, after)| format!("provider `{after}` stands behind `{before}`")).collect()
}

/// The first word of every row: a call at the table's own depth.
fn provider_rows(text: &str) -> Vec<&str> {
    let table = text.split_once("PROVIDERS: &[Provider]").map_or("", |(_, table)| table);
    let table = table.split_once("\n];").map_or("", |(table, _)| table);
    let rows = table.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    rows.filter_map(|row| row.split_once("(\"")?.1.split('"').next()).collect()
}

/// Every path below `std::`, as its first two names, groups taken apart.
fn standard_paths(code: &str) -> BTreeSet<Vec<&str>> {
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("std::") {
        let after = code.get(at + prefix.len()..).unwrap_or("");
        let end =
            if after.starts_with('{') { after.find(';') } else { after.find(['(', ';', '>', ' ', '\n']) };
        let path = after.get(..end.unwrap_or(after.len())).unwrap_or(after);
        let words: Vec<&str> = rust::names(path).map(|(name, _)| name).collect();
        match after.starts_with('{') {
            true => found.extend(words.iter().map(|word| vec![*word])),
            false => {
                found.insert(words);
            }
        }
    }
    found
}

fn is_impure(words: &[&str]) -> bool {
    words.iter().any(|word| IMPURE.contains(word))
}
