//! The listing of a tree, here and on a host: the same text from both.

use sha2::{Digest as _, Sha256};

use super::{
    FOLDERS, Item, Kind,
    rules::{TreeError, check},
};
use crate::vocab::{Digest, WorkerId, text::sh_quote};

/// The first line: what else the sum of a tree depends on.
fn head(worker: &WorkerId, entry: &str) -> String {
    format!("rbee tree 1 {worker} {entry}")
}

/// One item as a line; a file's with its sha256.
fn line(item: &Item, hash: Option<&Digest>) -> String {
    let hash = || hash.map(ToString::to_string).unwrap_or_default();
    match &item.kind {
        Kind::Folder => format!("d ./{}", item.path),
        Kind::File { executable: true } => format!("x {} ./{}", hash(), item.path),
        Kind::File { executable: false } => format!("f {} ./{}", hash(), item.path),
        Kind::Link(target) => format!("l ./{}\t{target}", item.path),
    }
}

/// The sum of a listing whose items come with their sha256.
pub fn lines<'a>(
    worker: &WorkerId,
    entry: &str,
    items: impl IntoIterator<Item = (&'a Item, Option<&'a Digest>)>,
) -> Digest {
    let mut lines: Vec<String> = items.into_iter().map(|(item, hash)| line(item, hash)).collect();
    lines.sort_unstable();
    let mut sum = Sha256::new();
    for line in std::iter::once(&head(worker, entry)).chain(&lines) {
        sum.update(line.as_bytes());
        sum.update(b"\n");
    }
    Digest::new(sum.finalize().into())
}

/// Reads what [`list_script`] printed.
///
/// # Errors
/// Names what has no place in a tree.
pub fn listed(text: &str) -> Result<Vec<(Item, Option<Digest>)>, TreeError> {
    let garbled = || TreeError::Garbled;
    let path = |text: &str| text.strip_prefix("./").map(str::to_owned).ok_or_else(garbled);
    let mut found = Vec::new();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').ok_or_else(garbled)?;
        found.push(match kind {
            "d" => (Item { path: path(rest)?, kind: Kind::Folder }, None),
            "x" | "f" => {
                let (hash, rest) = rest.split_once(' ').ok_or_else(garbled)?;
                let hash = Digest::parse(hash).map_err(|_| garbled())?;
                (Item { path: path(rest)?, kind: Kind::File { executable: kind == "x" } }, Some(hash))
            }
            "l" => {
                let (from, target) = rest.split_once('\t').ok_or_else(garbled)?;
                (Item { path: path(from)?, kind: Kind::Link(target.to_owned()) }, None)
            }
            "o" => return Err(TreeError::Special(path(rest)?)),
            _ => return Err(garbled()),
        });
    }
    check(&found.iter().map(|(item, _)| item.clone()).collect::<Vec<_>>())?;
    Ok(found)
}

/// Shell that defines `listing`, which prints the lines of the tree in the current folder, and `$h`, what hashes.
///
/// A folder or a file that is neither 0755 nor 0644 has a line of its own, and so has what is no file at all. A folder
/// may have got the group of the one it was made in.
fn functions() -> String {
    let tops: Vec<String> =
        FOLDERS.iter().map(|top| format!("[ ! -e {top} ] && [ ! -L {top} ] || set -- \"$@\" ./{top}")).collect();
    format!(
        "LC_ALL=C; export LC_ALL\n\
         if command -v openssl >/dev/null 2>&1 && openssl dgst -sha256 -r </dev/null >/dev/null 2>&1; then h='openssl dgst -sha256 -r'\n\
         elif command -v sha256sum >/dev/null 2>&1; then h=sha256sum\n\
         elif command -v shasum >/dev/null 2>&1; then h='shasum -a 256'\n\
         else echo 'no openssl, sha256sum or shasum on this host' >&2; exit 69; fi\n\
         listing() {{\n\
         set --; {tops}; [ $# -gt 0 ] || return 0\n\
         find \"$@\" -type d | sed 's/^/d /'\n\
         find \"$@\" -type f -perm -100 -exec $h {{}} + | sed 's/^\\(.\\{{64\\}}\\) [ *]/x \\1 /'\n\
         find \"$@\" -type f ! -perm -100 -exec $h {{}} + | sed 's/^\\(.\\{{64\\}}\\) [ *]/f \\1 /'\n\
         find \"$@\" -type l -exec sh -c 'for l; do printf \"l %s\\t%s\\n\" \"$l\" \"$(readlink \"$l\")\"; done' sh {{}} +\n\
         find \"$@\" ! -type d ! -type f ! -type l | sed 's/^/o /'\n\
         find \"$@\" \\( -type d ! -perm 755 ! -perm 2755 -o -type f ! -perm 755 ! -perm 644 \\) | sed 's/^/m /'\n\
         }}\n",
        tops = tops.join("; "),
    )
}

/// Gives everything in the package `folder` the modes that it is installed with.
pub fn tidy_script(folder: &str) -> String {
    let folder = sh_quote(folder);
    format!(
        "cd -- {folder} || exit\n\
         find . -type d ! -perm 755 -exec chmod 755 {{}} + &&\n\
         find . -type f -perm -100 ! -perm 755 -exec chmod 755 {{}} + &&\n\
         find . -type f ! -perm -100 ! -perm 644 -exec chmod 644 {{}} +\n"
    )
}

/// Packs the tree in `folder` into the new file `archive`.
pub fn pack_script(folder: &str, archive: &str) -> String {
    let (folder, archive) = (sh_quote(folder), sh_quote(archive));
    let tops = FOLDERS.join(" ");
    // No extended attributes of macOS, which would be files of their own.
    format!(
        "umask 077; COPYFILE_DISABLE=1; export COPYFILE_DISABLE\n\
         cd -- {folder} || exit; set --; for top in {tops}; do [ ! -e $top ] || set -- \"$@\" $top; done\n\
         tar -cf {archive} \"$@\"\n"
    )
}

/// Prints the lines of the tree in `folder`, for [`listed`].
pub fn list_script(folder: &str) -> String {
    format!("{}cd -- {} && listing\n", functions(), sh_quote(folder))
}

/// Prints one sum a line: of the tree in each folder, or `-` where there is none.
///
/// Before it comes shell that defines `tree_sum FOLDER HEAD`; the caller adds lines of its own, see [`tree_sum`].
pub fn digest_script(calls: &[String]) -> String {
    let mut script = functions();
    script.push_str(
        "tree_sum() { if [ -d \"$1/bin\" ]; then ( cd \"$1\" && { printf '%s\\n' \"$2\"; listing | sort; } | $h ) || echo -\nelse echo -; fi; }\n",
    );
    for call in calls {
        script.push_str(call);
        script.push('\n');
    }
    script
}

/// The line that sums the tree in `folder`, which is shell already quoted.
pub fn tree_sum(folder: &str, worker: &WorkerId, entry: &str) -> String {
    format!("tree_sum {folder} {}", sh_quote(&head(worker, entry)))
}
