//! The built binary as a process, in a folder and with an environment of its own.

use super::{
    client::{Answer, Client, PATIENCE, Request},
    world::{ANTHROPIC_KEY, CLIENT_KEY, OPENAI_KEY, TURNS},
};
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
    thread::{self, JoinHandle},
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
    out: Pipe,
    err: Pipe,
    folder: Folder,
}

/// What a process that has ended said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What comes out of a pipe.
struct Pipe {
    said: Arc<Mutex<Vec<u8>>>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Gateway {
    /// Starts one that must come to listen.
    pub(crate) fn start(setup: &Setup) -> Gateway {
        let mut gateway = Gateway::spawn(setup);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(port) = port_in(&gateway.err()) {
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
        Gateway::spawn(setup).ending()
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
        let (out, err) = (Pipe::keep(child.stdout.take()), Pipe::keep(child.stderr.take()));
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

    /// What it has said so far.
    pub(crate) fn err(&self) -> String {
        self.err.text()
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

    /// Ends it, and gives all that it said.
    pub(crate) fn finish(&self) -> Ended {
        self.terminate();
        super::eventually("it knows", PATIENCE, || self.err().contains("SIGTERM"));
        self.terminate();
        self.ending()
    }

    /// Waits for its end, and gives all that it said.
    pub(crate) fn ending(&self) -> Ended {
        let status = self.wait(PATIENCE).expect("it ends");
        Ended { code: status.code(), out: self.out.whole(), err: self.err.whole() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !thread::panicking() {
            let said = self.out.text() + &self.err.text();
            for key in [CLIENT_KEY, OPENAI_KEY, ANTHROPIC_KEY, TURNS[0]] {
                assert!(!said.contains(key), "a key was written down: {said}");
            }
        }
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

impl Pipe {
    fn keep(pipe: Option<impl Read + Send + 'static>) -> Pipe {
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let (kept, mut pipe) = (said.clone(), pipe.expect("a pipe"));
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                kept.lock().expect("no panic").extend_from_slice(&piece[..read]);
            }
        });
        Pipe { said, reader: Mutex::new(Some(reader)) }
    }

    /// What has come so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic")).into_owned()
    }

    /// All that came, once the process has ended.
    fn whole(&self) -> String {
        if let Some(reader) = self.reader.lock().expect("no panic").take() {
            reader.join().expect("no panic");
        }
        self.text()
    }
}

/// The port in the line that says where it listens, once that line is whole.
fn port_in(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("listens on http://")?;
    let (address, _) = after.split_once('\n')?;
    address.parse::<SocketAddr>().ok().map(|address| address.port())
}
