//! Canonical form into requests for a prediction. A model takes one text: a conversation becomes a script of
//! it, and what is not words becomes words or is lost.

use super::wire::{self, Inputs, ME};
use crate::{
    Carried, Losses, Target,
    canon::{Block, Extra, Format, Kind, Media, Request, Role, Source, Turn},
    json::{self, put},
};
use serde_json::{Map, Value};

type Members = Map<String, Value>;

const NO_INPUT: &str = "models on Replicate have no such input";
const NO_TOOLS: &str = "models on Replicate call no tools";

/// Writes a request: <https://replicate.com/docs/reference/http#predictions.create>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::default();
    let inputs = wire::inputs(target.model);
    let mut input = pen.conversation(&request.turns, inputs);
    put(&mut input, inputs.limit, request.limit);
    pen.pictures(inputs, &mut input);
    pen.sampling(request, &mut input);
    if let Some(wish) = &request.reasoning {
        let told = inputs.thinking(wish);
        pen.lose_if(told.is_none(), "/reasoning_effort", "this model cannot be told so how to think");
        input.extend(told.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
    }
    pen.rest(request);
    let mut body = Members::new();
    put(&mut body, "version", Some(target.model));
    put(&mut body, "input", Some(input));
    put(&mut body, "stream", request.stream.filter(|wanted| *wanted));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

/// What is known while one body is written.
#[derive(Default)]
struct Pen {
    /// Pictures out of all turns, with where each stood.
    pictures: Vec<(String, String)>,
    losses: Losses,
}

impl Pen {
    fn lose_if(&mut self, lost: bool, pointer: &str, why: &'static str) {
        if lost {
            self.losses.note(pointer, why);
        }
    }

    fn lost(&mut self, extra: &Extra, pointer: &str) {
        extra.lost_to(ME).for_each(|name| self.losses.note(format!("{pointer}/{name}"), NO_INPUT));
    }

    /// Instructions and prompt. Where there is nothing but one question it is the prompt as it stands. Of
    /// longer conversations each turn stands behind the name of who speaks, and the last name is the model's,
    /// for it to go on.
    fn conversation(&mut self, turns: &[Turn], inputs: &Inputs) -> Members {
        let leads = |turn: &&Turn| matches!(turn.role, Role::System | Role::Developer);
        let count = turns.iter().take_while(leads).count();
        let (system, turns) = turns.split_at(if count == turns.len() { 0 } else { count });
        let system: Vec<String> = system.iter().filter_map(|turn| self.words(turn)).collect();
        let mut said: Vec<(&str, String)> = Vec::new();
        for turn in turns {
            said.extend(self.words(turn).map(|words| (speaker(turn), words)));
        }
        let prompt = match said.as_slice() {
            [(name, words)] if *name != MODEL => words.clone(),
            _ => script(&said),
        };
        let mut input = Members::new();
        put(&mut input, "prompt", Some(prompt));
        put(&mut input, inputs.system, (!system.is_empty()).then(|| system.join("\n\n")));
        input
    }

    /// What is said in a turn; `None` where it is nothing.
    fn words(&mut self, turn: &Turn) -> Option<String> {
        let pointer = turn.at.pointer("messages", "content", "");
        self.lose_if(turn.name.is_some(), &turn.at.pointer("messages", "content", "name"), NO_INPUT);
        self.lost(&turn.extra, &pointer);
        Some(self.said(&turn.blocks)).filter(|said| !said.is_empty())
    }

    fn said(&mut self, blocks: &[Block]) -> String {
        let said: Vec<String> = blocks.iter().filter_map(|block| self.block(block)).collect();
        said.join("\n\n")
    }

    /// The words of a block. Calls and results of tools are told, so that the model knows what is known, but
    /// they are no calls and no results any more.
    fn block(&mut self, block: &Block) -> Option<String> {
        let pointer = block.at.pointer("messages", "content", "");
        let pointer = pointer.as_str();
        let written = match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => Ok(text.clone()),
            Kind::Image(media) => picture(media).map(|url| {
                self.pictures.push((url, pointer.to_owned()));
                String::new()
            }),
            Kind::File(Media { source: Source::Text { data, .. }, name }) => {
                Ok(name.iter().map(|name| format!("{name}:\n")).chain([data.clone()]).collect())
            }
            Kind::ToolUse { name, input, .. } => {
                self.losses.note(pointer, NO_TOOLS);
                Ok(format!("(calls {name} with {})", if input.is_empty() { "{}" } else { input }))
            }
            Kind::ToolResult { content, .. } => {
                self.losses.note(pointer, NO_TOOLS);
                Ok(self.said(content))
            }
            Kind::Reasoning { .. } => Err("thoughts return only to the API that they came from"),
            Kind::Opaque { .. } => Err("only another API knows this"),
            Kind::Audio(_) | Kind::File(_) => Err(NO_INPUT),
        };
        if written.is_ok() {
            self.lose_if(block.cache.is_some(), &format!("{pointer}/cache_control"), NO_INPUT);
            self.lose_if(block.seal.is_some(), &format!("{pointer}/signature"), "another API's seal");
            self.lost(&block.extra, pointer);
        }
        written.map_err(|why| self.losses.note(pointer, why)).ok().filter(|words| !words.is_empty())
    }

    /// Pictures stand beside the prompt. Most models take one, which is then the last: it is what the last
    /// question is about.
    fn pictures(&mut self, inputs: &Inputs, input: &mut Members) {
        let (name, many) = inputs.pictures;
        let pictures = std::mem::take(&mut self.pictures);
        let lost = if many { 0 } else { pictures.len().saturating_sub(1) };
        for (_, pointer) in pictures.iter().take(lost) {
            self.losses.note(pointer.as_str(), "this model takes one picture");
        }
        let mut urls: Vec<Value> = pictures.into_iter().skip(lost).map(|(url, _)| url.into()).collect();
        let written = if many { (!urls.is_empty()).then(|| urls.into()) } else { urls.pop() };
        put(input, name, written);
    }

    fn sampling(&mut self, request: &Request, input: &mut Members) {
        let wish = &request.sampling;
        put(input, "temperature", wish.temperature.clone());
        put(input, "top_p", wish.top_p.clone());
        put(input, "top_k", wish.top_k.clone());
        put(input, "frequency_penalty", wish.frequency_penalty.clone());
        put(input, "presence_penalty", wish.presence_penalty.clone());
        put(input, "seed", wish.seed.clone());
        // They are one text, with commas between.
        let (lost, stop): (Vec<&str>, Vec<&str>) =
            wish.stop.iter().map(String::as_str).partition(|word| word.contains(','));
        put(input, "stop_sequences", (!stop.is_empty()).then(|| stop.join(",")));
        self.lose_if(!lost.is_empty(), "/stop", "a stop sequence cannot hold a comma");
    }

    /// Notes what no model takes.
    fn rest(&mut self, request: &Request) {
        let wish = &request.sampling;
        let formed = !matches!(request.format, None | Some(Format::Text));
        self.lose_if(formed, "/response_format", NO_INPUT);
        self.lose_if(!request.tools.is_empty(), "/tools", NO_TOOLS);
        self.lose_if(wish.n.is_some_and(|n| n > 1), "/n", NO_INPUT);
        self.lose_if(wish.logprobs == Some(true), "/logprobs", NO_INPUT);
        self.lose_if(wish.top_logprobs.is_some_and(|most| most > 0), "/top_logprobs", NO_INPUT);
        self.lose_if(request.user.is_some(), "/user", NO_INPUT);
        self.lost(&request.extra, "");
    }
}

const MODEL: &str = "Assistant";

fn speaker(turn: &Turn) -> &'static str {
    let is_result = |block: &Block| matches!(block.kind, Kind::ToolResult { .. });
    match turn.role {
        Role::Assistant => MODEL,
        Role::System | Role::Developer => "System",
        Role::Tool => "Tool",
        Role::User if !turn.blocks.is_empty() && turn.blocks.iter().all(is_result) => "Tool",
        Role::User => "User",
    }
}

fn script(said: &[(&str, String)]) -> String {
    let mut lines: Vec<String> = said.iter().map(|(name, words)| format!("{name}: {words}")).collect();
    if said.last().is_some_and(|(name, _)| *name != MODEL) {
        lines.push(format!("{MODEL}:"));
    }
    lines.join("\n\n")
}

fn picture(media: &Media) -> Result<String, &'static str> {
    match &media.source {
        Source::Base64 { media_type, data } => Ok(format!("data:{media_type};base64,{data}")),
        Source::Url(url) => Ok(url.clone()),
        Source::FileId(_) => Err("the file lies at another provider"),
        Source::Text { .. } => Err(NO_INPUT),
    }
}
