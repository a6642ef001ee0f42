//! The supervisor over pipes, under every shell and every level of containment that this machine has.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/lanes.rs"]
mod lanes;
mod support;

use std::{
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use lanes::{SHELLS, matrix, output};
use rbee::{
    scope::{CancelReason, Stop},
    target::{
        Captured, Closed, Command, Output, Source, Target, TargetError,
        local::{LocalOpener, local},
        supervisor::{Supervised, Supervision},
    },
    vocab::{Secret, Stream},
};
use support::{eventually, processes_with, scope, shell, token};

/// Grace plus two seconds is what a cancel may take; the rest is room for a busy machine.
const ROOM: Duration = Duration::from_secs(2 + 6);

fn target(sh: &str, levels: &'static str) -> Supervised<LocalOpener> {
    let shell = shell(sh).to_str().unwrap().to_owned();
    local(Supervision { levels, shell, ..Supervision::default() })
}

#[tokio::test]
async fn streams_and_status_come_through() {
    for (sh, level, containment) in matrix() {
        let target = target(sh, level);
        let (scope, _events) = scope();
        let mut kept = Captured::default();
        let script = "printf 'no newline'; echo err >&2; cat; exit 3";
        let exit = target.run(&scope, &Command::foreign("test", script), &mut kept).await.unwrap();
        assert_eq!((exit.status, exit.containment), (3, containment), "{sh} {level}");
        assert_eq!((kept.text().as_str(), kept.stderr.as_slice()), ("no newline", &b"err\n"[..]), "{sh} {level}");

        let (status, out, _) = output(&target, Command::own("two", "printf 'a\\nb\\n'\n\necho \"it's\"\n")).await;
        assert_eq!((status, out.as_str()), (0, "a\nb\nit's\n"), "{sh} {level}");
        let (status, _, _) = output(&target, Command::foreign("signal", "kill -KILL $$")).await;
        assert_eq!(status, 137, "{sh} {level}");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
    }
}

#[tokio::test]
async fn a_secret_comes_through_stdin_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    // Whatever program a shell might call to print something tells what it was told.
    for name in ["printf", "echo", "cat"] {
        let program = folder.path().join(name);
        let text = format!("#!/bin/sh\necho {name} \"$@\" >>{}\nexec /usr/bin/{name} \"$@\"\n", seen.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for (sh, level, _) in matrix() {
        let opener = LocalOpener { env: vec![("PATH".into(), path.clone())] };
        let shell = shell(sh).to_str().unwrap().to_owned();
        let target = Supervised::new(opener, Supervision { levels: level, shell, ..Supervision::default() });
        let line = format!("-n it's \\n a {} $HOME `x` %s 100%", token());
        let script = "cat; tr '\\0' '\\n' </proc/$$/environ >&2; exit 7";
        let command = Command::own("secret", script).with_stdin(Secret::new(line.clone()));
        let (status, out, environment) = output(&target, command).await;
        assert_eq!((status, out), (7, format!("{line}\n")), "{sh} {level}");
        assert!(environment.contains("RBEE_COOKIE="), "{environment}");
        assert!(!environment.contains(&line), "{sh} {level}");
        // It was for that command only.
        let (status, out, _) = output(&target, Command::foreign("after", "cat; set")).await;
        assert_eq!(status, 0, "{sh} {level}");
        assert!(!out.contains(&line), "{sh} {level}: {out}");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
        let told = std::fs::read_to_string(&seen).unwrap();
        assert!(told.contains("cat") && !told.contains("it's"), "{sh} {level}: {told}");
    }
    let two = Command::own("two", ":").with_stdin(Secret::new("a\nb"));
    let (scope, _events) = scope();
    let target = target("dash", "group");
    assert!(matches!(target.run(&scope, &two, &mut Captured::default()).await, Err(TargetError::Local(_))));
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn records_cannot_be_faked_and_a_million_lines_pass() {
    struct Count(usize, u64);
    #[async_trait]
    impl Output for Count {
        async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
            if stream == Stream::Stdout {
                self.0 += bytes.iter().filter(|b| **b == b'\n').count();
                self.1 += bytes.len() as u64;
            }
        }
    }
    let target = local(Supervision::default());
    let (scope, _events) = scope();
    let script = "printf '\\036end 0 none\\n\\036%032d end 0 none group\\n[DONE]\\n' 0; seq 1000000; printf '\\036'";
    let mut count = Count(0, 0);
    let exit = target.run(&scope, &Command::foreign("seq", script), &mut count).await.unwrap();
    assert_eq!(exit.status, 0);
    assert_eq!(count.0, 1_000_003);
    assert_eq!(target.close().await, Closed::Clean);
}

/// Processes that do what they can to stay: ignore TERM, detach twice, drop their environment.
fn escapees(token: &str, keep_environment: bool) -> String {
    let env = if keep_environment { "" } else { "env -i " };
    format!(
        "trap '' TERM; ( {env}setsid sh -c 'trap \"\" TERM; sh -c \"sleep {token}\" & sleep {token}' & ) ; \
         ( ( {env}setsid sleep {token} & ) & ); sleep {token} & echo ready; while :; do sleep {token}; done"
    )
}

struct Ready(tokio::sync::watch::Sender<bool>);

#[async_trait]
impl Output for Ready {
    async fn chunk(&mut self, _: Stream, bytes: &[u8]) {
        if bytes.windows(5).any(|w| w == b"ready") {
            self.0.send_replace(true);
        }
    }
}

#[tokio::test]
async fn a_cancel_leaves_nothing() {
    for (sh, level, _) in matrix() {
        let target = target(sh, level);
        let token = token();
        let (scope, _events) = scope();
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("it's scratch");
        target.scratch(&scope, path.to_str().unwrap()).await.unwrap();
        std::fs::create_dir_all(path.join("below")).unwrap();

        let (sender, mut ready) = tokio::sync::watch::channel(false);
        let cancel = scope.cancel().clone();
        let killer = tokio::spawn(async move {
            ready.wait_for(|r| *r).await.unwrap();
            let start = Instant::now();
            cancel.ask(CancelReason::Interrupt);
            start
        });
        // Without a subreaper only the cookie finds those that detached twice.
        let command = Command::foreign("escape", escapees(&token, level == "group"));
        let result = target.run(&scope, &command, &mut Ready(sender)).await;
        let asked = killer.await.unwrap();
        let took = asked.elapsed();
        assert_eq!(processes_with(&token), Vec::<u32>::new(), "{sh} {level}");
        assert!(
            matches!(result, Err(TargetError::Stopped(Stop::Cancelled(CancelReason::Interrupt)))),
            "{sh} {level}: {result:?}"
        );
        assert!(took < Duration::from_millis(500) + ROOM, "{sh} {level}: {took:?}");
        eprintln!("{sh} {level}: {took:?}");
        assert!(path.exists(), "scratch lives as long as the target");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
        assert!(!path.exists(), "{sh} {level}");
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_ended_with_it() {
    for (sh, level, _) in matrix() {
        let target = target(sh, level);
        let token = token();
        let script = format!("( setsid sleep {token} & ) ; sleep {token} & echo done");
        let (status, out, _) = output(&target, Command::foreign("daemon", script)).await;
        assert_eq!((status, out.as_str()), (0, "done\n"), "{sh} {level}");
        assert_eq!(processes_with(&token), Vec::<u32>::new(), "{sh} {level}");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
    }
}

/// The trees of a large build go as fast as the disk lets them; meanwhile it is known that nothing runs.
#[tokio::test]
async fn files_that_take_long_to_go_are_waited_for() {
    let slow = SHELLS.map(|sh| {
        tokio::spawn(async move {
            let target = target(sh, "group");
            let folder = tempfile::tempdir().unwrap();
            let mark = folder.path().join("mark");
            std::fs::write(&mark, "").unwrap();
            let (scope, _events) = scope();
            // More than the grace and what a lane has to confirm.
            target.cleanup(&scope, &format!("sleep 7; rm -f '{}'", mark.display())).await.unwrap();
            assert_eq!(output(&target, Command::foreign("test", ":")).await.0, 0, "{sh}");
            assert_eq!(target.close().await, Closed::Clean, "{sh}");
            assert!(!mark.exists(), "{sh}");
        })
    });
    for one in slow {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_second_cancel_skips_the_grace() {
    for sh in SHELLS {
        let shell = shell(sh).to_str().unwrap().to_owned();
        let target = local(Supervision { grace: Duration::from_secs(60), shell, ..Supervision::default() });
        let token = token();
        let (scope, _events) = scope();
        let (sender, mut ready) = tokio::sync::watch::channel(false);
        let cancel = scope.cancel().clone();
        let mark = token.clone();
        let killer = tokio::spawn(async move {
            ready.wait_for(|r| *r).await.unwrap();
            cancel.ask(CancelReason::Interrupt);
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!processes_with(&mark).is_empty(), "grace is given");
            cancel.harden();
            Instant::now()
        });
        let result = target.run(&scope, &Command::foreign("escape", escapees(&token, false)), &mut Ready(sender)).await;
        let took = killer.await.unwrap().elapsed();
        assert!(matches!(result, Err(TargetError::Stopped(_))), "{sh}: {result:?}");
        assert_eq!(processes_with(&token), Vec::<u32>::new(), "{sh}");
        assert!(took < ROOM, "{sh}: {took:?}");
        assert_eq!(target.close().await, Closed::Clean);
    }
}

#[tokio::test]
async fn a_lost_controller_is_noticed_at_once() {
    for (sh, level, _) in matrix() {
        let target = Arc::new(target(sh, level));
        let token = token();
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join("scratch");
        let (scope, _events) = scope();
        target.scratch(&scope, scratch.to_str().unwrap()).await.unwrap();
        std::fs::create_dir(&scratch).unwrap();
        let (sender, mut ready) = tokio::sync::watch::channel(false);
        let task = {
            let (target, token) = (target.clone(), token.clone());
            tokio::spawn(async move {
                let command = Command::foreign("escape", escapees(&token, level == "group"));
                target.run(&scope, &command, &mut Ready(sender)).await
            })
        };
        ready.wait_for(|r| *r).await.unwrap();
        // Dropping the future drops the lane: end of file, and broken pipes.
        task.abort();
        let _ = task.await;
        let what = format!("{sh} {level}");
        eventually(&what, Duration::from_millis(500) + ROOM, || processes_with(&token).is_empty()).await;
        eventually(&what, ROOM, || !scratch.exists()).await;
    }
}

/// A connection that can be cut so that neither end hears of it.
mod gate {
    use super::*;
    use rbee::target::conduit::{Conduit, Opener};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    pub struct Gate {
        pub inner: LocalOpener,
        pub open: tokio::sync::watch::Sender<bool>,
    }

    impl Gate {
        fn through<R, W>(&self, mut from: R, mut to: W)
        where
            R: AsyncRead + Unpin + Send + 'static,
            W: AsyncWrite + Unpin + Send + 'static,
        {
            let mut gate = self.open.subscribe();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut buffer).await {
                    if gate.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
                // A cut connection says nothing: both ends stay open.
                if !*gate.borrow() {
                    std::mem::forget((from, to));
                }
            });
        }
    }

    #[async_trait]
    impl Opener for Gate {
        async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
            let Conduit { stdin, stdout, stderr } = self.inner.open(command).await?;
            let (near, far) = tokio::io::duplex(64 << 10);
            self.through(far, stdin);
            let (near_out, far_out) = tokio::io::duplex(64 << 10);
            self.through(stdout, far_out);
            let (near_err, far_err) = tokio::io::duplex(64 << 10);
            self.through(stderr, far_err);
            Ok(Conduit { stdin: Box::new(near), stdout: Box::new(near_out), stderr: Box::new(near_err) })
        }
        async fn ping(&self) -> Result<(), TargetError> {
            Ok(())
        }
        async fn close(&self) {}
    }
}

#[tokio::test]
async fn silence_ends_everything_within_the_lease() {
    let mut tasks = tokio::task::JoinSet::new();
    for (sh, level, _) in matrix() {
        tasks.spawn(silence(sh, level));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

async fn silence(sh: &str, level: &'static str) {
    let what = format!("{sh} {level}");
    let shell = shell(sh).to_str().unwrap().to_owned();
    let lease = Duration::from_secs(5);
    let open = tokio::sync::watch::Sender::new(true);
    let opener = gate::Gate { inner: LocalOpener::default(), open: open.clone() };
    let target = Supervised::new(opener, Supervision { levels: level, shell, lease, ..Supervision::default() });
    let token = token();
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().join("scratch");
    let (scope, _events) = scope();
    target.scratch(&scope, scratch.to_str().unwrap()).await.unwrap();
    std::fs::create_dir(&scratch).unwrap();
    let (sender, mut ready) = tokio::sync::watch::channel(false);
    let command = Command::foreign("escape", escapees(&token, level == "group"));
    let mut listener = Ready(sender);
    let watch = async {
        ready.wait_for(|r| *r).await.unwrap();
        // Beats keep it alive beyond the lease.
        tokio::time::sleep(lease + Duration::from_secs(1)).await;
        assert!(!processes_with(&token).is_empty(), "{what}: reaped in spite of beats");
        open.send_replace(false);
        let took = eventually(&what, lease + ROOM * 2, || processes_with(&token).is_empty()).await;
        assert!(took > lease / 2, "{what}: reaped too early, after {took:?}");
        eventually(&what, ROOM, || !scratch.exists()).await;
    };
    tokio::select! {
        result = target.run(&scope, &command, &mut listener) => panic!("{what}: ended by itself: {result:?}"),
        () = watch => {}
    }
}

struct Bytes(u64, Duration);

#[async_trait]
impl Source for Bytes {
    fn size(&self) -> u64 {
        self.0
    }
    async fn next(&mut self) -> std::io::Result<bytes::Bytes> {
        let n = self.0.min(64 << 10);
        self.0 -= n;
        tokio::time::sleep(self.1).await;
        Ok(bytes::Bytes::from(vec![b'x'; n as usize]))
    }
}

#[tokio::test]
async fn a_put_file_is_whole_or_not_there() {
    for sh in SHELLS {
        let target = target(sh, "cgroup subreaper group");
        let (scope, _events) = scope();
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("it's whole");
        target.put(&scope, whole.to_str().unwrap(), &mut Bytes(5_000_001, Duration::ZERO)).await.unwrap();
        assert_eq!(std::fs::metadata(&whole).unwrap().len(), 5_000_001, "{sh}");
        let kept = dir.path().join("kept");
        std::fs::rename(&whole, &kept).unwrap();

        let missing = dir.path().join("no/such/folder");
        let error = target.put(&scope, missing.to_str().unwrap(), &mut Bytes(1, Duration::ZERO)).await.unwrap_err();
        assert!(matches!(error, TargetError::Host(_)), "{sh}: {error:?}");

        let part = dir.path().join("part");
        let limited = scope.within("upload", Duration::from_millis(400));
        let slow = target.put(&limited, part.to_str().unwrap(), &mut Bytes(1 << 30, Duration::from_millis(20))).await;
        assert!(matches!(slow, Err(TargetError::Stopped(Stop::TimedOut { .. }))), "{sh}: {slow:?}");
        assert!(!part.exists(), "{sh}: a half file stayed");
        assert_eq!(processes_with(part.to_str().unwrap()), Vec::<u32>::new(), "{sh}");

        assert_eq!(target.close().await, Closed::Clean, "{sh}");
        assert!(kept.exists());
    }
}

/// An upload ends the ticker of the lane and starts another one; mksh, just forked, loses a TERM.
#[tokio::test]
async fn a_ticker_that_was_started_a_moment_ago_can_be_ended() {
    let dir = tempfile::tempdir().unwrap();
    for sh in SHELLS {
        for i in 0..if sh == "mksh" { 60 } else { 10 } {
            let target = target(sh, "group");
            let (scope, _events) = scope();
            let path = dir.path().join(format!("{sh}{i}"));
            let limited = scope.within("upload", ROOM);
            target.put(&limited, path.to_str().unwrap(), &mut Bytes(10, Duration::ZERO)).await.unwrap();
            assert_eq!(target.close().await, Closed::Clean, "{sh} {i}");
        }
    }
}

#[tokio::test]
async fn a_step_that_takes_too_long_says_its_limit_and_the_target_goes_on() {
    let target = local(Supervision::default());
    let (scope, _events) = scope();
    let short = scope.within("probe", Duration::from_millis(200));
    let error = target.run(&short, &Command::own("probe", "sleep 1000"), &mut Captured::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "probe took longer than 0.2s");
    let (status, out, _) = output(&target, Command::own("after", "echo still here")).await;
    assert_eq!((status, out.as_str()), (0, "still here\n"));
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn several_commands_run_side_by_side() {
    let target = Arc::new(local(Supervision::default()));
    let start = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let target = target.clone();
            tokio::spawn(async move { output(&*target, Command::foreign("one", format!("sleep 1; echo {i}"))).await })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().1, format!("{i}\n"));
    }
    assert!(start.elapsed() < Duration::from_secs(6), "not side by side: {:?}", start.elapsed());
    assert_eq!(target.close().await, Closed::Clean);
}

/// A signal to a shell that was forked a moment ago can be lost: nothing may wait for its effect.
#[tokio::test]
async fn short_commands_in_a_row_never_hang() {
    for sh in SHELLS {
        let target = target(sh, "cgroup subreaper group");
        for i in 0..200 {
            let (status, out, _) = output(&target, Command::own("short", format!("echo {i}"))).await;
            assert_eq!((status, out), (0, format!("{i}\n")), "{sh}");
        }
        assert_eq!(target.close().await, Closed::Clean, "{sh}");
    }
}

#[tokio::test]
async fn a_stuck_listener_pauses_the_command_and_can_still_cancel() {
    struct Stuck(tokio::sync::watch::Receiver<bool>, u64);
    #[async_trait]
    impl Output for Stuck {
        async fn chunk(&mut self, _: Stream, bytes: &[u8]) {
            self.1 += bytes.len() as u64;
            let _ = self.0.wait_for(|open| *open).await;
        }
    }
    let target = local(Supervision::default());
    let token = token();
    let (open, gate) = tokio::sync::watch::channel(false);
    let (scope, _events) = scope();
    let mut listener = Stuck(gate.clone(), 0);
    let script = format!(": {token}; yes | head -c 100000000");
    let release = async {
        // Stopped: state T, long before the end of the output.
        let stopped = || {
            processes_with(&token).iter().any(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|s| s.rsplit(") ").next().is_some_and(|s| s.starts_with('T')))
            })
        };
        eventually("paused", Duration::from_secs(10), stopped).await;
        open.send_replace(true);
    };
    let command = Command::foreign("yes", script);
    let (exit, ()) = tokio::join!(target.run(&scope, &command, &mut listener), release);
    assert_eq!(exit.unwrap().status, 0);
    assert_eq!(listener.1, 100_000_000);

    open.send_replace(false);
    let cancel = scope.cancel().clone();
    let mut listener = Stuck(gate, 0);
    let command = Command::foreign("yes", format!(": {token}; yes"));
    let ask = async {
        eventually("started", Duration::from_secs(10), || !processes_with(&token).is_empty()).await;
        cancel.ask(CancelReason::Interrupt);
    };
    let (result, ()) = tokio::join!(target.run(&scope, &command, &mut listener), ask);
    assert!(matches!(result, Err(TargetError::Stopped(_))), "{result:?}");
    assert_eq!(processes_with(&token), Vec::<u32>::new());
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn a_cancel_between_a_request_and_its_answer_is_confirmed() {
    for (sh, level, _) in matrix() {
        let target = target(sh, level);
        // The lane is there already, so that the request is on its way when the cancel comes.
        assert_eq!(output(&target, Command::own("one", "true")).await.0, 0);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scratch");
        std::fs::write(&file, "").unwrap();
        let (scope, _events) = scope();
        let cancel = async { scope.cancel().ask(CancelReason::Interrupt) };
        let (registered, ()) = tokio::join!(target.scratch(&scope, file.to_str().unwrap()), cancel);
        // The answer is not waited for, so the cancel may come too late for this request.
        assert!(matches!(registered, Ok(()) | Err(TargetError::Stopped(_))), "{sh} {level}: {registered:?}");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
        assert!(!file.exists(), "{sh} {level}: what was registered is removed all the same");
    }
}

#[tokio::test]
async fn a_cancel_at_the_very_start_of_a_command_ends_it() {
    for (sh, level, _) in matrix() {
        // The weakest level knows those that leave the session by their environment.
        let alone = if level == "group" { "" } else { "env -i " };
        let target = target(sh, level);
        assert_eq!(output(&target, Command::own("one", "true")).await.0, 0);
        for delay in 0..24 {
            let (token, (scope, _events)) = (token(), scope());
            let command =
                Command::foreign("test", format!("trap '' TERM; {alone}setsid sleep {token} & sleep {token}"));
            let cancel = async {
                tokio::time::sleep(Duration::from_micros(250 * delay)).await;
                scope.cancel().ask(CancelReason::Interrupt);
                scope.cancel().harden();
            };
            let mut kept = Captured::default();
            let (ended, ()) = tokio::join!(target.run(&scope, &command, &mut kept), cancel);
            assert!(matches!(ended, Err(TargetError::Stopped(_))), "{sh} {level} {delay}: {ended:?}");
            assert_eq!(processes_with(&token), [] as [u32; 0], "{sh} {level} {delay}");
        }
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
    }
}

/// A way to this machine on which the first word to end a command, and the first to do so without grace, are lost.
struct Forgetful(LocalOpener);

#[async_trait]
impl rbee::target::conduit::Opener for Forgetful {
    async fn open(&self, command: &str) -> Result<rbee::target::conduit::Conduit, TargetError> {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
        let mut conduit = self.0.open(command).await?;
        let (near, far) = tokio::io::duplex(64 << 10);
        let mut stdin = std::mem::replace(&mut conduit.stdin, Box::new(near));
        tokio::spawn(async move {
            let (mut lines, mut lost) = (tokio::io::BufReader::new(far), ["k\n", "K\n"].to_vec());
            let mut line = String::new();
            while matches!(lines.read_line(&mut line).await, Ok(1..)) {
                match lost.iter().position(|word| *word == line) {
                    Some(first) => drop(lost.remove(first)),
                    None if stdin.write_all(line.as_bytes()).await.is_err() => break,
                    None => drop(stdin.flush().await),
                }
                line.clear();
            }
        });
        Ok(conduit)
    }
    async fn ping(&self) -> Result<(), TargetError> {
        Ok(())
    }
    async fn close(&self) {}
}

/// A shell may miss a signal (dash did once in some thousand times): what is not done is said again.
#[tokio::test]
async fn a_cancel_that_is_lost_on_the_way_is_said_again() {
    for sh in SHELLS {
        let shell = shell(sh).to_str().unwrap().to_owned();
        let supervision = Supervision { grace: Duration::from_secs(60), shell, ..Supervision::default() };
        let target = Supervised::new(Forgetful(LocalOpener::default()), supervision);
        let (token, (scope, _events)) = (token(), scope());
        let command = Command::foreign("deaf", format!("trap '' TERM; echo ready; sleep {token} & sleep {token}"));
        let (sender, mut ready) = tokio::sync::watch::channel(false);
        let mut listener = Ready(sender);
        let cancel = async {
            ready.wait_for(|ready| *ready).await.unwrap();
            scope.cancel().ask(CancelReason::Interrupt);
            tokio::time::sleep(Duration::from_millis(100)).await;
            scope.cancel().harden();
            Instant::now()
        };
        let (ended, asked) = tokio::join!(target.run(&scope, &command, &mut listener), cancel);
        assert!(matches!(ended, Err(TargetError::Stopped(_))), "{sh}: {ended:?}");
        assert!(asked.elapsed() < ROOM, "{sh}: {:?}", asked.elapsed());
        assert_eq!(processes_with(&token), [] as [u32; 0], "{sh}");
        assert_eq!(target.close().await, Closed::Clean, "{sh}");
    }
}

/// What is said again in the grace must not make it longer: a shell whose sleep was disturbed slept whole seconds from then on.
#[tokio::test]
async fn a_grace_is_slept_in_short_naps() {
    let folder = tempfile::tempdir().unwrap();
    let (program, slept) = (folder.path().join("sleep"), folder.path().join("slept"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$*\" >>{}\nexec /bin/sleep \"$@\"\n", slept.display()))
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for (sh, level, _) in matrix() {
        std::fs::write(&slept, "").unwrap();
        let opener = LocalOpener { env: vec![("PATH".into(), path.clone())] };
        let (shell, grace) = (shell(sh).to_str().unwrap().to_owned(), Duration::from_millis(1500));
        let target = Supervised::new(opener, Supervision { levels: level, shell, grace, ..Supervision::default() });
        let (scope, _events) = scope();
        let (sender, mut ready) = tokio::sync::watch::channel(false);
        let mut listener = Ready(sender);
        let cancel = async {
            ready.wait_for(|ready| *ready).await.unwrap();
            scope.cancel().ask(CancelReason::Interrupt);
        };
        let deaf = Command::foreign("deaf", "trap '' TERM; echo ready; while :; do /bin/sleep 0.1; done");
        let (ended, ()) = tokio::join!(target.run(&scope, &deaf, &mut listener), cancel);
        assert!(matches!(ended, Err(TargetError::Stopped(_))), "{sh} {level}: {ended:?}");
        assert_eq!(target.close().await, Closed::Clean, "{sh} {level}");
        let slept = std::fs::read_to_string(&slept).unwrap();
        let (naps, long) = (slept.matches("0.05\n").count(), slept.lines().filter(|line| *line == "1").count());
        // BusyBox may have a sleep of its own.
        assert!(long == 0 && (naps > 10 || sh == "busybox" && naps == 0), "{sh} {level}: {slept}");
    }
}

/// A way that carries both directions by one hand, as an SSH library does: while nobody takes what comes, nothing goes.
struct OneHand(LocalOpener);

#[async_trait]
impl rbee::target::conduit::Opener for OneHand {
    async fn open(&self, command: &str) -> Result<rbee::target::conduit::Conduit, TargetError> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut conduit = self.0.open(command).await?;
        let (near, mut words) = tokio::io::duplex(1);
        let (near_out, mut taken) = tokio::io::duplex(4096);
        let mut stdin = Some(std::mem::replace(&mut conduit.stdin, Box::new(near)));
        let mut stdout = std::mem::replace(&mut conduit.stdout, Box::new(near_out));
        tokio::spawn(async move {
            let (mut chunk, mut byte) = ([0; 4096], [0; 1]);
            loop {
                tokio::select! {
                    read = stdout.read(&mut chunk) => match read {
                        Ok(n @ 1..) if taken.write_all(&chunk[..n]).await.is_ok() => {}
                        _ => return,
                    },
                    read = words.read(&mut byte), if stdin.is_some() => {
                        let open = stdin.as_mut().unwrap();
                        if !matches!(read, Ok(1)) || open.write_all(&byte).await.is_err() || open.flush().await.is_err() {
                            stdin = None;
                        }
                    }
                }
            }
        });
        Ok(conduit)
    }
    async fn ping(&self) -> Result<(), TargetError> {
        Ok(())
    }
    async fn close(&self) {}
}

/// A listener that is always too slow has a flood paused and woken again and again, over a connection that is full.
#[tokio::test]
async fn a_flood_can_be_cancelled_over_a_connection_that_is_full() {
    struct Slow;
    #[async_trait]
    impl Output for Slow {
        async fn chunk(&mut self, _: Stream, _: &[u8]) {
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
    let target = Supervised::new(OneHand(LocalOpener::default()), Supervision::default());
    let (token, (scope, _events)) = (token(), scope());
    let cancel = async {
        eventually("started", ROOM, || !processes_with(&token).is_empty()).await;
        // The listener is stuck meanwhile, twice or more.
        tokio::time::sleep(Duration::from_millis(2000)).await;
        scope.cancel().ask(CancelReason::Interrupt);
        Instant::now()
    };
    let command = Command::foreign("flood", format!(": {token}; yes"));
    let mut listener = Slow;
    let both = async { tokio::join!(target.run(&scope, &command, &mut listener), cancel) };
    let (ended, asked) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it hangs");
    assert!(matches!(ended, Err(TargetError::Stopped(_))), "{ended:?}");
    assert!(asked.elapsed() < ROOM, "{:?}", asked.elapsed());
    assert_eq!(processes_with(&token), [] as [u32; 0]);
    assert_eq!(target.close().await, Closed::Clean);
}

/// A connection that ends in the middle of a request: half a script can say something else than the whole one.
#[tokio::test]
async fn half_a_request_is_never_run() {
    use tokio::io::AsyncWriteExt;
    let dir = tempfile::tempdir().unwrap();
    for (sh, level, _) in matrix() {
        let (near, far) = tokio::sync::oneshot::channel();
        let tap = tap::Tap(LocalOpener::default(), std::sync::Mutex::new(Some(near)));
        let shell = shell(sh).to_str().unwrap().to_owned();
        let target = Supervised::new(tap, Supervision { levels: level, shell, ..Supervision::default() });
        assert_eq!(output(&target, Command::own("one", "true")).await.0, 0);
        let file = dir.path().join(format!("{sh}-{level}"));
        let tap = far.await.unwrap();
        let half = format!("r 3\n: >{}\n: >{}", file.display(), file.display());
        tap.lock().await.as_mut().unwrap().write_all(half.as_bytes()).await.unwrap();
        *tap.lock().await = None;
        let _ = target.close().await;
        assert!(!file.exists(), "{sh} {level}");
    }
}

/// Another hand on a lane's stdin.
mod tap {
    use super::*;
    use rbee::target::conduit::{Conduit, Opener};
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

    pub type Stdin = Arc<tokio::sync::Mutex<Option<Box<dyn AsyncWrite + Send + Unpin>>>>;

    pub struct Tap(pub LocalOpener, pub std::sync::Mutex<Option<tokio::sync::oneshot::Sender<Stdin>>>);

    #[async_trait]
    impl Opener for Tap {
        async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
            let Conduit { stdin, stdout, stderr } = self.0.open(command).await?;
            let stdin: Stdin = Arc::new(tokio::sync::Mutex::new(Some(stdin)));
            if let Some(tap) = self.1.lock().unwrap().take() {
                let _ = tap.send(stdin.clone());
            }
            let (near, mut far) = tokio::io::duplex(64 << 10);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = far.read(&mut buffer).await {
                    let Some(stdin) = &mut *stdin.lock().await else { return };
                    if stdin.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Conduit { stdin: Box::new(near), stdout, stderr })
        }
        async fn ping(&self) -> Result<(), TargetError> {
            Ok(())
        }
        async fn close(&self) {}
    }
}
