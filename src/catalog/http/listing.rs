//! Entries of a catalog's list, in both of its schemas: the one with names like `worker_type`, an entry a variant; and the
//! one with names like `workerType` and its variants in a list.

use std::collections::HashSet;

use reqwest::Url;
use serde_json::{Map, Value};

use super::super::{
    BuildSettings, Offer, SourceTree,
    entry::{ACCELERATORS, Entry, amend, family_of},
    srcinfo::is_plain,
};
use crate::vocab::{Accelerator, WorkerId, WorkerMeta, text::printable};

const TEXT_BYTES: usize = 4000;
const WORD_BYTES: usize = 128;
const LIST_ITEMS: usize = 256;
const WORKERS: usize = 2000;
const VARIANTS: usize = 16;
/// Of fields that are only kept.
const UNKNOWN_BYTES: usize = 64 << 10;
const PATH_BYTES: usize = 512;

/// The names of all fields that have a type here, as the first schema writes them.
const FIELDS: [&str; 24] = [
    "id",
    "implementation",
    "worker_type",
    "version",
    "platforms",
    "architectures",
    "name",
    "description",
    "license",
    "pkgbuild_url",
    "build_system",
    "source",
    "build",
    "depends",
    "makedepends",
    "binary_name",
    "install_path",
    "supported_formats",
    "max_context_length",
    "supports_streaming",
    "supports_batching",
    // Of the second schema, and our own.
    "variants",
    "files",
    "rbee",
];

/// One worker of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub entry: Entry,
    pub version: Option<String>,
    /// What the catalog calls it: the id, or that of the worker whose variant it is.
    pub called: WorkerId,
    pub recipe: Url,
    /// Paths of further files of the recipe.
    pub files: Vec<String>,
    /// What `rbee` says, as the worker.toml that it is.
    pub table: Option<String>,
}

/// What a list has, and what had to be left out of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub found: Vec<Found>,
    pub problems: Vec<String>,
}

/// Reads a whole list.
///
/// # Errors
/// A fragment, when the text as a whole is none.
pub fn read(base: &Url, body: &[u8]) -> Result<Listing, String> {
    let document = document(body)?;
    let entries = match &document {
        Value::Array(entries) => entries,
        Value::Object(map) => {
            map.get("workers").and_then(Value::as_array).ok_or("is no list of workers: it has no \"workers\"")?
        }
        _ => return Err("is no list of workers".into()),
    };
    if entries.len() > WORKERS {
        return Err(format!("lists more than {WORKERS} workers"));
    }
    let mut listing = Listing::default();
    let mut known = HashSet::new();
    for (place, entry) in entries.iter().enumerate() {
        let (found, problems) = one(base, place, entry);
        listing.problems.extend(problems);
        for found in found {
            let id = &found.entry.worker.id;
            if known.insert(id.clone()) {
                listing.found.push(found);
            } else {
                listing.problems.push(format!("worker {:?} is there twice; the first one is taken", id.as_str()));
            }
        }
    }
    Ok(listing)
}

/// Reads the answer for one worker, and finds `id` in it.
///
/// # Errors
/// A fragment that says what is wrong with it.
pub fn read_one(base: &Url, body: &[u8], id: &WorkerId) -> Result<Found, String> {
    let (found, problems) = one(base, 0, &document(body)?);
    let wanted = found.into_iter().find(|found| found.entry.worker.id == *id);
    wanted.ok_or_else(|| problems.into_iter().next().unwrap_or_else(|| format!("has no worker {:?}", id.as_str())))
}

/// # Errors
/// A fragment, when the text is no JSON.
pub fn document(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| match std::str::from_utf8(body) {
        Ok(text) if super::pkgbuild::is_page(text) => "is a web page, not JSON".to_owned(),
        _ => format!("is not JSON: {error}"),
    })
}

/// The workers that one entry stands for, and what is wrong with those that are missing.
fn one(base: &Url, place: usize, entry: &Value) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let Some(map) = entry.as_object() else {
        return (found, vec![format!("entry {} is not an object", place + 1)]);
    };
    let fields = Fields(spelled(map));
    let id = match fields.id() {
        Ok(id) => id,
        Err(why) => return (found, vec![format!("entry {}: {why}", place + 1)]),
    };
    let mut add = |called: &WorkerId, read: Result<Found, String>| match read {
        Ok(worker) => found.push(worker),
        Err(why) => problems.push(format!("worker {:?}: {why}", called.as_str())),
    };
    match fields.0.get("variants") {
        _ if Value::Object(fields.unknown()).to_string().len() > UNKNOWN_BYTES => {
            add(&id, Err("says too much that this rbee does not know".into()));
        }
        None | Some(Value::Null) => add(&id, worker(base, &fields, &id, None)),
        Some(Value::Array(variants)) if variants.len() <= VARIANTS => {
            for variant in variants {
                add(&id, self::variant(base, &fields.0, &id, variant));
            }
        }
        Some(_) => add(&id, Err(format!("\"variants\" is not a list of at most {VARIANTS}"))),
    }
    (found, problems)
}

/// A variant says its own over what its worker says; its id is the worker's with the backend behind it.
fn variant(base: &Url, of: &Map<String, Value>, id: &WorkerId, variant: &Value) -> Result<Found, String> {
    let map = variant.as_object().ok_or("a variant is not an object")?;
    let mut fields = of.clone();
    fields.remove("variants");
    fields.extend(spelled(map));
    if let Some(backend) = fields.remove("backend") {
        fields.insert("worker_type".to_owned(), backend);
    }
    let fields = Fields(fields);
    let kind = fields.accelerator()?;
    let own = WorkerId::new(&format!("{id}-{kind}")).map_err(|error| error.to_string())?;
    worker(base, &fields, &own, Some(id))
}

fn worker(base: &Url, fields: &Fields, id: &WorkerId, of: Option<&WorkerId>) -> Result<Found, String> {
    let called = of.unwrap_or(id);
    let build = fields.section("build")?.map(Fields);
    let build = BuildSettings {
        features: build.as_ref().map_or(Ok(Vec::new()), |build| build.list("features"))?,
        profile: build.as_ref().map_or(Ok(None), |build| build.text("profile"))?,
        flags: build.as_ref().map_or(Ok(Vec::new()), |build| build.list("flags"))?,
    };
    let mut worker = WorkerMeta::new(id.clone());
    worker.accelerator = fields.accelerator()?;
    worker.family = of.map_or_else(|| family_of(id, worker.accelerator), |of| of.as_str().to_owned());
    worker.name = fields.text("name")?.unwrap_or(worker.name);
    worker.description = fields.text("description")?.unwrap_or_default();
    worker.license = fields.text("license")?.unwrap_or_default();
    worker.platforms = fields.words("platforms")?.unwrap_or(worker.platforms);
    worker.architectures = fields.words("architectures")?.unwrap_or(worker.architectures);
    worker.features.clone_from(&build.features);
    // Not every worker has a --version, and nothing here says so; a server's --help ends well.
    worker.verify = vec!["--help".to_owned()];
    let offer = Offer {
        implementation: fields.text("implementation")?,
        pkgbuild_url: fields.text("pkgbuild_url")?,
        build_system: fields.text("build_system")?,
        source: fields.source()?,
        build,
        depends: fields.list("depends")?,
        makedepends: fields.list("makedepends")?,
        binary_name: fields.text("binary_name")?,
        install_path: fields.text("install_path")?,
        supported_formats: fields.list("supported_formats")?,
        max_context_length: fields.number("max_context_length")?,
        supports_streaming: fields.flag("supports_streaming")?,
        supports_batching: fields.flag("supports_batching")?,
        other: fields.unknown(),
    };
    let version = fields.text("version")?;
    if version.as_deref().is_some_and(|version| !is_plain(version)) {
        return Err("\"version\" is no version".into());
    }
    let recipe = recipe_url(base, called, offer.pkgbuild_url.as_deref())?;
    let (mut entry, table) = (Entry { worker, offer }, fields.table()?);
    if let Some(table) = &table {
        entry = amend("rbee", table, entry).map_err(|error| format!("in what it says for {error}"))?;
    }
    Ok(Found { entry, version, called: called.clone(), recipe, files: fields.files()?, table })
}

/// Where the recipe lies: a path is below the catalog; an address is of the catalog's own server, or has https.
fn recipe_url(base: &Url, called: &WorkerId, said: Option<&str>) -> Result<Url, String> {
    let relative = match said {
        None => format!("workers/{called}/PKGBUILD"),
        Some(said) => said.trim_start_matches('/').to_owned(),
    };
    let url = base.join(&relative).map_err(|_| "\"pkgbuild_url\" is no address".to_owned())?;
    let allowed = url.scheme() == "https" || url.origin() == base.origin();
    if !allowed || !url.username().is_empty() || url.password().is_some() {
        return Err("\"pkgbuild_url\" is neither of the catalog's server nor an address with https".into());
    }
    Ok(url)
}

/// The fields of an entry, all under the names of the first schema where they have one.
struct Fields(Map<String, Value>);

impl Fields {
    fn id(&self) -> Result<WorkerId, String> {
        let id = self.0.get("id").and_then(Value::as_str).ok_or("it has no id")?;
        if id.len() > WORD_BYTES {
            return Err(format!("its id has {} bytes", id.len()));
        }
        WorkerId::new(id).map_err(|error| error.to_string())
    }

    fn accelerator(&self) -> Result<Accelerator, String> {
        let name = self.text("worker_type")?.ok_or("it does not say what it computes on")?;
        let known = ACCELERATORS.into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| {
            let name: String = name.chars().take(WORD_BYTES).collect();
            format!("it computes on {name:?}, which this rbee does not know")
        })
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        self.get(key).map(|value| text(key, value)).transpose()
    }

    fn list(&self, key: &str) -> Result<Vec<String>, String> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let items = value.as_array().filter(|items| items.len() <= LIST_ITEMS);
        let items = items.ok_or_else(|| format!("{key:?} is not a list of at most {LIST_ITEMS} strings"))?;
        items.iter().map(|item| text(key, item)).collect()
    }

    /// A list of plain words; `None` where it says nothing.
    fn words(&self, key: &str) -> Result<Option<Vec<String>>, String> {
        let words = self.list(key)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        match words.iter().all(|word| (1..=WORD_BYTES).contains(&word.len()) && word.bytes().all(plain)) {
            true => Ok((!words.is_empty()).then_some(words)),
            false => Err(format!("{key:?} has an item that is no plain word")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        let number = |value: &Value| value.as_u64().ok_or_else(|| format!("{key:?} is not a whole number"));
        self.get(key).map(number).transpose()
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| format!("{key:?} is neither true nor false"));
        self.get(key).map(flag).transpose()
    }

    fn section(&self, key: &str) -> Result<Option<Map<String, Value>>, String> {
        let object = |value: &Value| value.as_object().cloned().ok_or_else(|| format!("{key:?} is not an object"));
        self.get(key).map(object).transpose()
    }

    fn source(&self) -> Result<Option<SourceTree>, String> {
        let Some(map) = self.section("source")? else { return Ok(None) };
        let source = Self(map);
        Ok(Some(SourceTree {
            kind: source.text("type")?.unwrap_or_default(),
            url: source.text("url")?.unwrap_or_default(),
            branch: source.text("branch")?,
            tag: source.text("tag")?,
            path: source.text("path")?,
        }))
    }

    /// Paths that stay where they belong, and are no file that has another place.
    fn files(&self) -> Result<Vec<String>, String> {
        let files = self.list("files")?;
        for file in &files {
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\\');
            let own = ["PKGBUILD", "worker.toml"].contains(&file.as_str());
            if own || file.len() > PATH_BYTES || !file.split('/').all(plain) {
                let file: String = file.chars().take(WORD_BYTES).collect();
                return Err(format!("\"files\" has {file:?}, which no file of a recipe may be called"));
            }
        }
        let mut sorted = files.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() != files.len() { Err("\"files\" names one twice".into()) } else { Ok(sorted) }
    }

    /// `rbee`, as TOML.
    fn table(&self) -> Result<Option<String>, String> {
        let Some(map) = self.section("rbee")? else { return Ok(None) };
        toml::to_string(&map).map(Some).map_err(|_| "\"rbee\" cannot be a worker.toml".into())
    }

    fn unknown(&self) -> Map<String, Value> {
        let unknown = self.0.iter().filter(|(key, _)| !FIELDS.contains(&key.as_str()));
        unknown.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value.as_str() {
        None => Err(format!("{key:?} is not a string")),
        Some(text) if text.len() > TEXT_BYTES => Err(format!("{key:?} is too long")),
        Some(text) if printable(text) != text => Err(format!("{key:?} has control characters")),
        Some(text) => Ok(text.to_owned()),
    }
}

/// The same fields, with `workerType` written `worker_type`; what is not known keeps its name.
fn spelled(map: &Map<String, Value>) -> Map<String, Value> {
    let mut spelled = Map::new();
    for (key, value) in map {
        let mut name = String::new();
        for c in key.chars().take(WORD_BYTES) {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        let known = FIELDS.contains(&name.as_str()) && !map.contains_key(&name);
        spelled.insert(if known { name } else { key.clone() }, value.clone());
    }
    spelled
}

#[cfg(test)]
mod tests;
