//! What is relayed and not understood: to which provider it goes, and how.

use super::{
    Attempt, Call, Exchange, Inbound, Live, Moved, Order, Phase, Place, Relayed, Task, Upstream,
    UpstreamHead, render, reply,
};
use crate::{
    headers::{self, PROVIDER},
    hint,
    limits::SOCKET_TOTAL,
    path,
    plan::{Aim, Plan, PlanHandle, Provider},
    provider::Operation,
    rates::Priority,
    route::Route,
    speech,
    surface::Action,
    time::Instant,
};
use bytes::Bytes;
use dialect::{DialectId, Fault, FaultKind, splice::Outline};
use http::{HeaderMap, HeaderValue, header};
use std::ops::Range;

/// Where a request goes.
enum Way {
    /// To the targets of its model.
    Model(Box<Call>, Route),
    /// Untouched to this provider.
    Provider(usize),
}

impl Exchange {
    /// A request for an operation of OpenAI's that is not understood (`action` is its route's): it goes to the
    /// same `path` of the provider that `x-sekisho-provider` names, or its `model`, or else of the one that
    /// takes what names neither.
    #[must_use]
    pub fn relay(plan: PlanHandle, action: Action, path: &str, inbound: Inbound) -> Self {
        match way(&plan, action, path, &inbound) {
            Ok(Way::Model(call, route)) => {
                let mut exchange = Exchange::new(plan, inbound, Task::Call(call), route);
                exchange.arrange();
                exchange
            }
            Ok(Way::Provider(provider)) => Exchange::passing(plan, provider, path, inbound, true),
            Err(fault) => Exchange::refuse(plan, DialectId::OpenaiChat, inbound, &fault),
        }
    }

    /// Nothing of the answer is understood.
    pub(super) fn is_relay(&self) -> bool {
        match &self.task {
            Task::Pass { .. } => true,
            Task::Call(call) => call.relayed.is_some(),
            Task::Refused(_) => false,
        }
    }

    /// The provider was chosen, and not named by the path.
    pub(super) fn is_routed(&self) -> bool {
        matches!(self.task, Task::Call(_) | Task::Pass { chosen: true, .. })
    }

    /// The provider has agreed to a WebSocket: from here on the door carries its bytes.
    pub(super) fn shake(&mut self, mut live: Live, head: &UpstreamHead, now: Instant) {
        self.voice = usize::try_from(live.attempt.0).ok();
        let reply = reply::socket(self, head);
        self.status = Some(reply.status.as_u16());
        self.first_byte = Some(now);
        self.deadline = now.after(SOCKET_TOTAL);
        live.phase = Phase::Socket { until: now.after(self.plan.timeouts.idle) };
        self.live.push(live);
        self.orders.push_back(Order::Head(Box::new(reply)));
    }

    pub(super) fn moved(&mut self, attempt: Attempt, moved: Moved) {
        let timeouts = self.plan.timeouts;
        let Some(live) = self.live.iter_mut().find(|live| live.attempt == attempt) else { return };
        let (until, limit) = match &mut live.phase {
            Phase::Asked { until } => (until, timeouts.first_byte),
            Phase::Refused { until, .. } => (until, timeouts.idle),
            Phase::Answering(answering) => (&mut answering.until, timeouts.idle),
            Phase::Pausing { .. } => return,
            Phase::Socket { until } => {
                self.carried = Some((moved.up, moved.down));
                (until, timeouts.idle)
            }
        };
        *until = moved.at.after(limit).max(*until);
    }
}

fn way(plan: &Plan, action: Action, path: &str, inbound: &Inbound) -> Result<Way, Fault> {
    if action == Action::Socket && !headers::wants_socket(&inbound.method, &inbound.headers) {
        let fault = Fault::bad("Upgrade", "this path is a WebSocket");
        return Err(fault.hint("send `Connection: upgrade`, `Upgrade: websocket` and `Sec-WebSocket-Key`"));
    }
    Priority::said(&inbound.headers)?;
    if let Some(provider) = named_provider(plan, &inbound.headers)? {
        return Ok(Way::Provider(provider));
    }
    let named = match (action, &inbound.field) {
        (Action::Keep, _) => None,
        (Action::Socket, _) => model_of_query(path)?.map(|(range, name)| (Place::Query(range), name)),
        (_, Some(field)) => Some((Place::Form(field.range.clone()), field.name.clone())),
        (_, None) if is_form(inbound) => None,
        (_, None) => return json(plan, action, path, inbound),
    };
    let Some((place, model)) = named else { return plan.relay_provider().map(Way::Provider) };
    let route = plan.resolve(&model)?;
    let call = Call {
        dialect: DialectId::OpenaiChat,
        operation: Operation::Generate,
        relayed: Some(Relayed { path: path.to_owned(), model: place }),
        outline: Outline::read(&Bytes::from_static(b"{}"), &[])?,
        model,
        stream: false,
        strict: false,
        thinks: false,
        canonical: None,
    };
    Ok(Way::Model(Box::new(call), route))
}

/// A body of JSON goes where its `model` says, if it has one.
fn json(plan: &Plan, action: Action, path: &str, inbound: &Inbound) -> Result<Way, Fault> {
    let outline = Outline::read(&inbound.body, &["model"])?;
    if action != Action::RelayModel && !outline.has("model") {
        return plan.relay_provider().map(Way::Provider);
    }
    let (call, route) =
        render::read_call(plan, DialectId::OpenaiChat, Operation::Generate, inbound, outline)?;
    let relayed = Some(Relayed { path: path.to_owned(), model: Place::Json });
    Ok(Way::Model(Box::new(Call { relayed, ..call }), route))
}

fn is_form(inbound: &Inbound) -> bool {
    inbound.more || matches!(crate::form::Form::of(&inbound.headers), Ok(Some(_)))
}

/// The provider that the caller named, if he named one.
fn named_provider(plan: &Plan, headers: &HeaderMap) -> Result<Option<usize>, Fault> {
    let Some(value) = headers.get(PROVIDER) else { return Ok(None) };
    let name = value.to_str().unwrap_or_default();
    // What lives in this process has nothing that is not understood.
    let on = plan.providers.iter().enumerate().filter(|(_, provider)| !provider.built_in);
    if let Some((provider, _)) = on.clone().find(|(_, provider)| provider.is_called(name)) {
        return Ok(Some(provider));
    }
    let names = on.flat_map(|(_, p)| std::iter::once(&p.name).chain(&p.aka));
    let near = hint::nearest(name, names.map(String::as_str));
    let shown: String = name.chars().filter(|c| !c.is_control()).collect();
    let fault = Fault::bad(PROVIDER, format!("no provider `{shown}` is on here"));
    Err(match near {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("`sekisho providers` lists them"),
    })
}

impl Plan {
    /// The provider of what names neither a model nor a provider: the operator's default, else OpenAI, else
    /// the only one that speaks OpenAI's API. An id of a file or a batch means something to one provider
    /// only, so among several nothing is guessed.
    ///
    /// # Errors
    /// A bad request that says what would decide.
    pub fn relay_provider(&self) -> Result<usize, Fault> {
        if let Some(provider) = self.default_upstream.or_else(|| self.provider("openai")) {
            return Ok(provider);
        }
        let speaks = |provider: &Provider| {
            !provider.built_in && provider.speaks.iter().any(|speech| speech.dialect == DialectId::OpenaiChat)
        };
        let all: Vec<(usize, &Provider)> =
            self.providers.iter().enumerate().filter(|(_, provider)| speaks(provider)).collect();
        match all.as_slice() {
            [(only, _)] => Ok(*only),
            [] => Err(Fault::new(FaultKind::NotFound, "no provider that is on takes this")
                .hint("switch one on, or name one with the header `x-sekisho-provider`")),
            several => {
                let names: Vec<_> =
                    several.iter().map(|(_, provider)| format!("`{}`", provider.name)).collect();
                let names = names.join(", ");
                let fault = Fault::bad(PROVIDER, format!("which of {names} is meant cannot be told"));
                Err(fault.hint(
                    "name it with the header `x-sekisho-provider`, or set `default_provider`: what one \
                     provider keeps another does not know",
                ))
            }
        }
    }
}

/// The model in a query: where its value stands in `path`, and what it is.
fn model_of_query(path: &str) -> Result<Option<(Range<usize>, String)>, Fault> {
    let Some((before, query)) = path.split_once('?') else { return Ok(None) };
    let mut at = before.len() + 1;
    let mut found = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = at + name.len() + 1;
        at += pair.len() + 1;
        if path::decode(name).as_deref() != Some("model") {
            continue;
        }
        let plain = name == "model" && !value.contains(';') && found.is_none();
        let model = path::decode(value).filter(|_| plain);
        let refused = || Fault::bad("model", "the address must name its `model` once, and plainly");
        found = Some((start..start + value.len(), model.ok_or_else(refused)?));
    }
    Ok(found)
}

/// What is not a body of JSON, as the provider shall get it. `None` where it is one.
pub(super) fn render(
    provider: &Provider,
    aim: &Aim,
    call: &Call,
    key: usize,
    inbound: &Inbound,
) -> Option<Result<Upstream, Fault>> {
    let relayed = call.relayed.as_ref()?;
    let (path, body) = match &relayed.model {
        Place::Json => return None,
        Place::Form(range) => (relayed.path.clone(), with_model(&inbound.body, range, &aim.model)),
        Place::Query(range) => {
            let mut path = relayed.path.clone();
            path.replace_range(range.clone(), &speech::fill("{model}", &aim.model));
            (path, Vec::new())
        }
    };
    let none = || Fault::new(FaultKind::NotFound, format!("`{}` has no such operation", provider.name));
    let speaks = provider.speech(call.dialect, &aim.model).is_some_and(|own| own.dialect == call.dialect);
    let Some(uri) = provider.address(&path).filter(|_| speaks && !provider.built_in) else {
        return Some(Err(none()));
    };
    Some(render::pass(provider, aim, uri, key, inbound).map(|mut upstream| {
        // A compressed answer could not be metered.
        upstream.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Upstream { body, ..upstream }
    }))
}

/// The form with another model in its place.
fn with_model(body: &Bytes, range: &Range<usize>, model: &str) -> Vec<Bytes> {
    let model = Bytes::copy_from_slice(model.as_bytes());
    vec![body.slice(..range.start), model, body.slice(range.end..)]
}
