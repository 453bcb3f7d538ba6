//! Embeddings: inputs go in, vectors come out, and nothing streams. Each provider has its own shape of them,
//! whatever dialect it is chatted with in.

use super::{
    Call, Exchange, Inbound, Task, Upstream, UpstreamHead, render,
    reply::{self, Way},
};
use crate::{
    plan::{Aim, Provider},
    provider::Operation,
};
use bytes::Bytes;
use dialect::{DialectId, Fault, FaultKind, Losses, embed::EmbedShape, pipe::Pipe, splice::Outline};

/// The shape in which a caller of that dialect asks.
fn shape_of(caller: DialectId) -> EmbedShape {
    match caller {
        DialectId::Gemini => EmbedShape::Gemini,
        _ => EmbedShape::Openai,
    }
}

impl Exchange {
    /// The shape in which the caller asks for embeddings, and that in which a target has them. `None` where
    /// something else is asked for.
    pub(super) fn embeds(&self, aim: usize) -> Option<(EmbedShape, EmbedShape)> {
        let Task::Call(call) = &self.task else { return None };
        let (shape, _) = self.provider(aim)?.embeds.as_ref()?;
        call.operation.embeds().then_some((shape_of(call.dialect), *shape))
    }

    /// Chooses the way of an answer with vectors.
    pub(super) fn open_embeddings(
        &self,
        (caller, provider): (EmbedShape, EmbedShape),
        head: &UpstreamHead,
    ) -> Result<Way, Fault> {
        let same = caller == provider;
        if reply::is_compressed(&head.headers) {
            return if same && self.status.is_none() { Ok(Way::raw()) } else { Err(reply::compressed()) };
        }
        match caller.read_request(&self.inbound.body) {
            Ok(asked) => Ok(Way { relayed: same, gathered: true, ..Way::of(Pipe::embed(provider, asked)) }),
            // What we do not understand a provider of the same shape may.
            Err(_) if same => Ok(Way { relayed: true, ..Way::of(Pipe::aside(false)) }),
            Err(fault) => Err(fault),
        }
    }
}

/// A request for embeddings as this provider shall see it, and what of it was lost.
pub(super) fn render(
    provider: &Provider,
    aim: &Aim,
    call: &Call,
    key: usize,
    inbound: &Inbound,
) -> Result<(Upstream, Losses), Fault> {
    let none = || {
        let fault = Fault::new(FaultKind::NotFound, format!("`{}` has no embeddings", provider.name));
        fault.hint("name a model of a provider that has them")
    };
    let (shape, path) = provider.embeds.as_ref().ok_or_else(none)?;
    let caller = shape_of(call.dialect);
    let same = caller == *shape;
    let one = same && call.operation == Operation::EmbedOne;
    let uri = provider.embed_url(&aim.model, one).ok_or_else(none)?;
    let (body, losses) = if !same {
        let written = shape.write_request(&caller.read_request(&inbound.body)?, &aim.model)?;
        let (body, mut losses) =
            render::deviate(provider, &[], render::NONE, &Outline::read(&written.value.into(), &[])?, None)?;
        losses.absorb(written.losses);
        (body, losses)
    } else if caller == EmbedShape::Gemini {
        // Each of its requests names the model again, and it is the path's that was allowed.
        let renamed = caller.renamed(&inbound.body, &aim.model)?;
        (vec![Bytes::from(renamed)], Losses::new())
    } else {
        render::splice_body(provider, (path.contains("{model"), &[]), aim, call)?
    };
    let upstream = render::json(provider, aim, (uri, provider.auth, key), inbound, (same, body))?;
    Ok((upstream, losses))
}
