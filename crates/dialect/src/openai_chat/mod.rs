//! OpenAI's Chat Completions, as OpenAI documents them and as some thirty compatible servers speak them:
//! <https://platform.openai.com/docs/api-reference/chat>
//!
//! What this dialect adds to the documented one, because servers and clients in the field do it:
//! `reasoning_content` (DeepSeek and others), `reasoning` and `reasoning_details` (OpenRouter), lists as
//! content of an answer (Mistral), `top_k`, and `cache_control` on parts and tools (OpenRouter). The legacy
//! `functions` and `function_call` are members that only this dialect knows.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `/v1/chat/completions`.
    OpenaiChat = wire::ME;
    paths = { generate: "/chat/completions", stream: None, count: None };
    words = ["content", "reasoning_content", "reasoning", "refusal", "arguments"];
    names = wire::NAMES;
}
