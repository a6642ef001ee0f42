//! What several hosts need is built once; compilers are stand-ins that keep count.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Ran, Stage, run},
    support::{processes_with, token, until_seen},
};

/// A lab whose hosts have tools of their own, and a count of what was compiled.
struct Shop {
    stage: Stage,
    count: PathBuf,
}

impl Shop {
    fn new(hosts: &[&str]) -> Self {
        let stage = Stage::new(hosts);
        let count = stage.lab.dir().join("count");
        let shop = Self { stage, count };
        // Notes for what it compiled, and makes a program that says its version and runs only where it was made for.
        let cc = format!(
            "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'stand-in 99.0'; exit; }}\necho \"$@\" >>{}\n\
             [ -z \"$BROKEN\" ] || {{ echo 'cannot compile' >&2; exit 1; }}\n\
             printf '%s\\n' '#!/bin/sh' \"[ \\\"\\$WHO\\\" = '$WHO' ] || exit 132\" 'echo tool 1.0' >tool\nchmod 755 tool\n",
            shop.count.display()
        );
        shop.tool("all", "cc", &cc);
        let text: Vec<(&str, &str)> = hosts.iter().map(|host| (*host, "")).collect();
        shop.hosts(&text);
        shop
    }

    /// A tool in a folder of tools.
    fn tool(&self, folder: &str, name: &str, script: &str) {
        self.stage.file(&format!("tools/{folder}/{name}"), script);
    }

    /// An inventory in which each host has the folder of tools that is named like it, and more environment.
    fn hosts(&self, hosts: &[(&str, &str)]) {
        let tools = self.stage.lab.dir().join("tools");
        let line = |(name, more): &(&str, &str)| {
            let path = format!("{0}/{name}:{0}/all:{1}", tools.display(), std::env::var("PATH").unwrap());
            format!("[hosts.{name}]\nenv = {{ PATH = {path:?}{more} }}\n")
        };
        self.stage.inventory(&hosts.iter().map(line).collect::<String>());
    }

    /// A recipe that calls `cc`.
    fn recipe(&self) -> String {
        self.recipe_with("cc \"$RBEE_CPU_LEVEL\"", "")
    }

    fn recipe_with(&self, build: &str, worker: &str) -> String {
        let package = "mkdir -p \"$pkgdir/usr/local/bin\"\ninstall -m755 tool \"$pkgdir/usr/local/bin/tool\"";
        let recipe = self.stage.recipe("tool", &format!("build() {{\n{build}\n}}\npackage() {{\n{package}\n}}\n"));
        if !worker.is_empty() {
            let path = Path::new(&recipe).join("worker.toml");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("accelerator = \"cpu\"\n", "") + worker).unwrap();
        }
        recipe
    }

    fn compiled(&self) -> Vec<String> {
        fs::read_to_string(&self.count).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn version(&self, host: &str) -> String {
        let said = Command::new(self.stage.bin(host).join("tool")).env("WHO", "").output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn artifacts(&self) -> PathBuf {
        self.stage.lab.home().join(".cache/rbee/artifacts")
    }

    /// Names of what is in the cache, drafts too.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.artifacts()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// As if nothing had ever been installed there.
    fn forget(&self, host: &str) {
        let bin = self.stage.bin(host);
        fs::remove_file(bin.join("tool")).unwrap();
        fs::remove_dir_all(bin.parent().unwrap().join("share")).unwrap();
    }

    /// Hosts on which there was a phase.
    fn phased(&self, ran: &Ran, phase: &str) -> Vec<String> {
        let lines = ran.lines();
        let hosts = lines.iter().filter(|e| e["type"] == "phase_started" && e["phase"] == phase);
        hosts.map(|e| e["host"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn eight_equal_hosts_get_one_build_and_a_second_controller_none() {
    let hosts = ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"];
    let shop = Shop::new(&hosts);
    let recipe = shop.recipe();
    let plan = shop.stage.rbee(&format!("fleet plan {recipe} -H all --output json")).exits(0).document();
    let group = plan["hosts"][3]["plan"][0]["group"].clone();
    assert_eq!(group["hosts"].as_array().unwrap().len(), 8, "{plan:#}");
    assert!(group["why"].as_str().unwrap().starts_with("built on h"), "{plan:#}");
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0);
    for host in hosts {
        ran.outcome(host, "changed");
        assert_eq!(shop.version(host), "tool 1.0", "{ran}");
        shop.stage.is_clean(host, &ran);
    }
    assert_eq!(shop.compiled().len(), 1, "{ran}");
    assert_eq!(shop.phased(&ran, "build").len(), 1, "{ran}");
    assert_eq!(shop.kept().len(), 1, "{ran}");
    let again = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0);
    hosts.iter().for_each(|host| drop(again.outcome(host, "unchanged")));

    // The cache serves a host that lost it.
    shop.forget("h7");
    let ran = shop.stage.events(&format!("fleet install {recipe} -H h7")).exits(0).says("kept from an earlier build");
    ran.outcome("h7", "changed");
    assert_eq!(shop.compiled().len(), 1, "{ran}");

    // Another controller has nothing, but one of its hosts does.
    hosts[1..].iter().for_each(|host| shop.forget(host));
    let home = shop.stage.lab.dir().join("other");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::copy(shop.stage.lab.identity(), home.join(".ssh/id_ed25519")).unwrap();
    let other = |after: &str| {
        let mut command = shop.stage.command(&format!("--output json {after}"));
        command.env("HOME", &home);
        run(command)
    };
    let plan = other(&format!("fleet plan {recipe} -H all")).exits(0).document();
    assert_eq!(plan["hosts"][0]["plan"][0]["action"], "unchanged", "{plan:#}");
    assert_eq!(plan["hosts"][5]["plan"][0]["action"], "from_host", "{plan:#}");
    let ran = other(&format!("fleet install {recipe} -H all")).exits(0);
    ran.outcome("h1", "unchanged");
    for host in &hosts[1..] {
        ran.outcome(host, "changed");
        assert_eq!(shop.version(host), "tool 1.0", "{ran}");
    }
    assert_eq!(shop.compiled().len(), 1, "{ran}");
    assert_eq!(shop.phased(&ran, "build"), [""; 0], "{ran}");
    let kept = other("cache list").exits(0).document();
    assert_eq!(kept["artifacts"][0]["from"], "taken from h1", "{kept:#}");
    other("cache prune").exits(0);
    assert_eq!(other("cache list").exits(0).document()["artifacts"].as_array().unwrap().len(), 0);
}

/// What a host says of its C library and its cards.
fn dress(shop: &Shop, host: &str, glibc: &str, compute: &str, nvcc: bool) {
    let getconf = format!(
        "#!/bin/sh\n[ \"$1\" != GNU_LIBC_VERSION ] || {{ echo glibc {glibc}; exit; }}\nexec /usr/bin/getconf \"$@\"\n"
    );
    shop.tool(host, "getconf", &getconf);
    shop.tool(host, "nvidia-smi", &format!("#!/bin/sh\necho 'Stand-in, 24564, {compute}'\n"));
    if nvcc {
        let nvcc = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'release 12.4, V12.4.99'; exit; }\nexec cc \"$@\"\n";
        shop.tool(host, "nvcc", nvcc);
    }
}

const CUDA: &str = "accelerator = \"cuda\"\n[needs]\ntools = [\"nvcc>=11.8\"]\n";

#[test]
fn a_toolkit_box_builds_for_driver_boxes_and_two_libraries_are_no_two_builds() {
    let shop = Shop::new(&["kit", "driver", "newer"]);
    dress(&shop, "kit", "2.31", "8.9", true);
    dress(&shop, "driver", "2.31", "8.6", false);
    dress(&shop, "newer", "2.36", "8.6", false);
    let recipe = shop.recipe_with("nvcc \"$RBEE_CUDA_ARCHITECTURES\" \"$CUDAARCHS\"", CUDA);
    let said = shop.stage.rbee(&format!("fleet plan {recipe} -H all")).exits(0);
    let said = said.says("built on kit for 3 hosts: same linux-").says("glibc ≥ 2.31").says("sm_86+sm_89");
    drop(said.says("build on kit, send"));
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0);
    ["kit", "driver", "newer"].iter().for_each(|host| drop(ran.outcome(host, "changed")));
    assert_eq!(shop.compiled(), ["86;89 86;89"], "{ran}");
    // Alone, each is still as asked.
    for host in ["kit", "driver", "newer"] {
        shop.stage.events(&format!("fleet install {recipe} -H {host}")).exits(0).outcome(host, "unchanged");
    }

    // A kit that is newer than a box with a driver only is of no use to that one.
    dress(&shop, "kit", "2.35", "8.9", true);
    let reinstall = format!("fleet install {recipe} -H all --reinstall");
    let ran = shop.stage.events(&reinstall).exits(1).says("nvcc is missing; and nobody else here can build it");
    ran.outcome("driver", "refused");
    ["kit", "newer"].iter().for_each(|host| drop(ran.outcome(host, "changed")));
    // Two libraries, and each has a machine that builds: no more than two builds.
    dress(&shop, "driver", "2.31", "8.6", true);
    fs::remove_file(&shop.count).unwrap();
    let ran = shop.stage.events(&reinstall).exits(0);
    assert!((1..=2).contains(&shop.compiled().len()), "{:?}{ran}", shop.compiled());
}

/// A catalog with two variants of one family.
fn family(shop: &Shop) -> String {
    let cuda = "[needs]\ntools = [\"nvcc>=11.8\"]\n";
    for (kind, compile, more) in [("cpu", "cc cpu", ""), ("cuda", "nvcc \"$RBEE_CUDA_ARCHITECTURES\"", cuda)] {
        let recipe = format!(
            "pkgname=tool-{kind}\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\nbuild() {{ {compile}; }}\npackage() {{\n\
             mkdir -p \"$pkgdir/usr/local/bin\"\ninstall -m755 tool \"$pkgdir/usr/local/bin/tool-{kind}\"\n}}\n"
        );
        shop.stage.file(&format!("catalog/tool-{kind}/PKGBUILD"), recipe);
        let worker = format!("name = \"tool\"\nfamily = \"tool\"\naccelerator = \"{kind}\"\n{more}");
        shop.stage.file(&format!("catalog/tool-{kind}/worker.toml"), worker);
    }
    shop.stage.lab.dir().join("catalog").to_str().unwrap().to_owned()
}

#[test]
fn a_driver_box_gets_the_variant_that_another_machine_builds() {
    let shop = Shop::new(&["kit", "driver", "plain"]);
    dress(&shop, "kit", "2.31", "8.9", true);
    dress(&shop, "driver", "2.31", "8.6", false);
    let catalog = family(&shop);
    let fleet = |verb: &str, host: &str| format!("fleet {verb} tool --catalog {catalog} -H {host}");
    let has = |host: &str, kind: &str| shop.stage.bin(host).join(format!("tool-{kind}")).exists();
    let install = |host: &str| shop.stage.events(&fleet("install", host)).exits(0);
    let forget = || {
        for dir in ["bin", "share"] {
            fs::remove_dir_all(shop.stage.bin("driver").parent().unwrap().join(dir)).unwrap();
        }
        fs::create_dir(shop.stage.bin("driver")).unwrap();
    };
    // Nobody is asked for a compiler that another one has.
    let checked = shop.stage.rbee(&fleet("check", "all")).exits(0);
    assert!(!checked.stdout.contains("nvcc is missing"), "{checked}");
    drop(shop.stage.rbee(&fleet("plan", "all")).exits(0).says("no nvcc to build for it; kit can build it"));
    let ran = install("all");
    let mut compiled = shop.compiled();
    compiled.sort();
    assert_eq!(compiled, ["86;89", "cpu"], "{ran}");
    assert!(has("kit", "cuda") && has("driver", "cuda") && has("plain", "cpu") && !has("driver", "cpu"), "{ran}");
    // Alone it still has it, and would have it again from the cache.
    install("driver").outcome("driver", "unchanged");
    forget();
    let ran = install("driver").says("an earlier build is kept");
    assert!(has("driver", "cuda") && shop.compiled().len() == 2, "{ran}");
    // Where nobody has the compiler, nothing is promised.
    forget();
    shop.stage.rbee("cache prune").exits(0);
    let ran = install("driver").says("no nvcc to build for it");
    assert!(has("driver", "cpu") && !has("driver", "cuda"), "{ran}");
}

#[test]
fn who_fails_to_build_gets_it_from_the_next_best() {
    let shop = Shop::new(&["one", "two", "three"]);
    let recipe = shop.recipe();
    let broken = ", BROKEN = \"1\"";
    shop.hosts(&[("one", broken), ("two", ""), ("three", "")]);
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all --forks 1 --all-or-nothing --timeout 120s"));
    let ran = ran.exits(0).says("built on one failed");
    for host in ["one", "two", "three"] {
        let done = ran.outcome(host, "changed")["done"].to_string();
        assert_eq!(done.contains("built on two"), host != "two", "{done}{ran}");
    }
    assert_eq!(shop.compiled().len(), 2, "{ran}");

    shop.hosts(&[("one", broken), ("two", broken), ("three", broken)]);
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all --reinstall")).exits(1);
    for host in ["one", "two", "three"] {
        let failed = ran.outcome(host, "failed");
        assert_eq!((&failed["reason"], &failed["phase"]), (&"build".into(), &"build".into()), "{ran}");
        assert!(failed["error"].as_str().unwrap().contains("build() failed"), "{ran}");
        assert_eq!(failed["error"].as_str().unwrap().contains("one was to build it"), host != "one", "{ran}");
        shop.stage.is_clean(host, &ran);
    }
    assert_eq!(shop.compiled().len(), 4, "the second best is the last{ran}");
}

#[test]
fn a_host_on_which_it_does_not_run_builds_its_own() {
    let shop = Shop::new(&["one", "two", "odd"]);
    let recipe = shop.recipe();
    shop.hosts(&[("one", ""), ("two", ""), ("odd", ", WHO = \"odd\"")]);
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0);
    let done = ran.outcome("odd", "changed")["done"].to_string();
    assert!(done.contains("built here (what was built on one does not run here"), "{done}{ran}");
    ["one", "two"].iter().for_each(|host| drop(ran.outcome(host, "changed")));
    assert_eq!(shop.compiled().len(), 2, "{ran}");
    let again = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0);
    ["one", "two", "odd"].iter().for_each(|host| drop(again.outcome(host, "unchanged")));

    // What runs nowhere is not built by everybody.
    let worker = "accelerator = \"cpu\"\nverify = [\"--no-such\"]\n";
    let nowhere = shop.recipe_with("cc nowhere; echo exit 3 >tool; sed -i '1i #!/bin/sh' tool", worker);
    fs::remove_file(&shop.count).unwrap();
    let ran = shop.stage.events(&format!("fleet install {nowhere} -H all")).exits(1);
    for host in ["one", "two", "odd"] {
        assert_eq!(ran.outcome(host, "failed")["reason"], "verify", "{ran}");
        shop.stage.is_clean(host, &ran);
        assert_eq!(shop.stage.events(&format!("fleet status -H {host}")).code, Some(0));
    }
    assert!(shop.compiled().len() <= 2, "{:?}{ran}", shop.compiled());
}

#[test]
fn a_smoke_test_is_run_where_the_program_will_be() {
    let shop = Shop::new(&["one", "two"]);
    shop.hosts(&[("one", ""), ("two", ", NO_DEVICE = \"1\"")]);
    let line =
        r#"test -f model.bin && "$RBEE_PROGRAM" && [ -z "$NO_DEVICE" ] || { echo no kernel image >&2; exit 9; }"#;
    let recipe = shop.recipe_with("cc", &format!("accelerator = \"cpu\"\nsmoke = '{line}'\n"));
    fs::write(Path::new(&recipe).join("model.bin"), [0, 1, 2]).unwrap();
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(1);
    ran.outcome("one", "changed");
    let failed = ran.outcome("two", "failed");
    assert_eq!((&failed["reason"], &failed["phase"]), (&"verify".into(), &"verify".into()), "{ran}");
    assert!(failed["error"].as_str().unwrap().contains("status 9: no kernel image"), "{ran}");
    assert!(!shop.stage.bin("two").join("tool").exists(), "{ran}");
    ["one", "two"].iter().for_each(|host| shop.stage.is_clean(host, &ran));
    assert_eq!(shop.compiled().len(), 2, "two tried a build of its own{ran}");
}

#[test]
fn a_program_of_several_files_is_shared_like_any_other() {
    let shop = Shop::new(&["one", "two", "three"]);
    let recipe = shop.stage.recipe(
        "many",
        r#"build() {
cc
}
package() {
mkdir -p "$pkgdir/usr/bin" "$pkgdir/usr/lib"
echo 'echo many 1.0' >"$pkgdir/usr/lib/part.sh"
printf '%s\n' '#!/bin/sh' '. "$(dirname "$(readlink -f "$0")")/../lib/part.sh"' >"$pkgdir/usr/bin/many"
chmod 755 "$pkgdir/usr/bin/many"
}
"#,
    );
    let ran = shop.stage.events(&format!("fleet install {recipe} -H one,two")).exits(0);
    assert_eq!(shop.compiled().len(), 1, "{ran}");
    // Without the cache, it is taken from a host that has it.
    fs::remove_dir_all(shop.artifacts()).unwrap();
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all")).exits(0).says("taken from one");
    assert_eq!(shop.compiled().len(), 1, "{ran}");
    for host in ["one", "two", "three"] {
        let said = Command::new(shop.stage.bin(host).join("many")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "many 1.0", "{host}{ran}");
        shop.stage.is_clean(host, &ran);
    }
}

#[test]
fn one_host_may_be_named_to_build_selected_or_not() {
    let shop = Shop::new(&["one", "two", "far"]);
    let recipe = shop.recipe();
    let ran = shop.stage.events(&format!("fleet install {recipe} -H one,two --build-on far --cpu-level 1")).exits(0);
    assert_eq!(shop.phased(&ran, "build"), ["far"], "{ran}");
    ["one", "two"].iter().for_each(|host| drop(ran.outcome(host, "changed")));
    assert_eq!(shop.compiled().len(), 1);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(shop.compiled(), ["x86-64"]);
    }
    shop.stage.is_clean("far", &ran);
    assert!(!shop.stage.bin("far").join("tool").exists(), "{ran}");
    shop.stage.events(&format!("fleet install {recipe} -H one --build-on two --reinstall")).exits(0);
    assert_eq!(shop.compiled().len(), 2);
    shop.stage.rbee(&format!("fleet install {recipe} -H one --build-on nobody")).exits(2);
    shop.stage.rbee(&format!("fleet install {recipe} -H one --build-on one,two")).exits(2).says("more than one");
    let each = shop.stage.events(&format!("fleet install {recipe} -H one,two --build each --reinstall")).exits(0);
    assert_eq!(shop.phased(&each, "build").len(), 2, "{each}");
    let here = shop.stage.events(&format!("fleet install {recipe} -H one,two --build local --reinstall"));
    // This machine has a compiler of its own, which cannot compile nothing.
    assert_eq!(shop.phased(&here, "build"), ["local"], "{here}");
}

#[test]
fn a_cancel_in_a_shared_build_is_everybodys() {
    let shop = Shop::new(&["one", "two", "three", "four"]);
    let token = token();
    let recipe = shop.recipe_with(&format!("echo now; setsid sleep {token} & sleep {token}"), "");
    for (flags, signal, code) in [("", Signal::SIGINT, 130), ("--forks 2", Signal::SIGTERM, 143)] {
        let mut live = shop.stage.start(&format!("fleet install {recipe} -H all {flags}"));
        live.until_line("now");
        until_seen(&token, 1);
        live.signal(signal);
        let ran = live.end().exits(code);
        for host in ["one", "two", "three", "four"] {
            ran.outcome(host, "cancelled");
            shop.stage.is_clean(host, &ran);
        }
        assert_eq!(processes_with(&token), [] as [u32; 0], "{ran}");
        assert_eq!(shop.kept(), [""; 0], "{ran}");
    }
    let ran = shop.stage.events(&format!("fleet install {recipe} -H all --build-timeout 2s --build-idle 2s")).exits(1);
    for host in ["one", "two", "three", "four"] {
        assert_eq!(ran.outcome(host, "failed")["reason"], "timeout", "{ran}");
        shop.stage.is_clean(host, &ran);
    }
    assert_eq!(processes_with(&token), [] as [u32; 0], "{ran}");
}

#[test]
fn a_controller_that_is_killed_in_a_download_leaves_the_cache_as_it_was() {
    let shop = Shop::new(&["one", "two"]);
    let recipe = shop.recipe_with("cc; head -c 100000000 /dev/zero >>tool", "");
    let text = fs::read_to_string(Path::new(&recipe).join("PKGBUILD")).unwrap();
    // The program ends before its ballast.
    fs::write(Path::new(&recipe).join("PKGBUILD"), text.replace("cc;", "cc; echo exit >>tool;")).unwrap();
    let live = shop.stage.start(&format!("fleet install {recipe} -H all"));
    let growing = || {
        let drafts = fs::read_dir(shop.artifacts()).into_iter().flatten().flatten().map(|entry| entry.path());
        drafts.filter_map(|path| fs::metadata(path.join("data")).ok()).any(|data| data.len() > 1 << 20)
    };
    let end = Instant::now() + Duration::from_secs(100);
    while !growing() {
        assert!(Instant::now() < end, "nothing came");
        thread::sleep(Duration::from_millis(1));
    }
    live.signal(Signal::SIGKILL);
    let ran = live.end();
    assert_eq!(ran.code, None, "{ran}");
    assert!(shop.kept().iter().all(|name| name.starts_with(".new-")), "{:?}{ran}", shop.kept());
    let empty = shop.stage.rbee("cache list --output json").exits(0).document();
    assert_eq!(empty["artifacts"].as_array().unwrap().len(), 0);
    // The hosts end what is theirs by themselves, and then the next run is as any other.
    let end = Instant::now() + Duration::from_secs(60);
    let again = loop {
        let again = shop.stage.events(&format!("fleet install {recipe} -H all"));
        if again.code == Some(0) || Instant::now() > end {
            break again.exits(0);
        }
        thread::sleep(Duration::from_millis(500));
    };
    ["one", "two"].iter().for_each(|host| drop(again.outcome(host, "changed")));
    let entries: Vec<_> = shop.kept().into_iter().filter(|name| !name.starts_with(".new-")).collect();
    assert_eq!(entries.len(), 1, "{again}");
    shop.stage.rbee("cache prune").exits(0).says("removed 1 program, 100 MB");
}
