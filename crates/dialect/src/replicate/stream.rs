//! Streams: <https://replicate.com/docs/topics/predictions/streaming>
//!
//! The data of `output` are words as they are, not JSON. `done` ends a stream, and says so where it ended
//! badly. Neither the answer's id nor its model is told.

use super::wire;
use crate::{
    Fault, FaultKind, Reader, Sink,
    canon::{BlockStart, Delta, Event, Extra, Stop, StopReason, Teller, Usage},
    frame::sse::{Frame, Frames},
};
use serde_json::Value;
use std::mem;

/// Reads a provider's stream.
#[derive(Default)]
pub(super) struct EventReader {
    frames: Frames,
    state: Reading,
}

impl Reader for EventReader {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault> {
        let EventReader { frames, state } = self;
        frames.feed(bytes, &mut |frame| state.frame(&frame, sink))
    }

    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault> {
        let EventReader { frames, state } = self;
        frames.finish(&mut |frame| state.frame(&frame, sink))?;
        let words = "the provider's stream ended before `done`";
        if state.ended { Ok(()) } else { Err(Fault::new(FaultKind::UpstreamTruncated, words)) }
    }
}

#[derive(Default)]
struct Reading {
    started: bool,
    ended: bool,
    teller: Teller,
    /// What the log has told of it.
    usage: Option<Usage>,
}

impl Reading {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        if !mem::replace(&mut self.started, true) {
            let (id, model) = (String::new(), String::new());
            sink.events.push(Event::Start { id, model, created: None, extra: Extra::NONE });
        }
        let data = String::from_utf8_lossy(frame.data);
        match frame.event {
            b"output" => {
                self.teller.say(BlockStart::Text, Delta::Text(data.into_owned()), &mut sink.events);
            }
            b"logs" => self.usage = wire::read_usage(None, &data).or(self.usage.take()),
            b"error" => return Err(failure("failed", &data)),
            b"done" => self.done(&data, sink)?,
            // An error under the wrong content type has no name.
            b"" if data.starts_with('{') => return Err(failure("failed", &data)),
            other => {
                let name = String::from_utf8_lossy(other);
                sink.losses.note(format!("/{name}"), "an event that is not known");
            }
        }
        Ok(())
    }

    fn done(&mut self, data: &str, sink: &mut Sink) -> Result<(), Fault> {
        let end: Value = serde_json::from_str(data).unwrap_or_default();
        if let Some(reason) = end.get("reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
            return Err(wire::failure(reason, end.get("error")));
        }
        self.teller.close(&mut sink.events);
        sink.events.extend(self.usage.take().map(Event::Usage));
        let stop = Stop::new(StopReason::End, "succeeded");
        sink.events.extend([Event::Finish { choice: 0, stop }, Event::End]);
        self.ended = true;
        Ok(())
    }
}

/// The fault that an event is: words, or JSON with words.
fn failure(status: &str, data: &str) -> Fault {
    let error = serde_json::from_str(data).ok().filter(Value::is_object);
    wire::failure(status, Some(&error.unwrap_or_else(|| data.into())))
}
