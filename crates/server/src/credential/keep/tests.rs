//! The life of credentials, by a clock that is turned by hand.

use super::{Credential, Grant, Next, State};
use crate::limits::{CREDENTIAL_AHEAD, CREDENTIAL_MARGIN, CREDENTIAL_PAUSE, CREDENTIAL_REFUSAL};
use http::HeaderValue;
use std::sync::Arc;

const START: u64 = 1_000_000;

fn grant(token: &'static str, expires: Option<u64>) -> Option<Grant> {
    Some(Grant { credential: Credential::Bearer(HeaderValue::from_static(token)), expires })
}

fn token(credential: &Arc<Credential>) -> String {
    match &**credential {
        Credential::Bearer(value) => value.to_str().expect("text").to_owned(),
        Credential::Aws(_) => "an access key".to_owned(),
    }
}

/// What is done next, in a word.
fn next(state: &mut State, now: u64) -> String {
    match state.next(now) {
        Next::Use(credential) => format!("use {}", token(&credential)),
        Next::Renew(credential) => format!("renew {}", token(&credential)),
        Next::Fetch => "fetch".to_owned(),
        Next::Wait => "wait".to_owned(),
        Next::Refuse => "refuse".to_owned(),
    }
}

fn fetched(expires: Option<u64>) -> State {
    let mut state = State::default();
    assert_eq!(next(&mut state, START), "fetch");
    state.settle(grant("a", expires), START);
    state
}

#[test]
fn one_fetches_and_the_others_wait() {
    let mut state = State::default();
    assert_eq!(next(&mut state, START), "fetch");
    assert_eq!(next(&mut state, START), "wait");
    assert_eq!(next(&mut state, START + 5), "wait");
    state.settle(grant("a", None), START + 6);
    assert_eq!(token(&state.outcome(START + 6).expect("a token")), "a");
    assert_eq!(next(&mut state, START + 6), "use a");
    assert_eq!(next(&mut state, START + 1_000_000), "use a");
}

#[test]
fn one_renews_ahead_of_the_end_while_all_go_on() {
    let end = START + 3_600;
    let mut state = fetched(Some(end));
    assert_eq!(next(&mut state, end - CREDENTIAL_AHEAD - 1), "use a");
    assert_eq!(next(&mut state, end - CREDENTIAL_AHEAD), "renew a");
    assert_eq!(next(&mut state, end - CREDENTIAL_AHEAD), "use a");
    state.settle(grant("b", Some(end + 3_600)), end - CREDENTIAL_AHEAD + 1);
    assert_eq!(next(&mut state, end), "use b");
}

#[test]
fn nothing_is_used_at_its_end() {
    let end = START + 3_600;
    let mut state = fetched(Some(end));
    state.fetching = true;
    assert_eq!(next(&mut state, end - CREDENTIAL_MARGIN - 1), "use a");
    assert_eq!(next(&mut state, end - CREDENTIAL_MARGIN), "wait");
    state.fetching = false;
    assert_eq!(next(&mut state, end - CREDENTIAL_MARGIN), "fetch");
}

#[test]
fn a_short_life_is_used_for_the_most_of_it() {
    let mut state = fetched(Some(START + 100));
    assert_eq!(next(&mut state, START + 79), "use a");
    assert_eq!(next(&mut state, START + 80), "renew a");
    assert_eq!(next(&mut state, START + 89), "use a");
    assert_eq!(next(&mut state, START + 90), "wait");
}

#[test]
fn a_token_that_was_dead_on_arrival_serves_those_who_waited_for_it() {
    let mut state = fetched(Some(START));
    assert_eq!(token(&state.outcome(START).expect("a token")), "a");
    assert_eq!(next(&mut state, START), "fetch");
}

#[test]
fn the_same_token_given_out_again_is_not_asked_for_at_once() {
    let end = START + 3_600;
    let mut state = fetched(Some(end));
    let due = end - CREDENTIAL_AHEAD;
    assert_eq!(next(&mut state, due), "renew a");
    state.settle(grant("a", Some(end)), due);
    assert_eq!(next(&mut state, due + CREDENTIAL_PAUSE - 1), "use a");
    assert_eq!(next(&mut state, due + CREDENTIAL_PAUSE), "use a", "it lives long enough as seen from here");
    assert_eq!(next(&mut state, end - 60), "renew a");
}

#[test]
fn after_a_failure_there_is_a_pause() {
    let mut state = State::default();
    assert_eq!(next(&mut state, START), "fetch");
    state.settle(None, START);
    assert!(state.outcome(START).is_none());
    assert_eq!(next(&mut state, START + CREDENTIAL_REFUSAL - 1), "refuse");
    assert_eq!(next(&mut state, START + CREDENTIAL_REFUSAL), "fetch");
}

#[test]
fn a_renewal_that_failed_takes_nothing_away() {
    let end = START + 3_600;
    let mut state = fetched(Some(end));
    let due = end - CREDENTIAL_AHEAD;
    assert_eq!(next(&mut state, due), "renew a");
    state.settle(None, due);
    assert_eq!(next(&mut state, due), "use a");
    assert_eq!(next(&mut state, due + CREDENTIAL_REFUSAL), "renew a");
    state.settle(None, end);
    assert_eq!(next(&mut state, end), "refuse");
}

#[test]
fn what_the_provider_refuses_is_fetched_anew_but_not_each_time() {
    let mut state = fetched(None);
    state.doubt(START + CREDENTIAL_PAUSE - 1);
    assert_eq!(next(&mut state, START + CREDENTIAL_PAUSE - 1), "use a");
    state.doubt(START + CREDENTIAL_PAUSE);
    assert_eq!(next(&mut state, START + CREDENTIAL_PAUSE), "fetch");
}
