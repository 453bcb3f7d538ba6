//! Language models on Replicate, which providers speak and callers do not:
//! <https://replicate.com/docs/reference/http#predictions.create>
//!
//! A request makes a prediction. Its answer is the prediction as it is then, most often not begun: it goes on
//! at one of two addresses ([`Dialect::next_step`]), one to ask again and one to read as a stream. Since
//! `version` takes every model (`owner/name`, `owner/name:version` and a version alone), all requests go to
//! `/v1/predictions`: <https://replicate.com/changelog/2025-08-05-run-all-models-with-the-same-api-endpoint>
//!
//! A model has inputs of its own, and a prompt is one text. There are no turns and no tools.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use crate::{
    Carried, Dialect, DialectId, Fault, Follow, Paths, Reader, Target,
    canon::{Message, Request},
};

/// The dialect of predictions.
pub(crate) struct Replicate;

impl Dialect for Replicate {
    fn id(&self) -> DialectId {
        wire::ME
    }

    fn paths(&self) -> Paths {
        Paths { generate: "/v1/predictions", stream: None, count: None }
    }

    fn serves_callers(&self) -> bool {
        false
    }

    fn write_request(&self, request: &Request, target: &Target<'_>) -> Carried<Vec<u8>> {
        write::request(request, target)
    }

    fn read_response(&self, body: &[u8]) -> Result<Carried<Message>, Fault> {
        read::response(body).map(Carried::whole)
    }

    fn next_step(&self, body: &[u8], streamed: bool) -> Option<Follow> {
        read::next_step(body, streamed)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::<stream::EventReader>::default()
    }

    fn read_fault(&self, status: u16, body: &[u8]) -> Fault {
        crate::error_body::read(status, body)
    }
}
