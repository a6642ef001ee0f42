//! Where lines go: whole ones, at once, until nobody takes them any more.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

/// How long a pipe that says "try again" is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A writer that goes silent instead of failing.
pub(super) struct Sink {
    out: Option<Box<dyn Write + Send>>,
    error: Option<io::Error>,
}

impl Sink {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out), error: None }
    }

    /// Writes `text` and a line end in one go, and flushes.
    pub(super) fn line(&mut self, text: &str) {
        let Some(out) = &mut self.out else { return };
        let line = format!("{text}\n");
        if let Err(error) = write_patiently(out.as_mut(), line.as_bytes()) {
            self.out = None;
            if error.kind() != ErrorKind::BrokenPipe {
                self.error = Some(error);
            }
        }
    }

    /// What made it go silent, once; a closed pipe is not told.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out = None;
        self.error.take().map_or(Ok(()), Err)
    }
}

/// As `write_all` and `flush`, but a pipe that someone else made non-blocking is waited for.
fn write_patiently(out: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    let mut tries = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        let step = if bytes.is_empty() { out.flush().map(|()| 0) } else { out.write(bytes) };
        match step {
            Ok(0) if bytes.is_empty() => return Ok(()),
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && tries > 0 => {
                tries -= 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Gives one scripted answer a call, then takes everything.
    struct Moody(VecDeque<io::Result<usize>>, Arc<Mutex<Vec<u8>>>);

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.0.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.1.lock().unwrap().extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(answers: Vec<io::Result<usize>>) -> (String, io::Result<()>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let mut sink = Sink::new(Box::new(Moody(answers.into(), taken.clone())));
        sink.line("one");
        sink.line("two");
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        (text, sink.finish())
    }

    #[test]
    fn a_line_is_written_whole_or_the_sink_goes_silent() {
        let fails = |kind: ErrorKind| Err(io::Error::from(kind));
        let (text, end) = written(vec![Ok(1), fails(ErrorKind::WouldBlock), fails(ErrorKind::Interrupted), Ok(2)]);
        assert_eq!((text.as_str(), end.is_ok()), ("one\ntwo\n", true));
        let (text, end) = written(vec![fails(ErrorKind::BrokenPipe)]);
        assert_eq!((text.as_str(), end.is_ok()), ("", true));
        let (text, end) = written(vec![Ok(9), fails(ErrorKind::StorageFull)]);
        assert_eq!((text.as_str(), end.unwrap_err().kind()), ("one\n", ErrorKind::StorageFull));
    }
}
