//! The built gateway over real sockets, with scripted providers behind it.
#![cfg(test)]

mod access;
mod bedrock;
mod billing;
mod clouds;
mod completions;
mod embeddings;
mod ending;
mod faults;
mod faults_outage;
mod faults_streams;
mod fidelity;
mod gemini;
mod headers;
mod heartbeats;
mod hostile;
mod hosts;
mod leaving;
mod limits;
mod lists;
mod memory;
mod overload;
mod realtime;
mod relaying;
mod replicate;
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
