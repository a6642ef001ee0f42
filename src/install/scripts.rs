//! What is sent to a host to install, as text: POSIX sh, quoted, pinned by goldens.

use super::{Layout, tree};
use crate::vocab::{Digest, Manifest, WorkerId, text::sh_quote};

/// The last component of a path.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Makes the folders and proves that a file can be made in the bin folder; sweeps what a power loss left there: parts,
/// and trees that no manifest speaks of.
pub fn prepare(layout: &Layout) -> String {
    let (bin, installed, store) = (sh_quote(&layout.bin), layout.installed(), layout.stores());
    let (installed, store) = (sh_quote(&installed), sh_quote(&store));
    format!(
        "mkdir -p -- {bin} {installed} || exit\n\
         t={bin}/.rbee-$$; (umask 077; : >\"$t\") || exit; rm -f -- \"$t\"\n\
         find {bin} {installed} -maxdepth 1 -name '.*.[0-9]*-[0-9]*-*' -type f -mmin +1440 -exec rm -f -- {{}} + 2>/dev/null\n\
         [ ! -d {store} ] || {{\n\
         find {store} -maxdepth 1 -name '.*.[0-9]*-[0-9]*-*' -mmin +1440 -exec rm -rf -- {{}} + 2>/dev/null\n\
         for s in {store}/*/bin; do s=${{s%/bin}}; [ -d \"$s/bin\" ] || continue\n\
         if [ -n \"$(find \"$s\" -maxdepth 0 -mmin +60 2>/dev/null)\" ] && ! grep -qsF -e \"${{s##*/}}\" {installed}/*.toml; then rm -rf -- \"$s\"; fi; done; }}; :\n"
    )
}

/// Makes the folder that programs arrive in, where root copies them from.
pub fn prepare_parts(parts: &str) -> String {
    format!("umask 077; mkdir -p -- {0} && chmod 700 {0} || exit\n", sh_quote(parts))
}

/// Keeps the old program, renames the new one into place, then its manifest.
pub fn activate(
    layout: &Layout,
    part: &str,
    staged: &str,
    new: &Manifest,
    new_text: &str,
    old: Option<(&Manifest, &str)>,
) -> String {
    let path = sh_quote(&new.path);
    let mut script = format!("set -e; umask 022\nprintf %s {} >{}\n", sh_quote(new_text), sh_quote(staged));
    script.push_str(&keep(layout, new, old));
    if new.entry.is_some() {
        script.push_str(&tree::place(layout, new, part, &layout.tree_part(&new.worker, &new.run)));
    }
    script.push_str(&format!(
        "mv -f -- {} {path}\nmv -f -- {} {}\n",
        sh_quote(part),
        sh_quote(staged),
        sh_quote(&layout.manifest(&new.worker)),
    ));
    script.push_str(&forget_older(layout, new, old.map(|(old, _)| old)));
    script
}

/// Keeps the old program with its manifest; a tree is in the store already.
fn keep(layout: &Layout, new: &Manifest, old: Option<(&Manifest, &str)>) -> String {
    let Some((old, old_text)) = old.filter(|(old, _)| old.digest != new.digest) else { return String::new() };
    let manifest = layout.kept_manifest(&old.digest, &old.worker);
    let (text, manifest) = (sh_quote(old_text), sh_quote(&manifest));
    if old.entry.is_some() {
        return format!("printf %s {text} >{manifest}\n");
    }
    let (store, kept) = (layout.store(&old.digest), layout.kept(&old.digest, &old.path));
    let (kept, from) = (sh_quote(&kept), sh_quote(&old.path));
    format!(
        "mkdir -p -- {store}\nrm -f -- {kept}\nln -- {from} {kept} 2>/dev/null || cp -p -- {from} {kept}\n\
         printf %s {text} >{manifest}\n",
        store = sh_quote(&store),
    )
}

/// One earlier version is kept, not a history.
pub fn forget_older(layout: &Layout, new: &Manifest, old: Option<&Manifest>) -> String {
    match old.and_then(|old| Some((old, old.previous?))) {
        Some((old, older)) if Some(older) != new.previous => {
            // What is installed now may be the very tree that was kept.
            let keep = new.entry.is_some() && older == new.digest;
            forget(layout, &older, &old.worker, &old.path, keep)
        }
        _ => String::new(),
    }
}

/// Prints the manifests of kept versions, each after the path of its program.
pub fn read_kept(layout: &Layout, digest: &Digest, worker: &WorkerId, path: &str) -> String {
    let places = [
        (layout.kept(digest, path), layout.kept_manifest(digest, worker)),
        (layout.pinned_kept(worker), layout.pinned_kept_manifest(worker)),
    ];
    let each = places.map(|(program, manifest)| {
        let (program, manifest) = (sh_quote(&program), sh_quote(&manifest));
        format!("if [ -f {program} ] && [ -r {manifest} ]; then printf '\\036%s\\n' {program}; cat <{manifest}; fi\n")
    });
    let (tree, manifest) = (layout.store(digest), layout.kept_manifest(digest, worker));
    let (tree, manifest) = (sh_quote(&tree), sh_quote(&manifest));
    each.concat()
        + &format!("if [ -d {tree}/bin ] && [ -r {manifest} ]; then printf '\\036%s\\n' {tree}; cat <{manifest}; fi\n")
}

/// Removes the program first, so that a manifest without a program is the worst that can be left.
pub fn remove(layout: &Layout, manifest: &Manifest) -> String {
    let mut script = format!(
        "set -e\nrm -f -- {}\nrm -f -- {}\nrm -f -- {} {}\n",
        sh_quote(&manifest.path),
        sh_quote(&layout.manifest(&manifest.worker)),
        sh_quote(&layout.pinned_kept(&manifest.worker)),
        sh_quote(&layout.pinned_kept_manifest(&manifest.worker)),
    );
    let own = manifest.entry.as_ref().map(|_| &manifest.digest);
    for digest in own.into_iter().chain(&manifest.previous) {
        script.push_str(&forget(layout, digest, &manifest.worker, &manifest.path, false));
    }
    script
}

/// Removes a kept version, whichever form it has: only a tree has a folder `bin`, and a tree is one worker's own.
fn forget(layout: &Layout, digest: &Digest, worker: &WorkerId, path: &str, keep_tree: bool) -> String {
    let (kept, manifest, store) =
        (layout.kept(digest, path), layout.kept_manifest(digest, worker), layout.store(digest));
    let store = sh_quote(&store);
    let tree = match keep_tree {
        true => String::new(),
        false => format!("[ ! -d {store}/bin ] || rm -rf -- {store}/bin {store}/lib {store}/share\n"),
    };
    format!("rm -f -- {} {}\n{tree}rmdir -- {store} 2>/dev/null || :\n", sh_quote(&kept), sh_quote(&manifest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::BuildKey;

    fn manifest(byte: u8, previous: Option<u8>) -> Manifest {
        Manifest {
            worker: WorkerId::new("echo-worker").unwrap(),
            version: "1.0".into(),
            key: BuildKey(Digest::new([byte; 32])),
            class: None,
            digest: Digest::new([byte; 32]),
            size: 7,
            path: "/home/it's me/.local/bin/echo-worker".into(),
            entry: None,
            origin: "built in".into(),
            run: "RUN".into(),
            installed_at: "2026-01-01T00:00:00Z".into(),
            previous: previous.map(|b| Digest::new([b; 32])),
        }
    }

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let layout = Layout::new("/home/it's me/.local/bin", "/home/it's me/.local/share/rbee");
        let (old, new) = (manifest(1, Some(0)), manifest(2, Some(1)));
        insta::assert_snapshot!("prepare", prepare(&layout));
        let staged = layout.manifest_part(&new.worker, "RUN");
        let part = layout.part(&new.path, "RUN");
        insta::assert_snapshot!("activate", activate(&layout, &part, &staged, &new, "NEW", Some((&old, "OLD"))));
        insta::assert_snapshot!("activate_first", activate(&layout, &part, &staged, &new, "NEW", None));
        insta::assert_snapshot!("read_kept", read_kept(&layout, &old.digest, &old.worker, &old.path));
        insta::assert_snapshot!("remove", remove(&layout, &new));
    }
}
