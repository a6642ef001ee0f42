//! Servers with their libraries and data come to their place as one, and go again.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;

use crate::stage::{Ran, Stage};

/// A server that finds its library beside itself, and its data from there.
fn recipe(stage: &Stage, version: &str, more: &str) -> String {
    let functions = format!(
        r#"pkgver={version}
build() {{
  printf 'const char *greeting(void) {{ return "greeter {version}"; }}\n' >greet.c
  printf '#include <stdio.h>\nconst char *greeting(void);\nint main(void) {{ return puts(greeting()) < 0; }}\n' >main.c
  cc -shared -fPIC -Wl,-soname,libgreet.so.1 -o libgreet.so.1 greet.c
  cc -o greeter main.c ./libgreet.so.1 -Wl,-rpath,'$ORIGIN/../lib'
}}
package() {{
  mkdir -p "$pkgdir/usr/bin" "$pkgdir/usr/lib" "$pkgdir/usr/share/greeter"
  cp greeter "$pkgdir/usr/bin/greeter"
  cp greeter "$pkgdir/usr/bin/greeter-bench"
  cp libgreet.so.1 "$pkgdir/usr/lib/"
  ln -s libgreet.so.1 "$pkgdir/usr/lib/libgreet.so"
  printf 'hello\n' >"$pkgdir/usr/share/greeter/it's data"
  {more}
}}
"#
    );
    stage.recipe("greeter", &functions)
}

/// A folder with a script that needs what is beside it.
fn folder(stage: &Stage, name: &str, version: &str) -> PathBuf {
    let root = stage.lab.dir().join(name);
    let script = "#!/bin/sh\nwhere=$(readlink -f \"$0\")\nexec cat \"${where%/bin/*}/share/version\"\n";
    stage.file(&format!("{name}/bin/tool"), script);
    stage.file(&format!("{name}/share/version"), format!("tool {version}\n"));
    symlink("../share/version", root.join("share/link")).unwrap();
    root
}

fn says(path: &Path) -> String {
    match Command::new(path).arg("--version").output() {
        Ok(said) => String::from_utf8(said.stdout).unwrap().trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn store(stage: &Stage, host: &str) -> PathBuf {
    stage.bin(host).parent().unwrap().join("share/rbee/store")
}

fn stored(stage: &Stage, host: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(store(stage, host))
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn state(stage: &Stage) -> serde_json::Value {
    stage.rbee("fleet status -H one --output json").exits(0).document()["hosts"][0]["workers"][0]["state"].clone()
}

fn phases(ran: &Ran) -> Vec<String> {
    let started = ran.lines().into_iter().filter(|e| e["type"] == "phase_started");
    started.map(|e| e["phase"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_server_with_its_library_is_installed_rolled_back_and_removed() {
    let stage = Stage::new(&["one"]);
    let path = stage.bin("one").join("greeter");
    let first = recipe(&stage, "1.0", "");
    stage.events(&format!("fleet install {first} -H one --build host")).exits(0).outcome("one", "changed");
    assert_eq!(says(&path), "greeter 1.0");
    let digests = stored(&stage, "one");
    assert_eq!(digests.len(), 1);
    let tree = store(&stage, "one").join(&digests[0]);
    assert_eq!(fs::read_link(&path).unwrap(), tree.join("bin/greeter"));
    assert_eq!(fs::read_link(tree.join("lib/libgreet.so")).unwrap(), Path::new("libgreet.so.1"));
    for (file, mode) in [("bin/greeter", 0o755), ("bin", 0o755), ("share/greeter/it's data", 0o644)] {
        assert_eq!(fs::metadata(tree.join(file)).unwrap().mode() & 0o777, mode, "{file}");
    }
    assert!(!stage.bin("one").join("greeter-bench").exists(), "only the entry point is called by name");
    assert_eq!(state(&stage), "intact");
    let before = stage.files("one");
    let again = stage.events(&format!("fleet install {first} -H one --build host")).exits(0);
    again.outcome("one", "unchanged");
    assert_eq!(before, stage.files("one"), "an unchanged host is written to\n{again}");

    // The same recipe in its next version, built here and sent.
    let second = recipe(&stage, "2.0", "");
    let ran = stage.events(&format!("fleet install {second} -H one --build local")).exits(0);
    ran.outcome("one", "changed");
    assert_eq!((says(&path).as_str(), stored(&stage, "one").len()), ("greeter 2.0", 2), "{ran}");
    stage.is_clean("one", &ran);
    for version in ["1.0", "2.0"] {
        let ran = stage.events("fleet rollback greeter -H one").exits(0);
        ran.outcome("one", "changed");
        assert_eq!(says(&path), format!("greeter {version}"));
        assert!(!phases(&ran).contains(&"transfer".into()), "a rollback needs nothing from elsewhere\n{ran}");
        assert_eq!((state(&stage), stored(&stage, "one").len()), ("intact".into(), 2));
    }
    // A third one: only one earlier version is kept.
    let third = recipe(&stage, "3.0", "");
    stage.events(&format!("fleet install {third} -H one --build host")).exits(0).outcome("one", "changed");
    assert_eq!((says(&path).as_str(), stored(&stage, "one").len()), ("greeter 3.0", 2));
    assert!(!tree.exists());

    // What is changed is seen, and mended by an install.
    let current = fs::read_link(&path).unwrap();
    let library = current.parent().unwrap().with_file_name("lib").join("libgreet.so.1");
    let whole = fs::read(&library).unwrap();
    fs::write(&library, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(state(&stage), "modified");
    stage.events("fleet remove greeter -H one").exits(1).says("--force").outcome("one", "failed");
    let ran = stage.events(&format!("fleet install {third} -H one --build host")).exits(0);
    ran.outcome("one", "changed");
    assert_eq!((fs::read(&library).unwrap() == whole, state(&stage)), (true, "intact".into()), "{ran}");
    stage.is_clean("one", &ran);
    fs::set_permissions(&library, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(state(&stage), "modified");
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(state(&stage), "missing");
    stage.events("fleet remove greeter -H one").exits(0).outcome("one", "changed");
    let left = stage.files("one");
    assert!(left.keys().all(|path| !path.starts_with(&stage.lab.sshd("one").prefix)), "{left:?}");
    assert_eq!(stored(&stage, "one"), [] as [&str; 0]);
}

#[test]
fn what_wants_to_live_elsewhere_is_named() {
    let stage = Stage::new(&["one"]);
    for (more, said) in [
        (
            "mkdir -p \"$pkgdir/etc\" \"$pkgdir/opt/x\"; touch \"$pkgdir/etc/greeter.conf\" \"$pkgdir/opt/x/y\"",
            "it has etc, opt, and only bin, lib and share go with a worker",
        ),
        ("mkdir -p \"$pkgdir/usr/include\"; touch \"$pkgdir/usr/include/greet.h\"", "it has usr/include, and only"),
        ("ln -s /etc/passwd \"$pkgdir/usr/share/x\"", "the link share/x in it leads out of it, to /etc/passwd"),
        ("mkfifo \"$pkgdir/usr/share/pipe\"", "share/pipe in it is neither a file, a folder nor a link"),
        (
            "mv \"$pkgdir/usr/bin/greeter\" \"$pkgdir/usr/bin/other\"",
            "2 executable files in bin, and none is named greeter",
        ),
    ] {
        let recipe = recipe(&stage, "1.0", more);
        let ran = stage.events(&format!("fleet install {recipe} -H one --build host")).exits(1);
        let failed = ran.outcome("one", "failed");
        assert!(failed["error"].as_str().unwrap().contains(said), "{said}\n{ran}");
        assert_eq!((failed["phase"].as_str(), failed["reason"].as_str()), (Some("package"), Some("package")), "{ran}");
        stage.is_clean("one", &ran);
    }
    // The entry can be said.
    let recipe = recipe(&stage, "1.0", "mv \"$pkgdir/usr/bin/greeter\" \"$pkgdir/usr/bin/other\"");
    let entry = fs::read_to_string(format!("{recipe}/worker.toml")).unwrap();
    stage.file("recipes/greeter/worker.toml", format!("{entry}entry = \"other\"\n"));
    stage.events(&format!("fleet install {recipe} -H one --build host")).exits(0);
    assert_eq!(says(&stage.bin("one").join("other")), "greeter 1.0");
}

#[test]
fn a_folder_is_sent_from_here() {
    let stage = Stage::new(&["one", "two"]);
    let (first, second) = (folder(&stage, "v1", "1.0"), folder(&stage, "v2", "2.0"));
    let install =
        |folder: &Path, name: &str| stage.events(&format!("fleet install {name} --binary {} -H all", folder.display()));
    let ran = install(&first, "tool").exits(0);
    for host in ["one", "two"] {
        ran.outcome(host, "changed");
        assert_eq!(says(&stage.bin(host).join("tool")), "tool 1.0");
        stage.is_clean(host, &ran);
    }
    let again = install(&first, "tool").exits(0);
    again.outcome("one", "unchanged");
    assert!(!phases(&again).contains(&"transfer".into()), "{again}");

    // A program of one file takes its place, and the tree is there to go back to; and the other way round.
    let single = stage.file("single/tool", "#!/bin/sh\necho single\n");
    stage.events(&format!("fleet install tool --binary {single} -H one")).exits(0).outcome("one", "changed");
    let path = stage.bin("one").join("tool");
    assert!(says(&path) == "single" && !path.is_symlink());
    stage.events("fleet rollback tool -H one").exits(0);
    assert_eq!((says(&path).as_str(), state(&stage)), ("tool 1.0", "intact".into()));
    stage.events("fleet rollback tool -H one").exits(0);
    assert_eq!((says(&path).as_str(), state(&stage)), ("single", "intact".into()));
    // What the store has is not sent again.
    install(&first, "tool").exits(0).outcome("one", "changed");
    install(&second, "tool").exits(0).outcome("one", "changed");
    assert_eq!((says(&path).as_str(), stored(&stage, "one").len()), ("tool 2.0", 2));

    // Two workers with the same files share nothing.
    install(&second, "other").exits(0);
    assert_eq!(stored(&stage, "one").len(), 3);
    stage.events("fleet remove tool -H one").exits(0);
    assert_eq!((says(&stage.bin("one").join("other")).as_str(), path.exists()), ("tool 2.0", false));
    assert_eq!((state(&stage), stored(&stage, "one").len()), ("intact".into(), 1));
}

#[test]
fn a_program_that_does_not_find_its_files_is_not_activated() {
    let stage = Stage::new(&["one"]);
    let root = folder(&stage, "v1", "1.0");
    stage.file("v1/bin/tool", "#!/bin/sh\nexec cat \"${0%/*}/../share/version\"\n");
    let ran = stage.events(&format!("fleet install tool --binary {} -H one", root.display()));
    // Without a recipe nothing is known of how it answers: it starts, and that is all that is asked.
    ran.outcome("one", "changed");
    stage.events("fleet remove tool -H one").exits(0);
    let copy = root.display();
    let recipe = stage.recipe(
        "tool",
        &format!("package() {{ mkdir -p \"$pkgdir/usr\"; cp -r {copy}/bin {copy}/share \"$pkgdir/usr/\"; }}\n"),
    );
    let ran = stage.events(&format!("fleet install {recipe} -H one --build host")).exits(1);
    let failed = ran.outcome("one", "failed");
    assert_eq!((failed["phase"].as_str(), failed["reason"].as_str()), (Some("verify"), Some("verify")), "{ran}");
    assert!(!stage.bin("one").join("tool").exists() && stored(&stage, "one").is_empty(), "{ran}");
    stage.is_clean("one", &ran);
}

#[test]
fn a_folder_that_is_no_package_is_refused_before_anybody_is_contacted() {
    let stage = Stage::new(&["one"]);
    let root = folder(&stage, "v1", "1.0");
    let install = || stage.rbee(&format!("fleet install tool --binary {} -H one", root.display()));
    stage.file("v1/etc/tool.conf", "x");
    install().exits(2).says("it has etc, and only bin, lib and share go with a worker");
    fs::remove_dir_all(root.join("etc")).unwrap();
    symlink("../../../../etc/passwd", root.join("share/secret")).unwrap();
    install().exits(2).says("the link share/secret in it leads out of it");
    fs::remove_file(root.join("share/secret")).unwrap();
    fs::write(root.join("bin/tool"), "\x7fELF").unwrap();
    install().exits(2).says("bin/tool");
    stage.rbee(&format!("fleet install --binary {} -H one", root.display())).exits(2).says("name the worker");
}

#[test]
fn an_archive_is_unpacked_here_and_sent() {
    let stage = Stage::new(&["one"]);
    let root = folder(&stage, "v1", "1.0");
    let file = stage.lab.dir().join("tool.tgz");
    let done = Command::new("tar").arg("-czf").arg(&file).arg("-C").arg(stage.lab.dir()).arg("v1").status().unwrap();
    assert!(done.success());
    let install = |how: &str| stage.events(&format!("fleet install tool --binary {how} -H one"));
    install(&file.display().to_string()).exits(0).outcome("one", "changed");
    assert_eq!((says(&stage.bin("one").join("tool")).as_str(), state(&stage)), ("tool 1.0", "intact".into()));
    // The same tree, wherever it comes from.
    install(&root.display().to_string()).exits(0).outcome("one", "unchanged");
    let evil = stage.file("evil.tar", evil());
    stage.rbee(&format!("fleet install tool --binary {evil} -H one")).exits(2).says("leads out of its folder");
}

/// A tar whose file wants to be elsewhere.
fn evil() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut head = tar::Header::new_ustar();
    head.set_size(0);
    head.set_mode(0o755);
    head.as_old_mut().name[..10].copy_from_slice(b"../../evil");
    head.set_cksum();
    builder.append(&head, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

/// Disk that is full in the middle: the old version stays, and nothing else.
#[test]
fn a_full_store_leaves_the_old_version() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let stage = Stage::new(&["one"]);
    let share = stage.bin("one").parent().unwrap().join("share");
    fs::create_dir_all(&share).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&share).status().unwrap();
    assert!(mount.success());
    let (first, second) = (folder(&stage, "v1", "1.0"), folder(&stage, "v2", "2.0"));
    let filler: Vec<u8> = (0..2u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs::write(second.join("share/filler"), filler).unwrap();
    let install = |root: &Path| stage.events(&format!("fleet install tool --binary {} -H one", root.display()));
    let installed = install(&first);
    let full = install(&second);
    let said = says(&stage.bin("one").join("tool"));
    let left = stored(&stage, "one");
    let _ = Command::new("umount").arg("-l").arg(&share).status();
    installed.exits(0);
    let full = full.exits(1);
    assert!(full.host("one")["error"].as_str().unwrap().contains("space"), "{full}");
    assert_eq!((said.as_str(), left.len()), ("tool 1.0", 1), "{left:?}\n{full}");
}

/// Stopped anywhere, a host has the old version or the new one, and nothing else.
#[test]
fn a_killed_controller_leaves_the_old_or_the_new() {
    let stage = Stage::new(&["one"]);
    let trees = ["1.0", "2.0"].map(|version| {
        let root = folder(&stage, &format!("v{version}"), version);
        let ballast: Vec<u8> = (0..24u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(root.join("share/ballast"), [version.as_bytes(), &ballast].concat()).unwrap();
        root
    });
    let path = stage.bin("one").join("tool");
    let install = |root: &Path| format!("fleet install tool --binary {} -H one", root.display());
    stage.events(&install(&trees[0])).exits(0);
    for (n, phase) in ["transfer", "verify", "install", "transfer", "transfer", "install"].into_iter().enumerate() {
        let mut live = stage.start(&format!("--lease 2s {}", install(&trees[1 - n % 2])));
        if live.until_phase(phase) {
            std::thread::sleep(std::time::Duration::from_millis(n as u64 * 7));
            live.signal(Signal::SIGKILL);
        }
        live.end();
        let said = says(&path);
        assert!(said == "tool 1.0" || said == "tool 2.0", "{phase}: {said}");
        // Waits for the lock of the one that is gone, and sweeps nothing that it did not have to.
        let ran = stage.events(&install(&trees[n % 2]));
        let ran = if ran.code == Some(0) { ran } else { retry(&stage, &install(&trees[n % 2])) };
        ran.outcome("one", if said == ["tool 1.0", "tool 2.0"][n % 2] { "unchanged" } else { "changed" });
        stage.is_clean("one", &ran);
        assert!(stored(&stage, "one").len() <= 2, "{:?}", stored(&stage, "one"));
    }
}

/// The host ends what is left by itself; until then its lock is held.
fn retry(stage: &Stage, command: &str) -> Ran {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let ran = stage.events(command);
        if ran.code == Some(0) || std::time::Instant::now() > end {
            return ran.exits(0);
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn debris_of_a_power_loss_is_swept() {
    let stage = Stage::new(&["one"]);
    let root = folder(&stage, "v1", "1.0");
    let install = format!("fleet install tool --reinstall --binary {} -H one", root.display());
    stage.events(&install).exits(0);
    let kept = stored(&stage, "one");
    let store = store(&stage, "one");
    let orphan = store.join("ab".repeat(32));
    let (part, young) = (store.join(".tool.20200101-000000-abcdef"), store.join("cd".repeat(32)));
    for folder in [&orphan, &part, &young] {
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(folder.join("bin/x"), "x").unwrap();
    }
    for folder in [&orphan, &part] {
        let done = Command::new("touch").args(["-d", "2020-01-01"]).arg(folder).status().unwrap();
        assert!(done.success());
    }
    let done = Command::new("touch").args(["-d", "2020-01-01"]).arg(store.join(&kept[0])).status().unwrap();
    assert!(done.success());
    let ran = stage.events(&install).exits(0);
    assert!(!orphan.exists() && !part.exists() && young.exists(), "{:?}\n{ran}", stored(&stage, "one"));
    assert_eq!(says(&stage.bin("one").join("tool")), "tool 1.0");
}
