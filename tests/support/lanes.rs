//! What lanes are tried with: every shell and every level of containment that this machine has.

use std::time::Duration;

use rbee::target::{Captured, Command, Containment, Target};

use crate::support::scope;

pub const SHELLS: [&str; 4] = ["dash", "bash", "busybox", "mksh"];
const LEVELS: [(&str, Containment); 3] =
    [("cgroup", Containment::Cgroup), ("subreaper", Containment::Subreaper), ("group", Containment::Group)];

/// Combinations to try: each shell with each level.
pub fn matrix() -> impl Iterator<Item = (&'static str, &'static str, Containment)> {
    let root = nix::unistd::geteuid().is_root();
    SHELLS.into_iter().flat_map(move |sh| {
        LEVELS.into_iter().filter(move |(level, _)| root || *level != "cgroup").map(move |(level, c)| (sh, level, c))
    })
}

/// Runs a command; its status, and what it said on both streams.
pub async fn output(target: &dyn Target, command: Command) -> (i32, String, String) {
    let (scope, _events) = scope();
    let scope = scope.within("test", Duration::from_secs(60));
    let mut kept = Captured::default();
    let exit = target.run(&scope, &command, &mut kept).await.unwrap();
    (exit.status, kept.text(), String::from_utf8_lossy(&kept.stderr).into_owned())
}
