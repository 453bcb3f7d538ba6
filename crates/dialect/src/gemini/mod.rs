//! Google's Gemini API, in AI Studio and in Vertex AI: <https://ai.google.dev/api/generate-content>
//!
//! The model and the wish for a stream stand in the path and not in the body: who reads a request finds
//! `model` empty and `stream` unset. Clients write members in camel case or in snake case; both are read,
//! and what differs from what we would write (its spelling included) keeps its form ([`crate::canon::Extra`]).

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Glance, Paths, Reader, Target, Writer,
    canon::{Message, Request, Usage},
};

/// The dialect of `generateContent` and its siblings.
pub(crate) struct Gemini;

impl Dialect for Gemini {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths {
            generate: "/v1beta/models/{model}:generateContent",
            stream: Some("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            count: Some("/v1beta/models/{model}:countTokens"),
        }
    }

    fn read_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        read::request(body).map(Carried::whole)
    }

    fn write_request(&self, request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
        write::request(request, target)
    }

    fn read_response(&self, body: &[u8]) -> Result<Carried<Message>, Fault> {
        read::response(body).map(Carried::whole)
    }

    fn write_response(&self, message: &Message) -> Carried<Vec<u8>> {
        write::response(message)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::<stream::ChunkReader>::default()
    }

    fn writer(&self, _request: &Request) -> Box<dyn Writer> {
        Box::<stream::ChunkWriter>::default()
    }

    fn glance(&self) -> Box<dyn Glance> {
        Box::<stream::ChunkGlance>::default()
    }

    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        stream::usage_of(&mut crate::json::members(body, &["usageMetadata"])?)
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        crate::error_body::read(status, body)
    }

    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        crate::json::bytes(&write::fault(fault))
    }

    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        stream::frame(&write::fault(fault))
    }

    fn read_count_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        read::count_request(body).map(Carried::whole)
    }

    fn write_count(&self, tokens: u64) -> Vec<u8> {
        format!(r#"{{"totalTokens":{tokens}}}"#).into_bytes()
    }
}
