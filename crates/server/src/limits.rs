//! The native door's own bounds; those of the system are in `engine::limits`.

use engine::time::Span;

/// Flow-control window of one HTTP/2 stream to a provider, in bytes: what a stalled client can keep us from
/// reading is held here and no more.
pub(crate) const H2_STREAM_WINDOW: u32 = 64 << 10;
/// Flow-control window of a whole HTTP/2 connection to a provider, in bytes: the largest there is, so that
/// stalled streams starve no other. Memory stays bounded by streams times [`H2_STREAM_WINDOW`].
pub(crate) const H2_CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams on one HTTP/2 connection, in either direction.
pub(crate) const H2_STREAMS_MAX: usize = 100;
/// Idle connections to one provider, on one core.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 256;
/// Bytes that a client may send ahead while its request is being served. Beyond it, its leaving is noticed
/// when we write.
pub(crate) const READ_AHEAD_MAX: usize = 64 << 10;
/// Buffer of one client connection, in bytes; a head must fit in it.
pub(crate) const CONNECTION_BUFFER: usize = 64 << 10;
/// Flow-control windows of HTTP/2 from clients: of one stream, and of the connection.
pub(crate) const H2_CLIENT_WINDOWS: (u32, u32) = (64 << 10, 1 << 20);
/// Bytes that are on their way in each direction of a WebSocket.
pub(crate) const TUNNEL_BUFFER: usize = 16 << 10;
/// How long the second side of a WebSocket may take to close after the first.
pub(crate) const TUNNEL_CLOSING: Span = Span::secs(10);
/// How long a client may acknowledge nothing that it was sent before it is taken for gone: no machine that is there
/// takes so long, and who leaves without a word says nothing else. Below `WRITE_STALL`, which counts from outside the
/// kernel's buffers.
pub(crate) const CLIENT_SILENT: Span = Span::secs(55);
/// A client who is sent nothing is asked whether it is there after so long, and again after each of the second.
pub(crate) const CLIENT_PROBE: (Span, Span) = (Span::secs(25), Span::secs(10));
/// Connections that wait to be accepted by the kernel's count.
pub(crate) const BACKLOG: u32 = 4_096;
/// Accepted connections that wait for their core.
pub(crate) const HANDOVER_MAX: usize = 1_024;
/// How long a provider may take to list its models.
pub(crate) const CATALOGUE_TIMEOUT: Span = Span::secs(5);
/// How long a provider's list is taken for true.
pub(crate) const CATALOGUE_TTL: Span = Span::secs(60);
/// Longest list of models, in bytes.
pub(crate) const CATALOGUE_BODY_MAX: usize = 8 << 20;
/// How long it may take to fetch credentials.
pub(crate) const CREDENTIAL_TIMEOUT: Span = Span::secs(10);
/// Longest answer with credentials, in bytes.
pub(crate) const CREDENTIAL_BODY_MAX: usize = 64 << 10;
/// Credentials are renewed so long before they end, in seconds; where they last less than five times as long,
/// after four fifths of their life.
pub(crate) const CREDENTIAL_AHEAD: u64 = 300;
/// Credentials count as ended so long before they do, in seconds: clocks differ, and a request takes its time.
/// A tenth of their life at most.
pub(crate) const CREDENTIAL_MARGIN: u64 = 30;
/// Credentials that are still good are not fetched again sooner than this, in seconds: some issuers hand out
/// the same token until it ends.
pub(crate) const CREDENTIAL_PAUSE: u64 = 30;
/// So long after a fetch has failed nobody tries again, in seconds.
pub(crate) const CREDENTIAL_REFUSAL: u64 = 2;
/// So long an access key from a file is believed, in seconds: other programs write new ones into it.
pub(crate) const PROFILE_TTL: u64 = 60;
/// Log lines that wait to be written, in bytes. What comes beyond is counted and left out: a log that cannot
/// be written must not stop the gateway.
pub(crate) const LOG_BUFFER_MAX: usize = 4 << 20;
/// So many bytes of log lines are written without waiting for more.
pub(crate) const LOG_DUE: usize = 64 << 10;
/// How long a log line may wait for company.
pub(crate) const LOG_DELAY: Span = Span::millis(100);
/// How long a shutdown waits for the last errors to reach their clients.
pub(crate) const LAST_WORDS: Span = Span::secs(1);
/// How often the configuration file is looked at.
pub(crate) const RELOAD_LOOK: Span = Span::millis(500);
/// Smallest body that is counted against the memory for all bodies, in bytes. Smaller ones are bounded by how
/// many requests may be served at once.
pub(crate) const BODY_COUNTED: usize = 64 << 10;
/// Requests that one core mirrors at once; beyond it they are not mirrored. Few beside those that matter.
pub(crate) const MIRRORS_MAX: usize = 64;
