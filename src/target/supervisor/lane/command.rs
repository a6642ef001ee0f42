//! One command on a lane: its output handed over, its cancel awaited, its end believed.

use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Lane, State, next_piece};
use crate::{
    scope::{Scope, Stop},
    target::{
        Command, Containment, Exit, Output, TargetError, Trust,
        conduit::Opener,
        supervisor::{CONFIRM, records::Piece, script},
    },
    vocab::{CancelStage, EventKind, Stream},
};

/// How long a listener may take for a chunk before the command that prints it is paused.
const PATIENCE: Duration = Duration::from_millis(500);

/// Until a host that was asked to end a command, and has not said that it did, is asked again: a shell may miss a signal.
const AGAIN: Duration = Duration::from_millis(300);

/// Linux takes no longer single argument than 128 KiB.
const SCRIPT_MAX: usize = 120 << 10;

/// Less than what a pipe takes at once, so that whoever writes it never waits.
const STDIN_MAX: usize = 4 << 10;

/// How a command ended, in the host's words.
struct End {
    status: i32,
    how: String,
    level: Containment,
    survivors: Vec<String>,
}

/// What a lane is asked, so that it runs a command.
///
/// # Errors
/// [`TargetError::Local`] when no shell could take it.
pub fn request(command: &Command, preamble: &str) -> Result<Zeroizing<String>, TargetError> {
    let script = format!("{preamble}{}", command.script);
    if script.len() > SCRIPT_MAX || script.contains('\0') {
        return Err(TargetError::Local(format!("the {} command is too long or has a NUL byte in it", command.label)));
    }
    let verb = match (command.trust, command.last) {
        (Trust::Own, false) => "r",
        (Trust::Own, true) => "R",
        (Trust::Foreign, false) => "x",
        (Trust::Foreign, true) => "X",
    };
    let mut request = Zeroizing::new(String::new());
    if let Some(line) = &command.stdin {
        let line = line.expose();
        if line.is_empty() || line.len() > STDIN_MAX || line.contains(['\n', '\0']) {
            return Err(TargetError::Local(format!("what the {} command is to read is not one line", command.label)));
        }
        request.reserve_exact(script.len() + line.len() + 64);
        request.push_str("i 1\n");
        request.push_str(line);
        request.push('\n');
    }
    request.push_str(&script::request(verb, &script));
    Ok(request)
}

impl Lane {
    /// See [`crate::target::Target::run`]; without a request, the lane was opened with it.
    pub async fn run(
        &mut self,
        opener: &dyn Opener,
        scope: &Scope,
        command: &Command,
        request: Option<&str>,
        output: &mut dyn Output,
    ) -> Result<Exit, TargetError> {
        self.state = State::Busy;
        if let Some(request) = request {
            self.send(request).await?;
        }

        let mut stop: Option<Stop> = None;
        let mut group = None;
        let mut end: Option<End> = None;
        let mut stderr_open = true;
        let mut hard = false;
        let mut give_up = Instant::now();
        let mut again = give_up;
        while end.is_none() || stderr_open {
            let want_stderr = stderr_open && self.stderr_open;
            let event = tokio::select! {
                biased;
                why = scope.stopped(), if stop.is_none() => Step::Stop(why),
                () = scope.cancel().hardened(), if stop.is_some() && !hard => Step::Harden,
                () = tokio::time::sleep_until(give_up), if stop.is_some() => Step::GiveUp,
                () = tokio::time::sleep_until(again), if stop.is_some() && end.is_none() => Step::Again,
                piece = next_piece(&mut self.stdout, &mut self.stderr, end.is_none(), want_stderr) => Step::Piece(piece),
            };
            match event {
                Step::Stop(why) => {
                    give_up = Instant::now() + self.supervision.grace + CONFIRM;
                    again = Instant::now() + AGAIN;
                    hard = scope.cancel().is_hard();
                    say(scope, CancelStage::Asked, group, 0);
                    self.voice.call(if hard { "k\nK\n" } else { "k\n" });
                    stop = Some(why);
                }
                Step::Harden => {
                    hard = true;
                    self.voice.call("K\n");
                }
                Step::Again => {
                    again = Instant::now() + AGAIN;
                    self.voice.call(if hard { "K\n" } else { "k\n" });
                }
                // A step that has taken too long can be ended when there is a way again; a person is not kept waiting.
                Step::GiveUp if opener.away() && matches!(stop, Some(Stop::TimedOut { .. })) => {
                    give_up = Instant::now() + CONFIRM;
                }
                Step::GiveUp => {
                    let what = format!(
                        "the host did not confirm within {:.1} s",
                        (self.supervision.grace + CONFIRM).as_secs_f64()
                    );
                    return Err(self.unconfirmed(scope, stop, group, what));
                }
                Step::Piece(Err(error)) | Step::Piece(Ok((_, Err(error)))) => {
                    return Err(match self.refused(&error) {
                        Some(refused) => refused,
                        None => self.unconfirmed(scope, stop, group, error.to_string()),
                    });
                }
                // Before its first word, what comes on stdout says what that means.
                Step::Piece(Ok((Stream::Stderr, Ok(Piece::End)))) if !self.spoke.1 => self.stderr_open = false,
                Step::Piece(Ok((stream, Ok(piece)))) => match self.unless_noise(stream, piece) {
                    Err(error) => return Err(stop.map_or(error, TargetError::Stopped)),
                    Ok(None) => {}
                    // After a stop the pipes are only drained: whoever listens may be what is stuck.
                    Ok(Some(Piece::Data(_))) if stop.is_some() => {}
                    Ok(Some(Piece::Data(bytes))) => self.deliver(scope, output, stream, &bytes).await,
                    Ok(Some(Piece::Record(words))) => match words.first().map(String::as_str) {
                        Some("go") => group = words.get(1).and_then(|w| w.parse().ok()),
                        Some("end") => end = Some(End::parse(&words)),
                        Some("eof") => stderr_open = false,
                        Some("ok") => self.owed = self.owed.saturating_sub(1),
                        Some("refuse") => {
                            self.state = State::Idle;
                            return Err(TargetError::Host(format!(
                                "cannot hold a command there: {}",
                                words[1..].join(" ")
                            )));
                        }
                        _ => {}
                    },
                    Ok(Some(Piece::End)) => {
                        let what = "the host's supervisor is gone".to_owned();
                        return Err(self.unconfirmed(scope, stop, group, what));
                    }
                },
            }
        }
        // After its last command a lane is only to be closed, and says so by itself.
        self.state = if command.last { State::Busy } else { State::Idle };
        let Some(end) = end else { return Err(TargetError::Host("no status".into())) };
        let left = u32::try_from(end.survivors.len()).unwrap_or(u32::MAX);
        if let Some(stop) = stop {
            match end.how.as_str() {
                "kill" => say(scope, CancelStage::Kill, group, 0),
                _ => say(scope, CancelStage::Term, group, 0),
            }
            if left > 0 {
                say(scope, CancelStage::Unconfirmed, group, left);
                let what = format!("processes {} survived KILL", end.survivors.join(" "));
                return Err(TargetError::Unconfirmed { stop, what });
            }
            say(scope, CancelStage::Confirmed, group, 0);
            return Err(TargetError::Stopped(stop));
        }
        Ok(Exit { status: end.status, containment: end.level })
    }

    /// Hands a chunk over. A listener that is stuck stops the command, not the connection that others share.
    ///
    /// A stop of the scope is left for the caller's next turn to see.
    async fn deliver(&mut self, scope: &Scope, output: &mut dyn Output, stream: Stream, bytes: &[u8]) {
        let chunk = output.chunk(stream, bytes);
        tokio::pin!(chunk);
        match scope.race(tokio::time::timeout(PATIENCE, &mut chunk)).await {
            Ok(Ok(())) | Err(_) => return,
            Ok(Err(_)) => {}
        }
        self.voice.call("z\n");
        // After a stop the group is woken by the supervisor itself.
        if scope.race(chunk).await.is_ok() {
            self.voice.call("Z\n");
        }
    }

    fn unconfirmed(&mut self, scope: &Scope, stop: Option<Stop>, group: Option<u32>, what: String) -> TargetError {
        let lost = self.lose(what.clone());
        match stop {
            None => lost,
            Some(stop) => {
                say(scope, CancelStage::Unconfirmed, group, 0);
                let what = self.left_alone(what);
                TargetError::Unconfirmed { stop, what: format!("connection lost, cleanup unconfirmed: {what}") }
            }
        }
    }
}

enum Step {
    Stop(Stop),
    Harden,
    Again,
    GiveUp,
    Piece(std::io::Result<(Stream, std::io::Result<Piece>)>),
}

impl End {
    fn parse(words: &[String]) -> Self {
        let word = |i: usize| words.get(i).map_or("", String::as_str);
        Self {
            status: word(1).parse().unwrap_or(255),
            how: word(2).to_owned(),
            level: match word(3) {
                "cgroup" => Containment::Cgroup,
                "subreaper" => Containment::Subreaper,
                _ => Containment::Group,
            },
            survivors: words.iter().skip(4).cloned().collect(),
        }
    }
}

fn say(scope: &Scope, stage: CancelStage, group: Option<u32>, survivors: u32) {
    scope.events().emit(EventKind::Cancel { stage, group, survivors });
}
