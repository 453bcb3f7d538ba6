//! The caller's request as one provider shall see it.

use super::{Call, Inbound, Upstream};
use crate::{
    headers,
    plan::{Aim, Plan, Provider},
    provider::{Operation, Quirk},
};
use bytes::Bytes;
use dialect::{
    Carried, DialectId, Fault, FaultKind, Losses, Target,
    canon::{self, IdForm},
    splice::{Edit, Outline},
};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::{borrow::Cow, collections::VecDeque};

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
    let model = outline
        .string("model")?
        .map(Cow::into_owned)
        .ok_or_else(|| Fault::bad("/model", "`model` is missing"))?;
    let stream = outline.boolean("stream")?.unwrap_or(false);
    let strict = plan.strict || wants_strict(&inbound.headers)?;
    let aims = plan.resolve(&model)?;
    let call = Call { dialect, operation, relayed: None, outline, model, stream, strict, canonical: None };
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
    headers::credentials(&mut headers, provider, provider.auth_at(uri.path()), key)?;
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
    let dialect = provider.dialect_for(call.dialect);
    let same = dialect == call.dialect;
    let uri = match &call.relayed {
        Some(path) if same => provider.address(path),
        Some(_) => None,
        None => provider.url(call.operation, dialect),
    };
    let none = || Fault::new(FaultKind::NotFound, format!("`{}` has no such operation", provider.name));
    let uri = uri.ok_or_else(none)?;
    let (body, losses) = if same && target(provider, aim).takes(&inbound.body, dialect) {
        splice_body(provider, aim, call, &inbound.body)?
    } else {
        translate_body(provider, dialect, aim, call, &inbound.body)?
    };
    let mut headers = if same { headers::forward(&inbound.headers) } else { HeaderMap::new() };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A compressed answer could not be metered or translated.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers::credentials(&mut headers, provider, &provider.auth, key)?;
    Ok((Upstream { provider: aim.provider, method: Method::POST, uri, headers, body }, losses))
}

/// The caller's own bytes with the provider's model, less what the provider refuses.
fn splice_body(
    provider: &Provider,
    aim: &Aim,
    call: &Call,
    body: &Bytes,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let model = (call.model != aim.model).then(|| Edit::Set { name: "model", json: json_text(&aim.model) });
    if provider.drops.is_empty() && provider.renames.is_empty() {
        let pieces = model.map_or_else(|| vec![body.clone()], |edit| call.outline.apply(&[edit]));
        return Ok((pieces, Losses::new()));
    }
    deviate(provider, body, model)
}

/// A body with the edits that the provider's row declares, and what of it was lost.
fn deviate(provider: &Provider, body: &Bytes, edit: Option<Edit<'_>>) -> Result<(Vec<Bytes>, Losses), Fault> {
    let drops = provider.drops.iter().map(String::as_str);
    let renames = provider.renames.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    let names: Vec<&str> = POLICY
        .iter()
        .copied()
        .chain(drops.clone())
        .chain(renames.clone().flat_map(|(from, to)| [from, to]))
        .collect();
    let outline = Outline::read(body, &names)?;
    let mut losses = Losses::new();
    for name in drops.clone().filter(|name| outline.raw(name).is_some()) {
        losses.note(format!("/{name}"), "the provider refuses it");
    }
    let edits = drops.map(Edit::Remove).chain(renames.map(|(from, to)| Edit::Rename { from, to }));
    Ok((outline.apply(&edit.into_iter().chain(edits).collect::<Vec<_>>()), losses))
}

fn json_text(text: &str) -> Bytes {
    serde_json::to_string(text).unwrap_or_default().into()
}

fn translate_body(
    provider: &Provider,
    dialect: DialectId,
    aim: &Aim,
    call: &mut Call,
    body: &Bytes,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let read = read_canonical(call, body)?;
    // What only a provider of the caller's own dialect keeps for him cannot be had elsewhere.
    if let Some(refusal) = dialect.refusal(&read.value) {
        return Err(refusal);
    }
    // Whatever the caller asked for, we want to know what the answer cost.
    let asked = read.value.stream_usage;
    read.value.stream_usage = read.value.stream.unwrap_or(false).then_some(true).or(asked);
    let written = dialect.dialect().write_request(&read.value, &target(provider, aim));
    read.value.stream_usage = asked;
    let mut losses = read.losses.clone();
    losses.absorb(written.losses);
    let body = Bytes::from(written.value);
    if provider.drops.is_empty() && provider.renames.is_empty() {
        return Ok((vec![body], losses));
    }
    let (pieces, refused) = deviate(provider, &body, None)?;
    losses.absorb(refused);
    Ok((pieces, losses))
}

/// What a dialect must know of the model it writes a request for.
fn target<'a>(provider: &Provider, aim: &'a Aim) -> Target<'a> {
    let has = |quirk| provider.quirks.contains(&quirk);
    let ids = match () {
        () if has(Quirk::NineLetterIds) => IdForm::Nine,
        () if has(Quirk::PlainIds) => IdForm::Plain(usize::MAX),
        () => IdForm::Any,
    };
    let completion_limit = has(Quirk::MaxCompletionTokens);
    let sealed_only = has(Quirk::SealedThoughts);
    Target { model: &aim.model, max_output: None, completion_limit, sealed_only, ids }
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
