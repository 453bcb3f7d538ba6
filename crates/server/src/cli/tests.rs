//! The command line as clap sees it; what it does is in `tests/cli.rs`.

use super::Cli;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}
