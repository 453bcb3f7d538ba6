//! Whole outages from a seed: a virtual clock, scripted providers, callers who hang up.
//!
//! A seed makes a plan, requests and what each provider does with them. Exchanges are driven as a door would
//! drive them, and after every step the rules are checked that must hold whatever happens: for one request at a
//! time (`scenes`), for many under limits (`crowd`), for many of all kinds on one ledger (`world`). A seed that
//! breaks a rule is printed; put it into `cases/sim/seeds.txt`, where it is tried first for ever.
//!
//! All of it is test code, built into nothing else. `SEKISHO_SIM=1000000 cargo test -p engine sim` tries more
//! seeds than the tests do by themselves, and `cargo xtask sim` as many as are wanted, optimised.

mod chance;
mod crowd;
mod long;
mod minutes;
mod scene;
mod scenes;
mod stage;
pub(crate) mod world;

use std::{
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, Location, catch_unwind},
};

/// A seed that breaks a rule.
#[derive(Debug)]
struct Broken {
    /// What was played: `world`, `crowd` or `scene`, and its seed.
    kind: &'static str,
    seed: u64,
    /// The seed that it was made of, which is given to the chore.
    of: u64,
    rule: String,
    /// How it came about, as far as that is known.
    more: String,
}

impl Broken {
    fn of(self, of: u64) -> Broken {
        Broken { of, ..self }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { kind, seed, of, rule, more } = self;
        let prefix = if *kind == "scene" { String::new() } else { format!("{kind} ") };
        writeln!(f, "{kind} {seed} breaks a rule: {rule}\n{more}")?;
        writeln!(f, "again: cargo xtask sim --seed {of}")?;
        write!(f, "for ever: a line `{prefix}{seed}` in cases/sim/seeds.txt")
    }
}

/// The kept seeds of a kind, by what stands before them.
fn kept(prefix: &str) -> impl Iterator<Item = u64> {
    let lines = include_str!("../../../../cases/sim/seeds.txt").lines();
    let seeds = lines
        .filter_map(move |line| line.split('#').next()?.trim().strip_prefix(prefix)?.trim().parse().ok());
    seeds.collect::<Vec<u64>>().into_iter()
}

thread_local! {
    /// Where this thread last panicked, where somebody takes note of that.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

fn note_place(place: Option<&Location<'_>>) {
    PLACE.set(place.map(|place| format!(" at {place}")).unwrap_or_default());
}

/// What comes of it, or in words how it panicked.
fn caught<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(play)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        format!("it panics{}: {words}", PLACE.take())
    })
}
