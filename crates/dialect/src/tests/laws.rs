//! What holds for every dialect and any bytes.

use super::case::{self, Case};
use crate::{
    DialectId, Fault, FaultKind,
    canon::{Block, Choice, Extra, Kind, Message, Stop, StopReason, Usage},
    laws::{self, Broken},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::sync::LazyLock;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(case::all);

/// Whoever may have answered.
fn providers() -> impl Strategy<Value = DialectId> {
    prop::sample::select(DialectId::ALL)
}

/// Whoever may be answered.
fn callers() -> impl Strategy<Value = DialectId> {
    prop::sample::select(DialectId::callers().collect::<Vec<_>>())
}

/// Cuts `bytes` at these places.
fn split<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for cut in cuts {
        pieces.push(&bytes[at..cut]);
        at = cut;
    }
    pieces.push(&bytes[at..]);
    pieces
}

fn a_case() -> impl Strategy<Value = &'static Case> {
    any::<Index>().prop_map(|index| index.get(&CASES))
}

/// A value that is likely to be of the wrong type.
fn strange() -> impl Strategy<Value = Value> {
    let numbers = ["-1", "0.5", "1e400", "18446744073709551616"];
    let mut values: Vec<Value> = numbers.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    values.extend([
        json!(null),
        json!(true),
        json!(""),
        json!("text"),
        json!([]),
        json!({}),
        json!([{}]),
        json!(7),
    ]);
    prop::sample::select(values)
}

/// Puts `with` in the place of one value of `tree`, or takes the value out.
fn replace(tree: &mut Value, place: Index, with: Option<&Value>) {
    let mut pointers = Vec::new();
    list(tree, String::new(), &mut pointers);
    let pointer = place.get(&pointers);
    match (with, pointer.rsplit_once('/')) {
        (None, Some((parent, name))) => match tree.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.remove(&name.replace("~1", "/").replace("~0", "~"))),
            Some(Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
            _ => unreachable!(),
        },
        (with, _) => *tree.pointer_mut(pointer).unwrap() = with.cloned().unwrap_or_default(),
    }
}

fn list(tree: &Value, at: String, pointers: &mut Vec<String>) {
    match tree {
        Value::Object(members) => {
            for (name, value) in members {
                list(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), pointers);
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| list(value, format!("{at}/{index}"), pointers));
        }
        _ => {}
    }
    pointers.push(at);
}

/// Makes a few changes to JSON text; other text stays as it is.
pub(super) fn disturb(text: &str, changes: &[(Index, Option<Value>)]) -> String {
    let Ok(mut tree) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    changes.iter().for_each(|(place, with)| replace(&mut tree, *place, with.as_ref()));
    tree.to_string()
}

/// What may happen to one event of a stream.
#[derive(Clone, Debug)]
enum Mishap {
    Drop(Index),
    Repeat(Index),
    Swap(Index, Index),
    Change(Index, (Index, Option<Value>)),
}

/// Events are lost, come twice or come in another order.
fn mishap() -> impl Strategy<Value = Mishap> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(Mishap::Drop),
        index().prop_map(Mishap::Repeat),
        (index(), index()).prop_map(|(a, b)| Mishap::Swap(a, b)),
    ]
}

/// … or hold what makes no sense.
fn nonsense() -> impl Strategy<Value = Mishap> {
    prop_oneof![mishap(), (any::<Index>(), change()).prop_map(|(at, change)| Mishap::Change(at, change))]
}

pub(super) fn change() -> impl Strategy<Value = (Index, Option<Value>)> {
    (any::<Index>(), prop::option::weighted(0.7, strange()))
}

fn derail(stream: &str, mishaps: &[Mishap]) -> String {
    let end = if stream.starts_with(':') && !stream.contains("\n\n") { "\n" } else { "\n\n" };
    let mut events: Vec<String> = stream.split_inclusive(end).map(str::to_owned).collect();
    for mishap in mishaps {
        if events.is_empty() {
            break;
        }
        let count = events.len();
        match mishap {
            Mishap::Drop(at) => drop(events.remove(at.index(count))),
            Mishap::Repeat(at) => events.push(at.get(&events).clone()),
            Mishap::Swap(a, b) => events.swap(a.index(count), b.index(count)),
            Mishap::Change(at, change) => {
                let event = &mut events[at.index(count)];
                let before = if end == "\n" { " " } else { "data: " };
                if let Some((name, data)) = event.split_once(before) {
                    let data = disturb(data.trim_end(), std::slice::from_ref(change));
                    *event = [name, before, &data, end].concat();
                }
            }
        }
    }
    events.concat()
}

fn block() -> impl Strategy<Value = Block> {
    let text = "[a-z \"\\\\\n<é\u{1F600}]{1,20}";
    let tool = |(id, name): (u32, String)| Kind::ToolUse {
        id: format!("call_{id}"),
        name,
        input: r#"{"a": [1.50, "b"]}"#.to_owned(),
    };
    prop_oneof![
        text.prop_map(Kind::Text),
        text.prop_map(|text| Kind::Reasoning { text, seal: None }),
        (any::<u32>(), "[a-z_]{1,10}").prop_map(tool),
    ]
    .prop_map(Block::new)
}

const STOPS: &[StopReason] = &[StopReason::End, StopReason::MaxTokens, StopReason::ToolUse];

/// A dialect's own word for one of [`STOPS`].
fn word(dialect: DialectId, reason: StopReason) -> &'static str {
    let words = match dialect {
        DialectId::Anthropic | DialectId::Bedrock => ["end_turn", "max_tokens", "tool_use"],
        DialectId::Cohere => ["COMPLETE", "MAX_TOKENS", "TOOL_CALL"],
        DialectId::Gemini => ["STOP", "MAX_TOKENS", "STOP"],
        DialectId::OpenaiChat => ["stop", "length", "tool_calls"],
        DialectId::OpenaiCompletions => ["stop", "length", "stop"],
        DialectId::OpenaiResponses => ["completed", "max_output_tokens", "completed"],
        DialectId::Replicate => ["succeeded"; 3],
    };
    words[STOPS.iter().position(|stop| *stop == reason).unwrap()]
}

fn message() -> impl Strategy<Value = Message> {
    let usage = (0u64..9, 0u64..9, 0u64..9, 0u64..9).prop_map(|(input, cache_read, output, reasoning)| {
        Usage { input, cache_read, output, reasoning, ..Usage::default() }
    });
    let parts = (providers(), prop::collection::vec(block(), 0..5), prop::sample::select(STOPS), usage);
    parts.prop_map(|(from, blocks, reason, usage)| {
        let stop = Some(Stop::new(reason, word(from, reason)));
        let choice = Choice { index: 0, blocks, stop, logprobs: None, extra: Extra::NONE };
        Message {
            from,
            id: "id".to_owned(),
            model: "model".to_owned(),
            created: Some(1_700_000_000),
            choices: vec![choice],
            usage: Some(usage),
            extra: Extra::NONE,
        }
    })
}

/// Checks what must hold of this input, be it good or bad.
fn check(kind: &str, from: DialectId, text: &str, status: u16, to: DialectId) -> Result<(), Broken> {
    match kind {
        "request" => laws::request(from, text.as_bytes(), to),
        "response" => laws::response(from, text.as_bytes(), to),
        "stream" => laws::stream(from, &case::stream(from, text), to),
        "fault" => laws::error(from, status, text.as_bytes(), to),
        _ => Ok(()),
    }
}

#[test]
fn every_case_says_the_same_in_every_dialect() {
    for case in CASES.iter() {
        let tellers = DialectId::ALL.iter().filter(|to| to.dialect().serves_callers() || case.asks());
        for to in tellers {
            if let Err(broken) = check(case.kind(), case.from, &case.input, case.status(), *to) {
                panic!("{} to {}: {broken}", case.name(), to.name());
            }
        }
    }
}

#[test]
fn every_fault_is_told_in_every_dialect() {
    for to in DialectId::callers() {
        for kind in FaultKind::ALL {
            let fault = Fault::new(*kind, "words of `ours`").hint("try again");
            assert_eq!(laws::fault_is_told(&fault, to), Ok(()), "{kind:?} in {}", to.name());
        }
    }
}

#[test]
fn a_dialect_reads_requests_where_callers_speak_it() {
    for id in DialectId::ALL {
        let refused = id.dialect().read_request(b"{}").is_err_and(|fault| fault.kind == FaultKind::NotFound);
        assert_eq!(refused, !id.dialect().serves_callers(), "{}", id.name());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status: u16) {
        for dialect in DialectId::ALL {
            prop_assert_eq!(laws::any_bytes(*dialect, &bytes, status), Ok(()));
        }
    }

    #[test]
    fn any_json_is_read_without_panic(
        case in a_case(),
        changes in prop::collection::vec(change(), 1..4),
        as_event: bool,
        status: u16,
    ) {
        let mut text = disturb(&case.input, &changes);
        if as_event {
            text = format!("data: {text}\n\n");
        }
        for dialect in DialectId::ALL {
            prop_assert_eq!(laws::any_bytes(*dialect, text.as_bytes(), status), Ok(()), "{}", text);
        }
    }

    #[test]
    fn an_odd_stream_says_the_same_in_every_dialect(
        case in a_case(),
        mishaps in prop::collection::vec(mishap(), 1..4),
        to in callers(),
    ) {
        let text = derail(&case.input, &mishaps);
        let stream = case::stream(case.from, &text);
        prop_assert_eq!(laws::stream(case.from, &stream, to), Ok(()), "{}", text);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same(
        case in a_case(),
        mishaps in prop::collection::vec(nonsense(), 0..3),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        to in callers(),
    ) {
        let text = derail(&case.input, &mishaps);
        let stream = case::stream(case.from, &text);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(laws::split(case.from, &split(&stream, &cuts), to), Ok(()), "{}", text);
        prop_assert_eq!(laws::split(case.from, &bytes, to), Ok(()), "{}", text);
    }

    #[test]
    fn a_message_says_the_same_whole_and_streamed(message in message(), to in callers()) {
        prop_assert_eq!(laws::whole_and_streamed(&message, to), Ok(()));
    }
}
