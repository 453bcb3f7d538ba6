//! Gateways with a scripted provider behind them. Tests that need nothing special share one.

use super::{
    client::{Answer, PATIENCE, Request},
    gateway::{Gateway, Setup},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use testkit::provider::{Provider, Seen};

/// A gateway and the provider behind it.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) kit: Provider,
}

/// A client key of the gateways that have some.
pub(crate) const CLIENT_KEY: &str = "client-key-0123456789-abcdef";
/// Keys that only providers may see.
pub(crate) const OPENAI_KEY: &str = "sk-openai-0123456789abcdef";
pub(crate) const ANTHROPIC_KEY: &str = "sk-ant-0123456789abcdef";
/// Several keys of one provider.
pub(crate) const TURNS: [&str; 3] = ["turn-one-01234567", "turn-two-01234567", "turn-three-0123456"];

/// Providers that all are the same scripted one: `KIT` stands for its address.
const PROVIDERS: &str = r#"
log: {format: json}
providers:
  openai: {base_url: "KIT/v1", keys: sk-openai-0123456789abcdef}
  anthropic: {base_url: "KIT", keys: sk-ant-0123456789abcdef}
  box: {base_url: "KIT/echo/box/v1", keys: sk-box-0123456789abcdef}
  plain: {base_url: "KIT/v1", keys: [], models: [chosen-by-hand]}
  turns: {base_url: "KIT/v1", keys: [turn-one-01234567, turn-two-01234567, turn-three-0123456], models: []}
  says-400: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: status=400}}
  says-401: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: status=401}}
  says-429: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: status=429 retry-after=7}}
  says-500: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: status=500}}
  says-503: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: status=503}}
  cuts: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: cut=40}}
  ends: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: cut=40 how=eof}}
  resets: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: cut=head how=rst}}
  garbles: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: garbage=0}}
  errs: {base_url: "KIT/v1", keys: [], models: [m], headers: {x-kit: error-at=1}}
  nobody: {base_url: "http://127.0.0.1:1/v1", keys: [], models: [m]}
models:
  good: openai/real-model
  claude: anthropic/real-claude
  twice-turns: [turns/m, turns/m]
  shared: {targets: [openai/first, plain/second], strategy: round_robin, affinity: true}
  mirrored: {targets: openai/real-model, mirror: {to: turns/reflection}}
  mirrored-to-nobody: {targets: openai/real-model, mirror: {to: nobody/m}}
  then-good/says-400: [says-400/m, openai/second]
  all-fail: [says-500/all, says-503/all, says-429/all, openai/fourth]
"#;

/// Aliases of one failing provider and a good one behind it: `then-good/says-429/MODEL`. Each model has its own
/// breaker.
pub(crate) const FAILING: [&str; 8] =
    ["says-429", "says-500", "says-503", "cuts", "ends", "resets", "garbles", "nobody"];

fn config() -> String {
    let alias = |name: &&str| format!("  \"then-good/{name}/*\": [\"{name}/*\", openai/second]\n");
    PROVIDERS.to_owned() + &FAILING.iter().map(alias).collect::<String>() + &alias(&"errs")
}

impl World {
    /// Starts both. `KIT` in the configuration is the provider's address.
    pub(crate) fn start(config: &str, setup: Setup) -> World {
        // What passes is what is looked at here, not what a provider thinks of it.
        let kit = Provider::start("lenient").expect("a provider starts");
        let config = Some(config.replace("KIT", &kit.url()));
        World { gateway: Gateway::start(&Setup { config, ..setup }), kit }
    }

    /// The one without client keys.
    pub(crate) fn open() -> Arc<World> {
        shared("open", || World::start(&config(), Setup::default()))
    }

    /// The same, but each target is asked once, and what breaks off is not gone on with.
    pub(crate) fn once() -> Arc<World> {
        let more = "attempts: 3\nfailover: {retries: 0, race: 0s, streams: off}\n";
        shared("once", || World::start(&(more.to_owned() + &config()), Setup::default()))
    }

    /// The one with [`CLIENT_KEY`], a small limit for bodies and CORS.
    pub(crate) fn keyed() -> Arc<World> {
        let more = format!(
            "keys: [{CLIENT_KEY}, another-key-9876543210]\nlimits: {{body: 64KiB}}\n\
             cors: [\"https://app.example\"]\n"
        );
        shared("keyed", || World::start(&(more + &config()), Setup::default()))
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.gateway.ask(request)
    }

    /// What the provider saw of requests that hold `tag` in their body or their target, once there are
    /// `count` of them and all have ended.
    pub(crate) fn seen(&self, tag: &str, count: usize) -> Vec<Seen> {
        let whole = |log: &[Seen]| {
            let found = log.iter().filter(|seen| holds(seen, tag));
            let (all, ended) = found
                .fold((0, 0), |(all, ended), seen| (all + 1, ended + usize::from(seen.ended().is_some())));
            all >= count && ended == all
        };
        let came = self.kit.wait_for(whole, PATIENCE);
        let found = self.seen_so_far(tag);
        assert!(came && found.len() == count, "{tag}: {count} expected, {} seen: {found:?}", found.len());
        found
    }

    pub(crate) fn seen_so_far(&self, tag: &str) -> Vec<Seen> {
        self.kit.log().into_iter().filter(|seen| holds(seen, tag)).collect()
    }

    /// The one request that the provider saw.
    pub(crate) fn saw(&self, tag: &str) -> Seen {
        self.seen(tag, 1).remove(0)
    }
}

fn holds(seen: &Seen, tag: &str) -> bool {
    let in_body = seen.body.as_ref().is_some_and(|body| memchr::memmem::find(body, tag.as_bytes()).is_some());
    in_body || seen.target.contains(tag)
}

/// The world of that name, started where no test uses it yet, ended with the last that does.
pub(crate) fn shared(name: &'static str, start: impl FnOnce() -> World) -> Arc<World> {
    static WORLDS: Mutex<Option<HashMap<&'static str, Weak<World>>>> = Mutex::new(None);
    let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
    let worlds = worlds.get_or_insert_default();
    if let Some(world) = worlds.get(name).and_then(Weak::upgrade) {
        return world;
    }
    let world = Arc::new(start());
    worlds.insert(name, Arc::downgrade(&world));
    world
}
