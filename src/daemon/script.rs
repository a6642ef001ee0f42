//! What is sent to a host about its hive, as text: POSIX sh, quoted, pinned by goldens.

use super::{Keeper, Places, Signal};
use crate::vocab::{facts::HostDirs, text::sh_quote};

/// Functions that know a hive by its record; `d` is its state folder.
pub const KNOWN: &str = include_str!("known.sh");
const SURVEY: &str = include_str!("survey.sh");

/// A log that is larger is laid aside at the next start; one of those is kept.
const LOG: u64 = 10 << 20;

/// Who serves, as a survey says it.
const SAY: &str = "printf 'serving %s %s %s %s %s %s\\n' \"$p\" \"$t\" \"$c\" \"$o\" \"$v\" \"$w\"\n";

/// What a hive is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch<'a> {
    /// The program.
    pub path: &'a str,
    pub home: &'a str,
    /// As a command over SSH sees it: what a hive installs is built with the tools that preflight saw.
    pub search: &'a [String],
    pub dirs: &'a HostDirs,
    /// What the inventory sets for the host.
    pub env: Vec<(String, String)>,
    pub port: u16,
}

impl Launch<'_> {
    /// The script that becomes the hive.
    pub fn text(&self, places: &Places) -> String {
        let mut text = String::from(
            "#!/bin/sh\n# Becomes the hive of this user. Written by `rbee fleet hive install`; systemd, launchd or `rbee fleet hive start` runs it.\numask 077\n",
        );
        let mut set = |name: &str, value: &str| {
            text.push_str(&format!("{name}={}; export {name}\n", sh_quote(value)));
        };
        set("HOME", self.home);
        set("PATH", &self.search.join(":"));
        let folders = [
            ("XDG_STATE_HOME", &self.dirs.state),
            ("XDG_CACHE_HOME", &self.dirs.cache),
            ("XDG_DATA_HOME", &self.dirs.data),
        ];
        for (name, folder) in folders {
            if let Some(base) = folder.strip_suffix("/rbee") {
                set(name, base);
            }
        }
        if let Some(prefix) = self.dirs.system_bin.strip_suffix("/bin").filter(|prefix| *prefix != "/usr/local") {
            set("RBEE_PREFIX", prefix);
        }
        for (name, value) in &self.env {
            set(name, value);
        }
        // The sockets of a login go with it, and so would the hive's.
        text.push_str(
            "unset XDG_RUNTIME_DIR RBEE_COOKIE SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY XDG_SESSION_ID\n",
        );
        text.push_str(&format!(
            "l={log}\n[ ! -f \"$l\" ] || [ \"$(wc -c <\"$l\")\" -lt {LOG} ] || mv -f -- \"$l\" \"$l.1\"\ncd -- \"$HOME\" || exit\n\
             exec {path} hive serve --port {port} </dev/null >>\"$l\" 2>&1\n",
            log = sh_quote(&places.log()),
            path = sh_quote(self.path),
            port = self.port,
        ));
        text
    }
}

/// The port in a script of [`Launch::text`]'s.
pub fn port_of(launch: &str) -> Option<u16> {
    launch.rsplit_once(" hive serve --port ")?.1.split(' ').next()?.parse().ok()
}

/// The functions, for the hive in this folder.
fn with_known(places: &Places, body: &str) -> String {
    format!("d={}\n{KNOWN}{body}", sh_quote(&places.state))
}

pub fn survey(places: &Places) -> String {
    with_known(places, SURVEY)
}

/// Whether a process is still there, whatever the record says by now: status 0.
pub fn lives(places: &Places, pid: u32, start: &str) -> String {
    with_known(places, &format!("born {pid}\n[ \"$s\" != gone ] && [ \"$s\" = {} ]\n", sh_quote(start)))
}

/// One look: who serves, whether it answers, and what its keeper thinks. `started` is a child of ours, to be seen alive.
pub fn look(places: &Places, keeper: Option<&Keeper>, started: Option<u32>) -> String {
    let mut body = format!(
        "if serving; then {SAY}\
         ask GET /health '' | {{ IFS= read -r h; printf 'health %s\\n' \"$h\"; }}\nfi\n",
    );
    if let Some(keeper) = keeper {
        body.push_str(keeper.ask());
    }
    if let Some(pid) = started {
        body.push_str(&format!("born {pid}\n[ \"$s\" != gone ] || echo 'failed it has ended'\n"));
    }
    with_known(places, &body)
}

/// Asks the hive that serves for a document; status 3 when none serves. `mark` is a file that is made when it was accepted.
pub fn ask(places: &Places, method: &str, path: &str, body: &str, mark: Option<&str>) -> String {
    let mark = mark.map(|mark| format!("case $a in 'HTTP/1.'?' 202 '*) : >{} ;; esac\n", sh_quote(mark)));
    let asked = format!("a=$(ask {method} {path} {})\nprintf '%s\\n' \"$a\"\n", sh_quote(body));
    with_known(places, &format!("serving || exit 3\n{asked}{}", mark.unwrap_or_default()))
}

/// Writes what starts the hive, and makes its keeper know it.
pub fn set_up(places: &Places, keeper: &Keeper, launch: &str, stranger: Option<&Keeper>) -> String {
    let mut body = String::from("umask 077\nmkdir -p -- \"$d\" && chmod 700 \"$d\" || exit\n");
    // A keeper that would start a second one.
    if let Some(other) = stranger {
        body.push_str(other.disable());
        body.push_str(&other.file().map(|file| format!("rm -f -- {}\n", sh_quote(file))).unwrap_or_default());
    }
    body.push_str(&write(&places.launch(), launch));
    if let (Some(file), Some(text)) = (keeper.file(), keeper.text(places)) {
        let folder = file.rsplit_once('/').map_or("/", |(folder, _)| folder);
        body.push_str(&format!("mkdir -p -- {} || exit\n", sh_quote(folder)));
        body.push_str(&write(file, &text));
    }
    body.push_str(keeper.enable());
    with_known(places, &body)
}

/// Beside its place, then there.
fn write(path: &str, text: &str) -> String {
    let (path, part) = (sh_quote(path), format!("{path}.part"));
    let part = sh_quote(&part);
    format!("printf %s {} >{part} && mv -f -- {part} {path} || exit\n", sh_quote(text))
}

/// The opposite of [`set_up`].
pub fn take_down(places: &Places, keeper: &Keeper, purge: bool) -> String {
    let mut body = String::from(keeper.disable());
    if let Some(file) = keeper.file() {
        body.push_str(&format!("rm -f -- {}\n", sh_quote(file)));
    }
    if matches!(keeper, Keeper::Systemd { .. }) {
        body.push_str("manager daemon-reload\n");
    }
    body.push_str(match purge {
        true => "rm -rf -- \"$d\"\n",
        false => "rm -f -- \"$d/launch\" \"$d/serving\"\n",
    });
    body.push_str("[ ! -e \"$d/launch\" ]\n");
    with_known(places, &body)
}

pub fn start(places: &Places, keeper: &Keeper) -> String {
    let body = keeper.start(places);
    with_known(places, &format!("[ -f \"$d/launch\" ] || {{ echo 'it was not set up' >&2; exit 4; }}\n{body}"))
}

/// A signal for the process of the record and no other; status 3 when that is gone.
pub fn signal(places: &Places, keeper: Option<&Keeper>, pid: u32, start: &str, signal: Signal) -> String {
    let signal = match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
    };
    let mut body = format!("serving && [ \"$p $t\" = {} ] || exit 3\n", sh_quote(&format!("{pid} {start}")));
    body.push_str(keeper.map_or("", Keeper::stop));
    body.push_str(&format!("kill -{signal} \"$p\"\n"));
    with_known(places, &body)
}

/// The last lines of the log behind its first `from` bytes.
pub fn last_words(places: &Places, from: u64) -> String {
    format!("tail -c +{} {} 2>/dev/null | tail -n 8\n", from + 1, sh_quote(&places.log()))
}

/// The size of the log.
pub fn log_size(places: &Places) -> String {
    format!("[ ! -f {0} ] || wc -c <{0}\n", sh_quote(&places.log()))
}

/// Ends what was started, unless it is the one that may stay, within some two seconds; `child` in the working folder names
/// a process of ours that may not have come to its record yet.
pub fn end_other(keeper: &Keeper, stays: Option<(u32, &str)>) -> String {
    let stays = stays.map(|(pid, start)| format!("{pid} {start}")).unwrap_or_default();
    format!(
        "g=''\n! serving || g=\"$p $t\"\nif [ -z \"$g\" ] || [ \"$g\" != {} ]; then\n{}\
         [ -n \"$g\" ] || {{ read -r g <child; }} 2>/dev/null\np=${{g%% *}} t=${{g#* }}\n\
         here() {{ case $p in '' | *[!0-9]*) return 1 ;; esac; born \"$p\"; [ \"$s\" != gone ] && [ \"$s\" = \"$t\" ]; }}\n\
         if here; then\nkill -TERM \"$p\"\nn=30\nwhile [ \"$n\" -gt 0 ] && here; do nap; n=$((n - 1)); done\n\
         ! here || kill -KILL \"$p\"\nfi\nfi\n",
        sh_quote(&stays),
        keeper.stop(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let places = Places::new("/home/it's me/.local/state/rbee");
        let keeper = Keeper::Systemd { unit: "/home/it's me/.config/systemd/user/rbee-hive.service".into() };
        let dirs = HostDirs {
            state: "/home/it's me/.local/state/rbee".into(),
            cache: "/home/it's me/.cache/rbee".into(),
            data: "/home/it's me/.local/share/rbee".into(),
            user_bin: "/home/it's me/.local/bin".into(),
            system_bin: "/pre fix/bin".into(),
            system_data: "/pre fix/share/rbee".into(),
        };
        let search = ["/usr/bin".to_owned(), "/bin".to_owned()];
        let launch = Launch {
            path: "/home/it's me/.local/bin/rbee",
            home: "/home/it's me",
            search: &search,
            dirs: &dirs,
            env: vec![("CUDA_HOME".into(), "/opt/cu da".into())],
            port: 7835,
        };
        let launch = launch.text(&places);
        assert_eq!((port_of(&launch), port_of("exec x hive serve")), (Some(7835), None));
        insta::assert_snapshot!("launch", launch);
        let own = |text: String| text.replace(KNOWN, "KNOWN\n");
        insta::assert_snapshot!("survey", own(survey(&places)));
        insta::assert_snapshot!("look", own(look(&places, Some(&keeper), Some(41))));
        insta::assert_snapshot!(
            "ask",
            own(ask(&places, "POST", "/v1/shutdown", "{\"now\":true}", Some("/a b/stopping")))
        );
        let session = Keeper::Session { by: "setsid".into() };
        insta::assert_snapshot!("set_up", own(set_up(&places, &keeper, "LAUNCH", Some(&session))));
        insta::assert_snapshot!("take_down", own(take_down(&places, &keeper, false)));
        insta::assert_snapshot!("take_down_purge", own(take_down(&places, &session, true)));
        insta::assert_snapshot!("signal", own(signal(&places, Some(&keeper), 41, "977", Signal::Kill)));
        insta::assert_snapshot!("end_other", end_other(&session, Some((41, "977"))));
    }
}
