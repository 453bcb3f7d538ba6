//! Canonical form into the Messages API: requests, answers, errors.
//!
//! What was read from this dialect is written back as it stood. What comes from another is made to fit
//! what the API accepts, and every piece that does not fit is a loss.

use super::wire::{self, ID};
use crate::{
    Carried, Fault, FaultKind, Losses, Target,
    canon::{
        Block, Choose, Extra, Format, Kind, Media, Message, Reasoning, Request, Role, Source, Stop,
        StopReason, Tool, Turn,
    },
    json,
    limits::{OUTPUT_TOKENS_DEFAULT, THINKING_BUDGET_MIN},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Members = Map<String, Value>;

/// Writes a request.
pub(super) fn request(request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
    let mut pen = Pen::new(request.from == ID, None);
    let mut body = Members::new();
    set(&mut body, "model", Some(target.model));
    let (system, said) = pen.conversation(&request.turns);
    let thinks = pen.thinking(request, target, &said, &mut body);
    set(&mut body, "system", system);
    set(&mut body, "messages", Some(said.into_iter().map(Said::json).collect::<Vec<_>>()));
    pen.tools(request, thinks, &mut body);
    pen.sampling(request, thinks, &mut body);
    pen.format(request, &mut body);
    set(&mut body, "metadata", request.user.as_ref().map(|user| json!({ "user_id": user })));
    set(&mut body, "stream", request.stream);
    pen.extra(&request.extra, &mut body, |name| format!("/{name}"));
    Carried { value: json::bytes(&Value::Object(body)), losses: pen.losses }
}

/// Sets a member that is there.
fn set(object: &mut Members, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

/// Adds members that the reader left, into inner objects too; what is already there stays.
pub(super) fn merge(into: &mut Members, from: &Members) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (None, value) => {
                into.insert(name.clone(), value.clone());
            }
            _ => {}
        }
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

/// One message that is being written.
struct Said {
    role: &'static str,
    plain: bool,
    blocks: Vec<Value>,
    extra: Members,
}

impl Said {
    fn json(self) -> Value {
        let mut json = Members::new();
        set(&mut json, "role", Some(self.role));
        set(&mut json, "content", Some(content(self.plain, self.blocks)));
        merge(&mut json, &self.extra);
        Value::Object(json)
    }

    fn has(&self, kinds: &[&str]) -> bool {
        self.blocks.iter().any(|block| is(block, kinds))
    }
}

fn is(block: &Value, kinds: &[&str]) -> bool {
    block.get("type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
}

const THOUGHTS: &[&str] = &["thinking", "redacted_thinking"];
const TOOL_RESULT: &[&str] = &["tool_result"];

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
    /// What is written was read from this dialect.
    own: bool,
    /// The number of the block, when an answer is written and not a request.
    answer: Option<usize>,
    ids: ToolIds,
    pub(super) losses: Losses,
}

impl Pen {
    pub(super) fn new(own: bool, answer: Option<usize>) -> Self {
        Pen { own, answer, ids: ToolIds::default(), losses: Losses::new() }
    }

    /// The system prompt and the messages.
    fn conversation(&mut self, turns: &[Turn]) -> (Option<Value>, Vec<Said>) {
        let (system, turns) = turns.split_at(self.leading(turns));
        let blocks: Vec<Value> = system.iter().flat_map(|turn| self.blocks(turn, Place::System)).collect();
        let plain = matches!(system, [only] if only.plain);
        let system = (!system.is_empty() && (self.own || !blocks.is_empty())).then(|| content(plain, blocks));
        let said: Vec<Said> = turns.iter().map(|turn| self.said(turn)).collect();
        (system, if self.own { said } else { arrange(said) })
    }

    /// How many turns are the system prompt. Instructions alone are asked as the user's, because the API
    /// wants a message.
    fn leading(&self, turns: &[Turn]) -> usize {
        let leads = |turn: &&Turn| match self.own {
            true => turn.role == Role::System && turn.at.turn.is_none(),
            false => matches!(turn.role, Role::System | Role::Developer),
        };
        let count = turns.iter().take_while(leads).count();
        if count == turns.len() && !self.own { 0 } else { count }
    }

    fn said(&mut self, turn: &Turn) -> Said {
        let pointer = |member: &str| turn.at.pointer("messages", "content", member);
        let (role, place) = match turn.role {
            Role::Assistant => ("assistant", Place::Assistant),
            Role::System if self.own => ("system", Place::System),
            Role::System | Role::Developer => {
                self.losses.note(pointer("role"), "only the first messages can be instructions");
                ("user", Place::User)
            }
            Role::User | Role::Tool => ("user", Place::User),
        };
        if turn.name.is_some() {
            self.losses.note(pointer("name"), "messages have no speaker's name");
        }
        let mut extra = Members::new();
        self.extra(&turn.extra, &mut extra, pointer);
        Said { role, plain: turn.plain, blocks: self.blocks(turn, place), extra }
    }

    fn blocks(&mut self, turn: &Turn, place: Place) -> Vec<Value> {
        turn.blocks.iter().filter_map(|block| self.block(block, place)).collect()
    }

    /// A block of an answer; `None` where nothing is left of it.
    pub(super) fn answer(&mut self, block: &Block) -> Option<Value> {
        self.block(block, Place::Assistant)
    }

    fn block(&mut self, block: &Block, place: Place) -> Option<Value> {
        let fits = self.own || place.takes(&block.kind);
        let written = if fits { self.kind(block) } else { Err("the API takes no such content here") };
        let mut json = match written {
            Ok(json) => json?,
            Err(why) => {
                self.losses.note(self.pointer(block, ""), why);
                return None;
            }
        };
        if let Some(cache) = &block.cache {
            json.insert("cache_control".to_owned(), cache_json(cache.ttl.as_deref()));
        }
        let pointer = self.pointer(block, "");
        self.extra(&block.extra, &mut json, |name| format!("{pointer}/{name}"));
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
            Kind::Text(text) | Kind::Refusal(text) => object(json!({ "type": "text", "text": text })),
            Kind::Image(image) => object(json!({ "type": "image", "source": self.source(image)? })),
            Kind::File(file) => {
                let mut json = object(json!({ "type": "document", "source": self.document(file)? }));
                set(&mut json, "title", file.name.as_deref());
                json
            }
            Kind::Audio(_) => return Err("the API takes no sound"),
            Kind::ToolUse { id, name, input } => {
                let input = self.input(block, input);
                let id = if self.answer.is_some() { id.clone() } else { self.ids.call(id, self.own) };
                object(json!({ "type": "tool_use", "id": id, "name": name, "input": input }))
            }
            Kind::ToolResult { id, error, content, plain } => self.tool_result(id, *error, content, *plain),
            Kind::Reasoning { text, seal } => match seal.as_ref().filter(|seal| seal.issuer == ID) {
                Some(seal) if seal.redacted => {
                    object(json!({ "type": "redacted_thinking", "data": seal.data }))
                }
                Some(seal) => thinking_json(text, &seal.data),
                None => return self.unsealed(block, text, seal.is_some()),
            },
            Kind::Opaque { dialect, json } if *dialect == ID => object(json.clone()),
            Kind::Opaque { .. } => return Err("only another API knows this"),
        }))
    }

    /// Thoughts without a seal of Anthropic's: a caller may read them, the API would refuse them.
    fn unsealed(
        &mut self,
        block: &Block,
        text: &str,
        foreign: bool,
    ) -> Result<Option<Members>, &'static str> {
        if self.answer.is_none() {
            return Err("the API takes back only thoughts that it has signed");
        }
        if foreign {
            self.losses.note(self.pointer(block, "signature"), "another API's seal");
        }
        Ok((!text.is_empty()).then(|| thinking_json(text, "")))
    }

    /// The input of a call, which must be an object. What the model wrote wrongly (cut off, most often)
    /// becomes an empty object: a wrapper of our own would teach it a parameter that the tool lacks.
    fn input(&mut self, block: &Block, input: &str) -> Value {
        match serde_json::from_str::<Value>(input) {
            Ok(value) if value.is_object() || self.own => return value,
            Err(_) if input.trim().is_empty() => {}
            _ => self.losses.note(self.pointer(block, "input"), "the call's arguments are not a JSON object"),
        }
        json!({})
    }

    fn tool_result(&mut self, id: &str, error: Option<bool>, said: &[Block], plain: bool) -> Members {
        let mut json = object(json!({ "type": "tool_result" }));
        set(&mut json, "tool_use_id", Some(self.ids.result(id, self.own)));
        let blocks: Vec<Value> =
            said.iter().filter_map(|block| self.block(block, Place::ToolResult)).collect();
        let absent = blocks.is_empty() && (plain || !self.own);
        set(&mut json, "content", (!absent).then(|| content(plain, blocks)));
        set(&mut json, "is_error", error);
        json
    }

    fn source(&self, media: &Media) -> Result<Value, &'static str> {
        Ok(match &media.source {
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

    fn document(&self, file: &Media) -> Result<Value, &'static str> {
        match &file.source {
            Source::Base64 { media_type, .. } if media_type != "application/pdf" && !self.own => {
                Err("the API takes only PDF and plain text")
            }
            _ => self.source(file),
        }
    }

    /// Writes back what the reader left, or notes that it is lost.
    fn extra(&mut self, extra: &Extra, into: &mut Members, pointer: impl Fn(&str) -> String) {
        extra.form(ID).into_iter().chain(extra.of(ID)).for_each(|members| merge(into, members));
        for name in extra.lost_to(ID) {
            self.losses.note(pointer(name), "the Messages API has no such member");
        }
    }

    /// Writes `max_tokens`, `thinking` and the effort; tells whether the model thinks.
    fn thinking(
        &mut self,
        request: &Request,
        target: &Target<'_>,
        said: &[Said],
        body: &mut Members,
    ) -> bool {
        let mut limit = request.limit.or(target.max_output).unwrap_or(OUTPUT_TOKENS_DEFAULT);
        let reasoning = match &request.reasoning {
            Some(reasoning) if !self.own => self.fitting(reasoning, target, said, &mut limit),
            as_it_stood => as_it_stood.clone(),
        };
        set(body, "max_tokens", Some(limit));
        let (thinking, effort) = match &reasoning {
            None => return false,
            Some(Reasoning::Off) => (Some(json!({ "type": "disabled" })), None),
            Some(Reasoning::Adaptive(effort)) => (Some(json!({ "type": "adaptive" })), effort.as_ref()),
            Some(Reasoning::Budget(budget)) => {
                (Some(json!({ "type": "enabled", "budget_tokens": budget })), None)
            }
            Some(Reasoning::Effort(effort)) => (None, Some(effort)),
        };
        let thinks = matches!(reasoning, Some(Reasoning::Adaptive(_) | Reasoning::Budget(_)));
        set(body, "thinking", thinking);
        set(body, "output_config", effort.map(|effort| json!({ "effort": wire::effort_word(effort) })));
        thinks
    }

    /// Another dialect's wish to think, as the API accepts it. A budget is understood by every model that
    /// thinks, adaptive thinking only by the newest. It must be under `max_tokens`, so that is raised:
    /// a caller whose limit holds the answer alone loses nothing of the answer.
    /// <https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>
    fn fitting(
        &mut self,
        reasoning: &Reasoning,
        target: &Target<'_>,
        said: &[Said],
        limit: &mut u64,
    ) -> Option<Reasoning> {
        let budget = match reasoning {
            Reasoning::Off | Reasoning::Budget(0) => return Some(Reasoning::Off),
            Reasoning::Adaptive(_) => None,
            Reasoning::Budget(budget) => Some(*budget),
            Reasoning::Effort(effort) => Some(wire::effort_budget(effort).unwrap_or(0)),
        };
        let room = target.max_output.is_none_or(|most| most > THINKING_BUDGET_MIN);
        let why = match budget {
            Some(0) => Some("no such effort is known"),
            Some(_) if !room => Some("the model writes too few tokens to think"),
            _ if !may_think(said) => Some("the last answer begins without signed thoughts"),
            _ => None,
        };
        if let Some(why) = why {
            self.losses.note("/reasoning_effort", why);
            return None;
        }
        let Some(budget) = budget else { return Some(reasoning.clone()) };
        let budget = budget.max(THINKING_BUDGET_MIN);
        if *limit <= budget {
            *limit = limit.saturating_add(budget).min(target.max_output.unwrap_or(u64::MAX));
        }
        Some(Reasoning::Budget(budget.min(limit.saturating_sub(1))))
    }

    fn tools(&mut self, request: &Request, thinks: bool, body: &mut Members) {
        let tools: Vec<Value> =
            request.tools.iter().enumerate().filter_map(|(index, tool)| self.tool(tool, index)).collect();
        let any = !tools.is_empty();
        set(body, "tools", any.then_some(tools));
        let wish = self.tool_choice(request, thinks);
        let choice = match (wish, request.parallel) {
            (None, Some(false)) if any => Some(json!({ "type": "auto" })),
            (choice, _) => choice.filter(|_| any || self.own),
        };
        let Some(Value::Object(mut choice)) = choice else { return };
        if self.own || request.choice != Some(Choose::None) {
            set(&mut choice, "disable_parallel_tool_use", request.parallel.map(|parallel| !parallel));
        }
        set(body, "tool_choice", Some(choice));
    }

    fn tool_choice(&mut self, request: &Request, thinks: bool) -> Option<Value> {
        let choice = match request.choice.as_ref()? {
            Choose::Auto => json!({ "type": "auto" }),
            Choose::None => json!({ "type": "none" }),
            Choose::Required => json!({ "type": "any" }),
            Choose::Tool(name) => json!({ "type": "tool", "name": name }),
            Choose::Native(dialect, _) if *dialect != ID => {
                self.losses.note("/tool_choice", "only another API knows this");
                return None;
            }
            Choose::Native(_, json) => json.clone(),
        };
        if thinks && !self.own && is(&choice, &["any", "tool"]) {
            self.losses.note("/tool_choice", "a model that thinks cannot be made to call a tool");
            return None;
        }
        Some(choice)
    }

    fn tool(&mut self, tool: &Tool, index: usize) -> Option<Value> {
        match &tool.native {
            Some((ID, json)) => return Some(json.clone()),
            Some(_) => {
                self.losses.note(format!("/tools/{index}"), "only another API has this tool");
                return None;
            }
            None => {}
        }
        let mut json = Members::new();
        set(&mut json, "name", Some(tool.name.as_str()));
        set(&mut json, "description", tool.description.as_deref());
        set(&mut json, "input_schema", self.schema(tool));
        set(&mut json, "strict", tool.strict.filter(|strict| self.own || *strict));
        set(&mut json, "cache_control", tool.cache.as_ref().map(|cache| cache_json(cache.ttl.as_deref())));
        self.extra(&tool.extra, &mut json, |name| format!("/tools/{index}/{name}"));
        Some(Value::Object(json))
    }

    /// The schema, which must be that of an object; other APIs let `type` be left out, and all of it.
    fn schema(&self, tool: &Tool) -> Option<Value> {
        if self.own {
            return tool.schema.clone();
        }
        let mut schema = tool.schema.clone().unwrap_or_default();
        match &mut schema {
            Value::Object(members) => {
                members.entry("type").or_insert_with(|| json!("object"));
                Some(schema)
            }
            _ => Some(json!({ "type": "object", "properties": {} })),
        }
    }

    fn sampling(&mut self, request: &Request, thinks: bool, body: &mut Members) {
        let sampling = &request.sampling;
        set(body, "temperature", sampling.temperature.clone());
        set(body, "top_p", sampling.top_p.clone());
        set(body, "top_k", sampling.top_k.clone());
        let mut stop = sampling.stop.clone();
        if !self.own {
            self.lost_sampling(request);
            self.fit_sampling(thinks, body);
            stop.retain(|word| !word.trim().is_empty());
            if stop.len() < sampling.stop.len() {
                self.losses.note("/stop", "a stop sequence must hold more than white space");
            }
        }
        set(body, "stop_sequences", (!stop.is_empty()).then_some(stop));
    }

    /// Takes out what the API refuses. Temperatures end at 1; a model that thinks takes no other. Newer
    /// models take either a temperature or `top_p`, of which 1 is the same as none.
    fn fit_sampling(&mut self, thinks: bool, body: &mut Members) {
        let number = |body: &Members, name: &str| body.get(name).and_then(Value::as_f64);
        let warm = number(body, "temperature").is_some_and(|number| number != 1.0);
        let narrow = number(body, "top_p").is_some_and(|number| number < 1.0);
        if !narrow {
            body.remove("top_p");
        }
        let unfit = [
            ("temperature", thinks && warm, THINKS),
            ("top_k", thinks, THINKS),
            ("top_p", thinks && number(body, "top_p").is_some_and(|number| number < 0.95), THINKS),
            ("top_p", !thinks && warm, "newer models take only one of temperature and `top_p`"),
        ];
        for (name, _, why) in unfit.into_iter().filter(|(_, unfit, _)| *unfit) {
            if body.remove(name).is_some() {
                self.losses.note(format!("/{name}"), why);
            }
        }
        if number(body, "temperature").is_some_and(|number| number > 1.0) {
            self.losses.note("/temperature", "it goes no higher than 1");
            set(body, "temperature", Some(1));
        }
    }

    /// Wishes that the API has no member for; those that ask for nothing are no loss.
    fn lost_sampling(&mut self, request: &Request) {
        let sampling = &request.sampling;
        let asked = |number: &Option<serde_json::Number>| {
            number.as_ref().is_some_and(|number| number.as_f64() != Some(0.0))
        };
        let wishes = [
            ("/frequency_penalty", asked(&sampling.frequency_penalty)),
            ("/presence_penalty", asked(&sampling.presence_penalty)),
            ("/seed", sampling.seed.is_some()),
            ("/n", sampling.n.is_some_and(|n| n > 1)),
            ("/logprobs", sampling.logprobs == Some(true)),
            ("/top_logprobs", sampling.top_logprobs.is_some()),
        ];
        for (pointer, _) in wishes.into_iter().filter(|(_, lost)| *lost) {
            self.losses.note(pointer, "the Messages API has no such member");
        }
    }

    fn format(&mut self, request: &Request, body: &mut Members) {
        let older = request.extra.form(ID).is_some_and(|form| form.contains_key("output_format"));
        let format = match &request.format {
            Some(Format::Schema { schema, .. }) if !older => {
                json!({ "type": "json_schema", "schema": schema })
            }
            Some(Format::Native(ID, json)) => json.clone(),
            Some(Format::Json | Format::Native(..)) => {
                self.losses.note("/response_format", "the Messages API takes only a JSON schema");
                return;
            }
            None | Some(Format::Text | Format::Schema { .. }) => return,
        };
        merge(body, &object(json!({ "output_config": { "format": format } })));
    }
}

const THINKS: &str = "a model that thinks takes no such wish";

fn object(json: Value) -> Members {
    match json {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

fn cache_json(ttl: Option<&str>) -> Value {
    let mut json = object(json!({ "type": "ephemeral" }));
    set(&mut json, "ttl", ttl);
    Value::Object(json)
}

fn thinking_json(text: &str, signature: &str) -> Members {
    object(json!({ "type": "thinking", "thinking": text, "signature": signature }))
}

/// Another dialect's messages in the order that the API wants: results directly behind their calls and
/// before the user's words, thoughts before what they led to, no empty message, no white space at the end
/// of an answer that the model shall continue.
fn arrange(said: Vec<Said>) -> Vec<Said> {
    let mut messages: Vec<Said> = Vec::new();
    for next in said.into_iter().filter(|next| !next.blocks.is_empty()) {
        match messages.last_mut() {
            // The API joins messages of one role by itself, but results must stand in the first of them.
            Some(last) if last.role == "user" && next.role == "user" => {
                last.plain = false;
                last.blocks.extend(next.blocks);
            }
            _ => messages.push(next),
        }
    }
    for message in &mut messages {
        let first = if message.role == "user" { TOOL_RESULT } else { THOUGHTS };
        message.blocks.sort_by_key(|block| !is(block, first));
    }
    if let Some(last) = messages.last_mut().filter(|last| last.role == "assistant") {
        trim_end(last);
    }
    messages.retain(|message| !message.blocks.is_empty());
    messages
}

fn trim_end(last: &mut Said) {
    let Some(Value::String(text)) = last.blocks.last_mut().and_then(|block| block.get_mut("text")) else {
        return;
    };
    text.truncate(text.trim_end().len());
    if text.is_empty() {
        last.blocks.pop();
    }
}

/// While tools are being called, the answer that called them must begin with its thoughts, and the model
/// cannot both think and continue an answer; otherwise the API refuses a request to think.
fn may_think(said: &[Said]) -> bool {
    match said.iter().rposition(|message| message.role == "assistant").and_then(|last| said.get(last)) {
        Some(_) if said.last().is_some_and(|last| last.role == "assistant") => false,
        Some(last) if last.has(&["tool_use"]) => last.blocks.first().is_some_and(|block| is(block, THOUGHTS)),
        _ => true,
    }
}

/// Ids of tool calls as the API takes them: letters, digits, `_` and `-`, each once in a conversation.
/// Others write `functions.weather:0`, or `call_0` in every turn.
#[derive(Default)]
struct ToolIds {
    /// For every id of the sender's: what it was last written as, and how often it has been.
    given: BTreeMap<String, (String, u32)>,
    used: BTreeSet<String>,
}

impl ToolIds {
    fn call(&mut self, id: &str, own: bool) -> String {
        if own {
            return id.to_owned();
        }
        let plain = plain_id(id);
        let mut count = self.given.get(id).map_or(0, |(_, count)| *count);
        let written = loop {
            count = count.saturating_add(1);
            let written = if count == 1 { plain.clone() } else { format!("{plain}_{count}") };
            if self.used.insert(written.clone()) || count == u32::MAX {
                break written;
            }
        };
        self.given.insert(id.to_owned(), (written.clone(), count));
        written
    }

    fn result(&self, id: &str, own: bool) -> String {
        match self.given.get(id) {
            _ if own => id.to_owned(),
            Some((written, _)) => written.clone(),
            None => plain_id(id),
        }
    }
}

fn plain_id(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    if id.is_empty() { "call".to_owned() } else { id.chars().map(plain).collect() }
}

/// Writes a whole answer.
pub(super) fn response(message: &Message) -> Carried<Vec<u8>> {
    let own = message.from == ID;
    let mut losses = Losses::new();
    let mut body = object(json!({ "type": "message", "role": "assistant" }));
    set(&mut body, "id", Some(if own { message.id.clone() } else { message_id(&message.id) }));
    set(&mut body, "model", Some(message.model.as_str()));
    let mut pen = Pen::new(own, Some(0));
    let (mut content, mut stop) = (Vec::new(), None);
    let mut choices = message.choices.iter();
    if let Some(choice) = choices.next() {
        for (number, block) in choice.blocks.iter().enumerate() {
            pen.answer = Some(number);
            content.extend(pen.answer(block));
        }
        stop = choice.stop.as_ref();
        if choice.logprobs.is_some() {
            pen.losses.note("/logprobs", "the Messages API has no such member");
        }
        pen.extra(&choice.extra, &mut body, |name| format!("/{name}"));
    }
    let has = |kind: fn(&Kind) -> bool| {
        message.choices.iter().take(1).flat_map(|c| &c.blocks).any(|b| kind(&b.kind))
    };
    let called = !own && has(|kind| matches!(kind, Kind::ToolUse { .. }));
    let refused = has(|kind| matches!(kind, Kind::Refusal(_)));
    set(&mut body, "content", Some(content));
    body.insert(
        "stop_reason".to_owned(),
        stop.map_or(Value::Null, |stop| stop_reason(stop, called, refused)),
    );
    body.insert("stop_sequence".to_owned(), json!(stop.and_then(|stop| stop.sequence.as_deref())));
    set(&mut body, "usage", Some(wire::usage_json(message.usage.as_ref())));
    for choice in choices {
        losses.note(format!("/choices/{}", choice.index), "the Messages API has one answer");
    }
    pen.extra(&message.extra, &mut body, |name| format!("/{name}"));
    losses.absorb(pen.losses);
    Carried { value: json::bytes(&Value::Object(body)), losses }
}

/// An id that clients of this dialect know as one.
pub(super) fn message_id(id: &str) -> String {
    match id {
        "" => "msg_0".to_owned(),
        ours if ours.starts_with("msg_") => ours.to_owned(),
        other => format!("msg_{other}"),
    }
}

/// The stop reason. Some providers say of an answer with calls that it ended, and clients would then not
/// call the tools.
pub(super) fn stop_reason(stop: &Stop, called: bool, refused: bool) -> Value {
    let word = match stop.reason {
        StopReason::End if refused => "refusal",
        StopReason::End if called => "tool_use",
        _ => wire::stop_word(stop),
    };
    json!(word)
}

/// Writes an error: <https://docs.anthropic.com/en/api/errors>. The request's id is in the header.
pub(super) fn fault(fault: &Fault) -> Vec<u8> {
    let text = fault.text();
    let told = fault.kind != FaultKind::ContextTooLong || text.to_ascii_lowercase().contains(wire::TOO_LONG);
    let message = if told { text } else { format!("{}: {text}", wire::TOO_LONG) };
    let error = json!({ "type": fault.kind.meaning().anthropic_type, "message": message });
    json::bytes(&json!({ "type": "error", "error": error }))
}
