//! A change of a host's hive, whole or not at all.

use super::{DaemonError, Keeper, Places, life::own, script};
use crate::{scope::Scope, target::Target, vocab::text::sh_quote};

/// What there was before a change, as far as a change may touch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before<'a> {
    /// The program and its manifest, where they are or will be.
    pub program: &'a str,
    pub manifest: &'a str,
    /// What keeps it now, and what will.
    pub kept_by: Option<&'a Keeper>,
    pub will_be: &'a Keeper,
    /// The hive that serves: process and start.
    pub serving: Option<(u32, &'a str)>,
}

/// Sees to it that a change of this run that is not done is taken back when the target closes; before the host's lock is
/// taken, so that the lock is still held then.
///
/// # Errors
/// As [`Target::run`].
pub async fn register(scope: &Scope, target: &dyn Target, places: &Places) -> Result<(), DaemonError> {
    Ok(target.cleanup(scope, &on_close(places, scope.events().run().as_str())).await?)
}

/// Lays aside what there is.
///
/// # Errors
/// It cannot be laid aside; nothing was changed.
pub async fn begin(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    before: &Before<'_>,
) -> Result<(), DaemonError> {
    let run = scope.events().run().to_string();
    let part = format!("{}.{run}", places.undo());
    target.scratch(scope, &part).await?;
    own(scope, target, "lay aside what there is", &lay_aside(places, before, &run)).await.map(drop)
}

/// The change is done.
///
/// # Errors
/// The host did not say so; then it is taken back.
pub async fn commit(scope: &Scope, target: &dyn Target, places: &Places) -> Result<(), DaemonError> {
    let (folder, gone) = (places.undo(), format!("{}.done", places.undo()));
    let (folder, gone) = (sh_quote(&folder), sh_quote(&gone));
    let script = format!("rm -rf -- {gone}; mv -- {folder} {gone} && {{ rm -rf -- {gone}; :; }}\n");
    own(scope, target, "end the change", &script).await.map(drop)
}

/// Takes the change back.
///
/// # Errors
/// With the host's own words.
pub async fn take_back(scope: &Scope, target: &dyn Target, places: &Places) -> Result<(), DaemonError> {
    let script = sh_quote(&format!("{}/script", places.undo())).into_owned();
    own(scope, target, "take the change back", &format!("/bin/sh {script}\n")).await.map(drop)
}

/// A mark: the hive from before was told to end, so taking the change back waits for that.
pub(super) fn stopping(places: &Places) -> String {
    format!("{}/stopping", places.undo())
}

fn on_close(places: &Places, run: &str) -> String {
    let folder = places.undo();
    format!(
        "{{ read -r r <{mark}; }} 2>/dev/null && [ \"$r\" = {run} ] && {{ /bin/sh {script} || bad=1; }}",
        mark = sh_quote(&format!("{folder}/run")),
        script = sh_quote(&format!("{folder}/script")),
        run = sh_quote(run),
    )
}

/// The files that a change may touch, each under a name of its own.
fn files(places: &Places, before: &Before<'_>) -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("program", before.program.to_owned()),
        ("manifest", before.manifest.to_owned()),
        ("launch", places.launch()),
    ];
    let old = before.kept_by.and_then(Keeper::file);
    let new = before.will_be.file();
    files.extend(old.map(|file| ("keeper", file.to_owned())));
    files.extend(new.filter(|new| Some(*new) != old).map(|file| ("keeper-new", file.to_owned())));
    files
}

fn lay_aside(places: &Places, before: &Before<'_>, run: &str) -> String {
    let part = format!("{}.{run}", places.undo());
    let mut text = format!(
        "umask 077\nmkdir -p -- {state} && chmod 700 {state} && rm -rf -- {part} && mkdir -- {part} && cd -- {part} || exit\n",
        state = sh_quote(&places.state),
        part = sh_quote(&part),
    );
    for (name, file) in files(places, before) {
        // A name of its own for the same file, where that is possible: whatever is renamed over it, this one stays.
        text.push_str(&format!(
            "[ ! -f {0} ] || ln -- {0} {name} 2>/dev/null || cp -p -- {0} {name} || exit\n",
            sh_quote(&file)
        ));
    }
    text.push_str(&format!(
        "printf '%s\\n' {} >run && printf %s {} >script || exit\n",
        sh_quote(run),
        sh_quote(&undo(places, before))
    ));
    text.push_str(&format!("mv -- {} {}\n", sh_quote(&part), sh_quote(&places.undo())));
    text
}

/// Puts back what was laid aside, and starts again what ran.
fn undo(places: &Places, before: &Before<'_>) -> String {
    let mut text = format!("d={}\n{}cd -- \"$d/undo.d\" || exit\n", sh_quote(&places.state), script::KNOWN);
    text.push_str(&script::end_other(before.will_be, before.serving));
    if let Some((pid, start)) = before.serving {
        let old = sh_quote(&format!("{pid} {start}")).into_owned();
        text.push_str(&format!(
            "if [ -e stopping ]; then n=80; while [ \"$n\" -gt 0 ] && serving && [ \"$p $t\" = {old} ]; do nap; n=$((n - 1)); done; fi\n"
        ));
    }
    if before.kept_by != Some(before.will_be) {
        text.push_str(before.will_be.disable());
    }
    text.push_str(
        "e=0\nback() {\n  if [ ! -f \"$1\" ]; then rm -f -- \"$2\"\n  elif ! cmp -s \"$1\" \"$2\"; then cp -p -- \"$1\" \"$2.undo\" && mv -f -- \"$2.undo\" \"$2\"\n  fi || e=1\n}\n",
    );
    for (name, file) in files(places, before) {
        text.push_str(&format!("back {name} {}\n", sh_quote(&file)));
    }
    if let Some(keeper) = before.kept_by {
        text.push_str(keeper.enable().replace(" || exit", "").as_str());
        if before.serving.is_some() {
            text.push_str(&format!("if ! serving; then\n{}fi\n", keeper.start(places).replace(" || exit", "")));
        }
    } else if matches!(before.will_be, Keeper::Systemd { .. }) {
        text.push_str("manager daemon-reload\n");
    }
    text.push_str("cd / && [ \"$e\" = 0 ] && rm -rf -- \"$d/undo.d\"\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let places = Places::new("/home/it's me/.local/state/rbee");
        let systemd = Keeper::Systemd { unit: "/home/it's me/u/rbee-hive.service".into() };
        let session = Keeper::Session { by: "setsid".into() };
        let first = Before {
            program: "/home/it's me/bin/rbee",
            manifest: "/home/it's me/installed/rbee.toml",
            kept_by: None,
            will_be: &systemd,
            serving: None,
        };
        let again = Before { kept_by: Some(&session), serving: Some((41, "977")), ..first.clone() };
        let own = |text: String| text.replace(script::KNOWN, "KNOWN\n");
        insta::assert_snapshot!("undo_first", own(undo(&places, &first)));
        insta::assert_snapshot!("undo_upgrade", own(undo(&places, &again)));
        insta::assert_snapshot!(
            "lay_aside",
            lay_aside(&places, &first, "RUN").replace(&*sh_quote(&undo(&places, &first)), "UNDO")
        );
        insta::assert_snapshot!("on_close", on_close(&places, "RUN"));
    }
}
