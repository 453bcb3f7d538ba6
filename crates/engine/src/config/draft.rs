//! A plan in the making: what has been found wrong, and the settings that hang on nothing else.

use super::{
    Document, Overrides, World,
    environment::{Environment, LATER},
    file::{self, Config},
    problem::{Note, Problem},
    tree::Data,
    values::{Duration, Keys, Names},
};
use crate::{
    limits,
    plan::{Access, ClientGone, Cors, DEFAULT_LISTEN, Failover, Heartbeat, Hedge, Plan, Streams, Timeouts},
    secret::Secret,
    time::Span,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) struct Draft<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) overrides: &'a Overrides,
    pub(super) document: Document,
    pub(super) environment: Environment<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Note>,
}

/// A place in the file: names of members, one inside of the other.
pub(super) type Path<'a> = &'a [&'a str];

impl<'a> Draft<'a> {
    pub(super) fn new(
        world: &'a World<'a>,
        overrides: &'a Overrides,
        document: Document,
        environment: bool,
    ) -> Self {
        Draft {
            world,
            overrides,
            document,
            environment: Environment { world, on: environment },
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn build(&mut self, config: Config) -> Plan {
        let mut plan = Plan {
            listen: self.listen(config.listen.as_deref()),
            access: Access::default(),
            timeouts: self.timeouts(&config.timeouts),
            heartbeat: self.heartbeat(&config.heartbeat),
            attempts: self.count(&["attempts"], config.attempts, 1, limits::ATTEMPTS_MAX),
            failover: self.failover(&config.failover),
            client_gone: config.client_gone.map(ClientGone::from).unwrap_or_default(),
            cors: self.cors(config.cors),
            body_max: self.body(&config.limits),
            strict: config.strict,
            drain: self.span(&["drain"], config.drain, limits::DRAIN),
            log: config.log.format.into(),
            ..Plan::default()
        };
        plan.access = self.access(config.keys, config.keys_file, plan.listen);
        self.supply(&mut plan, config.providers, config.default_provider);
        self.name_models(&mut plan, &config.models);
        plan.look_up_facts();
        plan.sort_all_by_price();
        self.rates(&mut plan, &config.limits);
        self.default_model(&mut plan, config.default_model);
        self.later();
        plan
    }

    /// Something is wrong at `path`: a value, or where there is none the name around it.
    pub(super) fn wrong(&mut self, path: Path<'_>, problem: Problem) {
        let mut above = path;
        let place = loop {
            if let Some(node) = self.document.tree.find(above) {
                break node.at.clone();
            }
            match above.split_last() {
                Some((_, rest)) => above = rest,
                None => break super::tree::Place::default(),
            }
        };
        self.document.problems.push(problem.at(&place));
        self.document.reported.push(path.iter().map(|name| (*name).to_owned()).collect());
    }

    /// The name of the member at `path` is wrong.
    pub(super) fn wrong_name(&mut self, path: Path<'_>, problem: Problem) {
        let place = self.document.tree.find_name(path).cloned().unwrap_or_default();
        self.document.problems.push(problem.at(&place));
    }

    /// Something is wrong with a variable of the environment.
    pub(super) fn wrong_variable(&mut self, name: &str, message: &str) {
        self.wrong_variable_hint(name, message, None);
    }

    /// The same with a hint.
    pub(super) fn wrong_variable_hint(&mut self, name: &str, message: &str, hint: Option<String>) {
        let problem = Problem::new(format!("`{name}`: {message}"));
        self.problems.push(Problem { file: "environment".to_owned(), hint, ..problem });
    }

    pub(super) fn note(&mut self, message: String) {
        self.notes.push(Note { warning: false, message });
    }

    /// Something at `path` or in it has been reported, so that its absence is no news.
    pub(super) fn is_reported(&self, path: Path<'_>) -> bool {
        self.document.reported.iter().any(|reported| reported.iter().zip(path).all(|(a, b)| a == b))
    }

    /// A value as a message may quote it: not where it came from the environment.
    pub(super) fn quote(&self, path: Path<'_>, text: &str) -> String {
        match self.document.tree.find(path) {
            Some(node) if node.filled => "the value".to_owned(),
            _ => format!("`{}`", text.chars().filter(|c| !c.is_control()).take(100).collect::<String>()),
        }
    }

    /// The keys of a setting and its file, if either was given. An empty text is as good as nothing, an
    /// empty list is none.
    pub(super) fn keys(
        &mut self,
        path: Path<'_>,
        keys: Option<Keys>,
        file: Option<String>,
    ) -> Option<Vec<Secret>> {
        let is_list = self
            .document
            .tree
            .find(&[path, &["keys"]].concat())
            .is_some_and(|node| matches!(node.data, Data::List(_)));
        let keys = keys.map(|keys| keys.0).filter(|keys| !keys.is_empty() || is_list);
        let Some(file) = file else { return keys };
        let mut all = keys.unwrap_or_default();
        match (self.world.read_file)(&file).map_err(|why| format!("this file cannot be read: {why}")) {
            Ok(text) => {
                for line in text.lines() {
                    match super::values::keys(line) {
                        Ok(keys) => all.extend(keys),
                        Err(why) => {
                            let what = format!("in this file: {why}");
                            self.wrong(&[path, &["keys_file"]].concat(), Problem::new(what));
                        }
                    }
                }
            }
            Err(what) => self.wrong(&[path, &["keys_file"]].concat(), Problem::new(what)),
        }
        Some(all)
    }

    fn listen(&mut self, written: Option<&str>) -> SocketAddr {
        const HINT: &str = "write an address and a port, such as `127.0.0.1:8787`, or a port";
        if let Some(text) = &self.overrides.listen {
            // Port 0 is any that is free: for who starts us and reads where we listen.
            return any_address(text).unwrap_or_else(|| {
                let problem = Problem::new("`--listen` is not an address").hint(HINT);
                self.problems.push(Problem { file: "command line".to_owned(), ..problem });
                DEFAULT_LISTEN
            });
        }
        if let Some(text) = written {
            return address(text).unwrap_or_else(|| {
                self.wrong(&["listen"], Problem::new("this is not an address").hint(HINT));
                DEFAULT_LISTEN
            });
        }
        for name in ["SEKISHO_LISTEN", "GATEWAY_PORT", "PORT"] {
            let Some(text) = self.environment.get(name) else { continue };
            let is_port = text.bytes().all(|byte| byte.is_ascii_digit());
            match address(&text).filter(|_| is_port || name == "SEKISHO_LISTEN") {
                Some(address) => return address,
                None if name == "SEKISHO_LISTEN" => self.wrong_variable(name, "this is not an address"),
                None => self.wrong_variable(name, "this is not a port from 1 to 65535"),
            }
        }
        DEFAULT_LISTEN
    }

    fn timeouts(&mut self, written: &file::Timeouts) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            connect: self.span(&["timeouts", "connect"], written.connect, default.connect),
            first_byte: self.span(&["timeouts", "first_byte"], written.first_byte, default.first_byte),
            first_token: self.span(&["timeouts", "first_token"], written.first_token, default.first_token),
            idle: self.span(&["timeouts", "idle"], written.idle, default.idle),
            total: self.span(&["timeouts", "total"], written.total, default.total),
        }
    }

    fn span(&mut self, path: Path<'_>, written: Option<Duration>, default: Span) -> Span {
        match written {
            Some(Duration(span)) if span == Span::ZERO || span > limits::TIMEOUT_CEILING => {
                self.wrong(path, Problem::new("this must be more than nothing and 24 hours at most"));
                default
            }
            Some(Duration(span)) => span,
            None => default,
        }
    }

    fn heartbeat(&mut self, written: &file::Heartbeat) -> Heartbeat {
        let default = self.beats_of_variable();
        let mut beats = |name, written: Option<Duration>| match written {
            Some(Duration(span)) if !is_beat(span) => {
                self.wrong(&["heartbeat", name], Problem::new(NO_BEAT));
                default
            }
            written => written.map_or(default, |Duration(span)| span),
        };
        let streams = beats("streams", written.streams);
        Heartbeat { streams, answers: beats("answers", written.answers) }
    }

    /// `GATEWAY_HEARTBEAT_MS`: milliseconds, for every kind of answer.
    fn beats_of_variable(&mut self) -> Span {
        const NAME: &str = "GATEWAY_HEARTBEAT_MS";
        let Some(text) = self.environment.get(NAME) else { return Span::ZERO };
        let Ok(number) = text.trim().parse::<i64>() else {
            self.wrong_variable(NAME, "this is not a whole number");
            return Span::ZERO;
        };
        let span = u64::try_from(number).map_or(Span::ZERO, Span::millis);
        if !is_beat(span) {
            self.wrong_variable(NAME, NO_BEAT);
        }
        span
    }

    fn failover(&mut self, written: &file::Failover) -> Failover {
        let default = Failover::default();
        let span = |written: Option<Duration>, default: Span| written.map_or(default, |Duration(span)| span);
        let at = |name| ["failover", name];
        for (name, written) in [("race", written.race), ("hold_time", written.hold_time)] {
            if span(written, Span::ZERO) > limits::TIMEOUT_CEILING {
                self.wrong(&at(name), Problem::new("this must be 24 hours at most"));
            }
        }
        let bytes = written.hold_bytes.map_or(default.hold.0, |size| size.0);
        if bytes > limits::HOLD_MAX {
            let what = format!("this must be {}KiB at most", limits::HOLD_MAX >> 10);
            self.wrong(&at("hold_bytes"), Problem::new(what));
        }
        let race = span(written.race, default.race);
        Failover {
            retries: self.count(&at("retries"), written.retries, 0, default.retries),
            race,
            hedge: written.hedge.and_then(|hedge| self.hedge(hedge, race)),
            streams: written.streams.map_or(default.streams, Streams::from),
            hold: (bytes, span(written.hold_time, default.hold.1)),
            content_filter: written.content_filter,
        }
    }

    fn hedge(&mut self, written: file::Hedge, race: Span) -> Option<Hedge> {
        let Some(Duration(after)) = written.after else {
            let path = ["failover", "hedge"];
            if !self.is_reported(&path) {
                let problem = Problem::new("this does not say after how long");
                self.wrong(&path, problem.hint("write `after: 300ms`"));
            }
            return None;
        };
        let path = ["failover", "hedge", "after"];
        if race > Span::ZERO && after >= race {
            let problem = Problem::new("this must be shorter than `race`, or it has no effect");
            self.wrong(&path, problem.hint("write `300ms`"));
        }
        let after = self.span(&path, Some(Duration(after)), race);
        Some(Hedge { after, share: written.percent.map_or(limits::HEDGE_SHARE, |percent| percent.0) })
    }

    /// A number of attempts or retries.
    fn count(&mut self, path: Path<'_>, written: Option<u32>, least: u32, default: u32) -> u32 {
        match written {
            Some(number) if !(least..=limits::ATTEMPTS_CEILING).contains(&number) => {
                self.wrong(
                    path,
                    Problem::new(format!("this must be from {least} to {}", limits::ATTEMPTS_CEILING)),
                );
                default
            }
            written => written.unwrap_or(default),
        }
    }

    fn body(&mut self, written: &file::Limits) -> usize {
        match written.body.map(|size| size.0) {
            Some(bytes) if !(1024..=limits::BODY_CEILING).contains(&bytes) => {
                let what = format!("this must be from 1KiB to {}GiB", limits::BODY_CEILING >> 30);
                self.wrong(&["limits", "body"], Problem::new(what));
                limits::BODY_MAX
            }
            written => written.unwrap_or(limits::BODY_MAX),
        }
    }

    fn cors(&mut self, written: Option<Names>) -> Option<Cors> {
        const WRONG: &str = "this is not an origin";
        let from_file = written.is_some();
        let origins = match written {
            Some(Names(origins)) => origins,
            None => self.environment.list("CORS_ALLOW_ORIGIN"),
        };
        if origins == ["*"] {
            return Some(Cors::Any);
        }
        for (index, _) in origins.iter().enumerate().filter(|(_, origin)| !is_origin(origin)) {
            let hint = "write `https://app.example`, without a path, or `\"*\"` alone";
            let index = index.to_string();
            match from_file {
                true if self.document.tree.find(&["cors", &index]).is_some() => {
                    self.wrong(&["cors", &index], Problem::new(WRONG).hint(hint));
                }
                true => self.wrong(&["cors"], Problem::new(WRONG).hint(hint)),
                false => self.wrong_variable("CORS_ALLOW_ORIGIN", WRONG),
            }
        }
        (!origins.is_empty()).then_some(Cors::Origins(origins))
    }

    /// Variables that are known and have no effect yet: whoever sets one should hear of it.
    fn later(&mut self) {
        for (name, what) in LATER {
            if self.environment.get(name).is_some() {
                self.note(format!("`{name}` is set and has no effect yet: {what}"));
            }
        }
        let name = "ENABLE_GLOBAL_ROUND_ROBIN";
        match self.environment.get(name).as_deref() {
            None | Some("true" | "1") => {}
            Some("false" | "0") => self.note(format!("`{name}` has no effect: keys always take turns")),
            Some(_) => self.wrong_variable(name, "this must be `true` or `false`"),
        }
    }
}

const NO_BEAT: &str = "this must be nothing, or from 100 milliseconds to 24 hours";

fn is_beat(span: Span) -> bool {
    span == Span::ZERO || (limits::HEARTBEAT_MIN..=limits::TIMEOUT_CEILING).contains(&span)
}

/// An address with a port, `localhost` with one, or a port of the loopback.
fn address(text: &str) -> Option<SocketAddr> {
    any_address(text).filter(|address| address.port() != 0)
}

fn any_address(text: &str) -> Option<SocketAddr> {
    let loopback = |port: &str| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    match text.strip_prefix("localhost:") {
        Some(port) => loopback(port),
        None => text.parse().ok().or_else(|| loopback(text)),
    }
}

/// `scheme://host` or `scheme://host:port`, and nothing behind it.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
        !scheme.is_empty() && !host.is_empty() && host.chars().all(is_word)
    })
}
