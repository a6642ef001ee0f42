//! The one program that a recipe made, measured where it lies.

use super::BuildError;
use crate::{
    recipe::path_line,
    transfer::tree::is_program_name,
    vocab::{Digest, Phase, TreeMark, text::printable},
};

/// A program that was built and packaged, still in the work folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file name it is to be installed under.
    pub program: String,
    /// Absolute path on the target.
    pub path: String,
    /// Of a program of several files; the file at `path` is a tar of them then.
    pub tree: Option<TreeMark>,
    pub size: u64,
    pub digest: Digest,
    pub version: String,
}

/// The packages that a recipe made, each a folder below `pkg/` in the work folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    pub version: String,
    pub names: Vec<String>,
    /// Relative to `pkg/`.
    pub executables: Vec<String>,
}

impl Packages {
    /// Reads what the package phase told: version, number of packages, their names, and the executable files.
    pub(super) fn read(records: &[String]) -> Result<Self, BuildError> {
        let read = || {
            let [version, count, rest @ ..] = records else { return None };
            let (names, executables) = rest.split_at_checked(count.parse().ok()?)?;
            Some(Self { version: version.clone(), names: names.to_vec(), executables: executables.to_vec() })
        };
        read().ok_or_else(|| BuildError::failed(Phase::Package, "package() left no result"))
    }
}

impl Packages {
    /// The package that counts, where it can be told: the only one, or the one called `wanted`.
    pub(super) fn of(&self, wanted: &str) -> Option<&str> {
        match &self.names[..] {
            [only] => Some(only),
            many => many.iter().map(String::as_str).find(|name| *name == wanted),
        }
    }

    /// The version, if it is fit for a manifest.
    pub(super) fn usable_version(&self) -> Result<String, BuildError> {
        let version = &self.version;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+._~".contains(&byte);
        match version.is_empty() || version.len() > 64 || !version.bytes().all(plain) {
            true => {
                let text = format!("the version {:?} is not usable", printable(version));
                Err(BuildError::failed(Phase::Package, text))
            }
            false => Ok(version.clone()),
        }
    }
}

const NAMES_SHOWN: usize = 5;

/// Demands that there is one program, in the package called `wanted` if there is such a one among several.
pub(super) fn only_program(packages: &Packages, wanted: &str) -> Result<(String, String), BuildError> {
    let failed = |text: String| BuildError::failed(Phase::Package, text);
    let Packages { names, executables, .. } = packages;
    let own = format!("{wanted}/");
    let narrow = names.len() > 1 && names.iter().any(|name| name == wanted);
    let files: Vec<&String> = executables.iter().filter(|file| !narrow || file.starts_with(&own)).collect();
    let file = match &files[..] {
        [file] => *file,
        [] => return Err(failed("package() installed no executable file".to_owned())),
        many => {
            let mut names: Vec<_> = many.iter().map(|name| printable(name.as_str()).into_owned()).collect();
            names.sort();
            let more = names.len().saturating_sub(NAMES_SHOWN);
            names.truncate(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(failed(format!(
                "package() installed {} executable files, and a worker is one: {}{more}",
                many.len(),
                names.join(", ")
            )));
        }
    };
    let name = file.rsplit('/').next().unwrap_or(file);
    if !is_program_name(name) {
        let name = printable(name).chars().take(100).collect::<String>();
        return Err(failed(format!("package() installed {name:?}, which is no name for a program")));
    }
    Ok((packages.usable_version()?, file.clone()))
}

/// Prints size and sha256 of the file `$program`, whatever tool is there.
pub(super) fn measure_script(path: &[String], quoted_program: &str) -> String {
    format!(
        "{}program={quoted_program}\n\
         [ -f \"$program\" ] && [ ! -L \"$program\" ] || exit 3\n\
         wc -c <\"$program\" || exit 4\n\
         if command -v sha256sum >/dev/null 2>&1; then sha256sum <\"$program\"\n\
         elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <\"$program\"\n\
         elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <\"$program\"\n\
         else exit 5; fi\n",
        path_line(path)
    )
}

/// Reads what [`measure_script`] printed.
pub(super) fn parse_measure(text: &str) -> Option<(u64, Digest)> {
    let mut words = text.split_whitespace();
    let size = words.next()?.parse().ok()?;
    let digest = Digest::parse(words.next()?).ok()?;
    Some((size, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(records: &[&str]) -> Result<(String, String), String> {
        let mut records: Vec<_> = records.iter().map(|record| (*record).to_owned()).collect();
        records.splice(1.min(records.len())..1.min(records.len()), ["1".to_owned(), "p".to_owned()]);
        Packages::read(&records).and_then(|p| only_program(&p, "p")).map_err(|error| error.to_string())
    }

    #[test]
    fn there_is_one_program_with_a_name() {
        assert_eq!(judged(&["1.0", "usr/bin/x"]), Ok(("1.0".into(), "usr/bin/x".into())));
        for (records, said) in [
            (&["1.0"] as &[&str], "package() installed no executable file"),
            (&["1.0", "b", "a"], "package() installed 2 executable files, and a worker is one: a, b"),
            (&["1", "7", "6", "5", "4", "3", "2", "1"], ": 1, 2, 3, 4, 5 and 2 more"),
            (&["1.0", "usr/bin/-rf"], "\"-rf\", which is no name for a program"),
            (&["1.0", "usr/bin/.x"], "no name"),
            (&["1.0", "usr/bin/a\nb"], "no name"),
            (&["1.0", "a", "\u{1b}[2J"], "a, \u{fffd}[2J"),
            (&["1 0", "x"], "version \"1 0\""),
        ] {
            let error = judged(records).unwrap_err();
            assert!(error.contains(said), "{records:?}: {error}");
        }
    }

    #[test]
    fn of_several_packages_the_one_that_was_asked_for_counts() {
        let read = |text: &str| Packages::read(&text.split('|').map(str::to_owned).collect::<Vec<_>>());
        let packages = read("1.0|2|lib|srv|lib/bin/tool|srv/bin/x").unwrap();
        assert_eq!(only_program(&packages, "srv").unwrap().1, "srv/bin/x");
        assert!(only_program(&packages, "other").unwrap_err().to_string().contains("2 executable files"));
        for garbled in ["", "1.0", "1.0|x", "1.0|3|a|b", "1.0|99999999999999999999"] {
            assert!(read(garbled).is_err(), "{garbled}");
        }
    }

    #[test]
    fn size_and_digest_are_read_from_every_tool() {
        let hex = "a".repeat(64);
        for tail in ["  -", " *stdin", ""] {
            assert_eq!(parse_measure(&format!("     12\n{hex}{tail}\n")).unwrap().0, 12);
        }
        assert_eq!(parse_measure("12\nnonsense"), None);
        assert_eq!(parse_measure(""), None);
    }
}
