//! What every writer does, whatever its dialect: it knows where things stood, and notes what is lost.

use crate::{
    Carried, DialectId, Losses,
    canon::{At, Block, Extra, Kind, Request, Role, Tool, Turn},
    json,
};
use serde_json::{Map, Value};

/// Why a member is lost that only another API has.
pub(crate) const NO_MEMBER: &str = "the target's API has no such member";
/// Why a thing is lost that only another API knows.
pub(crate) const FOREIGN: &str = "only another API knows this";
/// Why a cache hint is lost.
pub(crate) const NO_CACHE: &str = "the target's API has no cache hints";
/// Why thoughts are lost.
pub(crate) const NO_THOUGHTS: &str = "thoughts return only to the API that sealed them";

/// Where a block is written, in dialects whose results are blocks of the user's: it decides what they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    System,
    User,
    Assistant,
    ToolResult,
}

impl Place {
    pub(crate) fn takes(self, kind: &Kind) -> bool {
        match kind {
            Kind::Text(_) | Kind::Refusal(_) | Kind::Opaque { .. } => true,
            Kind::Image(_) | Kind::File(_) => matches!(self, Place::User | Place::ToolResult),
            Kind::ToolUse { .. } | Kind::Reasoning { .. } => self == Place::Assistant,
            Kind::Audio(_) | Kind::ToolResult { .. } => self == Place::User,
        }
    }
}

/// What is known while one body is written.
#[derive(Debug)]
pub(crate) struct Notes {
    /// The dialect that is written.
    me: DialectId,
    /// What is written was read from this dialect.
    pub(crate) own: bool,
    /// An answer is written and not a request.
    pub(crate) answer: bool,
    /// The number of the answer's block that is being written, where the dialect tells it.
    pub(crate) number: Option<usize>,
    /// What was lost so far.
    pub(crate) losses: Losses,
}

impl Notes {
    /// For a request in dialect `me`.
    pub(crate) fn request(me: DialectId, own: bool) -> Self {
        Notes { me, own, answer: false, number: None, losses: Losses::new() }
    }

    /// For an answer in dialect `me`.
    pub(crate) fn answer(me: DialectId, own: bool) -> Self {
        Notes { answer: true, ..Notes::request(me, own) }
    }

    /// Where a block stood, or a member of it.
    pub(crate) fn pointer(&self, block: &Block, member: &str) -> String {
        match self.number {
            Some(number) => format!("/content/{number}/{member}").trim_end_matches('/').to_owned(),
            None => {
                let pointer = block.at.pointer("messages", "content", member);
                // An answer has no list of messages: its blocks stand in `content`.
                if self.answer { pointer.replacen("/system", "/content", 1) } else { pointer }
            }
        }
    }

    /// Notes that something of a block is lost; all of it where `member` is empty.
    pub(crate) fn lose(&mut self, block: &Block, member: &str, why: &'static str) {
        self.losses.note(self.pointer(block, member), why);
    }

    /// Notes the members that only another dialect knows.
    pub(crate) fn extra(&mut self, extra: &Extra, pointer: &str) {
        for name in extra.lost_to(self.me) {
            self.losses.note(format!("{pointer}/{}", json::escaped(name)), NO_MEMBER);
        }
    }

    /// Writes back what the reader left, or notes that it is lost.
    pub(crate) fn rest(&mut self, extra: &Extra, pointer: &str, into: &mut Map<String, Value>) {
        [extra.form(self.me), extra.of(self.me)].into_iter().for_each(|members| json::add(into, members));
        self.extra(extra, pointer);
    }

    /// Notes what a block loses beside what it says, where the dialect has no cache hints. The seal on words or
    /// on a call goes to a client, who brings it back, and to no provider but its issuer.
    pub(crate) fn hints(&mut self, block: &Block) {
        if block.seal.is_some() && !self.answer && !self.own {
            self.lose(block, "signature", "a seal returns only to the API that it came from");
        }
        if block.cache.is_some() && !self.own {
            self.lose(block, "cache_control", NO_CACHE);
        }
        self.extra(&block.extra, &self.pointer(block, ""));
    }

    /// Notes what a turn loses beside what is said, where the dialect has no names.
    pub(crate) fn turn(&mut self, turn: &Turn) {
        let pointer = At { part: None, ..turn.at }.pointer("messages", "content", "");
        if turn.name.is_some() {
            self.losses.note(format!("{pointer}/name"), NO_MEMBER);
        }
        self.extra(&turn.extra, &pointer);
    }

    /// Notes that instructions stand where the dialect has none.
    pub(crate) fn late_instructions(&mut self, turn: &Turn) {
        let pointer = At { part: None, ..turn.at }.pointer("messages", "content", "role");
        self.losses.note(pointer, "only the first messages can be instructions");
    }

    /// Another dialect's turns that are instructions (they lead, and `leads` agrees), and the others.
    /// Instructions alone are asked as the user's, because every API wants something said.
    pub(crate) fn instructions<'a>(
        &self,
        turns: &'a [Turn],
        leads: impl Fn(&Turn) -> bool,
    ) -> (&'a [Turn], &'a [Turn]) {
        let is_role = |turn: &Turn| matches!(turn.role, Role::System | Role::Developer);
        let count = turns.iter().take_while(|turn| is_role(turn) && leads(turn)).count();
        turns.split_at(if count == turns.len() && !self.own { 0 } else { count })
    }

    /// The input of a call as an object. What the model wrote wrongly (cut off, most often) becomes an empty
    /// one: a wrapper of our own would teach it a parameter that the tool lacks.
    pub(crate) fn input(&mut self, block: &Block, input: &str) -> Map<String, Value> {
        let read = serde_json::from_str(input);
        if read.is_err() && !input.trim().is_empty() {
            self.lose(block, "input", "the call's arguments are not a JSON object");
        }
        read.unwrap_or_default()
    }

    /// What could be written of a member, whose loss is noted where it could not.
    pub(crate) fn or_lose(&mut self, written: Option<Value>, pointer: &str) -> Option<Value> {
        if written.is_none() {
            self.losses.note(pointer, FOREIGN);
        }
        written
    }

    /// What only one dialect knows, if it is this one.
    pub(crate) fn native(&mut self, dialect: DialectId, json: &Value, pointer: &str) -> Option<Value> {
        if dialect != self.me {
            self.losses.note(pointer, FOREIGN);
        }
        (dialect == self.me).then(|| json.clone())
    }

    /// Notes what a tool loses, where the dialect has no cache hints.
    pub(crate) fn tool(&mut self, tool: &Tool, index: usize) {
        if tool.cache.is_some() && !self.own {
            self.losses.note(format!("/tools/{index}/cache_control"), NO_CACHE);
        }
        self.extra(&tool.extra, &format!("/tools/{index}"));
    }

    /// The wishes of `names` that a dialect without such members loses; one that asks for nothing is no loss.
    pub(crate) fn sampling(&mut self, request: &Request, names: &[&str]) {
        let wish = &request.sampling;
        let asks =
            |number: &Option<serde_json::Number>| number.as_ref().is_some_and(|n| n.as_f64() != Some(0.0));
        for name in names {
            let lost = match *name {
                "stop" => !wish.stop.is_empty(),
                "top_k" => wish.top_k.is_some(),
                "frequency_penalty" => asks(&wish.frequency_penalty),
                "presence_penalty" => asks(&wish.presence_penalty),
                "seed" => wish.seed.is_some(),
                "n" => wish.n.is_some_and(|n| n > 1),
                "logprobs" => wish.logprobs == Some(true),
                "top_logprobs" => wish.top_logprobs.is_some(),
                _ => false,
            };
            if lost {
                self.losses.note(format!("/{name}"), NO_MEMBER);
            }
        }
    }

    /// The request that has been written, with what it lost in the words of its sender.
    pub(crate) fn body(self, body: Map<String, Value>, sender: DialectId) -> Carried<Vec<u8>> {
        Carried { value: json::bytes(&Value::Object(body)), losses: self.losses.in_words_of(sender) }
    }
}
