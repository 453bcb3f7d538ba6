//! Where a model name goes.
//!
//! In this order: a name that the operator gave, `default`, a pattern (the longest first),
//! `provider/model` split at the first slash, the default upstream. What is left is not found, and the
//! answer says what was near.

use crate::{
    hint,
    limits::{MODEL_NAME_MAX, PRICED_INPUT, PRICED_OUTPUT},
    plan::{Aim, Pattern, Plan},
    providers,
    tiers::{Shape, Strategy},
};
use dialect::{Fault, FaultKind, canon::Usage};
use std::sync::Arc;

/// The name for which [`Plan::default_model`] stands in.
pub const DEFAULT: &str = "default";

/// Where a name goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The targets, tier by tier.
    pub aims: Vec<Aim>,
    /// How they hang together; `None` where they are asked one after the other.
    pub shape: Option<Arc<Shape>>,
}

impl From<Vec<Aim>> for Route {
    fn from(aims: Vec<Aim>) -> Route {
        Route { aims, shape: None }
    }
}

impl From<Aim> for Route {
    fn from(aim: Aim) -> Route {
        vec![aim].into()
    }
}

impl Plan {
    /// Where `model` goes: at least one target.
    ///
    /// # Errors
    /// [`FaultKind::ModelNotFound`], with a hint where something near is known.
    pub fn resolve(&self, model: &str) -> Result<Route, Fault> {
        if model.is_empty() || model.len() > MODEL_NAME_MAX {
            return Err(Fault::bad("/model", format!("a model name has 1 to {MODEL_NAME_MAX} bytes")));
        }
        let model = match &self.default_model {
            Some(stand_in) if model == DEFAULT && !self.aliases.contains_key(DEFAULT) => stand_in,
            _ => model,
        };
        self.named(model).ok_or_else(|| self.not_found(model))
    }

    fn named(&self, model: &str) -> Option<Route> {
        if let Some(route) = self.aliases.get(model) {
            return Some(route.clone());
        }
        if let Some(mut route) = self.patterns.iter().find_map(|pattern| pattern.route(model)) {
            self.sort_by_price(&mut route);
            return Some(route);
        }
        if let Some((provider, rest)) = model.split_once('/')
            && !rest.is_empty()
            && let Some(provider) = self.provider(provider)
        {
            return Some(Aim::new(provider, rest).into());
        }
        self.upstream(model)
    }

    /// `model` at the default upstream and at those that stand in for it.
    fn upstream(&self, model: &str) -> Option<Route> {
        let first = self.default_upstream?;
        let all = std::iter::once(first).chain(self.spare_upstreams.iter().copied());
        Some(all.map(|provider| Aim::new(provider, model)).collect::<Vec<_>>().into())
    }

    /// The same for every name that the operator gave.
    pub(crate) fn sort_all_by_price(&mut self) {
        let mut aliases = std::mem::take(&mut self.aliases);
        aliases.values_mut().for_each(|route| self.sort_by_price(route));
        self.aliases = aliases;
    }

    /// Puts the cheapest first where that was asked for. Whose price is not known comes last.
    pub(crate) fn sort_by_price(&self, route: &mut Route) {
        let price = |aim: &Aim| {
            let provider = self.providers.get(aim.provider)?;
            provider.facts(&aim.model).prices.cost(&Usage {
                input: PRICED_INPUT,
                output: PRICED_OUTPUT,
                ..Usage::default()
            })
        };
        let price = |aim: &Aim| price(aim).map_or(u64::MAX, |money| money.0);
        let tiers = route.shape.iter().flat_map(|shape| &shape.tiers);
        for tier in tiers.filter(|tier| tier.strategy == Strategy::Cheapest) {
            if let Some(aims) = route.aims.get_mut(tier.aims.clone()) {
                aims.sort_by_cached_key(price);
            }
        }
    }

    fn not_found(&self, model: &str) -> Fault {
        let shown: String = model.chars().filter(|c| !c.is_control()).collect();
        let fault = Fault {
            param: Some("/model".to_owned()),
            ..Fault::new(FaultKind::ModelNotFound, format!("no model `{shown}` here"))
        };
        match self.advice(&shown) {
            Some(advice) => fault.hint(advice),
            None => fault,
        }
    }

    /// What the caller may have meant.
    fn advice(&self, model: &str) -> Option<String> {
        if model == DEFAULT {
            return Some("the configuration names no `default_model`".to_owned());
        }
        if let Some((first, rest)) = model.split_once('/') {
            if rest.is_empty() {
                return Some("a model stands behind the slash".to_owned());
            }
            if let Some(row) = providers::find(first)
                && self.provider(first).is_none()
            {
                return Some(hint::switch_on(row));
            }
            let names = self.providers.iter().flat_map(|p| std::iter::once(&p.name).chain(&p.aka));
            if let Some(near) = hint::nearest(first, names.map(String::as_str)) {
                return Some(format!("did you mean `{near}/{rest}`?"));
            }
        }
        let names = self.aliases.keys().map(String::as_str);
        let listed: Vec<String> = self.listed_models().collect();
        if let Some(near) = hint::nearest(model, names.chain(listed.iter().map(String::as_str))) {
            return Some(format!("did you mean `{near}`?"));
        }
        let first = self.providers.first()?;
        Some(format!("write `provider/model`, such as `{}/{}`", first.name, model.trim_start_matches('/')))
    }

    /// The models that the operator listed by hand, as `provider/model`.
    pub fn listed_models(&self) -> impl Iterator<Item = String> {
        self.providers.iter().flat_map(|p| p.listed.iter().map(move |model| format!("{}/{model}", p.name)))
    }
}

impl Pattern {
    /// Where `name` goes, if it is of this pattern.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<Route> {
        let star = name.strip_prefix(self.before.as_str())?.strip_suffix(self.behind.as_str())?;
        let fill = |aim: &Aim| Aim { model: aim.model.replacen('*', star, 1), ..aim.clone() };
        let route = &self.route;
        let filled = || Route { aims: route.aims.iter().map(fill).collect(), shape: route.shape.clone() };
        (!star.is_empty()).then(filled)
    }

    /// How much of a name it states: the longest pattern is asked first.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.before.len() + self.behind.len()
    }
}
