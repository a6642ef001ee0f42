//! Which processes run an installed program.

use super::InstallError;
use crate::{
    scope::Scope,
    target::{Captured, Command, Target},
    vocab::{Manifest, text::sh_quote},
};

/// As many are named; that there are more helps nobody.
const MOST: usize = 16;

/// The processes whose executable is the installed file, as far as this user may see them.
///
/// A process that still has a version that was replaced is none of them: it needs nothing that is removed.
///
/// # Errors
/// The host could not be asked.
pub async fn running(scope: &Scope, target: &dyn Target, manifest: &Manifest) -> Result<Vec<u32>, InstallError> {
    let mut said = Captured::default();
    target.run(scope, &Command::own("processes", script(&manifest.path)), &mut said).await?;
    let mut pids: Vec<u32> = said.text().lines().filter_map(|line| line.trim().parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.truncate(MOST);
    Ok(pids)
}

/// Prints pids. `/proc` knows the executable by its real path, so links are followed first; one that leads into the store
/// stands for the whole tree there. A script is found by the
/// words that the kernel starts its interpreter with. Where there is no `/proc`, lsof knows, else ps.
fn script(path: &str) -> String {
    format!(
        r##"p={path}
n=0
while [ -L "$p" ] && [ "$n" -lt 9 ]; do
  n=$((n + 1)); t=$(readlink "$p") || break
  case $t in /*) p=$t ;; *) p=${{p%/*}}/$t ;; esac
done
d=$(cd -P "${{p%/*}}/" 2>/dev/null && pwd -P) || exit 0
q=$p p=${{d%/}}/${{p##*/}}
[ -f "$p" ] || exit 0
r=/dev/null
[ "$n" = 0 ] || case $p in */store/*/*) t=${{p##*/store/}}; r=${{p%"$t"}}${{t%%/*}} ;; esac
if [ -d /proc/self/fd ]; then
  ls -l /proc/[0-9]*/exe 2>/dev/null | while IFS= read -r l; do
    case $l in
      *" (deleted)") ;;
      *"/exe -> $p"|*"/exe -> $r/"*) l=${{l%%"/exe -> "*}}; echo "${{l##*/}}" ;;
    esac
  done
  h=$(head -c 256 "$p" 2>/dev/null | tr -d '\000' 2>/dev/null | head -n 1 2>/dev/null)
  case $h in '#!'*) h=${{h#??}} ;; *) exit 0 ;; esac
  set -f; set -- $h; set +f
  i=$1; [ $# -eq 0 ] || shift
  w="$i$*"
  case $i in */env) while case ${{1-}} in -*|*=*) : ;; *) false ;; esac; do shift; done; w=$(printf %s "$@") ;; esac
  [ -n "$w" ] || exit 0
  for f in /proc/[0-9]*; do
    c=; {{ IFS= read -r c <"$f/cmdline"; }} 2>/dev/null
    for s in "$p" "$q" {path}; do
      case $c in
        "$w$s"*|"${{w##*/}}$s"*|*/"$w$s"*)
          ! tr '\000' '\n' <"$f/cmdline" 2>/dev/null | grep -qxF "$s" || {{ echo "${{f##*/}}"; break; }} ;;
      esac
    done
  done
elif PATH=$PATH:/usr/sbin; command -v lsof >/dev/null 2>&1; then
  lsof -a -d txt -t "$p" 2>/dev/null
else
  ps -A -o pid= -o comm= | while read -r n c; do [ "$c" != "$p" ] || echo "$n"; done
fi
exit 0
"##,
        path = sh_quote(path),
    )
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::Path,
        process::{Child, Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("running", script("/home/it's me/.local/bin/tool"));
    }

    /// Every shell that is here says the same.
    fn found(path: &Path) -> Vec<u32> {
        let shells: [&[&str]; 4] = [&["/bin/sh"], &["bash"], &["dash"], &["busybox", "sh"]];
        let mut all = Vec::new();
        for shell in shells {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg("-c").arg(script(path.to_str().unwrap())).stderr(Stdio::inherit());
            let Ok(said) = command.output() else { continue };
            let pids: Vec<u32> = String::from_utf8(said.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect();
            all.push(pids);
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
        all.remove(0)
    }

    fn until_found(path: &Path, child: &Child) {
        let start = Instant::now();
        // Between fork and exec it is somebody else.
        while found(path) != [child.id()] {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?} is not {}", found(path), child.id());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(mut child: Child) {
        let _ = child.kill();
        let _ = child.wait();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_found_by_its_file_and_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (tool, link) = (dir.path().join("it's a tool"), dir.path().join("link"));
        fs::copy("/bin/sleep", &tool).unwrap();
        symlink("it's a tool", &link).unwrap();
        assert_eq!(found(&tool), Vec::<u32>::new());
        assert_eq!(found(&dir.path().join("absent")), Vec::<u32>::new());
        let child = Command::new(&link).arg("600").spawn().unwrap();
        until_found(&tool, &child);
        until_found(&link, &child);
        // The file is another one now, and nobody runs it.
        fs::copy("/bin/sleep", dir.path().join("new")).unwrap();
        fs::rename(dir.path().join("new"), &tool).unwrap();
        let now = found(&tool);
        end(child);
        assert_eq!(now, Vec::<u32>::new());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_tree_of_the_store_runs_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, other) = (dir.path().join("store/abc/bin"), dir.path().join("store/abd"));
        fs::create_dir_all(&tree).unwrap();
        fs::create_dir_all(&other).unwrap();
        for path in [tree.join("tool"), tree.join("helper"), other.join("tool")] {
            fs::copy("/bin/sleep", path).unwrap();
        }
        symlink("store/abc/bin/tool", dir.path().join("tool")).unwrap();
        let stranger = Command::new(other.join("tool")).arg("600").spawn().unwrap();
        let helper = Command::new(tree.join("helper")).arg("600").spawn().unwrap();
        until_found(&dir.path().join("tool"), &helper);
        end(helper);
        let now = found(&dir.path().join("tool"));
        end(stranger);
        assert_eq!(now, Vec::<u32>::new());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_script_is_found_by_what_its_interpreter_was_given() {
        for head in ["#!/bin/sh", "#! /bin/sh -u", "#!/usr/bin/env sh", "#!/usr/bin/env -S sh -u"] {
            let dir = tempfile::tempdir().unwrap();
            let tool = dir.path().join("tool");
            fs::write(&tool, format!("{head}\nread -r line\n")).unwrap();
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
            // Another one whose path begins with this one's is another one.
            let other = dir.path().join("tool-x");
            fs::copy(&tool, &other).unwrap();
            let other = Command::new(&other).stdin(Stdio::piped()).spawn().unwrap();
            // Whoever only looks at it does not run it.
            let reader = Command::new("tail").arg("-f").arg(&tool).stdout(Stdio::null()).spawn().unwrap();
            let child = Command::new(&tool).arg("x").stdin(Stdio::piped()).spawn().unwrap();
            until_found(&tool, &child);
            end(child);
            let now = found(&tool);
            end(reader);
            end(other);
            assert_eq!(now, Vec::<u32>::new(), "{head}");
        }
    }
}
