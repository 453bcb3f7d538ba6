//! Relay or translate: the way of an answer's bytes to the caller.
