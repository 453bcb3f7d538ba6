//! Canonical form into the Converse API: requests, answers and errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::{
    read::HIDDEN,
    wire::{self, Family, ME},
};
use crate::{
    Carried, Fault, Target,
    canon::{
        Block, Cache, Choose, Format, IdForm, Kind, Media, Message, Reasoning, Request, Role, Seal, Source,
        Tool, ToolIds, Turn,
    },
    claude,
    json::{self, put, told},
    pen::{FOREIGN, NO_MEMBER, NO_THOUGHTS, Notes, Place},
    schema,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

type Members = Map<String, Value>;

/// Writes a request: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let notes = Notes::request(ME, request.from == ME);
    let mut pen = Pen::new(notes, wire::family(target.model));
    let mut body = Members::new();
    if pen.notes.own {
        pen.own_request(request, &mut body);
    } else {
        pen.foreign(request, target, &mut body);
    }
    pen.notes.body(body, request.from)
}

/// A block of this dialect's own; `None` where it cannot be written.
pub(super) fn own_block(block: &Block) -> Option<Members> {
    Pen::new(Notes::request(ME, true), Family::Other).block(block, Place::Assistant)
}

/// Writes a whole answer. We know no clock, so the time that the API demands is told as zero.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(Notes::answer(ME, message.from == ME), Family::Other);
    let (mut content, mut stop, mut called, mut refused) = (Vec::new(), None, false, false);
    if let Some(choice) = pen.notes.only(message) {
        called = choice.blocks.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
        refused = choice.blocks.iter().any(|block| matches!(block.kind, Kind::Refusal(_)));
        content = pen.blocks(&choice.blocks, Place::Assistant);
        stop = choice.stop.as_ref();
        pen.notes.extra(&choice.extra, "");
    }
    let mut body = told(json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": wire::write_stop(stop, pen.notes.own, called, refused),
        "usage": wire::write_usage(message.usage.as_ref()),
    }));
    pen.notes.rest(&message.extra, "", &mut body);
    body.entry("metrics").or_insert_with(|| json!({"latencyMs": 0}));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.notes.losses }
}

/// Writes an error: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
pub(super) fn fault(fault: &Fault) -> Value {
    json!({"__type": wire::error_names(fault.status()).0, "message": fault.text()})
}

/// A message that is being written: its role and its blocks.
type Said = (&'static str, Vec<Value>);

/// What is known while one body is written.
pub(super) struct Pen {
    pub(super) notes: Notes,
    family: Family,
    /// The ids of an answer are not ours to change: their issuer wants them back.
    ids: ToolIds,
    /// The names of documents, each of which stands once.
    names: ToolIds,
}

impl Pen {
    pub(super) fn new(notes: Notes, family: Family) -> Self {
        let ids = if notes.own || notes.answer { IdForm::Any } else { IdForm::Plain(wire::ID_MAX) };
        let names = ToolIds::new(IdForm::Title(wire::NAME_MAX));
        Pen { notes, family, ids: ToolIds::new(ids), names }
    }

    /// A request as it stood.
    fn own_request(&mut self, request: &Request, body: &mut Members) {
        let mut messages = Vec::new();
        for turn in &request.turns {
            let (role, place) = speaker(turn);
            let blocks = self.blocks(&turn.blocks, place);
            if turn.at.turn.is_none() {
                body.insert("system".to_owned(), blocks.into());
                continue;
            }
            let mut message = told(json!({"role": role, "content": blocks}));
            json::add(&mut message, turn.extra.of(ME));
            messages.push(message);
        }
        put(body, "messages", Some(messages));
        self.notes.rest(&request.extra, "", body);
    }

    fn blocks(&mut self, blocks: &[Block], place: Place) -> Vec<Value> {
        let mut written = Vec::new();
        for block in blocks {
            match &block.seal {
                // Thoughts without words, for a client who brings the seal back.
                Some(seal) if self.notes.answer => written.push(Value::Object(thought("", Some(seal)))),
                Some(_) => self.notes.lose(block, "signature", "another API's seal"),
                None => {}
            }
            let Some(json) = self.block(block, place) else { continue };
            written.push(Value::Object(json));
            let cache = block.cache.as_ref().filter(|_| !self.notes.answer);
            let pointer = self.notes.pointer(block, "cache_control");
            written.extend(cache.filter(|_| self.caches(&pointer)).map(cache_point));
        }
        written
    }

    /// The API has cache points; a model that caches nothing refuses them.
    /// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>
    fn caches(&mut self, pointer: &str) -> bool {
        let caches = self.notes.own || matches!(self.family, Family::Claude | Family::Nova);
        if !caches {
            self.notes.losses.note(pointer, "the model is none of those that cache");
        }
        caches
    }

    /// Writes a block; `None` where nothing is left of it.
    pub(super) fn block(&mut self, block: &Block, place: Place) -> Option<Members> {
        let own = self.notes.own;
        if let Some(form) = block.extra.form(ME).filter(|form| own && !form.is_empty()) {
            return Some(form.clone());
        }
        let fits = own || self.notes.answer || place.takes(&block.kind);
        let written = if fits { self.kind(block, place) } else { Err("the API takes no such content here") };
        let mut json = match written {
            Ok(json) => json?,
            Err(why) => {
                self.notes.lose(block, "", why);
                return None;
            }
        };
        let pointer = self.notes.pointer(block, "");
        self.notes.rest(&block.extra, &pointer, &mut json);
        Some(json)
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block, place: Place) -> Result<Option<Members>, &'static str> {
        let Notes { own, answer, .. } = self.notes;
        Ok(Some(match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => {
                match text.trim().is_empty() && !own && place != Place::ToolResult {
                    true if text.is_empty() => return Ok(None),
                    true if !answer => return Err("the API takes no blank text"),
                    _ => {}
                }
                told(json!({ "text": text }))
            }
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => self.medium(&block.kind, media)?,
            Kind::ToolUse { id, name, input } => {
                let input = self.notes.input(block, input);
                told(json!({"toolUse": {"toolUseId": self.ids.call(id), "name": name, "input": input}}))
            }
            Kind::ToolResult { id, error, content, .. } => self.result(block, id, *error, content),
            Kind::Reasoning { text, seal } => match seal {
                Some(seal) if seal.issuer == ME || answer => thought(text, Some(seal)),
                None if own => thought(text, None),
                _ if !answer => return Err(NO_THOUGHTS),
                _ => return Ok((!text.is_empty()).then(|| thought(text, None))),
            },
            Kind::Opaque { dialect: ME, json: Value::Object(json) } => json.clone(),
            Kind::Opaque { .. } => return Err(FOREIGN),
        }))
    }

    /// A picture, a sound, a film or a document. The API fetches nothing but from Amazon's own storage.
    fn medium(&mut self, kind: &Kind, media: &Media) -> Result<Members, &'static str> {
        let amazon = |uri: &str| json!({"s3Location": {"uri": uri}});
        let (media_type, source) = match &media.source {
            Source::Base64 { media_type, data } => (media_type.as_str(), json!({ "bytes": data })),
            Source::Text { media_type, data } => (media_type.as_str(), json!({ "text": data })),
            Source::Url(uri) if uri.starts_with("s3://") => (kind.media_type(uri), amazon(uri)),
            Source::FileId(uri) if self.notes.own => (kind.media_type(uri), amazon(uri)),
            Source::Url(_) => return Err("the API fetches no file"),
            Source::FileId(_) => return Err("the file lies at another provider"),
        };
        let (member, format) = wire::format(media_type).ok_or("the API takes no such file")?;
        let name = match self.notes.own {
            true => media.name.clone(),
            false => {
                (member == "document").then(|| self.names.call(media.name.as_deref().unwrap_or_default()))
            }
        };
        let held = told(json!({"format": format, "name": name, "source": source}));
        Ok(Map::from_iter([(member.to_owned(), Value::Object(held))]))
    }

    fn result(&mut self, block: &Block, id: &str, error: Option<bool>, content: &[Block]) -> Members {
        let content = self.blocks(content, Place::ToolResult);
        let tells = self.notes.own || matches!(self.family, Family::Claude | Family::Nova);
        if error == Some(true) && !tells {
            self.notes.lose(block, "is_error", "the model takes no status of results");
        }
        let status = error.filter(|_| tells).map(|error| if error { "error" } else { "success" });
        let id = self.ids.result(id);
        told(json!({"toolResult": told(json!({"toolUseId": id, "content": content, "status": status}))}))
    }

    /// Writes another dialect's request.
    fn foreign(&mut self, request: &Request, target: &Target<'_>, body: &mut Members) {
        let (system, turns) = self.notes.instructions(&request.turns, |_| true);
        let system: Vec<Value> =
            system.iter().flat_map(|turn| self.blocks(&turn.blocks, Place::System)).collect();
        let said = self.messages(turns);
        let (limit, mut fields) = self.reasoning(request, target, &said);
        let thinks = fields.contains_key("thinking");
        put(body, "toolConfig", self.tools(request, &said, thinks));
        put(body, "system", (!system.is_empty()).then_some(system));
        let said = said.into_iter().map(|(role, blocks)| json!({"role": role, "content": blocks}));
        put(body, "messages", Some(said.collect::<Vec<_>>()));
        let config = self.inference(request, limit, thinks, &mut fields);
        put(body, "inferenceConfig", (!config.is_empty()).then_some(config));
        put(body, "additionalModelRequestFields", (!fields.is_empty()).then_some(fields));
        put(body, "outputConfig", self.format(request.format.as_ref()));
        if request.user.is_some() {
            self.notes.losses.note("/user", NO_MEMBER);
        }
        self.notes.extra(&request.extra, "");
    }

    /// Turns of one speaker become one message, as roles must alternate: results first in it, and thoughts
    /// before what they led to.
    fn messages(&mut self, turns: &[Turn]) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        for turn in turns {
            let (role, place) = speaker(turn);
            if matches!(turn.role, Role::System | Role::Developer) {
                self.notes.late_instructions(turn);
            }
            self.notes.turn(turn);
            let blocks = self.blocks(&turn.blocks, place);
            match said.last_mut() {
                Some((last, said)) if *last == role => said.extend(blocks),
                _ if blocks.is_empty() => {}
                _ => said.push((role, blocks)),
            }
        }
        for (role, blocks) in &mut said {
            let first = if *role == "user" { "toolResult" } else { "reasoningContent" };
            blocks.sort_by_key(|block| block.get(first).is_none());
        }
        said
    }

    /// How long the answer may be, and how the model thinks, which each maker's models are told in their own
    /// way.
    fn reasoning(&mut self, request: &Request, target: &Target<'_>, said: &[Said]) -> (Option<u64>, Members) {
        let Some(wish) = &request.reasoning else { return (request.limit, Members::new()) };
        let is_off = matches!(wish, Reasoning::Budget(0) | Reasoning::Off);
        let word = wire::effort(wish);
        let fields = match self.family {
            Family::Claude => return self.thinking(request, target, said),
            Family::Other if is_off => Ok(Value::Null),
            Family::Nova if is_off => Ok(json!({"reasoningConfig": {"type": "disabled"}})),
            Family::Gpt if is_off => Err("the model cannot be kept from thinking"),
            _ if word.is_none() => Err("no such effort is known"),
            Family::Nova => Ok(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}})),
            Family::Gpt => Ok(json!({ "reasoning_effort": word })),
            Family::Other => Err(NO_MEMBER),
        };
        let fields = fields.map_err(|why| self.notes.losses.note("/reasoning_effort", why));
        (request.limit, told(fields.unwrap_or_default()))
    }

    /// How Claude thinks. It needs a limit only above a budget, and where nothing is said it does not think.
    fn thinking(&mut self, request: &Request, target: &Target<'_>, said: &[Said]) -> (Option<u64>, Members) {
        let (limit, wish) = claude::fit_reasoning(request, target, may_think(said), &mut self.notes);
        let limit = Some(limit).filter(|_| matches!(wish, Some(Reasoning::Budget(_))));
        let wish = wish.filter(|wish| *wish != Reasoning::Off);
        let (thinking, effort) = claude::write_thinking(wish.as_ref());
        let output = effort.is_string().then(|| json!({ "effort": effort }));
        (limit.or(request.limit), told(json!({"thinking": thinking, "output_config": output})))
    }

    /// `toolConfig`. The API has no way to forbid calls but to name no tools, and demands tools where the
    /// messages hold calls.
    fn tools(&mut self, request: &Request, said: &[Said], thinks: bool) -> Option<Value> {
        let mut tools = Vec::new();
        let forbidden = request.choice == Some(Choose::None);
        let calls = called(said);
        if forbidden && !request.tools.is_empty() {
            self.notes.losses.note("/tool_choice", "the Converse API cannot forbid calls");
        }
        for (index, tool) in request.tools.iter().enumerate().filter(|_| !forbidden || !calls.is_empty()) {
            tools.extend(self.tool(tool, index));
            let cache = tool.cache.as_ref().filter(|_| self.caches(&format!("/tools/{index}/cache_control")));
            tools.extend(cache.map(cache_point));
        }
        if tools.is_empty() {
            let schema = json!({"json": {"type": "object"}});
            let named = |name: &&str| json!({"toolSpec": {"name": name, "inputSchema": schema}});
            tools.extend(calls.iter().map(named));
        }
        if request.parallel == Some(false) && !request.tools.is_empty() {
            self.notes.losses.note("/parallel_tool_calls", NO_MEMBER);
        }
        let choice = request.choice.as_ref().filter(|_| !request.tools.is_empty());
        let choice = choice.and_then(|choice| self.choice(choice, thinks));
        (!tools.is_empty()).then(|| Value::Object(told(json!({"tools": tools, "toolChoice": choice}))))
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        let pointer = format!("/tools/{index}");
        if let Some((dialect, json)) = &tool.native {
            return self.notes.native(*dialect, json, &pointer);
        }
        self.notes.extra(&tool.extra, &pointer);
        let (schema, strict) = match self.family {
            Family::Claude => claude::strict(tool, index, &mut self.notes),
            _ => (tool.schema.clone(), tool.strict.filter(|strict| *strict)),
        };
        let description = tool.description.as_ref().filter(|words| !words.is_empty());
        let spec = told(json!({
            "name": tool.name, "description": description, "inputSchema": {"json": schema::of_object(schema)},
            "strict": strict,
        }));
        Some(json!({ "toolSpec": spec }))
    }

    fn choice(&mut self, choice: &Choose, thinks: bool) -> Option<Value> {
        match choice {
            Choose::Required | Choose::Tool(_) if thinks => {
                self.notes.losses.note("/tool_choice", "a model that thinks cannot be made to call a tool");
                None
            }
            Choose::Required => Some(json!({"any": {}})),
            Choose::Tool(name) => Some(json!({"tool": {"name": name}})),
            // The rule where nothing is said, and models that know no choice refuse to be told.
            Choose::Auto | Choose::None => None,
            Choose::Native(..) => {
                self.notes.losses.note("/tool_choice", FOREIGN);
                None
            }
        }
    }

    /// `inferenceConfig`, and what of it stands elsewhere. All models have Claude's limits, but only Claude takes
    /// either a temperature or `topP`.
    fn inference(
        &mut self,
        request: &Request,
        limit: Option<u64>,
        thinks: bool,
        fields: &mut Members,
    ) -> Members {
        let wish = claude::fit_sampling(request, thinks, self.family == Family::Claude, &mut self.notes);
        match (self.family, wish.top_k) {
            (_, None) => {}
            (Family::Claude, top_k) => put(fields, "top_k", top_k),
            (Family::Nova, top_k) => put(fields, "inferenceConfig", Some(json!({ "topK": top_k }))),
            _ => self.notes.losses.note("/top_k", "this model takes none"),
        }
        told(json!({
            "maxTokens": limit, "temperature": wish.temperature, "topP": wish.top_p,
            "stopSequences": (!wish.stop.is_empty()).then_some(wish.stop),
        }))
    }

    /// `outputConfig`: <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>
    fn format(&mut self, format: Option<&Format>) -> Option<Value> {
        let wish = format.filter(|format| **format != Format::Text)?;
        let Format::Schema { name, description, schema, .. } = wish else {
            self.notes.losses.note("/response_format", "the Converse API takes only a JSON schema");
            return None;
        };
        let (pointer, inner) = ("/response_format", "/response_format/schema");
        let schema = match self.family {
            Family::Claude => claude::keep_to(schema, pointer, inner, &mut self.notes)?.to_string(),
            _ => schema.to_string(),
        };
        let schema = told(json!({"schema": schema, "name": name, "description": description}));
        Some(json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}))
    }
}

fn cache_point(cache: &Cache) -> Value {
    json!({"cachePoint": told(json!({"type": "default", "ttl": cache.ttl}))})
}

/// Thoughts. What is redacted is base64 and nothing else, so another API's hidden thoughts stand where any
/// text may.
fn thought(text: &str, seal: Option<&Seal>) -> Members {
    let held = match seal {
        Some(seal) if seal.redacted && seal.issuer == ME => json!({"redactedContent": seal.data}),
        _ => json!({"reasoningText": told(json!({"text": text, "signature": seal.map(signature)}))}),
    };
    Map::from_iter([("reasoningContent".to_owned(), held)])
}

/// The text for a seal, as a client keeps it.
pub(super) fn signature(seal: &Seal) -> String {
    let mut kept = seal.kept(ME);
    kept.extend((seal.redacted && seal.issuer != ME).then_some(HIDDEN));
    kept
}

/// Who says a turn, and where its blocks are written.
fn speaker(turn: &Turn) -> (&'static str, Place) {
    if turn.role == Role::Assistant { ("assistant", Place::Assistant) } else { ("user", Place::User) }
}

/// While tools are being called, the answer that called them must begin with its thoughts.
fn may_think(said: &[Said]) -> bool {
    let Some((_, blocks)) = said.iter().rfind(|(role, _)| *role == "assistant") else { return true };
    let calls = blocks.iter().any(|block| block.get("toolUse").is_some());
    let thought = blocks.first().is_some_and(|block| block.get("reasoningContent").is_some());
    said.last().is_some_and(|(role, _)| *role != "assistant") && (thought || !calls)
}

/// The tools that the messages call.
fn called(said: &[Said]) -> BTreeSet<&str> {
    let blocks = said.iter().flat_map(|(_, blocks)| blocks);
    blocks.filter_map(|block| block.pointer("/toolUse/name")?.as_str()).collect()
}
