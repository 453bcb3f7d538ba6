//! OpenAI's Responses API, as OpenAI documents it and as some ten compatible servers speak it:
//! <https://platform.openai.com/docs/api-reference/responses>
//!
//! What is said is a list of *items*, and canonical form has turns of blocks. So it goes:
//!
//! * `instructions` is the first turn, with [`Role::System`](crate::canon::Role::System) and no place;
//! * neighbours that the model said (its messages, thoughts, calls, and what it did by itself) are one
//!   turn, as other dialects have it; every other item is a turn of its own;
//! * a message is a block for each of its parts, thoughts, calls and results of tools are one block, and
//!   every item that is none of these is an opaque block;
//! * a block's place is the item's number and the part's, so the writer finds the items again; what of an
//!   item canonical form does not hold is kept with its first block, as it was.

mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

crate::shape::dialect! {
    /// The dialect of `/v1/responses`.
    OpenaiResponses = wire::ME;
    paths = { generate: "/responses", stream: None, count: None };
    words = ["delta"];
    names = wire::NAMES;
    counts = read::request, r#"{{"object":"response.input_tokens","input_tokens":{}}}"#;
    echo = write::echo, write::reply;
}
