//! A changed configuration takes effect in place: nothing in flight is dropped, and a bad file changes
//! nothing.

use crate::{
    door::{
        io::duration,
        worker::{Shared, lock},
    },
    limits::RELOAD_LOOK,
    load::{self, Args},
    log::Log,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// Loads the configuration anew on SIGHUP and when the file's content changes, for ever. The content is
/// compared and not watched: a file can be replaced in too many ways (renamed over, linked anew by a
/// ConfigMap, written twice) for any notice to be trusted.
pub(crate) async fn watch(shared: &Shared, args: &Args, file: Option<&Path>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut seen = file.and_then(fingerprint);
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = sleep(duration(RELOAD_LOOK)) => false,
        };
        let now = file.and_then(fingerprint);
        // A file that is gone for a moment is being replaced.
        if asked || (now.is_some() && now != seen) {
            seen = now;
            reload(shared, args);
        }
    }
}

fn reload(shared: &Shared, args: &Args) {
    let log: &Log = &shared.log;
    match load::load(args) {
        Ok(loaded) => {
            let kept = lock(&shared.plan).listen;
            if loaded.plan.listen != kept {
                log.say("warn", "`listen` has changed; that takes effect when sekisho is started again");
            }
            loaded
                .notes
                .iter()
                .for_each(|note| log.say(if note.warning { "warn" } else { "info" }, &note.message));
            *lock(&shared.plan) = Arc::new(loaded.plan);
            log.say("info", "the configuration was loaded anew");
        }
        Err(problems) => {
            problems.iter().for_each(|problem| log.say("error", &problem.to_string()));
            log.say("error", "the configuration was not taken; the one before goes on");
        }
    }
}

fn fingerprint(file: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(file).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}
