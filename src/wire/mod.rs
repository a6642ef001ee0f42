//! Versioned forms of what leaves the process.

pub mod manifest;
