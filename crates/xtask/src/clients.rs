//! The command-line programs that people use, against sekisho with a scripted provider behind it. Their
//! installation is large and their runs are slow, so they are not part of the test run.

use crate::{job, misused, tools::Tools};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// `cargo xtask clients`.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    let only = match words {
        [] => "",
        ["--only", words] => *words,
        _ => return misused("`clients` takes `--only WORDS` and nothing else"),
    };
    match run(root, only) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            println!("0 passed, 0 failed, 1 skipped");
            ExitCode::FAILURE
        }
    }
}

/// Whether all of them are well.
fn run(root: &Path, only: &str) -> Result<bool, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let tools = Tools::find(root, &target.join("xtask/clients.log"));
    let sdks = tools.sdks(root)?;
    let programs = tools.clients(root, &sdks)?;
    let build = ["build", "--locked", "--package", "sekisho", "--package", "testkit", "--bins"];
    let said = |error: std::io::Error| error.to_string();
    if !job::cargo(&build).current_dir(root).status().map_err(said)?.success() {
        return Ok(false);
    }
    let mut python = Command::new(&sdks.python);
    python.arg("e2e/clients.py").arg("--bin").arg(target.join("debug"));
    python.arg("--node-modules").arg(programs).args(["--only", only]).current_dir(root);
    Ok(python.status().map_err(said)?.success())
}
