//! Decides: what a configuration means, where a model name goes, and what one request does from its
//! first byte to its settlement.
//!
//! Pure, like `dialect`: no network, no clock, no randomness, no files. Time and seeds come in as values;
//! what must be done comes out as orders.

pub mod config;
pub mod hint;
pub mod limits;
pub mod path;
pub mod plan;
pub mod provider;
pub mod providers;
pub mod route;
pub mod secret;
pub mod surface;
pub mod time;

#[cfg(test)]
mod tests;
