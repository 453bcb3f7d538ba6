//! From what an operator wrote, in a file and in the environment, to a checked plan.
//!
//! What the command line says counts most, then the file, then the environment, then the defaults. All
//! problems are found at once, and none of them holds a secret.

mod access;
mod cloud;
mod draft;
pub mod environment;
mod expand;
mod facts;
mod fallbacks;
mod file;
mod models;
mod names;
mod problem;
mod rates;
mod read;
mod summary;
mod supply;
#[cfg(test)]
mod tests;
mod tree;
pub mod values;

use crate::{
    limits::{CONFIG_MAX, PROBLEMS_MAX},
    plan::Plan,
};
use draft::Draft;
pub use file::{
    Auth, Config, Dialect, Format, Limits, Log, ModelsShape, Provider as ProviderConfig,
    Timeouts as TimeoutsConfig,
};
pub use problem::{Note, Problem};
use tree::Node;

/// A configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, as it shall stand in messages.
    pub name: &'a str,
    /// What it holds: YAML, or JSON, which is YAML too.
    pub text: &'a [u8],
}

/// What a configuration may ask of the world around it.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The value of an environment variable, if it is set.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What a file holds, or why it cannot be read. Paths are as they were written.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where clients are served.
    pub listen: Option<String>,
    /// Serve everybody, even beyond the loopback.
    pub allow_open: bool,
}

/// Makes a plan.
///
/// # Errors
/// Every problem there is, in the order of the file, those of the environment behind them.
pub fn load(
    source: Option<Source<'_>>,
    world: &World<'_>,
    overrides: &Overrides,
) -> Result<(Plan, Vec<Note>), Vec<Problem>> {
    let (text, mut document) = match source {
        Some(source) => {
            let (text, document) = Document::open(source, world).map_err(|problem| vec![problem])?;
            (text, document)
        }
        None => ("", Document::default()),
    };
    let read = read::read::<Config>(&document.tree);
    document.problems.extend(read.problems);
    document.reported.extend(read.cut.iter().cloned());
    let hidden = read.hidden;
    let mut draft = Draft::new(world, overrides, document, read.value.environment.unwrap_or(true));
    let plan = draft.build(read.value);
    let (notes, problems) = draft.finish(text, &hidden);
    if problems.is_empty() { Ok((plan, notes)) } else { Err(problems) }
}

/// A file that has been read, and what is known to be wrong with it.
#[derive(Default)]
struct Document {
    name: String,
    tree: Node,
    problems: Vec<Problem>,
    /// Where something is wrong; what hangs on it is not reported as well.
    reported: Vec<Vec<String>>,
}

impl Document {
    /// Reads the file as far as its own syntax goes.
    fn open<'a>(source: Source<'a>, world: &World<'_>) -> Result<(&'a str, Document), Problem> {
        let name = source.name.to_owned();
        let fail = |problem: Problem| Problem { file: name.clone(), ..problem };
        if source.text.len() > CONFIG_MAX {
            let what = format!("the file is too large, {} MiB are the limit", CONFIG_MAX >> 20);
            return Err(fail(Problem::new(what)));
        }
        let text = std::str::from_utf8(source.text).map_err(|error| {
            let before = source.text.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            fail(Problem { line, column: 1, ..Problem::new("this line is not UTF-8") })
        })?;
        let (mut tree, problems) = tree::parse(text).map_err(|problem| {
            let excerpt = problem::excerpt(text, problem.line, &[], &known_words());
            fail(Problem { excerpt, ..problem })
        })?;
        let mut document = Document { name: name.clone(), problems, ..Document::default() };
        expand::expand(&mut tree, &mut Vec::new(), world.env, &mut |path, problem| {
            document.problems.push(problem);
            document.reported.push(path.to_vec());
        });
        document.tree = tree;
        Ok((text, document))
    }
}

/// Words that may be shown even of a line that could not be understood: the keys of the file.
fn known_words() -> Vec<&'static str> {
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "$schema", "-", "abilities", "above", "affinity", "after", "answers", "api_version", "attempts", "audio",
        "audio_in",
        "audio_out", "auth", "base_url", "body", "busy_message", "cache_read", "cache_write",
        "cache_write_1h", "caller", "calls", "client_gone", "concurrent", "connect", "content_filter",
        "content_filter_fallbacks", "context_fallbacks", "context_window", "cors", "default_model",
        "default_provider", "dialect", "documents", "drain", "drops", "embeddings", "enabled",
        "environment", "facts", "failover", "fallbacks", "first_byte", "first_token", "format",
        "generate_path", "headers", "heartbeat", "hedge", "hold_bytes", "hold_time", "idle", "input", "json_schema",
        "key",
        "keys", "keys_file", "like", "limits", "listen", "log", "max_output", "mirror", "model", "models",
        "models_path", "models_shape", "output", "params", "percent", "prefill", "prices", "priority",
        "project", "provider", "providers", "queue", "race", "rates", "reasoning", "region", "renames",
        "requests", "retries", "rpm", "size", "strategy", "streaming", "streams", "strict", "targets",
        "timeouts", "to", "tools", "total", "tpm", "vision", "wait", "weight",
    ];
    WORDS.iter().copied().chain(crate::providers::PROVIDERS.iter().map(|row| row.name)).collect()
}

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

impl Draft<'_> {
    /// What the operator should know, and what is wrong, each with the line in which it stands.
    fn finish(self, text: &str, hidden: &[Vec<String>]) -> (Vec<Note>, Vec<Problem>) {
        let Document { name, tree, .. } = &self.document;
        let mut problems = self.problems;
        problems.extend(self.document.problems.iter().cloned());
        let safe = problem::safe_places(tree, hidden);
        for problem in problems.iter_mut().filter(|problem| problem.file.is_empty()) {
            problem.file.clone_from(name);
            problem.excerpt = problem::excerpt(text, problem.line, &safe, &[]);
        }
        problems.sort_by(|a, b| {
            let key = |p: &Problem| (p.file != *name, p.line, p.column);
            key(a).cmp(&key(b))
        });
        problems.truncate(PROBLEMS_MAX);
        (self.notes, problems)
    }
}
