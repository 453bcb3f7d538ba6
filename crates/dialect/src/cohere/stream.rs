//! Streams: <https://docs.cohere.com/reference/chat-stream>
//!
//! Every event has its name in its data, and most have it on a line of its own too. `message-end` ends a
//! stream; the `[DONE]` that newer ones have behind it says no more.

use super::{read, wire};
use crate::{
    Fault, Sink,
    canon::{BlockStart, Delta, Event, Extra, Teller},
    error_body,
    frame::sse::Frame,
    limits::PARTS_MAX,
    shape::{Framed, Reading, cut, over},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, mem};

/// Reads a provider's stream.
pub(super) type StreamReader = Framed<ReadState>;

#[derive(Default)]
pub(super) struct ReadState {
    started: bool,
    ended: bool,
    teller: Teller,
    /// Calls that have begun and not ended: Cohere's number of each, and its block.
    calls: BTreeMap<u64, u32>,
}

impl Reading for ReadState {
    fn frame(&mut self, frame: Frame<'_>, sink: &mut Sink) -> Result<(), Fault> {
        let data: Value = match serde_json::from_slice(frame.data) {
            _ if self.ended || frame.data == b"[DONE]" => return Ok(()),
            Ok(data @ Value::Object(_)) => data,
            _ if frame.event == b"error" => return Err(error_body::read(200, frame.data)),
            _ => {
                sink.losses.note("", "an event of the provider's stream is not a JSON object");
                return Ok(());
            }
        };
        if frame.event == b"error" || read::is_fault(&data) {
            return Err(error_body::told(200, &data));
        }
        let kind = data.get("type").and_then(Value::as_str).unwrap_or_default();
        self.start(&data, sink);
        self.event(kind, &data, sink)?;
        if self.teller.blocks() <= PARTS_MAX { Ok(()) } else { Err(over("parts", PARTS_MAX)) }
    }

    fn end(&mut self, _sink: &mut Sink) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(cut("`message-end`")) }
    }
}

impl ReadState {
    /// Tells the start once; a stream whose first event was lost has no id.
    fn start(&mut self, data: &Value, sink: &mut Sink) {
        if !mem::replace(&mut self.started, true) {
            let id = text(data, "/id").unwrap_or_default().to_owned();
            sink.events.push(Event::Start { id, model: String::new(), created: None, extra: Extra::NONE });
        }
    }

    fn event(&mut self, kind: &str, data: &Value, sink: &mut Sink) -> Result<(), Fault> {
        match kind {
            "message-start" | "citation-end" | "debug" => {}
            "content-start" | "content-delta" => self.content(data, sink),
            "content-end" => self.teller.close(&mut sink.events),
            "tool-plan-delta" => {
                let plan = text(data, "/delta/message/tool_plan").unwrap_or_default().to_owned();
                self.teller.say(BlockStart::Text, Delta::Text(plan), &mut sink.events);
            }
            "tool-call-start" => self.call_start(data, sink),
            "tool-call-delta" => self.call_delta(data, sink),
            "tool-call-end" => self.call_end(index(data), sink),
            "citation-start" => wire::lose_citations(&mut sink.losses),
            "message-end" => self.message_end(data, sink)?,
            _ => sink.losses.note(format!("/{kind}"), "an event that is not known"),
        }
        Ok(())
    }

    fn content(&mut self, data: &Value, sink: &mut Sink) {
        for (name, kind) in [("thinking", BlockStart::Reasoning), ("text", BlockStart::Text)] {
            let words = text(data, &format!("/delta/message/content/{name}")).unwrap_or_default();
            self.teller.say(kind, Delta::Text(words.to_owned()), &mut sink.events);
        }
        let kind = text(data, "/delta/message/content/type").unwrap_or("text");
        if !matches!(kind, "text" | "thinking") {
            sink.losses.note(format!("/message/content/{}", index(data)), "content that is not known");
        }
        let item = data.get("logprobs").and_then(|item| wire::read_logprob(item, &mut sink.losses));
        let logprobs = item.map(|item| json!({ "content": [item] }));
        sink.events.extend(logprobs.map(|logprobs| Event::Logprobs { choice: 0, logprobs }));
    }

    fn call_start(&mut self, data: &Value, sink: &mut Sink) {
        let place = "/delta/message/tool_calls";
        let word = |name: &str| text(data, &format!("{place}/{name}")).unwrap_or_default().to_owned();
        let start = BlockStart::ToolUse { id: word("id"), name: word("function/name") };
        self.call_end(index(data), sink);
        let block = self.teller.begin(start, &mut sink.events);
        self.calls.insert(index(data), block);
        self.call_delta(data, sink);
    }

    fn call_delta(&mut self, data: &Value, sink: &mut Sink) {
        let Some(block) = self.calls.get(&index(data)) else {
            let pointer = format!("/message/tool_calls/{}", index(data));
            return sink.losses.note(pointer, "a piece of a call that is not open");
        };
        let input = text(data, "/delta/message/tool_calls/function/arguments").unwrap_or_default();
        self.teller.piece(*block, Delta::Input(input.to_owned()), &mut sink.events);
    }

    fn call_end(&mut self, index: u64, sink: &mut Sink) {
        let block = self.calls.remove(&index);
        sink.events.extend(block.map(|block| Event::BlockStop { choice: 0, block }));
    }

    fn message_end(&mut self, data: &Value, sink: &mut Sink) -> Result<(), Fault> {
        let usage = data.pointer("/delta/usage").and_then(Value::as_object);
        sink.events.extend(usage.cloned().map(|usage| Event::Usage(wire::read_usage(usage))));
        if let Some(fault) = data.get("delta").and_then(wire::failure) {
            return Err(fault);
        }
        let stop = wire::read_stop(text(data, "/delta/finish_reason").unwrap_or_default());
        self.teller.close(&mut sink.events);
        let open = mem::take(&mut self.calls).into_values();
        sink.events.extend(open.map(|block| Event::BlockStop { choice: 0, block }));
        sink.events.extend([Event::Finish { choice: 0, stop }, Event::End]);
        self.ended = true;
        Ok(())
    }
}

fn text<'a>(data: &'a Value, pointer: &str) -> Option<&'a str> {
    data.pointer(pointer)?.as_str()
}

/// The number of the part or the call that an event is about; most answers have one.
fn index(data: &Value) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
}
