//! A body with declared edits and every other byte as it was.
