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
    names = wire::NAMES;
    counts = read::count_request, r#"{{"input_tokens":{}}}"#;
}
