//! From the provider's dialect and form to the caller's.

use super::gauge::Gauge;
use crate::{
    Dialect, Echo, Fault, FaultKind, Losses, Reader, Sink, Writer,
    canon::{BlockStart, Event, Fold, Message, Request, Usage, unfold},
    limits::ANSWER_MAX,
};
use bytes::Bytes;
use std::{collections::BTreeSet, mem};

pub(super) struct Translate {
    provider: &'static dyn Dialect,
    /// The model's name as the caller wrote it, for answers that name none.
    model: String,
    /// The request's id and its time, in seconds since 1970, for answers that have none.
    request: (String, Option<u64>),
    source: Source,
    target: Target,
    /// Bytes of the provider's answer so far.
    size: usize,
    /// Something of the answer itself has been written.
    content: bool,
    /// The choices that have begun, and those of them that have not finished.
    choices: (BTreeSet<u32>, BTreeSet<u32>),
    usage: Option<Usage>,
    gauge: Gauge,
    losses: Losses,
}

enum Source {
    Stream(Box<dyn Reader>, Sink),
    Whole(Vec<u8>),
}

enum Target {
    Stream(Box<dyn Writer>),
    /// The caller's dialect, what there is of the answer, and what it repeats of the request.
    Whole(&'static dyn Dialect, Box<Fold>, Echo),
}

impl Translate {
    pub(super) fn new(provider: &'static dyn Dialect, streamed: bool, request: &Request) -> Translate {
        let caller = request.from.dialect();
        let source = if streamed {
            Source::Stream(provider.reader(), Sink::default())
        } else {
            Source::Whole(Vec::new())
        };
        let target = if request.stream == Some(true) {
            Target::Stream(caller.writer(request))
        } else {
            Target::Whole(caller, Box::new(Fold::new(provider.id())), caller.echo(request))
        };
        let model = request.model.clone();
        let choices = (BTreeSet::new(), BTreeSet::new());
        Translate {
            provider,
            model,
            request: (String::new(), None),
            source,
            target,
            size: 0,
            content: false,
            choices,
            usage: None,
            gauge: Gauge::default(),
            losses: Losses::new(),
        }
    }

    pub(super) fn of(&mut self, id: &str, seconds: u64) {
        self.request = (id.to_owned(), Some(seconds));
    }

    pub(super) fn feed(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.size = self.size.saturating_add(chunk.len());
        let gathered = matches!((&self.source, &self.target), (Source::Whole(_), _) | (_, Target::Whole(..)));
        if gathered && self.size > ANSWER_MAX {
            let message = format!("the provider's answer is over {ANSWER_MAX} bytes");
            return Err(Fault::new(FaultKind::UpstreamInvalid, message));
        }
        let (read, events) = match &mut self.source {
            Source::Whole(body) => {
                body.extend_from_slice(chunk);
                return Ok(());
            }
            Source::Stream(reader, sink) => {
                let read = reader.feed(chunk, sink);
                (read, self.source.events(&mut self.losses))
            }
        };
        self.pass(read, events, out)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let (read, events) = match &mut self.source {
            Source::Whole(body) => {
                let message = self.provider.read_response(&mem::take(body))?;
                self.losses.absorb(message.losses);
                return self.finish_whole(message.value, out);
            }
            Source::Stream(reader, sink) => {
                let read = reader.finish(sink);
                (read, self.source.events(&mut self.losses))
            }
        };
        self.pass(read, events, out)?;
        if let Target::Whole(_, fold, _) = &mut self.target {
            let message = mem::replace(&mut **fold, Fold::new(self.provider.id())).message();
            self.write_whole(&message, out);
        }
        Ok(())
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> Vec<u8> {
        let mut text = Vec::new();
        if let Target::Stream(writer) = &mut self.target {
            writer.fault(fault, &mut text);
        }
        text
    }

    pub(super) fn gathered(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Whole(body) => Some(body),
            Source::Stream(..) => None,
        }
    }

    pub(super) fn content(&self) -> bool {
        self.content
    }

    /// Every alternative that has begun has finished.
    pub(super) fn ended(&self) -> bool {
        !self.choices.0.is_empty() && self.choices.1.is_empty()
    }

    pub(super) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    pub(super) fn output(&self) -> u64 {
        self.gauge.tokens()
    }

    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Passes events on. What came before an error is written, unless nothing of the answer itself was
    /// among it: then another target may be asked, and nothing must have been said.
    fn pass(
        &mut self,
        read: Result<(), Fault>,
        mut events: Vec<Event>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Fault> {
        for event in &mut events {
            if let Event::Start { id, model, created, .. } = event {
                self.complete(id, model, created);
            }
        }
        if let Some(Event::Usage(usage)) = events.iter().rev().find(|event| matches!(event, Event::Usage(_)))
        {
            self.usage = Some(usage.clone());
        }
        for event in &events {
            self.gauge.event(event);
            match event {
                Event::BlockStart { choice, .. } if self.choices.0.insert(*choice) => {
                    self.choices.1.insert(*choice);
                }
                Event::Finish { choice, .. } => {
                    self.choices.0.insert(*choice);
                    self.choices.1.remove(choice);
                }
                _ => {}
            }
        }
        match &mut self.target {
            Target::Whole(_, fold, _) => events.into_iter().for_each(|event| fold.take(event)),
            Target::Stream(writer) => {
                self.content |= events.iter().any(is_content);
                if read.is_ok() || self.content {
                    let mut text = Vec::new();
                    events.iter().for_each(|event| writer.write(event, &mut text, &mut self.losses));
                    push(text, out);
                }
            }
        }
        read
    }

    /// A whole answer in the form that the caller wants.
    fn finish_whole(&mut self, message: Message, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        if let Target::Stream(_) = self.target {
            if !message.is_whole() {
                let message = "the provider's answer does not say why it ended";
                return Err(Fault::new(FaultKind::UpstreamTruncated, message));
            }
            return self.pass(Ok(()), unfold(&message), out);
        }
        self.usage = message.usage.clone();
        let mut message = message;
        self.complete(&mut message.id, &mut message.model, &mut message.created);
        self.write_whole(&message, out);
        Ok(())
    }

    /// Gives an answer what every answer has, where its provider does not.
    fn complete(&self, id: &mut String, model: &mut String, created: &mut Option<u64>) {
        if id.is_empty() {
            id.clone_from(&self.request.0);
        }
        if model.is_empty() {
            model.clone_from(&self.model);
        }
        *created = created.or(self.request.1);
    }

    fn write_whole(&mut self, message: &Message, out: &mut Vec<Bytes>) {
        if let Target::Whole(caller, _, echo) = &self.target {
            let text = caller.write_reply(message, echo);
            self.losses.absorb(text.losses);
            self.content = true;
            push(text.value, out);
        }
    }
}

impl Source {
    /// What the reader has brought forth.
    fn events(&mut self, losses: &mut Losses) -> Vec<Event> {
        let Source::Stream(_, sink) = self else { return Vec::new() };
        losses.absorb(mem::take(&mut sink.losses));
        mem::take(&mut sink.events)
    }
}

fn is_content(event: &Event) -> bool {
    match event {
        Event::BlockStart { start, .. } => matches!(start, BlockStart::ToolUse { .. } | BlockStart::Whole(_)),
        Event::Delta { .. } | Event::Logprobs { .. } | Event::Finish { .. } | Event::End => true,
        Event::Start { .. } | Event::BlockStop { .. } | Event::Usage(_) | Event::Opaque { .. } => false,
    }
}

fn push(text: Vec<u8>, out: &mut Vec<Bytes>) {
    if !text.is_empty() {
        out.push(Bytes::from(text));
    }
}
