//! Cohere's chat API, version 2, which providers speak and callers do not:
//! <https://docs.cohere.com/reference/chat>
//!
//! What tells it from its siblings: documents stand beside the messages, what a model means to do with its
//! tools (`tool_plan`) is neither words nor thoughts, answers are followed by citations, and what is billed
//! is not what was processed.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Paths, Reader, Target,
    canon::{Message, Request},
};

/// The dialect of `/v2/chat`.
pub(crate) struct Cohere;

impl Dialect for Cohere {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/v2/chat", stream: None, count: None }
    }

    fn serves_callers(&self) -> bool {
        false
    }

    fn write_request(&self, request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
        write::request(request, target)
    }

    fn read_response(&self, body: &[u8]) -> Result<Carried<Message>, Fault> {
        read::response(body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::<stream::StreamReader>::default()
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        crate::error_body::read(status, body)
    }
}
