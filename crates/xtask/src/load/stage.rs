//! A provider and a gateway in front of it, each a process of its own. Dropped, they are ended by their own ids.

use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use testkit::{
    load::{self, Arrival, Load, Outcome},
    proc,
};

/// What is served at once, and how long it takes.
pub(super) const SLOTS: usize = 50;
pub(super) const DELAY: Duration = Duration::from_millis(250);
/// How many wait.
pub(super) const QUEUE: usize = 50;
/// Client keys.
pub(super) const CALLERS: usize = 250;
/// How long a process may take to start.
const START: Duration = Duration::from_secs(10);
/// Connections of one load. A request that finds none waits, and its clock runs.
const CONNECTIONS: usize = 512;
/// The first part of each load, not counted.
const WARM: Duration = Duration::from_secs(1);

/// Requests a second that can be served.
pub(super) fn capacity() -> f64 {
    SLOTS as f64 / DELAY.as_secs_f64()
}

pub(super) struct Stage {
    gateway: Process,
    /// Where somebody else's provider is used there is none.
    _provider: Option<Process>,
    pub(super) addr: SocketAddr,
    folder: PathBuf,
}

/// Ended when it is dropped.
struct Process(Child);

/// Who asks, how often in a second, how urgently, and how long each answer takes.
#[derive(Clone, Copy)]
pub(super) struct Tenant {
    pub(super) number: usize,
    pub(super) per_second: f64,
    pub(super) priority: &'static str,
    pub(super) delay: Duration,
}

impl Stage {
    /// A gateway in front of a provider that does as its `script` says.
    pub(super) fn start(binary: &Path, script: &str, limits: &str) -> io::Result<Stage> {
        let (provider, kit) = provider(binary)?;
        let mut stage = Stage::before(kit, binary, script, limits)?;
        stage._provider = Some(provider);
        Ok(stage)
    }

    /// The one whose capacity is known.
    pub(super) fn limited(binary: &Path) -> io::Result<Stage> {
        let limits = format!(
            "{{rates: [{{provider: kit, concurrent: {SLOTS}}}], queue: {{size: {QUEUE}, wait: 30s}}}}"
        );
        Stage::start(binary, "words=12", &limits)
    }

    /// A gateway in front of a provider that listens there.
    pub(super) fn before(kit: SocketAddr, binary: &Path, script: &str, limits: &str) -> io::Result<Stage> {
        let folder = std::env::temp_dir().join(format!("sekisho-load-{}-{}", process::id(), kit.port()));
        fs::create_dir_all(&folder)?;
        let keys: Vec<String> = (0..CALLERS).map(key).collect();
        let config = format!(
            "log: {{format: json}}\nkeys: {keys:?}\nlimits: {limits}\n\
             providers: {{kit: {{base_url: \"http://{kit}/v1\", keys: [], headers: {{x-kit: \"{script}\"}}}}}}\n"
        );
        fs::write(folder.join("sekisho.yaml"), config)?;
        // The port is free now; should another program take it in between, the start fails.
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(binary);
        command.args(["serve", "--config", "sekisho.yaml", "--listen", &addr.to_string()]);
        command.env_clear().current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.join("log"))?);
        let mut stage = Stage { gateway: Process(command.spawn()?), _provider: None, addr, folder };
        stage.listens()?;
        Ok(stage)
    }

    /// Memory that the gateway holds, in bytes.
    pub(super) fn resident(&self) -> f64 {
        proc::resident(self.gateway.0.id()).unwrap_or_default() as f64
    }

    /// All of them at once, each on a thread of his own.
    pub(super) fn load(&self, tenants: &[Tenant], run: Duration) -> io::Result<Vec<Outcome>> {
        self.load_after(WARM, tenants, run)
    }

    /// The same; what comes before `warm` is not counted.
    pub(super) fn load_after(
        &self,
        warm: Duration,
        tenants: &[Tenant],
        run: Duration,
    ) -> io::Result<Vec<Outcome>> {
        thread::scope(|scope| {
            let run = |tenant: &Tenant| {
                let load = self.one(*tenant, warm, run);
                scope.spawn(move || load::run_blocking(&load))
            };
            let all: Vec<_> = tenants.iter().map(run).collect();
            let ended =
                all.into_iter().map(|one| one.join().map_err(|_| io::Error::other("a load panicked"))?);
            ended.collect()
        })
    }

    fn one(&self, tenant: Tenant, warm: Duration, run: Duration) -> Load {
        let text = format!("[[kit head-ms={}]] why", tenant.delay.as_millis());
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": "kit/m", "messages": messages}).to_string();
        let bearer = format!("Bearer {}", key(tenant.number));
        let headers = [("authorization", bearer.as_str()), ("x-sekisho-priority", tenant.priority)];
        Load {
            addr: self.addr,
            request: load::request("kit", "/v1/chat/completions", &headers, body.as_bytes()),
            arrival: Arrival::Open { per_second: tenant.per_second, connections: CONNECTIONS },
            warm,
            run,
            read_rate: None,
            watch: Vec::new(),
        }
    }

    fn listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.addr).is_err() {
            if self.gateway.0.try_wait()?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the gateway did not start: {said}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client key.
pub(super) fn key(number: usize) -> String {
    format!("load-client-{number:03}-0123456789")
}

/// The provider of `sekisho bench`, which says where it listens.
fn provider(binary: &Path) -> io::Result<(Process, SocketAddr)> {
    let mut command = Command::new(binary);
    let command = command.arg("bench-provider").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Process(command.spawn()?);
    let mut line = String::new();
    if let Some(out) = child.0.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let addr = line.trim().parse().map_err(|_| io::Error::other("the provider did not start"))?;
    Ok((child, addr))
}
