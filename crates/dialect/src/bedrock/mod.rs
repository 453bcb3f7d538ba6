//! Amazon Bedrock's Converse API: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//!
//! The model and the wish for a stream stand in the path and not in the body: who reads a request finds
//! `model` empty and `stream` unset. An error's name stands in a header (`x-amzn-ErrorType`), which a body does
//! not see; AWS's libraries look for it in `__type` too, and we write it in both. Where a thing would be written
//! in another way than it stood, what stood there is kept as its form ([`crate::canon::Extra`]).

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Glance, Paths, Reader, Target, Writer,
    canon::{Message, Request, Usage},
    frame::Framing,
};

/// The dialect of `converse` and `converse-stream`.
pub(crate) struct Bedrock;

impl Dialect for Bedrock {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths {
            generate: "/model/{model}/converse",
            stream: Some("/model/{model}/converse-stream"),
            count: Some("/model/{model}/count-tokens"),
        }
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        wire::NAMES
    }

    fn fault_header(&self, fault: &Fault) -> Option<(&'static str, &'static str)> {
        Some(("x-amzn-errortype", wire::error_names(fault.status()).0))
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("x-amzn-requestid")
    }

    fn framing(&self) -> Framing {
        Framing::Aws
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
        Box::<stream::EventReader>::default()
    }

    fn writer(&self, _request: &Request) -> Box<dyn Writer> {
        Box::<stream::EventWriter>::default()
    }

    fn glance(&self) -> Box<dyn Glance> {
        Box::<stream::EventGlance>::default()
    }

    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        stream::usage_of(&mut crate::json::members(body, &["usage"])?)
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        crate::error_body::read(status, body)
    }

    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        crate::json::bytes(&write::fault(fault))
    }

    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        stream::fault(fault)
    }

    fn read_count_request(&self, body: &[u8]) -> Result<Carried<Request>, Fault> {
        read::count_request(body).map(Carried::whole)
    }

    fn write_count(&self, tokens: u64) -> Vec<u8> {
        format!(r#"{{"inputTokens":{tokens}}}"#).into_bytes()
    }
}
