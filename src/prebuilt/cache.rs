//! Published programs that were loaded before.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use minisign_verify::{PublicKey, Signature};

use super::{
    Asset, PrebuiltError,
    load::{client, file, text},
    shape::{Shape, make_executable, shape},
};
use crate::{
    archive,
    preflight::binary::inspect,
    scope::Scope,
    transfer::{file_digest, tree::Tree},
    vocab::{Digest, WorkerId, text::printable},
};

const SUMS_BYTES: usize = 1 << 20;
const SIGNATURE_BYTES: usize = 8 << 10;
const BUNDLE_BYTES: usize = 256 << 10;
/// How many names one sentence has.
const NAMED: usize = 5;
/// Whoever made a draft is gone by then.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// A published program, ready to be sent.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub form: Form,
    /// Of the file, or the sum of the tree.
    pub digest: Digest,
    pub size: u64,
    /// While this is held, nobody prunes it.
    pub used: Arc<File>,
}

#[derive(Debug, Clone)]
pub enum Form {
    File(PathBuf),
    Tree(Arc<Tree>),
}

/// The program of an asset: from the folder `dir`, or else loaded and kept there.
///
/// # Errors
/// As [`PrebuiltError`]; nothing is kept then.
pub async fn fetch(scope: &Scope, dir: &Path, asset: &Asset) -> Result<Fetched, PrebuiltError> {
    let client = client()?;
    let want = match (&asset.sha256, &asset.sums) {
        (Some(sum), _) => Some(*sum),
        (None, Some(url)) => Some(listed(url, &text(scope, &client, url, SUMS_BYTES).await?, asset.file_name())?),
        (None, None) => None,
    };
    // What was loaded with this checksum under these signers had the right signatures then. Without a checksum, the
    // signatures are what there is to be known by.
    let mut signatures = None;
    let known = match want {
        Some(want) => want.to_string(),
        None if asset.is_signed() => signatures.insert(Signatures::load(scope, &client, asset).await?).text(),
        None => {
            let why = "it has neither a checksum nor a signature".to_owned();
            return Err(PrebuiltError::Load { url: asset.url.clone(), why });
        }
    };
    let key = asset.sum_of(&[&known, &asset.signers()]);
    let place = dir.join(key.to_string());
    if let Some(found) = kept(&place, asset).await {
        return Ok(found);
    }
    let signatures = match signatures {
        Some(loaded) => loaded,
        None => Signatures::load(scope, &client, asset).await?,
    };
    let draft = Draft::begin(dir, &key)?;
    let path = draft.0.join("asset");
    let created = File::options().read(true).write(true).create_new(true).open(&path);
    let mut loaded = created.map_err(|error| cannot(dir, &error))?;
    load(scope, &client, asset, want, &signatures, &mut loaded).await?;
    let fetched = keep(draft, &place, asset, loaded).await;
    scope.check()?;
    fetched
}

/// What an archive of this machine comes to, as if it were published.
///
/// # Errors
/// As [`fetch`].
pub async fn local(dir: &Path, worker: &WorkerId, path: &Path) -> Result<Fetched, PrebuiltError> {
    let url = path.display().to_string();
    let read = |why: String| PrebuiltError::Load { url: url.clone(), why };
    let (digest, _) = file_digest(path).await.map_err(|error| read(error.to_string()))?;
    let asset = Asset::local(worker, &url, digest);
    let key = asset.sum_of(&[&digest.to_string()]);
    let place = dir.join(key.to_string());
    if let Some(found) = kept(&place, &asset).await {
        return Ok(found);
    }
    let draft = Draft::begin(dir, &key)?;
    let file = File::open(path).map_err(|error| read(error.to_string()))?;
    keep(draft, &place, &asset, file).await
}

/// Unpacks `loaded`, and keeps what comes out.
async fn keep(draft: Draft, place: &Path, asset: &Asset, mut loaded: File) -> Result<Fetched, PrebuiltError> {
    let content = |why: String| PrebuiltError::Content { url: asset.url.clone(), why };
    let unpacking = {
        let (asset, into) = (asset.clone(), draft.0.join("files"));
        move || unpack(&mut loaded, &into, &asset)
    };
    let unpacked = tokio::task::spawn_blocking(unpacking).await;
    let form = unpacked.map_err(|error| content(error.to_string()))?.map_err(content)?;
    let _ = fs::remove_file(draft.0.join("asset"));
    // Where it is relative to the draft, and its sum: that makes it whole.
    let (at, digest, _) = measured(&form, asset).await.map_err(content)?;
    let at = at.strip_prefix(&draft.0).unwrap_or(&at).to_owned();
    let kind = if matches!(form, Shape::File(_)) { "file" } else { "tree" };
    let text = format!("{kind} {digest}\n{}\n", at.display());
    fs::write(draft.0.join("sum"), text).map_err(|error| cannot(place, &error))?;
    let _ = fs::remove_dir_all(place);
    match fs::rename(&draft.0, place) {
        // Somebody else was faster with the same.
        Err(error) if !place.exists() => return Err(cannot(place, &error)),
        _ => {}
    }
    kept(place, asset).await.ok_or_else(|| content("what was unpacked is gone".into()))
}

fn cannot(path: &Path, error: &std::io::Error) -> PrebuiltError {
    PrebuiltError::Cache { path: path.display().to_string(), why: error.to_string() }
}

async fn load(
    scope: &Scope,
    client: &reqwest::Client,
    asset: &Asset,
    want: Option<Digest>,
    signatures: &Signatures,
    into: &mut File,
) -> Result<(), PrebuiltError> {
    let unsigned = |error: minisign_verify::Error| PrebuiltError::Signature {
        url: asset.url.clone(),
        why: printable(&error.to_string()).into_owned(),
    };
    let got = match (&asset.minisign, &signatures.minisign) {
        (Some(key), Some(signature)) => {
            let key = PublicKey::from_base64(key).map_err(unsigned)?;
            let signature = Signature::decode(signature).map_err(unsigned)?;
            let mut verifier = key.verify_stream(&signature).map_err(unsigned)?;
            let got = file(scope, client, &asset.url, into, |bytes| verifier.update(bytes)).await?;
            verifier.finalize().map_err(unsigned)?;
            got
        }
        _ => file(scope, client, &asset.url, into, |_| {}).await?,
    };
    if let Some(want) = want.filter(|want| *want != got) {
        return Err(PrebuiltError::Digest { url: asset.url.clone(), want, got });
    }
    match (&asset.sigstore, &signatures.bundle) {
        (Some(signer), Some(bundle)) => {
            signer.check(bundle, &got).map_err(|why| PrebuiltError::Signature { url: asset.url.clone(), why })
        }
        _ => Ok(()),
    }
}

/// What is published beside an asset to prove it, of each kind that its entry names.
struct Signatures {
    minisign: Option<String>,
    bundle: Option<String>,
}

impl Signatures {
    async fn load(scope: &Scope, client: &reqwest::Client, asset: &Asset) -> Result<Self, PrebuiltError> {
        let beside = |end: &str| format!("{}{end}", asset.url);
        let mut found = Self { minisign: None, bundle: None };
        if asset.minisign.is_some() {
            found.minisign = Some(text(scope, client, &beside(".minisig"), SIGNATURE_BYTES).await?);
        }
        if asset.sigstore.is_some() {
            found.bundle = Some(text(scope, client, &beside(".sigstore.json"), BUNDLE_BYTES).await?);
        }
        Ok(found)
    }

    fn text(&self) -> String {
        [&self.minisign, &self.bundle].map(|text| text.as_deref().unwrap_or_default()).join("\0")
    }
}

/// The checksum of a file in a list as `sha256sum` writes it, or in a list of nothing but one.
fn listed(url: &str, text: &str, name: &str) -> Result<Digest, PrebuiltError> {
    let lines: Vec<(Digest, &str)> = text
        .lines()
        .filter_map(|line| {
            let (sum, rest) = line.split_at_checked(64)?;
            let name = rest.trim_start_matches([' ', '*', '\t']).trim_end();
            Some((Digest::parse(sum).ok()?, name.trim_start_matches("./")))
        })
        .collect();
    if let Some((sum, _)) = lines.iter().find(|(_, listed)| *listed == name) {
        return Ok(*sum);
    }
    if let [(sum, "")] = lines[..] {
        return Ok(sum);
    }
    let mut have: Vec<String> = lines.iter().map(|(_, name)| printable(name).chars().take(80).collect()).collect();
    let more = have.len().saturating_sub(NAMED);
    have.truncate(NAMED);
    let have = match (have.is_empty(), more) {
        (true, _) => "none at all".to_owned(),
        (false, 0) => have.join(", "),
        (false, more) => format!("{} and {more} more", have.join(", ")),
    };
    Err(PrebuiltError::NotListed { sums: url.to_owned(), name: name.to_owned(), have })
}

fn unpack(loaded: &mut File, into: &Path, asset: &Asset) -> Result<Shape, String> {
    let plain = |error: std::io::Error| error.to_string();
    fs::create_dir(into).map_err(plain)?;
    loaded.seek(SeekFrom::Start(0)).map_err(plain)?;
    let bare = asset.worker.as_str();
    archive::unpack(loaded, into, bare, archive::Limits::default()).map_err(|error| error.to_string())?;
    let shape = shape(into, asset)?;
    let entry = match &shape {
        Shape::File(path) => path.clone(),
        Shape::Tree(tree) => tree.entry_path(),
    };
    make_executable(&entry).map_err(plain)?;
    let mut program = File::open(&entry).map_err(plain)?;
    inspect(&mut program).map_err(|error| error.to_string())?;
    Ok(shape)
}

/// Where it is, its sum and its size.
async fn measured(shape: &Shape, asset: &Asset) -> Result<(PathBuf, Digest, u64), String> {
    match shape {
        Shape::File(path) => {
            let (digest, size) = file_digest(path).await.map_err(|error| error.to_string())?;
            Ok((path.clone(), digest, size))
        }
        Shape::Tree(tree) => {
            let (owned, worker) = (tree.clone(), asset.worker.clone());
            let summed = tokio::task::spawn_blocking(move || owned.digest(&worker)).await;
            let digest = summed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            Ok((tree.root.clone(), digest, tree.size))
        }
    }
}

/// What is kept, if it still has its sum; a damaged one is as if it were not there.
async fn kept(place: &Path, asset: &Asset) -> Option<Fetched> {
    let mut used = File::open(place.join("sum")).ok()?;
    used.lock_shared().ok()?;
    let mut text = String::new();
    used.read_to_string(&mut text).ok()?;
    let (kind, at) = text.split_once('\n')?;
    let (kind, want) = kind.split_once(' ')?;
    let want = Digest::parse(want).ok()?;
    let at = place.join(at.trim_end());
    let shape = match kind {
        "file" => Shape::File(at),
        _ => Shape::Tree(Tree::open(&at, asset.entry.as_deref(), &asset.worker).ok()?),
    };
    let (_, digest, size) = measured(&shape, asset).await.ok()?;
    if digest != want {
        tracing::warn!(place = %place.display(), "a kept program is damaged and is loaded anew");
        return None;
    }
    let form = match shape {
        Shape::File(path) => Form::File(path),
        Shape::Tree(tree) => Form::Tree(Arc::new(tree)),
    };
    // Only for whoever prunes.
    let _ = used.set_modified(SystemTime::now());
    Some(Fetched { form, digest, size, used: Arc::new(used) })
}

/// A folder that goes away unless it was renamed.
struct Draft(PathBuf);

impl Draft {
    fn begin(dir: &Path, key: &Digest) -> Result<Self, PrebuiltError> {
        fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
        sweep(dir);
        let draft = Self(dir.join(format!(".{key}.{:08x}", rand::random::<u32>())));
        fs::create_dir(&draft.0).map_err(|error| cannot(dir, &error))?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes drafts that nobody finished.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let hidden = entry.file_name().to_str().is_some_and(|name| name.starts_with('.'));
        let old = entry.metadata().and_then(|data| data.modified());
        if hidden && old.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > OLD)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_checksums_is_read_as_it_is_written() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let text = format!("# ours\n{a}  x.tar.gz\n{b} *./y.tar.gz\nnonsense\n");
        assert_eq!(listed("u", &text, "y.tar.gz").unwrap(), Digest::new([0xbb; 32]));
        let error = listed("u", &text, "z.tar.gz").unwrap_err().to_string();
        assert_eq!(error, "u has no checksum of z.tar.gz; it has x.tar.gz, y.tar.gz");
        assert_eq!(listed("u", &format!("{a}\n"), "any").unwrap(), Digest::new([0xaa; 32]));
        assert!(listed("u", "é".repeat(64).as_str(), "any").unwrap_err().to_string().contains("none at all"));
    }

    #[test]
    fn https_stays_https() {
        let may = |from: &str, to: &str| super::super::may_follow(&from.parse().unwrap(), &to.parse().unwrap());
        assert!(
            may("https://a/x", "https://b/y") && may("http://a/x", "https://b/y") && may("http://a/x", "http://b/y")
        );
        assert!(
            !may("https://a/x", "http://a/x")
                && !may("http://a/x", "ftp://a/x")
                && !may("https://a/x", "file:///etc/passwd")
        );
    }
}
