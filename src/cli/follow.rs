//! Showing a job that runs elsewhere, as if it ran here.

use std::{
    io,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    Complaint,
    args::{Global, OutputForm, RunFlags},
    output::{self, Kind},
    print,
    remote::complain,
    tell,
};
use crate::{
    client::{Client, Follow},
    report::{Lines, Reader},
    vocab::{Event, EventKind, ExitCode, Level, Limits, RunId, text::printable},
    wire::job::{JobBody, JobRecord, JobState, StreamLine},
};

/// For the request; what it leads to has a limit of its own.
const CANCEL: Duration = Duration::from_secs(2);
/// Beyond the grace, for the last event.
const CONFIRM: Duration = Duration::from_secs(5);
/// Events that wait for the screen.
const WAITING: usize = 1000;

/// What Ctrl+C means to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Submitted here: it ends the job.
    Owner,
    /// Looks on: it leaves.
    Guest,
}

/// Shows a job from behind event `seen` to its end; the exit status is the job's.
pub async fn follow(
    global: &Global,
    client: &Client,
    id: &str,
    verb: &str,
    seen: u64,
    interest: Interest,
) -> Result<ExitCode, Complaint> {
    let handler = |kind| signal(kind).map_err(|error| Complaint::usage(format!("cannot handle signals: {error}")));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let show = Show::start(global, verb)?;
    let mut follow = Follow::new(client.clone(), id, seen);
    let mut asked: Option<Instant> = None;
    let patience = Limits::default().grace + CONFIRM;
    let ended = loop {
        let late = async {
            match asked {
                Some(at) => tokio::time::sleep_until(at + patience).await,
                None => std::future::pending().await,
            }
        };
        let code = tokio::select! {
            biased;
            _ = interrupt.recv() => ExitCode::Interrupted,
            _ = terminate.recv() => ExitCode::Terminated,
            () = late => {
                tell(&format!("rbee: no word of the job's end within {}; look again: rbee job get {id}\n",
                    crate::vocab::text::human_duration(patience)));
                break Ok(ExitCode::Unconfirmed);
            }
            line = follow.next() => match line {
                Ok(Some(line)) => match show.line(line).await {
                    Some(exit) => break Ok(exit),
                    None => continue,
                },
                Ok(None) => break Ok(ended_before(client, id).await?),
                Err(error) if asked.is_some() => {
                    tell(&format!("rbee: {error}\n"));
                    break Ok(ExitCode::Unconfirmed);
                }
                Err(error) => break Err(complain(&error)),
            },
        };
        match (interest, asked) {
            (Interest::Guest, _) => {
                tell(&format!("rbee: left; the job goes on (end it: rbee job cancel {id})\n"));
                break Ok(code);
            }
            (Interest::Owner, None) => {
                tell("rbee: ending the job; once more leaves without waiting\n");
                asked = Some(Instant::now());
                let (client, id) = (client.clone(), id.to_owned());
                tokio::spawn(async move {
                    // Late is no failure: the answer comes when the job has ended, and so does its last event.
                    if let Err(error) = client.cancel(&id, CANCEL).await
                        && !matches!(error, crate::client::ClientError::Late { .. })
                    {
                        tell(&format!("rbee: the hive was not told: {error}\n"));
                    }
                });
            }
            (Interest::Owner, Some(_)) => {
                tell(&format!("rbee: left without looking; the hive goes on ending the job: rbee job get {id}\n"));
                break Ok(ExitCode::Unconfirmed);
            }
        }
    };
    show.finish().await;
    ended
}

/// The exit status of a job that ended before anybody looked.
async fn ended_before(client: &Client, id: &str) -> Result<ExitCode, Complaint> {
    let form = client.get(id).await.map_err(|error| complain(&error))?;
    if let Some(reason) = &form.reason {
        tell(&format!("rbee: job {id} {}: {}\n", form.state.0, printable(reason)));
    }
    Ok(exit_of(form.exit, form.state.0))
}

fn exit_of(exit: Option<u8>, state: JobState) -> ExitCode {
    let known = [
        ExitCode::Ok,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::NoHosts,
        ExitCode::Unreachable,
        ExitCode::Refused,
        ExitCode::Unconfirmed,
        ExitCode::Changes,
        ExitCode::Bug,
        ExitCode::Deadline,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];
    let found = exit.and_then(|code| known.into_iter().find(|known| known.code() == code));
    found.unwrap_or(if state == JobState::Completed { ExitCode::Ok } else { ExitCode::Failed })
}

/// The readers that a run of one's own would have, on a thread of their own; or the lines as they came.
struct Show {
    readers: Option<(mpsc::Sender<Event>, JoinHandle<Vec<io::Error>>)>,
}

impl Show {
    fn start(global: &Global, verb: &str) -> Result<Self, Complaint> {
        if global.output == OutputForm::Json {
            return Ok(Self { readers: None });
        }
        let lines = if matches!(verb, "exec" | "logs") { Lines::Data } else { Lines::Talk };
        let color = super::context::color(global);
        let readers = output::readers(global, &RunFlags::default(), Kind::Run(lines), color, None, false).readers;
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = spawn(receiver, readers);
        let thread = thread.map_err(|error| Complaint::usage(format!("cannot start a thread: {error}")))?;
        Ok(Self { readers: Some((sender, thread)) })
    }

    /// Shows a line; the last one yields the exit status.
    async fn line(&self, line: StreamLine) -> Option<ExitCode> {
        let end = match &line {
            StreamLine::Job(JobRecord { body: JobBody::JobFinished { state, exit, .. }, .. }) => {
                Some(exit_of(*exit, state.0))
            }
            _ => None,
        };
        let Some((sender, _)) = &self.readers else {
            print(&format!("{}\n", line.to_line()));
            return end;
        };
        let event = match line {
            StreamLine::Event(record) => record.into_event().ok(),
            StreamLine::Job(record) => notice(record),
        };
        if let Some(event) = event {
            // Readers end only when this does.
            let _ = sender.send(event).await;
        }
        end
    }

    async fn finish(self) {
        let Some((sender, thread)) = self.readers else { return };
        drop(sender);
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        for error in joined.ok().and_then(Result::ok).unwrap_or_default() {
            tell(&format!("rbee: {error}\n"));
        }
    }
}

/// What a job says about itself, as a person wants to hear it.
fn notice(record: JobRecord) -> Option<Event> {
    let (level, text) = match record.body {
        JobBody::JobCancel { by } => (Level::Warning, format!("cancelled by {by}")),
        JobBody::JobFinished { state, reason: Some(reason), .. } if state.0 != JobState::Completed => {
            (Level::Warning, format!("job {} {}: {reason}", record.job, state.0))
        }
        _ => return None,
    };
    let kind = EventKind::Notice { level, text, hint: None };
    let run = RunId::new(&record.run).ok()?;
    Some(Event { seq: record.seq, at: record.at, run, host: None, phase: None, kind })
}

fn spawn(
    mut events: mpsc::Receiver<Event>,
    mut readers: Vec<Box<dyn Reader>>,
) -> io::Result<JoinHandle<Vec<io::Error>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("report".into()).spawn(move || {
        runtime.block_on(async {
            let period = readers.iter().map(|reader| reader.period()).min().unwrap_or(Duration::from_secs(1));
            let mut next = Instant::now() + period;
            loop {
                match timeout_at(next, events.recv()).await {
                    Ok(Some(event)) => readers.iter_mut().for_each(|reader| reader.event(&event)),
                    Ok(None) => return,
                    Err(_) => {}
                }
                if Instant::now() >= next {
                    readers.iter_mut().for_each(|reader| reader.tick(SystemTime::now()));
                    next = Instant::now() + period;
                }
            }
        });
        readers.iter_mut().filter_map(|reader| reader.finish().err()).collect()
    })
}
