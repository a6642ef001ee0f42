//! What keeps a hive, with stand-ins for it; and hosts that this program does not run on.

use std::fs;

use super::Daemons;
use crate::stage::run;

/// Does what the unit says, and writes down what it was told.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>"$HOME/told"
[ "$1" = --user ] && shift
unit=$HOME/.config/systemd/user/rbee-hive.service
case $1 in
  show-environment) exit 0 ;;
  start)
    line=$(sed -n 's/^ExecStart=//p' "$unit")
    (unset RBEE_COOKIE; eval "exec setsid $line") </dev/null >/dev/null 2>&1 &
    ;;
  show) echo ActiveState=active; echo NRestarts=0 ;;
  enable) [ -f "$unit" ] && : >"$HOME/enabled" ;;
  disable) rm -f "$HOME/enabled" ;;
esac
"#;

const LAUNCHCTL: &str = r#"#!/bin/sh
echo "$*" >>"$HOME/told"
case $1 in
  bootstrap)
    words=$(sed -n '/ProgramArguments/s/<[^>]*>/ /gp' "$3" | sed 's/ProgramArguments//')
    (unset RBEE_COOKIE; eval "exec setsid $words") </dev/null >/dev/null 2>&1 &
    ;;
esac
"#;

impl Daemons {
    /// Programs that the host finds before its own.
    fn stand_ins(&self, programs: &[(&str, &str)]) {
        for (name, text) in programs {
            self.stage.file(&format!("stand-ins/{name}"), text);
        }
        let folder = self.stage.lab.dir().join("stand-ins");
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        self.stage.inventory(&format!("[hosts.one]\nenv = {{ PATH = \"{path}\" }}\n"));
    }

    fn told(&self) -> String {
        fs::read_to_string(self.stage.home("one").join("told")).unwrap_or_default()
    }
}

#[test]
fn systemd_keeps_it_and_lingering_is_said() {
    let daemons = Daemons::new();
    daemons.stand_ins(&[("systemctl", SYSTEMCTL), ("loginctl", "#!/bin/sh\necho Linger=no\n")]);
    let home = daemons.stage.home("one");
    let ran = daemons.run("fleet hive install --port 0 -H one").exits(0);
    let said = |text: &str| ran.lines().iter().any(|line| line["text"].as_str().is_some_and(|it| it.contains(text)));
    assert!(said("last login"), "{ran}");
    assert!(ran.stdout.contains("enable-linger"), "{ran}");
    let unit = home.join(".config/systemd/user/rbee-hive.service");
    let text = fs::read_to_string(&unit).unwrap();
    for line in ["Restart=on-failure", "KillMode=process", "WantedBy=default.target"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(home.join("enabled").exists(), "{}", daemons.told());
    let found = daemons.status();
    assert_eq!((&found["kept_by"], &found["lingers"]), (&"systemd".into(), &false.into()), "{found:#}");
    assert!(found["notes"].to_string().contains("last login"));
    run(daemons.stage.command("job exec --host one -- echo hello")).exits(0).says("hello");
    daemons.run("fleet hive stop -H one").exits(0);
    daemons.run("fleet hive start -H one").exits(0).outcome("one", "changed");
    assert_eq!(daemons.hives().len(), 1);
    daemons.run("fleet hive remove -H one").exits(0);
    assert!(!unit.exists() && !home.join("enabled").exists(), "{}", daemons.told());
    assert_eq!(daemons.hives(), [] as [u32; 0]);
    // With it, nothing has to be said.
    daemons.stand_ins(&[("loginctl", "#!/bin/sh\necho Linger=yes\n")]);
    let ran = daemons.run("fleet hive install --port 0 -H one").exits(0);
    assert!(!ran.stdout.contains("enable-linger"), "{ran}");
}

#[test]
fn a_unit_that_systemd_gives_up_is_an_error_and_goes() {
    let daemons = Daemons::new();
    let given_up = SYSTEMCTL.replace("ActiveState=active", "ActiveState=failed").replace("exec setsid", "exec false");
    daemons.stand_ins(&[("systemctl", &given_up), ("loginctl", "#!/bin/sh\necho Linger=yes\n")]);
    let home = daemons.stage.home("one");
    let ran = daemons.run("fleet hive install --port 0 -H one").exits(1);
    assert!(ran.outcome("one", "failed")["error"].as_str().unwrap().contains("ActiveState=failed"), "{ran}");
    assert!(!daemons.program().exists() && !home.join("enabled").exists(), "{}", daemons.told());
    assert!(!home.join(".config/systemd/user/rbee-hive.service").exists());
}

#[test]
fn launchd_keeps_it() {
    let daemons = Daemons::new();
    daemons.stand_ins(&[("launchctl", LAUNCHCTL), ("systemctl", "#!/bin/sh\nexit 1\n")]);
    let found = daemons.installed();
    assert_eq!((&found["state"], &found["kept_by"]), (&"running".into(), &"launchd".into()), "{found:#}");
    let agent = daemons.stage.home("one").join("Library/LaunchAgents/rbee.hive.plist");
    let text = fs::read_to_string(&agent).unwrap();
    assert!(text.contains("<key>SuccessfulExit</key><false/>"), "{text}");
    assert!(daemons.told().contains("bootstrap user/"), "{}", daemons.told());
    daemons.run("fleet hive stop -H one").exits(0);
    daemons.run("fleet hive remove -H one").exits(0);
    assert!(!agent.exists() && daemons.told().contains("bootout"), "{}", daemons.told());
}

/// A crate of rbee's name that is the real one under another.
fn checkout(daemons: &Daemons) -> String {
    let stage = &daemons.stage;
    let manifest = "[package]\nname = \"rbee\"\nversion = \"9.9.9\"\nedition = \"2021\"\n";
    stage.file("checkout/Cargo.toml", manifest);
    stage.file("checkout/Cargo.lock", "version = 3\n\n[[package]]\nname = \"rbee\"\nversion = \"9.9.9\"\n");
    let main = format!(
        "use std::os::unix::process::CommandExt;\nfn main() {{ panic!(\"{{}}\", \
         std::process::Command::new({:?}).args(std::env::args_os().skip(1)).exec()) }}\n",
        daemons.rbee
    );
    stage.file("checkout/src/main.rs", main);
    stage.lab.dir().join("checkout").to_str().unwrap().to_owned()
}

#[test]
fn where_this_program_does_not_run_it_is_built_from_its_source() {
    let daemons = Daemons::new();
    // A host whose C library is older than what this program needs.
    daemons.stand_ins(&[(
        "getconf",
        "#!/bin/sh\n[ \"$1\" != GNU_LIBC_VERSION ] || { echo glibc 2.5; exit; }\nexec /usr/bin/getconf \"$@\"\n",
    )]);
    let ran = daemons.run("fleet hive install --port 0 -H one").exits(5);
    let refused = ran.outcome("one", "refused");
    assert!(refused["error"].as_str().unwrap().contains("glibc 2.5"), "{ran}");
    assert!(refused["hint"].as_str().unwrap().contains("--source"), "{ran}");
    daemons.run("fleet hive install --source ftp://x -H one").exits(2).says("no address");
    daemons.run("fleet hive install --source /nowhere -H one").exits(2).says("--source");
    let source = checkout(&daemons);
    let ran = daemons.run(&format!("fleet hive install --build each --port 0 --source {source} -H one")).exits(0);
    assert!(ran.lines().iter().any(|line| line["phase"] == "build"), "{ran}");
    let found = daemons.status();
    assert_eq!((&found["state"], &found["installed"]["version"]), (&"running".into(), &"9.9.9".into()), "{found:#}");
    daemons.run(&format!("fleet hive upgrade --source {source} -H one")).exits(5).says("newer");
    daemons.run("fleet hive stop --now -H one").exits(0);
}
