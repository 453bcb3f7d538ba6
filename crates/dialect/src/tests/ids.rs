//! Ids of tool calls, as one API gives them and another takes them.

use crate::{
    DialectId, Target,
    canon::{IdForm, ToolIds},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn form() -> impl Strategy<Value = IdForm> {
    prop_oneof![Just(IdForm::Nine), Just(IdForm::Plain(64)), Just(IdForm::Plain(usize::MAX))]
}

/// Ids as they are seen in the field, some of them again and again.
fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", "[a-zA-Z0-9]{9}", "call_[0-9]", "[a-z.:_é -]{1,100}"]
}

proptest! {
    #[test]
    fn every_call_has_an_id_of_its_own_and_its_result_names_it(
        form in form(),
        ids in prop::collection::vec(id(), 0..20),
    ) {
        let (mut pen, mut written) = (ToolIds::new(form), BTreeSet::new());
        for id in &ids {
            let call = pen.call(id);
            prop_assert!(form.fits(&call), "{} for {}", call, id);
            prop_assert_eq!(pen.result(id), call.clone());
            prop_assert!(written.insert(call));
        }
    }

    #[test]
    fn an_id_that_fits_stays(form in form(), id in id()) {
        prop_assert!(!form.fits(&id) || ToolIds::new(form).call(&id) == id);
    }

    #[test]
    fn an_id_is_written_alike_in_every_request(form in form(), id in id()) {
        prop_assert_eq!(ToolIds::new(form).call(&id), ToolIds::new(form).result(&id));
    }
}

#[test]
fn a_body_passes_untouched_where_its_ids_fit() {
    let nine = Target { ids: IdForm::Nine, ..Target::default() };
    let plain = Target { ids: IdForm::Plain(64), ..Target::default() };
    let table = [
        (&nine, DialectId::OpenaiChat, r#"{"tool_call_id": "aB3dE6gH9"}"#, true),
        (&nine, DialectId::OpenaiChat, r#"{"tool_call_id":"call_1"}"#, false),
        (&nine, DialectId::OpenaiChat, r#"{"tool_call_id" : "aB3dE6gH9", "tool_call_id" :"x"}"#, false),
        (&nine, DialectId::OpenaiChat, r#"{"content": "\"tool_call_id\": \"call_1\""}"#, true),
        (&nine, DialectId::OpenaiChat, r#"{"tool_call_id": null}"#, true),
        (&plain, DialectId::Anthropic, r#"{"tool_use_id": "toolu_1-a"}"#, true),
        (&plain, DialectId::Anthropic, r#"{"tool_use_id": "functions.tide:0"}"#, false),
        (&Target::default(), DialectId::Anthropic, r#"{"tool_use_id": "functions.tide:0"}"#, true),
    ];
    for (target, dialect, body, passes) in table {
        assert_eq!(target.takes(body.as_bytes(), dialect), passes, "{body}");
    }
}

#[test]
fn a_body_with_thoughts_that_no_one_sealed_is_not_for_who_wants_seals() {
    let sealed_only = Target { sealed_only: true, ..Target::default() };
    for (body, passes) in [
        (r#"{"thinking": "a", "signature": ""}"#, false),
        (r#"{"thinking": "a", "signature" :"" }"#, false),
        (r#"{"thinking": "a", "signature": "QQ=="}"#, true),
        (r#"{"text": "\"signature\": \"\""}"#, true),
    ] {
        assert_eq!(sealed_only.takes(body.as_bytes(), DialectId::Anthropic), passes, "{body}");
        assert!(Target::default().takes(body.as_bytes(), DialectId::Anthropic), "{body}");
    }
}
