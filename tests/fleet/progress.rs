//! How far a build is, as it is told while it runs.

use serde_json::Value;

use crate::stage::{Ran, Stage};

/// A crate with six others below it, none of which needs the network.
const CARGO: &str = r#"
build() {
  mkdir -p src
  printf '[package]\nname = "app"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\n' >Cargo.toml
  for n in 1 2 3 4 5 6; do
    mkdir -p "dep$n/src"
    printf '[package]\nname = "dep%s"\nversion = "1.0.0"\nedition = "2021"\n' "$n" >"dep$n/Cargo.toml"
    : >"dep$n/src/lib.rs"
    printf 'dep%s = { path = "dep%s" }\n' "$n" "$n" >>Cargo.toml
  done
  printf '[workspace]\n' >>Cargo.toml
  echo 'fn main() { println!("app 1.0.0") }' >src/main.rs
  cargo build --offline
}
package() {
  mkdir -p "$pkgdir/usr/local/bin"
  install -m755 target/debug/app "$pkgdir/usr/local/bin/app"
}
"#;

fn steps(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().filter(|event| event["type"] == "progress" && event["phase"] == "build").collect()
}

#[test]
fn cargos_units_are_counted_and_the_time_it_took_is_known_the_next_time() {
    let stage = Stage::new(&["one"]);
    let recipe = stage.recipe("app", CARGO);
    let ran = stage.events(&format!("fleet install {recipe} -H one --build host")).exits(0);
    let told = steps(&ran);
    assert_eq!((told[0]["total"].clone(), told[0]["expected_ms"].clone()), (Value::Null, Value::Null), "{ran}");
    assert!(told.iter().all(|step| step["unit"] == "units" && step["worker"] == "app"), "{ran}");
    let done: Vec<u64> = told[1..].iter().map(|step| step["done"].as_u64().unwrap()).collect();
    assert!(done.is_sorted() && done.first() < done.last() && *done.last().unwrap() >= 5, "{done:?}\n{ran}");
    assert!(told[1..].iter().all(|step| step["total"] == 7), "{ran}");
    let lines = ran.lines();
    let mut lines = lines.iter().filter(|event| event["type"] == "line").map(|event| event["text"].as_str().unwrap());
    assert!(lines.clone().any(|line| line.contains("Compiling dep1")), "{ran}");
    assert!(!lines.any(|line| line.contains("Building")), "the bar is for the eye\n{ran}");

    let again = stage.events(&format!("fleet install {recipe} -H one --build host --reinstall")).exits(0);
    assert!(steps(&again)[0]["expected_ms"].as_u64().unwrap() >= 1000, "{again}");
    stage.is_clean("one", &again);
}

/// Four objects, an archive and a program.
const CMAKE: &str = r#"
build() {
  for n in 1 2 3; do echo "int f$n(void) { return $n; }" >"f$n.c"; done
  echo '#include <stdio.h>' >main.c
  echo 'int main(void) { return puts("ID 1.0.0") < 0; }' >>main.c
  printf 'cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_library(f STATIC f1.c f2.c f3.c)\n' >CMakeLists.txt
  printf 'add_executable(ID main.c)\ntarget_link_libraries(ID f)\n' >>CMakeLists.txt
  cmake -S . -B out -G 'GENERATOR' >/dev/null
  cmake --build out
}
package() {
  mkdir -p "$pkgdir/usr/local/bin"
  install -m755 out/ID "$pkgdir/usr/local/bin/ID"
}
"#;

#[test]
fn ninjas_steps_and_the_hundredths_of_make_are_told_as_what_they_are() {
    let stage = Stage::new(&["one"]);
    for (id, generator, unit, total) in [("byninja", "Ninja", "units", 6), ("bymake", "Unix Makefiles", "percent", 100)]
    {
        let recipe = stage.recipe(id, &CMAKE.replace("ID", id).replace("GENERATOR", generator));
        let ran = stage.events(&format!("fleet install {recipe} -H one --build host")).exits(0);
        let told = steps(&ran).split_off(1);
        let done: Vec<u64> = told.iter().map(|step| step["done"].as_u64().unwrap()).collect();
        assert!(done.is_sorted() && done.first() < done.last() && done.last() == Some(&total), "{done:?}\n{ran}");
        assert!(
            told.iter().all(|step| step["unit"] == unit && step["total"] == total && step["worker"] == id),
            "{ran}"
        );
    }
}
