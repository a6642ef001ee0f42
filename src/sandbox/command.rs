//! One command of a host, from its start to its channel's end.
//!
//! # Theory of operation
//! A command gets pipes and a session of its own. Its end is told once what it wrote is sent; its outputs close the channel.
//! These differ when something in the background still holds an output: then the status goes out when the outputs have
//! been quiet for [`QUIET`], and the channel stays, as with OpenSSH. When the client is gone, the pipes are closed and
//! the command is left alone.

use std::{
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::{resource::Resource, signal::Signal},
    unistd::setsid,
};
use russh::Sig;
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe,
    process::{Child, Command},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{host::Host, inlet::Inlet, outlet::Outlet};

/// How long outputs that did not close are watched for what was written before the end.
const QUIET: Duration = Duration::from_millis(50);
/// SSH_EXTENDED_DATA_STDERR of RFC 4254 §5.2.
const STDERR: u32 = 1;

/// A command that runs, with our ends of its pipes.
#[derive(Debug)]
pub(super) struct Started {
    /// Its process, its session and its group.
    pub(super) pid: i32,
    host: Arc<Host>,
    child: Child,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

/// Starts `line` by `/bin/sh -c`; without one, a shell that reads its commands from stdin.
///
/// # Errors
/// What the system says: no process, no file descriptor, a NUL in the line.
pub(super) fn start(host: &Arc<Host>, line: Option<&[u8]>, connection: &str) -> io::Result<Started> {
    let (stdin, child_in) = pipe::pipe()?;
    let (child_out, stdout) = pipe::pipe()?;
    let (child_err, stderr) = pipe::pipe()?;
    // Whoever removed them meant their content.
    host.make_folders()?;
    let mut command = Command::new("/bin/sh");
    if let Some(line) = line {
        command.arg("-c").arg(OsStr::from_bytes(line));
    }
    command
        .env_clear()
        .envs(host.environment.iter().map(|(name, value)| (name, value)))
        .env("SSH_CONNECTION", connection)
        .current_dir(&host.home)
        .stdin(Stdio::from(child_in.into_blocking_fd()?))
        .stdout(Stdio::from(child_out.into_blocking_fd()?))
        .stderr(Stdio::from(child_err.into_blocking_fd()?));
    let files = host.file_limit;
    // SAFETY: runs between fork and exec, and does nothing but two system calls that are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            if let Some((soft, hard)) = files {
                nix::sys::resource::setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
            }
            Ok(())
        });
    }
    host.children.start(|| {
        let child = command.spawn()?;
        // Not polled yet, so it has its number.
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        Ok((pid, Started { pid, host: Arc::clone(host), child, stdin, stdout, stderr }))
    })
}

impl Started {
    /// Moves everything both ways until the command has ended and its outputs are closed, then closes the channel.
    pub(super) async fn run(self, inlet: Inlet, outlet: Outlet) {
        let Self { pid, host, mut child, stdin, stdout, stderr } = self;
        let exited = CancellationToken::new();
        let settled = || async {
            exited.cancelled().await;
            tokio::time::sleep(QUIET).await;
        };
        let (stdout_drained, stdout_is_drained) = oneshot::channel();
        let (stderr_drained, stderr_is_drained) = oneshot::channel();

        let input = async {
            tokio::select! {
                () = exited.cancelled() => {}
                () = feed(inlet, stdin) => {}
            }
        };
        let status = async {
            let status = child.wait().await;
            host.children.reaped(pid);
            exited.cancel();
            // Never sent to: that they are dropped is the news.
            let _ = stdout_is_drained.await;
            let _ = stderr_is_drained.await;
            if let Ok(status) = status {
                tell(&outlet, status).await;
            }
        };
        tokio::join!(
            input,
            outlet.carry(None, stdout, settled(), Some(stdout_drained)),
            outlet.carry(Some(STDERR), stderr, settled(), Some(stderr_drained)),
            status,
        );
        outlet.end().await;
        outlet.close().await;
    }
}

/// Ends, and closes stdin, at the client's end of file or when the command has closed it.
async fn feed(mut inlet: Inlet, mut stdin: pipe::Sender) {
    while let Some(data) = inlet.next().await {
        if stdin.write_all(&data).await.is_err() {
            return;
        }
    }
}

async fn tell(outlet: &Outlet, status: ExitStatus) {
    match (status.code(), status.signal()) {
        (Some(code), _) => outlet.exit_status(u32::try_from(code).unwrap_or(255)).await,
        (None, Some(signal)) => outlet.exit_signal(name(signal), status.core_dumped()).await,
        (None, None) => {}
    }
}

/// The name without SIG, as RFC 4254 §6.10 has it.
fn name(signal: i32) -> Sig {
    match Signal::try_from(signal).map(|s| s.as_str().trim_start_matches("SIG")) {
        Ok("ABRT") => Sig::ABRT,
        Ok("ALRM") => Sig::ALRM,
        Ok("FPE") => Sig::FPE,
        Ok("HUP") => Sig::HUP,
        Ok("ILL") => Sig::ILL,
        Ok("INT") => Sig::INT,
        Ok("KILL") => Sig::KILL,
        Ok("PIPE") => Sig::PIPE,
        Ok("QUIT") => Sig::QUIT,
        Ok("SEGV") => Sig::SEGV,
        Ok("TERM") => Sig::TERM,
        Ok("USR1") => Sig::USR1,
        Ok(other) => Sig::Custom(other.to_owned()),
        Err(_) => Sig::Custom(format!("{signal}@unknown")),
    }
}

/// The signal that a client asks for.
pub(super) fn signal(asked: &Sig) -> Option<Signal> {
    Some(match asked {
        Sig::ABRT => Signal::SIGABRT,
        Sig::ALRM => Signal::SIGALRM,
        Sig::FPE => Signal::SIGFPE,
        Sig::HUP => Signal::SIGHUP,
        Sig::ILL => Signal::SIGILL,
        Sig::INT => Signal::SIGINT,
        Sig::KILL => Signal::SIGKILL,
        Sig::PIPE => Signal::SIGPIPE,
        Sig::QUIT => Signal::SIGQUIT,
        Sig::SEGV => Signal::SIGSEGV,
        Sig::TERM => Signal::SIGTERM,
        Sig::USR1 => Signal::SIGUSR1,
        Sig::Custom(name) => format!("SIG{name}").parse().ok()?,
    })
}
