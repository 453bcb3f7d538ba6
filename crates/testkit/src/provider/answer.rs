//! What is asked and what is answered, before any dialect dresses it.

use super::{schema, script::Script};
use crate::limits;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What a request asks for, whichever dialect it came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// The text of the last message that a user wrote.
    pub(crate) user_text: String,
    /// The last message is the assistant's: the answer goes on with it.
    pub(crate) prefill: Option<String>,
    /// What a tool said, when that is the last thing in the request.
    pub(crate) tool_result: Option<String>,
    /// Name and schema of each tool.
    pub(crate) tools: Vec<(String, Value)>,
    pub(crate) choice: Choice,
    /// The schema that the text must satisfy; null for any JSON.
    pub(crate) schema: Option<Value>,
    pub(crate) images: usize,
    pub(crate) thinks: bool,
    pub(crate) stops: Vec<String>,
    /// Most words of the text.
    pub(crate) limit: Option<usize>,
    pub(crate) choices: usize,
    /// How many likely alternatives to list beside each word, when that is asked for.
    pub(crate) logprobs: Option<usize>,
    pub(crate) include_usage: bool,
    /// Rough size of the request in tokens.
    pub(crate) input: u64,
    /// What shall become vectors, how long they shall be, and whether they are wanted in base64.
    pub(crate) texts: Vec<String>,
    pub(crate) dimensions: Option<usize>,
    pub(crate) base64: bool,
    /// The request, for APIs that repeat it.
    pub(crate) body: Value,
}

/// Whether a tool must be called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Choice {
    /// When the user's text says so.
    #[default]
    Auto,
    Never,
    Any,
    Named(String),
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) thought: Option<Vec<String>>,
    pub(crate) words: Vec<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) stop: Stop,
    pub(crate) usage: Usage,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    End,
    Length,
    Sequence(String),
    Tool,
}

/// Token counts. `input` includes `cached`; `output` includes `reasoning`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

const LEXICON: &[&str] =
    &["the", "関所", "reads", "each", "paper,", "counts", "each", "toll,", "and", "opens", "its", "gates"];
pub(crate) const THOUGHT: &str = "First I look at the papers, then I decide — briefly.";

pub(crate) fn answer(ask: &Ask, script: &Script) -> Answer {
    let calls = scripted_call(ask, script).map_or_else(|| calls(ask), |call| vec![call]);
    let thought = ask.thinks.then(|| words(THOUGHT));
    let (words, stop) = match calls.is_empty() {
        true => bounded(rest(text(ask, script), ask, script), ask),
        false => (Vec::new(), Stop::Tool),
    };
    let reasoning = thought.as_ref().map_or(0, Vec::len) as u64;
    let spoken = words.len() * ask.choices.max(1) + calls.len() * 12;
    let usage = Usage {
        input: script.input.unwrap_or(ask.input),
        cached: script.cached,
        output: script.output.unwrap_or(spoken as u64 + reasoning),
        reasoning,
    };
    Answer { thought, words, calls, stop, usage }
}

/// Splits a text so that the pieces joined are the text again, one word with what follows it a piece.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Splits a text into pieces of a few characters.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(8).map(|piece| piece.iter().collect()).collect()
}

/// The seal on a thought, in base64: it depends on every byte, and holds characters that careless code changes.
pub(crate) fn seal(thought: &str) -> String {
    let mut seal = "EqQB/+Zz".to_owned();
    for byte in Sha256::digest(thought) {
        let _ = write!(seal, "{byte:02x}");
    }
    seal + "/w=="
}

/// The call that the script wants, before any tool has answered.
fn scripted_call(ask: &Ask, script: &Script) -> Option<Call> {
    let wanted = script.call.as_ref().filter(|_| ask.tool_result.is_none())?;
    let (name, schema) = ask.tools.iter().find(|(name, _)| name == wanted)?;
    let given = script.argument.as_ref().map(|(name, text)| serde_json::json!({ name: text }));
    Some(Call { name: name.clone(), arguments: given.unwrap_or_else(|| schema::example(schema)) })
}

fn calls(ask: &Ask) -> Vec<Call> {
    let said = |words: &str| ask.user_text.contains(words);
    let count = match &ask.choice {
        Choice::Never => 0,
        Choice::Any | Choice::Named(_) => 1,
        Choice::Auto if ask.tool_result.is_some() => 0,
        Choice::Auto if said("two tools") => 2,
        Choice::Auto => usize::from(said("use a tool")),
    };
    let wanted = |name: &str| !matches!(&ask.choice, Choice::Named(only) if only != name);
    let tools = ask.tools.iter().filter(|(name, _)| wanted(name));
    // With one tool and two calls wanted, it is called twice.
    let tools: Vec<_> = tools.cycle().take(count).collect();
    let call =
        |(name, schema): &(String, Value)| Call { name: name.clone(), arguments: schema::example(schema) };
    tools.into_iter().map(call).collect()
}

fn text(ask: &Ask, script: &Script) -> String {
    if let Some(text) = &script.text {
        return text.clone();
    }
    if let Some(schema) = &ask.schema {
        let any = serde_json::json!({"type": "object", "properties": {"answer": {"type": "string"}}});
        return schema::example(if schema.is_null() { &any } else { schema }).to_string();
    }
    if let Some(result) = &ask.tool_result {
        return format!("The tool said: {result}");
    }
    match ask.images {
        0 => sentence(script),
        1 => "I see 1 image.".to_owned(),
        several => format!("I see {several} images."),
    }
}

/// What is left to say behind what the answer begins with.
fn rest(text: String, ask: &Ask, script: &Script) -> String {
    let begun = ask.prefill.as_deref().filter(|_| !script.anew).unwrap_or_default();
    text.strip_prefix(begun).map(str::to_owned).unwrap_or(text)
}

fn sentence(script: &Script) -> String {
    let longest = limits::TEXT_MAX / script.word_bytes.max(8);
    let lexicon = LEXICON.iter().cycle().take(script.words.min(longest));
    let words: Vec<String> = lexicon
        .map(|word| format!("{word}{}", "x".repeat(script.word_bytes.saturating_sub(word.len()))))
        .collect();
    words.join(" ")
}

/// The words up to the first stop sequence, and at most as many as are wanted.
fn bounded(text: String, ask: &Ask) -> (Vec<String>, Stop) {
    let first = ask.stops.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min();
    let (text, stop) = match first {
        Some((place, stop)) => (text.get(..place).unwrap_or_default(), Stop::Sequence(stop.clone())),
        None => (text.as_str(), Stop::End),
    };
    let mut words = words(text);
    match ask.limit {
        Some(limit) if limit < words.len() => {
            words.truncate(limit);
            (words, Stop::Length)
        }
        _ => (words, stop),
    }
}
