//! One run at a time changes a host.
//!
//! The lock is a file that names its owner: the run, the supervisor's process with its start time, the machine's boot,
//! and who asked. It is made by a hard link, which succeeds once; it goes with the supervisor that registered it. One
//! whose process is gone, or that is from before a reboot, is taken over.

use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    vocab::{
        Level,
        text::{plain_line, sh_quote},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("another run is changing this host: {0}")]
    Held(String),
    #[error("cannot lock the host: {0}")]
    Host(String),
}

/// Takes the host's lock until the target closes.
///
/// # Errors
/// [`LockError::Held`] names the owner.
pub async fn lock(scope: &Scope, target: &dyn Target, state_dir: &str, who: &str) -> Result<(), LockError> {
    let run = scope.events().run().to_string();
    target.cleanup(scope, &release_script(state_dir, &run)).await?;
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("lock", acquire_script(state_dir, &run, who)), &mut said).await?;
    let text = said.text();
    let owner = plain_line(text.lines().next().unwrap_or_default());
    match exit.status {
        0 if owner.is_empty() => Ok(()),
        0 => {
            scope.notice(Level::Warning, format!("took over the lock of a run that is gone ({owner})"), None);
            Ok(())
        }
        75 => Err(LockError::Held(owner)),
        _ => Err(LockError::Host(said.last_words())),
    }
}

/// Prints nothing, or the stale owner; status 75 with the living owner.
fn acquire_script(state_dir: &str, run: &str, who: &str) -> String {
    format!(
        r#"d={dir} r={run} w={who}
mkdir -p -- "$d" || exit
l=$d/lock m=$d/lock.$r
boot() {{ b=; {{ read -r b </proc/sys/kernel/random/boot_id; }} 2>/dev/null || b=$(sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9); b=${{b:-none}}; }}
born() {{ s=; {{ read -r s <"/proc/$1/stat"; }} 2>/dev/null && {{ s=${{s##*) }}; set -- $s; shift 19; s=$1; }} || s=$(ps -o lstart= -p "$1" 2>/dev/null | tr -dc 0-9A-Za-z); s=${{s:-gone}}; }}
boot; born "$PPID"
printf '%s %s %s %s %s\n' "$r" "$PPID" "$s" "$b" "$w" >"$m" || exit
n=0
while ! ln -- "$m" "$l" 2>/dev/null; do
  n=$((n + 1)); [ "$n" -lt 5 ] || {{ echo "cannot make $l" >&2; rm -f -- "$m"; exit 73; }}
  o= p= t= c= u=
  {{ read -r o p t c u <"$l"; }} 2>/dev/null || continue
  born "${{p:-0}}"
  # It is ours already.
  if [ "$o" = "$r" ] && [ "$p" = "$PPID" ] && [ "$c" = "$b" ] && [ "$s" = "$t" ]; then break; fi
  if [ "$c" = "$b" ] && [ "$s" = "$t" ]; then echo "run $o by $u (process $p there)"; rm -f -- "$m"; exit 75; fi
  echo "run $o by $u"
  # Of two that take over, the second may have moved the first one's new lock: it puts it back and looks again.
  if mv -- "$l" "$m.old" 2>/dev/null; then
    q=; {{ read -r q _ <"$m.old"; }} 2>/dev/null
    [ "$q" = "$o" ] || ln -- "$m.old" "$l" 2>/dev/null
    rm -f -- "$m.old"
  fi
done
rm -f -- "$m"
"#,
        dir = sh_quote(state_dir),
        run = sh_quote(run),
        who = sh_quote(who),
    )
}

fn release_script(state_dir: &str, run: &str) -> String {
    let lock = format!("{state_dir}/lock");
    let own = format!("{state_dir}/lock.{run}");
    format!(
        "{{ read -r o _ <{lock}; }} 2>/dev/null && [ \"$o\" = {run} ] && rm -f -- {lock}\nrm -f -- {own} {old}",
        lock = sh_quote(&lock),
        own = sh_quote(&own),
        old = sh_quote(&format!("{own}.old")),
        run = sh_quote(run),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("acquire", acquire_script("/home/it's me/.local/state/rbee", "RUN", "me@here"));
        insta::assert_snapshot!("release", release_script("/home/it's me/.local/state/rbee", "RUN"));
    }
}
