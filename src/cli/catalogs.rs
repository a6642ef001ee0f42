//! `--catalog`: folders and addresses, in their order, before what came with the program.

use std::path::Path;

use super::{Complaint, args::Global, tell};
use crate::catalog::{
    Catalog, CatalogSource,
    http::{Index, Web},
};

/// Reads all catalogs, and fetches the recipes of the workers and families that are named.
pub async fn open(global: &Global, cache_dir: &Path, names: &[&str]) -> Result<Catalog, Complaint> {
    let places: Vec<&str> = global.catalog.iter().flat_map(|text| split(text)).collect();
    let web = places.iter().any(|place| Index::is_url(place)).then(|| Web::new(cache_dir.join("catalogs")));
    let mut sources = Vec::new();
    for place in places {
        sources.push(match &web {
            Some(web) if Index::is_url(place) => {
                let index = Index::open(web, place).await.map_err(|error| {
                    Complaint::usage(error.to_string())
                        .hint("leave out this --catalog, or run again when it can be reached")
                })?;
                index.notices.iter().for_each(|notice| tell(&format!("rbee: {notice}\n")));
                CatalogSource::Http(Box::new(index))
            }
            _ => CatalogSource::Folder(place.into()),
        });
    }
    sources.push(CatalogSource::BuiltIn);
    let mut catalog = Catalog::open(&sources).map_err(|error| Complaint::usage(error.to_string()))?;
    if let Some(web) = &web {
        catalog.fetch(web, names).await.iter().for_each(|notice| tell(&format!("rbee: {notice}\n")));
    }
    Ok(catalog)
}

/// Takes a list apart at its colons; those of an address are none.
fn split(text: &str) -> Vec<&str> {
    let mut places = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = match Index::is_url(rest) {
            true => end_of_url(rest),
            false => rest.find(':').unwrap_or(rest.len()),
        };
        let (place, more) = rest.split_at(end);
        if !place.is_empty() {
            places.push(place);
        }
        rest = more.strip_prefix(':').unwrap_or(more);
    }
    places
}

/// The first colon behind scheme, address and port.
fn end_of_url(text: &str) -> usize {
    let mut host = text.find("://").map_or(0, |at| at + 3);
    // A login is refused later; its colon is none between places.
    let authority = text[host..].find('/').map_or(text.len(), |at| host + at);
    host = text[host..authority].find('@').map_or(host, |at| host + at + 1);
    let inside = text[host..].starts_with('[').then(|| text[host..].find(']')).flatten();
    let mut from = host + inside.map_or(0, |at| at + 1);
    while let Some(at) = text[from..].find(':').map(|at| from + at) {
        let port = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let after = text.as_bytes().get(at + 1 + port);
        // A port stands before the path, and nothing but a path or another place stands behind it.
        if port == 0 || text[host..at].contains('/') || !matches!(after, None | Some(b'/' | b':')) {
            return at;
        }
        from = at + 1 + port;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_list_is_taken_apart_where_a_place_ends() {
        for (text, places) in [
            ("", &[][..]),
            ("a:/b/c", &["a", "/b/c"][..]),
            ("a::b:", &["a", "b"][..]),
            ("https://x.example", &["https://x.example"][..]),
            ("http://127.0.0.1:8080/v1/:./c", &["http://127.0.0.1:8080/v1/", "./c"][..]),
            ("./c:http://[::1]:8080:/d", &["./c", "http://[::1]:8080", "/d"][..]),
            ("https://a.example:https://b.example/x", &["https://a.example", "https://b.example/x"][..]),
            ("https://me:secret@a.example:8080/:y", &["https://me:secret@a.example:8080/", "y"][..]),
            ("https://a.example/x:8080:y", &["https://a.example/x", "8080", "y"][..]),
        ] {
            assert_eq!(split(text), places, "{text}");
        }
    }
}
