//! Canonical form into bytes of this dialect: requests, answers and errors.

use super::wire::{self, ME};
use crate::{
    Carried, Fault, FaultKind, Losses, Target,
    canon::{
        At, Block, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Sampling,
        Source, Turn,
    },
    json::{self, put},
    limits::COMPLETION_TOKENS_DEFAULT,
};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The id of an answer that came without one.
pub(super) const NO_ID: &str = "cmpl-0";
pub(super) const UNKNOWN: &str = "OpenAI's completions have no such member";
pub(super) const NO_BLOCK: &str = "OpenAI's completions are text alone";
/// What the user's part of a written conversation begins with. A model that goes on beyond its own part is
/// stopped there.
const USER: &str = "User:";

/// Writes a request. One that was read from this dialect is written as it was; of any other the conversation
/// becomes one prompt.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen { own: request.from == ME, losses: Losses::new() };
    let mut body = Map::new();
    put(&mut body, "model", Some(target.model));
    let is_alone = request.turns.len() < 2 && request.turns.iter().all(is_words_of_user);
    let prompt = if is_alone { pen.alone(&request.turns) } else { pen.conversation(&request.turns) };
    put(&mut body, "prompt", Some(prompt).filter(|_| !pen.own || !request.turns.is_empty()));
    // Without a limit OpenAI's servers and vLLM stop at 16 tokens, which no conversation means.
    let limit = COMPLETION_TOKENS_DEFAULT.min(target.max_output.unwrap_or(u64::MAX));
    put(&mut body, "max_tokens", request.limit.or((!pen.own).then_some(limit)));
    let stop = (!is_alone && !pen.own).then(|| format!("\n{USER}"));
    pen.sampling(&request.sampling, stop, &mut body);
    put(&mut body, "stream", request.stream);
    // A stream of another dialect always ends with its usage.
    let usage = request.stream_usage.or((!pen.own && request.stream == Some(true)).then_some(true));
    put(&mut body, "stream_options", usage.map(|usage| json!({"include_usage": usage})));
    put(&mut body, "user", request.user.as_deref());
    pen.wishes(request);
    pen.rest(&request.extra, &mut body);
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

fn is_words_of_user(turn: &Turn) -> bool {
    turn.role == Role::User && turn.blocks.iter().all(|block| matches!(block.kind, Kind::Text(_)))
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen { own: message.from == ME, losses: Losses::new() };
    let choices: Vec<Value> = message.choices.iter().map(|choice| pen.choice(choice)).collect();
    let id = if message.id.is_empty() && !pen.own { NO_ID } else { &message.id };
    let mut body = Map::new();
    put(&mut body, "id", Some(id));
    put(&mut body, "object", Some(wire::OBJECT));
    put(&mut body, "created", Some(message.created.unwrap_or(0)));
    put(&mut body, "model", Some(message.model.as_str()));
    put(&mut body, "choices", Some(choices));
    put(&mut body, "usage", message.usage.as_ref().map(wire::write_usage));
    pen.rest(&message.extra, &mut body);
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// Writes an error: <https://platform.openai.com/docs/guides/error-codes>
///
/// Where the provider refused the request itself, its own type and code say more than ours.
pub(super) fn fault(fault: &Fault) -> Value {
    let meaning = fault.kind.meaning();
    let upstream = fault.upstream.as_deref().filter(|_| fault.kind == FaultKind::BadRequest);
    let kind = upstream.and_then(|upstream| upstream.kind.as_deref()).unwrap_or(meaning.openai_type);
    let ours = Some(meaning.openai_code).filter(|code| !code.is_empty());
    let code = upstream.and_then(|upstream| upstream.code.as_deref()).or(ours);
    json!({"error": {"message": fault.text(), "type": kind, "param": fault.param, "code": code}})
}

/// Writes, and notes what is lost.
struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    losses: Losses,
}

impl Pen {
    fn lose(&mut self, at: At, member: &str, why: &'static str) {
        self.losses.note(at.pointer("messages", "content", member), why);
    }

    /// Adds what only this dialect knows, and notes what only another does. Of what was read, the form
    /// that was kept takes the place of what canonical form makes of it.
    fn rest(&mut self, extra: &Extra, written: &mut Map<String, Value>) {
        written
            .extend(extra.form(ME).into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        json::add(written, extra.of(ME));
        for name in extra.lost_to(ME) {
            self.losses.note(format!("/{}", name.replace('~', "~0").replace('/', "~1")), UNKNOWN);
        }
    }

    /// What a user says, and nothing else, is the prompt.
    fn alone(&mut self, turns: &[Turn]) -> String {
        turns.iter().map(|turn| self.said(turn).0).collect()
    }

    /// Writes a conversation as people write one down, with the model's part open at the end, unless it has
    /// begun already.
    fn conversation(&mut self, turns: &[Turn]) -> String {
        self.losses.note("/messages", "a prompt has no roles: the conversation is written into one text");
        let mut parts = Vec::new();
        for turn in turns {
            let (said, results) = self.said(turn);
            parts.extend(results.into_iter().map(|result| format!("Tool: {result}")));
            match turn.role {
                _ if said.is_empty() => {}
                Role::System | Role::Developer => parts.push(said),
                Role::User | Role::Tool => parts.push(format!("{USER} {said}")),
                Role::Assistant => parts.push(format!("Assistant: {said}")),
            }
        }
        if turns.last().is_none_or(|turn| turn.role != Role::Assistant) {
            parts.push("Assistant:".to_owned());
        }
        parts.join("\n\n")
    }

    /// The words of a turn, and those of the results of tools in it.
    fn said(&mut self, turn: &Turn) -> (String, Vec<String>) {
        let (mut said, mut results) = (String::new(), Vec::new());
        for block in &turn.blocks {
            match &block.kind {
                Kind::ToolResult { content, .. } => {
                    let mut result = String::new();
                    content.iter().for_each(|block| self.block(block, &mut result));
                    self.hints(block);
                    results.push(result);
                }
                _ => self.block(block, &mut said),
            }
        }
        if turn.name.is_some() {
            self.lose(turn.at, "name", UNKNOWN);
        }
        turn.extra.lost_to(ME).for_each(|name| self.lose(turn.at, name, UNKNOWN));
        (said, results)
    }

    fn block(&mut self, block: &Block, said: &mut String) {
        self.hints(block);
        match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => said.push_str(text),
            Kind::File(Media { source: Source::Text { data, .. }, .. }) => said.push_str(data),
            // Writing to a string cannot fail.
            Kind::ToolUse { name, input, .. } => drop(write!(said, "[{name} {input}]")),
            Kind::Reasoning { .. } => {
                self.lose(block.at, "", "thoughts return only to the API that they came from");
            }
            _ => self.lose(block.at, "", NO_BLOCK),
        }
    }

    fn hints(&mut self, block: &Block) {
        if block.cache.is_some() {
            self.lose(block.at, "cache_control", UNKNOWN);
        }
        if block.seal.is_some() {
            self.lose(block.at, "signature", "a seal returns only to the API that it came from");
        }
        block.extra.lost_to(ME).for_each(|name| self.lose(block.at, name, UNKNOWN));
    }

    fn sampling(&mut self, wish: &Sampling, speaker: Option<String>, body: &mut Map<String, Value>) {
        put(body, "temperature", wish.temperature.clone());
        put(body, "top_p", wish.top_p.clone());
        put(body, "top_k", wish.top_k.clone());
        put(body, "frequency_penalty", wish.frequency_penalty.clone());
        put(body, "presence_penalty", wish.presence_penalty.clone());
        put(body, "seed", wish.seed.clone());
        put(body, "n", wish.n);
        let top = wish.top_logprobs.or(Some(0)).filter(|_| wish.logprobs == Some(true));
        let most = if self.own { u32::MAX } else { wire::TOP_LOGPROBS_MAX };
        if top.is_some_and(|top| top > most) {
            self.losses.note("/top_logprobs", "OpenAI's completions give five alternatives at most");
        }
        put(body, "logprobs", top.map(|top| top.min(most)));
        let most = if self.own { usize::MAX } else { wire::STOPS_MAX };
        if wish.stop.len() > most {
            self.losses.note("/stop_sequences", "OpenAI's completions take four stop sequences at most");
        }
        let stop: Vec<&str> = wish.stop.iter().chain(&speaker).take(most).map(String::as_str).collect();
        put(body, "stop", (!stop.is_empty()).then_some(stop));
    }

    /// Notes what a prompt cannot ask for.
    fn wishes(&mut self, request: &Request) {
        (0..request.tools.len()).for_each(|index| self.losses.note(format!("/tools/{index}"), UNKNOWN));
        let wishes = [
            ("/tool_choice", !matches!(request.choice, None | Some(Choose::Auto | Choose::None))),
            ("/response_format", !matches!(request.format, None | Some(Format::Text))),
            ("/reasoning_effort", !matches!(request.reasoning, None | Some(Reasoning::Off))),
        ];
        let lost = wishes.into_iter().filter(|(_, is_lost)| *is_lost);
        lost.for_each(|(pointer, _)| self.losses.note(pointer, UNKNOWN));
    }

    fn choice(&mut self, choice: &Choice) -> Value {
        let (mut text, mut thoughts) = (String::new(), String::new());
        for (index, block) in choice.blocks.iter().enumerate() {
            match &block.kind {
                Kind::Text(more) | Kind::Refusal(more) => text.push_str(more),
                Kind::Reasoning { text, .. } => thoughts.push_str(text),
                _ => self.losses.note(format!("/content/{index}"), NO_BLOCK),
            }
        }
        let mut written = Map::new();
        put(&mut written, "text", Some(text));
        put(&mut written, "index", Some(choice.index));
        put(&mut written, "reasoning", Some(thoughts).filter(|thoughts| !thoughts.is_empty()));
        let logprobs = choice.logprobs.as_ref().map(|told| wire::write_logprobs(told, &mut 0));
        put(&mut written, "logprobs", Some(logprobs.unwrap_or_default()));
        put(&mut written, "finish_reason", choice.stop.as_ref().map(|stop| wire::write_stop(stop, self.own)));
        json::add(&mut written, choice.extra.form(ME));
        for name in choice.extra.lost_to(ME) {
            self.losses.note(format!("/choices/{}/{name}", choice.index), UNKNOWN);
        }
        Value::Object(written)
    }
}
