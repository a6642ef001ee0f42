//! Models where a hive is: the same verbs, submitted.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    stage::{Ran, Stage, faults, quick, sound_blobs},
    stops::{came, running, until_came},
};

/// A hive that runs, and its socket; it ends with its owner.
struct Hive(Child, String);

impl Hive {
    fn start(stage: &Stage) -> Self {
        let mut command = stage.bare();
        command.args(["--output", "json", "hive", "serve", "--port", "0"]).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self(child, format!("unix:{}", said["socket"].as_str().unwrap()))
    }

    fn ran(&self, stage: &Stage, words: &str) -> Ran {
        Ran(stage.command(words).env("RBEE_HIVE", &self.1).output().unwrap())
    }
}

impl Drop for Hive {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_delete_ends_the_transfer_and_the_next_job_goes_on() {
    let stage = Stage::new(&["rate=4MB"]);
    let hive = Hive::start(&stage);
    quick("a cancelled job", |_| {
        let before = came(&stage);
        let submitted = hive.ran(&stage, "model download sized/40MB --connections 4 --detach").exits(0);
        let id = String::from_utf8(submitted.0.stdout.clone()).unwrap().trim().to_owned();
        until_came(&stage, before + 5_000_000);
        let asked = Instant::now();
        let canceled = hive.ran(&stage, &format!("job cancel {id}"));
        let took = asked.elapsed();
        // Neither a beat nor a transfer: all that is left is the hive.
        assert_eq!(running(&stage), [hive.0.id() as i32], "{submitted}\n{canceled}");
        hive.ran(&stage, &format!("job get {id}")).exits(0).says("cancelled");
        took
    });
    let (kept, sent) = (came(&stage), stage.hub.sent());
    assert!((4_000_000..40_000_000).contains(&kept), "{kept}");
    stage.hub.set_faults(faults(&[]));
    hive.ran(&stage, "model download sized/40MB").exits(0).says("kept from before");
    assert_eq!(sound_blobs(&stage.cache()), 2);
    let again = stage.hub.sent() - sent;
    assert!(again <= 41_000_000 - kept, "{again} bytes came, and {kept} were there");
}

#[test]
fn a_hive_has_the_other_verbs_too() {
    let stage = Stage::new(&[]);
    let hive = Hive::start(&stage);
    hive.ran(&stage, "model download rbee/safetensors --dry-run").exits(0);
    assert!(!stage.cache().exists());
    hive.ran(&stage, "model download rbee/sharded-GGUF --quant Q8_0").exits(0);
    hive.ran(&stage, "model list").exits(0).says("rbee/sharded-GGUF");
    hive.ran(&stage, "model verify rbee/sharded-GGUF").exits(0);
    hive.ran(&stage, "model remove rbee/sharded-GGUF").exits(0).says("freed");
    hive.ran(&stage, "model clean").exits(0).says("nothing is left over");
    hive.ran(&stage, "model download ../x").exits(2).says("names no model");
    hive.ran(&stage, "model download rbee/many --all-or-nothing").exits(2).says("stay on this machine");
}
