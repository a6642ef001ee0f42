//! A running sandbox, from its folder to its end.

use std::{
    fs::File,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Uid, User},
};
use russh::{keys::PrivateKey, server::Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Ended, HostAddress, SandboxError, Toolchain,
    children::Children,
    files::{self, Listed},
    host::{Common, Host},
    hub::{Faults, Hub},
    layout, server,
    state::Record,
};

/// Ports would run out first.
const MOST_HOSTS: usize = 10_000;
/// Connections get to end before the process does.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a sandbox shall be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything of it is; made if it is not there, for this user only.
    pub dir: PathBuf,
    /// How many hosts, 1 to 10,000.
    pub hosts: usize,
    /// Hosts are called PREFIX-1, PREFIX-2 …
    pub prefix: String,
    /// What its commands find of a Rust toolchain.
    pub toolchain: Toolchain,
    /// A model hub beside them, with these faults.
    pub hub: Option<Faults>,
}

impl Options {
    /// Hosts called `sandbox-1` and so on, without a toolchain.
    pub fn new(dir: impl Into<PathBuf>, hosts: usize) -> Self {
        Self { dir: dir.into(), hosts, prefix: "sandbox".to_owned(), toolchain: Toolchain::default(), hub: None }
    }

    fn check(&self) -> Result<(), SandboxError> {
        if self.hosts == 0 || self.hosts > MOST_HOSTS {
            return Err(SandboxError::HostCount { asked: self.hosts, max: MOST_HOSTS });
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let begins = self.prefix.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins || self.prefix.len() > 40 || !self.prefix.bytes().all(plain) {
            return Err(SandboxError::Prefix { prefix: self.prefix.clone() });
        }
        Ok(())
    }
}

/// A sandbox that runs in this process.
///
/// Dropping it stops its listeners and connections, but leaves commands alone: [`Sandbox::shutdown`] ends them.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    hosts: Vec<HostAddress>,
    hub: Option<Hub>,
    children: Arc<Children>,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// Held to the end: it is what keeps a second sandbox out of the folder.
    _lock: File,
}

impl Sandbox {
    /// Makes what the folder lacks, listens for every host, and writes how to reach them.
    ///
    /// # Errors
    /// Options that cannot be, a folder that is in use or not a sandbox's, or what the system refused.
    pub async fn start(mut options: Options) -> Result<Self, SandboxError> {
        options.check()?;
        let hub = options.hub.take();
        let prepared = tokio::task::spawn_blocking(move || prepare(options));
        let Prepared { dir, prefix, user, lock, children, hosts } = match prepared.await {
            Ok(prepared) => prepared?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let tasks = TaskTracker::new();
        let closing = CancellationToken::new();
        let mut listed = Vec::with_capacity(hosts.len());
        let mut addresses = Vec::with_capacity(hosts.len());
        let mut listeners = Vec::with_capacity(hosts.len());
        for (host, key) in hosts {
            let listen = |source| SandboxError::Listen { host: host.name.clone(), source };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listen)?;
            let port = listener.local_addr().map_err(listen)?.port();
            listed.push(Listed { name: host.name.clone(), port, key: key.public_key().clone() });
            addresses.push(HostAddress { name: host.name.clone(), port });
            listeners.push((listener, host, server::config(key)));
        }
        let hub = match hub {
            Some(faults) => {
                let listen = |source| SandboxError::Listen { host: "the hub".to_owned(), source };
                Some(Hub::start(faults).await.map_err(listen)?)
            }
            None => None,
        };
        files::write_all(&dir, &prefix, &user, &listed)?;
        for (listener, host, config) in listeners {
            let config: Arc<Config> = Arc::new(config);
            tasks.spawn(server::serve(listener, config, Arc::new(host), tasks.clone(), closing.clone()));
        }
        let sandbox = Self { dir, hosts: addresses, hub, children, tasks, closing, _lock: lock };
        // Last: whoever reads it finds everything else in place.
        Record::own(sandbox.hosts.clone(), sandbox.hub.as_ref().map(Hub::endpoint)).write(&sandbox.dir)?;
        Ok(sandbox)
    }

    /// The real path of its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// In the order of their numbers.
    pub fn hosts(&self) -> &[HostAddress] {
        &self.hosts
    }

    /// The model hub, if one was asked for.
    pub fn hub(&self) -> Option<&Hub> {
        self.hub.as_ref()
    }

    /// Serves until SIGINT, SIGTERM or SIGHUP, then shuts down.
    ///
    /// # Errors
    /// The signals cannot be waited for; the sandbox has been shut down then.
    pub async fn wait(self) -> Result<Ended, SandboxError> {
        let asked = async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            Ok(())
        };
        let asked: std::io::Result<()> = asked.await;
        let dir = self.dir.clone();
        let ended = self.shutdown().await;
        asked.map_err(SandboxError::file("wait for signals in", dir)).map(|()| ended)
    }

    /// Accepts and starts nothing more, ends all commands and what they left behind (TERM, after 500 ms KILL), then
    /// the connections.
    pub async fn shutdown(self) -> Ended {
        let ended = self.children.end(&self.dir).await;
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections are still there");
        }
        ended
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.closing.cancel();
        Record::remove(&self.dir);
    }
}

/// All that blocks, done.
struct Prepared {
    dir: PathBuf,
    prefix: String,
    user: String,
    lock: File,
    children: Arc<Children>,
    hosts: Vec<(Host, PrivateKey)>,
}

fn prepare(options: Options) -> Result<Prepared, SandboxError> {
    let Options { dir, hosts, prefix, toolchain, hub: _ } = options;
    let dir = layout::prepare(&dir)?;
    let Some(lock) = layout::lock(&dir)? else {
        return Err(match Record::read(&dir)? {
            Some(record) => SandboxError::Running { dir, pid: record.pid, hosts: record.hosts.len() },
            None => SandboxError::Busy { dir },
        });
    };
    // One that was killed could not do it.
    Record::remove(&dir);

    let path = layout::user_key(&dir);
    let key = layout::key(&path, "rbee sandbox")?;
    let public = key.public_key().to_openssh().map_err(|e| SandboxError::Key { path, why: e.to_string() })?;
    layout::write(&dir.join("id_ed25519.pub"), &format!("{public}\n"), 0o600)?;

    let common = Common {
        user: user(),
        toolchain,
        file_limit: raise_file_limit(),
        authorized: key.public_key().clone(),
        children: Arc::default(),
    };
    let hosts = (1..=hosts).map(|number| {
        let host = Host::new(&dir, &format!("{prefix}-{number}"), &common);
        host.make_folders().map_err(SandboxError::file("create the folders of", layout::host(&dir, &host.name)))?;
        let key = layout::key(&layout::host(&dir, &host.name).join("host_ed25519"), &host.name)?;
        Ok((host, key))
    });
    let hosts = hosts.collect::<Result<_, SandboxError>>()?;
    Ok(Prepared { dir, prefix, user: common.user, lock, children: common.children, hosts })
}

/// The account's name, so that `id -un` agrees; it goes into files that quote nothing, hence the check.
fn user() -> String {
    let plain = |name: &String| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !name.is_empty() && !name.starts_with('-') && name.bytes().all(allowed)
    };
    let found = User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
    found.filter(plain).unwrap_or_else(|| "sandbox".to_owned())
}

/// Allows this process as many open files as it may have, and returns what it was allowed before.
fn raise_file_limit() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard
        && let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!(soft, hard, error = %e, "limit of open files stays");
    }
    Some((soft, hard))
}
