//! A hive's life on hosts, from `rbee fleet hive install` to `remove`.

mod change;
mod keepers;
mod life;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    stage::{Live, Ran, Stage},
    support::{eventually_sync, processes_with},
};

/// A stage with one host, and programs that may be sent there.
pub struct Daemons {
    pub stage: Stage,
    /// This rbee, small enough to be sent often.
    pub rbee: PathBuf,
}

impl Daemons {
    pub fn new() -> Self {
        let stage = Stage::new(&["one"]);
        let rbee = stage.lab.dir().join("programs/rbee");
        fs::create_dir_all(rbee.parent().unwrap()).unwrap();
        let stripped = Command::new("strip").arg("-o").arg(&rbee).arg(env!("CARGO_BIN_EXE_rbee")).status();
        assert!(stripped.expect("strip: install binutils").success());
        Self { stage, rbee }
    }

    /// The same program with another digest.
    pub fn other(&self) -> PathBuf {
        let other = self.rbee.with_file_name("other");
        let mut bytes = fs::read(&self.rbee).unwrap();
        bytes.extend_from_slice(b"another build of it");
        self.stage.file("programs/other", bytes);
        other
    }

    /// `rbee … AFTER`, by this program.
    pub fn command(&self, program: &Path, after: &str) -> Command {
        let like = self.stage.command(after);
        let mut command = Command::new(program);
        command.env_clear().args(like.get_args()).current_dir(self.stage.lab.dir());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }

    pub fn start(&self, program: &Path, after: &str) -> Live {
        Live::start(self.command(program, &format!("--output json {after}")))
    }

    /// With events.
    pub fn run(&self, after: &str) -> Ran {
        self.start(&self.rbee, after).end()
    }

    #[track_caller]
    pub fn installed(&self) -> Value {
        self.run("fleet hive install --port 0 -H one").exits(0);
        self.status()
    }

    /// What is said of the host's hive.
    #[track_caller]
    pub fn status(&self) -> Value {
        let document = self.run("fleet hive status -H one").exits(0).document();
        document["hosts"][0]["hive"].clone()
    }

    /// Submits a line for the shell to the host's hive; its id.
    #[track_caller]
    pub fn job(&self, script: &str) -> String {
        let mut command = self.stage.command("job exec --detach --host one --");
        command.arg(script);
        crate::stage::run(command).exits(0).stdout.trim().to_owned()
    }

    pub fn program(&self) -> PathBuf {
        self.stage.bin("one").join("rbee")
    }

    /// The hive's folder.
    pub fn state(&self) -> PathBuf {
        self.stage.home("one").join(".local/state/rbee/hive")
    }

    /// Hives on the host, by an observer that knows the path of their program and nothing else.
    pub fn hives(&self) -> Vec<u32> {
        let path = format!("{}\0hive\0serve", self.program().display());
        processes_with(&path)
    }

    #[track_caller]
    pub fn until_gone(&self) {
        eventually_sync("the hive is gone", || self.hives().is_empty());
    }

    /// Everything of the host but logs, and what every run writes.
    pub fn things(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let found = self.stage.files("one");
        let kept = found.keys().filter(|path| {
            let text = path.to_str().unwrap();
            !text.ends_with("/hive/log")
                && !text.contains("/hive/jobs")
                && !text.ends_with("/hive/token")
                && !text.ends_with("/hive/serving")
                && !text.contains("/rbee/store/")
        });
        kept.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for pid in self.hives() {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}
