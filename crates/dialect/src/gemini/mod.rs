//! Google's Gemini API, in AI Studio and in Vertex AI: <https://ai.google.dev/api/generate-content>
//!
//! The model and the wish for a stream stand in the path and not in the body: who reads a request finds
//! `model` empty and `stream` unset. Clients write members in camel case or in snake case; both are read,
//! and what differs from what we would write (its spelling included) keeps its form ([`crate::canon::Extra`]).

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `generateContent` and its siblings.
    Gemini = wire::ME;
    paths = {
        generate: "/v1beta/models/{model}:generateContent",
        stream: Some("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
        count: Some("/v1beta/models/{model}:countTokens")
    };
    words = ["text"];
    names = wire::NAMES;
    counts = read::count_request, r#"{{"totalTokens":{}}}"#;
}
