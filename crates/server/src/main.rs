//! `sekisho`: one front door to every LLM provider.

mod bench;
mod cli;
mod clock;
mod credential;
mod demo;
mod door;
mod drive;
mod env;
mod limits;
mod load;
mod log;
mod models;
mod reload;
mod serve;
mod tunnel;
mod upload;
mod upstream;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
