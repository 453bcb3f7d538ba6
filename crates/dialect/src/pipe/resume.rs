//! An answer that broke off is gone on with by another provider.
//!
//! What the caller has been sent is read again as he reads it, and told to a fresh writer, which then stands
//! where the first one stood. There are two ways on. Where the provider was asked the same request, the new
//! answer is compared with the words that have been sent: where it repeats them they are dropped, and what comes
//! behind goes out. Where the provider was given the words as the beginning of its own answer, what it says comes
//! behind them as it is; but an answer that begins like what has been sent has begun anew, and joining it would
//! say things twice. Where neither holds, nothing honest can be joined, and that is a fault. A tool call of which
//! anything has been sent is never gone on with.

use super::gauge::Gauge;
use crate::{
    Dialect, DialectId, Fault, FaultKind, Losses, Reader, Sink, Writer,
    canon::{BlockStart, Delta, Event, Extra, Request, Usage, unfold},
    limits::{ANSWER_MAX, BEGUN_ANEW},
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
    /// Words in one block are all that has been told.
    plain: bool,
    given: Option<Given>,
}

/// The provider has been given what was told as the beginning of its answer.
#[derive(Clone, Copy)]
struct Given {
    /// About how many tokens that has: the provider counts them as a part of the prompt.
    tokens: u64,
    /// The provider says it again before it goes on.
    echoed: bool,
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
            plain: true,
            given: None,
        };
        let (mut told, mut losses) = (Vec::new(), Losses::new());
        for event in sink.events {
            resume.replay(&event)?;
            resume.writer.write(&event, &mut told, &mut losses);
        }
        Some(resume)
    }

    /// What a provider can be given as the beginning of its answer: all that has been told, where that is words
    /// in one block and no thoughts, which the words would hang on. White space at the end is left out: some
    /// providers refuse it (<https://docs.claude.com/en/docs/prefill-claudes-response>), and the templates of
    /// others cut it off, so the provider must say it again.
    #[must_use]
    pub fn prefill(&self) -> Option<&str> {
        Some(self.words.trim_end()).filter(|words| self.plain && !words.is_empty())
    }

    /// The same for a provider that has been given [`Resume::prefill`], which has about so many tokens; it may be
    /// one that says it again (`echoed`).
    #[must_use]
    pub fn given(self, tokens: u64, echoed: bool) -> Resume {
        Resume { given: Some(Given { tokens, echoed }), ..self }
    }

    /// The provider goes on where the beginning ends that it has been given.
    fn goes_on(&self) -> bool {
        self.given.is_some_and(|given| !given.echoed)
    }

    /// The usage of the whole answer: what the provider was given of it counts as written, not as read.
    fn usage(&self, usage: Usage) -> Usage {
        let Some(given) = self.given else { return usage };
        let moved = given.tokens.min(usage.input);
        let output = usage.output.saturating_add(moved);
        Usage { input: usage.input - moved, output, native: Extra::NONE, ..usage }
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
            Event::Delta { choice: 0, delta: Delta::Seal(_), .. } => self.plain = false,
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
        self.plain &= words && block == 0;
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
    /// How many bytes of the words that have been told have come again, or need not.
    repeated: usize,
    /// What has come as long as it may be a beginning anew, where the answer must go on.
    doubtful: Option<String>,
    /// The answer is no part of what has been told.
    strayed: bool,
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
        let goes_on = told.goes_on();
        let given = if goes_on { told.prefill().map_or(0, str::len) } else { 0 };
        Resumed {
            provider,
            foreign,
            source,
            told,
            repeated: given,
            doubtful: goes_on.then(String::new),
            strayed: false,
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

    pub(super) fn strayed(&self) -> bool {
        self.strayed
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
                let whole = self.told.usage(usage);
                self.write(Event::Usage(whole), out);
            }
            Event::BlockStart { choice: 0, block, start } => self.start(block, start, out)?,
            Event::Delta { choice: 0, block, delta } => self.delta(block, delta, out)?,
            Event::BlockStop { choice: 0, .. } => self.stop(out),
            Event::Finish { choice: 0, mut stop } => {
                self.all_repeated(out)?;
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
                self.all_repeated(out)?;
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
                if let Some(text) = self.beyond_doubt(text)? {
                    self.go_on(&text, out)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What has come, once it is plain that it does not begin the answer anew. As long as it may, it is kept.
    fn beyond_doubt(&mut self, text: String) -> Result<Option<String>, Fault> {
        let Some(kept) = &mut self.doubtful else { return Ok(Some(text)) };
        kept.push_str(&text);
        let told = self.told.words.as_bytes();
        let same = told.iter().zip(kept.as_bytes()).take_while(|(old, new)| old == new).count();
        if same >= BEGUN_ANEW.min(self.told.words.trim_end().len()) {
            return Err(self.stray("began anew"));
        }
        Ok(if same < kept.len() { self.doubtful.take() } else { None })
    }

    /// Tells what of `text` has not been told.
    fn go_on(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let rest = self.told.words.as_bytes().get(self.repeated..).unwrap_or_default();
        let same = rest.iter().zip(text.as_bytes()).take_while(|(old, new)| old == new).count();
        if same < rest.len().min(text.len()) {
            return Err(self.differs());
        }
        self.repeated += same;
        let new = text.get(same..).unwrap_or_default();
        if !new.is_empty() {
            let block = self.words(out);
            self.write(Event::Delta { choice: 0, block, delta: Delta::Text(new.to_owned()) }, out);
        }
        Ok(())
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

    /// No more words come: what was kept is no beginning anew, and all that has been told must have come again.
    fn all_repeated(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(kept) = self.doubtful.take() {
            self.go_on(&kept, out)?;
        }
        if self.repeated == self.told.words.len() { Ok(()) } else { Err(self.differs()) }
    }

    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        self.told.writer.write(&event, out, &mut self.losses);
    }

    fn differs(&mut self) -> Fault {
        let what = if self.told.goes_on() { "goes on" } else { "begins" };
        self.stray(&format!("{what} with other words"))
    }

    fn stray(&mut self, how: &str) -> Fault {
        self.strayed = true;
        let message = format!("the provider's answer broke off, and the next provider's answer {how}");
        Fault::new(FaultKind::UpstreamTruncated, message)
    }
}
