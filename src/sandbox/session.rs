//! One client's connection: who comes in, and what each channel becomes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Sig,
    keys::PublicKey,
    server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    command,
    host::Host,
    inlet::{Inlet, Pressure, inlet},
    outlet::{Outlet, listen},
    sftp, tunnel,
};

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Visitor {
    host: Arc<Host>,
    /// `SSH_CONNECTION` of its commands.
    connection: String,
    /// Commands outlive their connection, so their tasks belong to the sandbox.
    tasks: TaskTracker,
    admitted: Arc<AtomicBool>,
    pressure: Pressure,
    /// Session channels that were asked for nothing yet.
    fresh: HashMap<ChannelId, (Inlet, Outlet)>,
    /// Commands by their channel, to be signalled.
    commands: HashMap<ChannelId, i32>,
}

impl Visitor {
    pub(super) fn new(
        host: Arc<Host>,
        peer: SocketAddr,
        local: SocketAddr,
        tasks: TaskTracker,
        admitted: Arc<AtomicBool>,
    ) -> Self {
        Self {
            host,
            connection: format!("{} {} {} {}", peer.ip(), peer.port(), local.ip(), local.port()),
            tasks,
            admitted,
            pressure: Pressure::default(),
            fresh: HashMap::new(),
            commands: HashMap::new(),
        }
    }

    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        if self.host.admits(key) {
            return Auth::Accept;
        }
        tracing::debug!(host = self.host.name, user, "key refused");
        let methods = MethodSet::from(&[MethodKind::PublicKey][..]);
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
    }

    /// Puts a reader on the channel at once: without one, it could stop all others.
    fn attend(
        host: &Host,
        tasks: &TaskTracker,
        pressure: &Pressure,
        channel: Channel<Msg>,
        session: Handle,
    ) -> (Inlet, Outlet) {
        let (read, write) = channel.split();
        let over = CancellationToken::new();
        let (feed, inlet) = inlet(Arc::clone(&host.tmp), pressure.clone());
        tasks.spawn(listen(read, feed, over.clone()));
        (inlet, Outlet::new(write, session, pressure.clone(), over))
    }

    /// Starts a command, or a shell, on a fresh channel.
    fn start(&mut self, id: ChannelId, line: Option<&[u8]>, session: &mut Session) -> Result<(), russh::Error> {
        let Some((inlet, outlet)) = self.fresh.remove(&id) else { return session.channel_failure(id) };
        match command::start(&self.host, line, &self.connection) {
            Ok(started) => {
                // The library forgets to say when a channel was closed from here.
                self.commands.retain(|_, pid| self.host.children.is_live(*pid));
                self.commands.insert(id, started.pid);
                session.channel_success(id)?;
                self.tasks.spawn(started.run(inlet, outlet));
                Ok(())
            }
            Err(e) => {
                tracing::warn!(host = self.host.name, error = %e, "command not started");
                self.fresh.insert(id, (inlet, outlet));
                session.channel_failure(id)
            }
        }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.admitted.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = channel.id();
        let ends = Self::attend(&self.host, &self.tasks, &self.pressure, channel, session.handle());
        self.fresh.insert(id, ends);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if !tunnel::is_loopback(host_to_connect) {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let (to, port) = (host_to_connect.to_owned(), port_to_connect);
        let (host, tasks, pressure) = (Arc::clone(&self.host), self.tasks.clone(), self.pressure.clone());
        let session = session.handle();
        // Connecting may take its time; the other channels need not wait for it.
        self.tasks.spawn(async move {
            let Some(tcp) = tunnel::connect(&to, port).await else {
                return reply.reject(ChannelOpenFailure::ConnectFailed).await;
            };
            let (inlet, outlet) = Self::attend(&host, &tasks, &pressure, channel, session);
            reply.accept().await;
            tunnel::run(tcp, inlet, outlet).await;
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(channel, Some(line), session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(channel, None, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name != "sftp" {
            return session.channel_failure(channel);
        }
        let Some((inlet, outlet)) = self.fresh.remove(&channel) else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        self.tasks.spawn(sftp::serve(self.host.home.clone(), inlet, outlet));
        Ok(())
    }

    async fn signal(&mut self, channel: ChannelId, asked: Sig, _session: &mut Session) -> Result<(), Self::Error> {
        if let (Some(pid), Some(signal)) = (self.commands.get(&channel), command::signal(&asked)) {
            self.host.children.signal(*pid, signal);
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.fresh.remove(&channel);
        Ok(())
    }

    // What is refused: no terminals, no X11, no agents, no foreign environment.

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
