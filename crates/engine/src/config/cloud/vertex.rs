//! Google's Vertex AI.

use super::{Place, Question, Trouble, is_label, is_word, uri};
use crate::{
    cloud::{Scheme, Signer, Source},
    provider::Provider as Row,
    secret::Secret,
};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The type of a person's file.
const USER: &str = "authorized_user";

/// Where refresh tokens are taken, for files that do not say it.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// A file of Google's with credentials: <https://cloud.google.com/docs/authentication/application-default-credentials>
#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    r#type: String,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    client_id: String,
    client_secret: String,
    refresh_token: String,
}

impl Question<'_> {
    pub(super) fn vertex_place(&self, row: &Row) -> Result<Place, Trouble> {
        let location = self.facts.first(&["VERTEXAI_LOCATION", "GOOGLE_CLOUD_LOCATION"]);
        let location = self.said.region.as_deref().or(location).unwrap_or("global");
        if !is_label(location) {
            return Err(match self.said.region {
                Some(_) => Trouble::Member("region", "this is not a location"),
                None => Trouble::Wrong("GOOGLE_CLOUD_LOCATION", "this is not a location".to_owned()),
            });
        }
        let base = self.base.clone().unwrap_or_else(|| match location {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            location => format!("https://{location}-aiplatform.googleapis.com"),
        });
        // A version in the address is that of an SDK; the paths have their own.
        let base = base.trim_end_matches("/v1").trim_end_matches("/v1beta1").to_owned();
        let inner = match self.vertex_project() {
            // An API key belongs to a project.
            None if self.keyed => String::new(),
            None => return Err(Trouble::Missing("GOOGLE_CLOUD_PROJECT", "project")),
            Some(project) if is_word(&project) => format!("projects/{project}/locations/{location}"),
            Some(_) if self.said.project.is_some() => {
                return Err(Trouble::Member("project", "this is not the id of a project"));
            }
            Some(_) => {
                let why = "this is not the id of a project".to_owned();
                return Err(Trouble::Wrong("GOOGLE_CLOUD_PROJECT", why));
            }
        };
        Ok(Place { headers: self.payer(), ..Place::at(base, row.speaks, &inner) })
    }

    /// A person's requests are paid for by a project that he names
    /// (<https://cloud.google.com/docs/quotas/set-quota-project>).
    fn payer(&self) -> Vec<(HeaderName, HeaderValue)> {
        let file = if self.keyed { None } else { self.credentials().ok().flatten() };
        let project = file.filter(|file| file.r#type == USER).and_then(|file| file.quota_project_id);
        let value = project.and_then(|project| HeaderValue::from_str(&project).ok());
        value.map(|value| (HeaderName::from_static("x-goog-user-project"), value)).into_iter().collect()
    }

    fn vertex_project(&self) -> Option<String> {
        let said = self.facts.first(&["VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT"]);
        let said = self.said.project.as_deref().or(if self.keyed { None } else { said });
        let file = || self.credentials().ok().flatten();
        said.map(str::to_owned).or_else(|| file().and_then(|file| file.project_id.or(file.quota_project_id)))
    }

    pub(super) fn vertex_signer(&self) -> Result<Option<Signer>, Trouble> {
        let wanted = self.written || self.facts.first(&["VERTEXAI_PROJECT", FILE]).is_some();
        if !wanted {
            return Ok(None);
        }
        let source = match self.credentials()? {
            Some(file) => file.source()?,
            None => {
                let path = "/computeMetadata/v1/instance/service-accounts/default/token";
                let default = "metadata.google.internal";
                let url = self.facts.address("GCE_METADATA_HOST", "http://", default, path)?;
                Source::GoogleMetadata { url }
            }
        };
        Ok(Some(Signer { provider: "vertex", scheme: Scheme::Bearer, source }))
    }

    /// The file that is named, or the one that gcloud writes, if it is there.
    fn credentials(&self) -> Result<Option<Credentials>, Trouble> {
        let wrong = |why: String| Trouble::Wrong(FILE, why);
        let text = match self.facts.get(FILE) {
            Some(path) => {
                let text = (self.read_file)(path);
                text.map_err(|why| wrong(format!("this file cannot be read: {why}")))?
            }
            None => {
                let folder = self.facts.get("CLOUDSDK_CONFIG").map(str::to_owned);
                let folder = folder.or_else(|| self.facts.home(".config/gcloud"));
                let path = folder.map(|folder| format!("{folder}/application_default_credentials.json"));
                let Some(text) = path.and_then(|path| (self.read_file)(&path).ok()) else { return Ok(None) };
                text
            }
        };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|_| wrong("this file is not JSON with credentials".to_owned()))
    }
}

impl Credentials {
    fn source(self) -> Result<Source, Trouble> {
        let wrong = |why: &str| Err(Trouble::Wrong(FILE, why.to_owned()));
        let url = uri(FILE, self.token_uri.as_deref().unwrap_or(TOKEN_URL))?;
        match self.r#type.as_str() {
            "service_account" if self.client_email.is_empty() || self.private_key.is_empty() => {
                wrong("this file has no `client_email` or no `private_key`")
            }
            "service_account" => Ok(Source::GoogleAccount {
                url,
                email: self.client_email,
                key_id: self.private_key_id,
                key: Secret::new(self.private_key),
            }),
            USER => Ok(Source::GoogleUser {
                url,
                client: self.client_id,
                secret: Secret::new(self.client_secret),
                refresh: Secret::new(self.refresh_token),
            }),
            _ => wrong("this file's `type` is neither `service_account` nor `authorized_user`"),
        }
    }
}
