//! What a recipe is told of the host it is built on.

use std::{collections::BTreeMap, fmt::Write};

use crate::vocab::{Facts, Mirror, facts::Arch, text::sh_quote};

/// Memory that one compiler at work is given; C++ and link steps take about as much.
const BYTES_PER_JOB: u64 = 1 << 30;

/// Bytes that one archive may hold when it is extracted: more than any source, less than a disk.
const EXTRACT_LIMIT: u64 = 32 << 30;

/// Reading a recipe takes milliseconds; this is for one that asks a compiler for its version on a busy machine.
const READ_LIMIT: u32 = 20;

/// A variable that no shell could take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be a variable of the build's environment")]
pub struct BadEnvironment {
    pub name: String,
}

/// A build's environment; everything else is the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub arch: Arch,
    /// How many compilers may be at work.
    pub jobs: u32,
    /// Exported as they are.
    pub variables: BTreeMap<String, String>,
    /// Reach the recipe as `RBEE_FEATURES`, joined by commas.
    pub features: Vec<String>,
    /// Folders that stand before the PATH.
    pub path: Vec<String>,
    /// Also run `check()`.
    pub check: bool,
    /// Bytes that one archive may hold when it is extracted.
    pub extract_limit: u64,
    /// Other places of the sources, in the order they are tried.
    pub mirrors: Vec<Mirror>,
    /// Git sources come with their submodules.
    pub submodules: bool,
    /// Seconds that a recipe's top level may take, each time that it is read.
    pub read_limit: u32,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            arch: Arch::default(),
            jobs: 1,
            variables: BTreeMap::new(),
            features: Vec::new(),
            path: Vec::new(),
            check: false,
            extract_limit: EXTRACT_LIMIT,
            mirrors: Vec::new(),
            submodules: false,
            read_limit: READ_LIMIT,
        }
    }
}

impl Environment {
    /// The environment that fits a host: its tools outside of PATH, its cores as far as memory goes.
    pub fn of(facts: &Facts, variables: &BTreeMap<String, String>, features: &[String]) -> Self {
        Self {
            arch: facts.arch.clone(),
            jobs: jobs(facts.cores, facts.memory),
            variables: variables.clone(),
            features: features.to_vec(),
            path: facts.extra_path().into_iter().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    /// A script that a POSIX shell or bash sources; sets `CARCH` and the driver's own variables too.
    ///
    /// # Errors
    /// When a name is none, or a value could not be one.
    pub fn script(&self) -> Result<String, BadEnvironment> {
        let mut script = String::new();
        let mut line = |text: String| {
            let _ = writeln!(script, "{text}");
        };
        for (name, value) in &self.variables {
            if !is_name(name) || value.contains('\0') {
                return Err(BadEnvironment { name: name.clone() });
            }
            line(format!("export {name}={}", sh_quote(value)));
        }
        if !self.features.is_empty() {
            line(format!("export RBEE_FEATURES={}", sh_quote(&self.features.join(","))));
        }
        if !self.path.is_empty() {
            line(format!("export PATH={}:\"$PATH\"", sh_quote(&self.path.join(":"))));
        }
        line(format!("CARCH={}", sh_quote(&carch(&self.arch))));
        line(format!("_rbee_jobs={}", self.jobs.max(1)));
        line(format!("_rbee_extract_limit={}", self.extract_limit));
        // Pairs of lines; a mirror has no control characters.
        let mirrors: String =
            self.mirrors.iter().map(|mirror| format!("{}\n{}\n", mirror.prefix(), mirror.to())).collect();
        line(format!("_rbee_mirrors={}", sh_quote(&mirrors)));
        line(format!("_rbee_submodules={}", if self.submodules { "yes" } else { "" }));
        line(format!("_rbee_read_limit={}", self.read_limit));
        line(format!("_rbee_want_check={}", if self.check { "yes" } else { "" }));
        Ok(script)
    }
}

/// A line that stands before a short script of our own, so that it finds the tools that the build finds.
pub(crate) fn path_line(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!("PATH={}:\"$PATH\"; export PATH\n", sh_quote(&path.join(":"))) }
}

/// The architecture as makepkg calls it, and as it can be part of a variable's name.
fn carch(arch: &Arch) -> String {
    arch.as_str().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && !name.starts_with("_rbee_") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn jobs(cores: Option<u32>, memory: Option<u64>) -> u32 {
    let room = memory.map_or(u64::MAX, |bytes| bytes / BYTES_PER_JOB).max(1);
    cores.unwrap_or(1).max(1).min(u32::try_from(room).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_it_to_a_shell() {
        let mut environment = Environment { arch: Arch::Aarch64, jobs: 3, ..Environment::default() };
        environment.variables.insert("A".into(), "it's $HOME\n`x`".into());
        environment.path = vec!["/opt/a b/bin".into(), "/usr/lib".into()];
        environment.features = vec!["cuda".into(), "x y".into()];
        let script = environment.script().unwrap();
        let script =
            format!("PATH=/bin; {script}printf '%s|' \"$A\" \"$PATH\" \"$RBEE_FEATURES\" \"$CARCH\" $_rbee_jobs");
        let out = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(
            String::from_utf8(out.stdout).unwrap(),
            "it's $HOME\n`x`|/opt/a b/bin:/usr/lib:/bin|cuda,x y|aarch64|3|"
        );
    }

    #[test]
    fn hostile_names_do_not_become_code() {
        for name in ["", "1A", "A B", "A=$(x)", "A;x", "ü", "_rbee_jobs", "A\nB"] {
            let variables = BTreeMap::from([(name.to_owned(), "v".to_owned())]);
            let environment = Environment { variables, ..Environment::default() };
            assert_eq!(environment.script(), Err(BadEnvironment { name: name.into() }));
        }
        let environment = Environment { arch: Arch::Other("x;$(y)".into()), ..Environment::default() };
        assert!(environment.script().unwrap().contains("CARCH=xy\n"));
    }

    #[test]
    fn compilers_are_as_many_as_cores_and_memory_allow() {
        assert_eq!(jobs(Some(8), Some(64 << 30)), 8);
        assert_eq!(jobs(Some(64), Some(8 << 30)), 8);
        assert_eq!(jobs(Some(4), Some(500 << 20)), 1);
        assert_eq!(jobs(Some(4), None), 4);
        assert_eq!(jobs(None, None), 1);
    }
}
