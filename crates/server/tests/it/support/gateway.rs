//! The built binary as a process, in a folder and with an environment of its own.

use super::client::{Answer, Client, PATIENCE, Request};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::Read,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use testkit::proc;

/// How it is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: Option<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) listen: &'static str,
    pub(crate) arguments: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { config: None, environment: Vec::new(), listen: "127.0.0.1:0", arguments: Vec::new() }
    }
}

/// A gateway that runs. Dropped, it is ended by its own id.
pub(crate) struct Gateway {
    child: Mutex<Child>,
    pub(crate) pid: u32,
    pub(crate) addr: SocketAddr,
    out: Said,
    err: Said,
    folder: Folder,
}

/// What a process that has ended said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

type Said = Arc<Mutex<Vec<u8>>>;

impl Gateway {
    /// Starts one that must come to listen.
    pub(crate) fn start(setup: &Setup) -> Gateway {
        let mut gateway = Gateway::spawn(setup);
        let deadline = Instant::now() + PATIENCE;
        let host = setup.listen.split_once(':').map_or("", |(host, _)| host);
        loop {
            if let Some(port) = port_in(&gateway.err(), host) {
                gateway.addr.set_port(port);
                return gateway;
            }
            let ended = gateway.ended();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?} {}", gateway.err());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts one that must refuse to serve: what it said.
    pub(crate) fn refused(setup: &Setup) -> Ended {
        let gateway = Gateway::spawn(setup);
        let code = gateway.wait(PATIENCE).and_then(|status| status.code());
        Ended { code, out: gateway.out(), err: gateway.err() }
    }

    fn spawn(setup: &Setup) -> Gateway {
        let folder = Folder::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["serve", "--listen", setup.listen]).args(&setup.arguments);
        if let Some(config) = &setup.config {
            fs::write(folder.0.join("test.yaml"), config).expect("a file can be written");
            command.args(["--config", "test.yaml"]);
        }
        let environment = setup.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment).current_dir(&folder.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let (out, err) = (keep(child.stdout.take()), keep(child.stderr.take()));
        let (pid, addr) = (child.id(), SocketAddr::from(([127, 0, 0, 1], 0)));
        Gateway { child: Mutex::new(child), pid, addr, out, err, folder }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.connect().ask(request)
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().expect("no panic")).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().expect("no panic")).into_owned()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() > deadline {
                return ended;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().expect("no panic").try_wait().expect("it is our child")
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        proc::resident(self.pid).expect("it runs")
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        proc::descriptors(self.pid).expect("it runs")
    }

    /// Waits until all that it said is there, having ended it.
    pub(crate) fn finish(self) -> Ended {
        self.terminate();
        let code = self.wait(PATIENCE).and_then(|status| status.code());
        Ended { code, out: self.out(), err: self.err() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        let _ = fs::remove_dir_all(&self.folder.0);
    }
}

/// A folder that no other has.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sekisho-it-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }
}

/// Gathers what comes out of a pipe.
fn keep(pipe: Option<impl Read + Send + 'static>) -> Said {
    let said = Said::default();
    let (kept, mut pipe) = (said.clone(), pipe.expect("a pipe"));
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            kept.lock().expect("no panic").extend_from_slice(&piece[..read]);
        }
    });
    said
}

/// The port behind `host` in what it said.
fn port_in(text: &str, host: &str) -> Option<u16> {
    let marked = format!("{host}:");
    let after = text.match_indices(&marked).map(|(at, _)| &text[at + marked.len()..]);
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    // The number must have come whole: something stands behind it.
    let ports = after.filter_map(|text| {
        let port = digits(text);
        text.len().gt(&port.len()).then(|| port.parse::<u16>().ok())?
    });
    ports.filter(|port| *port > 0).last()
}
