//! Picks the front door.

fn main() -> std::process::ExitCode {
    rbee::cli::main().into()
}
