//! What programs print, taken apart within bounds.

pub mod lines;

pub use lines::{LineSplitter, Lines};
