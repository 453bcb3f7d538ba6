//! The built binary, run as people run it.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

/// What every secret of these tests holds.
const CANARY: &str = "canary-canary-0123456789";

/// A folder of its own for each test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("sekisho-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Folder {
        fs::write(self.0.join(name), text).expect("a file");
        self
    }

    /// Runs `sekisho` here with that environment and no other.
    fn run(&self, args: &str, environment: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(args.split_whitespace())
            .current_dir(&self.0)
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .expect("the binary runs");
        Ran::new(&output)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn new(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let code = output.status.code().expect("an exit code");
        let ran = Ran { code, out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!ran.out.contains(CANARY) && !ran.err.contains(CANARY), "a secret: {}{}", ran.out, ran.err);
        assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "colours without a terminal");
        ran
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON")
    }
}

#[test]
fn a_good_configuration_is_data_on_stdout() {
    let folder =
        Folder::new("good").file("sekisho.yaml", format!("providers: {{groq: {{keys: {CANARY}}}}}\n"));
    let ran = folder.run("check", &[("OPENAI_API_KEY", CANARY)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("provider groq") && ran.out.contains("provider openai"), "{}", ran.out);
    assert_eq!(ran.err, "sekisho.yaml: no problems\n");
    let ran = folder.run("check --json", &[]);
    assert_eq!((ran.code, ran.json()["ok"].as_bool()), (0, Some(true)));
}

#[test]
fn a_bad_configuration_ends_with_78_wherever_it_is_loaded() {
    let folder = Folder::new("bad").file(
        "x.yaml",
        format!("kyes: {CANARY}\nattempts: 0\nproviders: {{groq: {{keys: {CANARY}, x: 1}}}}\n"),
    );
    for command in ["check", "serve", "", "providers", "models"] {
        let ran = folder.run(&format!("{command} --config x.yaml"), &[]);
        assert_eq!(ran.code, 78, "{command}: {}", ran.err);
        assert_eq!(ran.out, "", "{command}");
        assert!(ran.err.contains("x.yaml:1:1: unknown key `kyes`"), "{}", ran.err);
        assert!(ran.err.ends_with("3 problems in the configuration\n"), "{}", ran.err);
    }
    let ran = folder.run("--config x.yaml check --json", &[]);
    assert_eq!(ran.code, 78);
    let json = ran.json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"].as_array().expect("problems").len(), 3);
    assert_eq!(json["problems"][1]["line"], 2);
}

#[test]
fn files_that_are_not_there_are_named() {
    let folder = Folder::new("missing");
    let ran = folder.run("check --config nothing.yaml", &[]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.starts_with("nothing.yaml: this file cannot be read: it is not there\n"), "{}", ran.err);
    let ran = folder.run("check --env-file nothing", &[]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.starts_with("nothing: this file cannot be read"), "{}", ran.err);
    let ran = folder.run("check --config .", &[]);
    assert_eq!(ran.code, 78);
}

#[test]
fn the_environment_counts_more_than_its_file() {
    let text =
        format!("PORT=9001\nexport OPENAI_API_KEY='{CANARY}'\n# a comment\nDEFAULT_MODEL=\"openai/gpt-x\"\n");
    let folder = Folder::new("env").file(".env", text).file("other", "PORT=9003\n");
    let ran = folder.run("check", &[("PORT", "9002")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("127.0.0.1:9002") && ran.out.contains("provider openai"), "{}", ran.out);
    assert!(folder.run("check", &[]).out.contains("127.0.0.1:9001"));
    assert!(folder.run("check --env-file other", &[]).out.contains("127.0.0.1:9003"));
    assert!(folder.run("check --listen 127.0.0.1:9004", &[]).out.contains("127.0.0.1:9004"));
}

#[test]
fn a_broken_line_of_variables_is_named_and_not_shown() {
    let folder =
        Folder::new("broken-env").file(".env", format!("PORT=9001\nOPENAI_API_KEY={CANARY} {CANARY}\n"));
    let ran = folder.run("check", &[]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.starts_with(".env:2:1: this is not a line of the form `NAME=value`"), "{}", ran.err);
}

#[test]
fn files_of_keys_are_found_beside_the_configuration() {
    let folder = Folder::new("keys");
    fs::create_dir_all(folder.0.join("sub")).expect("a folder");
    let folder = folder
        .file("sub/groq.txt", format!("{CANARY}1\n{CANARY}2\n"))
        .file("sub/x.yaml", "providers: {groq: {keys_file: groq.txt}}\n");
    let ran = folder.run("check --config sub/x.yaml", &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("2 keys"), "{}", ran.out);
}

#[test]
fn open_by_accident_is_refused_and_on_purpose_is_warned_of() {
    let folder = Folder::new("open");
    let ran = folder.run("check --listen 0.0.0.0:8787", &[]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("openssl rand"), "{}", ran.err);
    let ran = folder.run("check --listen 0.0.0.0:8787 --allow-open", &[]);
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("warning: everybody"), "{}", ran.err);
}

#[test]
fn usage_is_2_and_help_is_0() {
    let folder = Folder::new("usage");
    for args in ["--nothing", "nothing", "check --config", "check extra"] {
        let ran = folder.run(args, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args}");
    }
    for args in ["--help", "--version", "help", "check --help"] {
        let ran = folder.run(args, &[]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args}");
        assert!(!ran.out.is_empty(), "{args}");
    }
}

#[test]
fn every_list_is_a_table_and_json() {
    let folder =
        Folder::new("lists").file("sekisho.yaml", "models: {smart: openai/gpt-x, 'fast/*': openai/*}\n");
    let environment = [("OPENAI_API_KEY", CANARY)];
    for (command, field, some) in [
        ("providers", "name", "openai"),
        ("models", "name", "smart"),
        ("routes", "path", "/v1/messages"),
        ("env", "name", "OPENAI_API_KEY"),
    ] {
        let ran = folder.run(command, &environment);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(some), "{}", ran.out);
        assert!(ran.out.lines().all(|line| line == line.trim_end()), "blanks at an end of {command}");
        let json = folder.run(&format!("{command} --json"), &environment).json();
        let list = json.as_array().expect("a list");
        assert!(list.iter().any(|item| item[field] == some), "{json}");
    }
    let json = folder.run("providers --json", &environment).json();
    let on: Vec<&Value> = json.as_array().expect("a list").iter().filter(|item| item["on"] == true).collect();
    assert_eq!(on.len(), 1);
    assert_eq!(on[0]["keys"], 1);
    let json = folder.run("env --json", &environment).json();
    let set: Vec<&Value> =
        json.as_array().expect("a list").iter().filter(|item| item["set"] == true).collect();
    assert_eq!(set.len(), 1);
}

#[test]
fn a_request_is_explained_in_words_and_as_json_and_sent_nowhere() {
    let folder = Folder::new("explain")
        .file("sekisho.yaml", "models: {smart: {targets: [openai/gpt-4o, anthropic/c], strategy: shuffle}}\n")
        .file("request.json", r#"{"model":"x","seed":1,"messages":[{"role":"user","content":"hi"}]}"#);
    let environment = [("OPENAI_API_KEY", CANARY), ("ANTHROPIC_API_KEY", CANARY)];
    let ran = folder.run("explain smart --request request.json", &environment);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("openai/gpt-4o  (50 %)") && ran.out.contains("loses /seed"), "{}", ran.out);
    let json = folder.run("explain smart --request request.json --json", &environment).json();
    assert_eq!(json["targets"][1]["asked"]["translated"], true);
    assert_eq!(json["targets"][1]["asked"]["losses"][0]["pointer"], "/seed");
    assert!(json["targets"][0]["asked"]["body"].as_str().expect("a body").contains("gpt-4o"));
    let ran = folder.run("explain smart --dialect gemini", &environment);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for (args, code, says) in [
        ("explain smrt", 1, "did you mean `smart`?"),
        ("explain smart --request nothing.json", 1, "nothing.json: this file cannot be read"),
        ("explain smart --dialect latin", 2, "latin"),
        ("explain", 2, "MODEL"),
    ] {
        let ran = folder.run(args, &environment);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args}");
        assert!(ran.err.contains(says), "{args}: {}", ran.err);
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .arg("env")
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
