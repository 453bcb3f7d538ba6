//! A compiler that can build for `wasm32-unknown-unknown`.

use crate::{job::answer, job::cargo, tools::Tools};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// Makes a private compiler out of Debian's packages; see its first lines.
const SCRIPT: &str = "crates/xtask/debian-wasm.sh";

/// What builds for wasm.
pub(crate) enum Compiler {
    /// The toolchain of this checkout, which has the target.
    Ours,
    /// A compiler of its own in that folder.
    Private(PathBuf),
}

/// The compiler of this machine; where it lacks the target, rustup is asked for it, and where rustup does
/// not reach its server, Debian.
///
/// # Errors
/// What went wrong last.
pub(crate) fn compiler(root: &Path, tools: &Tools) -> Result<Compiler, String> {
    if has_target(root) {
        return Ok(Compiler::Ours);
    }
    let rustup = tools.install(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root));
    if rustup.is_ok() && has_target(root) {
        return Ok(Compiler::Ours);
    }
    let sysroot = answer(rustc(root).args(["--print", "sysroot"])).ok_or("`rustc` does not answer")?;
    let made = tools.folder("wasm-1", |folder| {
        let mut script = Command::new("bash");
        script.arg(root.join(SCRIPT)).arg(folder).arg(&sysroot);
        tools.install(&mut script).map(drop)
    });
    made.map(Compiler::Private)
}

impl Compiler {
    /// The command that compiles the cores, into a target folder of its own.
    pub(crate) fn build(&self, target: &Path) -> Command {
        let mut command = cargo(&["build", "--locked", "--package", "dialect", "--package", "engine"]);
        command.args(["--target", TARGET, "--target-dir"]).arg(target);
        if let Compiler::Private(folder) = self {
            command.env("RUSTC", folder.join("rustc"));
        }
        command
    }
}

fn has_target(root: &Path) -> bool {
    let libraries = answer(rustc(root).args(["--print", "target-libdir", "--target", TARGET]));
    libraries.is_some_and(|folder| Path::new(&folder).is_dir())
}

fn rustc(root: &Path) -> Command {
    let mut command = Command::new("rustc");
    command.current_dir(root);
    command
}
