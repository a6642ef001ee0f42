//! What is sent to a host, as text: POSIX sh with its values before it, pinned by goldens.

use std::time::Duration;

use crate::{
    target::Command,
    vocab::{
        Launch, SpawnId,
        text::{sh_join, sh_quote},
    },
};

/// Lines, digests and who a process is: the same for models and for workers.
const BASE: &str = include_str!("../models/sh/common.sh");
const COMMON: &str = include_str!("sh/common.sh");
const KEEPER: &str = include_str!("sh/keeper.sh");
pub const PORT: &str = include_str!("sh/port.sh");
pub const START: &str = concat!(include_str!("sh/service.sh"), include_str!("sh/start.sh"));
pub const WATCH: &str = include_str!("sh/watch.sh");
pub const KEEP: &str = include_str!("sh/keep.sh");
const UNDO: &str = concat!(include_str!("sh/service.sh"), include_str!("sh/undo.sh"));
pub const STOP: &str = concat!(include_str!("sh/service.sh"), include_str!("sh/stop.sh"));
pub const LIST: &str = include_str!("sh/list.sh");
pub const LOGS: &str = include_str!("sh/logs.sh");

/// Pieces of at most 4 KiB that a log has before it goes on in a new file; three older ones are kept.
const PIECES: u32 = 2560;

fn values(values: &[(&str, &str)]) -> String {
    values.iter().map(|(name, value)| format!("{name}={}\n", sh_quote(value))).collect()
}

/// The script with these values.
pub fn text(given: &[(&str, &str)], script: &str) -> String {
    format!("{}{}{}{script}", values(given), bare(BASE), bare(COMMON))
}

/// A step of our own with these values.
pub fn command(label: &str, given: &[(&str, &str)], script: &str) -> Command {
    Command::own(label, text(given, script))
}

/// Ends a worker that was not kept: to be registered before anything of it is made.
pub fn undo(id: &SpawnId, grace: Duration) -> String {
    let naps = naps(grace);
    format!("(\n{}) || bad=1", text(&[("ID", id.as_str()), ("G", &naps)], UNDO))
}

/// The keeper of a program; `key` if a variable brings it its API key.
pub fn keeper(argv: &[String], launch: &Launch, key: bool, restart: bool) -> String {
    let variable = launch.api_key_env.as_deref().filter(|_| key).unwrap_or_default();
    let restart = if restart { "1" } else { "" };
    let given = values(&[("RESTART", restart), ("KEYENV", variable), ("COUNT", &PIECES.to_string())]);
    format!("{given}program() {{ exec {}; }}\n{}{KEEPER}", sh_join(argv), bare(BASE))
}

/// How often a host looks within this time.
pub fn naps(time: Duration) -> String {
    time.as_millis().div_ceil(200).max(1).to_string()
}

/// Without comments: it is sent with each command.
fn bare(script: &str) -> String {
    let lines = script.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("common", text(&[("ID", "w00000bee")], ""));
        for (name, script) in [
            ("port", PORT),
            ("start", START),
            ("watch", WATCH),
            ("keep", KEEP),
            ("stop", STOP),
            ("list", LIST),
            ("logs", LOGS),
        ] {
            insta::assert_snapshot!(name, script);
        }
        let id = SpawnId::of(0xbee);
        insta::assert_snapshot!("undo", undo(&id, Duration::from_millis(500)).replace(&bare(COMMON), "…\n"));
        let argv = ["/home/it's me/bin/echo-worker".to_owned(), "--port".into(), "7855".into()];
        let launch = Launch { api_key_env: Some("KEY".into()), ..Launch::default() };
        insta::assert_snapshot!("keeper", keeper(&argv, &launch, true, true).replace(&bare(BASE), "…\n"));
        assert!(keeper(&argv, &launch, false, false).starts_with("RESTART=''\nKEYENV=''\n"));
    }

    /// Whether cgroups are as root finds them on a machine.
    fn has_cgroups() -> bool {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2"))
    }

    /// A chatty program under every shell that is here, and a log that may have three pieces.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_log_is_bounded_and_the_last_words_are_in_it() {
        use std::{fs, process::Stdio};

        let chatty = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; exit 7";
        let argv = ["/bin/sh", "-c", chatty].map(str::to_owned);
        let text = keeper(&argv, &Launch::default(), false, false).replace("COUNT=2560", "COUNT=3");
        assert!(text.contains("COUNT=3"), "{text}");
        let shells: [&[&str]; 6] = [&["/bin/sh"], &["bash"], &["dash"], &["busybox", "sh"], &["mksh"], &["ksh"]];
        for shell in shells {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("kept")).unwrap();
            fs::write(dir.path().join("run"), &text).unwrap();
            let mut command = std::process::Command::new("setsid");
            command.arg("-w").args(shell).arg(dir.path().join("run")).env("HOME", dir.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let status = command.status().unwrap();
            // Not every machine has every shell.
            if status.code() == Some(127) {
                continue;
            }
            assert_eq!(status.code(), Some(7), "{shell:?}");
            // Its cgroup, where it had one, is empty now.
            if let Ok(cgroup) = fs::read_to_string(dir.path().join("cgroup")) {
                fs::remove_dir(cgroup.trim_end()).unwrap();
            } else {
                assert!(!nix::unistd::geteuid().is_root() || !has_cgroups(), "{shell:?}");
            }
            let log = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
            let all: String = ["log.3", "log.2", "log.1", "log"].map(log).concat();
            assert!(all.ends_with("line 39\n") && !all.contains("line 0\n"), "{shell:?}: {all}");
            assert!(log("ended").starts_with("7 ") && !dir.path().join("log.4").exists(), "{shell:?}");
        }
    }
}
