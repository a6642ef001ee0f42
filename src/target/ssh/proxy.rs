//! A `ProxyCommand`: a program whose stdin and stdout are the connection.
//!
//! # Theory of operation
//! The command runs in a session of its own, so that a Ctrl+C at the terminal does not end it before the connection, and
//! so that it cannot ask the terminal for anything. Dropping the stream ends its whole group: a hang-up, as from
//! OpenSSH, then a moment, then a kill. What it writes to stderr goes to the trace, and its last lines are kept for the
//! sentence that says why there is no connection.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::watch,
};

use crate::vocab::text::plain_line;

/// Between the hang-up and the kill.
const GRACE: Duration = Duration::from_millis(500);
/// How many last lines are kept, and how long one may be.
const LINES: usize = 3;
const LINE_LIMIT: usize = 400;
/// How long the last words of an ended command are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The streams of the command; dropping them ends it.
pub(super) struct ProxyStream {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Never empty until the drop.
    group: Option<Group>,
}

/// What the command said on stderr.
#[derive(Clone)]
pub(super) struct Words {
    lines: Arc<Mutex<VecDeque<String>>>,
    ended: watch::Receiver<bool>,
}

/// Starts `command` by the user's shell, or by `/bin/sh`.
///
/// # Errors
/// No shell could be started.
pub(super) fn start(shell: &Path, command: &str) -> io::Result<(ProxyStream, Words)> {
    let script = format!("exec {command}");
    let mut child = match spawn(shell, &script) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => spawn(Path::new("/bin/sh"), &script)?,
        spawned => spawned?,
    };
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("its pipes cannot be opened"));
    };
    let (ended, is_over) = watch::channel(false);
    let words = Words { lines: Arc::default(), ended: is_over };
    tokio::spawn(listen(stderr, words.lines.clone(), ended));
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(|id| Group { child, id: Pid::from_raw(id) });
    Ok((ProxyStream { stdin: Some(stdin), stdout, group }, words))
}

fn spawn(shell: &Path, script: &str) -> io::Result<Child> {
    let mut command = Command::new(shell);
    command.arg("-c").arg(script).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
    command.spawn()
}

async fn listen(mut stderr: ChildStderr, lines: Arc<Mutex<VecDeque<String>>>, ended: watch::Sender<bool>) {
    let (mut buffer, mut line) = ([0; 1024], Vec::new());
    let say = |line: &mut Vec<u8>| {
        let text = plain_line(&String::from_utf8_lossy(line));
        line.clear();
        if text.trim().is_empty() {
            return;
        }
        tracing::debug!(target: "rbee::proxy_command", "{text}");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(text.trim().to_owned());
    };
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for &byte in &buffer[..count] {
            match byte {
                b'\n' => say(&mut line),
                _ if line.len() < LINE_LIMIT => line.push(byte),
                _ => {}
            }
        }
    }
    say(&mut line);
    let _ = ended.send(true);
}

impl Words {
    /// The last lines, waiting a moment for an ended command to finish them; `None` if it was silent.
    pub(super) async fn last(mut self) -> Option<String> {
        let _ = tokio::time::timeout(LAST_WORDS, self.ended.wait_for(|over| *over)).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (!lines.is_empty()).then(|| lines.iter().map(String::as_str).collect::<Vec<_>>().join("; "))
    }
}

/// The command's processes. The leader is reaped only when the group was told to end, so that its id is still its own.
struct Group {
    child: Child,
    id: Pid,
}

impl Group {
    async fn end(mut self) {
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(self.id, Signal::SIGKILL);
    }
}

impl Drop for ProxyStream {
    fn drop(&mut self) {
        let Some(group) = self.group.take() else { return };
        let _ = killpg(group.id, Signal::SIGHUP);
        // Without a runtime there is no moment to wait: the group is killed at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(group.end());
        }
    }
}

impl AsyncRead for ProxyStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for ProxyStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only closing a pipe ends it.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
