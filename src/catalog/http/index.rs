//! The list of one HTTP catalog, and the recipes of it that are wanted.

use std::time::Duration;

use reqwest::Url;

use super::{
    listing::{self, Found, Listing},
    pkgbuild,
    web::{Check, Web},
};
use crate::{
    catalog::CatalogError,
    vocab::{
        recipe::RecipeFile,
        text::{human_duration, printable},
    },
};

const LIST_BYTES: u64 = 4 << 20;
const ENTRY_BYTES: u64 = 1 << 20;
const RECIPE_BYTES: u64 = 1 << 20;
/// All further files of one recipe.
const FILES_BYTES: u64 = 64_000_000;
/// As many problems are told; a list of nothing else is told by its first ones.
const PROBLEMS: usize = 20;

/// The list of one catalog, as it was got.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    base: Url,
    listing: Listing,
    /// The server could not be reached; copies are all there is.
    stale: bool,
    /// What a person should know of how it was come by.
    pub notices: Vec<String>,
}

/// A worker of an HTTP catalog, and its recipe once that was fetched.
#[derive(Debug)]
pub struct Remote {
    base: Url,
    stale: bool,
    pub found: Found,
    pub recipe: Option<Result<Vec<RecipeFile>, String>>,
    pub notices: Vec<String>,
}

impl Index {
    /// Whether a place is meant to be an HTTP catalog.
    pub fn is_url(place: &str) -> bool {
        let scheme = place.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        matches!(scheme.as_deref(), Some("http" | "https"))
    }

    /// Gets the list, or its copy.
    ///
    /// # Errors
    /// [`CatalogError::Remote`] when there is neither.
    pub async fn open(web: &Web, place: &str) -> Result<Self, CatalogError> {
        let wrong = |why: String| remote(place, &why);
        let base = base(place).map_err(wrong)?;
        let url = base.join("workers").map_err(|error| wrong(error.to_string()))?;
        let mut notices = Vec::new();
        if base.scheme() == "http" && !is_loopback(&base) {
            notices.push(format!("{base} comes over http: whoever is on the way can change what it says"));
        }
        let check = |body: &[u8]| listing::read(&base, body).map(drop);
        let got = web.get(&url, LIST_BYTES, &check).await;
        let got = got.map_err(|why| remote(url.as_str(), &format!("{why}; and there is no copy of it")))?;
        if let Some((age, why)) = &got.stale {
            notices.push(taken(&url, *age, why));
        }
        notices.extend(got.note);
        let listing = listing::read(&base, &got.body).map_err(|why| remote(url.as_str(), &why))?;
        Ok(Self { base, listing, stale: got.stale.is_some(), notices })
    }

    /// What the catalog is called.
    pub fn origin(&self) -> String {
        self.base.to_string()
    }

    /// Entries that were left out.
    pub fn problems(&self) -> Vec<CatalogError> {
        let all = &self.listing.problems;
        let mut problems: Vec<_> = all.iter().take(PROBLEMS).map(|why| remote(self.base.as_str(), why)).collect();
        if all.len() > PROBLEMS {
            problems.push(remote(self.base.as_str(), &format!("{} more entries are wrong", all.len() - PROBLEMS)));
        }
        problems
    }

    pub(in crate::catalog) fn workers(&self) -> impl Iterator<Item = Remote> {
        let remote = |found: &Found| Remote {
            base: self.base.clone(),
            stale: self.stale,
            found: found.clone(),
            recipe: None,
            notices: Vec::new(),
        };
        self.listing.found.iter().map(remote)
    }
}

impl Remote {
    /// "https://catalog.example/workers/ID".
    pub fn origin(&self) -> String {
        format!("{}workers/{}", self.base, self.found.called)
    }

    /// Asks for the worker's own entry, which may be newer than the list, and for its recipe.
    pub async fn fetch(&mut self, web: &Web) {
        let recipe = match self.refresh(web).await {
            Ok(()) => self.files(web).await,
            Err(why) => Err(why),
        };
        self.recipe = Some(recipe.map_err(|why| cut(&why)));
    }

    async fn refresh(&mut self, web: &Web) -> Result<(), String> {
        if self.stale {
            return Ok(());
        }
        let url = self.below(&format!("workers/{}", self.found.called))?;
        let check = |body: &[u8]| listing::document(body).map(drop);
        // A catalog may be no more than its list; one that has an entry is taken at its word.
        let got = web.get(&url, ENTRY_BYTES, &check).await.ok().filter(|got| got.stale.is_none());
        let Some(got) = got else { return Ok(()) };
        let found = listing::read_one(&self.base, &got.body, &self.found.entry.worker.id);
        self.found = found.map_err(|why| format!("{url}: {why}"))?;
        Ok(())
    }

    async fn files(&mut self, web: &Web) -> Result<Vec<RecipeFile>, String> {
        let Found { entry, called, recipe, files, table, .. } = &self.found.clone();
        let mut names = vec![entry.worker.id.as_str(), called.as_str(), entry.worker.family.as_str()];
        names.extend(entry.offer.binary_name.as_deref());
        let check = |body: &[u8]| pkgbuild::check(body, &names);
        let content = self.get(web, recipe, RECIPE_BYTES, &check).await?;
        let file = |path: &str, content| RecipeFile { path: path.to_owned(), executable: false, content };
        let mut all = vec![file("PKGBUILD", content)];
        let mut room = FILES_BYTES;
        for path in files {
            let mut url = self.below(&format!("workers/{called}/"))?;
            if let Ok(mut parts) = url.path_segments_mut() {
                parts.pop_if_empty().extend(path.split('/'));
            }
            let content = self.get(web, &url, room, &|_| Ok(())).await?;
            room -= content.len() as u64;
            all.push(file(path, content));
        }
        all.extend(table.as_ref().map(|table| file("worker.toml", table.clone().into_bytes())));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    async fn get(&mut self, web: &Web, url: &Url, limit: u64, check: &Check<'_>) -> Result<Vec<u8>, String> {
        if self.stale {
            return web.copy(url, limit, check).ok_or_else(|| format!("{url}: there is no copy of it"));
        }
        let got = web.get(url, limit, check).await.map_err(|why| format!("{url}: {why}"))?;
        if let Some((age, why)) = &got.stale {
            self.notices.push(taken(url, *age, why));
        }
        self.notices.extend(got.note);
        Ok(got.body)
    }

    fn below(&self, path: &str) -> Result<Url, String> {
        self.base.join(path).map_err(|error| error.to_string())
    }
}

/// The address below which all others are.
fn base(place: &str) -> Result<Url, String> {
    let mut url = Url::parse(place).map_err(|error| format!("is no address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a login in it, which is not taken".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a ? or a # in it; a catalog is a folder".into());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn remote(url: &str, why: &str) -> CatalogError {
    // A login in an address is nobody's to see.
    let shown = match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    };
    CatalogError::Remote { url: cut(&shown), why: cut(why) }
}

fn cut(text: &str) -> String {
    printable(text).chars().take(400).collect()
}

fn taken(url: &Url, age: Duration, why: &str) -> String {
    const DAY: u64 = 86_400;
    let age = match age.as_secs() / DAY {
        0 | 1 => human_duration(age),
        days => format!("{days} days"),
    };
    cut(&format!("{url}: {why}; its copy of {age} ago is taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_folder_and_nothing_more() {
        assert_eq!(base("https://x.example/v1").unwrap().as_str(), "https://x.example/v1/");
        for (place, said) in [
            ("https://", "is no address"),
            ("https://me:secret@x.example/", "login"),
            ("https://x.example/?a=b", "a catalog is a folder"),
            ("https://x.example/#a", "a catalog is a folder"),
        ] {
            assert!(base(place).unwrap_err().contains(said), "{place}");
        }
        let error = remote("https://me:secret@x.example/", "x").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn only_this_machine_is_trusted_without_tls() {
        for (place, own) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]/x", true),
            ("http://localhost", true),
            ("http://localhost.example", false),
            ("http://192.0.2.1", false),
            ("http://0.0.0.0", false),
        ] {
            assert_eq!(is_loopback(&base(place).unwrap()), own, "{place}");
        }
    }
}
