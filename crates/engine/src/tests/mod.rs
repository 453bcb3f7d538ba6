//! Tests of the table of providers, of facts about models, of names and of paths.

mod facts;
mod fallbacks;
mod forms;
mod hand;
mod hedges;
mod paths;
mod prefills;
mod providers;
mod relays;
mod remedies;
mod routes;
mod sending;
mod tiers;

use crate::{
    access::Caller,
    config::{Overrides, Source, World, load},
    ledger::Asks,
    path::KeyChoice,
    plan::{Aim, Plan},
    rates::Priority,
};

/// The plan that an environment and a file make.
pub(crate) fn plan(environment: &[(&str, &str)], text: &str) -> Plan {
    let env = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let world = World { env: &env, read_file: &|_| Err("no such file".to_owned()) };
    let source = Source { name: "sekisho.yaml", text: text.as_bytes() };
    let loaded = load(Some(source), &world, &Overrides::default());
    loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

/// A request of nobody's that asks the ledger for one of `aims`, of which some are `left`.
fn asks<'a>(plan: &'a Plan, aims: &'a [Aim], left: &'a [usize]) -> Asks<'a> {
    let (key, caller, priority) = (KeyChoice::Next, Caller(None), Priority::Normal);
    Asks { plan, aims, left, shape: None, key, roll: 0, ticket: 0, caller, priority, model: "m", body: b"" }
}
