//! Who has its package manager bring what a build lacks: of hosts that are alike, the one that will build, and no other.
//!
//! All hosts that lack something come to the same answer from the same facts, so that none has to be asked. The others
//! wait for the elected one in the [`super::roster`], however long that takes.

use std::sync::Arc;

use super::{
    Failure, Run,
    census::Known,
    group::{self, Builder, Grouping, Need, Place, Rules, Source},
    needs, plan,
    request::InstallRequest,
    roster,
    variant::need,
};
use crate::{
    scope::Scope,
    vocab::{Facts, HostName},
};

/// The hosts that have to prepare themselves before anything can be built for `host` and those like it; empty when
/// somebody can build as it is.
///
/// # Errors
/// The scope's own stop; this machine was looked at and did not answer.
pub async fn elected(
    scope: &Scope,
    run: &Run,
    request: &InstallRequest,
    host: &HostName,
    known: &[Known],
) -> Result<Vec<HostName>, Failure> {
    let Some(own) = known.iter().find(|known| known.host.name == *host) else { return Ok(vec![host.clone()]) };
    let recipes = plan::recipes(&run.catalog, &own.host, request, &own.facts);
    let kept = if request.reinstall { Vec::new() } else { roster::kept(run).await };
    let builders: Vec<Builder> = known.iter().cloned().map(Builder::from).collect();
    let mut elected = Vec::new();
    for recipe in recipes {
        let wants = |known: &Known| {
            let theirs = plan::recipes(&run.catalog, &known.host, request, &known.facts);
            let wants = theirs.iter().any(|other| other.worker.id == recipe.worker.id);
            let need = need(&known.host, &known.facts, recipe.clone(), request);
            let has = !request.reinstall && plan::has(&known.facts, &recipe, &need.class, request);
            (wants && !has).then_some(need)
        };
        let needs: Vec<Need> = known.iter().filter_map(wants).collect();
        let rules = Rules::of(request).for_recipe(&recipe);
        let offers: Vec<_> = match request.reinstall {
            true => Vec::new(),
            false => known.iter().flat_map(|known| roster::offers(&known.host.name, &known.facts)).collect(),
        };
        let stock = roster::stock(&recipe, &kept, &offers);
        let mut able = builders.clone();
        let mut grouping = group::group(&needs, &able, &stock, &rules);
        if !grouping.left.is_empty() && rules.allow(&Place::Here) {
            let facts = run.local_builds.facts(scope, &run.settings.limits).await?;
            able.push(Builder { place: Place::Here, facts });
            grouping = group::group(&needs, &able, &stock, &rules);
        }
        let left: Vec<Need> = grouping.left.iter().map(|(nth, _)| needs[*nth].clone()).collect();
        let prepared: Vec<Builder> = builders
            .iter()
            .map(|builder| {
                let facts: Facts = needs::prepared(&builder.facts, &recipe.worker.needs);
                Builder { place: builder.place.clone(), facts: Arc::new(facts) }
            })
            .collect();
        let Grouping { groups, .. } = group::group(&left, &prepared, &[], &rules);
        for group in groups.iter().filter(|group| group.hosts.contains(host)) {
            if let Some(Source::Build(Place::Host(builder))) = group.ways.first().map(|way| &way.source)
                && !elected.contains(builder)
            {
                elected.push(builder.clone());
            }
        }
    }
    Ok(elected)
}
