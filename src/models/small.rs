//! Small files: fetched here once, and sent to each host in one bundle.
//!
//! They may need the token, which stays here, and a host that asked for each of them would ask the hub once a file.

use std::{io, path::PathBuf};

use super::{
    ModelError,
    manifest::ModelFile,
    said::{End, Listener},
    script,
    shipment::Shipment,
    tally::Tally,
};
use crate::{
    scope::Scope,
    target::{Command, Source, Target},
    transfer::FileSource,
    vocab::text::sh_quote,
};

/// Bytes of one bundle.
const MOST: u64 = 64 << 20;
/// Files of one bundle: a script lists them.
const MOST_FILES: usize = 800;

/// Brings these small blobs to the host.
///
/// # Errors
/// As [`ModelError`].
pub async fn send(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    cache: &str,
    files: &[&ModelFile],
    tally: &Tally,
) -> Result<(), ModelError> {
    let paths = shipment.small(scope, files).await?;
    let mut rest = files;
    while !rest.is_empty() {
        let mut sum = 0_u64;
        let fits = rest.iter().take(MOST_FILES).take_while(|file| {
            sum = sum.saturating_add(file.size);
            sum <= MOST
        });
        let (some, after) = rest.split_at(fits.count().max(1));
        rest = after;
        let listed: Vec<(String, PathBuf)> =
            some.iter().filter_map(|file| Some((file.blob.to_string(), paths.get(&file.blob)?.clone()))).collect();
        bundle(scope, target, shipment, cache, some, listed).await?;
        let bytes = some.iter().map(|file| file.size).sum();
        tally.settle(bytes);
        tally.passed_on(bytes);
    }
    Ok(())
}

async fn bundle(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    cache: &str,
    files: &[&ModelFile],
    listed: Vec<(String, PathBuf)>,
) -> Result<(), ModelError> {
    let here = tempfile_in(shipment, scope).await?;
    let cannot = |error: io::Error| ModelError::Host(format!("cannot bundle the small files: {error}"));
    let packed = here.clone();
    let pack = move || -> io::Result<()> {
        let mut tar = tar::Builder::new(io::BufWriter::new(std::fs::File::create(packed)?));
        for (name, path) in listed {
            tar.append_path_with_name(path, name)?;
        }
        tar.into_inner()?.into_inner().map_err(|error| error.into_error())?.sync_data()
    };
    tokio::task::spawn_blocking(pack).await.map_err(io::Error::other).and_then(|packed| packed).map_err(cannot)?;
    let folder = shipment.manifest.repo.folder();
    let bundle = format!("{cache}/{folder}/.rbee/{}.tar", scope.events().run());
    let clear = format!("mkdir -p {0} && rm -f {1}", sh_quote(&format!("{cache}/{folder}/.rbee")), sh_quote(&bundle));
    let mut said = Listener::new(None);
    let exit = target.run(scope, &Command::own("make room", clear), &mut said).await?;
    if exit.status != 0 {
        return Err(ModelError::Disk(format!("cannot make folders below {cache}")));
    }
    let mut source = FileSource::open(&here).map_err(cannot)?;
    let (muted, _events) = muted(scope);
    let put = target.put(&muted, &bundle, &mut source as &mut dyn Source).await;
    let _ = tokio::fs::remove_file(&here).await;
    put?;
    let blobs: Vec<String> = files.iter().map(|file| format!("{} {}", file.blob, file.size)).collect();
    let values = [("M", folder.as_str()), ("N", &bundle), ("BLOBS", &blobs.join(" "))];
    let mut said = Listener::new(None);
    target.run(scope, &script::command("take the small files", &values, script::TAKE), &mut said).await?;
    match said.end() {
        End::Done => Ok(()),
        End::Disk(why) => Err(ModelError::Disk(why)),
        End::Wrong(got) => Err(ModelError::Wrong { path: "a small file".into(), got }),
        other => Err(ModelError::Host(format!("the small files could not be taken: {other:?}"))),
    }
}

async fn tempfile_in(shipment: &Shipment, scope: &Scope) -> Result<PathBuf, ModelError> {
    let host = scope.events().host().map(ToString::to_string).unwrap_or_default();
    let name = format!("{:016x}{:x}.tar", rand::random::<u64>(), host.len());
    Ok(shipment.spool().await?.join(name))
}

/// The same scope, whose progress nobody hears: it is a part of another one's.
pub fn muted(scope: &Scope) -> (Scope, crate::scope::EventReceiver) {
    let (emitter, receiver) = crate::scope::events(scope.events().run().clone());
    (Scope::new(scope.cancel().clone(), emitter), receiver)
}
