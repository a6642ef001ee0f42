//! What may be in a tree.

use super::FOLDERS;
use crate::vocab::text::printable;

/// More than any server with its libraries has.
const MAX_ITEMS: usize = 20_000;
const MAX_PATH: usize = 1000;
const MAX_NAME: usize = 255;
/// How many things one sentence names.
const NAMED: usize = 5;

/// One thing in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Relative, with `/`.
    pub path: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File {
        executable: bool,
    },
    /// With its target.
    Link(String),
}

/// Why something is no tree of a worker.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("it has {0}, and only bin, lib and share go with a worker")]
    Outside(String),
    #[error("the name {0:?} in it cannot be installed")]
    Name(String),
    #[error("{0} in it is neither a file, a folder nor a link")]
    Special(String),
    #[error("the link {path} in it leads out of it, to {target}")]
    Escapes { path: String, target: String },
    #[error("it has more than {MAX_ITEMS} files and folders")]
    TooMany,
    #[error("{0} was changed while it was read")]
    Changed(String),
    #[error("it has no executable file in bin")]
    NoProgram,
    #[error("it has no executable file {0}, which is to be its entry point")]
    NoEntry(String),
    #[error("it has {count} executable files in bin, and none is named {worker}: {names}")]
    ManyPrograms { count: usize, worker: String, names: String },
    #[error("its listing is garbled")]
    Garbled,
}

impl TreeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Outside(_) => Some("install to bin, lib or share, and remove the rest in package()"),
            Self::NoEntry(_) | Self::ManyPrograms { .. } => Some("say which in worker.toml: entry = \"NAME\""),
            _ => None,
        }
    }
}

/// Checks that every path and every link stays inside, and that nothing is outside of bin, lib and share.
///
/// # Errors
/// Names what may not be there.
pub fn check(items: &[Item]) -> Result<(), TreeError> {
    if items.len() > MAX_ITEMS {
        return Err(TreeError::TooMany);
    }
    for item in items {
        check_path(&item.path)?;
        if let Kind::Link(target) = &item.kind {
            check_link(&item.path, target)?;
        }
    }
    let mut outside = Vec::new();
    for item in items {
        let (top, below) = item.path.split_once('/').map_or((item.path.as_str(), false), |(top, _)| (top, true));
        if (!FOLDERS.contains(&top) || (!below && item.kind != Kind::Folder)) && !outside.contains(&top) {
            outside.push(top);
        }
    }
    if outside.is_empty() { Ok(()) } else { Err(TreeError::Outside(enumerate(&outside))) }
}

/// Finds the folder of a package that its bin, lib and share lie in: "", "usr/" or "usr/local/".
///
/// # Errors
/// Names what lies elsewhere.
pub fn prefix_of(items: &[Item]) -> Result<&'static str, TreeError> {
    let prefixes = ["usr/local/", "usr/", ""];
    let prefix = prefixes.into_iter().find(|prefix| items.iter().any(|item| item.path.starts_with(prefix)));
    let prefix = prefix.unwrap_or("");
    let mut outside: Vec<&str> = Vec::new();
    for item in items {
        let above = item.kind == Kind::Folder && prefix.starts_with(&format!("{}/", item.path));
        let inside = item.path.strip_prefix(prefix).is_some_and(|rest| {
            let top = rest.split('/').next().unwrap_or_default();
            FOLDERS.contains(&top)
        });
        if above || inside {
            continue;
        }
        // As much of the path as tells it from what may be there.
        let shown = match item.path.strip_prefix(prefix) {
            Some(rest) => &item.path[..prefix.len() + rest.find('/').unwrap_or(rest.len())],
            None => item.path.split('/').next().unwrap_or_default(),
        };
        let shown = if prefix.starts_with(&format!("{shown}/")) { item.path.as_str() } else { shown };
        if !outside.contains(&shown) {
            outside.push(shown);
        }
    }
    if outside.is_empty() { Ok(prefix) } else { Err(TreeError::Outside(enumerate(&outside))) }
}

/// The entry point: the one that was said, the only program in bin, or the one named as the worker.
///
/// # Errors
/// There is none, or there are several.
pub fn entry_of(items: &[Item], said: Option<&str>, worker: &str) -> Result<String, TreeError> {
    let program = |item: &&Item| {
        matches!(item.kind, Kind::File { executable: true })
            && item.path.strip_prefix("bin/").is_some_and(is_program_name)
    };
    let programs: Vec<&str> = items.iter().filter(program).map(|item| item.path.as_str()).collect();
    let named = |name: &str| {
        let path = if name.starts_with("bin/") { name.to_owned() } else { format!("bin/{name}") };
        programs.contains(&path.as_str()).then_some(path)
    };
    match (said, &programs[..]) {
        (Some(said), _) => named(said).ok_or_else(|| TreeError::NoEntry(printable(said).into_owned())),
        (None, []) => Err(TreeError::NoProgram),
        (None, [only]) => Ok((*only).to_owned()),
        (None, many) => named(worker).ok_or_else(|| {
            let names: Vec<_> = many.iter().map(|path| path.trim_start_matches("bin/")).collect();
            TreeError::ManyPrograms { count: many.len(), worker: worker.to_owned(), names: enumerate(&names) }
        }),
    }
}

/// Whether a file of this name can be found on PATH and be spoken of.
pub fn is_program_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-@".contains(&byte);
    !name.is_empty() && name.len() <= 100 && !name.starts_with(['-', '.']) && name.bytes().all(plain)
}

fn check_path(path: &str) -> Result<(), TreeError> {
    let bad = |part: &str| matches!(part, "" | "." | "..") || part.len() > MAX_NAME;
    // A backslash and a line's end are written in ways of their own by the tools that take a sha256.
    let odd = |c: char| c.is_control() || c == '\\';
    if path.is_empty() || path.len() > MAX_PATH || path.chars().any(odd) || path.split('/').any(bad) {
        return Err(TreeError::Name(printable(path).chars().take(120).collect()));
    }
    Ok(())
}

fn check_link(path: &str, target: &str) -> Result<(), TreeError> {
    let escapes =
        || TreeError::Escapes { path: path.to_owned(), target: printable(target).chars().take(120).collect() };
    if target.is_empty() || target.len() > MAX_PATH || target.chars().any(|c| c.is_control() || c == '\\') {
        return Err(escapes());
    }
    if target.starts_with('/') {
        return Err(escapes());
    }
    // How deep below the root the link's own folder is.
    let mut depth = path.split('/').count() - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or_else(escapes)?,
            _ => depth += 1,
        }
    }
    if depth == 0 { Err(escapes()) } else { Ok(()) }
}

fn enumerate(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(NAMED).map(|name| printable(name).into_owned()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<Item> {
        let item = |word: &str| match word.split_once('>') {
            Some((path, target)) => Item { path: path.into(), kind: Kind::Link(target.into()) },
            None if word.ends_with('/') => Item { path: word.trim_end_matches('/').into(), kind: Kind::Folder },
            None => {
                let kind = Kind::File { executable: word.ends_with('*') };
                Item { path: word.trim_end_matches('*').into(), kind }
            }
        };
        text.split(' ').map(item).collect()
    }

    #[test]
    fn only_bin_lib_and_share_go_with_a_worker() {
        assert!(check(&items("bin/ bin/x* lib/ lib/a.so lib/b.so>a.so share/d/e")).is_ok());
        let said = |text: &str| check(&items(text)).unwrap_err().to_string();
        assert_eq!(said("bin/x* etc/x var/y etc/z"), "it has etc, var, and only bin, lib and share go with a worker");
        assert_eq!(said("bin"), "it has bin, and only bin, lib and share go with a worker", "a file of that name");
        for bad in ["bin/../x", "/bin/x", "bin//x", "bin/./x", "../bin", "bin/a\u{1b}b", "bin/a\\b", "bin/a\nb"] {
            assert!(said(bad).contains("cannot be installed"), "{bad}");
        }
        assert_eq!(
            said(&format!("bin/{}", "n".repeat(256))).len(),
            120 + "the name \"\" in it cannot be installed".len()
        );
        let many: Vec<Item> = (0..=MAX_ITEMS).map(|n| items(&format!("lib/{n}")).remove(0)).collect();
        assert!(matches!(check(&many), Err(TreeError::TooMany)));
    }

    #[test]
    fn links_stay_inside() {
        for good in ["lib/a>b", "lib/a>../bin/x", "lib/x/a>../../share/y", "lib/a>./b/../c"] {
            assert!(check(&items(good)).is_ok(), "{good}");
        }
        for bad in ["lib/a>/etc/passwd", "lib/a>../../x", "lib/a>..", "lib/a>b/../../..", "bin/x>", "lib/a>x\u{7}y"] {
            assert!(matches!(check(&items(bad)), Err(TreeError::Escapes { .. })), "{bad}");
        }
    }

    #[test]
    fn a_package_lies_below_one_prefix() {
        assert_eq!(prefix_of(&items("usr/ usr/bin/ usr/bin/x* usr/lib/y")).unwrap(), "usr/");
        assert_eq!(prefix_of(&items("usr/ usr/local/ usr/local/bin/ usr/local/bin/x*")).unwrap(), "usr/local/");
        assert_eq!(prefix_of(&items("bin/ bin/x* lib/y")).unwrap(), "");
        let said = |text: &str| prefix_of(&items(text)).unwrap_err().to_string();
        assert!(
            said("usr/ usr/bin/x* etc/ etc/x.conf opt/y").starts_with("it has etc, opt, and only"),
            "{}",
            said("usr/bin/x etc/")
        );
        assert!(said("usr/bin/x* usr/include/a.h usr/include/b.h").starts_with("it has usr/include, and"));
        assert!(said("usr/ usr/local/ usr/local/bin/x* usr/bin/y").starts_with("it has usr/bin/y, and"));
        assert!(said("bin/x* lib64/y").starts_with("it has lib64, and"));
    }

    #[test]
    fn there_is_one_entry_point() {
        let entry =
            |text: &str, said: Option<&str>| entry_of(&items(text), said, "srv-cpu").map_err(|error| error.to_string());
        assert_eq!(entry("bin/x* bin/readme lib/y*", None), Ok("bin/x".into()));
        assert_eq!(entry("bin/x* bin/srv-cpu*", None), Ok("bin/srv-cpu".into()));
        assert_eq!(entry("bin/x* bin/y*", Some("y")), Ok("bin/y".into()));
        assert_eq!(entry("bin/x* bin/y*", Some("bin/x")), Ok("bin/x".into()));
        let many = "it has 2 executable files in bin, and none is named srv-cpu: x, y";
        assert_eq!(entry("bin/x* bin/y*", None), Err(many.into()));
        assert_eq!(entry("lib/x*", None), Err("it has no executable file in bin".into()));
        assert!(entry("bin/-rf* bin/.x* bin/a/b*", None).unwrap_err().contains("no executable file in bin"));
        assert!(entry("bin/x*", Some("../x")).unwrap_err().contains("no executable file ../x"));
    }
}
