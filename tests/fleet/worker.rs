//! `rbee worker` on this machine, and the same verbs on a selection.

use std::{
    fs,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Live, Ran, Stage, run},
    support::{processes_with, token, until_seen},
};

/// A compiler is not needed to see a recipe come to its place.
fn functions(version: &str) -> String {
    format!(
        "package() {{ mkdir -p \"$pkgdir/usr/bin\"; printf '#!/bin/sh\\necho tool {version}\\n' >\"$pkgdir/usr/bin/tool\"; \
         chmod 755 \"$pkgdir/usr/bin/tool\"; }}\n"
    )
}

/// A catalog of one worker in this version.
fn catalog(stage: &Stage, version: &str) -> String {
    let folder = format!("catalog-{version}");
    let head = format!("pkgname=tool\npkgver={version}\npkgrel=1\narch=('x86_64' 'aarch64')\nlicense=('MIT')\n");
    stage.file(&format!("{folder}/tool/PKGBUILD"), head + &functions(version));
    stage.file(&format!("{folder}/tool/.SRCINFO"), format!("pkgbase = tool\n\tpkgver = {version}\npkgname = tool\n"));
    stage.file(&format!("{folder}/tool/worker.toml"), "name = 'Tool'\ndescription = 'a test'\n");
    stage.lab.dir().join(folder).to_str().unwrap().to_owned()
}

impl Stage {
    fn here(&self, after: &str) -> Ran {
        let mut command = self.bare();
        command.args(after.split_whitespace());
        run(command)
    }
}

#[test]
fn one_worker_comes_and_goes_on_this_machine_without_any_inventory() {
    let stage = Stage::new(&[]);
    // Nobody asks for either.
    stage.inventory("broken = [");
    fs::write(stage.lab.dir().join("inventory"), "").unwrap();
    let (old, new) = (catalog(&stage, "1.0"), catalog(&stage, "2.0"));
    let ran = stage.here(&format!("--catalog {old} --output json worker install tool")).exits(0);
    ran.outcome("local", "changed");
    assert_eq!(ran.lines()[0]["hosts"], serde_json::json!(["local"]), "{ran}");
    let path = stage.bin("local").join("tool");
    assert!(path.exists(), "{ran}");
    let again = stage.here(&format!("--catalog {old} --output json worker download tool")).exits(0);
    again.outcome("local", "unchanged");
    stage.is_clean("local", &again);

    stage.here(&format!("--catalog {new} --output json worker install tool@2.0")).exits(0).outcome("local", "changed");
    let got = stage.here(&format!("--catalog {new} --output json worker get tool")).exits(0).document();
    assert_eq!(got["catalog"]["version"], "2.0");
    let held = &got["hosts"][0]["workers"][0];
    assert_eq!((&held["version"], &held["kept"]["version"]), (&"2.0".into(), &"1.0".into()), "{got:#}");
    let shown = stage.here(&format!("--catalog {new} worker show tool")).exits(0);
    let row = shown.stdout.lines().find(|line| line.starts_with("local")).unwrap_or_else(|| panic!("{shown}"));
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!((cells[1], cells[2], cells[3], cells[5]), ("2.0", "2.0", "intact", "1.0"), "{shown}");

    // The one that is kept needs no catalog and no build, and its plan is a plan.
    let plan = stage.here("worker install tool@1.0 --dry-run").exits(0);
    assert!(plan.stdout.contains("go back to 1.0, which is kept, from 2.0"), "{plan}");
    let back = stage.here("--output json worker install tool@1.0").exits(0);
    back.outcome("local", "changed");
    let phases: Vec<_> =
        back.lines().iter().filter(|e| e["type"] == "phase_started").map(|e| e["phase"].clone()).collect();
    assert!(!phases.contains(&"build".into()), "{phases:?}");
    let listed = stage.here("--output json worker ls").exits(0).document();
    assert_eq!(listed["hosts"][0]["workers"][0]["version"], "1.0", "{listed:#}");
    stage.here("--output json worker install tool@1.0-1").exits(0).outcome("local", "unchanged");
    let none = stage.here(&format!("--catalog {new} --output json worker install tool@3.0")).exits(5);
    let said = none.outcome("local", "refused")["error"].as_str().unwrap().to_owned();
    assert_eq!(said, "there is no tool 3.0: the catalog has 2.0, 1.0 is installed, 2.0 is kept");

    stage.here("--output json worker rm tool").exits(0).outcome("local", "changed");
    let left: Vec<_> =
        stage.files("local").into_keys().filter(|path| !path.to_str().unwrap().contains("/.local/state/")).collect();
    assert!(!path.exists() && left.iter().all(|path| !path.to_str().unwrap().contains("tool")), "{left:?}");
    stage.here("--output json worker rm tool").exits(0).outcome("local", "unchanged");
}

#[test]
fn a_ctrl_c_ends_a_build_on_this_machine_as_on_any_other() {
    let stage = Stage::new(&[]);
    let token = token();
    let folder = stage.recipe("slow", &format!("build() {{ echo up; sleep {token}; }}\npackage() {{ :; }}\n"));
    let mut command = stage.bare();
    command.args(["--output", "json", "worker", "install", &folder]);
    let mut live = Live::start(command);
    live.until_line("up");
    until_seen(&token, 1);
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(130);
    ran.outcome("local", "cancelled");
    assert_eq!(processes_with(&token), Vec::<u32>::new(), "{ran}");
    stage.is_clean("local", &ran);
}

#[test]
fn what_runs_is_not_removed() {
    let stage = Stage::new(&["one"]);
    let tool = stage.file("sleeper", fs::read("/usr/bin/sleep").unwrap());
    stage.events(&format!("fleet worker install sleeper --binary {tool} -H one")).exits(0).outcome("one", "changed");
    let path = stage.bin("one").join("sleeper");
    let mut child = Command::new(&path).arg("600").stdin(Stdio::null()).spawn().unwrap();
    let ran = stage.events("fleet worker remove sleeper -H one").exits(5);
    let said = ran.outcome("one", "refused");
    assert!(said["error"].as_str().unwrap().contains(&format!("(process {})", child.id())), "{ran}");
    assert!(path.exists() && child.try_wait().unwrap().is_none(), "{ran}");
    let got = stage.rbee("--output json fleet worker get sleeper -H one").exits(0).document();
    assert_eq!(got["hosts"][0]["workers"][0]["running"], serde_json::json!([child.id()]), "{got:#}");
    let forced = stage.events("fleet worker rm sleeper --force -H one").exits(0);
    let alive = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    let _ = child.wait();
    forced.outcome("one", "changed");
    assert!(alive && !path.exists(), "{forced}");
}

#[test]
fn what_fits_comes_first_and_every_id_is_taken_everywhere() {
    let stage = Stage::new(&["one"]);
    let all = stage.here("worker available --all").exits(0);
    let head = all.stdout.lines().next().unwrap();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["DESCRIPTION", "ID", "NAME", "PLATFORMS", "TYPE"]);
    let few = stage.here("worker available").exits(0).says("--all");
    assert!(
        all.stdout.starts_with(few.stdout.trim_end()) || few.stdout.lines().count() < all.stdout.lines().count(),
        "{few}"
    );
    assert!(!few.stdout.contains("llama-server-metal") && all.stdout.contains("llama-server-metal"), "{all}");

    let document = stage.rbee("--output json fleet worker available -H one").exits(0).document();
    let workers = document["workers"].as_array().unwrap();
    let fits: Vec<bool> = workers.iter().map(|worker| worker["fits"].as_bool().unwrap()).collect();
    assert!(fits.is_sorted_by(|a, b| a >= b) && fits[0] && !fits[fits.len() - 1], "{fits:?}");
    assert_eq!(workers[0]["fits_on"], serde_json::json!(["one"]));
    for worker in workers {
        let id = worker["id"].as_str().unwrap();
        let got = stage.here(&format!("--output json worker get {id}")).exits(0).document();
        assert_eq!(got["catalog"]["id"], *id);
    }
    stage.here("worker get echo-workr").exits(2).says("did you mean \"echo-worker\"?");
    stage.here("worker get ../../x").exits(2).says("worker id");
    stage.here("worker install").exits(2).says("no worker was named");
    stage.here("worker install x@").exits(2).says("is no version");
}
