//! One request and its providers at a time.

use super::{Broken, caught, kept, scene::Scene, stage};

/// How many seeds the test tries, where nothing says otherwise.
const SEEDS: u64 = 5_000;

/// Plays the scene that a seed makes.
pub(super) fn play_seed(seed: u64) -> Result<stage::Ending, Broken> {
    let scene = Scene::from_seed(seed);
    let played = caught(|| stage::play(&scene)).and_then(|played| played);
    played.map_err(|rule| Broken { kind: "scene", seed, of: seed, rule, more: format!("{scene:#?}") })
}

#[test]
fn no_seed_breaks_a_rule() {
    let count = std::env::var("SEKISHO_SIM").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let mut tally = stage::Tally::default();
    for seed in kept("").chain(0..count) {
        match play_seed(seed) {
            Ok(ending) => tally.count(&ending),
            Err(broken) => panic!("{broken}"),
        }
    }
    println!("{tally:?}");
    // A simulation in which something never happens would prove nothing about it.
    tally.assert_all_happened();
}
