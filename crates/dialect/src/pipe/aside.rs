//! An answer of which nothing is understood but what it cost, where it says so. It passes as it comes.

use crate::{DialectId, canon::Usage, frame::sse::Frames, limits::METERED_BODY_MAX};
use bytes::Bytes;

/// Looks for a member `usage`, in a whole answer or in each event of a stream.
pub(super) struct Aside {
    form: Form,
    usage: Option<Usage>,
}

enum Form {
    /// Handles on what has passed, and its size.
    Whole(Vec<Bytes>, usize),
    Events(Frames),
    /// It is too large, or no stream of events.
    Given,
}

impl Aside {
    pub(super) fn new(streamed: bool) -> Aside {
        let form = if streamed { Form::Events(Frames::default()) } else { Form::Whole(Vec::new(), 0) };
        Aside { form, usage: None }
    }

    pub(super) fn feed(&mut self, chunk: &Bytes) {
        let usage = &mut self.usage;
        let goes_on = match &mut self.form {
            Form::Whole(passed, size) => {
                *size = size.saturating_add(chunk.len());
                passed.push(chunk.clone());
                *size <= METERED_BODY_MAX
            }
            Form::Events(frames) => frames
                .feed(chunk, &mut |frame| {
                    *usage = usage_of(frame.data).or_else(|| usage.take());
                    Ok(())
                })
                .is_ok(),
            Form::Given => true,
        };
        if !goes_on {
            self.form = Form::Given;
        }
    }

    pub(super) fn finish(&mut self) {
        if let Form::Whole(passed, _) = &self.form {
            self.usage = usage_of(&passed.concat());
            self.form = Form::Given;
        }
    }

    pub(super) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }
}

/// OpenAI counts in two ways: `prompt_tokens` and `completion_tokens` in its older operations, `input_tokens`
/// and `output_tokens` in its newer ones, pictures and transcriptions among them.
fn usage_of(body: &[u8]) -> Option<Usage> {
    memchr::memmem::find(body, b"\"usage\"")?;
    let ways = [DialectId::OpenaiChat, DialectId::OpenaiResponses].into_iter();
    let counted = |usage: &Usage| usage.all_input() + usage.all_output() > 0;
    ways.filter_map(|way| way.dialect().read_usage(body)).find(counted)
}
