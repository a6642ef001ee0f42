//! Where the hosts of a run are compared, so that what several need is built once.
//!
//! # Theory of operation
//! Every host's task enters what its host is, what it needs and what it has, or goes without. Who needs a build waits
//! until all were seen; a host that does not answer must not hold up the others for as long as its own patience, so it
//! is enough that for a while nobody came. Then one of those that wait groups all of them ([`super::group`]). Who comes
//! later joins a group whose program is good for it, or waits with others like it for the next grouping.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Failure, Run,
    arrivals::Arrivals,
    bench::Bench,
    group::{Builder, Grouping, Need, Offer, Place, Rules, Stock, group},
    needs,
    plan::Refusal,
    request::{BuildPlace, InstallRequest},
    share::Share,
};
use crate::{
    artifacts::Artifacts,
    build::{Class, build_key},
    preflight,
    scope::Scope,
    vocab::{BuildKey, Host, HostName, RecipeMeta, TreeMark, WorkerId},
};

/// How one need is met.
pub type Assignment = Result<Arc<Share>, Refusal>;

/// A host that was looked at.
pub struct Seen {
    pub bench: Arc<Bench>,
    pub offers: Vec<Offer>,
}

/// The hosts of a run.
pub struct Roster {
    state: Mutex<State>,
    arrivals: Arrivals,
    /// One groups at a time.
    grouping: tokio::sync::Mutex<()>,
    /// As they were selected: which comes first decides between equals, so that two runs decide alike.
    order: HashMap<HostName, usize>,
}

struct State {
    /// Neither entered nor gone yet.
    missing: usize,
    came: HashSet<HostName>,
    /// They prepare themselves to build for others, which may take long.
    expected: HashSet<HostName>,
    seen: Vec<Seen>,
    /// Not grouped yet.
    waiting: Vec<Need>,
    shares: Vec<Arc<Share>>,
    assigned: HashMap<(HostName, WorkerId), Assignment>,
    needs: HashMap<HostName, Vec<WorkerId>>,
    doubts: Vec<(HostName, String)>,
}

impl Roster {
    /// For these hosts, each of which is given so long to answer.
    pub fn new(hosts: &[Host], connect: Duration) -> Self {
        let state = State {
            missing: hosts.len(),
            came: HashSet::new(),
            expected: HashSet::new(),
            seen: Vec::new(),
            waiting: Vec::new(),
            shares: Vec::new(),
            assigned: HashMap::new(),
            needs: HashMap::new(),
            doubts: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            arrivals: Arrivals::new(connect),
            grouping: tokio::sync::Mutex::default(),
            order: hosts.iter().enumerate().map(|(nth, host)| (host.name.clone(), nth)).collect(),
        }
    }

    /// A host has come, with what it needs.
    pub fn enter(&self, seen: Seen, needs: Vec<Need>) {
        let host = seen.bench.host.name.clone();
        self.change(&host.clone(), |state| {
            state.needs.insert(host.clone(), needs.iter().map(|need| need.recipe.worker.id.clone()).collect());
            state.seen.push(seen);
            for need in needs {
                match state.shares.iter().find(|share| share.join(&need)) {
                    Some(share) => {
                        state.assigned.insert((host.clone(), need.recipe.worker.id.clone()), Ok(share.clone()));
                    }
                    None => state.waiting.push(need),
                }
            }
        });
    }

    /// A host will not come.
    pub fn gone(&self, host: &HostName) {
        self.change(host, |_| {});
    }

    /// These are waited for, however long nobody comes.
    pub fn expect(&self, hosts: Vec<HostName>) {
        let mut state = self.state();
        for host in hosts {
            if !state.came.contains(&host) {
                state.expected.insert(host);
            }
        }
    }

    /// Whether nobody is waited for any more.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.missing == 0 || (state.expected.is_empty() && self.arrivals.are_over())
    }

    /// Keeps what could not be confirmed of a host.
    pub fn confirm(&self, host: &HostName, doubt: Option<String>) {
        self.state().doubts.extend(doubt.map(|doubt| (host.clone(), doubt)));
    }

    pub fn doubts(&self) -> Vec<(HostName, String)> {
        std::mem::take(&mut self.state().doubts)
    }

    /// How the needs of a host that was entered are met, in their order.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn shares(
        &self,
        scope: &Scope,
        run: &Run,
        request: &InstallRequest,
        host: &HostName,
    ) -> Result<Vec<Assignment>, Failure> {
        loop {
            self.arrivals.until(scope, || self.assigned(host).is_some() || self.is_settled()).await?;
            if let Some(found) = self.assigned(host) {
                return Ok(found);
            }
            let _turn = scope.race(self.grouping.lock()).await?;
            if self.assigned(host).is_none() {
                if let Err(failure) = self.group(scope, run, request).await {
                    scope.check()?;
                    self.refuse(&failure);
                }
                self.arrivals.ring();
            }
        }
    }

    fn assigned(&self, host: &HostName) -> Option<Vec<Assignment>> {
        let state = self.state();
        let needs = state.needs.get(host)?;
        needs.iter().map(|worker| state.assigned.get(&(host.clone(), worker.clone())).cloned()).collect()
    }

    /// Groups all that wait now.
    async fn group(&self, scope: &Scope, run: &Run, request: &InstallRequest) -> Result<(), Failure> {
        let outside = self.outside(scope, run, request).await?;
        let (needs, mut benches, offers) = {
            let mut state = self.state();
            state.seen.sort_by_key(|seen| self.order.get(&seen.bench.host.name));
            state.waiting.sort_by_key(|need| self.order.get(&need.host));
            let benches: Vec<_> = state.seen.iter().map(|seen| seen.bench.clone()).collect();
            let offers: Vec<_> = state.seen.iter().flat_map(|seen| seen.offers.clone()).collect();
            (state.waiting.clone(), benches, offers)
        };
        if let Some(outside) = outside {
            benches.retain(|bench| bench.host.name != outside.host.name);
            benches.push(outside);
        }
        let rules = Rules::of(request);
        let mut builders: Vec<Builder> = benches
            .iter()
            .map(|bench| Builder { place: Place::Host(bench.host.name.clone()), facts: bench.facts.clone() })
            .collect();
        let kept = if request.reinstall { Vec::new() } else { kept(run).await };
        let offers = if request.reinstall { Vec::new() } else { offers };
        let grouped = |builders: &[Builder]| -> Vec<(Vec<Need>, Grouping)> {
            let recipes = by_recipe(&needs);
            let group = |needs: Vec<Need>| {
                let recipe = &needs[0].recipe;
                let stock = stock(recipe, &kept, &offers);
                let grouping = group(&needs, builders, &stock, &rules.clone().for_recipe(recipe));
                (needs, grouping)
            };
            recipes.into_iter().map(group).collect()
        };
        let mut groups = grouped(&builders);
        let here = match (&rules.on, rules.build) {
            (Some(on), _) => *on == Place::Here,
            (None, build) => matches!(build, BuildPlace::Auto | BuildPlace::Local),
        };
        // This machine is only looked at when it may be needed.
        if here && groups.iter().any(|(_, grouping)| !grouping.left.is_empty()) {
            let facts = run.local_builds.facts(scope, &run.settings.limits).await?;
            builders.push(Builder { place: Place::Here, facts });
            groups = grouped(&builders);
        }
        let mut state = self.state();
        state.waiting.retain(|need| !needs.iter().any(|known| is_same(known, need)));
        for (needs, grouping) in groups {
            let worker = needs[0].recipe.worker.id.clone();
            for group in grouping.groups {
                let hosts = group.hosts.clone();
                let share = Arc::new(Share::new(group, &benches));
                state.assigned.extend(hosts.into_iter().map(|host| ((host, worker.clone()), Ok(share.clone()))));
                state.shares.push(share);
            }
            let left = grouping.left.into_iter();
            state.assigned.extend(left.map(|(nth, no)| ((needs[nth].host.clone(), worker.clone()), Err(no))));
        }
        Ok(())
    }

    /// Nobody who waits is tried again: each would fail as the first one did.
    fn refuse(&self, failure: &Failure) {
        let mut state = self.state();
        let no = Refusal { text: failure.error.clone(), hint: failure.hint.clone() };
        for need in std::mem::take(&mut state.waiting) {
            state.assigned.insert((need.host, need.recipe.worker.id.clone()), Err(no.clone()));
        }
    }

    /// The host of `--build-on`, if it is not among those that were seen.
    async fn outside(&self, scope: &Scope, run: &Run, request: &InstallRequest) -> Result<Option<Arc<Bench>>, Failure> {
        let Some(host) = request.build_on.as_ref().filter(|host| host.name != HostName::local()) else {
            return Ok(None);
        };
        if self.state().seen.iter().any(|seen| seen.bench.host.name == host.name) {
            return Ok(None);
        }
        let failed = |failure: Failure| Failure {
            error: format!("{}, which is to build, was not reached: {}", host.name, failure.error),
            ..failure
        };
        let there = scope.for_host(&host.name);
        let target = run.fleet.connect(&there, host).await.map_err(|error| failed(error.into()))?;
        let limited = there.within("look at the machine that builds", run.settings.limits.short);
        let wanted: Vec<_> = self.state().waiting.iter().map(|need| need.recipe.worker.needs.clone()).collect();
        let look = async {
            let mut facts = preflight::probe(&limited, &*target).await?;
            needs::ask(&limited, &*target, &mut facts, &wanted).await?;
            Ok::<_, Failure>(facts)
        };
        let facts = look.await;
        if let crate::target::Closed::Unconfirmed(what) = target.close().await {
            self.confirm(&host.name, Some(format!("cleanup unconfirmed: {what}")));
        }
        let facts = facts.map_err(failed)?;
        Ok(Some(Arc::new(Bench::away(host, Arc::new(facts)))))
    }

    fn change(&self, host: &HostName, change: impl FnOnce(&mut State)) {
        {
            let mut state = self.state();
            state.came.insert(host.clone());
            state.expected.remove(host);
            state.missing = state.missing.saturating_sub(1);
            change(&mut state);
        }
        self.arrivals.note();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(one: &Need, other: &Need) -> bool {
    one.host == other.host && one.recipe.worker.id == other.recipe.worker.id
}

/// What the controller's cache has.
pub(super) async fn kept(run: &Run) -> Vec<(BuildKey, String)> {
    let cache = Artifacts::new(run.settings.cache_dir.join("artifacts"));
    let list = move || cache.list().into_iter().map(|entry| (entry.artifact.key, entry.artifact.class)).collect();
    tokio::task::spawn_blocking(list).await.unwrap_or_default()
}

/// Those of the same recipe together, in the order in which they came.
fn by_recipe(needs: &[Need]) -> Vec<Vec<Need>> {
    let mut groups: Vec<(BuildKey, Vec<Need>)> = Vec::new();
    for need in needs {
        let id = build_key(&need.recipe, "", &need.recipe.worker.features);
        match groups.iter_mut().find(|(other, _)| *other == id) {
            Some((_, group)) => group.push(need.clone()),
            None => groups.push((id, vec![need.clone()])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// What was built of a recipe: an index and a manifest are believed only as far as their key is that of the recipe.
pub(super) fn stock(recipe: &RecipeMeta, kept: &[(BuildKey, String)], offers: &[Offer]) -> Vec<Stock> {
    let is_ours = |key: BuildKey, class: &str| {
        let ours = build_key(recipe, class, &recipe.worker.features) == key;
        if ours { Class::parse(class) } else { None }
    };
    let kept = kept.iter().filter_map(|(key, class)| {
        let class = is_ours(*key, class)?;
        Some(Stock { key: *key, class, offer: None })
    });
    let offers = offers.iter().filter_map(|offer| {
        let class = is_ours(offer.key, &offer.class)?;
        Some(Stock { key: offer.key, class, offer: Some(offer.clone()) })
    });
    kept.chain(offers).collect()
}

/// A host, as the roster knows it while its task lives.
pub fn seen(host: &Host, bench: Arc<Bench>, facts: &crate::vocab::Facts, more: Vec<Offer>) -> Seen {
    Seen { bench, offers: offers(&host.name, facts).into_iter().chain(more).collect() }
}

/// What a host has installed.
pub(super) fn offers(host: &HostName, facts: &crate::vocab::Facts) -> Vec<Offer> {
    let installed = facts.installed.iter().filter(|manifest| facts.program(&manifest.path).is_some());
    installed.filter_map(|manifest| offer(host, manifest, &manifest.path)).collect()
}

/// What a manifest says of a program that is at `path`.
pub fn offer(host: &HostName, manifest: &crate::vocab::Manifest, path: &str) -> Option<Offer> {
    Some(Offer {
        host: host.clone(),
        key: manifest.key,
        class: manifest.class.clone()?,
        path: path.to_owned(),
        program: manifest.path.rsplit('/').next()?.to_owned(),
        version: manifest.version.clone(),
        tree: manifest.entry.as_ref().map(|entry| TreeMark {
            entry: entry.clone(),
            digest: manifest.digest,
            size: manifest.size,
        }),
        size: manifest.size,
        digest: manifest.digest,
    })
}
