//! Recipes are built for real here, with bash and the tools of this machine; makepkg is the oracle.

#[path = "support/plain_target.rs"]
mod plain_target;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command as Process, Stdio},
};

use plain_target::PlainTarget;
use rbee::{
    build::{BuildError, Built, Pin, stage},
    catalog::{Catalog, CatalogSource},
    recipe::{Environment, Evaluated},
    scope::{Cancel, Scope, events},
    target::Captured,
    vocab::{RecipeMeta, RunId, facts::Arch},
};
use sha2::{Digest as _, Sha256};

/// A recipe's folder, a work folder, and everything to build one in the other.
struct Bench {
    root: tempfile::TempDir,
    environment: Environment,
    target: PlainTarget,
}

/// What a build came to, with all that was printed on the way.
struct Ended {
    result: Result<Built, BuildError>,
    pins: Vec<Pin>,
    printed: String,
}

impl Ended {
    fn error(&self) -> String {
        match &self.result {
            Ok(built) => panic!("it was built: {built:?}\n{}", self.printed),
            Err(error) => error.to_string(),
        }
    }

    fn built(&self) -> &Built {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error}\n{}", self.printed))
    }
}

impl Bench {
    fn new(pkgbuild: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Blanks and quotes, as a user's own folders have them.
        let folder = root.path().join("the recipe");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("PKGBUILD"), pkgbuild).unwrap();
        let environment = Environment { arch: Arch::X86_64, jobs: 2, ..Environment::default() };
        Self { root, environment, target: PlainTarget::default() }
    }

    fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.folder().join(name), content).unwrap();
        self
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("the recipe")
    }

    fn recipe(&self) -> RecipeMeta {
        let entry = self.folder().join("worker.toml");
        if !entry.exists() {
            fs::write(entry, "id = 'probe'").unwrap();
        }
        Catalog::default().resolve(self.folder().to_str().unwrap()).unwrap()
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("it's work")
    }

    async fn staged<'a>(&'a self, scope: &Scope, recipe: &RecipeMeta) -> rbee::build::Staged<'a> {
        fs::create_dir(self.work()).unwrap();
        fs::set_permissions(self.work(), fs::Permissions::from_mode(0o700)).unwrap();
        stage(scope, &self.target, recipe, &self.environment, self.work().to_str().unwrap()).await.unwrap()
    }

    async fn build(&self) -> Ended {
        self.build_recipe(&self.recipe()).await
    }

    async fn build_recipe(&self, recipe: &RecipeMeta) -> Ended {
        let scope = scope();
        let staged = self.staged(&scope, recipe).await;
        let mut output = Captured::default();
        let mut pins = Vec::new();
        let result = async {
            pins = staged.fetch(&scope, &mut output).await?;
            staged.build(&scope, &mut output).await?;
            staged.package(&scope, &mut output).await
        }
        .await;
        let printed = output.text() + &String::from_utf8_lossy(&output.stderr);
        Ended { result, pins, printed }
    }

    async fn evaluate(&self) -> Result<Evaluated, BuildError> {
        let scope = scope();
        let staged = self.staged(&scope, &self.recipe()).await;
        staged.evaluate(&scope, &mut Captured::default()).await
    }
}

fn scope() -> Scope {
    let (emitter, _) = events(RunId::new("test").unwrap());
    Scope::new(Cancel::new(), emitter)
}

/// A whole PKGBUILD around the lines that a test is about.
fn pkgbuild(lines: &str) -> String {
    let head = "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64')\n";
    let install =
        "mkdir -p \"$pkgdir/usr/bin\"; printf 'hello' > \"$pkgdir/usr/bin/probe\"; chmod 755 \"$pkgdir/usr/bin/probe\"";
    format!("{head}_install() {{ {install}; }}\npackage() {{ _install; }}\n{lines}\n")
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

// --- the worker that everybody can build -----------------------------------------------------------------------------

#[tokio::test]
async fn the_echo_worker_is_built_and_answers() {
    let bench = Bench::new("");
    let recipe = Catalog::open(&[CatalogSource::BuiltIn]).unwrap().resolve("echo-worker").unwrap();
    let ended = bench.build_recipe(&recipe).await;
    let built = ended.built();
    let content = fs::read(&built.path).unwrap();
    assert_eq!((built.program.as_str(), built.version.as_str()), ("echo-worker", "0.1.0"));
    assert_eq!((built.size, built.digest.to_string()), (content.len() as u64, sha256(&content)));
    let version = Process::new(&built.path).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(version.stdout).unwrap(), "echo-worker 0.1.0\n");

    let mut child = Process::new(&built.path).args(["--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit('/').next().unwrap().to_owned();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    let post = |body: &str| {
        let head = "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length:";
        ask(&format!("{head} {}\r\n\r\n{body}", body.len()))
    };
    // A connection that says nothing keeps nobody else from being served.
    let _silent = TcpStream::connect(&address).unwrap();
    let health = ask("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("{\"status\":\"ok\"}"), "{health}");
    let body = post(r#"{"model": {"a": [1, null, "x"]}, "prompt": "say \"h\u00e9\" \ud83d\ude00\n", "n": -1.5e3}"#);
    let json: serde_json::Value = serde_json::from_str(body.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(json["choices"][0]["text"], "say \"hé\" 😀\n");
    for (body, said) in [
        ("", "not a JSON object"),
        ("{\"prompt\": 3}", "not a string"),
        ("{\"n\": 3}", "missing"),
        ("{\"prompt\": \"\\ud83d\\u0020\"}", "not a string"),
        ("{\"prompt\": \"x\"} y", "follows"),
        (&format!("{{\"a\":{}", "[".repeat(100_000)), "too deeply"),
    ] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(said), "{answer}");
    }
    assert!(ask("GET /nothing HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(ask("DELETE /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(ask("POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").starts_with("HTTP/1.1 413 "));
    Process::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(!child.wait().unwrap().success());
}

// --- how a phase ends ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_phase_that_does_not_come_to_its_end_is_an_error() {
    for (lines, said) in [
        ("build() {\n  true\n  sh -c 'exit 7'\n  true\n}", "build() failed with status 7 (PKGBUILD line 9)"),
        ("build() { exit 0; }", "build() called exit before it was through"),
        ("build() { exit 3; }", "build() called exit with status 3"),
        ("build() { set +e; false; true; }", "build() failed with status 1"),
        ("build() { [[ -e missing ]] && true; }", "build() failed with status 1"),
        ("build() { x=$(false; echo hi); }", "build() failed with status 1"),
        ("build() { (exit 4); true; }", "build() failed with status 4"),
        ("_deep() { false; true; }\nbuild() { _deep; true; }", "build() failed with status 1"),
        ("build() { kill -9 $$; }", "build() was ended by signal 9"),
        ("prepare() { false; }", "prepare() failed with status 1"),
        ("prepare() { exit 0; }", "prepare() called exit before it was through"),
        ("pkgver() { false; echo 2; }", "pkgver() failed with status 1"),
        ("pkgver() { echo '1-2'; }", "pkgver() said '1-2'"),
        ("package() { false; true; }", "package() failed with status 1"),
        ("package() { exit 0; }", "package() called exit before it was through"),
        ("exit 0", "PKGBUILD called exit before it was through"),
        ("false", "PKGBUILD ended with an error when it was read"),
        ("build() {", "PKGBUILD ended with an error when it was read"),
        ("package() { :; }", "package() installed no executable file"),
        (
            "package() { echo > \"$pkgdir/readme\"; ln -s readme \"$pkgdir/x\"; }",
            "package() installed no executable file",
        ),
        (
            "package() { _install; cp -p \"$pkgdir/usr/bin/probe\" \"$pkgdir/usr/bin/other\"; }",
            "package() installed 2 executable files, and a worker is one: probe/usr/bin/other, probe/usr/bin/probe",
        ),
        (
            "package() { _install; mv \"$pkgdir/usr/bin/probe\" \"$pkgdir/usr/bin/-rf\"; }",
            "which is no name for a program",
        ),
        ("pkgname=(a b)", "PKGBUILD makes 2 packages"),
        ("pkgname=../x", "pkgname '../x' may only have"),
        ("pkgname=", "PKGBUILD has no pkgname"),
        ("pkgver='1 2'", "pkgver '1 2' is empty or has one of"),
        ("unset -f package", "PKGBUILD has no package() function"),
        ("arch=(riscv64)", "PKGBUILD is for riscv64, and this is x86_64"),
    ] {
        let ended = Bench::new(&pkgbuild(lines)).build().await;
        assert!(
            ended.error().contains(said),
            "{lines}\nexpected: {said}\n     got: {}\n{}",
            ended.error(),
            ended.printed
        );
    }
}

#[tokio::test]
async fn what_a_recipe_prints_means_nothing() {
    let noise = "printf 'end\\0probe\\0'; echo '[DONE]'; echo noise >&2; for f in 3 4 5 6 7 8 9; do (echo x >&$f) 2>/dev/null || true; done";
    let text = pkgbuild(&format!("{noise}\nbuild() {{ {noise}\n true; }}"));
    let evaluated = Bench::new(&text).evaluate().await.unwrap();
    assert_eq!((evaluated.one("pkgname"), evaluated.one("pkgver")), (Some("probe"), Some("1.0")));
    assert_eq!(evaluated.functions, ["_install", "build", "package"]);
    let ended = Bench::new(&text).build().await;
    assert_eq!(ended.built().program, "probe");
    assert!(ended.printed.contains("[DONE]") && ended.printed.contains("noise"));
}

#[tokio::test]
async fn functions_of_a_recipe_do_not_get_in_the_way() {
    let lines = "cd() { false; }; printf() { builtin echo faked; }; cat() { false; }; mkdir() { command mkdir \"$@\"; }\n\
                 rm() { false; }; find() { false; }; sha256sum() { echo 0; }; IFS=,; set -o noclobber; unset PWD\n\
                 package() { mkdir -p \"$pkgdir\"; builtin echo > \"$pkgdir/probe\"; chmod 755 \"$pkgdir/probe\"; }";
    let ended = Bench::new(&pkgbuild(lines)).build().await;
    assert_eq!(ended.built().size, 1);
}

// --- variables -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn variables_reach_as_far_as_makepkg_lets_them() {
    let lines = r#"
prepare() { plain=from-prepare; export exported='a b
c'; options=mine; name=mine; shopt -s nullglob; cd /; }
build() {
  [ "$plain" = from-prepare ]; [ "$options" = mine ]; [ "$name" = mine ]
  [ "$PWD" = "$srcdir" ]
  if shopt -q nullglob; then false; fi
  shopt -q extglob
  if [[ $- = *u* ]]; then false; fi
  if shopt -qo pipefail; then false; fi
  [ "$(umask)" = 0022 ]
  false | true
  echo "$unset_variable"
  later=from-build
  export RUNNING="$exported"
  for name in srcdir pkgdir startdir CARCH; do if env | grep -q "^$name="; then false; fi; done
  [ "$CARCH" = x86_64 ]; [ "$MAKEFLAGS" = -j2 ]; [ "$CHOST" = x86_64-pc-linux-gnu ]
  env | grep -q '^MAKEFLAGS=-j2$'; env | grep -q '^SOURCE_DATE_EPOCH=[0-9]*$'
  [ "$RBEE_FEATURES" = cuda,extra ]; [ "$FROM_HOST" = "it's \$here" ]; case $PATH in "/opt/x y":*) ;; *) false ;; esac
  [ -z "$(cat)" ]
  echo "$SOURCE_DATE_EPOCH" > epoch
}
package() {
  [ -z "$plain" ]; [ -z "$later" ]; [ "$exported" = 'a b
c' ]; [ "$RUNNING" = "$exported" ]; [ "$PWD" = "$srcdir" ]; [ "$SOURCE_DATE_EPOCH" = "$(cat epoch)" ]
  [ "$FROM_HOST" = "it's \$here" ]
  _install
}"#;
    let mut bench = Bench::new(&pkgbuild(lines));
    bench.environment.features = vec!["cuda".into(), "extra".into()];
    bench.environment.variables = BTreeMap::from([("FROM_HOST".into(), "it's $here".into())]);
    bench.environment.path = vec!["/opt/x y".into()];
    for name in ["srcdir", "pkgdir", "startdir", "CARCH", "BASH_ENV", "GIT_DIR", "CDPATH"] {
        bench.target.variables.push((name.into(), "/nowhere".into()));
    }
    bench.build().await.built();
    let off = pkgbuild(
        "options=('!makeflags')\nbuild() { [ -z \"$MAKEFLAGS\" ]; if env | grep -q MAKEFLAGS; then false; fi; }",
    );
    Bench::new(&off).build().await.built();
}

#[tokio::test]
async fn pkgver_changes_the_version() {
    let lines = "pkgver() { cd /; echo 'Talk' >&2; echo 2.r5; }\nbuild() { [ \"$pkgver-$pkgrel\" = 2.r5-1 ]; }\n\
                 package_probe() { [ \"$pkgver\" = 2.r5 ]; _install; }\nunset -f package";
    let ended = Bench::new(&pkgbuild(lines)).build().await;
    assert_eq!(ended.built().version, "2.r5");
}

// --- sources ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn local_sources_are_checked() {
    let sum = sha256(b"good\n");
    let upper = sum.to_uppercase();
    let with = |lines: &str| Bench::new(&pkgbuild(lines)).file("a.txt", "good\n").file("b.txt", "other\n");
    for lines in [
        format!("source=(a.txt)\nsha256sums=({sum})\nbuild() {{ [ \"$(cat a.txt)\" = good ]; }}"),
        format!("source=(a.txt b.txt)\nsha256sums=({upper} SKIP)\nmd5sums=(SKIP SKIP)\nbuild() {{ [ -f b.txt ]; }}"),
        format!("source=(c::a.txt)\nsha256sums=({sum})\nbuild() {{ [ -f c ]; }}"),
        format!("source_x86_64=(a.txt)\nsha256sums_x86_64=({sum})\nsource_aarch64=(none)\nbuild() {{ [ -f a.txt ]; }}"),
        "source=()".to_owned(),
    ] {
        with(&lines).build().await.built();
    }
    let wrong = "0".repeat(64);
    for (lines, said) in [
        (
            format!("source=(a.txt)\nsha256sums=({wrong})"),
            format!("checksum of a.txt does not match: want {wrong}, got {sum}"),
        ),
        (
            format!("source=(a.txt)\nsha256sums=({sum})\nmd5sums=(x)"),
            "checksum of a.txt does not match: want x, got".into(),
        ),
        ("source=(a.txt b.txt)\nsha256sums=(SKIP)".into(), "sha256sums and source differ in length: 1 and 2".into()),
        ("source=(a.txt)".into(), "source has no checksums; add sha256sums".into()),
        ("source=(a.txt)\nsha256sums=(skip)".into(), "does not match".into()),
        ("source=(none)\nsha256sums=(SKIP)".into(), "source none is not in the recipe's folder".into()),
        ("source=(../a.txt)\nsha256sums=(SKIP)".into(), "source ../a.txt leads out of the recipe's folder".into()),
        ("source=(/etc/passwd)\nsha256sums=(SKIP)".into(), "leads out of the recipe's folder".into()),
        ("source=(../x::a.txt)\nsha256sums=(SKIP)".into(), "has no usable name".into()),
        ("source=(..::a.txt)\nsha256sums=(SKIP)".into(), "has no usable name".into()),
        (
            "source=(https://me:secret@example.org/x.tar.gz)\nsha256sums=(SKIP)".into(),
            "source https://example.org/x.tar.gz: downloads are not supported yet".into(),
        ),
        ("source=(svn+https://example.org/x)\nsha256sums=(SKIP)".into(), "this protocol is not supported".into()),
    ] {
        let ended = with(&lines).build().await;
        assert!(ended.error().contains(&said), "{lines}: {}\n{}", ended.error(), ended.printed);
        assert!(!ended.printed.contains("secret") && !ended.error().contains("secret"));
    }
}

#[tokio::test]
async fn archives_are_known_by_their_content() {
    let make = |lines: &str| {
        let bench = Bench::new(&pkgbuild(lines));
        let inner = bench.root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("inside"), "x").unwrap();
        let to = bench.folder().join("archive");
        assert!(Process::new("tar").arg("-czf").arg(to).arg("-C").arg(inner).arg("inside").status().unwrap().success());
        bench
    };
    make("source=(archive)\nsha256sums=(SKIP)\nbuild() { [ -f inside ]; }").build().await.built();
    make("source=(archive)\nnoextract=(archive)\nsha256sums=(SKIP)\nbuild() { [ ! -e inside ]; }")
        .build()
        .await
        .built();
}

/// A repository with two commits, a tag on the first and a branch `side` with one more.
fn repository(root: &Path) -> (String, Vec<String>) {
    let path = root.join("upstream");
    let git = |arguments: &[&str]| {
        let out = Process::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-C"])
            .arg(root)
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "upstream"]);
    let commit = |text: &str| {
        fs::write(path.join("file"), text).unwrap();
        git(&["-C", "upstream", "add", "file"]);
        git(&["-C", "upstream", "commit", "-q", "-m", text]);
        git(&["-C", "upstream", "rev-parse", "HEAD"])
    };
    let one = commit("one");
    git(&["-C", "upstream", "tag", "v1"]);
    let two = commit("two");
    git(&["-C", "upstream", "checkout", "-q", "-b", "side"]);
    let three = commit("three");
    git(&["-C", "upstream", "checkout", "-q", "main"]);
    (format!("git+file://{}", path.display()), vec![one, two, three])
}

#[tokio::test]
async fn git_sources_are_fetched_at_what_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let (url, commits) = repository(root.path());
    let short = &commits[0][..10];
    for (fragment, expected, at) in [
        ("", "two", 1),
        ("#tag=v1", "one", 0),
        ("#branch=side", "three", 2),
        (&format!("#commit={}", commits[2]), "three", 2),
        (&format!("#commit={short}"), "one", 0),
    ] {
        for counts in ["", "pkgver() { cd up; echo \"r$(git rev-list --count HEAD)\"; }"] {
            let lines = format!(
                "source=(\"up::{url}{fragment}\")\nsha256sums=(SKIP)\n{counts}\nbuild() {{ [ \"$(cat up/file)\" = {expected} ]; }}"
            );
            let ended = Bench::new(&pkgbuild(&lines)).build().await;
            let version = if counts.is_empty() { "1.0".to_owned() } else { format!("r{}", at + 1) };
            assert_eq!(ended.built().version, version, "{fragment}");
            assert_eq!(ended.pins, [Pin { name: "up".into(), commit: commits[at].clone() }]);
        }
    }
    for (source, said) in [
        (format!("{url}#tag=v9"), "cannot fetch tag v9 of file://"),
        (format!("{url}#branch=none"), "cannot fetch branch none of file://"),
        (format!("{url}#commit=ffffffffff"), "has no commit ffffffffff"),
        (format!("{url}#commit=main"), "'main' is no commit"),
        (format!("{url}#tag=--upload-pack=touch"), "is no name of a tag"),
        (format!("{url}#revision=1"), "is none of #tag=, #branch= and #commit="),
        (format!("git+file://{}/none", root.path().display()), "cannot fetch file://"),
        ("git+/etc".into(), "git over this protocol is not supported"),
        ("x::git+ext::sh -c id".into(), "git over this protocol is not supported"),
    ] {
        let ended = Bench::new(&pkgbuild(&format!("source=('{source}')\nsha256sums=(SKIP)"))).build().await;
        assert!(ended.error().contains(said), "{source}: {}\n{}", ended.error(), ended.printed);
    }
    let summed = pkgbuild(&format!("source=('{url}')\nsha256sums=({})", "0".repeat(64)));
    assert!(Bench::new(&summed).build().await.error().contains("write SKIP and pin a commit"));
}

// --- staging ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn hostile_file_names_stay_names() {
    let bench = Bench::new(&pkgbuild(
        "build() { [ \"$(cat \"$startdir/\\$(touch pwned)\")\" = x ]; [ -x \"$startdir/-rf\" ]; }",
    ));
    for name in ["$(touch pwned)", "-rf", "a b;c", "--help", "ü", "*"] {
        fs::write(bench.folder().join(name), "x").unwrap();
    }
    fs::set_permissions(bench.folder().join("-rf"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(bench.folder().join(format!("sub/{}", "d".repeat(120)))).unwrap();
    fs::write(bench.folder().join(format!("sub/{}/f", "d".repeat(120))), "deep").unwrap();
    bench.build().await.built();
    let staged = bench.work().join("recipe");
    assert_eq!(fs::read_to_string(staged.join(format!("sub/{}/f", "d".repeat(120)))).unwrap(), "deep");
    assert!(staged.join("*").exists() && staged.join("--help").exists());
    let mode = |name: &str| fs::metadata(bench.work().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("environment"), 0o600);
    assert!(!bench.work().join("recipe.tar").exists());
}

#[tokio::test]
async fn a_host_without_bash_is_told_so_before_anything_is_sent() {
    let mut bench = Bench::new(&pkgbuild(""));
    let tools = bench.root.path().join("bin");
    fs::create_dir(&tools).unwrap();
    std::os::unix::fs::symlink("/bin/tar", tools.join("tar")).unwrap();
    bench.target.variables.push(("PATH".into(), tools.display().to_string()));
    fs::create_dir(bench.work()).unwrap();
    let work = bench.work().display().to_string();
    let recipe = bench.recipe();
    let staged = stage(&scope(), &bench.target, &recipe, &bench.environment, &work).await;
    let error = staged.err().unwrap();
    assert_eq!(error.to_string(), "no bash on the host: builds need bash");
    assert!(error.hint().unwrap().contains("--binary"));
    assert_eq!(fs::read_dir(bench.work()).unwrap().count(), 0);
}

// --- makepkg as the oracle -------------------------------------------------------------------------------------------

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
