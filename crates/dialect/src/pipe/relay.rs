//! Untouched bytes, looked at from the side. An event that holds broken JSON is left out: clients would fall over
//! it, and most often what follows is whole.

use super::gauge::Gauge;
use crate::{
    Dialect, Fault, FaultKind, Glance, Seen,
    canon::Usage,
    frame::{
        Frames,
        sse::{self, Frame},
    },
    limits::METERED_BODY_MAX,
    splice,
};
use bytes::Bytes;
use std::mem;

/// A stream. Only whole events go on, so that an error event can follow at any time.
pub(super) struct Relay {
    dialect: &'static dyn Dialect,
    frames: Frames,
    glance: Box<dyn Glance>,
    /// The beginning of an event whose end has not come.
    held: Vec<u8>,
    failed: Option<Fault>,
    gauge: Gauge,
    /// An error is never passed on.
    guarded: bool,
}

impl Relay {
    pub(super) fn new(dialect: &'static dyn Dialect) -> Relay {
        let (frames, glance) = (dialect.framing().frames(), dialect.glance());
        Relay {
            dialect,
            frames,
            glance,
            held: Vec::new(),
            failed: None,
            gauge: Gauge::default(),
            guarded: false,
        }
    }

    /// From here on an error is told and not passed on.
    pub(super) fn guard(&mut self) {
        self.guarded = true;
    }

    pub(super) fn feed(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let (glance, failed, passes) = (&mut self.glance, &mut self.failed, !self.guarded);
        let (gauge, words) = (&mut self.gauge, self.dialect.words());
        let mut torn = false;
        self.frames.feed(&chunk, &mut |frame| {
            let Some(size) = text_in(&frame, words) else {
                torn = true;
                return Ok(());
            };
            look(glance.as_mut(), failed, passes, frame)?;
            gauge.add(size);
            glance.seen().usage.iter().for_each(|usage| gauge.told(usage));
            Ok(())
        })?;
        // Where an event has ended, it ended in this chunk: what was held is part of it.
        let closed = chunk.len().saturating_sub(self.frames.open());
        if closed > 0 && torn && matches!(self.frames, Frames::Sse(_)) {
            self.held.extend_from_slice(chunk.get(..closed).unwrap_or_default());
            out.push(Bytes::from(without_torn(&mem::take(&mut self.held))));
        } else if closed > 0 {
            self.flush(out);
            out.push(chunk.slice(..closed));
        }
        self.held.extend_from_slice(chunk.get(closed..).unwrap_or_default());
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        let before = self.seen().missing;
        let (glance, failed, passes) = (&mut self.glance, &mut self.failed, !self.guarded);
        let mut torn = false;
        self.frames.finish(&mut |frame| {
            torn = is_torn(&frame);
            if torn { Ok(()) } else { look(glance.as_mut(), failed, passes, frame) }
        })?;
        if !self.seen().ended && self.failed.is_none() {
            return Err(Fault::new(
                FaultKind::UpstreamTruncated,
                "the provider's stream ended before its last event",
            ));
        }
        let missing = self.seen().missing;
        if torn || !before.is_empty() && !missing.is_empty() {
            // What is held is the beginning of an event that tells nothing more.
            self.held.clear();
        } else if !missing.is_empty() {
            self.held.extend_from_slice(b"\n\n");
        }
        self.held.extend_from_slice(missing);
        self.flush(out);
        Ok(())
    }

    pub(super) fn fault(&self, fault: &Fault) -> Vec<u8> {
        self.dialect.write_stream_fault(fault)
    }

    pub(super) fn output(&self) -> u64 {
        self.gauge.tokens()
    }

    pub(super) fn failed(&self) -> Option<&Fault> {
        self.failed.as_ref()
    }

    pub(super) fn seen(&self) -> &Seen {
        self.glance.seen()
    }

    fn flush(&mut self, out: &mut Vec<Bytes>) {
        if !self.held.is_empty() {
            out.push(Bytes::from(mem::take(&mut self.held)));
        }
    }
}

/// The bytes of text in the members called `words` of an event. `None` where it is JSON that breaks off or breaks
/// its rules.
fn text_in(frame: &Frame<'_>, words: &[&str]) -> Option<usize> {
    if frame.data.first() == Some(&b'{') { splice::texts(frame.data, words) } else { Some(0) }
}

fn is_torn(frame: &Frame<'_>) -> bool {
    text_in(frame, &[]).is_none()
}

/// The events of `text`, less those that are torn.
pub(crate) fn without_torn(text: &[u8]) -> Vec<u8> {
    let mut sound = Vec::with_capacity(text.len());
    let (mut frames, mut begin) = (sse::Frames::default(), 0);
    for end in 1..=text.len() {
        let mut torn = false;
        let look = &mut |frame: Frame<'_>| {
            torn |= is_torn(&frame);
            Ok(())
        };
        // What has been read once breaks no limit the second time.
        let _ = frames.feed(text.get(end - 1..end).unwrap_or_default(), look);
        if frames.open() == 0 {
            sound.extend_from_slice(text.get(begin..end).filter(|_| !torn).unwrap_or_default());
            begin = end;
        }
    }
    let mut torn = false;
    let _ = frames.finish(&mut |frame| {
        torn = is_torn(&frame);
        Ok(())
    });
    sound.extend_from_slice(text.get(begin..).filter(|_| !torn).unwrap_or_default());
    sound
}

/// An error after content passes on unchanged and is remembered, where it `passes`; before it, another target
/// may be asked.
fn look(
    glance: &mut dyn Glance,
    failed: &mut Option<Fault>,
    passes: bool,
    frame: Frame<'_>,
) -> Result<(), Fault> {
    match glance.frame(&frame) {
        Ok(()) => Ok(()),
        Err(fault) if passes && glance.seen().content => {
            failed.get_or_insert(fault);
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

/// A whole answer. It is read for its usage when it has passed, up to [`METERED_BODY_MAX`].
pub(super) struct Meter {
    dialect: &'static dyn Dialect,
    /// Handles on what has passed; empty once it is over the limit.
    passed: Vec<Bytes>,
    size: usize,
    /// Nothing but the answer itself tells whether it is whole.
    unframed: bool,
    usage: Option<Usage>,
}

impl Meter {
    pub(super) fn new(dialect: &'static dyn Dialect, unframed: bool) -> Meter {
        Meter { dialect, passed: Vec::new(), size: 0, unframed, usage: None }
    }

    pub(super) fn feed(&mut self, chunk: &Bytes) {
        self.size = self.size.saturating_add(chunk.len());
        if self.size > METERED_BODY_MAX {
            self.passed = Vec::new();
        } else {
            self.passed.push(chunk.clone());
        }
    }

    /// An answer that tells its usage is one. Only one that does not is read whole: it may be an error that
    /// came with a 200, or no answer at all.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if self.size > METERED_BODY_MAX {
            return Ok(());
        }
        let whole = match mem::take(&mut self.passed).as_slice() {
            [whole] => whole.clone(),
            pieces => Bytes::from(pieces.concat()),
        };
        if self.unframed && !splice::is_object(&whole) {
            return Err(Fault::new(
                FaultKind::UpstreamTruncated,
                "the provider's answer ended before its end",
            ));
        }
        self.usage = self.dialect.read_usage(&whole);
        if self.usage.is_none() {
            self.dialect.read_response(&whole)?;
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }
}
