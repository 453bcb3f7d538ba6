//! Canonical form into the Converse API: requests, answers and errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::{
    read::HIDDEN,
    wire::{self, Family, ME},
};
use crate::{
    Carried, Fault, Losses, Target,
    canon::{
        Block, Cache, Choose, Effort, Extra, Format, IdForm, Kind, Media, Message, Reasoning, Request, Role,
        Sampling, Seal, Source, Tool, ToolIds, Turn,
    },
    json::{self, put},
    limits::{OUTPUT_TOKENS_DEFAULT, THINKING_BUDGET_MIN},
};
use serde_json::{Map, Number, Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Members = Map<String, Value>;

pub(super) const NO_MEMBER: &str = "the Converse API has no such member";
const FOREIGN: &str = "only another API knows this";

/// Writes a request: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(request.from == ME, false, wire::family(target.model));
    let mut body = Members::new();
    if pen.own {
        pen.own_request(request, &mut body);
    } else {
        pen.foreign(request, target, &mut body);
    }
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses.in_words_of(request.from) }
}

/// A block of this dialect's own; `None` where it cannot be written.
pub(super) fn own_block(block: &Block) -> Option<Members> {
    Pen::new(true, false, Family::Other).block(block, Place::Assistant)
}

/// Writes a whole answer. We know no clock, so the time that the API demands is told as zero.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(message.from == ME, true, Family::Other);
    let (mut content, mut stop) = (Vec::new(), None);
    let (mut called, mut refused) = (false, false);
    for choice in message.choices.iter().skip(1) {
        pen.losses.note(format!("/choices/{}", choice.index), "the Converse API has one answer");
    }
    if let Some(choice) = message.choices.first() {
        called = choice.blocks.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
        refused = choice.blocks.iter().any(|block| matches!(block.kind, Kind::Refusal(_)));
        content = pen.blocks(&choice.blocks, Place::Assistant);
        if choice.logprobs.is_some() {
            pen.losses.note("/logprobs", NO_MEMBER);
        }
        stop = choice.stop.as_ref();
        pen.lost(&choice.extra, "");
    }
    let mut body = told(json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": wire::write_stop(stop, pen.own, called, refused),
        "usage": wire::write_usage(message.usage.as_ref()),
    }));
    pen.rest(&message.extra, "", &mut body);
    body.entry("metrics").or_insert_with(|| json!({"latencyMs": 0}));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// Writes an error: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
pub(super) fn fault(fault: &Fault) -> Value {
    json!({"__type": wire::error_names(fault.status()).0, "message": fault.text()})
}

/// An object of the members that are not `null`.
fn told(json: Value) -> Members {
    let Value::Object(mut members) = json else { return Members::new() };
    members.retain(|_, value| !value.is_null());
    members
}

/// Where a block is written: it decides what the API accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    System,
    User,
    Assistant,
    Result,
}

impl Place {
    fn takes(self, kind: &Kind) -> bool {
        match kind {
            Kind::Text(_) | Kind::Refusal(_) | Kind::Opaque { .. } => true,
            Kind::Image(_) | Kind::File(_) => matches!(self, Place::User | Place::Result),
            Kind::ToolUse { .. } | Kind::Reasoning { .. } => self == Place::Assistant,
            Kind::Audio(_) | Kind::ToolResult { .. } => self == Place::User,
        }
    }
}

/// A message that is being written: its role and its blocks.
type Said = (&'static str, Vec<Value>);

/// What is known while one body is written.
pub(super) struct Pen {
    /// What is written was read from this dialect.
    own: bool,
    /// An answer is written and not a request.
    answer: bool,
    family: Family,
    /// The ids of an answer are not ours to change: their issuer wants them back.
    ids: Option<ToolIds>,
    /// Names of documents, each of which stands once, and the last number behind each.
    names: BTreeMap<String, u32>,
    pub(super) losses: Losses,
}

impl Pen {
    pub(super) fn new(own: bool, answer: bool, family: Family) -> Self {
        let ids = (!own && !answer).then(|| ToolIds::new(IdForm::Plain(wire::ID_MAX)));
        Pen { own, answer, family, ids, names: BTreeMap::new(), losses: Losses::new() }
    }

    /// A request as it stood.
    fn own_request(&mut self, request: &Request, body: &mut Members) {
        let mut messages = Vec::new();
        for turn in &request.turns {
            let place = if turn.role == Role::Assistant { Place::Assistant } else { Place::User };
            let blocks = self.blocks(&turn.blocks, place);
            if turn.at.turn.is_none() {
                body.insert("system".to_owned(), blocks.into());
                continue;
            }
            let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
            let mut message = told(json!({"role": role, "content": blocks}));
            json::add(&mut message, turn.extra.of(ME));
            messages.push(message);
        }
        put(body, "messages", Some(messages));
        json::add(body, request.extra.form(ME));
        json::add(body, request.extra.of(ME));
    }

    pub(super) fn blocks(&mut self, blocks: &[Block], place: Place) -> Vec<Value> {
        let mut written = Vec::new();
        for block in blocks {
            match &block.seal {
                // Thoughts without words, for a client who brings the seal back.
                Some(seal) if self.answer => written.push(Value::Object(thought("", Some(seal)))),
                Some(_) => self.losses.note(self.pointer(block, "signature"), "another API's seal"),
                None => {}
            }
            let Some(json) = self.block(block, place) else { continue };
            written.push(Value::Object(json));
            let cache = block.cache.as_ref().filter(|_| !self.answer);
            if let Some(cache) = cache.filter(|_| self.caches(&self.pointer(block, "cache_control"))) {
                written.push(cache_point(cache));
            }
        }
        written
    }

    /// The API has cache points; a model that caches nothing refuses them.
    /// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>
    fn caches(&mut self, pointer: &str) -> bool {
        let caches = self.own || matches!(self.family, Family::Claude | Family::Nova);
        if !caches {
            self.losses.note(pointer, "the model is none of those that cache");
        }
        caches
    }

    /// Writes a block; `None` where nothing is left of it.
    pub(super) fn block(&mut self, block: &Block, place: Place) -> Option<Members> {
        let is_ours = block.extra.form(ME).filter(|form| self.own && !form.is_empty());
        if let Some(form) = is_ours {
            return Some(form.clone());
        }
        let fits = self.own || self.answer || place.takes(&block.kind);
        let written = if fits { self.kind(block, place) } else { Err("the API takes no such content here") };
        let mut json = match written {
            Ok(json) => json?,
            Err(why) => {
                self.losses.note(self.pointer(block, ""), why);
                return None;
            }
        };
        let pointer = self.pointer(block, "");
        self.rest(&block.extra, &pointer, &mut json);
        Some(json)
    }

    fn pointer(&self, block: &Block, member: &str) -> String {
        let pointer = block.at.pointer("messages", "content", member);
        // An answer has no list of messages: its blocks stand in `content`.
        if self.answer { pointer.replacen("/system", "/content", 1) } else { pointer }
    }

    /// The block without what all blocks have; `None` where there is nothing to say, an error where it
    /// cannot be said.
    fn kind(&mut self, block: &Block, place: Place) -> Result<Option<Members>, &'static str> {
        Ok(Some(match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => {
                match text.trim().is_empty() && !self.own && place != Place::Result {
                    true if text.is_empty() => return Ok(None),
                    true if !self.answer => return Err("the API takes no blank text"),
                    _ => {}
                }
                told(json!({ "text": text }))
            }
            Kind::Image(media) | Kind::Audio(media) | Kind::File(media) => self.medium(&block.kind, media)?,
            Kind::ToolUse { id, name, input } => {
                let id = self.ids.as_mut().map_or_else(|| id.clone(), |ids| ids.call(id));
                let input = self.input(block, input);
                told(json!({"toolUse": told(json!({"toolUseId": id, "name": name, "input": input}))}))
            }
            Kind::ToolResult { id, error, content, plain } => {
                told(json!({"toolResult": self.result(block, id, *error, content, *plain)}))
            }
            Kind::Reasoning { text, seal } => match seal {
                Some(seal) if seal.issuer == ME || self.answer => thought(text, Some(seal)),
                None if self.own => thought(text, None),
                _ if !self.answer => return Err("the API takes back only thoughts that it signed"),
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
            Source::FileId(uri) if self.own => (kind.media_type(uri), amazon(uri)),
            Source::Url(_) => return Err("the API fetches no file"),
            Source::FileId(_) => return Err("the file lies at another provider"),
        };
        let known = wire::format(media_type).or_else(|| media_type.split_once('/').filter(|_| self.own));
        let (member, format) = known.ok_or("the API takes no such file")?;
        let name = match self.own {
            true => media.name.clone(),
            false => (member == "document").then(|| self.name(media)),
        };
        let held = told(json!({"format": format, "name": name, "source": source}));
        Ok(Map::from_iter([(member.to_owned(), Value::Object(held))]))
    }

    /// A name as the API takes it: letters, digits, `-`, brackets, single spaces; and each once.
    fn name(&mut self, media: &Media) -> String {
        let plain = |letter: char| match letter {
            letter if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) => letter,
            letter if letter.is_whitespace() => ' ',
            _ => '-',
        };
        let words: String = media.name.as_deref().unwrap_or("document").chars().map(plain).collect();
        let words: Vec<&str> = words.split_whitespace().collect();
        // Room for a number.
        let base: String = words.join(" ").chars().take(wire::NAME_MAX - 6).collect();
        let base = if base.is_empty() { "document" } else { base.trim_end() };
        let numbered = |number: u32| if number < 2 { base.to_owned() } else { format!("{base}-{number}") };
        let before = self.names.get(base).copied().unwrap_or(0);
        // Every number that is tried in vain is another document's, so this ends.
        let free = (before.saturating_add(1)..).find(|number| !self.names.contains_key(&numbered(*number)));
        let free = free.unwrap_or_default();
        self.names.insert(base.to_owned(), free);
        self.names.entry(numbered(free)).or_insert(1);
        numbered(free)
    }

    /// The input of a call, which must be an object. What the model wrote wrongly (cut off, most often)
    /// becomes an empty one.
    fn input(&mut self, block: &Block, input: &str) -> Option<Value> {
        let is_blank = input.trim().is_empty();
        let parsed = serde_json::from_str::<Value>(input).ok().filter(|json| self.own || json.is_object());
        if parsed.is_none() && !is_blank {
            self.losses.note(self.pointer(block, "input"), "the call's arguments are not a JSON object");
        }
        parsed.or_else(|| (!self.own || !is_blank).then(|| json!({})))
    }

    fn result(
        &mut self,
        block: &Block,
        id: &str,
        error: Option<bool>,
        content: &[Block],
        plain: bool,
    ) -> Members {
        let id = self.ids.as_ref().map_or_else(|| id.to_owned(), |ids| ids.result(id));
        let is_absent = self.own && plain && content.is_empty();
        let content = self.blocks(content, Place::Result);
        let tells = self.own || matches!(self.family, Family::Claude | Family::Nova);
        if error == Some(true) && !tells {
            self.losses.note(self.pointer(block, "is_error"), "the model takes no status of results");
        }
        let status = error.filter(|_| tells).map(|error| if error { "error" } else { "success" });
        told(json!({"toolUseId": id, "content": (!is_absent).then_some(content), "status": status}))
    }

    /// Writes back what the reader left, or notes that it is lost.
    fn rest(&mut self, extra: &Extra, pointer: &str, written: &mut Members) {
        json::add(written, extra.form(ME));
        json::add(written, extra.of(ME));
        self.lost(extra, pointer);
    }

    fn lost(&mut self, extra: &Extra, pointer: &str) {
        extra.lost_to(ME).for_each(|name| self.losses.note(format!("{pointer}/{name}"), NO_MEMBER));
    }

    /// Writes another dialect's request.
    fn foreign(&mut self, request: &Request, target: &Target<'_>, body: &mut Members) {
        let leads = |turn: &&Turn| matches!(turn.role, Role::System | Role::Developer);
        let count = request.turns.iter().take_while(leads).count();
        // The API wants messages, so instructions alone are asked as the user's.
        let (system, turns) = request.turns.split_at(if count == request.turns.len() { 0 } else { count });
        let system: Vec<Value> =
            system.iter().flat_map(|turn| self.blocks(&turn.blocks, Place::System)).collect();
        let said = self.messages(turns);
        let (limit, mut fields) = self.reasoning(request, target, &said);
        let thinks = fields.contains_key("thinking");
        put(body, "toolConfig", self.tools(request, &said, thinks));
        put(body, "system", (!system.is_empty()).then_some(system));
        let said = said.into_iter().map(|(role, blocks)| json!({"role": role, "content": blocks}));
        put(body, "messages", Some(said.collect::<Vec<_>>()));
        let config = self.inference(&request.sampling, limit, thinks, &mut fields);
        put(body, "inferenceConfig", (!config.is_empty()).then_some(config));
        put(body, "additionalModelRequestFields", (!fields.is_empty()).then_some(fields));
        put(body, "outputConfig", self.format(request.format.as_ref()));
        if request.user.is_some() {
            self.losses.note("/user", NO_MEMBER);
        }
        self.lost(&request.extra, "");
    }

    /// Turns of one speaker become one message, as roles must alternate: results first in it, and thoughts
    /// before what they led to.
    fn messages(&mut self, turns: &[Turn]) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        for turn in turns {
            let is_model = turn.role == Role::Assistant;
            let (role, place) =
                if is_model { ("assistant", Place::Assistant) } else { ("user", Place::User) };
            let pointer = |member: &str| turn.at.pointer("messages", "content", member);
            if matches!(turn.role, Role::System | Role::Developer) {
                self.losses.note(pointer("role"), "only the first messages can be instructions");
            }
            if turn.name.is_some() {
                self.losses.note(pointer("name"), NO_MEMBER);
            }
            self.lost(&turn.extra, &pointer(""));
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
        let effort = |effort| wire::write_effort(effort).map(|(_, budget)| budget);
        let budget = match wish {
            Reasoning::Budget(0) | Reasoning::Off => None,
            Reasoning::Budget(budget) => Some(*budget),
            Reasoning::Adaptive(Some(wish)) | Reasoning::Effort(wish) => effort(wish),
            Reasoning::Adaptive(None) => effort(&Effort::Medium),
        };
        let is_off = matches!(wish, Reasoning::Budget(0) | Reasoning::Off);
        let word = budget.map(wire::effort_of_budget);
        let fields = match self.family {
            Family::Claude | Family::Other if is_off => Ok(json!({})),
            Family::Nova if is_off => Ok(json!({"reasoningConfig": {"type": "disabled"}})),
            Family::Gpt if is_off => Err("the model cannot be kept from thinking"),
            _ if budget.is_none() => Err("no such effort is known"),
            Family::Claude if !may_think(said) => Err("the last answer begins without signed thoughts"),
            Family::Claude => return self.thinking(request, target, wish, budget.unwrap_or(0)),
            Family::Nova => Ok(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}})),
            Family::Gpt => Ok(json!({ "reasoning_effort": word })),
            Family::Other => Err(NO_MEMBER),
        };
        let fields = fields.unwrap_or_else(|why| {
            self.losses.note("/reasoning_effort", why);
            json!({})
        });
        (request.limit, told(fields))
    }

    /// How Claude thinks. A budget must be under the limit, so that is raised.
    fn thinking(
        &mut self,
        request: &Request,
        target: &Target<'_>,
        wish: &Reasoning,
        budget: u64,
    ) -> (Option<u64>, Members) {
        let most = target.max_output.unwrap_or(u64::MAX);
        if let Reasoning::Adaptive(effort) = wish {
            let word =
                effort.as_ref().and_then(wire::write_effort).map(|(word, _)| json!({ "effort": word }));
            return (request.limit, told(json!({"thinking": {"type": "adaptive"}, "output_config": word})));
        }
        if most <= 2 * THINKING_BUDGET_MIN {
            self.losses.note("/reasoning_effort", "the model writes too few tokens to think");
            return (request.limit, Members::new());
        }
        // A quarter of what the model can write stays for the answer.
        let budget = budget.clamp(THINKING_BUDGET_MIN, most - most / 4);
        let limit = request.limit.or(target.max_output).unwrap_or(OUTPUT_TOKENS_DEFAULT);
        let limit = if limit > budget { limit } else { limit.saturating_add(budget).min(most) };
        (Some(limit), told(json!({"thinking": {"type": "enabled", "budget_tokens": budget}})))
    }

    /// `toolConfig`. The API has no way to forbid calls but to name no tools, and demands tools where the
    /// messages hold calls.
    fn tools(&mut self, request: &Request, said: &[Said], thinks: bool) -> Option<Value> {
        let mut tools = Vec::new();
        let forbidden = request.choice == Some(Choose::None);
        let calls = called(said);
        if forbidden && !request.tools.is_empty() {
            self.losses.note("/tool_choice", "the Converse API cannot forbid calls");
        }
        for (index, tool) in request.tools.iter().enumerate().filter(|_| !forbidden || !calls.is_empty()) {
            tools.extend(self.tool(tool, &format!("/tools/{index}")));
            let cache = tool.cache.as_ref().filter(|_| self.caches(&format!("/tools/{index}/cache_control")));
            tools.extend(cache.map(cache_point));
        }
        if tools.is_empty() {
            let schema = json!({"json": {"type": "object"}});
            let named = |name: &&str| json!({"toolSpec": {"name": name, "inputSchema": schema}});
            tools.extend(calls.iter().map(named));
        }
        if request.parallel == Some(false) && !request.tools.is_empty() {
            self.losses.note("/parallel_tool_calls", NO_MEMBER);
        }
        let choice = request.choice.as_ref().filter(|_| !request.tools.is_empty());
        let choice = choice.and_then(|choice| self.choice(choice, thinks));
        (!tools.is_empty()).then(|| Value::Object(told(json!({"tools": tools, "toolChoice": choice}))))
    }

    fn tool(&mut self, tool: &Tool, pointer: &str) -> Option<Value> {
        if tool.native.is_some() {
            self.losses.note(pointer, FOREIGN);
            return None;
        }
        self.lost(&tool.extra, pointer);
        // The schema must be that of an object; other APIs let `type` be left out, and all of it.
        let mut schema = match &tool.schema {
            Some(Value::Object(schema)) => schema.clone(),
            _ => told(json!({"properties": {}})),
        };
        schema.entry("type").or_insert_with(|| "object".into());
        let description = tool.description.as_ref().filter(|words| !words.is_empty());
        let spec = told(json!({
            "name": tool.name, "description": description, "inputSchema": {"json": schema},
            "strict": tool.strict.filter(|strict| *strict),
        }));
        Some(json!({ "toolSpec": spec }))
    }

    fn choice(&mut self, choice: &Choose, thinks: bool) -> Option<Value> {
        match choice {
            Choose::Required | Choose::Tool(_) if thinks => {
                self.losses.note("/tool_choice", "a model that thinks cannot be made to call a tool");
                None
            }
            Choose::Required => Some(json!({"any": {}})),
            Choose::Tool(name) => Some(json!({"tool": {"name": name}})),
            // The rule where nothing is said, and models that know no choice refuse to be told.
            Choose::Auto | Choose::None => None,
            Choose::Native(..) => {
                self.losses.note("/tool_choice", FOREIGN);
                None
            }
        }
    }

    /// `inferenceConfig`, and what of it stands elsewhere. A wish that asks for nothing is no loss. Claude
    /// takes no wishes while it thinks, and newer ones either a temperature or `topP`.
    fn inference(
        &mut self,
        wish: &Sampling,
        limit: Option<u64>,
        thinks: bool,
        fields: &mut Members,
    ) -> Members {
        let asks = |number: &Option<Number>| number.as_ref().is_some_and(|n| n.as_f64() != Some(0.0));
        let number = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64).unwrap_or(1.0);
        let (temperature, top_p) = (number(&wish.temperature), number(&wish.top_p));
        let both = self.family == Family::Claude && wish.temperature.is_some() && !thinks;
        let stop: Vec<&String> = wish.stop.iter().filter(|word| !word.trim().is_empty()).collect();
        let takes_k = matches!(self.family, Family::Claude | Family::Nova) && !thinks;
        let lost = [
            ("temperature", thinks && temperature != 1.0, "a model that thinks takes only 1"),
            ("temperature", temperature > 1.0, "it goes no higher than 1"),
            ("top_k", wish.top_k.is_some() && !takes_k, "this model takes none, or none while it thinks"),
            ("top_p", thinks && top_p < 0.95, "a model that thinks takes none under 0.95"),
            ("top_p", both && top_p != 1.0, "newer models take only one of it and `temperature`"),
            ("stop", stop.len() < wish.stop.len(), "a stop sequence must hold more than white space"),
            ("frequency_penalty", asks(&wish.frequency_penalty), NO_MEMBER),
            ("presence_penalty", asks(&wish.presence_penalty), NO_MEMBER),
            ("seed", wish.seed.is_some(), NO_MEMBER),
            ("n", wish.n.is_some_and(|n| n > 1), NO_MEMBER),
            ("logprobs", wish.logprobs == Some(true), NO_MEMBER),
            ("top_logprobs", wish.top_logprobs.is_some(), NO_MEMBER),
        ];
        let is_lost = |name: &str| lost.iter().any(|(other, lost, _)| *lost && *other == name);
        let noted = lost.iter().filter(|(_, lost, _)| *lost);
        noted.for_each(|(name, _, why)| self.losses.note(format!("/{name}"), why));
        let top_k = wish.top_k.as_ref().filter(|_| takes_k);
        fields.extend(top_k.map(|top_k| match self.family {
            Family::Nova => ("inferenceConfig".to_owned(), json!({ "topK": top_k })),
            _ => ("top_k".to_owned(), json!(top_k)),
        }));
        let kept = wish.temperature.as_ref().filter(|_| !is_lost("temperature"));
        let most = (temperature > 1.0 && !thinks).then(|| json!(1));
        told(json!({
            "maxTokens": limit,
            "temperature": kept.map(|kept| json!(kept)).or(most),
            "topP": wish.top_p.as_ref().filter(|_| !is_lost("top_p") && top_p != 1.0),
            "stopSequences": (!stop.is_empty()).then_some(stop),
        }))
    }

    /// `outputConfig`: <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>
    fn format(&mut self, format: Option<&Format>) -> Option<Value> {
        match format {
            None | Some(Format::Text) => None,
            Some(Format::Json | Format::Native(..)) => {
                self.losses.note("/response_format", "the Converse API takes only a JSON schema");
                None
            }
            Some(Format::Schema { name, description, schema, .. }) => {
                let schema =
                    told(json!({"schema": schema.to_string(), "name": name, "description": description}));
                let structure = json!({ "jsonSchema": schema });
                Some(json!({"textFormat": {"type": "json_schema", "structure": structure}}))
            }
        }
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
