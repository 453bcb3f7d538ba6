//! What only this dialect has to hold.
