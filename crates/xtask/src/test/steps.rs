//! The steps of the test run, in their order: the quick ones first.

use super::{Bench, Count, Outcome};
use crate::{supply, tidy, tools::Sdks, wasm};
use std::process::Command;

/// One step.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) run: fn(&Bench<'_>) -> Outcome,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "the code is as rustfmt writes it",
        run: |bench| bench.cargo(&["fmt", "--all", "--check"], 2),
    },
    Step { name: "tidy", what: "the rules of the house", run: tidy },
    Step { name: "deny", what: "licences, banned crates and sources of what is built in", run: deny },
    Step { name: "clippy", what: "no lint says a word", run: clippy },
    Step { name: "test", what: "unit tests, laws, cases, simulation", run: unit_tests },
    Step { name: "wasm", what: "the cores compile for Workers", run: wasm },
    Step { name: "e2e", what: "the built binary, real SDKs, a real llama server", run: end_to_end },
];

fn tidy(bench: &Bench<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    for (rule, breaches) in tidy::check(bench.root) {
        outcome.count.add(Count { passed: u64::from(breaches.is_empty()), ..Count::default() });
        outcome.count.add(Count { failed: u64::from(!breaches.is_empty()), ..Count::default() });
        breaches.iter().for_each(|breach| outcome.words.push_str(&format!("{rule}: {breach}\n")));
    }
    outcome
}

fn deny(bench: &Bench<'_>) -> Outcome {
    Outcome::of(supply::check(bench.root))
}

fn clippy(bench: &Bench<'_>) -> Outcome {
    bench
        .cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"], 15)
}

fn unit_tests(bench: &Bench<'_>) -> Outcome {
    let words = ["test", "--workspace", "--locked", "--no-fail-fast"];
    Outcome::counted(bench.run(&mut crate::job::cargo(&words), 20), Count::of_libtest)
}

fn wasm(bench: &Bench<'_>) -> Outcome {
    match wasm::compiler(bench.root, &bench.tools) {
        Ok(compiler) => Outcome::of(bench.run(&mut compiler.build(&bench.target.join("wasm")), 10).map(drop)),
        Err(why) => Outcome::skipped(why),
    }
}

fn end_to_end(bench: &Bench<'_>) -> Outcome {
    match bench.tools.sdks(bench.root) {
        Ok(sdks) => Outcome::counted(run_end_to_end(bench, &sdks), Count::of_last_line),
        Err(why) => Outcome::skipped(why),
    }
}

fn run_end_to_end(bench: &Bench<'_>, sdks: &Sdks) -> Result<String, String> {
    bench.run(
        &mut crate::job::cargo(&[
            "build",
            "--locked",
            "--package",
            "sekisho",
            "--package",
            "testkit",
            "--bins",
        ]),
        15,
    )?;
    let mut python = Command::new(&sdks.python);
    python.arg("e2e/run.py").arg("--bin").arg(bench.target.join("debug"));
    python.arg("--node-modules").arg(&sdks.node_modules);
    bench.run(&mut python, 5)
}
