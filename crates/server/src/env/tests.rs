//! The table knows every variable that anything asks for, and no other.

use super::{GENERAL, variables};
use engine::config::{Overrides, World, load};
use std::{cell::RefCell, collections::BTreeSet};

/// Every variable that is asked for while environments are read in which nothing is set, all but addresses,
/// and all.
fn asked() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    for (some, addresses) in [(false, false), (true, false), (true, true)] {
        let env = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            let is_address = name.ends_with("_BASE_URL") || name.ends_with("_API_BASE");
            (some && (addresses || !is_address)).then(|| "x".to_owned())
        };
        let _ = load(None, &World { env: &env, read_file: &|_| Err(String::new()) }, &Overrides::default());
    }
    asked.into_inner()
}

#[test]
fn every_variable_that_is_asked_for_is_in_the_table() {
    let known: BTreeSet<String> = variables().into_iter().map(|variable| variable.name).collect();
    for name in asked() {
        let plain = name.strip_suffix("_FILE").unwrap_or(&name);
        assert!(
            known.contains(&name) || known.contains(plain),
            "`{name}` is asked for and stands in no table"
        );
    }
}

#[test]
fn every_variable_of_the_table_is_asked_for() {
    let asked = asked();
    for variable in variables().iter().filter(|variable| variable.name != "NO_COLOR") {
        assert!(
            asked.contains(&variable.name),
            "`{}` stands in the table and nothing asks for it",
            variable.name
        );
    }
}

#[test]
fn the_table_is_sorted_and_names_nothing_twice() {
    assert!(GENERAL.is_sorted());
    let names: Vec<String> = variables().into_iter().map(|variable| variable.name).collect();
    let once: BTreeSet<&String> = names.iter().collect();
    assert_eq!(once.len(), names.len());
}
