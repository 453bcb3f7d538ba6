//! Bytes of this dialect into canonical form: requests, answers and the errors inside of them.

use super::{
    wire::{self, Detail, ME},
    write,
};
use crate::{
    Fault,
    canon::{
        At, Block, Cache, Choice, Extra, Kind, Media, Message, Reasoning, Request, Role, Sampling, Source,
        Tool, Turn,
    },
    error_body,
    json::{self, Object, bounded, put, wrong},
    limits::{CHOICES_MAX, PARTS_MAX, TURNS_MAX},
    openai::{self, small},
    shape,
};
use serde_json::{Map, Value};

/// Members whose form is kept: canonical form carries what they say, not how they say it.
type Kept = Map<String, Value>;

/// Reads a request: <https://platform.openai.com/docs/api-reference/chat/create>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    let mut object = Object::new(json::parse(body)?, "")?;
    let mut kept = Kept::new();
    let mut request = Request::new(ME, object.need_string("model")?);
    let messages = object.list("messages")?;
    request.turns = turns(messages.ok_or_else(|| Fault::bad("/messages", "`messages` is missing"))?)?;
    request.tools = openai::read_tools(&mut object, &mut kept, tool)?;
    let choice = |value: &Value| openai::read_choice(ME, value, "/function/name");
    request.choice = small(&mut object, &mut kept, "tool_choice", choice, write::choice);
    request.parallel = object.boolean("parallel_tool_calls")?;
    request.sampling = sampling(&mut object, &mut kept)?;
    request.limit = limit(&mut object, &mut kept)?;
    request.reasoning = reasoning_wish(&mut object, &mut kept);
    let format = |value: &Value| openai::read_format(ME, value, value.get("json_schema"));
    request.format =
        small(&mut object, &mut kept, "response_format", format, |wish| write::format(wish, true));
    request.stream = object.boolean("stream")?;
    request.stream_usage = openai::stream_usage(&mut object, &mut kept);
    request.user = object.string("user")?;
    request.extra = Extra::with_form(ME, object.rest(), kept);
    Ok(request)
}

/// Reads a whole answer: <https://platform.openai.com/docs/api-reference/chat/object>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    shape::answer(body, error_body::in_answer, message)
}

fn turns(messages: Vec<Value>) -> Result<Vec<Turn>, Fault> {
    let parts = messages.iter().filter_map(|message| message.get("content")?.as_array()).map(Vec::len).sum();
    bounded("/messages", messages.len(), TURNS_MAX)?;
    bounded("/messages", parts, PARTS_MAX)?;
    messages.into_iter().enumerate().map(|(index, value)| turn(value, index)).collect()
}

fn turn(value: Value, index: usize) -> Result<Turn, Fault> {
    let mut object = Object::new(value, format!("/messages/{index}"))?;
    let mut kept = Kept::new();
    let at = At { turn: u32::try_from(index).ok(), part: None };
    let name = object.string("name")?;
    let plain = object.peek("content").is_some_and(Value::is_string);
    let word = object.need_string("role")?;
    // The legacy `function` has no id: its name is all that it answers to.
    let is_legacy = word == "function";
    let role = if is_legacy { Role::Tool } else { shape::role(&word, wire::ROLES, object.at("role"))? };
    let mut blocks = match role {
        Role::Assistant => spoken(&mut object, &mut kept, at, &format!("call_{index}"))?,
        Role::Tool => {
            let named = || name.clone().unwrap_or_default();
            let id = if is_legacy { named() } else { object.need_string("tool_call_id")? };
            put(&mut kept, "role", is_legacy.then_some(word));
            let content = content(&mut object, &mut kept, at)?;
            vec![Block { at, ..Block::new(Kind::ToolResult { id, error: None, content, plain }) }]
        }
        _ => content(&mut object, &mut kept, at)?,
    };
    let can_hold = |block: &&mut Block| match block.kind {
        Kind::Text(_) => plain,
        _ => role == Role::Tool,
    };
    if let Some(block) = blocks.iter_mut().find(can_hold) {
        block.cache = cache(&mut object);
    }
    Ok(Turn { role, blocks, plain, at, name, extra: Extra::with_form(ME, object.rest(), kept) })
}

/// Reads what a model said: an assistant's message of a request, or the message of an answer. `id` is the
/// beginning of ids for calls that have none.
fn spoken(object: &mut Object, kept: &mut Kept, at: At, id: &str) -> Result<Vec<Block>, Fault> {
    let mut blocks = thoughts(object, kept);
    blocks.extend(content(object, kept, at)?);
    blocks.extend(object.string("refusal")?.map(|words| Block::new(Kind::Refusal(words))));
    let pointer = object.at("tool_calls");
    if let Some(calls) = object.list("tool_calls")? {
        put(kept, "tool_calls", calls.is_empty().then(|| Value::Array(Vec::new())));
        for (number, value) in calls.into_iter().enumerate() {
            blocks.push(tool_call(value, &format!("{pointer}/{number}"), || format!("{id}_{number}"))?);
        }
    }
    blocks.iter_mut().for_each(|block| block.at.turn = at.turn);
    Ok(blocks)
}

/// Reads thoughts, which have three names. The first alone is canonical; of the others the form is kept.
fn thoughts(object: &mut Object, kept: &mut Kept) -> Vec<Block> {
    let (mut words, mut blocks) = (String::new(), Vec::new());
    let mut given = Vec::new();
    for name in ["reasoning_content", "reasoning", "reasoning_details"] {
        match object.peek(name) {
            Some(Value::String(text)) if name != "reasoning_details" => {
                words = if words.is_empty() { text.clone() } else { words };
            }
            Some(Value::Array(_)) if name == "reasoning_details" => {}
            _ => continue,
        }
        given.extend(object.take(name).map(|value| (name.to_owned(), value)));
    }
    if let Some((name, Value::Array(details))) = given.last() {
        let unknown = detailed(details, &mut blocks);
        if !unknown.is_empty() {
            object.put(name, Value::Array(unknown));
        }
    }
    let is_readable = |block: &Block| matches!(&block.kind, Kind::Reasoning { text, .. } if !text.is_empty());
    let is_canonical =
        matches!(given.as_slice(), [(name, _)] if name == "reasoning_content") && !words.is_empty();
    if !words.is_empty() && !blocks.iter().any(is_readable) {
        blocks.insert(0, Block::new(Kind::Reasoning { text: words, seal: None }));
    }
    if !is_canonical {
        kept.extend(given);
    }
    blocks
}

/// Reads `reasoning_details` into blocks and gives back the entries whose seals nobody here understands.
/// Clients may send the pieces of a stream as they came, so pieces of one entry are joined.
fn detailed(details: &[Value], blocks: &mut Vec<Block>) -> Vec<Value> {
    let mut unknown = Vec::new();
    let mut open = None;
    for entry in details {
        let detail = Detail::read(entry);
        unknown.extend(detail.foreign.then(|| entry.clone()));
        let joins = open.is_some() && open == entry.get("index");
        open = entry.get("index");
        match blocks.last_mut().map(|block| &mut block.kind) {
            Some(Kind::Reasoning { text, seal: seal @ None }) if joins => {
                text.push_str(detail.text);
                *seal = detail.seal;
            }
            _ if detail.text.is_empty() && detail.seal.is_none() => {}
            _ => blocks.push(Block::new(Kind::Reasoning { text: detail.text.to_owned(), seal: detail.seal })),
        }
    }
    unknown
}

/// Reads one of `tool_calls`; `id` gives one to a call that has none. A custom tool's call is kept whole.
fn tool_call(value: Value, pointer: &str, id: impl FnOnce() -> String) -> Result<Block, Fault> {
    let seal = wire::read_signature(&value);
    let Value::Object(mut call) = value else { return Err(wrong(pointer, "an object", &value)) };
    let whole = call.clone();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
    let is_typed = call.shift_remove("type").is_some_and(|kind| kind == "function");
    let (given, position) = (text(call.shift_remove("id").as_ref()), call.shift_remove("index"));
    let Some(Value::Object(function)) = call.shift_remove("function") else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: Value::Object(whole) }));
    };
    let input = function.get("arguments").map(arguments).unwrap_or_default();
    call.retain(|name, _| name != "extra_content" || seal.is_none());
    let is_plain = is_typed
        && !given.is_empty()
        && position.is_none()
        && function.len() == 2
        && function.values().all(Value::is_string)
        && seal.is_none();
    let id = if given.is_empty() { id() } else { given };
    let kind = Kind::ToolUse { id, name: text(function.get("name")), input };
    let kept = if is_plain { Kept::new() } else { whole };
    Ok(Block { seal, extra: Extra::with_form(ME, call, kept), ..Block::new(kind) })
}

/// The arguments of a call as text; some servers write the object itself.
pub(super) fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Reads `content`: a string or a list of parts. What is neither text nor part (`null`, or an empty
/// string or list) is no block, and stays as it was.
fn content(object: &mut Object, kept: &mut Kept, at: At) -> Result<Vec<Block>, Fault> {
    let pointer = object.at("content");
    match object.take("content") {
        None => Ok(Vec::new()),
        Some(empty) if empty == "" || empty.as_array().is_some_and(Vec::is_empty) => {
            put(kept, "content", Some(empty));
            Ok(Vec::new())
        }
        Some(said) => Ok(shape::content(said, &pointer, at, part)?.0),
    }
}

/// Reads one part. One that canonical form cannot hold is kept whole.
fn part(value: Value, pointer: &str) -> Result<Block, Fault> {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let kept = match (name.as_str(), value.get(&name)) {
        ("image_url", Some(Value::String(_))) | ("thinking", _) => value.as_object().cloned(),
        _ => None,
    };
    let mut object = Object::new(value, pointer)?;
    let known = match (name.as_str(), object.peek(&name)) {
        ("text", _) => Some(Kind::Text(object.need_string("text")?)),
        ("refusal", Some(Value::String(words))) => Some(Kind::Refusal(words.clone())),
        ("image_url", Some(held)) if object.peek("detail").is_none() => image(held),
        ("input_audio", Some(held)) => openai::read_audio(held),
        ("file", Some(Value::Object(held))) => file(held),
        // Mistral: <https://docs.mistral.ai/capabilities/reasoning>
        ("thinking", Some(held)) => Some(Kind::Reasoning { text: thinking(held), seal: None }),
        _ => None,
    };
    let Some(kind) = known else {
        return Ok(Block::new(Kind::Opaque { dialect: ME, json: Value::Object(object.rest()) }));
    };
    let cache = cache(&mut object);
    object.take("type");
    if let Some(Value::Object(mut held)) = object.take(&name)
        && let Some(detail) = held.shift_remove("detail")
    {
        object.put("detail", detail);
    }
    let extra = Extra::with_form(ME, object.rest(), kept.unwrap_or_default());
    Ok(Block { cache, extra, ..Block::new(kind) })
}

fn image(held: &Value) -> Option<Kind> {
    let is_known =
        |members: &Map<String, Value>| members.keys().all(|name| name == "url" || name == "detail");
    let url = match held {
        Value::Object(members) if is_known(members) => members.get("url")?,
        other => other,
    };
    Some(Kind::Image(Media { source: Source::of_url(url.as_str()?), name: None }))
}

fn file(held: &Map<String, Value>) -> Option<Kind> {
    let text = |name: &str| held.get(name).and_then(Value::as_str);
    let name = text("filename").map(str::to_owned);
    let source = match (text("file_data"), text("file_id")) {
        (Some(data), None) if data.starts_with("data:") || data.starts_with("http") => Source::of_url(data),
        (None, Some(id)) => Source::FileId(id.to_owned()),
        _ => return None,
    };
    let known = 1 + usize::from(name.is_some());
    (held.len() == known).then_some(Kind::File(Media { source, name }))
}

/// The words of Mistral's `thinking`: a list of text parts, or a string.
pub(super) fn thinking(held: &Value) -> String {
    let parts = held.as_array().map_or(&[] as &[Value], Vec::as_slice).iter();
    let words = parts.filter_map(|part| part.get("text")?.as_str());
    words.chain(held.as_str()).collect()
}

/// Takes `cache_control` as OpenRouter documents it; of another shape it stays where it is:
/// <https://openrouter.ai/docs/features/prompt-caching>
fn cache(object: &mut Object) -> Option<Cache> {
    let held = object.peek("cache_control")?.as_object()?;
    let ttl = held.get("ttl").and_then(Value::as_str).map(str::to_owned);
    let fits = held.get("type").is_some_and(|kind| kind == "ephemeral");
    if !fits || held.len() != 1 + usize::from(ttl.is_some()) {
        return None;
    }
    object.take("cache_control");
    Some(Cache { ttl })
}

/// Reads a tool: a function, or one that only this dialect knows.
fn tool(value: Value, index: usize) -> Result<Tool, Fault> {
    let mut object = Object::new(value, format!("/tools/{index}"))?;
    let is_function = object.peek("type").is_some_and(|kind| kind == "function");
    let Some(whole) = object.peek("function").filter(|held| is_function && held.is_object()).cloned() else {
        return Ok(Tool { native: Some((ME, Value::Object(object.rest()))), ..Tool::default() });
    };
    let mut function = Object::new(whole.clone(), object.at("function"))?;
    let mut tool = openai::read_function(&mut function)?;
    tool.cache = cache(&mut object);
    object.take("type");
    object.take("function");
    let mut kept = Kept::new();
    put(&mut kept, "function", (!function.rest().is_empty()).then_some(whole));
    tool.extra = Extra::with_form(ME, object.rest(), kept);
    Ok(tool)
}

fn sampling(object: &mut Object, kept: &mut Kept) -> Result<Sampling, Fault> {
    Ok(Sampling {
        temperature: object.number("temperature")?,
        top_p: object.number("top_p")?,
        top_k: object.number("top_k")?,
        frequency_penalty: object.number("frequency_penalty")?,
        presence_penalty: object.number("presence_penalty")?,
        seed: object.number("seed")?,
        stop: openai::read_stops(object, kept)?,
        n: object.small("n", CHOICES_MAX)?,
        logprobs: object.boolean("logprobs")?,
        top_logprobs: object.small("top_logprobs", u32::MAX)?,
    })
}

/// Reads the limit, which has two names; the newer one counts. A negative number means "none" to some
/// servers (llama.cpp) and is left to them.
fn limit(object: &mut Object, kept: &mut Kept) -> Result<Option<u64>, Fault> {
    for name in ["max_completion_tokens", "max_tokens"] {
        let is_negative = object.peek(name).and_then(Value::as_i64).is_some_and(|number| number < 0);
        let limit = if is_negative { None } else { object.whole(name)? };
        if limit.is_some() {
            put(kept, name, limit.filter(|_| name == "max_completion_tokens"));
            return Ok(limit);
        }
    }
    Ok(None)
}

/// Reads how long to think: `reasoning_effort`, OpenRouter's `reasoning`
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>) or the `thinking` of DeepSeek and Z.ai
/// (<https://api-docs.deepseek.com/guides/thinking_mode>). The first that is there counts.
fn reasoning_wish(object: &mut Object, kept: &mut Kept) -> Option<Reasoning> {
    let mut wish = None;
    let mut given = Vec::new();
    for name in ["reasoning_effort", "reasoning", "thinking"] {
        let found = match object.peek(name) {
            Some(Value::String(word)) if name == "reasoning_effort" => Some(openai::read_effort(word)),
            Some(Value::Object(members)) if name != "reasoning_effort" => thinking_wish(members),
            _ => None,
        };
        if found.is_some() {
            wish = wish.or(found);
            given.extend(object.take(name).map(|value| (name.to_owned(), value)));
        }
    }
    let written = wish.as_ref().and_then(openai::write_effort);
    if !matches!(given.as_slice(), [(_, Value::String(word))] if written == Some(word)) {
        kept.extend(given);
    }
    wish
}

/// `None` where the object says more than canonical form can.
fn thinking_wish(members: &Map<String, Value>) -> Option<Reasoning> {
    let known = ["effort", "max_tokens", "enabled", "type", "budget_tokens"];
    if !members.keys().all(|name| known.contains(&name.as_str())) {
        return None;
    }
    let word = |name: &str| members.get(name).and_then(Value::as_str);
    let enabled = members.get("enabled").and_then(Value::as_bool);
    let budget = ["max_tokens", "budget_tokens"].iter().find_map(|name| members.get(*name)?.as_u64());
    match (word("type"), enabled, budget, word("effort")) {
        (Some("disabled"), ..) | (_, Some(false), ..) => Some(Reasoning::Off),
        (_, _, Some(tokens), _) => Some(Reasoning::Budget(tokens)),
        (_, _, _, Some(word)) => Some(openai::read_effort(word)),
        (Some("enabled" | "adaptive"), ..) | (_, Some(true), ..) => Some(Reasoning::Adaptive(None)),
        _ => None,
    }
}

fn message(value: Value) -> Result<Message, Fault> {
    let mut object = Object::new(value, "")?;
    let id = object.string("id")?.unwrap_or_default();
    let model = object.string("model")?.unwrap_or_default();
    let created = object.peek("created").and_then(Value::as_u64).filter(|_| object.take("created").is_some());
    let mut kept = Kept::new();
    put(&mut kept, "object", object.take("object"));
    let usage = object.peek("usage").filter(|usage| usage.as_object().is_some_and(|usage| !usage.is_empty()));
    let usage = usage.and_then(wire::read_usage).filter(|_| object.take("usage").is_some());
    let list = object.list("choices")?.ok_or_else(|| Fault::bad("/choices", "`choices` is missing"))?;
    let choices = list.into_iter().enumerate().map(|(position, value)| answer_choice(value, position, &id));
    let choices = choices.collect::<Result<_, _>>()?;
    let extra = Extra::with_form(ME, object.rest(), kept);
    Ok(Message { from: ME, id, model, created, choices, usage, extra })
}

/// Reads one of `choices`. What it holds beside its message is diagnosis, whose form is kept.
fn answer_choice(value: Value, position: usize, id: &str) -> Result<Choice, Fault> {
    let mut object = Object::new(value, format!("/choices/{position}"))?;
    let index = object.whole("index")?.unwrap_or(position as u64);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let mut kept = Kept::new();
    let mut blocks = Vec::new();
    let mut members = Map::new();
    if let Some(mut message) = object.object("message")? {
        put(&mut kept, "role", message.take("role").filter(|role| role != "assistant"));
        blocks = spoken(&mut message, &mut kept, At::default(), &wire::call_id(id, index))?;
        members = message.rest();
    }
    let stop = object.string("finish_reason")?.map(|word| openai::read_stop(&word));
    let has_logprobs = object.peek("logprobs").is_some_and(Value::is_object);
    let logprobs = if has_logprobs { object.take("logprobs") } else { None };
    put(&mut kept, wire::REST, Some(object.rest()).filter(|rest| !rest.is_empty()));
    Ok(Choice { index, blocks, stop, logprobs, extra: Extra::with_form(ME, members, kept) })
}
