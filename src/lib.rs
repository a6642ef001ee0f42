//! Provisions a fleet of LLM inference machines over nothing but SSH.
//!
//! Floors from bottom to top, each importing only what stands below it: see ARCHITECTURE.md.

pub mod build;
pub mod catalog;
pub mod install;
pub mod inventory;
pub mod preflight;
pub mod recipe;
pub mod sandbox;
pub mod scope;
pub mod target;
pub mod transfer;
pub mod vocab;
pub mod wire;
