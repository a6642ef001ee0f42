//! Which packages bring a missing tool, as one line for a person to run; nothing here installs anything.

use crate::vocab::{Facts, facts::Os};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packager {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
    Brew,
}

/// By what its program is called.
const PACKAGERS: [(&str, Packager, &str); 6] = [
    ("apt-get", Packager::Apt, "apt-get install -y"),
    ("dnf", Packager::Dnf, "dnf install -y"),
    ("pacman", Packager::Pacman, "pacman -S --needed"),
    ("zypper", Packager::Zypper, "zypper install -y"),
    ("apk", Packager::Apk, "apk add"),
    ("brew", Packager::Brew, "brew install"),
];

/// Tool, then its package for each of [`PACKAGERS`] in that order; "" where there is none.
const PACKAGES: &[(&str, [&str; 6])] = &[
    ("bash", ["bash"; 6]),
    ("c++", ["g++", "gcc-c++", "gcc", "gcc-c++", "g++", ""]),
    ("cargo", ["cargo", "cargo", "rust", "cargo", "cargo", "rust"]),
    ("cc", ["gcc libc6-dev", "gcc", "gcc", "gcc", "gcc musl-dev", ""]),
    ("cmake", ["cmake"; 6]),
    ("curl", ["curl"; 6]),
    ("git", ["git"; 6]),
    ("make", ["make"; 6]),
    ("ninja", ["ninja-build", "ninja-build", "ninja", "ninja", "ninja-build", "ninja"]),
    ("nvcc", ["nvidia-cuda-toolkit", "cuda-toolkit", "cuda", "cuda-toolkit", "", ""]),
    ("openssl", ["openssl", "openssl", "openssl", "openssl", "openssl", "openssl@3"]),
    ("perl", ["perl"; 6]),
    ("pkg-config", ["pkg-config", "pkgconf-pkg-config", "pkgconf", "pkgconf-pkg-config", "pkgconf", "pkgconf"]),
    ("python3", ["python3", "python3", "python", "python3", "python3", "python3"]),
    ("rustc", ["rustc", "rust", "rust", "rust", "rust", "rust"]),
    ("setsid", ["util-linux", "util-linux", "util-linux", "util-linux", "util-linux", "util-linux"]),
    ("sha256", ["coreutils"; 6]),
    ("tar", ["tar", "tar", "tar", "tar", "tar", "gnu-tar"]),
    ("unzip", ["unzip"; 6]),
    ("xz", ["xz-utils", "xz", "xz", "xz", "xz", "xz"]),
    ("zstd", ["zstd"; 6]),
];

/// The one line that would install `tools` on this host, and what to say of those that no package brings.
///
/// `None` when nothing is known to help.
pub(super) fn install_line(facts: &Facts, tools: &[&str]) -> Option<String> {
    let mut lines = Vec::new();
    let xcode = |tool: &str| facts.os == Os::MacOs && matches!(tool, "cc" | "c++" | "git" | "make");
    if tools.iter().any(|tool| xcode(tool)) {
        lines.push("xcode-select --install".to_owned());
    }
    let manager = PACKAGERS.iter().enumerate().find(|(_, (program, kind, _))| {
        // A brew beside a system's own packager is a guest.
        facts.tool(program).is_some() && (facts.os != Os::MacOs || *kind == Packager::Brew)
    });
    if let Some((column, (_, kind, command))) = manager {
        let mut packages: Vec<&str> = Vec::new();
        for tool in tools.iter().filter(|tool| !xcode(tool)) {
            let names = PACKAGES.iter().find(|(name, _)| name == tool).map(|(_, names)| names[column]);
            for name in names.unwrap_or_default().split_ascii_whitespace() {
                if !packages.contains(&name) {
                    packages.push(name);
                }
            }
        }
        if !packages.is_empty() {
            // brew refuses to be root.
            let sudo = if facts.uid == Some(0) || *kind == Packager::Brew { "" } else { "sudo " };
            lines.push(format!("{sudo}{command} {}", packages.join(" ")));
        }
    }
    (!lines.is_empty()).then(|| lines.join(" && "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::facts::Tool;

    fn host(os: Os, packager: &str, uid: u32) -> Facts {
        let mut facts = Facts { os, uid: Some(uid), ..Facts::default() };
        facts.tools.insert(packager.to_owned(), Tool::default());
        facts
    }

    #[test]
    fn each_packager_gets_its_own_names() {
        let line = |packager, uid| install_line(&host(Os::Linux, packager, uid), &["cmake", "c++", "cc", "ninja"]);
        assert_eq!(line("apt-get", 1000).unwrap(), "sudo apt-get install -y cmake g++ gcc libc6-dev ninja-build");
        assert_eq!(line("pacman", 0).unwrap(), "pacman -S --needed cmake gcc ninja");
        assert_eq!(line("apk", 0).unwrap(), "apk add cmake g++ gcc musl-dev ninja-build");
        assert_eq!(line("nix", 0), None);
    }

    #[test]
    fn a_mac_has_its_compiler_from_apple() {
        let mac = host(Os::MacOs, "brew", 501);
        assert_eq!(install_line(&mac, &["c++", "cmake"]).unwrap(), "xcode-select --install && brew install cmake");
        assert_eq!(install_line(&mac, &["nvcc"]), None);
    }
}
