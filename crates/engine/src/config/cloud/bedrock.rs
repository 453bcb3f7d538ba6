//! Amazon Bedrock.

use super::{Facts, Place, Question, Trouble, is_label, uri};
use crate::{
    cloud::{Proof, Scheme, Signer, Source, profile},
    provider::Provider as Row,
    secret::Secret,
    sign::aws::Credentials,
};
use http::Uri;

const REGIONS: [&str; 3] = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_REGION_NAME"];
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// Hosts that give out a container's role and speak plain HTTP:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const CONTAINER_HOSTS: [&str; 6] =
    ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1", "[::1]", "localhost"];

impl Question<'_> {
    pub(super) fn bedrock_place(&self, row: &Row) -> Result<Place, Trouble> {
        let host = |service: &str, region: &str| {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{service}.{region}.{domain}")
        };
        let (base, models) = match &self.base {
            Some(base) => (base.clone(), None),
            None => {
                let region = self.region()?.ok_or(Trouble::Missing(REGIONS[0], "region"))?;
                // The list of models is another service's.
                let models = row.models.map(|(path, _)| host("bedrock", &region) + path);
                (host("bedrock-runtime", &region), models)
            }
        };
        Ok(Place { models, ..Place::at(base, row.speaks, "") })
    }

    /// The region, as far as anybody says it.
    fn region(&self) -> Result<Option<String>, Trouble> {
        let said = self.said.region.clone().or_else(|| self.facts.first(&REGIONS).map(str::to_owned));
        let files = || self.files().into_iter().rev().flatten();
        let filed = || {
            files().find_map(|path| {
                let text = (self.read_file)(&path).ok()?;
                profile::value(&text, self.profile(), "region").map(str::to_owned)
            })
        };
        match said.or_else(filed) {
            Some(region) if is_label(&region) => Ok(Some(region)),
            Some(_) if self.said.region.is_some() => {
                Err(Trouble::Member("region", "this is not the name of a region"))
            }
            Some(_) => Err(Trouble::Wrong(REGIONS[0], "this is not the name of a region".to_owned())),
            None => Ok(None),
        }
    }

    /// The access key of the environment, a profile's, a web identity, a container's role, a machine's: in
    /// this order AWS's own libraries look for them.
    pub(super) fn bedrock_signer(&self) -> Result<Option<Signer>, Trouble> {
        let source = match access_key(self.facts).or_else(|| self.profiled()) {
            Some(source) => Some(source),
            None => match self.web_identity()? {
                Some(source) => Some(source),
                None => match container(self.facts)? {
                    Some(source) => Some(source),
                    None => self.instance()?,
                },
            },
        };
        let Some(source) = source else { return Ok(None) };
        let region = self.region()?.or_else(|| self.base.as_deref().and_then(region_in));
        let region = region.ok_or(Trouble::Missing(REGIONS[0], "region"))?;
        Ok(Some(Signer { provider: "bedrock", scheme: Scheme::SigV4 { region, service: "bedrock" }, source }))
    }

    fn profile(&self) -> &str {
        self.facts.get("AWS_PROFILE").unwrap_or("default")
    }

    /// The file of credentials, and that of settings.
    fn files(&self) -> [Option<String>; 2] {
        let file =
            |variable, path| self.facts.get(variable).map(str::to_owned).or_else(|| self.facts.home(path));
        [file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), file("AWS_CONFIG_FILE", ".aws/config")]
    }

    /// A profile that is named, or the usual one, if it has a key and the file names this provider.
    fn profiled(&self) -> Option<Source> {
        if self.facts.get("AWS_PROFILE").is_none() && !self.written {
            return None;
        }
        let files = self.files();
        let has_keys = |path: &String| {
            (self.read_file)(path).is_ok_and(|text| profile::keys(&text, self.profile()).is_some())
        };
        if !files.iter().flatten().any(has_keys) {
            return None;
        }
        let files = files.map(Option::unwrap_or_default);
        Some(Source::AwsProfile { files, profile: self.profile().to_owned() })
    }

    fn web_identity(&self) -> Result<Option<Source>, Trouble> {
        let facts = self.facts;
        let Some((file, role)) = facts.get("AWS_WEB_IDENTITY_TOKEN_FILE").zip(facts.get("AWS_ROLE_ARN"))
        else {
            return Ok(None);
        };
        let host = match self.region()? {
            Some(region) => format!("sts.{region}.amazonaws.com"),
            None => "sts.amazonaws.com".to_owned(),
        };
        let url = facts.address("AWS_ENDPOINT_URL_STS", "https://", &host, "/")?;
        let session = facts.get("AWS_ROLE_SESSION_NAME").unwrap_or("sekisho").to_owned();
        Ok(Some(Source::AwsWebIdentity { url, role: role.to_owned(), session, token_file: file.to_owned() }))
    }

    /// The machine's role, which nothing but asking can tell of: so it is asked for only where the file names
    /// this provider.
    fn instance(&self) -> Result<Option<Source>, Trouble> {
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        let off = self.facts.get("AWS_EC2_METADATA_DISABLED").unwrap_or_default();
        if !self.written || off.eq_ignore_ascii_case("true") {
            return Ok(None);
        }
        let url = self.facts.get(ENDPOINT).unwrap_or("http://169.254.169.254").trim_end_matches('/');
        uri(ENDPOINT, url)?;
        Ok(Some(Source::AwsInstance { url: url.to_owned() }))
    }
}

fn access_key(facts: &Facts) -> Option<Source> {
    let secret = |name| facts.get(name).map(Secret::new);
    Some(Source::AwsKeys(Credentials {
        access_key: facts.get("AWS_ACCESS_KEY_ID")?.to_owned(),
        secret: secret("AWS_SECRET_ACCESS_KEY")?,
        session: secret("AWS_SESSION_TOKEN"),
    }))
}

fn container(facts: &Facts) -> Result<Option<Source>, Trouble> {
    let relative = facts.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = match (relative, facts.get(FULL_URI)) {
        (Some(path), _) => {
            let address = format!("http://169.254.170.2/{}", path.trim_start_matches('/'));
            uri("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &address)?
        }
        (None, Some(address)) => uri(FULL_URI, address).and_then(trusted)?,
        (None, None) => return Ok(None),
    };
    let file = facts.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Proof::File(path.to_owned()));
    let plain = || facts.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|it| Proof::Secret(Secret::new(it)));
    Ok(Some(Source::AwsContainer { url, token: file.or_else(plain) }))
}

/// Credentials come over TLS, or from this machine.
fn trusted(url: Uri) -> Result<Uri, Trouble> {
    let near = url.host().is_some_and(|host| CONTAINER_HOSTS.contains(&host));
    if near || url.scheme_str() == Some("https") {
        return Ok(url);
    }
    Err(Trouble::Wrong(FULL_URI, "this must be https, or a host of this machine".to_owned()))
}

/// The region in an address of AWS's own.
fn region_in(base: &str) -> Option<String> {
    let host = base.split_once("://")?.1.strip_prefix("bedrock-runtime.")?;
    let (region, _) = host.split_once(".amazonaws.com")?;
    is_label(region).then(|| region.to_owned())
}
