//! An exchange that is only looked at: nothing is asked of anybody.

use super::{Exchange, Inbound, Task, Upstream, render};
use crate::{
    fit::Needs,
    ledger::Turn,
    plan::{Aim, PlanHandle},
    provider::Operation,
    tiers::Shape,
};
use dialect::{DialectId, Fault, FaultKind, Losses, splice::Outline};

/// One exchange before it begins.
pub(crate) struct Preview(Exchange);

impl Preview {
    /// A request to generate.
    pub(crate) fn new(plan: PlanHandle, dialect: DialectId, inbound: Inbound) -> Result<Preview, Fault> {
        let outline = Outline::read(&inbound.body, &[])?;
        let (call, route) = render::read_call(&plan, dialect, Operation::Generate, &inbound, outline)?;
        let mut exchange = Exchange::new(plan, inbound, Task::Call(Box::new(call)), route);
        exchange.arrange();
        exchange.pass_over();
        Ok(Preview(exchange))
    }

    /// Its targets.
    pub(crate) fn aims(&self) -> &[Aim] {
        &self.0.aims
    }

    /// How they hang together.
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.0.shape.as_deref()
    }

    /// It is part of a conversation, which chooses its targets.
    pub(crate) fn sticks(&self) -> bool {
        self.0.sticks
    }

    /// The targets that may be asked, those that are there for certain faults behind the others.
    pub(crate) fn order(&self) -> Vec<usize> {
        self.0.left.iter().chain(&self.0.spare).copied().collect()
    }

    /// What the request needs, and how long an answer it wants at most.
    pub(crate) fn needs(&mut self) -> Result<(Needs, Option<u64>), Fault> {
        let Task::Call(call) = &mut self.0.task else {
            return Err(Fault::new(FaultKind::Internal, "no call"));
        };
        let request = render::canonical(call, &self.0.inbound.body)?;
        Ok((Needs::of(request), request.limit))
    }

    /// What a target would be asked, and what that loses. The headers hold its key.
    pub(crate) fn render(&mut self, aim: usize) -> Result<(Upstream, Losses), Fault> {
        self.0.render(Turn { aim, key: 0, keys_left: false, patience: None, hedge: false }, None)
    }

    /// The dialect in which a target is asked.
    pub(crate) fn dialect_of(&self, aim: usize) -> DialectId {
        self.0.dialect_of(aim)
    }

    /// The request would be written anew for a target.
    pub(crate) fn translates(&self, aim: usize) -> bool {
        let Task::Call(call) = &self.0.task else { return false };
        let spoken = self.0.dialect_of(aim);
        let takes = |aim: &Aim| {
            let provider = self.0.plan.providers.get(aim.provider);
            provider.is_some_and(|own| render::target(own, aim, None).takes(&self.0.inbound.body, spoken))
        };
        spoken != call.dialect || !self.0.aims.get(aim).is_some_and(takes)
    }
}
