//! `sekisho check`: the same loading as to serve, and what it comes to.

use super::{Exit, print};
use crate::load::{self, Args};
use serde_json::json;

pub(super) fn run(args: &Args, json: bool) -> Exit {
    match load::load(args) {
        Ok(loaded) if json => {
            let notes: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
            let file = loaded.file.map(|path| path.display().to_string());
            print::json_data(&json!({ "ok": true, "file": file, "problems": [], "notes": notes }));
            Exit::Done
        }
        Ok(loaded) => {
            print::data(&loaded.plan.summary());
            print::notes(&loaded.notes);
            let what = loaded.file.map_or("the environment".to_owned(), |path| path.display().to_string());
            print::words(&format!("{what}: no problems"));
            Exit::Done
        }
        Err(problems) if json => {
            let problems: Vec<_> = problems.iter().map(print::problem_json).collect();
            print::json_data(&json!({ "ok": false, "problems": problems, "notes": [] }));
            Exit::Configuration
        }
        Err(problems) => print::problems(&problems),
    }
}
