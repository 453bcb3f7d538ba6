//! Every case, taken to every dialect: what comes out can be read there and says the same.

use super::{
    case,
    machine::{broken, glance, last_usage, read_stream, said, tokens, write_stream},
};
use crate::{
    Carried, DialectId, Target,
    canon::{Block, Kind, Message, Request, fold, unfold},
};
use serde_json::Value;

#[test]
fn every_case_says_the_same_in_every_dialect() {
    for case in case::all() {
        for to in DialectId::ALL {
            let name = format!("{} to {}", case.name(), to.name());
            carry(case.kind(), case.from, case.input.as_bytes(), case.status(), *to, &name);
        }
    }
}

/// Checks what must hold of any input, good or bad.
pub(super) fn carry(kind: &str, from: DialectId, input: &[u8], status: u16, to: DialectId, name: &str) {
    match kind {
        "request" => request(from, input, to, name),
        "response" => response(from, input, to, name),
        "stream" => stream(from, input, to, name),
        "fault" => fault(from, input, status, to, name),
        _ => {}
    }
}

fn request(from: DialectId, input: &[u8], to: DialectId, name: &str) {
    let Ok(read) = from.dialect().read_request(input) else { return };
    let body: Value = serde_json::from_slice(input).unwrap();
    let completion_limit = body.get("max_completion_tokens").is_some();
    let target = Target { model: &read.value.model, max_output: None, completion_limit };
    let written = to.dialect().write_request(&read.value, &target);
    if from == to {
        let back: Value = serde_json::from_slice(&written.value).unwrap();
        assert_eq!(back, body, "{name}: write(read(x)) is not x");
        assert!(read.losses.is_empty() && written.losses.is_empty(), "{name}: lost in its own dialect");
    }
    let again = to.dialect().read_request(&written.value);
    let again =
        again.unwrap_or_else(|fault| panic!("{name}: {fault}\n{}", String::from_utf8_lossy(&written.value)));
    let carried = words(&again.value).concat();
    for word in words(&read.value) {
        let lost = !read.losses.is_empty() || !written.losses.is_empty();
        assert!(lost || carried.contains(&word), "{name}: {word:?} is gone without a loss");
    }
}

/// All that is said in a request.
fn words(request: &Request) -> Vec<String> {
    let mut words = Vec::new();
    request.turns.iter().for_each(|turn| gather(&turn.blocks, &mut words));
    words.extend(request.tools.iter().map(|tool| tool.name.clone()));
    words
}

fn gather(blocks: &[Block], words: &mut Vec<String>) {
    for block in blocks {
        match &block.kind {
            Kind::Text(text) | Kind::Refusal(text) => words.push(text.clone()),
            Kind::ToolUse { name, .. } => words.push(name.clone()),
            Kind::ToolResult { content, .. } => gather(content, words),
            _ => {}
        }
    }
}

fn response(from: DialectId, input: &[u8], to: DialectId, name: &str) {
    let Ok(Carried { value: message, .. }) = from.dialect().read_response(input) else { return };
    let whole = rewritten(&message, to, name);
    let streamed = restreamed(&message, to, name);
    for (way, again) in [("whole", &whole), ("streamed", &streamed)] {
        assert_eq!(said(again), said(&message), "{name}, {way}");
        assert_eq!(tokens(again.usage.as_ref()), tokens(message.usage.as_ref()), "{name}, {way}");
    }
    let stops =
        |message: &Message| message.choices.iter().map(|choice| choice.stop.clone()).collect::<Vec<_>>();
    assert_eq!(stops(&whole), stops(&streamed), "{name}: whole and streamed stop alike");
}

fn rewritten(message: &Message, to: DialectId, name: &str) -> Message {
    let text = to.dialect().write_response(message).value;
    let metered = to.dialect().read_usage(&text);
    assert_eq!(tokens(metered.as_ref()), tokens(message.usage.as_ref()), "{name}: metered");
    let again = to.dialect().read_response(&text);
    again.unwrap_or_else(|fault| panic!("{name}: {fault}\n{}", String::from_utf8_lossy(&text))).value
}

fn restreamed(message: &Message, to: DialectId, name: &str) -> Message {
    let text = write_stream(to, &unfold(message), None);
    let again = read_stream(to, &[&text]);
    assert_eq!(again.ended, Ok(()), "{name}:\n{}", String::from_utf8_lossy(&text));
    fold(to, again.events)
}

fn stream(from: DialectId, input: &[u8], to: DialectId, name: &str) {
    let read = read_stream(from, &[input]);
    if read.ended.is_ok() {
        let (seen, glanced) = glance(from, input);
        assert_eq!((seen.ended, glanced), (true, Ok(())), "{name}: glance");
        assert_eq!(tokens(seen.usage.as_ref()), tokens(last_usage(&read.events)), "{name}: glanced usage");
    }
    let fault = read.ended.err();
    let text = write_stream(to, &read.events, fault.as_ref());
    let again = read_stream(to, &[&text]);
    let shown = String::from_utf8_lossy(&text);
    assert_eq!(again.ended.is_err(), fault.is_some(), "{name}: ends as it ended\n{shown}");
    let (message, again) = (fold(from, read.events), fold(to, again.events));
    assert_eq!(said(&again), said(&message), "{name}\n{shown}");
    if fault.is_none() {
        let (was, is) = (tokens(message.usage.as_ref()), tokens(again.usage.as_ref()));
        assert_eq!(is, was, "{name}: usage\n{shown}");
    }
    let cut = write_stream(to, &[], Some(&broken()));
    assert!(read_stream(to, &[&cut]).ended.is_err(), "{name}: broken before it began");
}

fn fault(from: DialectId, input: &[u8], status: u16, to: DialectId, name: &str) {
    let fault = from.dialect().read_fault(status, input);
    assert!(!fault.message.is_empty(), "{name}: a fault says something");
    let body = to.dialect().write_fault(&fault);
    assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{name}: an error body is JSON");
    let again = to.dialect().read_fault(fault.status(), &body);
    assert!(again.message.contains(&fault.message), "{name}: {:?} became {:?}", fault.message, again.message);
    let text = to.dialect().write_stream_fault(&fault);
    let (_, glanced) = glance(to, &text);
    assert!(glanced.is_err(), "{name}: the error event is seen");
    let told = read_stream(to, &[&text]).ended.unwrap_err();
    assert!(told.message.contains(&fault.message), "{name}: {:?} became {:?}", fault.message, told.message);
}
