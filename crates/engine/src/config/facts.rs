//! What an operator may say of a provider's models.

use super::{
    draft::{Draft, Path},
    problem::Problem,
    values::Usd,
};
use crate::{
    hint,
    models::{self, Abilities, Ability, Bucket, Facts, Prices, Rates, Tier},
    providers,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is so of a model. What is left out is as sekisho knows it, if it does.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelFacts {
    /// Another model, `provider/model`, whose facts hold where nothing else is said: for deployments with names
    /// of their own.
    pub like: Option<String>,
    /// Tokens of prompt and answer together.
    pub context_window: Option<u64>,
    /// Tokens of the longest answer.
    pub max_output: Option<u64>,
    /// What it can do (`true`) or cannot (`false`). A target that cannot do what a request needs is passed over
    /// where the name has another.
    pub abilities: Can,
    /// What it costs, in US dollars for a million tokens: an entry, and one more for each size of the prompt from
    /// which other prices hold.
    pub prices: Vec<Price>,
}

/// What a model can do.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Can {
    /// It hears.
    pub audio: Option<bool>,
    /// It reads documents.
    pub documents: Option<bool>,
    /// It gives vectors.
    pub embeddings: Option<bool>,
    /// Its answers keep to a JSON Schema.
    pub json_schema: Option<bool>,
    /// It goes on with an answer that the caller has begun.
    pub prefill: Option<bool>,
    /// It thinks before it answers.
    pub reasoning: Option<bool>,
    /// Its answers come as streams.
    pub streaming: Option<bool>,
    /// It calls tools.
    pub tools: Option<bool>,
    /// It sees pictures.
    pub vision: Option<bool>,
}

/// Prices in US dollars, for a million tokens.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// They hold for prompts with more tokens than this. Default 0. What such an entry leaves out is as in the one
    /// for shorter prompts.
    pub above: u64,
    /// What is read afresh.
    pub input: Option<Usd>,
    /// What comes from a cache. Default: as `input`.
    pub cache_read: Option<Usd>,
    /// What is written to a cache. Default: as `input`.
    pub cache_write: Option<Usd>,
    /// What is written to a cache for an hour. Default: as `cache_write`.
    pub cache_write_1h: Option<Usd>,
    /// What is written.
    pub output: Option<Usd>,
    /// Thoughts. Default: as `output`.
    pub reasoning: Option<Usd>,
    /// Sound that is heard. Default: as `input`.
    pub audio_in: Option<Usd>,
    /// Sound that is spoken. Default: as `output`.
    pub audio_out: Option<Usd>,
    /// A thousand calls, whatever they use. Default: nothing.
    pub calls: Option<Usd>,
}

impl Draft<'_> {
    /// What was said of a provider's models.
    pub(super) fn facts(
        &mut self,
        path: Path<'_>,
        said: &BTreeMap<String, ModelFacts>,
    ) -> BTreeMap<String, Facts> {
        let mut all = BTreeMap::new();
        for (model, said) in said {
            let mut facts = said.facts();
            if let Some(like) = &said.like {
                match known(like) {
                    Some(known) => facts = facts.or(&known),
                    None => {
                        let path = [path, &["facts", model, "like"]].concat();
                        let problem =
                            Problem::new(format!("{} is no model that is known", self.quote(&path, like)));
                        self.wrong(&path, Problem { hint: near(like), ..problem });
                    }
                }
            }
            all.insert(model.clone(), facts);
        }
        all
    }
}

impl ModelFacts {
    fn facts(&self) -> Facts {
        Facts {
            context: self.context_window,
            max_output: self.max_output,
            abilities: self.abilities.abilities(),
            prices: Prices::new(self.prices.iter().map(Price::tier).collect()),
        }
    }
}

impl Can {
    fn abilities(&self) -> Abilities {
        let said = [
            (Ability::Audio, self.audio),
            (Ability::Documents, self.documents),
            (Ability::Embeddings, self.embeddings),
            (Ability::JsonSchema, self.json_schema),
            (Ability::Prefill, self.prefill),
            (Ability::Reasoning, self.reasoning),
            (Ability::Streaming, self.streaming),
            (Ability::Tools, self.tools),
            (Ability::Vision, self.vision),
        ];
        let mut abilities = Abilities::default();
        for (ability, has) in said {
            if let Some(has) = has {
                abilities.set(ability, has);
            }
        }
        abilities
    }
}

impl Price {
    fn tier(&self) -> Tier {
        let said = [
            (Bucket::Input, self.input),
            (Bucket::CacheRead, self.cache_read),
            (Bucket::CacheWrite, self.cache_write),
            (Bucket::CacheWriteHour, self.cache_write_1h),
            (Bucket::Output, self.output),
            (Bucket::Reasoning, self.reasoning),
            (Bucket::AudioIn, self.audio_in),
            (Bucket::AudioOut, self.audio_out),
            (Bucket::Call, self.calls),
        ];
        let mut rates = Rates::default();
        for (bucket, price) in said {
            if let Some(Usd(price)) = price {
                rates.set(bucket, price);
            }
        }
        Tier { above: self.above, rates }
    }
}

/// The facts of `provider/model`.
fn known(name: &str) -> Option<Facts> {
    let (provider, model) = name.split_once('/')?;
    let provider = providers::find(provider).map_or(provider, |row| row.name);
    models::find(provider, model)
}

/// The name of a known model that is near to this one.
fn near(name: &str) -> Option<String> {
    let near = hint::nearest(name, models::lines().map(|(name, _)| name));
    Some(near.map_or("write `provider/model`".to_owned(), |near| format!("did you mean `{near}`?")))
}
