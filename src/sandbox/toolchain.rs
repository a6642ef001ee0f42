//! The controller's Rust toolchain, lent to hosts whose HOME is another.

use std::{ffi::OsString, path::PathBuf};

/// Where rustup and cargo keep what they have; passed on to every command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// `RUSTUP_HOME`
    pub rustup_home: Option<PathBuf>,
    /// `CARGO_HOME`; its `bin` is not put on PATH, as it is not on a real host's.
    pub cargo_home: Option<PathBuf>,
}

impl Toolchain {
    /// Reads `RUSTUP_HOME` and `CARGO_HOME` by `variable`; where they are not set, the folders that rustup makes below
    /// `HOME`, if they exist.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let home = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let folder = |name: &str, default: &str| {
            let set = variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            set.or_else(|| home.as_ref().map(|home| home.join(default)).filter(|path| path.is_dir()))
        };
        Self { rustup_home: folder("RUSTUP_HOME", ".rustup"), cargo_home: folder("CARGO_HOME", ".cargo") }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let variable = |name, value: &Option<PathBuf>| value.clone().map(|path| (name, path.into_os_string()));
        variable("RUSTUP_HOME", &self.rustup_home).into_iter().chain(variable("CARGO_HOME", &self.cargo_home))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_wins_and_defaults_must_exist() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".rustup")).unwrap();
        let at_home = |name: &str| (name == "HOME").then(|| home.path().as_os_str().to_owned());
        let found = Toolchain::find(at_home);
        assert_eq!(found, Toolchain { rustup_home: Some(home.path().join(".rustup")), cargo_home: None });

        let set = Toolchain::find(|name| at_home(name).or_else(|| (name == "CARGO_HOME").then(|| "/opt/cargo".into())));
        assert_eq!(set.cargo_home, Some("/opt/cargo".into()));
        assert_eq!(Toolchain::find(|_| None), Toolchain::default());
    }
}
