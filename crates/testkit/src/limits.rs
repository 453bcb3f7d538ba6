//! Every bound of the kit, named, with its reason.

/// Largest request body the provider reads, in bytes.
pub const BODY_MAX: usize = 64 << 20;
/// Requests the provider remembers; then the older half is forgotten.
pub const LOG_MAX: usize = 65_536;
/// Connections a provider that reads nothing (`deaf`) holds open; further ones are closed.
pub const DEAF_MAX: usize = 4_096;
/// Largest piece of an answer handed to HTTP at once, in bytes, so that a huge answer is known to be
/// unfinished when its client leaves.
pub const PIECE_MAX: usize = 16 << 10;
/// Connections waiting to be accepted.
pub const BACKLOG: u32 = 1_024;
/// Identical requests whose answer is kept (only with `Settings::remember_answers`).
pub const ANSWERS_MAX: usize = 64;
/// Models whose trouble that does not last is counted; then all begin anew.
pub const TROUBLES_MAX: usize = 4_096;
/// Choices (`n`) of one answer.
pub const CHOICES_MAX: usize = 16;
/// Bytes of one scripted answer's text, all words together.
pub const TEXT_MAX: usize = 256 << 20;
/// How deep a JSON schema is followed when an example is made from it.
pub const SCHEMA_DEPTH: usize = 16;
/// Items a schema may ask for in one array.
pub const SCHEMA_ITEMS: usize = 64;

/// Longest response head the load generator reads, in bytes.
pub const HEAD_MAX: usize = 64 << 10;
/// Different words for failures that the load generator counts apart.
pub const FAILURES_MAX: usize = 32;
/// Numbers in a vector when nothing is said.
pub const VECTOR: usize = 16;
/// Numbers in a vector at most.
pub const VECTOR_MAX: usize = 4_096;
