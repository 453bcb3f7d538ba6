//! Embeddings, which come whole.

use crate::{
    Fault, FaultKind,
    canon::Usage,
    embed::{Embed, EmbedShape},
    limits::ANSWER_MAX,
};
use bytes::Bytes;
use std::mem;

pub(super) struct Embedding {
    provider: EmbedShape,
    asked: Embed,
    body: Vec<u8>,
    usage: Option<Usage>,
}

impl Embedding {
    pub(super) fn new(provider: EmbedShape, asked: Embed) -> Embedding {
        Embedding { provider, asked, body: Vec::new(), usage: None }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        if self.body.len().saturating_add(chunk.len()) > ANSWER_MAX {
            let message = format!("the provider's answer is over {ANSWER_MAX} bytes");
            return Err(Fault::new(FaultKind::UpstreamInvalid, message));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Bytes, Fault> {
        let answer = self.provider.answer(mem::take(&mut self.body).into(), &self.asked)?;
        self.usage = answer.usage;
        Ok(answer.body)
    }

    pub(super) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }
}
