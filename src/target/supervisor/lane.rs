//! One supervised shell: commands one after the other, beats all the time.

mod command;
mod voice;

pub use command::request;
use voice::Voice;

use std::time::Duration;

use tokio::{io::AsyncRead, time::Instant};

use super::{
    CONFIRM, Supervision,
    records::{Piece, Records},
    script,
};
use crate::{
    target::{
        TargetError,
        conduit::{Latch, Opener},
    },
    vocab::{Stream, text::plain_line},
};

/// How long a request may take that is answered at once.
const ANSWER: Duration = Duration::from_secs(30);

/// How long scratch may take to go once nothing runs any more.
const CLEAN: Duration = Duration::from_secs(60);

/// A first request beyond this does not go into an environment.
const CARRY_MAX: usize = 12 << 10;

/// What is kept of the words of a host that starts no shell.
const NOISE_MAX: usize = 4096;

type Reader = Records<Box<dyn AsyncRead + Send + Unpin>>;

/// Whether a lane can take a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Idle,
    /// A command was started and its end was not seen.
    Busy,
    Lost(String),
    /// No supervisor came up.
    Never,
}

/// A started supervisor. Dropping it is end of file for the host, which then cleans up by itself.
pub struct Lane {
    voice: Voice,
    stdout: Reader,
    stderr: Reader,
    /// Once it has ended it is not asked again: it would answer at once, for ever.
    stderr_open: bool,
    pub(super) nonce: String,
    pub(super) supervision: Supervision,
    state: State,
    /// Whether the supervisor has spoken, on stdout and on stderr, and what was printed before.
    spoke: (bool, bool),
    noise: Vec<u8>,
    /// The supervisor's process, if it goes on without a connection.
    lasting: Option<u32>,
    /// Answers that nobody waits for and that are still to come.
    owed: usize,
    carried: bool,
}

impl Lane {
    /// Starts a supervisor, with its first request if that can be [carried](Lane::carried). It is not waited for: what it
    /// is asked stands behind what it is made of, on one stream.
    pub async fn open(
        opener: &dyn Opener,
        supervision: Supervision,
        first: &str,
        carry: Option<Latch>,
    ) -> Result<Self, TargetError> {
        let (nonce, cookie) = (random_hex(), random_hex());
        let terms = script::Terms {
            nonce: nonce.clone(),
            cookie,
            lease: supervision.lease,
            grace: supervision.grace,
            levels: supervision.levels,
            shell: supervision.shell.clone(),
        };
        let carry = carry.filter(|_| !first.is_empty() && first.len() <= CARRY_MAX);
        let carried = carry.is_some();
        let (conduit, text) = if let Some(latch) = carry {
            let boot = script::boot_carried(&supervision.shell);
            (opener.open_carrying(&boot, script::carried(&terms, first, latch)).await?, None)
        } else {
            let conduit = opener.open_lasting(&script::boot(&supervision.shell), &script::farewell(&nonce)).await?;
            (conduit, Some(script::lane(&terms)))
        };
        let voice = Voice::new(conduit.stdin, script::pace(supervision.lease).0 / 2);
        let mut lane = Self {
            voice,
            stdout: Records::new(conduit.stdout, &nonce),
            stderr: Records::new(conduit.stderr, &nonce),
            stderr_open: true,
            nonce,
            supervision,
            state: State::Idle,
            spoke: (false, false),
            noise: Vec::new(),
            lasting: opener.lasts().then_some(0),
            owed: 0,
            carried,
        };
        if let Some(text) = text {
            lane.send(&text).await?;
        }
        Ok(lane)
    }

    /// Drops the supervisor's first word on each stream and what came before it: the noise of login scripts.
    ///
    /// # Errors
    /// The stream ended before that word.
    fn unless_noise(&mut self, stream: Stream, piece: Piece) -> Result<Option<Piece>, TargetError> {
        // The two streams have no order between them, so each has a first word of its own.
        let spoke = match stream {
            Stream::Stdout => &mut self.spoke.0,
            Stream::Stderr => &mut self.spoke.1,
        };
        match piece {
            piece if *spoke => return Ok(Some(piece)),
            Piece::Record(words) => {
                *spoke = words.first().is_some_and(|word| word == "hello");
                if let (true, Stream::Stdout, Some(pid)) = (*spoke, stream, &mut self.lasting) {
                    *pid = words.get(2).and_then(|word| word.parse().ok()).unwrap_or_default();
                }
            }
            Piece::Data(bytes) => {
                let room = NOISE_MAX.saturating_sub(self.noise.len());
                self.noise.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Piece::End if stream == Stream::Stderr => {}
            Piece::End => {
                let said = String::from_utf8_lossy(&self.noise);
                let said = said.lines().rev().map(plain_line).find(|l| !l.trim().is_empty());
                let why = match said {
                    Some(line) => format!("no POSIX shell could be started there; it said: {line}"),
                    None => "no POSIX shell could be started there".into(),
                };
                // Nothing was started, so nothing is in doubt.
                self.state = State::Never;
                return Err(TargetError::Host(why));
            }
        }
        Ok(None)
    }

    /// Whether its first request went with it.
    pub fn carried(&self) -> bool {
        self.carried
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Adds lines that are run at the end of the lane, whatever ends it.
    ///
    /// Its answer is left to the next request. Whatever is asked after this, on this lane or over another channel of the
    /// connection, reaches the host after it: so would the end of the connection.
    pub async fn register(&mut self, script: &str) -> Result<(), TargetError> {
        self.tell(&script::request("c", script)).await
    }

    /// Makes the file of an upload, which is to be removed already, and beside it the box in which those that write to
    /// it enter themselves: they are ended with the lane.
    pub async fn take_in(&mut self, path: &str) -> Result<(), TargetError> {
        self.ask(&script::request("g", path)).await
    }

    /// Lets go of an upload. Its answer is left to the next request, which stands behind it on the same stream.
    pub async fn let_go(&mut self) -> Result<(), TargetError> {
        self.tell("g 0\n").await
    }

    /// Sends a request whose answer nobody waits for.
    async fn tell(&mut self, request: &str) -> Result<(), TargetError> {
        // Should this future be dropped in the middle, half a request stands in the way of the next one.
        self.state = State::Busy;
        self.send(request).await?;
        self.owed += 1;
        self.state = State::Idle;
        Ok(())
    }

    /// Sends a request that is answered at once.
    async fn ask(&mut self, request: &str) -> Result<(), TargetError> {
        // Should this future be dropped in the middle, the answer stands in the way of the next request.
        self.state = State::Busy;
        // A connection may be away for as long as the lease; that it is gone is noticed elsewhere.
        let limit = if self.lasting.is_some() { self.supervision.lease + ANSWER } else { ANSWER };
        let answer = async {
            self.send(request).await?;
            loop {
                match self.next().await? {
                    (_, Piece::Record(words)) if words.first().is_some_and(|w| w == "ok") => {
                        if self.owed == 0 {
                            return Ok(Ok(()));
                        }
                        self.owed -= 1;
                    }
                    (_, Piece::Record(words)) if words.first().is_some_and(|w| w == "no") => {
                        return Ok(Err(TargetError::Host(plain_line(&words[1..].join(" ")))));
                    }
                    (Stream::Stdout, Piece::End) => return Err(self.lose("the host's supervisor is gone".into())),
                    _ => {}
                }
            }
        };
        let answer = match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(self.lose(format!("the host's supervisor did not answer within {} s", limit.as_secs())));
            }
        };
        self.state = State::Idle;
        answer
    }

    /// Ends the lane: the host kills, cleans, and says what it found.
    pub async fn close(mut self) -> Result<(), String> {
        if let State::Lost(why) = &self.state {
            return Err(self.left_alone(why.clone()));
        }
        self.voice.end();
        let limit = self.supervision.grace + CONFIRM;
        let (mut end, mut dead) = (Instant::now() + limit, false);
        let words = loop {
            match tokio::time::timeout_at(end, self.next()).await {
                Ok(Ok((_, Piece::Record(words)))) => match words.first().map(String::as_str) {
                    Some("gone") => break words,
                    // What is left to do is to remove files, and a disk takes its time for a large build.
                    Some("dead") => (end, dead) = (Instant::now() + CLEAN, true),
                    _ => {}
                },
                Ok(Ok((Stream::Stdout, Piece::End))) => {
                    return Err(self.left_alone("the host's supervisor is gone".to_owned()));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.left_alone(error.to_string())),
                Err(_) if dead => {
                    let what = format!("nothing runs there, but scratch was not removed within {} s", CLEAN.as_secs());
                    return Err(self.left_alone(what));
                }
                Err(_) => {
                    let what = format!("the host did not confirm within {:.1} s", limit.as_secs_f64());
                    return Err(self.left_alone(what));
                }
            }
        };
        if words.len() > 2 {
            return Err(format!("processes {} survived KILL", words[2..].join(" ")));
        }
        match words.get(1).map(String::as_str) {
            Some("0") => Ok(()),
            _ => Err("scratch could not be removed".into()),
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), TargetError> {
        let sent = self.voice.send(text).await;
        sent.map_err(|error| self.lose(error.to_string()))
    }

    async fn next(&mut self) -> Result<(Stream, Piece), TargetError> {
        loop {
            let piece = match next_piece(&mut self.stdout, &mut self.stderr, true, self.stderr_open).await {
                Ok((Stream::Stderr, Ok(Piece::End))) => {
                    self.stderr_open = false;
                    continue;
                }
                Ok((stream, piece)) => piece.map(|piece| (stream, piece)),
                Err(error) => Err(error),
            };
            match piece {
                Ok((stream, piece)) => {
                    if let Some(piece) = self.unless_noise(stream, piece)? {
                        return Ok((stream, piece));
                    }
                }
                Err(error) => return Err(self.refused(&error).unwrap_or_else(|| self.lose(error.to_string()))),
            }
        }
    }

    /// What a host says that runs no commands; there is nothing to be confirmed then.
    fn refused(&mut self, error: &std::io::Error) -> Option<TargetError> {
        let refused = !self.spoke.0 && error.kind() == std::io::ErrorKind::PermissionDenied;
        refused.then(|| {
            self.state = State::Never;
            TargetError::Host(error.to_string())
        })
    }

    pub(super) fn lose(&mut self, why: String) -> TargetError {
        self.state = State::Lost(why.clone());
        TargetError::Lost(why)
    }

    /// What becomes of a lane that goes on where nobody can ask it, and what can be done about it.
    pub fn left_alone(&self, why: String) -> String {
        let Some(pid) = self.lasting else { return why };
        let lease = crate::vocab::text::human_duration(self.supervision.lease);
        // Not known before it has spoken.
        let by_hand = if pid == 0 { String::new() } else { format!("; `kill {pid}` there ends it") };
        format!(
            "{why}; the host goes on until {lease} after the last word from here, and no other run can take it up{by_hand}"
        )
    }
}

/// The next piece of whichever stream has one; an ended stderr is not asked again.
async fn next_piece(
    stdout: &mut Reader,
    stderr: &mut Reader,
    want_stdout: bool,
    want_stderr: bool,
) -> std::io::Result<(Stream, std::io::Result<Piece>)> {
    Ok(tokio::select! {
        piece = stdout.next(), if want_stdout => (Stream::Stdout, piece),
        piece = stderr.next(), if want_stderr => (Stream::Stderr, piece),
        else => return Err(std::io::ErrorKind::UnexpectedEof.into()),
    })
}

fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}
