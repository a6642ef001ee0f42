//! What a host says about its hive, read strictly; pure.

use std::collections::BTreeMap;

use super::{DaemonError, Keeper};
use crate::vocab::text::plain_line;

/// A hive that serves, by its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// As the host counts it.
    pub start: String,
    pub boot: String,
    pub port: u16,
    pub version: String,
    /// Its program's path when it was started.
    pub path: String,
}

/// What there is of a hive on a host, and what could keep one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// Only a process that is still the one that wrote the record.
    pub serving: Option<Process>,
    /// Another file has taken the place of the program that runs.
    pub replaced: bool,
    /// There is a record of a process that is gone.
    pub stale: bool,
    /// A change did not come to its end.
    pub undone: bool,
    /// The user's systemd can be reached.
    pub systemd: bool,
    /// Whether that runs without a login.
    pub lingers: Option<bool>,
    pub launchd: bool,
    /// What makes a session there.
    pub session: Option<String>,
    /// Where a unit belongs, and whether it is there.
    pub unit: String,
    pub has_unit: bool,
    pub agent: String,
    pub has_agent: bool,
    /// The script that starts it, as it is there now.
    pub launch: Option<String>,
}

/// One look at a hive that is starting or ending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub serving: Option<(u32, String)>,
    pub healthy: bool,
    /// The keeper has given it up, in the keeper's words; or the process that was started is gone.
    pub failed: Option<String>,
}

/// What a hive says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meters {
    pub version: Option<String>,
    pub uptime_s: Option<u64>,
    /// By state.
    pub jobs: BTreeMap<String, u64>,
}

impl Ground {
    /// Reads what the survey printed.
    ///
    /// # Errors
    /// It did not come to its end, or is something else.
    pub fn read(text: &str) -> Result<Self, DaemonError> {
        let mut ground = Self::default();
        let mut launch: Option<String> = None;
        for line in text.lines() {
            if let Some(line) = line.strip_prefix('|') {
                if let Some(launch) = &mut launch {
                    launch.push_str(line);
                    launch.push('\n');
                }
                continue;
            }
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "serving" => ground.serving = Some(process(rest).ok_or(DaemonError::Garbled("a look at its hive"))?),
                "replaced" => ground.replaced = true,
                "stale" => ground.stale = true,
                "undo" => ground.undone = true,
                "systemd" => ground.systemd = true,
                "linger" => ground.lingers = Some(rest == "yes"),
                "launchd" => ground.launchd = true,
                "session" if ["setsid", "perl", "python3"].contains(&rest) => ground.session = Some(rest.to_owned()),
                "unit" => ground.unit = rest.to_owned(),
                "has-unit" => ground.has_unit = true,
                "agent" => ground.agent = rest.to_owned(),
                "has-agent" => ground.has_agent = true,
                "launch" => launch = Some(String::new()),
                _ => {}
            }
        }
        if !ground.unit.starts_with('/') || !ground.agent.starts_with('/') {
            return Err(DaemonError::Garbled("a look at its hive"));
        }
        ground.launch = launch;
        Ok(ground)
    }

    /// What the hive was set up with, if it was.
    pub fn kept_by(&self) -> Option<Keeper> {
        self.launch.as_ref()?;
        if self.has_unit {
            return Some(Keeper::Systemd { unit: self.unit.clone() });
        }
        if self.has_agent {
            return Some(Keeper::Launchd { agent: self.agent.clone() });
        }
        Some(Keeper::Session { by: self.session.clone()? })
    }
}

/// `PID START BOOT PORT VERSION PATH`
fn process(text: &str) -> Option<Process> {
    let mut words = text.splitn(6, ' ');
    let mut next = || words.next().filter(|word| !word.is_empty());
    let pid = next()?.parse().ok()?;
    let (start, boot) = (next()?.to_owned(), next()?.to_owned());
    let port = next()?.parse().ok()?;
    Some(Process { pid, start, boot, port, version: plain_line(next()?), path: plain_line(next()?) })
}

impl Look {
    pub fn read(text: &str) -> Self {
        let mut look = Self::default();
        for line in text.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "serving" => look.serving = process(rest).map(|process| (process.pid, process.start)),
                "health" => look.healthy = rest.split_whitespace().nth(1) == Some("200"),
                "failed" => look.failed = Some(plain_line(rest).trim().to_owned()),
                _ => {}
            }
        }
        look
    }
}

/// The status and the body of an answer over HTTP 1.0.
pub fn answer(text: &str) -> Option<(u16, &str)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

impl Meters {
    /// Reads what `/metrics` says.
    pub fn read(text: &str) -> Self {
        let mut meters = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let label = || Some(plain_line(name.split_once('"')?.1.split_once('"')?.0));
            if name.starts_with("rbee_build_info{") {
                meters.version = label();
            } else if name == "rbee_uptime_seconds" {
                meters.uptime_s = value.parse().ok();
            } else if name.starts_with("rbee_jobs{")
                && let (Some(state), Ok(count)) = (label(), value.parse())
            {
                meters.jobs.insert(state, count);
            }
        }
        meters
    }

    /// Jobs that have not ended.
    pub fn left(&self) -> u64 {
        ["queued", "running"].iter().filter_map(|state| self.jobs.get(*state)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "serving 41 977 b-o-o-t 7835 0.1.0 /home/it is me/.local/bin/rbee\nreplaced\n\
        unit /home/me/.config/systemd/user/rbee-hive.service\nhas-unit\nagent /home/me/a.plist\nsystemd\nlinger no\n\
        session setsid\nlaunch\n|#!/bin/sh\n|\n|exec x\n";

    #[test]
    fn a_survey_is_read() {
        let ground = Ground::read(SAID).unwrap();
        let process = ground.serving.clone().unwrap();
        assert_eq!((process.pid, process.start.as_str(), process.port), (41, "977", 7835));
        assert_eq!(process.path, "/home/it is me/.local/bin/rbee");
        assert!(ground.replaced && ground.systemd && !ground.launchd && !ground.stale);
        assert_eq!((ground.lingers, ground.launch.as_deref()), (Some(false), Some("#!/bin/sh\n\nexec x\n")));
        assert_eq!(ground.kept_by().unwrap().as_str(), "systemd");
        let plain = Ground { has_unit: false, ..ground };
        assert_eq!(plain.kept_by(), Some(Keeper::Session { by: "setsid".into() }));
        assert_eq!(Ground { launch: None, ..plain }.kept_by(), None);
    }

    #[test]
    fn what_is_no_survey_is_an_error() {
        for text in ["", "serving x\nunit /u\nagent /a", "serving 1 2 3 4\nunit /u\nagent /a", "unit u\nagent /a\n"] {
            assert!(Ground::read(text).is_err(), "{text}");
        }
        let odd = Ground::read("unit /u\nagent /a\nsession rm -rf\nwhat is this\n|x\n").unwrap();
        assert_eq!((odd.session, odd.launch), (None, None));
    }

    #[test]
    fn looks_and_answers_are_read() {
        let look = Look::read("serving 41 977 b 1 0.1.0 /x\nhealth HTTP/1.0 200 OK\r\n");
        assert_eq!((look.serving, look.healthy, look.failed), (Some((41, "977".into())), true, None));
        let look = Look::read("health HTTP/1.0 503 No\nfailed ActiveState=failed\x1b[2J \n");
        assert!(!look.healthy && look.serving.is_none());
        assert_eq!(look.failed.as_deref(), Some("ActiveState=failed"));
        assert_eq!(answer("HTTP/1.0 202 Accepted\r\nx: y\r\n\r\n{}"), Some((202, "{}")));
        assert_eq!(answer("SSH-2.0"), None);
        let meters = Meters::read(
            "# HELP x\nrbee_build_info{version=\"0.1.0\"} 1\nrbee_uptime_seconds 61\nrbee_jobs{state=\"queued\"} 1\n\
             rbee_jobs{state=\"running\"} 2\nrbee_jobs{state=\"failed\"} 9\nrbee_jobs{state=\"odd\"} x\n",
        );
        assert_eq!((meters.version.as_deref(), meters.uptime_s, meters.left()), (Some("0.1.0"), Some(61), 3));
    }
}
