//! Canonical form into bytes of this dialect: requests, answers and errors.

use super::wire::{self, ME};
use crate::{
    Carried, Target,
    canon::{
        Block, Choice, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Source, Turn,
    },
    json::{self, put},
    limits::COMPLETION_TOKENS_DEFAULT,
    openai,
    pen::{NO_MEMBER, NO_THOUGHTS, Notes},
};
use serde_json::{Map, Value, json};
use std::fmt::Write;

pub(super) use crate::openai::fault;

/// The id of an answer that came without one.
pub(super) const NO_ID: &str = "cmpl-0";
pub(super) const NO_BLOCK: &str = "OpenAI's completions are text alone";
/// What the user's part of a written conversation begins with. A model that goes on beyond its own part is
/// stopped there.
const USER: &str = "User:";

/// Writes a request. One that was read from this dialect is written as it was; of any other the conversation
/// becomes one prompt.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen(Notes::request(ME, request.from == ME));
    let mut body = Map::new();
    put(&mut body, "model", Some(target.model));
    let is_alone = request.turns.len() < 2 && request.turns.iter().all(is_words_of_user);
    let prompt = if is_alone { pen.alone(&request.turns) } else { pen.conversation(&request.turns) };
    put(&mut body, "prompt", Some(prompt).filter(|_| !pen.0.own || !request.turns.is_empty()));
    // Without a limit OpenAI's servers and vLLM stop at 16 tokens, which no conversation means.
    let limit = COMPLETION_TOKENS_DEFAULT.min(target.max_output.unwrap_or(u64::MAX));
    put(&mut body, "max_tokens", request.limit.or((!pen.0.own).then_some(limit)));
    let stop = (!is_alone && !pen.0.own).then(|| format!("\n{USER}"));
    pen.sampling(request, stop, &mut body);
    put(&mut body, "stream", request.stream);
    // A stream of another dialect always ends with its usage.
    let usage = request.stream_usage.or((!pen.0.own && request.stream == Some(true)).then_some(true));
    put(&mut body, "stream_options", usage.map(|usage| json!({"include_usage": usage})));
    put(&mut body, "user", request.user.as_deref());
    pen.wishes(request);
    pen.rest(&request.extra, &mut body);
    pen.0.body(body, request.from)
}

fn is_words_of_user(turn: &Turn) -> bool {
    turn.role == Role::User && turn.blocks.iter().all(|block| matches!(block.kind, Kind::Text(_)))
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen(Notes::answer(ME, message.from == ME));
    let choices: Vec<Value> = message.choices.iter().map(|choice| pen.choice(choice)).collect();
    let id = if message.id.is_empty() && !pen.0.own { NO_ID } else { &message.id };
    let mut body = openai::head(id, wire::OBJECT, message.created, &message.model);
    put(&mut body, "choices", Some(choices));
    put(&mut body, "usage", message.usage.as_ref().map(wire::write_usage));
    pen.rest(&message.extra, &mut body);
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.0.losses }
}

/// Writes, and notes what is lost.
struct Pen(Notes);

impl Pen {
    /// Adds what only this dialect knows, and notes what only another does. Of what was read, the form
    /// that was kept takes the place of what canonical form makes of it.
    fn rest(&mut self, extra: &Extra, written: &mut Map<String, Value>) {
        written.extend(extra.form(ME).cloned().unwrap_or_default());
        self.0.rest(extra, "", written);
    }

    /// What a user says, and nothing else, is the prompt.
    fn alone(&mut self, turns: &[Turn]) -> String {
        turns.iter().map(|turn| self.said(turn).0).collect()
    }

    /// Writes a conversation as people write one down, with the model's part open at the end, unless it has
    /// begun already.
    fn conversation(&mut self, turns: &[Turn]) -> String {
        self.0.losses.note("/messages", "a prompt has no roles: the conversation is written into one text");
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
                    self.0.hints(block);
                    results.push(result);
                }
                _ => self.block(block, &mut said),
            }
        }
        self.0.turn(turn);
        (said, results)
    }

    fn block(&mut self, block: &Block, said: &mut String) {
        self.0.hints(block);
        match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => said.push_str(text),
            Kind::File(Media { source: Source::Text { data, .. }, .. }) => said.push_str(data),
            // Writing to a string cannot fail.
            Kind::ToolUse { name, input, .. } => drop(write!(said, "[{name} {input}]")),
            Kind::Reasoning { .. } => self.0.lose(block, "", NO_THOUGHTS),
            _ => self.0.lose(block, "", NO_BLOCK),
        }
    }

    fn sampling(&mut self, request: &Request, speaker: Option<String>, body: &mut Map<String, Value>) {
        let wish = &request.sampling;
        openai::write_sampling(wish, speaker, body, &mut self.0);
        let top = wish.top_logprobs.or(Some(0)).filter(|_| wish.logprobs == Some(true));
        let most = if self.0.own { u32::MAX } else { wire::TOP_LOGPROBS_MAX };
        if top.is_some_and(|top| top > most) {
            self.0.losses.note("/top_logprobs", "OpenAI's completions give five alternatives at most");
        }
        put(body, "logprobs", top.map(|top| top.min(most)));
    }

    /// Notes what a prompt cannot ask for.
    fn wishes(&mut self, request: &Request) {
        (0..request.tools.len()).for_each(|index| self.0.losses.note(format!("/tools/{index}"), NO_MEMBER));
        let wishes = [
            ("/tool_choice", !matches!(request.choice, None | Some(Choose::Auto | Choose::None))),
            ("/response_format", !matches!(request.format, None | Some(Format::Text))),
            ("/reasoning_effort", !matches!(request.reasoning, None | Some(Reasoning::Off))),
        ];
        let lost = wishes.into_iter().filter(|(_, is_lost)| *is_lost);
        lost.for_each(|(pointer, _)| self.0.losses.note(pointer, NO_MEMBER));
    }

    fn choice(&mut self, choice: &Choice) -> Value {
        let (mut text, mut thoughts) = (String::new(), String::new());
        for (index, block) in choice.blocks.iter().enumerate() {
            match &block.kind {
                Kind::Text(more) | Kind::Refusal(more) => text.push_str(more),
                Kind::Reasoning { text, .. } => thoughts.push_str(text),
                _ => self.0.losses.note(format!("/content/{index}"), NO_BLOCK),
            }
        }
        let mut written = Map::new();
        put(&mut written, "text", Some(text));
        put(&mut written, "index", Some(choice.index));
        put(&mut written, "reasoning", Some(thoughts).filter(|thoughts| !thoughts.is_empty()));
        let logprobs = choice.logprobs.as_ref().map(|told| wire::write_logprobs(told, &mut 0));
        put(&mut written, "logprobs", Some(logprobs.unwrap_or_default()));
        put(
            &mut written,
            "finish_reason",
            choice.stop.as_ref().map(|stop| wire::write_stop(stop, self.0.own)),
        );
        self.0.rest(&choice.extra, &format!("/choices/{}", choice.index), &mut written);
        Value::Object(written)
    }
}
