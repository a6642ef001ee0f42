//! The same recipe gives the same pkg/ tree as with makepkg, and fails where it fails.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command as Process,
};

use crate::bench::{Bench, sha256};

/// Arch's own options; flags are left to the recipes.
const CONF: &str = r#"
CARCH=x86_64
CHOST=x86_64-pc-linux-gnu
MAKEFLAGS=-j2
BUILDENV=(!distcc !color !ccache check !sign)
OPTIONS=(strip docs !libtool !staticlibs emptydirs zipman purge !debug !lto)
INTEGRITY_CHECK=(sha256)
STRIP_BINARIES=--strip-all
STRIP_SHARED=--strip-unneeded
STRIP_STATIC=--strip-debug
MAN_DIRS=({usr{,/local}{,/share},opt/*}/{man,info})
DOC_DIRS=(usr/{,local/}{,share/}{doc,gtk-doc} opt/*/{doc,gtk-doc})
PURGE_TARGETS=(usr/{,share}/info/dir .packlist *.pod)
VCSCLIENTS=('git::git')
DLAGENTS=('file::/usr/bin/curl -qgC - -o %o %u' 'http::/usr/bin/curl -qgfLC - -o %o %u')
COMPRESSGZ=(gzip -c -f -n)
PKGEXT=.pkg.tar.gz
SRCEXT=.src.tar.gz
"#;
pub const EPOCH: &str = "1700000000";

/// Relative path → what is there: type, mode, content or link; files of several names are told by the first.
pub type Tree = BTreeMap<String, String>;

pub fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, folder: &Path, inodes: &mut BTreeMap<u64, String>, tree: &mut Tree) {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let data = fs::symlink_metadata(&path).unwrap();
            let mode = data.mode() & 0o7777 | 0o600;
            let what = if data.is_dir() {
                walk(root, &path, inodes, tree);
                format!("folder {mode:o}")
            } else if data.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if !data.is_file() {
                format!("special {mode:o}")
            } else if let Some(first) = inodes.get(&data.ino()) {
                format!("the same as {first}")
            } else {
                if data.nlink() > 1 {
                    inodes.insert(data.ino(), name.clone());
                }
                let content = fs::read(&path).unwrap();
                let shown =
                    if content.len() < 500 { String::from_utf8_lossy(&content).into() } else { sha256(&content) };
                format!("file {mode:o} {shown}")
            };
            tree.insert(name, what);
        }
    }
    let mut tree = Tree::new();
    if root.exists() {
        walk(root, root, &mut BTreeMap::new(), &mut tree);
    }
    tree
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Process::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// What makepkg makes of a recipe's folder: the tree, or what it printed.
pub fn makepkg(folder: &Path) -> Result<Tree, String> {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = root.path().join("recipe");
    copy_folder(folder, &copy);
    fs::write(root.path().join("makepkg.conf"), CONF).unwrap();
    fs::write(root.path().join(".gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    let mut command = if nix::unistd::geteuid().is_root() {
        assert!(Process::new("chown").arg("-R").arg("65534:65534").arg(root.path()).status().unwrap().success());
        let mut command = Process::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "makepkg"]);
        command
    } else {
        Process::new("makepkg")
    };
    command.args(["-d", "--noarchive", "--nocolor", "--config"]).arg(root.path().join("makepkg.conf"));
    command.current_dir(&copy).env("HOME", root.path()).env("PACMAN", "true").env("SOURCE_DATE_EPOCH", EPOCH);
    let out = command.output().expect("makepkg is the oracle of this test: apt-get install makepkg libarchive-tools");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if out.status.success() { Ok(tree(&copy.join("pkg"))) } else { Err(said) }
}

/// One recipe, and what it stands for.
pub struct Case {
    pub what: &'static str,
    pub pkgbuild: &'static str,
    /// Makes the folder's other files; run by bash in the folder.
    pub files: &'static str,
    builds: bool,
}

const fn good(what: &'static str, pkgbuild: &'static str) -> Case {
    Case { what, pkgbuild, files: "", builds: true }
}

const fn with(what: &'static str, files: &'static str, pkgbuild: &'static str) -> Case {
    Case { what, pkgbuild, files, builds: true }
}

const fn bad(what: &'static str, pkgbuild: &'static str) -> Case {
    Case { what, pkgbuild, files: "", builds: false }
}

pub const CASES: &[Case] = &[
    good(
        "one program",
        "build() { printf '#!/bin/sh\\necho hi\\n' > hi; }\npackage() { install -Dm755 hi \"$pkgdir/usr/bin/hi\"; }",
    ),
    good(
        "split packages and what each may override",
        "pkgbase=base\npkgname=(one two base)\nlicense=(MIT)\noptions=(!emptydirs)\n\
         build() { echo built > shared; }\n\
         package_one() { options=(emptydirs); license=(GPL); mkdir -p \"$pkgdir/a/empty\"; cp shared \"$pkgdir/a/\"; \
         echo \"$pkgname\" > \"$pkgdir/name\"; loose=1; }\n\
         package_two() { mkdir -p \"$pkgdir/b/empty\"; echo \"$pkgname ${license[*]} ${loose-}\" > \"$pkgdir/name\"; }\n\
         package_base() { echo \"$pkgname $pkgbase\" > \"$pkgdir/name\"; }",
    ),
    good("a function with the package's name", "package_probe() { echo \"$pkgname\" > \"$pkgdir/name\"; }"),
    good("a subshell as a function", "package() (\n  cd /\n  echo x > \"$pkgdir/x\"\n)"),
    with(
        "a patch",
        "mkdir old new; echo one > old/f; echo two > new/f; (diff -u old/f new/f > fix.patch || true); mv old/f f.txt; rm -r old new",
        "source=(f.txt fix.patch)\nsha256sums=(SKIP SKIP)\nprepare() { cp f.txt f; patch -p1 < fix.patch; }\n\
         package() { cp f \"$pkgdir/\"; }",
    ),
    with(
        "archives of every kind",
        "mkdir d; echo x > d/x; for z in gz bz2 xz; do bsdtar -acf $z.tar.$z d; cp d/x d/x-$z; done; \
         bsdtar -cf plain.tar d; bsdtar -cf z.zip --format zip d; mv plain.tar odd-name; rm -r d",
        "source=(gz.tar.gz bz2.tar.bz2 xz.tar.xz odd-name z.zip)\n\
         sha256sums=(SKIP SKIP SKIP SKIP SKIP)\n\
         package() { cp -r d \"$pkgdir/\"; find . ! -type d | LC_ALL=C sort > \"$pkgdir/list\"; }",
    ),
    with(
        "single compressed files",
        "for z in gz bz2 xz zst; do echo $z > f.$z.x; done; gzip f.gz.x; bzip2 f.bz2.x; xz f.xz.x; zstd -q --rm f.zst.x; \
         echo odd | gzip > odd.data",
        "source=(f.gz.x.gz f.bz2.x.bz2 f.xz.x.xz f.zst.x.zst odd.data)\nsha256sums=(SKIP SKIP SKIP SKIP SKIP)\n\
         package() { LC_ALL=C ls > \"$pkgdir/list\"; cat f.*.x > \"$pkgdir/all\"; }",
    ),
    with(
        "archives that only bsdtar knows, and what is none",
        "mkdir d; echo x > d/x; for z in lz4 lzma; do bsdtar -acf $z.tar.$z d; done; bsdtar -cf c.cpio --format cpio d; bsdtar -cf s.7z --format 7zip d; \
         bsdtar -cf w.whl --format zip d; bsdtar -cf a.deb --format ar d/x; rm -r d; echo text > t.zip; printf 'PK' > p.tar.gz; : > empty.gz; \
         echo l4 | lz4 -q > f.lz4; echo z | gzip > g.Z; echo two | gzip | gzip > h.gz.gz; echo lz | lzma > i.lzma",
        "source=(lz4.tar.lz4 lzma.tar.lzma c.cpio s.7z w.whl a.deb t.zip p.tar.gz empty.gz f.lz4 g.Z h.gz.gz i.lzma)\n\
         sha256sums=(SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP SKIP)\n\
         package() { cp -r d \"$pkgdir/\"; find . ! -type d | LC_ALL=C sort > \"$pkgdir/list\"; gzip -dc h.gz > \"$pkgdir/two\"; }",
    ),
    with(
        "modes of what was extracted",
        "mkdir d; for m in 644 755 600 444 777 4755; do echo $m > d/$m; chmod $m d/$m; done; mkdir -m 700 d/closed; ln -s 644 d/link; ln d/644 d/hard; \
         bsdtar -czf a.tar.gz d; chmod -R u+rwx d; rm -r d",
        "source=(a.tar.gz)\nsha256sums=(SKIP)\npackage() { cp -a d \"$pkgdir/\"; chown -R \"$(id -u):$(id -g)\" \"$pkgdir\"; }",
    ),
    with(
        "submodules that the recipe leads to its other sources",
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a; mkdir ../up; cd ../up; \
         git init -q -b main low; echo low > low/f; git -C low add f; git -C low commit -qm 1; git -C low tag old; echo later > low/f; \
         git init -q -b main r; git -C r -c protocol.file.allow=always submodule --quiet add \"$PWD/low\" low; git -C r commit -qm 1; \
         git -C low commit -qam 2; git -C r config -f .gitmodules submodule.low.url https://127.0.0.1:1/low; git -C r commit -qam 2; cd \"../the recipe\"; \
         sed -i \"s|@r@|file://${PWD%/*}/up|g\" PKGBUILD; chmod -R a+rX ../up",
        "source=(\"git+@r@/r\" \"low::git+@r@/low\")\nsha256sums=(SKIP SKIP)\n\
         prepare() { cd r; git submodule --quiet init; git config submodule.low.url \"$srcdir/low\"; \
         git -c protocol.file.allow=always submodule --quiet update; }\n\
         package() { cat r/low/f low/f > \"$pkgdir/f\"; }",
    ),
    with(
        "noextract",
        "mkdir d; echo x > d/x; bsdtar -czf a.tar.gz d; cp a.tar.gz b.tar.gz; rm -r d",
        "source=(a.tar.gz b.tar.gz)\nsha256sums=(SKIP SKIP)\nnoextract=(a.tar.gz)\n\
         prepare() { [ -d d ]; rm -r d; tar xf a.tar.gz; }\npackage() { cp -r d \"$pkgdir/\"; }",
    ),
    with(
        "every checksum",
        "echo x > f; for s in md5 sha1 sha224 sha256 sha384 sha512 b2; do eval \"${s}=$(${s}sum f | cut -d' ' -f1)\"; done; \
         sed -i \"s/@md5@/$md5/;s/@sha1@/$sha1/;s/@sha224@/$sha224/;s/@sha256@/${sha256^^}/;s/@sha384@/$sha384/;s/@sha512@/$sha512/;s/@b2@/$b2/;s/@ck@/$(cksum < f | cut -d' ' -f1)/\" PKGBUILD",
        "source=(f)\ncksums=(@ck@)\nmd5sums=(@md5@)\nsha1sums=(@sha1@)\nsha224sums=(@sha224@)\nsha256sums=(@sha256@)\n\
         sha384sums=(@sha384@)\nsha512sums=(@sha512@)\nb2sums=(@b2@)\npackage() { cp -L f \"$pkgdir/\"; }",
    ),
    with(
        "sources of this architecture come after the others",
        "echo a > a; echo b > b",
        "source=(a)\nsha256sums=(SKIP)\nsource_x86_64=(b)\nsha256sums_x86_64=(SKIP)\nsource_aarch64=(missing)\n\
         sha256sums_aarch64=(SKIP)\npackage() { cat a b > \"$pkgdir/ab\"; }",
    ),
    good(
        "programs and libraries are stripped",
        "cc() { command cc -g -ffile-prefix-map=\"$PWD\"=. \"$@\"; }\nbuild() {\n  echo 'int main(void) { return 0; }' > m.c; echo 'int f(void) { return 1; }' > f.c\n\
         cc -o m m.c; cc -static -no-pie -o s m.c || cc -no-pie -o s m.c\n  cc -shared -fPIC -o libf.so f.c\n\
         cc -c f.c; ar rcD libg.a f.o; cp libg.a libf.a\n}\n\
         package() { install -Dm755 m s -t \"$pkgdir/usr/bin\"; install -Dm644 libf.so libf.a libg.a f.o -t \"$pkgdir/usr/lib\"; \
         install -Dm711 m \"$pkgdir/usr/bin/closed\"; ln \"$pkgdir/usr/bin/m\" \"$pkgdir/usr/bin/same\"; \
         install -Dm444 m \"$pkgdir/usr/bin/readonly\"; }",
    ),
    good(
        "or not",
        "options=(!strip staticlibs)\ncc() { command cc -g -ffile-prefix-map=\"$PWD\"=. \"$@\"; }\nbuild() { echo 'int f(void) { return 1; }' > f.c; cc -shared -fPIC -o libf.so f.c; \
         cc -c f.c; ar rcD libf.a f.o; }\npackage() { install -Dm644 libf.so libf.a -t \"$pkgdir/usr/lib\"; }",
    ),
    good(
        "libtool files go",
        "package() { mkdir -p \"$pkgdir/usr/lib\"; touch \"$pkgdir/usr/lib/\"{x.la,x.lai,y.so}; ln -s x \"$pkgdir/usr/lib/z.la\"; }",
    ),
    good("or stay", "options=(libtool)\npackage() { mkdir -p \"$pkgdir/l\"; touch \"$pkgdir/l/x.la\"; }"),
    good(
        "manual pages are compressed",
        "package() {\n  cd \"$pkgdir\"; mkdir -p usr/share/man/man1 usr/share/man/man3 opt/x/man/man1 usr/share/other\n\
         echo page > usr/share/man/man1/a.1; ln -s a.1 usr/share/man/man1/b.1; ln usr/share/man/man1/a.1 usr/share/man/man1/c.1\n\
         ln -s ../man1/a.1 usr/share/man/man3/a.3; echo two > 'usr/share/man/man3/with blank.3'; echo z | gzip -n > usr/share/man/man3/z.3.gz\n\
         echo x > opt/x/man/man1/x.1; echo no > usr/share/other/n.1\n}",
    ),
    good(
        "or not at all",
        "options=('!zipman')\npackage() { install -Dm644 /dev/null \"$pkgdir/usr/share/man/man1/a.1\"; }",
    ),
    good(
        "empty folders go on demand",
        "options=(!emptydirs)\npackage() { mkdir -p \"$pkgdir/\"{a/b/c,d/e}; touch \"$pkgdir/d/f\"; }",
    ),
    good(
        "documents go on demand",
        "options=('!docs')\npackage() { for d in usr/share/doc usr/doc usr/local/share/gtk-doc opt/x/doc usr/share/docs; do \
         mkdir -p \"$pkgdir/$d/x\"; touch \"$pkgdir/$d/x/y\"; done; }",
    ),
    good(
        "what nobody wants is purged",
        "package() { mkdir -p \"$pkgdir/usr/share/info\" \"$pkgdir/usr/lib\"; touch \"$pkgdir/usr/share/info/dir\" \
         \"$pkgdir/usr/lib/\"{.packlist,x.pod,y}; }",
    ),
    good(
        "the last word on an option counts",
        "options=(!strip emptydirs !emptydirs)\npackage() { mkdir -p \"$pkgdir/a/b\"; touch \"$pkgdir/c\"; }",
    ),
    good(
        "variables and how far they reach",
        "_top=top\nprepare() { plain=p; export exported=e; shopt -s nullglob; cd /; }\n\
         build() { echo \"$plain $exported $(shopt -q nullglob && echo on) $PWD\" | sed \"s|$srcdir|SRC|\" > seen; after=b; }\n\
         check() { echo \"$plain $after\" >> seen; export late=l; }\n\
         package() { cp seen \"$pkgdir/\"; echo \"$_top|${plain-none}|$exported|${after-none}|$late\" > \"$pkgdir/package\"; }",
    ),
    good(
        "the shell that functions find",
        "build() {\n  echo \"$-\" | tr -d '\\n' | sed 's/[^eEuT]//g' > opts; shopt extglob nullglob failglob dotglob >> opts || true\n\
         set -o | grep -E 'pipefail|nounset|errtrace' >> opts; umask >> opts; false | true; echo \"$unset\" >> opts\n\
         [ -z \"$IFS\" ] || printf %q \"$IFS\" >> opts\n}\npackage() { cp opts \"$pkgdir/\"; }",
    ),
    good(
        "the environment that functions find",
        "build() { for n in CARCH CHOST MAKEFLAGS SOURCE_DATE_EPOCH srcdir pkgdir startdir CFLAGS pkgname; do \
         if env | grep -q \"^$n=\"; then eval \"echo $n=\\$$n\" >> env; fi; done; echo \"$CARCH\" >> env; }\n\
         package() { cp env \"$pkgdir/\"; }",
    ),
    good(
        "flags of the recipe's own and none of makepkg's",
        "options=(!makeflags !buildflags)\nbuild() { export CFLAGS=-Dx; echo \"${MAKEFLAGS-none}\" > e; }\n\
         package() { echo \"$CFLAGS\" >> e; cp e \"$pkgdir/\"; }",
    ),
    good(
        "pkgver() says the version",
        "pkgver() { echo 2.r7; }\npackage() { echo \"$pkgver-$pkgrel\" > \"$pkgdir/v\"; }",
    ),
    good(
        "a version that stays",
        "pkgrel=4\npkgver() { echo 1.0; }\npackage() { echo \"$pkgver-$pkgrel\" > \"$pkgdir/v\"; }",
    ),
    good(
        "modes, links and names",
        "package() {\n  cd \"$pkgdir\"; mkdir -m 1777 sticky; mkdir -m 750 closed; echo x > a; chmod 4711 a; ln a b; ln -s /abs/olute c\n\
         ln -s ../../up d; ln -s 'with blank' e; touch 'with blank' \"it's\" -- -dash; echo 0 > zero; chmod 000 zero; : > empty\n}",
    ),
    good(
        "the recipe's own folder",
        "package() { [ -f \"$startdir/PKGBUILD\" ]; install -Dm644 \"$startdir/PKGBUILD\" \"$pkgdir/copy\"; }",
    ),
    good(
        "functions with the keyword, arrays and loops",
        "function _each {\n  for x in \"${_list[@]}\"; do echo \"$x\"; done\n}\n_list=({a..c} 'd e')\npackage ()\n{\n  _each > \"$pkgdir/list\"\n}",
    ),
    good("no architecture, an epoch", "arch=(any)\nepoch=3\npackage() { echo \"$epoch $CARCH\" > \"$pkgdir/x\"; }"),
    good(
        "src is kept between the phases",
        "prepare() { echo 1 > f; }\nbuild() { echo 2 >> f; }\ncheck() { echo 3 >> f; }\npackage() { echo 4 >> f; cp f \"$pkgdir/\"; }",
    ),
    with(
        "git sources by tag, branch, commit and head",
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a; mkdir ../up; cd ../up; git init -q -b main r; cd r; \
         echo 1 > f; git add f; git commit -qm 1; git tag v1; c=$(git rev-parse HEAD); echo 2 > f; git commit -qam 2; \
         git checkout -qb side; echo 3 > f; git commit -qam 3; git checkout -q main; cd \"../../the recipe\"; \
         sed -i \"s|@c@|$c|; s|@r@|file://${PWD%/*}/up/r|\" PKGBUILD; chmod -R a+rX ../up",
        "_r=\"git+@r@\"\nsource=(\"t::$_r#tag=v1\" \"b::$_r#branch=side\" \"c::$_r#commit=@c@\" \"$_r\")\nsha256sums=(SKIP SKIP SKIP SKIP)\n\
         pkgver() { cd t; git describe --tags | sed 's/-/./g'; }\n\
         package() { cat t/f b/f c/f r/f > \"$pkgdir/f\"; echo \"$pkgver\" >> \"$pkgdir/f\"; }",
    ),
    bad("a failing build()", "build() { false; true; }\npackage() { :; }"),
    bad("errexit is off, the trap is not", "build() { set +e; false; true; }\npackage() { :; }"),
    bad("a last line that is false", "build() { [[ -e nothing ]] && echo; }\npackage() { :; }"),
    bad("a failing prepare()", "prepare() { false; }\npackage() { :; }"),
    bad("a failing check()", "check() { false; }\npackage() { :; }"),
    bad("a failing package()", "package() { false; }"),
    bad("the second package fails", "pkgname=(a b)\npackage_a() { :; }\npackage_b() { false; }"),
    bad("a package without its function", "pkgname=(a b)\npackage_a() { :; }"),
    bad("a failing pkgver()", "pkgver() { false; }\npackage() { :; }"),
    bad("a pkgver() that is none", "pkgver() { echo 1-2; }\npackage() { :; }"),
    bad("exit with a status", "build() { exit 3; }\npackage() { :; }"),
    bad("a source that is not there", "source=(missing)\nsha256sums=(SKIP)\npackage() { :; }"),
    Case {
        what: "a wrong checksum",
        files: "echo x > f",
        pkgbuild: "source=(f)\nsha256sums=(0000000000000000000000000000000000000000000000000000000000000000)\npackage() { :; }",
        builds: false,
    },
    Case {
        what: "too few checksums",
        files: "echo x > f; echo y > g",
        pkgbuild: "source=(f g)\nsha256sums=(SKIP)\npackage() { :; }",
        builds: false,
    },
    bad("another architecture", "arch=(riscv64)\npackage() { :; }"),
    bad("a version with a dash", "pkgver=1-0\npackage() { :; }"),
    bad("no version", "pkgver=\npackage() { :; }"),
    bad("a name that begins with a dash", "pkgname=-x\npackage() { :; }"),
    bad("not bash", "package() {"),
    bad("a name with a line's end", "package() { touch \"$pkgdir/\"$'new\\nline'; }"),
    bad("a command that is not there", "build() { no-such-command-anywhere; }\npackage() { :; }"),
];

async fn compare(case: &Case) -> Result<(), String> {
    let head = "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64')\n";
    let mut bench = Bench::new(&format!("{head}{}\n", case.pkgbuild));
    bench.environment.check = true;
    bench.environment.variables.insert("SOURCE_DATE_EPOCH".into(), EPOCH.into());
    fs::set_permissions(bench.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let made = Process::new("bash").arg("-ec").arg(case.files).current_dir(bench.folder()).output().unwrap();
    assert!(made.status.success(), "{}: {}", case.what, String::from_utf8_lossy(&made.stderr));
    let folder = bench.folder();
    let (oracle, (ours, printed)) = tokio::join!(tokio::task::spawn_blocking(move || makepkg(&folder)), bench.trees());
    let oracle = oracle.unwrap();
    match (oracle, ours) {
        (Ok(oracle), Ok(())) => {
            let ours = tree(&bench.work().join("pkg"));
            if !case.builds {
                return Err(format!("{}: both built it", case.what));
            }
            let lines = |tree: &Tree| tree.iter().map(|(k, v)| format!("  {k:?}: {v:?}\n")).collect::<String>();
            if oracle == ours {
                Ok(())
            } else {
                Err(format!("{}:\nmakepkg\n{}rbee\n{}{printed}", case.what, lines(&oracle), lines(&ours)))
            }
        }
        (Err(_), Err(_)) if !case.builds => Ok(()),
        (oracle, ours) => Err(format!("{}: makepkg {oracle:?}\nrbee {ours:?}\n{printed}", case.what)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_tree_as_makepkg() {
    let mut wrong = Vec::new();
    for some in CASES.chunks(4) {
        let mut tasks = tokio::task::JoinSet::new();
        some.iter().for_each(|case| drop(tasks.spawn(compare(case))));
        wrong.extend(tasks.join_all().await.into_iter().filter_map(Result::err));
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}
