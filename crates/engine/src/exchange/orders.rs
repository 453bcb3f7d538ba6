//! What a door and an exchange say to each other.

use crate::{
    access::Caller,
    cloud::Signer,
    form::Field,
    ledger::{Answer, Command, Note},
    path::KeyChoice,
    record::Record,
    secret::Secret,
    time::Instant,
};
use bytes::Bytes;
use dialect::Fault;
use http::{HeaderMap, Method, StatusCode, Uri};
use std::{fmt, sync::Arc};

/// A request as the door received it, its caller known and its body read.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The id that the caller will be told.
    pub id: String,
    /// Who calls.
    pub caller: Caller,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// More of the body comes behind that. Only the door has it, and it can be sent once.
    pub more: bool,
    /// Where the body names its model, where it is a form.
    pub field: Option<Field>,
    /// What the path says of an operation whose dialect does not say it in the body.
    pub named: Option<Named>,
    /// Which of the provider's keys it wants.
    pub key: KeyChoice,
    /// A number by chance that no other request has, for what is chosen by chance and for the ledger.
    pub roll: u64,
    /// When it arrived.
    pub arrived: Instant,
}

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The model.
    pub model: String,
    /// The answer is wanted as a stream.
    pub stream: bool,
    /// The stream is wanted as a JSON array, as Gemini's are without `alt=sse`.
    pub list: bool,
}

/// The number of an attempt, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// What the door must do.
pub enum Order {
    /// Ask the ledger, and report the answer before anything else.
    Ask(Command),
    /// Have the ledger take note of how an attempt ended.
    Note(Note),
    /// Have the ledger know that this exchange is over, or waits no longer: its number.
    Leave(u64),
    /// Have the ledger know that the client of this exchange has left, and that it goes on for nobody: its number.
    Part(u64),
    /// Send this request to a provider.
    Send(Attempt, Box<Upstream>),
    /// Give up an attempt: the provider must see it at once.
    Cancel(Attempt),
    /// Send this head to the caller. Once, before any body.
    Head(Box<Reply>),
    /// Send these bytes to the caller, and take no more from the provider before they are gone.
    Body(Bytes),
    /// Break the caller's connection: the answer is not whole, and the dialect has no other way to say so.
    Abort,
    /// Report what comes of any attempt that is under way, or that it is this time.
    Wait(Instant),
    /// It is over: settle it and keep the record.
    Done(Box<Record>),
}

/// What the door has to tell.
#[derive(Debug)]
pub enum Report {
    /// The ledger's answer.
    Answer(Answer),
    /// The head of a provider's answer.
    Head(Attempt, UpstreamHead),
    /// A piece of its body.
    Body(Attempt, Bytes),
    /// Its body has ended, cleanly.
    End(Attempt),
    /// The attempt failed.
    Failed(Attempt, Io),
    /// The rest of the caller's body, of which the attempt has had a part, cannot be sent.
    Refused(Attempt, Fault),
    /// What the door carries by itself has moved: the rest of the body, or a WebSocket.
    Moved(Attempt, Moved),
    /// It is the time that [`Order::Wait`] named, or the ledger calls the exchange from its queue.
    Woke,
    /// The caller has gone.
    ClientGone,
    /// The gateway shuts down and waits no longer.
    ShuttingDown,
}

/// What has been carried so far, past the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When the last of it was.
    pub at: Instant,
    /// Bytes to the provider.
    pub up: u64,
    /// Bytes to the caller.
    pub down: u64,
}

/// A request to a provider.
pub struct Upstream {
    /// Index into [`Plan::providers`].
    pub provider: usize,
    /// The method.
    pub method: Method,
    /// The address.
    pub uri: Uri,
    /// The headers, the provider's key among them, if it has one.
    pub headers: HeaderMap,
    /// The body, in pieces that share the caller's buffer.
    pub body: Vec<Bytes>,
    /// The rest of the caller's body comes behind these.
    pub more: bool,
    /// The connection shall become a WebSocket, over HTTP/1.1. Where the answer's head is a 101, the door
    /// carries bytes both ways until one side ends it ([`Report::End`]).
    pub socket: bool,
    /// What must sign it before it is sent.
    pub signer: Option<Arc<Signer>>,
}

/// The head of a provider's answer.
#[derive(Clone)]
pub struct UpstreamHead {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The transport tells the end of the body from a broken connection: it has a length, chunks or frames.
    pub framed: bool,
    /// What the door signed the request with: no caller may read it in the answer.
    pub signed_with: Vec<Secret>,
}

impl fmt::Debug for UpstreamHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamHead").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The head of our answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that the door knows itself (length, connection, date).
    pub headers: HeaderMap,
    /// The length of the body, where it is known before it is sent.
    pub length: Option<u64>,
}

/// How an attempt failed before or between bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// No connection: the name is unknown, or nobody listens.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No TLS with this peer.
    Tls,
    /// The connection broke.
    Broken,
    /// There are no credentials to sign with; the door has told the operator why.
    Credentials,
}
