//! Anthropic's Messages API: <https://docs.anthropic.com/en/api/messages>

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `/v1/messages`.
    Anthropic = wire::ID;
    paths = { generate: "/v1/messages", stream: None, count: Some("/v1/messages/count_tokens") };
    words = ["text", "thinking", "partial_json"];
    names = wire::NAMES;
    id = "request-id";
    counts = read::count_request, r#"{{"input_tokens":{}}}"#;
}
