//! An answer that broke off is gone on with by another provider.
//!
//! What the caller has been sent is read again as he reads it, and told to a fresh writer, which then stands
//! where the first one stood. The new answer is compared with the words that have been sent: where it repeats
//! them they are dropped, and what comes behind goes out. Where it does not, nothing honest can be joined, and
//! that is a fault. A tool call of which anything has been sent is never gone on with.

use super::gauge::Gauge;
use crate::{
    Dialect, DialectId, Fault, FaultKind, Losses, Reader, Sink, Writer,
    canon::{BlockStart, Delta, Event, Request, Usage, unfold},
    limits::ANSWER_MAX,
};
use bytes::Bytes;
use std::mem;

/// A stream as far as it has been told.
pub struct Resume {
    caller: DialectId,
    writer: Box<dyn Writer>,
    /// The words that have been told.
    words: String,
    /// How many blocks have begun.
    blocks: u32,
    /// The block that is open, and whether it holds words (not thoughts).
    open: Option<(u32, bool)>,
    /// Thoughts or words have been told: no more thoughts are.
    begun: bool,
}

impl Resume {
    /// What `sent` told the caller who sent `request`. `None` where it cannot be gone on with: a tool call has
    /// begun, there are several alternatives, or it has finished.
    #[must_use]
    pub fn new(request: &Request, sent: &[Bytes]) -> Option<Resume> {
        let caller = request.from.dialect();
        let (mut reader, mut sink) = (caller.reader(), Sink::default());
        for piece in sent {
            reader.feed(piece, &mut sink).ok()?;
        }
        let mut resume = Resume {
            caller: request.from,
            writer: caller.writer(request),
            words: String::new(),
            blocks: 0,
            open: None,
            begun: false,
        };
        let (mut told, mut losses) = (Vec::new(), Losses::new());
        for event in sink.events {
            resume.replay(&event)?;
            resume.writer.write(&event, &mut told, &mut losses);
        }
        Some(resume)
    }

    /// Takes note of what has been told.
    fn replay(&mut self, event: &Event) -> Option<()> {
        match event {
            Event::BlockStart { choice: 0, block, start: BlockStart::Text } => self.begin(*block, true),
            Event::BlockStart { choice: 0, block, start: BlockStart::Reasoning } => self.begin(*block, false),
            Event::Delta { choice: 0, delta: Delta::Text(text), .. } => {
                self.begun = true;
                if self.open.is_some_and(|(_, words)| words) {
                    self.words.push_str(text);
                }
            }
            Event::Delta { choice: 0, delta: Delta::Seal(_), .. } => {}
            Event::BlockStop { choice: 0, .. } => self.open = None,
            Event::Start { .. } | Event::Usage(_) | Event::Opaque { .. } => {}
            Event::BlockStart { .. }
            | Event::Delta { .. }
            | Event::BlockStop { .. }
            | Event::Logprobs { .. }
            | Event::Finish { .. }
            | Event::End => return None,
        }
        Some(())
    }

    fn begin(&mut self, block: u32, words: bool) {
        self.blocks = block + 1;
        self.open = Some((block, words));
    }

    /// Ends the stream with an error where it stands.
    #[must_use]
    pub fn fault(mut self, fault: &Fault) -> Vec<u8> {
        let mut text = Vec::new();
        self.writer.fault(fault, &mut text);
        text
    }
}

/// The way of an answer that goes on with another.
pub(super) struct Resumed {
    provider: &'static dyn Dialect,
    /// It speaks another dialect than the caller.
    foreign: bool,
    source: Source,
    told: Resume,
    /// How many bytes of the words that have been told have come again.
    repeated: usize,
    /// The new answer's block under way: its own number, and what becomes of it.
    block: Option<(u32, Fate)>,
    size: usize,
    content: bool,
    ended: bool,
    usage: Option<Usage>,
    gauge: Gauge,
    losses: Losses,
}

/// What becomes of a block of the new answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its words are compared with those that have been told, and go on with them.
    Words,
    /// It is told as the block of this number.
    Told(u32),
    /// It is left out.
    LeftOut,
}

enum Source {
    Stream(Box<dyn Reader>),
    Whole(Vec<u8>),
}

impl Resumed {
    pub(super) fn new(provider: DialectId, streamed: bool, told: Resume) -> Resumed {
        let (foreign, provider) = (provider != told.caller, provider.dialect());
        let source = if streamed { Source::Stream(provider.reader()) } else { Source::Whole(Vec::new()) };
        Resumed {
            provider,
            foreign,
            source,
            told,
            repeated: 0,
            block: None,
            size: 0,
            content: false,
            ended: false,
            usage: None,
            gauge: Gauge::default(),
            losses: Losses::new(),
        }
    }

    pub(super) fn feed(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.size = self.size.saturating_add(chunk.len());
        match &mut self.source {
            Source::Whole(_) if self.size > ANSWER_MAX => {
                let message = format!("the provider's answer is over {ANSWER_MAX} bytes");
                Err(Fault::new(FaultKind::UpstreamInvalid, message))
            }
            Source::Whole(body) => {
                body.extend_from_slice(chunk);
                Ok(())
            }
            Source::Stream(reader) => {
                let mut sink = Sink::default();
                let read = reader.feed(chunk, &mut sink);
                self.pass(sink, out)?;
                read
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        match &mut self.source {
            Source::Whole(body) => {
                let message = self.provider.read_response(&mem::take(body))?;
                let sink = Sink { events: unfold(&message.value), losses: message.losses };
                self.pass(sink, out)
            }
            Source::Stream(reader) => {
                let mut sink = Sink::default();
                let read = reader.finish(&mut sink);
                self.pass(sink, out)?;
                read
            }
        }
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> Vec<u8> {
        let mut text = Vec::new();
        self.told.writer.fault(fault, &mut text);
        text
    }

    pub(super) fn gathered(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Whole(body) => Some(body),
            Source::Stream(_) => None,
        }
    }

    pub(super) fn content(&self) -> bool {
        self.content
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
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

    fn pass(&mut self, sink: Sink, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        self.losses.absorb(sink.losses);
        sink.events.iter().for_each(|event| self.gauge.event(event));
        let mut text = Vec::new();
        let passed = sink.events.into_iter().try_for_each(|event| self.take(event, &mut text));
        if !text.is_empty() {
            self.content = true;
            out.push(Bytes::from(text));
        }
        passed
    }

    fn take(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Fault> {
        match event {
            Event::Start { .. } | Event::Opaque { .. } | Event::Logprobs { .. } => {}
            Event::Usage(usage) => {
                self.usage = Some(usage.clone());
                self.write(Event::Usage(usage), out);
            }
            Event::BlockStart { choice: 0, block, start } => self.start(block, start, out)?,
            Event::Delta { choice: 0, block, delta } => self.delta(block, delta, out)?,
            Event::BlockStop { choice: 0, .. } => self.stop(out),
            Event::Finish { choice: 0, mut stop } => {
                self.all_repeated()?;
                self.close(out);
                self.ended = true;
                // The writer takes the whole stream for one of its own dialect, and would repeat a foreign word.
                if self.foreign {
                    stop.native.clear();
                }
                self.write(Event::Finish { choice: 0, stop }, out);
            }
            Event::End => self.write(Event::End, out),
            // A second alternative belongs to nothing that has been told.
            _ => {}
        }
        Ok(())
    }

    /// A block of the new answer begins. Words go on with the words that have been told; thoughts are told
    /// only where nothing has been.
    fn start(&mut self, block: u32, start: BlockStart, out: &mut Vec<u8>) -> Result<(), Fault> {
        let fate = match start {
            BlockStart::Text => Fate::Words,
            BlockStart::Reasoning if self.told.begun => Fate::LeftOut,
            start => {
                self.all_repeated()?;
                self.close(out);
                Fate::Told(self.begin(start, out))
            }
        };
        self.block = Some((block, fate));
        Ok(())
    }

    fn begin(&mut self, start: BlockStart, out: &mut Vec<u8>) -> u32 {
        let block = self.told.blocks;
        self.told.begin(block, matches!(start, BlockStart::Text));
        self.write(Event::BlockStart { choice: 0, block, start }, out);
        block
    }

    fn delta(&mut self, block: u32, delta: Delta, out: &mut Vec<u8>) -> Result<(), Fault> {
        let fate = self.block.filter(|(own, _)| *own == block).map(|(_, fate)| fate);
        match (fate, delta) {
            (Some(Fate::Told(block)), delta) => self.write(Event::Delta { choice: 0, block, delta }, out),
            (Some(Fate::Words), Delta::Text(text)) => {
                let new = self.new_words(&text)?;
                if !new.is_empty() {
                    let block = self.words(out);
                    let delta = Delta::Text(new.to_owned());
                    self.write(Event::Delta { choice: 0, block, delta }, out);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The part of `text` that has not been told.
    fn new_words<'t>(&mut self, text: &'t str) -> Result<&'t str, Fault> {
        let rest = self.told.words.as_bytes().get(self.repeated..).unwrap_or_default();
        let same = rest.iter().zip(text.as_bytes()).take_while(|(old, new)| old == new).count();
        if same < rest.len().min(text.len()) {
            return Err(differs());
        }
        self.repeated += same;
        Ok(text.get(same..).unwrap_or_default())
    }

    /// The block of words that is open, or a new one.
    fn words(&mut self, out: &mut Vec<u8>) -> u32 {
        match self.told.open {
            Some((block, true)) => block,
            _ => {
                self.close(out);
                self.begin(BlockStart::Text, out)
            }
        }
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if let Some((_, Fate::Told(_))) = self.block.take() {
            self.close(out);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((block, _)) = self.told.open.take() {
            self.write(Event::BlockStop { choice: 0, block }, out);
        }
    }

    fn all_repeated(&self) -> Result<(), Fault> {
        if self.repeated == self.told.words.len() { Ok(()) } else { Err(differs()) }
    }

    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        self.told.writer.write(&event, out, &mut self.losses);
    }
}

fn differs() -> Fault {
    let message = "the provider's answer broke off, and the next provider's answer begins with other words";
    Fault::new(FaultKind::UpstreamTruncated, message)
}
