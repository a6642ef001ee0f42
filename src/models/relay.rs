//! The relay's way: this machine fetches a blob once, and sends it on to hosts that cannot.
//!
//! # Theory of operation
//! The first host that needs a blob fetches it here, by the very code that fetches on a host, into the run's spool; a
//! blob that this machine's own cache has is taken from there. Then each host gets the segments that it lacks, each
//! proven as it arrives, under the names that the hub's way uses. So what is cut off is gone on with, by whichever way,
//! and the same script proves the whole and gives it its name.

use std::{path::PathBuf, time::Duration};

use super::{
    ModelError,
    fetch::{fetch, lacking, pass},
    manifest::ModelFile,
    parts::{Rest, Segment, rest},
    said::End,
    shipment::Shipment,
    small::muted,
    tally::Tally,
};
use crate::{
    scope::Scope,
    target::{Captured, Command, Source, Target, local::local, supervisor::Supervision},
    transfer::FileSource,
    vocab::{EventKind, Level, Origin, text::sh_quote},
};

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
    let path = spooled(scope, shipment, file, tally).await?;
    let mut tries = 0;
    loop {
        let Some(parts) = lacking(scope, target, shipment, file, tally).await? else { return Ok(()) };
        let rest = rest(file.size, shipment.options.connections, &parts);
        tally.begin(rest.have);
        // What the beginning of a segment is in already must come apart first.
        if rest.fix.is_none() {
            send(scope, target, shipment, cache, file, &path, &rest, tally).await?;
        }
        let whole = Rest {
            segments: rest.segments.iter().map(|segment| Segment { have: segment.len, ..*segment }).collect(),
            ..rest.clone()
        };
        tries += 1;
        match pass(scope, target, shipment, file, &whole, false, None, tally).await? {
            End::Done => {
                tally.settle(file.size);
                return Ok(());
            }
            End::Disk(why) => return Err(ModelError::Disk(why)),
            End::Held(who) => return Err(ModelError::Held(file.path.clone(), who)),
            End::Wrong(got) if tries > 1 => return Err(ModelError::Wrong { path: file.path.clone(), got }),
            End::Wrong(_) => tally.again(),
            End::Broken(why) if tries > 2 => return Err(ModelError::Fetch { path: file.path.clone(), why }),
            _ if tries > 3 => {
                return Err(ModelError::Fetch { path: file.path.clone(), why: "its parts do not stay there".into() });
            }
            _ => {}
        }
    }
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
                return Ok(path);
            }
        }
        let cache = shipment.spool().await?.join("hub");
        scope.notice(Level::Info, format!("fetching {} to this machine first", file.path), None);
        let env = vec![("HF_HUB_CACHE".to_owned(), cache.to_string_lossy().into_owned())];
        let here = local(Supervision { env, ..Supervision::default() });
        let (muted, _events) = muted(scope);
        let own = Tally::new(&muted, file.size, 0, Some(Origin::Hub));
        let fetched = fetch(&muted, &here, shipment, file, &own).await;
        here.close().await;
        fetched?;
        tally.came(own.moved(Duration::ZERO).wan);
        Ok::<_, ModelError>(cache.join(&folder).join("blobs").join(file.blob.as_str()))
    });
    made.await.cloned()
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
    let begin = format!("mkdir -p {quoted} && echo '{} {}' >{quoted}/cut && rm -f {quoted}/r.*", rest.cut, file.size);
    said(target.run(scope, &own(begin), &mut words).await?.status, &words)?;
    let whole = FileSource::open(path)
        .map_err(|error| ModelError::Host(format!("cannot read what was fetched here: {error}")))?;
    let mut have = rest.have;
    for segment in rest.segments.iter().filter(|segment| segment.have < segment.len) {
        let missing = || ModelError::Host("what was fetched here has become shorter".into());
        let mut source = whole.part(segment.start, segment.len).ok_or_else(missing)?;
        let part = format!("{folder}/r.{}", segment.start);
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
