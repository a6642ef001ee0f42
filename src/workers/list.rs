//! The workers that were spawned on a host, and how they are.

use std::collections::HashMap;

use super::{SpawnError, script};
use crate::{
    scope::Scope,
    target::{Captured, Target, TargetError},
    vocab::{SpawnId, Spawned},
    wire,
};

/// A spawned worker as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pub spawned: Spawned,
    pub state: State,
    /// Of the worker itself.
    pub pid: Option<u32>,
    /// Of whoever keeps it.
    pub keeper: Option<u32>,
    /// Processes that belong to it.
    pub members: Vec<u32>,
    /// Of one processor, in hundredths.
    pub cpu: Option<f64>,
    /// Bytes of memory that its processes have.
    pub memory: Option<u64>,
    /// Bytes on NVIDIA cards.
    pub vram: Option<u64>,
    /// The file that runs was replaced since.
    pub replaced: bool,
}

/// How a spawned worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Healthy,
    /// It runs, and does not answer as it should: with this status, or not at all.
    Unhealthy(Option<u16>),
    /// It ended, and is started again in a moment.
    Restarting,
    /// It ended by itself, as the shell says it.
    Ended(Option<i32>),
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy(_) => "unhealthy",
            Self::Restarting => "restarting",
            Self::Ended(_) => "ended",
        }
    }
}

/// Asks the host for all of them.
///
/// # Errors
/// The host could not be asked; a record that cannot be read is told and passed over.
pub async fn list(scope: &Scope, target: &dyn Target) -> Result<Vec<Process>, SpawnError> {
    let mut said = Captured::default();
    target.run(scope, &script::command("list workers", &[], script::LIST), &mut said).await?;
    let text = said.text();
    if said.truncated || text.lines().next_back() != Some("end") {
        return Err(TargetError::Host(format!("the workers could not be listed: {}", said.last_words())).into());
    }
    let (all, wrong) = read(&text);
    for why in wrong {
        scope.notice(crate::vocab::Level::Warning, why, None);
    }
    Ok(all)
}

/// What a host said of one of them, as it stood there.
#[derive(Default)]
struct Said<'a> {
    members: Vec<u32>,
    worker: Option<u32>,
    keeper: Option<u32>,
    ended: Option<Option<i32>>,
    pages: Option<u64>,
    ticks: Option<(f64, u64)>,
    /// Percent and KiB.
    ps: Option<(f64, u64)>,
    health: Option<&'a str>,
    replaced: bool,
}

/// Reads what the script printed: the workers, and what is wrong with others' records.
fn read(text: &str) -> (Vec<Process>, Vec<String>) {
    let (mut all, mut wrong, mut first) = (Vec::new(), Vec::new(), HashMap::new());
    let mut trailer = "";
    for part in text.split('\u{1e}').skip(1) {
        let Some((id, rest)) = part.split_once('\n') else { continue };
        if id == "." {
            trailer = rest;
            continue;
        }
        let Some((head, record)) = rest.split_once("\nrecord\n") else { continue };
        let spawned = match (SpawnId::new(id), wire::spawned::read(record)) {
            (Ok(id), Ok(spawned)) if spawned.id == id => spawned,
            (Ok(id), Ok(_)) => {
                wrong.push(format!("the record of {id} speaks of another worker"));
                continue;
            }
            (Ok(id), Err(error)) => {
                wrong.push(format!("the record of {id} cannot be read: {error}"));
                continue;
            }
            (Err(_), _) => continue,
        };
        let said = Said::read(head);
        if let Some(ticks) = said.ticks {
            first.insert(spawned.id.to_string(), ticks);
        }
        all.push(said.process(spawned));
    }
    measure(&mut all, &first, trailer);
    all.sort_by(|a, b| (a.spawned.port, &a.spawned.id).cmp(&(b.spawned.port, &b.spawned.id)));
    (all, wrong)
}

impl<'a> Said<'a> {
    fn read(head: &'a str) -> Self {
        let mut said = Self::default();
        for line in head.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut words = rest.split_ascii_whitespace();
            let pair = |words: &mut std::str::SplitAsciiWhitespace<'_>| {
                Some((words.next()?.parse::<f64>().ok()?, words.next()?.parse::<u64>().ok()?))
            };
            match word {
                "members" => said.members = words.filter_map(|pid| pid.parse().ok()).collect(),
                "worker" => said.worker = rest.parse().ok(),
                "keeper" => said.keeper = rest.parse().ok(),
                "ended" => said.ended = Some(words.next().and_then(|status| status.parse().ok())),
                "pages" => said.pages = rest.parse().ok(),
                "ticks" => said.ticks = pair(&mut words),
                "ps" => {
                    if let Some((percent, memory)) = pair(&mut words) {
                        let (p, m) = said.ps.unwrap_or_default();
                        said.ps = Some((p + percent, m.saturating_add(memory)));
                    }
                }
                "exe" => said.replaced = rest.ends_with(" (deleted)"),
                "health" => said.health = Some(rest),
                _ => {}
            }
        }
        said
    }

    fn process(self, spawned: Spawned) -> Process {
        let state = match (self.worker, self.health) {
            (Some(_), Some("200")) => State::Healthy,
            (Some(_), answer) => State::Unhealthy(answer.and_then(|status| status.parse().ok())),
            (None, _) if self.keeper.is_some() && spawned.restart => State::Restarting,
            (None, _) => State::Ended(self.ended.flatten()),
        };
        Process {
            state,
            pid: self.worker,
            keeper: self.keeper,
            cpu: self.ps.map(|(percent, _)| percent),
            // Pages for now; their size comes last.
            memory: self.ps.map(|(_, kib)| kib.saturating_mul(1024)).or(self.pages),
            vram: None,
            replaced: self.replaced,
            members: self.members,
            spawned,
        }
    }
}

/// Fills in what the trailer knows: lengths of ticks and pages, the second look, and cards.
fn measure(all: &mut [Process], first: &HashMap<String, (f64, u64)>, trailer: &str) {
    let (mut hertz, mut page) = (100.0, 4096);
    for line in trailer.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["clock", ticks, bytes] => {
                hertz = ticks.parse().ok().filter(|hertz| *hertz > 0.0).unwrap_or(hertz);
                page = bytes.parse().unwrap_or(page);
                for process in all.iter_mut().filter(|p| first.contains_key(p.spawned.id.as_str())) {
                    process.memory = process.memory.map(|pages| pages.saturating_mul(page));
                }
            }
            ["again", id, at, ticks] => {
                let process = all.iter_mut().find(|process| process.spawned.id.as_str() == id);
                let (Some(process), Some((before, had))) = (process, first.get(id)) else { continue };
                let (Ok(at), Ok(ticks)) = (at.parse::<f64>(), ticks.parse::<u64>()) else { continue };
                let passed = at - before;
                if passed > 0.0 {
                    process.cpu = Some(ticks.saturating_sub(*had) as f64 / hertz / passed * 100.0);
                }
            }
            ["vram", pid, mib] => {
                let (Ok(pid), Ok(mib)) = (pid.parse::<u32>(), mib.parse::<u64>()) else { continue };
                if let Some(process) = all.iter_mut().find(|process| process.members.contains(&pid)) {
                    process.vram = Some(process.vram.unwrap_or(0).saturating_add(mib.saturating_mul(1 << 20)));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{Digest, Keeping, WorkerId};

    fn record(id: &str, port: u16, restart: bool) -> String {
        let spawned = Spawned {
            id: SpawnId::new(id).unwrap(),
            worker: WorkerId::new("echo-worker").unwrap(),
            version: "0.1.0".into(),
            digest: Digest::new([7; 32]),
            argv: vec!["/bin/echo-worker".into()],
            model: None,
            bind: "127.0.0.1".parse().unwrap(),
            port,
            health: "/health".into(),
            restart,
            keeping: Keeping::Session,
            run: "RUN".into(),
            spawned_at: "2026-01-01T00:00:00Z".into(),
        };
        wire::spawned::write(&spawned).unwrap()
    }

    #[test]
    fn what_a_host_says_is_read() {
        let text = format!(
            "\u{1e}w00000002\nmembers 12 13\nkeeper 12\nworker 13\nexe /bin/echo-worker (deleted)\npages 50\nticks 100.00 40\n\
             health 200\nrecord\n{}\n\
             \u{1e}w00000001\nmembers 20 21\nkeeper 20\nworker 21\npages 1\nticks 100.10 0\nhealth 503\nrecord\n{}\n\
             \u{1e}w00000003\nmembers\nended 137 1700000000\npages 0\nticks 100.1 0\nrecord\n{}\n\
             \u{1e}w00000004\nmembers 30\nkeeper 30\nended 1 1700000000\nrecord\n{}\n\
             \u{1e}w00000005\nmembers\nrecord\nnonsense\n\u{1e}w00000006\nmembers\nrecord\n{}\n\u{1e}../x\nmembers\nrecord\nx\n\
             \u{1e}.\nclock 100 4096\nagain w00000002 100.50 65\nagain w00000001 100.50 0\nvram 13 512\nvram 12 1\nvram 99 7\nend\n",
            record("w00000002", 7856, false),
            record("w00000001", 7855, false),
            record("w00000003", 7857, false),
            record("w00000004", 7858, true),
            record("w00000003", 7859, false),
        );
        let (all, wrong) = read(&text);
        let states: Vec<_> = all.iter().map(|p| (p.spawned.port, p.state, p.pid)).collect();
        let want = [
            (7855, State::Unhealthy(Some(503)), Some(21)),
            (7856, State::Healthy, Some(13)),
            (7857, State::Ended(Some(137)), None),
            (7858, State::Restarting, None),
        ];
        assert_eq!(states, want);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let one = &all[1];
        assert_eq!((one.memory, one.vram, one.replaced), (Some(50 * 4096), Some(513 << 20), true));
        assert!((one.cpu.unwrap() - 50.0).abs() < 0.01, "{:?}", one.cpu);
        assert_eq!(all[0].cpu, Some(0.0));
    }

    #[test]
    fn where_there_is_no_proc_ps_is_believed() {
        let text = format!(
            "\u{1e}w00000001\nmembers 5 6\nkeeper 5\nworker 6\nps 1.5 1000\nps 20.0 24\nhealth none\nrecord\n{}\n\u{1e}.\nclock 100 4096\nend\n",
            record("w00000001", 7855, false)
        );
        let (all, _) = read(&text);
        assert_eq!((all[0].cpu, all[0].memory, all[0].state), (Some(21.5), Some(1 << 20), State::Unhealthy(None)));
    }
}
