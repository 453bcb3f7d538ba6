//! Every bound of the system beyond the dialects' own, named, with its reason.

use crate::time::Span;

/// Where clients are served when nothing says where: this port of the loopback.
pub const DEFAULT_PORT: u16 = 8787;

/// Longest request line and headers together, in bytes. Larger ones get 431.
pub const HEAD_MAX: usize = 32 << 10;
/// Most header fields of a request. More get 431.
pub const HEADERS_MAX: usize = 100;
/// Largest request body, in bytes. Larger ones get 413.
pub const BODY_MAX: usize = 32 << 20;
/// Largest body that is passed on as it comes, in bytes. More get 413. Twice the largest file that OpenAI
/// takes, 512 MB (<https://platform.openai.com/docs/api-reference/files/create>).
pub const UPLOAD_MAX: u64 = 1 << 30;
/// Most bytes of headers of one part of a form. A part has two or three, and a file's name in one of them.
pub const PART_HEAD_MAX: usize = 8 << 10;
/// Slowest a request body may come after [`BODY_GRACE`], in bytes a second. Slower ones get 408.
pub const BODY_RATE_MIN: u64 = 1 << 10;
/// How long a body may take before its rate is looked at.
pub const BODY_GRACE: Span = Span::secs(10);
/// How long the head of a request may take.
pub const HEAD_TIMEOUT: Span = Span::secs(10);
/// How long a connection may stand idle between requests; above the 60 s of common load balancers.
pub const KEEP_ALIVE: Span = Span::secs(75);
/// Open client connections in all.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Requests being served at once. Streams are long and cost little; what a body costs is bounded apart.
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Bytes of request bodies in memory at once. A request beyond it gets 503.
pub const BODIES_MAX: usize = 1 << 30;
/// How long a client may read nothing of an answer before it is taken for gone.
pub const WRITE_STALL: Span = Span::secs(60);

/// How long a TCP connection to a provider may take.
pub const CONNECT: Span = Span::secs(3);
/// How long until the first byte of a provider's answer.
pub const FIRST_BYTE: Span = Span::secs(120);
/// How long until the first content of a stream: as long as for a first byte, so that a provider which sends
/// its head at once gets no more.
pub const FIRST_TOKEN: Span = FIRST_BYTE;
/// How long a provider may be silent between two pieces of an answer.
pub const IDLE: Span = Span::secs(300);
/// How long an exchange may take in all.
pub const TOTAL: Span = Span::secs(30 * 60);
/// The least between two heartbeats: more often they would only cost.
pub const HEARTBEAT_MIN: Span = Span::millis(100);
/// How long a WebSocket may stand, in place of [`TOTAL`]. OpenAI ends its sessions after an hour
/// (<https://platform.openai.com/docs/guides/realtime-conversations>); what lasts a day has been forgotten.
pub const SOCKET_TOTAL: Span = Span::secs(24 * 60 * 60);

/// Attempts in all for one request, the first included.
pub const ATTEMPTS_MAX: u32 = 4;
/// Retries at the same target with the same key, while others are left.
pub const RETRIES: u32 = 1;
/// What is held back of a stream where that is asked for: so many bytes, for so long at most.
pub const HOLD: (usize, Span) = (2 << 10, Span::millis(1_000));
/// Attempts under way at once for one request: a slow one and the one that races it.
pub const RACERS_MAX: usize = 2;
/// The longest first pause before a retry; it doubles with each, and chance takes a part of it.
pub const BACKOFF: Span = Span::millis(250);
/// The longest pause before a retry that nobody asked for.
pub const BACKOFF_MAX: Span = Span::secs(8);
/// The longest pause that a provider may ask for while the caller waits. Who wants more is passed over.
pub const RETRY_AFTER_MAX: Span = Span::secs(10);
/// How long a first token may take before the next target is asked beside the slow one.
pub const PATIENCE: Span = Span::secs(10);
/// The same where the answer comes whole or the model thinks first.
pub const PATIENCE_LONG: Span = Span::secs(60);
/// The least and the most that may be learnt of a target's first tokens.
pub const PATIENCE_MIN: Span = Span::secs(2);
/// See [`PATIENCE_MIN`].
pub const PATIENCE_MAX: Span = Span::secs(60);
/// First tokens that must have been seen before their times count.
pub const PATIENCE_LEARNT: u32 = 20;
/// How many of ten thousand requests may be hedged, where nothing says how many.
pub const HEDGE_SHARE: u32 = 500;
/// What one hedge costs of what requests earn, each its share: ten thousand such shares are a whole.
pub const HEDGE_COSTS: u32 = 10_000;
/// Hedges that can be saved up, so that many quiet minutes do not pay for a burst.
pub const HEDGES_SAVED: u32 = 10;
/// Most bytes of a stream that are kept so that another target can go on with it.
pub const RECOVER_MAX: usize = 256 << 10;
/// How long a stream whose last word has come may take to end.
pub const AFTER_END: Span = Span::secs(5);
/// How long a stream is read on whose caller has left.
pub const UNHEARD_TIME: Span = Span::secs(25);
/// Most bytes that are read of it then: more than any model writes in that time.
pub const UNHEARD_MAX: usize = 8 << 20;
/// Streams that are read on at once. Beyond it they are cut: who leaves again and again must not fill the memory.
pub const UNHEARD_AT_ONCE: usize = 1_024;
/// The first pause before an answer that is not finished is asked for again; it doubles with each.
pub const FOLLOW_PAUSE: Span = Span::millis(250);
/// The longest such pause.
pub const FOLLOW_PAUSE_MAX: Span = Span::secs(5);
/// How often one answer is asked for again: longer than any exchange usually lasts.
pub const FOLLOWS_MAX: u32 = 1_000;

/// Failures in a row that open a breaker.
pub const BREAKER_STREAK: u32 = 5;
/// Failures within [`BREAKER_WINDOW`] that open it where at least half of all fail.
pub const BREAKER_SHARE: u32 = 10;
/// How long failures are counted together.
pub const BREAKER_WINDOW: Span = Span::secs(10);
/// How long a breaker is open the first time; it doubles.
pub const BREAKER_OPEN: Span = Span::secs(1);
/// The longest that it is open: a provider that is back must be found within this and its probes.
pub const BREAKER_OPEN_MAX: Span = Span::secs(15);
/// The least between two probes.
pub const BREAKER_PROBE_GAP: Span = Span::secs(1);
/// Good probes that close it.
pub const BREAKER_PROBES: u32 = 2;
/// How long it must have been closed before it opens as if for the first time.
pub const BREAKER_CALM: Span = Span::secs(60);
/// How long a key rests that was limited, where the provider does not say.
pub const KEY_REST: Span = Span::secs(5);
/// How long a key rests that was refused, and the longest that a provider may have it rest.
pub const KEY_REST_MAX: Span = Span::secs(60);
/// First attempts that earn one retry at their provider: retries are 10 % of the traffic at most.
pub const RETRY_EARNS: u32 = 10;
/// Retries that a provider has at the beginning, in first attempts.
pub const RETRY_BUDGET_MIN: u32 = 10 * RETRY_EARNS;
/// Retries that can be saved up.
pub const RETRY_BUDGET_MAX: u32 = 100;
/// Models of one provider whose health is remembered.
pub const TARGETS_KNOWN_MAX: usize = 4_096;
/// Targets of one alias.
pub const TARGETS_MAX: usize = 64;
/// The most that the weight of a target may be: shares below a ten-thousandth are none.
pub const WEIGHT_MAX: u32 = 10_000;
/// The most that the priority of a target may be: tiers are no more than targets.
pub const PRIORITY_MAX: u32 = 64;
/// Names that fall back on names, one behind the other.
pub const FALLBACKS_DEEP: usize = 16;
/// Models of one provider, beside those that names lead to, whose prices are kept at hand.
pub const PRICES_KNOWN_MAX: usize = 1_024;
/// Tiers whose turns are remembered. When there are more all begin anew, as a new plan may have them.
pub const TURNS_MAX: usize = 16_384;
/// By what prices of models are compared: so many tokens in the prompt, and [`PRICED_OUTPUT`] in the answer.
/// Chats and agents read more than they write.
pub const PRICED_INPUT: u64 = 3_000;
/// See [`PRICED_INPUT`].
pub const PRICED_OUTPUT: u64 = 1_000;
/// How long a slow first token counts: after twice this a slow target that nobody asks is tried again.
pub const SLOW_REMEMBERED: Span = Span::secs(60);
/// Over how long a target's requests are counted.
pub const RECENT: Span = Span::secs(60);
/// Longest session key that is looked at, in bytes.
pub const SESSION_KEY_MAX: usize = 1 << 10;
/// Keys of one provider.
pub const KEYS_MAX: usize = 1_024;

/// Tokens of an answer that are reserved where a request does not say how many it may have: a page of text.
pub const TOKENS_A_REQUEST: u64 = 1_000;
/// Marks of a window that are kept one by one: smaller limits are exact to the moment.
pub const MARKS_EXACT: usize = 256;
/// What comes within this is one mark where there are more: another 240 a minute at most.
pub const MARK_GRAIN: Span = Span::millis(250);
/// Rules that limit rates.
pub const RATES_MAX: usize = 2_048;
/// Meters that are kept, as long as those that stand still can be forgotten.
pub const METERS_KEPT: usize = 16_384;
/// Requests that wait, where nothing says how many may.
pub const QUEUE: usize = 25;
/// Of so many who are called from the queue one at least is of a lower class, as long as such wait.
pub const QUEUE_SHARE: u32 = 10;
/// The most that the queue may be set to: more than all that is served at once, each with a body in memory.
pub const QUEUE_MAX: usize = 10_000;
/// How long a request waits, where nothing says how long it may: as long as many clients do.
pub const QUEUE_WAIT: Span = Span::secs(60);
/// When a refused caller may come back where that hangs on others' ends.
pub const COME_BACK: Span = Span::secs(1);

/// Most bytes of an answer that are held back before its head is committed: as long as nothing of the answer
/// has been sent, another target may be asked.
pub const HOLD_MAX: usize = 256 << 10;
/// Most bytes of a provider's error that are read.
pub const ERROR_BODY_MAX: usize = 64 << 10;
/// Shortest key that is looked for in a provider's error, in bytes: a shorter one could stand in any text.
pub const SECRET_MIN: usize = 8;
/// Longest value of `x-sekisho-loss`, in bytes.
pub const LOSS_HEADER_MAX: usize = 2 << 10;

/// After SIGTERM new requests are still taken for this long, until load balancers have noticed.
pub const LAME_DUCK: Span = Span::secs(5);
/// After SIGTERM streams may go on for this long.
pub const DRAIN: Span = Span::secs(600);

/// Largest configuration file, in bytes.
pub const CONFIG_MAX: usize = 4 << 20;
/// Most nodes of a configuration file, repetitions by alias counted: far above any real one, far below what
/// an alias bomb needs to hurt.
pub const CONFIG_NODES_MAX: usize = 50_000;
/// Deepest nesting of a configuration file.
pub const CONFIG_DEPTH_MAX: usize = 32;
/// Problems of one configuration that are reported; who has more will look again anyway.
pub const PROBLEMS_MAX: usize = 100;
/// Providers in one plan.
pub const PROVIDERS_MAX: usize = 256;
/// Names that an operator may give.
pub const ALIASES_MAX: usize = 10_000;
/// The longest that any timeout may be set to.
pub const TIMEOUT_CEILING: Span = Span::secs(24 * 60 * 60);
/// The most that [`ATTEMPTS_MAX`] may be set to.
pub const ATTEMPTS_CEILING: u32 = 10;
/// The most that [`BODY_MAX`] may be set to, in bytes.
pub const BODY_CEILING: usize = 1 << 30;
/// Longest model name that is looked up, in bytes.
pub const MODEL_NAME_MAX: usize = 512;

/// Shortest client key that is accepted, in characters.
pub const CLIENT_KEY_MIN: usize = 16;
