//! What recipes ask for: asked of real shells, and judged.

use super::{
    sample,
    shells::{Host, SHELLS},
};
use crate::{
    preflight::{
        NEEDS_END, NEEDS_PROBE,
        check::{Grade, Request, Role, Verdict, check, refuses},
        needs::{questions, remedy},
        parse::parse,
    },
    vocab::{Dependency, Facts, Needed, Needs, WorkerId, WorkerMeta, facts::Capability},
};

fn needs(packages: &[&str]) -> Needs {
    let read = |text: &&str| Dependency::parse(text, Needed::ToBuild, None).unwrap();
    Needs { packages: packages.iter().map(read).collect(), ..Needs::default() }
}

fn judged(facts: &Facts, needs: Needs) -> Vec<Verdict> {
    let mut worker = WorkerMeta::new(WorkerId::new("w").unwrap());
    worker.needs = needs;
    let request = Request { role: Role::Build, worker: Some(&worker), program: None, size: None, system: false };
    check(facts, &request).into_iter().filter(|verdict| verdict.what == "tools").collect()
}

fn of_grade(verdicts: &[Verdict], grade: Grade) -> String {
    verdicts.iter().filter(|v| v.grade == grade).map(|v| v.text.as_str()).collect::<Vec<_>>().join(" | ")
}

#[test]
fn most_packages_are_answered_by_what_every_probe_asks() {
    let facts = sample("debian-cuda").unwrap();
    let usual =
        needs(&["cmake>=3.20", "git", "rust", "gcc", "ninja", "python>=3.8", "cuda", "glibc", "gcc-libs", "curl"]);
    assert_eq!(questions(&facts, &usual), [""; 0]);
    let more = needs(&["meson", "openssl>=3", "frobnicate", "meson", "libfoo.so=3-64", "curl>=8", "boost>=1.80"]);
    assert_eq!(
        questions(&facts, &more),
        [
            "job meson need_tool meson --version meson",
            "job libssl need_library libssl 'openssl libssl' openssl/ssl.h",
            "job frobnicate need_any frobnicate",
            "job libfoo.so need_file libfoo.so",
            "job curl need_tool curl --version curl",
            "job boost need_library boost '' boost/version.hpp",
        ]
    );
}

#[test]
fn what_is_missing_is_said_at_once_with_one_line_for_all_of_it() {
    let mut facts = sample("raspberry-pi").unwrap();
    for name in ["libssl", "meson"] {
        facts.capabilities.insert(name.into(), None);
    }
    facts.capabilities.insert("zlib".into(), Some(Capability { version: Some("1.2.13".into()) }));
    facts.tools.remove("cmake");
    let verdicts =
        judged(&facts, needs(&["base-devel", "cmake>=3.20", "openssl", "meson", "zlib>=1.3", "rust", "zlib<1"]));
    let (no, line) = (of_grade(&verdicts, Grade::No), verdicts.iter().find_map(|v| v.hint.clone()));
    assert!(refuses(&verdicts));
    for text in [
        "cmake is missing;",
        "the library libssl is missing (for openssl)",
        "meson is missing",
        "zlib 1.2.13 is older than 1.3",
        "rustc is missing (for rust)",
        "cargo is missing (for rust)",
        "zlib 1.2.13 is there, and zlib<1 is needed",
    ] {
        assert!(no.contains(text), "{text}: {no}");
    }
    let line = line.unwrap();
    assert!(
        line.starts_with("sudo apt-get install -y ") && line.ends_with("cmake libssl-dev meson zlib1g-dev rustc cargo"),
        "{line}"
    );
    let worker = needs(&["meson", "openssl"]);
    assert_eq!(remedy(&facts, &[&worker, &worker]).unwrap().line(), "sudo apt-get install -y meson libssl-dev");
    assert_eq!(remedy(&facts, &[&needs(&["zlib<1"])]), None, "nothing brings what is older");
}

#[test]
fn what_nobody_knows_stands_against_nothing() {
    let mut facts = sample("debian-cuda").unwrap();
    facts.capabilities.insert("frobnicate".into(), None);
    facts.capabilities.insert("known".into(), Some(Capability { version: Some("7".into()) }));
    facts.capabilities.insert("meson".into(), Some(Capability::default()));
    let verdicts = judged(&facts, needs(&["frobnicate>=2", "known>=6", "meson>=1", "unasked", "glibc>=2.99"]));
    assert_eq!(
        of_grade(&verdicts, Grade::Warn),
        "whether there is frobnicate>=2 is not known; meson does not tell its version, >=1 is needed; \
         whether there is unasked is not known"
    );
    assert!(of_grade(&verdicts, Grade::Ok).contains("known 7"));
    assert_eq!(of_grade(&verdicts, Grade::No), "glibc 2.36 is there, and glibc>=2.99 is needed");
}

#[test]
fn only_this_architecture_counts_and_no_check() {
    let facts = sample("debian-cuda").unwrap();
    let mut list = needs(&[]);
    for (needed, arch) in [(Needed::ToCheck, None), (Needed::ToBuild, Some("aarch64"))] {
        list.packages.push(Dependency::parse("nasm", needed, arch).unwrap());
    }
    assert_eq!(questions(&facts, &list), [""; 0]);
    list.packages.push(Dependency::parse("nasm", Needed::ToBuild, Some("x86_64")).unwrap());
    assert_eq!(questions(&facts, &list).len(), 1);
}

#[test]
fn every_shell_answers_the_same_and_changes_nothing() {
    let host = Host::new();
    let trap = format!("#!/bin/sh\ntouch '{}'; echo 1.2.3\n", host.path("home/ran").display());
    // Of these nobody knows what they do when they are run.
    host.write("bin/frobnicate", &trap, 0o755);
    host.write("bin/npm", &trap, 0o755);
    host.write("bin/meson", "#!/bin/sh\n[ \"$1\" = --version ] && echo 1.4.0; printf 'end\\n'\n", 0o755);
    host.write(
        "bin/pkg-config",
        "#!/bin/sh\ncase \"$*\" in '--exists mymodule' | '--exists libcurl') ;;\n\
         '--modversion mymodule') printf '1\\t2\\n' ;; '--modversion libcurl') echo 8.5.0-DEV ;; *) exit 1 ;; esac\n",
        0o755,
    );
    host.write(
        "bin/cc",
        "#!/bin/sh\n[ \"$1\" != --version ] || exit 0\nread -r l; [ \"$l\" = '#include <omp.h>' ]\n",
        0o755,
    );
    let packages =
        ["frobnicate", "npm", "meson>=1", "mymodule", "libcurl", "openmp", "nccl", "libm.so", "libno.so", "no-such"];
    let asked = questions(&Facts::default(), &needs(&packages));
    assert_eq!(asked.len(), packages.len());
    let script = format!("{NEEDS_PROBE}{}\n{NEEDS_END}", asked.join("\n"));
    let before = host.listing();
    for shell in SHELLS {
        let output = host.output_of(shell, &script);
        let facts = parse(output.as_bytes()).unwrap_or_else(|error| panic!("{shell:?}: {error}\n{output}"));
        let found: Vec<_> = facts
            .capabilities
            .iter()
            .map(|(name, found)| match found {
                Some(Capability { version: Some(version) }) => format!("{name} {version}"),
                Some(Capability { version: None }) => format!("{name} there"),
                None => format!("no {name}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                "frobnicate there",
                "libcurl 8.5.0-DEV",
                "libm.so there",
                "no libno.so",
                "meson 1.4.0",
                "no nccl",
                "no no-such",
                "npm there",
                "openmp there"
            ],
            "{shell:?}\n{output}"
        );
        assert!(output.contains("bad\tcapability\n"), "a version with a tab in it is none\n{output}");
        assert_eq!(host.listing(), before, "{shell:?}");
    }
}

#[test]
fn what_hangs_is_not_known() {
    let host = Host::new();
    host.write("bin/meson", "#!/bin/sh\nexec sleep 67\n", 0o755);
    let wanted = needs(&["meson", "libm.so"]);
    let script = format!("{NEEDS_PROBE}{}\n{NEEDS_END}", questions(&Facts::default(), &wanted).join("\n"));
    let facts = parse(host.output_of(SHELLS[0], &script).as_bytes()).unwrap();
    assert_eq!((facts.silent.as_slice(), facts.capabilities.len()), (&["meson".to_owned()][..], 1));
    let verdicts = judged(&facts, wanted);
    assert!(of_grade(&verdicts, Grade::Warn).contains("whether there is meson is not known"), "{verdicts:?}");
}
