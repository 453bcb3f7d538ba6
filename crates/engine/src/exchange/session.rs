//! To which conversation a request belongs, so that all of it goes to one target: there a provider's prompt
//! cache is warm, and what is sealed for it can be read.

use crate::{
    limits::SESSION_KEY_MAX,
    tiers::{hash, mix},
};
use bytes::Bytes;
use dialect::splice::Outline;
use http::HeaderMap;

/// Headers that name a conversation, the surest first. OpenCode sends the first two, Claude Code and Codex the
/// others, of which older Codexes spell theirs with an underscore.
const HEADERS: &[&str] =
    &["x-session-affinity", "x-session-id", "x-claude-code-session-id", "session-id", "session_id"];

/// Members that do, or name the user at least:
/// <https://platform.openai.com/docs/guides/prompt-caching>,
/// <https://docs.anthropic.com/en/api/messages#body-metadata>.
const MEMBERS: &[&str] = &["prompt_cache_key", "user", "metadata"];

/// The conversation as a number, where the request names one.
pub(super) fn key(headers: &HeaderMap, body: &Bytes) -> Option<u64> {
    let fits = |text: &[u8]| (1..=SESSION_KEY_MAX).contains(&text.len());
    let mut named = HEADERS.iter().filter_map(|name| headers.get(*name)).map(|value| value.as_bytes());
    if let Some(text) = named.find(|text| fits(text)) {
        return Some(mix(hash(&[text])));
    }
    let outline = Outline::read(body, MEMBERS).ok()?;
    let said = |name: &&str| match *name {
        "metadata" => {
            let metadata: serde_json::Value = serde_json::from_str(outline.raw("metadata")?).ok()?;
            metadata.get("user_id")?.as_str().map(str::to_owned)
        }
        name => outline.string(name).ok()?.map(|text| text.into_owned()),
    };
    let text = MEMBERS.iter().filter_map(said).find(|text| fits(text.as_bytes()))?;
    Some(mix(hash(&[text.as_bytes()])))
}
