//! A gateway with two providers behind it: the first has trouble, the second is its fallback.

use super::{
    chat,
    client::{Answer, Client, PATIENCE, Request, post},
    gateway::{Gateway, Setup},
    message, streamed, tag,
};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::provider::{Provider, Seen};

/// The limits of a real configuration (30 s for a first byte and for silence, 10 s until a race) on a scale
/// of one to ten, and two retries.
pub(crate) const SCALED: &str =
    "timeouts: {first_byte: 3s, idle: 3s, total: 60s}\nfailover: {retries: 2, race: 1s}\n";

/// What the providers answer where nothing else is said: sixty words, one a token.
pub(crate) const SIXTY: &str = "words=60 gap-ms=2";

/// A gateway and its two providers, which speak both dialects each.
pub(crate) struct Pair {
    pub(crate) gateway: Gateway,
    pub(crate) first: Provider,
    pub(crate) second: Provider,
}

/// An API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Messages,
}

/// Who asks, how, and of whom. Its alias and its models are no other cell's, so that what is remembered of
/// them is its own.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) caller: Api,
    pub(crate) first: Api,
    pub(crate) second: Api,
    pub(crate) stream: bool,
}

/// One request of a cell, and all that came of it.
pub(crate) struct Run {
    pub(crate) answer: Answer,
    pub(crate) heard: Heard,
    /// Until the head of the answer, and until its end.
    pub(crate) head: Instant,
    pub(crate) took: Duration,
    /// What each provider saw of it.
    pub(crate) first: Vec<Seen>,
    pub(crate) second: Vec<Seen>,
}

/// An answer as its caller reads it.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) model: String,
    /// It said that it came to its end.
    stopped: bool,
    /// It came to the end that its dialect says it has.
    pub(crate) ended: bool,
    /// The code or the type of the error in it.
    pub(crate) error: Option<String>,
    pub(crate) output: Option<u64>,
}

impl Api {
    const ALL: [Api; 2] = [Api::Chat, Api::Messages];

    fn name(self) -> &'static str {
        if self == Api::Chat { "chat" } else { "messages" }
    }

    /// A request to `model` with this text.
    pub(crate) fn request(self, model: &str, text: &str, stream: bool) -> Request {
        let (path, mut body) = match self {
            Api::Chat => ("/v1/chat/completions", chat(model, text)),
            Api::Messages => ("/v1/messages", message(model, text)),
        };
        if stream {
            body = streamed(body);
        }
        if stream && self == Api::Chat {
            body["stream_options"]["include_usage"] = true.into();
        }
        post(path, body)
    }

    /// Reads an answer.
    pub(crate) fn read(self, answer: &Answer) -> Heard {
        let streamed = answer.header("content-type").starts_with("text/event-stream");
        let mut heard = Heard::default();
        let parts: Vec<Value> = match streamed {
            true => answer.events().iter().filter_map(|(_, data)| serde_json::from_str(data).ok()).collect(),
            false => vec![answer.json()],
        };
        for part in &parts {
            if part["error"].is_object() {
                heard.error = Some(super::client::code_of(part));
            }
            match self {
                Api::Chat => heard.chat(part),
                Api::Messages => heard.message(part),
            }
        }
        heard.ended &= answer.whole;
        heard
    }
}

impl Heard {
    fn chat(&mut self, part: &Value) {
        let choice = &part["choices"][0];
        let text = choice["delta"]["content"].as_str().or(choice["message"]["content"].as_str());
        self.text += text.unwrap_or_default();
        self.ended |= choice["finish_reason"] == "stop";
        self.model = part["model"].as_str().unwrap_or(&self.model).to_owned();
        self.output = part["usage"]["completion_tokens"].as_u64().or(self.output);
    }

    fn message(&mut self, part: &Value) {
        let stop = part["delta"]["stop_reason"].as_str().or(part["stop_reason"].as_str());
        self.stopped |= stop == Some("end_turn");
        let text = part["delta"]["text"].as_str().or(part["content"][0]["text"].as_str());
        self.text += text.unwrap_or_default();
        self.ended |= self.stopped && matches!(part["type"].as_str(), Some("message_stop" | "message"));
        let model = part["message"]["model"].as_str().or(part["model"].as_str());
        self.model = model.unwrap_or(&self.model).to_owned();
        self.output = part["usage"]["output_tokens"].as_u64().or(self.output);
    }
}

/// These are the sixty words, each once.
pub(crate) fn is_sixty(text: &str) -> bool {
    let lexicon = "the 関所 reads each paper, counts each toll, and opens its gates";
    text.split(' ').eq(lexicon.split(' ').cycle().take(60))
}

impl Cell {
    /// Every pair of dialects, streamed, whole, or both.
    pub(crate) fn all(streams: &[bool]) -> Vec<Cell> {
        let pairs = Api::ALL.into_iter().flat_map(|caller| Api::ALL.map(|first| (caller, first)));
        let triples = pairs.flat_map(|(caller, first)| Api::ALL.map(|second| (caller, first, second)));
        let cells = triples.flat_map(|(caller, first, second)| {
            streams.iter().map(move |stream| Cell { caller, first, second, stream: *stream })
        });
        cells.collect()
    }

    pub(crate) fn alias(&self) -> String {
        let [caller, first, second] = [self.caller, self.first, self.second].map(Api::name);
        format!("{caller}-{first}-{second}-{}", if self.stream { "stream" } else { "whole" })
    }

    /// The target of the first provider, as `x-sekisho-target` names it.
    pub(crate) fn first_target(&self) -> String {
        format!("first-{}/{}-a", self.first.name(), self.alias())
    }

    pub(crate) fn second_target(&self) -> String {
        format!("second-{}/{}-b", self.second.name(), self.alias())
    }

    fn row(&self) -> String {
        format!("  {}: [{}, {}]\n", self.alias(), self.first_target(), self.second_target())
    }
}

impl Pair {
    /// Starts all three: the first provider with trouble, the second with `fallback`'s, `settings` first in
    /// the configuration.
    pub(crate) fn start(settings: &str, trouble: &str, fallback: &str) -> Pair {
        Pair::start_with(settings, trouble, fallback, "")
    }

    /// The same with a fallback whose models are known to go on with what is given them.
    pub(crate) fn start_able(settings: &str, trouble: &str, fallback: &str) -> Pair {
        Pair::start_with(settings, trouble, fallback, ", facts: {\"*\": {abilities: {prefill: true}}}")
    }

    fn start_with(settings: &str, trouble: &str, fallback: &str, able: &str) -> Pair {
        let provider = |script: &str| Provider::start(format!("{SIXTY} {script}").as_str());
        let (first, second) = (provider(trouble), provider(fallback));
        let (first, second) = (first.expect("it starts"), second.expect("it starts"));
        let rows: String = Cell::all(&[true, false]).iter().map(Cell::row).collect();
        let config = format!(
            "{settings}log: {{format: json}}\nproviders:\n  \
             first-chat: {{base_url: \"{0}/v1\", keys: []}}\n  \
             first-messages: {{base_url: \"{0}\", dialect: anthropic, keys: []}}\n  \
             second-chat: {{base_url: \"{1}/v1\", keys: []{able}}}\n  \
             second-messages: {{base_url: \"{1}\", dialect: anthropic, keys: []{able}}}\n\
             models:\n  \"either-*\": [\"first-chat/*\", \"second-chat/*\"]\n{rows}",
            first.url(),
            second.url(),
        );
        let gateway = Gateway::start(&Setup { config: Some(config), ..Setup::default() });
        Pair { gateway, first, second }
    }

    /// Asks as a cell does, with further directives for the providers or other words in the prompt.
    pub(crate) fn ask(&self, cell: &Cell, text: &str) -> Run {
        self.ask_model(cell.caller, &cell.alias(), text, cell.stream)
    }

    pub(crate) fn ask_model(&self, caller: Api, model: &str, text: &str, stream: bool) -> Run {
        let tag = tag();
        let request = caller.request(model, &format!("{tag} {text}"), stream);
        let (began, mut client) = (Instant::now(), self.gateway.connect());
        client.send_request(&request);
        let head = head(&mut client);
        let answer = client.answer();
        let took = began.elapsed();
        let heard = caller.read(&answer);
        let [first, second] = [&self.first, &self.second].map(|provider| seen(provider, &tag));
        Run { answer, heard, head, took, first, second }
    }
}

/// When the first bytes of an answer have come.
fn head(client: &mut Client) -> Instant {
    client.wait_for("\r\n\r\n");
    Instant::now()
}

/// What a provider saw of requests that hold `tag`, once all of them have ended.
fn seen(provider: &Provider, tag: &str) -> Vec<Seen> {
    let holds = |seen: &&Seen| {
        seen.body.as_ref().is_some_and(|body| super::client::find(body, tag.as_bytes()).is_some())
    };
    let ended = |log: &[Seen]| log.iter().filter(holds).all(|seen| seen.end.is_some());
    assert!(provider.wait_for(ended, PATIENCE), "{tag}: the provider goes on");
    provider.log().iter().filter(holds).cloned().collect()
}
