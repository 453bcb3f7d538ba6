//! The names that an operator gives to models.

use super::{
    draft::{Draft, Path},
    models::{Model, ModelTarget, Target},
    problem::Problem,
};
use crate::{
    hint,
    limits::{ALIASES_MAX, MODEL_NAME_MAX, PRIORITY_MAX, TARGETS_MAX, WEIGHT_MAX},
    plan::{Aim, Pattern, Plan, Terms},
    providers,
    route::DEFAULT,
    tiers::Strategy,
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// What was written, by name.
pub(super) type Written = BTreeMap<String, Model>;

/// Targets of one priority, and how one of them is chosen.
#[derive(Clone)]
pub(super) struct Rank {
    pub(super) strategy: Strategy,
    pub(super) priority: u32,
    pub(super) aims: Vec<Aim>,
}

/// Members that are the gateway's to say, in every dialect.
const OURS: [&str; 2] = ["model", "stream"];

impl Draft<'_> {
    pub(super) fn name_models(&mut self, plan: &mut Plan, written: &Written) {
        if written.len() > ALIASES_MAX {
            self.wrong(&["models"], Problem::new(format!("{ALIASES_MAX} names are the limit")));
            return;
        }
        let mut own = BTreeMap::new();
        for (name, model) in written {
            match bad_name(name) {
                Some(why) => self.wrong_name(&["models", name], Problem::new(why)),
                None => {
                    own.insert(name.as_str(), self.ranks(plan, written, name, model));
                }
            }
        }
        for name in own.keys() {
            let route = self.route(plan, written, &own, name);
            match name.split_once('*') {
                Some((before, behind)) => {
                    plan.patterns.push(Pattern { before: before.into(), behind: behind.into(), route });
                }
                None => {
                    plan.aliases.insert((*name).to_owned(), route);
                }
            }
        }
        plan.patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.weight()));
        if let Some(provider) = plan.providers.iter().position(|provider| provider.built_in) {
            plan.aliases.entry("demo".to_owned()).or_insert_with(|| Aim::new(provider, "demo").into());
        }
    }

    /// A name's own targets, those of one priority together.
    fn ranks(&mut self, plan: &Plan, written: &Written, name: &str, Model(model): &Model) -> Vec<Rank> {
        let targets = &model.targets.0;
        if targets.is_empty() && !self.is_reported(&["models", name]) {
            let problem = Problem::new(format!("`{name}` has no target"));
            self.wrong_name(&["models", name], problem.hint("write `provider/model`, or a list of them"));
        }
        if targets.len() > TARGETS_MAX {
            self.wrong(&["models", name], Problem::new(format!("{TARGETS_MAX} targets are the limit")));
        }
        let strategy = model.strategy;
        if model.affinity && !strategy.spreads() {
            let what = format!("with `{}` all conversations go to one target anyway", strategy.name());
            self.wrong(&["models", name, "affinity"], Problem::new(what).hint("set `strategy: shuffle`"));
        }
        let mut ranks: Vec<Rank> = Vec::new();
        for (index, Target(target)) in targets.iter().enumerate() {
            let place = self.place(name, "targets", index);
            let path: Vec<&str> = place.iter().map(String::as_str).collect();
            let Some(aim) = self.target(plan, written, name, target, &path) else { continue };
            let priority = target.priority.unwrap_or(1);
            match ranks.iter_mut().find(|rank| rank.priority == priority) {
                Some(rank) if strategy.spreads() && is_there(&rank.aims, &aim) => {
                    let problem = Problem::new("this target stands here twice");
                    self.wrong(&path, problem.hint("give it a `weight` instead"));
                }
                Some(rank) => rank.aims.push(aim),
                None => ranks.push(Rank { strategy, priority, aims: vec![aim] }),
            }
        }
        ranks.sort_by_key(|rank| rank.priority);
        ranks
    }

    /// Where a value of a list stands that may be written as one value, or for targets without the map around.
    pub(super) fn place(&self, name: &str, member: &str, index: usize) -> Vec<String> {
        let index = index.to_string();
        let places: [&[&str]; 4] = [
            &["models", name, member, &index],
            &["models", name, member],
            &["models", name, &index],
            &["models", name],
        ];
        let found = places.into_iter().find(|path| self.document.tree.find(path).is_some());
        found.unwrap_or_default().iter().map(|part| (*part).to_owned()).collect()
    }

    fn target(
        &mut self,
        plan: &Plan,
        written: &Written,
        name: &str,
        target: &ModelTarget,
        path: Path<'_>,
    ) -> Option<Aim> {
        let of_member = [path, &["model"]].concat();
        let at = if self.document.tree.find(&of_member).is_some() { &of_member } else { path };
        let Some(text) = &target.model else {
            if !self.is_reported(path) {
                let problem = Problem::new("this target has no `model`");
                self.wrong(path, problem.hint("write `model: provider/model`"));
            }
            return None;
        };
        let terms = self.terms(target, path);
        let aim = aim(plan, name, text).map_err(|wrong| {
            if !text.contains('/') && written.contains_key(text) {
                let problem = Problem::new("is a name itself, and no target");
                return problem.hint("write its targets here, or name it in `fallbacks`");
            }
            wrong
        });
        let aim = self.found(at, text, aim)?;
        Some(Aim { terms, ..aim })
    }

    /// The target that was named, or says why there is none.
    pub(super) fn found(&mut self, path: Path<'_>, text: &str, aim: Result<Aim, Problem>) -> Option<Aim> {
        match aim {
            Ok(aim) => return Some(aim),
            // Its provider is not on because something is wrong with it, and that has been said.
            Err(_) if self.is_reported(&["providers"]) => {}
            Err(wrong) => {
                let shown = self.quote(path, text);
                let problem = Problem::new(format!("{shown} {}", wrong.message));
                self.wrong(path, Problem { hint: wrong.hint, ..problem });
            }
        }
        None
    }

    /// What is said of a target besides its name.
    fn terms(&mut self, target: &ModelTarget, path: Path<'_>) -> Option<Arc<Terms>> {
        for (member, number, most) in
            [("priority", target.priority, PRIORITY_MAX), ("weight", target.weight, WEIGHT_MAX)]
        {
            if number.is_some_and(|number| !(1..=most).contains(&number)) {
                self.wrong(
                    &[path, &[member]].concat(),
                    Problem::new(format!("this must be from 1 to {most}")),
                );
            }
        }
        for name in target.params.keys().filter(|name| OURS.contains(&name.as_str())) {
            let problem = Problem::new(format!("`{name}` is no parameter that a target can have"));
            self.wrong_name(&[path, &["params", name]].concat(), problem);
        }
        if target.drops.0.iter().any(|name| OURS.contains(&name.as_str())) {
            self.wrong(&[path, &["drops"]].concat(), Problem::new("`model` and `stream` cannot be left out"));
        }
        let json =
            |(name, value): (&String, &serde_json::Value)| (name.clone(), Bytes::from(value.to_string()));
        let params: Vec<(String, Bytes)> = target.params.iter().map(json).collect();
        let (weight, drops) = (target.weight.unwrap_or(1), target.drops.0.clone());
        let is_plain = weight == 1 && params.is_empty() && drops.is_empty();
        (!is_plain).then(|| Arc::new(Terms { weight: weight.clamp(1, WEIGHT_MAX), params, drops }))
    }

    pub(super) fn default_model(&mut self, plan: &mut Plan, written: Option<String>) {
        let from_file = written.is_some();
        let Some(name) = written.or_else(|| self.environment.get("DEFAULT_MODEL")) else { return };
        let found = if name == DEFAULT { None } else { plan.resolve(&name).ok() };
        let broken = self.is_reported(&["providers"]) || self.is_reported(&["models"]);
        plan.default_model = Some(name.clone());
        if found.is_some() || broken {
            return;
        }
        let hint = plan.resolve(&name).err().and_then(|fault| fault.hint).filter(|_| name != DEFAULT);
        match from_file {
            true => {
                let shown = self.quote(&["default_model"], &name);
                let problem = Problem::new(format!("{shown} is no model here"));
                self.wrong(&["default_model"], Problem { hint, ..problem });
            }
            false => self.wrong_variable_hint("DEFAULT_MODEL", "this is no model here", hint),
        }
    }
}

/// The same model of the same provider is among them.
pub(super) fn is_there(aims: &[Aim], aim: &Aim) -> bool {
    aims.iter().any(|other| other.provider == aim.provider && other.model == aim.model)
}

fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > MODEL_NAME_MAX || name.chars().any(char::is_control) {
        return Some("this cannot be the name of a model");
    }
    (name.matches('*').count() > 1).then_some("a name may have one star")
}

/// The target that `text` names. What is wrong completes the sentence that begins with it.
pub(super) fn aim(plan: &Plan, name: &str, text: &str) -> Result<Aim, Problem> {
    let Some((provider, model)) = text.split_once('/').filter(|(_, model)| !model.is_empty()) else {
        return Err(Problem::new("is not a target").hint("write `provider/model`"));
    };
    if model.contains('*') && (!name.contains('*') || model.matches('*').count() > 1) {
        return Err(Problem::new("has a star for which the name has none"));
    }
    if let Some(index) = plan.provider(provider) {
        return Ok(Aim::new(index, model));
    }
    if let Some(row) = providers::find(provider) {
        return Err(Problem::new("leads to a provider that is off").hint(hint::switch_on(row)));
    }
    let known = plan.providers.iter().flat_map(|p| std::iter::once(&p.name).chain(&p.aka));
    let near = hint::nearest(provider, known.map(String::as_str));
    let problem = Problem::new("leads to no provider that is known");
    Err(Problem { hint: near.map(|near| format!("did you mean `{near}/{model}`?")), ..problem })
}
