//! The built gateway over real sockets, with scripted providers behind it.
#![cfg(test)]

mod ending;
mod fidelity;
mod leaving;
mod memory;
mod routing;
mod slow;
mod support;
mod surface;
mod truth;
