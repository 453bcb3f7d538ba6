//! `sekisho bench`: what a gateway adds, measured here and now.
//!
//! Three subjects answer the same requests in turns: the built-in provider asked directly, a bare
//! proxy made of the same parts (the [`floor`]), and the gateway. Generator, provider and subject share
//! the machine, so only differences and ratios within one round are told, as medians over the rounds.

mod child;
mod floor;
mod report;
mod rounds;
#[cfg(test)]
mod tests;

use child::{Child, Scratch};
use rounds::Subject;
use std::{
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};
use testkit::provider::{Provider, Settings};

/// How long a subject may take to give its first answer.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// The key that clients of the measured gateway present.
const CLIENT_KEY: &str = "sk-bench-2f6c1d0e9b8a7c5d";

/// Arguments of `sekisho bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Measure the gateway at this `http://` address instead of this one; its provider should be the
    /// built-in one (see `--provider`)
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Where the built-in provider listens, so that a target can be pointed at it [default: a free port]
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", hide_default_value = true)]
    provider: SocketAddr,
    /// Model to ask for
    #[arg(long, default_value = "openai/gpt-4o-mini")]
    model: String,
    /// Client key that the target wants
    #[arg(long, default_value = CLIENT_KEY, hide_default_value = true, requires = "target")]
    key: String,
    /// Process of the target, for its processor time and memory
    #[arg(long, requires = "target")]
    pid: Option<u32>,
    /// How long to measure in all, in seconds
    #[arg(long, default_value_t = 36, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Connections under full load; streams use a quarter of them
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(4..=4096))]
    connections: u16,
    /// Print the figures, and every single measurement, as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of the hidden `sekisho bench-floor`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FloorArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    at: SocketAddr,
    /// Where the provider is
    #[arg(long)]
    upstream: SocketAddr,
}

/// Arguments of the hidden `sekisho bench-provider`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    at: SocketAddr,
}

/// Measures and prints.
pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    ended(runtime.and_then(|runtime| runtime.block_on(interruptible(args))))
}

/// Runs the bare proxy until it is ended; prints its address.
pub(crate) fn floor(args: &FloorArgs) -> ExitCode {
    ended(floor::serve(args.at, args.upstream))
}

/// Runs the built-in provider until it is ended; prints its address.
pub(crate) fn provider(args: &ProviderArgs) -> ExitCode {
    let settings = Settings { listen: args.at, record: false, remember_answers: true, ..Settings::default() };
    ended(Provider::start_with(settings).and_then(|provider| {
        announce(provider.addr())?;
        provider.join();
        Ok(())
    }))
}

fn ended(result: io::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "sekisho bench: {error}");
    ExitCode::FAILURE
}

/// Tells the parent process where to find this one.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{addr}")?;
    out.flush()
}

/// However it ends, the child processes end with it, since their owners are dropped.
async fn interruptible(args: &BenchArgs) -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        measured = measure(args) => measured,
        _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted")),
        _ = terminate.recv() => Err(io::Error::other("terminated")),
    }
}

async fn measure(args: &BenchArgs) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let provider = Child::announced("bench-provider", &[("--at", args.provider)])?;
    let bare = Child::announced("bench-floor", &[("--upstream", provider.addr)])?;
    let mut gateway = match &args.target {
        Some(_) => None,
        None => Some(Child::serve(&scratch, provider.addr, CLIENT_KEY)?),
    };
    let last = match (&gateway, &args.target) {
        (Some(child), _) => Subject::child("sekisho", child, args).started_at(child.started),
        (None, Some(url)) => target(url, args)?,
        (None, None) => return Err(io::Error::other("neither a gateway nor a target")),
    };
    let mut subjects =
        vec![Subject::child("direct", &provider, args), Subject::child("floor", &bare, args), last];
    // The last first: its clock runs.
    for subject in subjects.iter_mut().rev() {
        subject.first_answer(START_PATIENCE, || gateway.as_mut().and_then(Child::ended)).await?;
    }
    let measured = rounds::run(&subjects, provider.pid(), args).await?;
    let report = report::Report::new(args, &subjects, measured);
    let text = if args.json { report.json() } else { report.table() };
    writeln!(io::stdout(), "{text}")
}

fn target(url: &str, args: &BenchArgs) -> io::Result<Subject> {
    let wrong =
        |why: &str| io::Error::other(format!("`--target {url}`: {why}, such as `http://127.0.0.1:8787`"));
    let uri: http::Uri = url.parse().map_err(|_| wrong("should be an address"))?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong("should be an address without TLS"));
    };
    let mut found = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80)).to_socket_addrs()?;
    let addr = found.next().ok_or_else(|| wrong("should name a host that is known"))?;
    let base = uri.path().trim_end_matches('/').trim_end_matches("/v1");
    Ok(Subject::new("target", addr, &format!("{base}/v1/chat/completions"), args.pid, args))
}
