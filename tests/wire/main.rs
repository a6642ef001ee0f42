//! A long wire: what passes over it, how often it is waited for, and what a cut of it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

#[path = "../support/delay.rs"]
mod delay;
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../support/mod.rs"]
mod support;
mod trips;
mod upload;

use std::{fs, time::Duration};

use rbee::{
    target::{
        ssh::{Connector, SshConnection},
        supervisor::{Supervised, Supervision},
    },
    vocab::{Host, HostName, Route, host::SshRoute},
};

/// A host at the end of a wire of its own.
struct Far {
    wire: delay::Wire,
    lab: sshd::Lab,
}

impl Far {
    fn new(round_trip: Duration) -> Self {
        Self::with(round_trip, &[])
    }

    /// With further lines of sshd_config.
    fn with(round_trip: Duration, sshd_config: &[&str]) -> Self {
        let lab = sshd::Lab::with(&["far"], sshd_config);
        let sshd = lab.sshd("far");
        let wire = delay::Wire::to(sshd.port, round_trip).unwrap();
        let known = sshd.known_hosts_line().replace(&format!(":{}", sshd.port), &format!(":{}", wire.port()));
        fs::write(lab.known_hosts(), known).unwrap();
        Self { wire, lab }
    }

    async fn target(&self, supervision: Supervision) -> Supervised<SshConnection> {
        let (scope, _events) = support::scope();
        let route = SshRoute { port: Some(self.wire.port()), ..SshRoute::default() };
        let host = Host::named(HostName::new("far").unwrap(), Route::Ssh(route), "test");
        let connector = Connector::new(&self.lab.settings(), self.lab.config());
        Supervised::new(connector.connect(&scope, &host).await.unwrap(), supervision)
    }
}
