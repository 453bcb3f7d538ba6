//! Answers that are not finished yet: where they go on is asked, within the same attempt, until they are.
//!
//! What was begun at the provider is left to itself when the caller leaves: it ends by itself, and costs what it
//! costs.

#[cfg(test)]
mod tests;

use super::{Exchange, Live, Order, Phase, Task, render};
use crate::{
    limits::{FOLLOW_PAUSE, FOLLOW_PAUSE_MAX, FOLLOWS_MAX},
    plan::Provider,
    time::{Instant, Span},
};
use dialect::{Dialect, Fault, FaultKind, Follow};
use http::{Uri, uri::Scheme};

/// What is asked next of an answer.
#[derive(Clone)]
pub(super) struct Next {
    uri: Uri,
    /// It comes as a stream.
    events: bool,
}

impl Exchange {
    /// Where an answer goes on that has come to its end and is not finished.
    ///
    /// # Errors
    /// [`FaultKind::UpstreamInvalid`] where that is a host which the provider's row does not name: the address
    /// comes out of a body, and our key would go with it.
    pub(super) fn next(&self, live: &Live) -> Result<Option<Next>, Fault> {
        let (Task::Call(call), Phase::Answering(answering)) = (&self.task, &live.phase) else {
            return Ok(None);
        };
        let Some(body) = answering.way.pipe.gathered() else { return Ok(None) };
        let dialect = self.dialect_of(live.turn.aim).dialect();
        let Some(first) = dialect.next_step(body, call.stream) else { return Ok(None) };
        let strange = || {
            let what = "the provider's answer goes on at an address that is not known to be its own";
            Fault::new(FaultKind::UpstreamInvalid, what)
        };
        let provider = self.provider(live.turn.aim).ok_or_else(strange)?;
        let next = allowed(provider, &first).or_else(|| allowed(provider, &polled(dialect, body)?));
        next.map(Some).ok_or_else(strange)
    }

    /// Goes on with an answer: a stream is asked for at once, the rest after a pause that grows.
    pub(super) fn follow(&mut self, mut live: Live, next: Next, now: Instant) {
        live.followed += 1;
        if live.followed > FOLLOWS_MAX {
            let what = "the provider did not finish its answer in time";
            return self.failed(live, Fault::new(FaultKind::UpstreamTimeout, what), now);
        }
        if next.events && live.followed == 1 {
            return self.resend(live, &next, now);
        }
        live.phase = Phase::Pausing { until: now.after(pause(live.followed)), next };
        self.live.push(live);
    }

    /// Asks where the answer goes on.
    pub(super) fn resend(&mut self, mut live: Live, next: &Next, now: Instant) {
        let missing = || Fault::new(FaultKind::Internal, "the plan does not hold its own target");
        let target = self.aims.get(live.turn.aim).zip(self.provider(live.turn.aim)).ok_or_else(missing);
        let request = target.and_then(|(aim, provider)| {
            render::follow(provider, aim, (next.uri.clone(), next.events), live.turn.key)
        });
        match request {
            Ok(upstream) => {
                self.orders.push_back(Order::Send(live.attempt, Box::new(upstream)));
                live.phase = Phase::Asked { until: now.after(self.plan.timeouts.first_byte) };
                self.live.push(live);
            }
            Err(fault) => self.failed(live, fault, now),
        }
    }
}

/// The way without a stream.
fn polled(dialect: &dyn Dialect, body: &[u8]) -> Option<Follow> {
    dialect.next_step(body, false)
}

/// The address, if it may be asked.
fn allowed(provider: &Provider, follow: &Follow) -> Option<Next> {
    let (url, events) = match follow {
        Follow::Stream(url) => (url, true),
        Follow::Poll(url) => (url, false),
    };
    let uri: Uri = url.parse().ok()?;
    is_own(provider, &uri).then_some(Next { uri, events })
}

/// The address is below the provider's own host, or over TLS at one that its row names.
fn is_own(provider: &Provider, uri: &Uri) -> bool {
    let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else {
        return false;
    };
    let base = provider.base.parse::<Uri>().ok();
    if base.is_some_and(|base| base.scheme() == uri.scheme() && base.authority() == uri.authority()) {
        return true;
    }
    let host = authority.host().to_ascii_lowercase();
    let is = |name: &&str| match name.strip_prefix('*') {
        Some(tail) => host.strip_suffix(tail).is_some_and(|front| !front.is_empty()),
        None => host == *name,
    };
    let tls = uri.scheme() == Some(&Scheme::HTTPS) && matches!(uri.port_u16(), None | Some(443));
    tls && provider.hosts.iter().any(is)
}

fn pause(count: u32) -> Span {
    Span(FOLLOW_PAUSE.0.saturating_mul(1 << count.saturating_sub(1).min(16)).min(FOLLOW_PAUSE_MAX.0))
}
