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
    for unmet in ["GPL-3.0", "", "MIT AND GPL-3.0", "(GPL-3.0 OR MIT) AND GPL-3.0", "Apache-2.0"] {
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
fn a_banned_crate_a_foreign_origin_and_an_unknown_licence_are_each_named() {
    let lines = [
        "ours v0.1.0 (/here/crates/ours)|Apache-2.0",
        "good v1.0.0|MIT (*)",
        "serde_derive v1.0.229 (proc-macro)|MIT",
        "good feature \"std\"",
        "openssl v1.0.0|MIT",
        "forked v1.0.0 (proc-macro) (git+there)|MIT",
        "unlicensed v1.0.0|",
    ];
    let packages: Vec<Package> = lines.iter().filter_map(|line| package(line, "/here")).collect();
    let found = breaches(&packages, &words(&["MIT"]), &words(&["openssl"]));
    let named = ["openssl", "forked", "unlicensed"].map(|name| format!("`{name} 1.0.0` "));
    assert!(
        found.len() == 3 && found.iter().zip(&named).all(|(breach, name)| breach.starts_with(name)),
        "{found:?}"
    );
}
