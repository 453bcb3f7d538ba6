//! The built gateway over real sockets, with scripted providers behind it.
#![cfg(test)]

mod access;
mod clouds;
mod ending;
mod fidelity;
mod gemini;
mod headers;
mod hostile;
mod hosts;
mod leaving;
mod limits;
mod memory;
mod realtime;
mod relaying;
mod routing;
mod secrets;
mod slow;
mod smuggling;
mod starting;
mod support;
mod surface;
mod traversal;
mod truth;
mod uploads;
