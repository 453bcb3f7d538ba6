//! Decides: what a configuration means, where a model name goes, and what one request does from its
//! first byte to its settlement.
//!
//! Pure, like `dialect`: no network, no clock, no randomness, no files. Time and seeds come in as values;
//! what must be done comes out as orders.

pub mod access;
pub mod cloud;
pub mod config;
pub mod demo;
pub mod estimate;
pub mod exchange;
pub mod explain;
pub mod fit;
pub mod form;
pub mod headers;
pub mod hint;
pub mod ledger;
pub mod limits;
pub mod listing;
pub mod models;
pub mod path;
pub mod plan;
pub mod provider;
pub mod providers;
pub mod rates;
pub mod record;
pub mod route;
pub mod secret;
pub mod sign;
#[cfg(test)]
mod sim;
pub mod speech;
pub mod surface;
#[cfg(test)]
mod tests;
pub mod tiers;
pub mod time;
