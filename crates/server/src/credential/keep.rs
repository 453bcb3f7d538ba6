//! What is known of one provider's credentials, and what to do next. Times are Unix seconds.

#[cfg(test)]
mod tests;

use super::Credential;
use crate::limits::{CREDENTIAL_AHEAD, CREDENTIAL_MARGIN, CREDENTIAL_PAUSE, CREDENTIAL_REFUSAL};
use std::sync::Arc;

/// Credentials as they were given out.
pub(super) struct Grant {
    pub(super) credential: Credential,
    /// When they end, if they do.
    pub(super) expires: Option<u64>,
}

/// What is known.
#[derive(Default)]
pub(super) struct State {
    kept: Option<Kept>,
    fetching: bool,
    /// When the last fetch failed, if it did.
    failed: Option<u64>,
}

struct Kept {
    credential: Arc<Credential>,
    fetched: u64,
    expires: Option<u64>,
}

/// What to do. After [`Next::Fetch`] and [`Next::Renew`] a fetch is under way.
pub(super) enum Next {
    /// These are good.
    Use(Arc<Credential>),
    /// These are good for a while; fetch others.
    Renew(Arc<Credential>),
    /// Fetch, and wait for the outcome.
    Fetch,
    /// Somebody fetches: wait for the outcome.
    Wait,
    /// There were none a moment ago.
    Refuse,
}

impl State {
    pub(super) fn next(&mut self, now: u64) -> Next {
        let failed = self.failed.is_some_and(|at| now < at + CREDENTIAL_REFUSAL);
        let rest = self.fetching || failed;
        let next = match &self.kept {
            Some(kept) if kept.is_good(now) => match rest || !kept.is_due(now) {
                true => Next::Use(kept.credential.clone()),
                false => Next::Renew(kept.credential.clone()),
            },
            _ if self.fetching => Next::Wait,
            _ if failed => Next::Refuse,
            _ => Next::Fetch,
        };
        self.fetching |= matches!(next, Next::Renew(_) | Next::Fetch);
        next
    }

    /// A fetch has brought this, or nothing.
    pub(super) fn settle(&mut self, grant: Option<Grant>, now: u64) {
        self.fetching = false;
        self.failed = grant.is_none().then_some(now);
        if let Some(Grant { credential, expires }) = grant {
            self.kept = Some(Kept { credential: Arc::new(credential), fetched: now, expires });
        }
    }

    /// What the fetch that was waited for has brought, however short its life.
    pub(super) fn outcome(&self, now: u64) -> Option<Arc<Credential>> {
        let good = |kept: &&Kept| self.failed.is_none() || kept.is_good(now);
        self.kept.as_ref().filter(good).map(|kept| kept.credential.clone())
    }

    /// The provider has refused them.
    pub(super) fn doubt(&mut self, now: u64) {
        self.kept = self.kept.take().filter(|kept| now < kept.fetched + CREDENTIAL_PAUSE);
    }
}

impl Kept {
    fn is_good(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now + CREDENTIAL_MARGIN.min(self.life() / 10) < expires)
    }

    /// So near to their end that others should be fetched.
    fn is_due(&self, now: u64) -> bool {
        let near = |expires| now + CREDENTIAL_AHEAD.min(self.life() / 5) >= expires;
        self.expires.is_some_and(near) && now >= self.fetched + CREDENTIAL_PAUSE
    }

    /// How long they last in all, in seconds.
    fn life(&self) -> u64 {
        self.expires.map_or(0, |expires| expires.saturating_sub(self.fetched))
    }
}
