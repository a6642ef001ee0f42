//! What reaches a recipe's functions, and what they hand on.

use std::collections::BTreeMap;

use crate::bench::{Bench, pkgbuild};

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
