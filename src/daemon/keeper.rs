//! Who keeps a hive running when we have gone.

use super::{Ground, Places};
use crate::vocab::text::sh_quote;

/// The agent's name.
const AGENT: &str = "rbee.hive";

/// What starts a hive, and starts it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// The user's own systemd, with a unit in this file.
    Systemd { unit: String },
    /// The user's launchd, with an agent in this file.
    Launchd { agent: String },
    /// Nobody: a session of its own, made by this program (setsid, perl or python3).
    Session { by: String },
}

/// Chooses what a host offers, the one that also starts it after a reboot first.
///
/// # Errors
/// A sentence: the host has nothing.
pub fn choose(ground: &Ground) -> Result<Keeper, String> {
    if ground.systemd {
        return Ok(Keeper::Systemd { unit: ground.unit.clone() });
    }
    if ground.launchd {
        return Ok(Keeper::Launchd { agent: ground.agent.clone() });
    }
    match &ground.session {
        Some(by) => Ok(Keeper::Session { by: by.clone() }),
        None => Err("nothing there could keep a hive: no systemd for the user, no launchd, and no setsid, perl or \
                     python3 for a session of its own"
            .into()),
    }
}

impl Keeper {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => "systemd",
            Self::Launchd { .. } => "launchd",
            Self::Session { .. } => "session",
        }
    }

    /// The file that makes it known to its keeper, if that has one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Systemd { unit } => Some(unit),
            Self::Launchd { agent } => Some(agent),
            Self::Session { .. } => None,
        }
    }

    /// What that file says.
    pub(super) fn text(&self, places: &Places) -> Option<String> {
        let launch = places.launch();
        match self {
            // Only the hive itself is ended: what it runs it ends by itself, and workers outlive it.
            Self::Systemd { .. } => Some(format!(
                "[Unit]\nDescription=rbee hive\n\n[Service]\nExecStart=/bin/sh {}\nRestart=on-failure\nRestartSec=2\n\
                 KillMode=process\nDelegate=yes\n\n[Install]\nWantedBy=default.target\n",
                unit_word(&launch)
            )),
            Self::Launchd { .. } => Some(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                 \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\
                 <key>Label</key><string>{AGENT}</string>\n\
                 <key>ProgramArguments</key><array><string>/bin/sh</string><string>{}</string></array>\n\
                 <key>RunAtLoad</key><true/>\n\
                 <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n\
                 <key>AbandonProcessGroup</key><true/>\n</dict>\n</plist>\n",
                xml(&launch)
            )),
            Self::Session { .. } => None,
        }
    }

    /// Makes the keeper read its file, and start the hive with the machine or the login.
    pub(super) fn enable(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => "manager daemon-reload && manager enable rbee-hive.service || exit\n",
            Self::Launchd { .. } | Self::Session { .. } => "",
        }
    }

    /// The opposite, before its file goes.
    pub(super) fn disable(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => "manager disable rbee-hive.service\n",
            Self::Launchd { .. } => "launchctl bootout \"user/$(id -u)/rbee.hive\" 2>/dev/null\n",
            Self::Session { .. } => "",
        }
    }

    /// Starts the hive; returns at once. Prints `started PID` where we are the parent.
    pub(super) fn start(&self, places: &Places) -> String {
        let launch = places.launch();
        match self {
            Self::Systemd { .. } => "manager daemon-reload; manager reset-failed rbee-hive.service 2>/dev/null\n\
                                     manager start --no-block rbee-hive.service || exit\n"
                .into(),
            Self::Launchd { agent } => format!(
                "launchctl bootout \"user/$(id -u)/rbee.hive\" 2>/dev/null\n\
                 launchctl bootstrap \"user/$(id -u)\" {} || exit\n",
                sh_quote(agent)
            ),
            // Nothing of what supervises us may stick to it: neither the cookie nor a channel, and it must have left our
            // group before we end.
            Self::Session { by } => {
                let launch = sh_quote(&launch);
                let call = match by.as_str() {
                    "perl" => {
                        format!("perl -e 'use POSIX ();POSIX::setsid();exec {{$ARGV[0]}} @ARGV' /bin/sh {launch}")
                    }
                    "python3" => format!(
                        "python3 -c 'import os,sys;os.setsid();os.execv(sys.argv[1],sys.argv[1:])' /bin/sh {launch}"
                    ),
                    _ => format!("setsid /bin/sh {launch}"),
                };
                format!(
                    "(unset RBEE_COOKIE; cd / && exec {call}) </dev/null >/dev/null 2>&1 &\np=$!\nborn \"$p\"\n\
                     [ ! -d \"$d/undo.d\" ] || printf '%s %s\\n' \"$p\" \"$s\" >\"$d/undo.d/child\"\n\
                     n=100\nuntil apart \"$p\" || [ \"$n\" = 0 ]; do nap; n=$((n - 1)); done\nprintf 'started %s\\n' \"$p\"\n"
                )
            }
        }
    }

    /// Tells the keeper not to start it again, and to end it; the process is looked after by the caller.
    pub(super) fn stop(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => "manager stop --no-block rbee-hive.service\n",
            Self::Launchd { .. } => "launchctl bootout \"user/$(id -u)/rbee.hive\" 2>/dev/null\n",
            Self::Session { .. } => "",
        }
    }

    /// Prints `failed WORDS` when the keeper has given it up, or had to start it again.
    pub(super) fn ask(&self) -> &'static str {
        match self {
            Self::Systemd { .. } => {
                "k=$(manager show rbee-hive.service -p ActiveState -p Result -p NRestarts 2>/dev/null | tr '\\n' ' ')\n\
                 case \"$k \" in\n*ActiveState=failed* | *ActiveState=inactive* | *NRestarts=[1-9]*) printf 'failed %s\\n' \"$k\" ;;\nesac\n"
            }
            Self::Launchd { .. } | Self::Session { .. } => "",
        }
    }
}

/// One word of a unit's command line: `%` and `$` mean something there.
fn unit_word(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' | '$' => text.extend([c, c]),
            c => text.push(c),
        }
    }
    text + "\""
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground() -> Ground {
        Ground { unit: "/home/me/u".into(), agent: "/home/me/a".into(), ..Ground::default() }
    }

    #[test]
    fn what_starts_it_after_a_reboot_comes_first() {
        let all = Ground { systemd: true, launchd: true, session: Some("setsid".into()), ..ground() };
        assert_eq!(choose(&all), Ok(Keeper::Systemd { unit: "/home/me/u".into() }));
        let mac = Ground { systemd: false, ..all.clone() };
        assert_eq!(choose(&mac), Ok(Keeper::Launchd { agent: "/home/me/a".into() }));
        let plain = Ground { launchd: false, ..mac };
        assert_eq!(choose(&plain), Ok(Keeper::Session { by: "setsid".into() }));
        assert!(choose(&ground()).unwrap_err().contains("setsid"));
    }

    /// What is written on a host and sent to it is pinned: a change of it is a change to be seen.
    #[test]
    fn what_a_keeper_is_told_is_pinned() {
        let places = Places::new("/home/it's 100% me/.local/state/rbee");
        let keepers = [
            Keeper::Systemd { unit: "/u".into() },
            Keeper::Launchd { agent: "/a b".into() },
            Keeper::Session { by: "setsid".into() },
            Keeper::Session { by: "perl".into() },
            Keeper::Session { by: "python3".into() },
        ];
        let all = keepers.map(|keeper| {
            format!(
                "== {} ==\n{}-- enable --\n{}-- start --\n{}-- ask --\n{}-- stop --\n{}-- disable --\n{}",
                keeper.as_str(),
                keeper.text(&places).unwrap_or_default(),
                keeper.enable(),
                keeper.start(&places),
                keeper.ask(),
                keeper.stop(),
                keeper.disable(),
            )
        });
        insta::assert_snapshot!("keepers", all.concat());
    }
}
