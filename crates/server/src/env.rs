//! Every environment variable, with a line on what it does. Those of providers follow from the table of
//! providers; those of clouds stand where they are read.

use engine::{
    config::environment::{CLOUDS, LATER},
    provider::Provider,
    providers::PROVIDERS,
};

/// A variable.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) what: String,
}

/// Variables that belong to no provider, sorted by name.
#[rustfmt::skip]
const GENERAL: &[(&str, &str)] = &[
    ("CLIENT_API_KEY", "keys with which clients may call"),
    ("CLOUDFLARE_ACCOUNT_ID", "the account in the address of `workers-ai`"),
    ("CORS_ALLOW_ORIGIN", "origins that browsers may call from, separated by commas, or `*`"),
    ("CUSTOM_OPENAI_ENDPOINTS", "providers of your own: a JSON array of `name`, `baseUrl`, `apiKeys`, `models`, `chatCompletionPath`, `modelsPath`"),
    ("DEFAULT_MODEL", "what `model: \"default\"` means"),
    ("ENABLE_GLOBAL_ROUND_ROBIN", "no effect: several keys always take turns"),
    ("GATEWAY_BUSY_MESSAGE", "what those are told who are too many"),
    ("GATEWAY_HEARTBEAT_MS", "milliseconds of silence after which who waits for an answer is sent a comment or a space; 0 or less for never"),
    ("GATEWAY_MAX_CONCURRENT", "requests that are served or wait; more get a 429"),
    ("GATEWAY_MAX_QUEUE", "requests that wait for a limit; 0 for many"),
    ("GATEWAY_PORT", "the port to serve on, on the loopback; counts more than `PORT`"),
    ("LITELLM_MASTER_KEY", "keys with which clients may call"),
    ("LITELLM_URL", "a gateway that takes the model names which nothing else takes"),
    ("LLM_API_KEYS", "keys with which clients may call"),
    ("LLM_SERVER_MAX_CONCURRENT", "requests at once to each of `LLM_UPSTREAM` or `LLM_UPSTREAMS`; the others wait, 25 at most unless `GATEWAY_MAX_QUEUE` says otherwise"),
    ("LLM_UPSTREAM", "a server that takes the model names which nothing else takes; counts more than `LITELLM_URL`"),
    ("LLM_UPSTREAMS", "several such servers, separated by commas; counts more than `LLM_UPSTREAM`"),
    ("NO_COLOR", "no colours in help and messages"),
    ("PORT", "the port to serve on, on the loopback"),
    ("PROXY_API_KEY", "keys with which clients may call"),
    ("SEKISHO_KEYS", "keys with which clients may call"),
    ("SEKISHO_LISTEN", "where to serve: an address with a port; counts more than `GATEWAY_PORT`"),
];

/// What holds for every variable with keys.
pub(crate) const OF_KEYS: &str = "Keys are one text, several separated by commas, or a JSON array; NAME_FILE \
    names a file with them. An empty variable is unset.";

/// Every variable, sorted by name.
pub(crate) fn variables() -> Vec<Variable> {
    let general = GENERAL.iter().chain(CLOUDS).map(|(name, what)| variable(name, (*what).to_owned()));
    let later = LATER.iter().map(|(name, what)| variable(name, format!("no effect yet: {what}")));
    let mut all: Vec<Variable> = general.chain(later).chain(PROVIDERS.iter().flat_map(of_provider)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn of_provider(row: &'static Provider) -> impl Iterator<Item = Variable> {
    let keys = row.key_vars.iter().map(|name| variable(name, format!("keys of `{}`", row.name)));
    let bases = row.base_variables();
    let bases = bases.into_iter().map(|name| variable(&name, format!("where `{}` lives", row.name)));
    keys.chain(bases)
}

fn variable(name: &str, what: String) -> Variable {
    Variable { name: name.to_owned(), what }
}

#[cfg(test)]
mod tests;
