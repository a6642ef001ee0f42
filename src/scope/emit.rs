//! The stream of events of one run: many who tell, one who listens.
//!
//! Lines of output wait for room, so that a build that prints a million of them is slowed instead of kept in memory.
//! Everything else is small and few, and is never made to wait: a cancel must get through while the reader is stuck.

use std::{sync::Arc, time::SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::vocab::{Event, EventKind, HostName, Phase, RunId, Stream};

/// Bytes of output that may wait for the reader, over all hosts.
const LINE_BYTES_IN_FLIGHT: usize = 4 << 20;

type Parcel = (Event, Option<OwnedSemaphorePermit>);

/// Makes the two ends of a run's event stream.
pub fn events(run: RunId) -> (Emitter, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { run, sender, room: Arc::new(Semaphore::new(LINE_BYTES_IN_FLIGHT)) });
    (Emitter { shared, host: None, phase: None }, EventReceiver { parcels: receiver, seq: 0 })
}

#[derive(Debug)]
struct Shared {
    run: RunId,
    sender: mpsc::UnboundedSender<Parcel>,
    room: Arc<Semaphore>,
}

/// Says what happens, for one run and, mostly, one host and one phase of it.
#[derive(Debug, Clone)]
pub struct Emitter {
    shared: Arc<Shared>,
    host: Option<HostName>,
    phase: Option<Phase>,
}

impl Emitter {
    pub fn run(&self) -> &RunId {
        &self.shared.run
    }

    pub fn host(&self) -> Option<&HostName> {
        self.host.as_ref()
    }

    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    pub(super) fn for_host(&self, host: &HostName) -> Self {
        Self { host: Some(host.clone()), ..self.clone() }
    }

    pub(super) fn in_phase(&self, phase: Phase) -> Self {
        Self { phase: Some(phase), ..self.clone() }
    }

    /// Tells at once; nobody listening is no error.
    pub fn emit(&self, kind: EventKind) {
        self.send(kind, None);
    }

    /// Tells a line of output, after room for it is there.
    pub async fn line(&self, stream: Stream, text: String) {
        let weight = u32::try_from(text.len() + 64).unwrap_or(u32::MAX).min(LINE_BYTES_IN_FLIGHT as u32);
        // The semaphore is never closed; should it be, the line goes out unweighed.
        let permit = self.shared.room.clone().acquire_many_owned(weight).await.ok();
        self.send(EventKind::Line { stream, text }, permit);
    }

    fn send(&self, kind: EventKind, permit: Option<OwnedSemaphorePermit>) {
        let event = Event {
            seq: 0,
            at: SystemTime::now(),
            run: self.shared.run.clone(),
            host: self.host.clone(),
            phase: self.phase,
            kind,
        };
        let _ = self.shared.sender.send((event, permit));
    }
}

/// The listening end, which numbers the events; it ends when every [`Emitter`] of the run is gone.
#[derive(Debug)]
pub struct EventReceiver {
    parcels: mpsc::UnboundedReceiver<Parcel>,
    seq: u64,
}

impl EventReceiver {
    pub async fn recv(&mut self) -> Option<Event> {
        let parcel = self.parcels.recv().await?;
        Some(self.number(parcel))
    }

    /// For readers on a thread of their own.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        let parcel = self.parcels.blocking_recv()?;
        Some(self.number(parcel))
    }

    /// What is there already.
    pub fn try_recv(&mut self) -> Option<Event> {
        let parcel = self.parcels.try_recv().ok()?;
        Some(self.number(parcel))
    }

    fn number(&mut self, (mut event, _room_is_free_again): Parcel) -> Event {
        self.seq += 1;
        event.seq = self.seq;
        event
    }
}
