use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Tree { files: files.collect(), ..Tree::default() }
}

#[track_caller]
fn check(rule: &str, files: &[(&str, &str)], breaches: &[&str]) {
    let rule = RULES.iter().find(|known| known.name == rule).expect("a rule of that name");
    assert_eq!((rule.find)(&tree(files)), breaches, "{}", rule.name);
}

#[test]
fn the_tree_is_tidy() {
    let breaches: Vec<_> =
        super::check(&crate::root()).into_iter().filter(|(_, found)| !found.is_empty()).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn what_is_too_long_is_named_with_its_length() {
    let (long, just) = ("a\n".repeat(601), "a\n".repeat(600));
    let files = [("a.rs", long.as_str()), ("b.rs", &just), ("c.lock", &long)];
    check("file-length", &files, &["a.rs has 601 lines, most is 600"]);
    let body = |lines: usize| {
        format!(
            "\nfn small() {{}}\nfn named(x: [u8; 3])\nwhere\n{}{{\n}}\n",
            "    u8: Copy,\n".repeat(lines - 4)
        )
    };
    let files = [("a.rs", body(71)), ("b.rs", body(70))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    check("function-length", &files, &["a.rs:3 `named` has 71 lines, most is 70"]);
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, code) in [
        ("a // fn b() {\nc", "a \nc"),
        ("a /* { \n } */ b", "a \n b"),
        ("a(\"{ \\\" fn\") b", "a() b"),
        ("r#\"{ \" \"# b", " b"),
        ("bar\"x\" ", "bar "),
        ("'{' 'a x '\\'' '\\u{1}' &'static str", " 'a x   &'static str"),
    ] {
        assert_eq!(rust::code_only(text), code, "{text}");
    }
}

#[test]
fn a_function_is_found_with_its_lines() {
    let code = "fn a() {}\ntype F = fn (u8);\n    pub fn b<'a>(\n    ) -> X {\n        fn c() {}\n    }\ntrait T {\n    fn d();\n}\n";
    assert_eq!(rust::functions(code), [("a", 1, 1), ("b", 3, 4), ("c", 5, 1)]);
}

#[test]
fn a_dialect_has_its_five_files_and_knows_no_sibling() {
    let rooms = ["mod", "read", "stream", "tests", "wire", "write"]
        .map(|room| format!("crates/dialect/src/one/{room}.rs"));
    let mut files: Vec<(&str, &str)> = rooms.iter().map(|room| (room.as_str(), "")).collect();
    check("dialect-rooms", &files, &[]);
    let (wide, tests) = ("a\n\n// why\n".repeat(500) + "b\n", "t\n".repeat(9_000));
    files[0].1 = &wide;
    files[3].1 = &tests;
    files.insert(0, ("crates/dialect/src/pipe/relay.rs", ""));
    files.insert(0, ("crates/dialect/src/pipe.rs", ""));
    check("dialect-rooms", &files, &["crates/dialect/src/one has 1501 lines without tests, most is 1500"]);
    files.pop();
    assert_eq!((RULES[3].find)(&tree(&files)).len(), 2, "a room is missing, too");

    let sibling = |code| [("crates/dialect/src/one/read.rs", code), ("crates/dialect/src/two/read.rs", "")];
    for code in ["use crate::two::wire;", "use crate::{two, fault};", "fn f() { super::super::two::g() }"] {
        check("dialect-siblings", &sibling(code), &["crates/dialect/src/one/read.rs knows `two`"]);
    }
    check("dialect-siblings", &sibling("use crate::one::two_more; let two = 2; // crate::two::wire"), &[]);
}

#[test]
fn the_ground_of_the_dialects_knows_only_itself() {
    let canon = |code| [("crates/dialect/src/canon/mod.rs", code)];
    check("dialect-ground", &canon("use crate::{DialectId, canon::{Block, Text}};"), &[]);
    let breach = ["crates/dialect/src/canon/mod.rs knows `crate::frame`"];
    check("dialect-ground", &canon("use crate::{DialectId, frame::sse};"), &breach);
    check("dialect-ground", &canon("fn f(x: crate::frame::Frame) {}"), &breach);
}

#[test]
fn a_folder_of_cases_is_a_pair_of_dialects() {
    check(
        "case-folders",
        &[("cases/anthropic-to-openai_chat/a.txt", ""), ("cases/provider/groq.txt", "")],
        &[],
    );
    let breach = ["cases/anthropic-to-mars is not `FROM-to-TO` with the names of two dialects"];
    check("case-folders", &[("cases/anthropic-to-mars/a.txt", "")], &breach);
    let breach = ["cases/cohere-to-replicate has no dialect that callers speak"];
    let cases = [("cases/cohere-to-replicate/a.txt", ""), ("cases/gemini-to-cohere/a.txt", "")];
    check("case-folders", &cases, &breach);
}

#[test]
fn a_core_has_no_new_friends() {
    let built = |direct: &str, all: &str| cores::Built { direct: vec![direct.into()], all: vec![all.into()] };
    let cores = [("dialect", built("bytes", "itoa")), ("engine", built("regex", "tokio"))].into();
    let tree = Tree { cores, ..Tree::default() };
    let breaches = ["`engine` may not depend on `regex`", "`tokio` is built into `engine`"];
    assert_eq!(cores::dependencies(&tree), breaches);
}

#[test]
fn a_core_has_no_clock_and_no_files_but_its_tests_may() {
    let engine = |code| [("crates/engine/src/plan.rs", code)];
    for (code, used) in [
        ("use std::time::Instant;", "time::Instant"),
        ("use std::{collections::BTreeMap, time::SystemTime};", "SystemTime"),
        ("fn f() { std::fs::read(path) }", "fs::read"),
        ("use std::{fs, io};", "fs"),
    ] {
        check("core-purity", &engine(code), &[&format!("crates/engine/src/plan.rs uses `std::{used}`")]);
    }
    check(
        "core-purity",
        &engine("use crate::time::Instant; use std::{net::IpAddr, time::Duration}; // std::fs"),
        &[],
    );
    check("core-purity", &[("crates/engine/src/sim/mod.rs", "use std::fs;")], &[]);
}

#[test]
fn the_environment_is_read_in_one_place() {
    check("environment", &[("crates/server/src/env.rs", "std::env::vars_os()")], &[]);
    check("environment", &[("crates/server/src/cli/lists.rs", "crate::env::variables()")], &[]);
    let found = cores::environment(&tree(&[("crates/server/src/door.rs", "env::var(\"PORT\")")]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn providers_stand_in_the_order_of_their_names() {
    let table = |rows: &str| format!("pub const PROVIDERS: &[Provider] = &[\n{rows}\n];\n");
    let sorted = table("    // two\n    chat(\"a\", \"x\")\n        .key(\"Z\"),\n    chat(\"b\", \"x\"),");
    check("providers-sorted", &[("crates/engine/src/providers.rs", &sorted)], &[]);
    let unsorted = table("    chat(\"b\", \"x\"),\n    chat(\"a\", \"x\"),");
    check(
        "providers-sorted",
        &[("crates/engine/src/providers.rs", &unsorted)],
        &["provider `a` stands behind `b`"],
    );
}

#[test]
fn every_room_is_named_and_every_name_is_a_room() {
    let papers =
        "### `dialect`\n* `canon/` the form\n* `gone.rs` no more\n### `engine`\n* `new.rs` elsewhere\n";
    let files = [
        ("ARCHITECTURE.md", papers),
        ("crates/dialect/src/canon/mod.rs", ""),
        ("crates/dialect/src/lib.rs", ""),
        ("crates/dialect/src/new.rs", ""),
    ];
    let missing = "ARCHITECTURE.md does not name `new` of crate `dialect`";
    let stale = "ARCHITECTURE.md names `gone` of crate `dialect`, which is not there";
    check("rooms-named", &files, &[missing, stale]);
}

#[test]
fn an_invariant_without_a_living_test_is_a_breach() {
    let mut papers = String::from("## Invariants\n");
    (1..12).for_each(|n| papers.push_str(&format!("{n}. It holds. Held by `a_test`, `tidy: changelog`.\n")));
    let test = ("crates/x/src/tests.rs", "#[test]\nfn a_test() {}\n");
    let whole = format!("{papers}12. Held by `e2e: chat`.\n## Next\n13. Not here.\n");
    check("invariants-held", &[("ARCHITECTURE.md", &whole), test, ("e2e/sdk.py", "@check(\"chat\")")], &[]);
    let broken = format!("{papers}12. Held by `gone`.\n");
    let breach = ["the test `gone` that ARCHITECTURE.md names is not there"];
    check("invariants-held", &[("ARCHITECTURE.md", &broken), test], &breach);
    check(
        "invariants-held",
        &[("ARCHITECTURE.md", &papers), test],
        &["ARCHITECTURE.md has 11 invariants, not 12"],
    );
}

#[test]
fn the_change_log_knows_the_version() {
    let manifest = ("Cargo.toml", "[workspace.package]\nversion = \"1.2.3\"\n");
    check("changelog", &[manifest, ("CHANGELOG.md", "## 1.2.3 (soon)\n")], &[]);
    check("changelog", &[manifest, ("CHANGELOG.md", "## 1.2.30\n")], &["CHANGELOG.md has no `## 1.2.3`"]);
}

#[test]
fn what_only_one_machine_knows_is_not_written_down() {
    let home = ["/ho", "me/somebody"].concat();
    let found =
        shape::paths_and_hosts(&tree(&[("README.md", &format!("a\n{home}\n")), ("Cargo.lock", &home)]));
    assert_eq!(found.len(), 1, "{found:?}");
}
