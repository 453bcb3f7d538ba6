//! OpenAI's legacy Completions, a prompt that is continued, as OpenAI documents them and as vLLM, llama.cpp,
//! OpenRouter and others speak them: <https://platform.openai.com/docs/api-reference/completions>
//!
//! One prompt is one turn of the user. Several prompts in one request, prompts in tokens and prompts in any
//! other form have no place in a conversation: such a request can only be served by a provider of this dialect
//! ([`Request::needs`]). The other way about, a conversation becomes one prompt with the speakers' names before
//! what they say, and there are no tools.
//!
//! What this dialect adds to the documented one: `reasoning` beside `text` (OpenRouter), `top_k`, and log
//! probabilities in the form of Chat Completions (llama.cpp).

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `/v1/completions`.
    OpenaiCompletions = wire::ME;
    paths = { generate: "/completions", stream: None, count: None };
    words = ["text"];
    names = wire::NAMES;
}
