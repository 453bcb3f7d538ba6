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
    ("CF_AIG_TOKEN", "Cloudflare's AI Gateway in front of providers is not built yet"),
];

/// Variables from which the address and the credentials of a cloud follow, with what they say, sorted by name.
#[rustfmt::skip]
pub const CLOUDS: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "an access key for `bedrock`, with `AWS_SECRET_ACCESS_KEY`"),
    ("AWS_CONFIG_FILE", "AWS's file of settings; without it `~/.aws/config`"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "what a container shows for its role"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "a file with the same"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "where a container's role is given out"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the same, as a path on 169.254.170.2"),
    ("AWS_DEFAULT_REGION", "the region of `bedrock`, behind `AWS_REGION`"),
    ("AWS_EC2_METADATA_DISABLED", "`true`: a machine's role is not asked for"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "where a machine's role is given out"),
    ("AWS_ENDPOINT_URL_STS", "where AWS's STS lives"),
    ("AWS_PROFILE", "the profile of AWS's files that is used for `bedrock`"),
    ("AWS_REGION", "the region of `bedrock`"),
    ("AWS_REGION_NAME", "the region of `bedrock`, behind `AWS_DEFAULT_REGION`"),
    ("AWS_ROLE_ARN", "the role that is taken with `AWS_WEB_IDENTITY_TOKEN_FILE`"),
    ("AWS_ROLE_SESSION_NAME", "the name of such a session"),
    ("AWS_SECRET_ACCESS_KEY", "the secret of `AWS_ACCESS_KEY_ID`"),
    ("AWS_SESSION_TOKEN", "the token of a temporary access key"),
    ("AWS_SHARED_CREDENTIALS_FILE", "AWS's file of credentials; without it `~/.aws/credentials`"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "a token with which a role is taken for `bedrock`"),
    ("AZURE_AD_TOKEN", "a token of Entra's for `azure`"),
    ("AZURE_API_VERSION", "the same as `AZURE_OPENAI_API_VERSION`"),
    ("AZURE_AUTHORITY_HOST", "where Entra lives"),
    ("AZURE_CLIENT_ID", "the Entra application, or the managed identity, that asks `azure`"),
    ("AZURE_CLIENT_SECRET", "its secret"),
    ("AZURE_FEDERATED_TOKEN_FILE", "a token that stands in for its secret"),
    ("AZURE_OPENAI_AD_TOKEN", "a token of Entra's for `azure`"),
    ("AZURE_OPENAI_API_VERSION", "the version of `azure`'s older API; without one the newer is asked"),
    ("AZURE_OPENAI_RESOURCE_NAME", "the resource in the address of `azure`"),
    ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "where managed identities are given out"),
    ("AZURE_RESOURCE_NAME", "the same as `AZURE_OPENAI_RESOURCE_NAME`"),
    ("AZURE_TENANT_ID", "the tenant of the Entra application"),
    ("CLOUDSDK_CONFIG", "the folder of gcloud's settings; without it `~/.config/gcloud`"),
    ("GCE_METADATA_HOST", "where Google's metadata server lives"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "a file with Google credentials for `vertex`"),
    ("GOOGLE_CLOUD_LOCATION", "the location of `vertex`; without it `global`"),
    ("GOOGLE_CLOUD_PROJECT", "the project of `vertex`"),
    ("HOME", "where the files of clouds lie"),
    ("IDENTITY_ENDPOINT", "where an Azure App Service gives out its identity"),
    ("IDENTITY_HEADER", "what it wants to see"),
    ("OPENAI_API_VERSION", "the same as `AZURE_OPENAI_API_VERSION`"),
    ("VERTEXAI_LOCATION", "the same as `GOOGLE_CLOUD_LOCATION`; counts more"),
    ("VERTEXAI_PROJECT", "the same as `GOOGLE_CLOUD_PROJECT`; counts more"),
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
