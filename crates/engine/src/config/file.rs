//! What an operator may write in `sekisho.yaml`. The comments here are the documentation of the file: the
//! published schema is made of them.

use super::{
    facts::ModelFacts,
    models::Model,
    rates::{Rate, Waits},
    values::{Duration, Keys, Names, Percent, Size},
};
use crate::{
    plan::{self, LogFormat},
    provider,
};
use dialect::DialectId;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, collections::BTreeMap};

/// The configuration of sekisho. Everything may be left out. `${NAME}` and `${NAME:-default}` stand for
/// variables of the environment in any value, `$$` for a dollar.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "sekisho.yaml")]
pub struct Config {
    /// Where the schema of this file is, for editors.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// Where clients are served: an address with a port, or a port of the loopback. Default `127.0.0.1:8787`.
    pub listen: Option<String>,
    /// Keys with which clients may call: one, several separated by commas, or a list. Without any, only the
    /// loopback is served. They take the place of those in the environment.
    pub keys: Option<Keys>,
    /// A file with such keys, one in a line.
    pub keys_file: Option<String>,
    /// Origins that browsers may call from: `"*"`, one, or a list. Default: none.
    pub cors: Option<Names>,
    /// Refuses a request, with a 400, when a part of it cannot be carried to the provider. Default `false`:
    /// the answer says in a header what was lost.
    pub strict: bool,
    /// What `model: "default"` means.
    pub default_model: Option<String>,
    /// Providers that take the model names which nothing else takes, in this order. The first also takes what
    /// names no model: files, batches.
    pub default_provider: Option<Names>,
    /// Switches providers on by the keys in the environment, and takes the other variables that
    /// `sekisho env` lists. What the file says counts more. Default `true`; `${NAME}` works either way.
    pub environment: Option<bool>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What callers are sent who wait. Default: nothing.
    pub heartbeat: Heartbeat,
    /// How many attempts a request gets in all, 1 to 10. Default 4.
    pub attempts: Option<u32>,
    /// What is done about targets that fail.
    pub failover: Failover,
    /// What becomes of a stream whose client leaves in the middle of it. Default `cancel`.
    pub client_gone: Option<ClientGone>,
    /// How large things may be, and how much may be asked.
    pub limits: Limits,
    /// How long streams may go on after the signal to stop. Default `10m`.
    pub drain: Option<Duration>,
    /// How the log is written.
    pub log: Log,
    /// Providers, by name: those that sekisho knows (`sekisho providers` lists them) and your own.
    pub providers: BTreeMap<String, Provider>,
    /// Names for models, each with its targets: `provider/model`, a list of them in the order in which they are
    /// asked, or a map that says more. One star in a name stands for anything, and for the same in its targets
    /// (`"fast/*": "groq/*"`).
    pub models: BTreeMap<String, Model>,
}

/// How long things may take, such as `500ms`, `30s`, `5m`, `1h`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection to a provider stands. Default `3s`.
    pub connect: Option<Duration>,
    /// Until the first byte of a provider's answer. Default `120s`.
    pub first_byte: Option<Duration>,
    /// Until the first content of a stream. Default `120s`.
    pub first_token: Option<Duration>,
    /// Between two pieces of an answer. Default `300s`.
    pub idle: Option<Duration>,
    /// For a request in all. Default `30m`.
    pub total: Option<Duration>,
}

/// What callers are sent who have been sent nothing for so long, so that no tunnel or proxy on the way cuts the
/// connection (Cloudflare does after 100 s). From `100ms` on; `0s` for never. Once one has gone out the status is
/// 200: what fails then is told in the body, and the headers that name the target are missing.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// A comment, between the events of a stream (`15s`). Default `0s`.
    pub streams: Option<Duration>,
    /// A space, before an answer that comes whole (`50s`). Default `0s`.
    pub answers: Option<Duration>,
}

/// What is done about targets that fail.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Failover {
    /// Retries at the same target while others are left, 0 to 9: of what failed in a way that a moment may
    /// mend. Default 1.
    pub retries: Option<u32>,
    /// How long a stream's first token may take before the next target is asked beside the slow one; the first
    /// to speak is heard. `0s` for never. Default `10s`, and longer for models that think first; once enough of a
    /// target is known, its own times count.
    pub race: Option<Duration>,
    /// The same for a stream that is not slow yet, at the price of more requests. Default: never.
    pub hedge: Option<Hedge>,
    /// What becomes of a stream that breaks off. Default `recover`.
    pub streams: Option<Streams>,
    /// With `streams: hold`, how many bytes are held back at the beginning. Default `2KiB`.
    pub hold_bytes: Option<Size>,
    /// With `streams: hold`, for how long at most. Default `1s`.
    pub hold_time: Option<Duration>,
    /// What a provider's content filter refuses is asked of the next target. Default `false`.
    pub content_filter: bool,
}

/// When the next target is asked beside one that is not slow yet. Models that think first are left to think.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hedge {
    /// How long a stream's first token may take before that. Shorter than `race`.
    pub after: Option<Duration>,
    /// How many of a hundred requests may be asked twice like this, such as `5` or `0.1`. Default `5`.
    pub percent: Option<Percent>,
}

/// What becomes of a stream that breaks off.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Streams {
    /// It ends with an error.
    Off,
    /// The same, but its beginning is held back; as long as it is, another target may be asked.
    Hold,
    /// The next target goes on with it: it is given what has been told, where its model has the ability `prefill`,
    /// or repeats it. Where it does neither, the stream ends with an error.
    Recover,
}

/// What becomes of a stream whose client leaves in the middle of it.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientGone {
    /// It is cut at once. What it cost is estimated by what had come of it.
    Cancel,
    /// It is read on for 25 s and 8 MiB at most, since the provider says at the end what it cost. For providers
    /// that bill the whole answer anyway.
    Drain,
}

/// How large things may be, and how much may be asked.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The body of a request, such as `512KiB` or `32MiB`. Default `32MiB`. An upload that passes as it comes may
    /// be larger.
    pub body: Option<Size>,
    /// Requests and tokens in any 60 seconds, and requests at once, each for one thing. A target or key that is
    /// at its limit is passed over where there is another; otherwise requests wait in the queue, or get a 429.
    pub rates: Vec<Rate>,
    /// A place to wait for those whom a limit of `rates` holds up. Without it they get a 429 at once.
    pub queue: Option<Waits>,
    /// Requests that are served or wait, all together. More get a 429 at once.
    pub requests: Option<u32>,
    /// What those are told whom `requests` or a full queue refuses.
    pub busy_message: Option<String>,
}

/// How the log is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `json`: a JSON object in each line. `human`: for people. `auto`, the default: for people on a
    /// terminal, JSON elsewhere.
    pub format: Format,
}

/// The format of the log.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// A JSON object in each line.
    Json,
    /// For people.
    Human,
}

/// A provider. One that sekisho knows needs its keys at most; one of your own needs `base_url`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// `false` switches it off, whatever the environment says.
    pub enabled: Option<bool>,
    /// The API it speaks. Default: what is known of it, else `openai_chat` and `openai_completions`.
    pub dialect: Option<Dialect>,
    /// Where it lives, as its SDK would have it: `https://api.openai.com/v1`, `https://api.anthropic.com`.
    pub base_url: Option<String>,
    /// Its keys: one, several separated by commas, or a list; they take turns. Default: those in the
    /// environment. `[]` where it wants none.
    pub keys: Option<Keys>,
    /// A file with its keys, one in a line.
    pub keys_file: Option<String>,
    /// The region of `bedrock`, the location of `vertex`. Default: what the environment says.
    pub region: Option<String>,
    /// The project of `vertex`. Default: what the environment says.
    pub project: Option<String>,
    /// The version of the older API of `azure`. Default: what the environment says; without one the newer is
    /// asked.
    pub api_version: Option<String>,
    /// How it wants its key. Default `bearer`, or what is known of it.
    pub auth: Option<Auth>,
    /// Headers for every request to it, in place of the client's.
    pub headers: BTreeMap<String, String>,
    /// Its models, where it has no list of its own or yours shall be shorter.
    pub models: Option<Names>,
    /// What is so of its models, by their names there, where sekisho does not know it or has it wrong. `"*"` stands
    /// for those that are not named.
    pub facts: BTreeMap<String, ModelFacts>,
    /// Path of its chat, behind `base_url`.
    pub generate_path: Option<String>,
    /// Path of its list of models, behind `base_url`.
    pub models_path: Option<String>,
    /// The shape of its list of models. Default `openai`, or what is known of it.
    pub models_shape: Option<ModelsShape>,
    /// Members of a request that it refuses; they are left out.
    pub drops: Option<Names>,
    /// Members of a request that it calls otherwise: ours, then its own.
    pub renames: BTreeMap<String, String>,
}

/// The API that a provider speaks.
#[derive(Clone, Copy)]
pub struct Dialect(pub DialectId);

impl<'de> Deserialize<'de> for Dialect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || de::Error::unknown_variant(&name, DialectId::NAMES);
        DialectId::from_name(&name).map(Dialect).ok_or_else(unknown)
    }
}

impl JsonSchema for Dialect {
    fn schema_name() -> Cow<'static, str> {
        "Dialect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": DialectId::NAMES, "description": "The API that a provider speaks." })
    }
}

/// How a provider wants its key.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// In the header `x-api-key`.
    XApiKey,
    /// In the header `x-goog-api-key`.
    XGoogApiKey,
    /// In the header `api-key`.
    ApiKey,
    /// Not at all.
    None,
}

/// The shape of a list of models.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelsShape {
    /// `{"data":[{"id":…}]}`
    Openai,
    /// Anthropic's.
    Anthropic,
    /// `[{"id":…}]`
    Array,
    /// `{"models":[{"name":…}]}`
    Names,
    /// `{"models":[{"name":"models/…"}]}`
    Google,
    /// `{"result":[{"name":…}]}`
    Result,
}

/// A member of `CUSTOM_OPENAI_ENDPOINTS`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Endpoint {
    pub(super) name: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) api_keys: Option<Keys>,
    pub(super) models: Option<Names>,
    pub(super) chat_completion_path: Option<String>,
    pub(super) models_path: Option<String>,
}

impl From<Endpoint> for Provider {
    fn from(endpoint: Endpoint) -> Self {
        Provider {
            base_url: endpoint.base_url,
            keys: Some(endpoint.api_keys.unwrap_or_default()),
            models: endpoint.models,
            generate_path: endpoint.chat_completion_path,
            models_path: endpoint.models_path,
            ..Provider::default()
        }
    }
}

impl From<Auth> for provider::Auth {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::Bearer => provider::Auth::Bearer,
            Auth::XApiKey => provider::Auth::Header("x-api-key"),
            Auth::XGoogApiKey => provider::Auth::Header("x-goog-api-key"),
            Auth::ApiKey => provider::Auth::Header("api-key"),
            Auth::None => provider::Auth::None,
        }
    }
}

impl From<ModelsShape> for provider::ModelList {
    fn from(shape: ModelsShape) -> Self {
        match shape {
            ModelsShape::Openai => provider::ModelList::Openai,
            ModelsShape::Anthropic => provider::ModelList::Anthropic,
            ModelsShape::Array => provider::ModelList::Array,
            ModelsShape::Names => provider::ModelList::Names,
            ModelsShape::Google => provider::ModelList::Google,
            ModelsShape::Result => provider::ModelList::Result,
        }
    }
}

impl From<Streams> for plan::Streams {
    fn from(streams: Streams) -> Self {
        match streams {
            Streams::Off => plan::Streams::Off,
            Streams::Hold => plan::Streams::Hold,
            Streams::Recover => plan::Streams::Recover,
        }
    }
}

impl From<ClientGone> for plan::ClientGone {
    fn from(gone: ClientGone) -> Self {
        match gone {
            ClientGone::Cancel => plan::ClientGone::Cancel,
            ClientGone::Drain => plan::ClientGone::Drain,
        }
    }
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Auto => LogFormat::Auto,
            Format::Json => LogFormat::Json,
            Format::Human => LogFormat::Human,
        }
    }
}
