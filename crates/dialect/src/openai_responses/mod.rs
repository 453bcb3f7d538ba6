//! OpenAI's Responses API, as OpenAI documents it and as some ten compatible servers speak it:
//! <https://platform.openai.com/docs/api-reference/responses>
//!
//! What is said is a list of *items*, and canonical form has turns of blocks. So it goes:
//!
//! * `instructions` is the first turn, with [`Role::System`](crate::canon::Role::System) and no place;
//! * neighbours that the model said (its messages, thoughts, calls, and what it did by itself) are one
//!   turn, as other dialects have it; every other item is a turn of its own;
//! * a message is a block for each of its parts, thoughts, calls and results of tools are one block, and
//!   every item that is none of these is an opaque block;
//! * a block's place is the item's number and the part's, so the writer finds the items again; what of an
//!   item canonical form does not hold is kept with its first block, as it was.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Echo, Fault, Glance, Paths, Reader, Target, Writer,
    canon::{Message, Request, Usage},
};

/// The dialect of `/v1/responses`.
pub(crate) struct OpenaiResponses;

impl Dialect for OpenaiResponses {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/responses", stream: None, count: None }
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
        write::response(message, &wire::echo())
    }

    fn echo(&self, request: &Request) -> Echo {
        write::echo(request)
    }

    fn write_reply(&self, message: &Message, echo: &Echo) -> Carried<Vec<u8>> {
        write::response(message, echo)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(stream::EventReader::default())
    }

    fn writer(&self, request: &Request) -> Box<dyn Writer> {
        Box::new(stream::EventWriter::new(request))
    }

    fn glance(&self) -> Box<dyn Glance> {
        Box::new(stream::EventGlance::default())
    }

    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        read::usage(body)
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        crate::error_body::read(status, body)
    }

    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        crate::json::bytes(&write::fault(fault))
    }

    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        stream::fault_events(fault)
    }

    fn read_count_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        self.read_request(body)
    }

    fn write_count(&self, tokens: u64) -> Vec<u8> {
        format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#).into_bytes()
    }
}
