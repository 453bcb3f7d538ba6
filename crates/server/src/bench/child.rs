//! The processes that are measured. Dropped, each is ended by its own id.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{self, Command, ExitStatus, Stdio},
    time::Instant,
};

/// A child process of this program and where it listens.
pub(super) struct Child {
    process: process::Child,
    pub(super) addr: SocketAddr,
    pub(super) started: Instant,
}

impl Child {
    /// Starts a hidden subcommand that prints where it listens.
    pub(super) fn announced(subcommand: &str, addresses: &[(&str, SocketAddr)]) -> io::Result<Self> {
        let mut command = itself()?;
        command.arg(subcommand);
        for (name, address) in addresses {
            command.arg(name).arg(address.to_string());
        }
        let started = Instant::now();
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let addr = line.trim().parse();
        let mut child = Self { process, addr: SocketAddr::from(([0; 4], 0)), started };
        child.addr = addr.map_err(|_| io::Error::other(format!("`sekisho {subcommand}` did not start")))?;
        Ok(child)
    }

    /// Starts the gateway with `provider` in OpenAI's place and one client key.
    pub(super) fn serve(scratch: &Scratch, provider: SocketAddr, client_key: &str) -> io::Result<Self> {
        // The port is free now; should another program take it in between, the first answer says so.
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = serve_command(scratch, addr, provider, client_key)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        Ok(Self { process: command.spawn()?, addr, started })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `sekisho serve` as it is measured: nothing configured but one provider and one client key, and none
/// of the user's own settings, from the environment or the working directory.
fn serve_command(
    scratch: &Scratch,
    listen: SocketAddr,
    provider: SocketAddr,
    client_key: &str,
) -> io::Result<Command> {
    let mut command = itself()?;
    command.args(["serve", "--listen", &listen.to_string()]);
    command.env_clear().current_dir(&scratch.0).env("HOME", &scratch.0);
    command.env("OPENAI_API_KEY", "sk-bench-upstream");
    command.env("OPENAI_BASE_URL", format!("http://{provider}/v1"));
    command.env("SEKISHO_KEYS", client_key);
    Ok(command)
}

fn itself() -> io::Result<Command> {
    Ok(Command::new(env::current_exe()?))
}

/// An empty folder to run in. Dropped, it is removed.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("sekisho-bench-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
