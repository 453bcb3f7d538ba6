//! Bytes of the Responses API into canonical form: requests, answers and errors.

use super::{
    wire::{self, ME},
    write,
};
use crate::{
    Fault,
    canon::{At, Block, Choice, Extra, Kind, Media, Message, Request, Role, Seal, Source, Tool, Turn},
    error_body,
    json::{self, Object, bounded, put, word, wrong},
    limits::{PARTS_MAX, TURNS_MAX},
    openai::{self, small},
    shape,
};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// The name under which a block keeps the item that it came from, where canonical form does not say it all.
/// The first block of an item keeps the item, the others `null`.
pub(super) const ITEM: &str = "item";

/// Reads a request: <https://platform.openai.com/docs/api-reference/responses/create>
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    let mut object = Object::new(json::parse(body)?, "")?;
    let mut form = Members::new();
    let mut request = Request::new(ME, object.need_string("model")?);
    request.needs = needs(&object);
    request.turns = turns(&mut object, &mut form, request.needs.is_empty())?;
    request.tools = openai::read_tools(&mut object, &mut form, tool)?;
    let choice = |value: &Value| openai::read_choice(ME, value, "/name");
    request.choice = small(&mut object, &mut form, "tool_choice", choice, write::choice);
    request.parallel = object.boolean("parallel_tool_calls")?;
    request.sampling.temperature = object.number("temperature")?;
    request.sampling.top_p = object.number("top_p")?;
    include(&mut object, &mut form, &mut request)?;
    request.limit = object.whole("max_output_tokens")?;
    request.reasoning = nested(&mut object, &mut form, "reasoning", |reasoning| {
        // Thoughts that can be read are told anyway.
        reasoning.take("summary");
        Ok(reasoning.string("effort")?.map(|word| openai::read_effort(&word)))
    })?;
    request.format = nested(&mut object, &mut form, "text", |text| {
        let format = text.take("format");
        Ok(format.map(|format| openai::read_format(ME, &format, Some(&format))))
    })?;
    request.stream = object.boolean("stream")?;
    request.user = object.string("user")?;
    let (mute, extra) = object.rest().into_iter().partition(|(name, value)| wire::is_mute(name, value));
    form.extend::<Members>(mute);
    request.extra = Extra::with_form(ME, extra, form);
    Ok(request)
}

/// What leans on state that the provider keeps.
fn needs(body: &Object) -> Vec<String> {
    let leans = |name: &&&str| body.peek(name).is_some_and(|value| !value.is_null() && value != false);
    let members = wire::STATEFUL.iter().filter(leans).map(|name| format!("/{name}"));
    let items = body.peek("input").and_then(Value::as_array).into_iter().flatten().enumerate();
    let references = items.filter(|(_, item)| word(item, "type") == Some("item_reference"));
    members.chain(references.map(|(index, _)| format!("/input/{index}"))).collect()
}

/// Takes the inner object `name` apart. It is kept as it was, and what `take` leaves of it only this
/// dialect knows.
fn nested<T: Default>(
    parent: &mut Object,
    form: &mut Members,
    name: &str,
    take: impl FnOnce(&mut Object) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let as_it_was = parent.peek(name).filter(|value| !value.is_null()).cloned();
    let taken = parent.nested(name, take)?;
    put(form, name, as_it_was);
    Ok(taken)
}

/// Reads `include`, and `top_logprobs`, which says nothing without it.
fn include(body: &mut Object, form: &mut Members, request: &mut Request) -> Result<(), Fault> {
    let Some(Value::Array(list)) = body.peek("include") else { return Ok(()) };
    let asks = |value: &Value| value.as_str().is_some_and(|word| wire::INCLUDES.contains(&word));
    let (known, logprobs) = (list.iter().all(asks), list.iter().any(|value| value == wire::LOGPROBS));
    if known {
        form.extend(body.take("include").map(|list| ("include".to_owned(), list)));
    }
    if logprobs {
        request.sampling.logprobs = Some(true);
        request.sampling.top_logprobs = body.small("top_logprobs", u32::MAX)?;
    }
    Ok(())
}

fn turns(body: &mut Object, form: &mut Members, needs_input: bool) -> Result<Vec<Turn>, Fault> {
    let mut turns: Vec<Turn> = Vec::new();
    if let Some(text) = body.string("instructions")? {
        turns.push(plain(Role::System, text));
    }
    let items = match body.take("input") {
        None if needs_input => return Err(Fault::bad("/input", "`input` is missing")),
        None => Vec::new(),
        Some(Value::String(text)) => {
            turns.push(plain(Role::User, text));
            Vec::new()
        }
        Some(Value::Array(items)) => {
            put(form, "input", items.is_empty().then(|| json!([])));
            items
        }
        Some(other) => return Err(wrong("/input", "a string or a list of items", &other)),
    };
    bounded("/input", items.len(), TURNS_MAX)?;
    let mut parts = 0;
    for (index, value) in (0..).zip(items) {
        let at = At { turn: Some(index), part: None };
        let plain = value.get("content").is_some_and(Value::is_string);
        let (role, blocks) = item(value, at, &format!("/input/{index}"))?;
        parts += blocks.len();
        match turns.last_mut() {
            Some(last) if (last.role, role) == (Role::Assistant, Role::Assistant) => {
                last.plain = false;
                last.blocks.extend(blocks);
            }
            _ => turns.push(Turn { blocks, plain, ..Turn::new(role, at) }),
        }
    }
    bounded("/input", parts, PARTS_MAX)?;
    Ok(turns)
}

/// A turn that was a string and no item.
fn plain(role: Role, text: String) -> Turn {
    let blocks = vec![Block::new(Kind::Text(text))];
    Turn { blocks, plain: true, ..Turn::new(role, At::default()) }
}

/// Reads one item, of a request (then `at` names its place) or of an answer.
pub(super) fn item(value: Value, at: At, pointer: &str) -> Result<(Role, Vec<Block>), Fault> {
    if !value.is_object() {
        return Err(wrong(pointer, "an object", &value));
    }
    let named = word(&value, "type").or(value.get("role").map(|_| "message")).unwrap_or_default();
    let need = |name: &str| {
        let missing =
            || Fault::bad(format!("{pointer}/{name}"), format!("`{name}` is missing, or no string"));
        word(&value, name).map(str::to_owned).ok_or_else(missing)
    };
    let one = |kind: Kind| block(kind, at, Members::new());
    let whole = || one(Kind::Opaque { dialect: ME, json: value.clone() });
    let (role, mut blocks) = match named {
        "message" => {
            let said = word(&value, "role").unwrap_or("null");
            let role = shape::role(said, wire::ROLES, format!("{pointer}/role"))?;
            (role, content(value.get("content"), &format!("{pointer}/content"), at)?.0)
        }
        "function_call" => {
            let (id, name) = (need("call_id").or_else(|fault| need("id").map_err(|_| fault))?, need("name")?);
            (Role::Assistant, vec![one(Kind::ToolUse { id, name, input: need("arguments")? })])
        }
        "function_call_output" => {
            let (mut content, plain) = content(value.get("output"), &format!("{pointer}/output"), at)?;
            content.iter_mut().for_each(|block| block.at = at);
            let result = Kind::ToolResult { id: need("call_id")?, error: None, content, plain };
            (Role::Tool, vec![one(result)])
        }
        "reasoning" => (Role::Assistant, vec![one(thoughts(&value))]),
        // What the caller's side gave back.
        other if other == "mcp_approval_response" || other.ends_with("_output") => {
            (Role::User, vec![whole()])
        }
        _ => (Role::Assistant, vec![whole()]),
    };
    if blocks.is_empty() {
        blocks.push(whole());
    }
    let known = wire::ITEMS.iter().find(|row| row.0 == named);
    let said_all = at.turn.is_some() && write::item(role, &blocks).as_ref() == Some(&value);
    // Another issuer's seal goes to no provider of this dialect, so the item does not come back as it was.
    let is_foreign =
        |block: &Block| matches!(&block.kind, Kind::Reasoning { seal: Some(seal), .. } if seal.issuer != ME);
    let strays = at.turn.is_some() && blocks.iter().any(is_foreign);
    if let (Some(known), false) = (known, said_all || strays) {
        keep(&mut blocks, value, known.1);
    }
    Ok((role, blocks))
}

fn block(kind: Kind, at: At, members: Members) -> Block {
    Block { at, extra: Extra::new(ME, members), ..Block::new(kind) }
}

/// Keeps an item with its blocks, and what canonical form does not know of it with the first.
fn keep(blocks: &mut [Block], item: Value, known: &[&str]) {
    let mut others = others(&item, known);
    let mut kept = item;
    for block in blocks {
        others.extend(block.extra.of(ME).cloned().unwrap_or_default());
        let form = Members::from_iter([(ITEM.to_owned(), std::mem::take(&mut kept))]);
        block.extra = Extra::with_form(ME, std::mem::take(&mut others), form);
    }
}

/// The members that are not among the `known` and say something.
fn others(value: &Value, known: &[&str]) -> Members {
    let members = value.as_object().into_iter().flatten();
    let others =
        members.filter(|(name, value)| !known.contains(&name.as_str()) && !wire::is_mute(name, value));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Reads a string or a list of parts, and tells which it was.
fn content(value: Option<&Value>, pointer: &str, at: At) -> Result<(Vec<Block>, bool), Fault> {
    match value.filter(|value| !value.is_null()) {
        None => Ok((Vec::new(), false)),
        Some(said) => shape::content(said.clone(), pointer, at, |value, _| Ok(part(&value, at))),
    }
}

/// Reads one part. One that canonical form cannot hold is kept whole.
fn part(value: &Value, at: At) -> Block {
    let named = word(value, "type").unwrap_or_default();
    let media = |source: Source, name: Option<&str>| Media { source, name: name.map(str::to_owned) };
    let file_id = || word(value, "file_id").map(|id| Source::FileId(id.to_owned()));
    let kind = match named {
        "input_text" | "output_text" => word(value, "text").map(|text| Kind::Text(text.to_owned())),
        "refusal" => word(value, "refusal").map(|text| Kind::Refusal(text.to_owned())),
        "input_image" => {
            let source = word(value, "image_url").map(Source::of_url).or_else(file_id);
            source.map(|source| Kind::Image(media(source, None)))
        }
        "input_file" => {
            let inline = word(value, "file_data").map(Source::of_url);
            let url = || word(value, "file_url").map(|url| Source::Url(url.to_owned()));
            let source = inline.or_else(url).or_else(file_id);
            source.map(|source| Kind::File(media(source, word(value, "filename"))))
        }
        "input_audio" => value.get("input_audio").and_then(openai::read_audio),
        _ => None,
    };
    let known = wire::PARTS.iter().find(|row| row.0 == named).map_or(&[] as &[&str], |row| row.1);
    match kind {
        Some(kind) => block(kind, at, others(value, known)),
        None => block(Kind::Opaque { dialect: ME, json: value.clone() }, at, Members::new()),
    }
}

/// Reads thoughts: summaries (OpenAI), or the thoughts themselves (open models), and their seal. A summary
/// without words is that of another issuer's seal, which covers what comes next.
fn thoughts(item: &Value) -> Kind {
    let list = |name: &str| item.get(name).and_then(Value::as_array).into_iter().flatten();
    let words: Vec<&str> =
        list("summary").chain(list("content")).filter_map(|part| word(part, "text")).collect();
    let text = words.join(PARAGRAPH);
    let data = word(item, "encrypted_content").filter(|data| !data.is_empty());
    let seal = data.map(|data| Seal::brought(data, ME, words.is_empty()));
    Kind::Reasoning { text, seal }
}

/// What stands between the parts of thoughts.
pub(super) const PARAGRAPH: &str = "\n\n";

/// Reads a function; every other type is a tool of the provider's own, or of this dialect's.
fn tool(value: Value, index: usize) -> Result<Tool, Fault> {
    if word(&value, "type") != Some("function") {
        return Ok(Tool { native: Some((ME, value)), ..Tool::default() });
    }
    let mut object = Object::new(value, format!("/tools/{index}"))?;
    object.take("type");
    let tool = openai::read_function(&mut object)?;
    Ok(Tool { extra: object.extra(ME), ..tool })
}

/// Reads a whole answer: <https://platform.openai.com/docs/api-reference/responses/object>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let failed = |value: &Value| {
        let said = |name: &&str| value.get(*name).is_some_and(|said| !said.is_null());
        let is_error = value.get("output").is_none() && ["message", "detail", "code"].iter().any(said);
        if is_error { Some(error_body::told(200, value)) } else { failure("", value) }
    };
    shape::answer(body, failed, message)
}

fn message(value: Value) -> Result<Message, Fault> {
    let list = value.get("output").and_then(Value::as_array);
    let list = list.ok_or_else(|| Fault::bad("/output", "`output` is missing, or no list"))?;
    let (mut blocks, mut logprobs) = (Vec::new(), Vec::new());
    for (index, value) in list.iter().enumerate() {
        blocks.extend(item(value.clone(), At::default(), &format!("/output/{index}"))?.1);
        let parts = value.get("content").and_then(Value::as_array).into_iter().flatten();
        let lists = parts.filter_map(|part| part.get("logprobs").and_then(Value::as_array));
        logprobs.extend(lists.flatten().cloned());
    }
    let called = blocks.iter().any(|block| matches!(block.kind, Kind::ToolUse { .. }));
    let stop = Some(wire::read_stop(&value, "completed", called));
    let logprobs = (!logprobs.is_empty()).then(|| json!({ "content": logprobs }));
    let choices = vec![Choice { blocks, stop, logprobs, ..Choice::new(0) }];
    let usage = value.get("usage").and_then(wire::read_usage);
    Ok(Message { choices, usage, ..head(value) })
}

/// Reads what an answer says of itself. What repeats the request is no loss elsewhere.
pub(super) fn head(response: Value) -> Message {
    let text = |name: &str| word(&response, name).unwrap_or_default().to_owned();
    let (id, model) = (text("id"), text("model"));
    // Bedrock and Azure write the time with a fraction.
    let time = response.get("created_at").map(Value::to_string).unwrap_or_default();
    let created = time.split('.').next().and_then(|seconds| seconds.parse().ok());
    let mut members = json::into_members(response);
    for told in ["id", "model", "created_at", "output", "status", "usage"] {
        members.remove(told);
    }
    members.insert("object".to_owned(), json!("response"));
    let echo = wire::echo();
    let is_echo = |name: &String| echo.contains_key(name) || wire::ALSO_ECHO.contains(&name.as_str());
    let (form, extra) = members.into_iter().partition(|(name, _)| is_echo(name));
    let extra = Extra::with_form(ME, extra, form);
    Message { id, model, created, extra, ..Message::new(ME) }
}

/// The error that an answer or the event `named` is, under the status 200.
pub(super) fn failure(named: &str, value: &Value) -> Option<Fault> {
    let response = value.get("response").unwrap_or(value);
    let said = |value: &Value| value.get("error").is_some_and(|error| !error.is_null());
    let status = word(response, "status").unwrap_or_default();
    let failed = matches!(named, "error" | "response.failed") || matches!(status, "failed" | "cancelled");
    let holder = if said(response) { response } else { value };
    (failed || said(value) || said(response)).then(|| error_body::told(200, holder))
}
