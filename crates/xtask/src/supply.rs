//! What is built in: licences, banned crates and sources, by the lists of `deny.toml`, which `cargo deny`
//! reads too. Done here as well because that tool takes minutes to install and this takes none.

use crate::job::cargo;
use std::{path::Path, process::Stdio};

/// A package that ends up in what is built, with the features that are on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Package {
    pub(crate) name: String,
    version: String,
    licence: String,
    /// Where it comes from, if not from the registry.
    origin: Option<String>,
    ours: bool,
}

/// Checks every package that is not ours.
///
/// # Errors
/// Every package that must not be there, with the reason.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let packages = packages(root, &["--workspace", "--edges", "all"])?;
    let text = std::fs::read_to_string(root.join("deny.toml")).map_err(|e| format!("deny.toml: {e}"))?;
    let breaches = breaches(&packages, &list(&text, "licenses", "allow"), &list(&text, "bans", "deny"));
    if breaches.is_empty() { Ok(()) } else { Err(breaches.join("\n")) }
}

/// What `cargo tree` lists with these options, for every platform.
///
/// # Errors
/// What cargo said.
pub(crate) fn packages(root: &Path, options: &[&str]) -> Result<Vec<Package>, String> {
    let mut tree = cargo(&["tree", "--locked", "--target", "all", "--prefix", "none"]);
    tree.args(["--format", "{p}|{l}"]).args(options).current_dir(root).stdin(Stdio::null());
    let output = tree.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut lines: Vec<&str> =
        std::str::from_utf8(&output.stdout).map_err(|e| e.to_string())?.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.into_iter().filter_map(|line| package(line, &root.display().to_string())).collect())
}

/// Reads `NAME vVERSION (proc-macro) (ORIGIN)|LICENCE`, of which the brackets may lack; ` (*)` behind it says that
/// it stood before. Other lines are names of features.
fn package(line: &str, root: &str) -> Option<Package> {
    let (what, licence) = line.split_once('|')?;
    let mut words = what.splitn(3, ' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let mut brackets = words.next().unwrap_or("").split(['(', ')']).map(str::trim);
    let origin = brackets.rfind(|word| !["", "proc-macro", "*"].contains(word));
    Some(Package {
        name: name.into(),
        version: version.into(),
        licence: licence.trim_end_matches(" (*)").into(),
        origin: origin.map(str::to_owned),
        ours: origin.is_some_and(|origin| origin.starts_with(root)),
    })
}

fn breaches(packages: &[Package], licences: &[String], banned: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| !package.ours) {
        let mut say = |why: String| found.push(format!("`{} {}` {why}", package.name, package.version));
        if banned.contains(&package.name) {
            say("is banned by deny.toml".into());
        }
        if let Some(origin) = &package.origin {
            say(format!("comes from `{origin}`, not from the registry"));
        }
        if !allowed(&package.licence, licences) {
            say(format!("has the licence `{}`, which deny.toml does not allow", package.licence));
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
