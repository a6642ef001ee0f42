//! Provisions a fleet of LLM inference machines over nothing but SSH.
//!
//! Floors from bottom to top, each importing only what stands below it: see ARCHITECTURE.md.

pub mod process;
pub mod report;
pub mod scope;
pub mod target;
pub mod vocab;
pub mod wire;
