//! Picks the front door.

/// Packets come and go in thousands of small buffers; the system's allocator gives their pages back each time.
/// Without huge pages, of which each idle connection would hold more than it uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rbee::cli::main().into()
}
