//! Requests come: who asks what, and when.

use super::{
    One, Rule, What, World,
    make::Setup,
    story::{Story, rule},
    wire::SIZES,
};
use crate::{
    access::Caller,
    exchange::{Exchange, Inbound, Named},
    path::KeyChoice,
    provider::Operation,
    rates,
    sim::chance::Chance,
    tiers::mix,
    time::{Instant, Span},
};
use dialect::DialectId;
use http::{HeaderMap, HeaderValue, Method};

/// When requests arrive, in order of their numbers.
pub(super) struct Arrivals {
    chance: Chance,
    gap: Span,
    next: u64,
    at: Instant,
}

impl Arrivals {
    pub(super) fn new(setup: &Setup) -> Arrivals {
        Arrivals { chance: Chance::new(!setup.seed), gap: setup.traffic.gap, next: 0, at: Instant(1) }
    }

    pub(super) fn at(&mut self, number: u64) -> Instant {
        while self.next <= number {
            self.at = self.at.after(Span(self.chance.below(self.gap.0 * 2)));
            self.next += 1;
        }
        self.at
    }
}

impl World<'_> {
    /// A request comes.
    pub(super) fn arrive(&mut self, number: u64) -> Rule {
        let setup = self.setup;
        let now = self.now;
        let stage = setup.stages.iter().rposition(|stage| stage.from <= now).unwrap_or_default();
        let mut chance = Chance::new(mix(setup.seed ^ mix(number + 1)));
        let caller = *chance.pick(&setup.traffic.dialects);
        let stream = chance.percent(setup.traffic.streams);
        let size = usize::try_from(chance.below(SIZES.len() as u64)).unwrap();
        let names = &setup.stages[stage].names;
        // The operator's names are most of the traffic.
        let most = if chance.percent(85) { 2 } else { names.len() as u64 };
        let name = usize::try_from(chance.below(most)).unwrap();
        let model = &names[name].name;
        let names_model = caller.dialect().paths().names_model();
        let list = stream && caller == DialectId::Gemini && number.is_multiple_of(2);
        let session = chance.percent(setup.traffic.sessions).then(|| chance.below(4));
        let inbound = Inbound {
            id: String::from("req-1"),
            caller: Caller(Some(usize::try_from(chance.below(setup.traffic.callers as u64)).unwrap())),
            method: Method::POST,
            headers: session.map(session_header).unwrap_or_default(),
            body: self.wire.request(caller, model, stream, size),
            more: false,
            field: None,
            named: names_model.then(|| Named { model: model.clone(), stream, list }),
            key: if chance.percent(3) { KeyChoice::One(1) } else { KeyChoice::Next },
            roll: mix(setup.seed ^ mix(number)),
            arrived: now,
        };
        let (ticket, whose) = (inbound.roll, inbound.caller);
        let plan = setup.stages[stage].plan.clone();
        let counted = plan.rates.rules.iter().any(|rule| rule.tpm.is_some());
        let tokens = if counted { rates::tokens(&inbound.body) } else { 0 };
        let exchange = Exchange::call(plan, caller, Operation::Generate, inbound);
        let mirror = exchange.mirror();
        if let Some(session) = session.filter(|_| names[name].sticks) {
            let left = exchange.asks().left.to_vec();
            let known = self.sessions.entry((stage, name, session)).or_insert_with(|| left.clone());
            rule(*known == left, "a conversation keeps its targets")?;
        }
        self.tally.requests += 1;
        self.tally.reloaded += u64::from(stage > 0);
        let story = Story::new(caller, stream, (stage, Some(name)), now);
        let leaves =
            chance.percent(setup.traffic.leaves).then(|| now.after(Span::millis(chance.below(4_000))));
        let mirrored = Story::new(caller, stream, (stage, None), now);
        let one = One::new(exchange, (ticket, whose), (model.clone(), tokens), story);
        let place = self.settle_down(one, leaves);
        self.obey(place)?;
        if let Some(exchange) = mirror {
            self.tally.mirrored += 1;
            let one = One::new(exchange, (!ticket, Caller(None)), (model.clone(), tokens), mirrored);
            let place = self.settle_down(one, None);
            self.obey(place)?;
        }
        Ok(())
    }

    fn settle_down(&mut self, one: One, leaves: Option<Instant>) -> usize {
        let ticket = one.ticket;
        let place = self.free.pop().unwrap_or_else(|| {
            self.ones.push(None);
            self.ones.len() - 1
        });
        self.ones[place] = Some(Box::new(one));
        self.tickets.insert(ticket, place);
        if let Some(leaves) = leaves {
            self.put(leaves, place, ticket, What::Leaves);
        }
        if let Some(shut) = self.setup.traffic.shut {
            self.put(shut.max(self.now), place, ticket, What::Shuts);
        }
        place
    }
}

fn session_header(session: u64) -> HeaderMap {
    const NAMES: [&str; 4] = ["one", "two", "three", "four"];
    let name = NAMES[usize::try_from(session).unwrap()];
    HeaderMap::from_iter([(http::HeaderName::from_static("x-session-id"), HeaderValue::from_static(name))])
}
