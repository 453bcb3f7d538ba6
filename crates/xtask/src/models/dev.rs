//! models.dev: context windows, abilities, prices.

use engine::models::{Abilities, Ability, Bucket, Facts, Prices, Rates, Tier};
use serde_json::Value;

/// Its names of prices.
const PRICES: &[(&str, Bucket)] = &[
    ("input", Bucket::Input),
    ("cache_read", Bucket::CacheRead),
    ("cached_input", Bucket::CacheRead),
    ("cache_write", Bucket::CacheWrite),
    ("output", Bucket::Output),
    ("reasoning", Bucket::Reasoning),
    ("input_audio", Bucket::AudioIn),
    ("output_audio", Bucket::AudioOut),
    ("request", Bucket::Call),
];

/// The models of a provider, by their names in lower case.
pub(super) fn models<'a>(all: &'a Value, provider: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let models = all.get(provider).and_then(|provider| provider.get("models")?.as_object());
    models.into_iter().flatten().map(|(id, model)| (id.to_ascii_lowercase(), model))
}

/// What is said of a model.
pub(super) fn facts(id: &str, model: &Value) -> Facts {
    let limit = |name: &str| {
        let tokens = model.get("limit").and_then(|limit| limit.get(name)?.as_u64());
        tokens.filter(|tokens| *tokens > 0)
    };
    Facts {
        context: limit("context"),
        max_output: limit("output"),
        abilities: abilities(model),
        prices: model.get("cost").map(|cost| prices(id, cost)).unwrap_or_default(),
    }
}

fn abilities(model: &Value) -> Abilities {
    let mut abilities = Abilities::default();
    let told = [
        ("tool_call", Ability::Tools),
        ("reasoning", Ability::Reasoning),
        ("structured_output", Ability::JsonSchema),
    ];
    for (name, ability) in told {
        if let Some(has) = model.get(name).and_then(Value::as_bool) {
            abilities.set(ability, has);
        }
    }
    let kinds = model.pointer("/modalities/input").and_then(Value::as_array);
    let takes = |kind: &str| kinds.is_some_and(|kinds| kinds.iter().any(|known| known == kind));
    if kinds.is_some() {
        abilities.set(Ability::Vision, takes("image"));
        abilities.set(Ability::Audio, takes("audio"));
    }
    // Providers take documents for models that see, whatever the list says of them.
    match (takes("pdf"), takes("image")) {
        (true, _) => abilities.set(Ability::Documents, true),
        (false, false) if kinds.is_some() => abilities.set(Ability::Documents, false),
        _ => {}
    }
    abilities
}

/// Prices; those that are all nothing are not known, but where the name says that they are.
fn prices(id: &str, cost: &Value) -> Prices {
    let base = Tier { above: 0, rates: rates(cost) };
    let longer = cost.get("tiers").and_then(Value::as_array).into_iter().flatten();
    let longer = longer.filter_map(|tier| {
        let above = tier.pointer("/tier/size")?.as_u64()?;
        Some(Tier { above, rates: rates(tier) })
    });
    let paid = PRICES.iter().any(|(_, bucket)| base.rates.of(*bucket).is_some_and(|price| price > 0));
    if !paid && !id.ends_with(":free") {
        return Prices::default();
    }
    Prices::new(std::iter::once(base).chain(longer).collect())
}

fn rates(cost: &Value) -> Rates {
    let mut rates = Rates::default();
    for (name, bucket) in PRICES {
        let price = cost.get(*name).filter(|price| price.is_number());
        // What comes from a cache is never free: there, nothing stands for what nobody wrote down.
        let is_known = |price: &u64| *price > 0 || *bucket != Bucket::CacheRead;
        if let Some(price) = price.and_then(super::book::price).filter(is_known) {
            rates.set(*bucket, price);
        }
    }
    rates
}
