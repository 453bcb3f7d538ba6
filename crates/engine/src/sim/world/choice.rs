//! Whether the right target is chosen, by a reading of the strategies of its own.

use super::{Gate, One, Rule, World, health::At, known, make::Stage, story::rule};
use crate::{ledger::Turn, plan::Aim, tiers::Strategy};

impl World<'_> {
    /// The target that was chosen is one that may be.
    pub(super) fn is_best(&self, one: &One, stage: &Stage, open: &[usize], turn: Turn) -> Rule {
        let asks = one.exchange.asks();
        rule(asks.left.contains(&turn.aim), "what is asked is left")?;
        let Some(first) = open.first() else { return Ok(()) };
        rule(open.contains(&turn.aim), "nobody is asked who rests while another does not")?;
        let asked = self.gate(stage, &asks.aims[turn.aim]);
        let well = |aim: &usize| self.is_well(stage, &asks.aims[*aim]);
        rule(asked != Gate::Open || !asks.left.iter().any(well), "nobody is asked whose breaker is open")?;
        let tier = asks.shape.and_then(|shape| shape.tier(*first));
        let Some(tier) = tier.filter(|tier| tier.strategy.is_live()) else {
            return rule(turn.aim == *first, "the first is asked that is open");
        };
        rule(tier.aims.contains(&turn.aim), "the first tier is asked that is open")?;
        let busy = |aim: &usize| {
            let aim = &asks.aims[*aim];
            let source = stage.sources[aim.provider];
            (u64::from(self.health.under_way(source, known(&aim.model))) + 1) * 60 / u64::from(aim.weight())
        };
        let least = open.iter().filter(|aim| tier.aims.contains(aim)).map(busy).min();
        rule(
            tier.strategy != Strategy::LeastBusy || least == Some(busy(&turn.aim)),
            "the least busy is asked",
        )
    }

    pub(super) fn gate(&self, stage: &Stage, aim: &Aim) -> Gate {
        self.ledger.breaker(&stage.plan.providers[aim.provider].name, &aim.model)
    }

    /// Its breaker is closed, and one of its keys does not rest.
    fn is_well(&self, stage: &Stage, aim: &Aim) -> bool {
        let source = stage.sources[aim.provider];
        let at = At { source, model: known(&aim.model), key: 0, now: self.now };
        self.gate(stage, aim) == Gate::Closed && self.health.has_key(at, self.setup.sources[source].keys)
    }
}
