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

    fn read_count_request(&self, body: &[u8]) -> Result<crate::Carried<crate::canon::Request>, crate::Fault> {
        read::count_request(body).map(crate::Carried::whole)
    }

    fn write_count(&self, tokens: u64) -> Vec<u8> {
        format!(r#"{{"input_tokens":{tokens}}}"#).into_bytes()
    }
}
