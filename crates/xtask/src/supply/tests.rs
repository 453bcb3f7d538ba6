use super::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_licence_expression_is_met_by_any_of_its_alternatives_and_all_of_its_parts() {
    let ours = words(&["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]);
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "(Apache-2.0 OR MIT) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
    ] {
        assert!(allowed(met, &ours), "{met}");
    }
    for unmet in ["GPL-3.0", "none", "", "MIT AND GPL-3.0", "(GPL-3.0 OR MIT) AND GPL-3.0", "Apache-2.0"] {
        assert!(!allowed(unmet, &ours), "{unmet}");
    }
}

#[test]
fn a_list_ends_with_its_bracket_and_stays_in_its_table() {
    let toml =
        "[licenses]\nallow = [\n  \"A\", # why\n  \"B\",\n]\nother = [\"C\"]\n\n[bans]\ndeny = [\"D\"]\n";
    assert_eq!(list(toml, "licenses", "allow"), words(&["A", "B"]));
    assert_eq!(list(toml, "bans", "deny"), words(&["D"]));
    assert_eq!(list(toml, "bans", "allow"), words(&[]));
}

#[test]
fn a_banned_crate_a_foreign_source_and_an_unknown_licence_are_each_named() {
    let package = |name: &str, source: Option<&str>, license: Option<&str>| Package {
        name: name.into(),
        source: source.map(str::to_owned),
        license: license.map(str::to_owned),
        ..Package::default()
    };
    let registry = Some("registry+there");
    let metadata = Metadata {
        packages: vec![
            package("ours", None, None),
            package("good", registry, Some("MIT")),
            package("openssl", registry, Some("MIT")),
            package("forked", Some("git+there"), Some("MIT")),
            package("unlicensed", registry, None),
        ],
        ..Metadata::default()
    };
    let found = breaches(&metadata, &words(&["MIT"]), &words(&["openssl"]));
    let named: Vec<bool> = ["openssl", "forked", "unlicensed"]
        .iter()
        .zip(&found)
        .map(|(name, breach)| breach.starts_with(&format!("`{name} ")))
        .collect();
    assert_eq!((found.len(), named), (3, vec![true; 3]), "{found:?}");
}
