//! `rbee recipe print`, `check` and `build`, as an author types them; makepkg is the oracle.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command as Process,
};

use crate::{
    bench::pkgbuild,
    makepkg::{CASES, Case, EPOCH, Tree, makepkg, tree},
    oracle::{STYLES, srcinfo},
    stage::{Ran, Stage, run},
};

/// `rbee recipe VERB FOLDER …`, whatever blanks the folder's name has.
fn recipe(stage: &Stage, verb: &str, folder: &Path, after: &str) -> Ran {
    let mut command = stage.command(&format!("recipe {verb}"));
    command.arg(folder).args(after.split_whitespace()).env("SOURCE_DATE_EPOCH", EPOCH);
    run(command)
}

/// A new folder with a PKGBUILD, and blanks and quotes in its name.
fn folder(stage: &Stage, name: &str, text: &str) -> PathBuf {
    let folder = stage.lab.dir().join(name).join("it's a Recipe");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("PKGBUILD"), text).unwrap();
    folder
}

#[test]
fn print_is_what_makepkg_prints() {
    let stage = Stage::new(&[]);
    for (nth, style) in STYLES.iter().enumerate() {
        let folder = folder(&stage, &nth.to_string(), style);
        for name in ["ch", "x.install", "one.install", "two.install"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let said = srcinfo(&folder);
        let printed = recipe(&stage, "print", &folder, "").exits(0);
        // makepkg mixes what a recipe echoes into it.
        let said: String =
            said.lines().filter(|line| *line != "pkgname = faked").map(|line| format!("{line}\n")).collect();
        assert_eq!(printed.stdout.trim_end(), said.trim_end(), "{style}");
        let document = recipe(&stage, "print", &folder, "--output json").exits(0).document();
        assert_eq!(document["srcinfo"].as_str().unwrap().trim_end(), said.trim_end());
        assert!(document["variables"]["pkgver"].is_string() && document["variables"]["arch"].is_array(), "{document}");
        stage.is_clean("local", &printed);
    }
    let text = "echo 'pkgname = faked'; printf 'x\\0end\\0'; exit 3\n";
    recipe(&stage, "print", &folder(&stage, "exit", text), "").exits(1).says("PKGBUILD called exit with status 3");
    recipe(&stage, "print", &folder(&stage, "empty", ""), "").exits(1).says("PKGBUILD has no pkgname");
    recipe(&stage, "print", &stage.lab.dir().join("home"), "").exits(2).says("is not a recipe: it has no PKGBUILD");
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let stage = Stage::new(&[]);
    let bad = folder(
        &stage,
        "bad",
        "pkgname=('good' '-bad')\npkgver=1-0\npkgrel=x\narch=x86_64\noptions=(strp)\n\
         source=(http://example.org/x.tar.gz\n  'git+https://u:secret@example.org/r#branch=main'\n  missing here)\n\
         sha256sums=(SKIP SKIP SKIP)\nmd5sums=(SKIP SKIP xyz SKIP)\n\
         build() {\n  cd $srcdir\n  sudo make\n  cp x /etc/y\n}\npackage() { :; }\npackage_other() { :; }\n",
    );
    fs::write(bad.join("here"), "").unwrap();
    fs::write(bad.join("worker.toml"), "name = \"x\"\nnme = \"y\"\n").unwrap();
    fs::write(bad.join(".SRCINFO"), "pkgbase = old\n").unwrap();
    let ran = recipe(&stage, "check", &bad, "").exits(1);
    let place = bad.display().to_string();
    let found: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| {
            let rest = line.strip_prefix(&place).unwrap_or_else(|| panic!("{line}\n{ran}"));
            rest.splitn(4, ':').take(3).collect::<Vec<_>>().join(":")
        })
        .collect();
    let expected = [
        "/.SRCINFO:1: warning",
        "/PKGBUILD:1: error",
        "/PKGBUILD:1: error",
        "/PKGBUILD:1: error",
        "/PKGBUILD:2: error",
        "/PKGBUILD:3: error",
        "/PKGBUILD:4: error",
        "/PKGBUILD:5: error",
        "/PKGBUILD:6: warning",
        "/PKGBUILD:6: warning",
        "/PKGBUILD:7: warning",
        "/PKGBUILD:8: error",
        "/PKGBUILD:8: warning",
        "/PKGBUILD:9: error",
        "/PKGBUILD:10: error",
        "/PKGBUILD:12: warning",
        "/PKGBUILD:13: error",
        "/PKGBUILD:14: warning",
        "/PKGBUILD:16: error",
        "/PKGBUILD:17: warning",
        "/worker.toml:2: error",
    ];
    assert_eq!(found, expected, "{ran}");
    assert!(!ran.stdout.contains("secret"), "{ran}");
    let document = recipe(&stage, "check", &bad, "--output json").exits(1).document();
    assert_eq!((&document["errors"], &document["warnings"]), (&13.into(), &8.into()), "{document}");
    let first = &document["lints"][4];
    assert_eq!((&first["line"], &first["severity"], &first["code"]), (&2.into(), &"error".into(), &"pkgver".into()));

    let fair = folder(&stage, "fair", &pkgbuild("source=(f)\nsha256sums=(SKIP)"));
    fs::write(fair.join("f"), "").unwrap();
    recipe(&stage, "check", &fair, "").exits(0).says("PKGBUILD:7: warning: nothing checks f: its checksum is SKIP");
    for (text, said) in [
        ("pkgname=x\nbuild() {\n", "syntax error: unexpected end of file"),
        ("pkgname=x\n\nexit 0\n", "PKGBUILD:1: error: PKGBUILD called exit before it was through"),
        ("pkgname=x\n\nno-such-command\nfalse\n", "PKGBUILD:3: error: no-such-command: command not found"),
    ] {
        recipe(&stage, "check", &folder(&stage, "broken", text), "").exits(1).says(said);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkgbuilds");
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("PKGBUILD").exists() {
            recipe(&stage, "check", &folder, "").exits(0);
        }
    }
}

/// Cases that a host can build, too: what they hold does not hang on who builds.
const ON_A_HOST: [&str; 6] = [
    "one program",
    "split packages and what each may override",
    "archives of every kind",
    "manual pages are compressed",
    "git sources by tag, branch, commit and head",
    "variables and how far they reach",
];
const HERE: [&str; 4] =
    ["modes, links and names", "programs and libraries are stripped", "pkgver() says the version", "noextract"];

fn differs(stage: &Stage, case: &Case, after: &str) -> Option<String> {
    let head = "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64')\n";
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = root.path().join("the recipe");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("PKGBUILD"), format!("{head}{}\n", case.pkgbuild)).unwrap();
    let made = Process::new("bash").arg("-ec").arg(case.files).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}: {made:?}", case.what);
    let oracle = makepkg(&folder).unwrap_or_else(|said| panic!("{}: {said}", case.what));
    let out = root.path().join("a new/out");
    let mut command = stage.command("recipe build --check");
    command.arg(&folder).arg("--pkg-out").arg(&out).args(after.split_whitespace()).env("SOURCE_DATE_EPOCH", EPOCH);
    let ran = run(command);
    if ran.code != Some(0) {
        return Some(format!("{}: {ran}", case.what));
    }
    let ours = tree(&out);
    let lines = |tree: &Tree| tree.iter().map(|(k, v)| format!("  {k:?}: {v:?}\n")).collect::<String>();
    stage.is_clean("local", &ran);
    (ours != oracle).then(|| format!("{}:\nmakepkg\n{}rbee\n{}{ran}", case.what, lines(&oracle), lines(&ours)))
}

fn the_same_tree(stage: &Stage, names: &[&str], after: &str) {
    let cases: Vec<_> = CASES.iter().filter(|case| names.contains(&case.what)).collect();
    assert_eq!(cases.len(), names.len());
    let wrong: Vec<_> = cases.into_iter().filter_map(|case| differs(stage, case, after)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn build_leaves_the_tree_of_makepkg_here() {
    let stage = Stage::new(&[]);
    the_same_tree(&stage, &[&ON_A_HOST[..], &HERE].concat(), "");
}

#[test]
fn build_leaves_the_tree_of_makepkg_from_a_host() {
    let stage = Stage::new(&["one"]);
    stage.inventory(&format!("[hosts.one]\nenv = {{ SOURCE_DATE_EPOCH = \"{EPOCH}\" }}\n"));
    the_same_tree(&stage, &ON_A_HOST, "--on one");
    // What could run as its owner there is here somebody else's.
    let folder = folder(
        &stage,
        "rights",
        &pkgbuild("package() { _install; chmod 4755 \"$pkgdir/usr/bin/probe\"; ln -s /etc/passwd \"$pkgdir/link\"; }"),
    );
    let out = stage.lab.dir().join("rights/out");
    let ran = recipe(&stage, "build", &folder, &format!("--on one --pkg-out {}", out.display())).exits(0);
    ran.says("no longer runs as its owner");
    let mode = fs::metadata(out.join("probe/usr/bin/probe")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    let several = format!("--on one,local --pkg-out {}", out.display());
    recipe(&stage, "build", &folder, &several).exits(2).says("on one host");
    let nobody = format!("--on nobody --pkg-out {}", out.display());
    recipe(&stage, "build", &folder, &nobody).exits(3);
}

#[test]
fn what_is_not_a_package_of_ours_is_left_alone() {
    let stage = Stage::new(&[]);
    let good = pkgbuild("");
    let folder = folder(&stage, "r", &good);
    // Below the recipe itself, where the next build must not take it for a source.
    let out = folder.join("out");
    let build = |after: &str| {
        let mut command = stage.command("recipe build");
        command.arg(&folder).arg("--pkg-out").arg(&out).args(after.split_whitespace());
        run(command)
    };
    fs::write(&out, "a file").unwrap();
    build("").exits(2).says("is not a folder");
    assert_eq!(fs::read_to_string(&out).unwrap(), "a file");
    fs::remove_file(&out).unwrap();

    fs::create_dir_all(out.join("probe")).unwrap();
    fs::write(out.join("probe/mine"), "mine").unwrap();
    fs::write(out.join("other"), "other").unwrap();
    symlink("/nowhere", out.join("link")).unwrap();
    build("").exits(1).says("was not put there by rbee recipe build").says("--replace");
    assert_eq!(fs::read_to_string(out.join("probe/mine")).unwrap(), "mine");

    let whole = |ran: Ran| {
        assert_eq!(fs::read_to_string(out.join("probe/usr/bin/probe")).unwrap(), "hello", "{ran}");
        let mut names: Vec<_> =
            fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["link", "other", "probe"], "{ran}");
        stage.is_clean("local", &ran);
    };
    whole(build("--replace").exits(0));
    assert!(!out.join("probe/mine").exists());
    // From now on it is ours: replaced when all is well, and kept when it is not.
    fs::write(out.join("probe/stale"), "").unwrap();
    whole(build("").exits(0));
    assert!(!out.join("probe/stale").exists());
    for broken in [
        "build() { false; }",
        "package() { _install; false; }",
        "package() { mkfifo \"$pkgdir/pipe\"; }",
        "build() { exit 0; }",
    ] {
        fs::write(folder.join("PKGBUILD"), pkgbuild(broken)).unwrap();
        whole(build("").exits(1));
    }
    // Somebody else's of the same name.
    fs::write(folder.join("PKGBUILD"), &good).unwrap();
    fs::rename(out.join("probe"), stage.lab.dir().join("gone")).unwrap();
    fs::create_dir(out.join("probe")).unwrap();
    build("").exits(1).says("was not put there by rbee recipe build");
    fs::remove_dir(out.join("probe")).unwrap();
    whole(build("").exits(0));
    fs::write(folder.join("worker.toml"), "nme = 1\n").unwrap();
    build("").exits(2).says("worker.toml:1: unknown key");
}

#[test]
fn a_recipes_own_tests_run_when_they_are_asked_for() {
    let stage = Stage::new(&[]);
    let install = "package() { mkdir -p \"$pkgdir/usr/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/usr/bin/tested\"; \
                   chmod 755 \"$pkgdir/usr/bin/tested\"; }\n";
    let folder = stage.recipe("tested", &format!("check() {{ echo testing; false; }}\n{install}"));
    let out = stage.lab.dir().join("out").display().to_string();
    stage.rbee(&format!("recipe build {folder} --pkg-out {out} --check")).exits(1).says("check() failed with status 1");
    stage.rbee(&format!("recipe build {folder} --pkg-out {out}")).exits(0);
    stage.rbee(&format!("fleet install {folder} -H local --check")).exits(1).says("check() failed with status 1");
    stage.rbee(&format!("fleet install {folder} -H local")).exits(0);
}
