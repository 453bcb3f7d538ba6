//! What we run: checked whole, names resolved, immutable.

use crate::{
    cloud::Signer,
    limits,
    models::{self, Facts, Money, Prices},
    provider::{Auth, ModelList, Operation, Quirk},
    rates::Rates,
    route::Route,
    secret::Secret,
    speech::{self, Speech},
    time::Span,
};
use bytes::Bytes;
use dialect::{DialectId, canon::Usage, embed::EmbedShape};
use http::{HeaderName, HeaderValue, Uri};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A configuration, checked whole. Never changed, only replaced.
pub struct Plan {
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Who may call.
    pub access: Access,
    /// The providers that are on, in the order of the table, a user's own behind them.
    pub providers: Vec<Provider>,
    /// Names that the operator has given, and where they go.
    pub aliases: BTreeMap<String, Route>,
    /// Names with a star that the operator has given, the longest first. They are in no list of models.
    pub patterns: Vec<Pattern>,
    /// What `model: "default"` means, as a model name.
    pub default_model: Option<String>,
    /// The provider that takes names which nothing else takes (`LLM_UPSTREAM`, `LITELLM_URL`): an index
    /// into `providers`.
    pub default_upstream: Option<usize>,
    /// Providers that stand in for the default upstream, in this order (`LLM_UPSTREAMS`).
    pub spare_upstreams: Vec<usize>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What callers are sent who wait.
    pub heartbeat: Heartbeat,
    /// Attempts in all for one request.
    pub attempts: u32,
    /// What is done about targets that fail.
    pub failover: Failover,
    /// What becomes of a stream whose client leaves.
    pub client_gone: ClientGone,
    /// How much may be asked, in a minute and at once.
    pub rates: Rates,
    /// Whom CORS answers, if anybody.
    pub cors: Option<Cors>,
    /// Largest request body, in bytes.
    pub body_max: usize,
    /// Losses are refused for every request.
    pub strict: bool,
    /// How long streams may go on after SIGTERM.
    pub drain: Span,
    /// How the log is written.
    pub log: LogFormat,
}

/// A core's own handle on the plan that all cores share. Requests count their references on it: counting them
/// on what the cores share would send that count to and fro between them, several times a request.
pub type PlanHandle = Rc<Arc<Plan>>;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON lines elsewhere.
    #[default]
    Auto,
    /// JSON lines.
    Json,
    /// For people.
    Human,
}

/// Who may call.
#[derive(Clone, Default)]
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
    /// The dialects it speaks, at least one.
    pub speaks: Vec<Speech>,
    /// Where it lives, without a slash at the end.
    pub base: String,
    /// How it wants its key.
    pub auth: Auth,
    /// Its keys; empty where it wants none.
    pub keys: Vec<Secret>,
    /// What signs a request in place of a key.
    pub signer: Option<Arc<Signer>>,
    /// Headers that go with every request to it, in place of the client's.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers that go with a request to it which has none of that name.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
    /// Path and shape of its model list, where it has one. A list that is kept elsewhere has a whole address.
    pub models: Option<(String, ModelList)>,
    /// Shape and path of its embeddings, where it has them.
    pub embeds: Option<(EmbedShape, String)>,
    /// See [`crate::provider::Provider::hosts`].
    pub hosts: &'static [&'static str],
    /// Models that the operator listed by hand; then the provider is not asked.
    pub listed: Vec<String>,
    /// What the operator says of its models, by name; `*` stands for those that are not named.
    pub facts: BTreeMap<String, Facts>,
    /// Members of a request that it refuses.
    pub drops: Vec<String>,
    /// Members of a request that it calls otherwise: ours, then its own.
    pub renames: Vec<(String, String)>,
    /// Deviations that are more than data.
    pub quirks: &'static [Quirk],
    /// It lives in this process: the provider `demo`.
    pub built_in: bool,
    /// What is worked out of the rest when it is first needed.
    pub memo: Memo,
}

/// What a provider's requests have in common, worked out once.
#[derive(Default)]
pub struct Memo {
    credentials: OnceLock<Vec<Option<(HeaderName, HeaderValue)>>>,
    /// Of the models that names lead to.
    facts: BTreeMap<String, Facts>,
    /// Prices of others that were asked, as they come.
    prices: Mutex<HashMap<String, Prices>>,
}

/// The name in [`Provider::facts`] for models that are not named there.
const ANY_MODEL: &str = "*";

/// A name with one star, such as `openai/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What stands before the star.
    pub before: String,
    /// What stands behind it.
    pub behind: String,
    /// Where the name goes; a star in a target's model becomes what the star of the name stood for.
    pub route: Route,
}

/// One target of an alias, or what a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// Index into [`Plan::providers`].
    pub provider: usize,
    /// The model's name as that provider knows it.
    pub model: String,
    /// What the operator has said of it besides.
    pub terms: Option<Arc<Terms>>,
}

/// What an operator says of one target of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How often it is chosen, beside others with theirs.
    pub weight: u32,
    /// Members of a request, with their values as JSON, for those that have none of that name.
    pub params: Vec<(String, Bytes)>,
    /// Members of a request that are left out.
    pub drops: Vec<String>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the TCP (and TLS) connection stands.
    pub connect: Span,
    /// Until the first byte of the answer's head.
    pub first_byte: Span,
    /// Until the first content of a stream.
    pub first_token: Span,
    /// Between two pieces of the answer.
    pub idle: Span,
    /// The whole exchange.
    pub total: Span,
}

/// After how long a silence a caller is sent something that means nothing, so that nothing on the way takes the
/// connection for dead; zero for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// A comment, between the events of a stream.
    pub streams: Span,
    /// A space, before an answer that comes whole.
    pub answers: Span,
}

/// What is done about targets that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Retries at the same target with the same key, while others are left.
    pub retries: u32,
    /// How long a stream's first token may take before the next target is asked beside the slow one; zero for
    /// never.
    pub race: Span,
    /// Before that, for some requests: the same after a shorter time.
    pub hedge: Option<Hedge>,
    /// What becomes of a stream that breaks off.
    pub streams: Streams,
    /// With [`Streams::Hold`]: so many bytes of a stream are held back at its beginning, or for so long.
    pub hold: (usize, Span),
    /// What a provider's content filter refuses is asked of the next target.
    pub content_filter: bool,
}

/// When the next target is asked beside one that is not known to be slow yet, and how often that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// After so long without a first token.
    pub after: Span,
    /// For so many of ten thousand requests at most.
    pub share: u32,
}

impl Hedge {
    /// Its share as one of a hundred.
    #[must_use]
    pub fn percent(&self) -> f64 {
        f64::from(self.share) / 100.0
    }
}

/// What becomes of a stream that breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It ends with an error.
    Off,
    /// The same, but its beginning is held back, and as long as it is another target may be asked.
    Hold,
    /// The next target goes on with it, where that can be done truthfully.
    Recover,
}

/// What becomes of a stream whose client leaves in the middle of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientGone {
    /// It is cut at once, and what it cost is estimated.
    #[default]
    Cancel,
    /// It is read to its end, where the provider says what it cost, within bounds.
    Drain,
}

impl Default for Failover {
    fn default() -> Self {
        Failover {
            retries: limits::RETRIES,
            race: limits::PATIENCE,
            hedge: None,
            streams: Streams::Recover,
            hold: limits::HOLD,
            content_filter: false,
        }
    }
}

/// Whom CORS answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Everybody (`*`).
    Any,
    /// These origins, to the letter.
    Origins(Vec<String>),
}

impl Default for Plan {
    /// Nothing is on, everything is at its default.
    fn default() -> Self {
        Plan {
            listen: DEFAULT_LISTEN,
            access: Access::default(),
            providers: Vec::new(),
            aliases: BTreeMap::new(),
            patterns: Vec::new(),
            default_model: None,
            default_upstream: None,
            spare_upstreams: Vec::new(),
            timeouts: Timeouts::default(),
            heartbeat: Heartbeat::default(),
            attempts: limits::ATTEMPTS_MAX,
            failover: Failover::default(),
            client_gone: ClientGone::default(),
            rates: Rates::default(),
            cors: None,
            body_max: limits::BODY_MAX,
            strict: false,
            drain: limits::DRAIN,
            log: LogFormat::Auto,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: limits::CONNECT,
            first_byte: limits::FIRST_BYTE,
            first_token: limits::FIRST_TOKEN,
            idle: limits::IDLE,
            total: limits::TOTAL,
        }
    }
}

/// Where clients are served when nothing says where.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), limits::DEFAULT_PORT);

impl Plan {
    /// Looks up what is known of the models that names lead to, so that no request has to.
    pub(crate) fn look_up_facts(&mut self) {
        for aim in self.aliases.values().flat_map(|route| &route.aims) {
            let Some(provider) = self.providers.get_mut(aim.provider) else { continue };
            let facts = provider.facts(&aim.model).into_owned();
            provider.memo.facts.insert(aim.model.clone(), facts);
        }
    }

    /// The provider of that name or other spelling: its index.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|provider| provider.is_called(name))
    }
}

impl Aim {
    /// A target of which nothing else is said.
    #[must_use]
    pub fn new(provider: usize, model: impl Into<String>) -> Aim {
        Aim { provider, model: model.into(), terms: None }
    }

    /// How often it is chosen, beside others with theirs.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.terms.as_ref().map_or(1, |terms| terms.weight)
    }

    /// Members of a request that the operator gave it, and that he leaves out.
    #[must_use]
    pub fn edits(&self) -> (&[(String, Bytes)], &[String]) {
        self.terms.as_ref().map_or((&[], &[]), |terms| (&terms.params, &terms.drops))
    }
}

impl Provider {
    /// The name or another spelling is `name`.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aka.iter().any(|other| other == name)
    }

    /// The first of its dialects.
    #[must_use]
    pub fn dialect(&self) -> DialectId {
        self.speaks.first().map_or(DialectId::OpenaiChat, |speech| speech.dialect)
    }

    /// How it is asked for `model` on behalf of a caller: in his own dialect where the model speaks that, else
    /// in its first.
    #[must_use]
    pub fn speech(&self, caller: DialectId, model: &str) -> Option<&Speech> {
        let named = |speech: &Speech| !speech.only.is_empty() && model.starts_with(speech.only);
        let narrow = self.speaks.iter().any(named);
        let fit = |speech: &&Speech| if narrow { named(speech) } else { speech.only.is_empty() };
        let own = self.speaks.iter().filter(fit).find(|speech| speech.dialect == caller);
        own.or_else(|| self.speaks.iter().find(fit))
    }

    /// What is known of one of its models: as the operator says, else as the table does.
    #[must_use]
    pub fn facts(&self, model: &str) -> Cow<'_, Facts> {
        if let Some(facts) = self.memo.facts.get(model) {
            return Cow::Borrowed(facts);
        }
        let said = [model, ANY_MODEL].into_iter().filter_map(|name| self.facts.get(name).cloned());
        let all = said.chain(models::find(&self.name, model));
        Cow::Owned(all.fold(Facts::default(), |facts, other| facts.or(&other)))
    }

    /// What so much of one of its models costs. `None` where a price is not known.
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Money> {
        if let Some(facts) = self.memo.facts.get(model) {
            return facts.prices.cost(usage);
        }
        // To look one up costs more than all else that is done about a small request.
        let mut known = self.memo.prices.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(model) {
            if known.len() >= limits::PRICES_KNOWN_MAX {
                known.clear();
            }
            known.insert(model.to_owned(), self.facts(model).into_owned().prices);
        }
        known.get(model)?.cost(usage)
    }

    /// The address of its embeddings of `model`, where it has them; of `one` input where it has a path for that.
    #[must_use]
    pub fn embed_url(&self, model: &str, one: bool) -> Option<Uri> {
        let (_, path) = self.embeds.as_ref()?;
        let path = speech::fill(path, model);
        let single = path.strip_suffix(":batchEmbedContents").filter(|_| one);
        self.address(&single.map_or_else(|| path.clone(), |path| format!("{path}:embedContent")))
    }

    /// The address of `operation` for `model`, asked as `speech` says. Embeddings are none of a dialect's: see
    /// [`Provider::embed_url`].
    #[must_use]
    pub fn url(&self, operation: Operation, speech: &Speech, model: &str, stream: bool) -> Option<Uri> {
        let path = match operation {
            Operation::CountTokens => speech.count.as_ref()?,
            Operation::Generate if stream => speech.stream.as_ref().unwrap_or(&speech.generate),
            Operation::Generate => &speech.generate,
            Operation::Embed | Operation::EmbedOne => return None,
        };
        if speech.names_model() {
            return self.address(&speech::fill(path, model));
        }
        if std::ptr::eq(path, &speech.generate) {
            return speech.memo.get_or_init(|| self.address(path)).clone();
        }
        self.address(path)
    }

    /// Each of its keys as the header that carries it, for the paths of its dialect. `None` for
    /// a key that cannot stand in a header.
    #[must_use]
    pub fn credentials(&self) -> &[Option<(HeaderName, HeaderValue)>] {
        self.memo.credentials.get_or_init(|| self.keys.iter().map(|key| self.auth.header(key)).collect())
    }

    /// The address of its model list, where it has one.
    #[must_use]
    pub fn models_url(&self) -> Option<Uri> {
        let (path, _) = self.models.as_ref()?;
        if path.starts_with('/') { self.address(path) } else { path.parse().ok() }
    }

    /// The address of `path` (with its query) behind the base. What the base ends in and the path begins
    /// with again, a version above all (`/v1`), stands there once.
    #[must_use]
    pub fn address(&self, path: &str) -> Option<Uri> {
        join(&self.base, path).parse().ok()
    }

    /// How it wants its key for `path`: on the paths of one of its dialects as that has it, on others in the
    /// provider's own way.
    #[must_use]
    pub fn auth_at(&self, path: &str) -> Auth {
        let own = |speech: &&Speech| speech.auth != self.auth && speech.has(path);
        self.speaks.iter().find(own).map_or(self.auth, |speech| speech.auth)
    }
}

/// `base` and `path`, less what both say: the longest run of segments that ends the one, begins the other
/// and has a version in it.
fn join(base: &str, path: &str) -> String {
    let (whole, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut end = whole.len();
    while let Some(start) = whole.get(..end).filter(|run| !run.is_empty()) {
        if base.ends_with(start) && start.split('/').any(is_version) {
            return format!("{base}{}{query}", whole.get(end..).unwrap_or_default());
        }
        end = start.rfind('/').unwrap_or(0);
    }
    format!("{base}{path}")
}

/// `v1`, `v4`, `v1beta`.
pub(crate) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
