//! The commands that list what is known and what is on.

use super::{Exit, print};
use crate::{
    env,
    load::{self, Args, Loaded, Variables},
};
use engine::{
    plan::{Plan, Provider},
    providers::PROVIDERS,
    route::Route,
    surface::ROUTES,
};
use serde_json::{Value, json};

/// A provider that is known, and what it is like here if it is on.
struct Known<'a> {
    name: &'a str,
    dialects: Vec<&'static str>,
    /// The shape of its embeddings, if it has any.
    embeds: Option<&'static str>,
    base: &'a str,
    aka: Vec<&'a str>,
    variables: Vec<String>,
    on: Option<&'a Provider>,
}

/// The providers of the table, and a user's own.
fn known(plan: &Plan) -> Vec<Known<'_>> {
    let of_table = PROVIDERS.iter().map(|row| {
        let on = plan.provider(row.name).and_then(|index| plan.providers.get(index));
        let keys = row.key_vars.iter().map(|name| (*name).to_owned());
        let variables = match row.local {
            true if row.keyed_base.is_some() => keys.chain(row.base_variables()).collect(),
            true => row.base_variables(),
            false => {
                let cloud = row.cloud.map_or_else(Default::default, |cloud| cloud.switches());
                keys.chain(cloud.iter().map(|name| (*name).to_owned())).collect()
            }
        };
        let base = if row.built_in { "in this process" } else { row.base };
        let dialects = row.speaks.iter().map(|spoken| spoken.dialect.name()).collect();
        let embeds = row.embeds.map(|(shape, _)| shape.name());
        Known { name: row.name, dialects, embeds, base, aka: row.aka.to_vec(), variables, on }
    });
    let own = plan.providers.iter().filter(|p| PROVIDERS.iter().all(|row| row.name != p.name));
    let own = own.map(|p| Known {
        name: &p.name,
        dialects: p.speaks.iter().map(|speech| speech.dialect.name()).collect(),
        embeds: p.embeds.as_ref().map(|(shape, _)| shape.name()),
        base: &p.base,
        aka: Vec::new(),
        variables: Vec::new(),
        on: Some(p),
    });
    of_table.chain(own).collect()
}

impl Known<'_> {
    /// Where it lives, as far as that is known.
    fn address(&self) -> &str {
        self.on.filter(|provider| !provider.built_in).map_or(self.base, |provider| &provider.base)
    }

    fn state(&self) -> String {
        match self.on {
            None => String::new(),
            Some(provider) if provider.keys.len() > 1 => format!("on, {} keys", provider.keys.len()),
            Some(provider) if provider.signer.is_some() => "on, signed".to_owned(),
            Some(_) => "on".to_owned(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "aka": self.aka,
            "on": self.on.is_some(),
            "dialects": self.dialects,
            "embeddings": self.embeds,
            "base_url": self.address(),
            "keys": self.on.map_or(0, |provider| provider.keys.len()),
            "switched_on_by": self.variables,
            "models": self.on.map(|provider| &provider.listed),
        })
    }
}

/// Lists the providers that are known, and which are on.
pub(super) fn providers(args: &Args, json: bool) -> Exit {
    with_plan(args, |plan| {
        let all = known(plan);
        if json {
            return print::json_data(&all.iter().map(Known::json).collect());
        }
        let mut rows = vec![heading(&["PROVIDER", "", "DIALECTS", "ADDRESS", "SWITCHED ON BY"])];
        rows.extend(all.iter().map(|one| {
            let by = one.variables.join(", ");
            vec![one.name.to_owned(), one.state(), one.dialects.join(", "), one.address().to_owned(), by]
        }));
        print::table(&rows);
    })
}

/// Lists the names that the operator gave, and the models that were listed by hand.
pub(super) fn models(args: &Args, json: bool) -> Exit {
    with_plan(args, |plan| {
        let aliases = plan.aliases.iter().map(|(name, route)| (name.clone(), route));
        let patterns = plan
            .patterns
            .iter()
            .map(|pattern| (format!("{}*{}", pattern.before, pattern.behind), &pattern.route));
        let named = aliases.chain(patterns);
        if json {
            let targets = |route: &Route| route.aims.iter().map(|aim| plan.target(aim)).collect::<Vec<_>>();
            let named = named.map(|(name, route)| json!({ "name": name, "targets": targets(route) }));
            let listed = plan.listed_models().map(|name| json!({ "name": name, "targets": [name] }));
            return print::json_data(&named.chain(listed).collect());
        }
        let mut rows = vec![heading(&["MODEL", "GOES TO"])];
        rows.extend(named.map(|(name, route)| vec![name, plan.way(route)]));
        rows.extend(plan.listed_models().map(|name| vec![name.clone(), name]));
        print::table(&rows);
        print::words("a running gateway lists the models of its providers as well: GET /v1/models");
    })
}

/// Lists the routes.
pub(super) fn routes(json: bool) -> Exit {
    let methods = |methods: &[&str]| if methods.is_empty() { "ANY".to_owned() } else { methods.join(", ") };
    if json {
        let list = ROUTES.iter().map(|route| {
            json!({
                "methods": route.methods,
                "path": route.path,
                "dialect": route.dialect.name(),
                "operation": route.does(),
                "key": route.guarded,
            })
        });
        print::json_data(&list.collect::<Value>());
        return Exit::Done;
    }
    let mut rows = vec![heading(&["METHOD", "PATH", "DIALECT", "OPERATION", "KEY"])];
    rows.extend(ROUTES.iter().map(|route| {
        let key = if route.guarded { "yes" } else { "no" };
        vec![
            methods(route.methods),
            route.path.into(),
            route.dialect.name().into(),
            route.does().into(),
            key.into(),
        ]
    }));
    print::table(&rows);
    Exit::Done
}

/// Lists the environment variables. Their values are nobody's business.
pub(super) fn env(args: &Args, json: bool) -> Exit {
    let variables = match Variables::read(args.env_file.as_deref()) {
        Ok(variables) => variables,
        Err(problem) => return print::problems(&[problem]),
    };
    let is_set = |name: &str| variables.get(name).is_some_and(|value| !value.trim().is_empty());
    let all = env::variables();
    if json {
        let list = all.iter().map(
            |variable| json!({ "name": variable.name, "set": is_set(&variable.name), "what": variable.what }),
        );
        print::json_data(&list.collect::<Value>());
        return Exit::Done;
    }
    let mut rows = vec![heading(&["VARIABLE", "", "WHAT IT DOES"])];
    rows.extend(all.into_iter().map(|variable| {
        let set = if is_set(&variable.name) { "set" } else { "" };
        vec![variable.name, set.to_owned(), variable.what]
    }));
    print::table(&rows);
    print::words(env::OF_KEYS);
    Exit::Done
}

fn with_plan(args: &Args, show: impl FnOnce(&Plan)) -> Exit {
    match load::load(args) {
        Ok(Loaded { plan, .. }) => {
            show(&plan);
            Exit::Done
        }
        Err(problems) => print::problems(&problems),
    }
}

fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
