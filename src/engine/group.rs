//! Which hosts get one build together, and who makes it: what is known of all of them in, groups out.
//!
//! # Theory of operation
//! *Can run* and *can build* are two questions. What runs on a host is told by its [`Class`]; who can build is told by
//! the verdicts of preflight for the role of a builder. A build is good for all hosts whose C library is not older than
//! the builder's, for the lowest processor level among them, and for all of their cards together. So the builder that
//! serves the most hosts is taken first, of several the strongest, and then the same for those that are left. Whatever
//! was built before and runs on a host comes before any build.

use std::{fmt, sync::Arc};

use super::{
    census::Known,
    plan::{Refusal, judge_build, refuse},
    request::{BuildPlace, InstallRequest},
};
use crate::{
    build::{Base, Cards, Class, build_key, nvcc_makes},
    preflight::check::Role,
    vocab::{BuildKey, Digest, Facts, HostName, RecipeMeta, TreeMark},
};

/// So many machines are tried, one after the other, before a build has failed.
const BUILDS: usize = 2;
/// So many hosts are asked for what they have before it is built.
const TAKES: usize = 3;

/// A host that is to get what a recipe makes.
#[derive(Debug, Clone)]
pub struct Need {
    pub host: HostName,
    pub facts: Arc<Facts>,
    pub recipe: Arc<RecipeMeta>,
    /// By itself.
    pub class: Class,
}

/// Where a build can be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    Host(HostName),
    /// The controller.
    Here,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name.as_str()),
            Self::Here => f.write_str("this machine"),
        }
    }
}

/// A machine that may build.
#[derive(Debug, Clone)]
pub struct Builder {
    pub place: Place,
    pub facts: Arc<Facts>,
}

/// A program that a host has: installed, or kept for a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub host: HostName,
    pub key: BuildKey,
    pub class: String,
    /// Absolute, on the host.
    pub path: String,
    /// The file name it is installed under.
    pub program: String,
    pub version: String,
    /// Of a program of several files; `path` is a link into its tree then.
    pub tree: Option<TreeMark>,
    pub size: u64,
    pub digest: Digest,
}

/// What was built before.
#[derive(Debug, Clone)]
pub struct Stock {
    pub key: BuildKey,
    pub class: Class,
    /// `None`: in the controller's cache.
    pub offer: Option<Offer>,
}

/// What was said about where to build, and for what.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub build: BuildPlace,
    /// The only one that may build.
    pub on: Option<Place>,
    pub level: Option<u8>,
}

/// One way to a program.
#[derive(Debug, Clone)]
pub struct Way {
    pub key: BuildKey,
    pub class: Class,
    pub source: Source,
}

/// Where a program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Cache,
    Host(Arc<Offer>),
    Build(Place),
}

/// Hosts that get the same program.
#[derive(Debug, Clone)]
pub struct Group {
    pub recipe: Arc<RecipeMeta>,
    pub hosts: Vec<HostName>,
    /// Best first; the others are for when it fails. Never empty.
    pub ways: Vec<Way>,
}

/// Groups, and the hosts that nobody can build for.
#[derive(Debug, Clone, Default)]
pub struct Grouping {
    pub groups: Vec<Group>,
    /// By their place among the needs.
    pub left: Vec<(usize, Refusal)>,
}

/// Groups the needs of one recipe.
pub fn group(needs: &[Need], builders: &[Builder], stock: &[Stock], rules: &Rules) -> Grouping {
    let mut grouping = Grouping::default();
    let Some(first) = needs.first() else { return grouping };
    let recipe = &first.recipe;
    let judged: Vec<(&Builder, Result<(), Refusal>)> = builders
        .iter()
        .filter(|builder| rules.allow(&builder.place))
        .map(|builder| (builder, refuse(&judge_build(&builder.facts, &recipe.worker, Role::Build, false))))
        .collect();
    let mut left: Vec<usize> = (0..needs.len()).collect();
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    left.retain(|nth| {
        let Some(best) = best_stock(stock, &needs[*nth], rules) else { return true };
        match found.iter_mut().find(|(place, _)| *place == best) {
            Some((_, members)) => members.push(*nth),
            None => found.push((best, vec![*nth])),
        }
        false
    });
    for (best, members) in found {
        let members: Vec<&Need> = members.into_iter().map(|nth| &needs[nth]).collect();
        let mut ways = vec![stock[best].way()];
        let good = stock.iter().filter(|other| other.key == stock[best].key || serves(other, &members, rules));
        ways.extend(good.filter(|other| other.offer != stock[best].offer).take(TAKES).map(Stock::way));
        ways.extend(build_ways(&judged, &members, rules));
        grouping.groups.push(Group { recipe: recipe.clone(), hosts: names(&members), ways });
    }
    while !left.is_empty() {
        let served = |builder: &Builder| -> Vec<usize> {
            let all = left.iter().copied().filter(|nth| against(builder, &needs[*nth]).is_ok());
            let (own, shared): (Vec<usize>, Vec<usize>) =
                all.partition(|nth| needs[*nth].class.cards == Cards::Unknown);
            if shared.is_empty() { own } else { shared }
        };
        let able = judged.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(builder, _)| (*builder, served(builder)));
        let able = able.filter(|(_, served)| !served.is_empty());
        let ranked = able.map(|(builder, served)| {
            let members: Vec<&Need> = served.iter().map(|nth| &needs[*nth]).collect();
            (rank(builder, &members), served)
        });
        // Of equals the first: the order of the selection.
        let best = ranked.reduce(|best, other| if other.0 > best.0 { other } else { best });
        let Some((_, served)) = best else { break };
        left.retain(|nth| !served.contains(nth));
        let members: Vec<&Need> = served.iter().map(|nth| &needs[*nth]).collect();
        let ways = build_ways(&judged, &members, rules);
        grouping.groups.push(Group { recipe: recipe.clone(), hosts: names(&members), ways });
    }
    grouping.left = left.into_iter().map(|nth| (nth, nobody(&judged, &needs[nth], rules))).collect();
    grouping
}

/// The first of the machines that can build for a host.
pub fn builder_for<'a>(builders: &'a [Builder], need: &Need, rules: &Rules) -> Option<&'a Builder> {
    let can = |builder: &&Builder| {
        let verdicts = judge_build(&builder.facts, &need.recipe.worker, Role::Build, false);
        rules.allow(&builder.place) && refuse(&verdicts).is_ok() && against(builder, need).is_ok()
    };
    builders.iter().find(can)
}

/// Whether something that was built before runs on a host.
pub fn in_stock(stock: &[Stock], need: &Need, rules: &Rules) -> bool {
    best_stock(stock, need, rules).is_some()
}

impl From<Known> for Builder {
    fn from(known: Known) -> Self {
        Self { place: Place::Host(known.host.name), facts: known.facts }
    }
}

impl Rules {
    /// What a request says about it.
    pub fn of(request: &InstallRequest) -> Self {
        let on = request.build_on.as_ref().map(|host| match host.name == HostName::local() {
            true => Place::Here,
            false => Place::Host(host.name.clone()),
        });
        Self { build: request.build, on, level: request.cpu_level }
    }

    /// And what a recipe adds.
    #[must_use]
    pub fn for_recipe(self, recipe: &RecipeMeta) -> Self {
        Self { level: self.level.or(recipe.worker.cpu_level), ..self }
    }

    /// Whether this machine may build.
    pub fn allow(&self, place: &Place) -> bool {
        match (&self.on, self.build) {
            (Some(on), _) => on == place,
            (None, BuildPlace::Local) => *place == Place::Here,
            (None, BuildPlace::Host | BuildPlace::Each) => *place != Place::Here,
            (None, BuildPlace::Auto) => true,
        }
    }
}

impl Stock {
    fn way(&self) -> Way {
        let source = self.offer.clone().map_or(Source::Cache, |offer| Source::Host(Arc::new(offer)));
        Way { key: self.key, class: self.class.clone(), source }
    }
}

/// Whether what was built before is as asked, and runs on all of them.
fn serves(stock: &Stock, members: &[&Need], rules: &Rules) -> bool {
    let asked = rules.level.is_none() || stock.class.level.is_none() || stock.class.level == rules.level;
    asked && members.iter().all(|need| stock.class.serves(&need.class))
}

/// The highest processor level first, and the cache before a host.
fn best_stock(stock: &[Stock], need: &Need, rules: &Rules) -> Option<usize> {
    let good = stock.iter().enumerate().filter(|(_, stock)| serves(stock, &[need], rules));
    let ranked = good.map(|(nth, stock)| ((stock.class.level, stock.offer.is_none()), nth));
    ranked.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, nth)| nth)
}

/// How good a builder is for these hosts: how many it serves, then one of them before others, a host before this machine,
/// then the stronger one.
fn rank(builder: &Builder, members: &[&Need]) -> (usize, bool, bool, u32, u64) {
    let own = members.iter().any(|need| Place::Host(need.host.clone()) == builder.place);
    let Facts { cores, memory, .. } = &*builder.facts;
    (members.len(), own, builder.place != Place::Here, cores.unwrap_or(0), memory.unwrap_or(0))
}

/// The best builders of those that serve all of them.
fn build_ways(judged: &[(&Builder, Result<(), Refusal>)], members: &[&Need], rules: &Rules) -> Vec<Way> {
    let able = judged.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(builder, _)| *builder);
    let mut able: Vec<&Builder> =
        able.filter(|builder| members.iter().all(|need| against(builder, need).is_ok())).collect();
    able.sort_by_key(|builder| std::cmp::Reverse(rank(builder, members)));
    let way = |builder: &Builder| {
        let class = class_on(builder, members, rules.level);
        let recipe = &members[0].recipe;
        let key = build_key(recipe, &class.to_string(), &recipe.worker.features);
        Way { key, class, source: Source::Build(builder.place.clone()) }
    };
    able.into_iter().take(BUILDS).map(way).collect()
}

/// What a builder makes for these hosts.
fn class_on(builder: &Builder, members: &[&Need], level: Option<u8>) -> Class {
    let own = Class::of(members[0].class.accelerator, &builder.facts);
    let lowest = members.iter().map(|need| need.class.level).chain([own.level]).min().flatten();
    let mut cards = members[0].class.cards.clone();
    if let Cards::Compute(union) = &mut cards {
        for need in members {
            if let Cards::Compute(more) = &need.class.cards {
                union.extend(more);
            }
        }
    }
    Class { level: own.level.and(level).or(lowest), cards, ..own }
}

/// What stands against a builder's work on a host.
fn against(builder: &Builder, need: &Need) -> Result<(), Refusal> {
    let own = Place::Host(need.host.clone()) == builder.place;
    let class = Class::of(need.class.accelerator, &builder.facts);
    let who = &builder.place;
    if class.platform != need.class.platform {
        return Err(Refusal::new(
            format!("{who} is {}, and what it builds does not run on {}", class.platform, need.class.platform),
            Some("build on the host (--build host)"),
        ));
    }
    if !class.base.runs_on(need.class.base) {
        let name = |base: Base| match base {
            Base::Glibc(major, minor) => format!("glibc {major}.{minor}"),
            Base::Musl => "musl".to_owned(),
            Base::MacOs(major) => format!("macOS {major}"),
            Base::Unknown => "no known C library".to_owned(),
        };
        return Err(Refusal::new(
            format!("{who} has {}, and the host only {}", name(class.base), name(need.class.base)),
            Some("build on the host (--build host)"),
        ));
    }
    match &need.class.cards {
        Cards::Unknown if !own => Err(Refusal::new(
            format!(
                "the driver of {} does not say what its cards can do, so nobody else can build for them",
                need.host
            ),
            Some("update the driver, or build on the host itself"),
        )),
        Cards::Compute(cards) => {
            let nvcc = builder.facts.tool("nvcc").and_then(|tool| tool.version.as_deref());
            match cards.iter().find(|card| !nvcc_makes(nvcc, **card)) {
                Some((major, minor)) => {
                    let version = nvcc.unwrap_or_default();
                    Err(Refusal::new(format!("nvcc {version} of {who} makes nothing for sm_{major}{minor}"), None))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Why nobody builds for a host.
fn nobody(judged: &[(&Builder, Result<(), Refusal>)], need: &Need, rules: &Rules) -> Refusal {
    let own = Place::Host(need.host.clone());
    let reason = |builder: &Builder, verdict: &Result<(), Refusal>| match verdict {
        Err(no) if builder.place == own => no.clone(),
        Err(no) => Refusal { text: format!("{} cannot build it: {}", builder.place, no.text), hint: no.hint.clone() },
        Ok(()) => against(builder, need).err().unwrap_or_else(|| Refusal::new("it was not asked to build", None)),
    };
    let one = judged.iter().find(|(builder, _)| builder.place == own).or(judged.first());
    let Some((builder, verdict)) = one else {
        let text = match &rules.on {
            Some(on) => format!("{on}, which is to build it, was not reached"),
            None => "there is no machine that may build it".to_owned(),
        };
        return Refusal::new(text, None);
    };
    let mut no = reason(builder, verdict);
    if judged.len() > 1 {
        no.text.push_str("; and nobody else here can build it for this host");
    }
    no
}

fn names(members: &[&Need]) -> Vec<HostName> {
    members.iter().map(|need| need.host.clone()).collect()
}

#[cfg(test)]
mod tests;
