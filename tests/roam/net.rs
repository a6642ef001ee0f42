//! A network to this machine that can be cut in every way.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use rbee::{
    target::{
        TargetError,
        conduit::{Conduit, Opener},
        local::LocalOpener,
        roam::Dial,
    },
    vocab::Reason,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nobody hears of it; what is under way is swallowed.
    Silent,
    /// The same, but what is under way arrives at last, late and out of place ([`Net::release`]).
    Held,
    /// Both ends hear of it.
    Reset,
}

pub struct Net {
    home: LocalOpener,
    up: tokio::sync::watch::Sender<bool>,
    present: Mutex<Vec<Arc<Connection>>>,
    held: Mutex<Vec<Arc<Connection>>>,
    left: Arc<AtomicI64>,
    dials: AtomicU64,
}

struct Connection {
    inner: LocalOpener,
    reset: CancellationToken,
    silent: CancellationToken,
    late: CancellationToken,
    /// Bytes until a connection breaks by itself.
    left: Arc<AtomicI64>,
}

impl Net {
    pub fn new(home: &Path) -> Self {
        Self {
            home: LocalOpener { env: env(home) },
            up: tokio::sync::watch::Sender::new(true),
            present: Mutex::default(),
            held: Mutex::default(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
            dials: AtomicU64::new(0),
        }
    }

    pub fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }

    pub fn cut(&self, how: Cut) {
        self.up.send_replace(false);
        for connection in self.present.lock().unwrap().drain(..) {
            match how {
                Cut::Reset => connection.reset.cancel(),
                Cut::Silent => connection.silent.cancel(),
                Cut::Held => {
                    connection.silent.cancel();
                    self.held.lock().unwrap().push(connection);
                }
            }
        }
    }

    /// There is a way again, for new connections.
    pub fn mend(&self) {
        self.up.send_replace(true);
    }

    /// What was held back arrives.
    pub fn release(&self) {
        for connection in self.held.lock().unwrap().drain(..) {
            connection.late.cancel();
        }
    }

    pub fn break_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    pub fn break_never(&self) {
        self.break_after(i64::MAX);
    }
}

fn env(home: &Path) -> Vec<(String, String)> {
    let home = home.to_str().unwrap();
    vec![("HOME".into(), home.into()), ("XDG_CACHE_HOME".into(), format!("{home}/.cache"))]
}

#[async_trait]
impl Dial for Net {
    async fn dial(&self) -> Result<Arc<dyn Opener>, TargetError> {
        if !*self.up.borrow() {
            return Err(TargetError::connect(Reason::Connect, "the network is down"));
        }
        self.dials.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            inner: LocalOpener { env: self.home.env.clone() },
            reset: CancellationToken::new(),
            silent: CancellationToken::new(),
            late: CancellationToken::new(),
            left: self.left.clone(),
        });
        self.present.lock().unwrap().push(connection.clone());
        Ok(Arc::new(Handle(connection)))
    }
}

struct Handle(Arc<Connection>);

impl Connection {
    fn through<R, W>(self: &Arc<Self>, mut from: R, mut to: W)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let connection = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let n = tokio::select! {
                    biased;
                    () = connection.reset.cancelled() => return,
                    () = connection.silent.cancelled() => break,
                    read = from.read(&mut buffer) => match read { Ok(n @ 1..) => n, _ => return },
                };
                if connection.left.fetch_sub(n as i64, Ordering::Relaxed) < n as i64 {
                    connection.left.store(i64::MAX, Ordering::Relaxed);
                    let half = n / 2;
                    let _ = to.write_all(&buffer[..half]).await;
                    connection.reset.cancel();
                    return;
                }
                tokio::select! {
                    biased;
                    () = connection.reset.cancelled() => return,
                    written = to.write_all(&buffer[..n]) => if written.is_err() { return },
                }
            }
            // Both ends stay open, and what was on its way may come yet.
            connection.late.cancelled().await;
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                if to.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[async_trait]
impl Opener for Handle {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        let connection = &self.0;
        if connection.silent.is_cancelled() {
            std::future::pending::<()>().await;
        }
        if connection.reset.is_cancelled() {
            return Err(TargetError::Lost("reset".into()));
        }
        let Conduit { stdin, stdout, stderr } = connection.inner.open(command).await?;
        let (near, far) = tokio::io::duplex(64 << 10);
        connection.through(far, stdin);
        let (near_out, far_out) = tokio::io::duplex(64 << 10);
        connection.through(stdout, far_out);
        let (near_err, far_err) = tokio::io::duplex(64 << 10);
        connection.through(stderr, far_err);
        Ok(Conduit { stdin: Box::new(near), stdout: Box::new(near_out), stderr: Box::new(near_err) })
    }

    async fn lost(&self) -> TargetError {
        self.0.reset.cancelled().await;
        TargetError::Lost("reset".into())
    }

    async fn ping(&self) -> Result<(), TargetError> {
        tokio::select! {
            () = self.0.reset.cancelled() => Err(TargetError::Lost("reset".into())),
            () = async { if self.0.silent.is_cancelled() { std::future::pending().await } } => Ok(()),
        }
    }

    async fn close(&self) {}
}
