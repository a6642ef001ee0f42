//! ssh_config as rbee understands it, beside `ssh -G`: every keyword that it prints, over files written by hand and
//! generated ones; and both must call the same files wrong.

mod generated;
mod oracle;
mod program;
mod system;
mod written;
