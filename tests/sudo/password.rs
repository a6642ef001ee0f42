//! A password: one for all hosts, one try, and nobody sees it.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::stage::{BIN, PASSWORD, Stage};

const HARD: &str = "Defaults timestamp_timeout=0, use_pty, lecture=always\nada ALL=(ALL) ALL";

/// Looks through the arguments and environments of all processes, those in namespaces too, until it is told to stop.
fn watch(word: &'static str) -> (Arc<AtomicBool>, std::thread::JoinHandle<Vec<String>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let watch = move || {
        let mut seen = Vec::new();
        while !told.load(Ordering::SeqCst) {
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                for file in ["cmdline", "environ"] {
                    let text = fs::read(entry.path().join(file)).unwrap_or_default();
                    if String::from_utf8_lossy(&text).contains(word) {
                        seen.push(String::from_utf8_lossy(&text).into_owned());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        seen
    };
    (stop, std::thread::spawn(watch))
}

#[test]
#[ignore = "needs root"]
fn rooted_a_password_comes_through_stdin_and_leaves_no_trace() {
    let stage = Stage::new(1, HARD);
    let (stop, watcher) = watch("Tr0ub4dor");
    let one = stage.program("echo-worker", "1.0", "");
    let two = stage.program("echo-worker", "2.0", "");
    let install =
        |program: &str| format!("install echo-worker --system --binary {program} -H h1 --sudo-password-file -");
    let mut runs = vec![stage.fleet_with(&install(&one), PASSWORD).exits(0)];
    assert_eq!(stage.on_host(&format!("stat -c '%U %a' {BIN}; {BIN}")), "root 755\necho-worker 1.0");
    runs.push(stage.fleet_with(&install(&two), PASSWORD).exits(0));
    runs.push(stage.fleet_with("rollback -H h1 --sudo-password-file -", PASSWORD).exits(0));
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
    stage.is_clean("h1");
    let file = stage.rig.dir().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let remove = format!("remove echo-worker -H h1 --sudo-password-file {}", file.display());
    runs.push(stage.fleet(&remove).exits(0));
    assert_eq!(stage.on_host("find /usr/local -type f"), "");
    stop.store(true, Ordering::SeqCst);
    assert_eq!(watcher.join().unwrap(), [] as [&str; 0], "a process shows it");
    for ran in runs {
        assert!(!ran.to_string().contains("Tr0ub4dor"), "{ran}");
    }
    fs::remove_file(file).unwrap();
    let home = Command::new("grep").arg("-rl").arg("Tr0ub4dor").arg(stage.rig.home()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&home.stdout), "", "the controller kept it");
    let grep = "grep -rl Tr0ub4dor /home /tmp /var/tmp /run /usr/local /var/lib/sudo /var/log 2>/dev/null; :";
    assert_eq!(stage.on_host(grep), "", "the host kept it");
    // Nobody else gets in on it either.
    assert!(!stage.rig.ssh("h1", "sudo -n true").status.success());
}

#[test]
#[ignore = "needs root"]
fn rooted_a_wrong_password_is_tried_once_in_all() {
    let log = "Defaults logfile=/var/log/sudo.log, passwd_tries=3\nada ALL=(ALL) ALL";
    let stage = Stage::new(3, log);
    let program = stage.program("echo-worker", "1.0", "");
    let install = format!("install echo-worker --system --binary {program} -H all --sudo-password-file -");
    let ran = stage.fleet_with(&install, "wrong").exits(1);
    let errors: Vec<String> = ["h1", "h2", "h3"].iter().map(|host| ran.error(host)).collect();
    let tried: Vec<_> = errors.iter().filter(|text| text.contains("did not take the password: ")).collect();
    let spared: Vec<_> = errors.iter().filter(|text| text.ends_with("so it was not tried here")).collect();
    assert_eq!((tried.len(), spared.len()), (1, 2), "{ran}");
    assert!(tried[0].contains("1 incorrect password attempt"), "{ran}");
    assert!(["h1", "h2", "h3"].iter().all(|host| ran.host(host)["reason"] == "auth"), "{ran}");
    let count = "cat /var/log/sudo.log 2>/dev/null | tr -d '\\n' | grep -o 'incorrect password' | wc -l";
    let counts: u32 =
        ["h1", "h2", "h3"].map(|host| stage.rig.exec(host, count).trim().parse::<u32>().unwrap()).iter().sum();
    assert_eq!(counts, 1, "{ran}");
    for host in ["h1", "h2", "h3"] {
        assert_eq!(stage.rig.exec(host, "find /usr/local -type f"), "");
        stage.is_clean(host);
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_a_password_that_is_right_may_still_not_be_enough() {
    let stage = Stage::new(1, "bob ALL=(ALL) ALL");
    let program = stage.program("echo-worker", "1.0", "");
    let install = format!("install echo-worker --system --binary {program} -H h1 --sudo-password-file -");
    let ran = stage.fleet_with(&install, PASSWORD).exits(5);
    assert!(ran.error("h1").contains("not in the sudoers file"), "{ran}");
    // Who may use sudo with a password, but not run a shell by it, is shown what to ask for.
    let lines = ran.lines("h1");
    stage.sudoers("h1", &lines.replace("NOPASSWD: ", ""));
    let ran = stage.fleet_with(&install, PASSWORD).exits(5);
    assert!(ran.error("h1").contains("not allowed to"), "{ran}");
    stage.sudoers("h1", &ran.lines("h1"));
    // Where none is needed, none is sent.
    stage.fleet_with(&install, "wrong").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
}

#[test]
#[ignore = "needs root"]
fn rooted_without_a_terminal_nothing_is_asked() {
    let stage = Stage::new(1, "ada ALL=(ALL) ALL");
    let ran = stage.fleet("remove echo-worker -H h1 --ask-sudo-pass").exits(2);
    assert!(ran.stderr.contains("--ask-sudo-pass needs a terminal"), "{ran}");
    let ran = stage.fleet("remove echo-worker -H h1 --sudo-password-file /nonexistent").exits(2);
    assert!(ran.stderr.contains("/nonexistent"), "{ran}");
    let ran = stage.fleet_with("remove echo-worker -H h1 --sudo-password-file -", "").exits(2);
    assert!(ran.stderr.contains("is empty"), "{ran}");
}

/// Whoever sits at a terminal is asked once for all hosts that lack only the right, and answers in the same run.
#[test]
#[ignore = "needs root"]
fn rooted_a_terminal_is_asked_once_for_all_hosts() {
    let stage = Stage::new(3, "ada ALL=(ALL) ALL");
    stage.sudoers("h3", "ada ALL=(ALL) NOPASSWD: ALL");
    let program = stage.program("echo-worker", "1.0", "");
    let (code, shown) = at_terminal(&stage, &program, PASSWORD);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("password (empty: no)").count(), 1, "{shown}");
    let both = ["not writable on h1, h2:", "not writable on h2, h1:"];
    assert!(both.iter().any(|text| shown.contains(text)), "{shown}");
    assert!(!shown.contains("Tr0ub4dor"), "{shown}");
    for host in ["h1", "h2", "h3"] {
        assert_eq!(stage.rig.exec(host, BIN).trim(), "echo-worker 1.0");
        stage.is_clean(host);
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_an_empty_answer_is_a_no() {
    let stage = Stage::new(1, "ada ALL=(ALL) ALL");
    let program = stage.program("echo-worker", "1.0", "");
    let (code, shown) = at_terminal(&stage, &program, "");
    assert_eq!(code, Some(5), "{shown}");
    assert!(shown.contains("ada ALL=(root) NOPASSWD: /usr/bin/rm -f"), "{shown}");
    assert_eq!(stage.on_host("find /usr/local -type f"), "");
}

/// Installs with a terminal for all three streams, and answers the question for the password.
fn at_terminal(stage: &Stage, program: &str, answer: &str) -> (Option<i32>, String) {
    let rbee = stage.rig.rbee(&format!("fleet install echo-worker --system --binary {program} -H all"));
    let words: Vec<_> = std::iter::once(rbee.get_program()).chain(rbee.get_args()).collect();
    let line: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["-qefc", &line.join(" "), "/dev/null"]).env_clear().env("TERM", "xterm");
    script.envs(rbee.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(stage.rig.dir());
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut buffer, mut asked) = (Vec::new(), [0; 4096], false);
    while let Ok(n @ 1..) = stdout.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..n]);
        if !asked && String::from_utf8_lossy(&shown).contains("password (empty: no)") {
            asked = true;
            writeln!(stdin, "{answer}").unwrap();
        }
    }
    (child.wait().unwrap().code(), String::from_utf8_lossy(&shown).into_owned())
}
