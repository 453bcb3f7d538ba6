//! The corpus of translations, and the laws over all dialects.
//!
//! A case is one text file, `cases/<from>-to-<to>/<name>.txt` at the top of the workspace, named by two
//! dialects. Its sections stand between lines of five dashes:
//!
//! ```text
//! kind: request
//! model: claude-x
//! -----
//! {"model": "gpt-x", "messages": […]}     what <from> wrote
//! -----
//! {"model": "claude-x", …}                what <to> gets; JSON is written out in many lines
//! -----
//! /frequency_penalty                      what was lost, a pointer a line; left out where nothing was
//! ```
//!
//! | `kind` | input | output | head lines that count |
//! |---|---|---|---|
//! | `request` | a caller's request | the provider's request | `model` (else the caller's), `max_output`, `completion_limit`, `sealed_only`, `ids` (`nine`, or the most characters of a plain one) |
//! | `count` | a caller's request to count tokens | the provider's | the same |
//! | `response` | a provider's whole answer | the caller's | `stream` (`true`: the caller wants one), `stream_usage` |
//! | `stream` | a provider's event stream | the caller's | `stream` (`false`: the caller wants none), `stream_usage` |
//! | `fault` | a provider's error body | its kind, and the caller's error body | `status` |
//!
//! A stream of AWS's frames stands here as lines, `:name {…}` for an event or an exception.
//!
//! What cannot be read gives a line `fault: KIND POINTER: MESSAGE`; in a stream it stands behind the
//! caller's error event. `UPDATE_EXPECT=1 cargo test -p dialect cases` writes what is into the files, for
//! `git diff` to show. Every file is also taken to every other dialect (see `crate::laws`), and its input is the
//! seed of the laws.

mod case;
mod embed;
mod ids;
mod laws;
mod resume;
mod schemas;
mod seals;
mod usage;

use case::Case;

#[test]
fn cases() {
    let cases = case::all();
    assert!(!cases.is_empty(), "no case in {}", case::folder().display());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case, update)).collect();
    assert!(wrong.is_empty(), "{} of {} cases fail\n\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is wrong with a case.
fn check(case: &Case, update: bool) -> Option<String> {
    let found = case.carry();
    if found == case.expected {
        return None;
    }
    if update {
        case.rewrite(&found);
        return None;
    }
    Some(format!("{}\n{}", case.name(), case::difference(&case.expected, &found)))
}

#[test]
fn a_difference_is_shown_by_lines() {
    assert_eq!(case::difference("a\nb\nc\n", "a\nc\nd\n"), "  a\n- b\n  c\n+ d\n");
}
