//! The dialect's own tests.
