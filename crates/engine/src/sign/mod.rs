//! Signatures over requests: pure, with the time as a value.

pub mod aws;
