//! Callers who come back when they were told to.

use super::{
    Bound::AtLeast,
    Figure, asks,
    stage::{CALLERS, Stage},
    steps::figure,
};
use std::{io, net::SocketAddr, path::Path, thread, time::Duration};

/// Requests a minute for each caller.
const RPM: usize = 2;
/// How often each is told when to come back.
const TIMES: usize = 2;
/// Everybody begins at another moment within this time.
const SPREAD: Duration = Duration::from_secs(5);
/// And pauses as long behind each of his first requests: another time for each, from this one on up to four of it.
const PAUSE: Duration = Duration::from_secs(5);

/// It lasts as long as a window and a half, whatever the length of the other loads.
pub(super) fn promises(binary: &Path, _: Duration) -> io::Result<Vec<Figure>> {
    let stage = Stage::start(binary, "words=12", &format!("{{rates: [{{caller: \"*\", rpm: {RPM}}}]}}"))?;
    let kept: usize = thread::scope(|scope| {
        let addr = stage.addr;
        let all: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || obey(addr, caller))).collect();
        let ended =
            all.into_iter().map(|one| one.join().map_err(|_| io::Error::other("a caller panicked"))?);
        ended.sum::<io::Result<usize>>()
    })?;
    let promises = CALLERS * TIMES;
    let what = format!("served when told to come back, of {promises}");
    Ok(vec![figure(what, kept as f64 / promises as f64, AtLeast(0.99))])
}

/// How many of the promises to one caller were kept.
fn obey(addr: SocketAddr, caller: usize) -> io::Result<usize> {
    thread::sleep(SPREAD.mul_f64(caller as f64 / CALLERS as f64));
    for _ in 0..RPM {
        served(addr, caller)?;
        // By a step that shares no factor with their number, so that all differ.
        thread::sleep(PAUSE + (3 * PAUSE).mul_f64((caller * 7 % CALLERS) as f64 / CALLERS as f64));
    }
    let mut kept = 0;
    for _ in 0..TIMES {
        let refused = asks::ask(addr, caller, "kit/m")?;
        let after = refused.retry_after.filter(|_| refused.status == 429);
        thread::sleep(after.ok_or_else(|| io::Error::other("nobody told when to come back"))?);
        kept += usize::from(served(addr, caller)?);
    }
    Ok(kept)
}

fn served(addr: SocketAddr, caller: usize) -> io::Result<bool> {
    Ok(asks::ask(addr, caller, "kit/m")?.status == 200)
}
