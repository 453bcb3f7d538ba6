//! Which of several targets are asked at all.

use super::{Exchange, Task, render};
use crate::{
    fit::{self, Needs},
    models::Facts,
    plan::Aim,
    provider::Operation,
    record::PassedOver,
};
use std::borrow::Cow;

impl Exchange {
    /// Leaves out the targets that are known to be unable to serve the request, where another one may be able.
    /// With one target there is nothing to choose, and nothing is looked at. The body is read only if something
    /// in it speaks for what a target lacks.
    pub(super) fn pass_over(&mut self) {
        if self.aims.len() < 2 {
            return;
        }
        let Task::Call(call) = &mut self.task else { return };
        if call.operation != Operation::Generate || call.relayed.is_some() {
            return;
        }
        let provider = |index: usize| self.plan.providers.get(index);
        let facts = |aim: &Aim| provider(aim.provider).map(|p| p.facts(&aim.model)).unwrap_or_default();
        let facts: Vec<Cow<'_, Facts>> = self.aims.iter().map(facts).collect();
        if !facts.iter().any(|facts| fit::is_in_question(&self.inbound.body, facts)) {
            return;
        }
        // What is wrong with a body is said by whoever must read it.
        let Ok(request) = render::canonical(call, &self.inbound.body) else { return };
        let needs = Needs::of(request);
        let verdicts: Vec<_> = facts.iter().map(|facts| fit::fit(&needs, facts)).collect();
        // Where none is fit the first is asked all the same: facts grow old, and a refusal of the provider's
        // tells the caller more than one of ours.
        if verdicts.iter().all(Result::is_err) {
            return;
        }
        for (index, verdict) in verdicts.into_iter().enumerate() {
            if let (Err(why), Some(aim)) = (verdict, self.aims.get(index)) {
                let provider = provider(aim.provider).map_or(String::new(), |p| p.name.clone());
                self.passed_over.push(PassedOver { provider, model: aim.model.clone(), why });
                self.left.retain(|left| *left != index);
            }
        }
    }
}
