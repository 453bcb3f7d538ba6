//! What the environment says. An empty variable is unset.

use super::{World, values};
use crate::{provider::Provider, secret::Secret};

/// Variables that hold keys with which clients may call. All that are set count.
pub const CLIENT_KEYS: &[&str] =
    &["SEKISHO_KEYS", "PROXY_API_KEY", "CLIENT_API_KEY", "LLM_API_KEYS", "LITELLM_MASTER_KEY"];

/// Variables that say where names go which nothing else takes. The first that is set counts.
pub const UPSTREAMS: &[&str] = &["LLM_UPSTREAMS", "LLM_UPSTREAM", "LITELLM_URL"];

/// Variables of the predecessors that are known and have no effect yet, with what will take them.
#[rustfmt::skip]
pub const LATER: &[(&str, &str)] = &[
    ("AI_GATEWAY_NAME", "Cloudflare's AI Gateway in front of providers is not built yet"),
    ("AZURE_OPENAI_API_KEY", "Azure is not built yet, use a provider of your own with `auth: api-key`"),
    ("AZURE_OPENAI_ENDPOINT", "Azure is not built yet, use a provider of your own with `auth: api-key`"),
    ("CF_AIG_TOKEN", "Cloudflare's AI Gateway in front of providers is not built yet"),
    ("GATEWAY_BUSY_MESSAGE", "queues are not built yet"),
    ("GATEWAY_HEARTBEAT_MS", "heartbeats are not built yet"),
    ("GATEWAY_MAX_CONCURRENT", "queues are not built yet"),
    ("GATEWAY_MAX_QUEUE", "queues are not built yet"),
    ("LLM_SERVER_MAX_CONCURRENT", "queues are not built yet"),
];

/// The environment, or nothing where the configuration switched it off.
pub(super) struct Environment<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) on: bool,
}

impl Environment<'_> {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = if self.on { (self.world.env)(name)? } else { return None };
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The texts of a variable that are separated by commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let value = self.get(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }

    /// The keys in a variable, or in the file that `<NAME>_FILE` names.
    ///
    /// The error names the variable that is wrong and says why.
    pub(super) fn keys(&self, name: &str) -> Result<Option<Vec<Secret>>, (String, String)> {
        let (name, text) = match self.get(name) {
            Some(text) => (name.to_owned(), text),
            None => {
                let name = format!("{name}_FILE");
                let Some(path) = self.get(&name) else { return Ok(None) };
                let read = (self.world.read_file)(&path);
                let text = read.map_err(|why| (name.clone(), format!("this file cannot be read: {why}")))?;
                (name, text.lines().map(str::trim).collect::<Vec<_>>().join(","))
            }
        };
        let keys = values::keys(&text).map_err(|why| (name, why.to_owned()))?;
        Ok(Some(keys).filter(|keys| !keys.is_empty()))
    }

    /// The keys of a provider of the table: the first of its variables that is set.
    pub(super) fn provider_keys(&self, row: &Provider) -> Result<Vec<Secret>, (String, String)> {
        for name in row.key_vars {
            if let Some(keys) = self.keys(name)? {
                return Ok(keys);
            }
        }
        Ok(Vec::new())
    }

    /// Where a provider of the table lives: the first of its variables that is set, with its name.
    pub(super) fn provider_base(&self, row: &Provider) -> Option<(String, String)> {
        row.base_variables().into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }
}
