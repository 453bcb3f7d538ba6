//! The shape of a provider: what a row of the table says, and what a user's own provider may say.

use crate::{
    cloud::Cloud,
    secret::Secret,
    speech::{Spoken, spoken},
};
use dialect::{DialectId, embed::EmbedShape};
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone, in the header of that name.
    Header(&'static str),
    /// No key at all.
    None,
}

impl Auth {
    /// The header that carries `key`, marked as one that must not be printed. `None` where it carries none, or
    /// the key cannot stand in a header.
    #[must_use]
    pub fn header(&self, key: &Secret) -> Option<(HeaderName, HeaderValue)> {
        let (name, text) = match self {
            Auth::None => return None,
            Auth::Bearer => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.expose()))),
            Auth::Header(name) => (HeaderName::from_static(name), HeaderValue::from_str(key.expose())),
        };
        let mut value = text.ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// How a provider lists its models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelList {
    /// `{"data":[{"id":…}]}`.
    Openai,
    /// Anthropic's: the same.
    Anthropic,
    /// As [`ModelList::Openai`], without the object around the list (Together).
    Array,
    /// Cohere's: `{"models":[{"name":…}]}`.
    Names,
    /// Google's: as [`ModelList::Names`], less the prefix `models/`.
    Google,
    /// Cloudflare's: `{"result":[{"name":…}]}`.
    Result,
    /// Vertex AI's: `{"publisherModels":[{"name":…}]}`, less all before the last slash.
    Vertex,
    /// Bedrock's: `{"modelSummaries":[{"modelId":…}]}`.
    Bedrock,
}

/// An operation that is understood, and so may be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A model answers.
    Generate,
    /// A prompt's tokens are counted.
    CountTokens,
    /// Inputs become vectors.
    Embed,
    /// One input does, where an API has a path of its own for that.
    EmbedOne,
}

impl Operation {
    /// It is about vectors.
    #[must_use]
    pub fn embeds(self) -> bool {
        matches!(self, Operation::Embed | Operation::EmbedOne)
    }
}

/// A deviation that is more than data: each is one small function where bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// A body that we write states its limit as `max_completion_tokens`: OpenAI's reasoning models refuse
    /// `max_tokens` (<https://platform.openai.com/docs/api-reference/chat/create>). A body that passes
    /// untouched is not changed.
    MaxCompletionTokens,
    /// Ids of tool calls have exactly nine letters and digits, and every other is refused
    /// (<https://docs.mistral.ai/capabilities/function_calling>). A body with others is read and written anew.
    NineLetterIds,
    /// Ids of tool calls have letters, digits, `_` and `-` alone
    /// (<https://docs.anthropic.com/en/api/messages>). A body with others is read and written anew.
    PlainIds,
    /// Thoughts without this provider's own seal are refused
    /// (<https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>). A body with such is read, and
    /// written without them.
    SealedThoughts,
    /// A message that the model shall go on with says so itself.
    Prefix(Prefix),
    /// A request whose last message the model shall go on with says so
    /// (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>).
    OpenEnd,
}

/// How a provider wants a message that the model shall go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The message's member that is `true` then.
    pub member: &'static str,
    /// The answer repeats the message before it goes on.
    pub echoed: bool,
    /// Where such requests go, before the path; empty for where all go.
    pub below: &'static str,
}

impl Prefix {
    pub(crate) const fn new(member: &'static str) -> Prefix {
        Prefix { member, echoed: false, below: "" }
    }
}

/// A provider as the table states it.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, in configuration and in `provider/model`.
    pub name: &'static str,
    /// Other spellings of its name.
    pub aka: &'static [&'static str],
    /// The dialects it speaks: a caller of one of them is not translated, for any other the first is written.
    pub speaks: &'static [Spoken],
    /// Where it lives, without a slash at the end. `{NAME}` stands for the environment variable `NAME`.
    pub base: &'static str,
    /// Where it lives when it has a key and nothing else says where.
    pub keyed_base: Option<&'static str>,
    /// Environment variables that may hold its keys; the first that is set counts.
    pub key_vars: &'static [&'static str],
    /// Environment variables that may say where it lives, besides those that follow from its names (see
    /// [`Provider::base_variables`]).
    pub base_vars: &'static [&'static str],
    /// It wants no key, and is on only where its address or an entry in the configuration says so.
    pub local: bool,
    /// How it wants its key.
    pub auth: Auth,
    /// Path and shape of its model list, where it has one.
    pub models: Option<(&'static str, ModelList)>,
    /// Shape and path of its embeddings, where it has them. `{model}` is as in [`dialect::Paths`].
    pub embeds: Option<(EmbedShape, &'static str)>,
    /// Hosts besides that of its base at which its answers may go on, and to which its key goes then; `*.` stands
    /// for any name in front.
    pub hosts: &'static [&'static str],
    /// Headers that it demands, for requests that do not have them.
    pub headers: &'static [(&'static str, &'static str)],
    /// Members of a request that it refuses.
    pub drops: &'static [&'static str],
    /// Members of a request that it calls otherwise: ours, then its own.
    pub renames: &'static [(&'static str, &'static str)],
    /// Deviations that are more than data.
    pub quirks: &'static [Quirk],
    /// It lives in this process.
    pub built_in: bool,
    /// Its address and its credentials are more than data.
    pub cloud: Option<Cloud>,
}

/// OpenAI's chat, and its legacy completions beside it.
pub(crate) const COMPLETIONS: &[Spoken] =
    &[spoken(DialectId::OpenaiChat), spoken(DialectId::OpenaiCompletions)];

/// A provider that speaks OpenAI chat below `base`.
pub(crate) const fn chat(name: &'static str, base: &'static str) -> Provider {
    Provider {
        name,
        aka: &[],
        speaks: const { &[spoken(DialectId::OpenaiChat)] },
        base,
        keyed_base: None,
        key_vars: &[],
        base_vars: &[],
        local: false,
        auth: Auth::Bearer,
        models: Some(("/models", ModelList::Openai)),
        embeds: Some((EmbedShape::Openai, "/embeddings")),
        hosts: &[],
        headers: &[],
        drops: &[],
        renames: &[],
        quirks: &[],
        built_in: false,
        cloud: None,
    }
}

/// The same on this machine, without a key.
pub(crate) const fn local(name: &'static str, base: &'static str) -> Provider {
    Provider { local: true, ..chat(name, base) }
}

/// A provider that speaks Anthropic's Messages below `base`.
pub(crate) const fn messages(name: &'static str, base: &'static str) -> Provider {
    Provider {
        speaks: const { &[spoken(DialectId::Anthropic)] },
        auth: Auth::Header("x-api-key"),
        models: Some(("/v1/models?limit=1000", ModelList::Anthropic)),
        embeds: None,
        headers: &[("anthropic-version", "2023-06-01")],
        ..chat(name, base)
    }
}

/// A provider that speaks Google's Gemini API below `base`.
pub(crate) const fn gemini(name: &'static str, base: &'static str) -> Provider {
    Provider {
        speaks: const { &[spoken(DialectId::Gemini)] },
        auth: Auth::Header("x-goog-api-key"),
        models: Some(("/v1beta/models?pageSize=1000", ModelList::Google)),
        embeds: Some((EmbedShape::Gemini, "/v1beta/models/{model}:batchEmbedContents")),
        ..chat(name, base)
    }
}

/// What a provider is like of which nothing is said but where it lives: a server that is compatible with
/// OpenAI's, of which the usual ones have the legacy completions too.
#[must_use]
pub fn compatible() -> Provider {
    chat("", "").speaks(COMPLETIONS)
}

/// What a provider of that dialect is like when nothing else is said.
#[must_use]
pub fn of_dialect(dialect: DialectId) -> Provider {
    match dialect {
        DialectId::Anthropic => messages("", ""),
        DialectId::Bedrock => chat("", "").embeds(EmbedShape::Bedrock, "/model/{model}/invoke"),
        DialectId::Cohere => chat("", "").embeds(EmbedShape::Cohere, "/v2/embed"),
        DialectId::Gemini => gemini("", ""),
        DialectId::Replicate => chat("", "").no_embeds(),
        _ => chat("", ""),
    }
}

/// The builders of a row, each for one way to deviate.
impl Provider {
    pub(crate) const fn key(self, key_vars: &'static [&'static str]) -> Self {
        Provider { key_vars, ..self }
    }

    pub(crate) const fn aka(self, aka: &'static [&'static str]) -> Self {
        Provider { aka, ..self }
    }

    pub(crate) const fn base_vars(self, base_vars: &'static [&'static str]) -> Self {
        Provider { base_vars, ..self }
    }

    pub(crate) const fn keyed_base(self, base: &'static str) -> Self {
        Provider { keyed_base: Some(base), ..self }
    }

    pub(crate) const fn speaks(self, speaks: &'static [Spoken]) -> Self {
        Provider { speaks, ..self }
    }

    pub(crate) const fn models(self, path: &'static str, shape: ModelList) -> Self {
        Provider { models: Some((path, shape)), ..self }
    }

    pub(crate) const fn no_models(self) -> Self {
        Provider { models: None, ..self }
    }

    pub(crate) const fn embeds(self, shape: EmbedShape, path: &'static str) -> Self {
        Provider { embeds: Some((shape, path)), ..self }
    }

    pub(crate) const fn no_embeds(self) -> Self {
        Provider { embeds: None, ..self }
    }

    pub(crate) const fn hosts(self, hosts: &'static [&'static str]) -> Self {
        Provider { hosts, ..self }
    }

    pub(crate) const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Provider { headers, ..self }
    }

    pub(crate) const fn drops(self, drops: &'static [&'static str]) -> Self {
        Provider { drops, ..self }
    }

    pub(crate) const fn renames(self, renames: &'static [(&'static str, &'static str)]) -> Self {
        Provider { renames, ..self }
    }

    pub(crate) const fn quirks(self, quirks: &'static [Quirk]) -> Self {
        Provider { quirks, ..self }
    }

    pub(crate) const fn auth(self, auth: Auth) -> Self {
        Provider { auth, ..self }
    }

    pub(crate) const fn cloud(self, cloud: Cloud) -> Self {
        Provider { cloud: Some(cloud), ..self }
    }

    pub(crate) const fn built_in(self) -> Self {
        Provider { built_in: true, auth: Auth::None, models: None, embeds: None, ..self }
    }

    /// Every environment variable that may say where it lives, in the order in which they count:
    /// `<NAME>_BASE_URL` for its name and each other spelling, then those of the row. One that is built in
    /// has none.
    #[must_use]
    pub fn base_variables(&self) -> Vec<String> {
        let mut names = Vec::new();
        if self.built_in {
            return names;
        }
        for name in [&self.name].into_iter().chain(self.aka) {
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let name = format!("{}_BASE_URL", name.to_ascii_uppercase());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.extend(self.base_vars.iter().map(|name| (*name).to_owned()));
        names
    }

    /// The name or another spelling is `name`.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aka.contains(&name)
    }
}
