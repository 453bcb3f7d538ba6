//! Canonical form into the Gemini API: requests, answers and errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::{
    read,
    wire::{self, ME},
};
use crate::{
    Carried, Fault, Losses, Target,
    canon::{
        Block, Choose, Effort, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Seal, Source,
        Tool, Turn,
    },
    json,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Members = Map<String, Value>;

const NO_MEMBER: &str = "the Gemini API has no such member";
const FOREIGN: &str = "only another API knows this";

/// Writes a request: <https://ai.google.dev/api/generate-content#request-body>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(request.from == ME, false);
    let (system, turns) = request.turns.split_at(pen.leading(&request.turns));
    let mut body = object([("contents", pen.contents(turns, target).into())]);
    body.extend(pen.frame(request, system, target));
    if !pen.own {
        let lost = [
            ("user", request.user.is_some()),
            ("parallel_tool_calls", request.parallel == Some(false) && !request.tools.is_empty()),
        ];
        for (name, _) in lost.into_iter().filter(|(_, lost)| *lost) {
            pen.losses.note(format!("/{name}"), NO_MEMBER);
        }
    }
    let form = request.extra.form(ME);
    for name in form.into_iter().flat_map(|form| form.keys()) {
        // Another spelling stands in the place of ours.
        body.retain(|known, _| known != name && wire::snake(known) != *name);
    }
    body.extend(form.cloned().unwrap_or_default());
    for (name, value) in request.extra.of(ME).into_iter().flatten() {
        if !body.contains_key(name) && !body.contains_key(&wire::snake(name)) {
            body.insert(name.clone(), value.clone());
        }
    }
    pen.lost(&request.extra, "");
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// What this dialect's own request has beside its contents.
pub(super) fn frame(request: &Request) -> Members {
    Pen::new(true, false).frame(request, &request.turns, &Target::default())
}

/// A part of this dialect's own; `None` where it cannot be written.
pub(super) fn own_part(block: &Block) -> Option<Members> {
    Pen::new(true, false).part(block)
}

/// Writes a whole answer: <https://ai.google.dev/api/generate-content#generatecontentresponse>
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(message.from == ME, true);
    let mut candidates = Vec::new();
    for choice in &message.choices {
        let parts = pen.parts(&choice.blocks);
        let parts = if parts.is_empty() && !pen.own { vec![json!({"text": ""})] } else { parts };
        let content = object([("parts", json!(parts)), ("role", "model".into())]);
        let stop = choice.stop.as_ref().map(|stop| wire::write_stop(stop, pen.own));
        let mut candidate = object([
            ("content", content.into()),
            ("finishReason", json!(stop.filter(|stop| !stop.is_empty()))),
            ("index", choice.index.into()),
            ("logprobsResult", choice.logprobs.as_ref().map_or(Value::Null, wire::write_logprobs)),
        ]);
        pen.rest(&choice.extra, "", &mut candidate);
        candidates.push(Value::Object(candidate));
    }
    let mut body = object([
        ("candidates", candidates.into()),
        ("usageMetadata", message.usage.as_ref().map_or(Value::Null, wire::write_usage)),
    ]);
    body.extend(head(&message.id, &message.model));
    pen.rest(&message.extra, "", &mut body);
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// What an answer, and every piece of a stream, ends with.
pub(super) fn head(id: &str, model: &str) -> Members {
    let word = |word: &str| if word.is_empty() { Value::Null } else { word.into() };
    object([("modelVersion", word(model)), ("responseId", word(id))])
}

/// Writes an error: <https://google.aip.dev/193>
pub(super) fn fault(fault: &Fault) -> Value {
    let kind = "type.googleapis.com/google.rpc.RetryInfo";
    let wait = fault.retry_after_ms.map(|wait| format!("{}.{:03}s", wait / 1_000, wait % 1_000));
    let details = wait.map_or(Value::Null, |wait| json!([{"@type": kind, "retryDelay": wait}]));
    let error = object([
        ("code", fault.status().into()),
        ("message", fault.text().into()),
        ("status", fault.kind.meaning().google_status.into()),
        ("details", details),
    ]);
    json!({ "error": error })
}

/// An object of the members that are not `null`.
fn object<const N: usize>(members: [(&str, Value); N]) -> Members {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is known while one body is written.
pub(super) struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    /// An answer is written and not a request.
    answer: bool,
    /// The tools of calls by their ids: a result must name its tool.
    names: BTreeMap<String, String>,
    pub(super) losses: Losses,
}

impl Pen {
    pub(super) fn new(own: bool, answer: bool) -> Self {
        Pen { own, answer, names: BTreeMap::new(), losses: Losses::new() }
    }

    /// How many turns are the system prompt. Instructions alone are asked as the user's, because the API
    /// wants contents.
    fn leading(&self, turns: &[Turn]) -> usize {
        let leads = |turn: &&Turn| match turn.role {
            Role::System => !self.own || turn.at.turn.is_none(),
            Role::Developer => true,
            Role::User | Role::Assistant | Role::Tool => false,
        };
        let count = turns.iter().take_while(leads).count();
        if count == turns.len() && !self.own { 0 } else { count }
    }

    fn contents(&mut self, turns: &[Turn], target: &Target<'_>) -> Vec<Value> {
        if self.own {
            return turns.iter().map(|turn| self.own_content(turn).into()).collect();
        }
        // The results of calls that were made together must stand in one content.
        let mut contents: Vec<(&str, Vec<Value>)> = Vec::new();
        for turn in turns {
            let role = if turn.role == Role::Assistant { "model" } else { "user" };
            let pointer = |member: &str| turn.at.pointer("messages", "content", member);
            if matches!(turn.role, Role::System | Role::Developer) {
                self.losses.note(pointer("role"), "only the first messages can be instructions");
            }
            if turn.name.is_some() {
                self.losses.note(pointer("name"), NO_MEMBER);
            }
            self.lost(&turn.extra, &pointer(""));
            let parts = self.parts(&turn.blocks);
            match contents.last_mut() {
                Some((last, said)) if *last == role => said.extend(parts),
                _ if parts.is_empty() => {}
                _ => contents.push((role, parts)),
            }
        }
        if !wire::is_older(target.model) {
            contents.iter_mut().filter(|(role, _)| *role == "model").for_each(|(_, parts)| unseal(parts));
        }
        contents.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect()
    }

    /// A content as it stood.
    fn own_content(&mut self, turn: &Turn) -> Members {
        let role = match turn.role {
            Role::System => Value::Null,
            Role::Assistant => "model".into(),
            _ => "user".into(),
        };
        let mut content = object([("role", role), ("parts", self.parts(&turn.blocks).into())]);
        for (name, value) in turn.extra.form(ME).into_iter().flatten() {
            match value {
                Value::Null => drop(content.shift_remove(name)),
                value => drop(content.insert(name.clone(), value.clone())),
            }
        }
        json::add(&mut content, turn.extra.of(ME));
        content
    }

    /// The parts of a turn or an answer. A seal that another API's client keeps as thoughts without words
    /// belongs to the next part; pictures out of a result go behind all results.
    fn parts(&mut self, blocks: &[Block]) -> Vec<Value> {
        let (mut parts, mut behind, mut waiting) = (Vec::new(), Vec::new(), None);
        for block in blocks {
            match &block.kind {
                Kind::Reasoning { text, seal: Some(seal) }
                    if !self.own && text.is_empty() && seal.issuer == ME && !seal.redacted =>
                {
                    waiting = Some(seal.data.clone());
                    continue;
                }
                Kind::ToolResult { content, .. } if !self.own => {
                    let media = content.iter().filter(|block| !matches!(block.kind, Kind::Text(_)));
                    behind.extend(media.filter_map(|block| self.part(block)).map(Value::Object));
                }
                _ => {}
            }
            let Some(mut part) = self.part(block) else { continue };
            if !part.contains_key("thoughtSignature")
                && !part.contains_key("thought")
                && let Some(seal) = waiting.take()
            {
                part.insert("thoughtSignature".to_owned(), seal.into());
            }
            parts.push(Value::Object(part));
        }
        parts.extend(waiting.map(|seal| json!({"text": "", "thoughtSignature": seal})));
        parts.extend(behind);
        parts
    }

    /// Writes a block; `None` where nothing is left of it.
    pub(super) fn part(&mut self, block: &Block) -> Option<Members> {
        if let Some(form) = block.extra.form(ME).filter(|form| self.own && !form.is_empty()) {
            self.seal(block, block.seal.as_ref());
            return Some(form.clone());
        }
        let mut part = match self.kind(block) {
            Ok(part) => part?,
            Err(why) => {
                self.losses.note(self.pointer(block, ""), why);
                return None;
            }
        };
        if let Some(signature) = self.seal(block, block.seal.as_ref()) {
            part.insert("thoughtSignature".to_owned(), signature.into());
        }
        if block.cache.is_some() {
            self.losses.note(self.pointer(block, "cache_control"), "the Gemini API caches by itself");
        }
        let pointer = self.pointer(block, "");
        self.rest(&block.extra, &pointer, &mut part);
        Some(part)
    }

    fn pointer(&self, block: &Block, member: &str) -> String {
        if self.answer && member.is_empty() {
            return "/content".to_owned();
        }
        if self.answer {
            format!("/content/{member}")
        } else {
            block.at.pointer("messages", "content", member)
        }
    }

    /// The signature for a seal. Another issuer's goes to a client, who brings it back, never to Gemini.
    fn seal(&mut self, block: &Block, seal: Option<&Seal>) -> Option<String> {
        let seal = seal?;
        if seal.issuer != ME && !self.answer {
            self.losses.note(self.pointer(block, "signature"), "another API's seal");
            return None;
        }
        Some(wire::write_seal(seal))
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block) -> Result<Option<Members>, &'static str> {
        Ok(Some(match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => {
                if text.is_empty() && block.seal.is_none() && !self.own {
                    return Ok(None);
                }
                object([("text", text.as_str().into())])
            }
            Kind::Reasoning { text, seal } => {
                let signature = self.seal(block, seal.as_ref());
                if signature.is_none() && !self.own && !self.answer {
                    return Err("thoughts return only to the API that they came from");
                }
                let redacted = seal.as_ref().is_some_and(|seal| seal.redacted);
                let thought = if redacted { Value::Null } else { true.into() };
                object([
                    ("text", text.as_str().into()),
                    ("thought", thought),
                    ("thoughtSignature", json!(signature)),
                ])
            }
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => self.medium(&block.kind, media)?,
            Kind::ToolUse { id, name, input } => {
                self.names.insert(id.clone(), name.clone());
                let args = self.args(block, input);
                let call = object([("id", self.id(id)), ("name", name.as_str().into()), ("args", args)]);
                object([("functionCall", call.into())])
            }
            Kind::ToolResult { id, error, content, .. } => self.result(block, id, *error, content),
            Kind::Opaque { dialect: ME, json: Value::Object(json) } => json.clone(),
            Kind::Opaque { .. } => return Err(FOREIGN),
        }))
    }

    /// An id that was the issuer's; one that we derived says no more than its place.
    fn id(&self, id: &str) -> Value {
        if id.starts_with(wire::DERIVED) { Value::Null } else { id.into() }
    }

    /// The arguments of a call, which must be an object. What the model wrote wrongly (cut off, most
    /// often) becomes an empty one.
    fn args(&mut self, block: &Block, input: &str) -> Value {
        match serde_json::from_str::<Value>(input) {
            Ok(value) if value.is_object() => return value,
            Err(_) if input.trim().is_empty() && self.own => return Value::Null,
            Err(_) if input.trim().is_empty() => {}
            _ => self.losses.note(self.pointer(block, "input"), "the call's arguments are not a JSON object"),
        }
        json!({})
    }

    fn result(&mut self, block: &Block, id: &str, error: Option<bool>, content: &[Block]) -> Members {
        let mut text = String::new();
        for block in content {
            if let Kind::Text(words) = &block.kind {
                text.push_str(words);
                self.lost(&block.extra, &self.pointer(block, ""));
            }
        }
        let name = self.names.get(id).cloned().unwrap_or_else(|| {
            if !self.own {
                self.losses.note(self.pointer(block, "name"), "the call of this result is not there");
            }
            id.to_owned()
        });
        let failed = error == Some(true);
        let parsed = serde_json::from_str(&text).ok();
        let response = parsed.filter(|held| read::words_of(held) == (text.clone(), failed.then_some(true)));
        let name_of_text = if failed { "error" } else { "result" };
        let response = response.unwrap_or_else(|| object([(name_of_text, text.into())]));
        let result = object([("id", self.id(id)), ("name", name.into()), ("response", response.into())]);
        object([("functionResponse", result.into())])
    }

    fn medium(&self, kind: &Kind, Media { source, name }: &Media) -> Result<Members, &'static str> {
        let name = name.as_deref().filter(|_| self.own);
        let (member, held) = match source {
            Source::Base64 { media_type, data } => {
                ("inlineData", [("mimeType", media_type.as_str()), ("data", data)])
            }
            Source::Text { data, .. } => return Ok(object([("text", data.as_str().into())])),
            Source::Url(url) => ("fileData", [("mimeType", wire::media_type(url, kind)), ("fileUri", url)]),
            Source::FileId(id) if self.own => {
                ("fileData", [("mimeType", wire::media_type(id, kind)), ("fileUri", id)])
            }
            Source::FileId(_) => return Err("the file lies at another provider"),
        };
        let mut held = object(held.map(|(name, word)| (name, word.into())));
        held.extend(name.map(|name| ("displayName".to_owned(), name.into())));
        Ok(object([(member, held.into())]))
    }

    /// Writes back what the reader left, or notes that it is lost.
    fn rest(&mut self, extra: &Extra, pointer: &str, written: &mut Members) {
        json::add(written, extra.form(ME));
        json::add(written, extra.of(ME));
        self.lost(extra, pointer);
    }

    fn lost(&mut self, extra: &Extra, pointer: &str) {
        for name in extra.lost_to(ME) {
            self.losses.note(format!("{pointer}/{name}"), NO_MEMBER);
        }
    }

    fn frame(&mut self, request: &Request, system: &[Turn], target: &Target<'_>) -> Members {
        let tools = self.tools(&request.tools);
        let config = if tools.is_empty() && !self.own { None } else { request.choice.as_ref() };
        object([
            ("systemInstruction", self.system(system)),
            ("tools", if tools.is_empty() { Value::Null } else { tools.into() }),
            ("toolConfig", config.map_or(Value::Null, |choice| self.choice(choice))),
            ("generationConfig", self.generation(request, target)),
        ])
    }

    fn system(&mut self, turns: &[Turn]) -> Value {
        match turns {
            [] => Value::Null,
            [only] if self.own && only.plain => {
                only.blocks.first().map_or(Value::Null, |block| match &block.kind {
                    Kind::Text(text) => text.as_str().into(),
                    _ => Value::Null,
                })
            }
            [only] if self.own => self.own_content(only).into(),
            turns => {
                let parts: Vec<Value> = turns.iter().flat_map(|turn| self.parts(&turn.blocks)).collect();
                if parts.is_empty() { Value::Null } else { json!({ "parts": parts }) }
            }
        }
    }

    fn tools(&mut self, tools: &[Tool]) -> Vec<Value> {
        let (mut functions, mut natives) = (Vec::new(), Vec::new());
        for (index, tool) in tools.iter().enumerate() {
            match &tool.native {
                Some((ME, native)) => natives.push(native.clone()),
                Some(_) => self.losses.note(format!("/tools/{index}"), FOREIGN),
                None => functions.push(self.function(tool, index)),
            }
        }
        let functions = (!functions.is_empty()).then(|| json!({ "functionDeclarations": functions }));
        functions.into_iter().chain(natives).collect()
    }

    fn function(&mut self, tool: &Tool, index: usize) -> Value {
        let schema = tool.schema.clone().filter(|schema| self.own || !is_blank(schema));
        let mut written = object([
            ("name", tool.name.as_str().into()),
            ("description", json!(tool.description)),
            ("parametersJsonSchema", self.schema(schema.unwrap_or_default())),
        ]);
        let pointer = format!("/tools/{index}");
        if tool.cache.is_some() {
            self.losses.note(format!("{pointer}/cache_control"), "the Gemini API caches by itself");
        }
        if tool.strict == Some(true) {
            self.losses.note(format!("{pointer}/strict"), NO_MEMBER);
        }
        self.rest(&tool.extra, &pointer, &mut written);
        written.into()
    }

    /// A schema without the word that tells which JSON Schema it is: the API has its own list of words.
    fn schema(&self, mut schema: Value) -> Value {
        if let Some(members) = schema.as_object_mut().filter(|_| !self.own) {
            members.shift_remove("$schema");
        }
        schema
    }

    fn choice(&mut self, choice: &Choose) -> Value {
        let calling = match choice {
            Choose::Auto => json!({"mode": "AUTO"}),
            Choose::None => json!({"mode": "NONE"}),
            Choose::Required => json!({"mode": "ANY"}),
            Choose::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
            Choose::Native(ME, calling) => calling.clone(),
            Choose::Native(..) => {
                self.losses.note("/tool_choice", FOREIGN);
                return Value::Null;
            }
        };
        json!({ "functionCallingConfig": calling })
    }

    fn generation(&mut self, request: &Request, target: &Target<'_>) -> Value {
        let wish = &request.sampling;
        let stops = if self.own { usize::MAX } else { wire::STOPS_MAX };
        if wish.stop.len() > stops {
            self.losses.note("/stop", "the Gemini API takes five stop sequences at most");
        }
        let stop: Vec<&String> = wish.stop.iter().take(stops).collect();
        let (media_type, schema) = self.format(request.format.as_ref());
        let config = object([
            ("temperature", json!(wish.temperature)),
            ("topP", json!(wish.top_p)),
            ("topK", json!(wish.top_k)),
            ("candidateCount", json!(wish.n)),
            ("maxOutputTokens", json!(request.limit)),
            ("stopSequences", if stop.is_empty() { Value::Null } else { json!(stop) }),
            ("seed", json!(wish.seed)),
            ("presencePenalty", json!(wish.presence_penalty)),
            ("frequencyPenalty", json!(wish.frequency_penalty)),
            ("responseLogprobs", json!(wish.logprobs)),
            ("logprobs", json!(wish.top_logprobs)),
            ("responseMimeType", media_type),
            ("responseJsonSchema", schema),
            (
                "thinkingConfig",
                request.reasoning.as_ref().map_or(Value::Null, |wish| self.thinking(wish, target)),
            ),
        ]);
        if config.is_empty() { Value::Null } else { config.into() }
    }

    fn format(&mut self, format: Option<&Format>) -> (Value, Value) {
        match format {
            None => (Value::Null, Value::Null),
            Some(Format::Text) => (if self.own { "text/plain".into() } else { Value::Null }, Value::Null),
            Some(Format::Json) => ("application/json".into(), Value::Null),
            Some(Format::Schema { schema, .. }) => ("application/json".into(), self.schema(schema.clone())),
            Some(Format::Native(..)) => {
                self.losses.note("/response_format", FOREIGN);
                (Value::Null, Value::Null)
            }
        }
    }

    /// How to think. Levels are for Gemini 3 and newer, budgets for all; the newer ones cannot be kept from
    /// thinking. <https://ai.google.dev/gemini-api/docs/thinking>
    fn thinking(&mut self, wish: &Reasoning, target: &Target<'_>) -> Value {
        let older = wire::is_older(target.model);
        let effort = match wish {
            Reasoning::Off if self.own || older => return json!({"thinkingBudget": 0}),
            Reasoning::Off => {
                self.losses.note("/reasoning_effort", "newer models cannot be kept from thinking");
                return json!({"thinkingLevel": "low"});
            }
            Reasoning::Budget(tokens) => return self.told(json!({ "thinkingBudget": tokens })),
            Reasoning::Adaptive(None) => return self.told(json!({"thinkingBudget": -1})),
            Reasoning::Adaptive(Some(effort)) | Reasoning::Effort(effort) => effort,
        };
        match (wire::write_effort(effort), effort) {
            (None, Effort::Other(word)) if self.own => json!({ "thinkingLevel": word }),
            (None, _) => {
                self.losses.note("/reasoning_effort", "no such effort is known");
                Value::Null
            }
            (Some((_, budget)), _) if older && !self.own => self.told(json!({ "thinkingBudget": budget })),
            // The larger models have no level below `low`.
            (Some(_), Effort::Minimal) if !self.own && !target.model.contains("flash") => {
                self.told(json!({"thinkingLevel": "low"}))
            }
            (Some((level, _)), _) => self.told(json!({ "thinkingLevel": level })),
        }
    }

    /// Other APIs tell thoughts without being asked.
    fn told(&self, mut config: Value) -> Value {
        if let Some(members) = config.as_object_mut().filter(|_| !self.own) {
            members.insert("includeThoughts".to_owned(), true.into());
        }
        config
    }
}

/// A function without parameters has no schema here.
fn is_blank(schema: &Value) -> bool {
    const SAYS_NOTHING: &[&str] =
        &["type", "properties", "required", "additionalProperties", "$schema", "title"];
    let Some(schema) = schema.as_object() else { return true };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_none_or(Map::is_empty) && schema.keys().all(|name| SAYS_NOTHING.contains(&name.as_str()))
}

/// Says of the first call of an answer that it has no seal, because another model made it.
fn unseal(parts: &mut [Value]) {
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(part) = first.and_then(Value::as_object_mut) {
        part.entry("thoughtSignature").or_insert_with(|| wire::NO_SEAL.into());
    }
}
