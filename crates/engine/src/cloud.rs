//! Clouds: providers whose address hangs on a region, a project or a resource, and whose requests are signed
//! with credentials that run out. Here stands what an operator's configuration made of it; a door fetches
//! the credentials.

pub mod profile;

use crate::{secret::Secret, sign};
use http::{HeaderName, HeaderValue, Uri};

/// A provider that is more than a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Azure OpenAI: <https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference>
    Azure,
    /// Amazon Bedrock: <https://docs.aws.amazon.com/bedrock/latest/APIReference>
    Bedrock,
    /// Google's Vertex AI: <https://cloud.google.com/vertex-ai/generative-ai/docs>
    Vertex,
}

impl Cloud {
    /// Members of the file that mean something to it and to no other provider.
    #[must_use]
    pub fn members(self) -> &'static [&'static str] {
        match self {
            Cloud::Azure => &["api_version"],
            Cloud::Bedrock => &["region"],
            Cloud::Vertex => &["project", "region"],
        }
    }

    /// Variables that switch it on without a key.
    #[must_use]
    pub fn switches(self) -> &'static [&'static str] {
        match self {
            Cloud::Azure => {
                &["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "AZURE_AD_TOKEN"]
            }
            Cloud::Bedrock => &[
                "AWS_ACCESS_KEY_ID",
                "AWS_PROFILE",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            ],
            Cloud::Vertex => &["GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"],
        }
    }
}

/// What a request to a provider without a plain key needs before it is sent.
pub struct Signer {
    /// The provider's name, for the log.
    pub provider: &'static str,
    /// What is done with the credentials.
    pub scheme: Scheme,
    /// Where they come from.
    pub source: Source,
}

/// What is done with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// AWS Signature Version 4, for that service in that region.
    SigV4 {
        /// The region.
        region: String,
        /// The name by which the service signs.
        service: &'static str,
    },
}

/// Where credentials come from.
pub enum Source {
    /// A token as it is.
    Token(Secret),
    /// An application of Entra ID, with its secret or with a token that another issuer wrote into a file:
    /// <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
    EntraClient {
        /// The token endpoint.
        url: Uri,
        /// The application's id.
        client: String,
        /// What shows that it is the application.
        proof: Proof,
    },
    /// A managed identity of the machine:
    /// <https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
    EntraManaged {
        /// The address, its query complete.
        url: Uri,
        /// The header that it demands.
        header: (HeaderName, HeaderValue),
    },
    /// A service account of Google's, with its private key:
    /// <https://developers.google.com/identity/protocols/oauth2/service-account>
    GoogleAccount {
        /// The token endpoint.
        url: Uri,
        /// The account.
        email: String,
        /// The id of the key, where the file says it.
        key_id: Option<String>,
        /// The private key, as PEM.
        key: Secret,
    },
    /// A person who has logged in with `gcloud auth application-default login`.
    GoogleUser {
        /// The token endpoint.
        url: Uri,
        /// The id of the program that he logged in with.
        client: String,
        /// Its secret.
        secret: Secret,
        /// His refresh token.
        refresh: Secret,
    },
    /// Google's metadata server: <https://cloud.google.com/compute/docs/metadata/overview>
    GoogleMetadata {
        /// The address.
        url: Uri,
    },
    /// An access key.
    AwsKeys(sign::aws::Credentials),
    /// The access key of a profile. The files are read each time: other programs write new keys into them.
    AwsProfile {
        /// The file of credentials, then the file of settings.
        files: [String; 2],
        /// The profile.
        profile: String,
    },
    /// A role that is taken with a token in a file:
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
    AwsWebIdentity {
        /// The address of STS.
        url: Uri,
        /// The role.
        role: String,
        /// The name of the session.
        session: String,
        /// The file.
        token_file: String,
    },
    /// The role of a container: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
    AwsContainer {
        /// The address.
        url: Uri,
        /// What goes into `Authorization`.
        token: Option<Proof>,
    },
    /// The role of a virtual machine:
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>
    AwsInstance {
        /// The metadata service, without a slash at the end.
        url: String,
    },
}

/// Something that proves who we are: a secret, or a file with one that is read each time.
pub enum Proof {
    /// The secret.
    Secret(Secret),
    /// The file's path.
    File(String),
}

impl Source {
    /// What it is, in words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Source::Token(_) => "a token as it is",
            Source::EntraClient { proof: Proof::Secret(_), .. } => "an Entra application",
            Source::EntraClient { .. } => "an Entra workload identity",
            Source::EntraManaged { .. } => "a managed identity of Azure",
            Source::GoogleAccount { .. } => "a Google service account",
            Source::GoogleUser { .. } => "a Google user's login",
            Source::GoogleMetadata { .. } => "Google's metadata server",
            Source::AwsKeys(_) => "an AWS access key",
            Source::AwsProfile { .. } => "an AWS profile",
            Source::AwsWebIdentity { .. } => "an AWS web identity",
            Source::AwsContainer { .. } => "an AWS container role",
            Source::AwsInstance { .. } => "an AWS instance role",
        }
    }
}
