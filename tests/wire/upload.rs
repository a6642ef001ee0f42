//! Uploads over a long wire: several channels, one file, and nothing of it left when it fails.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rbee::{
    scope::{CancelReason, Stop},
    target::{Captured, Closed, Command, Target, TargetError, supervisor::Supervision},
    transfer::{FileSource, file_digest, upload},
};

use crate::{
    Far,
    support::{eventually, scope},
};

const LONG: Duration = Duration::from_millis(60);
/// Room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file of so many bytes that no two places of it are alike.
fn payload(far: &Far, size: usize) -> (PathBuf, Vec<u8>) {
    let path = far.lab.dir().join("payload");
    let mut bytes = vec![0; size];
    rand::Rng::fill(&mut rand::rng(), &mut bytes[..]);
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

/// Where it goes: a folder of its own, to see all that is left there.
fn part(far: &Far) -> PathBuf {
    let folder = far.lab.dir().join("it's a folder");
    fs::create_dir_all(&folder).unwrap();
    folder.join(".x.part")
}

fn left(part: &Path) -> Vec<PathBuf> {
    fs::read_dir(part.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Shells and writers of ours on the host.
fn receivers(far: &Far) -> Vec<String> {
    let pids = far.lab.sshd("far").descendants();
    let arguments = |pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let lines = pids.into_iter().map(|pid| String::from_utf8_lossy(&arguments(pid)).replace('\0', " "));
    lines.filter(|line| line.contains("IFS= read") || line.starts_with("dd ") || line.starts_with("cat")).collect()
}

/// Sessions that the server has started so far.
fn sessions(far: &Far) -> usize {
    far.lab.sshd("far").log().matches("Starting session: command").count()
}

async fn ready(digest: rbee::vocab::Digest) -> Result<rbee::vocab::Digest, String> {
    Ok(digest)
}

#[tokio::test]
async fn a_file_goes_over_several_channels_and_is_whole() {
    let far = Far::new(LONG);
    let target = far.target(Supervision::default()).await;
    let (scope, _events) = scope();
    // A share's end is no block's end, and the last one is short.
    for (size, channels) in [(21_000_003, 2..), (9 << 20, 2..), (3_000_000, 1..), (1, 1..), (0, 1..)] {
        let (payload, bytes) = payload(&far, size);
        let (part, want) = (part(&far), file_digest(&payload).await.unwrap().0);
        let before = sessions(&far);
        let mut source = FileSource::open(&payload).unwrap();
        upload(&scope, &target, part.to_str().unwrap(), &mut source, ready(want)).await.unwrap();
        let used = sessions(&far) - before - usize::from(before == 0);
        assert!(channels.contains(&used), "{size} bytes took {used} channels");
        assert!(fs::read(&part).unwrap() == bytes, "{size} bytes are not the same");
        assert_eq!(fs::metadata(&part).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&part).unwrap();
    }
    assert_eq!(target.close().await, Closed::Clean);
    assert_eq!(left(&part(&far)), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_server_with_few_sessions_gets_what_it_allows() {
    for (allowed, size) in [(2, 9 << 20), (3, 12 << 20)] {
        let far = Far::with(LONG, &[&format!("MaxSessions {allowed}")]);
        let target = far.target(Supervision::default()).await;
        let (scope, _events) = scope();
        let (payload, bytes) = payload(&far, size);
        let (part, want) = (part(&far), file_digest(&payload).await.unwrap().0);
        let mut source = FileSource::open(&payload).unwrap();
        upload(&scope, &target, part.to_str().unwrap(), &mut source, ready(want)).await.unwrap();
        assert!(fs::read(&part).unwrap() == bytes);
        assert_eq!(target.close().await, Closed::Clean);
        assert_eq!(left(&part), Vec::<PathBuf>::new(), "the part is not moved away, so it goes");
    }
}

/// Starts an upload, waits until several writers are at it, and does something to it.
async fn disturbed(
    far: &Far,
    supervision: Supervision,
    disturb: impl FnOnce(),
) -> (Result<Option<rbee::vocab::Digest>, TargetError>, Closed) {
    let target = far.target(supervision).await;
    let (scope, _events) = scope();
    let (payload, _) = payload(far, 30_000_000);
    let part = part(far);
    // So that it is met in its middle.
    far.wire.narrow(4_000_000);
    let mut source = FileSource::open(&payload).unwrap();
    let put = target.put(&scope, part.to_str().unwrap(), &mut source);
    let watch = async {
        let writers = || receivers(far).iter().filter(|line| line.starts_with("dd ")).count();
        eventually("several writers", PATIENCE, || writers() > 1 && far.wire.sent() > 4_000_000).await;
        disturb();
    };
    let (put, ()) = tokio::join!(put, watch);
    (put, target.close().await)
}

#[tokio::test]
async fn a_cut_wire_leaves_no_part_and_no_process() {
    let far = Far::new(LONG);
    let supervision = Supervision { lease: Duration::from_secs(2), ..Supervision::default() };
    let part = part(&far);
    let disturb = || far.wire.cut();
    let wire = async {
        // The host does it by itself: nothing passes until it is clean.
        eventually("writers", PATIENCE, || receivers(&far).iter().any(|line| line.starts_with("dd "))).await;
        eventually("a clean host", PATIENCE, || left(&part).is_empty() && receivers(&far).is_empty()).await;
        far.wire.reset();
        far.wire.resume();
    };
    let ((put, closed), ()) = tokio::join!(disturbed(&far, supervision, disturb), wire);
    assert!(matches!(put, Err(TargetError::Lost(_))), "{put:?}");
    assert!(matches!(closed, Closed::Unconfirmed(_)), "{closed:?}");
}

#[tokio::test]
async fn a_cancel_leaves_no_part_and_no_process() {
    let far = Far::new(LONG);
    let target = far.target(Supervision::default()).await;
    let (scope, _events) = scope();
    let (payload, _) = payload(&far, 30_000_000);
    let part = part(&far);
    far.wire.narrow(4_000_000);
    let mut source = FileSource::open(&payload).unwrap();
    let put = target.put(&scope, part.to_str().unwrap(), &mut source);
    let cancel = async {
        eventually("a part", PATIENCE, || far.wire.sent() > 4_000_000).await;
        assert!(!receivers(&far).is_empty());
        scope.cancel().ask(CancelReason::Interrupt);
    };
    let (put, ()) = tokio::join!(put, cancel);
    assert!(matches!(put, Err(TargetError::Stopped(Stop::Cancelled(_)))), "{put:?}");
    assert_eq!(left(&part), Vec::<PathBuf>::new());
    let writers = receivers(&far).into_iter().filter(|line| line.starts_with("dd ")).collect::<Vec<_>>();
    assert_eq!(writers, Vec::<String>::new());
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn one_writer_that_dies_fails_the_upload_and_nothing_stays() {
    let far = Far::new(LONG);
    let part = part(&far);
    let kill = || {
        let pids = far.lab.sshd("far").descendants();
        let is_writer = |pid: &nix::unistd::Pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"dd\0"))
        };
        let writer = pids.into_iter().find(is_writer).unwrap();
        nix::sys::signal::kill(writer, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    let (put, closed) = disturbed(&far, Supervision::default(), kill).await;
    assert!(matches!(put, Err(TargetError::Host(_))), "{put:?}");
    assert_eq!((closed, left(&part)), (Closed::Clean, vec![]));
    eventually("no receiver", PATIENCE, || receivers(&far).is_empty()).await;
}

#[tokio::test]
async fn a_share_that_arrives_changed_is_noticed() {
    let far = Far::new(LONG);
    // What bash, the login shell here, reads even for a command; elsewhere the file is just not changed.
    let tools = far.lab.dir().join("tools");
    fs::create_dir_all(&tools).unwrap();
    let real = if Path::new("/bin/dd").exists() { "/bin/dd" } else { "/usr/bin/dd" };
    let script =
        format!("#!/bin/sh\ncase $* in *of=*seek=0*) tr '\\000' '\\001' | {real} \"$@\" ;; *) {real} \"$@\" ;; esac\n");
    fs::write(tools.join("dd"), script).unwrap();
    fs::set_permissions(tools.join("dd"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(far.lab.sshd("far").home.join(".bashrc"), format!("PATH={}:$PATH\n", tools.display())).unwrap();
    let target = far.target(Supervision::default()).await;
    let (scope, _events) = scope();
    let mut which = Captured::default();
    target.run(&scope, &Command::own("which", "command -v dd"), &mut which).await.unwrap();
    assert_eq!(which.text().trim(), tools.join("dd").to_str().unwrap(), "the stage is not set");
    let (payload, _) = payload(&far, 9 << 20);
    let part = part(&far);
    let mut source = FileSource::open(&payload).unwrap();
    let put = target.put(&scope, part.to_str().unwrap(), &mut source).await;
    let error = put.unwrap_err().to_string();
    assert!(error.starts_with("bytes 0 to ") && error.contains("did not arrive"), "{error}");
    assert_eq!((target.close().await, left(&part)), (Closed::Clean, vec![]));
}

#[tokio::test]
async fn a_narrow_and_long_wire_lets_beats_through() {
    let far = Far::new(LONG);
    let target = far.target(Supervision { lease: Duration::from_secs(5), ..Supervision::default() }).await;
    let (scope, _events) = scope();
    let (payload, bytes) = payload(&far, 9 << 20);
    let (part, want) = (part(&far), file_digest(&payload).await.unwrap().0);
    let mut none = Captured::default();
    target.run(&scope, &Command::own("first", "true"), &mut none).await.unwrap();
    far.wire.narrow(1_000_000);
    let mut source = FileSource::open(&payload).unwrap();
    // A command beside it has nothing but its beats to live by.
    let command = Command::foreign("sleep", "sleep 8; echo alive");
    let mut said = Captured::default();
    let (sent, ran) = tokio::join!(
        upload(&scope, &target, part.to_str().unwrap(), &mut source, ready(want)),
        target.run(&scope, &command, &mut said)
    );
    sent.unwrap();
    assert_eq!((ran.unwrap().status, said.text().as_str()), (0, "alive\n"));
    assert!(fs::read(&part).unwrap() == bytes);
    assert_eq!(target.close().await, Closed::Clean);
}
