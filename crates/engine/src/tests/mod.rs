//! Tests of the table, of names and of paths.
