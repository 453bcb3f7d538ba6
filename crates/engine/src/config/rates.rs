//! How much may be asked, in a minute and at once.

use super::{draft::Draft, file, problem::Problem, values::Duration};
use crate::{
    access, hint,
    limits::{QUEUE, QUEUE_MAX, QUEUE_WAIT, RATES_MAX, TIMEOUT_CEILING},
    plan::Plan,
    rates::{self, Of, Queue, Rule, caller_id},
    time::Span,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// The limits of one thing: a `provider`, a `key` of it, a `model`, or a `caller`. What is left out is not limited.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// A provider that is on.
    pub provider: Option<String>,
    /// With `provider`: one of its keys, by its number from 1, or `"*"` for each of them.
    #[schemars(extend("type" = ["string", "integer", "null"]))]
    pub key: Option<String>,
    /// A target (`provider/model`), or a name of yours, which is limited wherever it leads.
    pub model: Option<String>,
    /// `"*"` for each caller, one of the client keys for a limit of his own in place of that, `all` for all
    /// callers together.
    #[schemars(extend("writeOnly" = true))]
    pub caller: Option<String>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute, of prompts and answers.
    pub tpm: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u32>,
    /// Of a `caller` (one, or `"*"`): how urgent his requests are where they wait. Default `normal`. With the
    /// header `x-sekisho-priority` a request says that it is less.
    pub priority: Option<Priority>,
}

/// How urgent a request is that waits. The more urgent are called first, but of ten who are called one at least
/// is of a lower class, as long as such wait. A full queue loses those of the lowest class first.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Somebody sits before it.
    Interactive,
    /// What nothing is said of.
    Normal,
    /// Nobody sits before it.
    Batch,
}

/// Where requests wait that a limit holds up. Callers of one priority take turns in it.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Waits {
    /// Requests that wait at most, up to 10000; 0 for none. Default 25.
    pub size: Option<u32>,
    /// How long one waits at most. Default `60s`.
    pub wait: Option<Duration>,
}

/// Why nothing can be made of an entry: the member that is wrong, and what is wrong with it.
type Wrong = Box<(&'static str, Problem)>;

impl Draft<'_> {
    pub(super) fn rates(&mut self, plan: &mut Plan, written: &file::Limits) {
        if written.rates.len() > RATES_MAX {
            self.wrong(&["limits", "rates"], Problem::new(format!("{RATES_MAX} limits are the most")));
            return;
        }
        for (index, rate) in written.rates.iter().enumerate() {
            self.rate(plan, &index.to_string(), rate);
        }
        if plan.rates.rules.len() > RATES_MAX {
            self.wrong(&["limits", "rates"], Problem::new(format!("{RATES_MAX} limits are the most")));
        }
        self.upstream_slots(plan);
        self.crowd(plan, written);
        self.queue(plan, written);
        let (each, own) = (plan.rates.priorities.each, &plan.rates.priorities.own);
        if (each.is_some() || !own.is_empty()) && plan.rates.queue.is_none() {
            self.note("`priority` has no effect: there is no `limits.queue`".to_owned());
        }
    }

    fn rate(&mut self, plan: &mut Plan, index: &str, rate: &Rate) {
        let path = ["limits", "rates", index];
        if self.is_reported(&path) {
            return;
        }
        match limited(plan, rate) {
            Ok(all) => {
                for (id, of) in all {
                    if let Some(priority) = rate.priority
                        && !prioritize(plan, &of, priority.into())
                    {
                        let problem =
                            Problem::new("this caller has a priority already").hint("write it in one entry");
                        return self.wrong(&[&path[..], &["priority"]].concat(), problem);
                    }
                    if limits_nothing(rate) {
                        continue;
                    }
                    if plan.rates.rules.iter().any(|rule| rule.of == of) {
                        self.wrong(
                            &path,
                            Problem::new("this is limited already").hint("write it in one entry"),
                        );
                        return;
                    }
                    let Rate { rpm, tpm, concurrent, .. } = *rate;
                    plan.rates.rules.push(Arc::new(Rule { id, of, rpm, tpm, concurrent }));
                }
            }
            // Something is wrong with the provider or the name, and that has been said.
            Err(_) if rate.caller.is_none() && self.is_reported(&["providers"]) => {}
            Err(_) if rate.model.is_some() && self.is_reported(&["models"]) => {}
            Err(_)
                if rate.caller.is_some()
                    && (self.is_reported(&["keys"]) || self.is_reported(&["keys_file"])) => {}
            Err(wrong) => {
                let (member, problem) = *wrong;
                let inside = [&path[..], &[member]].concat();
                self.wrong(if member.is_empty() { &path } else { &inside }, problem);
            }
        }
    }

    /// `LLM_SERVER_MAX_CONCURRENT`: what each of `LLM_UPSTREAMS` does at once.
    fn upstream_slots(&mut self, plan: &mut Plan) {
        const NAME: &str = "LLM_SERVER_MAX_CONCURRENT";
        let Some(text) = self.environment.get(NAME) else { return };
        let Ok(number) = text.trim().parse::<i64>() else {
            return self.wrong_variable(NAME, "this is not a whole number");
        };
        let most = u32::try_from(number.max(1)).unwrap_or(u32::MAX);
        let upstreams: Vec<usize> =
            plan.default_upstream.into_iter().chain(plan.spare_upstreams.clone()).collect();
        if upstreams.is_empty() {
            return self.note(format!("`{NAME}` has no effect: there is no `LLM_UPSTREAM`"));
        }
        for provider in upstreams {
            let of = Of::Provider(provider);
            if !plan.rates.rules.iter().any(|rule| rule.of == of) {
                let id = provider_id(plan, provider);
                let rule = Rule { id, of, rpm: None, tpm: None, concurrent: Some(most) };
                plan.rates.rules.push(Arc::new(rule));
            }
        }
    }

    fn crowd(&mut self, plan: &mut Plan, written: &file::Limits) {
        if written.requests == Some(0) {
            self.wrong(&["limits", "requests"], Problem::new("this must be 1 at least"));
        }
        let number = match written.requests {
            Some(number) => Some(number),
            // The predecessor took what is not above 0 for no limit.
            None => self.number("GATEWAY_MAX_CONCURRENT").filter(|number| *number > 0),
        };
        plan.rates.requests = number.and_then(|number| usize::try_from(number).ok());
        plan.rates.busy =
            written.busy_message.clone().or_else(|| self.environment.get("GATEWAY_BUSY_MESSAGE"));
    }

    fn queue(&mut self, plan: &mut Plan, written: &file::Limits) {
        if let Some(Waits { size, wait }) = &written.queue {
            let size = size.map_or(Ok(QUEUE), usize::try_from).unwrap_or(usize::MAX);
            if size > QUEUE_MAX {
                self.wrong(
                    &["limits", "queue", "size"],
                    Problem::new(format!("this must be {QUEUE_MAX} at most")),
                );
            }
            let wait = wait.map_or(QUEUE_WAIT, |Duration(span)| span);
            if wait == Span::ZERO || wait > TIMEOUT_CEILING {
                let what = "this must be more than nothing and 24 hours at most";
                self.wrong(&["limits", "queue", "wait"], Problem::new(what));
            }
            plan.rates.queue = (size > 0).then_some(Queue { size, wait });
            return;
        }
        // The predecessor's queue, which knew no end of waiting; it was there wherever its slots were limited.
        let slots =
            self.environment.get("LLM_SERVER_MAX_CONCURRENT").is_some() && !plan.rates.rules.is_empty();
        let size = match self.number("GATEWAY_MAX_QUEUE") {
            Some(0) => QUEUE_MAX,
            Some(size) => usize::try_from(size).unwrap_or(usize::MAX).min(QUEUE_MAX),
            None if slots => QUEUE,
            None => return,
        };
        plan.rates.queue = Some(Queue { size, wait: plan.timeouts.total });
    }

    /// A number in a variable; what is below nothing is nothing.
    fn number(&mut self, name: &str) -> Option<u32> {
        let text = self.environment.get(name)?;
        let Ok(number) = text.trim().parse::<i64>() else {
            self.wrong_variable(name, "this is not a whole number");
            return None;
        };
        Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }
}

/// What an entry limits: one thing, or each key of a provider.
fn limited(plan: &Plan, rate: &Rate) -> Result<Vec<(Arc<str>, Of)>, Wrong> {
    let numbers = [("rpm", rate.rpm), ("tpm", rate.tpm), ("concurrent", rate.concurrent.map(u64::from))];
    if let Some((member, _)) = numbers.iter().find(|(_, number)| *number == Some(0)) {
        let problem = Problem::new("this must be 1 at least");
        return Err(Box::new((member, problem.hint("`enabled: false` switches a provider off"))));
    }
    let one_caller = rate.caller.as_deref().is_some_and(|caller| caller != "all");
    if rate.priority.is_some() && !one_caller {
        let problem = Problem::new("only a caller has a priority");
        return Err(Box::new(("priority", problem.hint("write `caller: \"*\"`, or one of the client keys"))));
    }
    if limits_nothing(rate) && rate.priority.is_none() {
        let problem = Problem::new("this limits nothing").hint("write `rpm`, `tpm` or `concurrent`");
        return Err(Box::new(("", problem)));
    }
    match (&rate.provider, &rate.key, &rate.model, &rate.caller) {
        (Some(provider), None, None, None) => {
            let index = provider_of(plan, provider).map_err(|problem| Box::new(("provider", problem)))?;
            Ok(vec![(provider_id(plan, index), Of::Provider(index))])
        }
        (Some(provider), Some(key), None, None) => {
            let index = provider_of(plan, provider).map_err(|problem| Box::new(("provider", problem)))?;
            keys(plan, index, key)
        }
        (None, None, Some(model), None) => {
            Ok(vec![model_of(plan, model).map_err(|problem| Box::new(("model", problem)))?])
        }
        (None, None, None, Some(caller)) => Ok(vec![caller_of(plan, caller)?]),
        _ => {
            let hint = "write `provider`, `provider` and `key`, `model`, or `caller`";
            Err(Box::new(("", Problem::new("an entry limits one thing").hint(hint))))
        }
    }
}

fn limits_nothing(rate: &Rate) -> bool {
    rate.rpm.is_none() && rate.tpm.is_none() && rate.concurrent.is_none()
}

/// Gives callers their priority, where they have none yet.
fn prioritize(plan: &mut Plan, of: &Of, priority: rates::Priority) -> bool {
    let priorities = &mut plan.rates.priorities;
    let before = match of {
        Of::EachCaller => priorities.each.replace(priority),
        Of::Caller(index) => priorities.own.insert(*index, priority),
        _ => None,
    };
    before.is_none()
}

impl From<Priority> for rates::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Interactive => rates::Priority::Interactive,
            Priority::Normal => rates::Priority::Normal,
            Priority::Batch => rates::Priority::Batch,
        }
    }
}

fn provider_id(plan: &Plan, index: usize) -> Arc<str> {
    format!("provider {}", plan.providers.get(index).map_or("", |provider| provider.name.as_str())).into()
}

fn provider_of(plan: &Plan, name: &str) -> Result<usize, Problem> {
    plan.provider(name).ok_or_else(|| {
        let near = hint::nearest(name, plan.providers.iter().map(|provider| provider.name.as_str()));
        let problem = Problem::new("no provider of this name is on");
        Problem { hint: near.map(|near| format!("did you mean `{near}`?")), ..problem }
    })
}

fn keys(plan: &Plan, provider: usize, key: &str) -> Result<Vec<(Arc<str>, Of)>, Wrong> {
    let count = plan.providers.get(provider).map_or(0, |provider| provider.keys.len());
    let chosen = match key {
        "*" if count > 0 => 0..count,
        number => match number.parse::<usize>() {
            Ok(number) if (1..=count).contains(&number) => number - 1..number,
            _ => {
                let problem = Problem::new(format!("the provider has {count} keys"));
                return Err(Box::new((
                    "key",
                    problem.hint("write the number of one, from 1, or `\"*\"` for each"),
                )));
            }
        },
    };
    let id = |key| format!("{} key {}", provider_id(plan, provider), key + 1).into();
    Ok(chosen.map(|key| (id(key), Of::Key(provider, key))).collect())
}

fn model_of(plan: &Plan, name: &str) -> Result<(Arc<str>, Of), Problem> {
    let id = format!("model {name}").into();
    if plan.aliases.contains_key(name) {
        return Ok((id, Of::Name(name.to_owned())));
    }
    let target = name.split_once('/').filter(|(_, model)| !model.is_empty());
    if let Some((provider, model)) = target
        && let Some(index) = plan.provider(provider)
    {
        let id = format!("model {}/{model}", provider_id(plan, index)).into();
        return Ok((id, Of::Target(index, model.to_owned())));
    }
    let near = hint::nearest(name, plan.aliases.keys().map(String::as_str));
    let near = near.map(|near| format!("did you mean `{near}`?"));
    let otherwise = || "write a name that stands in `models`, or `provider/model`".to_owned();
    let problem = Problem::new("no model of this name is here");
    Err(Problem { hint: near.or_else(|| Some(otherwise())), ..problem })
}

fn caller_of(plan: &Plan, caller: &str) -> Result<(Arc<str>, Of), Wrong> {
    match caller {
        "*" => return Ok(("each caller".into(), Of::EachCaller)),
        "all" => return Ok(("all callers".into(), Of::Callers)),
        _ => {}
    }
    let hash = access::hash(caller);
    match plan.access.keys.iter().position(|key| *key == hash) {
        Some(index) => Ok((caller_id(&hash), Of::Caller(index))),
        None => {
            let hint = "write one of `keys`, `\"*\"` for each caller, or `all` for all together";
            Err(Box::new(("caller", Problem::new("this is none of the client keys").hint(hint))))
        }
    }
}
