//! A provider that does as its script says, in its own thread, over real sockets.
//!
//! It speaks OpenAI chat completions, Responses, completions and embeddings, Anthropic messages, Gemini,
//! Cohere chat and Bedrock Converse, with their lists of models and their ways to count tokens, and echoes
//! every other request; over HTTP/1.1 and HTTP/2 with prior knowledge. It refuses what the real ones refuse
//! ([`shape`]): members that nobody knows, calls that nobody answers. Each request's script is, in this
//! order: the next of the queue (a GET takes none) or else the one the provider was
//! started with; then the header `x-kit: …`; then `[[kit …]]` in the last user text.
//!
//! ```no_run
//! let provider = testkit::provider::Provider::start("words=5")?;
//! provider.push("status=429 retry-after=2");
//! println!("{}/v1/chat/completions", provider.url());
//! # std::io::Result::Ok(())
//! ```

mod answer;
mod anthropic;
mod bedrock;
mod calls;
mod cohere;
mod completions;
mod date;
mod embeddings;
mod gemini;
mod openai;
mod plan;
mod responses;
mod routes;
mod schema;
mod script;
mod seen;
mod serve;
mod shape;
mod steps;
#[cfg(test)]
mod tests;
mod wire;

pub use script::{Cut, Garbage, How, KNOBS, Place, Refusal, Script, UsageAt};
pub use seen::{End, Seen};

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;

/// How a provider is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The script of each request for which none is queued.
    pub script: Script,
    /// Whether requests are logged. A load test has no use for it.
    pub record: bool,
    /// Whether the answer to an identical request is kept and sent again, same id and all, so that
    /// the provider costs next to nothing. Each event of a stream is built once, too.
    pub remember_answers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { listen, script: Script::default(), record: true, remember_answers: false }
    }
}

/// A running provider. Dropped, it stops and all its connections end.
pub struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the provider's thread and its owner share.
#[derive(Default)]
struct Shared {
    queue: Mutex<VecDeque<Script>>,
    log: Arc<seen::Log>,
}

impl Provider {
    /// Starts one on a free loopback port.
    ///
    /// # Errors
    /// When no port can be had or no thread started.
    pub fn start(script: impl Into<Script>) -> io::Result<Self> {
        Self::start_with(Settings { script: script.into(), ..Settings::default() })
    }

    /// Starts one as the settings say.
    ///
    /// # Errors
    /// When it cannot listen there or no thread can be started.
    pub fn start_with(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let task = serve::Task { listener, settings, shared: Arc::clone(&shared), stopped };
        let body = move || serve::run(&runtime, task);
        let thread = std::thread::Builder::new().name("provider".to_owned()).spawn(body)?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://address`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Queues the script of one request.
    pub fn push(&self, script: impl Into<Script>) {
        self.shared.queue().push_back(script.into());
    }

    /// Every request seen so far, in the order their heads were read.
    pub fn log(&self) -> Vec<Seen> {
        self.shared.log.entries()
    }

    /// Blocks until `holds` for the log, at most `patience`; false if it never did.
    pub fn wait_for(&self, holds: impl FnMut(&[Seen]) -> bool, patience: Duration) -> bool {
        self.shared.log.wait_for(holds, patience)
    }

    /// Blocks until the provider ends, which it does only when its thread fails.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Script>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identifier that looks like a provider's, made of letters and digits, the same for the same seed.
fn identity(prefix: &str, length: usize, seed: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut state = seed;
    let letters = std::iter::repeat_with(|| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        DIGITS.get((mixed >> 32) as usize % DIGITS.len()).map_or('0', |digit| char::from(*digit))
    });
    prefix.chars().chain(letters.take(length)).collect()
}
