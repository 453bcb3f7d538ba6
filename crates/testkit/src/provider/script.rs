//! What the provider does with one request, written as text:
//! `status=429 retry-after=2`, or `words=50 gap-ms=20 cut-after=3 how=rst`.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::{str::FromStr, time::Duration};

/// One request's script. Text becomes one by `Script::from`; [`KNOBS`] lists what can be said.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// HTTP status. Anything from 400 up answers with the dialect's own error body.
    pub status: u16,
    /// Further response headers; they replace those of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Answered verbatim in place of everything else.
    pub body: Option<Bytes>,
    /// Wait before the response head.
    pub head_wait: Duration,
    /// Wait between the head and the first event (or the body).
    pub first_wait: Duration,
    /// Further wait before the first token of a stream, behind the events that only open it.
    pub token_wait: Duration,
    /// Wait between two events.
    pub gap: Duration,
    /// The tool that the model calls first, whatever the user says, where it is offered.
    pub call: Option<String>,
    /// What it is called with; else an example that satisfies its schema.
    pub argument: Option<(String, String)>,
    /// What the model says; else a fixed sentence.
    pub text: Option<String>,
    /// Length of the fixed sentence, in words.
    pub words: usize,
    /// Least length of each word, in bytes; shorter ones are filled up.
    pub word_bytes: usize,
    /// Size of each write in bytes; else as HTTP likes it.
    pub chunk: Option<usize>,
    /// Each event is a write of its own.
    pub flush: bool,
    /// Where the answer is cut short.
    pub cut: Option<Cut>,
    /// How it is cut short.
    pub how: How,
    /// Silence from this place on; the connection stays open.
    pub stall: Option<Place>,
    /// The same behind the last event.
    pub hang: bool,
    /// The request is read and never answered.
    pub silent: bool,
    /// What the real API would refuse is let through. Only in the script a provider is started with, or a queued one.
    pub lenient: bool,
    /// Connections are accepted and never read. Only in the script a provider is started with.
    pub deaf: bool,
    /// What is sent that is not what it should be.
    pub garbage: Option<Garbage>,
    /// An event of broken JSON that belongs to no answer, before the token at this position.
    pub noise: Option<usize>,
    /// The request is refused with the dialect's own error.
    pub refusal: Option<Refusal>,
    /// Whether the last message may be the assistant's.
    pub prefill: bool,
    /// The answer does not go on with such a message, but begins anew.
    pub anew: bool,
    /// `Retry-After`, as the date in so many seconds.
    pub retry_date: Option<u64>,
    /// Only so many requests for one model meet with trouble; the others are answered.
    pub times: Option<u64>,
    /// Trouble lasts this long, from the first request for a model on.
    pub lasts: Option<Duration>,
    /// An error event in place of the event at this position, and the end.
    pub error_at: Option<usize>,
    /// Whether a stream ends with the dialect's last event (`[DONE]`, `message_stop`).
    pub done: bool,
    /// The chunk with the finish reason is sent twice.
    pub finish_twice: bool,
    /// An SSE comment before each event.
    pub comments: bool,
    /// Lines of a stream end with CR LF.
    pub crlf: bool,
    /// A stream starts with an event that says nothing (no choices; a ping).
    pub empty_first: bool,
    /// Where a stream carries its usage.
    pub usage: UsageAt,
    /// Input tokens, cached ones included; else estimated.
    pub input: Option<u64>,
    /// Output tokens; else counted.
    pub output: Option<u64>,
    /// Cached tokens among the input tokens.
    pub cached: u64,
    /// The member that carries reasoning text in OpenAI chat.
    pub reasoning: String,
    /// What was wrong with the text. Then the answer is a 500 that says so.
    pub mistake: Option<String>,
}

/// Where an answer is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before any byte.
    Head,
    /// After this many bytes of the body.
    Byte(usize),
    /// Here.
    At(Place),
}

/// A place in a stream. In a whole answer every place is somewhere inside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After this many events.
    Event(usize),
    /// After this many tokens; the events that open a stream are none.
    Token(usize),
}

/// What a request is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The prompt does not fit the model's context.
    Context,
    /// A content filter does not like it.
    Filter,
}

/// How an answer is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The connection is closed. Over HTTP/2: the stream is reset.
    Fin,
    /// The connection is reset.
    Rst,
    /// As if nothing had happened: the body ends, and HTTP is satisfied.
    Eof,
}

/// What is sent that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Something that is not an HTTP response, then the end of the connection.
    Head,
    /// The event behind this place (0 of a whole answer: its body) is broken JSON.
    At(Place),
}

/// Where a stream carries its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageAt {
    /// In the last chunk, without choices, when the request asks for it. In Anthropic's: as documented.
    Asked,
    /// As `Asked`, whether or not the request asks for it.
    Always,
    /// In the chunk with the finish reason (DeepSeek, Mistral).
    Finish,
    /// Twice: in the chunk with the finish reason and again without choices (Groq).
    Twice,
    /// In every chunk, cumulative (Perplexity).
    Every,
    /// Nowhere.
    Never,
}

type Set = fn(&mut Script, &str) -> Result<(), String>;

/// Every knob: name, meaning, what it sets. `header.NAME=VALUE` is one more.
pub const KNOBS: &[(&str, &str, Set)] = &[
    ("anew", "the answer does not go on with the last message", |s, v| put(&mut s.anew, flag(v)?)),
    ("argument", "`NAME:TEXT`, what the tool of `call` is called with", |s, v| {
        let (name, text) = v.split_once(':').ok_or("it wants `NAME:TEXT`")?;
        put(&mut s.argument, Some((name.to_owned(), text.to_owned())))
    }),
    ("body", "this body, verbatim", |s, v| put(&mut s.body, Some(Bytes::copy_from_slice(v.as_bytes())))),
    ("cached", "cached tokens among the input", |s, v| put(&mut s.cached, number(v)?)),
    ("call", "call this tool, where it is offered", |s, v| put(&mut s.call, Some(v.to_owned()))),
    ("chunk", "bytes of each write", |s, v| put(&mut s.chunk, Some(number::<usize>(v)?.max(1)))),
    ("comments", "an SSE comment before each event", |s, v| put(&mut s.comments, flag(v)?)),
    ("crlf", "lines end with CR LF", |s, v| put(&mut s.crlf, flag(v)?)),
    ("cut", "cut short after N bytes of the body, or at `head`", |s, v| {
        put(&mut s.cut, Some(if v == "head" { Cut::Head } else { Cut::Byte(number(v)?) }))
    }),
    ("cut-after", "cut short after N events", |s, v| {
        put(&mut s.cut, Some(Cut::At(Place::Event(number(v)?))))
    }),
    ("cut-token", "cut short after N tokens", |s, v| {
        put(&mut s.cut, Some(Cut::At(Place::Token(number(v)?))))
    }),
    ("deaf", "accept connections, read nothing", |s, v| put(&mut s.deaf, flag(v)?)),
    ("done", "whether the last event is sent", |s, v| put(&mut s.done, flag(v)?)),
    ("empty-first", "a first event that says nothing", |s, v| put(&mut s.empty_first, flag(v)?)),
    ("error", "refused: `context`, `filter`", |s, v| put(&mut s.refusal, Some(one_of(v, REFUSALS)?))),
    ("error-at", "an error event at position N", |s, v| put(&mut s.error_at, Some(number(v)?))),
    ("finish-twice", "the finish reason twice", |s, v| put(&mut s.finish_twice, flag(v)?)),
    ("first-ms", "wait before the first event", |s, v| put(&mut s.first_wait, millis(v)?)),
    ("flush", "each event is a write of its own", |s, v| put(&mut s.flush, flag(v)?)),
    ("for-ms", "trouble so long from a model's first request on", |s, v| put(&mut s.lasts, Some(millis(v)?))),
    ("gap-ms", "wait between events", |s, v| put(&mut s.gap, millis(v)?)),
    ("garbage", "broken JSON at event N, or a broken `head`", |s, v| {
        put(
            &mut s.garbage,
            Some(if v == "head" { Garbage::Head } else { Garbage::At(Place::Event(number(v)?)) }),
        )
    }),
    ("garbage-token", "broken JSON at token N", |s, v| {
        put(&mut s.garbage, Some(Garbage::At(Place::Token(number(v)?))))
    }),
    ("hang", "the connection stays open behind the last event", |s, v| put(&mut s.hang, flag(v)?)),
    ("head-ms", "wait before the head", |s, v| put(&mut s.head_wait, millis(v)?)),
    ("how", "how to cut: `fin`, `rst`, `eof`", |s, v| put(&mut s.how, one_of(v, HOWS)?)),
    ("input", "input tokens", |s, v| put(&mut s.input, Some(number(v)?))),
    ("lenient", "take what the real API refuses", |s, v| put(&mut s.lenient, flag(v)?)),
    ("noise-token", "a further event, of broken JSON, before token N", |s, v| {
        put(&mut s.noise, Some(number(v)?))
    }),
    ("output", "output tokens", |s, v| put(&mut s.output, Some(number(v)?))),
    ("prefill", "whether the last message may be the assistant's", |s, v| put(&mut s.prefill, flag(v)?)),
    ("reasoning", "member that carries reasoning (OpenAI)", |s, v| put(&mut s.reasoning, v.to_owned())),
    ("retry-after", "that header", |s, v| header(s, "retry-after", v)),
    ("retry-after-date", "that header, as the date in N seconds", |s, v| {
        put(&mut s.retry_date, Some(number(v)?))
    }),
    ("silent", "read, never answer", |s, v| put(&mut s.silent, flag(v)?)),
    ("stall", "silence after N events", |s, v| put(&mut s.stall, Some(Place::Event(number(v)?)))),
    ("stall-token", "silence after N tokens", |s, v| put(&mut s.stall, Some(Place::Token(number(v)?)))),
    ("status", "HTTP status", |s, v| put(&mut s.status, number(v)?)),
    ("text", "what the model says", |s, v| put(&mut s.text, Some(v.to_owned()))),
    ("times", "trouble for a model's first N requests", |s, v| put(&mut s.times, Some(number(v)?))),
    ("token-ms", "wait before the first token", |s, v| put(&mut s.token_wait, millis(v)?)),
    ("usage", "`asked`, `always`, `finish`, `twice`, `every`, `never`", |s, v| {
        put(&mut s.usage, one_of(v, USAGES)?)
    }),
    ("word-bytes", "least length of a word", |s, v| put(&mut s.word_bytes, number(v)?)),
    ("words", "length of the fixed sentence", |s, v| put(&mut s.words, number(v)?)),
];

const HOWS: &[(&str, How)] = &[("fin", How::Fin), ("rst", How::Rst), ("eof", How::Eof)];

const REFUSALS: &[(&str, Refusal)] = &[("context", Refusal::Context), ("filter", Refusal::Filter)];

const USAGES: &[(&str, UsageAt)] = &[
    ("asked", UsageAt::Asked),
    ("always", UsageAt::Always),
    ("finish", UsageAt::Finish),
    ("twice", UsageAt::Twice),
    ("every", UsageAt::Every),
    ("never", UsageAt::Never),
];

impl Default for Script {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: None,
            head_wait: Duration::ZERO,
            first_wait: Duration::ZERO,
            token_wait: Duration::ZERO,
            gap: Duration::ZERO,
            call: None,
            argument: None,
            text: None,
            words: 12,
            word_bytes: 0,
            chunk: None,
            flush: false,
            cut: None,
            how: How::Fin,
            stall: None,
            hang: false,
            silent: false,
            lenient: false,
            deaf: false,
            garbage: None,
            noise: None,
            refusal: None,
            prefill: true,
            anew: false,
            retry_date: None,
            times: None,
            lasts: None,
            error_at: None,
            done: true,
            finish_twice: false,
            comments: false,
            crlf: false,
            empty_first: false,
            usage: UsageAt::Asked,
            input: None,
            output: None,
            cached: 0,
            reasoning: "reasoning_content".to_owned(),
            mistake: None,
        }
    }
}

impl From<&str> for Script {
    fn from(text: &str) -> Self {
        let mut script = Self::default();
        script.apply(text);
        script
    }
}

impl Script {
    /// Turns the knobs that `text` names; what it does not name stays. The first mistake is kept.
    pub fn apply(&mut self, text: &str) {
        let mut rest = text;
        while let Some((name, value)) = next_knob(&mut rest) {
            if let Err(why) = self.turn(name, value) {
                self.mistake.get_or_insert(format!("knob `{name}`: {why}"));
            }
        }
    }

    /// What is left of it without trouble: what is said, and how.
    pub(crate) fn healed(self) -> Script {
        let Script { text, words, word_bytes, gap, chunk, flush, comments, crlf, empty_first, .. } = self;
        let Script { usage, input, output, cached, reasoning, mistake, .. } = self;
        let spoken =
            Script { text, words, word_bytes, gap, chunk, flush, comments, crlf, ..Script::default() };
        Script { empty_first, usage, input, output, cached, reasoning, mistake, ..spoken }
    }

    /// The same with every place told in events, for a stream before whose first token `lead` events stand,
    /// or for a whole answer of so many `bytes`.
    pub(crate) fn placed(&self, lead: Option<usize>, bytes: usize) -> Script {
        let at = |place: Place| match (place, lead) {
            (Place::Token(tokens), Some(lead)) => Place::Event(lead + tokens),
            (Place::Token(_), None) => Place::Event(0),
            (event, _) => event,
        };
        let cut = self.cut.map(|cut| match (cut, lead) {
            (Cut::At(Place::Token(_)), None) => Cut::Byte(bytes / 2),
            (Cut::At(place), _) => Cut::At(at(place)),
            (other, _) => other,
        });
        let garbage = self.garbage.map(|garbage| match garbage {
            Garbage::At(place) => Garbage::At(at(place)),
            Garbage::Head => Garbage::Head,
        });
        Script { cut, garbage, stall: self.stall.map(at), ..self.clone() }
    }

    fn turn(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(name) = name.strip_prefix("header.") {
            return header(self, name, value);
        }
        match KNOBS.iter().find(|(known, ..)| *known == name) {
            Some((_, _, set)) => set(self, value),
            None => Err(format!("unknown; known are `header.NAME`, `{}`", known_names().join("`, `"))),
        }
    }
}

/// The directive `[[kit …]]` inside a text, if there is one.
pub(crate) fn directive(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("[[kit ")?;
    rest.split_once("]]").map(|(inside, _)| inside)
}

fn known_names() -> Vec<&'static str> {
    KNOBS.iter().map(|(name, ..)| *name).collect()
}

/// Takes one `name`, `name=value`, `name='a value'` or `name="a value"` off the front.
fn next_knob<'a>(rest: &mut &'a str) -> Option<(&'a str, &'a str)> {
    let text = rest.trim_start();
    let name_end = text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len());
    let (name, after) = text.split_at(name_end);
    if name.is_empty() && after.is_empty() {
        return None;
    }
    let Some(value) = after.strip_prefix('=') else {
        *rest = after;
        return Some((name, ""));
    };
    let quoted = ['\'', '"'].into_iter().find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
    let (value, after) =
        quoted.unwrap_or_else(|| value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())));
    *rest = after;
    Some((name, value))
}

fn put<T>(slot: &mut T, value: T) -> Result<(), String> {
    *slot = value;
    Ok(())
}

fn header(script: &mut Script, name: &str, value: &str) -> Result<(), String> {
    let name = HeaderName::from_str(name).map_err(|error| error.to_string())?;
    let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
    script.headers.push((name, value));
    Ok(())
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("`{value}` is not a number that fits"))
}

fn millis(value: &str) -> Result<Duration, String> {
    number(value).map(Duration::from_millis)
}

fn flag(value: &str) -> Result<bool, String> {
    one_of(value, &[("", true), ("yes", true), ("no", false)])
}

fn one_of<T: Copy>(value: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == value).map(|(_, meant)| *meant);
    found.ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        format!("`{value}` is none of `{}`", names.join("`, `"))
    })
}
