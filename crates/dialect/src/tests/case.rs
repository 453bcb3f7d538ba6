//! One case: a text file with an input and what is expected of it.

use crate::{
    DialectId, Fault, Loss, Losses, Target,
    canon::{IdForm, Request},
    frame::{Framing, aws},
    pipe::Pipe,
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

const LINE: &str = "-----\n";

/// What a case says.
#[derive(Debug)]
pub(super) struct Case {
    path: PathBuf,
    /// Who wrote the input.
    pub(super) from: DialectId,
    /// Who gets the output.
    pub(super) to: DialectId,
    head: String,
    /// What was written.
    pub(super) input: String,
    /// Output and losses, as in the file.
    pub(super) expected: String,
}

/// The folder of all cases.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases")
}

/// All cases, in the order of their names.
pub(super) fn all() -> Vec<Case> {
    let pairs = entries(&folder()).into_iter().filter(|folder| folder.to_string_lossy().contains("-to-"));
    let mut paths: Vec<PathBuf> = pairs.flat_map(|folder| entries(&folder)).collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

impl Case {
    fn read(path: &Path) -> Case {
        let pair = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let (from, to) = pair.split_once("-to-").unwrap_or_else(|| panic!("{pair} is not FROM-to-TO"));
        let dialect = |name| DialectId::from_name(name).unwrap_or_else(|| panic!("{name} is no dialect"));
        let text = fs::read_to_string(path).unwrap();
        let mut sections = text.splitn(3, LINE);
        let head = sections.next().unwrap_or_default().to_owned();
        let input = sections.next().unwrap_or_else(|| panic!("{}: no input", path.display())).to_owned();
        let expected = sections.next().unwrap_or_default().to_owned();
        let case =
            Case { path: path.to_owned(), from: dialect(from), to: dialect(to), head, input, expected };
        case.check_head();
        case
    }

    fn check_head(&self) {
        const KNOWN: &[&str] = &[
            "kind",
            "model",
            "max_output",
            "completion_limit",
            "sealed_only",
            "ids",
            "status",
            "stream",
            "stream_usage",
        ];
        for line in self.head.lines() {
            let name = line.split_once(": ").map_or(line, |(name, _)| name);
            assert!(KNOWN.contains(&name), "{}: `{line}` is no head line, known: {KNOWN:?}", self.name());
        }
        let caller = if self.asks() { self.from } else { self.to };
        assert!(caller.dialect().serves_callers(), "{}: no caller speaks {}", self.name(), caller.name());
    }

    /// It goes from a caller to a provider; others come back.
    pub(super) fn asks(&self) -> bool {
        matches!(self.kind(), "request" | "count")
    }

    pub(super) fn name(&self) -> String {
        let pair = self.path.parent().unwrap().file_name().unwrap().to_string_lossy();
        format!("cases/{pair}/{}", self.path.file_name().unwrap().to_string_lossy())
    }

    pub(super) fn kind(&self) -> &str {
        self.value("kind").unwrap_or_default()
    }

    pub(super) fn status(&self) -> u16 {
        self.value("status").map_or(500, |status| status.parse().unwrap())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|line| line.0 == name)
            .map(|line| line.1)
    }

    /// What `to` gets, and the losses below it, as they stand in a file.
    pub(super) fn carry(&self) -> String {
        let (output, losses) = match self.kind() {
            "request" => self.request(self.from.dialect().read_request(self.input.as_bytes())),
            "count" => self.request(self.from.dialect().read_count_request(self.input.as_bytes())),
            "response" => self.answer(false),
            "stream" => self.answer(true),
            "fault" => (self.fault(), Losses::new()),
            other => panic!("{}: `{other}` is no kind", self.name()),
        };
        let losses: String = losses.iter().map(|loss| format!("{}\n", pointer_of(loss))).collect();
        let line = if output.ends_with('\n') { "" } else { "\n" };
        if losses.is_empty() { output + line } else { output + line + LINE + &losses }
    }

    fn request(&self, read: Result<crate::Carried<Request>, Fault>) -> (String, Losses) {
        let read = match read {
            Ok(read) => read,
            Err(fault) => return (told(&fault), Losses::new()),
        };
        let target = Target {
            model: self.value("model").unwrap_or(&read.value.model),
            max_output: self.value("max_output").map(|limit| limit.parse().unwrap()),
            completion_limit: self.value("completion_limit") == Some("true"),
            sealed_only: self.value("sealed_only") == Some("true"),
            ids: match self.value("ids") {
                None => IdForm::Any,
                Some("nine") => IdForm::Nine,
                Some(max) => IdForm::Plain(max.parse().unwrap()),
            },
        };
        let written = self.to.dialect().write_request(&read.value, &target);
        let mut losses = read.losses;
        losses.absorb(written.losses);
        (pretty(&written.value), losses)
    }

    fn answer(&self, streamed: bool) -> (String, Losses) {
        let mut caller = Request::new(self.to, "");
        caller.stream = Some(self.value("stream").map_or(streamed, |wanted| wanted == "true"));
        caller.stream_usage = self.value("stream_usage").map(|wanted| wanted == "true");
        let mut pipe = Pipe::translate(self.from, streamed, &caller);
        let mut out = Vec::new();
        let input = if streamed { stream(self.from, &self.input) } else { self.input.clone().into_bytes() };
        let fed = pipe.feed(Bytes::from(input), &mut out);
        let ended = fed.and_then(|()| pipe.finish(&mut out));
        if let Err(fault) = &ended {
            pipe.fault(fault, &mut out);
        }
        let text = match caller.stream {
            Some(true) => shown(self.to, &out.concat()),
            _ => pretty(&out.concat()),
        };
        (text + &ended.err().map(|fault| told(&fault)).unwrap_or_default(), pipe.losses().clone())
    }

    fn fault(&self) -> String {
        let fault = self.from.dialect().read_fault(self.status(), self.input.as_bytes());
        let body = pretty(&self.to.dialect().write_fault(&fault));
        let wait = fault.retry_after_ms.map(|wait| format!("retry after {wait} ms\n")).unwrap_or_default();
        told(&fault) + &wait + &body
    }

    /// Puts what was found into the file.
    pub(super) fn rewrite(&self, found: &str) {
        fs::write(&self.path, [&self.head, LINE, &self.input, LINE, found].concat()).unwrap();
    }
}

/// The bytes of a stream. AWS's frames stand in a case as lines: `:name {…}` for an event, and for an exception
/// a name that ends so.
pub(super) fn stream(dialect: DialectId, text: &str) -> Vec<u8> {
    if dialect.dialect().framing() == Framing::Sse {
        return text.as_bytes().to_vec();
    }
    let mut out = Vec::new();
    for line in text.lines() {
        match line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            Some((name, data)) if name.ends_with("Exception") => {
                aws::write_exception(&mut out, name, data.as_bytes());
            }
            Some((name, data)) => aws::write_event(&mut out, name, data.as_bytes()),
            None => out.extend_from_slice(line.as_bytes()),
        }
    }
    out
}

/// A stream as it stands in a case.
fn shown(dialect: DialectId, stream: &[u8]) -> String {
    if dialect.dialect().framing() == Framing::Sse {
        return pretty(stream);
    }
    let (mut frames, mut text) = (aws::Frames::default(), String::new());
    let mut line = |frame: crate::frame::sse::Frame<'_>| {
        let [name, data] = [frame.event, frame.data].map(String::from_utf8_lossy);
        text += &format!(":{name} {data}\n");
        Ok(())
    };
    frames.feed(stream, &mut line).and_then(|()| frames.finish()).unwrap();
    assert_eq!(frames.open(), 0);
    text
}

/// A loss that stands at the top has no pointer to show.
fn pointer_of(loss: &Loss) -> &str {
    if loss.pointer.is_empty() { "-" } else { &loss.pointer }
}

fn told(fault: &Fault) -> String {
    let pointer = fault.param.as_deref().unwrap_or("-");
    format!("fault: {:?} {pointer}: {}\n", fault.kind, fault.text())
}

/// JSON in many lines; anything else as it is.
fn pretty(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => format!("{value:#}\n"),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Line by line: what is in both, what is missing, what is new.
pub(super) fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    // `common[i][j]`: how many lines the rests from `i` and `j` have in common.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let skip = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { skip };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            text += &format!("  {}\n", old[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            text += &format!("- {}\n", old[i]);
            i += 1;
        } else {
            text += &format!("+ {}\n", new[j]);
            j += 1;
        }
    }
    text
}
