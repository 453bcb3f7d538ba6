//! Canonical form into the Messages API: requests, answers, errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::wire::{self, ID};
use crate::{
    Carried, Fault, FaultKind, Losses, Target,
    canon::{
        At, Block, Cache, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Seal,
        Source, Stop, StopReason, Tool, ToolIds, Turn,
    },
    json,
    limits::{OUTPUT_TOKENS_DEFAULT, THINKING_BUDGET_MIN},
};
use serde_json::{Map, Number, Value, json};

type Members = Map<String, Value>;

const NO_MEMBER: &str = "the Messages API has no such member";
const FOREIGN: &str = "only another API knows this";

/// Writes a request.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(request.from == ID);
    let (system, said) = pen.conversation(&request.turns);
    let (limit, reasoning) = pen.reasoning(request, target, &said);
    let thinks = matches!(reasoning, Some(Reasoning::Adaptive(_) | Reasoning::Budget(_)));
    let (thinking, effort) = thinking_json(reasoning.as_ref());
    let output = object([("effort", effort), ("format", pen.format(request))]);
    let tools: Vec<Value> =
        request.tools.iter().enumerate().filter_map(|(at, tool)| pen.tool(tool, at)).collect();
    let sampling = &request.sampling;
    let mut body = object([
        ("model", json!(target.model)),
        ("max_tokens", json!(limit)),
        ("system", system),
        ("messages", said.into_iter().map(Said::json).collect()),
        ("tool_choice", pen.tool_choice(request, thinks, !tools.is_empty())),
        ("tools", if tools.is_empty() { Value::Null } else { Value::Array(tools) }),
        ("thinking", thinking),
        ("output_config", if output.is_empty() { Value::Null } else { Value::Object(output) }),
        ("temperature", json!(sampling.temperature)),
        ("top_p", json!(sampling.top_p)),
        ("top_k", json!(sampling.top_k)),
        ("stop_sequences", if sampling.stop.is_empty() { Value::Null } else { json!(sampling.stop) }),
        ("metadata", request.user.as_ref().map_or(Value::Null, |user| json!({ "user_id": user }))),
        ("stream", json!(request.stream)),
    ]);
    if !pen.own {
        pen.fit_sampling(request, thinks, &mut body);
    }
    pen.extra(&request.extra, "", &mut body);
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

/// An object of the members that are not `null`.
fn object<const N: usize>(members: [(&str, Value); N]) -> Members {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Adds members that the reader left, into inner objects too; what is already there stays.
pub(super) fn merge(into: &mut Members, from: &Members) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (Some(_), _) => {}
            (None, value) => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

fn is(block: &Value, kinds: &[&str]) -> bool {
    block.get("type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
}

const THOUGHTS: &[&str] = &["thinking", "redacted_thinking"];

/// One message that is being written.
struct Said {
    role: &'static str,
    plain: bool,
    blocks: Vec<Value>,
    extra: Members,
    at: At,
}

impl Said {
    fn json(self) -> Value {
        let mut json = object([("role", json!(self.role)), ("content", content(self.plain, self.blocks))]);
        merge(&mut json, &self.extra);
        Value::Object(json)
    }
}

/// A string where it was one and still can be.
fn content(plain: bool, blocks: Vec<Value>) -> Value {
    match blocks.as_slice() {
        [Value::Object(only)] if plain && only.len() == 2 && only.contains_key("text") => {
            only.get("text").cloned().unwrap_or_default()
        }
        _ => Value::Array(blocks),
    }
}

/// Where a block is written: it decides what the API accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    System,
    User,
    Assistant,
    ToolResult,
}

impl Place {
    fn takes(self, kind: &Kind) -> bool {
        match kind {
            Kind::Text(_) | Kind::Refusal(_) | Kind::Opaque { .. } => true,
            Kind::Image(_) | Kind::File(_) => matches!(self, Place::User | Place::ToolResult),
            Kind::ToolUse { .. } | Kind::Reasoning { .. } => self == Place::Assistant,
            Kind::ToolResult { .. } => self == Place::User,
            Kind::Audio(_) => false,
        }
    }
}

/// What is known while one body is written.
pub(super) struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    /// The number of the block, when an answer is written and not a request.
    answer: Option<usize>,
    ids: ToolIds,
    pub(super) losses: Losses,
}

impl Pen {
    fn new(own: bool) -> Self {
        Pen { own, answer: None, ids: ToolIds::new(usize::MAX), losses: Losses::new() }
    }

    /// For block `number` of an answer.
    pub(super) fn answer(own: bool, number: usize) -> Self {
        Pen { answer: Some(number), ..Pen::new(own) }
    }

    /// The system prompt and the messages.
    fn conversation(&mut self, turns: &[Turn]) -> (Value, Vec<Said>) {
        let (leading, turns) = turns.split_at(self.leading(turns));
        let blocks: Vec<Value> =
            leading.iter().flat_map(|turn| self.blocks(&turn.blocks, Place::System)).collect();
        let absent = leading.is_empty() || (blocks.is_empty() && !self.own);
        let system =
            if absent { Value::Null } else { content(matches!(leading, [only] if only.plain), blocks) };
        let said = turns.iter().map(|turn| self.said(turn)).collect();
        (system, if self.own { said } else { self.arrange(said) })
    }

    /// How many turns are the system prompt. Instructions alone are asked as the user's, because the API
    /// wants a message.
    fn leading(&self, turns: &[Turn]) -> usize {
        let leads = |turn: &&Turn| match turn.role {
            Role::System => !self.own || turn.at.turn.is_none(),
            Role::Developer => true,
            Role::User | Role::Assistant | Role::Tool => false,
        };
        let count = turns.iter().take_while(leads).count();
        if count == turns.len() && !self.own { 0 } else { count }
    }

    fn said(&mut self, turn: &Turn) -> Said {
        let pointer = |member: &str| At { part: None, ..turn.at }.pointer("messages", "content", member);
        let (role, place) = match turn.role {
            Role::Assistant => ("assistant", Place::Assistant),
            Role::System if self.own => ("system", Place::System),
            Role::User | Role::Tool => ("user", Place::User),
            Role::System | Role::Developer => {
                self.losses.note(pointer("role"), "only the first messages can be instructions");
                ("user", Place::User)
            }
        };
        if turn.name.is_some() {
            self.losses.note(pointer("name"), NO_MEMBER);
        }
        let mut extra = Members::new();
        self.extra(&turn.extra, &pointer(""), &mut extra);
        Said { role, plain: turn.plain, blocks: self.blocks(&turn.blocks, place), extra, at: turn.at }
    }

    /// Another dialect's messages in the order that the API wants: results directly behind their calls and
    /// before the user's words, thoughts before what they led to, no empty message, no white space at the
    /// end of an answer that the model shall continue.
    fn arrange(&mut self, said: Vec<Said>) -> Vec<Said> {
        let mut messages: Vec<Said> = Vec::new();
        for next in said.into_iter().filter(|next| !next.blocks.is_empty()) {
            match messages.last_mut() {
                // The API joins messages of one role by itself, but results must stand first in them.
                Some(last) if last.role == "user" && next.role == "user" => {
                    last.plain = false;
                    last.blocks.extend(next.blocks);
                }
                _ => messages.push(next),
            }
        }
        for message in &mut messages {
            let first = if message.role == "user" { &["tool_result"] } else { THOUGHTS };
            message.blocks.sort_by_key(|block| !is(block, first));
        }
        let end = messages.last_mut().filter(|last| last.role == "assistant");
        if let Some(last) = end
            && let Some(Value::String(text)) = last.blocks.last_mut().and_then(|block| block.get_mut("text"))
            && text.ends_with(char::is_whitespace)
        {
            text.truncate(text.trim_end().len());
            self.losses
                .note(last.at.pointer("messages", "content", ""), "white space before the model goes on");
            last.blocks.retain(|block| block.get("text") != Some(&json!("")));
        }
        messages.retain(|message| !message.blocks.is_empty());
        messages
    }

    fn blocks(&mut self, blocks: &[Block], place: Place) -> Vec<Value> {
        blocks.iter().filter_map(|block| self.block(block, place)).collect()
    }

    /// A block of an answer; `None` where nothing is left of it.
    pub(super) fn answer_block(&mut self, block: &Block) -> Option<Value> {
        self.block(block, Place::Assistant)
    }

    fn block(&mut self, block: &Block, place: Place) -> Option<Value> {
        let fits = self.own || place.takes(&block.kind);
        let written = if fits { self.kind(block) } else { Err("the API takes no such content here") };
        let pointer = self.pointer(block, "");
        let mut json = match written {
            Ok(json) => json?,
            Err(why) => {
                self.losses.note(pointer, why);
                return None;
            }
        };
        if block.seal.is_some() && self.answer.is_none() {
            self.losses.note(self.pointer(block, "signature"), "another API's seal");
        }
        json.extend(block.cache.as_ref().map(|cache| ("cache_control".to_owned(), cache_json(cache))));
        self.extra(&block.extra, &pointer, &mut json);
        Some(Value::Object(json))
    }

    fn pointer(&self, block: &Block, member: &str) -> String {
        match self.answer {
            Some(number) if member.is_empty() => format!("/content/{number}"),
            Some(number) => format!("/content/{number}/{member}"),
            None => block.at.pointer("messages", "content", member),
        }
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block) -> Result<Option<Members>, &'static str> {
        Ok(Some(match &block.kind {
            // The API refuses empty text.
            Kind::Text(text) | Kind::Refusal(text) if text.is_empty() && !self.own => return Ok(None),
            Kind::Text(text) | Kind::Refusal(text) => {
                object([("type", json!("text")), ("text", json!(text))])
            }
            Kind::Image(image) => {
                object([("type", json!("image")), ("source", self.source(image, "image/")?)])
            }
            Kind::File(file) => object([
                ("type", json!("document")),
                ("source", self.source(file, "application/pdf")?),
                ("title", json!(file.name)),
            ]),
            Kind::Audio(_) => return Err("the API takes no sound"),
            Kind::ToolUse { id, name, input } => object([
                ("type", json!("tool_use")),
                ("id", if self.keeps_ids() { json!(id) } else { json!(self.ids.call(id)) }),
                ("name", json!(name)),
                ("input", self.input(block, input)),
            ]),
            Kind::ToolResult { id, error, content, plain } => self.tool_result(id, *error, content, *plain),
            // Another API's seal goes to a client, who brings it back, never to Anthropic.
            Kind::Reasoning { text, seal } => match seal {
                Some(seal) if seal.issuer == ID || self.answer.is_some() => sealed(text, seal),
                // As it stood; what there was of a signature is in `extra`.
                None if self.own => object([("type", json!("thinking")), ("thinking", json!(text))]),
                _ if self.answer.is_none() => {
                    return Err("the API takes back only thoughts that it signed");
                }
                _ => return Ok((!text.is_empty()).then(|| thought(text, ""))),
            },
            Kind::Opaque { dialect, json: Value::Object(json) } if *dialect == ID => json.clone(),
            Kind::Opaque { .. } => return Err(FOREIGN),
        }))
    }

    /// The ids of an answer are not ours to change: their issuer wants them back.
    fn keeps_ids(&self) -> bool {
        self.own || self.answer.is_some()
    }

    /// The input of a call, which must be an object. What the model wrote wrongly (cut off, most often)
    /// becomes an empty object: a wrapper of our own would teach it a parameter that the tool lacks.
    fn input(&mut self, block: &Block, input: &str) -> Value {
        match serde_json::from_str::<Value>(input) {
            Ok(value) if value.is_object() => return value,
            Err(_) if input.trim().is_empty() => {}
            _ => self.losses.note(self.pointer(block, "input"), "the call's arguments are not a JSON object"),
        }
        json!({})
    }

    fn tool_result(&mut self, id: &str, error: Option<bool>, said: &[Block], plain: bool) -> Members {
        let blocks = self.blocks(said, Place::ToolResult);
        let absent = blocks.is_empty() && (plain || !self.own);
        object([
            ("type", json!("tool_result")),
            ("tool_use_id", if self.keeps_ids() { json!(id) } else { json!(self.ids.result(id)) }),
            ("content", if absent { Value::Null } else { content(plain, blocks) }),
            ("is_error", json!(error)),
        ])
    }

    /// Where the bytes are; `inline` is what the media type must begin with for bytes in the body.
    fn source(&self, media: &Media, inline: &str) -> Result<Value, &'static str> {
        Ok(match &media.source {
            Source::Base64 { media_type, .. } if !self.own && !media_type.starts_with(inline) => {
                return Err("the API takes only pictures, PDF and plain text");
            }
            Source::Base64 { media_type, data } => {
                json!({ "type": "base64", "media_type": media_type, "data": data })
            }
            Source::Text { media_type, data } => {
                json!({ "type": "text", "media_type": media_type, "data": data })
            }
            Source::Url(url) => json!({ "type": "url", "url": url }),
            Source::FileId(id) if self.own => json!({ "type": "file", "file_id": id }),
            Source::FileId(_) => return Err("the file lies at another provider"),
        })
    }

    /// Writes back what the reader left, or notes that it is lost.
    fn extra(&mut self, extra: &Extra, pointer: &str, into: &mut Members) {
        extra.form(ID).into_iter().chain(extra.of(ID)).for_each(|members| merge(into, members));
        for name in extra.lost_to(ID) {
            self.losses.note(format!("{pointer}/{name}"), NO_MEMBER);
        }
    }

    /// How long the answer may be, and how the model thinks. Another dialect's wish is fitted: every model
    /// that thinks understands a budget, only the newest adaptive thinking. The budget must be under
    /// `max_tokens`, so that is raised, and a caller whose limit was for the answer alone loses nothing.
    /// <https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>
    fn reasoning(
        &mut self,
        request: &Request,
        target: &Target<'_>,
        said: &[Said],
    ) -> (u64, Option<Reasoning>) {
        let limit = request.limit.or(target.max_output).unwrap_or(OUTPUT_TOKENS_DEFAULT);
        let budget = match &request.reasoning {
            as_it_is @ (None | Some(Reasoning::Off)) => return (limit, as_it_is.clone()),
            as_it_is if self.own => return (limit, as_it_is.clone()),
            Some(Reasoning::Budget(0)) => return (limit, Some(Reasoning::Off)),
            Some(Reasoning::Adaptive(_)) => None,
            Some(Reasoning::Budget(budget)) => Some(*budget),
            Some(Reasoning::Effort(effort)) => Some(wire::effort_budget(effort).unwrap_or(0)),
        };
        let most = target.max_output.unwrap_or(u64::MAX);
        let why = match budget {
            Some(0) => "no such effort is known",
            Some(_) if most <= 2 * THINKING_BUDGET_MIN => "the model writes too few tokens to think",
            _ if !may_think(said) => "the last answer begins without signed thoughts",
            None => return (limit, request.reasoning.clone()),
            Some(budget) => {
                // A quarter of what the model can write stays for the answer.
                let budget = budget.clamp(THINKING_BUDGET_MIN, most - most / 4);
                let limit = if limit > budget { limit } else { limit.saturating_add(budget).min(most) };
                return (limit, Some(Reasoning::Budget(budget)));
            }
        };
        self.losses.note("/reasoning_effort", why);
        (limit, None)
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, json)) = &tool.native {
            if *dialect != ID {
                self.losses.note(format!("/tools/{index}"), FOREIGN);
            }
            return Some(json.clone()).filter(|_| *dialect == ID);
        }
        let mut json = object([
            ("name", json!(tool.name)),
            ("description", json!(tool.description)),
            ("input_schema", self.schema(tool.schema.clone())),
            ("strict", json!(tool.strict.filter(|strict| self.own || *strict))),
            ("cache_control", tool.cache.as_ref().map_or(Value::Null, cache_json)),
        ]);
        self.extra(&tool.extra, &format!("/tools/{index}"), &mut json);
        Some(Value::Object(json))
    }

    /// The schema, which must be that of an object; other APIs let `type` be left out, and all of it.
    fn schema(&self, schema: Option<Value>) -> Value {
        match schema.unwrap_or_default() {
            as_it_is if self.own => as_it_is,
            Value::Object(mut schema) => {
                schema.entry("type").or_insert_with(|| json!("object"));
                Value::Object(schema)
            }
            _ => json!({ "type": "object", "properties": {} }),
        }
    }

    fn tool_choice(&mut self, request: &Request, thinks: bool, tools: bool) -> Value {
        let (kind, name) = match &request.choice {
            _ if !tools && !self.own => return Value::Null,
            None if request.parallel != Some(false) => return Value::Null,
            None | Some(Choose::Auto) => ("auto", None),
            Some(Choose::None) => ("none", None),
            Some(Choose::Required | Choose::Tool(_)) if thinks && !self.own => {
                self.losses.note("/tool_choice", "a model that thinks cannot be made to call a tool");
                ("auto", None)
            }
            Some(Choose::Required) => ("any", None),
            Some(Choose::Tool(name)) => ("tool", Some(name)),
            Some(Choose::Native(..)) => {
                self.losses.note("/tool_choice", FOREIGN);
                return Value::Null;
            }
        };
        let alone = request.parallel.filter(|_| kind != "none" || self.own).map(|parallel| !parallel);
        let alone = ("disable_parallel_tool_use", json!(alone));
        Value::Object(object([("type", json!(kind)), ("name", json!(name)), alone]))
    }

    fn format(&mut self, request: &Request) -> Value {
        match &request.format {
            Some(Format::Schema { .. }) if is_older(&request.extra) => Value::Null,
            Some(Format::Schema { schema, .. }) => json!({ "type": "json_schema", "schema": schema }),
            Some(Format::Json | Format::Native(..)) => {
                self.losses.note("/response_format", "the Messages API takes only a JSON schema");
                Value::Null
            }
            None | Some(Format::Text) => Value::Null,
        }
    }

    /// Takes out what the API refuses or has no member for; a wish that asks for nothing is no loss.
    /// Temperatures end at 1. A model that thinks takes no other, and newer models take either a temperature
    /// or `top_p`, of which 1 is the same as none.
    fn fit_sampling(&mut self, request: &Request, thinks: bool, body: &mut Members) {
        let sampling = &request.sampling;
        let asks = |number: &Option<Number>| number.as_ref().is_some_and(|n| n.as_f64() != Some(0.0));
        let number = |name: &str| body.get(name).and_then(Value::as_f64);
        let temperature = number("temperature").unwrap_or(1.0);
        let top_p = number("top_p").unwrap_or(1.0);
        let both = body.contains_key("temperature") && !thinks;
        let blank = |word: &String| word.trim().is_empty();
        let lost = [
            ("temperature", thinks && temperature != 1.0, "a model that thinks takes only 1"),
            ("temperature", temperature > 1.0, "it goes no higher than 1"),
            ("top_k", thinks && sampling.top_k.is_some(), "a model that thinks takes none"),
            ("top_p", thinks && top_p < 0.95, "a model that thinks takes none under 0.95"),
            ("top_p", both && top_p != 1.0, "newer models take only one of it and `temperature`"),
            ("stop", sampling.stop.iter().any(blank), "a stop sequence must hold more than white space"),
            ("frequency_penalty", asks(&sampling.frequency_penalty), NO_MEMBER),
            ("presence_penalty", asks(&sampling.presence_penalty), NO_MEMBER),
            ("seed", sampling.seed.is_some(), NO_MEMBER),
            ("n", sampling.n.is_some_and(|n| n > 1), NO_MEMBER),
            ("logprobs", sampling.logprobs == Some(true), NO_MEMBER),
            ("top_logprobs", sampling.top_logprobs.is_some(), NO_MEMBER),
        ];
        for (name, _, why) in lost.into_iter().filter(|(_, lost, _)| *lost) {
            self.losses.note(format!("/{name}"), why);
            body.remove(name);
        }
        if temperature > 1.0 && !thinks {
            body.insert("temperature".to_owned(), json!(1));
        }
        if top_p == 1.0 {
            body.remove("top_p");
        }
        let stop: Vec<&String> = sampling.stop.iter().filter(|word| !blank(word)).collect();
        body.remove("stop_sequences");
        body.extend((!stop.is_empty()).then(|| ("stop_sequences".to_owned(), json!(stop))));
    }
}

/// The format stood under its older name, and is written back there.
fn is_older(extra: &Extra) -> bool {
    extra.form(ID).is_some_and(|form| form.contains_key("output_format"))
}

/// While tools are being called, the answer that called them must begin with its thoughts, and the model
/// cannot both think and continue an answer; otherwise the API refuses a request to think.
fn may_think(said: &[Said]) -> bool {
    let Some(last) = said.iter().rfind(|message| message.role == "assistant") else { return true };
    let calls = last.blocks.iter().any(|block| is(block, &["tool_use"]));
    let thought = last.blocks.first().is_some_and(|block| is(block, THOUGHTS));
    said.last().is_some_and(|end| end.role != "assistant") && (thought || !calls)
}

/// `thinking` and `output_config.effort`.
fn thinking_json(reasoning: Option<&Reasoning>) -> (Value, Value) {
    let word = |effort| json!(wire::effort_word(effort));
    match reasoning {
        None => (Value::Null, Value::Null),
        Some(Reasoning::Off) => (json!({ "type": "disabled" }), Value::Null),
        Some(Reasoning::Budget(budget)) => {
            (json!({ "type": "enabled", "budget_tokens": budget }), Value::Null)
        }
        Some(Reasoning::Adaptive(effort)) => {
            (json!({ "type": "adaptive" }), effort.as_ref().map_or(Value::Null, word))
        }
        Some(Reasoning::Effort(effort)) => (Value::Null, word(effort)),
    }
}

fn cache_json(cache: &Cache) -> Value {
    Value::Object(object([("type", json!("ephemeral")), ("ttl", json!(cache.ttl))]))
}

fn sealed(text: &str, seal: &Seal) -> Members {
    let hidden = || object([("type", json!("redacted_thinking")), ("data", json!(seal.kept(ID)))]);
    if seal.redacted { hidden() } else { thought(text, &seal.kept(ID)) }
}

fn thought(text: &str, signature: &str) -> Members {
    object([("type", json!("thinking")), ("thinking", json!(text)), ("signature", json!(signature))])
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(message.from == ID);
    let mut body = object([
        ("id", json!(message_id(&message.id))),
        ("type", json!("message")),
        ("role", json!("assistant")),
        ("model", json!(message.model)),
        ("content", json!([])),
        ("usage", Value::Object(wire::usage_json(message.usage.as_ref()))),
    ]);
    let (mut called, mut refused, mut stop) = (false, false, None);
    for choice in message.choices.iter().skip(1) {
        pen.losses.note(format!("/choices/{}", choice.index), "the Messages API has one answer");
    }
    if let Some(choice) = message.choices.first() {
        let mut content = Vec::new();
        for (number, block) in choice.blocks.iter().enumerate() {
            called |= matches!(block.kind, Kind::ToolUse { .. });
            refused |= matches!(block.kind, Kind::Refusal(_));
            pen.answer = Some(number);
            content.extend(block.seal.as_ref().map(|seal| Value::Object(sealed("", seal))));
            content.extend(pen.answer_block(block));
        }
        if choice.logprobs.is_some() {
            pen.losses.note("/logprobs", NO_MEMBER);
        }
        body.insert("content".to_owned(), Value::Array(content));
        pen.extra(&choice.extra, "", &mut body);
        stop = choice.stop.as_ref();
    }
    body.extend(stopped(stop, called, refused));
    pen.extra(&message.extra, "", &mut body);
    Carried { value: json::bytes(&Value::Object(wire::filled(body, pen.own))), losses: pen.losses }
}

/// An id that clients of this dialect know as one.
pub(super) fn message_id(id: &str) -> String {
    if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") }
}

/// `stop_reason` and `stop_sequence`. Some providers say of an answer with calls that it ended, and clients
/// would then not call the tools.
pub(super) fn stopped(stop: Option<&Stop>, called: bool, refused: bool) -> Members {
    let word = stop.map(|stop| match stop.reason {
        StopReason::End if refused => "refusal",
        StopReason::End if called => "tool_use",
        _ => wire::stop_word(stop),
    });
    let sequence = stop.and_then(|stop| stop.sequence.as_deref());
    [("stop_reason", word), ("stop_sequence", sequence)]
        .map(|(name, word)| (name.to_owned(), json!(word)))
        .into_iter()
        .collect()
}

/// Writes an error: <https://docs.anthropic.com/en/api/errors>. The request's id is in the header.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    let text = fault.text();
    let told = fault.kind != FaultKind::ContextTooLong || text.to_ascii_lowercase().contains(wire::TOO_LONG);
    let message = if told { text } else { format!("{}: {text}", wire::TOO_LONG) };
    let error = json!({ "type": fault.kind.meaning().anthropic_type, "message": message });
    json::bytes(&json!({ "type": "error", "error": error }))
}
