//! What holds for every dialect, as code. The tests, the fuzz targets and the replay of recorded traffic
//! all check these; nothing else uses them.
//!
//! A law that takes input which its dialect cannot read holds: refusing is allowed, and a panic is found
//! by whoever calls. Requests are taken to every dialect; answers, streams and errors only to those that
//! callers speak ([`DialectId::callers`]).

use crate::{
    Carried, DialectId, Fault, FaultKind, Losses, Seen, Sink, Target,
    canon::{Block, Event, Grammar, Kind, Message, Request, Usage, fold, unfold},
    embed::{Embed, EmbedShape, Embedded, Encoding, Input, Part, Wish},
    frame::{Framing, sse::Frame},
    pipe::{Pipe, without_torn},
};
use bytes::Bytes;
use serde_json::Value;
use std::fmt;

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The law, in words.
    pub law: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.found)
    }
}

fn hold(holds: bool, law: &'static str, found: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { law, found: found() }) }
}

fn same<T: PartialEq + fmt::Debug>(law: &'static str, was: &T, is: &T) -> Result<(), Broken> {
    hold(was == is, law, || format!("{was:?} became {is:?}"))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request of `from`, written in `to`, can be read there if callers speak it; what is not said there is a
/// loss; in its own dialect it is what it was.
///
/// # Errors
/// The law that does not hold.
pub fn request(from: DialectId, body: &[u8], to: DialectId) -> Result<(), Broken> {
    let Ok(read) = from.dialect().read_request(body) else { return Ok(()) };
    let mut losses = read.losses;
    let was: Value = serde_json::from_slice(body).unwrap_or_default();
    let completion_limit = was.get("max_completion_tokens").is_some();
    let target = Target { model: &read.value.model, completion_limit, ..Target::default() };
    let written = to.dialect().write_request(&read.value, &target);
    losses.absorb(written.losses);
    if from == to {
        let is: Value = serde_json::from_slice(&written.value).unwrap_or_default();
        hold(was == is, "a request comes back as it was", || difference(&was, &is, String::new()))?;
        hold(losses.is_empty(), "a request loses nothing in its own dialect", || format!("{losses:?}"))?;
    }
    let carried = if to.dialect().serves_callers() {
        let again = to.dialect().read_request(&written.value);
        hold(again.is_ok(), "a written request can be read", || {
            format!("{again:?} of {}", shown(&written.value))
        })?;
        again.map(|again| words(&again.value)).unwrap_or_default()
    } else {
        let again = serde_json::from_slice(&written.value);
        hold(again.is_ok(), "a written request is JSON", || shown(&written.value))?;
        again.map(|again| strings(&again)).unwrap_or_default()
    };
    let carried = carried.concat();
    let gone = words(&read.value).into_iter().find(|word| !carried.contains(word));
    hold(gone.is_none() || !losses.is_empty(), "no word goes without a loss", || format!("{gone:?} is gone"))
}

/// The first place where two values differ.
fn difference(was: &Value, is: &Value, at: String) -> String {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            let names = was.keys().chain(is.keys());
            let other = names.into_iter().find(|name| was.get(*name) != is.get(*name));
            let Some(name) = other else { return at };
            match (was.get(name), is.get(name)) {
                (Some(was), Some(is)) => difference(was, is, format!("{at}/{name}")),
                (Some(_), None) => format!("{at}/{name} is gone"),
                _ => format!("{at}/{name} is new"),
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            let other = was.iter().zip(is).enumerate().find(|(_, (was, is))| was != is);
            other.map_or(at.clone(), |(index, (was, is))| difference(was, is, format!("{at}/{index}")))
        }
        _ => format!("{at} was {was} and is {is}"),
    }
}

/// All that is said in a request.
fn words(request: &Request) -> Vec<String> {
    let mut words: Vec<String> = request.tools.iter().map(|tool| tool.name.clone()).collect();
    request.turns.iter().for_each(|turn| gather(&turn.blocks, &mut words));
    words
}

/// All strings of a body that no dialect reads.
fn strings(body: &Value) -> Vec<String> {
    match body {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
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

/// A whole answer of `from` says the same in `to`, whole and as a stream.
///
/// # Errors
/// The law that does not hold.
pub fn response(from: DialectId, body: &[u8], to: DialectId) -> Result<(), Broken> {
    let Ok(Carried { value: message, .. }) = from.dialect().read_response(body) else { return Ok(()) };
    whole_and_streamed(&message, to)
}

/// A message that is written and read, whole and as a stream, says the same both times. One that does not
/// say why it stopped cannot be a stream.
///
/// # Errors
/// The law that does not hold.
pub fn whole_and_streamed(message: &Message, to: DialectId) -> Result<(), Broken> {
    let Carried { value: text, losses } = to.dialect().write_response(message);
    let whole = to.dialect().read_response(&text);
    hold(whole.is_ok(), "a written answer can be read", || format!("{whole:?} of {}", shown(&text)))?;
    let Ok(Carried { value: whole, .. }) = whole else { return Ok(()) };
    let metered = to.dialect().read_usage(&text);
    same("an answer's meter sees its usage", &tokens(message.usage.as_ref()), &tokens(metered.as_ref()))?;

    if !message.is_whole() {
        return Ok(());
    }
    let (text, streamed_losses) = tell_stream(to, &unfold(message), None);
    let streamed = read_stream(to, &[&text])?;
    same("a written stream ends", &Ok(()), &streamed.ended)?;
    let streamed = fold(to, streamed.events);
    for (again, losses) in [(&whole, &losses), (&streamed, &streamed_losses)] {
        says_the_same("an answer says the same", message, again, losses)?;
        same("an answer costs the same", &tokens(message.usage.as_ref()), &tokens(again.usage.as_ref()))?;
    }
    let stops = |message: &Message| -> Vec<_> {
        let stops = message.choices.iter().map(|choice| choice.stop.as_ref());
        stops.map(|stop| stop.map(|stop| (stop.reason, stop.sequence.clone()))).collect()
    };
    same("an answer stops alike, whole and streamed", &stops(&whole), &stops(&streamed))
}

/// A stream of `from` says the same in `to` and ends as it ended; a glance sees its end and its usage, where
/// callers speak `from`, so that it can be relayed.
///
/// # Errors
/// The law that does not hold.
pub fn stream(from: DialectId, stream: &[u8], to: DialectId) -> Result<(), Broken> {
    let read = read_stream(from, &[stream])?;
    let usage = tokens(last_usage(&read.events));
    if read.ended.is_ok() && from.dialect().serves_callers() {
        let (seen, glanced) = glance(from, until_end(from, stream));
        same("a glance sees the end", &(true, Ok(())), &(seen.ended, glanced))?;
        same("a glance sees the usage", &usage, &tokens(seen.usage.as_ref()))?;
    }
    let fault = read.ended.err();
    let (text, losses) = tell_stream(to, &read.events, fault.as_ref());
    let again = read_stream(to, &[&text])?;
    hold(again.ended.is_err() == fault.is_some(), "a stream ends as it ended", || {
        format!("{fault:?} became {:?} in {}", again.ended, shown(&text))
    })?;
    let cost = tokens(last_usage(&again.events));
    let (was, is) = (fold(from, read.events), fold(to, again.events));
    if fault.is_some() {
        let (was, is) = (said(&was), said(&is));
        return hold(begins(&was, &is), "a broken stream says nothing else", || {
            format!("{was:?} became {is:?}")
        });
    }
    same("a stream costs the same", &usage, &cost)?;
    says_the_same("a stream says the same", &was, &is, &losses)
}

/// Words and calls are the same. A dialect without tools keeps no call, and says so.
fn says_the_same(law: &'static str, was: &Message, is: &Message, losses: &Losses) -> Result<(), Broken> {
    let (mut was, is) = (meant(was), meant(is));
    if is.1.is_empty() && !losses.is_empty() {
        was.1.clear();
    }
    same(law, &was, &is)
}

/// Whether `part` is a beginning of `whole`: of a stream that breaks, what was held back is not told.
fn begins(whole: &Said, part: &Said) -> bool {
    let mut calls = whole.1.iter().zip(&part.1);
    let same = |((name, input), (other, less)): (&(String, String), &(String, String))| {
        let json = |input: &str| serde_json::from_str::<Value>(input).ok();
        name == other && (input.starts_with(less.as_str()) || less == "{}" || json(input) == json(less))
    };
    whole.0.starts_with(&part.0) && part.1.len() <= whole.1.len() && calls.all(same)
}

/// A stream in pieces is what it is in one piece: read, translated to `to`, and relayed where callers speak
/// `from`.
///
/// # Errors
/// The law that does not hold.
pub fn split(from: DialectId, pieces: &[&[u8]], to: DialectId) -> Result<(), Broken> {
    let stream = pieces.concat();
    let whole = read_stream(from, &[&stream])?;
    same("any split is read alike", &whole, &read_stream(from, pieces)?)?;
    let mut request = Request::new(to, "model");
    request.stream = Some(true);
    let translate = || Pipe::translate(from, true, &request);
    same("any split is translated alike", &piped(translate(), &[&stream]), &piped(translate(), pieces))?;
    if !from.dialect().serves_callers() {
        return Ok(());
    }
    let relayed = piped(Pipe::relay(from, true), pieces);
    same("any split is relayed alike", &piped(Pipe::relay(from, true), &[&stream]), &relayed)?;
    let sound = match from.dialect().framing() {
        Framing::Sse => without_torn(&stream),
        Framing::Aws => stream,
    };
    // Ceremony that never came is added, in place of what came of it.
    let missing = glance(from, &sound).0.missing;
    let relays = |before: &[u8]| match missing {
        [] => before == sound,
        _ => sound.starts_with(before.trim_ascii_end()),
    };
    let same = relayed.1.is_err() || relayed.0.strip_suffix(missing).is_some_and(relays);
    hold(same, "a relay changes nothing that is whole", || shown(&relayed.0))
}

/// What comes out of a pipe. Before content nothing is sent, so what came before an error does not count.
fn piped(mut pipe: Pipe, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), Fault>) {
    let mut out = Vec::new();
    let fed = pieces.iter().try_for_each(|piece| pipe.feed(Bytes::copy_from_slice(piece), &mut out));
    let ended = fed.and_then(|()| pipe.finish(&mut out));
    let text = if ended.is_err() && !pipe.content() { Vec::new() } else { out.concat() };
    (text, ended)
}

/// A provider's error says the same in `to`, as a body and in a stream.
///
/// # Errors
/// The law that does not hold.
pub fn error(from: DialectId, status: u16, body: &[u8], to: DialectId) -> Result<(), Broken> {
    let fault = from.dialect().read_fault(status, body);
    hold(!fault.message.is_empty(), "an error says something", || shown(body))?;
    fault_is_told(&fault, to)
}

/// A fault can be read where it was written, as a body and in a stream.
///
/// # Errors
/// The law that does not hold.
pub fn fault_is_told(fault: &Fault, to: DialectId) -> Result<(), Broken> {
    let told = |again: &Fault| {
        let holds = again.message.contains(&fault.message);
        hold(holds, "an error says the same", || format!("{:?} became {:?}", fault.message, again.message))
    };
    let body = to.dialect().write_fault(fault);
    hold(serde_json::from_slice::<Value>(&body).is_ok(), "an error body is JSON", || shown(&body))?;
    told(&to.dialect().read_fault(fault.status(), &body))?;

    let text = to.dialect().write_stream_fault(fault);
    hold(glance(to, &text).1.is_err(), "a glance sees an error event", || shown(&text))?;
    for text in [text, write_stream(to, &[], Some(fault))] {
        match read_stream(to, &[&text])?.ended {
            Err(again) => told(&again)?,
            Ok(()) => hold(false, "an error event is an error", || shown(&text))?,
        }
    }
    Ok(())
}

/// What a reader makes of a stream.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The events, which keep the grammar.
    pub events: Vec<Event>,
    /// What was lost.
    pub losses: Losses,
    /// How it ended.
    pub ended: Result<(), Fault>,
}

/// Reads a stream that comes in pieces.
///
/// # Errors
/// The events break the grammar, or a stream ended well and [`Event::End`] did not come.
pub fn read_stream(from: DialectId, pieces: &[&[u8]]) -> Result<Read, Broken> {
    let mut reader = from.dialect().reader();
    let mut sink = Sink::default();
    let fed = pieces.iter().try_for_each(|piece| reader.feed(piece, &mut sink));
    let ended = fed.and_then(|()| reader.finish(&mut sink));
    let Sink { events, losses } = sink;
    let mut grammar = Grammar::default();
    for event in &events {
        if let Err(rule) = grammar.check(event) {
            return Err(Broken { law: rule.0, found: format!("{event:?} in {events:?}") });
        }
    }
    let whole = events.last() == Some(&Event::End);
    hold(whole || ended.is_err(), "a stream that ends well has its `End`", || format!("{events:?}"))?;
    Ok(Read { events, losses, ended })
}

/// The stream up to its terminal event: what comes behind it is no part of the answer.
fn until_end(from: DialectId, stream: &[u8]) -> &[u8] {
    let (mut reader, mut sink, mut at) = (from.dialect().reader(), Sink::default(), 0);
    let is_end = |byte: &u8| from.dialect().framing() == Framing::Aws || *byte == b'\n';
    for piece in stream.split_inclusive(is_end) {
        at += piece.len();
        if reader.feed(piece, &mut sink).is_err() || sink.events.last() == Some(&Event::End) {
            break;
        }
        sink.events.clear();
    }
    stream.get(..at).unwrap_or(stream)
}

/// Writes events for a caller who wants a stream with its usage.
#[must_use]
pub fn write_stream(to: DialectId, events: &[Event], fault: Option<&Fault>) -> Vec<u8> {
    tell_stream(to, events, fault).0
}

fn tell_stream(to: DialectId, events: &[Event], fault: Option<&Fault>) -> (Vec<u8>, Losses) {
    let mut request = Request::new(to, "model");
    request.stream = Some(true);
    request.stream_usage = Some(true);
    let mut writer = to.dialect().writer(&request);
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    events.iter().for_each(|event| writer.write(event, &mut out, &mut losses));
    if let Some(fault) = fault {
        writer.fault(fault, &mut out);
    }
    (out, losses)
}

/// What a glance sees of a stream.
fn glance(dialect: DialectId, stream: &[u8]) -> (Seen, Result<(), Fault>) {
    let mut glance = dialect.dialect().glance();
    let mut frames = dialect.dialect().framing().frames();
    let mut look = |frame: Frame<'_>| glance.frame(&frame);
    let fed = frames.feed(stream, &mut look).and_then(|()| frames.finish(&mut look));
    (glance.seen().clone(), fed)
}

/// What a caller reads of an answer, whatever the dialect: the words of its first alternative, and the
/// tools that it calls with their arguments.
type Said = (String, Vec<(String, String)>);

fn said(message: &Message) -> Said {
    let (mut text, mut tools) = (String::new(), Vec::new());
    let first = message.choices.iter().filter(|choice| choice.index == 0);
    for block in first.flat_map(|choice| &choice.blocks) {
        match &block.kind {
            Kind::Text(more) | Kind::Refusal(more) => text.push_str(more),
            Kind::ToolUse { name, input, .. } => {
                let input = if input.is_empty() { "{}" } else { input };
                tools.push((name.clone(), input.to_owned()));
            }
            _ => {}
        }
    }
    (text, tools)
}

/// As [`said`], with arguments that are equal as JSON: a dialect that has them as an object cannot keep
/// their spaces, nor what is no object (cut off, most often).
fn meant(message: &Message) -> (String, Vec<(String, Value)>) {
    let (text, tools) = said(message);
    let value = |input: String| Value::Object(serde_json::from_str(&input).unwrap_or_default());
    (text, tools.into_iter().map(|(name, input)| (name, value(input))).collect())
}

/// All input and all output. Some dialects must say something, and then nothing is zero.
fn tokens(usage: Option<&Usage>) -> (u64, u64) {
    usage.map(|usage| (usage.all_input(), usage.all_output())).unwrap_or_default()
}

fn last_usage(events: &[Event]) -> Option<&Usage> {
    events.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(usage),
        _ => None,
    })
}

/// A caller's request for vectors of `from` asks the same of a provider of every other shape, or loses or is
/// refused what that one cannot do.
///
/// # Errors
/// The law that does not hold.
pub fn embed_request(from: EmbedShape, body: &[u8]) -> Result<(), Broken> {
    let Ok(embed) = from.read_request(body) else { return Ok(()) };
    for to in EmbedShape::ALL {
        let written = match to.write_request(&embed, "amazon.titan-embed-text-v2:0") {
            Ok(written) => written,
            Err(fault) => {
                let is_plain = fault.kind == FaultKind::BadRequest && fault.param.is_some();
                hold(is_plain, "what cannot be embedded is refused plainly", || format!("{fault:?}"))?;
                continue;
            }
        };
        hold(serde_json::from_slice::<Value>(&written.value).is_ok(), "a request is JSON", || {
            shown(&written.value)
        })?;
        let gone = inputs(&embed).into_iter().find(|text| !shown(&written.value).contains(text.as_str()));
        let is_lost = !written.losses.is_empty();
        hold(gone.is_none() || is_lost, "no input goes without a loss", || format!("{gone:?} is gone"))?;
        if to.is_callers() {
            let again = to.read_request(&written.value);
            let wishes =
                |embed: &Embed| (embed.inputs.len(), embed.dimensions.as_ref().map(|wish| wish.value));
            let is_same = again.as_ref().is_ok_and(|again| wishes(again) == wishes(&embed));
            hold(is_same || is_lost, "a request asks the same", || format!("{embed:?} became {again:?}"))?;
        }
    }
    Ok(())
}

/// The texts of a request as they stand in JSON.
fn inputs(embed: &Embed) -> Vec<String> {
    let text = |part: &Part| match part {
        Part::Text(text) => Some(Value::from(text.as_str()).to_string()),
        _ => None,
    };
    embed.inputs.iter().flat_map(|input| &input.parts).filter_map(text).collect()
}

/// Vectors that a provider of `from` gave are the same, bit by bit, for callers of every shape, as numbers and
/// as base64.
///
/// # Errors
/// The law that does not hold.
pub fn embed_response(from: EmbedShape, body: &[u8]) -> Result<(), Broken> {
    let Ok(embedded) = from.read_response(body) else { return Ok(()) };
    for to in EmbedShape::ALL.iter().filter(|to| to.is_callers()) {
        for encoding in [None, Some(Encoding::Float), Some(Encoding::Base64)] {
            let asked = asked(*to, embedded.vectors.len(), encoding);
            let text = to.write_response(&embedded, &asked);
            let again = to.read_response(&text);
            hold(again.is_ok(), "written vectors can be read", || format!("{again:?} of {}", shown(&text)))?;
            let Ok(again) = again else { continue };
            let is_same = again.vectors == embedded.vectors;
            hold(is_same, "vectors are the same", || format!("{embedded:?} became {}", shown(&text)))?;
            let cost = |embedded: &Embedded| tokens(embedded.usage.as_ref());
            same("vectors cost the same", &cost(&embedded), &cost(&again))?;
        }
    }
    Ok(())
}

fn asked(from: EmbedShape, count: usize, encoding: Option<Encoding>) -> Embed {
    let encodings = encoding.map(|encoding| Wish { value: vec![encoding], at: String::new() });
    let input = Input { parts: Vec::new(), title: None, at: String::new() };
    Embed {
        from,
        model: "model".to_owned(),
        inputs: vec![input; count],
        single: false,
        dimensions: None,
        encodings,
        purpose: None,
        truncate: None,
        user: None,
        strange: Vec::new(),
    }
}

/// Reads and writes `bytes` as embeddings in every way there is; only a panic is wrong.
///
/// # Errors
/// The law that does not hold.
pub fn any_embeddings(bytes: &[u8]) -> Result<(), Broken> {
    EmbedShape::ALL.iter().try_for_each(|shape| {
        embed_request(*shape, bytes)?;
        embed_response(*shape, bytes)
    })
}

/// Reads and writes `bytes` in every way there is; only a panic or a broken grammar is wrong.
///
/// # Errors
/// The rule of the grammar that does not hold.
pub fn any_bytes(from: DialectId, bytes: &[u8], status: u16) -> Result<(), Broken> {
    let dialect = from.dialect();
    let request = [dialect.read_request(bytes), dialect.read_count_request(bytes)];
    let response = dialect.read_response(bytes);
    let fault = dialect.read_fault(status, bytes);
    let _ = dialect.read_usage(bytes);
    let _ = [true, false].map(|streamed| dialect.next_step(bytes, streamed));
    let _ = glance(from, bytes);
    let stream = read_stream(from, &[bytes])?;
    for to in DialectId::ALL {
        for read in request.iter().flatten() {
            to.dialect().write_request(&read.value, &Target::default());
        }
    }
    for to in DialectId::callers() {
        if let Ok(read) = &response {
            to.dialect().write_response(&read.value);
            read_stream(to, &[&write_stream(to, &unfold(&read.value), None)])?;
        }
        to.dialect().write_fault(&fault);
        read_stream(to, &[&write_stream(to, &stream.events, stream.ended.as_ref().err())])?;
    }
    Ok(())
}
