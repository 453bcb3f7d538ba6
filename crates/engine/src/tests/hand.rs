//! An exchange that a test drives by hand, one report after the other.

use crate::{
    access::Caller,
    exchange::{Attempt, Exchange, Inbound, Io, Order, Report, Upstream, UpstreamHead},
    ledger::Ledger,
    path::KeyChoice,
    plan::Plan,
    provider::Operation,
    record::Record,
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::DialectId;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::{rc::Rc, sync::Arc};

/// An exchange, driven by hand.
pub(super) struct Hand {
    pub(super) exchange: Exchange,
    pub(super) ledger: Ledger,
    /// What each attempt was sent.
    pub(super) sent: Vec<Upstream>,
    /// When.
    pub(super) times: Vec<Instant>,
    /// Who speaks next: at first whoever was asked last.
    pub(super) speaker: Attempt,
    pub(super) told: Vec<u8>,
    pub(super) cancelled: Vec<Attempt>,
    pub(super) record: Option<Record>,
    pub(super) now: Instant,
    /// Until when it has nothing to do.
    until: Instant,
}

impl Hand {
    pub(super) fn new(ledger: Ledger, plan: Plan, body: &str) -> Hand {
        Hand::begin(ledger, plan, body, (Instant::default(), 0))
    }

    /// A request that comes at a time, with a number by chance.
    pub(super) fn begin(ledger: Ledger, plan: Plan, body: &str, (now, roll): (Instant, u64)) -> Hand {
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
            roll,
            arrived: now,
        };
        let plan = Rc::new(Arc::new(plan));
        let exchange = Exchange::call(plan, DialectId::OpenaiChat, Operation::Generate, inbound);
        let mut hand = Hand {
            exchange,
            ledger,
            sent: Vec::new(),
            times: Vec::new(),
            speaker: Attempt(0),
            told: Vec::new(),
            cancelled: Vec::new(),
            record: None,
            now,
            until: now,
        };
        hand.obey();
        hand
    }

    /// Obeys until there is something to wait for.
    fn obey(&mut self) {
        let now = self.now;
        while let Some(order) = self.exchange.order() {
            match order {
                Order::Ask(command) => {
                    let answer = self.ledger.apply(&self.exchange.asks(), command, now);
                    self.exchange.report(Report::Answer(answer), now);
                }
                Order::Note(note) => self.ledger.note(&self.exchange.asks(), note, now),
                Order::Send(attempt, upstream) => {
                    self.speaker = attempt;
                    self.sent.push(*upstream);
                    self.times.push(now);
                }
                Order::Body(bytes) => self.told.extend_from_slice(&bytes),
                Order::Done(record) => {
                    self.ledger.settle(&record);
                    self.record = Some(*record);
                }
                Order::Cancel(attempt) => self.cancelled.push(attempt),
                Order::Wait(until) => return self.until = until,
                _ => {}
            }
        }
    }

    /// Time passes, in which nothing comes.
    pub(super) fn wait(&mut self, span: Span) {
        let end = self.now.after(span);
        while self.until <= end && self.record.is_none() {
            self.wake();
        }
        self.now = end;
    }

    /// The next thing happens that only time brings.
    pub(super) fn wake(&mut self) {
        self.now = self.until;
        self.exchange.report(Report::Woke, self.now);
        self.obey();
    }

    pub(super) fn report(&mut self, report: impl FnOnce(Attempt) -> Report) {
        self.exchange.report(report(self.speaker), self.now);
        self.obey();
    }

    /// The speaker answers.
    pub(super) fn answers(&mut self, status: u16, kind: &str, body: String) {
        self.answers_with(status, &[("content-type", kind)], body);
    }

    pub(super) fn answers_with(&mut self, status: u16, fields: &[(&str, &str)], body: String) {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        let headers = HeaderMap::from_iter(fields.iter().map(field));
        let status = StatusCode::from_u16(status).unwrap();
        let head = UpstreamHead { status, headers, framed: false, signed_with: Vec::new() };
        self.report(|attempt| Report::Head(attempt, head));
        if !body.is_empty() {
            self.report(|attempt| Report::Body(attempt, body.into()));
        }
    }

    /// It says this in OpenAI's chat, and whether that is the end.
    pub(super) fn says(&mut self, words: &str, ended: bool) {
        self.answers(200, "text/event-stream", chat(words, ended));
        if ended {
            self.report(Report::End);
        }
    }

    pub(super) fn breaks(&mut self) {
        self.report(|attempt| Report::Failed(attempt, Io::Broken));
    }

    pub(super) fn path(&self) -> String {
        self.sent.last().unwrap().uri.to_string()
    }

    pub(super) fn body(&self) -> String {
        String::from_utf8(self.sent.last().unwrap().body.concat()).unwrap()
    }
}

/// Chunks of OpenAI's chat.
pub(super) fn chat(words: &str, ended: bool) -> String {
    let chunk = |choices: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",{choices}}}\n\n"
        )
    };
    let words = serde_json::Value::from(words);
    let mut text = chunk(&format!(
        "\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{words}}},\"finish_reason\":null}}]"
    ));
    if ended {
        text += &chunk("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]");
        let usage = "\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":5,\"total_tokens\":35}";
        text += &chunk(&format!("\"choices\":[],{usage}"));
        text += "data: [DONE]\n\n";
    }
    text
}

/// The words that a caller of OpenAI's chat was told, and how many tokens the answer has.
pub(super) fn heard(told: &[u8]) -> (String, Option<u64>) {
    let text = String::from_utf8_lossy(told);
    let events = text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    let events: Vec<serde_json::Value> = events.collect();
    let words = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
    (words.collect(), events.iter().find_map(|event| event["usage"]["completion_tokens"].as_u64()))
}
