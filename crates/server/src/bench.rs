//! Measures. Not built yet.

use crate::{
    cli::{BenchArgs, Exit, print},
    load,
};

/// Measures the gateway at the target, or one that it starts itself.
pub(crate) fn run(_: &load::Args, _: &BenchArgs) -> Exit {
    print::words("`sekisho bench` is not built yet");
    Exit::Failed
}
