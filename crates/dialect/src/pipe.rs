//! Relay or translate: the way of an answer's bytes to the caller.
//!
//! A pipe is pure: bytes in, bytes out. It writes what it has at once; whoever wants to be able to ask
//! another target holds back what comes out until [`Pipe::content`] is true.

mod aside;
mod embed;
mod gauge;
mod relay;
mod resume;
#[cfg(test)]
mod tests;
mod translate;

use crate::{
    DialectId, Fault, Losses,
    canon::{Request, Usage},
    embed::{Embed, EmbedShape},
    frame::array::Lister,
};
use aside::Aside;
use bytes::Bytes;
use embed::Embedding;
pub(crate) use relay::without_torn;
use relay::{Meter, Relay};
pub use resume::Resume;
use resume::Resumed;
use translate::Translate;

/// The way of one answer.
pub struct Pipe {
    way: Way,
    content: bool,
    /// A fault has been written: nothing comes after it.
    over: bool,
    /// The caller wants the events as a JSON array.
    list: Option<Lister>,
}

enum Way {
    Raw,
    Relay(Box<Relay>),
    Meter(Meter),
    Aside(Box<Aside>),
    Translate(Box<Translate>),
    Resumed(Box<Resumed>),
    Embed(Box<Embedding>),
}

impl Pipe {
    /// Untouched bytes of which nothing is understood.
    #[must_use]
    pub fn raw() -> Pipe {
        Pipe::new(Way::Raw)
    }

    /// Untouched bytes of which nothing is understood but the member `usage` of OpenAI's operations, in JSON or,
    /// where it is `streamed`, in events. They pass as they come.
    #[must_use]
    pub fn aside(streamed: bool) -> Pipe {
        Pipe::new(Way::Aside(Box::new(Aside::new(streamed))))
    }

    /// Caller and provider speak the same dialect, and the answer has the form that the caller wants:
    /// untouched bytes, looked at from the side. `streamed` is the form of the answer.
    #[must_use]
    pub fn relay(dialect: DialectId, streamed: bool) -> Pipe {
        Pipe::new(if streamed {
            Way::Relay(Box::new(Relay::new(dialect.dialect())))
        } else {
            Way::Meter(Meter::new(dialect.dialect(), false))
        })
    }

    /// The same for a whole answer whose end nothing marks but the end of its connection: it is looked at
    /// more closely, since it may have been cut.
    #[must_use]
    pub fn relay_unframed(dialect: DialectId) -> Pipe {
        Pipe::new(Way::Meter(Meter::new(dialect.dialect(), true)))
    }

    /// The provider speaks another dialect than the caller who sent `request`, or answers in another form
    /// than the caller wants. `streamed` is the form of the provider's answer.
    #[must_use]
    pub fn translate(provider: DialectId, streamed: bool, request: &Request) -> Pipe {
        Pipe::new(Way::Translate(Box::new(Translate::new(provider.dialect(), streamed, request))))
    }

    /// Another provider goes on with an answer of which something has been told. `streamed` is the form of its
    /// answer. Only what is new comes out.
    #[must_use]
    pub fn resume(provider: DialectId, streamed: bool, resume: Resume) -> Pipe {
        Pipe::new(Way::Resumed(Box::new(Resumed::new(provider, streamed, resume))))
    }

    /// A provider whose embeddings have the shape `provider` answers the caller who sent `asked`: gathered, and
    /// as [`EmbedShape::answer`] has it.
    #[must_use]
    pub fn embed(provider: EmbedShape, asked: Embed) -> Pipe {
        Pipe::new(Way::Embed(Box::new(Embedding::new(provider, asked))))
    }

    fn new(way: Way) -> Pipe {
        Pipe { way, content: false, over: false, list: None }
    }

    /// The same with its events as the elements of a JSON array (Gemini's streams without `alt=sse`).
    #[must_use]
    pub fn listed(self) -> Pipe {
        Pipe { list: Some(Lister::default()), ..self }
    }

    /// The same for a request of this id and time, in seconds since 1970: where the provider's answer has none and
    /// the caller's dialect has one, these are what it gets. Clients tell answers apart by their ids.
    #[must_use]
    pub fn of(mut self, id: &str, seconds: u64) -> Pipe {
        if let Way::Translate(translate) = &mut self.way {
            translate.of(id, seconds);
        }
        self
    }

    /// The same for an answer that another provider could go on with: an error that comes after content is not
    /// passed on, but told to whoever feeds the pipe.
    #[must_use]
    pub fn guarded(mut self) -> Pipe {
        if let Way::Relay(relay) = &mut self.way {
            relay.guard();
        }
        self
    }

    /// Takes the provider's next bytes. After an error only [`Pipe::fault`] may follow.
    ///
    /// # Errors
    /// The provider's own fault, where the answer is or holds an error and nothing of the answer itself
    /// has passed; then nothing of these bytes is in `out`. In a relay an error that comes later passes like
    /// everything else and is remembered ([`Pipe::failed`]). [`crate::FaultKind::UpstreamInvalid`] where the
    /// answer breaks a limit or cannot be understood.
    pub fn feed(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        if self.over || chunk.is_empty() {
            return Ok(());
        }
        let before = out.len();
        let fed = self.pour(chunk, out);
        self.list(out, before, false)?;
        fed
    }

    fn pour(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match &mut self.way {
            Way::Raw => {
                self.content = true;
                out.push(chunk);
            }
            Way::Meter(meter) => {
                self.content = true;
                meter.feed(&chunk);
                out.push(chunk);
            }
            Way::Aside(aside) => {
                self.content = true;
                aside.feed(&chunk);
                out.push(chunk);
            }
            Way::Relay(relay) => {
                relay.feed(chunk, out)?;
                self.content = relay.seen().content;
            }
            Way::Translate(translate) => {
                let fed = translate.feed(&chunk, out);
                self.content = translate.content();
                fed?;
            }
            Way::Resumed(resumed) => {
                let fed = resumed.feed(&chunk, out);
                self.content = resumed.content();
                fed?;
            }
            Way::Embed(embedding) => embedding.feed(&chunk)?,
        }
        Ok(())
    }

    /// The provider's bytes have ended cleanly.
    ///
    /// # Errors
    /// [`crate::FaultKind::UpstreamTruncated`] when the answer was not whole; the provider's own fault where a
    /// whole answer turns out to be one; otherwise as [`Pipe::feed`].
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        if self.over {
            return Ok(());
        }
        let before = out.len();
        let ended = self.end(out);
        self.list(out, before, ended.is_ok())?;
        ended
    }

    fn end(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match &mut self.way {
            Way::Raw => {}
            Way::Meter(meter) => meter.finish()?,
            Way::Aside(aside) => aside.finish(),
            Way::Relay(relay) => {
                relay.finish(out)?;
                self.content = relay.seen().content;
            }
            Way::Translate(translate) => {
                let finished = translate.finish(out);
                self.content = translate.content();
                finished?;
            }
            Way::Resumed(resumed) => {
                let finished = resumed.finish(out);
                self.content = resumed.content();
                finished?;
            }
            Way::Embed(embedding) => {
                out.push(embedding.finish()?);
                self.content = true;
            }
        }
        Ok(())
    }

    /// The answer breaks here: a stream ends with the error event of the caller's dialect. A whole answer
    /// gets nothing. After it nothing more is written.
    pub fn fault(&mut self, fault: &Fault, out: &mut Vec<Bytes>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let text = match &mut self.way {
            Way::Raw | Way::Meter(_) | Way::Aside(_) | Way::Embed(_) => Vec::new(),
            Way::Relay(relay) => relay.fault(fault),
            Way::Translate(translate) => translate.fault(fault),
            Way::Resumed(resumed) => resumed.fault(fault),
        };
        let before = out.len();
        if !text.is_empty() {
            out.push(Bytes::from(text));
            // What we have just written is no event that could break a limit.
            let _ = self.list(out, before, true);
        }
    }

    /// Makes elements of the events that stand in `out` from `before` on. `last`: no more will come.
    fn list(&mut self, out: &mut Vec<Bytes>, before: usize, last: bool) -> Result<(), Fault> {
        let Some(lister) = &mut self.list else { return Ok(()) };
        let mut text = Vec::new();
        for events in out.drain(before..) {
            lister.feed(&events, &mut text)?;
        }
        if last {
            lister.finish(&mut text)?;
        }
        if !text.is_empty() {
            out.push(Bytes::from(text));
        }
        Ok(())
    }

    /// Something of the answer itself has passed, more than lifecycle events and comments: from here on the
    /// status is committed.
    #[must_use]
    pub fn content(&self) -> bool {
        self.content
    }

    /// The last word of a stream has passed: whatever comes yet is ceremony, or its usage.
    #[must_use]
    pub fn ended(&self) -> bool {
        match &self.way {
            Way::Raw | Way::Meter(_) | Way::Aside(_) | Way::Embed(_) => false,
            Way::Relay(relay) => relay.seen().ended,
            Way::Translate(translate) => translate.ended(),
            Way::Resumed(resumed) => resumed.ended(),
        }
    }

    /// The answer is not the one that it should go on with: the provider may have done well, and its answer is
    /// of no use.
    #[must_use]
    pub fn strayed(&self) -> bool {
        matches!(&self.way, Way::Resumed(resumed) if resumed.strayed())
    }

    /// What has come so far of a whole answer that will be translated at its end.
    #[must_use]
    pub fn gathered(&self) -> Option<&[u8]> {
        match &self.way {
            Way::Translate(translate) => translate.gathered(),
            Way::Resumed(resumed) => resumed.gathered(),
            Way::Raw | Way::Relay(_) | Way::Meter(_) | Way::Aside(_) | Way::Embed(_) => None,
        }
    }

    /// The error that passed through a relay after content, unchanged.
    #[must_use]
    pub fn failed(&self) -> Option<&Fault> {
        match &self.way {
            Way::Relay(relay) => relay.failed(),
            Way::Raw
            | Way::Meter(_)
            | Way::Aside(_)
            | Way::Translate(_)
            | Way::Resumed(_)
            | Way::Embed(_) => None,
        }
    }

    /// The last usage that was seen.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        match &self.way {
            Way::Raw => None,
            Way::Relay(relay) => relay.seen().usage.as_ref(),
            Way::Meter(meter) => meter.usage(),
            Way::Aside(aside) => aside.usage(),
            Way::Translate(translate) => translate.usage(),
            Way::Resumed(resumed) => resumed.usage(),
            Way::Embed(embedding) => embedding.usage(),
        }
    }

    /// Tokens of the answer that have come so far, about, where it comes as a stream.
    #[must_use]
    pub fn output(&self) -> u64 {
        match &self.way {
            Way::Raw | Way::Meter(_) | Way::Aside(_) | Way::Embed(_) => 0,
            Way::Relay(relay) => relay.output(),
            Way::Translate(translate) => translate.output(),
            Way::Resumed(resumed) => resumed.output(),
        }
    }

    /// What was lost on the way. A relay loses nothing.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        static NONE: Losses = Losses::new();
        match &self.way {
            Way::Raw | Way::Relay(_) | Way::Meter(_) | Way::Aside(_) | Way::Embed(_) => &NONE,
            Way::Translate(translate) => translate.losses(),
            Way::Resumed(resumed) => resumed.losses(),
        }
    }
}
