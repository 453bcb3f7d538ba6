//! Every bound of this crate, named, with its reason.

/// Longest line of an event stream, in bytes. A line is one JSON object; an image in base64 fits.
pub const SSE_LINE_MAX: usize = 4 << 20;
/// Longest event of a stream, in bytes: all its lines together.
pub const SSE_EVENT_MAX: usize = 4 << 20;
/// Longest frame of an AWS event stream, in bytes: as long as any other event.
pub const AWS_FRAME_MAX: usize = SSE_EVENT_MAX;
/// Longest headers of such a frame, in bytes, as AWS says:
/// <https://smithy.io/2.0/aws/amazon-eventstream.html>
pub const AWS_HEADERS_MAX: usize = 128 << 10;
/// Deepest nesting of arrays and objects in a request body. `serde_json` stops at 128; weaker parsers
/// behind us stop earlier, and no real request comes near.
pub const JSON_DEPTH_MAX: usize = 64;
/// Most messages in one request.
pub const TURNS_MAX: usize = 10_000;
/// Most content parts in one request, over all messages.
pub const PARTS_MAX: usize = 4_096;
/// Most tools in one request.
pub const TOOLS_MAX: usize = 512;
/// Most places that the references of a schema point to, where it must be written in fewer words. A schema
/// with more is not written; no real one comes near.
pub const SCHEMA_PLACES_MAX: usize = 128;
/// Most losses kept of one exchange; the header that lists them must stay small.
pub const LOSSES_MAX: usize = 64;
/// Largest whole answer that is read for its usage while it is relayed, in bytes. A larger one passes
/// unmetered.
pub const METERED_BODY_MAX: usize = 1 << 20;
/// Largest whole answer that is translated, in bytes, and largest stream that is gathered into one. Images
/// in base64 fit.
pub const ANSWER_MAX: usize = 32 << 20;
/// Most choices (`n`) in one request.
pub const CHOICES_MAX: u32 = 128;
/// Longest text of a provider's error that is no JSON, in characters; the rest says no more.
pub const FAULT_TEXT_MAX: usize = 2_000;
/// Tokens of an answer where a dialect demands a limit and neither the caller nor the model's data gives one.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// The same for a prompt that is continued. The models that are served so have small contexts, OpenAI's one of
/// 4,096 tokens, and a limit that does not fit beside the prompt is refused.
pub const COMPLETION_TOKENS_DEFAULT: u64 = 1_024;
/// Smallest thinking budget that Anthropic takes, in tokens.
pub const THINKING_BUDGET_MIN: u64 = 1_024;
/// Most bytes of a stream that are held back: pieces of blocks that overlap, where a dialect wants them
/// one after the other, and blocks that must be whole before they can be told.
pub const STREAM_HELD_MAX: usize = 4 << 20;
/// So many bytes of an answer at its beginning show whether it begins anew where it should go on: a few words.
/// As long as they are the same they are kept, and a sentence that goes on seldom begins like the whole answer.
pub const BEGUN_ANEW: usize = 16;
/// Most inputs of one request for embeddings; OpenAI takes no more:
/// <https://platform.openai.com/docs/api-reference/embeddings/create>
pub const EMBED_INPUTS_MAX: usize = 2_048;
/// Most parts of all these inputs together.
pub const EMBED_PARTS_MAX: usize = 4_096;
/// Most inputs that Cohere takes in one request: <https://docs.cohere.com/reference/embed>
pub const EMBED_INPUTS_COHERE_MAX: usize = 96;
/// Most inputs that Gemini takes in one batch; a larger one is refused with this number.
pub const EMBED_INPUTS_GEMINI_MAX: usize = 100;
/// Most inputs that Vertex AI takes in one request; of some models it takes fewer, and says so:
/// <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>
pub const EMBED_INPUTS_VERTEX_MAX: usize = 250;
