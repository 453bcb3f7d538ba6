//! Bytes of this dialect into canonical form: requests and answers.

use super::wire::{self, ME};
use crate::{
    Fault,
    canon::{At, Block, Choice, Extra, Kind, Message, Request, Role, Sampling, Turn},
    error_body,
    json::{self, Object, put, wrong},
    openai, shape,
};
use serde_json::{Map, Value};

/// Members whose form is kept: canonical form carries what they say, not how they say it.
type Kept = Map<String, Value>;

/// Reads a request: <https://platform.openai.com/docs/api-reference/completions/create>
///
/// Where there is no `max_tokens`, there is no limit. OpenAI's own servers stop at 16 tokens then, but that is
/// their default and no wish of the caller's: llama.cpp, Ollama and LM Studio go on to the end, and a model that
/// thinks first would say nothing within 16.
pub(super) fn request(body: &[u8]) -> Result<Request, Fault> {
    let mut object = Object::new(json::parse(body)?, "")?;
    let mut kept = Kept::new();
    let mut request = Request::new(ME, object.need_string("model")?);
    match prompt(&mut object, &mut kept)? {
        Some(text) => request.turns.push(turn(text)),
        None => request.needs.push("/prompt".to_owned()),
    }
    request.sampling = sampling(&mut object, &mut kept)?;
    let is_limit = object.peek("max_tokens").and_then(Value::as_i64).is_none_or(|limit| limit >= 0);
    request.limit = if is_limit { object.whole("max_tokens")? } else { None };
    request.stream = object.boolean("stream")?;
    request.stream_usage = openai::stream_usage(&mut object, &mut kept);
    request.user = object.string("user")?;
    let n = request.sampling.n.unwrap_or(1);
    let (mute, rest) = object.rest().into_iter().partition(|(name, value)| wire::is_mute(name, value, n));
    kept.extend::<Kept>(mute);
    request.extra = Extra::with_form(ME, rest, kept);
    Ok(request)
}

/// The one prompt, where there is one and it is text. Of a list of one the form is kept; everything else
/// stays where it is.
fn prompt(object: &mut Object, kept: &mut Kept) -> Result<Option<String>, Fault> {
    let text = match object.peek("prompt") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(text)] => text.clone(),
            [] => return Err(Fault::bad("/prompt", "`prompt` is empty")),
            _ => return Ok(None),
        },
        // vLLM takes prompts in other members, `prompt_embeds` say.
        None | Some(Value::Null) => return Ok(None),
        Some(other) => return Err(wrong("/prompt", "a string or a list", other)),
    };
    let prompt = object.take("prompt").filter(Value::is_array);
    put(kept, "prompt", prompt);
    Ok(Some(text))
}

fn turn(text: String) -> Turn {
    let blocks = vec![Block::new(Kind::Text(text))];
    Turn { blocks, plain: true, ..Turn::new(Role::User, At::default()) }
}

fn sampling(object: &mut Object, kept: &mut Kept) -> Result<Sampling, Fault> {
    let top = logprobs(object, kept);
    Ok(Sampling { logprobs: top.map(|_| true), top_logprobs: top, ..openai::read_sampling(object, kept)? })
}

/// Takes `logprobs`, a number of alternatives; 0 asks for the chosen tokens alone. `false` is no wish.
fn logprobs(object: &mut Object, kept: &mut Kept) -> Option<u32> {
    let value = object.take("logprobs")?;
    let top = value.as_u64().and_then(|top| u32::try_from(top).ok());
    match (&value, top) {
        (_, Some(_)) => {}
        (Value::Bool(false), _) => put(kept, "logprobs", Some(value)),
        _ => object.put("logprobs", value),
    }
    top
}

/// Reads a whole answer: <https://platform.openai.com/docs/api-reference/completions/object>
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    shape::answer(body, error_body::in_answer, |value| openai::read_answer(ME, value, choice))
}

/// Reads one of `choices`. What it holds beside its text is diagnosis, whose form is kept.
fn choice(value: Value, position: usize, _id: &str) -> Result<Choice, Fault> {
    let mut object = Object::new(value, format!("/choices/{position}"))?;
    let index = object.whole("index")?.unwrap_or(position as u64);
    let thought = thoughts(|name| object.take(name));
    let thought = thought.map(|text| Block::new(Kind::Reasoning { text, seal: None }));
    let text = object.string("text")?.filter(|text| !text.is_empty());
    let blocks = thought.into_iter().chain(text.map(|text| Block::new(Kind::Text(text)))).collect();
    let stop = object.string("finish_reason")?.map(|word| wire::read_stop(&word));
    let logprobs = object.peek("logprobs").and_then(wire::read_logprobs);
    object.take("logprobs");
    let extra = Extra::with_form(ME, Map::new(), object.rest());
    Ok(Choice { index: u32::try_from(index).unwrap_or(u32::MAX), blocks, stop, logprobs, extra })
}

/// The thoughts beside a text, which have two names.
pub(super) fn thoughts(mut take: impl FnMut(&str) -> Option<Value>) -> Option<String> {
    let words = ["reasoning", "reasoning_content"].map(&mut take).into_iter().flatten();
    words.into_iter().find_map(|value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}
