//! Hands every event to every reader, on a thread of its own.

use std::{
    io,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout_at};

use super::Reader;
use crate::scope::EventReceiver;

/// Starts the thread; it ends after the run's last emitter is gone, and yields what made readers go silent.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(receiver: EventReceiver, mut readers: Vec<Box<dyn Reader>>) -> io::Result<JoinHandle<Vec<io::Error>>> {
    // A runtime without I/O: all it does is wait for the next event with a limit.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("report".into()).spawn(move || {
        runtime.block_on(read(receiver, &mut readers));
        readers.iter_mut().filter_map(|reader| reader.finish().err()).collect()
    })
}

async fn read(mut receiver: EventReceiver, readers: &mut [Box<dyn Reader>]) {
    let period = readers.iter().map(|reader| reader.period()).min().unwrap_or(Duration::from_secs(1));
    let mut next = Instant::now() + period;
    loop {
        match timeout_at(next, receiver.recv()).await {
            Ok(Some(event)) => readers.iter_mut().for_each(|reader| reader.event(&event)),
            Ok(None) => return,
            Err(_) => {}
        }
        if Instant::now() >= next {
            let now = SystemTime::now();
            readers.iter_mut().for_each(|reader| reader.tick(now));
            next = Instant::now() + period;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        scope::events,
        vocab::{Event, EventKind, RunId},
    };

    struct Tell(mpsc::Sender<String>);

    impl Reader for Tell {
        fn event(&mut self, event: &Event) {
            let _ = self.0.send(format!("event {}", event.seq));
        }

        fn tick(&mut self, _now: SystemTime) {
            let _ = self.0.send("tick".into());
        }

        fn finish(&mut self) -> io::Result<()> {
            let _ = self.0.send("finish".into());
            Err(io::Error::other("disk full"))
        }

        fn period(&self) -> Duration {
            Duration::from_millis(10)
        }
    }

    #[test]
    fn readers_see_everything_tick_in_silence_and_end_with_the_run() {
        let (emitter, receiver) = events(RunId::new("r").unwrap());
        let (tell, told) = mpsc::channel();
        let thread = spawn(receiver, vec![Box::new(Tell(tell.clone())), Box::new(Tell(tell))]).unwrap();
        emitter.emit(EventKind::HostStarted);
        let next = || told.recv_timeout(Duration::from_secs(60)).unwrap();
        let mut seen = 0;
        loop {
            match next().as_str() {
                "event 1" => seen += 1,
                "tick" if seen == 2 => break,
                "tick" => {}
                other => panic!("{other}"),
            }
        }
        drop(emitter);
        let errors = thread.join().unwrap();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), ["disk full", "disk full"]);
        assert_eq!(told.iter().filter(|what| what == "finish").count(), 2);
    }
}
