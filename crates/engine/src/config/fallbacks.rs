//! Names that stand in for names: resolved when the plan is made.

use super::{
    draft::Draft,
    names::{Rank, Written, aim, is_there},
    problem::Problem,
    values::Names,
};
use crate::{
    hint,
    limits::{FALLBACKS_DEEP, TARGETS_MAX},
    plan::{Aim, Plan},
    route::Route,
    tiers::{Mirror, Shape, Strategy, Tier, When, hash},
};
use std::{collections::BTreeMap, sync::Arc};

/// Each name's own targets.
type Own<'a> = BTreeMap<&'a str, Vec<Rank>>;

/// A route in the making.
struct Making<'a> {
    plan: &'a Plan,
    written: &'a Written,
    own: &'a Own<'a>,
    /// The name whose route this is.
    root: &'a str,
    aims: Vec<Aim>,
    tiers: Vec<Tier>,
    /// The names that lead to the one which is being put in, the root first.
    above: Vec<String>,
    /// Names that are in already, for the same faults.
    seen: Vec<String>,
}

impl Draft<'_> {
    /// Where `name` goes: its own targets, and those of its fallbacks behind them.
    pub(super) fn route(&mut self, plan: &Plan, written: &Written, own: &Own<'_>, name: &str) -> Route {
        let (aims, tiers, above, seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut making = Making { plan, written, own, root: name, aims, tiers, above, seen };
        self.put_name(&mut making, When::Always, name);
        if let Some(model) = written.get(name) {
            for (member, names, when) in [
                ("context_fallbacks", &model.0.context_fallbacks, When::TooLong),
                ("content_filter_fallbacks", &model.0.content_filter_fallbacks, When::Filtered),
            ] {
                making.above = vec![name.to_owned()];
                making.seen.clear();
                self.put_fallbacks(&mut making, when, name, member, names);
            }
        }
        if making.aims.len() > TARGETS_MAX {
            let what = format!("with its fallbacks `{name}` has more than {TARGETS_MAX} targets");
            self.wrong(&["models", name], Problem::new(what));
        }
        let affinity = written.get(name).is_some_and(|model| model.0.affinity);
        let mirror = self.mirror(&making);
        making.finish(affinity, mirror)
    }

    /// Where some of the name's requests go as well.
    fn mirror(&mut self, making: &Making<'_>) -> Option<Mirror> {
        let mirror = making.written.get(making.root)?.0.mirror.as_ref()?;
        let path = ["models", making.root, "mirror"];
        let Some(to) = &mirror.to else {
            if !self.is_reported(&path) {
                let problem = Problem::new("this leads nowhere");
                self.wrong(&path, problem.hint("write `to: provider/model`, or another name"));
            }
            return None;
        };
        let path = ["models", making.root, "mirror", "to"];
        let is_name = making.own.contains_key(to.as_str()) && !to.contains('*');
        if to == making.root {
            self.wrong(&path, Problem::new("a name cannot be its own mirror"));
        } else if !is_name {
            self.found(&path, to, aim(making.plan, "", to))?;
        }
        Some(Mirror { to: to.clone(), share: mirror.percent.map_or(10_000, |percent| percent.0) })
    }

    fn put_name(&mut self, making: &mut Making<'_>, when: When, name: &str) {
        if making.seen.iter().any(|seen| seen == name) || making.aims.len() > TARGETS_MAX {
            return;
        }
        making.seen.push(name.to_owned());
        for rank in making.own.get(name).into_iter().flatten() {
            making.put(when, name, rank);
        }
        if let Some(model) = making.written.get(name) {
            making.above.push(name.to_owned());
            self.put_fallbacks(making, when, name, "fallbacks", &model.0.fallbacks);
            making.above.pop();
        }
    }

    fn put_fallbacks(
        &mut self,
        making: &mut Making<'_>,
        when: When,
        name: &str,
        member: &str,
        Names(fallbacks): &Names,
    ) {
        for (index, fallback) in fallbacks.iter().enumerate() {
            let place = self.place(name, member, index);
            let path: Vec<&str> = place.iter().map(String::as_str).collect();
            if making.above.iter().any(|above| above == fallback) {
                // Every name on the way round finds it: the first of them says it.
                if fallback == making.root && making.above.iter().min() == Some(fallback) {
                    let way = [making.above.join("` -> `"), fallback.clone()].join("` -> `");
                    self.wrong(&path, Problem::new(format!("a name cannot fall back on itself: `{way}`")));
                }
            } else if making.above.len() >= FALLBACKS_DEEP {
                if name != making.root {
                    let what = format!(
                        "from `{}` on these are more than {FALLBACKS_DEEP} fallbacks in a row",
                        making.root
                    );
                    self.wrong(&path, Problem::new(what));
                }
            } else if fallback.contains('*') && !making.root.contains('*') {
                if name == making.root {
                    let shown = self.quote(&path, fallback);
                    let what = format!("{shown} has a star for which the name has none");
                    self.wrong(&path, Problem::new(what));
                }
            } else if making.own.contains_key(fallback.as_str()) {
                self.put_name(making, when, fallback);
            } else if name == making.root {
                self.put_target(making, when, fallback, &path);
            } else if let Ok(aim) = aim(making.plan, making.root, fallback) {
                making.put(when, name, &Rank { strategy: Strategy::Ordered, priority: 1, aims: vec![aim] });
            }
        }
    }

    /// A fallback that is no name.
    fn put_target(&mut self, making: &mut Making<'_>, when: When, text: &str, path: &[&str]) {
        let aim = aim(making.plan, making.root, text).map_err(|wrong| {
            let names = making.own.keys().copied();
            match hint::nearest(text, names) {
                Some(near) => Problem::new("is no name here").hint(format!("did you mean `{near}`?")),
                None if text.contains('/') => wrong,
                None => Problem::new("is no name here").hint("write a name of `models`, or `provider/model`"),
            }
        });
        if let Some(aim) = self.found(path, text, aim) {
            let of = making.root;
            making.put(when, of, &Rank { strategy: Strategy::Ordered, priority: 1, aims: vec![aim] });
        }
    }
}

impl Making<'_> {
    /// Targets of one priority, less those that are there already for the same faults.
    fn put(&mut self, when: When, of: &str, rank: &Rank) {
        let root = of == self.root && when == When::Always;
        let same = self
            .tiers
            .iter()
            .filter(|tier| tier.when == when)
            .filter_map(|tier| self.aims.get(tier.aims.clone()));
        let known: Vec<&Aim> = same.flatten().collect();
        let is_new =
            |aim: &&Aim| root || !known.iter().any(|known| is_there(std::slice::from_ref(*known), aim));
        let new: Vec<Aim> = rank.aims.iter().filter(is_new).cloned().collect();
        // With a star in it a target needs one in the name.
        let new: Vec<Aim> =
            new.into_iter().filter(|aim| !aim.model.contains('*') || self.root.contains('*')).collect();
        if new.is_empty() {
            return;
        }
        let start = self.aims.len();
        self.aims.extend(new);
        let priority = rank.priority.to_string();
        self.tiers.push(Tier {
            aims: start..self.aims.len(),
            strategy: rank.strategy,
            when,
            of: of.to_owned(),
            id: hash(&[self.root.as_bytes(), of.as_bytes(), priority.as_bytes(), &[when as u8]]),
        });
    }

    fn finish(self, affinity: bool, mirror: Option<Mirror>) -> Route {
        let is_plain = matches!(self.tiers.as_slice(), [] | [Tier { strategy: Strategy::Ordered, .. }]);
        let tiers = self.tiers;
        let shape = (!is_plain || mirror.is_some()).then(|| Arc::new(Shape { tiers, affinity, mirror }));
        Route { aims: self.aims, shape }
    }
}
