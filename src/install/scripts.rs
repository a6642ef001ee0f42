//! What is sent to a host to install, as text: POSIX sh, quoted, pinned by goldens.

use super::Layout;
use crate::vocab::{Digest, Manifest, WorkerId, text::sh_quote};

/// The last component of a path.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Makes the folders and proves that a file can be made in the bin folder; sweeps what a power loss left there.
pub fn prepare(layout: &Layout) -> String {
    let (bin, installed) = (sh_quote(&layout.bin), layout.installed());
    let installed = sh_quote(&installed);
    format!(
        "mkdir -p -- {bin} {installed} || exit\n\
         t={bin}/.rbee-$$; (umask 077; : >\"$t\") || exit; rm -f -- \"$t\"\n\
         find {bin} {installed} -maxdepth 1 -name '.*.[0-9]*-[0-9]*-*' -type f -mmin +1440 -exec rm -f -- {{}} + 2>/dev/null; :\n"
    )
}

/// Makes the folder that programs arrive in, where root copies them from.
pub fn prepare_parts(parts: &str) -> String {
    format!("umask 077; mkdir -p -- {0} && chmod 700 {0}", sh_quote(parts))
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
    if let Some((old, old_text)) = old.filter(|(old, _)| old.digest != new.digest) {
        let (store, kept) = (layout.store(&old.digest), layout.kept(&old.digest, &old.path));
        let manifest = layout.kept_manifest(&old.digest, &old.worker);
        let (kept, from) = (sh_quote(&kept), sh_quote(&old.path));
        script.push_str(&format!(
            "mkdir -p -- {store}\nrm -f -- {kept}\nln -- {from} {kept} 2>/dev/null || cp -p -- {from} {kept}\n\
             printf %s {text} >{manifest}\n",
            store = sh_quote(&store),
            text = sh_quote(old_text),
            manifest = sh_quote(&manifest),
        ));
    }
    script.push_str(&format!(
        "mv -f -- {} {path}\nmv -f -- {} {}\n",
        sh_quote(part),
        sh_quote(staged),
        sh_quote(&layout.manifest(&new.worker)),
    ));
    // One earlier version is kept, not a history.
    if let Some((old, _)) = old
        && let Some(older) = old.previous
        && Some(older) != new.previous
    {
        script.push_str(&forget(layout, &older, &old.worker, &old.path));
    }
    script
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
    each.concat()
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
    if let Some(previous) = &manifest.previous {
        script.push_str(&forget(layout, previous, &manifest.worker, &manifest.path));
    }
    script
}

fn forget(layout: &Layout, digest: &Digest, worker: &WorkerId, path: &str) -> String {
    let (kept, manifest, store) =
        (layout.kept(digest, path), layout.kept_manifest(digest, worker), layout.store(digest));
    format!("rm -f -- {} {}\nrmdir -- {} 2>/dev/null || :\n", sh_quote(&kept), sh_quote(&manifest), sh_quote(&store))
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
