//! Where names go.

use super::plan;
use crate::{
    plan::Plan,
    provider::Operation,
    surface::{self, Action, ROUTES},
};
use dialect::{DialectId, FaultKind};
use proptest::prelude::*;

const TEXT: &str = r#"
providers:
  openai: {keys: k}
  anthropic: {keys: k}
  gemini: {keys: k}
  mine: {base_url: "http://127.0.0.1:9000/v1", models: [alpha, beta]}
models:
  smart: [openai/gpt-x, anthropic/claude-y]
  openai/gpt-x: mine/alpha
  "gpt-*": openai/gpt-*
  "gpt-mini-*": mine/beta
  "*/free": openai/free
  "mine/*": anthropic/claude-*
  odd name:with@signs [x]: mine/alpha
default_model: smart
"#;

fn outcome(plan: &Plan, name: &str) -> String {
    match plan.resolve(name) {
        Ok(route) => plan.targets(&route.aims),
        Err(fault) => format!("{}: {}", fault.status(), fault.text()),
    }
}

#[test]
fn names_resolve_in_order() {
    let plan = plan(&[], TEXT);
    #[rustfmt::skip]
    let table = [
        // a name that was given, before all else
        ("smart", "openai/gpt-x, anthropic/claude-y"),
        ("openai/gpt-x", "mine/alpha"),
        ("odd name:with@signs [x]", "mine/alpha"),
        // the default
        ("default", "openai/gpt-x, anthropic/claude-y"),
        // patterns, the longest first
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-mini-1", "mine/beta"),
        ("gpt-mini-", "openai/gpt-mini-"),
        ("x/free", "openai/free"),
        ("mine/x", "anthropic/claude-x"),
        // provider and model, split at the first slash
        ("openai/gpt-y", "openai/gpt-y"),
        ("openai/vendor/model:free", "openai/vendor/model:free"),
        ("gemini/g", "google-ai-studio/g"),
        ("google-ai-studio/g", "google-ai-studio/g"),
        ("google/g", "google-ai-studio/g"),
        // nothing
        ("smrt", "404: no model `smrt` here (hint: did you mean `smart`?)"),
        ("opnai/gpt-y", "404: no model `opnai/gpt-y` here (hint: did you mean `openai/gpt-y`?)"),
        ("groq/llama", "404: no model `groq/llama` here (hint: provider `groq` is known but not on: set `GROQ_API_KEY`, or add it to `providers`)"),
        ("vllm/x", "404: no model `vllm/x` here (hint: provider `vllm` is known but not on: set `VLLM_BASE_URL`, or add it to `providers`)"),
        ("claude", "404: no model `claude` here (hint: write `provider/model`, such as `anthropic/claude`)"),
        ("openai/", "404: no model `openai/` here (hint: a model stands behind the slash)"),
        ("", "400: a model name has 1 to 512 bytes"),
        ("a\nb", "404: no model `ab` here (hint: write `provider/model`, such as `anthropic/ab`)"),
    ];
    for (name, expected) in table {
        assert_eq!(outcome(&plan, name), expected, "{name}");
    }
}

#[test]
fn the_rest_goes_to_the_default_upstream() {
    let plan =
        plan(&[("LLM_UPSTREAMS", "http://127.0.0.1:1,http://127.0.0.1:2"), ("OPENAI_API_KEY", "k")], "");
    assert_eq!(outcome(&plan, "llama"), "upstream/llama, upstream-2/llama");
    assert_eq!(outcome(&plan, "other/llama"), "upstream/other/llama, upstream-2/other/llama");
    assert_eq!(outcome(&plan, "openai/gpt"), "openai/gpt");
    assert_eq!(outcome(&plan, "default"), "upstream/default, upstream-2/default");
}

#[test]
fn nothing_configured_answers_as_the_demo() {
    let plan = plan(&[], "");
    assert_eq!(outcome(&plan, "demo"), "demo/demo");
    assert_eq!(outcome(&plan, "demo/demo"), "demo/demo");
    assert_eq!(outcome(&plan, "dmo"), "404: no model `dmo` here (hint: did you mean `demo`?)");
    let missing = "404: no model `default` here (hint: the configuration names no `default_model`)";
    assert_eq!(outcome(&plan, "default"), missing);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every target is there, and there is at least one.
    #[test]
    fn whatever_resolves_leads_somewhere(name in "[a-z/*-]{1,12}|gpt-.{0,8}|mine/.{0,8}") {
        let plan = plan(&[], TEXT);
        match plan.resolve(&name) {
            Ok(route) => {
                let aims = route.aims;
                prop_assert!(!aims.is_empty());
                prop_assert!(aims.iter().all(|aim| aim.provider < plan.providers.len() && !aim.model.is_empty()));
            }
            Err(fault) => prop_assert_eq!(fault.kind, FaultKind::ModelNotFound),
        }
    }
}

#[test]
fn only_slips_of_the_finger_are_guessed_at() {
    let known = ["smart", "fast", "openai", "a"];
    #[rustfmt::skip]
    let table = [
        ("smrt", Some("smart")), ("Smart", Some("smart")), ("samrt", Some("smart")), ("opneai", Some("openai")),
        ("openi", Some("openai")), ("fst", Some("fast")), ("x", None), ("gpt", None), ("smooth", None), ("", None),
    ];
    for (word, expected) in table {
        assert_eq!(crate::hint::nearest(word, known), expected, "{word}");
    }
}

#[test]
fn routes_are_found() {
    #[rustfmt::skip]
    let table = [
        ("/", Some("/")),
        ("/health", Some("/health")),
        ("/health/live", Some("/health/live")),
        ("/health/", None),
        ("/health/other", Some("/{provider}/{path..}")),
        ("/v1/models", Some("/v1/models")),
        ("/v1/models/openai/gpt-x", Some("/v1/models/{model..}")),
        // No route of its own; that no provider is called `v1` makes it a 404.
        ("/v1/models/", Some("/{provider}/{path..}")),
        ("/v1/chat/completions", Some("/v1/chat/completions")),
        ("/chat/completions", Some("/chat/completions")),
        ("/v1/models/a/b:generateContent", Some("/v1/models/{model..}:generateContent")),
        ("/v1beta/models/a:streamGenerateContent", Some("/v1beta/models/{model..}:streamGenerateContent")),
        ("/v1beta/models/:countTokens", Some("/v1beta/{model..}:countTokens")),
        ("/v1beta/openai/gpt-x:generateContent", Some("/v1beta/{model..}:generateContent")),
        ("/v1beta/openai/gpt-x", Some("/{provider}/{path..}")),
        ("/v1beta/models", Some("/v1beta/models")),
        ("/v1beta/models/a/b:batchEmbedContents", Some("/v1beta/models/{model..}:batchEmbedContents")),
        ("/v1/models/a:embedContent", Some("/v1/models/{model..}:embedContent")),
        ("/model/a/converse", Some("/model/{model..}/converse")),
        ("/model/a%2Fb/converse-stream", Some("/model/{model..}/converse-stream")),
        ("/model/a/b%3A0/count-tokens", Some("/model/{model..}/count-tokens")),
        // No provider is called `model`.
        ("/model/a/invoke", Some("/{provider}/{path..}")),
        ("/v1/messages", Some("/v1/messages")),
        ("/v1/messages/count_tokens", Some("/v1/messages/count_tokens")),
        ("/openai/v1/files", Some("/{provider}/{path..}")),
        ("/openai", None),
        ("/openai/", None),
        ("/nothing", None),
    ];
    for (path, expected) in table {
        assert_eq!(surface::find(path).map(|found| found.route.path), expected, "{path}");
    }
    let gemini = surface::find("/v1beta/models/openai/gpt%3Ax:streamGenerateContent").expect("a route");
    assert_eq!((gemini.model, gemini.route.stream), (Some("openai/gpt%3Ax"), true));
    let chat = surface::find("/v1/chat/completions").expect("a route").route;
    assert!(chat.takes("POST") && !chat.takes("GET") && chat.guarded);
    assert_eq!((chat.action, chat.dialect), (Action::Do(Operation::Generate), DialectId::OpenaiChat));
}

#[test]
fn the_table_of_routes_holds_together() {
    for route in ROUTES {
        let found = surface::find(route.path).map(|found| found.route.path);
        assert_eq!(found, Some(route.path), "a route above it takes what is {}'s", route.path);
    }
    assert!(
        surface::is_reserved("model") && surface::is_reserved("v1beta") && !surface::is_reserved("openai")
    );
    assert!(ROUTES.iter().all(|route| route.guarded || route.action == Action::Health));
}
