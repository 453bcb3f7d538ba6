//! Chores in Rust. `cargo xtask` alone lists them.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a chore talks to whoever runs it, and may stop at the first thing that is wrong"
)]

mod clients;
mod corpus;
mod job;
mod load;
mod models;
mod sim;
mod supply;
mod test;
mod tidy;
mod tools;
mod usages;
mod wasm;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const HELP: &str = "\
usage: cargo xtask CHORE

  test [--only STEP] [--list] [--json] [--allow-skips]
                 the whole test run with its own set-up; ends with `N passed, N failed, N skipped`
  clients [--only WORDS]
                 command-line programs that people use, against sekisho; takes some minutes
  corpus DIR [--json]
                 replays recorded exchanges through every reader and writer and checks the laws
  load [STEP...] [--seconds N] [--binary PATH] [--json]
                 more than can be served, asked of the release binary: who is served, and how fast
  models DIR [YYYY-MM-DD]
                 writes the table of facts about models from its sources, with the prices of that day
  usages FILE [--json]
                 reads recorded usages through the dialects and compares them and their prices
  sim [--requests N] [--seconds N] [--seed S] [--jobs N] [--json]
                 plays requests over random seeds, a million where nothing is said; or one seed again
  tidy           the rules of the house, without building anything
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", options @ ..] => test::main(&root(), options),
        ["clients", options @ ..] => clients::main(&root(), options),
        ["corpus", options @ ..] => corpus::main(options),
        ["load", options @ ..] => load::main(&root(), options),
        ["models", options @ ..] => models::main(&root(), options),
        ["usages", options @ ..] => usages::main(options),
        ["sim", options @ ..] => sim::main(&root(), options),
        ["tidy"] => tidy::main(&root()),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        [other, ..] => misused(&format!("no chore is called `{other}`")),
    }
}

/// Says what was wrong with the command line, and how it is used.
fn misused(what: &str) -> ExitCode {
    eprint!("{what}\n\n{HELP}");
    ExitCode::from(2)
}

/// The top of the checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the crate lies two folders deep").to_path_buf()
}
