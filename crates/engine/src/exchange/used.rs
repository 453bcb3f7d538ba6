//! What an attempt used, and what that cost. A provider says so at the end of its answer. Of a stream at whose end
//! nothing was said, and of an answer that came to no end, it is estimated by what had come of it.

use super::{Exchange, Live, Phase, Task, render};
use crate::{estimate, models::Money, provider::Operation, time::Instant};
use dialect::canon::{Extra, Usage};

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With its whole answer.
    Whole,
    /// By itself, before that.
    Failed,
    /// We gave it up, and the provider may have worked for nothing.
    GivenUp,
}

/// What was used, and whether that is an estimate.
pub(super) type Used = (Option<Usage>, bool);

impl Exchange {
    /// What an attempt used that ends so.
    pub(super) fn used(&mut self, live: &Live, ending: Ending) -> Used {
        let (said, output, ended) = match &live.phase {
            Phase::Answering(answering) => {
                let pipe = &answering.way.pipe;
                (pipe.usage().cloned(), pipe.output(), pipe.ended())
            }
            _ => (None, 0, false),
        };
        let exact = ended && said.is_some();
        // Who refused or failed before he said anything has asked for nothing, as far as anybody knows.
        let worked = match ending {
            // Some tell what a stream has cost only to callers who ask.
            Ending::Whole => self.left_by_caller || output > 0,
            Ending::Failed => output > 0 || said.is_some(),
            Ending::GivenUp => !matches!(live.phase, Phase::Refused { .. } | Phase::Socket { .. }),
        };
        if exact || !worked {
            return (said, false);
        }
        let Some(prompt) = self.prompt() else { return (said, false) };
        let mut usage = Usage { native: Extra::NONE, ..said.unwrap_or_default() };
        // Some begin with a usage that says nothing yet.
        if usage.all_input() == 0 {
            usage.input = prompt;
        }
        usage.output = usage.output.saturating_add(output.saturating_sub(usage.all_output()));
        (Some(usage), true)
    }

    /// Tokens of the prompt, about, where a model answers it.
    fn prompt(&mut self) -> Option<u64> {
        let Task::Call(call) = &mut self.task else { return None };
        if call.operation != Operation::Generate || call.relayed.is_some() {
            return None;
        }
        let read = render::canonical(call, &self.inbound.body).map(estimate::prompt);
        Some(read.unwrap_or_else(|_| estimate::most(self.inbound.body.len())))
    }

    /// An attempt is not under way any more: what is known of it is kept.
    pub(super) fn close(&mut self, live: &Live, (usage, estimated): Used, now: Instant) {
        let cost = usage.as_ref().and_then(|usage| self.cost(live.turn.aim, usage));
        if let Some(trial) = self.trial_of(live) {
            (trial.usage, trial.estimated, trial.cost) = (usage, estimated, cost);
            trial.took = now.since(live.asked);
        }
    }

    /// What a target wants for so much.
    fn cost(&self, aim: usize, usage: &Usage) -> Option<Money> {
        let model = self.aims.get(aim).map(|aim| aim.model.as_str()).filter(|model| !model.is_empty())?;
        self.provider(aim)?.cost(model, usage)
    }
}
