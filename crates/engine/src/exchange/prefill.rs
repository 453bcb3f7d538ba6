//! What has been sent of an answer, given to the next target as the beginning of its own, so that it goes on.
//!
//! Only words are handed on, to a model that is known to go on with them. Who thought first is asked for the
//! whole answer: what has been said hangs on thoughts that nobody else has. So is what must be JSON, which is
//! enforced from its first letter, and what must call a tool.

use super::{Exchange, Task, render};
use crate::{
    estimate,
    models::Ability,
    plan::Provider,
    provider::{Prefix, Quirk},
};
use bytes::Bytes;
use dialect::{
    DialectId, Fault, FaultKind,
    canon::{At, Block, Choose, Extra, Format, Kind, Reasoning, Request, Role, Turn},
    splice::{Edit, Outline},
};
use serde_json::Map;

/// The names that a limit of tokens may have in OpenAI's chat.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// vLLM's and its like's way to say that the last message goes on:
/// <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>
const OPEN_END: [(&str, &str); 2] = [("add_generation_prompt", "false"), ("continue_final_message", "true")];

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub(super) struct Prefill {
    words: String,
    /// About how many tokens that has.
    pub(super) tokens: u64,
    /// The target says it again before it goes on.
    pub(super) echoed: bool,
}

impl Exchange {
    /// What a target is given as the beginning of its answer; `None` where it is asked for the whole.
    pub(super) fn prefill(&mut self, index: usize) -> Option<Prefill> {
        if !self.is_told() || self.unprefilled.contains(&index) {
            return None;
        }
        let (aim, provider) = (self.aims.get(index)?, self.provider(index)?);
        let able = provider.facts(&aim.model).abilities.has(Ability::Prefill) == Some(true);
        let echoed = prefix(provider).is_some_and(|prefix| prefix.echoed);
        if !able || !has_place(self.dialect_of(index)) {
            return None;
        }
        let words = self.resume()?.prefill()?.to_owned();
        let tokens = estimate::words(&words);
        let Task::Call(call) = &mut self.task else { return None };
        let request = render::canonical(call, &self.inbound.body).ok()?;
        suits(request, tokens).then_some(Prefill { words, tokens, echoed })
    }

    /// A target that was given the beginning of the answer may be asked for the whole instead: it refused the
    /// beginning, or did not go on with it. Once.
    pub(super) fn may_be_asked_whole(&mut self, index: usize, kind: FaultKind, strayed: bool) -> bool {
        let refused =
            matches!(kind, FaultKind::BadRequest | FaultKind::NotFound | FaultKind::UpstreamNotFound);
        let first = !self.unprefilled.contains(&index);
        if first {
            self.unprefilled.push(index);
        }
        first && (refused || strayed)
    }
}

/// The dialect has a place for the beginning of an answer: a turn of the model's at the end.
fn has_place(dialect: DialectId) -> bool {
    matches!(dialect, DialectId::Anthropic | DialectId::Bedrock | DialectId::OpenaiChat)
}

/// A request whose answer may begin with `tokens` tokens that were said elsewhere.
fn suits(request: &Request, tokens: u64) -> bool {
    let thinks = !matches!(request.reasoning, None | Some(Reasoning::Off));
    let formed = !matches!(request.format, None | Some(Format::Text));
    let called = matches!(request.choice, Some(Choose::Required | Choose::Tool(_) | Choose::Native(..)));
    let begun = request.turns.last().is_none_or(|turn| turn.role == Role::Assistant);
    !thinks && !formed && !called && !begun && request.limit.is_none_or(|limit| limit > tokens)
}

fn prefix(provider: &Provider) -> Option<Prefix> {
    provider
        .quirks
        .iter()
        .find_map(|quirk| if let Quirk::Prefix(prefix) = quirk { Some(*prefix) } else { None })
}

impl Prefill {
    /// Puts it at the end of a request, and leaves as much of the limit as there is.
    pub(super) fn put(&self, request: &mut Request, provider: &Provider, dialect: DialectId) {
        let member = prefix(provider).filter(|_| dialect == DialectId::OpenaiChat);
        let members = member.map(|prefix| (prefix.member.to_owned(), true.into()));
        let extra = Extra::new(dialect, members.into_iter().collect::<Map<_, _>>());
        let blocks = vec![Block::new(Kind::Text(self.words.clone()))];
        let at = At { turn: u32::try_from(request.turns.len()).ok(), part: None };
        let turn = Turn { blocks, plain: true, extra, ..Turn::new(Role::Assistant, at) };
        request.turns.push(turn);
        request.limit = request.limit.map(|limit| limit.saturating_sub(self.tokens).max(1));
    }

    /// What the written body must have besides. `limit` is that of the request.
    ///
    /// # Errors
    /// None for what we have written.
    pub(super) fn finish(
        body: &Bytes,
        provider: &Provider,
        dialect: DialectId,
        limit: Option<u64>,
    ) -> Result<Bytes, Fault> {
        if dialect != DialectId::OpenaiChat {
            return Ok(body.clone());
        }
        let open = provider.quirks.contains(&Quirk::OpenEnd);
        let sets = OPEN_END.into_iter().filter(|_| open);
        let outline = Outline::read(body, &[LIMITS, OPEN_END.map(|(name, _)| name)].concat())?;
        // A body that was written as it came has the limit as it came, too.
        let limit = limit.map(|limit| Bytes::from(limit.to_string()));
        let limits = LIMITS.into_iter().filter(|name| outline.has(name));
        let limits = limits.filter_map(|name| Some(Edit::Set { name, json: limit.clone()? }));
        let sets = sets.map(|(name, json)| Edit::Set { name, json: Bytes::from_static(json.as_bytes()) });
        Ok(outline.apply(&limits.chain(sets).collect::<Vec<_>>()).concat().into())
    }
}

/// Where a provider takes such a request, if that is elsewhere.
pub(super) fn path(provider: &Provider, generate: &str) -> Option<String> {
    let below = prefix(provider)?.below;
    (!below.is_empty()).then(|| [below, generate].concat())
}
