//! The two functions that know where what goes. What cannot be written (a closed pipe) is not missed.

use super::Exit;
use engine::config::{Note, Problem};
use serde_json::{Value, json};
use std::io::Write;

/// Writes data, to stdout.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end());
    let _ = out.flush();
}

/// Writes words for people, to stderr.
pub(crate) fn words(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// Writes JSON, to stdout.
pub(crate) fn json_data(value: &Value) {
    data(&format!("{value:#}"));
}

/// Says what an operator should know.
pub(crate) fn notes(notes: &[Note]) {
    for note in notes {
        words(&note.to_string());
    }
}

/// Says what is wrong with a configuration.
pub(crate) fn problems(problems: &[Problem]) -> Exit {
    for problem in problems {
        words(&problem.to_string());
        words("");
    }
    let count = problems.len();
    words(&format!("{count} problem{} in the configuration", if count == 1 { "" } else { "s" }));
    Exit::Configuration
}

/// A problem as JSON.
pub(crate) fn problem_json(problem: &Problem) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    })
}

/// Writes rows in columns that are as wide as they must be. The first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    data(&lines.join("\n"));
}
