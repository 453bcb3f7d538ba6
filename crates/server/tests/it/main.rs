//! The built gateway over real sockets, with scripted providers behind it.
#![cfg(test)]

mod fidelity;
mod leaving;
mod routing;
mod support;
mod surface;
mod truth;
