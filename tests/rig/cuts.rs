//! Links that are cut while a host works, and links that are slow. What is left is seen from inside of the host.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    rig::Rig,
    stage::{Live, run},
    support::token,
};

/// Room for a machine that has more to do.
const ROOM: Duration = Duration::from_secs(3);

fn recipe(rig: &Rig, build: &str) -> String {
    let folder = rig.dir().join("recipe");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "pkgname=slow\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\nlicense=('MIT')\nbuild() {{ {build}; }}\n\
         package() {{ mkdir -p \"$pkgdir/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/bin/slow\"; chmod 755 \"$pkgdir/bin/slow\"; }}\n"
    );
    fs::write(folder.join("PKGBUILD"), text).unwrap();
    let worker = "name = \"slow\"\ndescription = \"a test\"\naccelerator = \"cpu\"\nplatforms = [\"linux\"]\n\
                  architectures = [\"x86_64\", \"aarch64\"]\nlicense = \"MIT\"\n";
    fs::write(folder.join("worker.toml"), worker).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// What the host still has of a run.
fn left(rig: &Rig, token: &str) -> String {
    // The bracket keeps the observer from finding itself.
    let (first, rest) = token.split_at(1);
    let files = "find /root /home /tmp /usr/local -path '*/rbee/scratch/*' -o -path '*/rbee/lock' -o -name '.*.part'";
    rig.exec("h1", &format!("ps -A -o pid= -o args= | grep '[{first}]{rest}'; {files}; :"))
}

#[test]
#[ignore = "needs root"]
fn rooted_a_host_is_clean_ten_seconds_after_its_link_was_cut() {
    let (rig, token) = (Rig::up("1"), token());
    let stubborn = format!("trap '' TERM; env -i setsid sleep {token} & sleep {token} & echo building; sleep {token}");
    let recipe = recipe(&rig, &stubborn);
    let mut live = Live::start(rig.rbee(&format!("--output json fleet -H h1 install {recipe} --build each")));
    live.until_line("building");
    crate::support::until_seen(&token, 3);
    assert!(!left(&rig, &token).is_empty(), "the observer sees nothing");
    rig.cut("h1");
    let cut = Instant::now();
    loop {
        let left = left(&rig, &token);
        if left.is_empty() {
            break;
        }
        assert!(cut.elapsed() < Duration::from_secs(10) + ROOM, "not clean: {left}");
        thread::sleep(Duration::from_millis(100));
    }
    eprintln!("clean after {:?}", cut.elapsed());
    // The controller cannot know, and says so.
    let ran = live.end().exits(6);
    let host = ran.outcome("h1", "failed");
    assert_eq!(host["reason"], "unconfirmed", "{ran}");
    assert!(host["error"].as_str().unwrap().contains("connection lost"), "{ran}");
    assert!(host["hint"].as_str().unwrap().contains("by itself within 10s"), "{ran}");
    assert!(ran.took < Duration::from_secs(60), "{ran}");
}

#[test]
#[ignore = "needs root"]
fn rooted_a_short_cut_within_the_lease_is_outlived() {
    let rig = Rig::up("1");
    let recipe = recipe(&rig, "for i in {1..24}; do echo building $i; sleep 1; done");
    let mut live =
        Live::start(rig.rbee(&format!("--output json fleet -H h1 install {recipe} --build each --lease 40s")));
    live.until_line("building 2");
    rig.cut("h1");
    thread::sleep(Duration::from_secs(12));
    rig.mend("h1");
    let ran = live.end().exits(0);
    ran.outcome("h1", "changed");
    // Each line once, in order.
    let lines: Vec<_> = ran.lines().into_iter().filter(|event| event["type"] == "line").collect();
    let said: Vec<_> =
        lines.iter().map(|event| event["text"].as_str().unwrap()).filter(|t| t.starts_with("building")).collect();
    let wanted: Vec<_> = (1..=24).map(|i| format!("building {i}")).collect();
    assert_eq!(said, wanted, "{ran}");
}

/// An upload fills the link for longer than a lease, and what runs beside it on the same link goes on.
#[test]
#[ignore = "needs root"]
fn rooted_a_slow_link_beside_a_build_is_no_loss() {
    let rig = Rig::up("1");
    let recipe = recipe(&rig, "for i in {1..20}; do echo building $i; sleep 1; done");
    let tool = rig.dir().join("tool");
    let mut bytes = b"#!/bin/sh\nexit 0\n".to_vec();
    bytes.extend((0..7_000_000).map(|_| rand::random::<u8>()));
    fs::write(&tool, &bytes).unwrap();
    rig.rate("h1", "4mbit");
    let mut building =
        Live::start(rig.rbee(&format!("--output json fleet -H h1 install {recipe} --build each --lease 5s")));
    building.until_line("building 1");
    let start = Instant::now();
    // What a person may do beside it.
    let copied = std::process::Command::new("timeout")
        .args(["60", "scp", "-q", "-F"])
        .arg(rig.ssh_config())
        .arg(&tool)
        .arg("h1:/tmp/tool")
        .status()
        .unwrap();
    assert!(copied.success());
    assert!(start.elapsed() > Duration::from_secs(12), "the link is not slow");
    building.end().exits(0).outcome("h1", "changed");
    // And an upload of our own over the same link.
    let sent = run(rig.rbee(&format!("--output json fleet -H h1 install tool --binary {} --lease 5s", tool.display())));
    assert!(sent.took > Duration::from_secs(12), "{sent}");
    sent.exits(0).outcome("h1", "changed");
}
