//! The caller's request as one provider shall see it.

use super::{
    Call, Inbound, Upstream,
    prefill::{self, Prefill},
};
use crate::{
    headers,
    plan::{Aim, Plan, Provider},
    provider::{Auth, Operation, Quirk},
    rates::Priority,
    route::Route,
    speech::Speech,
};
use bytes::Bytes;
use dialect::{
    Carried, DialectId, Fault, FaultKind, Losses, Target,
    canon::{self, IdForm},
    frame::Framing,
    splice::{Edit, Outline},
};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::borrow::Cow;

/// The members by which a request is authorised, routed and limited. What stands in them must be read the
/// same by us and by whatever parser the provider uses.
const POLICY: &[&str] = &["model", "stream"];

/// Members of one meaning, of which a request has one.
const TWINS: &[[&str; 2]] = &[["max_completion_tokens", "max_tokens"]];

/// Members that ask a model to think first.
const THINKING: [&str; 3] = ["reasoning", "reasoning_effort", "thinking"];

/// Reads what must be known of an operation before a provider is chosen. `outline` is its body's.
pub(super) fn read_call(
    plan: &Plan,
    dialect: DialectId,
    operation: Operation,
    inbound: &Inbound,
    outline: Outline,
) -> Result<(Call, Route), Fault> {
    outline.check(&[POLICY, &THINKING].concat())?;
    let (model, stream) = match &inbound.named {
        Some(named) => (named.model.clone(), named.stream),
        None => {
            let model = outline.string("model")?.map(Cow::into_owned);
            let missing = || Fault::bad("/model", "`model` is missing");
            let stream = outline.boolean("stream")?.unwrap_or(false);
            (model.ok_or_else(missing)?, stream && !operation.embeds())
        }
    };
    let strict = plan.strict || wants_strict(&inbound.headers)?;
    Priority::said(&inbound.headers)?;
    let route = plan.resolve(&model)?;
    let asks =
        |name: &&str| outline.raw(name).is_some_and(|raw| !raw.contains("none") && !raw.contains("disabled"));
    let thinks = THINKING.iter().any(asks);
    let relayed = None;
    let call = Call { dialect, operation, relayed, outline, model, stream, strict, thinks, canonical: None };
    Ok((call, route))
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
    let socket = headers::wants_socket(&inbound.method, &inbound.headers);
    if socket {
        headers::shake(&inbound.headers, &mut headers);
    }
    let (method, more, signer) = (inbound.method.clone(), inbound.more, provider.signer.clone());
    Ok(Upstream { provider: aim.provider, method, uri, headers, body, more, socket, signer })
}

/// An operation that is understood, for this provider, and what of it was lost.
pub(super) fn call(
    provider: &Provider,
    aim: &Aim,
    call: &mut Call,
    (key, prefill): (usize, Option<&Prefill>),
    inbound: &Inbound,
) -> Result<(Upstream, Losses), Fault> {
    let none = || Fault::new(FaultKind::NotFound, format!("`{}` has no such operation", provider.name));
    let speech = provider.speech(call.dialect, &aim.model).ok_or_else(none)?;
    let dialect = speech.dialect;
    let same = dialect == call.dialect;
    let uri = match &call.relayed {
        Some(relayed) if same && !provider.built_in => provider.address(&relayed.path),
        Some(_) => None,
        None => prefill
            .and_then(|_| provider.address(&prefill::path(provider, &speech.generate)?))
            .or_else(|| provider.url(call.operation, speech, &aim.model, call.stream)),
    };
    let uri = uri.ok_or_else(none)?;
    let plain = prefill.is_none() && target(provider, aim, None).takes(&inbound.body, dialect);
    let (body, losses) = if same && plain {
        splice_body(provider, (speech.names_model(), speech.sets), aim, call)?
    } else {
        translate_body(provider, speech, aim, (call, prefill), &inbound.body)?
    };
    Ok((json(provider, aim, (uri, speech.auth, key), inbound, (same, body))?, losses))
}

/// A request with a body of JSON. In the caller's own API (`same`) his headers go along.
pub(super) fn json(
    provider: &Provider,
    aim: &Aim,
    (uri, auth, key): (Uri, Auth, usize),
    inbound: &Inbound,
    (same, body): (bool, Vec<Bytes>),
) -> Result<Upstream, Fault> {
    let mut headers = if same { headers::forward(&inbound.headers) } else { HeaderMap::new() };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A compressed answer could not be metered or translated.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers::credentials(&mut headers, provider, auth, key)?;
    let (method, signer) = (Method::POST, provider.signer.clone());
    let provider = aim.provider;
    Ok(Upstream { provider, method, uri, headers, body, more: false, socket: false, signer })
}

/// A request for the rest of an answer that was not finished.
pub(super) fn follow(
    provider: &Provider,
    aim: &Aim,
    (uri, events): (Uri, bool),
    key: usize,
) -> Result<Upstream, Fault> {
    let mut headers = HeaderMap::new();
    let kind = if events { Framing::Sse.content_type() } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(kind));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers::credentials(&mut headers, provider, provider.auth, key)?;
    let (method, signer, body) = (Method::GET, provider.signer.clone(), Vec::new());
    let provider = aim.provider;
    Ok(Upstream { provider, method, uri, headers, body, more: false, socket: false, signer })
}

/// Members that a body must have beside the caller's, as JSON text.
type Sets = &'static [(&'static str, &'static str)];

/// The caller's own bytes with the provider's model, less what the provider refuses.
///
/// `names_model`: the path says the model.
pub(super) fn splice_body(
    provider: &Provider,
    (names_model, sets): (bool, Sets),
    aim: &Aim,
    call: &Call,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let edit = match names_model {
        true => call.outline.has("model").then_some(Edit::Remove("model")),
        false if call.model == aim.model => None,
        false => Some(Edit::Set { name: "model", json: json_text(&aim.model) }),
    };
    let own = own(aim, call);
    if takes_all(provider, sets) && own == NONE {
        let pieces =
            edit.map_or_else(|| vec![call.outline.body().clone()], |edit| call.outline.apply(&[edit]));
        return Ok((pieces, Losses::new()));
    }
    deviate(provider, sets, own, &call.outline, edit)
}

/// Members that a target's entry gives and leaves out.
pub(super) type Own<'a> = (&'a [(String, Bytes)], &'a [String]);

pub(super) const NONE: Own<'static> = (&[], &[]);

/// What the operator has said of this target. A count of tokens has no parameters.
fn own<'a>(aim: &'a Aim, call: &Call) -> Own<'a> {
    if call.operation == Operation::Generate { aim.edits() } else { NONE }
}

/// Nothing but the model is ever changed in a body for this provider.
fn takes_all(provider: &Provider, sets: Sets) -> bool {
    provider.drops.is_empty() && provider.renames.is_empty() && sets.is_empty()
}

/// A body with the edits that the provider's row and the target's entry declare, and what of it was lost. What
/// the entry gives is a default: what the request says counts more, unless the entry leaves that out.
pub(super) fn deviate(
    provider: &Provider,
    sets: Sets,
    (params, left_out): Own<'_>,
    outline: &Outline,
    edit: Option<Edit<'_>>,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let drops = provider.drops.iter().map(String::as_str);
    let renames = provider.renames.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    let names: Vec<&str> = POLICY
        .iter()
        .copied()
        .chain(drops.clone())
        .chain(renames.clone().flat_map(|(from, to)| [from, to]))
        .chain(sets.iter().map(|(name, _)| *name))
        .chain(params.iter().map(|(name, _)| name.as_str()))
        .chain(left_out.iter().map(String::as_str))
        .chain(TWINS.concat())
        .collect();
    outline.check(&names)?;
    let mut losses = Losses::new();
    for name in drops.clone().filter(|name| outline.raw(name).is_some()) {
        losses.note(format!("/{name}"), "the provider refuses it");
    }
    for name in left_out.iter().filter(|name| outline.raw(name).is_some()) {
        losses.note(format!("/{name}"), "the target leaves it out");
    }
    let twin = |name: &str| TWINS.iter().find(|twins| twins.contains(&name));
    let said =
        |name: &str| outline.has(name) || twin(name).into_iter().flatten().any(|name| outline.has(name));
    let absent = params.iter().filter(|(name, _)| !said(name) || left_out.contains(name));
    let given = absent.map(|(name, json)| Edit::Set { name, json: json.clone() });
    let drops = drops.chain(left_out.iter().map(String::as_str));
    let edits =
        drops.map(Edit::Remove).chain(given).chain(renames.map(|(from, to)| Edit::Rename { from, to }));
    let set = |(name, json): &(&'static str, &'static str)| Edit::Set {
        name,
        json: Bytes::from_static(json.as_bytes()),
    };
    let edits = edit.into_iter().chain(edits).chain(sets.iter().map(set));
    Ok((outline.apply(&edits.collect::<Vec<_>>()), losses))
}

fn json_text(text: &str) -> Bytes {
    serde_json::to_string(text).unwrap_or_default().into()
}

fn translate_body(
    provider: &Provider,
    speech: &Speech,
    aim: &Aim,
    (call, prefill): (&mut Call, Option<&Prefill>),
    body: &Bytes,
) -> Result<(Vec<Bytes>, Losses), Fault> {
    let dialect = speech.dialect;
    let read = read_canonical(call, body)?;
    // What only a provider of the caller's own dialect keeps for him cannot be had elsewhere.
    if let Some(refusal) = dialect.refusal(&read.value) {
        return Err(refusal);
    }
    // Whatever the caller asked for, we want to know what the answer cost.
    let asked = read.value.stream_usage;
    read.value.stream_usage = read.value.stream.unwrap_or(false).then_some(true).or(asked);
    let (turns, limit) = (read.value.turns.len(), read.value.limit);
    if let Some(prefill) = prefill {
        prefill.put(&mut read.value, provider, dialect);
    }
    let max_output = provider.facts(&aim.model).max_output;
    let written = dialect.dialect().write_request(&read.value, &target(provider, aim, max_output));
    let rest = read.value.limit;
    read.value.turns.truncate(turns);
    (read.value.stream_usage, read.value.limit) = (asked, limit);
    let mut losses = read.losses.clone();
    losses.absorb(written.losses);
    let mut body = Bytes::from(written.value);
    if prefill.is_some() {
        body = Prefill::finish(&body, provider, dialect, rest)?;
    }
    let elsewhere = speech.names_model() && !dialect.dialect().paths().names_model();
    let own = own(aim, call);
    if takes_all(provider, speech.sets) && own == NONE && !elsewhere {
        return Ok((vec![body], losses));
    }
    let edit = elsewhere.then_some(Edit::Remove("model"));
    let (pieces, refused) = deviate(provider, speech.sets, own, &Outline::read(&body, &[])?, edit)?;
    losses.absorb(refused);
    Ok((pieces, losses))
}

/// What a dialect must know of the model it writes a request for. Its longest answer, which only a translation
/// needs, is looked up by the caller.
pub(super) fn target<'a>(provider: &Provider, aim: &'a Aim, max_output: Option<u64>) -> Target<'a> {
    let has = |quirk| provider.quirks.contains(&quirk);
    let ids = match () {
        () if has(Quirk::NineLetterIds) => IdForm::Nine,
        () if has(Quirk::PlainIds) => IdForm::Plain(usize::MAX),
        () => IdForm::Any,
    };
    let completion_limit = has(Quirk::MaxCompletionTokens);
    let sealed_only = has(Quirk::SealedThoughts);
    Target { model: &aim.model, max_output, completion_limit, sealed_only, ids }
}

/// The caller's request in canonical form, read when it is first needed.
fn read_canonical<'a>(call: &'a mut Call, body: &[u8]) -> Result<&'a mut Carried<canon::Request>, Fault> {
    if call.canonical.is_none() {
        let caller = call.dialect.dialect();
        let mut read = match call.operation {
            Operation::Generate => caller.read_request(body)?,
            Operation::CountTokens => caller.read_count_request(body)?,
            Operation::Embed | Operation::EmbedOne => return Err(no_conversation()),
        };
        if caller.paths().names_model() {
            read.value.model.clone_from(&call.model);
            read.value.stream = Some(call.stream);
        }
        call.canonical = Some(read);
    }
    call.canonical.as_mut().ok_or_else(|| Fault::new(FaultKind::Internal, "the request was not read"))
}

fn no_conversation() -> Fault {
    Fault::new(FaultKind::Internal, "embeddings are no conversation")
}

/// The caller's request in canonical form.
pub(super) fn canonical<'a>(call: &'a mut Call, body: &[u8]) -> Result<&'a canon::Request, Fault> {
    read_canonical(call, body).map(|read| &read.value)
}
