//! The relay's way: this machine fetches a blob once, and sends it on to hosts that cannot.
//!
//! # Theory of operation
//! The first host that needs a blob fetches it here, by the very code that fetches on a host, into a store of this
//! machine's; a blob that this machine's own cache has is taken from there. What was cut off stays in the store and is
//! gone on with, and what all hosts have got goes. Then each host gets the segments that it lacks, each proven as it
//! arrives, under the names that the hub's way uses. So what is cut off is gone on with, by whichever way, and the same
//! script proves the whole and gives it its name.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, Instant},
};

use super::{
    ModelError,
    cache::prove,
    fetch::{HELD, HELD_FOR, fetch, lacking, pass},
    manifest::ModelFile,
    parts::{Rest, Segment, rest},
    said::End,
    shipment::Shipment,
    small::muted,
    survey::{Look, survey},
    tally::Tally,
};
use crate::{
    scope::Scope,
    target::{
        Captured, Command, Source, Target, TargetError,
        local::{LocalOpener, local},
        supervisor::{Supervised, Supervision},
    },
    transfer::FileSource,
    vocab::{
        EventKind, Level, Origin,
        text::{human_bytes, sh_quote},
    },
};

/// Between two words about what comes to this machine.
const TELL: Duration = Duration::from_secs(10);

/// Brings one large blob to the host through this machine.
///
/// # Errors
/// As [`ModelError`].
pub async fn relay(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    cache: &str,
    file: &ModelFile,
    tally: &Tally,
) -> Result<(), ModelError> {
    shipment.passing();
    let path = spooled(scope, shipment, file, tally).await?;
    let (mut tries, mut held) = (0, Duration::ZERO);
    loop {
        let Some(parts) = lacking(scope, target, shipment, file, tally).await? else { break };
        let rest = rest(file.size, shipment.options.connections, &parts);
        tally.begin(rest.have);
        tries += 1;
        // What the beginning of a segment is in already must come apart first.
        if rest.fix.is_none() {
            match send(scope, target, shipment, cache, file, &path, &rest, tally).await {
                Ok(()) => {}
                // Somebody else may have brought it to its end meanwhile, and have cleared away what this was put beside.
                Err(error) => match lacking(scope, target, shipment, file, tally).await {
                    Ok(None) => break,
                    _ => return Err(error),
                },
            }
        }
        let whole = Rest {
            segments: rest.segments.iter().map(|segment| Segment { have: segment.len, ..*segment }).collect(),
            ..rest.clone()
        };
        match pass(scope, target, shipment, file, &whole, false, None, tally).await? {
            End::Done => {
                tally.settle(file.size);
                break;
            }
            End::Disk(why) => return Err(ModelError::Disk(why)),
            End::Held(who) => {
                if held == Duration::ZERO {
                    let note = format!("{}: {who} is fetching it already; waiting for it", file.path);
                    scope.notice(Level::Warning, note, None);
                }
                held += HELD;
                if held > HELD_FOR {
                    return Err(ModelError::Held(file.path.clone(), who));
                }
                tries -= 1;
                scope.race(tokio::time::sleep(HELD)).await.map_err(TargetError::from)?;
            }
            End::Wrong(got) if tries > 1 => return Err(ModelError::Wrong { path: file.path.clone(), got }),
            End::Wrong(_) => tally.again(),
            End::Broken(why) if tries > 2 => return Err(ModelError::Fetch { path: file.path.clone(), why }),
            _ if tries > 3 => {
                return Err(ModelError::Fetch { path: file.path.clone(), why: "its parts do not stay there".into() });
            }
            _ => {}
        }
    }
    shipment.passed_on();
    Ok(())
}

/// The blob as a file of this machine.
async fn spooled(scope: &Scope, shipment: &Shipment, file: &ModelFile, tally: &Tally) -> Result<PathBuf, ModelError> {
    let cell = shipment.cell(&file.blob);
    let folder = shipment.manifest.repo.folder();
    let made = cell.get_or_try_init(|| async {
        if let Some(here) = &shipment.here {
            let path = here.join(&folder).join("blobs").join(file.blob.as_str());
            if tokio::fs::metadata(&path).await.is_ok_and(|found| found.is_file() && found.len() == file.size) {
                scope.notice(Level::Info, format!("{} is in this machine's cache", file.path), None);
                // Not everybody who writes there looks at digests.
                let at = at(here);
                let wrong = prove(scope, &at, &shipment.manifest, &[file], false).await;
                at.close().await;
                match wrong?.pop() {
                    None => return Ok(path),
                    Some((_, why)) => {
                        scope.notice(Level::Warning, format!("{} there: {why}; not taken from it", file.path), None)
                    }
                }
            }
        }
        let cache = shipment.store().await?;
        scope.notice(Level::Info, format!("fetching {} to this machine first", file.path), None);
        let here = at(cache);
        let (muted, mut events) = muted(scope);
        let own = Tally::new(&muted, file.size, 0, Some(Origin::Hub));
        let fetched = {
            let mut fetched = pin!(async {
                room(&muted, &here, shipment, cache, file).await?;
                fetch(&muted, &here, shipment, file, &own).await
            });
            let mut told = Instant::now();
            loop {
                tokio::select! {
                    biased;
                    done = &mut fetched => break done,
                    Some(event) = events.recv() => match event.kind {
                        EventKind::Notice { level, text, hint } => scope.notice(level, text, hint),
                        EventKind::Progress { done, .. } if told.elapsed() >= TELL => {
                            told = Instant::now();
                            let (came, all) = (human_bytes(done), human_bytes(file.size));
                            scope.notice(Level::Info, format!("{}: {came} of {all} are here", file.path), None);
                        }
                        _ => {}
                    },
                }
            }
        };
        here.close().await;
        fetched.map_err(|error| match error {
            ModelError::Disk(why) => ModelError::Host(format!("this machine's disk, in {}: {why}", cache.display())),
            error => error,
        })?;
        tally.came(own.moved(Duration::ZERO).wan);
        Ok::<_, ModelError>(cache.join(&folder).join("blobs").join(file.blob.as_str()))
    });
    made.await.cloned()
}

/// Looks whether this machine has room for a blob that is passed on.
async fn room(
    scope: &Scope,
    here: &dyn Target,
    shipment: &Shipment,
    cache: &Path,
    file: &ModelFile,
) -> Result<(), ModelError> {
    let seen = survey(scope, here, &shipment.manifest, &[file], Look::All(None)).await?;
    let kept = seen.parts.get(&file.blob).map_or(0, |parts| rest(file.size, shipment.options.connections, parts).have);
    let wanted = if seen.has(file) { 0 } else { file.size - kept + file.size / 20 };
    match seen.free.filter(|free| *free < wanted && !shipment.options.force_disk) {
        None => Ok(()),
        Some(free) => Err(ModelError::Refused(
            format!(
                "this machine has {} free in {}, and {} are wanted to pass {} on",
                human_bytes(free),
                cache.display(),
                human_bytes(wanted),
                file.path
            ),
            Some("rbee cache prune makes room there, and XDG_CACHE_HOME names another place".into()),
        )),
    }
}

/// This machine, with that folder as its cache.
fn at(cache: &Path) -> Supervised<LocalOpener> {
    let env = vec![("HF_HUB_CACHE".to_owned(), cache.to_string_lossy().into_owned())];
    local(Supervision { env, ..Supervision::default() })
}

/// Puts each segment that is not whole there.
#[expect(clippy::too_many_arguments, reason = "one step of one loop")]
async fn send(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    cache: &str,
    file: &ModelFile,
    path: &std::path::Path,
    rest: &Rest,
    tally: &Tally,
) -> Result<(), ModelError> {
    let folder = format!("{cache}/{}/.rbee/{}", shipment.manifest.repo.folder(), file.blob);
    let own = |text: String| Command::own("relay", text);
    let said = |status: i32, said: &Captured| match status {
        0 => Ok(()),
        _ => Err(ModelError::Disk(said.last_words())),
    };
    let mut words = Captured::default();
    let quoted = sh_quote(&folder);
    let begin = format!("mkdir -p {quoted} && echo '{} {}' >{quoted}/cut", rest.cut, file.size);
    said(target.run(scope, &own(begin), &mut words).await?.status, &words)?;
    let whole = FileSource::open(path)
        .map_err(|error| ModelError::Host(format!("cannot read what was fetched here: {error}")))?;
    let mut have = rest.have;
    for segment in rest.segments.iter().filter(|segment| segment.have < segment.len) {
        let missing = || ModelError::Host("what was fetched here has become shorter".into());
        let mut source = whole.part(segment.start, segment.len).ok_or_else(missing)?;
        // Another run may be at the same.
        let part = format!("{folder}/r.{}.{}", segment.start, scope.events().run());
        let (muted, mut events) = muted(scope);
        let base = have - segment.have;
        let put = async {
            let put = target.put(&muted, &part, &mut Sized(&mut *source, segment.len)).await;
            drop(muted);
            put
        };
        let tell = async {
            while let Some(event) = events.recv().await {
                if let EventKind::Progress { done, .. } = event.kind {
                    tally.current(base + done);
                }
            }
        };
        let (put, ()) = tokio::join!(put, tell);
        put?;
        let keep = format!("mv -f {0} {1}", sh_quote(&part), sh_quote(&format!("{folder}/s.{}", segment.start)));
        let mut words = Captured::default();
        said(target.run(scope, &own(keep), &mut words).await?.status, &words)?;
        have = base + segment.len;
        tally.current(have);
        tally.passed_on(segment.len);
    }
    Ok(())
}

/// A part of a file that counts as a whole one.
struct Sized<'a>(&'a mut dyn Source, u64);

#[async_trait::async_trait]
impl Source for Sized<'_> {
    fn size(&self) -> u64 {
        self.1
    }

    async fn next(&mut self) -> std::io::Result<bytes::Bytes> {
        self.0.next().await
    }

    fn part(&self, from: u64, len: u64) -> Option<Box<dyn Source>> {
        let _ = (from, len);
        None
    }
}
