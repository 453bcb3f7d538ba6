//! Which of several targets are asked at all, and in which order they may be.

use super::{Exchange, Task, render, session};
use crate::{
    fit::{self, Needs, Unfit},
    models::Facts,
    plan::Aim,
    provider::Operation,
    record::PassedOver,
    tiers::When,
};
use dialect::FaultKind;
use std::borrow::Cow;

impl Exchange {
    /// Puts the targets in the order in which they may be asked. Where one stands after the other, they are.
    pub(super) fn arrange(&mut self) {
        let Some(shape) = self.shape.clone() else { return };
        let spreads = shape.affinity && shape.tiers.iter().any(|tier| tier.strategy.spreads());
        let key = if spreads { session::key(&self.inbound.headers, &self.inbound.body) } else { None };
        self.sticks = key.is_some();
        let order = shape.order(&self.plan, &self.aims, key, self.inbound.roll);
        let always = |aim: &usize| shape.tier(*aim).is_none_or(|tier| tier.when == When::Always);
        (self.left, self.spare) = order.into_iter().partition(always);
    }

    /// Brings in the targets that are there for such a fault, before all others; whether there are any now. What
    /// a content filter refused is asked of nobody else, unless the operator wants that.
    pub(super) fn bring_in(&mut self, kind: FaultKind) -> bool {
        let Some(shape) = &self.shape else { return false };
        let is_for = |aim: &usize| shape.tier(*aim).is_some_and(|tier| tier.when.is_for(kind));
        let (mut brought, spare): (Vec<usize>, Vec<usize>) = self.spare.iter().partition(|aim| is_for(aim));
        self.spare = spare;
        // The same target may stand in both lists: it is asked once.
        let same = |one: &usize, other: &usize| match (self.aims.get(*one), self.aims.get(*other)) {
            (Some(one), Some(other)) => one.provider == other.provider && one.model == other.model,
            _ => false,
        };
        brought.retain(|aim| !self.asked.iter().any(|asked| same(asked, aim)));
        self.left.retain(|aim| !brought.iter().any(|brought| same(brought, aim)));
        let known = self.left.iter().any(is_for);
        if !known && brought.is_empty() {
            return false;
        }
        if kind == FaultKind::ContentFiltered && !self.plan.failover.content_filter {
            self.left.retain(is_for);
        }
        brought.append(&mut self.left);
        self.left = brought;
        true
    }

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
        let provider = |aim: &Aim| self.plan.providers.get(aim.provider);
        let facts = |aim: &Aim| provider(aim).map(|p| p.facts(&aim.model)).unwrap_or_default();
        let facts: Vec<Cow<'_, Facts>> = self.aims.iter().map(facts).collect();
        if !facts.iter().any(|facts| fit::is_in_question(&self.inbound.body, facts)) {
            return;
        }
        // What is wrong with a body is said by whoever must read it.
        let Ok(request) = render::canonical(call, &self.inbound.body) else { return };
        let needs = Needs::of(request);
        let unfit: Vec<Option<Unfit>> = facts.iter().map(|facts| fit::fit(&needs, facts).err()).collect();
        self.leave_out(&unfit);
    }

    /// Leaves out what is unfit. Where nothing would be left the first is asked all the same: facts grow old, and
    /// a refusal of the provider's tells the caller more than one of ours.
    fn leave_out(&mut self, unfit: &[Option<Unfit>]) {
        let why = |aim: &usize| unfit.get(*aim).copied().flatten();
        let too_long = |aim: &usize| matches!(why(aim), Some(Unfit::TooLong { .. }));
        self.spare.retain(|aim| why(aim).is_none());
        let nobody = self.left.iter().all(|aim| why(aim).is_some());
        if nobody && !(self.left.iter().all(too_long) && self.bring_in(FaultKind::ContextTooLong)) {
            return;
        }
        let (left, out): (Vec<usize>, Vec<usize>) = self.left.iter().partition(|aim| why(aim).is_none());
        self.left = left;
        for (aim, why) in out.iter().filter_map(|aim| Some((self.aims.get(*aim)?, why(aim)?))) {
            let provider = self.plan.providers.get(aim.provider);
            let provider = provider.map_or(String::new(), |provider| provider.name.clone());
            self.passed_over.push(PassedOver { provider, model: aim.model.clone(), why });
        }
    }
}
