//! Which variant of a family a host gets, where it can run a better one than it can build.
//!
//! The catalog chooses by the host's own facts. What stands against a better variant then may be nothing but a compiler,
//! and that may be elsewhere: on another host of the run, on the controller, in somebody's cache, or where it is
//! published. What is found decides nothing but the choice; how the program comes is the roster's to say.

use std::sync::Arc;

use super::{
    Failure, Run,
    dispatch::Ticket,
    group::{self, Builder, Need, Place, Rules, Stock},
    plan, prebuilt,
    request::{BuildPlace, InstallRequest, UsePrebuilt, Wanted},
    roster,
};
use crate::{
    build::Class,
    catalog::Pick,
    scope::Scope,
    vocab::{Facts, Host, Phase, RecipeMeta, WorkerMeta},
};

/// The request with the variants that this host gets by others' help.
///
/// # Errors
/// The scope's own stop; this machine was looked at and did not answer.
pub async fn settle(
    scope: &Scope,
    run: &Run,
    host: &Host,
    ticket: &Ticket,
    request: &InstallRequest,
    facts: &Facts,
) -> Result<InstallRequest, Failure> {
    let mut request = request.clone();
    if !request.binaries.is_empty() || request.build == BuildPlace::Each {
        return Ok(request);
    }
    let names: Vec<String> = match &request.worker {
        Some(Wanted::Named(name) | Wanted::Versioned { name, .. }) => vec![name.clone()],
        Some(Wanted::Recipe(_)) => Vec::new(),
        None => host.workers.iter().map(ToString::to_string).collect(),
    };
    let facts = Arc::new(facts.clone());
    for name in names {
        for (worker, lacks) in run.catalog.unbuildable(&name, &facts) {
            let Ok(recipe) = run.catalog.get(&worker.id) else { continue };
            let need = need(host, &facts, Arc::new(recipe), &request);
            let helped = help(scope, run, ticket, &request, &need).await;
            if let Some(help) = helped.map_err(|failure| failure.in_phase(Phase::Preflight))? {
                let why = format!("{}: {lacks}; {help}", worker.accelerator);
                request.picks.push((name.clone(), Pick { worker: worker.id.clone(), why }));
                break;
            }
        }
    }
    Ok(request)
}

/// What a host needs of a recipe.
pub(super) fn need(host: &Host, facts: &Arc<Facts>, recipe: Arc<RecipeMeta>, request: &InstallRequest) -> Need {
    let class = class(&recipe.worker, facts, request);
    Need { host: host.name.clone(), facts: facts.clone(), recipe, class }
}

fn class(worker: &WorkerMeta, facts: &Facts, request: &InstallRequest) -> Class {
    let class = Class::of(worker.accelerator, facts);
    let asked = request.cpu_level.or(worker.cpu_level);
    Class { level: class.level.and(asked).or(class.level), ..class }
}

/// Who or what helps a host to a program that it cannot build: "gpu-box can build it".
async fn help(
    scope: &Scope,
    run: &Run,
    ticket: &Ticket,
    request: &InstallRequest,
    need: &Need,
) -> Result<Option<String>, Failure> {
    let recipe = &need.recipe;
    if request.prebuilt != UsePrebuilt::Never
        && let Ok(prebuilt::Choice::Take(asset)) = prebuilt::choose(request, recipe, &need.facts)
    {
        return Ok(Some(format!("it is published at {}", asset.url)));
    }
    if request.prebuilt == UsePrebuilt::Require {
        return Ok(None);
    }
    if !request.reinstall && plan::has(&need.facts, recipe, &need.class, request) {
        return Ok(Some("it is there".to_owned()));
    }
    let rules = Rules::of(request).for_recipe(recipe);
    let kept = if request.reinstall { Vec::new() } else { roster::kept(run).await };
    if group::in_stock(&roster::stock(recipe, &kept, &[]), need, &rules) {
        return Ok(Some("an earlier build is kept".to_owned()));
    }
    let known = ticket.known(scope).await?;
    if !request.reinstall {
        let offers: Vec<_> = known.iter().flat_map(|known| roster::offers(&known.host.name, &known.facts)).collect();
        let stock: Vec<Stock> = roster::stock(recipe, &[], &offers);
        if let Some(offer) = stock.into_iter().find(|stock| group::in_stock(std::slice::from_ref(stock), need, &rules))
            && let Some(offer) = offer.offer
        {
            return Ok(Some(format!("{} has it", offer.host)));
        }
    }
    let builders: Vec<Builder> = known.into_iter().map(Builder::from).collect();
    if let Some(builder) = group::builder_for(&builders, need, &rules) {
        return Ok(Some(format!("{} can build it", builder.place)));
    }
    if let Some(on) = request.build_on.as_ref().filter(|_| !builders.iter().any(|b| rules.allow(&b.place))) {
        // Whether it can is its own to say, when it is looked at.
        return Ok((!rules.allow(&Place::Here)).then(|| format!("{} is to build it", on.name)));
    }
    if !rules.allow(&Place::Here) {
        return Ok(None);
    }
    run.local_builds.want(std::slice::from_ref(&recipe.worker.needs));
    let facts = run.local_builds.facts(scope, &run.settings.limits).await?;
    let here = [Builder { place: Place::Here, facts }];
    Ok(group::builder_for(&here, need, &rules).map(|_| "this machine can build it".to_owned()))
}
