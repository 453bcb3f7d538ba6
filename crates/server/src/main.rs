//! `sekisho`: one front door to every LLM provider.

mod bench;
mod cli;
mod env;
mod load;
mod serve;

fn main() -> std::process::ExitCode {
    cli::run()
}
