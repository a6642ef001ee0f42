//! Programs of several files: a folder with `bin`, `lib` and `share`, and nothing else.
//!
//! # Theory of operation
//! A tree has one sha256: that of its [`listing`](lines), a line for each folder, file and link, in the order of bytes,
//! below a first line that names the worker and the entry point. So a tree belongs to one worker, and two workers never
//! share one. The listing is made here by [`Tree::digest`] and on a host by a script ([`digest_script`]); both give the
//! same text, and what has no place in it, like a socket or a file that is writable for everybody, spoils the sum.
//!
//! What may be in a tree is decided by [`check`], wherever it comes from: names are plain text, links are relative and
//! stay inside, modes are 0755 and 0644. Therefore a tree can go through one tar stream ([`TreeSource`]) and be unpacked
//! by whatever tar the host has.

mod listing;
mod rules;
mod scan;
mod source;
mod tar;

pub use listing::{digest_script, lines, list_script, listed, pack_script, tidy_script, tree_sum};
pub use rules::{Item, Kind, TreeError, check, entry_of, is_program_name, prefix_of};
pub use scan::Tree;
pub use source::TreeSource;
pub use tar::check_tar;

/// The folders that a tree may have.
pub const FOLDERS: [&str; 3] = ["bin", "lib", "share"];

#[cfg(test)]
mod tests;
