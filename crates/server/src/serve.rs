//! Serves. Not built yet.

use crate::{cli::Exit, cli::print, load};

/// Loads the plan that `args` ask for and serves until told to stop.
pub(crate) fn run(args: &load::Args) -> Exit {
    match load::load(args) {
        Ok(loaded) => {
            print::notes(&loaded.notes);
            print::words("`sekisho serve` is not built yet; `sekisho check` shows what it would do");
            Exit::Failed
        }
        Err(problems) => print::problems(&problems),
    }
}
