//! Amazon Bedrock's Converse API: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//!
//! The model and the wish for a stream stand in the path and not in the body: who reads a request finds
//! `model` empty and `stream` unset. An error's name stands in a header (`x-amzn-ErrorType`), which a body does
//! not see; AWS's libraries look for it in `__type` too, and we write it in both. Where a thing would be written
//! in another way than it stood, what stood there is kept as its form ([`crate::canon::Extra`]).

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `converse` and `converse-stream`.
    Bedrock = wire::ME;
    paths = {
        generate: "/model/{model}/converse",
        stream: Some("/model/{model}/converse-stream"),
        count: Some("/model/{model}/count-tokens"),
    };
    words = ["text", "input"];
    names = wire::NAMES;
    framing = crate::frame::Framing::Aws;
    id = "x-amzn-requestid";
    told = wire::fault_header;
    counts = read::count_request, r#"{{"inputTokens":{}}}"#;
}
