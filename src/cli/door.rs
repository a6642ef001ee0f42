//! A run in progress, shown to other terminals on a socket of its own.

use std::time::Duration;

use serde_json::json;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{bench::unseen, places::Places};
use crate::{
    hive::{Door, Doors, Patience, serve, socket},
    job::{Ended, Journal, Limits, Registry, Running},
    scope::Scope,
    vocab::{Host, HostName, RunId, Settings},
};

/// How long readers may still take what they have not seen when the run is over.
const GOODBYE: Duration = Duration::from_secs(1);
/// Less than a hive keeps: the run has its own logs.
const BOUNDS: crate::job::Bounds = crate::job::Bounds { total: 32 << 20, piece: 4 << 20 };

/// The door of one run.
pub struct RunDoor {
    running: Running,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// Opens it; a run goes on without one, and says so.
pub fn open(settings: &Settings, id: &RunId, verb: &str, hosts: &[Host], scope: &Scope) -> Option<(RunDoor, Journal)> {
    let sockets = Places::of(&settings.state_dir).sockets();
    let socket = match socket::listen(&sockets, &format!("run-{id}.sock")) {
        Ok(socket) => socket,
        Err(error) => {
            unseen(scope, &error);
            return None;
        }
    };
    let confirm = settings.limits.grace + Duration::from_secs(5);
    let limits = Limits { log: BOUNDS, confirm, ..Limits::default() };
    let registry = Registry::empty(settings.state_dir.join("runs").join(id.as_str()).join("journal"), limits);
    let names: Vec<HostName> = hosts.iter().map(|host| host.name.clone()).collect();
    let (running, journal) = match registry.adopt(id.clone(), verb, json!({ "typed": verb }), &names, scope) {
        Ok(adopted) => adopted,
        Err(error) => {
            unseen(scope, &error);
            return None;
        }
    };
    let stop = CancellationToken::new();
    let patience = Patience { goodbye: GOODBYE, connections: 64, ..Patience::default() };
    let doors = Doors { unix: socket, tcp: None };
    let serving = tokio::spawn(serve(Door::of_run(registry), doors, patience, stop.clone(), Handle::current()));
    Some((RunDoor { running, stop, serving }, journal))
}

impl RunDoor {
    /// Says how the run ended, lets readers come to that, and closes.
    pub async fn close(self, ended: Ended) {
        self.running.finish(ended);
        self.stop.cancel();
        let _ = self.serving.await;
    }
}
