//! Anthropic's Messages API: <https://docs.anthropic.com/en/api/messages>

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Glance, Paths, Reader, Target, Writer,
    canon::{Message, Request, Usage},
    error_body,
};

/// The dialect of `/v1/messages`.
pub(crate) struct Anthropic;

impl Dialect for Anthropic {
    fn id(&self) -> DialectId {
        wire::ID
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/v1/messages", stream: None, count: Some("/v1/messages/count_tokens") }
    }

    fn id_header(&self) -> Option<&'static str> {
        // https://docs.anthropic.com/en/api/errors#request-id
        Some("request-id")
    }

    fn read_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        read::request(body)
    }

    fn write_request(&self, request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
        write::request(request, target)
    }

    fn read_response(&self, body: &[u8]) -> Result<Carried<Message>, Fault> {
        read::response(body)
    }

    fn write_response(&self, message: &Message) -> Carried<Vec<u8>> {
        write::response(message)
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
        wire::meter(body)
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        error_body::read(status, body)
    }

    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        write::fault(fault)
    }

    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        stream::fault_event(fault)
    }

    fn read_count_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        read::count_request(body)
    }

    fn write_count(&self, tokens: u64) -> Vec<u8> {
        format!(r#"{{"input_tokens":{tokens}}}"#).into_bytes()
    }
}
