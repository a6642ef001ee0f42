//! Tests of the whole of preflight: data files, real shells, and the judgement over both.

mod check;
mod data;
mod needs;
mod shells;

use super::parse::{ProbeError, parse};
use crate::vocab::Facts;

/// Reads an output of the probe from `tests/data/probe`.
fn sample(name: &str) -> Result<Facts, ProbeError> {
    parse(&bytes(name))
}

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/probe/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}
