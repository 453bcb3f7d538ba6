//! How many passed, failed and were skipped.

use std::fmt;

/// A count of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Count {
    /// Adds another count to this one.
    pub(super) fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The sum of every `test result:` line that the test harness of Rust has written.
    pub(super) fn of_libtest(output: &str) -> Count {
        let results = output.lines().filter_map(|line| line.trim_start().strip_prefix("test result:"));
        results.fold(Count::default(), |mut sum, line| {
            sum.add(Count {
                passed: before(line, "passed"),
                failed: before(line, "failed"),
                skipped: before(line, "ignored"),
            });
            sum
        })
    }

    /// The last line that is a count as [`Count`] itself is shown.
    pub(super) fn of_last_line(output: &str) -> Count {
        let is_count = |line: &&str| line.ends_with(" skipped") && line.contains(" passed, ");
        let line = output.lines().rev().map(str::trim).find(is_count).unwrap_or_default();
        Count {
            passed: before(line, "passed"),
            failed: before(line, "failed"),
            skipped: before(line, "skipped"),
        }
    }

    /// For those who read with a program.
    pub(super) fn json(self) -> serde_json::Value {
        serde_json::json!({ "passed": self.passed, "failed": self.failed, "skipped": self.skipped })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The number that stands before a word.
fn before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split([' ', ',', ';']).filter(|part| !part.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair.get(1) == Some(&word));
    pair.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
}
