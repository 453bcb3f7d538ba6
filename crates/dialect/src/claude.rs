//! What Claude wants of a request, whoever serves it: how it thinks, and which wishes it refuses.

use crate::{
    Fault, Target,
    canon::{Effort, Reasoning, Request, Sampling, Tool},
    json::Object,
    limits::{OUTPUT_TOKENS_DEFAULT, THINKING_BUDGET_MIN},
    pen::Notes,
    schema,
};
use serde_json::{Number, Value, json};

/// Efforts: the word of `output_config.effort`, and the thinking budget in tokens that stands for it on
/// models that know budgets alone. There is no word below `low`.
const EFFORTS: &[(&str, Effort, u64)] = &[
    ("low", Effort::Low, 2_048),
    ("medium", Effort::Medium, 8_192),
    ("high", Effort::High, 16_384),
    ("max", Effort::Max, 32_000),
    ("low", Effort::Minimal, 1_024),
];

/// Wishes that there is no member for.
const UNKNOWN: &[&str] = &["frequency_penalty", "presence_penalty", "seed", "n", "logprobs", "top_logprobs"];

/// Reads `thinking`.
///
/// # Errors
/// A fault when its budget is missing or no number.
pub(crate) fn read_thinking(thinking: &mut Object) -> Result<Option<Reasoning>, Fault> {
    let reasoning = match thinking.peek("type").and_then(Value::as_str) {
        Some("adaptive") => Reasoning::Adaptive(None),
        Some("disabled") => Reasoning::Off,
        Some("enabled") => match thinking.whole("budget_tokens")? {
            Some(budget) => Reasoning::Budget(budget),
            None => return Err(Fault::bad(thinking.at("budget_tokens"), "`budget_tokens` is missing")),
        },
        _ => return Ok(None),
    };
    thinking.take("type");
    Ok(Some(reasoning))
}

/// The effort that a word means.
pub(crate) fn read_effort(word: &str) -> Effort {
    Effort::of_word(EFFORTS, word)
}

/// Writes `thinking` and `output_config.effort`, each `null` where it is not said.
pub(crate) fn write_thinking(reasoning: Option<&Reasoning>) -> (Value, Value) {
    let word = |effort: &Effort| match effort {
        Effort::Other(word) => json!(word),
        known => json!(known.row(EFFORTS).map_or("high", |(word, _)| word)),
    };
    match reasoning {
        None => (Value::Null, Value::Null),
        Some(Reasoning::Off) => (json!({ "type": "disabled" }), Value::Null),
        Some(Reasoning::Budget(budget)) => {
            (json!({ "type": "enabled", "budget_tokens": budget }), Value::Null)
        }
        Some(Reasoning::Adaptive(effort)) => {
            (json!({ "type": "adaptive" }), effort.as_ref().map_or(Value::Null, word))
        }
        Some(Reasoning::Effort(effort)) => (Value::Null, word(effort)),
    }
}

/// How long the answer may be, and how the model thinks, where the conversation lets it (`may_think`).
/// Another dialect's wish is fitted: every model that thinks understands a budget, only the newest adaptive
/// thinking. The budget must be under the limit, so that is raised, and a caller whose limit was for the
/// answer alone loses nothing. <https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>
pub(crate) fn fit_reasoning(
    request: &Request,
    target: &Target<'_>,
    may_think: bool,
    notes: &mut Notes,
) -> (u64, Option<Reasoning>) {
    let limit = request.limit.or(target.max_output).unwrap_or(OUTPUT_TOKENS_DEFAULT);
    let budget = match &request.reasoning {
        as_it_is @ (None | Some(Reasoning::Off)) => return (limit, as_it_is.clone()),
        as_it_is if notes.own => return (limit, as_it_is.clone()),
        Some(Reasoning::Budget(0)) => return (limit, Some(Reasoning::Off)),
        Some(Reasoning::Adaptive(_)) => None,
        Some(Reasoning::Budget(budget)) => Some(*budget),
        Some(Reasoning::Effort(effort)) => Some(effort.row(EFFORTS).map_or(0, |(_, budget)| budget)),
    };
    let most = target.max_output.unwrap_or(u64::MAX);
    let why = match budget {
        Some(0) => "no such effort is known",
        Some(_) if most <= 2 * THINKING_BUDGET_MIN => "the model writes too few tokens to think",
        _ if !may_think => "the last answer begins without signed thoughts",
        None => return (limit, request.reasoning.clone()),
        Some(budget) => {
            // A quarter of what the model can write stays for the answer.
            let budget = budget.clamp(THINKING_BUDGET_MIN, most - most / 4);
            let limit = if limit > budget { limit } else { limit.saturating_add(budget).min(most) };
            return (limit, Some(Reasoning::Budget(budget)));
        }
    };
    notes.losses.note("/reasoning_effort", why);
    (limit, None)
}

/// Another dialect's wishes without what is refused or has no member; one that asks for nothing is no loss.
/// Temperatures end at 1. A model that thinks takes no other, and newer models take either a temperature or
/// `top_p`, of which 1 is the same as none.
pub(crate) fn fit_sampling(request: &Request, thinks: bool, notes: &mut Notes) -> Sampling {
    let wish = &request.sampling;
    let number = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64).unwrap_or(1.0);
    let (temperature, top_p) = (number(&wish.temperature), number(&wish.top_p));
    let both = wish.temperature.is_some() && !thinks;
    let is_blank = |word: &String| word.trim().is_empty();
    let rows = [
        ("temperature", thinks && temperature != 1.0, "a model that thinks takes only 1"),
        ("temperature", temperature > 1.0, "it goes no higher than 1"),
        ("top_k", thinks && wish.top_k.is_some(), "a model that thinks takes none"),
        ("top_p", thinks && top_p < 0.95, "a model that thinks takes none under 0.95"),
        ("top_p", both && top_p != 1.0, "newer models take only one of it and `temperature`"),
        ("stop", wish.stop.iter().any(is_blank), "a stop sequence must hold more than white space"),
    ];
    let lost: Vec<_> = rows.into_iter().filter(|(_, lost, _)| *lost).collect();
    lost.iter().for_each(|(name, _, why)| notes.losses.note(format!("/{name}"), why));
    notes.sampling(request, UNKNOWN);
    let keeps = |name: &str| lost.iter().all(|(lost, ..)| *lost != name);
    let most = (temperature > 1.0 && !thinks).then(|| Number::from(1));
    Sampling {
        temperature: wish.temperature.clone().filter(|_| keeps("temperature")).or(most),
        top_p: wish.top_p.clone().filter(|_| keeps("top_p") && top_p != 1.0),
        top_k: wish.top_k.clone().filter(|_| keeps("top_k")),
        stop: wish.stop.iter().filter(|word| !is_blank(word)).cloned().collect(),
        ..Sampling::default()
    }
}

/// A schema, which stands at `inner`, in words that the model keeps to; without such the wish at `pointer` is
/// lost.
pub(crate) fn keep_to(schema: &Value, pointer: &str, inner: &str, notes: &mut Notes) -> Option<Value> {
    if notes.own {
        return Some(schema.clone());
    }
    let lowered = schema::lower(schema, inner, &mut notes.losses);
    lowered.map_err(|why| notes.losses.note(pointer, why)).ok()
}

/// The schema of a tool, and whether the model must keep to it exactly.
pub(crate) fn strict(tool: &Tool, index: usize, notes: &mut Notes) -> (Option<Value>, Option<bool>) {
    let Some(schema) = tool.schema.as_ref().filter(|_| tool.strict == Some(true)) else {
        return (tool.schema.clone(), tool.strict.filter(|strict| notes.own || *strict));
    };
    let (pointer, inner) = (format!("/tools/{index}/strict"), format!("/tools/{index}/parameters"));
    match keep_to(schema, &pointer, &inner, notes) {
        Some(kept) => (Some(kept), Some(true)),
        None => (tool.schema.clone(), None),
    }
}
