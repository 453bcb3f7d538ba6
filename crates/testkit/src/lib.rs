//! What tests and `sekisho bench` need on both sides of a gateway: a [`provider`] that does as its
//! script says and remembers what it saw, a [`load`] generator that does not forgive, and the
//! processor time and memory of a process ([`proc`]).

pub mod limits;
pub mod load;
pub mod proc;
pub mod provider;
