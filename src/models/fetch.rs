//! The hub's way: a host fetches a blob itself, by curl, and this machine sees to it that it gets there.
//!
//! # Theory of operation
//! One run of the script is one *pass*: it fetches what it can with one link and says in one word why it stopped. What
//! that word means is decided here: an expired link is replaced, a limit waited for, a wrong byte fetched once more. The
//! parts on the host are all that a pass knows of the one before it, so a pass that was killed is no other case. Nothing
//! that has moved within the limit is given up.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    ModelError,
    cache::prove,
    hub::Link,
    manifest::ModelFile,
    parts::{self, Parts, Rest},
    patience::{Patience, Trouble, waits_in},
    said::{End, Listener},
    script,
    shipment::Shipment,
    survey::{Look, survey},
    tally::Tally,
};
use crate::{
    scope::{Scope, Stop},
    target::{Target, TargetError},
    vocab::{Level, Secret, text::human_duration},
};

/// Pages that came instead of a file before that is an answer.
const PAGES: u32 = 4;
/// Links that were no good, one after the other, without a byte between them.
const LINKS: u32 = 4;
/// A look at who holds a blob.
pub const HELD: Duration = Duration::from_secs(2);
/// Who holds a blob for longer, and nothing of it comes, is not waited for.
pub const HELD_FOR: Duration = Duration::from_secs(600);

/// Brings one large blob to the host.
///
/// # Errors
/// It could not be brought; what came is kept there.
pub async fn fetch(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    file: &ModelFile,
    tally: &Tally,
) -> Result<(), ModelError> {
    let mut memory = Memory::default();
    loop {
        let Some(parts) = lacking(scope, target, shipment, file, tally).await? else { return Ok(()) };
        let connections = if memory.plain { 1 } else { shipment.options.connections };
        let parts = if memory.plain { whole(&parts) } else { parts };
        let rest =
            if memory.plain { whole_rest(file.size, &parts) } else { parts::rest(file.size, connections, &parts) };
        memory.see(rest.have);
        tally.begin(rest.have);
        let link = match memory.door {
            true => shipment.door(file)?,
            false => {
                let issued = shipment.link(scope, file, memory.bad).await?;
                memory.number = issued.number;
                issued.link
            }
        };
        let end = pass(scope, target, shipment, file, &rest, memory.plain, Some(link), tally).await?;
        match memory.judge(end, file, shipment.hub.endpoint(), tally)? {
            Next::Done => {
                tally.settle(file.size);
                return Ok(());
            }
            Next::Again(note, pause) => {
                if let Some(note) = note {
                    scope.notice(Level::Warning, format!("{}: {note}", file.path), None);
                }
                if tally.still() > shipment.options.stall {
                    let limit = human_duration(shipment.options.stall);
                    return Err(ModelError::Stalled { path: file.path.clone(), limit });
                }
                scope.race(tokio::time::sleep(pause)).await.map_err(TargetError::from)?;
            }
        }
    }
}

/// What the host has of a blob that is not whole there; one that is whole is settled.
pub async fn lacking(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    file: &ModelFile,
    tally: &Tally,
) -> Result<Option<Parts>, ModelError> {
    let mut seen = survey(scope, target, &shipment.manifest, &[file], Look::Files).await?;
    if seen.has(file) {
        // Whoever brought it may have looked at its length only.
        let files: &[&ModelFile] = if seen.has_proven(file) { &[] } else { &[file] };
        let Some((_, why)) = prove(scope, target, &shipment.manifest, files, true).await?.pop() else {
            tally.settle(file.size);
            return Ok(None);
        };
        scope.notice(Level::Warning, format!("{}: {why}; fetching it again", file.path), None);
    }
    Ok(Some(seen.parts.remove(&file.blob).unwrap_or_default()))
}

/// Without ranges only what begins at the beginning counts, and nothing of it can be gone on with.
fn whole(parts: &Parts) -> Parts {
    Parts { segments: parts.segments.clone(), base: 0, cut: None }
}

fn whole_rest(size: u64, parts: &Parts) -> Rest {
    let old = parts.segments.iter().map(|(start, _)| *start).collect();
    let segment = parts::Segment { start: 0, len: size, have: 0 };
    Rest { cut: size, segments: vec![segment], fix: None, old, have: 0 }
}

/// What was learned from the passes so far.
#[derive(Debug, Default)]
struct Memory {
    number: u64,
    /// The link that is no good.
    bad: Option<u64>,
    bad_links: u32,
    /// Links that were asked for here are of no use there: the host asks for its own.
    door: bool,
    pages: u32,
    wrong: bool,
    plain: bool,
    held: Duration,
    have: u64,
    patience: Patience,
}

enum Next {
    Done,
    Again(Option<String>, Duration),
}

impl Memory {
    /// Bytes that came since are a fresh start for everything but wrong ones.
    fn see(&mut self, have: u64) {
        if have > self.have {
            (self.bad_links, self.pages, self.held, self.patience) = (0, 0, Duration::ZERO, Patience::default());
        }
        self.have = have;
    }

    fn judge(&mut self, end: End, file: &ModelFile, hub: &str, tally: &Tally) -> Result<Next, ModelError> {
        let fail = |why: String| Err(ModelError::Fetch { path: file.path.clone(), why });
        let now = |note: &str| Ok(Next::Again((!note.is_empty()).then(|| note.to_owned()), Duration::ZERO));
        match end {
            End::Done => Ok(Next::Done),
            End::Held(who) => {
                let first = self.held == Duration::ZERO;
                self.held += HELD;
                if self.held > HELD_FOR {
                    return Err(ModelError::Held(file.path.clone(), who));
                }
                Ok(Next::Again(first.then(|| format!("{who} is fetching it already; waiting for it")), HELD))
            }
            End::Expired => {
                self.bad = Some(self.number);
                self.bad_links += 1;
                match self.bad_links {
                    1 => now("its link has expired; asking for another"),
                    2..LINKS => Ok(Next::Again(None, Duration::from_secs(1))),
                    _ if !self.door => {
                        (self.door, self.bad_links) = (true, 0);
                        now("links from here are refused there; the host asks the hub itself")
                    }
                    _ => fail("one link after the other was refused".into()),
                }
            }
            End::Page(status) => {
                self.pages += 1;
                self.bad = Some(self.number);
                if self.pages >= PAGES {
                    return fail(format!("the server sends a page instead of it (status {status})"));
                }
                let note = format!("a page came instead of it (status {status}); once more");
                Ok(Next::Again(Some(note), Duration::from_secs(u64::from(self.pages))))
            }
            End::Ranges if !self.plain => {
                self.plain = true;
                tally.again();
                now("the server has no ranges: one connection, which cannot go on where it stopped")
            }
            End::Ranges => fail("the server sends something else than it".into()),
            End::Limited(after, limit) => {
                let wait = waits_in(after.as_deref(), limit.as_deref());
                self.pause(Trouble { limited: true, wait, why: "the server asks for a pause (429)".into() }, file, hub)
            }
            End::Busy(why, after) => {
                let wait = waits_in(after.as_deref(), None);
                self.bad = Some(self.number);
                self.pause(Trouble { limited: false, wait, why: format!("the server: {why}") }, file, hub)
            }
            End::Network(why) => {
                self.bad = Some(self.number);
                self.pause(
                    Trouble {
                        limited: false,
                        wait: None,
                        why: if why.starts_with(|c: char| c.is_ascii_digit()) { format!("curl {why}") } else { why },
                    },
                    file,
                    hub,
                )
            }
            End::Wrong(got) => {
                tally.again();
                if std::mem::replace(&mut self.wrong, true) {
                    return Err(ModelError::Wrong { path: file.path.clone(), got });
                }
                self.bad = Some(self.number);
                now("wrong bytes came; fetching it once more")
            }
            End::Disk(why) => Err(ModelError::Disk(why)),
            End::Broken(why) => fail(why),
        }
    }

    fn pause(&mut self, trouble: Trouble, file: &ModelFile, hub: &str) -> Result<Next, ModelError> {
        match self.patience.next(&trouble, rand::random()) {
            Some(pause) => {
                let note = format!("{}; again in {}", trouble.why, human_duration(pause));
                Ok(Next::Again(Some(note), pause))
            }
            None => {
                let waited = human_duration(self.patience.waited());
                let why = format!("{} (for {waited}; the hub is {hub})", trouble.why);
                Err(ModelError::Fetch { path: file.path.clone(), why })
            }
        }
    }
}

/// Runs the script once. Without a link, all that is missing must be there in segments.
#[expect(clippy::too_many_arguments, reason = "one door for two ways")]
pub async fn pass(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    file: &ModelFile,
    rest: &Rest,
    plain: bool,
    link: Option<Link>,
    tally: &Tally,
) -> Result<End, ModelError> {
    let options = &shipment.options;
    let segments: Vec<String> = rest
        .segments
        .iter()
        .map(|segment| format!("{} {} {}", segment.start, segment.start + segment.len - 1, segment.len))
        .collect();
    let old: Vec<String> = rest.old.iter().map(|start| format!("s.{start}")).collect();
    let old = if plain { format!("base {}", old.join(" ")) } else { old.join(" ") };
    let fix = rest.fix.map(|(start, skip, new)| format!("{start} {skip} {new}")).unwrap_or_default();
    let workers = options.connections.min(u32::try_from(rest.segments.len()).unwrap_or(u32::MAX));
    let workers = if plain { 1 } else { workers };
    let door = link.as_ref().is_some_and(|link| link.door.is_some());
    let values = [
        ("M", shipment.manifest.repo.folder()),
        ("H", file.blob.to_string()),
        ("Z", file.size.to_string()),
        ("S", segments.join(" ")),
        ("CUT", rest.cut.to_string()),
        ("FIX", fix),
        ("OLD", old),
        ("W", workers.to_string()),
        ("R", shipment.rate(workers).to_string()),
        ("Q", options.silence.as_secs().max(1).to_string()),
        ("X", if plain { "plain".into() } else { String::new() }),
        ("DOOR", if door { "yes".into() } else { String::new() }),
        ("A", concat!("rbee/", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let by_hub = link.is_some();
    let command = script::command("fetch", &values, script::FETCH);
    let command = command.with_stdin(link.map_or_else(|| Secret::new("-"), |link| link.line()));
    let mut listener = Listener::new(Some(tally));
    let (scope, alarm) = scope.with_alarm();
    let done = CancellationToken::new();
    let stall = async {
        while tokio::time::timeout(Duration::from_secs(1), done.cancelled()).await.is_err() {
            if tally.still() > options.stall {
                let operation = format!("the next byte of {}", file.path);
                alarm.ring(Stop::TimedOut { operation, limit: options.stall });
            }
        }
    };
    let run = async {
        let result = target.run(&scope, &command, &mut listener).await;
        done.cancel();
        result
    };
    let (result, ()) = tokio::join!(run, stall);
    let arrived = listener.arrived.unwrap_or(rest.have);
    if by_hub {
        tally.came(arrived.saturating_sub(rest.have));
    }
    result?;
    Ok(listener.end())
}
