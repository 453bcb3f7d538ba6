//! The caller's request as one provider shall see it.

use super::{Call, Exchange, Inbound, Task, Upstream};
use crate::{
    headers,
    plan::{Aim, Plan, Provider},
    provider::Operation,
};
use bytes::Bytes;
use dialect::{
    Carried, DialectId, Fault, FaultKind, Losses, Target, canon,
    splice::{self, Edit, Outline},
};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::{collections::VecDeque, sync::Arc};

/// The members by which a request is authorised, routed and limited. What stands in them must be read the
/// same by us and by whatever parser the provider uses.
const POLICY: &[&str] = &["model", "stream"];

/// Reads what must be known of an operation before a provider is chosen.
pub(super) fn read_call(
    plan: &Plan,
    dialect: DialectId,
    operation: Operation,
    inbound: &Inbound,
) -> Result<(Call, VecDeque<Aim>), Fault> {
    let outline = Outline::read(&inbound.body, POLICY)?;
    let model = outline.string("model")?.ok_or_else(|| Fault::bad("/model", "`model` is missing"))?;
    let stream = outline.boolean("stream")?.unwrap_or(false);
    let strict = plan.strict || wants_strict(&inbound.headers)?;
    let aims = plan.resolve(&model)?;
    let call = Call { dialect, operation, outline, model, stream, strict, canonical: None };
    Ok((call, aims.into()))
}

fn wants_strict(headers: &HeaderMap) -> Result<bool, Fault> {
    match headers.get("x-sekisho-strict").map(HeaderValue::as_bytes) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(Fault::bad("x-sekisho-strict", "`x-sekisho-strict` must be `true` or `false`")),
    }
}

/// The refusal of a request that would lose something, for a caller who is strict.
pub(super) fn strict(losses: &Losses) -> Fault {
    let lost: Vec<_> = losses.iter().map(|loss| format!("`{}`: {}", loss.pointer, loss.why)).collect();
    let first = losses.iter().next().map(|loss| loss.pointer.clone()).unwrap_or_default();
    Fault::bad(first, format!("the target cannot take all of this request: {}", lost.join("; ")))
        .hint("leave these out, or leave out `x-sekisho-strict`")
}

/// A request that passes untouched.
pub(super) fn pass(
    provider: &Provider,
    aim: &Aim,
    uri: Uri,
    key: usize,
    inbound: &Inbound,
) -> Result<Upstream, Fault> {
    let mut headers = headers::forward(&inbound.headers);
    headers::credentials(&mut headers, provider, key)?;
    let body = if inbound.body.is_empty() { Vec::new() } else { vec![inbound.body.clone()] };
    Ok(Upstream { provider: aim.provider, method: inbound.method.clone(), uri, headers, body })
}

/// An operation that is understood, for this provider, and what of it was lost.
pub(super) fn call(
    provider: &Provider,
    aim: &Aim,
    call: &mut Call,
    key: usize,
    inbound: &Inbound,
) -> Result<(Upstream, Losses), Fault> {
    let uri = provider.url(call.operation).ok_or_else(|| {
        let message = format!("`{}` has no such operation", provider.name);
        Fault::new(FaultKind::NotFound, message)
    })?;
    let same = provider.dialect == call.dialect;
    let (body, losses) = if same {
        (splice_body(call, aim, &inbound.body), Losses::new())
    } else {
        translate_body(provider, aim, call, &inbound.body)?
    };
    let mut headers = if same { headers::forward(&inbound.headers) } else { HeaderMap::new() };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A compressed answer could not be metered or translated.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers::credentials(&mut headers, provider, key)?;
    Ok((Upstream { provider: aim.provider, method: Method::POST, uri, headers, body }, losses))
}

fn splice_body(call: &Call, aim: &Aim, body: &Bytes) -> Vec<Bytes> {
    if call.model == aim.model {
        return vec![body.clone()];
    }
    let edit = Edit::Set { name: "model", json: serde_json::Value::from(aim.model.as_str()).to_string() };
    splice::apply(body, &call.outline, &[edit])
}

fn translate_body(
    provider: &Provider,
    aim: &Aim,
    call: &mut Call,
    body: &Bytes,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let read = read_canonical(call, body)?;
    // Whatever the caller asked for, we want to know what the answer cost.
    let asked = read.value.stream_usage;
    read.value.stream_usage = read.value.stream.unwrap_or(false).then_some(true).or(asked);
    let target = Target { model: &aim.model, max_output: None };
    let written = provider.dialect.dialect().write_request(&read.value, &target);
    read.value.stream_usage = asked;
    let mut losses = read.losses.clone();
    losses.absorb(written.losses);
    Ok((vec![written.value.into()], losses))
}

/// The caller's request in canonical form, read when it is first needed.
fn read_canonical<'a>(call: &'a mut Call, body: &[u8]) -> Result<&'a mut Carried<canon::Request>, Fault> {
    if call.canonical.is_none() {
        let caller = call.dialect.dialect();
        call.canonical = Some(match call.operation {
            Operation::Generate => caller.read_request(body)?,
            Operation::CountTokens => caller.read_count_request(body)?,
        });
    }
    call.canonical.as_mut().ok_or_else(|| Fault::new(FaultKind::Internal, "the request was not read"))
}

/// The caller's request in canonical form.
pub(super) fn canonical<'a>(call: &'a mut Call, body: &[u8]) -> Result<&'a canon::Request, Fault> {
    read_canonical(call, body).map(|read| &read.value)
}

impl Exchange {
    /// A request that is refused before anything is asked of anybody.
    pub(super) fn refuse(plan: Arc<Plan>, dialect: DialectId, inbound: Inbound, fault: &Fault) -> Self {
        let arrived = inbound.arrived;
        let call = Call {
            dialect,
            operation: Operation::Generate,
            outline: Outline::default(),
            model: String::new(),
            stream: false,
            strict: false,
            canonical: None,
        };
        let mut exchange = Exchange::new(plan, inbound, Task::Call(Box::new(call)), VecDeque::new());
        exchange.orders.clear();
        exchange.tell(fault, arrived);
        exchange
    }
}
