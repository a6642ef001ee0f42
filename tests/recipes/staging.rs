//! How a recipe gets to where it is built.

use std::{fs, os::unix::fs::PermissionsExt};

use rbee::build::stage;

use crate::bench::{Bench, pkgbuild, scope};

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
