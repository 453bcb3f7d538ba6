//! OpenAI's Chat Completions, as OpenAI documents them and as some thirty compatible servers speak them:
//! <https://platform.openai.com/docs/api-reference/chat>
//!
//! What this dialect adds to the documented one, because servers and clients in the field do it:
//! `reasoning_content` (DeepSeek and others), `reasoning` and `reasoning_details` (OpenRouter), lists as
//! content of an answer (Mistral), `top_k`, and `cache_control` on parts and tools (OpenRouter). The legacy
//! `functions` and `function_call` are members that only this dialect knows.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Glance, Paths, Reader, Target, Writer,
    canon::{Message, Request, Usage},
    error_body, json,
};

/// The dialect `openai_chat`.
pub(crate) struct OpenaiChat;

impl Dialect for OpenaiChat {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/chat/completions", stream: None, count: None }
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

    fn writer(&self, request: &Request) -> Box<dyn Writer> {
        Box::new(stream::ChunkWriter::new(request.stream_usage == Some(true)))
    }

    fn glance(&self) -> Box<dyn Glance> {
        Box::<stream::ChunkGlance>::default()
    }

    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        wire::meter(body)
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        error_body::read(status, body)
    }

    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        json::bytes(&write::fault(fault))
    }

    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        stream::fault_frame(fault)
    }
}
