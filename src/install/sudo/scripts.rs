//! What is run for an installation through sudo, as text: POSIX sh, quoted, pinned by goldens.

use super::{
    Sudo,
    ask::ENGLISH,
    pinned::{Places, line},
};
use crate::vocab::{Digest, Manifest, text::sh_quote};

/// The status of a copy with another sha256 than it should have.
pub const OTHER_DIGEST: i32 = 65;

/// Says that root is at work, so that what cleans up waits for the step that nobody can end.
fn mark(parts: &str) -> String {
    sh_quote(&format!("{parts}/.root")).into_owned()
}

/// Puts a copy of `source` beside the program's place as root, hashes it there, keeps the old program, renames.
pub fn put(
    sudo: &Sudo,
    places: &Places,
    parts: &str,
    source: &str,
    want: Digest,
    new_text: &str,
    old_text: Option<&str>,
) -> String {
    let run = places.operations(&sudo.tools);
    let path = sh_quote(&places.path()).into_owned();
    let whole = sudo.password.is_some();
    // Root's own shell opens a path that belongs to the user here. Whatever it turns out to be, nobody else reads it
    // before it has the right sha256.
    let fresh = if whole { line(&run.fresh).replacen("0755", "0600", 1) } else { line(&run.fresh) };
    let open = match whole {
        true => format!("root {} 0755 {} || fail\n", sh_quote(&sudo.tools.chmod), sh_quote(&places.part())),
        false => String::new(),
    };
    let mut body = format!(
        "fail() {{ s=$?; [ \"$s\" != 0 ] || s=1; root {sweep}; exit \"$s\"; }}\n\
         [ ! -d {path} ] || {{ echo {path} is a folder >&2; exit 73; }}\n\
         [ -d {bin} ] || root {install} -d -m 0755 {bin} || exit\n\
         {{ [ -d {installed} ] && [ -d {store} ]; }} || root {folders} || exit\n\
         [ -f {source} ] && [ ! -L {source} ] || {{ echo the program that was to be copied is gone >&2; exit 66; }}\n\
         root {fresh} || exit\n\
         root {fill} <{source} >/dev/null || fail\n\
         case $(root {hash}) in *{want}*) ;; *) root {sweep}; exit {OTHER_DIGEST} ;; esac\n\
         {open}printf %s {text} | root {manifest} >/dev/null || fail\n",
        sweep = line(&run.sweep),
        bin = sh_quote(places.bin()),
        install = sh_quote(&sudo.tools.install),
        installed = sh_quote(&places.layout().installed()),
        store = sh_quote(&places.layout().stores()),
        folders = line(&run.folders),
        fill = line(&run.fill),
        source = sh_quote(source),
        hash = line(&run.hash),
        text = sh_quote(new_text),
        manifest = line(&run.manifest),
    );
    if let Some(text) = old_text {
        body.push_str(&format!(
            "root {keep} || fail\nprintf %s {text} | root {keep_manifest} >/dev/null || fail\n",
            keep = line(&run.keep),
            text = sh_quote(text),
            keep_manifest = line(&run.keep_manifest),
        ));
    }
    body.push_str(&format!("root {} || fail\nroot {} || fail\n", line(&run.place), line(&run.place_manifest)));
    as_root(sudo, &body, Some(parts))
}

/// Removes the program first, so that a manifest without a program is the worst that can be left.
pub fn remove(sudo: &Sudo, places: &Places, manifest: &Manifest) -> String {
    let mut body = format!("root {} || exit\n", line(&places.operations(&sudo.tools).remove));
    // Only where someone installed without sudo before.
    if let Some(previous) = &manifest.previous {
        let layout = places.layout();
        let store = layout.store(previous);
        let (kept, text) = (layout.kept(previous, &manifest.path), layout.kept_manifest(previous, &manifest.worker));
        body.push_str(&format!(
            "[ ! -d {store}/bin ] || root {rm} -rf {store}/bin {store}/lib {store}/share\n\
             [ ! -d {store} ] || {{ root {rm} -f {kept} {text}; root {rmdir} {store}; }}\n",
            store = sh_quote(&store),
            rm = sh_quote(&sudo.tools.rm),
            kept = sh_quote(&kept),
            text = sh_quote(&text),
            rmdir = sh_quote(&format!("{}dir", sudo.tools.rm)),
        ));
    }
    as_root(sudo, &body, None)
}

/// Removes parts that root has left, when the controller is gone. With a password nobody could; see the module.
pub fn sweep(sudo: &Sudo, places: &Places, parts: &str) -> String {
    format!(
        "[ ! -e {mark} ] || sleep 1\n\
         if [ -e {part} ] || [ -e {staged} ]; then {sudo} -k -n -- {rm} 2>/dev/null || bad=1; fi",
        mark = mark(parts),
        part = sh_quote(&places.part()),
        staged = sh_quote(&places.manifest_part()),
        sudo = sh_quote(&sudo.tools.sudo),
        rm = line(&places.operations(&sudo.tools).sweep),
    )
}

/// Shows that the password is taken, for what it will be needed for.
pub fn prove(sudo: &Sudo) -> String {
    as_root(sudo, "echo granted\n", None)
}

/// Each `root COMMAND…` of `body` through sudo, or all of it at once where a password is needed.
fn as_root(sudo: &Sudo, body: &str, parts: Option<&str>) -> String {
    let program = sh_quote(&sudo.tools.sudo);
    let (before, after) = match parts.map(mark) {
        Some(mark) => (format!(": >{mark}\n"), format!("rm -f -- {mark}\n")),
        None => (String::new(), String::new()),
    };
    if sudo.password.is_none() {
        let body = format!("root() {{ {program} -k -n -- \"$@\"; }}\n{body}{after}");
        return format!("{ENGLISH}umask 022\n{before}{body}");
    }
    as_one(sudo, body)
}

/// All of `body` as root, by a shell of root's.
pub fn as_one(sudo: &Sudo, body: &str) -> String {
    let program = sh_quote(&sudo.tools.sudo);
    // A step that is cut off from its controller comes to its end, as nobody but root could end or clean it.
    let body = format!("trap '' HUP INT TERM PIPE\numask 022\nroot() {{ \"$@\"; }}\n{body}");
    let how = if sudo.password.is_some() { "-S -p ''" } else { "-n" };
    format!("{ENGLISH}exec {program} -k {how} -- {} -c {}\n", sh_quote(&sudo.tools.sh), sh_quote(&body))
}
