//! Usages as providers tell them, and the buckets that they become: `cases/usage/<dialect>-<what>.txt`.
//!
//! ```text
//! dialect: openai_chat
//! -----
//! {"usage": {…}}      an answer, or as much of it as counts
//! -----
//! input 47            a bucket a line; those that are empty are left out
//! ```
//!
//! `UPDATE_EXPECT=1 cargo test -p dialect usage` writes what is into the files.

use super::case::{difference, folder};
use crate::{DialectId, canon::Usage};
use std::fs;

#[test]
fn usage_becomes_buckets_that_do_not_overlap() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut paths: Vec<_> =
        fs::read_dir(folder().join("usage")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let sections: Vec<&str> = text.splitn(3, "-----\n").collect();
        let [head, body, expected] = sections[..] else { panic!("{}: not three sections", path.display()) };
        let name = head.trim().strip_prefix("dialect: ").unwrap();
        let dialect = DialectId::from_name(name).unwrap().dialect();
        let found = buckets(&dialect.read_usage(body.as_bytes()).unwrap());
        if update {
            fs::write(&path, [head, body, &found].join("-----\n")).unwrap();
        } else {
            assert_eq!(expected, found, "{}\n{}", path.display(), difference(expected, &found));
        }
    }
}

fn buckets(usage: &Usage) -> String {
    let Usage {
        input, cache_read, cache_write, cache_write_1h, audio_in, output, reasoning, audio_out, ..
    } = usage;
    let lines = [
        ("input", input),
        ("cache_read", cache_read),
        ("cache_write", cache_write),
        ("cache_write_1h", cache_write_1h),
        ("audio_in", audio_in),
        ("output", output),
        ("reasoning", reasoning),
        ("audio_out", audio_out),
    ];
    lines
        .iter()
        .filter(|(_, tokens)| **tokens > 0)
        .map(|(name, tokens)| format!("{name} {tokens}\n"))
        .collect()
}
