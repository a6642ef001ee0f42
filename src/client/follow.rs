//! A job's events from wherever the reader was, across cuts.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};

use super::{Client, ClientError, endpoint::Words, sse::Parser};
use crate::{
    vocab::text::printable,
    wire::job::{JobBody, StreamLine},
};

/// Without a byte for so long, three of a hive's signs of life are missing: the way is cut, or this machine slept.
const SILENCE: Duration = Duration::from_secs(50);
/// How long a hive that cannot be reached is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A reader of one job's events.
pub struct Follow {
    client: Client,
    id: String,
    /// Number of the last event that was seen.
    seen: u64,
    open: Option<(Incoming, Words, Parser)>,
    ended: bool,
}

impl Follow {
    /// Reads from behind event `seen`; 0 is the beginning.
    pub fn new(client: Client, id: impl Into<String>, seen: u64) -> Self {
        Self { client, id: id.into(), seen, open: None, ended: false }
    }

    /// The next event; `None` behind the last one.
    ///
    /// # Errors
    /// The hive is out of reach for too long, knows no such job, or cannot be understood.
    pub async fn next(&mut self) -> Result<Option<StreamLine>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let mut failing: Option<(Instant, Duration)> = None;
        loop {
            match self.step().await {
                Ok(Some(line)) => return Ok(Some(line)),
                // Nothing behind what was seen, so the end was seen before.
                Ok(None) => {
                    self.ended = true;
                    return Ok(None);
                }
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => {
                    self.open = None;
                    let (since, pause) = failing.unwrap_or((Instant::now(), PAUSE));
                    if since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    sleep(pause).await;
                    failing = Some((since, (pause * 2).min(LONGEST_PAUSE)));
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<StreamLine>, ClientError> {
        let (body, words, parser) = match &mut self.open {
            Some(open) => open,
            None => match self.client.stream(&self.id, self.seen).await? {
                Some(answer) => self.open.insert((answer.response.into_body(), answer.words, Parser::default())),
                None => return Ok(None),
            },
        };
        loop {
            while let Some(event) = parser.next() {
                let garbled = |why: String| self.client.garbled(why);
                let text = String::from_utf8(event.data).map_err(|error| garbled(error.to_string()))?;
                let line =
                    StreamLine::parse(&text).map_err(|error| garbled(printable(&error.to_string()).into_owned()))?;
                // Seen already, before a cut.
                if line.seq() <= self.seen {
                    continue;
                }
                self.seen = line.seq();
                self.ended =
                    matches!(&line, StreamLine::Job(record) if matches!(record.body, JobBody::JobFinished { .. }));
                return Ok(Some(line));
            }
            let cut = |why: String| {
                let why = words.last().unwrap_or(why);
                ClientError::Unreachable { place: self.client.place(), why }
            };
            let frame = match timeout(SILENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(cut(error.to_string())),
                Ok(None) => return Err(cut("the stream ended before the job did".into())),
                Err(_) => return Err(ClientError::Late { place: self.client.place(), limit: SILENCE }),
            };
            if let Some(bytes) = frame.data_ref() {
                parser.feed(bytes).map_err(|error| self.client.garbled(error.to_string()))?;
            }
        }
    }
}
