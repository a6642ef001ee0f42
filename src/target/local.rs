//! The local machine as a target: the same supervisor, over pipes.

use std::{io, process::Stdio};

use async_trait::async_trait;
use tokio::process::Command;

use super::{
    TargetError,
    conduit::{Conduit, Opener},
    supervisor::{Supervised, Supervision},
};
use crate::vocab::HUB_TOKENS;

/// Starts programs here, each in a session of its own, so that a Ctrl+C at the terminal is ours to handle.
///
/// They get this process's environment but for the hub's token, as no host gets that.
#[derive(Debug, Default)]
pub struct LocalOpener {
    /// Home folder and what else differs from this process's environment.
    pub env: Vec<(String, String)>,
}

/// The local machine.
pub fn local(supervision: Supervision) -> Supervised<LocalOpener> {
    Supervised::new(LocalOpener::default(), supervision)
}

#[async_trait]
impl Opener for LocalOpener {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command);
        for name in HUB_TOKENS {
            shell.env_remove(name);
        }
        shell.envs(self.env.iter().map(|(name, value)| (name, value)));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
        unsafe {
            shell.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
        }
        let mut child = shell.spawn().map_err(|error| TargetError::Host(format!("cannot start /bin/sh: {error}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(TargetError::Host("cannot open pipes to /bin/sh".into()));
        };
        // Only to be reaped; its end shows as the end of its streams.
        tokio::spawn(async move { child.wait().await });
        Ok(Conduit { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) })
    }

    async fn ping(&self) -> Result<(), TargetError> {
        Ok(())
    }

    async fn close(&self) {}
}
