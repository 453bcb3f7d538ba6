//! Canonical form into the Messages API: requests, answers, errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::wire::{self, ID};
use crate::{
    Carried, Fault, FaultKind, Target,
    canon::{
        At, Block, Cache, Choose, Format, IdForm, Kind, Media, Message, Reasoning, Request, Role, Seal,
        Source, Stop, StopReason, Tool, ToolIds, Turn,
    },
    claude,
    json::{self, object, put},
    pen::{FOREIGN, NO_MEMBER, NO_THOUGHTS, Notes, Place},
    schema,
};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// Writes a request.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(Notes::request(ID, request.from == ID));
    pen.sealed_only = target.sealed_only;
    if target.ids != IdForm::Any {
        pen.ids = ToolIds::new(target.ids);
    }
    let (system, said) = pen.conversation(&request.turns);
    let (limit, reasoning) = claude::fit_reasoning(request, target, may_think(&said), &mut pen.notes);
    let thinks = matches!(reasoning, Some(Reasoning::Adaptive(_) | Reasoning::Budget(_)));
    let (thinking, effort) = claude::write_thinking(reasoning.as_ref());
    let output = object([("effort", effort), ("format", pen.format(request))]);
    let tools: Vec<Value> =
        request.tools.iter().enumerate().filter_map(|(at, tool)| pen.tool(tool, at)).collect();
    let choice = pen.tool_choice(request, thinks, !tools.is_empty());
    let sampling = match pen.notes.own {
        true => request.sampling.clone(),
        false => claude::fit_sampling(request, thinks, &mut pen.notes),
    };
    let mut body = object([
        ("model", json!(target.model)),
        ("max_tokens", json!(limit)),
        ("system", system),
        ("messages", said.into_iter().map(Said::json).collect()),
        ("tool_choice", choice),
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
    pen.notes.rest(&request.extra, "", &mut body);
    pen.notes.body(body, request.from)
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
        json::add(&mut json, Some(&self.extra));
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

/// What is known while one body is written.
pub(super) struct Pen {
    pub(super) notes: Notes,
    /// Ids of an answer are not ours to change: their issuer wants them back.
    ids: ToolIds,
    /// Thoughts without a seal are left out, even this dialect's own.
    sealed_only: bool,
}

impl Pen {
    pub(super) fn new(notes: Notes) -> Self {
        let ids = if notes.own || notes.answer { IdForm::Any } else { IdForm::Plain(usize::MAX) };
        Pen { notes, ids: ToolIds::new(ids), sealed_only: false }
    }

    /// The system prompt and the messages.
    fn conversation(&mut self, turns: &[Turn]) -> (Value, Vec<Said>) {
        let own = self.notes.own;
        let leads = |turn: &Turn| turn.role != Role::System || !own || turn.at.turn.is_none();
        let (leading, turns) = self.notes.instructions(turns, leads);
        let blocks: Vec<Value> =
            leading.iter().flat_map(|turn| self.blocks(&turn.blocks, Place::System)).collect();
        let absent = leading.is_empty() || (blocks.is_empty() && !self.notes.own);
        let system =
            if absent { Value::Null } else { content(matches!(leading, [only] if only.plain), blocks) };
        let said = turns.iter().map(|turn| self.said(turn)).collect();
        (system, if self.notes.own { said } else { self.arrange(said) })
    }

    fn said(&mut self, turn: &Turn) -> Said {
        let (role, place) = match turn.role {
            Role::Assistant => ("assistant", Place::Assistant),
            Role::System if self.notes.own => ("system", Place::System),
            Role::User | Role::Tool => ("user", Place::User),
            Role::System | Role::Developer => {
                self.notes.late_instructions(turn);
                ("user", Place::User)
            }
        };
        self.notes.turn(turn);
        let mut extra = Members::new();
        json::add(&mut extra, turn.extra.of(ID));
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
            self.notes
                .losses
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
        let fits = self.notes.own || place.takes(&block.kind);
        let written = if fits { self.kind(block) } else { Err("the API takes no such content here") };
        let mut json = match written {
            Ok(json) => json?,
            Err(why) => {
                self.notes.lose(block, "", why);
                return None;
            }
        };
        if block.seal.is_some() && !self.notes.answer {
            self.notes.lose(block, "signature", "another API's seal");
        }
        put(&mut json, "cache_control", block.cache.as_ref().map(Cache::json));
        let pointer = self.notes.pointer(block, "");
        self.notes.rest(&block.extra, &pointer, &mut json);
        Some(Value::Object(json))
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block) -> Result<Option<Members>, &'static str> {
        Ok(Some(match &block.kind {
            // The API refuses empty text.
            Kind::Text(text) | Kind::Refusal(text) if text.is_empty() && !self.notes.own => return Ok(None),
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
                ("id", json!(self.ids.call(id))),
                ("name", json!(name)),
                ("input", self.notes.input(block, input).into()),
            ]),
            Kind::ToolResult { id, error, content, plain } => self.tool_result(id, *error, content, *plain),
            // Another API's seal goes to a client, who brings it back, never to Anthropic.
            Kind::Reasoning { text, seal } => match seal {
                Some(seal) if seal.issuer == ID || self.notes.answer => sealed(text, seal),
                // As it stood; what there was of a signature is in `extra`.
                None if self.notes.own && !self.sealed_only => {
                    object([("type", json!("thinking")), ("thinking", json!(text))])
                }
                _ if !self.notes.answer => {
                    return Err(NO_THOUGHTS);
                }
                _ => return Ok((!text.is_empty()).then(|| thought(text, ""))),
            },
            Kind::Opaque { dialect, json: Value::Object(json) } if *dialect == ID => json.clone(),
            Kind::Opaque { .. } => return Err(FOREIGN),
        }))
    }

    fn tool_result(&mut self, id: &str, error: Option<bool>, said: &[Block], plain: bool) -> Members {
        let blocks = self.blocks(said, Place::ToolResult);
        let absent = blocks.is_empty() && (plain || !self.notes.own);
        object([
            ("type", json!("tool_result")),
            ("tool_use_id", json!(self.ids.result(id))),
            ("content", if absent { Value::Null } else { content(plain, blocks) }),
            ("is_error", json!(error)),
        ])
    }

    /// Where the bytes are; `inline` is what the media type must begin with for bytes in the body.
    fn source(&self, media: &Media, inline: &str) -> Result<Value, &'static str> {
        Ok(match &media.source {
            Source::Base64 { media_type, .. } if !self.notes.own && !media_type.starts_with(inline) => {
                return Err("the API takes only pictures, PDF and plain text");
            }
            Source::Base64 { media_type, data } => {
                json!({ "type": "base64", "media_type": media_type, "data": data })
            }
            Source::Text { media_type, data } => {
                json!({ "type": "text", "media_type": media_type, "data": data })
            }
            Source::Url(url) => json!({ "type": "url", "url": url }),
            Source::FileId(id) if self.notes.own => json!({ "type": "file", "file_id": id }),
            Source::FileId(_) => return Err("the file lies at another provider"),
        })
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        if let Some((dialect, json)) = &tool.native {
            return self.notes.native(*dialect, json, &format!("/tools/{index}"));
        }
        let (schema, strict) = claude::strict(tool, index, &mut self.notes);
        let mut json = object([
            ("name", json!(tool.name)),
            ("description", json!(tool.description)),
            ("input_schema", if self.notes.own { json!(schema) } else { schema::of_object(schema) }),
            ("strict", json!(strict)),
            ("cache_control", tool.cache.as_ref().map(Cache::json).unwrap_or_default()),
        ]);
        self.notes.rest(&tool.extra, &format!("/tools/{index}"), &mut json);
        Some(Value::Object(json))
    }

    fn tool_choice(&mut self, request: &Request, thinks: bool, tools: bool) -> Value {
        let (kind, name) = match &request.choice {
            _ if !tools && !self.notes.own => return Value::Null,
            None if request.parallel != Some(false) => return Value::Null,
            None | Some(Choose::Auto) => ("auto", None),
            Some(Choose::None) => ("none", None),
            Some(Choose::Required | Choose::Tool(_)) if thinks && !self.notes.own => {
                self.notes.losses.note("/tool_choice", "a model that thinks cannot be made to call a tool");
                ("auto", None)
            }
            Some(Choose::Required) => ("any", None),
            Some(Choose::Tool(name)) => ("tool", Some(name)),
            Some(Choose::Native(..)) => {
                self.notes.losses.note("/tool_choice", FOREIGN);
                return Value::Null;
            }
        };
        let alone = request.parallel.filter(|_| kind != "none" || self.notes.own).map(|parallel| !parallel);
        let alone = ("disable_parallel_tool_use", json!(alone));
        Value::Object(object([("type", json!(kind)), ("name", json!(name)), alone]))
    }

    fn format(&mut self, request: &Request) -> Value {
        let older = request.extra.form(ID).and_then(|form| form.get("output_format"));
        match &request.format {
            // It stood under its older name, and is written back there.
            Some(Format::Schema { .. }) if older.is_some() => Value::Null,
            Some(Format::Schema { schema, .. }) => {
                let schema =
                    claude::keep_to(schema, "/response_format", "/response_format/schema", &mut self.notes);
                schema.map_or(Value::Null, |schema| json!({ "type": "json_schema", "schema": schema }))
            }
            Some(Format::Json | Format::Native(..)) => {
                self.notes.losses.note("/response_format", "the Messages API takes only a JSON schema");
                Value::Null
            }
            None | Some(Format::Text) => Value::Null,
        }
    }
}

/// While tools are being called, the answer that called them must begin with its thoughts, and the model
/// cannot both think and continue an answer; otherwise the API refuses a request to think.
fn may_think(said: &[Said]) -> bool {
    let Some(last) = said.iter().rfind(|message| message.role == "assistant") else { return true };
    let calls = last.blocks.iter().any(|block| is(block, &["tool_use"]));
    let thought = last.blocks.first().is_some_and(|block| is(block, THOUGHTS));
    said.last().is_some_and(|end| end.role != "assistant") && (thought || !calls)
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
    let mut pen = Pen::new(Notes::answer(ID, message.from == ID));
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
        pen.notes.losses.note(format!("/choices/{}", choice.index), "the Messages API has one answer");
    }
    if let Some(choice) = message.choices.first() {
        let mut content = Vec::new();
        for (number, block) in choice.blocks.iter().enumerate() {
            called |= matches!(block.kind, Kind::ToolUse { .. });
            refused |= matches!(block.kind, Kind::Refusal(_));
            pen.notes.number = Some(number);
            content.extend(block.seal.as_ref().map(|seal| Value::Object(sealed("", seal))));
            content.extend(pen.answer_block(block));
        }
        if choice.logprobs.is_some() {
            pen.notes.losses.note("/logprobs", NO_MEMBER);
        }
        body.insert("content".to_owned(), Value::Array(content));
        pen.notes.rest(&choice.extra, "", &mut body);
        stop = choice.stop.as_ref();
    }
    body.extend(stopped(stop, called, refused));
    pen.notes.rest(&message.extra, "", &mut body);
    let body = if pen.notes.own { body } else { wire::filled(body) };
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.notes.losses }
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
pub(super) fn fault(fault: &Fault) -> Value {
    let text = fault.text();
    let told = fault.kind != FaultKind::ContextTooLong || text.to_ascii_lowercase().contains(wire::TOO_LONG);
    let message = if told { text } else { format!("{}: {text}", wire::TOO_LONG) };
    let error = json!({ "type": fault.kind.meaning().anthropic_type, "message": message });
    json!({ "type": "error", "error": error })
}
