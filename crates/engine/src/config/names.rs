//! The names that an operator gives to models.

use super::{
    draft::{Draft, Path},
    problem::Problem,
    values::Names,
};
use crate::{
    hint,
    limits::{ALIASES_MAX, MODEL_NAME_MAX, TARGETS_MAX},
    plan::{Aim, Pattern, Plan},
    providers,
    route::DEFAULT,
};
use std::collections::BTreeMap;

impl Draft<'_> {
    pub(super) fn name_models(&mut self, plan: &mut Plan, written: BTreeMap<String, Names>) {
        if written.len() > ALIASES_MAX {
            self.wrong(&["models"], Problem::new(format!("{ALIASES_MAX} names are the limit")));
            return;
        }
        for (name, Names(targets)) in &written {
            if let Some(why) = bad_name(name) {
                self.wrong_name(&["models", name], Problem::new(why));
                continue;
            }
            let aims = self.aims(plan, &written, name, targets);
            match name.split_once('*') {
                Some((before, behind)) => {
                    plan.patterns.push(Pattern { before: before.into(), behind: behind.into(), aims });
                }
                None => {
                    plan.aliases.insert(name.clone(), aims);
                }
            }
        }
        plan.patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.weight()));
        if let Some(provider) = plan.providers.iter().position(|provider| provider.built_in) {
            let aim = Aim { provider, model: "demo".to_owned() };
            plan.aliases.entry("demo".to_owned()).or_insert_with(|| vec![aim]);
        }
    }

    fn aims(
        &mut self,
        plan: &Plan,
        names: &BTreeMap<String, Names>,
        name: &str,
        targets: &[String],
    ) -> Vec<Aim> {
        if targets.is_empty() && !self.is_reported(&["models", name]) {
            let problem = Problem::new(format!("`{name}` has no target"));
            self.wrong_name(&["models", name], problem.hint("write `provider/model`, or a list of them"));
        }
        if targets.len() > TARGETS_MAX {
            self.wrong(&["models", name], Problem::new(format!("{TARGETS_MAX} targets are the limit")));
        }
        let mut aims = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            let index = index.to_string();
            let in_list = ["models", name, &index];
            let is_list = self.document.tree.find(&in_list).is_some();
            let path: Path<'_> = if is_list { &in_list } else { &["models", name] };
            match aim(plan, names, name, target) {
                Ok(aim) => aims.push(aim),
                // Its provider is not on because something is wrong with it, and that has been said.
                Err(_) if self.is_reported(&["providers"]) => {}
                Err(wrong) => {
                    let shown = self.quote(path, target);
                    let problem = Problem::new(format!("{shown} {}", wrong.message));
                    self.wrong(path, Problem { hint: wrong.hint, ..problem });
                }
            }
        }
        aims
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

fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > MODEL_NAME_MAX || name.chars().any(char::is_control) {
        return Some("this cannot be the name of a model");
    }
    (name.matches('*').count() > 1).then_some("a name may have one star")
}

/// The target that `text` names. What is wrong completes the sentence that begins with it.
fn aim(plan: &Plan, names: &BTreeMap<String, Names>, name: &str, text: &str) -> Result<Aim, Problem> {
    let Some((provider, model)) = text.split_once('/').filter(|(_, model)| !model.is_empty()) else {
        if names.contains_key(text) {
            let problem = Problem::new("is a name itself, and a name cannot lead to a name");
            return Err(problem.hint("write its targets here"));
        }
        return Err(Problem::new("is not a target").hint("write `provider/model`"));
    };
    if model.contains('*') && (!name.contains('*') || model.matches('*').count() > 1) {
        return Err(Problem::new("has a star for which the name has none"));
    }
    if let Some(index) = plan.provider(provider) {
        return Ok(Aim { provider: index, model: model.to_owned() });
    }
    if let Some(row) = providers::find(provider) {
        return Err(Problem::new("leads to a provider that is off").hint(hint::switch_on(row)));
    }
    let known = plan.providers.iter().flat_map(|p| std::iter::once(&p.name).chain(&p.aka));
    let near = hint::nearest(provider, known.map(String::as_str));
    let problem = Problem::new("leads to no provider that is known");
    Err(Problem { hint: near.map(|near| format!("did you mean `{near}/{model}`?")), ..problem })
}
