//! Joins what the files say: ranges become hosts, groups and defaults are folded into them.

use std::collections::{BTreeSet, HashMap};

use super::{
    Inventory,
    document::{Place, Problems},
    grammar, ranges,
    schema::{HostEntry, Options, Said},
    suggest::{bare, did_you_mean, quoted},
};
use crate::vocab::{Host, HostName, Route, host::SshRoute};

/// The most hosts of an inventory, over all its entries.
const MOST_HOSTS: usize = 10_000;

/// Joins the files, given in the order of their names.
pub(super) fn merge(files: Vec<Said>, problems: &mut Problems) -> Inventory {
    let mut inventory = Inventory::default();
    let mut base = Options::default();
    let mut set: HashMap<&'static str, Place> = HashMap::new();
    let mut groups: HashMap<String, (Place, Options)> = HashMap::new();
    let mut entries = Vec::new();
    for said in files {
        for (key, place) in said.defaults.places {
            match set.get(key) {
                Some(first) => {
                    problems.add(&place, format!("duplicate key {key:?} in defaults; {first} has it already"))
                }
                None => drop(set.insert(key, place)),
            }
        }
        inventory.defaults.join(said.defaults.values);
        base.overlay(&Options { user: said.defaults.user, identity: said.defaults.identity, ..Options::default() });
        for group in said.groups {
            match groups.get(&group.name) {
                Some((first, _)) => {
                    problems
                        .add(&group.place, format!("duplicate group {}; {first} has it already", bare(&group.name)));
                }
                None => drop(groups.insert(group.name, (group.place, group.options))),
            }
        }
        entries.extend(said.hosts);
    }
    inventory.defaults.hosts_place = set.remove("hosts");
    inventory.groups = groups.keys().cloned().chain(entries.iter().flat_map(|entry| entry.groups.clone())).collect();
    let mut hosts = Hosts { list: Vec::new(), made: 0, places: Vec::new(), index: HashMap::new() };
    for entry in entries {
        let mut options = base.clone();
        for (_, group) in entry.groups.iter().filter_map(|name| groups.get(name)) {
            options.overlay(group);
        }
        options.overlay(&entry.options);
        // Each entry adds hosts or a problem; with a bound on both, so is the work.
        if !hosts.add(entry, &options, problems) || problems.are_many() {
            break;
        }
    }
    (inventory.hosts, inventory.index) = (hosts.list, hosts.index);
    check_default(&inventory, problems);
    inventory
}

/// The hosts that were made so far.
struct Hosts {
    list: Vec<Host>,
    /// How many names were made, those of refused entries too.
    made: usize,
    places: Vec<Place>,
    index: HashMap<HostName, usize>,
}

impl Hosts {
    /// Makes the hosts of one entry; `false` when there are too many to go on.
    fn add(&mut self, entry: HostEntry, options: &Options, problems: &mut Problems) -> bool {
        let Some(names) = names(&entry, problems) else { return true };
        self.made += names.len();
        if self.made > MOST_HOSTS {
            problems.add(&entry.place, format!("the inventory has more than {MOST_HOSTS} hosts"));
            return false;
        }
        let Some(addresses) = addresses(&entry, names.len(), problems) else { return true };
        if entry.local {
            if names.len() > 1 {
                problems.add(&entry.place, format!("host {} is a range; the controller is one", bare(&entry.name)));
                return true;
            }
            if let Some(other) = self.list.iter().position(|host| host.route == Route::Local) {
                let (name, place) = (&self.list[other].name, &self.places[other]);
                let this = bare(&entry.name);
                problems
                    .add(&entry.place, format!("host {this} is the controller, which {name} at {place} is already"));
                return true;
            }
        }
        let groups: BTreeSet<String> = entry.groups.iter().cloned().collect();
        for (nth, name) in names.into_iter().enumerate() {
            if let Some(first) = self.index.get(&name) {
                let first = &self.places[*first];
                problems.add(&entry.place, format!("duplicate host {name}; {first} has it already"));
                // One sentence about two ranges that overlap is enough.
                return true;
            }
            let route = match entry.local {
                true => Route::Local,
                false => Route::Ssh(SshRoute {
                    address: addresses.get(nth).cloned(),
                    port: options.port,
                    user: options.user.clone(),
                    identity: options.identity.clone().unwrap_or_default(),
                    jump: options.jump.clone(),
                }),
            };
            self.index.insert(name.clone(), self.list.len());
            self.places.push(entry.place.clone());
            self.list.push(Host {
                groups: groups.clone(),
                workers: options.workers.clone().unwrap_or_default(),
                optional: options.optional.unwrap_or_default(),
                env: options.env.clone(),
                connect_timeout: options.connect_timeout,
                ..Host::named(name, route, entry.place.to_string())
            });
        }
        true
    }
}

/// The names that an entry stands for.
fn names(entry: &HostEntry, problems: &mut Problems) -> Option<Vec<HostName>> {
    let fail = |why: &dyn std::fmt::Display| format!("host name {} {why}", quoted(&entry.name));
    if entry.name == "all" {
        problems.add(&entry.place, fail(&"is taken: the pattern all means every host"));
        return None;
    }
    let names = match ranges::expand(&entry.name) {
        Ok(names) => names,
        Err(error) => {
            problems.add(&entry.place, fail(&error));
            return None;
        }
    };
    let names: Result<Vec<_>, _> = names.iter().map(|name| HostName::new(name)).collect();
    names.map_err(|error| problems.add(&entry.place, fail(&error.why))).ok()
}

/// The addresses of an entry's hosts, as many as there are names, or none at all.
fn addresses(entry: &HostEntry, count: usize, problems: &mut Problems) -> Option<Vec<String>> {
    let Some((place, text)) = &entry.address else { return Some(Vec::new()) };
    let what = format!("address {} in host {}", quoted(text), bare(&entry.name));
    let mut fail = |why: &dyn std::fmt::Display| problems.add(place, format!("{what} {why}"));
    // Brackets around an IPv6 address are a mistake of their own.
    let list = if text.starts_with('[') && text.contains(':') { Ok(vec![text.clone()]) } else { ranges::expand(text) };
    let list = match list {
        Ok(list) => list,
        Err(error) => {
            fail(&error);
            return None;
        }
    };
    if let Some(why) = list.iter().find_map(|address| grammar::address(address).err()) {
        fail(&why);
        return None;
    }
    match list.len() {
        n if n == count => Some(list),
        1 => {
            fail(&format_args!("is one for {count} hosts; give it a range of the same size, or leave it out"));
            None
        }
        n => {
            fail(&format_args!("stands for {n} addresses, but the name for {count}"));
            None
        }
    }
}

/// The groups of `defaults.hosts` must exist; its names may be those of ssh_config, which is not known here.
fn check_default(inventory: &Inventory, problems: &mut Problems) {
    let (Some(pattern), Some(place)) = (&inventory.defaults.hosts, &inventory.defaults.hosts_place) else { return };
    for group in pattern.groups().filter(|group| !inventory.groups.contains(*group)) {
        let hint = did_you_mean(group, inventory.groups.iter().map(String::as_str));
        problems.add(place, format!("unknown group {} in hosts of defaults{hint}", quoted(group)));
    }
}
