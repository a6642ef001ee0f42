//! Which of the spawned workers is meant.

use std::fmt;

use super::{Process, SpawnError};
use crate::vocab::{InvalidName, SpawnId, WorkerId};

/// A spawned worker as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The worker's process.
    Pid(u32),
    Id(SpawnId),
    /// Those that run this worker.
    Worker(WorkerId),
    All,
}

impl Which {
    /// A number is a process, `w` and eight digits one that was spawned, and everything else a worker of the catalog.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Ok(pid) = text.parse() {
            return Ok(Self::Pid(pid));
        }
        SpawnId::new(text).map(Self::Id).or_else(|_| WorkerId::new(text).map(Self::Worker))
    }

    fn means(&self, process: &Process) -> bool {
        match self {
            Self::Pid(pid) => process.pid == Some(*pid),
            Self::Id(id) => process.spawned.id == *id,
            Self::Worker(worker) => process.spawned.worker == *worker,
            Self::All => true,
        }
    }

    /// Those that are meant; several only with `many`.
    ///
    /// # Errors
    /// Nobody, or more than one.
    pub fn of<'a>(&self, all: &'a [Process], many: bool) -> Result<Vec<&'a Process>, SpawnError> {
        let found: Vec<&Process> = all.iter().filter(|process| self.means(process)).collect();
        match (&found[..], self) {
            ([], Self::All) => Ok(found),
            ([], _) => Err(SpawnError::choice(
                format!("{self} is no worker that rbee started here"),
                "rbee worker process list shows those that are",
            )),
            ([_], _) => Ok(found),
            _ if many => Ok(found),
            (several, _) => {
                let names: Vec<_> = several.iter().map(|process| process.spawned.id.as_str()).collect();
                let text = format!("{self} runs several times: {}", names.join(", "));
                Err(SpawnError::choice(text, "name one of them, or say --all"))
            }
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Id(id) => id.fmt(f),
            Self::Worker(worker) => worker.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_three() {
        assert_eq!(Which::parse("17").unwrap(), Which::Pid(17));
        assert_eq!(Which::parse("w0000beef").unwrap(), Which::Id(SpawnId::of(0xbeef)));
        assert_eq!(Which::parse("worker-cpu").unwrap(), Which::Worker(WorkerId::new("worker-cpu").unwrap()));
        for bad in ["", "../x", "-1", "/proc/1", "a b", "4294967296x/"] {
            assert!(Which::parse(bad).is_err(), "{bad}");
        }
    }
}
