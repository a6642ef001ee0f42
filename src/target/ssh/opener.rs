//! An open connection, and the programs that are started over it.
//!
//! # Theory of operation
//! A server allows a connection only so many sessions (MaxSessions). One of ours that has just ended frees its place a
//! little late, so a refusal is tried again for a moment. A refusal that stays, while sessions of ours are open, is the
//! server's limit: it is kept in mind, and a *further connection* to the same host carries what does not fit. All that
//! is known above is one [`Opener`]; closing it closes them all.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use russh::{
    Channel, ChannelOpenFailure, Disconnect,
    client::{Handle, Msg},
};
use tokio::{
    sync::{Mutex, Semaphore, oneshot},
    time::Instant,
};

use super::{
    channel,
    client::{Client, Fate},
};
use crate::target::{
    TargetError,
    conduit::{Carried, Conduit, Opener},
};

/// Programs at a time: a server allows ten sessions, and frees one a little late.
const CHANNELS: usize = 9;
/// How long a server that has no free session is asked again, and how often.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long, if another connection may be made instead.
const BUSY_MOMENT: Duration = Duration::from_millis(300);
/// Bytes that may wait here for their readers.
const BACKLOG: usize = 32 << 20;
/// How long the end of a connection is waited for.
const GOODBYE: Duration = Duration::from_secs(2);

/// A connection that is logged in.
#[derive(Clone)]
pub struct SshConnection(Arc<Inner>);

/// Makes another connection to the same host.
pub(super) type Another =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<SshConnection, TargetError>> + Send>> + Send + Sync>;

struct Inner {
    handle: Handle<Client>,
    fate: Fate,
    channels: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// Asked for on each channel.
    env: Box<[(String, String)]>,
    /// Open here, and how many of them the server allows as far as we know.
    sessions: Arc<AtomicUsize>,
    limit: AtomicUsize,
    another: OnceLock<Another>,
    /// The shortest time between asking for a channel and having it.
    round_trip: std::sync::Mutex<Option<Duration>>,
    /// Locked while one is made, so that no two are made for the same want.
    further: Mutex<Vec<SshConnection>>,
}

/// Counts as a session until it is dropped.
struct Session(Arc<AtomicUsize>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SshConnection {
    pub(super) fn new(handle: Handle<Client>, fate: Fate, env: &[(String, String)]) -> Self {
        Self(Arc::new(Inner {
            handle,
            fate,
            channels: Arc::new(Semaphore::new(CHANNELS)),
            room: Arc::new(Semaphore::new(BACKLOG)),
            env: env.into(),
            sessions: Arc::default(),
            limit: AtomicUsize::new(usize::MAX),
            another: OnceLock::new(),
            round_trip: Default::default(),
            further: Mutex::default(),
        }))
    }

    /// From now on, `another` makes further connections where the server allows too few sessions on this one.
    pub(super) fn growing(self, another: Another) -> Self {
        let _ = self.0.another.set(another);
        self
    }

    pub(super) fn handle(&self) -> &Handle<Client> {
        &self.0.handle
    }

    pub(super) fn fate(&self) -> &Fate {
        &self.0.fate
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.handle.is_closed()
    }

    async fn opened(&self, command: &str, carried: Option<Carried>) -> Result<Conduit, TargetError> {
        // In a task of its own: a channel whose opener was cancelled halfway must be closed again, not forgotten.
        let (inner, command) = (self.0.clone(), command.to_owned());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let _ = sender.send(inner.open(&command, carried).await);
        });
        receiver.await.unwrap_or_else(|_| Err(self.0.fate.lost()))
    }

    /// What is to be said about the host's key, though it was let pass.
    pub fn warnings(&self) -> &[String] {
        self.0.fate.warnings()
    }

    /// Ends when the connection has, with the reason.
    pub async fn lost(&self) -> TargetError {
        self.0.fate.over().await;
        self.0.fate.lost()
    }
}

impl Inner {
    async fn open(&self, command: &str, carried: Option<Carried>) -> Result<Conduit, TargetError> {
        let permit = tokio::select! {
            // The semaphore is never closed.
            permit = self.channels.clone().acquire_owned() => permit.ok(),
            () = self.fate.over() => return Err(self.fate.lost()),
        };
        let patience = if self.another.get().is_some() { BUSY_MOMENT } else { BUSY_LIMIT };
        match self.session(patience).await? {
            Ok((channel, session)) => self.start(channel, command, carried, (permit, session)).await,
            Err(refused) => self.open_further(command, carried, permit, refused).await,
        }
    }

    /// As `open`, on this connection alone, and without waiting for anything but the server's answer.
    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        // One is left to whoever may need a lane meanwhile.
        if self.channels.available_permits() < 2
            || self.sessions.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
        {
            return Ok(None);
        }
        let Ok(permit) = self.channels.clone().try_acquire_owned() else { return Ok(None) };
        match self.handle.channel_open_session().await {
            Ok(channel) => self.start(channel, command, None, (permit, self.counted())).await.map(Some),
            Err(russh::Error::ChannelOpenFailure(_)) => Ok(None),
            Err(_) => Err(self.lost().await),
        }
    }

    fn counted(&self) -> Session {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Session(self.sessions.clone())
    }

    /// Opens on one of the further connections, or on a new one.
    async fn open_further(
        &self,
        command: &str,
        carried: Option<Carried>,
        permit: impl Send + 'static,
        refused: TargetError,
    ) -> Result<Conduit, TargetError> {
        let Some(another) = self.another.get() else { return Err(refused) };
        let mut further = self.further.lock().await;
        further.retain(|connection| !connection.is_closed());
        for connection in &*further {
            if let Ok((channel, session)) = connection.0.session(BUSY_MOMENT).await? {
                return connection.0.start(channel, command, carried, (permit, session)).await;
            }
        }
        // With one session each, as many connections as programs.
        if further.len() >= CHANNELS {
            return Err(refused);
        }
        let connection = another().await?;
        let (channel, session) = connection.0.session(BUSY_LIMIT).await??;
        further.push(connection.clone());
        connection.0.start(channel, command, carried, (permit, session)).await
    }

    /// A new session on this connection, or the server's refusal.
    async fn session(&self, patience: Duration) -> Result<Result<(Channel<Msg>, Session), TargetError>, TargetError> {
        let refused = |why: &str| {
            TargetError::Host(format!("the host refused to open another session ({why}); see its MaxSessions"))
        };
        let mut open = self.sessions.load(Ordering::Relaxed);
        if open >= self.limit.load(Ordering::Relaxed) {
            return Ok(Err(refused("its limit is reached")));
        }
        // Without a session of ours nothing will be better elsewhere.
        let give_up = Instant::now() + if open == 0 { BUSY_LIMIT } else { patience };
        loop {
            let asked = Instant::now();
            match self.handle.channel_open_session().await {
                Ok(channel) => {
                    self.took(asked.elapsed());
                    return Ok(Ok((channel, self.counted())));
                }
                Err(russh::Error::ChannelOpenFailure(
                    why @ (ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage),
                )) => {
                    open = open.max(self.sessions.load(Ordering::Relaxed));
                    if Instant::now() >= give_up {
                        if open == 0 {
                            return Err(refused(why.description()));
                        }
                        self.limit.fetch_min(open, Ordering::Relaxed);
                        return Ok(Err(refused(why.description())));
                    }
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(russh::Error::ChannelOpenFailure(why)) => return Err(refused(why.description())),
                Err(_) => return Err(self.lost().await),
            }
        }
    }

    async fn start(
        &self,
        channel: Channel<Msg>,
        command: &str,
        carried: Option<Carried>,
        hold: impl Send + 'static,
    ) -> Result<Conduit, TargetError> {
        if carried.as_ref().is_some_and(|carried| !carried.latch.begin()) {
            let _ = channel.close().await;
            return Err(TargetError::Lost("it was called off".into()));
        }
        match channel::start(channel, &self.env, command, carried, &self.room, &self.fate, hold).await {
            Ok(conduit) => Ok(conduit),
            Err(_) => Err(self.lost().await),
        }
    }

    fn took(&self, time: Duration) {
        let mut shortest = self.round_trip.lock().unwrap_or_else(PoisonError::into_inner);
        *shortest = Some(shortest.map_or(time, |before| before.min(time)));
    }

    /// Waits a moment for the reason of a loss that was just noticed.
    async fn lost(&self) -> TargetError {
        self.fate.settled().await;
        self.fate.lost()
    }

    async fn goodbye(&self) {
        let goodbye = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.fate.over().await;
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

#[async_trait]
impl Opener for SshConnection {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        self.opened(command, None).await
    }

    async fn open_carrying(&self, command: &str, carried: Carried) -> Result<Conduit, TargetError> {
        self.opened(command, Some(carried)).await
    }

    async fn lost(&self) -> TargetError {
        self.0.fate.over().await;
        self.0.fate.lost()
    }

    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        let (inner, command) = (self.0.clone(), command.to_owned());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let _ = sender.send(inner.open_spare(&command).await);
        });
        receiver.await.unwrap_or_else(|_| Err(self.0.fate.lost()))
    }

    fn round_trip(&self) -> Option<Duration> {
        *self.0.round_trip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ping(&self) -> Result<(), TargetError> {
        let answered = self.0.handle.send_ping().await;
        // The library calls a ping without an answer answered when the connection ends.
        if answered.is_err() || self.0.handle.is_closed() {
            return Err(self.0.lost().await);
        }
        Ok(())
    }

    async fn close(&self) {
        for connection in std::mem::take(&mut *self.0.further.lock().await) {
            connection.0.goodbye().await;
        }
        self.0.goodbye().await;
    }
}
