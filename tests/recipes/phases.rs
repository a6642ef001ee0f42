//! How a phase ends, and that nothing else passes for it.

use crate::bench::{Bench, pkgbuild};

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
            "package() { _install; cd \"$pkgdir/usr/bin\"; cp -p probe one; mv probe two; }",
            "package() made more than one program, and it has 2 executable files in bin, and none is named probe: one, two",
        ),
        (
            "package() { _install; mv \"$pkgdir/usr/bin/probe\" \"$pkgdir/usr/bin/-rf\"; }",
            "which is no name for a program",
        ),
        ("pkgname=(a b)", "PKGBUILD makes 2 packages, and has no package_b() function"),
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
