//! How much may be asked in a minute, and how much at once: what the operator allows.

use crate::{
    access::Caller,
    headers::PRIORITY,
    limits::TOKENS_A_REQUEST,
    plan::{Aim, Plan},
    time::Span,
};
use dialect::Fault;
use http::HeaderMap;
use memchr::memmem;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Each for one thing, or for each of a kind.
    pub rules: Vec<Arc<Rule>>,
    /// Where requests wait that a limit holds up; without it they are refused.
    pub queue: Option<Queue>,
    /// Requests that are served or wait, all together. More are refused at once.
    pub requests: Option<usize>,
    /// How urgent requests are that wait.
    pub priorities: Priorities,
    /// What those are told whom [`Rates::requests`] or a full queue refuses.
    pub busy: Option<String>,
}

/// A queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Most requests that wait.
    pub size: usize,
    /// The longest that one waits.
    pub wait: Span,
}

/// How urgent a request is that waits; the most urgent is called first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody sits before it.
    Interactive,
    /// What nothing is said of.
    #[default]
    Normal,
    /// Nobody sits before it.
    Batch,
}

/// How urgent the requests of callers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priorities {
    /// Of each caller of whom nothing else is said.
    pub each: Option<Priority>,
    /// Of callers, by their place in [`crate::plan::Access::keys`].
    pub own: BTreeMap<usize, Priority>,
}

/// The limits of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is known by, also to the next plan.
    pub id: Arc<str>,
    /// Whom it limits.
    pub of: Of,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Requests at once.
    pub concurrent: Option<u32>,
}

/// What a rule limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// A provider, as an index into [`Plan::providers`].
    Provider(usize),
    /// One of its keys.
    Key(usize, usize),
    /// A model of a provider.
    Target(usize, String),
    /// A name that the operator gave, wherever it leads.
    Name(String),
    /// One caller.
    Caller(usize),
    /// Each caller for whom there is no rule of his own.
    EachCaller,
    /// All callers together.
    Callers,
}

impl Rates {
    /// Nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.requests.is_none()
    }

    /// How urgent a request of `caller` is, unless he says that it is less.
    #[must_use]
    pub fn priority(&self, caller: Caller) -> Priority {
        let own = caller.0.and_then(|index| self.priorities.own.get(&index).copied());
        own.or(self.priorities.each).unwrap_or_default()
    }

    /// The rules for a request of `caller`, who wrote `model`.
    pub fn of_request(&self, caller: Caller, model: &str) -> impl Iterator<Item = &Arc<Rule>> {
        let is_own = move |rule: &&Arc<Rule>| matches!(rule.of, Of::Caller(index) if caller.0 == Some(index));
        let has_own = self.rules.iter().any(|rule| is_own(&rule));
        self.rules.iter().filter(move |rule| match &rule.of {
            Of::Callers => true,
            Of::EachCaller => !has_own,
            Of::Caller(_) => is_own(rule),
            Of::Name(name) => name == model,
            _ => false,
        })
    }

    /// The rules for an attempt at `aim`, those for keys apart.
    pub fn of_target(&self, aim: &Aim) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(|rule| match &rule.of {
            Of::Provider(provider) => *provider == aim.provider,
            Of::Target(provider, model) => *provider == aim.provider && *model == aim.model,
            _ => false,
        })
    }

    /// The rules for keys of `provider`.
    pub fn of_keys(&self, provider: usize) -> impl Iterator<Item = (usize, &Arc<Rule>)> {
        self.rules.iter().filter_map(move |rule| match rule.of {
            Of::Key(of, key) if of == provider => Some((key, rule)),
            _ => None,
        })
    }
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Priority; 3] = [Priority::Interactive, Priority::Normal, Priority::Batch];

    /// Its name, in configuration and in the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Priority::Interactive => "interactive",
            Priority::Normal => "normal",
            Priority::Batch => "batch",
        }
    }

    /// How urgent its caller says that a request is.
    ///
    /// # Errors
    /// He says something else.
    pub fn said(headers: &HeaderMap) -> Result<Option<Priority>, Fault> {
        let Some(value) = headers.get(PRIORITY) else { return Ok(None) };
        let found = Priority::ALL.into_iter().find(|priority| value == priority.name());
        let wrong =
            || Fault::bad(PRIORITY, format!("`{PRIORITY}` must be `interactive`, `normal` or `batch`"));
        found.map(Some).ok_or_else(wrong)
    }
}

impl Of {
    /// In words.
    #[must_use]
    pub fn whose(&self, plan: &Plan) -> String {
        let name = |provider: usize| plan.providers.get(provider).map_or("?", |provider| &provider.name);
        match self {
            Of::Provider(provider) => format!("provider `{}`", name(*provider)),
            Of::Key(provider, key) => format!("key {} of provider `{}`", key + 1, name(*provider)),
            Of::Target(provider, model) => format!("model `{}/{model}`", name(*provider)),
            Of::Name(model) => format!("model `{model}`"),
            Of::Caller(index) => format!("caller {}", index + 1),
            Of::EachCaller => "each caller".to_owned(),
            Of::Callers => "all callers".to_owned(),
        }
    }
}

impl Rule {
    /// What it is known by where `caller` is limited: one of many, each for himself.
    #[must_use]
    pub fn id(&self, plan: &Plan, caller: Caller) -> Arc<str> {
        let hash = caller.0.and_then(|index| plan.access.keys.get(index));
        match (&self.of, hash) {
            (Of::EachCaller, Some(hash)) => caller_id(hash),
            _ => self.id.clone(),
        }
    }
}

/// What a caller is known by, whatever his place in the list.
#[must_use]
pub fn caller_id(hash: &[u8; 32]) -> Arc<str> {
    let digits = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("caller {}", digits.collect::<String>()).into()
}

/// For the operator: `500 requests a minute, 50 at once`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rpm = self.rpm.map(|rpm| format!("{rpm} requests a minute"));
        let tpm = self.tpm.map(|tpm| format!("{tpm} tokens a minute"));
        let concurrent = self.concurrent.map(|concurrent| format!("{concurrent} at once"));
        let all: Vec<String> = [rpm, tpm, concurrent].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

/// About how many tokens a request may cost, prompt and answer: by its length, and by the longest answer that it
/// asks for. Nothing is parsed: a text that looks like such a member misleads it, and the truth settles it.
#[must_use]
pub fn tokens(body: &[u8]) -> u64 {
    const LIMITS: &[&str] =
        &["\"max_tokens\"", "\"max_completion_tokens\"", "\"max_output_tokens\"", "\"maxOutputTokens\""];
    let said = LIMITS.iter().filter_map(|name| {
        let behind = body.get(memmem::find(body, name.as_bytes())? + name.len()..)?;
        let number = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let digits = number.iter().take(9).take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    });
    crate::estimate::most(body.len()).saturating_add(said.max().unwrap_or(TOKENS_A_REQUEST))
}
