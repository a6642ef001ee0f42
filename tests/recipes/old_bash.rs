//! macOS has bash 3.2: what later ones brought may not stand in the driver. `tests/rig/mac.rs` runs it under a real one,
//! where its source can be had.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// What it is, how it is written (an extended regular expression), and a line that has it.
const NEWER: [(&str, &str, &str); 17] = [
    ("associative arrays and name references", r"(declare|local|typeset)[[:space:]]+-[a-zA-Z]*[Ang]", "declare -A map"),
    ("local -", r"local[[:space:]]+-([[:space:]]|$)", "  local -"),
    ("mapfile", r"(^|[^[:alnum:]_])(mapfile|readarray)([^[:alnum:]_]|$)", "mapfile -t lines"),
    ("another case of letters", r"\$\{[[:alnum:]_]+(\[[^]]*\])?(,|\^)", "echo ${x,,}"),
    ("transformations", r"\$\{[[:alnum:]_]+(\[[^]]*\])?@[a-zA-Z]", "echo ${x@Q}"),
    ("both streams to a pipe or to the end of a file", r"\|&|&>>", "make |& tee log"),
    ("falling through in case", r";;?&", "  a) x ;;&"),
    ("coproc", r"(^|[;&|[:space:]])coproc[[:space:]]", "coproc cat"),
    ("whether a variable is set", r"(\[\[?|test)[[:space:]]+(![[:space:]]+)?-[vR][[:space:]]", "[[ -v x ]]"),
    ("waiting for any or by name", r"(^|[^[:alnum:]_])wait[[:space:]]+-", "wait -n"),
    ("descriptors that bash chooses", r"\{[[:alpha:]_][[:alnum:]_]*\}[<>]", "exec {lock}>file"),
    ("an index from the end", r"\[-[0-9]+\]", "echo ${x[-1]}"),
    ("times of printf", r"%\([^)]*\)T", "printf '%(%s)T'"),
    ("printf into an element", r"printf[[:space:]]+-v[[:space:]]+['[:alnum:]_]+\[", "printf -v x[1] y"),
    ("parts of a second, and whole counts, of read", r"read[[:space:]].*-(N|t[[:space:]]*[0-9]*\.)", "read -t 0.5 x"),
    ("variables", r"\$\{?(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_XTRACEFD|BASH_ARGV0)", "echo $BASHPID"),
    (
        "options",
        r"shopt[^#]*(globstar|lastpipe|inherit_errexit|autocd|dirspell|direxpand|localvar_inherit)",
        "shopt -s lastpipe",
    ),
];

/// Lines of `text` that `pattern` is in.
fn grep(pattern: &str, text: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args(["-nE", "-e", pattern]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut grep = grep.spawn().unwrap();
    grep.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = grep.wait_with_output().unwrap();
    assert!(out.status.code().is_some_and(|code| code < 2), "{pattern}");
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_driver_is_written_for_the_bash_of_macos() {
    for (what, pattern, line) in NEWER {
        assert_eq!(grep(pattern, line).len(), 1, "{what}: {pattern} does not find {line}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recipe");
    let mut scripts = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "bash") {
            continue;
        }
        scripts += 1;
        // Comments may name what is not there; blank lines keep the numbers.
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> =
            text.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line }).collect();
        for (what, pattern, _) in NEWER {
            let found = grep(pattern, &code.join("\n"));
            assert!(found.is_empty(), "{}: {what}, which bash 3.2 does not know:\n{found:#?}", path.display());
        }
        // Its parser takes the bracket behind a pattern for the end of the substitution.
        let inside = grep(r"[$<>]\([^)]*[[:space:];]case[[:space:]]", &code.join("\n"));
        assert!(inside.is_empty(), "{}: case in a substitution:\n{inside:#?}", path.display());
    }
    assert_eq!(scripts, 9);
}
