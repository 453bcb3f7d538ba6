//! What we run: checked whole, names resolved, immutable.

use crate::{
    provider::{Auth, ModelList, Operation},
    secret::Secret,
    time::Span,
};
use dialect::DialectId;
use http::{HeaderName, HeaderValue, Uri};
use std::collections::BTreeMap;

/// A configuration, checked whole. Never changed, only replaced.
pub struct Plan {
    /// Who may call.
    pub access: Access,
    /// The providers that are on, in the order of the table, a user's own behind them.
    pub providers: Vec<Provider>,
    /// Names that the operator has given: aliases with their ordered targets.
    pub aliases: BTreeMap<String, Vec<Aim>>,
    /// What `model: "default"` means, as a model name.
    pub default_model: Option<String>,
    /// The provider that takes names which nothing else takes (`LLM_UPSTREAM`, `LITELLM_URL`): an index
    /// into `providers`.
    pub default_upstream: Option<usize>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Attempts in all for one request.
    pub attempts: u32,
    /// Whom CORS answers, if anybody.
    pub cors: Option<Cors>,
    /// Largest request body, in bytes.
    pub body_max: usize,
    /// Losses are refused for every request.
    pub strict: bool,
}

/// Who may call.
pub struct Access {
    /// SHA-256 of each client key.
    pub keys: Vec<[u8; 32]>,
}

/// A provider that is on.
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Other spellings of its name.
    pub aka: Vec<String>,
    /// The dialect it speaks.
    pub dialect: DialectId,
    /// Where it lives, without a slash at the end.
    pub base: String,
    /// How it wants its key.
    pub auth: Auth,
    /// Its keys; empty where it wants none.
    pub keys: Vec<Secret>,
    /// Headers that go with every request to it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Path of [`Operation::Generate`], behind the base.
    pub generate: String,
    /// Path and shape of its model list, where it has one.
    pub models: Option<(String, ModelList)>,
    /// Models that the operator listed by hand; then the provider is not asked.
    pub listed: Vec<String>,
    /// It lives in this process: the provider `demo`.
    pub built_in: bool,
}

/// One target of an alias, or what a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Index into [`Plan::providers`].
    pub provider: usize,
    /// The model's name as that provider knows it.
    pub model: String,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the TCP (and TLS) connection stands.
    pub connect: Span,
    /// Until the first byte of the answer's head.
    pub first_byte: Span,
    /// Between two pieces of the answer.
    pub idle: Span,
    /// The whole exchange.
    pub total: Span,
}

/// Whom CORS answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Everybody (`*`).
    Any,
    /// These origins, to the letter.
    Origins(Vec<String>),
}

impl Plan {
    /// The provider of that name or other spelling: its index.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|p| p.name == name || p.aka.iter().any(|other| other == name))
    }
}

impl Provider {
    /// The address of `operation`.
    #[must_use]
    pub fn url(&self, operation: Operation) -> Option<Uri> {
        let path = match operation {
            Operation::Generate => self.generate.clone(),
            Operation::CountTokens if self.dialect == DialectId::Anthropic => {
                format!("{}/count_tokens", self.generate)
            }
            Operation::CountTokens => return None,
        };
        format!("{}{path}", self.base).parse().ok()
    }
}
