//! The text that is fed to a shell: quoted, numbered and pinned in one place.

use std::time::Duration;

use crate::vocab::text::sh_quote;

const PRELUDE: &str = include_str!("prelude.sh");
const SUPERVISOR: &str = include_str!("supervisor.sh");

/// Survives every login shell known to us: no `'`, `!` or line end inside of the quotes, and nothing to expand.
/// It reads one line from stdin, byte by byte, and nothing beyond it.
pub fn boot(shell: &str) -> String {
    format!("exec {shell} -c 'IFS= read -r s;eval \"$s\"'")
}

/// What one lane is told at its start.
pub struct Terms<'a> {
    pub nonce: &'a str,
    pub cookie: &'a str,
    pub lease: Duration,
    pub grace: Duration,
    pub levels: &'a str,
    pub shell: &'a str,
}

/// Ticks of silence after which the host acts by itself, of five that make a lease.
const SILENT_TICKS: u32 = 3;

/// The length of a tick: a fifth of the lease, at least 0.2 s.
pub fn tick(lease: Duration) -> Duration {
    (lease / 5).max(Duration::from_millis(200))
}

/// Everything that is written to a new lane's stdin.
pub fn lane(terms: &Terms<'_>) -> String {
    let load =
        r##"nl=$(printf "\n.");nl=${nl%.};p=;while IFS= read -r l&&[ "$l" != "#end" ];do p="$p$l$nl";done;eval "$p""##;
    let tick = tick(terms.lease).as_secs_f64();
    // Whole seconds where they are, for a sleep that knows no others.
    let tick = if tick >= 1.0 { format!("{tick:.0}") } else { format!("{tick}") };
    format!(
        "sh={} load={};eval \"$load\"\nW={}\n{}#end\nsh={} V=${{V:-$0}} N={} K={} L={tick} M={SILENT_TICKS} G={}\n{}#end\n",
        sh_quote(terms.shell),
        sh_quote(load),
        sh_quote(terms.levels),
        lean(PRELUDE),
        sh_quote(terms.shell),
        terms.nonce,
        terms.cookie,
        terms.grace.as_millis().div_ceil(50),
        lean(SUPERVISOR),
    )
}

/// Leaves out comment lines, empty lines and indentation: the shell reads its stdin byte by byte.
fn lean(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    for line in script.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A request whose lines follow it. `script` must not contain NUL.
pub fn request(verb: &str, script: &str) -> String {
    format!("{verb} {}\n{script}\n", script.split('\n').count())
}

/// Removes `path`, which is absolute, and all below it, folders without write permission included.
pub fn removal(path: &str) -> String {
    let path = sh_quote(path);
    format!("rm -rf -- {path} || {{ chmod -R u+rwX {path}; rm -rf -- {path}; }} || bad=1")
}

/// The program of a channel that takes a file: says who it is, waits to be taken in, writes, and hashes what it wrote if
/// there is a tool for it.
pub fn receiver(nonce: &str, path: &str) -> String {
    // One line: the shell reads it byte by byte and leaves the rest of its stdin to cat.
    format!(
        "umask 077;p={};printf \"\\036{nonce} hi $$\\n\";IFS= read -r s&&[ \"$s\" = go ]||exit;set -C;\
         cat >\"$p\";s=$?;d=;if [ $s = 0 ];then \
         d=$(openssl dgst -sha256 <\"$p\" 2>/dev/null)||d=$(sha256sum <\"$p\" 2>/dev/null)||\
         d=$(shasum -a 256 <\"$p\" 2>/dev/null)||d=;fi;printf \"\\036{nonce} end %s\\n\" \"$s $d\"\n",
        sh_quote(path),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("boot", boot("/bin/sh"));
        insta::assert_snapshot!("receiver", receiver("NONCE", "/home/it's me/.x.part"));
        insta::assert_snapshot!("removal", removal("/home/it's me/scratch"));
        insta::assert_snapshot!("request", request("r", "echo a\necho b"));
        let terms = Terms {
            nonce: "NONCE",
            cookie: "COOKIE",
            lease: Duration::from_secs(10),
            grace: Duration::from_millis(500),
            levels: "cgroup subreaper group",
            shell: "/bin/sh",
        };
        insta::assert_snapshot!("lane", lane(&terms));
    }

    #[test]
    fn a_login_shell_finds_nothing_to_expand_in_the_boot_line() {
        let boot = boot("/bin/sh");
        assert_eq!(boot.matches('\'').count(), 2);
        assert!(!boot.contains(['!', '\n', '`']), "{boot}");
    }
}
