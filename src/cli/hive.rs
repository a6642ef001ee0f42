//! `rbee hive …`

use std::{
    fs::{self, OpenOptions},
    io::{IsTerminal, Write},
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt,
    process::Stdio,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use tokio::{
    io::{AsyncWriteExt, copy},
    net::{TcpListener, UnixStream},
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    Complaint,
    args::{Global, OutputForm, RunFlags},
    args_hive::{HiveCommand, RemoteFlags, ServeFlags},
    bench::Machine,
    places::Places,
    print,
    remote::{self, complain},
    table::table,
    tell,
};
use crate::{
    daemon::KNOWN,
    hive::{Desk, Door, Doors, Patience, serve, socket, token},
    job::{Closed, Limits, Registry},
    scope::CancelReason,
    vocab::{ExitCode, Limits as Times, text::human_duration},
    wire::job::JobState,
};

/// Whoever ends its own side may still wait for an answer; a client that is gone is let go after so long.
const LISTENING: Duration = Duration::from_secs(10);
/// Between two looks for jobs that ended long ago.
const EXPIRE: Duration = Duration::from_secs(600);

pub async fn run(global: &Global, command: HiveCommand) -> Result<ExitCode, Complaint> {
    match command {
        HiveCommand::Serve(flags) => serve_here(global, flags).await,
        HiveCommand::Status { remote } => status(global, &remote).await,
        HiveCommand::Token => print_token(),
        HiveCommand::DialStdio => dial_stdio().await,
    }
}

async fn serve_here(global: &Global, flags: ServeFlags) -> Result<ExitCode, Complaint> {
    if global.verbose < 2 {
        let level = if global.quiet { tracing::Level::WARN } else { tracing::Level::INFO };
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_max_level(level)
            .init();
    }
    // Before anybody can know that it is there, and end it.
    let signals = Signals::catch()?;
    let places = Places::find()?;
    let cannot = |what: &str, error: &dyn std::fmt::Display| Complaint {
        text: format!("cannot {what}: {error}"),
        hint: None,
        exit: ExitCode::Usage,
    };
    socket::make_dir(&places.hive()).map_err(|error| cannot("keep the hive's state", &error))?;
    let mut only = only_one(&places)?;
    let token = token::open(&places.token()).map_err(|error| cannot("use the token", &error))?;
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, flags.port)).await.map_err(|error| {
        cannot(&format!("listen on 127.0.0.1:{}", flags.port), &error)
            .hint("take another port with --port N, or a free one with --port 0")
    })?;
    let port = tcp.local_addr().map_err(|error| cannot("listen", &error))?.port();
    let unix =
        socket::listen(&places.sockets(), socket::HIVE).map_err(|error| cannot("listen on the socket", &error))?;
    let grace = flags.grace.unwrap_or(Times::default().grace);
    let limits = Limits {
        running: flags.jobs as usize,
        kept_for: flags.keep.unwrap_or(Limits::default().kept_for),
        confirm: grace + Duration::from_secs(5),
        ..Limits::default()
    };
    let jobs = places.jobs();
    let registry = tokio::task::spawn_blocking(move || Registry::open(jobs, limits)).await;
    let registry = registry.map_err(|error| cannot("start", &error))?.map_err(|error| cannot("start", &error))?;
    let (url, path) = (format!("http://127.0.0.1:{port}"), unix.path().display().to_string());
    let run = RunFlags { grace: Some(grace), ..RunFlags::default() };
    let door = Door::of_hive(registry.clone(), std::sync::Arc::new(Machine::new(global, run)));
    let stop = CancellationToken::new();
    let doors = Doors { unix, tcp: Some((tcp, token)) };
    let desk = Desk::open().map_err(|error| cannot("start", &error))?;
    let serving = desk.handle().spawn(serve(door, doors, Patience::default(), stop.clone(), Handle::current()));
    let expiring = tokio::spawn({
        let registry = registry.clone();
        async move {
            loop {
                tokio::time::sleep(EXPIRE).await;
                registry.expire();
            }
        }
    });
    record(&mut only, port).map_err(|error| cannot("write down which process serves", &error))?;
    match global.output {
        OutputForm::Json => {
            print(&format!("{}\n", json!({ "v": 1, "socket": path, "url": url, "pid": std::process::id() })));
        }
        _ => print(&format!("listening on unix:{path} and {url}\n")),
    }
    tracing::info!(socket = path, url, version = env!("CARGO_PKG_VERSION"), "hive");
    let closed = until_ended(&registry, signals).await?;
    expiring.abort();
    stop.cancel();
    let _ = serving.await;
    let _ = only.set_len(0);
    tracing::info!("hive ended");
    Ok(match closed {
        Closed::Clean => ExitCode::Ok,
        Closed::Unconfirmed(_) => ExitCode::Unconfirmed,
    })
}

/// One hive for one state: the lock goes with the process.
fn only_one(places: &Places) -> Result<Flock<fs::File>, Complaint> {
    let path = places.lock();
    let failed = |error: &dyn std::fmt::Display| Complaint::usage(format!("cannot lock {}: {error}", path.display()));
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(|e| failed(&e))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => {
            Complaint::usage("a hive of this user is running already").hint("look at it: rbee hive status")
        }
        error => failed(&error),
    })
}

/// Writes who serves into the file that is locked: what `rbee fleet hive` knows this process by, as a shell reads it.
fn record(file: &mut fs::File, port: u16) -> std::io::Result<()> {
    // A shell's own words, so that one that asks later finds the same: the start of its parent, and the boot.
    let script = format!("{KNOWN}boot; born \"$PPID\"; printf '%s %s' \"$s\" \"$b\"");
    let said = std::process::Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let program = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let line = format!("{} {said} {port} {} {program}", std::process::id(), env!("CARGO_PKG_VERSION"));
    file.set_len(0)?;
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())
}

/// What ends a hive from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Complaint> {
        let handler = |kind| signal(kind).map_err(|error| Complaint::usage(format!("cannot handle signals: {error}")));
        Ok(Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())? })
    }
}

/// Serves until a signal or a client ends it, and all jobs have ended.
async fn until_ended(registry: &Registry, mut signals: Signals) -> Result<Closed, Complaint> {
    let ended = async {
        registry.stopped_taking().await;
        registry.all_ended().await
    };
    tokio::pin!(ended);
    for nth in 1.. {
        let (name, reason) = tokio::select! {
            closed = ended.as_mut() => return Ok(closed),
            _ = signals.interrupt.recv() => ("SIGINT", CancelReason::Interrupt),
            _ = signals.terminate.recv() => ("SIGTERM", CancelReason::Terminate),
        };
        match nth {
            1 => {
                tracing::info!("{name}: ending all jobs");
                registry.stop_taking();
                registry.cancel_all(&format!("{name} to the hive"), reason);
            }
            2 => {
                tracing::warn!("{name}: ending without grace");
                registry.harden();
            }
            _ => break,
        }
    }
    tell(
        "rbee: left without looking; what runs on this machine ends with this process, hosts end what is left by themselves\n",
    );
    std::process::exit(i32::from(ExitCode::Unconfirmed.code()));
}

async fn status(global: &Global, remote: &RemoteFlags) -> Result<ExitCode, Complaint> {
    let client = match remote::named(global, remote).await? {
        Some(client) => client,
        None => remote::hive_here()?,
    };
    let found = client.capabilities().await.map_err(|error| complain(&error))?;
    let jobs = client.list().await.map_err(|error| complain(&error))?;
    let count = |state: JobState| jobs.iter().filter(|job| job.state.0 == state).count();
    let (running, queued) = (count(JobState::Running), count(JobState::Queued));
    if global.output == OutputForm::Json {
        let document = json!({
            "v": 1, "place": client.place(), "hive": found, "running": running, "queued": queued, "listed": jobs.len(),
        });
        print(&format!("{document:#}\n"));
        return Ok(ExitCode::Ok);
    }
    let uptime = human_duration(Duration::from_secs(found.uptime_s));
    print(&table(
        &["HIVE", "VERSION", "PID", "UPTIME", "RUNNING", "QUEUED", "JOBS"],
        &[vec![
            client.place(),
            found.version,
            found.pid.to_string(),
            uptime,
            running.to_string(),
            queued.to_string(),
            jobs.len().to_string(),
        ]],
    ));
    Ok(ExitCode::Ok)
}

fn print_token() -> Result<ExitCode, Complaint> {
    let path = Places::find()?.token();
    let token = token::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Complaint::usage("there is no token yet").hint("a hive makes it: rbee hive serve")
        }
        _ => Complaint::usage(format!("cannot read the token: {error}")),
    })?;
    print(&format!("{}\n", token.expose()));
    Ok(ExitCode::Ok)
}

/// Copies both ways until both ends are through.
async fn dial_stdio() -> Result<ExitCode, Complaint> {
    let path = remote::hive_socket()?;
    let stream = UnixStream::connect(&path).await.map_err(|error| Complaint {
        text: format!("cannot reach the hive at {}: {error}", path.display()),
        hint: None,
        exit: ExitCode::Failed,
    })?;
    let (mut from, mut to) = stream.into_split();
    let there = tokio::spawn(async move {
        let _ = copy(&mut tokio::io::stdin(), &mut to).await;
        tokio::time::sleep(LISTENING).await;
        let _ = to.shutdown().await;
    });
    let mut out = tokio::io::stdout();
    let _ = copy(&mut from, &mut out).await;
    let _ = out.flush().await;
    // The hive has said all; what may still come from the other end has nobody to go to. A read of stdin cannot be
    // ended, so the process is.
    there.abort();
    std::process::exit(i32::from(ExitCode::Ok.code()));
}
