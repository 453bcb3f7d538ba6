//! What an exchange sends to a provider.

use super::plan;
use crate::{
    access::Caller,
    exchange::{Exchange, Inbound, Order, Report, Upstream},
    ledger::Ledger,
    path::KeyChoice,
    plan::Plan,
    provider::Operation,
    record::Record,
    time::Instant,
};
use bytes::Bytes;
use dialect::DialectId;
use http::{HeaderMap, Method};
use std::{rc::Rc, sync::Arc};

/// The body that the first provider gets of a caller's.
fn sent(caller: DialectId, body: &str) -> String {
    let plan = plan(&[("ANTHROPIC_API_KEY", "KEY"), ("OPENAI_API_KEY", "KEY")], "");
    let (upstream, _) = exchange(plan, caller, body);
    String::from_utf8(upstream.body.concat()).unwrap()
}

/// What the first provider is sent of a caller's body, and the record when the caller then leaves.
pub(super) fn exchange(plan: Plan, caller: DialectId, body: &str) -> (Upstream, Record) {
    let inbound = Inbound {
        id: "req-1".to_owned(),
        caller: Caller(None),
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        more: false,
        field: None,
        named: None,
        key: KeyChoice::Next,
        roll: 0,
        arrived: Instant::default(),
    };
    let mut exchange = Exchange::call(Rc::new(Arc::new(plan)), caller, Operation::Generate, inbound);
    let (mut ledger, now) = (Ledger::default(), Instant::default());
    let mut sent = None;
    while let Some(order) = exchange.order() {
        match order {
            Order::Ask(command) => {
                let answer = ledger.apply(&exchange.asks(), command, now);
                exchange.report(Report::Answer(answer), now);
            }
            Order::Send(_, upstream) => {
                sent = Some(*upstream);
                exchange.report(Report::ClientGone, Instant::default());
            }
            Order::Done(record) => {
                let sent = sent.unwrap_or_else(|| panic!("nothing was sent: {:?}", record.outcome));
                return (sent, *record);
            }
            _ => {}
        }
    }
    panic!("nothing was sent")
}

#[test]
fn a_body_of_the_same_dialect_passes_untouched_but_for_its_model() {
    let body = r#"{ "x_new" : 1.0, "model":"anthropic/a" ,"max_tokens":5,"messages":[{"role":"user","content":"C++"}]}"#;
    assert_eq!(sent(DialectId::Anthropic, body), body.replace("anthropic/a", "a"));
}

#[test]
fn a_body_that_its_provider_would_refuse_is_written_anew() {
    let body = r#"{"model":"anthropic/a","max_tokens":5,"messages":[{"role":"user","content":"why"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"tool_use","id":"f:0","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"f:0","content":"so"}]}]}"#;
    let sent = sent(DialectId::Anthropic, body);
    assert!(!sent.contains("hm") && !sent.contains("f:0") && sent.matches("f_0").count() == 2, "{sent}");
}

#[test]
fn a_seal_of_another_issuer_is_taken_out_before_a_body_passes() {
    let thought = r#"{"type":"thinking","thinking":"hm","signature":"gemini++c2VhbA=="},"#;
    let with = |thought: &str| {
        format!(
            r#"{{"model":"anthropic/a","max_tokens":5,"messages":[{{"role":"user","content":"why"}},{{"role":"assistant","content":[{thought}{{"type":"text","text":"so"}}]}},{{"role":"user","content":"and"}}]}}"#
        )
    };
    let sent = sent(DialectId::Anthropic, &with(thought));
    assert!(!sent.contains("gemini") && sent.contains(r#""so""#), "{sent}");
}
