//! How many tokens a prompt has, roughly, where nobody can be asked.

use dialect::canon::{Block, Kind, Request};

/// Bytes of text in one token: English has a little more, code and other scripts less.
const BYTES_A_TOKEN: usize = 4;
/// What each message costs besides its text.
const TOKENS_A_TURN: u64 = 4;
/// What a picture costs, about: providers count by its size, which would have to be decoded.
const TOKENS_A_PICTURE: u64 = 1_000;

/// The most that [`prompt`] can make of a body of so many bytes, media apart.
#[must_use]
pub fn most(bytes: usize) -> u64 {
    text(bytes)
}

/// How many tokens words have, about.
#[must_use]
pub fn words(words: &str) -> u64 {
    text(words.len())
}

/// An estimate of the tokens in a request's prompt and tools.
#[must_use]
pub fn prompt(request: &Request) -> u64 {
    let turns = request.turns.iter().map(|turn| TOKENS_A_TURN + blocks(&turn.blocks)).sum::<u64>();
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        text(tool.name.len() + tool.description.as_ref().map_or(0, String::len) + schema)
    });
    turns + tools.sum::<u64>()
}

fn blocks(blocks: &[Block]) -> u64 {
    blocks.iter().map(block).sum()
}

fn block(block: &Block) -> u64 {
    match &block.kind {
        Kind::Text(words) | Kind::Refusal(words) => text(words.len()),
        Kind::Reasoning { text: words, .. } => text(words.len()),
        Kind::ToolUse { name, input, .. } => text(name.len() + input.len()),
        Kind::ToolResult { content, .. } => blocks(content),
        Kind::Image(_) | Kind::Audio(_) | Kind::File(_) => TOKENS_A_PICTURE,
        Kind::Opaque { json, .. } => text(json.to_string().len()),
    }
}

fn text(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES_A_TOKEN)).unwrap_or(u64::MAX)
}
