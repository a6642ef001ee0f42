//! makepkg reads the same recipes, and says the same of them.

use std::{fs, path::Path, process::Command as Process};

use crate::bench::Bench;

/// `makepkg --printsrcinfo` in a copy of `folder`, as a user without rights, without its comments.
fn srcinfo(folder: &Path) -> String {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let mut command = if nix::unistd::geteuid().is_root() {
        assert!(Process::new("chown").arg("-R").arg("65534:65534").arg(copy.path()).status().unwrap().success());
        let mut command = Process::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "makepkg"]);
        command
    } else {
        Process::new("makepkg")
    };
    command.arg("--printsrcinfo").current_dir(copy.path()).env("HOME", copy.path()).env("PACMAN", "true");
    let out = command.output().expect("makepkg is the oracle of this test: apt-get install makepkg libarchive-tools");
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && !text.trim().is_empty(), "makepkg: {text}{}", String::from_utf8_lossy(&out.stderr));
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_built_in_srcinfo_is_what_makepkg_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkgbuilds");
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let written = fs::read_to_string(folder.join(".SRCINFO")).unwrap();
        assert_eq!(written.trim(), srcinfo(&folder).trim(), "{}", folder.display());
    }
}

#[tokio::test]
async fn recipes_of_many_styles_read_as_makepkg_reads_them() {
    let styles = [
        "pkgname=plain\npkgver=1.0\npkgrel=1\narch=(x86_64)\nsource=(a b)\nsha256sums=(SKIP SKIP)\npackage() { :; }\n",
        "_base=multi\npkgname=\"${_base}-line\"\npkgver=1.2_3\npkgrel=2.1\narch=(\n  'x86_64' # one\n  \"aarch64\"\n)\n\
         source=(\n  \"a::https://example.org/$pkgname-${pkgver//_/-}.tar.gz\"\n  'with blank.patch'\n)\n\
         sha256sums=('SKIP'\n 'SKIP')\npackage()\n{\n  :\n}\n",
        "pkgname=braces\npkgver=3\npkgrel=1\narch=('any')\nsource=(f-{one,two}.{c,h} x{1..3})\n\
         sha256sums=({SKIP,SKIP,SKIP,SKIP,SKIP,SKIP,SKIP})\nsource+=(more)\nsha256sums+=(SKIP)\n\
         function package { :; }\n",
        "pkgname=here\npkgver=$(cat <<'END'\n7.7\nEND\n)\npkgrel=1\narch=(x86_64)\n\
         if [[ $pkgver = 7.* ]]; then source=('it'\"'\"'s' \"q\\\"q\" $'tab\\\\n'); else source=(no); fi\n\
         sha256sums=(SKIP SKIP SKIP)\nfunction package() ( true )\n",
        "pkgname=loops; pkgver=1; pkgrel=1; arch=(x86_64)\nfor n in 1 2 3; do source[n-1]=\"s$n\"; sha256sums[n-1]=SKIP; done\n\
         echo \"pkgname = faked\"\n_f() { echo x; }\nsource+=(\"$(_f)\")\nsha256sums+=(SKIP)\n\
         source_x86_64=(only)\nsha256sums_x86_64=(SKIP)\npackage_loops() { :; }\n",
    ];
    for style in styles {
        let bench = Bench::new(style);
        let evaluated = bench.evaluate().await.unwrap();
        let said = srcinfo(&bench.folder());
        for key in ["pkgname", "pkgver", "pkgrel", "arch", "source", "source_x86_64", "sha256sums"] {
            let prefix = format!("{key} = ");
            let oracle: Vec<_> = said.lines().filter_map(|line| line.trim_start().strip_prefix(&prefix)).collect();
            // "arch" is said of the base only, and makepkg echoes what the recipe does.
            let oracle: Vec<_> = oracle.into_iter().filter(|value| *value != "faked").collect();
            assert_eq!(evaluated.all(key), oracle, "{key} of {style}\n{said}");
        }
    }
}
