//! makepkg reads the same recipes, and says the same of them.

use std::{fs, path::Path, process::Command as Process};

use crate::bench::Bench;

/// `makepkg --printsrcinfo` in a copy of `folder`, as a user without rights, without its comments.
pub fn srcinfo(folder: &Path) -> String {
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

/// Every style that real recipes are written in: multi-line and quoted arrays, variables and all kinds of expansions, here-documents,
/// control flow, functions of all forms, appending, and what packages say over the head.
pub const STYLES: &[&str] = &[
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
    "pkgbase=split\npkgname=('one' \"two\")\npkgver=1\npkgrel=1\nepoch=2\npkgdesc='  many   blanks\ttabs '\nurl=https://x\n\
         arch=(x86_64 aarch64)\nlicense=('MIT' \"custom: x\")\ngroups=(g)\ndepends=(glibc 'a>=1')\nmakedepends=(git)\n\
         checkdepends=(c)\noptdepends=('x: for y' \"z: it's\")\nprovides=(p=1)\nconflicts=(q)\nreplaces=(r)\noptions=(!strip lto)\n\
         backup=(etc/x)\nnoextract=(n)\ninstall=x.install\nchangelog=ch\ndepends_x86_64=(only)\noptdepends_aarch64=('m: n')\n\
         source=(n)\nsource_aarch64=(o)\nmd5sums=(SKIP)\nb2sums=(SKIP)\nmd5sums_aarch64=(SKIP)\nvalidpgpkeys=(0123456789012345678901234567890123456789)\n\
         package_one() {\n  pkgdesc=\"One of ${pkgbase}\"\n  depends+=('b' \"c=$pkgver\")\n  arch=(any)\n  license=()\n\
         install=one.install\n  provides=(\n    several\n    lines)\n  groups=()\n  local url=no\n  mkdir -p \"$pkgdir\"\n}\n\
         package_two() {\n  options=(debug)\n  backup=(a b)\n  depends_x86_64+=(more)\n  pkgdesc+=' and more'\n}\n",
    "pkgname=any-thing\npkgver=20200101.r5.gabcdef\npkgrel=1.1\npkgdesc=\"It's \\\"quoted\\\" \\$ \\` here\"\narch=(any)\n\
         source=(\"$pkgname-$pkgver.tar.gz::https://example.org/v${pkgver%%.*}.tar.gz?x=1#frag\" git+https://example.org/r.git#tag=v$pkgver)\n\
         sha512sums=('SKIP'\n            'SKIP')\nif true; then depends+=(bash); fi\ncase $CARCH in x86_64) depends+=(only64);; esac\n\
         package() { depends+=(not-seen); install -Dm644 x; }\n",
    "_pkgname=Foo-Bar\npkgname=${_pkgname,,}\npkgver=1.0.0+r2\n_commit=0123456789abcdef0123456789abcdef01234567\npkgrel=3\narch=('x86_64' 'aarch64')\n\
     url=\"https://example.org/${_pkgname^^}/${pkgver#*.}\"\nlicense=(GPL{2,3})\ndepends=('a<2' \"b=${pkgver%%.*}\" c${_commit:0:7})\n\
     source=(\"git+$url#commit=$_commit\"\n        \"${url/example/mirror}.sig\" # why\n)\nsha256sums=('SKIP' 'SKIP')\n\
     [ \"$CARCH\" = x86_64 ] && makedepends+=('nasm')\ntrue\npackage() { :; }\n",
    "# Maintainer: somebody\npkgbase='a-base'\npkgname=(\"$pkgbase\" \"$pkgbase-docs\" 'lib'{one,two})\npkgver=0.1\npkgrel=1\narch=('any')\n\
     pkgdesc=\"base\"\noptions=('!lto' !debug)\n_common() { depends=(shared); }\npackage_a-base() { pkgdesc=\"$pkgdesc, really\"; depends=('x' # one\n 'y'); }\n\
     package_a-base-docs() { arch=('any'); pkgdesc='docs'; optdepends=(\"z: it's\" 'q: \"quoted\"'); }\n\
     package_libone() { if true; then provides=('libone.so'); fi; conflicts=('o'); }\npackage_libtwo() { _common; replaces+=('p'); install=two.install; }\n",
    "pkgname=tabs\n\tpkgver=2 ; pkgrel=1\n  arch=( any )\nurl='https://x.example/?a=b&c=d#e'\npkgdesc='ünïcode — dash'\n\
     read -r -d '' _text <<'END' || true\n  pkgver=99\nEND\nsource=(\"$(printf '%s-%s' a b)\" `echo back` \"${_none:-default}\" a\\ b)\n\
     b2sums=($(for i in 1 2 3 4; do echo SKIP; done))\nwhile read -r line; do groups+=(\"$line\"); done <<<$'one\\ntwo'\n\
     until [ ${#license[@]} -ge 2 ]; do license+=(L${#license[@]}); done\nselect_() { select x in a; do break; done; }\nunset -f select_\n\
     function build() { make; }\ncheck () { :; }\npackage () ( cd / )\n",
    "pkgname='quote'\"d\"-name\npkgver=1\npkgrel=1\narch=(x86_64 riscv64)\nvalidpgpkeys=('ABCDEF0123456789ABCDEF0123456789ABCDEF01' # a\n)\n\
     source_x86_64=(\"a-$CARCH.tar.gz::https://example.org/a\")\nsource_riscv64=('b')\nsha512sums_x86_64=(SKIP)\nsha512sums_riscv64=('SKIP')\n\
     makedepends_riscv64=(r)\nprovides_x86_64=(p)\nconflicts_x86_64=(c)\nreplaces_x86_64=(d)\ncheckdepends_x86_64=(e)\nepoch=1\n\
     eval \"depends=(evaluated-$epoch)\"\n: ${_ignored:=x}\n{ echo grouped; } >/dev/null\n(( _n = 3 + 4 ))\ndepends+=(n$_n)\nshopt -s nullglob\npackage() { :; }\n",
    "pkgname=nothing\npkgver=1\npkgrel=1\npkgdesc=\narch=('x86_64')\nlicense=()\ngroups=('')\ndepends=('spaces')\npkgdesc='  spaces   inside  '\noptdepends=()\n\
     package() { backup=('etc/x'); depends+=('in' 'function'); license=(MIT); }\n",
];

#[tokio::test]
async fn recipes_of_many_styles_read_as_makepkg_reads_them() {
    for style in STYLES {
        let bench =
            Bench::new(style).file("ch", "").file("x.install", "").file("one.install", "").file("two.install", "");
        let evaluated = bench.evaluate().await.unwrap();
        let said = srcinfo(&bench.folder());
        let ours = evaluated.one("srcinfo").unwrap_or_default();
        let text = |lines: &str| lines.lines().filter(|line| *line != "pkgname = faked").collect::<Vec<_>>().join("\n");
        assert_eq!(text(ours.trim()), text(said.trim()), "{style}");
        for key in ["pkgname", "pkgver", "pkgrel", "arch", "source", "source_x86_64", "sha256sums"] {
            let prefix = format!("{key} = ");
            // What a package says over the head stands in its own section.
            let head = if key == "pkgname" { said.as_str() } else { said.split("\npkgname = ").next().unwrap() };
            let oracle: Vec<_> = head.lines().filter_map(|line| line.trim_start().strip_prefix(&prefix)).collect();
            // makepkg echoes what the recipe does.
            let oracle: Vec<_> = oracle.into_iter().filter(|value| *value != "faked").collect();
            assert_eq!(evaluated.all(key), oracle, "{key} of {style}\n{said}");
        }
    }
}
