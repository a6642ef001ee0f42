//! Whether a package is one program or a program of several files, and the latter's folder.
//!
//! A package is one program when its only executable file is all that is in it, besides what is there to be read:
//! manuals, licenses, completions. Everything else is a tree, with the rules of [`crate::transfer::tree`].

use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    transfer::tree::{
        Item, Kind, TreeError, entry_of, lines, list_script, listed, pack_script, prefix_of, tidy_script,
    },
    vocab::{Phase, TreeMark, WorkerId, text::sh_quote},
};

use super::BuildError;

/// What is below `share` for people, who do not look for it in a store.
const TO_READ: [&str; 7] = ["doc", "licenses", "man", "info", "bash-completion", "zsh", "fish"];

/// Looks at the package in `folder`, and packs it into `archive`; `None` when it is no more than one program.
///
/// # Errors
/// [`BuildError::Failed`] naming what may not be there.
pub async fn tree(
    scope: &Scope,
    target: &dyn Target,
    folder: &str,
    archive: &str,
    worker: &WorkerId,
    entry: Option<&str>,
) -> Result<Option<TreeMark>, BuildError> {
    let wrong = |error: TreeError| {
        let text = format!("package() made more than one program, and {error}");
        match error.hint() {
            Some(hint) => BuildError::Package { text, hint },
            None => BuildError::failed(Phase::Package, text),
        }
    };
    let said = ask(scope, target, "look at the package", &survey_script(folder)).await?;
    let items = surveyed(&said).ok_or_else(|| wrong(TreeError::Garbled))?;
    let prefix = match prefix_of(&items) {
        // One program may lie anywhere.
        Err(_) if is_program(&items, "") => return Ok(None),
        found => found.map_err(wrong)?,
    };
    if is_program(&items, prefix) {
        return Ok(None);
    }
    let root = format!("{folder}/{prefix}");
    let root = root.trim_end_matches('/');
    ask(scope, target, "set the package's modes", &tidy_script(root)).await?;
    let listing = ask(scope, target, "take the package's sha256", &list_script(root)).await?;
    let listing = listed(&listing).map_err(wrong)?;
    let items: Vec<Item> = listing.iter().map(|(item, _)| item.clone()).collect();
    let entry = entry_of(&items, entry, worker.as_str()).map_err(wrong)?;
    let digest = lines(worker, &entry, listing.iter().map(|(item, hash)| (item, hash.as_ref())));
    let size = ask(scope, target, "measure the package", &size_script(root)).await?;
    let size = size.trim().parse().map_err(|_| wrong(TreeError::Garbled))?;
    ask(scope, target, "pack the package", &pack_script(root, archive)).await?;
    Ok(Some(TreeMark { entry, digest, size }))
}

/// Whether one executable is all that there is, besides what is to be read; or none, which is said elsewhere.
fn is_program(items: &[Item], prefix: &str) -> bool {
    let mut programs = 0;
    for item in items {
        match item.kind {
            Kind::Folder => {}
            Kind::File { executable: true } => programs += 1,
            _ if to_read(item.path.strip_prefix(prefix).unwrap_or(&item.path)) => {}
            _ => return !items.iter().any(|item| item.kind == Kind::File { executable: true }),
        }
    }
    programs <= 1
}

fn to_read(path: &str) -> bool {
    let top = path.strip_prefix("share/").and_then(|rest| rest.split('/').next());
    top.is_some_and(|top| TO_READ.contains(&top))
}

/// Prints what is in a folder, as [`list_script`] does, but without reading any file.
fn survey_script(folder: &str) -> String {
    format!(
        "cd -- {} || exit\n\
         find . ! -name . -type d | sed 's/^/d /'\n\
         find . -type f -perm -100 | sed 's/^/x /'\n\
         find . -type f ! -perm -100 | sed 's/^/f /'\n\
         find . ! -type d ! -type f | sed 's/^/l /'\n",
        sh_quote(folder)
    )
}

/// Reads it; of links only where they are, as a later look at the tree has the rest.
fn surveyed(text: &str) -> Option<Vec<Item>> {
    let item = |line: &str| {
        let (kind, path) = line.split_once(" ./")?;
        let kind = match kind {
            "d" => Kind::Folder,
            "x" | "f" => Kind::File { executable: kind == "x" },
            "l" => Kind::Link(String::new()),
            _ => return None,
        };
        Some(Item { path: path.to_owned(), kind })
    };
    text.lines().map(item).collect()
}

fn size_script(folder: &str) -> String {
    format!(
        "cd -- {} || exit\nfind . -type f -exec ls -ln {{}} + | {{ s=0; while read -r _ _ _ _ n _; do s=$((s + n)); done; echo $s; }}\n",
        sh_quote(folder)
    )
}

async fn ask(scope: &Scope, target: &dyn Target, label: &str, script: &str) -> Result<String, BuildError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own(label, script), &mut said).await?;
    if exit.status != 0 {
        let text = format!("cannot {label} (status {}) {}", exit.status, said.last_words());
        return Err(TargetError::Host(text.trim_end().to_owned()).into());
    }
    if said.truncated {
        return Err(BuildError::failed(Phase::Package, TreeError::TooMany.to_string()));
    }
    Ok(said.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> bool {
        let text: String = text.split(' ').map(|word| word.replacen(':', " ./", 1) + "\n").collect();
        let items = surveyed(&text).unwrap();
        is_program(&items, prefix_of(&items).unwrap_or(""))
    }

    #[test]
    fn a_program_with_a_manual_is_one_program() {
        assert!(one("d:usr d:usr/bin x:usr/bin/srv"));
        assert!(one("x:usr/bin/srv f:usr/share/licenses/srv/LICENSE f:usr/share/man/man1/srv.1.gz"));
        assert!(one("x:opt/srv"));
        assert!(!one("x:usr/bin/srv f:usr/share/srv/model"));
        assert!(!one("x:usr/bin/srv f:usr/lib/libx.so"));
        assert!(!one("x:usr/bin/srv x:usr/bin/bench"));
        assert!(!one("x:usr/bin/srv l:usr/bin/server"));
        assert!(!one("x:usr/bin/srv f:etc/srv.conf"));
        assert!(one("f:usr/share/srv/model l:usr/bin/x"), "no program at all has its own sentence");
        assert_eq!(surveyed("nonsense"), None);
    }

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("survey", survey_script("/home/it's me/pkg/srv"));
        insta::assert_snapshot!("size", size_script("/home/it's me/pkg/srv"));
    }
}
