//! How an installed worker is started, and what is written down of one that was.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Digest, InvalidName, WorkerId};

/// The words a worker is started with; those in braces are filled for each start.
///
/// Known are `{id}`, `{model}`, `{model_ref}`, `{bind}`, `{port}`, `{device}`, `{device_index}` and `{api_key_file}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// What it is always given. Without `{bind}` it listens on every address, whatever is asked.
    pub args: Vec<String>,
    /// What it is given with a model; empty for one that takes none.
    pub model: Vec<String>,
    /// It does not start without a model.
    pub model_needed: bool,
    /// What it is given with a device; empty for one that cannot be told.
    pub device: Vec<String>,
    /// What it is given with a file of API keys.
    pub api_key: Vec<String>,
    /// The variable that it reads its API key from, instead.
    pub api_key_env: Option<String>,
    /// The path that answers 200 when it can work.
    pub health: String,
}

impl Default for Launch {
    fn default() -> Self {
        let none = Vec::new;
        Self {
            args: none(),
            model: none(),
            model_needed: true,
            device: none(),
            api_key: none(),
            api_key_env: None,
            health: "/health".to_owned(),
        }
    }
}

impl Launch {
    /// Whether it can be told which address to listen on.
    pub fn binds(&self) -> bool {
        self.args.iter().any(|word| word.contains("{bind}"))
    }
}

/// The name of one spawned worker on its host: `w` and eight hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpawnId(String);

impl SpawnId {
    /// The one of this number.
    pub fn of(number: u32) -> Self {
        Self(format!("w{number:08x}"))
    }

    /// # Errors
    /// When it is anything else.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix('w').unwrap_or_default();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != 8 || !digits.bytes().all(hex) {
            let why = "is not w and eight hexadecimal digits";
            return Err(InvalidName { what: "id of a spawned worker", name: text.to_owned(), why });
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpawnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who keeps a spawned worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keeping {
    /// A process of its own, until the machine ends.
    #[default]
    Session,
    /// A service of the user.
    Service,
    /// A service of the machine, which starts without a login.
    System,
}

impl Keeping {
    pub const ALL: [Self; 3] = [Self::Session, Self::Service, Self::System];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Service => "service",
            Self::System => "system",
        }
    }
}

/// What is written down of a worker when it is spawned; the host's own word about what runs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawned {
    pub id: SpawnId,
    pub worker: WorkerId,
    pub version: String,
    /// Of the program that was started.
    pub digest: Digest,
    /// The program, and what it was given; no secret is among it.
    pub argv: Vec<String>,
    /// As it was asked for, or the path.
    pub model: Option<String>,
    pub bind: IpAddr,
    pub port: u16,
    /// The path that says whether it can work.
    pub health: String,
    /// It is started again when it fails.
    pub restart: bool,
    pub keeping: Keeping,
    /// The run that spawned it.
    pub run: String,
    /// RFC 3339.
    pub spawned_at: String,
}

impl Spawned {
    /// Where it answers; every address is shown as this machine's own.
    pub fn url(&self) -> String {
        match reached_at(self.bind) {
            IpAddr::V4(ip) => format!("http://{ip}:{}", self.port),
            IpAddr::V6(ip) => format!("http://[{ip}]:{}", self.port),
        }
    }
}

/// The address on its own machine at which a listener on `bind` is reached.
pub fn reached_at(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    }
}
