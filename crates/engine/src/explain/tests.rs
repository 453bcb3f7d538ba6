//! Case files: `cases/explain/NAME.txt` holds the question (model, dialect, number of the caller), the configuration, the request (or nothing) and what
//! must be told, with lines of ten dashes between. `UPDATE_EXPECT=1` rewrites the last part.

use super::{Question, explain};
use crate::{
    access::Caller,
    config::{Overrides, Source, World, load},
};
use bytes::Bytes;
use dialect::DialectId;
use std::{fs, path::PathBuf, rc::Rc, sync::Arc};

const LINE: &str = "----------\n";

/// What every secret in a case file holds, and what no output may hold.
const CANARY: &str = "canary";

/// All that a user would see, in words, and whether the same as JSON hides what it must.
fn run(question: &str, file: &str, request: &str) -> String {
    let mut words = question.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let (model, dialect) = (words.next().expect("a model"), words.next().unwrap_or("openai_chat"));
    let caller = words.next().map(|number| number.parse::<usize>().expect("a number, from 1") - 1);
    let world = World { env: &|_| None, read_file: &|_| Err(String::new()) };
    let source = Source { name: "sekisho.yaml", text: file.as_bytes() };
    let (plan, _) =
        load(Some(source), &world, &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let dialect = DialectId::from_name(dialect).expect("a dialect");
    let body = (!request.is_empty()).then(|| Bytes::copy_from_slice(request.trim_end().as_bytes()));
    match explain(&Rc::new(Arc::new(plan)), &Question { model, dialect, caller: Caller(caller), body }) {
        Ok(explained) => {
            let json = serde_json::to_string(&explained).expect("JSON");
            assert!(!json.contains(CANARY), "a secret: {json}");
            explained.to_string()
        }
        Err(fault) => format!("{}\n", fault.text()),
    }
}

#[test]
fn every_case_is_explained_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../cases/explain");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in fs::read_dir(&folder).expect("cases/explain is there") {
        let path = entry.expect("an entry").path();
        let whole = fs::read_to_string(&path).expect("a case is UTF-8");
        let parts: Vec<&str> = whole.split(LINE).collect();
        let [question, file, request, expected] = parts.as_slice() else {
            panic!("{path:?} must have four parts")
        };
        let found = run(question, file, request);
        assert!(!found.contains(CANARY), "{path:?} prints a secret:\n{found}");
        count += 1;
        if found == *expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let text = format!("{question}{LINE}{file}{LINE}{request}{LINE}{found}");
            fs::write(&path, text).expect("a case can be written");
        }
        wrong.push(format!("{path:?}\nexpected:\n{expected}\nfound:\n{found}"));
    }
    assert!(count > 0, "{folder:?} is empty");
    assert!(wrong.is_empty() || std::env::var_os("UPDATE_EXPECT").is_some(), "{}", wrong.join("\n\n"));
}
