//! Blocks: the pieces that turns and answers are made of.

use super::{At, Extra};
use crate::DialectId;
use memchr::memmem;
use serde_json::{Value, json};

/// One piece of a turn or an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// What it is.
    pub kind: Kind,
    /// Where it stood in the sender's body.
    pub at: At,
    /// A wish to cache the prompt up to here.
    pub cache: Option<Cache>,
    /// The issuer's seal on words or on a tool call (Gemini). The seal on thoughts is part of their kind.
    pub seal: Option<Seal>,
    /// Members that only the sender's dialect knows.
    pub extra: Extra,
}

impl Block {
    /// A block with nothing but its kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Block { kind, at: At::default(), cache: None, seal: None, extra: Extra::NONE }
    }
}

/// The kinds of blocks.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Words.
    Text(String),
    /// The model's words of refusal, where the dialect keeps them apart (OpenAI).
    Refusal(String),
    /// A picture.
    Image(Media),
    /// Sound.
    Audio(Media),
    /// A document.
    File(Media),
    /// The model calls a tool.
    ToolUse {
        /// The id that the result must name; unique within the answer.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as JSON text, byte for byte as the model wrote them; `""` where it wrote none.
        input: String,
    },
    /// What a tool gave.
    ToolResult {
        /// The id of the call.
        id: String,
        /// The tool failed, where the dialect can say so.
        error: Option<bool>,
        /// What it gave.
        content: Vec<Block>,
        /// The content was written as a plain string.
        plain: bool,
    },
    /// The model's thoughts.
    Reasoning {
        /// What may be read of them; empty where they are hidden.
        text: String,
        /// The issuer's seal over them, which it wants back byte for byte.
        seal: Option<Seal>,
    },
    /// A block that only one dialect knows, whole.
    Opaque {
        /// The dialect that knows it.
        dialect: DialectId,
        /// The block as it stood.
        json: Value,
    },
}

impl Kind {
    /// The words of a kind that has words.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Kind::Text(text) | Kind::Refusal(text) | Kind::Reasoning { text, .. } => text,
            _ => "",
        }
    }

    /// The type of a medium of this kind that only has an address: what its end tells, or the usual one.
    #[must_use]
    pub fn media_type(&self, url: &str) -> &'static str {
        const TYPES: &[(&str, &str)] =
            &[(".png", "image/png"), (".webp", "image/webp"), (".gif", "image/gif"), (".wav", "audio/wav")];
        let usual = match self {
            Kind::Image(_) => "image/jpeg",
            Kind::Audio(_) => "audio/mp3",
            _ => "application/pdf",
        };
        let path = url.split(['?', '#']).next().unwrap_or(url);
        TYPES.iter().find(|(end, _)| path.ends_with(end)).map_or(usual, |(_, name)| name)
    }
}

/// Sealed state: a signature over thoughts, or thoughts that only the issuer can read. Opaque and
/// byte-exact; it returns to its issuer only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The dialect it was issued in.
    pub issuer: DialectId,
    /// The seal itself.
    pub data: String,
    /// The thoughts themselves are inside the seal (Anthropic's `redacted_thinking`, Gemini's signature on an
    /// empty part), not beside it. A seal without them, on thoughts without words, belongs to the next block.
    pub redacted: bool,
}

impl Seal {
    /// The text for a client whose `dialect` has room for a seal: its own as it is, another's behind the
    /// name of its issuer, so that it comes back and goes to no one else. Some clients take the text for
    /// base64, so the name is written in its letters, in whole groups of four.
    #[must_use]
    pub fn kept(&self, dialect: DialectId) -> String {
        if self.issuer == dialect { self.data.clone() } else { mark(self.issuer) + &self.data }
    }

    /// The seal that a client of `dialect` has kept.
    #[must_use]
    pub fn brought(text: &str, dialect: DialectId, redacted: bool) -> Seal {
        let others = DialectId::ALL.iter().filter(|issuer| **issuer != dialect);
        let named = |issuer: &DialectId| Some((*issuer, text.strip_prefix(&mark(*issuer))?));
        let (issuer, data) = others.into_iter().find_map(named).unwrap_or((dialect, text));
        Seal { issuer, data: data.to_owned(), redacted }
    }

    /// A body of `dialect` holds a seal of another issuer. Such a body cannot pass untouched: the seal must
    /// be taken out, since it goes to no one else. (OpenAI's chat issues no seals and has places for those of
    /// all others, which name their issuers, so what its clients send passes to whoever speaks it.)
    #[must_use]
    pub fn strays(body: &[u8], dialect: DialectId) -> bool {
        let holds =
            |issuer: &DialectId| memmem::find(body, format!("\"{}", mark(*issuer)).as_bytes()).is_some();
        // Every mark has this, and few bodies do.
        memmem::find(body, b"++").is_some()
            && DialectId::ALL.iter().filter(|issuer| **issuer != dialect).any(holds)
    }

    /// A body of Anthropic's dialect holds thoughts that no one sealed (`"signature": ""`), as they stand in
    /// answers that were translated: Anthropic itself refuses them.
    #[must_use]
    pub fn lacks(body: &[u8]) -> bool {
        const NAME: &[u8] = b"\"signature\"";
        memmem::find_iter(body, NAME).any(|place| {
            let value = body.get(place + NAME.len()..).unwrap_or_default().trim_ascii_start();
            let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
            value.is_some_and(|value| value.starts_with(b"\"\""))
        })
    }
}

fn mark(issuer: DialectId) -> String {
    let name = issuer.name().replace('_', "/") + "++";
    let width = name.len().next_multiple_of(4);
    format!("{name:+<width$}")
}

/// A wish to cache the prompt up to and including a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long, in the words of the API (`5m`, `1h`), where it is said.
    pub ttl: Option<String>,
}

impl Cache {
    /// The hint in Anthropic's words, which others have taken over.
    #[must_use]
    pub fn json(&self) -> Value {
        match &self.ttl {
            Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}),
            None => json!({"type": "ephemeral"}),
        }
    }
}

/// A picture, a sound or a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Where its bytes are.
    pub source: Source,
    /// A file name or title, where one is given.
    pub name: Option<String>,
}

/// Where the bytes of a medium are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the body, as base64.
    Base64 {
        /// Such as `image/png`. For OpenAI's `input_audio` the format (`wav`) becomes `audio/wav`.
        media_type: String,
        /// Base64, as it stood.
        data: String,
    },
    /// Plain text in the body (Anthropic's text documents).
    Text {
        /// Such as `text/plain`.
        media_type: String,
        /// The text.
        data: String,
    },
    /// To be fetched by the provider.
    Url(String),
    /// Uploaded before, at this provider.
    FileId(String),
}

impl Source {
    /// Where the bytes are that a URL names: one may hold them.
    #[must_use]
    pub fn of_url(url: &str) -> Source {
        match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((kind, data)) => Source::Base64 { media_type: kind.to_owned(), data: data.to_owned() },
            None => Source::Url(url.to_owned()),
        }
    }

    /// The URL that names the bytes, or holds them.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        match self {
            Source::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
            Source::Url(url) => Some(url.clone()),
            Source::Text { .. } | Source::FileId(_) => None,
        }
    }
}
