//! Canonical form into requests of Cohere's API. What does not fit what the API accepts is a loss.

use super::wire::{self, ME};
use crate::{
    Carried, Target,
    canon::{Block, Choose, Format, Kind, Media, Reasoning, Request, Role, Source, Tool, Turn},
    json::put,
    pen::{FOREIGN, NO_MEMBER, NO_THOUGHTS, Notes},
};
use serde_json::{Map, Number, Value, json};
use std::ops::RangeInclusive;

type Members = Map<String, Value>;

/// Writes a request: <https://docs.cohere.com/reference/chat#request>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen { notes: Notes::request(ME, false), documents: Vec::new() };
    let messages = pen.messages(&request.turns);
    let (tools, strict) = pen.tools(request);
    let choice = request.choice.as_ref().filter(|_| !tools.is_empty());
    let mut body = Members::new();
    put(&mut body, "model", Some(target.model));
    put(&mut body, "messages", Some(messages));
    put(&mut body, "tool_choice", choice.and_then(|choice| pen.choice(choice)));
    put(&mut body, "strict_tools", strict.then_some(true));
    put(&mut body, "response_format", pen.format(request, !tools.is_empty()));
    put(&mut body, "tools", Some(tools).filter(|tools| !tools.is_empty()));
    put(&mut body, "thinking", request.reasoning.as_ref().and_then(|wish| pen.thinking(wish)));
    put(&mut body, "max_tokens", request.limit);
    pen.sampling(request, &mut body);
    let documents = std::mem::take(&mut pen.documents);
    put(&mut body, "documents", Some(documents).filter(|documents| !documents.is_empty()));
    put(&mut body, "stream", request.stream);
    let one_by_one = request.parallel == Some(false) && body.contains_key("tools");
    pen.lose_if(one_by_one, "/parallel_tool_calls", NO_MEMBER);
    pen.lose_if(request.user.is_some(), "/user", NO_MEMBER);
    pen.notes.extra(&request.extra, "");
    pen.notes.body(body, request.from)
}

/// What is known while one body is written.
struct Pen {
    /// Documents stand beside the messages, where the model may cite them:
    /// <https://docs.cohere.com/docs/retrieval-augmented-generation-rag>
    documents: Vec<Value>,
    notes: Notes,
}

impl Pen {
    fn lose_if(&mut self, lost: bool, pointer: &str, why: &'static str) {
        if lost {
            self.notes.losses.note(pointer, why);
        }
    }

    /// The messages. Instructions that lead become one, since the API takes them only there; instructions
    /// alone are asked as the user's.
    fn messages(&mut self, turns: &[Turn]) -> Vec<Value> {
        let (system, turns) = self.notes.instructions(turns, |_| true);
        let parts: Vec<Value> = system.iter().flat_map(|turn| self.close(turn, Part::Words)).collect();
        let mut messages: Vec<Value> = message("system", content(parts)).into_iter().collect();
        for turn in turns {
            if matches!(turn.role, Role::System | Role::Developer) {
                self.notes.late_instructions(turn);
            }
            match turn.role {
                Role::Assistant => messages.extend(self.spoken(turn)),
                _ => self.asked(turn, &mut messages),
            }
        }
        messages
    }

    /// The parts of a turn, and what else of it is lost.
    fn close(&mut self, turn: &Turn, place: Part) -> Vec<Value> {
        self.notes.turn(turn);
        turn.blocks.iter().filter_map(|block| self.part(block, place)).collect()
    }

    /// A turn of the user or a tool: a message for each result, and one behind them for the rest. Results
    /// hold text and documents, so pictures out of them go behind too.
    fn asked(&mut self, turn: &Turn, messages: &mut Vec<Value>) {
        let mut behind = Vec::new();
        for block in &turn.blocks {
            let Kind::ToolResult { id, error, content: said, .. } = &block.kind else { continue };
            let (pictures, said): (Vec<&Block>, Vec<&Block>) =
                said.iter().partition(|block| matches!(block.kind, Kind::Image(_)));
            behind.extend(pictures.into_iter().filter_map(|block| self.part(block, Part::User)));
            let said = said.into_iter().filter_map(|block| self.part(block, Part::Result)).collect();
            let said = content(said).unwrap_or_else(|| "".into());
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": said}));
            if *error == Some(true) {
                self.notes.lose(block, "is_error", "Cohere's API cannot say that a tool failed");
            }
            self.notes.hints(block);
        }
        behind.extend(self.close(turn, Part::User));
        messages.extend(message("user", content(behind)));
    }

    /// A turn of the model. What it says beside its calls is its plan:
    /// <https://docs.cohere.com/docs/tool-use-overview>
    fn spoken(&mut self, turn: &Turn) -> Option<Value> {
        let parts = self.close(turn, Part::Words);
        let calls: Vec<Value> = turn.blocks.iter().filter_map(|block| self.call(block)).collect();
        if calls.is_empty() {
            return message("assistant", content(parts));
        }
        let words = parts.iter().filter_map(|part| part.get("text")?.as_str());
        let plan = words.collect::<Vec<&str>>().join("\n\n");
        let mut written = Members::new();
        put(&mut written, "role", Some("assistant"));
        put(&mut written, "tool_plan", Some(plan).filter(|plan| !plan.is_empty()));
        put(&mut written, "tool_calls", Some(calls));
        Some(written.into())
    }

    fn call(&mut self, block: &Block) -> Option<Value> {
        let Kind::ToolUse { id, name, input } = &block.kind else { return None };
        self.notes.hints(block);
        let input = if self.notes.input(block, input).is_empty() { "{}" } else { input };
        Some(json!({"id": id, "type": "function", "function": {"name": name, "arguments": input}}))
    }

    /// Writes a block; `None` where it goes elsewhere or nothing is left of it.
    fn part(&mut self, block: &Block, place: Part) -> Option<Value> {
        let written = match (&block.kind, place) {
            // These are written from their turn.
            (Kind::ToolUse { .. }, Part::Words) | (Kind::ToolResult { .. }, Part::User) => return None,
            (Kind::Text(text) | Kind::Refusal(text), _) => {
                // The API refuses empty text.
                Ok((!text.is_empty()).then(|| json!({"type": "text", "text": text})))
            }
            (Kind::Image(media), Part::User) => image(media).map(Some),
            (Kind::File(media), Part::Result) => {
                document(media).map(|data| Some(json!({"type": "document", "document": {"data": data}})))
            }
            (Kind::File(media), _) => document(media).map(|data| {
                self.documents.push(json!({ "data": data }));
                None
            }),
            (Kind::Reasoning { .. }, _) => Err(NO_THOUGHTS),
            (Kind::Opaque { .. }, _) => Err(FOREIGN),
            _ => Err("Cohere's API takes no such content here"),
        };
        if let Err(why) = written {
            self.notes.lose(block, "", why);
        } else {
            self.notes.hints(block);
        }
        written.ok().flatten()
    }

    /// The tools, and whether all are strict. Where one of them must be called, no other
    /// is offered: the API can only say that some tool must be.
    fn tools(&mut self, request: &Request) -> (Vec<Value>, bool) {
        let only = match &request.choice {
            Some(Choose::Tool(name)) => Some(name),
            _ => None,
        };
        let tools = &request.tools;
        let strict = !tools.is_empty() && tools.iter().all(may_be_strict);
        let mut written = Vec::new();
        for (index, tool) in tools.iter().enumerate() {
            let pointer = format!("/tools/{index}");
            if tool.native.is_some() {
                self.notes.losses.note(pointer, FOREIGN);
                continue;
            }
            self.notes.tool(tool, index);
            let lax = tool.strict == Some(true) && !strict;
            self.lose_if(lax, &format!("{pointer}/strict"), "all tools are strict, or none");
            let offered = only.is_none_or(|only| *only == tool.name);
            self.lose_if(!offered, &pointer, "another one must be called");
            written.extend(offered.then(|| function(tool)));
        }
        (written, strict)
    }

    fn choice(&mut self, choice: &Choose) -> Option<&'static str> {
        match choice {
            Choose::Auto => None,
            Choose::None => Some("NONE"),
            Choose::Required | Choose::Tool(_) => Some("REQUIRED"),
            Choose::Native(..) => {
                self.notes.losses.note("/tool_choice", FOREIGN);
                None
            }
        }
    }

    /// The form of the answer, which the API takes neither beside tools nor beside documents:
    /// <https://docs.cohere.com/docs/structured-outputs>
    fn format(&mut self, request: &Request, has_tools: bool) -> Option<Value> {
        let written = match request.format.as_ref()? {
            Format::Text => return None,
            Format::Json => Ok(json!({"type": "json_object"})),
            Format::Schema { schema, .. } => Ok(json!({"type": "json_object", "json_schema": schema})),
            Format::Native(..) => Err(FOREIGN),
        };
        let written = written.and_then(|format| match has_tools || !self.documents.is_empty() {
            true => Err("Cohere's API takes no form of the answer beside tools or documents"),
            false => Ok(format),
        });
        written.map_err(|why| self.notes.losses.note("/response_format", why)).ok()
    }

    /// How to think: <https://docs.cohere.com/docs/reasoning>
    fn thinking(&mut self, wish: &Reasoning) -> Option<Value> {
        let budget = match wish {
            Reasoning::Off | Reasoning::Budget(0) => return Some(json!({"type": "disabled"})),
            Reasoning::Budget(tokens) => Some(*tokens),
            Reasoning::Adaptive(None) => None,
            Reasoning::Adaptive(Some(effort)) | Reasoning::Effort(effort) => {
                let Some(budget) = wire::budget(effort) else {
                    self.notes.losses.note("/reasoning_effort", "no such effort is known");
                    return None;
                };
                budget
            }
        };
        let mut written = Members::new();
        put(&mut written, "type", Some("enabled"));
        put(&mut written, "token_budget", budget);
        Some(written.into())
    }

    fn sampling(&mut self, request: &Request, body: &mut Members) {
        let wish = &request.sampling;
        put(body, "temperature", wish.temperature.clone());
        // 1 is what many clients say by default, and says no more than the most that the API takes.
        let all = wish.top_p.as_ref().filter(|p| p.as_f64() == Some(1.0)).map(|_| (*wire::P.end()).into());
        put(body, "p", all.or_else(|| self.within(wish.top_p.as_ref(), wire::P, "/top_p")));
        put(body, "k", wish.top_k.clone());
        put(body, "seed", wish.seed.clone());
        let penalties =
            [("frequency_penalty", &wish.frequency_penalty), ("presence_penalty", &wish.presence_penalty)];
        for (name, number) in penalties {
            put(body, name, self.within(number.as_ref(), wire::PENALTY, &format!("/{name}")));
        }
        put(body, "logprobs", wish.logprobs.filter(|wanted| *wanted));
        let stop: Vec<&String> = wish.stop.iter().take(wire::STOPS_MAX).collect();
        put(body, "stop_sequences", (!stop.is_empty()).then(|| json!(stop)));
        let why = "Cohere's API takes five stop sequences at most";
        self.lose_if(wish.stop.len() > wire::STOPS_MAX, "/stop", why);
        self.lose_if(wish.n.is_some_and(|n| n > 1), "/n", NO_MEMBER);
        self.lose_if(wish.top_logprobs.is_some_and(|most| most > 0), "/top_logprobs", NO_MEMBER);
    }

    /// A number that the API takes in a range; one beyond becomes the nearest.
    fn within(
        &mut self,
        number: Option<&Number>,
        range: RangeInclusive<f64>,
        pointer: &str,
    ) -> Option<Value> {
        let wished = number?.as_f64()?;
        if range.contains(&wished) {
            return number.cloned().map(Value::Number);
        }
        self.notes.losses.note(pointer, "Cohere's API takes no such number, and gets the nearest");
        Some(wished.clamp(*range.start(), *range.end()).into())
    }
}

/// Where a part stands: it decides what the API accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// In the instructions or in what the model said.
    Words,
    User,
    /// In the result of a tool.
    Result,
}

/// A message, where there is something in it.
fn message(role: &str, content: Option<Value>) -> Option<Value> {
    content.map(|content| json!({"role": role, "content": content}))
}

/// Content of these parts; text alone is a string.
fn content(parts: Vec<Value>) -> Option<Value> {
    match parts.as_slice() {
        [] => None,
        [only] if only.get("text").is_some() => only.get("text").cloned(),
        _ => Some(parts.into()),
    }
}

fn image(media: &Media) -> Result<Value, &'static str> {
    let url = match &media.source {
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) => url.clone(),
        Source::FileId(_) => return Err("the file lies at another provider"),
        Source::Text { .. } => return Err("Cohere's API takes no such content here"),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

/// The members of a document: <https://docs.cohere.com/reference/chat#request.body.documents>
fn document(media: &Media) -> Result<Members, &'static str> {
    let Source::Text { data, .. } = &media.source else { return Err("Cohere's API takes documents as text") };
    let mut written = Members::new();
    put(&mut written, "title", media.name.as_deref());
    put(&mut written, "text", Some(data.as_str()));
    Ok(written)
}

/// Strict tools need at least one parameter that must be given:
/// <https://docs.cohere.com/docs/structured-outputs#structured-outputs-tools>
fn may_be_strict(tool: &Tool) -> bool {
    let required = tool.schema.as_ref().and_then(|schema| schema.get("required")?.as_array());
    tool.strict == Some(true) && required.is_some_and(|required| !required.is_empty())
}

fn function(tool: &Tool) -> Value {
    let mut function = Members::new();
    put(&mut function, "name", Some(tool.name.as_str()));
    put(&mut function, "description", tool.description.as_deref());
    // The API demands a schema.
    let schema = tool.schema.clone().filter(Value::is_object);
    let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    put(&mut function, "parameters", Some(schema));
    json!({"type": "function", "function": function})
}
