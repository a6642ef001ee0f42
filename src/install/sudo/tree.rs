//! What is run as root for a program of several files: one shell, see [`super`].

use super::{
    super::{
        Part, scripts as own,
        tree::{place, undo},
    },
    Places, Sudo,
    scripts::{OTHER_DIGEST, as_one},
};
use crate::{
    transfer::tree::{digest_script, tree_sum},
    vocab::{Manifest, text::sh_quote},
};

/// Root looks for its tools nowhere else.
const PATH: &str = "PATH=/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin; export PATH; umask 022\n";

/// Puts a tree, or a program in place of one, where it belongs; what is there is kept.
pub fn put(
    sudo: &Sudo,
    places: &Places,
    part: &Part,
    new: &Manifest,
    new_text: &str,
    keep: Option<(&Manifest, &str)>,
    old: Option<&Manifest>,
) -> String {
    let layout = places.layout();
    let arrived = format!("{}/.{}.rbee", layout.stores(), new.worker);
    let (link, staged) = (places.part(), places.manifest_part());
    let mut body = format!(
        "{PATH}clean() {{ cd /; {undo}; rm -rf -- {arrived} {arrived}.tar; rm -f -- {link} {staged}; }}\n\
         fail() {{ s=$?; [ \"$s\" != 0 ] || s=1; clean; exit \"$s\"; }}\n\
         other() {{ clean; exit {OTHER_DIGEST}; }}\n\
         [ ! -d {path} ] || [ -L {path} ] || {{ echo {path} is a folder >&2; exit 73; }}\n\
         mkdir -p -- {bin} {installed} {store} || exit\nclean\n",
        undo = if new.entry.is_some() { undo(layout, new, &arrived) } else { ":".to_owned() },
        arrived = sh_quote(&arrived),
        link = sh_quote(&link),
        staged = sh_quote(&staged),
        path = sh_quote(&new.path),
        bin = sh_quote(places.bin()),
        installed = sh_quote(&layout.installed()),
        store = sh_quote(&layout.stores()),
    );
    // Hashes what is said, and the tree that came out of it.
    body.push_str(&digest_script(&[]));
    match (&new.entry, part.archive) {
        (None, _) => body.push_str(&format!(
            "(umask 077; cat <{source} >{link}) || fail\ncase $($h <{link}) in *{want}*) ;; *) other ;; esac\n\
             chmod 0755 {link} || fail\n",
            source = sh_quote(&part.path),
            link = sh_quote(&link),
            want = new.digest,
        )),
        (Some(entry), Some(archive)) => body.push_str(&format!(
            "(umask 077; cat <{source} >{arrived}.tar; mkdir -- {arrived}) || fail\n\
             case $($h <{arrived}.tar) in *{archive}*) ;; *) other ;; esac\n\
             (cd -- {arrived} && tar -xof {arrived}.tar) || fail\nrm -f -- {arrived}.tar\n\
             case $({sum}) in *{want}*) ;; *) other ;; esac\n\
             chmod 0755 {arrived} || fail\n",
            source = sh_quote(&format!("{}.tar", layout.tree_part(&new.worker, &new.run))),
            arrived = sh_quote(&arrived),
            sum = tree_sum(&sh_quote(&arrived), &new.worker, entry),
            want = new.digest,
        )),
        // It is in the store already, as the user has seen.
        (Some(entry), None) => body.push_str(&format!(
            "case $({sum}) in *{want}*) ;; *) other ;; esac\n",
            sum = tree_sum(&sh_quote(&layout.store(&new.digest)), &new.worker, entry),
            want = new.digest,
        )),
    }
    body.push_str(&format!("(\nset -e\nprintf %s {} >{}\n", sh_quote(new_text), sh_quote(&staged)));
    let (kept, kept_text) = (sh_quote(&places.kept()).into_owned(), sh_quote(&places.kept_manifest()).into_owned());
    if let Some((old, text)) = keep {
        body.push_str(&match old.entry {
            Some(_) => format!(
                "printf %s {} >{}\nrm -f -- {kept} {kept_text}\n",
                sh_quote(text),
                sh_quote(&layout.kept_manifest(&old.digest, &old.worker)),
            ),
            None => format!(
                "cp -- {} {kept}.part\nchmod 0755 {kept}.part\nmv -f -- {kept}.part {kept}\nprintf %s {} >{kept_text}\n",
                sh_quote(&old.path),
                sh_quote(text),
            ),
        });
    }
    body.push_str(&place(layout, new, &link, &arrived));
    body.push_str(&format!(
        "mv -f -- {link} {path}\nmv -f -- {staged} {manifest}\n)\n[ $? = 0 ] || fail\n{forget}clean\n",
        link = sh_quote(&link),
        path = sh_quote(&new.path),
        staged = sh_quote(&staged),
        manifest = sh_quote(&layout.manifest(&new.worker)),
        forget = own::forget_older(layout, new, old),
    ));
    as_one(sudo, &body)
}

/// Removes a tree with its link, its manifest and what is kept.
pub fn remove(sudo: &Sudo, places: &Places, manifest: &Manifest) -> String {
    as_one(sudo, &format!("{PATH}{}", own::remove(places.layout(), manifest)))
}
