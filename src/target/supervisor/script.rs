//! The text that is fed to a shell: quoted, numbered and pinned in one place.

use std::time::Duration;

use crate::{
    target::{
        conduit::{Carried, Latch},
        roam::LONG,
    },
    vocab::text::sh_quote,
};

const PRELUDE: &str = include_str!("prelude.sh");
const SUPERVISOR: &str = include_str!("supervisor.sh");

/// Survives every login shell known to us: no `'`, `!` or line end inside of the quotes, and nothing to expand.
/// It reads one line from stdin, byte by byte, and nothing beyond it.
pub fn boot(shell: &str) -> String {
    format!("exec {shell} -c 'IFS= read -r s;eval \"$s\"'")
}

/// As [`boot`], for a lane that is [`carried`]; without the variables it is told on stdin, as any other.
///
/// A machine may accept them and drop them on the way. Then there is something else on stdin, and the lane never begins.
pub fn boot_carried(shell: &str) -> String {
    format!(
        "exec {shell} -c 's=$LC_RBEE_1;if [ -z \"$s\" ]||[ -z \"$LC_RBEE_2\" ];then IFS= read -r s;case $s in sh=*);;\
         *)echo environment lost;exit;;esac;fi;eval \"$s\"'"
    )
}

/// What one lane is told at its start.
#[derive(Clone)]
pub struct Terms {
    pub nonce: String,
    pub cookie: String,
    pub lease: Duration,
    pub grace: Duration,
    pub levels: &'static str,
    pub shell: String,
}

/// The length of a tick, and after how many silent ones the host acts by itself: so early that all is clean when a short
/// lease is over, and not before the end of one that is long enough to be away for.
pub fn pace(lease: Duration) -> (Duration, u32) {
    if lease > LONG {
        let tick = Duration::from_secs((lease.as_secs() / 10).clamp(1, 30));
        return (tick, u32::try_from(lease.as_secs().div_ceil(tick.as_secs())).unwrap_or(u32::MAX));
    }
    ((lease / 5).max(Duration::from_millis(200)), 3)
}

/// Everything that is written to a new lane's stdin.
pub fn lane(terms: &Terms) -> String {
    // A text that was cut off in the middle is never run.
    let load = r##"nl=$(printf "\n.");nl=${nl%.};p=;l=;while IFS= read -r l&&[ "$l" != "#end" ];do p="$p$l$nl";done;[ "$l" = "#end" ]||exit;eval "$p""##;
    format!(
        "sh={} load={};eval \"$load\"\nW={}\n{}#end\n{}F=\n{}#end\n",
        sh_quote(&terms.shell),
        sh_quote(load),
        sh_quote(terms.levels),
        lean(PRELUDE),
        settled(terms),
        lean(SUPERVISOR),
    )
}

/// What the second part of a lane's program finds set.
fn settled(terms: &Terms) -> String {
    let (tick, silent) = pace(terms.lease);
    let tick = tick.as_secs_f64();
    // Whole seconds where they are, for a sleep that knows no others.
    let tick = if tick >= 1.0 { format!("{tick:.0}") } else { format!("{tick}") };
    format!(
        "sh={} V=${{V:-$0}} N={} K={} L={tick} M={silent} G={} ",
        sh_quote(&terms.shell),
        terms.nonce,
        terms.cookie,
        terms.grace.as_millis().div_ceil(50),
    )
}

/// The same for a lane that begins with its first request, carried by the request that starts it: a server takes nothing
/// for stdin before it has answered that one.
///
/// Only its owner can read a process's environment. The names are of the kind that servers let in as they are shipped.
pub fn carried(terms: &Terms, first: &str, latch: Latch) -> Carried {
    let prelude = format!(
        "sh={} load={}\nW={}\n{}",
        sh_quote(&terms.shell),
        sh_quote("eval \"$LC_RBEE_2\""),
        sh_quote(terms.levels),
        lean(PRELUDE)
    );
    let supervisor = format!("{}F={}\n{}", settled(terms), sh_quote(first.trim_end_matches('\n')), lean(SUPERVISOR));
    Carried {
        variables: vec![("LC_RBEE_1", prelude), ("LC_RBEE_2", supervisor)],
        instead: Box::new({
            let (terms, first) = (terms.clone(), first.to_owned());
            move || lane(&terms) + &first
        }),
        latch,
    }
}

/// Leaves out comment lines, empty lines and indentation: the shell reads its stdin byte by byte.
pub fn lean(script: &str) -> String {
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

/// The line that ends a lane wherever it stands, for those that see no end of file.
pub fn farewell(nonce: &str) -> String {
    format!("\n#{nonce}\n")
}

/// Removes `path`, which is absolute, and all below it, folders without write permission included.
pub fn removal(path: &str) -> String {
    let path = sh_quote(path);
    format!("rm -rf -- {path} || {{ chmod -R u+rwX {path}; rm -rf -- {path}; }} || bad=1")
}

/// What of a file one channel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Whole,
    /// From block `first` on, so many blocks of [`BLOCK`] bytes; `None` is up to the end.
    Blocks {
        first: u64,
        count: Option<u64>,
    },
}

/// The unit of a [`Share`].
pub const BLOCK: u64 = 1 << 20;

/// The program of a channel that takes a file or a share of it: enters itself in the box that the lane made beside the
/// file, says that it is ready, writes what follows, and hashes what it wrote, as it stands in the file, if there is a
/// tool for it.
pub fn receiver(nonce: &str, path: &str, share: Share) -> String {
    // One line: the shell reads it byte by byte and leaves the rest of its stdin to what writes.
    format!(
        "umask 077;LC_ALL=C;export LC_ALL;p={};b=\"$p.in\";true >\"$b/$$\"||exit;h=;for t in 'openssl dgst -sha256' \
         sha256sum 'shasum -a 256';do command -v ${{t%% *}} >/dev/null&&{{ h=$t;break; }};done;\
         printf \"\\036{nonce} ready\\n\";{};printf \"\\036{nonce} end %s\\n\" \"$s $d\";rm -f \"$b/$$\"\n",
        sh_quote(path),
        match share {
            Share::Whole => WHOLE.to_owned(),
            Share::Blocks { first, count } => blocks(first, count),
        }
    )
}

/// The file is hashed while it grows: again and again up to its end, until the mark is gone that says it is written.
const WHOLE: &str = "if [ -n \"$h\" ];then true >\"$b/w\";{ while cat <&5;[ -e \"$b/w\" ];do sleep 0.03||sleep 1;done;\
                     cat <&5; } 5<\"$p\" 2>/dev/null|$h >\"$b/d\" 2>/dev/null& fi;cat >\"$p\";s=$?;rm -f \"$b/w\";wait;d=;\
                     [ $s != 0 ]||{ read -r d <\"$b/d\"; } 2>/dev/null";

/// Around a share there are others that grow, so it is hashed when it is whole.
fn blocks(first: u64, count: Option<u64>) -> String {
    let count = count.map(|count| format!(" count={count}")).unwrap_or_default();
    // Reads from a pipe are short: only with two sizes are they put together again.
    format!(
        "dd of=\"$p\" ibs=65536 obs={BLOCK} seek={first} conv=notrunc;s=$?;d=;[ $s != 0 ]||[ -z \"$h\" ]||\
         d=$(dd if=\"$p\" bs={BLOCK} skip={first}{count} 2>/dev/null|$h 2>/dev/null)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        insta::assert_snapshot!("boot", boot("/bin/sh"));
        let path = "/home/it's me/.x.part";
        insta::assert_snapshot!("receiver", receiver("NONCE", path, Share::Whole));
        insta::assert_snapshot!(
            "receiver_of_a_share",
            receiver("NONCE", path, Share::Blocks { first: 20, count: Some(10) })
        );
        insta::assert_snapshot!(
            "receiver_of_the_last_share",
            receiver("NONCE", path, Share::Blocks { first: 30, count: None })
        );
        insta::assert_snapshot!("removal", removal("/home/it's me/scratch"));
        insta::assert_snapshot!("request", request("r", "echo a\necho b"));
        let terms = Terms {
            nonce: "NONCE".into(),
            cookie: "COOKIE".into(),
            lease: Duration::from_secs(10),
            grace: Duration::from_millis(500),
            levels: "cgroup subreaper group",
            shell: "/bin/sh".into(),
        };
        insta::assert_snapshot!("lane", lane(&terms));
        insta::assert_snapshot!("boot_carried", boot_carried("/bin/sh"));
        let carried = carried(&terms, "r 2\necho it's\necho\n", Latch::default());
        let (prelude, supervisor) = (&carried.variables[0].1, &carried.variables[1].1);
        insta::assert_snapshot!("carried_prelude", prelude);
        insta::assert_snapshot!("carried_supervisor", supervisor.split_once(&lean(SUPERVISOR)).unwrap().0);
        assert_eq!((carried.instead)(), format!("{}r 2\necho it's\necho\n", lane(&terms)));
        // Who looks for those that carry the cookie must not find the one who looks.
        assert!(!prelude.contains("COOKIE ") && !supervisor.contains("RBEE_COOKIE=COOKIE"));
    }

    #[test]
    fn a_login_shell_finds_nothing_to_expand_in_the_boot_line() {
        for boot in [boot("/bin/sh"), boot_carried("/bin/sh")] {
            assert_eq!(boot.matches('\'').count(), 2);
            assert!(!boot.contains(['!', '\n', '`', '\\']), "{boot}");
        }
    }
}
