//! Processes by number and start, so that a later one with the same number is not taken for them.

use crate::wire::job::Owner;

/// This process.
pub fn this_process() -> Owner {
    let pid = std::process::id();
    Owner { pid, started: started(pid).unwrap_or_default() }
}

/// When a process was started, in clock ticks after boot; `None` when there is none, or no `/proc`.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have anything in it; the 22nd field is the 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process is still there.
pub fn is_alive(owner: &Owner) -> bool {
    match started(owner.pid) {
        Some(now) => owner.started == 0 || now == owner.started,
        None if cfg!(target_os = "linux") => false,
        None => {
            let pid = nix::unistd::Pid::from_raw(owner.pid.cast_signed());
            nix::sys::signal::kill(pid, None) != Err(nix::errno::Errno::ESRCH)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = this_process();
        assert!(is_alive(&me));
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let other = Owner { pid: child.id(), started: started(child.id()).unwrap_or_default() };
        assert!(is_alive(&other));
        assert!(!is_alive(&Owner { started: other.started + 1, ..other.clone() }) || other.started == 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&other));
    }
}
