//! What is built in: licences, banned crates and sources, by the lists of `deny.toml`, which `cargo deny`
//! reads too. Done here as well because that tool takes minutes to install and this takes none.

use crate::job::cargo;
use serde::Deserialize;
use std::{collections::BTreeSet, path::Path, process::Stdio};

/// What cargo tells of the workspace and all that it depends on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) resolve: Resolve,
}

/// A package, ours or another's.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it comes from; nothing where it is our own.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as a manifest states it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; nothing where it is an ordinary one.
    pub(crate) kind: Option<String>,
}

/// Who depends on whom.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// Checks every package that is not ours.
///
/// # Errors
/// Every package that must not be there, with the reason.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let metadata = Metadata::load(root)?;
    let text = std::fs::read_to_string(root.join("deny.toml")).map_err(|e| format!("deny.toml: {e}"))?;
    let breaches = breaches(&metadata, &list(&text, "licenses", "allow"), &list(&text, "bans", "deny"));
    if breaches.is_empty() { Ok(()) } else { Err(breaches.join("\n")) }
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// What cargo said, or that it could not be read.
    pub(crate) fn load(root: &Path) -> Result<Metadata, String> {
        let mut command = cargo(&["metadata", "--format-version", "1", "--locked"]);
        let output = command.current_dir(root).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cannot read cargo's metadata: {e}"))
    }

    /// The package of our own that has this name.
    pub(crate) fn own(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.source.is_none() && package.name == name)
    }

    /// Names of all that ends up in a package by ordinary dependencies, at any distance.
    pub(crate) fn built_into(&self, name: &str) -> BTreeSet<&str> {
        let mut reached: Vec<&str> = self.own(name).map(|package| package.id.as_str()).into_iter().collect();
        let mut next = 0;
        while let Some(&id) = reached.get(next) {
            let edges = self.resolve.nodes.iter().filter(|node| node.id == id).flat_map(|node| &node.deps);
            for edge in edges.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none())) {
                if !reached.contains(&edge.pkg.as_str()) {
                    reached.push(&edge.pkg);
                }
            }
            next += 1;
        }
        let packages = self.packages.iter().filter(|package| reached.contains(&package.id.as_str()));
        packages.map(|package| package.name.as_str()).collect()
    }
}

fn breaches(metadata: &Metadata, licences: &[String], banned: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some(source) = &package.source else { continue };
        let mut say = |why: String| found.push(format!("`{} {}` {why}", package.name, package.version));
        if banned.contains(&package.name) {
            say("is banned by deny.toml".into());
        }
        if !source.starts_with("registry+") {
            say(format!("comes from `{source}`, not from the registry"));
        }
        let licence = package.license.as_deref().unwrap_or("none");
        if !allowed(licence, licences) {
            say(format!("has the licence `{licence}`, which deny.toml does not allow"));
        }
    }
    found
}

/// The quoted words of `key = […]` in a table of a TOML file. Enough for our own `deny.toml`; comments
/// there hold no quotation marks.
fn list(toml: &str, table: &str, key: &str) -> Vec<String> {
    let (heading, start) = (format!("[{table}]"), format!("{key} = ["));
    let lines = toml.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).skip_while(|line| !line.starts_with(&start));
    let mut words = Vec::new();
    for line in lines {
        words.extend(line.split('"').skip(1).step_by(2).map(str::to_owned));
        if line.ends_with(']') {
            break;
        }
    }
    words
}

/// Whether a licence expression (SPDX) can be met with the licences of the list.
fn allowed(expression: &str, licences: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    either(&mut words, licences) && words.is_empty()
}

fn either(words: &mut &[&str], licences: &[String]) -> bool {
    let mut met = both(words, licences);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= both(words, licences);
    }
    met
}

fn both(words: &mut &[&str], licences: &[String]) -> bool {
    let mut met = single(words, licences);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= single(words, licences);
    }
    met
}

fn single(words: &mut &[&str], licences: &[String]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = either(words, licences);
            *words = words.strip_prefix(&[")"]).unwrap_or(words);
            met
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            licences.contains(&format!("{name} WITH {exception}"))
        }
        [name, rest @ ..] => {
            *words = rest;
            licences.iter().any(|licence| licence == name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests;
