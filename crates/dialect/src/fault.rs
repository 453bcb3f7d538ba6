//! The one error of the system. What went wrong, who is to blame and what to do about it stand in one
//! table; each dialect writes a fault in its own shape.

use std::fmt;

/// Who is to blame: it decides what is counted against a provider and what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request itself is at fault; no provider would serve it.
    Caller,
    /// Our configuration or our provider key is at fault.
    Operator,
    /// The provider failed.
    Provider,
    /// We failed.
    Us,
}

/// What one kind of fault means: a row of [`table`].
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Who is to blame.
    pub blame: Blame,
    /// The HTTP status that the caller gets.
    pub status: u16,
    /// The same target may be asked again: nothing has been done there, and a moment later it may do it.
    pub retry: bool,
    /// Another key of the same provider may fare better.
    pub key: bool,
    /// The next target may be asked.
    pub next: bool,
    /// `error.type` in OpenAI's dialects.
    pub openai_type: &'static str,
    /// `error.code` in OpenAI's dialects; empty for `null`.
    pub openai_code: &'static str,
    /// `error.type` in Anthropic's dialect.
    pub anthropic_type: &'static str,
    /// `error.status` in Gemini's dialect: <https://google.aip.dev/193>
    pub google_status: &'static str,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident: $blame:ident $status:literal $retry:ident $key:ident $next:ident $otype:literal $ocode:literal $atype:literal $gstatus:literal;)*) => {
        /// The kinds of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind { $($(#[$doc])* $kind,)* }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &'static [FaultKind] = &[$(FaultKind::$kind,)*];

            /// What this kind means.
            #[must_use]
            pub fn meaning(self) -> Meaning {
                match self { $(FaultKind::$kind => Meaning {
                    blame: Blame::$blame, status: $status, retry: flag!($retry), key: flag!($key), next: flag!($next),
                    openai_type: $otype, openai_code: $ocode, anthropic_type: $atype, google_status: $gstatus,
                },)* }
            }
        }
    };
}

macro_rules! flag {
    (yes) => {
        true
    };
    (no) => {
        false
    };
}

#[rustfmt::skip]
faults! {
    // kind             blame    status retry key next OpenAI type, code                                  Anthropic type           Google status
    /// The request is not what its dialect says, or the provider refused it as such.
    BadRequest:         Caller   400 no  no  no  "invalid_request_error" ""                               "invalid_request_error"  "INVALID_ARGUMENT";
    /// The caller's key is missing or wrong. One text for every cause.
    Unauthorized:       Caller   401 no  no  no  "invalid_api_key"       "invalid_api_key"                "authentication_error"   "UNAUTHENTICATED";
    /// The caller may not do this.
    Forbidden:          Caller   403 no  no  no  "permission_error"      "forbidden"                      "permission_error"       "PERMISSION_DENIED";
    /// No such path, model or object.
    NotFound:           Caller   404 no  no  no  "invalid_request_error" "not_found"                      "not_found_error"        "NOT_FOUND";
    /// No such model.
    ModelNotFound:      Caller   404 no  no  no  "invalid_request_error" "model_not_found"                "not_found_error"        "NOT_FOUND";
    /// The path exists, the method does not.
    MethodNotAllowed:   Caller   405 no  no  no  "invalid_request_error" "method_not_allowed"             "invalid_request_error"  "INVALID_ARGUMENT";
    /// The client was too slow to send its request.
    RequestTimeout:     Caller   408 no  no  no  "invalid_request_error" "request_timeout"                "invalid_request_error"  "DEADLINE_EXCEEDED";
    /// The body is over the limit.
    TooLarge:           Caller   413 no  no  no  "invalid_request_error" "request_too_large"              "request_too_large"      "INVALID_ARGUMENT";
    /// The body comes in a form that is not taken.
    Unsupported:        Caller   415 no  no  no  "invalid_request_error" "unsupported_media_type"         "invalid_request_error"  "INVALID_ARGUMENT";
    /// The request asks this host for another host's page.
    Misdirected:        Caller   421 no  no  no  "invalid_request_error" "misdirected_request"            "invalid_request_error"  "INVALID_ARGUMENT";
    /// The head of the request is over the limit.
    HeadTooLarge:       Caller   431 no  no  no  "invalid_request_error" "request_header_fields_too_large" "invalid_request_error" "INVALID_ARGUMENT";
    /// The prompt does not fit the model's context.
    ContextTooLong:     Caller   400 no  no  yes "invalid_request_error" "context_length_exceeded"        "invalid_request_error"  "INVALID_ARGUMENT";
    /// The provider's filter refused the prompt.
    ContentFiltered:    Caller   400 no  no  no  "invalid_request_error" "content_filter"                 "invalid_request_error"  "INVALID_ARGUMENT";
    /// A limit of ours was reached.
    RateLimited:        Caller   429 no  no  no  "rate_limit_error"      "rate_limit_exceeded"            "rate_limit_error"       "RESOURCE_EXHAUSTED";
    /// The provider refused our key (401, 403).
    UpstreamAuth:       Operator 502 no  yes yes "server_error"          "upstream_auth"                  "api_error"              "INTERNAL";
    /// The provider wants money (402, exhausted quota).
    UpstreamQuota:      Operator 502 no  yes yes "server_error"          "upstream_quota"                 "api_error"              "RESOURCE_EXHAUSTED";
    /// The provider limits us.
    UpstreamLimited:    Provider 429 yes yes yes "rate_limit_error"      "rate_limit_exceeded"            "rate_limit_error"       "RESOURCE_EXHAUSTED";
    /// The provider knows no such model.
    UpstreamNotFound:   Operator 404 no  no  yes "invalid_request_error" "model_not_found"                "not_found_error"        "NOT_FOUND";
    /// The provider is overloaded (503, 529).
    UpstreamOverloaded: Provider 503 yes no  yes "server_error"          "overloaded"                     "overloaded_error"       "UNAVAILABLE";
    /// The provider failed (5xx).
    UpstreamFailed:     Provider 502 yes no  yes "server_error"          "upstream_error"                 "api_error"              "INTERNAL";
    /// The provider could not be reached.
    UpstreamUnreachable: Provider 502 yes no  yes "server_error"         "upstream_unreachable"           "api_error"              "UNAVAILABLE";
    /// The provider did not answer in time.
    UpstreamTimeout:    Provider 504 no  no  yes "server_error"          "upstream_timeout"               "timeout_error"          "DEADLINE_EXCEEDED";
    /// The provider's answer ended before its end.
    UpstreamTruncated:  Provider 502 no  no  yes "server_error"          "upstream_truncated"             "api_error"              "INTERNAL";
    /// The provider's answer is not what its dialect says.
    UpstreamInvalid:    Provider 502 no  no  yes "server_error"          "upstream_invalid"               "api_error"              "INTERNAL";
    /// No target is left to ask.
    Unavailable:        Operator 503 no  no  no  "server_error"          "unavailable"                    "overloaded_error"       "UNAVAILABLE";
    /// The gateway is shutting down.
    ShuttingDown:       Us       503 no  no  no  "server_error"          "gateway_shutdown"               "overloaded_error"       "UNAVAILABLE";
    /// A defect of ours.
    Internal:           Us       500 no  no  no  "server_error"          "internal_error"                 "api_error"              "INTERNAL";
}

/// Something went wrong. The message is for the caller: lower case unless the provider wrote it, no full
/// stop, literals in backticks. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// In words.
    pub message: String,
    /// What would help, in words.
    pub hint: Option<String>,
    /// What it is about: a JSON pointer or the name of a parameter.
    pub param: Option<String>,
    /// What the provider said, where it was the provider.
    pub upstream: Option<Box<Upstream>>,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// A provider's own error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Its HTTP status; 200 for an error inside a stream.
    pub status: u16,
    /// Its own type of error, where it names one.
    pub kind: Option<String>,
    /// Its own code, where it names one.
    pub code: Option<String>,
}

impl Fault {
    /// A fault with a message and nothing else.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), hint: None, param: None, upstream: None, retry_after_ms: None }
    }

    /// The caller's request is not what its dialect says, at `pointer`.
    #[must_use]
    pub fn bad(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { param: Some(pointer.into()), ..Fault::new(FaultKind::BadRequest, message) }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Fault { hint: Some(hint.into()), ..self }
    }

    /// The HTTP status for the caller.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind.meaning().status
    }

    /// The message as the caller reads it: with the hint behind it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} (hint: {hint})", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Fault {}

/// The kind of fault that a provider's HTTP status tells, where its body tells nothing better.
#[must_use]
pub fn kind_of_status(status: u16) -> FaultKind {
    match status {
        401 | 403 => FaultKind::UpstreamAuth,
        402 => FaultKind::UpstreamQuota,
        404 => FaultKind::UpstreamNotFound,
        408 | 504 => FaultKind::UpstreamTimeout,
        413 => FaultKind::TooLarge,
        409 | 424 | 500..=502 | 505..=528 | 530..=599 => FaultKind::UpstreamFailed,
        429 => FaultKind::UpstreamLimited,
        503 | 529 => FaultKind::UpstreamOverloaded,
        400..=499 => FaultKind::BadRequest,
        _ => FaultKind::UpstreamInvalid,
    }
}
