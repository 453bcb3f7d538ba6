//! What an operator may write for the name of a model.

use super::values::{Names, Percent};
use crate::tiers::Strategy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// Where a name goes: a target, a list of them, or more.
#[derive(Default)]
pub struct Model(pub ModelRoute);

/// Where a name goes, and how a target is chosen.
#[derive(Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRoute {
    /// Its targets: one, or a list.
    pub targets: Targets,
    /// How one of its targets is chosen. Default `ordered`.
    pub strategy: Strategy,
    /// Where a request goes when no target of this name answers: other names, or targets, in this order. A name
    /// brings its own fallbacks along.
    pub fallbacks: Names,
    /// Where it goes, before all others, when the prompt was too long for a target, or is known to be for all.
    pub context_fallbacks: Names,
    /// Where it goes when a target's content filter has refused. No other target is asked then, unless
    /// `failover.content_filter` says so.
    pub content_filter_fallbacks: Names,
    /// Requests of one conversation go to the same target as long as it is well, whatever the strategy says: for
    /// providers' prompt caches, and for thoughts that only who sealed them can read. A conversation is told by the
    /// headers `x-session-affinity`, `x-session-id`, those of Claude Code and Codex, or by `prompt_cache_key`,
    /// `user` or `metadata.user_id`. Default `false`.
    pub affinity: bool,
    /// Where some requests are sent as well. Their answers are dropped, and stand in the log.
    pub mirror: Option<ModelMirror>,
}

/// Where some requests are sent as well.
#[derive(Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelMirror {
    /// A name, or a target.
    pub to: Option<String>,
    /// How many of a hundred requests, such as `5` or `0.1`. Default `100`.
    pub percent: Option<Percent>,
}

/// Targets: one, or a list.
#[derive(Default)]
pub struct Targets(pub Vec<Target>);

/// One target: `provider/model`, or more.
#[derive(Clone, Default)]
pub struct Target(pub ModelTarget);

/// A target, and what is particular about it.
#[derive(Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelTarget {
    /// Which it is: `provider/model`.
    pub model: Option<String>,
    /// Targets with a higher number are asked only when none with a lower one may be. 1 to 64, default 1.
    pub priority: Option<u32>,
    /// How often it is chosen beside others with theirs, by `shuffle`, `round_robin`, `least_busy`, `usage` and for
    /// conversations. 1 to 10000, default 1.
    pub weight: Option<u32>,
    /// Members of a request, as the target's API names them, for requests that do not say them themselves.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Members of a request, as the target's API names them, that are left out. One that stands in `params` too is
    /// always as it stands there.
    pub drops: Names,
}

impl Target {
    fn of(text: &str) -> Target {
        Target(ModelTarget { model: Some(text.to_owned()), ..ModelTarget::default() })
    }
}

/// What may be written where a target may.
struct OneTarget;
/// What may be written where targets may.
struct SomeTargets;
/// What may be written for a name.
struct WholeModel;

impl<'de> Visitor<'de> for OneTarget {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target or a map")
    }

    fn visit_str<E>(self, text: &str) -> Result<Target, E> {
        Ok(Target::of(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        ModelTarget::deserialize(MapAccessDeserializer::new(map)).map(Target)
    }
}

impl<'de> Visitor<'de> for SomeTargets {
    type Value = Targets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target or a list of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Targets, E> {
        Ok(Targets(vec![Target::of(text)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Targets, A::Error> {
        let mut targets = Vec::new();
        while let Some(target) = items.next_element()? {
            targets.push(target);
        }
        Ok(Targets(targets))
    }
}

impl<'de> Visitor<'de> for WholeModel {
    type Value = Model;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target, a list of them or a map")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Model, E> {
        let targets = SomeTargets.visit_str(text)?;
        Ok(Model(ModelRoute { targets, ..ModelRoute::default() }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Model, A::Error> {
        let targets = SomeTargets.visit_seq(items)?;
        Ok(Model(ModelRoute { targets, ..ModelRoute::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Model, A::Error> {
        ModelRoute::deserialize(MapAccessDeserializer::new(map)).map(Model)
    }
}

/// Whoever takes a text and more is asked for a text: see the reader of the file.
macro_rules! read_by {
    ($($type:ident $visitor:ident;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($visitor)
            }
        }
    )*};
}

read_by! {
    Target OneTarget;
    Targets SomeTargets;
    Model WholeModel;
}

/// What the published schema says of these types.
macro_rules! schemas {
    ($($type:ident $($other:ty)? => $array:expr;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let list = json_schema!({ "type": "array", "items": generator.subschema_for::<Target>() });
                let text = json_schema!({ "type": "string" });
                let any: Vec<Schema> =
                    [Some(text), $array.then_some(list), None$(.or(Some(generator.subschema_for::<$other>())))?]
                        .into_iter()
                        .flatten()
                        .collect();
                json_schema!({ "anyOf": any })
            }
        }
    )*};
}

schemas! {
    Target ModelTarget => false;
    Targets => true;
    Model ModelRoute => true;
}
