//! What an inventory of Ansible's comes to, host by host.
//!
//! # Theory of operation
//! Both forms are read into [`Gathered`]: hosts, groups, their children and variables. A host is in every group above it,
//! too. Its variables are those of `all`, then of its groups from the outermost in, then its own; of them, the few that say
//! how it is reached are carried over, and the others named once each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Draft, DraftHost, ini, read, yaml};

/// Why nothing can be made of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("line {line}: {what}")]
    Line { line: usize, what: String },
}

/// A variable without a value holds more than a word.
pub(super) type Variables = BTreeMap<String, Option<String>>;

#[derive(Debug, Default)]
pub(super) struct Group {
    pub hosts: Vec<String>,
    pub children: BTreeSet<String>,
    pub variables: Variables,
}

/// Everything that a file says.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// In the order of the file.
    pub names: Vec<String>,
    pub hosts: BTreeMap<String, Variables>,
    pub groups: BTreeMap<String, Group>,
}

/// The most hosts of a file, and the most levels of groups.
const MOST_HOSTS: usize = 10_000;
const DEEPEST: usize = 32;

impl Gathered {
    pub fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Adds the hosts of a pattern to a group; variables that are there already are overwritten.
    pub fn host(&mut self, group: &str, pattern: &str, variables: &Variables, line: usize) -> Result<(), ImportError> {
        let bad = |what: &str| ImportError::Line { line, what: format!("host {pattern:?} {what}") };
        let names = expand(pattern).ok_or_else(|| bad("has a range that is none"))?;
        if self.names.len() + names.len() > MOST_HOSTS {
            return Err(bad("is one of more than 10000"));
        }
        for name in names {
            // A port may stand behind a name.
            let (name, port) = match name.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host.to_owned(), Some(port.to_owned())),
                _ => (name, None),
            };
            if !self.hosts.contains_key(&name) {
                self.names.push(name.clone());
            }
            let own = self.hosts.entry(name.clone()).or_default();
            own.extend(port.map(|port| ("ansible_port".to_owned(), Some(port))));
            own.extend(variables.iter().map(|(key, value)| (key.clone(), value.clone())));
            self.group(group).hosts.push(name);
        }
        Ok(())
    }
}

/// Reads a file, INI or YAML by its name and its beginning.
///
/// # Errors
/// It cannot be read, or is neither.
pub fn ansible(path: &Path) -> Result<Draft, ImportError> {
    let text = read(path)?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let first = first.unwrap_or_default();
    let is_yaml = matches!(ending, "yml" | "yaml" | "json") || first == "---" || first.ends_with(':');
    let mut gathered = Gathered::default();
    if is_yaml {
        yaml::read(&text, &mut gathered)?
    } else {
        ini::read(&text, &mut gathered)?
    }
    Ok(draft(&gathered))
}

fn draft(gathered: &Gathered) -> Draft {
    let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, group) in &gathered.groups {
        for child in &group.children {
            parents.entry(child).or_default().push(name);
        }
    }
    let mut direct: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, group) in &gathered.groups {
        for host in &group.hosts {
            direct.entry(host).or_default().push(name);
        }
    }
    let mut draft = Draft::default();
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for name in &gathered.names {
        // How far out a group is: the outermost is overlaid by all others.
        let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
        let mut level: Vec<&str> = direct.get(name.as_str()).cloned().unwrap_or_default();
        for depth in 0..DEEPEST {
            for group in &level {
                levels.insert(group, depth);
            }
            let above: BTreeSet<&str> =
                level.iter().flat_map(|g| parents.get(g).into_iter().flatten().copied()).collect();
            level = above.into_iter().collect();
        }
        levels.insert("all", usize::MAX);
        let mut groups: Vec<(&str, usize)> = levels.into_iter().collect();
        groups.sort_by_key(|(group, depth)| (std::cmp::Reverse(*depth), *group));
        let mut variables = Variables::new();
        for (group, _) in &groups {
            let said = gathered.groups.get(*group).map(|group| &group.variables);
            variables.extend(said.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        variables.extend(gathered.hosts.get(name).cloned().unwrap_or_default());
        let mut host = DraftHost::named(name);
        let kept = groups.iter().map(|(group, _)| *group).filter(|group| !matches!(*group, "all" | "ungrouped"));
        host.groups = kept.map(str::to_owned).collect();
        carry(variables, &mut host, &mut draft, &mut left);
        draft.hosts.push(host);
    }
    for (variable, hosts) in left {
        let whom = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
        draft.leave_out(format!("variable {variable} of {whom} has no place in an inventory, and is left out"));
    }
    let empty = gathered.groups.iter().filter(|(_, group)| group.hosts.is_empty() && group.children.is_empty());
    for (name, _) in empty.filter(|(name, _)| !matches!(name.as_str(), "all" | "ungrouped")) {
        draft.leave_out(format!("group {name} has no hosts, and is left out"));
    }
    draft
}

fn carry(variables: Variables, host: &mut DraftHost, draft: &mut Draft, left: &mut BTreeMap<String, usize>) {
    let name = host.name.clone();
    for (variable, value) in variables {
        let Some(value) = value.filter(|value| !value.contains("{{")) else {
            *left.entry(variable).or_default() += 1;
            continue;
        };
        match variable.as_str() {
            "ansible_host" | "ansible_ssh_host" => host.address = Some(value),
            "ansible_port" | "ansible_ssh_port" => host.port = Some(value),
            "ansible_user" | "ansible_ssh_user" => host.user = Some(value),
            "ansible_ssh_private_key_file" | "ansible_private_key_file" => host.identity = vec![value],
            "ansible_connection" if value == "local" => host.local = true,
            "ansible_connection" if matches!(value.as_str(), "ssh" | "smart" | "paramiko") => {}
            "ansible_ssh_common_args" | "ansible_ssh_extra_args" => {
                let (jump, rest) = jump(&value);
                host.jump = jump.or(host.jump.take());
                if !rest.is_empty() {
                    draft.leave_out(format!(
                        "host {name}: of {variable}, {rest:?} is left out; write it into ~/.ssh/config"
                    ));
                }
            }
            _ => *left.entry(variable).or_default() += 1,
        }
    }
}

/// The jump host of arguments for ssh, and what else they say.
fn jump(args: &str) -> (Option<String>, String) {
    let words = ini::words(args).unwrap_or_else(|_| vec![args.to_owned()]);
    let (mut found, mut rest) = (None, Vec::new());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let attached = word.get(2..).filter(|text| !text.is_empty()).map(str::to_owned);
        let proxy = |text: &str| {
            let (key, value) = text.split_once(['=', ' '])?;
            key.eq_ignore_ascii_case("proxyjump").then(|| value.trim().to_owned())
        };
        match word.get(..2) {
            Some("-J") => found = attached.or_else(|| words.next()),
            Some("-o") => {
                let option = attached.or_else(|| words.next()).unwrap_or_default();
                match proxy(&option) {
                    Some(jump) => found = Some(jump),
                    None => rest.push(format!("-o {option}")),
                }
            }
            _ => rest.push(word),
        }
    }
    (found, rest.join(" "))
}

/// The names of `web[01:50]`, `db-[a:f]`, `n[1:9:2]`; a name without a range stands for itself.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some((head, tail)) = pattern.split_once('[') else { return Some(vec![pattern.to_owned()]) };
    let (range, tail) = tail.split_once(']')?;
    let mut parts = range.split(':');
    let (first, last, step) = (parts.next()?, parts.next()?, parts.next().unwrap_or("1"));
    let step: usize = step.parse().ok().filter(|step| *step > 0)?;
    let middle: Vec<String> = match (first.as_bytes(), last.as_bytes()) {
        ([a], [b]) if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            (*a..=*b).step_by(step).map(|letter| char::from(letter).to_string()).collect()
        }
        _ => {
            let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            let width = if first.starts_with('0') { first.len() } else { 0 };
            let numbers = (from..=to).step_by(step).take(MOST_HOSTS + 1);
            numbers.map(|number| format!("{number:0width$}")).collect()
        }
    };
    let tails = expand(tail)?;
    if parts.next().is_some() || middle.is_empty() || middle.len() * tails.len() > MOST_HOSTS {
        return None;
    }
    let joined = middle.iter().flat_map(|middle| tails.iter().map(move |tail| format!("{head}{middle}{tail}")));
    Some(joined.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        inventory::{Inventory, Source, load},
        vocab::Route,
    };

    fn import(name: &str, text: &str) -> Result<(Inventory, Vec<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        let (text, left_out) = ansible(&dir.path().join(name)).map_err(|error| error.to_string())?.finish();
        let file = dir.path().join("inventory.toml");
        fs::write(&file, &text).unwrap();
        // What is printed is read back by the reader that all inventories are read with.
        let inventory =
            load(&Source::Named(file), Path::new("/home/me")).map_err(|error| format!("{error}\n{text}"))?;
        Ok((inventory, left_out))
    }

    fn line(inventory: &Inventory, name: &str) -> String {
        let host = inventory.get(name).unwrap_or_else(|| panic!("no {name} in {inventory:?}"));
        let groups = host.groups.iter().cloned().collect::<Vec<_>>().join("+");
        match &host.route {
            Route::Local => format!("local {groups}"),
            Route::Ssh(route) => format!(
                "{}@{}:{} {:?} via {} in {groups}",
                route.user.as_deref().unwrap_or("-"),
                route.address.as_deref().unwrap_or("-"),
                route.port.unwrap_or(0),
                route.identity,
                route.jump.as_deref().unwrap_or("-"),
            ),
        }
    }

    const INI: &str = "# mine\nlone ansible_host=192.0.2.9\nhere ansible_connection=local\n\n[web]\n\
        web[01:03].example ansible_user=\"w\" # why\nodd:2222\n[db]\ndb-[a:b]\n[lab:children]\nweb\ndb\n\
        [lab:vars]\nansible_user=lab\nansible_ssh_private_key_file=~/.ssh/lab key\nntp=pool\n\
        [db:vars]\nansible_ssh_common_args='-o ProxyJump=me@bastion:22 -o ForwardAgent=yes'\n[empty]\n";

    const YAML: &str = "---\nall:\n  vars: {ntp: pool}\n  hosts:\n    lone: {ansible_host: 192.0.2.9}\n    here:\n      \
        ansible_connection: local\n  children:\n    lab:\n      vars:\n        ansible_user: lab\n        \
        ansible_ssh_private_key_file: ~/.ssh/lab key\n      children:\n        web:\n          hosts:\n            \
        web[01:03].example:\n              ansible_user: w\n            odd:\n              ansible_port: 2222\n        \
        db:\n          hosts:\n            db-[a:b]:\n          vars:\n            ansible_ssh_common_args: >-\n              \
        -J me@bastion:22 -o ForwardAgent=yes\n    empty:\n";

    #[test]
    fn both_forms_come_to_the_same() {
        for (name, text) in [("hosts", INI), ("hosts.yml", YAML)] {
            let (inventory, left_out) = import(name, text).unwrap();
            assert_eq!(inventory.hosts().len(), 8, "{name}");
            let key = "[\"/home/me/.ssh/lab key\"]";
            assert_eq!(line(&inventory, "lone"), "-@192.0.2.9:0 [] via - in ");
            assert_eq!(line(&inventory, "here"), "local ");
            assert_eq!(line(&inventory, "web02.example"), format!("w@-:0 {key} via - in lab+web"));
            assert_eq!(line(&inventory, "odd"), format!("lab@-:2222 {key} via - in lab+web"));
            assert_eq!(line(&inventory, "db-b"), format!("lab@-:0 {key} via me@bastion:22 in db+lab"));
            let all = left_out.join("\n");
            for expected in
                ["variable ntp of ", "host db-a: of ansible_ssh_common_args, \"-o ForwardAgent=yes\"", "group empty"]
            {
                assert!(all.contains(expected), "{expected}\n{all}");
            }
            assert_eq!(left_out.len(), 4, "{all}");
        }
    }

    #[test]
    fn what_an_inventory_cannot_say_is_named() {
        let (inventory, left_out) = import(
            "hosts",
            "[g g]\n[a-b]\n\"ü\"\nx ansible_port=no ansible_user='a b' ansible_host='{{ ip }}'\nlocal\n",
        )
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(inventory.hosts().len(), 1);
        assert_eq!(left_out.len(), 6, "{left_out:#?}");
    }

    #[test]
    fn nonsense_has_its_line() {
        for (name, text, expected) in [
            ("h", "[web\n", "line 1: "),
            ("h", "a\n[web:vars]\nx\n", "line 3: "),
            ("h", "a[1:x]\n", "line 1: host \"a[1:x]\""),
            ("h", "a[1:99999]\n", "line 1: "),
            ("h", "a \"b\n", "line 1: "),
            ("h.yml", "all:\n  hosts: [a\n", "line "),
            ("h.yml", "all:\n  host: {}\n", "line 2: "),
            ("h.yml", "- a\n", "line 1: "),
            ("h.yml", "a: &x {hosts: {b: }}\nc: *x\n", "line 2: "),
        ] {
            let error = import(name, text).expect_err(text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let deep = "a: ".repeat(200) + "\n";
        assert!(import("h.yml", &deep).is_err() && import("h.yml", &"[".repeat(100_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(
            text in "([a-z\\[\\]:{}'\"#=&*! -]|\n|ansible_host|children|hosts|vars){0,60}",
        ) {
            let _ = import("h", &text);
            if let Err(error) = import("h.yml", &text) {
                proptest::prop_assert!(error.starts_with("line "), "{}", error);
            }
        }
    }
}
