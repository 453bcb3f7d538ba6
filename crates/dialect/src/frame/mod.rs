//! How streams are cut into frames.

pub mod array;
pub mod sse;
