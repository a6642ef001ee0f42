//! `--install-deps` through a real sudo, with a stand-in for the package manager that root runs.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::stage::{PASSWORD, Stage, until};

const APT: &str = "/usr/local/bin/apt-get";
const STATE: &str = "/usr/local/state";

/// A recipe that needs what only the stand-in brings, and the stand-in, which `does` more.
fn set(stage: &Stage, does: &str) -> String {
    let folder = stage.rig.dir().join("app");
    std::fs::create_dir_all(&folder).unwrap();
    let recipe = "pkgname=app\npkgver=1.0\npkgrel=1\narch=(x86_64 aarch64)\nmakedepends=(nccl)\n\
                  package() { mkdir -p \"$pkgdir/usr/bin\"; printf '#!/bin/sh\\necho app 1.0\\n' >\"$pkgdir/usr/bin/app\"; \
                  chmod 755 \"$pkgdir/usr/bin/app\"; }\n";
    std::fs::write(folder.join("PKGBUILD"), recipe).unwrap();
    let apt = format!("#!/bin/sh\\nid -un >{STATE}/who; echo \"$*\" >{STATE}/apt; {does} touch {STATE}/installed\\n");
    let pkg_config = format!("#!/bin/sh\\n[ -e {STATE}/installed ] || exit 1; echo 2.0\\n");
    stage.rig.exec(
        "h1",
        &format!(
            "mkdir -p /usr/local/bin; mkdir -m 755 {STATE}; printf '{apt}' >{APT}; \
             printf '{pkg_config}' >/usr/local/bin/pkg-config; chmod 755 {APT} /usr/local/bin/pkg-config"
        ),
    );
    format!("install {} -H h1 --build host --install-deps", folder.display())
}

#[test]
#[ignore = "needs root"]
fn rooted_packages_are_installed_by_the_one_line_that_sudoers_grants() {
    let stage = Stage::new(1, &format!("ada ALL=(root) NOPASSWD: {APT} install -y libnccl-dev"));
    let install = set(&stage, "");
    stage.fleet(&install).exits(0);
    let said = stage.on_host(&format!("cat {STATE}/who {STATE}/apt; /home/ada/.local/bin/app"));
    assert_eq!(said, "root\ninstall -y libnccl-dev\napp 1.0");
    stage.is_clean("h1");
}

#[test]
#[ignore = "needs root"]
fn rooted_a_package_manager_gets_a_password_and_nothing_else() {
    let stage = Stage::new(1, "Defaults timestamp_timeout=0, use_pty, lecture=always\nada ALL=(ALL) ALL");
    let install = set(&stage, "read -r line; echo \"read:$line\" >/usr/local/state/stdin;");
    let none = stage.fleet(&install).exits(5);
    assert!(none.error("h1").contains("asks for a password, and there is none"), "{none}");
    let wrong = stage.fleet_with(&format!("{install} --sudo-password-file -"), "nonsense").exits(1);
    assert!(wrong.error("h1").contains("did not take the password"), "{wrong}");
    assert_eq!(stage.on_host(&format!("ls {STATE}")), "");
    let right = stage.fleet_with(&format!("{install} --sudo-password-file -"), PASSWORD).exits(0);
    assert_eq!(stage.on_host(&format!("cat {STATE}/who {STATE}/stdin")), "root\nread:", "{right}");
    assert!(!right.to_string().contains("Tr0ub4dor"), "{right}");
    stage.is_clean("h1");
}

#[test]
#[ignore = "needs root"]
fn rooted_cancel_waits_for_what_root_installs() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    let install = set(&stage, &format!("while [ ! -e {STATE}/go ]; do sleep 0.05; done; echo >{STATE}/done;"));
    let mut live = stage.start(&install, None);
    until("the package manager starts", Duration::from_secs(60), || {
        stage.on_host(&format!("ls {STATE}")).contains("apt")
    });
    live.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    live.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_secs(2));
    assert!(matches!(live.child.try_wait(), Ok(None)), "nobody waited for the package manager");
    stage.rig.exec("h1", &format!("touch {STATE}/go"));
    let ran = live.end().exits(130);
    assert!(stage.on_host(&format!("ls {STATE}")).contains("done"), "{ran}");
    assert_eq!(ran.host("h1")["outcome"], "cancelled", "{ran}");
    stage.is_clean("h1");
}
