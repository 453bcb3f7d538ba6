//! Bytes of one LLM API ⇄ canonical form ⇄ bytes of another.
//!
//! This crate is pure: it knows no network, no clock, no randomness, no files and no provider. Reading
//! can fail, and then the caller gets a [`Fault`]. Writing cannot fail, it can only lose, and it says
//! what it lost ([`Loss`]).
//!
//! Each dialect is a folder with the same five files: `wire` (its vocabulary), `read` (requests, answers
//! and errors into canonical form), `write` (the way back), `stream` (both again, event by event) and
//! `tests`, together no more than 1,500 lines without those. Some are spoken by providers alone, and `write` is
//! then about requests and `stream` about reading. No dialect imports another: what all share is `canon`, `frame`,
//! `json`, `fault`, `loss`, `pen` and `shape`, and what some share is `openai` and `claude`.

mod anthropic;
mod bedrock;
pub mod canon;
mod claude;
mod cohere;
pub mod embed;
pub mod error_body;
pub mod fault;
pub mod frame;
mod gemini;
pub mod json;
pub mod laws;
pub mod limits;
pub mod loss;
mod openai;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod pen;
pub mod pipe;
mod replicate;
pub mod schema;
mod shape;
pub mod splice;
#[cfg(test)]
mod tests;

use canon::{Event, IdForm, Message, Request, Seal, Usage};
pub use fault::{Fault, FaultKind};
use frame::Framing;
pub use loss::{Carried, Loss, Losses};

/// The dialects, in alphabetical order. A new one is a folder, a `mod` line and a row here.
macro_rules! dialects {
    ($($variant:ident = $name:literal => $implementation:expr,)*) => {
        /// The name of a dialect: the wire format of one family of LLM APIs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DialectId { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl DialectId {
            /// Every dialect there is, in the order of their names.
            pub const ALL: &'static [DialectId] = &[$(DialectId::$variant,)*];

            /// Their names, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name as it stands in configuration, logs and folder names.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(DialectId::$variant => $name,)* }
            }

            /// What reads and writes this dialect.
            #[must_use]
            pub fn dialect(self) -> &'static dyn Dialect {
                match self { $(DialectId::$variant => &$implementation,)* }
            }
        }
    };
}

dialects! {
    Anthropic = "anthropic" => anthropic::Anthropic,
    Bedrock = "bedrock" => bedrock::Bedrock,
    Cohere = "cohere" => cohere::Cohere,
    Gemini = "gemini" => gemini::Gemini,
    OpenaiChat = "openai_chat" => openai_chat::OpenaiChat,
    OpenaiCompletions = "openai_completions" => openai_completions::OpenaiCompletions,
    OpenaiResponses = "openai_responses" => openai_responses::OpenaiResponses,
    Replicate = "replicate" => replicate::Replicate,
}

impl DialectId {
    /// The dialect of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<DialectId> {
        DialectId::ALL.iter().copied().find(|id| id.name() == name)
    }

    /// The dialects that callers speak. Providers speak all.
    pub fn callers() -> impl Iterator<Item = DialectId> {
        DialectId::ALL.iter().copied().filter(|id| id.dialect().serves_callers())
    }

    /// The fault for a caller whose request holds what only a provider of the caller's own dialect can serve
    /// ([`Request::needs`]), where a provider of this dialect shall be asked.
    #[must_use]
    pub fn refusal(self, request: &Request) -> Option<Fault> {
        let need = request.needs.first().filter(|_| request.from != self)?;
        let message = format!(
            "`{need}` needs a provider that speaks `{}`, and this model's provider does not",
            request.from.name()
        );
        Some(Fault::bad(need, message).hint("send one whole conversation in the request itself"))
    }
}

/// Members of a request that an answer repeats.
pub type Echo = serde_json::Map<String, serde_json::Value>;

/// What a dialect must know of the model it writes a request for. Facts come from the plan; a dialect
/// knows no provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target<'a> {
    /// The model's name as the provider knows it.
    pub model: &'a str,
    /// The most tokens the model can write, where that is known. Dialects that demand a limit (Anthropic)
    /// use it when the caller gave none.
    pub max_output: Option<u64>,
    /// The provider wants OpenAI's newer name for the limit, `max_completion_tokens`: OpenAI's reasoning
    /// models refuse `max_tokens`, most compatible servers know only that. So it is OpenAI's own, and has members
    /// that they refuse.
    pub completion_limit: bool,
    /// The provider refuses thoughts that it did not seal, where others of its dialect take them.
    pub sealed_only: bool,
    /// The ids of tool calls that the provider takes.
    pub ids: IdForm,
}

impl Target<'_> {
    /// A body of `dialect` may go to this provider untouched. It may not when it holds what only another issuer
    /// may see, or what this one refuses: then it must be read and written anew.
    #[must_use]
    pub fn takes(&self, body: &[u8], dialect: DialectId) -> bool {
        let sealed = !self.sealed_only || dialect != DialectId::Anthropic || !Seal::lacks(body);
        sealed && !Seal::strays(body, dialect) && self.ids.fits_all(body, dialect)
    }
}

/// Where the operations of a dialect live below a provider's base, unless the provider says otherwise.
/// `{model}` stands for the model's name as one segment, `{model..}` for the name with its slashes. Where it
/// stands in the path it stands in no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paths {
    /// A model answers.
    pub generate: &'static str,
    /// A model answers with a stream, where that is another path.
    pub stream: Option<&'static str>,
    /// A prompt's tokens are counted, where the dialect has that.
    pub count: Option<&'static str>,
}

impl Paths {
    /// The model stands in the path, and so in no body.
    #[must_use]
    pub fn names_model(&self) -> bool {
        self.generate.contains("{model")
    }
}

/// Where an answer goes on that is not finished yet. Both addresses are asked with `GET` and with the key that
/// the request had. They come out of a provider's body, so whoever asks them must know the host first, or the
/// key goes to a stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The same answer, further on. To be asked until nothing follows it.
    Poll(String),
    /// The answer as a stream of events.
    Stream(String),
}

/// One wire format, both ways, whole and streamed.
///
/// A dialect that no caller speaks says so ([`Dialect::serves_callers`]) and has only the provider's side:
/// what writes requests, and what reads answers and errors. The rest is never asked of it, and what stands
/// here in its place refuses, or says nothing and notes the loss of it.
pub trait Dialect: Sync {
    /// Which one this is.
    fn id(&self) -> DialectId;

    /// Where its operations live.
    fn paths(&self) -> Paths;

    /// Callers speak this dialect, and not only providers.
    fn serves_callers(&self) -> bool {
        true
    }

    /// What is called otherwise here than in the losses that writers note, which use the names of OpenAI's
    /// chat and `/system`: the beginning of their pointers, and of this dialect's. A row for `content` tells
    /// what the list of parts in a message is called.
    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// What streams of this dialect are made of, and so their content type.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// Reads a caller's request.
    ///
    /// # Errors
    /// [`FaultKind::BadRequest`] with a JSON pointer in `param` when the body is not what the dialect says.
    fn read_request(&self, _body: &[u8]) -> Result<Carried<Request>, Fault> {
        Err(Fault::new(FaultKind::NotFound, NO_CALLER))
    }

    /// Writes a request for a provider that speaks this dialect.
    fn write_request(&self, request: &Request, target: &Target<'_>) -> Carried<Vec<u8>>;

    /// Reads a provider's whole answer (status 2xx).
    ///
    /// # Errors
    /// The provider's own fault where the body is an error in spite of its status, otherwise
    /// [`FaultKind::UpstreamInvalid`].
    fn read_response(&self, body: &[u8]) -> Result<Carried<Message>, Fault>;

    /// Where an answer (status 2xx) goes on that a provider gave before it was finished: `None` where the body
    /// is the answer itself, or an error. `streamed` says that the caller wants a stream.
    fn next_step(&self, _body: &[u8], _streamed: bool) -> Option<Follow> {
        None
    }

    /// Writes a whole answer for a caller.
    fn write_response(&self, _message: &Message) -> Carried<Vec<u8>> {
        let mut nothing = Carried::whole(Vec::new());
        nothing.losses.note("", NO_CALLER);
        nothing
    }

    /// What of `request` a whole answer to it repeats; of most dialects, nothing.
    fn echo(&self, _request: &Request) -> Echo {
        Echo::new()
    }

    /// Writes a whole answer with what it repeats of its request ([`Dialect::echo`]).
    fn write_reply(&self, message: &Message, _echo: &Echo) -> Carried<Vec<u8>> {
        self.write_response(message)
    }

    /// A machine that reads a provider's stream.
    fn reader(&self) -> Box<dyn Reader>;

    /// A machine that writes a stream for the caller who sent `request`.
    fn writer(&self, _request: &Request) -> Box<dyn Writer> {
        Box::<Nobody>::default()
    }

    /// A machine that looks at a stream which is relayed untouched: it finds the end, the usage and an
    /// error, and parses nothing else.
    fn glance(&self) -> Box<dyn Glance> {
        Box::<Nobody>::default()
    }

    /// Members of a stream's events whose texts are what the model writes, where they are texts: each with its
    /// quotes.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// The usage and the stop reason of a whole answer that is relayed untouched. `None` where the body
    /// holds none.
    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        self.read_response(body).ok()?.value.usage
    }

    /// Reads a provider's error (status 4xx or 5xx, or an error inside a 200). Never fails: what cannot be
    /// understood becomes a fault of the kind that the status tells, with the body's text as its message.
    fn read_fault(&self, status: u16, body: &[u8]) -> Fault;

    /// Writes a fault as this dialect's error body. A dialect that no caller speaks is heard all the same by
    /// those whose requests pass untouched to one of its providers.
    fn write_fault(&self, fault: &Fault) -> Vec<u8> {
        json::bytes(&serde_json::json!({ "message": fault.text() }))
    }

    /// The header that tells clients of this API what an error is, in small letters, and what it says.
    fn fault_header(&self, _fault: &Fault) -> Option<(&'static str, &'static str)> {
        None
    }

    /// The header in which clients of this API look for a request's id besides `x-request-id`, in small letters.
    fn id_header(&self) -> Option<&'static str> {
        None
    }

    /// Writes a fault as this dialect's last event of a broken stream. Never a normal terminal event.
    fn write_stream_fault(&self, _fault: &Fault) -> Vec<u8> {
        Vec::new()
    }

    /// Reads a request to count tokens; canonical form is an ordinary request.
    ///
    /// # Errors
    /// As [`Dialect::read_request`]; [`FaultKind::NotFound`] where the dialect has no such operation.
    fn read_count_request(&self, _body: &[u8]) -> Result<Carried<Request>, Fault> {
        Err(Fault::new(FaultKind::NotFound, "this API has no operation that counts tokens"))
    }

    /// Writes the answer to a request to count tokens.
    fn write_count(&self, _tokens: u64) -> Vec<u8> {
        Vec::new()
    }
}

/// What a [`Reader`] brings forth.
#[derive(Debug, Default)]
pub struct Sink {
    /// Events in the order of the grammar (see [`canon::Event`]).
    pub events: Vec<Event>,
    /// What the stream held that canonical form cannot.
    pub losses: Losses,
}

/// A push machine from a provider's bytes to events. Any split of the input gives the same events.
pub trait Reader {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The provider's own fault when the stream carries an error, [`FaultKind::UpstreamInvalid`] when a
    /// frame or line is over its limit. A single frame that cannot be parsed is a loss, not an error, as
    /// long as what follows is whole.
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), Fault>;

    /// The bytes have ended cleanly. Emits [`Event::End`] if it has not been emitted.
    ///
    /// # Errors
    /// [`FaultKind::UpstreamTruncated`] when the dialect's terminal event was missing.
    fn finish(&mut self, sink: &mut Sink) -> Result<(), Fault>;
}

/// A machine from events to a caller's bytes.
pub trait Writer {
    /// Writes one event. Nothing is written after [`Event::End`].
    fn write(&mut self, event: &Event, out: &mut Vec<u8>, losses: &mut Losses);

    /// Ends the stream with an error event in this dialect, never with a normal terminal event. What is
    /// open is closed first where the dialect's clients need it.
    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>);
}

/// What has been seen of a relayed stream so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Something of the answer itself has passed (not only lifecycle events or comments): from here on
    /// the status is committed.
    pub content: bool,
    /// The last word of the answer has passed: the stream is whole.
    pub ended: bool,
    /// What must still come of ceremony, in bytes, for a client of the dialect to take it for whole.
    pub missing: &'static [u8],
    /// The last usage seen.
    pub usage: Option<Usage>,
}

/// Looks at the frames of a stream that is relayed untouched.
pub trait Glance {
    /// Looks at one whole frame: an event without what frames it.
    ///
    /// # Errors
    /// The provider's own fault when the frame is an error event.
    fn frame(&mut self, frame: &frame::sse::Frame<'_>) -> Result<(), Fault>;

    /// What has been seen so far.
    fn seen(&self) -> &Seen;
}

const NO_CALLER: &str = "no caller speaks this API";

/// Stands where a dialect has nothing for callers: writes nothing, and sees nothing.
#[derive(Default)]
struct Nobody(Seen);

impl Writer for Nobody {
    fn write(&mut self, _event: &Event, _out: &mut Vec<u8>, losses: &mut Losses) {
        losses.note("", NO_CALLER);
    }

    fn fault(&mut self, _fault: &Fault, _out: &mut Vec<u8>) {}
}

impl Glance for Nobody {
    fn frame(&mut self, _frame: &frame::sse::Frame<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.0
    }
}
