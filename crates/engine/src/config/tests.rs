//! Case files: `cases/config/NAME.txt` holds the environment, the file and what must come of them, with
//! lines of ten dashes between. `UPDATE_EXPECT=1` rewrites the last part.

use super::{Overrides, Source, World, load, schema, values};
use proptest::prelude::*;
use std::{collections::HashMap, fs, path::PathBuf};

const LINE: &str = "----------";

/// What every secret in a case file holds, and what no output may hold.
const CANARY: &str = "canary";

#[derive(Default)]
struct Case {
    environment: HashMap<String, String>,
    files: HashMap<String, String>,
    overrides: Overrides,
    text: String,
}

impl Case {
    /// Lines of `NAME=value`, `@PATH=what the file holds`, `--listen ADDR`, `--allow-open` and comments.
    fn new(head: &str, text: &str) -> Case {
        let mut case = Case { text: text.to_owned(), ..Case::default() };
        for line in head.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(address) = line.strip_prefix("--listen ") {
                case.overrides.listen = Some(address.to_owned());
            } else if line == "--allow-open" {
                case.overrides.allow_open = true;
            } else {
                let (name, value) = line.split_once('=').expect("a line of a case's head is NAME=value");
                match name.strip_prefix('@') {
                    Some(path) => case.files.insert(path.to_owned(), value.replace("\\n", "\n")),
                    None => case.environment.insert(name.to_owned(), value.to_owned()),
                };
            }
        }
        case
    }

    /// All that a user would see.
    fn run(&self) -> String {
        let env = |name: &str| self.environment.get(name).cloned();
        let read_file = |path: &str| self.files.get(path).cloned().ok_or("no such file".to_owned());
        let world = World { env: &env, read_file: &read_file };
        let source = Source { name: "sekisho.yaml", text: self.text.as_bytes() };
        match load((!self.text.is_empty()).then_some(source), &world, &self.overrides) {
            Ok((plan, notes)) => {
                let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
                format!("{}{notes}", plan.summary())
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(|problem| format!("{problem}\n")).collect();
                problems.join("\n")
            }
        }
    }
}

#[test]
fn every_case_comes_out_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../cases/config");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("cases/config is there") {
        let path = entry.expect("an entry").path();
        let whole = fs::read_to_string(&path).expect("a case is UTF-8");
        let parts: Vec<&str> = whole.split(&format!("{LINE}\n")).collect();
        let [head, text, expected] = parts.as_slice() else { panic!("{path:?} must have three parts") };
        let found = Case::new(head, text).run();
        assert!(!found.to_lowercase().contains(CANARY), "{path:?} prints a secret:\n{found}");
        count += 1;
        if found == *expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, format!("{head}{LINE}\n{text}{LINE}\n{found}")).expect("a case can be written");
        }
        wrong.push(format!("{path:?}\nexpected:\n{expected}\nfound:\n{found}"));
    }
    assert!(count > 0, "{folder:?} is empty");
    assert!(wrong.is_empty() || std::env::var_os("UPDATE_EXPECT").is_some(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_published_schema_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).expect("a schema is JSON"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &current).expect("the schema can be written");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == current, "config.schema.json is old: run this test with UPDATE_EXPECT=1");
}

#[test]
fn the_example_is_a_good_configuration_that_shows_every_setting() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sekisho.example.yaml");
    let text = fs::read_to_string(path).expect("the example is there");
    let case =
        Case::new("SEKISHO_KEYS=canary-canary-canary\nGROQ_API_KEY=canary\nOPENAI_API_KEY=canary", &text);
    let output = case.run();
    assert!(output.starts_with("listens on"), "{output}");
    let schema = schema();
    for key in schema["properties"].as_object().expect("properties").keys().filter(|key| *key != "$schema") {
        assert!(text.contains(&format!("{key}:")), "the example does not show `{key}`");
    }
}

#[test]
fn every_key_of_the_schema_may_be_shown_in_a_broken_line() {
    let schema = schema();
    let mut keys: Vec<&String> = Vec::new();
    keys.extend(schema["properties"].as_object().expect("properties").keys());
    for definition in schema["$defs"].as_object().expect("definitions").values() {
        keys.extend(definition["properties"].as_object().into_iter().flat_map(|members| members.keys()));
    }
    let words = super::known_words();
    for key in keys {
        assert!(words.contains(&key.as_str()), "`{key}` is missing in known_words");
    }
}

#[test]
fn keys_are_read_as_the_predecessors_did_with_their_traps_closed() {
    #[rustfmt::skip]
    let table: &[(&str, Option<&[&str]>)] = &[
        ("", Some(&[])),
        ("  ", Some(&[])),
        ("a", Some(&["a"])),
        (" a ", Some(&["a"])),
        ("a,b", Some(&["a", "b"])),
        ("a , b,,", Some(&["a", "b"])),
        (r#"["a","b"]"#, Some(&["a", "b"])),
        (r#"["a", " b "]"#, Some(&["a", "b"])),
        ("[]", Some(&[])),
        ("12345", Some(&["12345"])),
        ("007", Some(&["007"])),
        ("true", Some(&["true"])),
        ("null", Some(&["null"])),
        (r#""a""#, Some(&[r#""a""#])),
        (r#"{"a":1}"#, Some(&[r#"{"a":1}"#])),
        ("[1,2]", None),
        ("[\"a\"", None),
        ("a b", None),
        ("a\u{7f}", None),
        ("schlüssel", None),
    ];
    for (text, expected) in table {
        let found = values::keys(text).ok();
        let found: Option<Vec<&str>> =
            found.as_ref().map(|keys| keys.iter().map(|key| key.expose()).collect());
        assert_eq!(found.as_deref(), *expected, "{text:?}");
    }
}

/// Every place where a secret may stand, with a piece of the canary in each window of four letters.
const SECRETS: &str = r#"# the key was QZXJQZXJQZXJ
listen: 0.0.0.0:8787
keys: [QZXJQZXJQZXJQZXJ1, "QZXJQZXJQZXJQZXJ2"]
keys_file: /run/keys
attempts: 3
timeouts: {connect: 3s, idle: 5m}
providers:
  openai: {keys: "QZXJQZXJQZXJ", base_url: "https://api.openai.com/v1"}
  groq:
    keys:
      - QZXJQZXJQZXJQZXJ3
      - ${GROQ}
  mine:
    base_url: https://user:QZXJQZXJ@127.0.0.1:9000/v1
    keys: QZXJQZXJQZXJ,QZXJQZXJQZXJ
    headers: {authorization: Bearer QZXJQZXJ, x-other: 'QZXJQZXJ'}
    models: [a, b]
models:
  smart: [openai/gpt, groq/llama]
  fast: mine/a
"#;

fn shows_a_secret(output: &str) -> bool {
    ["QZX", "ZXJ", "XJQ", "JQZ"].iter().any(|piece| output.contains(piece))
}

fn with_secrets(text: &str) -> Case {
    Case::new("GROQ=QZXJQZXJQZXJ\nOPENAI_BASE_URL=QZXJQZXJ\n@/run/keys=QZXJQZXJQZXJ QZXJ", text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever slip of the finger: letters lost, doubled or put in, lines moved.
    #[test]
    fn no_slip_makes_a_secret_public(
        slips in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..14), 1..3),
    ) {
        let mut letters: Vec<char> = SECRETS.chars().collect();
        for (at, slip) in slips {
            let at = at.index(letters.len());
            match slip {
                0 => { letters.remove(at); }
                1 => letters.insert(at, letters[at]),
                other => letters.insert(at, [':', ' ', '\n', '"', '\'', '[', ']', '{', '}', ',', '#', '*'][other - 2]),
            }
        }
        let text: String = letters.into_iter().collect();
        let output = with_secrets(&text).run();
        prop_assert!(!shows_a_secret(&output), "{text}\n{output}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = World { env: &|_| None, read_file: &|_| Err(String::new()) };
        let _ = load(Some(Source { name: "x", text: &bytes }), &world, &Overrides::default());
    }

    #[test]
    fn no_yaml_makes_it_panic(text in "[a-z:\\-\\[\\]{}&*!|>'\"#%@,? \n]{0,120}") {
        let world = World { env: &|_| None, read_file: &|_| Err(String::new()) };
        let _ = load(Some(Source { name: "x", text: text.as_bytes() }), &world, &Overrides::default());
    }
}

#[test]
fn a_lost_line_makes_no_secret_public() {
    let lines: Vec<&str> = SECRETS.lines().collect();
    for skip in 0..lines.len() {
        let text: Vec<&str> =
            lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, line)| *line).collect();
        let output = with_secrets(&text.join("\n")).run();
        assert!(!shows_a_secret(&output), "without line {skip}:\n{output}");
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for pair in ('a'..='i').zip('b'..='j') {
        let (before, name) = pair;
        let aliases = vec![format!("*{before}"); 10].join(", ");
        text.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    let output = Case::new("", &text).run();
    assert!(output.contains("the file is too large"), "{output}");
}

#[test]
fn bounds_of_the_file_hold() {
    let world = World { env: &|_| None, read_file: &|_| Err(String::new()) };
    let refused = |text: &[u8]| {
        let source = Source { name: "x.yaml", text };
        let problems = load(Some(source), &world, &Overrides::default()).err().expect("refused");
        problems.first().expect("a problem").to_string()
    };
    let large = vec![b'#'; crate::limits::CONFIG_MAX + 1];
    assert_eq!(refused(&large), "x.yaml: the file is too large, 4 MiB are the limit");
    assert_eq!(refused(b"listen: 1\nlog: \xff\n"), "x.yaml:2:1: this line is not UTF-8");
    let deep = format!("providers: {}x{}", "[".repeat(100), "]".repeat(100));
    assert!(refused(deep.as_bytes()).contains("nested too deeply"));
}

#[test]
fn secrets_reach_the_plan_though_no_message_shows_them() {
    let case = with_secrets(
        "providers: {groq: {keys: ['${GROQ}', a, 0123]}, openai: {keys: k, base_url: 'http://h'}}",
    );
    let env = |name: &str| case.environment.get(name).cloned();
    let world = World { env: &env, read_file: &|_| Err(String::new()) };
    let source = Source { name: "x", text: case.text.as_bytes() };
    let (plan, _) = load(Some(source), &world, &Overrides::default()).expect("a plan");
    let groq = &plan.providers[plan.provider("groq").expect("groq")];
    let keys: Vec<&str> = groq.keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["QZXJQZXJQZXJ", "a", "0123"]);
}
