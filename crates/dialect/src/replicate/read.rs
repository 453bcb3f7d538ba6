//! Predictions into canonical form: <https://replicate.com/docs/topics/predictions>

use super::wire::{self, ME};
use crate::{
    Fault, FaultKind, Follow,
    canon::{Block, Choice, Extra, Kind, Message, Stop, StopReason},
    error_body,
    json::{self, Object},
};
use serde_json::{Map, Value};

/// How a prediction may stand: <https://replicate.com/docs/topics/predictions/lifecycle>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unfinished,
    Succeeded,
    Failed,
}

const STATUSES: &[(&str, Status)] = &[
    ("starting", Status::Unfinished),
    ("processing", Status::Unfinished),
    ("succeeded", Status::Succeeded),
    ("failed", Status::Failed),
    ("canceled", Status::Failed),
    // It was given up before it began.
    ("aborted", Status::Failed),
];

fn status_of(members: &Map<String, Value>) -> Option<(&str, Status)> {
    let word = members.get("status")?.as_str()?;
    STATUSES.iter().find(|(known, _)| *known == word).copied()
}

/// Where an unfinished prediction goes on. A model that cannot stream has no address for it.
pub(super) fn next_step(body: &[u8], streamed: bool) -> Option<Follow> {
    let prediction = json::members(body, &["status", "urls"])?;
    let (_, status) = status_of(&prediction)?;
    let url = |name: &str| Some(prediction.get("urls")?.get(name)?.as_str()?.to_owned());
    match status {
        Status::Unfinished if streamed => {
            url("stream").map(Follow::Stream).or_else(|| url("get").map(Follow::Poll))
        }
        Status::Unfinished => url("get").map(Follow::Poll),
        Status::Succeeded | Status::Failed => None,
    }
}

/// Reads a finished prediction. One that is not is no answer, and one that failed is its own error.
pub(super) fn response(body: &[u8]) -> Result<Message, Fault> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the provider's answer is not valid JSON: {error}")))?;
    match value.as_object().and_then(status_of) {
        Some((_, Status::Succeeded)) => {}
        Some((word, Status::Failed)) => return Err(wire::failure(word, value.get("error"))),
        Some((word, Status::Unfinished)) => {
            let words = format!("the provider's prediction is still `{word}`");
            return Err(Fault::new(FaultKind::UpstreamTruncated, words));
        }
        None if value.get("detail").is_some() || value.get("title").is_some() => {
            return Err(error_body::told(200, &value));
        }
        None => return Err(invalid("the provider's answer is no prediction".to_owned())),
    }
    message(value).map_err(|fault| invalid(format!("the provider's answer is not readable: {fault}")))
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::UpstreamInvalid, message)
}

/// What a prediction says of itself and of its request; it is no loss to others.
const DIAGNOSIS: &[&str] = &[
    "completed_at",
    "created_at",
    "data_removed",
    "deadline",
    "deployment",
    "error",
    "input",
    "source",
    "started_at",
    "status",
    "stream",
    "urls",
    "version",
    "webhook_completed",
];

fn message(value: Value) -> Result<Message, Fault> {
    let mut prediction = Object::new(value, "")?;
    let id = prediction.string("id")?.unwrap_or_default();
    let model = prediction.string("model")?.unwrap_or_default();
    let logs = prediction.string("logs")?.unwrap_or_default();
    let metrics = prediction.object("metrics")?.map(Object::rest);
    let usage = wire::read_usage(metrics.as_ref(), &logs);
    let blocks = vec![Block::new(Kind::Text(text(prediction.take("output"))))];
    let stop = Some(Stop::new(StopReason::End, "succeeded"));
    let choices = vec![Choice { index: 0, blocks, stop, logprobs: None, extra: Extra::NONE }];
    let (told, rest) =
        prediction.rest().into_iter().partition(|(name, _)| DIAGNOSIS.contains(&name.as_str()));
    let extra = Extra::with_form(ME, rest, told);
    Ok(Message { from: ME, id, model, created: None, choices, usage, extra })
}

/// The words of an output: a string, or a list of the pieces in which they came. A model whose output is
/// something else tells it as JSON.
fn text(output: Option<Value>) -> String {
    match output {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(pieces)) if pieces.iter().all(Value::is_string) => {
            pieces.iter().filter_map(Value::as_str).collect()
        }
        Some(other) => other.to_string(),
    }
}
