//! What a recipe names and a host lacks: said before any build, and installed where that is asked for.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{Ran, Stage};

/// Needs two libraries that no machine has by chance, and what every test machine has.
const RECIPE: &str = r#"
makedepends=('nccl' 'git' "$_more")
depends=('glibc' 'rocblas>=1.0')
build() { printf '#!/bin/sh\necho app 1.0\n' >app; }
package() { mkdir -p "$pkgdir/usr/local/bin"; install -m755 app "$pkgdir/usr/local/bin/app"; }
"#;
const PACKAGES: &str = "libnccl-dev librocblas-dev";
const PASSWORD: &str = "Tr0ub4dor & 3: $HOME";

/// A host whose package manager, sudo and libraries are stand-ins.
struct Box {
    stage: Stage,
    recipe: String,
}

impl Box {
    /// `id` says who the user is; `manager` is what the package manager does.
    fn new(uid: u32, manager: &str) -> Self {
        Self::over(&["one"], uid, manager)
    }

    /// Several of them.
    fn over(hosts: &[&str], uid: u32, manager: &str) -> Self {
        let stage = Stage::new(hosts);
        let env = |host: &&str| {
            let bin = stage.bin(host);
            format!("[hosts.{host}]\nenv = {{ PATH = \"{}:/usr/local/bin:/usr/bin:/bin\" }}\n", bin.display())
        };
        stage.inventory(&hosts.iter().map(env).collect::<String>());
        let recipe = stage.recipe("app", RECIPE);
        let there = Self { stage, recipe };
        let state = there.state();
        fs::create_dir(&state).unwrap();
        let state = state.display();
        there.program("id", &format!("[ $# = 0 ] || exec /usr/bin/id \"$@\"\necho 'uid={uid}(ada) gid=1000(ada)'\n"));
        there.program(
            "pkg-config",
            &format!(
                "[ -e {state}/installed ] || exit 1\ncase \"$*\" in\n'--exists nccl' | '--exists rocblas') ;;\n\
                 '--modversion '*) echo 4.1.0 ;;\n*) exit 1 ;;\nesac\n"
            ),
        );
        there.program("apt-get", &format!("printf '%s ' \"$@\" >>{state}/apt\nstate={state}\n{manager}"));
        there
    }

    fn state(&self) -> PathBuf {
        self.stage.lab.dir().join("state")
    }

    fn program(&self, name: &str, script: &str) {
        for host in self.stage.lab.names() {
            let path = self.stage.bin(host).join(name);
            self.stage.file(path.to_str().unwrap(), format!("#!/bin/sh\n{script}"));
        }
    }

    /// What a stand-in wrote down; "" when it never ran.
    fn said(&self, file: &str) -> String {
        fs::read_to_string(self.state().join(file)).unwrap_or_default().trim_end().to_owned()
    }

    fn install(&self, more: &str) -> Ran {
        self.stage.events(&format!("fleet install {} -H one --build host {more}", self.recipe))
    }
}

/// Sudo that runs what it is told; with a password only where one is wanted.
fn sudo(there: &Box, wants_password: bool) {
    let state = there.state();
    let state = state.display();
    let check = match wants_password {
        true => format!(
            "case $1 in -n) echo 'sudo: a password is required' >&2; exit 1 ;; esac\nread -r given\n\
             [ \"$given\" = '{PASSWORD}' ] || {{ echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }}\n"
        ),
        false => String::new(),
    };
    there.program(
        "sudo",
        &format!(
            "printf '%s ' \"$@\" >>{state}/sudo; echo >>{state}/sudo\n{check}\
             while [ $# -gt 0 ]; do case $1 in --) shift; exec \"$@\" ;; esac; shift; done\n"
        ),
    );
}

fn notices(ran: &Ran) -> String {
    let lines = ran.lines();
    let texts = lines.iter().filter(|event| event["type"] == "notice").map(|event| event["text"].as_str().unwrap());
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn all_that_is_missing_is_said_before_any_build_with_one_line() {
    let there = Box::new(1000, "exit 1\n");
    let before = there.stage.files("one");
    let ran = there.install("").exits(5);
    let host = ran.outcome("one", "refused");
    assert_eq!(host["error"], "the library nccl is missing; the library rocblas is missing", "{ran}");
    assert_eq!(host["hint"], format!("sudo apt-get install -y {PACKAGES}"), "{ran}");
    there
        .stage
        .rbee(&format!("fleet check {} -H one", there.recipe))
        .exits(5)
        .says(&format!("apt-get install -y {PACKAGES}"));
    let planned =
        there.stage.rbee(&format!("fleet install {} -H one --build host --dry-run --install-deps", there.recipe));
    let planned = planned.exits(0);
    let planned =
        planned.says(&format!("would install first what is missing there: sudo apt-get install -y {PACKAGES}"));
    assert_eq!(there.stage.files("one"), before, "preflight changed something\n{planned}");
    assert_eq!(there.said("apt"), "");
    // The same is asked of this machine where that is to build.
    let here = there.stage.rbee(&format!("fleet install {} -H one --build local", there.recipe));
    here.says("the library nccl is missing").exits(5);
}

#[test]
fn install_deps_runs_that_line_as_root_and_looks_again() {
    let there = Box::new(1000, "echo setting up; touch $state/installed\n");
    sudo(&there, false);
    let ran = there.install("--install-deps").exits(0);
    let host = ran.outcome("one", "changed");
    assert_eq!(host["done"][0], format!("installed by apt-get: {PACKAGES}"), "{ran}");
    assert!(
        notices(&ran).contains(&format!("installing what is missing there: sudo apt-get install -y {PACKAGES}")),
        "{ran}"
    );
    assert!(ran.lines().iter().any(|event| event["type"] == "line" && event["text"] == "setting up"), "{ran}");
    let apt = there.stage.bin("one").join("apt-get");
    assert_eq!(there.said("sudo"), format!("-n -- {} install -y {PACKAGES}", apt.display()));
    assert!(there.stage.bin("one").join("app").exists());
    there.install("--install-deps --reinstall").exits(0);
    // What is there already needs no packages to be built.
    fs::remove_file(there.state().join("installed")).unwrap();
    there.install("--install-deps").exits(0).outcome("one", "unchanged");
    assert_eq!(there.said("apt"), format!("install -y {PACKAGES}"), "once is enough");
    there.stage.is_clean("one", &ran);
}

#[test]
fn of_hosts_that_are_alike_only_the_one_that_builds_gets_packages() {
    let hosts = ["one", "two", "three"];
    let there = Box::over(&hosts, 0, "echo \"${0%/*}\" >>$state/who; touch \"${0%/*}/installed\"\n");
    there.program(
        "pkg-config",
        "[ -e \"${0%/*}/installed\" ] || exit 1\ncase \"$*\" in\n'--exists nccl' | '--exists rocblas') ;;\n\
         '--modversion '*) echo 4.1.0 ;;\n*) exit 1 ;;\nesac\n",
    );
    let all = format!("{} -H all --build host", there.recipe);
    let planned = there.stage.rbee(&format!("fleet install {all} --install-deps --dry-run")).exits(0);
    assert_eq!(planned.stderr.matches("would install first").count(), 1, "{planned}");
    there.stage.rbee(&format!("fleet check {} -H all", there.recipe)).exits(5);
    let ran = there.stage.events(&format!("fleet install {all} --install-deps")).exits(0);
    for host in hosts {
        ran.outcome(host, "changed");
        there.stage.is_clean(host, &ran);
    }
    assert_eq!(there.said("who").lines().count(), 1, "{ran}");
    // Now one can build, and nothing is held against the others.
    let checked = there.stage.rbee(&format!("fleet check {} -H all", there.recipe)).exits(0);
    assert!(!checked.stdout.contains("is missing"), "{checked}");
    there.stage.events(&format!("fleet install {all} --install-deps --reinstall")).exits(0);
    assert_eq!(there.said("who").lines().count(), 1);
}

#[test]
fn a_password_goes_to_sudo_by_stdin_and_is_tried_once() {
    let there = Box::new(1000, "read -r line; echo \"read:$line\" >$state/stdin; touch $state/installed\n");
    sudo(&there, true);
    there.install("--install-deps").exits(5).says("asks for a password, and there is none");
    let wrong = there.stage.file("wrong", "nonsense\n");
    fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ran = there.install(&format!("--install-deps --sudo-password-file {wrong}")).exits(1);
    assert_eq!(ran.outcome("one", "failed")["reason"], "auth", "{ran}");
    assert_eq!(there.said("apt"), "");
    let right = there.stage.file("right", format!("{PASSWORD}\n"));
    fs::set_permissions(&right, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ran = there.install(&format!("--install-deps --sudo-password-file {right}")).exits(0);
    assert_eq!(there.said("stdin"), "read:", "what is left of stdin is nothing\n{ran}");
    let said = there.said("sudo");
    assert!(!said.contains("Tr0ub4dor") && said.ends_with(PACKAGES), "{said}");
    assert!(!format!("{ran}").contains("Tr0ub4dor"), "{ran}");
}

#[test]
fn a_manager_that_is_locked_says_so_itself() {
    let lock = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)";
    let there = Box::new(0, &format!("echo Reading package lists...; echo '{lock}' >&2; exit 100\n"));
    let ran = there.install("--install-deps").exits(1);
    let host = ran.outcome("one", "failed");
    assert_eq!(host["error"], format!("apt-get failed with status 100: {lock}"), "{ran}");
    assert_eq!(
        (host["phase"].clone(), host["hint"].clone()),
        ("install".into(), Value::from(format!("what was run: apt-get install -y {PACKAGES}")))
    );
    there.stage.is_clean("one", &ran);
}

#[test]
fn what_no_package_brought_is_still_missing() {
    let there = Box::new(0, "exit 0\n");
    let ran = there.install("--install-deps").exits(5);
    let host = ran.outcome("one", "refused");
    let error = host["error"].as_str().unwrap();
    assert!(error.starts_with("apt-get came to its end, and all the same: the library nccl is missing"), "{ran}");
}

#[test]
fn a_manager_in_a_users_folder_is_not_made_root() {
    let there = Box::new(1000, "exit 0\n");
    sudo(&there, false);
    let mine = there.stage.home("one").join("bin");
    there.stage.file(mine.join("apt-get").to_str().unwrap(), "#!/bin/sh\nexit 0\n");
    let path = format!("{}:{}:/usr/bin:/bin", mine.display(), there.stage.bin("one").display());
    there.stage.inventory(&format!("[hosts.one]\nenv = {{ PATH = \"{path}\" }}\n"));
    there.install("--install-deps").exits(5).says("is not in a folder of the system's");
    assert_eq!(there.said("sudo"), "");
}

#[test]
fn cancel_waits_for_the_package_manager() {
    let there = Box::new(
        0,
        "trap 'echo killed >>$state/killed' TERM INT HUP\ntouch $state/started\n\
         while [ ! -e $state/go ]; do sleep 0.05; done\ntouch $state/installed; echo done >$state/done\n",
    );
    let mut live = there.stage.start(&format!("fleet install {} -H one --build host --install-deps", there.recipe));
    assert!(live.until_phase("install"));
    crate::support::eventually_sync("the package manager starts", || there.state().join("started").exists());
    // Twice: the second one skips every grace.
    live.signal(Signal::SIGINT);
    assert!(live.until(|event| event["hint"] == "once more skips the grace").is_some());
    live.signal(Signal::SIGINT);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(live.running() && there.said("done").is_empty(), "nobody waited for the package manager");
    fs::write(there.state().join("go"), "").unwrap();
    let ran = live.end().exits(130);
    assert_eq!((there.said("done").as_str(), there.said("killed").as_str()), ("done", ""), "{ran}");
    ran.outcome("one", "cancelled");
    assert!(notices(&ran).contains("apt-get was waited for, and came to its end"), "{ran}");
    assert!(!there.stage.bin("one").join("app").exists());
    there.stage.is_clean("one", &ran);
}

#[test]
fn nothing_is_installed_where_it_would_not_be_enough() {
    let there = Box::new(0, "touch $state/installed\n");
    let recipe = RECIPE.replace("'git'", "'git<1'");
    there.stage.recipe("app", &recipe);
    let ran = there.install("--install-deps").exits(5);
    assert!(ran.host("one")["error"].as_str().unwrap().contains("and git<1 is needed"), "{ran}");
    let text = RECIPE.replace("'git'", "'glibc>=99'");
    there.stage.recipe("app", &text);
    let ran = there.install("--install-deps").exits(5);
    assert!(ran.host("one")["error"].as_str().unwrap().contains("and glibc>=99 is needed"), "{ran}");
    assert_eq!(there.said("apt"), "", "{ran}");
}
