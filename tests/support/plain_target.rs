//! A target without supervision, for tests of what is above it: `/bin/sh -c` here, and files written here.

use std::process::Stdio;

use async_trait::async_trait;
use rbee::{
    scope::Scope,
    target::{Closed, Command, Containment, Exit, Output, Source, Target, TargetError},
    vocab::{Digest, Stream},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs everything on this machine, with the environment of the test and what is added to it.
#[derive(Default)]
pub struct PlainTarget {
    pub variables: Vec<(String, String)>,
}

#[async_trait]
impl Target for PlainTarget {
    async fn run(&self, scope: &Scope, command: &Command, output: &mut dyn Output) -> Result<Exit, TargetError> {
        let host = |error: std::io::Error| TargetError::Host(error.to_string());
        let mut child = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(&command.script)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(host)?;
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both were asked for");
        };
        let status = scope
            .race(async {
                let (mut out, mut err) = (vec![0; 8192], vec![0; 8192]);
                let (mut out_open, mut err_open) = (true, true);
                while out_open || err_open {
                    tokio::select! {
                        n = stdout.read(&mut out), if out_open => out_open = pass(Stream::Stdout, n, &out, output).await,
                        n = stderr.read(&mut err), if err_open => err_open = pass(Stream::Stderr, n, &err, output).await,
                    }
                }
                child.wait().await
            })
            .await?
            .map_err(host)?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let status = status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
        Ok(Exit { status, containment: Containment::Group })
    }

    async fn put(&self, _scope: &Scope, path: &str, source: &mut dyn Source) -> Result<Option<Digest>, TargetError> {
        let host = |error: std::io::Error| TargetError::Host(error.to_string());
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path).await.map_err(host)?;
        let mut written = 0;
        loop {
            let chunk = source.next().await.map_err(|error| TargetError::Local(error.to_string()))?;
            if chunk.is_empty() {
                break;
            }
            written += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(host)?;
        }
        assert_eq!(written, source.size(), "a source yields as much as it promised");
        file.flush().await.map_err(host)?;
        Ok(None)
    }

    async fn scratch(&self, _scope: &Scope, _path: &str) -> Result<(), TargetError> {
        Ok(())
    }

    async fn cleanup(&self, _scope: &Scope, _script: &str) -> Result<(), TargetError> {
        Ok(())
    }

    async fn close(&self) -> Closed {
        Closed::Clean
    }
}

async fn pass(stream: Stream, read: std::io::Result<usize>, buffer: &[u8], output: &mut dyn Output) -> bool {
    match read {
        Ok(0) | Err(_) => false,
        Ok(n) => {
            output.chunk(stream, &buffer[..n]).await;
            true
        }
    }
}
