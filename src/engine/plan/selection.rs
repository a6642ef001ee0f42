//! Which workers a host is to have: what was named, or what the inventory lists for it.

use std::sync::Arc;

use super::Refusal;
use crate::{
    catalog::{Catalog, Pick, fits},
    engine::request::{Binary, InstallRequest, Wanted},
    vocab::{Facts, Host, RecipeMeta, WorkerId},
};

/// The workers that a host would get, each with the name that its program will have as far as that is known.
pub fn expected(catalog: &Catalog, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<(WorkerId, String)> {
    match request.binaries.first() {
        Some(binary) => vec![(binary.worker.clone(), binary.program_name.clone())],
        None => {
            let recipes = wanted(catalog, host, request, facts).unwrap_or_default();
            recipes.into_iter().map(|(recipe, _)| (recipe.worker.id.clone(), recipe.worker.id.to_string())).collect()
        }
    }
}

/// The recipes of the workers that a host would get.
pub fn recipes(catalog: &Catalog, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<Arc<RecipeMeta>> {
    wanted(catalog, host, request, facts).unwrap_or_default().into_iter().map(|(recipe, _)| recipe).collect()
}

/// The recipes that a host is to have, each with the reason.
pub(super) fn wanted(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
) -> Result<Vec<(Arc<RecipeMeta>, String)>, Refusal> {
    let from_catalog = |name: &str, why: Option<&str>| {
        let pick = picked(catalog, name, facts, request).map_err(|text| Refusal { text, hint: None })?;
        let recipe = catalog.get(&pick.worker).map_err(|error| Refusal { text: error.to_string(), hint: None })?;
        Ok((Arc::new(recipe), why.map_or(pick.why, str::to_owned)))
    };
    match &request.worker {
        Some(Wanted::Recipe(recipe)) => {
            fits(&recipe.worker, facts).map_err(|text| Refusal { text, hint: None })?;
            Ok(vec![(recipe.clone(), "named".into())])
        }
        Some(Wanted::Named(name) | Wanted::Versioned { name, .. }) => Ok(vec![from_catalog(name, None)?]),
        // Nothing is listed for it, so it is as asked.
        None => host.workers.iter().map(|id| from_catalog(id.as_str(), Some("listed in the inventory"))).collect(),
    }
}

/// Which variant it is: what was found by asking others, or what the host's own facts say.
pub fn picked(catalog: &Catalog, name: &str, facts: &Facts, request: &InstallRequest) -> Result<Pick, String> {
    match request.picks.iter().find(|(family, _)| family == name) {
        Some((_, pick)) => Ok(pick.clone()),
        None => catalog.pick(name, facts),
    }
}

/// The ready program that is for this host.
pub(super) fn binary<'a>(request: &'a InstallRequest, facts: &Facts) -> Result<&'a Arc<Binary>, Refusal> {
    let platform = facts.platform();
    let mut fitting = request.binaries.iter().filter(|binary| binary.platform.as_ref().is_none_or(|p| *p == platform));
    fitting.next().ok_or_else(|| {
        let have: Vec<_> = request.binaries.iter().filter_map(|b| b.platform.as_deref()).collect();
        Refusal::new(
            format!("there is no --binary for {platform}, only for {}", have.join(" and ")),
            Some("add --binary OS-ARCH=PATH for it"),
        )
    })
}
