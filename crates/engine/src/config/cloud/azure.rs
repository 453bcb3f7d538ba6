//! Azure OpenAI.

use super::{Facts, Place, Question, Trouble, is_label, is_word, uri};
use crate::{
    cloud::{Proof, Scheme, Signer, Source},
    provider::Provider as Row,
    secret::Secret,
    speech::{Spoken, spoken},
};
use dialect::DialectId::{OpenaiChat, OpenaiResponses};
use http::{HeaderName, HeaderValue};

/// What a token must be good for: <https://learn.microsoft.com/en-us/azure/ai-foundry/openai/how-to/managed-identity>
const RESOURCE: &str = "https://cognitiveservices.azure.com";

const RESOURCES: [&str; 2] = ["AZURE_OPENAI_RESOURCE_NAME", "AZURE_RESOURCE_NAME"];

/// The older API, in which the deployment stands in the path and the version in the query.
const CLASSIC: &[Spoken] = &[
    spoken(OpenaiChat).at("/openai/deployments/{model}/chat/completions?api-version={place}"),
    spoken(OpenaiResponses).at("/openai/responses?api-version={place}"),
];

impl Question<'_> {
    pub(super) fn azure_place(&self, row: &Row) -> Result<Place, Trouble> {
        const VARIABLES: [&str; 3] = ["AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION", "AZURE_API_VERSION"];
        let base = match (&self.base, self.facts.first(&RESOURCES)) {
            (Some(base), _) => bare(base).to_owned(),
            (None, Some(name)) if is_label(name) => format!("https://{name}.openai.azure.com"),
            (None, Some(_)) => {
                let why = "this is not the name of a resource".to_owned();
                return Err(Trouble::Wrong(RESOURCES[0], why));
            }
            (None, None) => return Err(Trouble::Missing("AZURE_OPENAI_ENDPOINT", "base_url")),
        };
        let version = self.said.api_version.as_deref().or_else(|| self.facts.first(&VARIABLES));
        let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        else {
            return Ok(Place::at(base, row.speaks, ""));
        };
        if !is_word(version) {
            return Err(match self.said.api_version {
                Some(_) => Trouble::Member("api_version", "this is not a version of the API"),
                None => Trouble::Wrong(VARIABLES[0], "this is not a version of the API".to_owned()),
            });
        }
        let models = Some("/openai/models?api-version={place}".to_owned());
        let embeds = Some("/openai/deployments/{model}/embeddings?api-version={place}");
        Ok(Place { models, embeds, ..Place::at(base, CLASSIC, version) })
    }

    pub(super) fn azure_signer(&self) -> Result<Option<Signer>, Trouble> {
        let facts = self.facts;
        // Entra's variables say nothing of Azure OpenAI as long as nothing says where it lives.
        if self.base.is_none() && facts.first(&RESOURCES).is_none() && !self.written {
            return Ok(None);
        }
        let token = facts.first(&["AZURE_OPENAI_AD_TOKEN", "AZURE_AD_TOKEN"]);
        let source = match application(facts)? {
            Some(source) => Some(source),
            None if facts.get("IDENTITY_ENDPOINT").is_some() => Some(managed(facts)?),
            None if token.is_some() => token.map(|token| Source::Token(Secret::new(token))),
            None if self.written => Some(managed(facts)?),
            None => None,
        };
        Ok(source.map(|source| Signer { provider: "azure", scheme: Scheme::Bearer, source }))
    }
}

/// The address of a resource, without the paths that people copy along with it.
fn bare(base: &str) -> &str {
    let tails = ["/openai/v1", "/openai"];
    tails.iter().find_map(|tail| base.strip_suffix(tail)).unwrap_or(base)
}

/// An application that shows its secret, or a token from a file.
fn application(facts: &Facts) -> Result<Option<Source>, Trouble> {
    let (Some(tenant), Some(client)) = (facts.get("AZURE_TENANT_ID"), facts.get("AZURE_CLIENT_ID")) else {
        return Ok(None);
    };
    let secret = facts.get("AZURE_CLIENT_SECRET").map(|secret| Proof::Secret(Secret::new(secret)));
    let file = || facts.get("AZURE_FEDERATED_TOKEN_FILE").map(|path| Proof::File(path.to_owned()));
    let Some(proof) = secret.or_else(file) else { return Ok(None) };
    if !is_word(tenant) {
        return Err(Trouble::Wrong("AZURE_TENANT_ID", "this is not the id or name of a tenant".to_owned()));
    }
    let path = format!("/{tenant}/oauth2/v2.0/token");
    let url = facts.address("AZURE_AUTHORITY_HOST", "https://", "login.microsoftonline.com", &path)?;
    Ok(Some(Source::EntraClient { url, client: client.to_owned(), proof }))
}

/// The identity of the App Service, or else of the machine.
fn managed(facts: &Facts) -> Result<Source, Trouble> {
    let client = match facts.get("AZURE_CLIENT_ID") {
        Some(client) if is_word(client) => format!("&client_id={client}"),
        Some(_) => return Err(Trouble::Wrong("AZURE_CLIENT_ID", "this is not an id".to_owned())),
        None => String::new(),
    };
    let asks = |version: &str| format!("?api-version={version}&resource={RESOURCE}{client}");
    if let Some((url, shown)) = facts.get("IDENTITY_ENDPOINT").zip(facts.get("IDENTITY_HEADER")) {
        let wrong = || Trouble::Wrong("IDENTITY_HEADER", "this cannot stand in a header".to_owned());
        let mut value = HeaderValue::from_str(shown).map_err(|_| wrong())?;
        value.set_sensitive(true);
        let url = uri("IDENTITY_ENDPOINT", &(url.to_owned() + &asks("2019-08-01")))?;
        return Ok(Source::EntraManaged {
            url,
            header: (HeaderName::from_static("x-identity-header"), value),
        });
    }
    let path = format!("/metadata/identity/oauth2/token{}", asks("2018-02-01"));
    let url = facts.address("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://", "169.254.169.254", &path)?;
    let header = (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
    Ok(Source::EntraManaged { url, header })
}
