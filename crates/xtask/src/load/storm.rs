//! A provider that refuses everything, asked on and on.

use super::{
    Bound::{AtLeast, AtMost},
    Figure, asks,
    stage::{CALLERS, Stage, capacity},
    steps::figure,
};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use testkit::provider::Provider;

/// Who asks.
const THREADS: usize = 16;
/// In the first part the retries are used up that were saved before.
const WARM: Duration = Duration::from_secs(2);
/// The provider remembers no more than that many requests a second may be.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Each asks for models of his own, so that no breaker opens and only the budget holds retries back.
pub(super) fn storm(binary: &Path, run: Duration) -> io::Result<Vec<Figure>> {
    let provider = Provider::start("status=503")?;
    let stage = Stage::before(provider.addr(), binary, "", "{}")?;
    offer(stage.addr, "warm", WARM)?;
    let before = provider.log().len();
    let (offered, failed) = offer(stage.addr, "run", run.min(RUN_MAX))?;
    // The first retry may have been earned in part by what came before.
    let seen = (provider.log().len() - before).saturating_sub(1);
    Ok(vec![
        figure("asked of the provider, of those offered", seen as f64 / offered as f64, AtMost(1.1)),
        figure("told that it failed, of those offered", failed as f64 / offered as f64, AtLeast(1.0)),
    ])
}

/// So much as could be served; how many were offered, and how many of them failed.
fn offer(addr: SocketAddr, name: &str, run: Duration) -> io::Result<(usize, usize)> {
    let every = Duration::from_secs_f64(THREADS as f64 / capacity());
    let began = Instant::now();
    let one = |thread: usize| -> io::Result<(usize, usize)> {
        let (mut offered, mut failed) = (0, 0);
        while began.elapsed() < run {
            let heard = asks::ask(addr, thread % CALLERS, &format!("kit/{name}-{thread}-{offered}"))?;
            offered += 1;
            failed += usize::from(heard.status >= 500);
            thread::sleep((began + every * offered as u32).saturating_duration_since(Instant::now()));
        }
        Ok((offered, failed))
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || one(thread))).collect();
        let ended =
            all.into_iter().map(|one| one.join().map_err(|_| io::Error::other("a caller panicked"))?);
        ended
            .reduce(|all, one| all.and_then(|all| one.map(|one| (all.0 + one.0, all.1 + one.1))))
            .unwrap_or(Ok((0, 0)))
    })
}
