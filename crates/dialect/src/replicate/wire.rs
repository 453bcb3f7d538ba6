//! The words of Replicate, and what its models call their inputs.

use crate::{
    DialectId, Fault, FaultKind,
    canon::{Effort, Extra, Reasoning, Usage},
    error_body,
    fault::Upstream,
};
use serde_json::{Map, Value, json};

/// This dialect.
pub(super) const ME: DialectId = DialectId::Replicate;

/// What the models of one owner call their inputs. Each has a page of them, such as
/// <https://replicate.com/anthropic/claude-4-sonnet/api/schema>
pub(super) struct Inputs {
    /// Instructions.
    pub(super) system: &'static str,
    /// The most tokens of the answer.
    pub(super) limit: &'static str,
    /// Pictures, and whether it takes more than one.
    pub(super) pictures: (&'static str, bool),
    thinking: Thinking,
}

/// How a model is told to think.
enum Thinking {
    /// It is not.
    Not,
    /// By a word.
    Effort(&'static str),
    /// By tokens; where nobody asks for thoughts there are none.
    Budget { tokens: &'static str, switch: Option<&'static str> },
}

#[rustfmt::skip]
const OWNERS: &[(&str, Inputs)] = &[
    ("anthropic", Inputs {
        system: "system_prompt", limit: "max_tokens", pictures: ("image", false),
        thinking: Thinking::Budget { tokens: "thinking_budget_tokens", switch: Some("extended_thinking") },
    }),
    ("google", Inputs {
        system: "system_instruction", limit: "max_output_tokens", pictures: ("images", true),
        thinking: Thinking::Budget { tokens: "thinking_budget", switch: None },
    }),
    ("openai", Inputs {
        system: "system_prompt", limit: "max_completion_tokens", pictures: ("image_input", true),
        thinking: Thinking::Effort("reasoning_effort"),
    }),
];

/// What most others have: Meta's, and what is built with the usual templates.
const USUAL: Inputs = Inputs {
    system: "system_prompt",
    limit: "max_tokens",
    pictures: ("image", false),
    thinking: Thinking::Not,
};

/// The inputs of a model.
pub(super) fn inputs(model: &str) -> &'static Inputs {
    let owner = model.split('/').next().unwrap_or_default();
    OWNERS.iter().find(|(name, _)| *name == owner).map_or(&USUAL, |(_, inputs)| inputs)
}

/// Efforts: the word, and the tokens that stand for it.
const EFFORTS: &[(Effort, &str, u64)] = &[
    (Effort::Minimal, "minimal", 1_024),
    (Effort::Low, "low", 1_024),
    (Effort::Medium, "medium", 8_192),
    (Effort::High, "high", 24_576),
    (Effort::Max, "high", 24_576),
];

impl Inputs {
    /// The inputs that say how to think; `None` where the model cannot be told so.
    pub(super) fn thinking(&self, wish: &Reasoning) -> Option<Vec<(&'static str, Value)>> {
        let known = |effort: &Effort| EFFORTS.iter().find(|(known, ..)| known == effort);
        match (&self.thinking, wish) {
            (_, Reasoning::Adaptive(None)) => Some(Vec::new()),
            (Thinking::Effort(name), Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort))) => {
                known(effort).map(|(_, word, _)| vec![(*name, (*word).into())])
            }
            (Thinking::Effort(name), Reasoning::Budget(tokens)) => {
                let fits = EFFORTS.iter().filter(|(effort, ..)| *effort != Effort::Minimal);
                let word =
                    fits.rev().find(|(_, _, least)| least <= tokens).map_or("low", |(_, word, _)| word);
                Some(vec![(*name, word.into())])
            }
            (Thinking::Budget { tokens: name, switch }, wish) => {
                let tokens = match wish {
                    Reasoning::Budget(tokens) => *tokens,
                    Reasoning::Effort(effort) | Reasoning::Adaptive(Some(effort)) => known(effort)?.2,
                    Reasoning::Off | Reasoning::Adaptive(None) => 0,
                };
                let budget = (switch.is_none() || tokens > 0).then(|| (*name, tokens.into()));
                Some(switch.map(|name| (name, (tokens > 0).into())).into_iter().chain(budget).collect())
            }
            (Thinking::Not | Thinking::Effort(_), _) => None,
        }
    }
}

/// Reads usage out of a prediction's metrics, or out of its log, which is where OpenAI's models tell it.
/// <https://replicate.com/docs/topics/predictions#prediction-object>
pub(super) fn read_usage(metrics: Option<&Map<String, Value>>, logs: &str) -> Option<Usage> {
    let metric = |names: [&str; 2]| names.iter().find_map(|name| metrics?.get(*name)?.as_u64());
    let input =
        metric(["input_token_count", "token_input_count"]).or_else(|| logged(logs, "Input token count:"));
    let output =
        metric(["output_token_count", "token_output_count"]).or_else(|| logged(logs, "Output token count:"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let output = output.unwrap_or(0);
    let reasoning = logged(logs, "Reasoning tokens:").unwrap_or(0).min(output);
    let native = metrics.cloned().unwrap_or_default();
    Some(Usage {
        input: input.unwrap_or(0),
        output: output - reasoning,
        reasoning,
        native: Extra::new(ME, native),
        ..Usage::default()
    })
}

/// The last number behind these words.
fn logged(logs: &str, words: &str) -> Option<u64> {
    let behind = logs.rsplit_once(words)?.1.trim_start();
    let digits = behind.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The codes in a failed prediction's error, most often in brackets at its end, where they tell more than its
/// words: <https://replicate.com/docs/reference/error-codes>. Those of three digits are of official models.
const CODES: &[(&str, FaultKind)] = &[
    ("E003", FaultKind::UpstreamOverloaded),
    ("E004", FaultKind::UpstreamOverloaded),
    ("E005", FaultKind::ContentFiltered),
    ("E006", FaultKind::BadRequest),
    ("E6716", FaultKind::UpstreamTimeout),
];

/// The fault of a prediction that did not succeed. `error` is words, or an object with words; `status` is the
/// prediction's own word for how it ended.
pub(super) fn failure(status: &str, error: Option<&Value>) -> Fault {
    let said = match error {
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(json!({"message": text.trim()})),
        Some(Value::Object(_)) => error.cloned(),
        _ => None,
    };
    let said = said.unwrap_or_else(|| json!({"message": format!("the provider's prediction was {status}")}));
    let fault = error_body::told(200, &said);
    let mut words = fault.message.split(|letter: char| !letter.is_ascii_alphanumeric());
    let code = words.find_map(|word| CODES.iter().find(|(code, _)| *code == word));
    let named = code.map(|(code, _)| (*code).to_owned());
    let upstream = Some(Box::new(Upstream { status: 200, kind: None, code: named }));
    Fault { kind: code.map_or(fault.kind, |(_, kind)| *kind), upstream, ..fault }
}
