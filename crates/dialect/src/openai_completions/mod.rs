//! OpenAI's legacy Completions, a prompt that is continued, as OpenAI documents them and as vLLM, llama.cpp,
//! OpenRouter and others speak them: <https://platform.openai.com/docs/api-reference/completions>
//!
//! One prompt is one turn of the user. Several prompts in one request, prompts in tokens and prompts in any
//! other form have no place in a conversation: such a request can only be served by a provider of this dialect
//! ([`Request::needs`]). The other way about, a conversation becomes one prompt with the speakers' names before
//! what they say, and there are no tools.
//!
//! What this dialect adds to the documented one: `reasoning` beside `text` (OpenRouter), `top_k`, and log
//! probabilities in the form of Chat Completions (llama.cpp).

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

/// The dialect of `/v1/completions`.
pub(crate) struct OpenaiCompletions;

impl Dialect for OpenaiCompletions {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/completions", stream: None, count: None }
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        wire::NAMES
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
