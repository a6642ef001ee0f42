//! Provisions a fleet of LLM inference machines over nothing but SSH.
//!
//! Floors from bottom to top, each importing only what stands below it: see ARCHITECTURE.md.

pub mod archive;
pub mod artifacts;
pub mod build;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod daemon;
pub mod engine;
pub mod hive;
pub mod install;
pub mod inventory;
pub mod job;
pub mod models;
pub mod prebuilt;
pub mod preflight;
pub mod process;
pub mod recipe;
pub mod report;
pub mod sandbox;
pub mod scope;
pub mod target;
pub mod transfer;
pub mod vocab;
pub mod wire;
pub mod workers;
