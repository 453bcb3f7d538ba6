//! A plan in words, without its secrets.

use crate::{
    plan::{Aim, Cors, Hedge, Plan, Provider},
    rates::Of,
    route::Route,
    tiers::{Tier, When},
    time::Span,
};
use std::fmt::Write;

impl Plan {
    /// What is on and where names go: a few lines for people. Of keys it says only how many there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let clients = match self.access.keys.len() {
            0 => "open to everybody".to_owned(),
            keys => count(keys, "client key"),
        };
        let _ = writeln!(text, "listens on {}, {clients}", self.listen);
        for provider in &self.providers {
            let _ = writeln!(text, "provider {}", provider.summary());
        }
        for (name, route) in &self.aliases {
            let _ = writeln!(text, "model {name} -> {}", self.way(route));
        }
        for pattern in &self.patterns {
            let way = self.way(&pattern.route);
            let _ = writeln!(text, "model {}*{} -> {way}", pattern.before, pattern.behind);
        }
        if let Some(model) = &self.default_model {
            let _ = writeln!(text, "default -> {model}");
        }
        let rest: Vec<&str> = self
            .default_upstream
            .iter()
            .chain(&self.spare_upstreams)
            .filter_map(|index| self.providers.get(*index).map(|provider| provider.name.as_str()))
            .collect();
        if !rest.is_empty() {
            let _ = writeln!(text, "other names -> {}", rest.join(", "));
        }
        for setting in self.settings() {
            let _ = writeln!(text, "{setting}");
        }
        text
    }

    /// Where a name goes: `provider/model, provider/model`, or tier by tier, each with how a target is chosen.
    #[must_use]
    pub fn way(&self, route: &Route) -> String {
        let Some(shape) = &route.shape else { return self.targets(&route.aims) };
        let tier = |tier: &Tier| {
            let aims = self.targets(route.aims.get(tier.aims.clone()).unwrap_or_default());
            let when = match tier.when {
                When::Always => "",
                When::TooLong => "if too long: ",
                When::Filtered => "if filtered: ",
            };
            match tier.aims.len() {
                1 => format!("{when}{aims}"),
                _ => format!("{when}{} of {aims}", tier.strategy.name()),
            }
        };
        let tiers: Vec<String> = shape.tiers.iter().map(tier).collect();
        let affinity = if shape.affinity { "; by conversation" } else { "" };
        let mirror = shape.mirror.as_ref();
        let mirror = mirror.map_or(String::new(), |to| format!("; {} % also to {}", to.percent(), to.to));
        format!("{}{affinity}{mirror}", tiers.join("; "))
    }

    /// `provider/model, provider/model`.
    #[must_use]
    pub fn targets(&self, aims: &[Aim]) -> String {
        let name = |aim: &Aim| match aim.weight() {
            1 => self.target(aim),
            weight => format!("{} ({weight})", self.target(aim)),
        };
        aims.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// `provider/model`.
    #[must_use]
    pub fn target(&self, aim: &Aim) -> String {
        let provider = self.providers.get(aim.provider).map_or("?", |provider| provider.name.as_str());
        format!("{provider}/{}", aim.model)
    }

    /// The settings that are not at their default.
    fn settings(&self) -> Vec<String> {
        let plain = Plan::default();
        let (mine, other) = (self.timeouts, plain.timeouts);
        let mut changed = Vec::new();
        let mut put = |name: &str, is_changed: bool, value: String| {
            if is_changed {
                changed.push(format!("{name}: {value}"));
            }
        };
        put("timeouts.connect", mine.connect != other.connect, span(mine.connect));
        put("timeouts.first_byte", mine.first_byte != other.first_byte, span(mine.first_byte));
        put("timeouts.idle", mine.idle != other.idle, span(mine.idle));
        put("timeouts.total", mine.total != other.total, span(mine.total));
        put("timeouts.first_token", mine.first_token != other.first_token, span(mine.first_token));
        let (mine, other) = (self.heartbeat, plain.heartbeat);
        put("heartbeat.streams", mine.streams != other.streams, span(mine.streams));
        put("heartbeat.answers", mine.answers != other.answers, span(mine.answers));
        let (mine, other) = (self.failover, plain.failover);
        put("failover.retries", mine.retries != other.retries, mine.retries.to_string());
        put("failover.race", mine.race != other.race, span(mine.race));
        let hedge =
            |hedge: Hedge| format!("after {}, {} % of the requests", span(hedge.after), hedge.percent());
        put("failover.hedge", mine.hedge.is_some(), mine.hedge.map(hedge).unwrap_or_default());
        put("failover.streams", mine.streams != other.streams, format!("{:?}", mine.streams).to_lowercase());
        let hold = format!("{} bytes, {}", mine.hold.0, span(mine.hold.1));
        put("failover.hold", mine.hold != other.hold, hold);
        put("failover.content_filter", mine.content_filter, "true".to_owned());
        put(
            "client_gone",
            self.client_gone != plain.client_gone,
            format!("{:?}", self.client_gone).to_lowercase(),
        );
        put("attempts", self.attempts != plain.attempts, self.attempts.to_string());
        put("limits.body", self.body_max != plain.body_max, format!("{} bytes", self.body_max));
        for rule in &self.rates.rules {
            put(&format!("limits.rates of {}", rule.of.whose(self)), true, rule.to_string());
        }
        let priorities = &self.rates.priorities;
        let own = priorities.own.iter().map(|(index, priority)| (Of::Caller(*index).whose(self), *priority));
        let each = priorities.each.map(|priority| (Of::EachCaller.whose(self), priority));
        for (whose, priority) in each.into_iter().chain(own) {
            put(&format!("priority of {whose}"), true, priority.name().to_owned());
        }
        if let Some(queue) = self.rates.queue {
            put(
                "limits.queue",
                true,
                format!("{}, {} at most", count(queue.size, "request"), span(queue.wait)),
            );
        }
        if let Some(requests) = self.rates.requests {
            put("limits.requests", true, requests.to_string());
        }
        put("limits.busy_message", self.rates.busy.is_some(), "its own".to_owned());
        put("drain", self.drain != plain.drain, span(self.drain));
        put("log.format", self.log != plain.log, format!("{:?}", self.log).to_lowercase());
        put("strict", self.strict, "true".to_owned());
        let cors = match &self.cors {
            Some(Cors::Any) => "*".to_owned(),
            Some(Cors::Origins(origins)) => origins.join(", "),
            None => String::new(),
        };
        put("cors", self.cors.is_some(), cors);
        changed
    }
}

impl Provider {
    fn summary(&self) -> String {
        if self.built_in {
            return format!("{} (built in)", self.name);
        }
        let dialects: Vec<&str> = self.speaks.iter().map(|speech| speech.dialect.name()).collect();
        let mut text = format!("{} ({}) at {}", self.name, dialects.join(", "), self.base);
        match (&self.signer, self.keys.len()) {
            (Some(signer), _) => {
                let _ = write!(text, ", signed with {}", signer.source.name());
            }
            (None, 0) => text.push_str(", no key"),
            (None, keys) => {
                let _ = write!(text, ", {}", count(keys, "key"));
            }
        }
        for (what, number) in [("header", self.headers.len()), ("listed model", self.listed.len())] {
            if number > 0 {
                let _ = write!(text, ", {}", count(number, what));
            }
        }
        if !self.facts.is_empty() {
            let _ = write!(text, ", facts of {}", count(self.facts.len(), "model"));
        }
        text
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn span(span: Span) -> String {
    match span.0 / 1000 {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}
