//! How streams are cut into frames.

pub mod sse;
