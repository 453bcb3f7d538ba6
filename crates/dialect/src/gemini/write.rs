//! Canonical form into the Gemini API: requests, answers and errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::{
    read,
    wire::{self, ME},
};
use crate::{
    Carried, Fault, Target,
    canon::{
        Block, Choose, Effort, Extra, Format, Kind, Message, Reasoning, Request, Role, Seal, Source, Tool,
        Turn,
    },
    json::{self, put},
    pen::{FOREIGN, NO_MEMBER, NO_THOUGHTS, Notes},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Members = Map<String, Value>;

/// Writes a request: <https://ai.google.dev/api/generate-content#request-body>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(Notes::request(ME, request.from == ME));
    let mut body = Members::new();
    if pen.notes.own {
        let turns = request.turns.iter().filter(|turn| turn.role != Role::System);
        put(&mut body, "contents", Some(turns.map(|turn| pen.own_content(turn)).collect::<Vec<_>>()));
        body.extend(request.extra.form(ME).cloned().unwrap_or_default());
        for (name, value) in request.extra.of(ME).into_iter().flatten() {
            // The rest of a member that stands there whole, in one spelling or the other.
            if !body.contains_key(name) && !body.contains_key(&json::snake(name)) {
                body.insert(name.clone(), value.clone());
            }
        }
    } else {
        pen.foreign(request, target, &mut body);
    }
    pen.notes.body(body, request.from)
}

/// A part of this dialect's own; `None` where it cannot be written.
pub(super) fn own_part(block: &Block) -> Option<Members> {
    Pen::new(Notes::request(ME, true)).part(block)
}

/// Writes a whole answer: <https://ai.google.dev/api/generate-content#generatecontentresponse>
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(Notes::answer(ME, message.from == ME));
    let mut candidates = Vec::new();
    for choice in &message.choices {
        let parts = pen.parts(&choice.blocks);
        if choice.logprobs.is_some() {
            pen.notes.losses.note("/logprobs", NO_MEMBER);
        }
        let stop = choice.stop.as_ref().map(|stop| wire::write_stop(stop, pen.notes.own));
        let mut candidate = told(json!({
            "content": {"parts": parts, "role": "model"},
            "finishReason": stop.filter(|stop| !stop.is_empty()),
            "index": choice.index,
        }));
        restore(&choice.extra, &mut candidate);
        pen.notes.extra(&choice.extra, "");
        candidates.push(candidate);
    }
    let mut body = Map::from_iter([("candidates".to_owned(), candidates.into())]);
    put(&mut body, "usageMetadata", message.usage.as_ref().map(wire::write_usage));
    body.extend(head(&message.id, &message.model));
    restore(&message.extra, &mut body);
    pen.notes.extra(&message.extra, "");
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.notes.losses }
}

/// What an answer, and every piece of a stream, ends with.
pub(super) fn head(id: &str, model: &str) -> Members {
    let word = |word: &str| if word.is_empty() { Value::Null } else { word.into() };
    told(json!({"modelVersion": word(model), "responseId": word(id)}))
}

/// Writes an error: <https://google.aip.dev/193>
pub(super) fn fault(fault: &Fault) -> Value {
    let kind = "type.googleapis.com/google.rpc.RetryInfo";
    let wait = fault.retry_after_ms.map(|wait| format!("{}.{:03}s", wait / 1_000, wait % 1_000));
    json!({"error": told(json!({
        "code": fault.status(),
        "message": fault.text(),
        "status": fault.kind.meaning().google_status,
        "details": wait.map(|wait| json!([{"@type": kind, "retryDelay": wait}])),
    }))})
}

/// Writes back what the reader left.
fn restore(extra: &Extra, written: &mut Members) {
    json::add(written, extra.form(ME));
    json::add(written, extra.of(ME));
}

/// An object of the members that are not `null`.
fn told(json: Value) -> Members {
    let Value::Object(mut members) = json else { return Members::new() };
    members.retain(|_, value| !value.is_null());
    members
}

/// What is known while one body is written.
pub(super) struct Pen {
    pub(super) notes: Notes,
    /// The tools of calls by their ids: a result must name its tool.
    names: BTreeMap<String, String>,
}

impl Pen {
    pub(super) fn new(notes: Notes) -> Self {
        Pen { notes, names: BTreeMap::new() }
    }

    /// A content as it stood.
    fn own_content(&mut self, turn: &Turn) -> Members {
        let role = if turn.role == Role::Assistant { "model" } else { "user" };
        let mut content = told(json!({"role": role, "parts": self.parts(&turn.blocks)}));
        content.extend(turn.extra.form(ME).cloned().unwrap_or_default());
        content.retain(|_, value| !value.is_null());
        json::add(&mut content, turn.extra.of(ME));
        content
    }

    /// The parts of a turn or an answer. A seal that another API's client keeps as thoughts without words
    /// belongs to the next part; one that stood alone and lost its place stood last.
    fn parts(&mut self, blocks: &[Block]) -> Vec<Value> {
        let (mut parts, mut last, mut waiting) = (Vec::new(), None, None);
        for block in blocks {
            match &block.kind {
                Kind::Reasoning { text, seal: Some(Seal { issuer: ME, data, redacted }) }
                    if !self.notes.own && text.is_empty() && (!redacted || block.at.part.is_none()) =>
                {
                    let place = if *redacted { &mut last } else { &mut waiting };
                    *place = Some(data.as_str());
                    continue;
                }
                Kind::ToolResult { content, .. } if !self.notes.own => {
                    let media = content.iter().filter(|block| !matches!(block.kind, Kind::Text(_)));
                    parts.extend(media.filter_map(|block| self.part(block)).map(Value::Object));
                }
                _ => {}
            }
            let Some(mut part) = self.part(block) else { continue };
            if !part.contains_key("thoughtSignature") && !part.contains_key("thought") {
                put(&mut part, "thoughtSignature", waiting.take());
            }
            parts.push(Value::Object(part));
        }
        let alone = |seal| json!({"text": "", "thoughtSignature": seal});
        parts.extend(waiting.into_iter().chain(last).map(alone));
        parts
    }

    /// Writes a block; `None` where nothing is left of it.
    pub(super) fn part(&mut self, block: &Block) -> Option<Members> {
        let signature = self.seal(block, block.seal.as_ref());
        if let Some(form) = block.extra.form(ME).filter(|form| self.notes.own && !form.is_empty()) {
            return Some(form.clone());
        }
        let mut part = match self.kind(block) {
            Ok(part) => part?,
            Err(why) => {
                self.notes.lose(block, "", why);
                return None;
            }
        };
        put(&mut part, "thoughtSignature", signature);
        self.notes.hints(block);
        restore(&block.extra, &mut part);
        Some(part)
    }

    /// The signature for a seal. Another issuer's goes to a client, who brings it back, never to Gemini.
    fn seal(&mut self, block: &Block, seal: Option<&Seal>) -> Option<String> {
        let kept = seal?.kept(ME);
        if seal?.issuer == ME || self.notes.answer {
            return Some(kept);
        }
        self.notes.lose(block, "signature", "another API's seal");
        None
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block) -> Result<Option<Members>, &'static str> {
        if let Kind::Opaque { dialect: ME, json: Value::Object(json) } = &block.kind {
            return Ok(Some(json.clone()));
        }
        Ok(Some(told(match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => {
                if text.is_empty() && block.seal.is_none() && !self.notes.own {
                    return Ok(None);
                }
                json!({ "text": text })
            }
            Kind::Reasoning { text, seal } => {
                let signature = self.seal(block, seal.as_ref());
                if signature.is_none() && !self.notes.own && !self.notes.answer {
                    return Err(NO_THOUGHTS);
                }
                let is_alone = seal.as_ref().is_some_and(|seal| seal.redacted);
                json!({"text": text, "thought": (!is_alone).then_some(true), "thoughtSignature": signature})
            }
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => match &media.source {
                Source::Base64 { media_type, data } => {
                    json!({"inlineData": {"mimeType": media_type, "data": data}})
                }
                Source::Text { data, .. } => json!({ "text": data }),
                Source::FileId(_) if !self.notes.own => return Err("the file lies at another provider"),
                Source::Url(uri) | Source::FileId(uri) => {
                    json!({"fileData": {"mimeType": block.kind.media_type(uri), "fileUri": uri}})
                }
            },
            Kind::ToolUse { id, name, input } => {
                self.names.insert(id.clone(), name.clone());
                let is_absent = self.notes.own && input.trim().is_empty();
                let args = (!is_absent).then(|| self.notes.input(block, input));
                json!({ "functionCall": told(json!({"id": issued(id), "name": name, "args": args})) })
            }
            Kind::ToolResult { id, error, content, .. } => {
                json!({ "functionResponse": self.result(block, id, *error, content) })
            }
            Kind::Opaque { .. } => return Err(FOREIGN),
        })))
    }

    fn result(&mut self, block: &Block, id: &str, error: Option<bool>, content: &[Block]) -> Members {
        let mut text = String::new();
        for block in content {
            if let Kind::Text(words) = &block.kind {
                text.push_str(words);
                self.notes.hints(block);
            }
        }
        let name = self.names.get(id).cloned();
        if name.is_none() && !self.notes.own {
            self.notes.lose(block, "name", "the call of this result is not there");
        }
        let failed = error.filter(|failed| *failed);
        let parsed = serde_json::from_str(&text).ok();
        let response = parsed.filter(|response| read::words_of(response) == (text.clone(), failed));
        let member = if failed.is_some() { "error" } else { "result" };
        let response = response.unwrap_or_else(|| Map::from_iter([(member.to_owned(), text.into())]));
        let name = name.unwrap_or_else(|| id.to_owned());
        told(json!({"id": issued(id), "name": name, "response": response}))
    }

    /// Writes another dialect's request.
    fn foreign(&mut self, request: &Request, target: &Target<'_>, body: &mut Members) {
        let (system, turns) = self.notes.instructions(&request.turns, |_| true);
        let system: Vec<Value> = system.iter().flat_map(|turn| self.parts(&turn.blocks)).collect();
        put(body, "systemInstruction", (!system.is_empty()).then(|| json!({ "parts": system })));
        put(body, "contents", Some(self.contents(turns, target)));
        let functions = self.functions(&request.tools);
        if !functions.is_empty() {
            put(body, "tools", Some(json!([{ "functionDeclarations": functions }])));
            put(body, "toolConfig", request.choice.as_ref().and_then(|choice| self.choice(choice)));
        }
        let config = self.generation(request, target);
        put(body, "generationConfig", (!config.is_empty()).then_some(config));
        let one_by_one = request.parallel == Some(false) && !request.tools.is_empty();
        let lost = [("/user", request.user.is_some()), ("/parallel_tool_calls", one_by_one)];
        let lost = lost.into_iter().filter(|(_, lost)| *lost);
        lost.for_each(|(pointer, _)| self.notes.losses.note(pointer, NO_MEMBER));
        self.notes.extra(&request.extra, "");
    }

    /// Turns of one speaker become one content: the results of calls that were made together must stand
    /// together, and first.
    fn contents(&mut self, turns: &[Turn], target: &Target<'_>) -> Vec<Value> {
        let mut contents: Vec<(&str, Vec<Value>)> = Vec::new();
        for turn in turns {
            let role = if turn.role == Role::Assistant { "model" } else { "user" };
            if matches!(turn.role, Role::System | Role::Developer) {
                self.notes.late_instructions(turn);
            }
            self.notes.turn(turn);
            let parts = self.parts(&turn.blocks);
            match contents.last_mut() {
                Some((last, said)) if *last == role => said.extend(parts),
                _ if parts.is_empty() => {}
                _ => contents.push((role, parts)),
            }
        }
        for (_, parts) in contents.iter_mut().filter(|(role, _)| *role == "user") {
            parts.sort_by_key(|part| part.get("functionResponse").is_none());
        }
        if !wire::is_older(target.model) {
            contents.iter_mut().filter(|(role, _)| *role == "model").for_each(|(_, parts)| unseal(parts));
        }
        contents.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect()
    }

    fn functions(&mut self, tools: &[Tool]) -> Vec<Members> {
        let mut functions = Vec::new();
        for (index, tool) in tools.iter().enumerate() {
            let pointer = format!("/tools/{index}");
            if let Some((dialect, json)) = &tool.native {
                self.notes.native(*dialect, json, &pointer);
                continue;
            }
            let schema = tool.schema.as_ref().filter(|schema| !is_blank(schema)).map(unnamed);
            let (name, words) = (&tool.name, &tool.description);
            let function = json!({"name": name, "description": words, "parametersJsonSchema": schema});
            if tool.strict == Some(true) {
                self.notes.losses.note(format!("{pointer}/strict"), NO_MEMBER);
            }
            self.notes.tool(tool, index);
            functions.push(told(function));
        }
        functions
    }

    fn choice(&mut self, choice: &Choose) -> Option<Value> {
        let (mode, only) = match choice {
            Choose::Auto => ("AUTO", None),
            Choose::None => ("NONE", None),
            Choose::Required => ("ANY", None),
            Choose::Tool(name) => ("ANY", Some([name])),
            Choose::Native(..) => {
                self.notes.losses.note("/tool_choice", FOREIGN);
                return None;
            }
        };
        Some(json!({"functionCallingConfig": told(json!({"mode": mode, "allowedFunctionNames": only}))}))
    }

    fn generation(&mut self, request: &Request, target: &Target<'_>) -> Members {
        let wish = &request.sampling;
        if wish.stop.len() > wire::STOPS_MAX {
            self.notes.losses.note("/stop", "the Gemini API takes five stop sequences at most");
        }
        let stop: Vec<&String> = wish.stop.iter().take(wire::STOPS_MAX).collect();
        let (is_json, schema) = match &request.format {
            Some(Format::Native(..)) => {
                self.notes.losses.note("/response_format", FOREIGN);
                (false, None)
            }
            None | Some(Format::Text) => (false, None),
            Some(Format::Json) => (true, None),
            Some(Format::Schema { schema, .. }) => (true, Some(unnamed(schema))),
        };
        told(json!({
            "temperature": wish.temperature,
            "topP": wish.top_p,
            "topK": wish.top_k,
            "candidateCount": wish.n,
            "maxOutputTokens": request.limit,
            "stopSequences": Some(stop).filter(|stop| !stop.is_empty()),
            "seed": wish.seed,
            "presencePenalty": wish.presence_penalty,
            "frequencyPenalty": wish.frequency_penalty,
            "responseLogprobs": wish.logprobs,
            "logprobs": wish.top_logprobs,
            "responseMimeType": is_json.then_some("application/json"),
            "responseJsonSchema": schema,
            "thinkingConfig": request.reasoning.as_ref().and_then(|wish| self.thinking(wish, target.model)),
        }))
    }

    /// How to think. Levels are for Gemini 3 and newer, budgets for all; the newer ones cannot be kept from
    /// thinking, and the larger of them have no level below `low`. Thoughts are told, as other APIs do
    /// without being asked. <https://ai.google.dev/gemini-api/docs/thinking>
    fn thinking(&mut self, wish: &Reasoning, model: &str) -> Option<Value> {
        let older = wire::is_older(model);
        let effort = match wish {
            Reasoning::Off if older => return Some(json!({"thinkingBudget": 0})),
            Reasoning::Off => {
                self.notes.losses.note("/reasoning_effort", "newer models cannot be kept from thinking");
                return Some(json!({"thinkingLevel": "low"}));
            }
            Reasoning::Budget(tokens) => {
                return Some(json!({"thinkingBudget": tokens, "includeThoughts": true}));
            }
            Reasoning::Adaptive(None) => return Some(json!({"thinkingBudget": -1, "includeThoughts": true})),
            Reasoning::Adaptive(Some(effort)) | Reasoning::Effort(effort) => effort,
        };
        let Some((level, budget)) = wire::write_effort(effort) else {
            self.notes.losses.note("/reasoning_effort", "no such effort is known");
            return None;
        };
        if older {
            return Some(json!({"thinkingBudget": budget, "includeThoughts": true}));
        }
        let level = if *effort == Effort::Minimal && !model.contains("flash") { "low" } else { level };
        Some(json!({"thinkingLevel": level, "includeThoughts": true}))
    }
}

/// An id that was the issuer's; one that we derived says no more than its place.
fn issued(id: &str) -> Option<&str> {
    Some(id).filter(|id| !id.starts_with(wire::DERIVED))
}

/// A function without parameters has no schema here.
fn is_blank(schema: &Value) -> bool {
    let idle = ["type", "properties", "required", "additionalProperties", "$schema", "title"];
    let Some(schema) = schema.as_object() else { return true };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_none_or(Map::is_empty) && schema.keys().all(|name| idle.contains(&name.as_str()))
}

/// A schema that does not name its language: Google has a list of words, and this is none of them.
fn unnamed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema.as_object_mut().into_iter().for_each(|members| drop(members.shift_remove("$schema")));
    schema
}

/// Says of the first call of an answer that it has no seal, because another model made it.
fn unseal(parts: &mut [Value]) {
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(part) = first.and_then(Value::as_object_mut) {
        part.entry("thoughtSignature").or_insert_with(|| wire::NO_SEAL.into());
    }
}
