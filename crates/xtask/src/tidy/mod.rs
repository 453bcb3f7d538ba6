//! The rules of the house that no compiler checks. Each is a function from the tree to what breaches it.

mod cores;
mod dialects;
mod docs;
mod rust;
mod shape;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, process::ExitCode};

/// A rule: its name, and what finds its breaches.
struct Rule {
    name: &'static str,
    find: fn(&Tree) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule { name: "file-length", find: shape::file_length },
    Rule { name: "function-length", find: shape::function_length },
    Rule { name: "paths-and-hosts", find: shape::paths_and_hosts },
    Rule { name: "dialect-rooms", find: dialects::rooms },
    Rule { name: "dialect-siblings", find: dialects::siblings },
    Rule { name: "dialect-ground", find: dialects::ground },
    Rule { name: "case-folders", find: dialects::case_folders },
    Rule { name: "core-dependencies", find: cores::dependencies },
    Rule { name: "core-purity", find: cores::purity },
    Rule { name: "environment", find: cores::environment },
    Rule { name: "providers-sorted", find: cores::providers_sorted },
    Rule { name: "rooms-named", find: docs::rooms_named },
    Rule { name: "invariants-held", find: docs::invariants_held },
    Rule { name: "changelog", find: docs::changelog },
];

/// The text files of the checkout by their paths from its top, and what the cores depend on.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, String>,
    cores: BTreeMap<&'static str, cores::Built>,
}

/// `cargo xtask tidy`.
pub(crate) fn main(root: &Path) -> ExitCode {
    let mut good = true;
    for (rule, breaches) in check(root) {
        good &= breaches.is_empty();
        breaches.iter().for_each(|breach| eprintln!("{rule}: {breach}"));
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every rule with its breaches.
pub(crate) fn check(root: &Path) -> Vec<(&'static str, Vec<String>)> {
    match Tree::read(root) {
        Ok(tree) => RULES.iter().map(|rule| (rule.name, (rule.find)(&tree))).collect(),
        Err(why) => vec![("tree", vec![why])],
    }
}

impl Tree {
    fn read(root: &Path) -> Result<Tree, String> {
        let mut tree = Tree { cores: cores::built(root)?, ..Tree::default() };
        tree.walk(root, "").map_err(|e| format!("cannot read the checkout: {e}"))?;
        Ok(tree)
    }

    /// Reads a folder, but for what is not ours: hidden folders other than `.ci`, and what tools have made.
    fn walk(&mut self, folder: &Path, prefix: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci";
                if !hidden && !["target", "node_modules", "__pycache__"].contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                }
            } else if name == ".git" {
                // In a linked worktree this is a file, and names a path.
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                self.files.insert(path, text);
            }
        }
        Ok(())
    }

    /// The files below a folder, with their paths.
    fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.starts_with(folder))
    }

    /// Rust files below a folder that are part of what is built, not of its tests.
    fn code(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        self.below(folder).filter(|(path, _)| path.ends_with(".rs") && !is_test(path))
    }

    /// A file's text, or nothing.
    fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }
}

/// Test code: a `tests.rs`, a folder of tests, or the simulation.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests" || part == "sim")
}
