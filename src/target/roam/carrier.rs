//! Carries one lane's streams over one connection after the other.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};

use super::{link::Link, outbox::Outbox, script};
use crate::target::{
    TargetError,
    conduit::{Conduit, Inlet},
    supervisor::{
        records::{Piece, Records},
        script as lane_script,
    },
};

/// How long a relay may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two tries on a connection that is there, and how often it is tried in a row.
const PAUSE: Duration = Duration::from_millis(200);
const TRIES: u32 = 20;
/// What a lane may write while nobody takes it: its longest request, and beats.
const AHEAD: usize = 1 << 20;
const BEHIND: usize = 64 << 10;

type Reader = Records<Box<dyn AsyncRead + Send + Unpin>>;
type Writer = Box<dyn Inlet>;

/// What a lane is, for every connection.
pub struct Lane {
    pub id: String,
    pub nonce: String,
    pub shell: String,
    pub program: String,
    /// Tells the program that its stdin has ended.
    pub farewell: String,
}

/// Why an attachment ended before the lane did.
enum Trouble {
    /// Another one may do better.
    Broken,
    /// No other one will.
    Ended(String),
}

/// One lane's near ends, and how far each stream has come.
pub struct Carrier {
    link: Arc<Link>,
    lane: Lane,
    input: Input,
    out: Inflow,
    err: Inflow,
    fate: Arc<OnceLock<String>>,
    number: u64,
    /// The host has answered once: from now on the lane is there, or it is gone.
    known: bool,
}

struct Input {
    near: DuplexStream,
    ended: bool,
    outbox: Outbox,
    farewell: String,
}

/// One output: what arrived, by segment and offset, and what of it is not handed over yet.
struct Inflow {
    far: DuplexStream,
    pending: Bytes,
    segment: u64,
    offset: u64,
}

/// The end of an output that a lane reads; its end may have a reason.
struct Told {
    near: DuplexStream,
    fate: Arc<OnceLock<String>>,
}

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.near).poll_read(cx, buf))?;
        match self.fate.get() {
            Some(why) if buf.filled().len() == before => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why.clone())))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Carrier {
    /// A carrier, and the streams that it serves.
    pub fn new(link: Arc<Link>, lane: Lane) -> (Self, Conduit) {
        let (stdin, near) = tokio::io::duplex(AHEAD);
        let fate: Arc<OnceLock<String>> = Arc::default();
        let output = || {
            let (near, far) = tokio::io::duplex(BEHIND);
            let inflow = Inflow { far, pending: Bytes::new(), segment: 0, offset: 0 };
            (Told { near, fate: fate.clone() }, inflow)
        };
        let ((stdout, out), (stderr, err)) = (output(), output());
        let input = Input { near, ended: false, outbox: Outbox::default(), farewell: lane.farewell.clone() };
        let carrier = Self { link, lane, input, out, err, fate: fate.clone(), number: 0, known: false };
        (carrier, Conduit { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) })
    }

    /// Carries until the lane has ended, or there is no way any more. `first` is a channel that is open already.
    pub async fn carry(mut self, first: Conduit) {
        let mut first = Some(first);
        let mut tries = 0;
        let why = loop {
            let way = match self.link.up().await {
                Ok(way) => way,
                Err(TargetError::Lost(why)) => break Some(why),
                Err(error) => break Some(error.to_string()),
            };
            self.number += 1;
            let before = (self.out.place(), self.err.place());
            let attached = async {
                let conduit = match first.take() {
                    Some(conduit) => conduit,
                    None => {
                        let boot = lane_script::boot(&self.lane.shell);
                        way.opener.open(&boot).await.map_err(|_| Trouble::Broken)?
                    }
                };
                self.attached(conduit).await
            };
            let done = tokio::select! {
                biased;
                () = way.cut.cancelled() => {
                    tries = 0;
                    continue;
                }
                done = attached => done,
            };
            match done {
                Ok(()) => break None,
                Err(Trouble::Ended(why)) => break Some(why),
                Err(Trouble::Broken) => {
                    tries = if before == (self.out.place(), self.err.place()) { tries + 1 } else { 1 };
                    if tries > TRIES {
                        break Some("its channel is closed again and again".into());
                    }
                    self.link.suspect();
                    tokio::time::sleep(PAUSE * tries).await;
                }
            }
        };
        if let Some(why) = why {
            let _ = self.fate.set(why);
        }
    }

    /// Joins the lane through one channel; ends when the lane has.
    async fn attached(&mut self, conduit: Conduit) -> Result<(), Trouble> {
        let Conduit { mut stdin, stdout, stderr } = conduit;
        let text = script::relay(&script::Terms {
            id: &self.lane.id,
            nonce: &self.lane.nonce,
            number: self.number,
            fresh: !self.known,
            shell: &self.lane.shell,
            program: &self.lane.program,
            places: [self.out.place(), self.err.place()],
        });
        let sent = async {
            stdin.write_all(text.as_bytes()).await?;
            stdin.flush().await
        };
        sent.await.map_err(|_| Trouble::Broken)?;
        let mut stdout = Records::new(stdout, &self.lane.nonce);
        let mut stderr = Records::new(stderr, &self.lane.nonce);
        // The very first one finds nothing that it could have to go on from, and saves the round trip.
        let first = self.number == 1;
        if !first {
            let answer = tokio::time::timeout(ANSWER, answer(&mut stdout)).await;
            let counted = answer.map_err(|_| Trouble::Broken)??;
            if !self.input.outbox.resume(counted) {
                return Err(Trouble::Ended("the host counts what was never sent".into()));
            }
            self.known = true;
        }
        let heard = &self.link.heard;
        let outputs = async {
            let mut ignored = false;
            let out = self.out.receive(&mut stdout, first, !first, || heard.touch(), &mut self.known);
            let err = self.err.receive(&mut stderr, first, false, || heard.touch(), &mut ignored);
            tokio::try_join!(out, err).map(drop)
        };
        tokio::select! {
            done = outputs => done,
            // A program that has ended takes no more, and has still something to say.
            () = self.input.send(&mut stdin) => unreachable!("sending waits for ever when there is nothing to send"),
        }
    }
}

/// How much of its input the lane has got.
async fn answer(stdout: &mut Reader) -> Result<u64, Trouble> {
    loop {
        match stdout.next().await {
            Ok(Piece::Record(words)) => match record(&words) {
                Said::At(counted) => return Ok(counted),
                Said::Gone(why) => return Err(Trouble::Ended(why)),
                _ => {}
            },
            // What login scripts print.
            Ok(Piece::Data(_)) => {}
            Ok(Piece::End) | Err(_) => return Err(Trouble::Broken),
        }
    }
}

enum Said {
    At(u64),
    Segment,
    Over,
    Gone(String),
    Nothing,
}

fn record(words: &[String]) -> Said {
    match (words.first().map(String::as_str), words.get(1)) {
        (Some("at"), Some(count)) => count.parse().map_or(Said::Nothing, Said::At),
        (Some("seg"), None) => Said::Segment,
        (Some("over"), None) => Said::Over,
        (Some("gone"), None) => {
            Said::Gone("the host has ended it: the lease was over, or the host was restarted".into())
        }
        (Some("broken"), None) => Said::Gone("the host has lost count of what was sent to it".into()),
        _ => Said::Nothing,
    }
}

impl Inflow {
    fn place(&self) -> (u64, u64) {
        (self.segment, self.offset)
    }

    /// Hands over what arrives, until the lane has ended. What comes before the relay has begun is of login scripts.
    async fn receive(
        &mut self,
        records: &mut Reader,
        first: bool,
        mut begun: bool,
        heard: impl Fn(),
        known: &mut bool,
    ) -> Result<(), Trouble> {
        loop {
            while !self.pending.is_empty() {
                match self.far.write(&self.pending).await {
                    Ok(count) => self.pending.advance(count),
                    // Nobody listens any more.
                    Err(_) => self.pending.clear(),
                }
            }
            let piece = records.next().await.map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => Trouble::Ended(error.to_string()),
                _ => Trouble::Broken,
            })?;
            heard();
            match piece {
                Piece::Data(bytes) if begun => {
                    self.offset += bytes.len() as u64;
                    self.pending = bytes;
                }
                Piece::Data(bytes) if first => self.pending = bytes,
                Piece::Data(_) => {}
                Piece::Record(words) => match record(&words) {
                    Said::At(_) => {
                        begun = true;
                        *known = true;
                    }
                    Said::Segment => {
                        self.segment += 1;
                        self.offset = 0;
                    }
                    Said::Over => return Ok(()),
                    Said::Gone(why) => return Err(Trouble::Ended(why)),
                    Said::Nothing => {}
                },
                // It was never a relay: what it said is the answer.
                Piece::End if first && !begun => return Ok(()),
                Piece::End => return Err(Trouble::Broken),
            }
        }
    }
}

impl Input {
    /// Sends what there is and what comes; never ends.
    async fn send(&mut self, stdin: &mut Writer) {
        let sending = async {
            loop {
                let unsent = self.outbox.unsent();
                if !unsent.is_empty() {
                    let count = stdin.write(unsent).await?;
                    self.outbox.advance(count);
                    if self.outbox.unsent().is_empty() {
                        stdin.flush().await?;
                    }
                    continue;
                }
                if self.ended {
                    return Ok::<_, io::Error>(());
                }
                let mut chunk = [0; 16 << 10];
                match self.near.read(&mut chunk).await {
                    Ok(count @ 1..) => self.outbox.push(&chunk[..count]),
                    _ => {
                        self.ended = true;
                        self.outbox.push(self.farewell.as_bytes());
                    }
                }
            }
        };
        let _ = sending.await;
        std::future::pending().await
    }
}
