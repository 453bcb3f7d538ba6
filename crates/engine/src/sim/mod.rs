//! Whole outages from a seed: a virtual clock, scripted providers, callers who hang up.
//!
//! A seed makes a plan, a request and what each provider does with it. The exchange is driven as a door would
//! drive it, and after every step the rules are checked that must hold whatever happens. A seed that breaks
//! one is printed; put it into `cases/sim/seeds.txt`, where it is tried first for ever.
//!
//! `SEKISHO_SIM=1000000 cargo test -p engine sim` tries more seeds than the test does by itself.

mod chance;
mod crowd;
mod minutes;
mod scene;
mod stage;

use scene::Scene;

/// How many seeds the test tries, where nothing says otherwise.
const SEEDS: u64 = 5_000;

#[test]
fn no_seed_breaks_a_rule() {
    let kept = include_str!("../../../../cases/sim/seeds.txt");
    let kept = kept.lines().filter_map(|line| line.split('#').next()?.trim().parse::<u64>().ok());
    let count = std::env::var("SEKISHO_SIM").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let mut tally = stage::Tally::default();
    for seed in kept.chain(0..count) {
        let scene = Scene::from_seed(seed);
        let told = std::panic::catch_unwind(|| stage::play(&scene));
        match told {
            Ok(Ok(ending)) => tally.count(&ending),
            Ok(Err(rule)) => panic!("seed {seed} breaks a rule: {rule}\n{scene:#?}"),
            Err(_) => panic!("seed {seed} panics\n{scene:#?}"),
        }
    }
    println!("{tally:?}");
    // A simulation in which something never happens would prove nothing about it.
    tally.assert_all_happened();
}
