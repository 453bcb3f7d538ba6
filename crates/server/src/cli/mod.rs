//! The command line: what may be written there, and the commands that answer and end.
//!
//! Data goes to stdout, words go to stderr. Exit codes: 0, 1 failed, 2 usage, 78 configuration.

mod check;
mod explain;
mod lists;
pub(crate) mod print;
#[cfg(test)]
mod tests;

use crate::{bench, load, serve};
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// One front door to every LLM provider.
///
/// Without a command it serves. Without any configuration it takes the providers whose keys are in the
/// environment, or else its built-in model `demo`.
#[derive(Parser)]
#[command(name = "sekisho", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    load: load::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (this is also what happens without a command)
    Serve,
    /// Check the configuration and say what it comes to
    Check(DataArgs),
    /// Explain what would become of a request: its targets, what they would be asked, what that costs and loses
    Explain(explain::ExplainArgs),
    /// List the providers that are known, and which are on
    Providers(DataArgs),
    /// List the names that a request may have in `model`, as far as the configuration tells
    Models(DataArgs),
    /// List the paths that are served
    Routes(DataArgs),
    /// List the environment variables, and which are set
    Env(DataArgs),
    /// Measure added latency, throughput, processor time and memory, here and now
    Bench(bench::BenchArgs),
    /// The bare proxy that `bench` measures beside the gateway
    #[command(hide = true)]
    BenchFloor(bench::FloorArgs),
    /// The provider that `bench` measures against
    #[command(hide = true)]
    BenchProvider(bench::ProviderArgs),
}

/// How a command writes its data.
#[derive(Args)]
pub(crate) struct DataArgs {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Done,
    /// It did not work.
    Failed,
    /// The configuration is wrong: `EX_CONFIG` of sysexits.h, which supervisors do not restart.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Configuration => 78,
        })
    }
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What cannot be written to a closed pipe is not missed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let exit = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&cli.load),
        Command::Check(args) => check::run(&cli.load, args.json),
        Command::Explain(args) => explain::run(&cli.load, &args),
        Command::Providers(args) => lists::providers(&cli.load, args.json),
        Command::Models(args) => lists::models(&cli.load, args.json),
        Command::Routes(args) => lists::routes(args.json),
        Command::Env(args) => lists::env(&cli.load, args.json),
        Command::Bench(args) => return bench::run(&args),
        Command::BenchFloor(args) => return bench::floor(&args),
        Command::BenchProvider(args) => return bench::provider(&args),
    };
    exit.into()
}
