//! Which packages bring what is missing, as one line for a person to run; nothing here installs anything.

use super::capability;
use crate::vocab::{Facts, facts::Os, text::sh_join};

/// A package manager by what its program is called, with its column of the packages.
struct Manager {
    program: &'static str,
    column: usize,
    arguments: &'static [&'static str],
}

const BREW: usize = 5;

/// The first that is there is the system's own.
const MANAGERS: [Manager; 7] = [
    Manager { program: "apt-get", column: 0, arguments: &["install", "-y"] },
    Manager { program: "dnf", column: 1, arguments: &["install", "-y"] },
    Manager { program: "yum", column: 1, arguments: &["install", "-y"] },
    Manager { program: "pacman", column: 2, arguments: &["-S", "--needed", "--noconfirm"] },
    Manager { program: "zypper", column: 3, arguments: &["install", "-y"] },
    Manager { program: "apk", column: 4, arguments: &["add"] },
    Manager { program: "brew", column: BREW, arguments: &["install"] },
];

/// One run of a host's package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// "apt-get".
    pub manager: &'static str,
    /// Where that is on the host.
    pub path: String,
    /// With the packages.
    pub arguments: Vec<String>,
    /// Whether the user has to become root for it.
    pub sudo: bool,
    /// Whether nothing is missing that no package is known to bring.
    pub whole: bool,
}

impl Provision {
    /// The packages alone.
    pub fn packages(&self) -> Vec<String> {
        let words = self.arguments.iter().filter(|word| !word.starts_with('-'));
        words.filter(|word| !matches!(word.as_str(), "install" | "add")).cloned().collect()
    }

    /// The line that a person would type.
    pub fn line(&self) -> String {
        let sudo = if self.sudo { "sudo " } else { "" };
        format!("{sudo}{} {}", self.manager, sh_join(&self.arguments))
    }
}

/// Tools that come with Apple's own package, which only a dialog installs.
fn from_xcode(facts: &Facts, name: &str) -> bool {
    facts.os == Os::MacOs && matches!(name, "cc" | "c++" | "git" | "make" | "ld")
}

/// The run of the package manager that would bring these capabilities; `None` when no package is known to.
pub(super) fn provision(facts: &Facts, missing: &[&str]) -> Option<Provision> {
    let (manager, tool) = MANAGERS.iter().find_map(|manager| {
        // A brew beside a system's own manager is a guest.
        let own = facts.os != Os::MacOs || manager.column == BREW;
        Some((manager, facts.tool(manager.program).filter(|_| own)?))
    })?;
    let mut packages: Vec<&str> = Vec::new();
    let mut whole = true;
    for name in missing {
        let bringer = capability::of(name).filter(|_| !from_xcode(facts, name));
        let names = bringer.map_or("", |capability| capability.packages[manager.column]);
        whole &= !names.is_empty();
        for name in names.split_ascii_whitespace() {
            if !packages.contains(&name) {
                packages.push(name);
            }
        }
    }
    if packages.is_empty() {
        return None;
    }
    Some(Provision {
        manager: manager.program,
        path: tool.path.clone(),
        arguments: manager.arguments.iter().chain(&packages).map(ToString::to_string).collect(),
        // brew refuses to be root.
        sudo: facts.uid != Some(0) && manager.column != BREW,
        whole,
    })
}

/// The one line that would bring these capabilities; `None` when nothing is known to help.
pub(super) fn install_line(facts: &Facts, missing: &[&str]) -> Option<String> {
    let xcode = missing.iter().any(|name| from_xcode(facts, name)).then(|| "xcode-select --install".to_owned());
    let lines: Vec<String> = xcode.into_iter().chain(provision(facts, missing).map(|it| it.line())).collect();
    (!lines.is_empty()).then(|| lines.join(" && "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::facts::Tool;

    fn host(os: Os, manager: &str, uid: u32) -> Facts {
        let mut facts = Facts { os, uid: Some(uid), ..Facts::default() };
        facts.tools.insert(manager.to_owned(), Tool { path: format!("/usr/bin/{manager}"), ..Tool::default() });
        facts
    }

    #[test]
    fn each_manager_gets_its_own_names() {
        let line =
            |manager, uid| install_line(&host(Os::Linux, manager, uid), &["cmake", "c++", "cc", "ninja", "libssl"]);
        assert_eq!(
            line("apt-get", 1000).unwrap(),
            "sudo apt-get install -y cmake g++ gcc libc6-dev ninja-build libssl-dev"
        );
        assert_eq!(line("yum", 1000).unwrap(), "sudo yum install -y cmake gcc-c++ gcc ninja-build openssl-devel");
        assert_eq!(line("pacman", 0).unwrap(), "pacman -S --needed --noconfirm cmake gcc ninja openssl");
        assert_eq!(line("apk", 0).unwrap(), "apk add cmake g++ gcc musl-dev ninja-build openssl-dev");
        assert_eq!(line("nix", 0), None);
        assert_eq!(install_line(&host(Os::Linux, "apt-get", 0), &["frobnicate; reboot"]), None);
    }

    #[test]
    fn a_mac_has_its_compiler_from_apple() {
        let mac = host(Os::MacOs, "brew", 501);
        assert_eq!(install_line(&mac, &["c++", "cmake"]).unwrap(), "xcode-select --install && brew install cmake");
        assert_eq!(install_line(&mac, &["nvcc"]), None);
        let brew = provision(&mac, &["c++", "cmake"]).unwrap();
        assert_eq!((brew.line().as_str(), brew.sudo, brew.whole), ("brew install cmake", false, false));
        assert!(provision(&mac, &["cmake"]).unwrap().whole);
    }
}
