//! Decides: what a configuration means, where a model name goes, and what one request does from its
//! first byte to its settlement.
//!
//! Pure, like `dialect`: no network, no clock, no randomness, no files. Time and seeds come in as values;
//! what must be done comes out as orders.

pub mod access;
pub mod exchange;
pub mod headers;
pub mod ledger;
pub mod limits;
pub mod plan;
pub mod provider;
pub mod record;
pub mod secret;
pub mod surface;
pub mod time;
