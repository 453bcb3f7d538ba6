//! What all exchanges share: commands in, answers out. A plain struct behind the door's lock, or in a
//! Durable Object.

use crate::{access::Caller, limits, record::Record};
use dialect::{Fault, FaultKind};

/// What an exchange asks of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// May this caller be served?
    Admit(Caller),
    /// Which key of this provider is next? One step a request to the provider.
    NextKey {
        /// Index into [`crate::plan::Plan::providers`].
        provider: usize,
        /// How many keys it has.
        keys: usize,
    },
}

/// What the ledger answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// He may; it will be settled with [`Ledger::settle`], once.
    Admitted,
    /// He may not, and there is nothing to settle.
    Refused(Fault),
    /// This key.
    Key(usize),
}

/// Keys' turns and what is in flight.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Per provider, the key whose turn it is.
    turns: Vec<usize>,
    in_flight: usize,
    settled: u64,
}

impl Ledger {
    /// Obeys a command.
    pub fn apply(&mut self, command: Command) -> Answer {
        match command {
            Command::Admit(_) if self.in_flight >= limits::IN_FLIGHT_MAX => {
                let fault = Fault::new(FaultKind::Unavailable, "too many requests are being served");
                Answer::Refused(Fault { retry_after_ms: Some(1_000), ..fault })
            }
            Command::Admit(_) => {
                self.in_flight += 1;
                Answer::Admitted
            }
            Command::NextKey { provider, keys } => Answer::Key(self.turn(provider, keys)),
        }
    }

    /// Settles what was admitted.
    pub fn settle(&mut self, _record: &Record) {
        debug_assert!(self.in_flight > 0, "every settlement has its admission");
        self.in_flight = self.in_flight.saturating_sub(1);
        self.settled += 1;
    }

    /// Settles what was admitted and then lost to a defect of ours, of which there is no record.
    pub fn abandon(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many requests are being served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many have been settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// The turn's key, and the turn goes on. Where keys have been removed meanwhile it begins anew.
    fn turn(&mut self, provider: usize, keys: usize) -> usize {
        if self.turns.len() <= provider {
            self.turns.resize(provider + 1, 0);
        }
        let Some(turn) = self.turns.get_mut(provider) else { return 0 };
        let key = if *turn < keys { *turn } else { 0 };
        *turn = key + 1;
        key
    }
}
